#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""The dataplane in a cable: everything passes as it came, from the command line alone; SMTP to servers
that control names is terminated in their name, and their neighbours do not notice.
"""
import hashlib
import os
import socket
import struct
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import inline_lab  # noqa: E402
import lab as labs  # noqa: E402
from inline_lab import SERVER4, SERVER6, Raw  # noqa: E402

A, B = bytes.fromhex("02005e005301"), bytes.fromhex("02005e005302")
BULK = 8 << 20


def pattern(n, seed):
    """Octets that say where they are from: a frame that is cut, doubled or mixed up differs."""
    out, k = b"", 0
    while len(out) < n:
        out += hashlib.sha256(f"{seed} {k}".encode()).digest()
        k += 1
    return out[:n]


def odd_frames(mtu):
    """What no gateway would take: (what, frame)."""
    tag = struct.pack("!HH", 0x8100, 7)
    for name, kind in (("LLDP's EtherType", 0x88cc), ("PPPoE", 0x8863), ("MPLS", 0x8847), ("unknown", 0x9999),
                       ("802.3 with LLC", 60)):
        yield name, B + A + struct.pack("!H", kind) + pattern(60, name)
    yield "a group address", b"\x01\x80\xc2\x00\x00\x0e" + A + b"\x88\xcc" + pattern(50, "group")
    yield "802.1Q", B + A + tag + b"\x88\xb5" + pattern(80, "tag")
    yield "two tags", B + A + struct.pack("!HH", 0x8100, 9) + tag + b"\x88\xb5" + pattern(80, "tags")
    yield "as long as it may be", B + A + b"\x88\xb5" + pattern(mtu, "long")
    yield "IPv4 with a bad checksum", B + A + b"\x08\x00" + b"\x45" + pattern(59, "ip")
    yield "TCP without a header", B + A + b"\x08\x00" + bytes.fromhex("4500001800000000400600000a0000010a000002") + b"\0" * 26


def frames(lab, mtu):
    client, server = Raw(lab, "client", f"{lab.name}c0"), Raw(lab, "hop", f"{lab.name}s0")
    try:
        n = 0
        for what, frame in odd_frames(mtu):
            client.send(frame)
            server.expect(frame, f"{what}, to the server")
            back = frame[6:12] + frame[:6] + frame[12:] if not frame[0] & 1 else frame
            server.send(back)
            client.expect(back, f"{what}, from the server")
            n += 2
    finally:
        client.close()
        server.close()
    print(f"     {n} frames of {n // 2} kinds came through as they were", flush=True)


def udp(lab, address, sizes):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with labs.in_netns(lab.ns["hop"]):
        there = socket.socket(family, socket.SOCK_DGRAM)
        there.bind((address, 5353))
    with labs.in_netns(lab.ns["client"]):
        here = socket.socket(family, socket.SOCK_DGRAM)
    there.settimeout(5)
    here.settimeout(5)
    for n in sizes:
        data = pattern(n, f"udp {n}")
        here.sendto(data, (address, 5353))
        try:
            got, who = there.recvfrom(65536)
        except TimeoutError:
            raise AssertionError(f"UDP of {n} octets did not arrive") from None
        assert got == data, f"UDP of {n} octets"
        there.sendto(got, who)
        assert here.recv(65536) == data
    here.close()
    there.close()


def serve(lab, address, port, handle):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with labs.in_netns(lab.ns["hop"]):
        s = socket.socket(family, socket.SOCK_STREAM)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind((address, port))
        s.listen(16)
    s.settimeout(20)

    def run():
        c, who = s.accept()
        c.settimeout(20)
        handle(c, who)
        c.close()
        s.close()
    t = threading.Thread(target=run, daemon=True)
    t.start()
    return t


def connect(lab, address, port, timeout=20):
    with labs.in_netns(lab.ns["client"]):
        return socket.create_connection((address, port), timeout)


def bulk(lab, address, port, n=BULK):
    """Both ways at once; the hashes agree and the server saw the client's own address."""
    up, down, seen = pattern(n // 64, "up") * 64, pattern(n // 64, "down") * 64, {}

    def handle(c, who):
        t = threading.Thread(target=c.sendall, args=(down,), daemon=True)
        t.start()
        h, left = hashlib.sha256(), len(up)
        while left:
            got = c.recv(65536)
            assert got, "the server's connection ended early"
            h.update(got)
            left -= len(got)
        t.join(20)
        seen.update(hash=h.digest(), who=who)

    t = serve(lab, address, port, handle)
    c = connect(lab, address, port)
    me = c.getsockname()
    w = threading.Thread(target=c.sendall, args=(up,), daemon=True)
    w.start()
    h, left = hashlib.sha256(), len(down)
    while left:
        got = c.recv(65536)
        assert got, "the client's connection ended early"
        h.update(got)
        left -= len(got)
    w.join(20)
    t.join(20)
    c.close()
    assert h.digest() == hashlib.sha256(down).digest(), "octets from the server"
    assert seen["hash"] == hashlib.sha256(up).digest(), "octets to the server"
    assert seen["who"][:2] == me[:2], (seen, me)


def everything_passes(lab, mtu):
    for to in (SERVER4, SERVER6):
        lab.in_ns("client", "ping", "-c", "3", "-i", "0.2", "-W", "5", to)
        lab.in_ns("client", "ping", "-c", "2", "-i", "0.2", "-W", "5", "-M", "do",
                  "-s", str(mtu - (48 if ":" in to else 28)), to)
    # The last ones in fragments. What fan-out has put together again no MTU takes: docs/inline.md.
    udp(lab, SERVER6, (0, 1, 512, mtu - 48, mtu - 47, 3 * mtu))
    udp(lab, SERVER4, (0, 1, 512, mtu - 28) + ((mtu - 27, 3 * mtu) if lab.cable == "tap" else ()))
    bulk(lab, SERVER4, 22)
    bulk(lab, SERVER6, 443)
    # No server is named yet: SMTP is like anything else.
    bulk(lab, SERVER4, 25, 1 << 16)
    frames(lab, mtu)


def plain(mtu, framesz, workers=1, cable="af_packet"):
    name = f"in{workers}{cable[0]}{'j' if mtu > 1500 else ''}"
    with inline_lab.CableLab(name, cable, mtu=mtu, framesz=framesz, workers=workers) as lab:
        lab.start_cable("--mbuf-size", str(framesz))
        everything_passes(lab, mtu)
    print(f"without control, {cable}, MTU {mtu}, {workers} worker(s): ok", flush=True)


def main():
    plain(1500, 2048)
    plain(9000, 16384)
    plain(1500, 2048, workers=2)
    plain(1500, 2048, cable="tap")


if __name__ == "__main__":
    main()
