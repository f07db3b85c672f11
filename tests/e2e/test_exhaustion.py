#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""Each pool of the dataplane run dry in turn: receive buffers, sessions, half-open connections, blocks
of TCP, the message arena. Nothing crashes or hangs, a counter names the cause, who was there before
gets replies, and afterwards mail flows through the same process.
"""
import contextlib
import ctypes
import os
import random
import select
import socket
import struct
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import lab as labs  # noqa: E402
from test_tcp import CLEAN, start  # noqa: E402


@contextlib.contextmanager
def gateway(name, extra, env=None, arena_mb=64, **kw):
    """A lab with these options; at its end the same dataplane still takes mail and holds nothing."""
    print(f"--- {name}: {' '.join(extra)}", flush=True)
    with labs.Lab("px" + name[0], impair=CLEAN, arena_mb=arena_mb, seed=9, **kw) as lab:
        t = start(lab, extra, env)
        p = lab.procs["dataplane"]
        yield t
        assert lab.procs["dataplane"] is p and p.poll() is None, "the dataplane ended"
        turns = lab.counters()["loop_turns"]
        labs.wait_for("the loop to turn", lambda: lab.counters()["loop_turns"] > turns, 5)
        t.parallel((4, [100, 200000]), (6, [100, 200000]))
        t.nothing_held()
        t.settle()


# ---- octets by hand ----------------------------------------------------------------------------

def checksum(data):
    s = sum(struct.unpack(f"!{(len(data) + 1) // 2}H", data + b"\0" * (len(data) % 2)))
    while s >> 16:
        s = (s & 0xffff) + (s >> 16)
    return ~s & 0xffff


class Wire:
    """Frames from the client's interface to the gateway."""

    def __init__(self, lab):
        lab.in_ns("client", "ping", "-c", "1", "-W", "5", labs.GATEWAY4)
        self.us = bytes.fromhex(lab.in_ns("client", "cat", f"/sys/class/net/{lab.name}c0/address").stdout.strip()
                                .replace(":", ""))
        neigh = lab.in_ns("client", "ip", "neigh", "show", labs.GATEWAY4).stdout.split()
        self.gw = bytes.fromhex(neigh[neigh.index("lladdr") + 1].replace(":", ""))
        with labs.in_netns(lab.ns["client"]):
            self.sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
            self.sock.bind((f"{lab.name}c0", 0))

    def send(self, ethertype, packet):
        self.sock.send(self.gw + self.us + struct.pack("!H", ethertype) + packet)

    def syn(self, source, port, seq):
        src, dst = socket.inet_aton(source), socket.inet_aton(labs.GATEWAY4)
        tcp = struct.pack("!HHIIBBHHHBBH", port, 25, seq, 0, 0x60, 2, 65535, 0, 0, 2, 4, 1460)
        tcp = tcp[:16] + struct.pack("!H", checksum(src + dst + struct.pack("!HH", 6, len(tcp)) + tcp)) + tcp[18:]
        ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(tcp), 0, 0x4000, 64, 6, 0, src, dst)
        self.send(0x0800, ip[:10] + struct.pack("!H", checksum(ip)) + ip[12:] + tcp)

    def first_fragment6(self, ident):
        """The begin of a datagram whose rest never comes."""
        payload = b"\0" * 64
        ext = struct.pack("!BBHI", 6, 0, 1, ident)
        ip = struct.pack("!IHBB", 6 << 28, len(ext) + len(payload), 44, 64)
        ip += socket.inet_pton(socket.AF_INET6, labs.CLIENT6) + socket.inet_pton(socket.AF_INET6, labs.GATEWAY6)
        self.send(0x86dd, ip + ext + payload)


class Frozen:
    """One thread of the dataplane stopped for a while, as if it were busy with something else."""

    def __init__(self, lab, lcore):
        tasks = f"/proc/{lab.procs['dataplane'].pid}/task"
        names = {open(f"{tasks}/{t}/comm").read().strip(): int(t) for t in os.listdir(tasks)}
        self.tid = names[f"rte-worker-{lcore}"]
        self.libc = ctypes.CDLL(None, use_errno=True)

    def ptrace(self, request):
        if self.libc.ptrace(request, self.tid, None, None) != 0:
            raise OSError(ctypes.get_errno(), "ptrace")

    def __enter__(self):
        self.ptrace(0x4206)  # PTRACE_SEIZE
        self.ptrace(0x4207)  # PTRACE_INTERRUPT
        os.waitpid(self.tid, 0x40000000)

    def __exit__(self, *_):
        self.ptrace(17)  # PTRACE_DETACH


# ---- the parts -----------------------------------------------------------------------------------

def receive_buffers():
    """A dozen buffers in all: bursts are cut short, fragments may not keep them, mail flows."""
    with gateway("buffers", ["--rx-mbufs", "8", "--rx-desc", "1"]) as t:
        with t.rises("more packets than receive buffers", "rx_pool_empty"):
            t.parallel(*[(f, [100, 1 << 20]) for f in (4, 6) * 3])
        wire = Wire(t.lab)
        held = t.connect(4)
        with t.rises("fragments that never become whole", "rx_drop_fragment_low"):
            for i in range(300):
                wire.first_fragment6(i)
            assert held.cmd("NOOP")[0] == 250, "a session that was there gets its reply"
            t.parallel((4, [1000]), (6, [1000]))
        held.close()


def steering():
    """A worker stands still: its ring takes no more of the other's buffers than leaves it some."""
    env = {"LD_PRELOAD": str(labs.build_dir() / "tests/tools/libfanout.so"), "FANOUT_MODE": "hash"}
    with gateway("steering", ["--rx-mbufs", "64", "--rx-desc", "1"], env, workers=2) as t:
        sessions = [t.connect((4, 6)[i % 2]) for i in range(32)]
        before = t.lab.counters()
        extra = []
        with t.rises("a worker stands still", "steer_drop_low"):
            with Frozen(t.lab, 2):
                with labs.in_netns(t.lab.ns["client"]):
                    for _ in range(700):
                        s = socket.socket()
                        s.setblocking(False)
                        s.connect_ex((labs.GATEWAY4, 25))
                        extra.append(s)
                labs.wait_for("steering to be refused",
                              lambda: t.lab.counters()["steer_drop_low"] > before["steer_drop_low"], 10)
                for c in sessions:
                    c.send("NOOP\r\n")
                time.sleep(0.5)
                # A quarter: received and owned by the worker that runs.
                answered = len(select.select([c.sock for c in sessions], [], [], 0)[0])
                assert 0 < answered < len(sessions), answered
            print(f"     {answered} of {len(sessions)} sessions answered meanwhile", flush=True)
        for c in sessions:
            assert c.reply()[0] == 250
            assert c.cmd("QUIT")[0] == 221
            c.close()
        # By FIN, which is sent again: a RST that is dropped would leave its session to the time-outs.
        for s in extra:
            s.settimeout(20)
            with contextlib.suppress(OSError):
                s.shutdown(socket.SHUT_WR)
                while s.recv(512):
                    pass
            s.close()


def sessions():
    """All sessions taken: the longest idle go with 421, those with a message stay."""
    with gateway("sessions", ["--max-sessions", "16"]) as t:
        mid, content = t.content(1000)
        judged = t.connect(4)
        judged.send("MAIL FROM:<slowdot@example.net>\r\nRCPT TO:<b@example.com>\r\nDATA\r\n")
        assert [judged.reply()[0] for _ in range(3)] == [250, 250, 354]
        judged.send(content.replace(b"\r\n.", b"\r\n..") + b".\r\n")
        writing = t.connect(6)
        t.begin(writing)
        writing.send(b"From: a@example.net\r\n\r\nthe begin\r\n")
        idle = [t.connect((4, 6)[i % 2]) for i in range(14)]
        before = t.lab.counters()
        with t.rises("sessions all taken", "tcp_syn_drop_pressure", "sessions_evicted", "tcp_evicted"):
            t.parallel((4, [100]), (6, [100]))  # they wait for their SYN to be answered, and get in
            t.take(judged, mid, content)
            writing.send(b"the end\r\n.\r\n")
            code, text = writing.reply()
            assert code == 250, text
            assert t.lab.counters()["sessions_evicted"] < before["sessions_evicted"] + 14, "not all at once"
            # Who was sent away did not go; so he is cut, and only he.
            labs.wait_for("those sent away to be cut", lambda: t.lab.counters()["tcp_evicted"]
                          > before["tcp_evicted"], 20)
        # In the order in which they came.
        told = []
        for c in idle:
            c.sock.settimeout(1)
            with contextlib.suppress(TimeoutError, ConnectionResetError):
                told.append(c.sock.recv(4) == b"421 ")
                continue
            told.append(False)
        assert told[0] and told == sorted(told, reverse=True), told
        print(f"     {sum(told)} of {len(idle)} idle sessions sent away, oldest first", flush=True)
        for c in (*idle, judged, writing):
            c.close()
        t.nothing_held()
        with labs.in_netns(t.lab.ns["client"]):  # a crowd at once: some are reset, some wait
            crowd = [socket.socket() for _ in range(60)]
            for s in crowd:
                s.setblocking(False)
                s.connect_ex((labs.GATEWAY4, 25))
        labs.wait_for("a crowd to be refused", lambda: any(t.lab.counters()[n] > before[n] for n in (
            "sessions_full", "tcp_syn_drop_pressure")), 10)
        for s in crowd:
            s.close()


def half_open():
    """A SYN flood from addresses that never answer: cookies, and who does answer gets in."""
    with gateway("half-open", ["--half-open", "16"]) as t:
        wire = Wire(t.lab)
        held = t.connect(4)
        with t.rises("SYN flood", "tcp_cookie_sent", "tcp_cookie_accepted"):
            rng = random.Random(1)
            for i in range(2000):
                wire.syn(f"192.0.2.{100 + i % 150}", 1024 + rng.randrange(60000), rng.getrandbits(32))
            assert held.cmd("NOOP")[0] == 250
            t.parallel(*[(f, [100, 50000]) for f in (4, 6) * 3])
        held.close()


def blocks():
    """More held and out-of-order octets than blocks: dropped unacknowledged, and sent again."""
    with gateway("blocks", ["--blocks", "64"]) as t:
        with t.rises("octets held behind questions", "tcp_drop_held_pool", "tcp_syn_drop_pressure"):
            noop = "NOOP " + "x" * 400 + "\r\n"
            crowd = [t.connect((4, 6)[i % 2]) for i in range(16)]
            held = t.connect(4)
            for i, c in enumerate(crowd):
                c.send(f"MAIL FROM:<a@example.net>\r\nRCPT TO:<slow{i}@example.com>\r\n" + noop * 60)
            assert held.cmd("NOOP")[0] == 250, "a session that was there gets its reply"
            time.sleep(0.2)  # the worker looks at its pools every 15 ms
            late = labs.Smtp(t.lab, timeout=60)  # its SYN is answered when there is room again
            assert late.banner[0] == 220
            for c in crowd:
                codes = [c.reply()[0] for _ in range(62)]
                assert codes == [250] * 62, codes
                assert c.cmd("QUIT")[0] == 221
                c.close()
            late.close()
            held.close()
        t.lab.start_impair("--loss", "3", "--reorder", "10", "--reorder-ms", "20")
        with t.rises("octets out of order", "tcp_drop_ooo_budget", "tcp_ooo"):
            t.parallel(*[(f, [1 << 20]) for f in (4, 6) * 4])
        t.lab.start_impair(*CLEAN)


def arena():
    """Senders stop in the middle of messages that fill the arena: windows close, then 452, and the
    oldest completes all the same."""
    with gateway("arena", [], arena_mb=8) as t:
        line = b"x" * 76 + b"\r\n"
        with t.rises("arena full", "smtp_no_arena", "arena_window_closed"):
            crowd, sent = [], {}
            for i in range(12):
                c = t.connect((4, 6)[i % 2])
                c.send("MAIL FROM:<a@example.net>\r\nRCPT TO:<b@example.com>\r\nDATA\r\n")
                if [c.reply()[0] for _ in range(3)] != [250, 250, 354]:
                    c.close()
                    break
                mid, content = t.content(0)
                content += line * 12000
                crowd.append((c, mid, content))
                c.sock.settimeout(0.5)
                sent[c] = 0
                with contextlib.suppress(TimeoutError):
                    while sent[c] < 900_000:
                        sent[c] += c.sock.send(content[sent[c]:sent[c] + 10000])
            late = t.connect(4)
            # At MAIL when nobody gets any, at DATA when its address has its share of what there is.
            for command in ("MAIL FROM:<a@example.net>", "RCPT TO:<b@example.com>", "DATA"):
                code, text = late.cmd(command)
                if code != 250:
                    break
            assert code == 452, text
            assert late.cmd("RSET")[0] == 250
            c, mid, content = crowd[0]
            c.sock.settimeout(60)
            c.send(content[sent[c]:] + b".\r\n")
            t.take(c, mid, content)
            for c, _, _ in crowd:
                c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                c.close()
            labs.wait_for("room again", lambda: late.cmd("MAIL FROM:<a@example.net>")[0] == 250, 20)
            late.close()
        print(f"     {len(crowd)} senders, {len(crowd) - 1} of them gave up", flush=True)


def small_pools():
    """TIME_WAIT entries and scan streams: the oldest goes, the message is marked; nobody notices."""
    with gateway("few", ["--time-wait", "16", "--streams", "1"]) as t:
        with t.rises("more TIME_WAIT than entries", "tcp_time_wait_recycled"):
            for i in range(20):
                t.parallel((4, []), (6, []))
        with t.rises("more large messages than streams", "scan_no_stream"):
            slow = [t.connect((4, 6)[i % 2]) for i in range(4)]
            all_of = [t.content(300000) for _ in slow]
            for c in slow:
                t.begin(c)
            for part in range(3):
                for c, (mid, content) in zip(slow, all_of):
                    stuffed = content.replace(b"\r\n.", b"\r\n..") + b".\r\n"
                    n = len(stuffed) // 3
                    c.send(stuffed[part * n:(part + 1) * n] if part < 2 else stuffed[2 * n:])
            for c, (mid, content) in zip(slow, all_of):
                t.take(c, mid, content)
                c.close()


PARTS = (receive_buffers, steering, sessions, half_open, blocks, arena, small_pools)


def main():
    labs.need_root()
    for part in PARTS:
        if not sys.argv[1:] or part.__name__ in sys.argv[1:]:
            part()


if __name__ == "__main__":
    main()
