#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""kill -9 of control and of the dataplane, ROUNDS times each at random under load, then SIGSTOP of
control: every acknowledged message is at the next hop with the octets that were sent. Copies are
allowed (the contract prefers a duplicate to a loss) and counted.
"""
import hashlib
import os
import random
import signal
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import lab as labs  # noqa: E402

ROUNDS = int(os.environ.get("POSTERN_KILL_ROUNDS", "10"))
CLIENTS = 6


class Load:
    """Clients that send numbered messages for ever and try again what was not acknowledged."""

    def __init__(self, lab):
        self.lab, self.stop = lab, threading.Event()
        self.acked, self.lock = {}, threading.Lock()
        self.last_ack = 0.0
        self.refused = 0
        self.threads = [threading.Thread(target=self.run, args=(i,), daemon=True) for i in range(CLIENTS)]
        for t in self.threads:
            t.start()

    def one(self, c, mid, content):
        c.send("MAIL FROM:<a@example.net>\r\nRCPT TO:<b@example.com>\r\nDATA\r\n")
        codes = [c.reply()[0] for _ in range(3)]
        if codes != [250, 250, 354]:
            if 0 in codes or 421 in codes:
                raise OSError("closed")
            c.cmd("RSET")
            return False
        c.send(content.replace(b"\r\n.", b"\r\n..") + b".\r\n")
        code = c.reply()[0]
        if code == 0:
            raise OSError("closed")
        if code == 250:
            with self.lock:
                self.acked[mid] = hashlib.sha256(content).hexdigest()
                self.last_ack = time.monotonic()
        return code == 250

    def run(self, who):
        rng, n, c = random.Random(who), 0, None
        while not self.stop.is_set():
            mid = f"<kill.{who}.{n}@example.net>"
            content = (f"From: a@example.net\r\nSubject: k\r\nMessage-ID: {mid}\r\n\r\n").encode() + \
                b"\r\n".join(rng.randbytes(30).hex().encode() for _ in range(rng.choice((3, 30, 1500)))) + b"\r\n"
            while not self.stop.is_set():
                try:
                    if c is None:
                        c = labs.Smtp(self.lab, timeout=5)
                        if c.cmd("EHLO client.example.net")[0] != 250:
                            raise OSError("refused")
                    if self.one(c, mid, content):
                        break
                    self.refused += 1
                    c.close()
                    c = None
                    time.sleep(0.05)
                except OSError:
                    if c:
                        c.close()
                    c = None
                    time.sleep(0.05)
            n += 1

    def wait_ack(self, since, seconds=20):
        labs.wait_for("mail flows again", lambda: self.last_ack > since, seconds, 0.01)
        return time.monotonic() - since

    def end(self):
        self.stop.set()
        for t in self.threads:
            t.join(30)


def again(lab, load, name, restart):
    """Seconds from the restart of `name` until a message that was sent after it is acknowledged."""
    start = time.monotonic()
    restart()
    lab.wait_ready()
    load.wait_ack(time.monotonic())
    return time.monotonic() - start


def kill_rounds(lab, load, name, restart, rng):
    took = []
    for _ in range(ROUNDS):
        time.sleep(rng.uniform(0.2, 1.0))
        p = lab.procs[name]
        assert p.poll() is None, f"{name} ended by itself with {p.returncode}:\n{lab.log(name)[-2000:]}"
        lab.stop(name, signal.SIGKILL)
        took.append(again(lab, load, name, restart))
    print(f"kill -9 of {name}: {ROUNDS} times; from its restart until mail flowed again: "
          f"{sum(took) / len(took):.2f} s on average, {max(took):.2f} s at most", flush=True)


def stop_control(lab, load):
    """A control that hangs: the dataplane ends it, without help from outside."""
    p = lab.procs["control"]  # `ip netns exec` becomes the program: its pid is the program's
    assert "postern-control" in open(f"/proc/{p.pid}/cmdline").read().split("\0")[0]
    time.sleep(0.5)
    start = time.monotonic()
    os.kill(p.pid, signal.SIGSTOP)
    labs.wait_for("the dataplane kills a control that hangs", lambda: p.poll() is not None, 10, 0.01)
    killed = time.monotonic() - start
    assert p.returncode == -signal.SIGKILL, p.returncode
    lab.stop("control", signal.SIGKILL)
    took = again(lab, load, "control", lab.start_control)
    print(f"SIGSTOP of control: killed by the dataplane after {killed:.2f} s, mail flows {took:.2f} s after the restart",
          flush=True)


def check(lab, load):
    got = {}
    for f in lab.inbox():
        raw = f.read_bytes()
        at = raw.find(b"\r\nFrom: a@example.net\r\n") + 2
        mid = raw.split(b"Message-ID: ", 1)[1].split(b"\r\n", 1)[0].decode()
        got.setdefault(mid, []).append(hashlib.sha256(raw[at:]).hexdigest())
    lost = [m for m in load.acked if m not in got]
    wrong = [m for m, d in load.acked.items() if any(x != d for x in got.get(m, []))]
    copies = sum(len(v) - 1 for v in got.values())
    print(f"{len(load.acked)} acknowledged, {len(lost)} lost, {len(wrong)} altered, {copies} extra copies, "
          f"{load.refused} transactions refused meanwhile")
    assert load.acked and not lost and not wrong, (lost[:3], wrong[:3])


def main():
    labs.need_root()
    rng = random.Random(5)
    with labs.Lab("psk", arena_mb=64) as lab:
        lab.start_dns({"example.net": f'@ IN TXT "v=spf1 ip4:{labs.CLIENT4} -all"\n'})
        lab.start_sink()
        lab.write_config()
        lab.start_dataplane()
        lab.start_control()
        lab.wait_ready()
        load = Load(lab)
        load.wait_ack(0)
        kill_rounds(lab, load, "control", lab.start_control, rng)
        kill_rounds(lab, load, "dataplane", lab.start_dataplane, rng)
        stop_control(lab, load)
        load.end()
        check(lab, load)


if __name__ == "__main__":
    main()
