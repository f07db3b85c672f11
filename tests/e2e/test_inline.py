#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""The dataplane in a cable: everything passes as it came, from the command line alone; SMTP to servers
that control names is terminated in their name, and their neighbours do not notice.
"""
import hashlib
import json
import os
import socket
import struct
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import inline_lab  # noqa: E402
import lab as labs  # noqa: E402
from inline_lab import OTHER4, SERVER4, SERVER6, Raw  # noqa: E402

A, B = bytes.fromhex("02005e005301"), bytes.fromhex("02005e005302")
BULK = 8 << 20
WATCHED4 = "192.0.2.82"


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


# ---- with control ---------------------------------------------------------------------------------

NAME, HOP = "mail.example.com", "220 hop.example.com ESMTP"
OURS4 = "192.0.2.9"  # of control, at the exception port


class ControlLab(inline_lab.CableLab):
    """The kernel has exc0 at the servers' end, by which control's connections have the client's address."""

    def start(self):
        first, second = self.ports()
        # A net_tap has as many queues as there are workers.
        self.start_dataplane(vdev=first, vdevs=(second, "net_tap2,iface=exc0"),
                             roles=("0=inline:1", "2=exception:1"))
        self.addr("gw", "exc0", f"{OURS4}/24")
        self.sysctl("gw", "net.ipv4.conf.exc0.arp_ignore=1", "net.ipv4.conf.all.rp_filter=0",
                    "net.ipv4.conf.exc0.rp_filter=0")
        self.in_ns("gw", "ip", "rule", "add", "iif", "exc0", "ipproto", "tcp", "sport", "25", "lookup", "100")
        self.in_ns("gw", "ip", "route", "add", "local", "default", "dev", "lo", "table", "100")
        (self.dir / "inbox").mkdir()
        # Servers listed and unlisted are one process: who talks to it, its banner says.
        self.spawn("nexthop", "hop", [sys.executable, labs.ROOT / "tests/e2e/nexthop.py", "--listen", "0.0.0.0:25",
                                      "--inbox", self.dir / "inbox"])
        labs.wait_for("server listens", lambda: self._alive("nexthop") and self.in_ns(
            "hop", "ss", "-Hltn", "sport", "=", ":25", check=False).stdout.strip())

    def configure(self, exceptions="", more=""):
        self.conf = self.dir / "postern.conf"
        self.conf.write_text(f'''hostname = "gw.example.net"
dataplane {{ socket = "{self.dir}/dataplane.sock" }}
inline {{
	server "mail" {{ addresses = ["{SERVER4}", "{SERVER6}"]; route = "mail"; hostname = "{NAME}"; allow-clear = yes }}
	server "watched" {{ addresses = ["{WATCHED4}"]; mode = observe }}
	{more}
}}
exceptions {{ inline {{ {exceptions} }} }}
route "mail" {{ to = dialled; transparent = yes; transparent-interface = "exc0" }}
dns {{ forwarders = ["{labs.DNS4}"]; timeout = 5s }}
policy {{ allow-private-peer = true; allow = ["0.0.0.0/0", "::/0"] }}
limits {{ max-message = {self.arena_mb // 8}m }}
trace {{ file = "{self.dir}/trace.jsonl" }}
api {{ socket = "{self.dir}/control.sock" }}
''')
        if "control" in self.procs:
            self.ctl("config", "reload")
            self.picked_up()

    def turns(self):
        return next(c["workers"] for c in self.stats()["dataplane"] if c["name"] == "loop_turns")

    def picked_up(self):
        """Each worker looks for a new configuration in a turn that begins a millisecond behind the last look."""
        time.sleep(0.01)
        before = self.turns()
        labs.wait_for("each worker has turned", lambda: all(b + 2 <= n for b, n in zip(before, self.turns())))

    def up_control(self):
        self.start_control()
        self.wait_ready()
        self.picked_up()

    def server_log(self):
        try:
            return (self.dir / "inbox/log").read_text().splitlines()
        except FileNotFoundError:
            return []


def message(mark):
    return (f"From: a@example.net\r\nSubject: {mark}\r\nMessage-ID: <{mark}@example.net>\r\n\r\n"
            f"{mark}\r\n..dots\r\n" + "x" * 3000 + "\r\n").encode()


def smtp(lab, to, mark):
    """A whole session; banner, last reply, the client's own address."""
    c = labs.Smtp(lab, to)
    me = c.sock.getsockname()[0]
    try:
        code, lines = c.banner
        if code != 220:
            return lines[0], (code, lines), me
        banner = lines[0]
        assert c.cmd("EHLO client.example.net")[0] == 250
        for line in ("MAIL FROM:<a@example.net>", "RCPT TO:<user@example.com>", "DATA"):
            code, lines = c.cmd(line)
            if code not in (250, 354):
                return banner, (code, lines), me
        c.send(message(mark) + b".\r\n")
        return banner, c.reply(), me
    finally:
        c.close()


def arrived(lab, mark):
    """The content and the address of who brought it, as the server has them."""
    def look():
        for p in lab.inbox():
            text = p.read_bytes()
            if f"Subject: {mark}\r\n".encode() in text:
                return text, next(x.split()[3] for x in lab.server_log() if x.startswith(p.stem))
    return labs.wait_for(f"{mark} at the server", look)


def terminated(lab, mark):
    banner, (code, lines), me = smtp(lab, SERVER4, mark)
    assert banner.startswith(f"220 {NAME} "), banner
    assert code == 250, lines
    text, who = arrived(lab, mark)
    sent = message(mark).replace(b"\r\n..", b"\r\n.")
    assert text.endswith(sent) and text != sent, "not annotated, or not as it was sent"
    assert f"by {NAME}".encode() in text and b"\nX-Postern-" in text, text[:2000]
    assert who == me, f"the server saw {who}, the client is {me}"


def direct(lab, to, mark):
    """No word of ours: the server's banner, and the content byte for byte."""
    banner, (code, lines), me = smtp(lab, to, mark)
    assert banner == HOP, banner
    assert code == 250, lines
    text, who = arrived(lab, mark)
    assert text == message(mark).replace(b"\r\n..", b"\r\n.") and who == me


def refused(lab, mark):
    """As the gateway refuses without control."""
    banner, (code, lines), _ = smtp(lab, SERVER4, mark)
    assert code in (421, 451) and HOP not in banner, (banner, code, lines)


class Pulse(threading.Thread):
    """A connection through the cable that is never quiet: an echo every few milliseconds."""

    def __init__(self, lab):
        super().__init__(daemon=True)
        self.done = False
        self.beats = 0
        self.error = None
        self.server = serve(lab, SERVER4, 2222, self.echo)
        self.sock = connect(lab, SERVER4, 2222)

    @staticmethod
    def echo(c, _):
        while got := c.recv(4096):
            c.sendall(got)

    def run(self):
        try:
            while not self.done:
                data = pattern(32 + self.beats % 900, f"pulse {self.beats}")
                self.sock.sendall(data)
                got = b""
                while len(got) < len(data):
                    piece = self.sock.recv(4096)
                    if not piece:
                        raise OSError("closed")
                    got += piece
                if got != data:
                    raise OSError("another echo")
                self.beats += 1
        except OSError as e:
            self.error = e

    def __enter__(self):
        self.start()
        return self

    def alive(self, what):
        before = self.beats
        labs.wait_for(f"the bridge goes on: {what}", lambda: self.error or self.beats > before + 5)
        assert not self.error, (what, self.error)

    def __exit__(self, kind, *_):
        self.done = True
        self.join(20)
        self.sock.close()
        if not kind:
            assert not self.error, self.error


def delta(lab, before, *names):
    now = lab.counters()
    return [now[n] - before[n] for n in names]


def begun_before(lab):
    """A session that the server's own: control comes in the middle of it."""
    c = labs.Smtp(lab, SERVER4)
    assert c.banner == (220, [HOP]), c.banner
    assert c.cmd("EHLO client.example.net")[0] == 250
    return c


def goes_on(lab, c):
    before = lab.counters()
    assert c.cmd("MAIL FROM:<a@example.net>")[0] == 250
    assert c.cmd("RCPT TO:<user@example.com>")[0] == 250
    assert c.cmd("DATA")[0] == 354
    c.send(message("midstream") + b".\r\n")
    assert c.reply()[0] == 250
    c.close()
    text, _ = arrived(lab, "midstream")
    assert text == message("midstream").replace(b"\r\n..", b"\r\n.")
    assert delta(lab, before, "inline_pass_midstream")[0] >= 1


def too_long(lab):
    """The server's end takes 1500, the client's end more."""
    n, before = lab.name, lab.counters()
    raw = Raw(lab, "client", f"{n}c0")
    raw.send(B + A + b"\x88\xb5" + pattern(1500, "fits"))
    raw.send(B + A + b"\x88\xb5" + pattern(1501, "does not"))
    raw.send(B + A + struct.pack("!HHH", 0x8100, 7, 0x88b5) + pattern(1501, "nor this"))
    raw.close()
    labs.wait_for("frames counted", lambda: delta(lab, before, "inline_drop_mtu") == [2])


def control_gone(lab, pulse):
    """Killed in the middle of a session: that hears 451, new ones what the configuration says."""
    for how in ("reject", "bypass", "drop-flow"):
        lab.configure(f"control-down = {how}")
        if "control" not in lab.procs:
            lab.up_control()
        terminated(lab, f"before-{how}")
        c = labs.Smtp(lab, SERVER4)
        assert c.cmd("EHLO client.example.net")[0] == 250
        before = lab.counters()
        lab.stop("control", sig=9)
        pulse.alive(f"control killed, {how}")
        code, lines = c.cmd("MAIL FROM:<a@example.net>")
        assert code in (421, 451), lines
        c.close()
        pulse.alive(f"without control, {how}")
        if how == "reject":
            refused(lab, "nobody-there")
        elif how == "bypass":
            direct(lab, SERVER4, "fail-open")
        else:
            try:
                labs.Smtp(lab, SERVER4, timeout=3).close()
                raise AssertionError("a connection that should have been dropped")
            except TimeoutError:
                pass
        direct(lab, OTHER4, f"unlisted-{how}")
        lab.up_control()
        pulse.alive(f"control is back, {how}")
        name = {"reject": "inline_reject_control_down", "bypass": "inline_pass_control_down",
                "drop-flow": "inline_drop_control_down"}[how]
        assert delta(lab, before, name)[0] >= 1, (name, lab.counters()[name])
        terminated(lab, f"after-{how}")
        print(f"     control-down = {how}: ok", flush=True)


def roles(lab):
    shown = {p["id"]: p for p in json.loads(lab.ctl("show", "ports", "--json").stdout)["ports"]}
    assert (shown[0]["role"], shown[0]["pair"], shown[1]["role"], shown[1]["pair"]) == ("inline", 1, "inline", 0), shown
    assert (shown[2]["role"], shown[2]["servers"]) == ("exception", 1), shown


def link_lost(lab):
    """Whose driver cannot take an end down, says so: where the kernel has the interface it is not ours to."""
    n, before = lab.name, lab.counters()
    labs.run("ip", "-n", lab.ns["client"], "link", "set", f"{n}c0", "down")
    labs.wait_for("the lost link is told", lambda: "port 0: link down; port 1 cannot be made to follow (net_af_packet)"
                  in lab.log("dataplane"))
    assert delta(lab, before, "inline_link_unsupported", "inline_link_mirrored") == [1, 0]
    shown = {p["id"]: p for p in json.loads(lab.ctl("show", "ports", "--json").stdout)["ports"]}
    assert not shown[0]["link"] and shown[1]["link"], shown
    labs.run("ip", "-n", lab.ns["client"], "link", "set", f"{n}c0", "up")
    labs.wait_for("the link is back", lambda: "port 0: link up" in lab.log("dataplane"))


def link_mirrored():
    """A driver that can, with the right to: net_tap before it drops its privileges."""
    with inline_lab.CableLab("inlink", "tap") as lab:
        lab.start_cable("--keep-privileges", take=False)
        ends = [f"{lab.name}t{i}" for i in (0, 1)]

        def up(dev):
            flags = lab.in_ns("gw", "ip", "-o", "link", "show", dev).stdout.split("<")[1].split(">")[0].split(",")
            return "UP" in flags
        labs.wait_for("both are up", lambda: all(map(up, ends)))
        for here, there in (ends, ends[::-1]):
            time.sleep(inline_lab.MIRROR_S)
            lab.in_ns("gw", "ip", "link", "set", here, "down")
            labs.wait_for(f"{there} follows {here}", lambda: not up(there))
            lab.in_ns("gw", "ip", "link", "set", here, "up")
            labs.wait_for(f"{there} is back", lambda: up(there))
    print("link state of net_tap is mirrored, both ways: ok", flush=True)


def with_control(workers):
    with ControlLab(f"inc{workers}", workers=workers) as lab:
        lab.start_dns({"example.net": f'@ IN TXT "v=spf1 ip4:{labs.CLIENT4} -all"\n'})
        lab.start()
        lab.addr("hop", f"{lab.name}s0", f"{WATCHED4}/24")
        direct(lab, SERVER4, "before-control")
        early = begun_before(lab)
        with Pulse(lab) as pulse:
            lab.configure()
            lab.up_control()
            pulse.alive("control has come")
            roles(lab)
            goes_on(lab, early)
            before = lab.counters()
            terminated(lab, "listed")
            took, out, back = delta(lab, before, "inline_terminated", "inline_kernel_out", "inline_kernel_in")
            assert took > 5 and out > 5 and back > 5, (took, out, back)
            direct(lab, OTHER4, "unlisted")
            bulk(lab, OTHER4, 587)
            before = lab.counters()
            direct(lab, WATCHED4, "observed")
            assert delta(lab, before, "inline_watched")[0] > 5
            seen = labs.wait_for("what was watched is judged and told", lambda: next(
                (r for r in lab.trace() if r.get("message_id") == "<observed@example.net>"), None))
            assert seen["outcome"] == "observed" and seen["complete"] is True, seen
            assert seen["server"] == WATCHED4 and seen["peer"] == labs.CLIENT4, seen
            bulk(lab, SERVER4, 22)
            bulk(lab, SERVER6, 443)
            frames(lab, 1500)
            lab.configure(more="bypass = yes")
            direct(lab, SERVER4, "bypassed")
            lab.configure(more=f'own-sources = ["{labs.CLIENT4}"]')
            direct(lab, SERVER4, "own")
            lab.configure()
            terminated(lab, "again")
            pulse.alive("reloads")
            control_gone(lab, pulse)
        c = lab.counters()
        wrong = {n: c[n] for n in ("inline_drop_server", "inline_drop_malformed", "inline_drop_fragment", "tx_drop_ring_full",
                                   "inline_drop_mtu", "steer_drop", "inline_flow_evicted") if c[n]}
        assert not wrong, wrong
        if workers == 1:
            link_lost(lab)
            labs.run("ip", "-n", lab.ns["client"], "link", "set", f"{lab.name}c0", "mtu", "1900")
            labs.run("ip", "-n", lab.ns["gw"], "link", "set", f"{lab.name}g0", "mtu", "1900")
            too_long(lab)
    print(f"with control, {workers} worker(s): ok", flush=True)


def main():
    which = sys.argv[1:] or ["plain", "control", "link"]
    if "plain" in which:
        plain(1500, 2048)
        plain(9000, 16384)
        plain(1500, 2048, workers=2)
        plain(1500, 2048, cable="tap")
    if "control" in which:
        with_control(1)
        with_control(2)
    if "link" in which:
        link_mirrored()


if __name__ == "__main__":
    main()
