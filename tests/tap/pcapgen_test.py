#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""pcapgen from outside: the same seed gives the same octets; a plain observer of its own finds in the captures what the books
say, each kind of anomaly among it; tcpdump finds no wrong checksum; and a capture or a dump that is not right is noticed.

	pcapgen_test.py PCAPGEN"""
import hashlib
import json
import os
import re
import struct
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import tap_books  # noqa: E402
import tap_reader  # noqa: E402

GEN, DIR = sys.argv[1], tempfile.mkdtemp(prefix="pcapgen-")
SMALL = ("--size", "200-4k@80,4k-40k@20")


def path(name):
    return os.path.join(DIR, name)


def make(name, *options, status=0):
    got = subprocess.run([GEN, "-o", path(name + ".pcap"), "-b", path(name + ".book"), *options],
                         capture_output=True, text=True, check=False)
    assert got.returncode == status, got
    return got.stderr


def sha(name):
    with open(path(name), "rb") as f:
        return hashlib.sha256(f.read()).hexdigest()


def book(name):
    with open(path(name + ".book"), encoding="utf-8") as f:
        return [json.loads(line) for line in f]


def observe(name):
    with open(path(name + ".dump"), "w", encoding="utf-8") as f:
        for thing in tap_reader.observe(path(name + ".pcap")):
            f.write(json.dumps(thing) + "\n")


def compare(name):
    return tap_books.Comparison(tap_books.Book(path(name + ".book")), tap_books.Dump(path(name + ".dump")))


def right(name):
    observe(name)
    c = compare(name)
    assert c.good(), (name, dict(c.bad))
    return c


def same_seed():
    for name, seed in (("a", "3"), ("b", "3"), ("c", "4")):
        make(name, "--seed", seed, "--sessions", "30", "--plant", "all", "--syn-flood", "3", *SMALL)
    for end in (".pcap", ".book"):
        assert sha("a" + end) == sha("b" + end) != sha("c" + end)
    with open(path("out"), "wb") as f:
        subprocess.run([GEN, "-o", "-", "--seed", "3", "--sessions", "30", "--plant", "all", "--syn-flood", "3", *SMALL],
                       stdout=f, stderr=subprocess.DEVNULL, check=True)
    assert sha("out") == sha("a.pcap"), "with and without a book"


def clean():
    make("clean", "--sessions", "80", *SMALL)
    c, b = right("clean"), book("clean")
    messages = [m for m in b if m["type"] == "message"]
    assert c.found == len(messages) > 100 and c.reported == 0
    assert all(m["complete"] and m["expect"] == "exact" for m in messages if m["lack"] is None and m["rcpt_to"])
    # each way of sending, and of being refused, is in it
    assert {m["via"] for m in messages} == {"data", "bdat"} and {250} < {m["reply"] for m in messages}
    assert any(m["rcpt_refused"] for m in messages) and any(not m["mail_from"] for m in messages)
    assert any(s["tls"] for s in b if s["type"] == "session") and {0, 1} <= {s.get("tags") for s in b}
    text = subprocess.run(["tcpdump", "-nvvr", path("clean.pcap")], capture_output=True, text=True, check=True).stdout
    end = b[-1]
    assert text.count("(correct)") == end["packets"] and "incorrect" not in text and "bad cksum" not in text
    assert os.path.getsize(path("clean.pcap")) == end["octets"]


def flows_of(name):
    """The flow of each packet, by number."""
    out = [None]
    for _, f in tap_reader.pcap(path(name + ".pcap")):
        at = 12
        while f[at:at + 2] in (b"\x81\x00", b"\x88\xa8"):
            at += 4
        ip = f[at + 2:]
        out.append(frozenset((ip[12:16], ip[16:20]) if f[at:at + 2] == b"\x08\x00" else (ip[8:24], ip[24:40])))
    return out


def planted():
    kinds = [k for k in tap_books.SEEN if k not in ("lost", "ttl-rst")]
    rates = ",".join(f"{k}={8 if k.startswith(('cut', 'abort', 'lost', 'fin')) else 2}" for k in kinds) + ",lost=1,ttl-rst=0.2"
    make("planted", "--sessions", "300", "--plant", rates, "--with", "client-only=8,server-only=4,reuse=8", "--seed", "5", *SMALL)
    c, b = right("planted"), book("planted")
    found = {a["kind"] for a in b if a["type"] == "anomaly"}
    assert found == set(tap_books.SEEN), set(tap_books.SEEN) - found
    assert c.planted > 100 and c.reported > 100 and c.found > 300
    flows = flows_of("planted")
    for a in b:
        # what was lost stands at the number of the packet that came next
        if a["type"] == "anomaly" and not a["kind"].startswith("lost"):
            ends = frozenset(e[0].packed for e in tap_books.flow_key(a["flow"]))
            assert flows[a["packet"]] == ends, a
    listed = subprocess.run([GEN, "--list"], capture_output=True, text=True, check=True).stdout.split("--plant")[1]
    assert set(re.findall(r"^  ([a-z-]+)", listed, re.M)) == set(tap_books.SEEN)


def without(name, number, to):
    """The capture without a packet."""
    with open(path(name + ".pcap"), "rb") as f:
        data = f.read()
    at, n = 24, 1
    while True:
        size = 16 + struct.unpack("<I", data[at + 8:at + 12])[0]
        if n == number:
            break
        at, n = at + size, n + 1
    with open(path(to + ".pcap"), "wb") as f:
        f.write(data[:at] + data[at + size:])


def noticed():
    make("one", "--sessions", "1", "--size", "30k", "--with", "none")
    right("one")
    sizes = [len(f) for _, f in tap_reader.pcap(path("one.pcap"))]
    for number in (sizes.index(1514) + 3, 7):  # content; a command or its reply
        without("one", number, "less")
        os.replace(path("one.pcap"), path("whole.pcap"))
        os.replace(path("less.pcap"), path("one.pcap"))
        observe("one")
        assert not compare("one").good(), number
        os.replace(path("whole.pcap"), path("one.pcap"))
    right("one")


def files():
    os.mkdir(path("mail"))
    for name, text in (("1", b"Subject: a\n\n.\n..b\nc"), ("2", b"Subject: b\r\n\r\nbare\rcr\x00\r\n"), ("3", b"x: y\n\n" + b"z" * 5000)):
        with open(os.path.join(path("mail"), name), "wb") as f:
            f.write(text)
    wire = [b"Subject: a\r\n\r\n.\r\n..b\r\nc\r\n", b"Subject: b\r\n\r\nbare\rcr\x00\r\n", b"x: y\r\n\r\n" + b"z" * 5000 + b"\r\n"]
    make("files", "--from", path("mail"), "--sessions", "30")
    right("files")
    hashes = {m["sha256"] for m in book("files") if m["type"] == "message" and m["complete"] and m["size"]}
    assert hashes == {hashlib.sha256(w).hexdigest() for w in wire}
    assert any(m.get("odd") == ["nul", "bare_cr"] for m in book("files"))
    os.mkdir(path("none"))
    assert "no messages" in make("x", "--from", path("none"), status=1)
    assert "No such file" in make("x", "--from", path("nowhere"), status=1)


def shapes():
    """Options that change the form: each is seen in what comes out."""
    make("jumbo", "--sessions", "20", "--mtu", "9000", "--size", "100k", "--with", "qinq=100,ipv6=100")
    right("jumbo")
    assert max(len(f) for _, f in tap_reader.pcap(path("jumbo.pcap"))) == 9000 + 14 + 8
    make("many", "--octets", "3m", "--concurrent", "500", "--syn-flood", "100", "--size", "1k")
    end = book("many")[-1]
    assert end["octets"] > 3 << 20 and 2 * end["syns"] == end["packets"]
    right("many")
    make("wrap", "--sessions", "20", "--with", "seq-wrap=100", "--size", "30k")
    right("wrap")
    make("port", "--sessions", "5", "--port", "2525", "--size", "1k")
    assert len(list(tap_reader.observe(path("port.pcap"), (2525,)))) > 3
    make("syns", "--syns", "500", "--microseconds", "--server", "192.0.2.9", "--server", "2001:db8::9",
         "--server-mac", "02:aa:bb:cc:dd:ee", "--with", "ipv6=50")
    with open(path("syns.pcap"), "rb") as f:
        assert struct.unpack("<I", f.read(4))[0] == 0xA1B2C3D4
    text = subprocess.run(["tcpdump", "-nevvr", path("syns.pcap")], capture_output=True, text=True, check=True).stdout
    assert text.count("02:aa:bb:cc:dd:ee, ethertype") == text.count("Flags [S], cksum") == text.count("(correct)") == 500
    assert text.count("> 192.0.2.9.25: ") + text.count("> 2001:db8::9.25: ") == 500 and len(set(re.findall(r"(\S+) > ", text))) > 490
    times = [t for t, _ in tap_reader.pcap(path("many.pcap"))]
    assert times == sorted(times)


def wrong_options():
    for options, why in ((("--plant", "nonsense=1"), "NAME=PERCENT"), (("--plant", "lost=101"), "from 0 to 100"), (("--size", "9-3"), "9"),
                         (("--plant", "lost=60,tiny=60"), "120.0"), (("--mtu", "600"), "1280"), (("--with", "bdat"), "NAME=PERCENT"),
                         (("--sessions", "0"), "from 1"), (("--octets", "1x"), "1x"), (("--server", "x"), "not an address"), (("--server-mac", "1:2"), "not a MAC"), (("extra",), "not an option")):
        got = subprocess.run([GEN, "-o", path("x.pcap"), *options], capture_output=True, text=True, check=False)
        assert got.returncode and why in got.stderr, (options, got)
    got = subprocess.run([GEN, "-o", "/nonexistent/x", "--sessions", "1"], capture_output=True, text=True, check=False)
    assert got.returncode == 1 and "/nonexistent/x" in got.stderr
    got = subprocess.run([GEN, "-o", "/dev/full", "--sessions", "50"], capture_output=True, text=True, check=False)
    assert got.returncode == 1 and "No space" in got.stderr, got


try:
    for part in (same_seed, clean, planted, noticed, files, shapes, wrong_options):
        part()
        print(part.__name__, "right")
finally:
    subprocess.run(["rm", "-rf", DIR], check=False)
