#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""posternctl top on a terminal of this program's own: what stands on the screen, that it is never cleared, that it
follows the size, stops and goes on, outlives the daemon, and leaves the terminal as it was. argv[1] is the posternctl
to run; the daemon is this program's own."""

import contextlib
import fcntl
import json
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time

CTL = sys.argv[1]
ENTER, LEAVE = b"\x1b[?1049h", b"\x1b[?1049l"


def answer(n):
    """The n-th: a second later, and each counter a hundred more."""
    c = 100 * n
    worker = {"worker": 0, "busy_cycles": c, "total_cycles": 4 * c, "rx_packets": c, "tx_packets": c, "sessions_now": 3,
              "smtp_sessions": c, "smtp_messages": c, "tap_flows": 0, "tap_messages": 0, "arena_chunks_used": 1,
              "arena_chunks_free": 3, "arena_records_used": 0, "arena_records_free": 9, "submit_ring": 0.0, "verdict_ring": 0.0}
    times = {"p50_us": 1000, "p99_us": 20000}
    routes = [{"route": f"route-{i}", "state": "ok", "cause": "", "outstanding": i, "bound": 50, "waiting": 0, "connections": 1,
               "max_connections": 20, "wait": times, "message": times, "stages": {s: times for s in ("connect", "rcpt", "dot")}}
              for i in range(3)]
    hosts = [{"route": r["route"], "host": "mx.example.com", "port": 25, "connections": 1, "busy": 0, "waiting": 0,
              "delivered": c, "rejected": 0, "deferred": c, "last_error": "\x1b[2J\u202e"} for r in routes]
    rules = [{"name": f"RULE_{i}", "score": 1.0, "hits": c, "ns": c, "recent_hits": 10 - i, "recent_ns": i} for i in range(5)]
    return {"at_us": 1000000 * n, "run": 1, "ready": True, "draining": False, "version": "1.2.3", "hostname": "mx.example.net",
            "uptime_s": 60.0 + n, "generation": 1, "sessions": 3, "messages_in_flight": 1, "reload": {"stage": "idle"},
            "alerts": {"n": 1, "ago_s": 61.0, "text": "route \x1b[2J office"},
            "dataplane": {"linked": True, "epoch": 1, "error": "", "workers": [worker], "counters": {
                "smtp_sessions": c, "tap_flows": 0, "smtp_messages": c, "tap_messages": 0, "smtp_reply_2xx": c, "smtp_reply_4xx": 0,
                "smtp_reply_5xx": 0, "rx_bytes": c, "tx_bytes": c, "rx_packets": c, "tx_packets": c, "smtp_message_bytes": c, "drops": 0}},
            "counters": {"rcpts": c, "drops": 0}, "routes": routes, "hosts": hosts, "breakers": [],
            "rules": {"over_s": 5.0, "total": 5, "rules": rules}}


class Daemon:
    """Answers `show top`; can be ended, and started again."""

    def __init__(self, path):
        self.path, self.n, self.mute = path, 0, False
        self.start()

    def start(self):
        self.clients = []
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen(16)
        threading.Thread(target=self.accept, args=(self.listener,), daemon=True).start()

    def accept(self, listener):
        with contextlib.suppress(OSError):
            while True:
                s, _ = listener.accept()
                self.clients.append(s)
                threading.Thread(target=self.serve, args=(s,), daemon=True).start()

    def serve(self, s):
        with contextlib.suppress(OSError), s.makefile("rb") as f:
            for line in f:
                assert json.loads(line) == {"command": "show top"}, line
                if not self.mute:
                    self.n += 1
                    s.sendall(json.dumps(answer(self.n)).encode() + b"\n")

    def end(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        os.unlink(self.path)
        for s in self.clients:
            with contextlib.suppress(OSError):
                s.shutdown(socket.SHUT_RDWR)


class Terminal:
    """A program on a terminal of its own, below a parent that waits for it as a shell does. What it writes is
    kept as it came, and as a screen."""

    def __init__(self, *words, columns=80, rows=24):
        self.ours, theirs = pty.openpty()
        self.before = termios.tcgetattr(theirs)
        self.told, tell = os.pipe()
        self.raw, self.grid, self.odd = b"", {}, []
        self.columns, self.rows = columns, rows
        self.set_size()
        self.shell = os.fork()
        if self.shell == 0:
            os.close(self.ours)
            self.parent(theirs, tell, [CTL, *words])
        os.close(theirs)
        os.close(tell)
        self.pid = int(self.hear())

    def set_size(self):
        fcntl.ioctl(self.ours, termios.TIOCSWINSZ, struct.pack("HHHH", self.rows, self.columns, 0, 0))

    @staticmethod
    def parent(tty, tell, argv):
        os.setsid()
        fcntl.ioctl(tty, termios.TIOCSCTTY, 0)
        signal.signal(signal.SIGTTOU, signal.SIG_IGN)
        pid = os.fork()
        if pid == 0:
            os.setpgid(0, 0)
            os.tcsetpgrp(tty, os.getpid())
            signal.signal(signal.SIGTTOU, signal.SIG_DFL)
            for fd in range(3):
                os.dup2(tty, fd)
            os.execve(argv[0], argv, {**os.environ, "TERM": "xterm"})
        os.write(tell, f"{pid}\n".encode())
        while True:
            _, status = os.waitpid(pid, os.WUNTRACED)
            os.write(tell, f"{status}\n".encode())
            if not os.WIFSTOPPED(status):
                os._exit(0)

    def hear(self):
        """The next word of the parent's, while the terminal is read."""
        word = b""
        end = time.monotonic() + 30
        while not word.endswith(b"\n"):
            assert time.monotonic() < end, "the program did not end or stop"
            self.read(0.05)
            if select.select([self.told], [], [], 0)[0]:
                word += os.read(self.told, 1)
        self.read(0)
        return word

    def read(self, seconds):
        while select.select([self.ours], [], [], seconds)[0]:
            try:
                more = os.read(self.ours, 65536)
            except OSError:
                return
            self.raw += more
            self.put(more.decode("ascii"))
            seconds = 0

    def put(self, text):
        text = getattr(self, "left", "") + text
        self.left = ""
        at = 0
        token = re.compile(r"\x1b\[([?0-9;]*)([A-Za-z])|[^\x1b]|\x1b")
        while at < len(text):
            m = token.match(text, at)
            if m.group(0) == "\x1b":  # cut in the middle
                self.left = text[at:]
                return
            at = m.end()
            args, what = m.group(1), m.group(2)
            if what is None:
                if m.group(0) >= " " and self.row <= self.rows:
                    self.grid[self.row] = self.grid.get(self.row, "").ljust(self.column - 1)
                    line = self.grid[self.row]
                    self.grid[self.row] = line[:self.column - 1] + m.group(0) + line[self.column:]
                    self.column += 1
            elif what == "H":
                self.row, self.column = map(int, args.split(";"))
            elif what == "K":
                self.grid[self.row] = self.grid.get(self.row, "")[:self.column - 1]
            elif what == "J":
                self.odd += [args] if args not in ("", "0") else []
                for r in [r for r in self.grid if r >= self.row]:
                    del self.grid[r]
            elif what not in "mhl":
                self.odd.append(args + what)

    row = column = 1

    def screen(self):
        return "\n".join(self.grid.get(i, "") for i in range(1, self.rows + 1))

    def wait(self, *words, gone=()):
        end = time.monotonic() + 30
        while not all(w in self.screen() for w in words) or any(w in self.screen() for w in gone):
            assert time.monotonic() < end, f"{words} {gone}:\n{self.screen()}"
            self.read(0.05)

    def resize(self, columns, rows):
        self.columns, self.rows = columns, rows
        self.grid = {r: line[:columns] for r, line in self.grid.items() if r <= rows}
        self.set_size()

    def key(self, text):
        os.write(self.ours, text.encode())

    def ended(self):
        """What waitpid() said; the terminal must be as it was."""
        status = int(self.hear())
        assert termios.tcgetattr(self.ours) == self.before, "the terminal is not as it was"
        assert self.raw.endswith(LEAVE), self.raw[-80:]
        assert self.raw.count(ENTER) == self.raw.count(LEAVE)
        assert not self.odd, self.odd
        if os.WIFSTOPPED(status):
            return status
        os.waitpid(self.shell, 0)
        os.close(self.ours)
        os.close(self.told)
        return status


def once(path):
    def run(*words, code=0, columns=None):
        done = subprocess.run([CTL, "--socket", path, "top", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              check=False, timeout=60)
        assert done.returncode == code, (words, done)
        return done.stdout.decode(), done.stderr.decode()

    view = json.loads(run("--once", "--interval", "0.1", "--json")[0])
    assert view["schema"] == "postern.top.1" and view["interval_s"] == 1.0, view
    assert view["rates"]["messages"] == view["rates"]["recipients"] == 100.0, view
    assert view["workers"][0]["busy"] == 0.25 and view["routes"][1]["failing"] == 0.5, view
    assert [r["name"] for r in view["rules"]][0] == "RULE_0" and view["rules"][0]["hits"] == 2.0, view
    # No terminal: it is as if --once were said.
    text, _ = run("--interval", "0.1")
    assert "READY  mx.example.net" in text and "messages 100/s" in text and "RULE_4" in text, text
    assert "\x1b" not in text and "\u202e" not in text and "q quit" not in text, text
    lines = run("--interval", "0.1", "--sort", "cost,load")[0].splitlines()
    rows = [line.split()[0] for line in lines if line.startswith(("RULE_", "route-"))]
    assert rows == ["route-2", "route-1", "route-0", "RULE_4", "RULE_3", "RULE_2", "RULE_1", "RULE_0"], rows
    for words, says in ((("--interval", "0"), "from 0.1 to 3600"), (("--interval", "x"), "from 0.1"), (("--interval", "nan"), "from 0.1"),
                        (("--sort", "size"), "failing"), (("stray",), "takes no argument"), (("--what",), "unknown option")):
        assert says in run(*words, code=2)[1], words
    assert "posternctl:" in subprocess.run([CTL, "--socket", path + "x", "top", "--once"], stderr=subprocess.PIPE, check=False,
                                           timeout=60).stderr.decode()


def on_a_terminal(path, daemon):
    t = Terminal("--socket", path, "top", "--interval", "0.1")
    t.wait("READY  mx.example.net", "messages 100/s", "25.0%", "route-2", "RULE_4", "q quit", "ALERT 1m 1s ago")
    assert t.screen().count("\n") == 23
    # Frames go on, and of what does not change nothing is written again.
    n, at = daemon.n, len(t.raw)
    end = time.monotonic() + 30
    while daemon.n < n + 5 and time.monotonic() < end:
        t.read(0.05)
    assert daemon.n >= n + 5 and b"ROUTE" not in t.raw[at:] and b"route-2" not in t.raw[at:], t.raw[at:]
    assert b"\x1b[2J" not in t.raw and t.raw.count(ENTER) == 1
    # Any size, and back.
    for columns, rows in ((20, 5), (300, 70), (1, 1), (80, 24)):
        t.resize(columns, rows)
        t.wait("READY" if columns > 1 else "R", gone=("q quit",) if rows < 10 else ())
        if rows >= 24:
            t.wait("q quit", "RULE_4")
        t.read(0.3)
        assert all(len(line) <= columns for line in t.screen().split("\n")), t.screen()
    t.resize(300, 60)
    t.wait("LAST ERROR", "?[2J???")
    # Keys.
    t.key("n")
    t.wait("(worker, load, hits)")
    t.key("rwR")
    t.wait("(busy, load, cost)", "RULE_0", gone=("route-0", "WORKER"))
    t.key("R")
    t.wait("route-0", "WORKER")
    t.key("\x1b[A")  # an arrow is no key
    t.key(" ")
    t.wait("PAUSED", "space go on")
    t.read(0.3)
    n = daemon.n
    t.read(0.5)
    assert daemon.n == n
    t.key(" ")
    t.wait("messages 100/s", gone=("PAUSED",))
    # Stopped as by Ctrl-Z, and on again: the terminal is the shell's meanwhile.
    t.key("\x1a")
    status = t.ended()
    assert os.WIFSTOPPED(status) and os.WSTOPSIG(status) == signal.SIGTSTP, status
    t.grid = {}
    os.kill(t.pid, signal.SIGCONT)
    t.wait("READY", "RULE_0", "q quit")
    assert t.raw.count(ENTER) == 2
    # Stopped by force: it draws all of it again.
    os.kill(t.pid, signal.SIGSTOP)
    status = int(t.hear())
    assert os.WIFSTOPPED(status)
    t.grid = {}
    os.kill(t.pid, signal.SIGCONT)
    t.wait("READY", "RULE_0", "q quit")
    assert t.raw.count(ENTER) - t.raw.count(LEAVE) == 2, t.raw
    t.raw = t.raw.replace(ENTER, b"", t.raw.count(ENTER) - t.raw.count(LEAVE) - 1)  # it entered anew without having left
    # The daemon goes, says nothing, and comes back.
    daemon.end()
    t.wait("OLD: READY", "control does not answer", "RULE_0")
    daemon.start()
    t.wait("READY", "messages 100/s", gone=("OLD", "control does not answer"))
    daemon.mute = True
    t.wait("control has not answered for")
    daemon.mute = False
    daemon.end()
    daemon.start()
    t.wait("messages 100/s", gone=("has not answered", "OLD"))
    t.key("q")
    assert t.ended() == 0
    assert b"\x1b[2J" not in t.raw


def ends(path):
    for sig, want in ((signal.SIGINT, 0), (signal.SIGTERM, signal.SIGTERM), (signal.SIGHUP, signal.SIGHUP), (None, 0)):
        t = Terminal("--socket", path, "top")
        t.wait("READY")
        if sig:
            os.kill(t.pid, sig)
        else:
            t.key("\x03")
        assert t.ended() == want, sig
    # Nobody there from the start: it waits, and says so when it ends.
    t = Terminal("--socket", path + "x", "top")
    t.wait("NO ANSWER", "No such file")
    t.key("q")
    raw = t.raw
    status = int(t.hear())
    assert os.waitstatus_to_exitcode(status) == 3 and b"does not answer" in t.raw[len(raw):].split(LEAVE)[1], t.raw


with tempfile.TemporaryDirectory() as tmp:
    PATH = os.path.join(tmp, "s")
    server = Daemon(PATH)
    once(PATH)
    on_a_terminal(PATH, server)
    ends(PATH)
print("ok")
