#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""posternctl watch: what it asks for, what it prints of what comes, for people and for programs, and how it ends.
argv[1] is the posternctl to run; the daemon is this program's own."""

import json
import os
import socket
import subprocess
import sys
import tempfile
import threading

CTL = sys.argv[1]
EVIL = "\x1b[2J\u202e\x9b"
TIME = "2026-01-02T03:04:05.678Z"


def event(name, **members):
    return {"schema": "postern.watch.1", "event": name, "time": TIME, **members}


FIRST = event("watching", sessions=True, messages=True)
EVENTS = [
    event("opened", session="0-1-2", peer="192.0.2.1", peer_port=4242, via="", accepted=True),
    event("opened", session="0-1-3", peer="192.0.2.2", peer_port=4243, via="proxy", accepted=False, reply="421 4.7.0 no" + EVIL),
    event("greeted", session="0-1-2", peer="192.0.2.1", peer_port=4242, helo="mail" + EVIL, tls="TLSv1.3"),
    event("message", trace_id="0123456789ABCDEF", peer="192.0.2.1", origin="203.0.113.9", mail_from="a" + EVIL + "@example.net",
          rcpt="b@example.com", outcome="rejected", route="office", reply="550 5.7.1 no" + EVIL, action="reject", score=7.25,
          rules=["R_ONE", "R_TWO"], rules_hit=9, tls=True),
    event("message", trace_id="0123456789ABCDEG", peer="2001:db8::1", origin="2001:db8::1", mail_from=None, rcpt=None,
          outcome="observed", mode="tap", tls=False, rules=[], rules_hit=0),
    event("left-out", n=17),
    event("reply-lost", trace_id="0123456789ABCDEF"),
    event("closed", session="0-1-2", peer="192.0.2.1", peer_port=4242, seconds=3.21, messages=2, rcpts_refused=1, errors=0, tls=True,
          why=["timeout", "slow"]),
    event("lost", sessions=5),
    event("of-tomorrow", what=EVIL),
]
WANT = """03:04:05.678  session 0-1-2             opened     192.0.2.1:4242
03:04:05.678  session 0-1-3             opened     192.0.2.2:4243 named by proxy "421 4.7.0 no?[2J??"
03:04:05.678  session 0-1-2             greeted    192.0.2.1:4242 HELO mail?[2J??, TLSv1.3
03:04:05.678  0123456789ABCDEF  rejected    192.0.2.1 for 203.0.113.9 <a?[2J??@example.net> -> <b@example.com>  reject 7.25 [R_ONE,R_TWO,...]  "550 5.7.1 no?[2J??"
03:04:05.678  0123456789ABCDEG  observed    2001:db8::1 <?> -> <?>  tap
03:04:05.678  17 event(s) left out: they were not read in time
03:04:05.678  0123456789ABCDEF  reply-lost  
03:04:05.678  session 0-1-2             closed     192.0.2.1:4242 after 3.2 s, 2 message(s), 1 recipient(s) refused, TLS: timeout, slow
03:04:05.678  the dataplane is gone, and 5 session(s) with it
03:04:05.678    of-tomorrow 
"""
asked, answer = [], []


def serve(listener):
    while True:
        s, _ = listener.accept()
        with s, s.makefile("rb") as f:
            asked.append(json.loads(f.readline()))
            # In pieces, as a socket may have them.
            data = b"".join(json.dumps(e).encode() + b"\n" for e in answer)
            for i in range(0, len(data), 700):
                s.sendall(data[i:i + 700])


def run(*words, code=0):
    done = subprocess.run([CTL, "--socket", PATH, "watch", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False,
                          timeout=60)
    assert done.returncode == code, (words, done)
    return done.stdout.decode(), done.stderr.decode()


with tempfile.TemporaryDirectory() as tmp:
    PATH = os.path.join(tmp, "s")
    server = socket.socket(socket.AF_UNIX)
    server.bind(PATH)
    server.listen(16)
    threading.Thread(target=serve, args=(server,), daemon=True).start()

    # For people; it ends with the daemon.
    answer[:] = [FIRST, *EVENTS]
    out, err = run(code=3)
    assert out == WANT, out
    assert "Connection reset" in err, err
    assert asked.pop() == {"command": "watch"}
    # For programs: a line an event, as it came, and nothing that a terminal would obey.
    out, _ = run("--json", code=3)
    assert [json.loads(line) for line in out.splitlines()] == answer and out.isascii(), out
    # As many as were asked for; what was left out is none of them.
    assert run("--limit", "6")[0] == "".join(WANT.splitlines(True)[:7])
    # What is asked for.
    asked.clear()
    run("sessions", "--peer", "192.0.2.0/24", "--limit", "1")
    run("--domain", "example.com", "--rule", "R_*", "--trace-id", "0123456789ABCDEF", "--route", "office", "--outcome", "rejected",
        "messages", "--limit=1")
    assert asked == [{"command": "watch", "what": "sessions", "peer": "192.0.2.0/24"},
                     {"command": "watch", "what": "messages", "domain": "example.com", "rule": "R_*", "trace_id": "0123456789ABCDEF",
                      "route": "office", "outcome": "rejected"}], asked
    # What is wrong with it, and what the daemon says to it.
    for words in (("--limit", "0"), ("--limit", "x"), ("sessions", "messages"), ("--what",), ("--peer",)):
        assert "watch" in run(*words, code=2)[1], words
    answer[:] = [{"error": {"code": "bad-request", "text": "peer: an address or a network"}}]
    assert run("--peer", "x", code=2)[1] == "posternctl: peer: an address or a network\n"
    answer[:] = [{"error": {"code": "busy", "text": "8 watch already"}}]
    assert "8 watch" in run(code=1)[1]
    # Where it cannot be written it ends, and says so.
    answer[:] = [FIRST, *EVENTS]
    for words in ((), ("--json",), ("--limit", "1")):
        with open("/dev/full", "wb") as full:
            done = subprocess.run([CTL, "--socket", PATH, "watch", *words], stdout=full, stderr=subprocess.PIPE, check=False, timeout=60)
        assert done.returncode == 1 and b"standard output" in done.stderr, (words, done)
    answer[:] = []
    run(code=3)
    answer[:] = [7]
    assert "not understood" in run(code=3)[1]
    assert "No such file" in subprocess.run([CTL, "--socket", PATH + "x", "watch"], stderr=subprocess.PIPE, check=False,
                                            timeout=60).stderr.decode()
print("ok")
