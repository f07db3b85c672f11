#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""The audit of no-loss itself, on made-up books: what is right passes, each violation is named, and nothing else."""
import hashlib
import os
import pathlib
import struct
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import importlib.machinery  # noqa: E402
import importlib.util  # noqa: E402
import sqlite3  # noqa: E402

import loss_books as b  # noqa: E402

A, B = "a@example.com", "b@example.com"


def audit(sender, hop, kills=(), held=()):
    books = b.Books()
    # one that is always there and always right, so that books are never empty
    books.read_sender([f"m0 1 250 {A} 1 2 -", *sender])
    books.read_hop([f"T m0 1 A {A} none 1.1 ok", "R m0 1 1.2", *hop])
    books.kills = [b.Kill(*k) for k in kills]
    for h in held:
        books.held(*h)
    a = b.Audit(books)
    a.show(lambda *x: " ".join(map(str, x)))
    return a


def expect(name, kinds, sender, hop, kills=(), held=(), **facts):
    a = audit(sender, hop, kills, held)
    found = {k: len(v) for k, v in a.bad.items() if v}
    assert found == kinds, f"{name}: {found}, expected {kinds}\n{a.bad}"
    assert a.good() == (not kinds), name
    for key, value in facts.items():
        got = getattr(a, key)
        got = dict(got) if isinstance(got, dict) else got
        assert got == value, f"{name}: {key} is {got}, expected {value}"
    print(f"{name}: ok")


def copy(n=1, rcpts=A, fault="none", taken=10.1, replied=10.2, good="ok", where="A"):
    out = [f"T m1 {n} {where} {rcpts} {fault} {taken} {good}"]
    return out + ([f"R m1 {n} {replied}"] if replied else [])


def what_is_right():
    expect("delivered", {}, [f"m1 1 250 {A},{B} 10 10.3 -"], copy(rcpts=f"{A},{B}"))
    expect("refused", {}, [f"m1 1 5xx {A} 10 10.3 -"], [])
    expect("refused at RCPT", {}, [f"m1 1 rcpt5 {B} 0 10 -", f"m1 1 250 {A} 10 10.3 -"], copy())
    expect("held", {}, [f"m1 1 250 {A} 10 10.3 -"], [], held=[("m1", 1, [A], True)])
    expect("reply cut", {}, [f"m1 1 4xx {A} 10 10.3 -", f"m1 2 250 {A} 11 11.3 -"],
           copy(fault="cut:3", replied=0) + copy(2, taken=11.1, replied=11.2), again={"next hop: reply cut": 1})
    expect("control killed", {}, [f"m1 1 4xx {A} 10 10.3 -", f"m1 2 250 {A} 11 11.3 -"],
           copy() + copy(2, taken=11.1, replied=11.2), [("control", 10.15, 10.25)], again={"control killed (random)": 1})
    expect("next hop killed", {}, [f"m1 1 4xx {A} 10 10.3 -", f"m1 2 250 {A} 11 11.3 -"],
           copy(replied=0) + copy(2, taken=11.1, replied=11.2), [("A", 10.15, 10.25)], again={"next hop killed (random)": 1})
    expect("dataplane killed, answered from the table", {}, [f"m1 1 lost {A} 10 12 -", f"m1 2 250m {A} 15 15.1 -"], copy(),
           [("dataplane", 10.3, 10.4)], again={}, remembered={"dataplane killed (random)": 1})
    expect("client reset", {}, [f"m1 1 reset {A} 10 10.05 -", f"m1 2 250 {A} 10.2 10.4 -"],
           copy() + copy(2, taken=10.3, replied=10.35), under_way=1)
    expect("overtaken", {}, [f"m1 1 lost {A} 10 11 -", f"m1 2 reset {A} 15 15.1 -", f"m1 3 250m {A} 15.2 15.3 -"],
           copy() + copy(2, taken=15.3, replied=15.4), [("dataplane", 10.3, 10.4)], under_way=1)
    expect("client reset, answered from the table", {}, [f"m1 1 reset {A} 10 10.05 -", f"m1 2 250m {A} 13 13.4 -"], copy(),
           remembered={"client reset, our 2xx not acknowledged": 1})
    expect("not read, but acknowledged", {}, [f"m1 1 unread {A} 10 10.3 -", f"m1 2 250 {A} 13 13.4 -"],
           copy() + copy(2, taken=13.1, replied=13.2))
    expect("sent twice", {}, [f"m1 1 250 {A} 10 10.3 -", f"m1 2 250 {A} 11 11.3 again"],
           copy() + copy(2, taken=11.1, replied=11.2), again={})
    expect("answered from the table, then sent twice", {}, [
        f"m1 1 4xx {A} 9 9.3 -", f"m1 2 reset {A} 10 10.05 -", f"m1 3 250m {A} 13 13.4 -", f"m1 4 250 {A} 14 14.3 again"],
        copy(fault="cut:3", taken=9.1, replied=0) + copy(2) + copy(4, taken=14.1, replied=14.2),
        remembered={"client reset, our 2xx not acknowledged": 1}, again={"next hop: reply cut": 1})
    expect("behind our deadline", {}, [f"m1 1 4xx {A} 10 15.1 -", f"m1 2 250m {A} 20 20.1 -"],
           copy(fault="verylate", replied=17), again={}, remembered={"next hop: reply behind our deadline": 1})
    expect("sent twice over a kill", {}, [f"m1 1 250 {A} 10 10.3 -", f"m1 2 250m {A} 11 11.3 again"], copy(),
           [("control", 10.31, 10.4)], swallowed_by_kill=1)
    expect("5xx behind a try in doubt", {}, [f"m1 1 4xx {A} 10 10.3 -", f"m1 2 5xx {A} 11 11.3 -"],
           copy(fault="cut:3", replied=0))


def what_is_not():
    expect("lost", {"lost": 1}, [f"m1 1 250 {A} 10 10.3 -"], [])
    expect("lost for one", {"lost": 1}, [f"m1 1 250 {A},{B} 10 10.3 -"], copy())
    expect("lost from quarantine", {"lost": 1}, [f"m1 1 250 {A} 10 10.3 -"], [], held=[("m1", 1, [], True)])
    expect("lost, another try's copy is not its own", {"lost": 1},
           [f"m1 1 4xx {A} 10 10.3 -", f"m1 2 250 {A} 11 11.3 -"], copy(fault="cut:3", replied=0))
    expect("lost, answered from memory", {"lost": 1}, [f"m1 1 broken {A} 0 10 -", f"m1 2 250m {A} 11 11.3 -"], [])
    expect("lost, answered from another recipient's memory", {"lost": 1},
           [f"m1 1 reset {A} 10 10.05 -", f"m1 2 250m {A},{B} 13 13.3 -"], copy())
    expect("refused and there", {"refused": 1}, [f"m1 1 5xx {A} 10 10.3 -"], copy())
    expect("deferred though taken", {"deferred": 1}, [f"m1 1 4xx {A} 10 10.3 -"], copy())
    expect("deferred, the kill was earlier", {"deferred": 1}, [f"m1 1 4xx {A} 10 10.3 -"], copy(),
           [("control", 8, 8.5), ("B", 10.1, 10.2), ("dns", 10, 11)])
    expect("a late reply is none that is cut", {"deferred": 1}, [f"m1 1 4xx {A} 10 12 -"], copy(fault="late", replied=11))
    expect("no dot", {"broken": 1}, [f"m1 1 broken {A} 0 10.3 -"], copy())
    expect("no content", {"broken": 1}, [f"m1 1 pre4 {A} 0 10.3 -"], copy())
    expect("doubled", {"doubled": 1}, [f"m1 1 250 {A} 10 10.3 -"], copy() + copy(where="B"))
    expect("doubled, in quarantine", {"doubled": 1}, [f"m1 1 250 {A} 10 10.3 -"], copy(), held=[("m1", 1, [A], True)])
    expect("damaged", {"damaged": 1}, [f"m1 1 250 {A} 10 10.3 -"], copy(good="bad"))
    expect("damaged in quarantine", {"damaged": 1}, [f"m1 1 250 {A} 10 10.3 -"], [], held=[("m1", 1, [A], False)])
    expect("stray recipient", {"stray": 1}, [f"m1 1 250 {A} 10 10.3 -"], copy(rcpts=f"{A},{B}"))
    expect("stray message", {"stray": 1}, [], copy())
    expect("stray try", {"stray": 1}, [f"m1 1 250 {A} 10 10.3 -"], copy() + copy(2))
    expect("a recipient that was refused", {"stray": 1}, [f"m1 1 rcpt5 {B} 0 10 -", f"m1 1 250 {A} 10 10.3 -"],
           copy(rcpts=f"{A},{B}"))
    expect("gone", {"gone": 1}, [f"m1 1 lost {A} 10 10.3 -"], [])
    expect("no answer", {"gone": 1}, [f"m1 1 timeout {A} 10 17 -"], [], [("control", 11, 12)])
    expect("memory, and delivered", {"memory": 1}, [f"m1 1 reset {A} 10 10.05 -", f"m1 2 250m {A} 10.1 10.3 -"],
           copy() + copy(2), under_way=1)
    expect("swallowed", {"swallowed": 1}, [f"m1 1 250 {A} 10 10.3 -", f"m1 2 250m {A} 11 11.3 again"], copy())
    expect("swallowed, the kill was later", {"swallowed": 1},
           [f"m1 1 250 {A} 10 10.3 -", f"m1 2 250m {A} 21 21.3 again"], copy(), [("control", 12, 13)])
    expect("swallowed, no intent", {"swallowed": 1}, [f"m1 1 250 {A} 10 10.3 -", f"m1 2 250m {A} 11 11.3 -"], copy(),
           [("control", 10.31, 10.4)])
    expect("missed", {"missed": 1}, [f"m1 1 lost {A} 10 11 -", f"m1 2 250 {A} 15 15.1 -"],
           copy() + copy(2, taken=15, replied=15.1), [("dataplane", 10.3, 10.4)])
    expect("missed, not overtaken", {"missed": 1},
           [f"m1 1 lost {A} 10 11 -", f"m1 2 reset {A} 15 15.1 -", f"m1 3 250m {A} 15.6 15.7 -"],
           copy() + copy(2, taken=15.3, replied=15.4), [("dataplane", 10.3, 10.4)])
    expect("missed behind our deadline", {"missed": 1}, [f"m1 1 4xx {A} 10 15.1 -", f"m1 2 250 {A} 20 20.1 -"],
           copy(fault="verylate", replied=17) + copy(2, taken=20, replied=20.1))
    many = [(f"m{i} 1 reset {A} 10 10.05 -", f"m{i} 2 250 {A} 13 13.1 -") for i in range(1, 6)]
    hop = [x.replace("m1 ", f"m{i} ") for i in range(1, 6) for x in copy() + copy(2, taken=13, replied=13.1)]
    expect("missed by clients that reset", {"missed": 1}, [x for m in many for x in m], hop, raced=5)
    a = b.Audit(b.Books())
    assert not a.good(), "empty books prove nothing"


def quarantine():
    """A row and its file are a copy; a row without, and octets that are others, are not a good one."""
    loader = importlib.machinery.SourceFileLoader("no_loss", str(pathlib.Path(__file__).parent / "no-loss"))
    no_loss = importlib.util.module_from_spec(importlib.util.spec_from_loader("no_loss", loader))
    loader.exec_module(no_loss)
    with tempfile.TemporaryDirectory() as d:
        d = pathlib.Path(d)
        (d / "new").mkdir()
        db = sqlite3.connect(d / "index.db")
        db.execute("CREATE TABLE message (id TEXT, rcpts BLOB)")
        body = b"text\r\n"
        for name, text in (("GOOD", body), ("BAD", b"other\r\n"), ("NONE", None)):
            db.execute("INSERT INTO message VALUES (?, ?)", (name, struct.pack(">I", len(A)) + A.encode()))
            if text:
                (d / f"new/{name}.eml").write_bytes(
                    f"Message-ID: <{name}@x>\r\nX-Attempt: 3\r\nX-Sum: {hashlib.sha256(body).hexdigest()[:16]}\r\n\r\n".encode() + text)
        db.commit()
        db.close()
        books = b.Books()
        no_loss.read_quarantine(books, d)
    assert {k: (c[0].rcpts, c[0].good) for k, c in books.copies.items()} == {
        ("GOOD", 3): ([A], True), ("BAD", 3): ([A], False), ("NONE", 0): ([A], False)}, books.copies
    print("quarantine: ok")


if __name__ == "__main__":
    what_is_right()
    what_is_not()
    quarantine()
