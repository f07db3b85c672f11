#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""The comparison itself, on made-up books: what is right passes, each lie is named, and nothing else."""
import copy
import json
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import tap_books as t  # noqa: E402

A, B = "192.0.2.1:1000>198.51.100.25:25", "[2001:db8::1]:2000>[2001:db8::25]:25"
SHA, OTHER = "ab" * 32, "cd" * 32


def session(flow=A, **more):
    return {"type": "session", "session": 0, "flow": flow, "sees": "both", "tls": False, "cut_start": False, "cut_end": False, **more}


def message(sender="s@example.net", flow=A, **more):
    return {"type": "message", "session": 0, "flow": flow, "expect": "exact", "mail_from": sender, "rcpt_to": ["a@example.com"],
            "rcpt_refused": [], "via": "data", "size": 100, "sha256": SHA, "reply": 250, "complete": True, "lack": None,
            "odd": [], "missing": 0, "ambiguous": False, "reply_maybe": False, **more}


def gap(**more):
    return message(complete=False, lack="gap", missing=40, sha256=None, **more)


def anomaly(kind, must=True, flow=A):
    return {"type": "anomaly", "session": 0, "flow": flow, "kind": kind, "from": "client", "packet": 7, "offset": 3, "octets": 2,
            "must": must}


def told(sender="s@example.net", flow=A, **more):
    return {"flow": flow, "mail_from": sender, "rcpt_to": ["a@example.com"], "size": 100, "sha256": SHA, "complete": True,
            "reply": 250, "anomalies": [], **more}


def odd(name, flow=A):
    return {"flow": flow, "anomaly": name}


def files(book, dump):
    n = sum(1 for b in book if b["type"] == "message")
    book = [{"type": "capture", "version": 1}] + book + [{"type": "end", "messages": n}]
    for lines in (book, dump):
        with tempfile.NamedTemporaryFile("w", delete=False) as f:
            f.writelines(json.dumps(x) + "\n" for x in lines)
        yield f.name


def compare(book, dump, **lists):
    paths = list(files(book, dump))
    try:
        return t.Comparison(t.Book(paths[0]), t.Dump(paths[1]), **lists)
    finally:
        for p in paths:
            os.unlink(p)


def expect(name, bad, book, dump, **lists):
    c = compare(book, dump, **lists)
    found = {k: len(v) for k, v in c.bad.items() if v}
    assert found == bad, f"{name}: {found}, expected {bad}\n{dict(c.bad)}"
    assert c.good() == (not bad), name


MISSING, INVENTED, WRONG = ({f"messages {w}": 1} for w in ("missing", "invented", "wrong"))
BOOK = [session(), message()]

expect("right", {}, BOOK, [told(), {"messages": 1}])
expect("nothing at all", MISSING, BOOK, [])
expect("twice", INVENTED, BOOK, [told(), told()])
expect("of nobody", INVENTED, BOOK, [told(), told("x@example.net")])
expect("in a flow of nobody", INVENTED, BOOK, [told(), told("x@example.net", flow=B)])
expect("in the wrong flow", {**MISSING, **INVENTED}, BOOK, [told(flow=B)])
expect("not whole, of nobody", INVENTED, BOOK, [told(), told("x@example.net", complete=False)])
for lie in ({"sha256": OTHER}, {"size": 99}, {"size": None}, {"reply": 550}, {"reply": None}, {"complete": False}, {"rcpt_to": []},
            {"rcpt_to": ["a@example.com", "b@example.com"]}, {"rcpt_to": ["A@example.com"]}, {"sha256": None},
            {"rcpt_refused": ["b@example.com"]}):
    expect(f"lie {lie}", WRONG, BOOK, [told(**lie)])
for field in ("size", "sha256", "complete", "reply", "rcpt_to"):
    lame = told()
    del lame[field]
    assert compare(BOOK, [lame]).bad["messages wrong"], f"without {field}"

# how things may be written
for same in ({"reply": "250 2.0.0 Ok"}, {"mail_from": "<s@example.net>"}, {"rcpt_to": ["<a@example.com>"]},
             {"rcpt_to": [{"address": "a@example.com", "reply": 250}, {"address": "b@example.com", "reply": 550}]},
             {"flow": "192.0.2.1:1000-198.51.100.25:25"}, {"flow": "192.0.2.1.1000 > 198.51.100.25.25"},
             {"flow": {"src": "192.0.2.1", "sport": 1000, "dst": "198.51.100.25", "dport": 25}}):
    expect(f"written {same}", {}, BOOK, [told(**same)])
expect("IPv6", {}, [session(B), message(flow=B)], [told(flow="[2001:0db8:0::1]:2000 -> [2001:db8:0:0::25]:25")])
expect("one of two refused", WRONG, [session(), message(rcpt_refused=["b@example.com"])],
       [told(rcpt_to=[{"address": "a@example.com", "reply": 250}, {"address": "b@example.com", "reply": 250}])])

# null senders: by content, then by order
two = [session(), message(""), message("", sha256=OTHER, rcpt_to=["b@example.com"])]
expect("null senders", {}, two, [told("", sha256=OTHER, rcpt_to=["b@example.com"]), told("<>")])
expect("one of them missing", MISSING, two, [told("")])
empty = [session(), message(expect="optional"), message("t@example.net", expect="optional")]
expect("one without its sender", {}, empty, [told(), told(None, complete=False)])
expect("their recipients exchanged", {"messages wrong": 2}, two,
       [told("", rcpt_to=["b@example.com"]), told("", sha256=OTHER)])

# gaps
LOST = [session(), gap(), anomaly("lost")]
part = told(complete=False, sha256=None, size=60, reply=250)
expect("gap", {}, LOST, [part, odd("never_seen")])
expect("gap in the message's own list", {}, LOST, [{**part, "anomalies": ["gap"]}])
expect("gap as an object", {}, LOST, [part, {"flow": A, "anomaly": "gap", "cause": "never_seen", "octets": 40}])
expect("gap, how much", {}, LOST, [{**part, "missing": 40}, odd("gap")])
expect("gap, how much: a lie", WRONG, LOST, [{**part, "missing": 41}, odd("gap")])
expect("gap, how much, as text", {}, LOST, [{**part, "incomplete": "gap,40"}, odd("gap")])
expect("gap, how much, as text: a lie", WRONG, LOST, [{**part, "incomplete": "gap,4"}, odd("gap")])
expect("gap, more than there is", WRONG, LOST, [{**part, "size": 101}, odd("gap")])
expect("gap unreported", {"anomalies missing": 1}, LOST, [part])
expect("gap glossed over", WRONG, LOST, [told(), odd("gap")])
expect("gap, and nothing is told of the message", MISSING, LOST, [odd("gap")])
expect("gap invented", {"anomalies invented": 1}, BOOK, [told(), odd("never_seen")])

# what need not be there may be, but not with another content
UNSURE = [session(), message(expect="optional"), anomaly("lost")]
expect("optional, missing", {}, UNSURE, [odd("gap")])
expect("optional, there", {}, UNSURE, [told(), odd("gap")])
expect("optional, in part", {}, UNSURE, [told(complete=False, sha256=None, reply=None, rcpt_to=[]), odd("gap")])
expect("optional, false", WRONG, UNSURE, [told(sha256=OTHER), odd("gap")])
expect("two run into each other, and it says so", {}, UNSURE, [told("", complete=False), odd("gap")])
expect("two run into each other, as if whole", INVENTED, UNSURE, [told(""), odd("gap")])

expect("optional, its MAIL is lost", {}, UNSURE, [told(None), odd("gap")])
expect("exact, its MAIL is said to be lost", {**MISSING, **INVENTED}, BOOK, [told(None)])

# TLS
TLS, SAID = [session(tls=True)], {"type": "encrypted", "flow": A}
expect("TLS", {}, TLS, [SAID])
expect("TLS unnoticed", {"TLS missing": 1}, TLS, [])
expect("TLS invented", {"TLS invented": 1}, BOOK, [told(), SAID])
expect("TLS invented, in a flow of nobody", {"TLS invented": 1}, BOOK, [told(), {**SAID, "flow": B}])
expect("TLS of a client alone", {}, [session(tls=True, sees="client")], [])
expect("one side alone", {}, [session(sees="client"), message(reply=None)], [told(reply=None), odd("gap")])
expect("TLS behind a gap", {}, [*TLS, anomaly("lost")], [odd("gap")])

# a decoy: other content only if it says that octets differed
DECOY = [session(), message(ambiguous=True), anomaly("ttl-decoy")]
expect("decoy, true content", {}, DECOY, [told(), odd("overlap_diff")])
expect("decoy, first content", {}, DECOY, [told(sha256=OTHER), odd("overlap_diff")])
expect("decoy, silent", {**WRONG, "anomalies missing": 1}, DECOY, [told(sha256=OTHER)])
expect("decoy, other recipients", WRONG, DECOY, [told(rcpt_to=[]), odd("ttl")])

expect("decoy in what is optional", {}, [session(), message(ambiguous=True, expect="optional"), anomaly("ttl-decoy")],
       [told(sha256=OTHER), odd("ttl")])
PIPELINED = [session(), message(reply_maybe=True), anomaly("lost")]
expect("reply past telling", {}, PIPELINED, [told(reply=None), odd("gap")])
expect("reply past telling, guessed wrong", WRONG, PIPELINED, [told(reply=550), odd("gap")])

# anomalies
expect("another flow's", {"anomalies missing": 1, "anomalies invented": 1}, [*BOOK, anomaly("checksum"), session(B)],
       [told(), odd("bad_checksum", B)])
expect("may, not told", {}, [*BOOK, anomaly("checksum", must=False)], [told()])
expect("may, told", {}, [*BOOK, anomaly("checksum", must=False)], [told(), odd("bad_checksum")])
expect("--must", {"anomalies missing": 1}, [*BOOK, anomaly("tiny", must=False)], [told()], must=["tiny"])
expect("--may", {}, [*BOOK, anomaly("checksum")], [told()], may=["checksum"])
expect("--ignore", {}, BOOK, [told(), odd("novelty")], ignore=["novelty"])
expect("a name nobody knows", {"anomalies invented": 1}, BOOK, [told(), odd("novelty")])
expect("odd content", {}, [session(), message(odd=["nul"])], [told(anomalies=["nul"])])
expect("odd content invented", {"anomalies invented": 1}, [session(), message(odd=["nul"])], [told(anomalies=["bare_lf"])])
for kind in t.SEEN:
    needed, more = t.SEEN[kind]
    for name in needed | more:
        expect(f"{kind} as {name}", {}, [*BOOK, anomaly(kind, must=False)], [told(), odd(name)])

# files that are none
for book, dump, why in (([{"type": "message"}], [], "no 'flow'"), ([session(), anomaly("nonsense")], [], "no such kind"),
                        (BOOK, [{"flow": A}], "neither"), (BOOK, [told(flow="192.0.2.1")], "two addresses")):
    try:
        compare(copy.deepcopy(book), dump)
        raise AssertionError(f"taken: {book} {dump}")
    except t.Unusable as e:
        assert why in str(e), e


def run(*args):
    return subprocess.run([sys.executable, os.path.join(HERE, "tap_books.py"), *args], capture_output=True, text=True, check=False)


for dump, status in (([told()], 0), ([], 1)):
    paths = list(files(BOOK, dump))
    got = run(*paths)
    assert got.returncode == status and "messages missing" in got.stdout, got
with open(paths[0], "a", encoding="utf-8") as f:
    f.write("{\n")
assert run(*paths).returncode == 2 and run(paths[0], "/nonexistent").returncode == 2
assert run(paths[1], paths[1]).returncode == 2  # a book without its end
print("right")
