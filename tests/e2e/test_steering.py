#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""Two workers on one port whose driver spreads packets as it likes: by af_packet's fan-out hash, by
dealing the packets of each flow to both queues in turn (tests/tools/fanout.c, since DPDK 22.11 has no
argument for it), at random, and by net_tap, where a flow changes its queue after the handshake.
What reaches the wrong worker goes through the rings: no message suffers and nobody sees a RST.
"""
import contextlib
import os
import socket
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import lab as labs  # noqa: E402
from test_tcp import CLEAN, many_replies, start  # noqa: E402

SOURCE_SESSIONS, SOURCE_MESSAGES = 20, 200


class Resets(threading.Thread):
    """Listens to the client's wire. A client that closed first and whose last ACK overtook an earlier
    one gets a RST for that (RFC 9293 3.10.7.1: the connection is gone here); any other RST is early."""

    def __init__(self, lab):
        super().__init__(daemon=True)
        with labs.in_netns(lab.ns["client"]):
            self.sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
            self.sock.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)  # SO_RCVBUFFORCE
            self.sock.bind((f"{lab.name}c0", 0))
        self.sock.settimeout(0.3)
        self.done, self.segments = False, 0
        self.closed, self.early = set(), []

    def run(self):
        while True:
            try:
                p = self.sock.recv(160)
            except TimeoutError:
                if self.done:
                    return
                continue
            tcp = 34 if p[12:14] == b"\x08\x00" and p[23] == 6 else 54 if p[12:14] == b"\x86\xdd" and p[20] == 6 else 0
            if not tcp or len(p) < tcp + 20:
                continue
            self.segments += 1
            source, to, flags = p[tcp:tcp + 2], p[tcp + 2:tcp + 4], p[tcp + 13]
            if to == b"\x00\x19":
                if flags & 2:
                    self.closed.discard((tcp, source))
                if flags & 5:
                    self.closed.add((tcp, source))
            elif source == b"\x00\x19" and flags & 4 and (tcp, to) not in self.closed:
                self.early.append((tcp, int.from_bytes(to, "big")))

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.done = True
        self.join(30)
        self.sock.close()


@contextlib.contextmanager
def no_reset(t, what):
    """No RST of ours to who has not closed, and no packet lost between the workers."""
    before = t.lab.counters()
    with Resets(t.lab) as resets:
        yield
    after = t.lab.counters()
    wrong = {n: after[n] - before[n] for n in ("steer_drop", "steer_drop_low", "tcp_refused") if after[n] != before[n]}
    assert not wrong and not resets.early, (what, wrong, resets.early)
    assert resets.segments > 50, "the listener heard nothing"
    labs.wait_for("what went into the rings to come out", lambda: (
        lambda c: c["steer_in"] == c["steer_out"])(t.lab.counters()))
    moved = after["steer_out"] - before["steer_out"]
    print(f"     {what}: {moved} of {after['rx_packets'] - before['rx_packets']} packets changed worker, no RST",
          flush=True)


def many_sessions(t, what):
    """Sessions in parallel over both families, and smtp-source's."""
    before = len(t.lab.inbox())
    acked = len(t.acked)
    with no_reset(t, what), t.rises(what, "steer_out", "steer_in"):
        jobs = [(4 if i % 2 else 6, [100, 3000, 60000, 0, 500]) for i in range(12)]
        t.parallel(*jobs, (4, [2 << 20]), (6, [2 << 20]))
        r = t.lab.in_ns("client", "smtp-source", "-s", SOURCE_SESSIONS, "-m", SOURCE_MESSAGES, "-l", 5000,
                        "-f", "a@example.net", "-t", "b@example.com", f"inet:{labs.GATEWAY4}:25",
                        timeout=120, check=False)
        assert r.returncode == 0, r.stdout[-2000:]
    now = len(t.lab.inbox()) - before - (len(t.acked) - acked)
    assert now == SOURCE_MESSAGES, f"{SOURCE_MESSAGES} of smtp-source, {now} delivered"


def bad_link(t, what):
    t.lab.start_impair("--loss", "2", "--reorder", "3", "--duplicate", "2", "--corrupt", "1")
    with t.rises(f"{what}, bad link", "tcp_ooo", "tcp_duplicate", "rx_drop_l4_checksum"):
        t.parallel(*[(f, [500, 300000, 100]) for f in (4, 6, 4, 6)])
    t.lab.start_impair(*CLEAN)


def fragments(t, what):
    for f in (4, 6):
        t.lab.start_impair("--fragment", "600,65535", "--reorder", "5", "--reorder-ms", "3")
        with no_reset(t, f"{what}, IPv{f} fragments"), \
                t.rises(f"{what}, IPv{f} fragments", "rx_reassembled", "steer_out"):
            t.parallel((f, [100, 200000]), (f, [1000]))
    t.lab.start_impair(*CLEAN)


def icmp_errors(t, what):
    """The ICMP error comes to any worker; the one with the flow must hear of it."""
    t.lab.start_impair("--mtu", "65535,1280")
    with no_reset(t, f"{what}, ICMP errors"), \
            t.rises(f"{what}, ICMP errors", "icmp_error_rx", "tcp_retransmit"):
        for f in (4, 6) * 4:
            c = t.connect(f)
            many_replies(c)
            c.close()
    t.lab.start_impair(*CLEAN)


def one(name, parts, mode=None, **kw):
    print(f"--- {name}", flush=True)
    env = {"LD_PRELOAD": str(labs.build_dir() / "tests/tools/libfanout.so"), "FANOUT_MODE": mode} if mode else None
    with labs.Lab("pw" + name[0], impair=CLEAN, arena_mb=64, workers=2, seed=5, **kw) as lab:
        t = start(lab, env=env)
        for part in parts:
            part(t, name)
        t.nothing_held()
        t.settle()


def main():
    labs.need_root()
    every = (many_sessions, bad_link, fragments, icmp_errors)
    runs = {"hash": lambda: one("hash", (many_sessions, bad_link)),
            "lb": lambda: one("lb", every, "lb"),
            "rnd": lambda: one("rnd", (many_sessions, bad_link), "rnd"),
            "tap": lambda: one("tap", (many_sessions, bad_link, fragments), driver="tap")}
    for name in sys.argv[1:] or runs:
        runs[name]()


if __name__ == "__main__":
    main()
