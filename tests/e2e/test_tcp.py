#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""Our TCP and IP against Linux as the other side, over net_af_packet and over net_tap, IPv4 and IPv6:
a bad link, small and large segments, path MTU, fragments, closed windows, each way to end a
connection. Every acknowledged message is at the next hop once, with the SHA-256 it left with, and
for each part a counter says that what it is about really happened. At the end nothing is held.
"""
import contextlib
import hashlib
import os
import random
import socket
import struct
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import lab as labs  # noqa: E402
from test_flow import body, delivered  # noqa: E402

ADDRESSES = {4: labs.GATEWAY4, 6: labs.GATEWAY6}
CLEAN = ["--loss", "0"]
BAD = ["--loss", "2", "--reorder", "3", "--duplicate", "3", "--corrupt", "2", "--delay-ms", "1",
       "--jitter-ms", "2"]
GAUGES = ("sessions_now", "conns_now", "arena_chunks_used", "arena_records_used")


class Run:
    def __init__(self, lab):
        self.lab = lab
        self.acked = {}
        self.errors = []
        self.lock = threading.Lock()
        self.serial = 0

    # ---- sending ---------------------------------------------------------------------------
    def content(self, size):
        """(Message-ID, content of about this size)."""
        with self.lock:
            self.serial += 1
            n = self.serial
        mid = f"<tcp.{n}@example.net>"
        head = f"From: a@example.net\r\nMessage-ID: {mid}\r\n\r\n".encode()
        return mid, head + body(random.Random(n), size) if size else head

    def connect(self, family, **kw):
        c = labs.Smtp(self.lab, ADDRESSES[family], timeout=90, **kw)
        code, text = c.cmd("EHLO client.example.net")
        assert code == 250, text
        return c

    def begin(self, c, rcpt="b@example.com"):
        c.send(f"MAIL FROM:<a@example.net>\r\nRCPT TO:<{rcpt}>\r\nDATA\r\n")
        codes = [c.reply()[0] for _ in range(3)]
        assert codes == [250, 250, 354], codes

    def message(self, c, size):
        mid, content = self.content(size)
        self.begin(c)
        c.send(content.replace(b"\r\n.", b"\r\n..") + b".\r\n")
        self.take(c, mid, content)

    def take(self, c, mid, content):
        code, text = c.reply()
        assert code == 250, (mid, text)
        self.acked[mid] = hashlib.sha256(content).hexdigest()

    def session(self, family, sizes):
        try:
            c = self.connect(family)
            for size in sizes:
                self.message(c, size)
            assert c.cmd("QUIT")[0] == 221
            c.close()
        except Exception as e:  # noqa: BLE001: reported by parallel()
            self.errors.append((family, sizes, repr(e)))

    def parallel(self, *jobs):
        threads = [threading.Thread(target=self.session, args=j) for j in jobs]
        for t in threads:
            t.start()
        for t in threads:
            t.join(240)
            assert not t.is_alive(), "a session hangs"
        assert not self.errors, self.errors

    # ---- counting --------------------------------------------------------------------------
    @contextlib.contextmanager
    def rises(self, what, *names):
        """Each of the counters is larger at the end."""
        before = self.lab.counters()
        yield
        with contextlib.suppress(TimeoutError):
            labs.wait_for("counters to rise", lambda: all(
                self.lab.counters()[n] > before[n] for n in names), 5)
        after = self.lab.counters()
        assert all(after[n] > before[n] for n in names), \
            f"{what}: " + ", ".join(f"{n} +{after[n] - before[n]}" for n in names)
        print(f"ok   {what}: " + ", ".join(f"{n} +{after[n] - before[n]}" for n in names), flush=True)

    def nothing_held(self):
        def idle():
            c = self.lab.counters()
            return all(c[g] == 0 for g in GAUGES)
        with contextlib.suppress(TimeoutError):
            labs.wait_for("nothing to be held", idle, 20)
        c = self.lab.counters()
        assert idle(), {g: c[g] for g in GAUGES}

    def settle(self):
        got = delivered(self.lab)
        for mid, digest in self.acked.items():
            assert got.get(mid) == [digest], f"{mid}: {len(got.get(mid, []))} copies or another body"
        print(f"ok   {len(self.acked)} messages: each once, byte-identical", flush=True)


# ---- the parts -------------------------------------------------------------------------------

def sizes(t):
    t.lab.start_impair(*CLEAN)
    some = [0, 1, 500, 1400, 1460, 2920, 65000, 65536, 70000]
    with t.rises("sizes from 0 to 5 MB", "tcp_segments", "smtp_messages"):
        t.parallel((4, some + [1 << 20]), (6, some + [1 << 20]), (4, [5 << 20]), (6, [5 << 20]))


def empty(t):
    """A message of no octets at all: what arrives is our block and nothing behind it."""
    for f in (4, 6):
        c = t.connect(f)
        c.send("MAIL FROM:<empty@example.net>\r\nRCPT TO:<b@example.com>\r\nDATA\r\n")
        assert [c.reply()[0] for _ in range(3)] == [250, 250, 354]
        code, text = c.cmd(".")
        assert code == 250, text
        c.close()
    found = [m.read_bytes() for m in t.lab.inbox()
             if "empty@example.net" in m.with_suffix(".env").read_text()]
    assert len(found) == 2, found
    for raw in found:
        lines = raw.rstrip(b"\r\n").split(b"\r\n")
        assert lines and all(x[:1] in (b" ", b"\t") or b":" in x.split(b" ")[0] for x in lines), raw
    print("ok   an empty message", flush=True)


def bad_link(t):
    t.lab.start_impair(*BAD)
    with t.rises("loss, reordering, duplicates, corruption, jitter", "tcp_ooo", "tcp_duplicate",
                 "tcp_retransmit", "rx_drop_l4_checksum"):
        t.parallel(*[(f, [3000, 100000, 700000] + [100] * 40) for f in (4, 6, 4, 6)])
    with t.rises("corruption in the IP header", "rx_drop_ip_checksum"):
        before = t.lab.counters()["rx_drop_ip_checksum"]
        for _ in range(20):
            t.parallel(*[(4, [100] * 10)] * 4)
            if t.lab.counters()["rx_drop_ip_checksum"] > before:
                break
    counts = t.lab.impair_counts()
    assert all(min(counts[k]) > 0 for k in ("lost", "duplicated", "corrupted", "reordered")), counts


def options(t):
    """Linux without each of its options, on a link that loses enough for them to matter."""
    t.lab.start_impair("--loss", "1", "--reorder", "2")
    names = ("tcp_timestamps", "tcp_sack", "tcp_window_scaling")
    for off in (*[(n,) for n in names], names):
        t.lab.sysctl("client", *[f"net.ipv4.{n}=0" for n in off], check=True)
        with t.rises(f"without {', '.join(off)}", "tcp_ooo"):
            t.parallel((4, [300000]), (6, [300000]))
        t.lab.sysctl("client", *[f"net.ipv4.{n}=1" for n in off], check=True)


def routes(t, text4, text6):
    n = t.lab.name
    t.lab.in_ns("client", "ip", "route", "replace", "192.0.2.0/24", "dev", f"{n}c0", "src",
                labs.CLIENT4, *text4.split())
    t.lab.in_ns("client", "ip", "-6", "route", "replace", "2001:db8:1::/64", "dev", f"{n}c0",
                "metric", "10", *text6.split())


def many_replies(c, count=60):
    """Replies of several segments in one flight; returns once all are read and found whole."""
    c.send("EHLO client.example.net\r\n" * count)
    replies = [c.reply() for _ in range(count)]
    assert all(r == replies[0] and r[0] == 250 for r in replies), replies


def small_segments(t):
    t.lab.start_impair(*CLEAN)
    for mss in (536, 88):
        routes(t, f"advmss {mss}", f"advmss {mss}")
        with t.rises(f"MSS {mss} of the client", "tx_packets"):
            for f in (4, 6):
                before = t.lab.counters()
                c = t.connect(f)
                many_replies(c)
                after = t.lab.counters()
                size = (after["tx_bytes"] - before["tx_bytes"]) / (after["tx_packets"] - before["tx_packets"])
                assert size < mss + 94, f"{size} octets a packet of ours"
                t.message(c, 20000)
                c.close()
    routes(t, "mtu lock 576", "mtu lock 1280")
    with t.rises("MTU 576 and 1280 of the client", "smtp_messages"):
        t.parallel((4, [100000, 10]), (6, [100000, 10]))
    routes(t, "", "")


def path_mtu(t):
    """A narrow path in both directions: ICMP tells the client, and ICMP tells us."""
    t.lab.start_impair("--mtu", "1280,1280")
    with t.rises("path MTU 1280", "icmp_error_rx", "tcp_retransmit"):
        for f in (4, 6):
            c = t.connect(f)
            many_replies(c)
            t.message(c, 200000)
            c.close()
    counts = t.lab.impair_counts()
    assert min(counts["refused"]) > 0, counts
    # What Linux learned is forgotten again.
    for f in ("-4", "-6"):
        t.lab.in_ns("client", "ip", f, "route", "flush", "cache", check=False)
    t.lab.sysctl("client", "net.ipv4.route.flush=1", "net.ipv6.route.flush=1")


def fragments(t):
    # IPv4 fragments that come by af_packet were put together by the kernel's fan-out.
    families = (4, 6) if t.lab.driver == "tap" else (6,)
    for f in families:
        t.lab.start_impair("--fragment", "600,65535", "--reorder", "5", "--reorder-ms", "3")
        with t.rises(f"IPv{f} fragments", "rx_reassembled"):
            t.parallel((f, [100, 300000]))
        assert t.lab.impair_counts()["fragmented"][0] > 0
        t.lab.start_impair("--fragment", "600,65535", "--overlap", "5")
        with t.rises(f"IPv{f} fragments that overlap", "rx_reassembled", "rx_drop_fragment"):
            t.parallel((f, [100, 200000]))
        assert t.lab.impair_counts()["overlapped"][0] > 0
    t.lab.start_impair(*CLEAN)


def half_close(t):
    for f in (4, 6):
        mid, content = t.content(50000)
        c = t.connect(f)
        t.begin(c)
        c.send(content.replace(b"\r\n.", b"\r\n..") + b".\r\n")
        c.sock.shutdown(socket.SHUT_WR)
        t.take(c, mid, content)
        assert c.file.readline() == b"", "the connection ends behind the reply"
        c.close()
        mid, content = t.content(50000)
        c = t.connect(f)
        t.begin(c)
        c.send(content.replace(b"\r\n.", b"\r\n..") + b".\r\nQUIT\r\n")
        c.sock.shutdown(socket.SHUT_WR)
        t.take(c, mid, content)
        assert c.reply()[0] == 221
        assert c.file.readline() == b""
        c.close()
        c = t.connect(f)  # in the middle of a message: nothing is delivered
        t.begin(c)
        c.send(b"From: a@example.net\r\n\r\nhalf of a message\r\n")
        c.sock.shutdown(socket.SHUT_WR)
        while c.file.readline():
            pass
        c.close()
    t.nothing_held()
    print("ok   half-close by the client", flush=True)


def endings(t):
    for f in (4, 6):
        c = t.connect(f)  # the client first
        t.message(c, 1000)
        c.close()
        with t.rises(f"IPv{f}, the server closes first", "tcp_time_wait"):
            c = t.connect(f)
            t.message(c, 1000)
            assert c.cmd("QUIT")[0] == 221
            assert c.file.readline() == b""
            c.close()
        with t.rises(f"IPv{f}, RST in every phase", "tcp_rst_rx"):
            for phase in range(5):
                c = t.connect(f)
                if phase >= 1:
                    c.cmd("MAIL FROM:<a@example.net>")
                if phase >= 2:
                    c.cmd("RCPT TO:<b@example.com>")
                if phase >= 3:
                    assert c.cmd("DATA")[0] == 354
                    c.send(b"From: a@example.net\r\n\r\n" + b"x" * 70 + b"\r\n")
                    for _ in range(3 if phase == 4 else 0):
                        c.send((b"y" * 70 + b"\r\n") * 2000)
                c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                c.close()
    t.nothing_held()
    print("ok   nothing is held after any of these endings", flush=True)


def slow_reader(t):
    """A client that asks much and does not read: its window closes, we probe it, nothing is lost."""
    for f in (4, 6):
        with t.rises(f"IPv{f}, closed window of the client", "tcp_persist"):
            with labs.in_netns(t.lab.ns["client"]):
                s = socket.socket(socket.AF_INET if f == 4 else socket.AF_INET6)
                s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2304)
                s.settimeout(60)
                s.connect((ADDRESSES[f], 25))
            count = 80
            s.sendall(b"EHLO client.example.net\r\n" * count)
            before = t.lab.counters()["tcp_persist"]
            labs.wait_for("window probes", lambda: t.lab.counters()["tcp_persist"] > before, 20)
            got = b""
            while got.count(b"\r\n250 ") + got.startswith(b"250 ") < count:
                piece = s.recv(700)
                assert piece, got[-200:]
                got += piece
                time.sleep(0.002)
            hello = got.split(b"\r\n", 1)[1]
            assert hello == hello[:len(hello) // count] * count, "replies are whole and in order"
            s.sendall(b"QUIT\r\n")
            while s.recv(700):
                pass
            s.close()


def closed_window(t):
    """We do not read: behind a slow question the client's octets fill our window, and no more."""
    for f in (4, 6):
        c = t.connect(f)
        noop = "NOOP " + "x" * 400 + "\r\n"
        c.send(f"MAIL FROM:<a@example.net>\r\nRCPT TO:<slow{f}@example.com>\r\n" + noop * 90)
        labs.wait_for("Linux to probe our window", lambda: "timer:(persist" in t.lab.in_ns(
            "client", "ss", "-tno", "dport", "=", ":25").stdout, 2.5)
        codes = [c.reply()[0] for _ in range(92)]
        assert codes == [250] * 92, codes
        assert c.cmd("QUIT")[0] == 221
        c.close()
    print("ok   closed window of ours: Linux probed, every octet came through", flush=True)


def neighbours(t):
    with t.rises("ARP, ND, echo", "arp_rx", "arp_tx", "nd_rx", "nd_tx", "icmp_echo"):
        for f in (4, 6):
            t.lab.in_ns("client", "ip", f"-{f}", "neigh", "flush", "dev", f"{t.lab.name}c0")
            t.lab.in_ns("client", "ping", f"-{f}", "-c", "1", "-W", "5", ADDRESSES[f])
            t.parallel((f, [10]))


class Announcements:
    """Listens in the client's namespace for what the gateway says unasked."""

    def __init__(self, lab):
        with labs.in_netns(lab.ns["client"]):
            self.sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
            self.sock.bind((f"{lab.name}c0", 0))
        self.sock.settimeout(1)
        self.arp = self.nd = False

    def look(self):
        our4 = socket.inet_aton(labs.GATEWAY4)
        our6 = socket.inet_pton(socket.AF_INET6, labs.GATEWAY6)
        with contextlib.suppress(TimeoutError):
            while True:
                p = self.sock.recv(2048)
                if p[12:14] == b"\x08\x06" and p[28:32] == our4 and p[38:42] == our4:
                    self.arp = p[:6] == b"\xff" * 6
                if p[12:14] == b"\x86\xdd" and p[20] == 58 and p[54] == 136 and p[62:78] == our6:
                    self.nd = p[:6] == b"\x33\x33\x00\x00\x00\x01"
                if self.arp and self.nd:
                    return True
        return False


def jumbo(driver):
    """MTU 9000: by af_packet in one long buffer, by tap as a chain of short ones."""
    more = ["--mbuf-size", "16384"] if driver == "af_packet" else []
    with labs.Lab(f"pt{'j' if driver == 'tap' else 'k'}", impair=CLEAN, arena_mb=64, driver=driver, mtu=9000,
                  framesz=16384) as lab:
        t = start(lab, ["--mtu", "9000", *more])
        before = lab.counters()
        t.parallel((4, [0, 100, 2 << 20]), (6, [0, 100, 2 << 20]))
        after = lab.counters()
        size = (after["rx_bytes"] - before["rx_bytes"]) / (after["rx_packets"] - before["rx_packets"])
        assert size > 3000, f"{size} octets a packet"
        print(f"ok   {driver}, MTU 9000: {size:.0f} octets a packet", flush=True)
        lab.start_impair("--loss", "2", "--corrupt", "2", "--reorder", "3")
        with t.rises(f"{driver}, MTU 9000 over a bad link", "tcp_ooo", "rx_drop_l4_checksum"):
            t.parallel((4, [2 << 20]), (6, [2 << 20]))
        lab.start_impair(*CLEAN)
        t.nothing_held()
        t.settle()


def cut_frames():
    """A kernel MTU of 9000 over a ring whose frames hold 2048 octets: we ask for no more than these."""
    with labs.Lab("ptc", arena_mb=64, mtu=9000) as lab:
        t = start(lab)
        before = lab.counters()
        t.parallel((4, [0, 1 << 20]), (6, [0, 1 << 20]))
        after = lab.counters()
        size = (after["rx_bytes"] - before["rx_bytes"]) / (after["rx_packets"] - before["rx_packets"])
        assert 1600 < size < 2048 and after["rx_drop_short"] == 0, size
        t.nothing_held()
        t.settle()
    print(f"ok   af_packet, MTU 9000, frames of 2048: {size:.0f} octets a packet", flush=True)


def start(lab, extra=(), env=None):
    lab.start_dns({"example.net": f'@ IN TXT "v=spf1 ip4:{labs.CLIENT4} ip6:{labs.CLIENT6} -all"\n'})
    lab.start_sink("--rule", "rcpt:<slow=delay 3", "--rule", "dot:slowdot@=delay 12")
    lab.write_config()
    lab.start_dataplane(extra, env=env)
    lab.start_control()
    lab.wait_ready()
    return Run(lab)


PARTS = (neighbours, sizes, empty, bad_link, options, small_segments, path_mtu, fragments, half_close, endings,
         slow_reader, closed_window)


def main():
    labs.need_root()
    only = sys.argv[2:]
    for driver in sys.argv[1:2] or ["af_packet", "tap"]:
        print(f"--- {driver}", flush=True)
        with labs.Lab("pt" + driver[0], impair=CLEAN, arena_mb=64, driver=driver, seed=3) as lab:
            seen = Announcements(lab)
            t = start(lab)
            labs.wait_for("gratuitous ARP and unsolicited NA", seen.look, 10)
            for part in PARTS:
                if not only or part.__name__ in only:
                    part(t)
            t.nothing_held()
            t.settle()
        if not only or "jumbo" in only:
            jumbo(driver)
        if driver == "af_packet" and (not only or "cut_frames" in only):
            cut_frames()


if __name__ == "__main__":
    main()
