#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""--tap-dump on captures that this makes: tags, IPv6, fragments in every order, bad checksums, frames that were cut
off, two files at once; and that every line is JSON, whatever the octets of the session."""
import hashlib
import itertools
import json
import os
import pathlib
import socket
import struct
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import lab as labs  # noqa: E402

CONTENT = b"Subject: tap\r\nFrom: a@example.org\r\n\r\n" + b"".join(b"line %d of the text\r\n" % i for i in range(200))
SESSION = [
    ("S", b"220 mx.example.net ESMTP\r\n"),
    ("C", b"EHLO client.example.org\r\n"),
    ("S", b"250-mx.example.net\r\n250 PIPELINING\r\n"),
    ("C", b"MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.net>\r\nRCPT TO:<c@example.net>\r\nDATA\r\n"),
    ("S", b"250 2.1.0 ok\r\n250 2.1.5 ok\r\n550 5.1.1 no\r\n354 go\r\n"),
    ("C", CONTENT + b".\r\n"),
    ("S", b"250 2.0.0 queued\r\n"),
    ("C", b"QUIT\r\n"),
    ("S", b"221 bye\r\n"),
]


def csum(data):
    if len(data) % 2:
        data += b"\0"
    s = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while s >> 16:
        s = (s & 0xffff) + (s >> 16)
    return ~s & 0xffff


class Net:
    """Frames between one client and one server."""

    def __init__(self, v6=False, tags=(), port=40000, bad=False):
        self.v6, self.tags, self.port, self.bad, self.ident = v6, tags, port, bad, 0
        a, b = ("2001:db8::1", "2001:db8::25") if v6 else ("192.0.2.1", "198.51.100.25")
        family = socket.AF_INET6 if v6 else socket.AF_INET
        self.addr = {"C": socket.inet_pton(family, a), "S": socket.inet_pton(family, b)}
        self.flow = f"[{a}]:{port}>[{b}]:25" if v6 else f"{a}:{port}>{b}:25"

    def tcp(self, side, seq, ack, flags, payload):
        src, dst = (self.port, 25) if side == "C" else (25, self.port)
        seg = struct.pack("!HHIIBBHHH", src, dst, seq & 0xffffffff, ack & 0xffffffff, 0x50, flags, 65535, 0, 0) + payload
        to = "S" if side == "C" else "C"
        if self.v6:
            pseudo = self.addr[side] + self.addr[to] + struct.pack("!IHBB", len(seg), 0, 0, 6)
        else:
            pseudo = self.addr[side] + self.addr[to] + struct.pack("!BBH", 0, 6, len(seg))
        sum_ = csum(pseudo + seg) ^ (0x1234 if self.bad else 0)
        return seg[:16] + struct.pack("!H", sum_) + seg[18:]

    def ether(self, ip):
        tags = b"".join(struct.pack("!HH", t, v) for t, v in self.tags)
        return b"\x02\0\0\0\0\x01\x02\0\0\0\0\x02" + tags + struct.pack("!H", 0x86dd if self.v6 else 0x0800) + ip

    def ip4(self, side, payload, ident, off=0, more=False):
        to = "S" if side == "C" else "C"
        h = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), ident, (off // 8) | (0x2000 if more else 0), 57, 6, 0)
        h += self.addr[side] + self.addr[to]
        return h[:10] + struct.pack("!H", csum(h)) + h[12:] + payload

    def ip6(self, side, payload, ident=None, off=0, more=False):
        to = "S" if side == "C" else "C"
        nxt = 6
        if ident is not None:
            payload = struct.pack("!BBHI", 6, 0, off | more, ident) + payload
            nxt = 44
        return struct.pack("!IHBB", 0x60000000, len(payload), nxt, 57) + self.addr[side] + self.addr[to] + payload

    def frames(self, side, seg, fragment=0):
        """One frame, or the fragments of a datagram."""
        self.ident += 1
        if not fragment or len(seg) <= fragment:
            return [self.ether(self.ip6(side, seg) if self.v6 else self.ip4(side, seg, self.ident))]
        out = []
        for off in range(0, len(seg), fragment):
            part, more = seg[off:off + fragment], off + fragment < len(seg)
            ip = self.ip6(side, part, self.ident, off, more) if self.v6 else self.ip4(side, part, self.ident, off, more)
            out.append(self.ether(ip))
        return out


def conversation(net, mss=1400, fragment=0, session=SESSION):
    """Lists of frames, one for each datagram."""
    nxt = {"C": 1000, "S": 900000}
    out = []

    def send(side, flags, payload=b""):
        other = "S" if side == "C" else "C"
        ack = nxt[other] if flags & 16 else 0
        out.append(net.frames(side, net.tcp(side, nxt[side], ack, flags, payload), fragment))
        nxt[side] += len(payload) + (1 if flags & 3 else 0)

    send("C", 2)
    send("S", 18)
    send("C", 16)
    for side, text in session:
        for i in range(0, len(text), mss):
            send(side, 16, text[i:i + mss])
        send("S" if side == "C" else "C", 16)
    send("S", 17)
    send("C", 17)
    send("S", 16)
    return out


def outer(proto, payload, fragment=0):
    """An Ethernet frame of the mirror's own path, or its fragments."""
    outer.ident += 1
    out = []
    for off in range(0, len(payload), fragment or len(payload)):
        part = payload[off:off + (fragment or len(payload))]
        more = 0x2000 if off + len(part) < len(payload) else 0
        h = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(part), outer.ident & 0xffff, off // 8 | more, 64, proto, 0)
        h += socket.inet_aton("203.0.113.1") + socket.inet_aton("203.0.113.2")
        h = h[:10] + struct.pack("!H", csum(h)) + h[12:]
        out.append(b"\x02\0\0\0\0\x03\x02\0\0\0\0\x04\x08\0" + h + part)
    return out if fragment else out[0]


outer.ident = 0

# name: (frame, IPv6 inside) to protocol and payload of the outer packet
TUNNELS = {
    "gre": lambda f, v6: (47, struct.pack("!HH", 0, 0x6558) + f),
    "gre with checksum, key, sequence": lambda f, v6: (47, struct.pack("!HHIII", 0xb000, 0x6558, 0, 7, 8) + f),
    "gre of IP": lambda f, v6: (47, struct.pack("!HH", 0, 0x86dd if v6 else 0x0800) + f[14:]),
    "erspan 1": lambda f, v6: (47, struct.pack("!HH", 0, 0x88be) + f),
    "erspan 2": lambda f, v6: (47, struct.pack("!HHIII", 0x1000, 0x88be, 1, 0x10000000, 0) + f),
    "erspan 3": lambda f, v6: (47, struct.pack("!HHIIII", 0x1000, 0x22eb, 1, 0x20000000, 0, 0) + f),
    "erspan 3, subheader": lambda f, v6: (47, struct.pack("!HHIIIIQ", 0x1000, 0x22eb, 1, 0x20000000, 0, 1, 0) + f),
    "vxlan": lambda f, v6: (17, struct.pack("!HHHHII", 5, 4789, 16 + len(f), 0, 0x08000000, 0x100) + f),
}


def pcap(path, frames, snap=65535):
    with open(path, "wb") as f:
        f.write(struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, snap, 1))
        for i, frame in enumerate(frames):
            ms, frame = frame if isinstance(frame, tuple) else (i, frame)
            f.write(struct.pack("<IIII", 1_700_000_000 + ms // 1000, ms % 1000 * 1000, min(len(frame), snap), len(frame)))
            f.write(frame[:snap])


def dump(*paths, args=(), ok=True, memory=256):
    rx = ",".join(f"rx_pcap={p}" for p in paths)
    r = subprocess.run([labs.build_dir() / "dataplane" / "postern-dataplane", "-l", "0", "--no-huge", "-m", str(memory), "--no-pci",
                        "--no-telemetry", "--file-prefix", f"tapdump{os.getpid()}", "--vdev", f"net_pcap0,{rx}", "--",
                        "--tap-dump", "--max-sessions", "64", *args],
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120)
    assert (r.returncode == 0) == ok, (r.returncode, r.stderr.decode(errors="replace"))
    lines = [json.loads(x) for x in r.stdout.decode().splitlines()]
    if ok:
        assert [x["type"] for x in lines].count("summary") == 1 and lines[-1]["type"] == "summary", lines
    return lines


def flat(datagrams):
    return [f for d in datagrams for f in d]


def expect(lines, net, n=1, **odd):
    messages = [x for x in lines if x["type"] == "message"]
    assert len(messages) == n, lines
    for m in messages:
        want = {"flow": net.flow, "mail_from": "a@example.org", "rcpt_to": ["b@example.net"],
                "rcpt_refused": ["c@example.net"], "size": len(CONTENT), "complete": True,
                "sha256": hashlib.sha256(CONTENT).hexdigest(), "reply": "250 2.0.0 queued", "anomalies": []}
        want.update(odd)
        assert {k: m[k] for k in want} == want, m
    return lines[-1]["counters"]


def main():
    labs.need_root()
    tmp = pathlib.Path(tempfile.mkdtemp(prefix="tapdump-"))
    cap = tmp / "a.pcap"

    # plain, tagged, stacked tags, IPv6
    for v6, tags in itertools.product((False, True), ((), ((0x8100, 5),), ((0x88a8, 7), (0x8100, 9)),
                                                      ((0x9100, 1), (0x8100, 2), (0x8100, 3)))):
        net = Net(v6, tags)
        pcap(cap, flat(conversation(net)))
        c = expect(dump(cap), net)
        assert "tap_no_flow" not in c and "rx_drop_ethertype" not in c, c
    print("tags and IPv6: the same message")

    # fragments: each datagram over 600 octets in three, in every order
    for v6 in (False, True):
        for order in itertools.permutations(range(3)):
            net = Net(v6)
            frames = []
            for d in conversation(net, mss=1400, fragment=600):
                frames += [d[i] for i in order] if len(d) == 3 else d
            pcap(cap, frames)
            c = expect(dump(cap), net)
            assert c["rx_reassembled"] >= 2, c
        # one is missing
        frames = conversation(net, mss=1400, fragment=600)
        victim = next(i for i, d in enumerate(frames) if len(d) == 3)
        frames[victim] = frames[victim][:2]
        pcap(cap, flat(frames))
        lines = dump(cap)
        assert [m["incomplete"] for m in lines if m["type"] == "message"] == ["gap,1400"], lines
        # eight of them, backwards; one twice; one that reaches into the next with other octets; nine
        for what in ("eight", "twice", "overlap", "nine"):
            net = Net(v6)
            frames = conversation(net, mss=1400, fragment=160 if what == "nine" else 184)
            victim = next(i for i, d in enumerate(frames) if len(d) >= 8)
            parts = frames[victim]
            assert len(parts) == (9 if what == "nine" else 8), (what, len(parts))
            if what == "twice":
                parts.insert(3, parts[3])
            elif what == "overlap":
                side, ident = ("C", 9999)
                make = net.ip6 if v6 else net.ip4
                parts.insert(3, net.ether(make(side, b"Z" * 64, ident, 3 * 184 + 160, True)))
                head = 14 + (44 if v6 else 4)
                size = 4 if v6 else 2
                parts[3] = parts[3][:head] + parts[4][head:head + size] + parts[3][head + size:]
                if not v6:
                    ip = parts[3][14:24] + b"\0\0" + parts[3][26:34]
                    parts[3] = parts[3][:24] + struct.pack("!H", csum(ip)) + parts[3][26:]
            frames[victim] = parts[::-1]
            pcap(cap, flat(frames if what != "nine" else [f[:9] for f in frames]))
            lines = dump(cap)
            if what == "eight":
                expect(lines, net)
                continue
            # What came of a datagram that no receiver can be sure of is dropped: its octets are missing, and no other's
            # take their place.
            text = CONTENT + b".\r\n"
            parts = [text[i:i + 1400] for i in range(0, len(text), 1400)]
            lost = [i for i in range(len(parts)) if (len(frames[victim + i]) == 9 if what == "nine" else i == 0)]
            seen = b"".join(p for i, p in enumerate(parts) if i not in lost)[:-3]
            expect(lines, net, complete=False, incomplete=f"gap,{sum(len(parts[i]) for i in lost)}", size=len(seen),
                   sha256=hashlib.sha256(seen).hexdigest())
            assert lines[-1]["counters"].get("rx_drop_fragment", 0) > 0, (what, lines)
    print("fragments: in every order the same message")

    # more that no ACK comes for, and more fragments of no datagram, than the pool has packets
    frames = []
    for i in range(80):
        net = Net(port=30000 + i)
        frames += net.frames("C", net.tcp("C", 1000, 0, 2, b"")) + net.frames("S", net.tcp("S", 9000, 1001, 18, b""))
        for k in range(215):
            frames += net.frames("C", net.tcp("C", 1001 + 300 * k, 9001, 16, bytes(300)))
    for i in range(1024):
        net = Net(port=50000 + i)
        frames += net.frames("C", net.tcp("C", 1, 1, 16, bytes(80)), 8)[:7]
        for n, f in enumerate(frames[-7:]):
            head = f[14:18] + struct.pack("!H", i) + f[20:24] + b"\0\0" + f[26:34]
            frames[n - 7] = f[:14] + head[:10] + struct.pack("!H", csum(head)) + head[12:] + f[34:]
    net = Net()
    pcap(cap, frames + flat(conversation(net)) + flat(conversation(net, mss=1400, fragment=600)))
    lines = dump(cap, memory=384)
    c = lines[-1]["counters"]
    assert c["rx_packets"] == len(frames) + len(flat(conversation(net))) + len(flat(conversation(net, fragment=600))), c
    assert c["rx_drop_fragment_low"] > 0, c
    messages = [x for x in lines if x["type"] == "message" and x["flow"] == net.flow]
    assert [m["complete"] for m in messages][:1] == [True], lines
    print("fragments and what waits never have the packets of reception")

    # mirror feeds in tunnels, and one inside of another; the outer packet in fragments
    for v6 in (False, True):
        net = Net(v6)
        frames = flat(conversation(net))
        for name, wrap in TUNNELS.items():
            pcap(cap, [outer(*wrap(f, v6)) for f in frames])
            c = expect(dump(cap), net)
            assert c["tap_tunnelled"] == len(frames), (name, c)
        vx, gre = TUNNELS["vxlan"], TUNNELS["gre"]
        pcap(cap, [outer(*gre(outer(*vx(f, v6)), False)) for f in frames])
        assert expect(dump(cap), net)["tap_tunnelled"] == 2 * len(frames)
        pcap(cap, [outer(*vx(outer(*gre(outer(*vx(f, v6)), False)), False)) for f in frames])
        assert dump(cap)[-1]["counters"]["rx_drop_ip_proto"] == len(frames)
        pcap(cap, flat([outer(*gre(f, v6), fragment=800) for f in frames]))
        expect(dump(cap), net)
    pcap(cap, [outer(17, struct.pack("!HHHH", 1, 53, 20, 0) + bytes(12)), outer(47, b"\xff" * 60), outer(47, b"\0\0")])
    assert dump(cap)[-1]["counters"]["rx_drop_ip_proto"] == 3
    print("GRE, ERSPAN and VXLAN: the same message")

    # checksums
    net = Net(bad=True)
    pcap(cap, flat(conversation(net)))
    lines = dump(cap)
    assert not [x for x in lines if x["type"] == "message"], lines
    assert lines[-1]["counters"]["tap_bad_checksum"] > 10, lines
    expect(dump(cap, args=["--tap-ignore-checksums"]), net)
    print("checksums: bad ones are counted, or not looked at")

    # cut off by the capture
    net = Net()
    pcap(cap, flat(conversation(net)), snap=1000)
    lines = dump(cap)
    assert lines[-1]["counters"]["rx_drop_short"] >= 2, lines
    assert [m["complete"] for m in lines if m["type"] == "message"] == [False], lines
    print("short snap length: told as a gap")

    # two files, a direction each; and one direction alone
    frames = list(enumerate(flat(conversation(net))))
    pcap(tmp / "c.pcap", [(i, f) for i, f in frames if f[29] == 1])
    pcap(tmp / "s.pcap", [(i, f) for i, f in frames if f[29] != 1])
    expect(dump(tmp / "c.pcap"), net, rcpt_to=["b@example.net", "c@example.net"], rcpt_refused=[], reply=None)
    assert not [x for x in dump(tmp / "s.pcap") if x["type"] == "message"]
    expect(dump(tmp / "c.pcap", tmp / "s.pcap"), net)
    print("one direction, and two files")

    # other ports, and the middle of a connection
    assert dump(cap, args=["--tap-ports", "587"])[-1]["flows"] == 0
    pcap(cap, flat(conversation(net))[5:])
    assert dump(cap)[-1]["messages"] == 0
    expect(dump(cap, args=["--tap-midstream", "--tap-ports", "25,587"]), net)
    print("ports, and flows without a SYN")

    # octets of any kind
    wild = bytes(range(256)).replace(b"\n", b"").replace(b"\r", b"").replace(b">", b"")
    session = [(s, t.replace(b"a@example.org", wild).replace(b"2.0.0 queued", b"\xff\xfe\"\\\x00\x1b[0m\xc3\xa4"))
               if t[:4] in (b"MAIL", b"250 ") else (s, t) for s, t in SESSION]
    pcap(cap, flat(conversation(net, session=session)))
    m = [x for x in dump(cap) if x["type"] == "message"]
    assert len(m) == 1 and m[0]["reply"].endswith("\x1b[0m\u00e4"), m
    # no capture, half a packet
    cap.write_bytes(cap.read_bytes()[:-20])
    dump(cap)
    (tmp / "none.pcap").write_bytes(b"no capture")
    dump(tmp / "none.pcap", ok=False)
    assert not dump(tmp / "c.pcap", args=["--port", "0=gateway"], ok=False)
    print("any octets: each line is JSON")


main()
