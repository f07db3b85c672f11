#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""bench/sink against smtplib and hand-written sessions on loopback: test_sink.py SINK"""
import hashlib
import json
import pathlib
import re
import smtplib
import socket
import ssl
import subprocess
import sys
import tempfile

MESSAGE = b"From: a@example.net\r\nMessage-ID: <%d@example.net>\r\n\r\n.one\r\ntwo\r\n"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Sink:
    def __init__(self, *args):
        self.port = free_port()
        self.p = subprocess.Popen([sys.argv[1], f"127.0.0.1:{self.port}", *map(str, args)],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert "ready" in self.p.stdout.readline()

    def report(self, word="report"):
        self.p.stdin.write(word + "\n")
        self.p.stdin.flush()
        return json.loads(self.p.stdout.readline())

    def end(self):
        r = self.report("end")
        assert self.p.wait(10) == 0
        return r

    def raw(self):
        s = socket.create_connection(("127.0.0.1", self.port), 10)
        return s, s.makefile("rb")


def lines(f, n):
    return [f.readline()[:3] for _ in range(n)]


def takes_and_books(directory):
    books = directory / "books"
    k = Sink("--books", books, "--look", "Message-ID: <2", "--look", "From: a@")
    with smtplib.SMTP("127.0.0.1", k.port, timeout=10) as c:
        for i in range(3):
            c.sendmail("a@example.net", ["b@example.com"], MESSAGE % i)
    s, f = k.raw()
    body = MESSAGE % 3
    head = b"EHLO x\r\nMAIL FROM:<a@example.net>\r\nRCPT TO:<b@example.com>\r\n"
    s.sendall(head + b"BDAT %d\r\n%sBDAT 0 LAST\r\n" % (len(body), body))
    for octet in b"MAIL FROM:<>\r\nRCPT TO:<b@example.com>\r\nDATA\r\n" + MESSAGE % 4 + b".\r\nQUIT\r\n":
        s.sendall(bytes([octet]))
    got = f.read().split(b"\r\n")
    assert [x[:3] for x in got[-10:-1]] == [b"250"] * 6 + [b"354", b"250", b"221"], got
    s, f = k.raw()
    s.sendall(head + b"DATA\r\nhalf of it")
    f.read1()
    s.close()
    r = k.end()
    assert (r["messages"], r["refused"], r["aborted"]) == (5, 0, 1), r
    rows = [json.loads(x) for x in books.read_text().splitlines()]
    assert [x["id"] for x in rows] == [f"<{i}@example.net>" for i in range(5)], rows
    assert rows[3]["octets"] == len(MESSAGE % 3), rows
    assert [x["found"] for x in rows] == [2, 2, 3, 2, 2], rows


def digests(directory):
    """Behind the line of the id, the same by DATA, whole or octet by octet, and by BDAT, whatever is in front."""
    books = directory / "digests"
    k = Sink("--books", books, "--id-field", "X-Load-Id")
    content = b"Subject: x\r\n.folded: y\r\n\r\n.\r\n..\r\n.\rz\r\n.a\r\n\r\nx.\r\n\r\r\n"
    front = b"Received: from a\r\n\tby b\r\n.X: dots\r\n"
    mine = b"x-load-id: 0000abcd.%08x\r\n"
    other = b"X-Load-Id: of another\r\n"
    bodies = [content, other + content, b"\r\n", b""]
    for octetwise in (False, True):
        s, f = k.raw()
        said = b"EHLO x\r\n"
        for i, body in enumerate(bodies):
            whole = front + mine % i + body
            stuffed = re.sub(rb"(?m)^\.", b"..", whole)
            said += b"MAIL FROM:<>\r\nRCPT TO:<b@example.com>\r\nDATA\r\n" + stuffed + b".\r\n"
            said += b"MAIL FROM:<>\r\nRCPT TO:<b@example.com>\r\nBDAT 50\r\n" + whole[:50]
            said += b"BDAT %d LAST\r\n" % (len(whole) - 50) + whole[50:]
        for part in ([bytes([x]) for x in said + b"QUIT\r\n"] if octetwise else [said + b"QUIT\r\n"]):
            s.sendall(part)
        f.read()
    s, f = k.raw()
    s.sendall(b"HELO x\r\nMAIL FROM:<>\r\nRCPT TO:<b@example.com>\r\nDATA\r\n" + content + b"\r\n" + mine % 9 + b".\r\nQUIT\r\n")
    f.read()
    k.end()
    rows = [json.loads(x) for x in books.read_text().splitlines()]
    want = [(f"0000abcd.{i:08x}", hashlib.sha256(b).hexdigest()) for i, b in enumerate(bodies) for _ in range(2)] * 2 + [("", "")]
    assert [(x["id"], x["sha256"]) for x in rows] == want, rows
    k = Sink("--books", "/dev/full")
    with smtplib.SMTP("127.0.0.1", k.port, timeout=10) as c:
        c.sendmail("a@example.net", ["b@example.com"], MESSAGE % 1)
    k.report("end")
    assert k.p.wait(10) == 1, "books that could not be written"


def refuses_and_closes():
    k = Sink("--refuse", "rcpt=550", "--max-messages", 1)
    s, f = k.raw()
    s.sendall(b"HELO x\r\nMAIL FROM:<>\r\nRCPT TO:<b@example.com>\r\nDATA\r\nQUIT\r\n")
    assert lines(f, 6) == [b"220", b"250", b"250", b"550", b"503", b"221"]
    k.end()
    k = Sink("--refuse", "dot=452", "--delay", "dot=20", "--max-messages", 1)
    s, f = k.raw()
    s.sendall(b"HELO x\r\nMAIL FROM:<>\r\nRCPT TO:<b@example.com>\r\nDATA\r\nx\r\n.\r\nMAIL FROM:<>\r\n")
    assert lines(f, 8) == [b"220", b"250", b"250", b"250", b"354", b"452", b"421", b""]
    assert k.end()["refused"] == 1


def speaks_tls(directory):
    cert, key = directory / "cert.pem", directory / "key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-subj", "/CN=sink.example.com", "-keyout", key, "-out", cert], check=True, capture_output=True)
    k = Sink("--tls", cert, key)
    trust = ssl.create_default_context(cafile=str(cert))
    trust.check_hostname = False
    with smtplib.SMTP("127.0.0.1", k.port, timeout=10) as c:
        c.starttls(context=trust)
        assert not c.has_extn("starttls") or c.ehlo()[0] == 250 and not c.has_extn("starttls")
        c.sendmail("a@example.net", ["b@example.com"], MESSAGE % 1 + b"x" * 60 * 1024 + b"\r\n" * 100000)
    r = k.end()
    assert (r["tls"], r["messages"]) == (1, 1), r


with tempfile.TemporaryDirectory(prefix="postern-sink-") as d:
    takes_and_books(pathlib.Path(d))
    digests(pathlib.Path(d))
    refuses_and_closes()
    speaks_tls(pathlib.Path(d))
