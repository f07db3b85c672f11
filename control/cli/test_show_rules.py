#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""posternctl show rules: what it asks for, what it refuses to ask for, and that its table fits. argv[1] is the
posternctl to run; the daemon is this program's own."""

import fcntl
import json
import os
import pty
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import threading

CTL = sys.argv[1]
LIMIT = 20000


def rule(name, **more):
    return {"name": name, "kind": "body", "tier": "automaton", "score": 1.25, "hits": 3, "opened": 40, "evaluated": 41,
            "matched": 3, "limited": 0, "ns": 82000, "literals": 2, "gate_per_10k": 0.5, "gb_s": 0.0, **more}


ANSWER = {
    "generation": 2, "in_force": 2500, "never_hit": 2400, "selected": 4,
    "totals": {"messages": 200, "messages_open": 25, "messages_in_full": 1, "evaluated": 99, "ns": 4000000,
               "pattern_ns": 2000000, "text_ns": 24000},
    "rules": [rule("SHORT"),
              rule("A" * 128, score=-10000, hits=2**63 - 1, opened=2**63 - 1, evaluated=2**63 - 1, ns=2**63 - 1),
              rule("__BIG", hits=99999, opened=100000, evaluated=1234567, ns=999_999_999_999, score=-123.45, limited=7),
              rule("NEVER", tier="computed", score=0, hits=0, opened=0, evaluated=0, ns=0)],
}
asked = []


def serve(listener):
    while True:
        s, _ = listener.accept()
        with s, s.makefile("rb") as f:
            asked.append(json.loads(f.readline()))
            s.sendall(json.dumps(ANSWER).encode() + b"\n")


def run(*words, code=0):
    done = subprocess.run([CTL, "--socket", PATH, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    assert done.returncode == code, (words, done)
    return done.stdout.decode(), done.stderr.decode()


def on_terminal(columns):
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    p = subprocess.Popen([CTL, "--socket", PATH, "show", "rules"], stdin=theirs, stdout=theirs)
    os.close(theirs)
    out = b""
    try:
        while True:
            more = os.read(ours, 65536)
            if not more:
                break
            out += more
    except OSError:  # the other end is closed
        pass
    os.close(ours)
    assert p.wait() == 0
    return out.decode().replace("\r\n", "\n").splitlines()


with tempfile.TemporaryDirectory() as tmp:
    PATH = os.path.join(tmp, "s")
    server = socket.socket(socket.AF_UNIX)
    server.bind(PATH)
    server.listen(16)
    threading.Thread(target=serve, args=(server,), daemon=True).start()

    # What is asked for.
    for words, want in ((("show", "rules"), {}), (("show", "rules", "FOO_*"), {"name": "FOO_*"}),
                        (("show", "rules", "--top", "cost"), {"top": "cost"}),
                        (("show", "rules", "--top", "hits", "--limit", "7", "A?"), {"top": "hits", "limit": 7, "name": "A?"}),
                        (("show", "rules", "B", "--limit", str(LIMIT), "--top", "opened"),
                         {"top": "opened", "limit": LIMIT, "name": "B"}),
                        (("show", "rules", "--", "--top"), {"name": "--top"}), (("show", "rules", "--", "-"), {"name": "-"}),
                        (("show", "rules", "--limit", "7", "--", "--limit"), {"limit": 7, "name": "--limit"}),
                        (("show", "rules", "--", "A"), {"name": "A"})):
        run(*words)
        assert asked.pop() == {"command": "show rules", **want}, words
    assert json.loads(run("--json", "show", "rules")[0]) == ANSWER
    asked.clear()

    # What is not: nobody is asked, and it is said why.
    for words, why in ((("--top",), "--top without its value"), (("--top", "size"), "--top: cost, hits or opened"),
                       (("--top", ""), "--top: cost, hits or opened"), (("--limit",), "--limit without its value"),
                       (("--limit", "0"), "--limit: a number from 1 to 20000"), (("--limit", "-1"), "--limit: a number"),
                       (("--limit", "20001"), "--limit: a number"), (("--limit", "9" * 40), "--limit: a number"),
                       (("--limit", "1x"), "--limit: a number"), (("--limit", ""), "--limit: a number"),
                       (("--all",), "unknown option"), (("A", "B"), "\"B\" is one too many"),
                       ((b"\xff\xfe",), "no UTF-8")):
        out, err = run("show", "rules", *words, code=2)
        assert not out and why in err, (words, out, err)
    assert not asked, asked

    # The table: whole names where nobody looks, else so wide as the terminal.
    lines = run("show", "rules")[0].splitlines()
    assert lines[2].split()[0] == "A" * 128, lines
    assert lines[1].split() == ["SHORT", "automaton", "1.25", "3", "40", "41", "82", "2.00"], lines[1]
    assert lines[3].split() == ["__BIG", "automaton", "-123.5", "99999", "100k", "1.2M", "1.0G", "810"], lines[3]
    assert lines[4].split() == ["NEVER", "computed", "0.00", "0", "0", "0", "0", "-"], lines[4]
    assert lines[5:] == ["4 of 4 rule(s) shown; 2500 in force, 2400 of them never hit",
                         "200 message(s) judged, 12.5% with a gate open, 1 evaluated in full",
                         "control, us a message: 20.0; in PCRE2 10.0, making texts 0.12",
                         "__BIG: 7 time(s) undecided, PCRE2 met a limit or the time was up"], lines[5:]
    for columns in (80, 100, 67):
        lines = on_terminal(columns)
        assert len(lines) == 9 and max(map(len, lines[:5])) == columns, (columns, lines)
        assert lines[2].split()[0] == "A" * (columns - 54) + "~", lines[2]
    ANSWER["rules"] = ANSWER["rules"][:1]
    lines = on_terminal(80)
    assert lines[1].split()[0] == "SHORT" and len(lines[0]) == len(lines[1]) < 80, lines
print("ok")
