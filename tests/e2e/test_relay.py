#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""What must not go through: mail for anybody else, a second message hidden in the first, and rubbish
instead of SMTP. The next hop of this lab takes every recipient and ends DATA at a bare LF too, so
that only the gateway stands between.
"""
import json
import os
import pathlib
import random
import socket
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import lab as labs  # noqa: E402

PROBES = [
    "<user%example.org@example.com>", "<user%example.org@mx.example.com>", "<user%example.org>",
    "<example.org!user@example.com>", "<example.org!user>",
    "<@mx.example.com,@example.net:user@example.com>", "<@example.com:user@example.org>",
    '<"user@example.org"@example.com>', '<"user%example.org"@example.com>', '<"user@example.org">',
    "<user@[192.0.2.25]>", "<user%example.org@[192.0.2.25]>", "<user@[IPv6:2001:db8:1::25]>",
    "<user@[198.51.100.10]>", "<user@192.0.2.25>", "<user@localhost>",
    "<user@example.org>", "<user@mx.example.com>", "<user@example.com.example.org>",
    "<user@notexample.com>", "<user@sub.example.com>", "<user@example.com@example.org>",
    "<user@example.org@example.com>", "<user>", "<>", "<user@>", "<@example.com>", "user@example.org",
    "<user@example.org> NOTIFY=NEVER", "<user@example.com:25@example.org>",
]
SMUGGLED = b"MAIL FROM:<evil@example.net>\r\nRCPT TO:<b@example.com>\r\nDATA\r\nSubject: smuggled\r\n\r\nsmuggled\r\n.\r\n"
SENDERS = ("<a@example.net>", "<>", "<user@example.com>", "<user@[192.0.2.25]>")


def sequences():
    root = os.environ.get("POSTERN_CONFORMANCE")
    root = pathlib.Path(root) if root else labs.ROOT.parent / "shared" / "conformance"
    try:
        return json.loads((root / "smtp" / "end-of-data-lookalikes.json").read_text())["lookalikes"]
    except FileNotFoundError:
        labs.skip("no conformance data")


def session(lab, **kw):
    c = labs.Smtp(lab, **kw)
    c.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    code, text = c.cmd("EHLO client.example.net")
    assert code == 250, text
    return c


def normal(lab, what):
    """An ordinary message passes: the server lives and its state is sound."""
    before = len(lab.inbox())
    c = session(lab)
    c.send("MAIL FROM:<a@example.net>\r\nRCPT TO:<b@example.com>\r\nDATA\r\n")
    codes = [c.reply()[0] for _ in range(3)]
    assert codes == [250, 250, 354], (what, codes)
    c.send(f"From: a@example.net\r\nSubject: normal after {what}\r\n\r\nnormal\r\n.\r\n")
    code, text = c.reply()
    c.close()
    assert code == 250, (what, text)
    assert len(lab.inbox()) == before + 1, what


def open_relay(lab):
    before, tried = len(lab.inbox()), 0
    for sender in SENDERS:
        for i, probe in enumerate(PROBES):
            if i % 3 == 0:  # after more errors the session ends with 421
                c = session(lab)
            assert c.cmd(f"MAIL FROM:{sender}")[0] == 250, sender
            code, text = c.cmd(f"RCPT TO:{probe}")
            assert 500 <= code < 600, f"{sender} -> {probe}: {text}"
            code, text = c.cmd("DATA")
            assert 500 <= code < 600, f"DATA after {probe}: {text}"
            assert c.cmd("RSET")[0] == 250
            tried += 1
            if i % 3 == 2 or i == len(PROBES) - 1:
                c.close()
    assert len(lab.inbox()) == before
    log = (lab.dir / "inbox/log").read_text() if (lab.dir / "inbox/log").exists() else ""
    assert not log, log
    print(f"open relay: {tried} attempts with {len(PROBES)} forms of recipient refused, none at the next hop")


def drain(c):
    """Codes of all replies until the server closes."""
    codes = []
    while True:
        code, _ = c.reply()
        if not code:
            return codes
        codes.append(code)


def second_message(lab):
    for f in lab.inbox():
        env, raw = f.with_suffix(".env").read_text(), f.read_bytes()
        if "evil@" in env or raw.lstrip().startswith(b"Subject: smuggled"):
            return f"{env}\n{raw!r}"
    return None


def parts(seq):
    """The octets around the lookalike, cut in each place, in all places, in none."""
    head, tail = b"From: a@example.net\r\nSubject: outer\r\n\r\nhello", SMUGGLED
    yield [head + seq + tail]
    for at in range(len(seq) + 1):
        yield [head + seq[:at], seq[at:] + tail]
    yield [head, *(bytes([b]) for b in seq), *(bytes([b]) for b in tail)]


def send_data(lab, pieces):
    c = session(lab)
    c.send("MAIL FROM:<a@example.net>\r\nRCPT TO:<b@example.com>\r\nDATA\r\n")
    assert [c.reply()[0] for _ in range(3)] == [250, 250, 354]
    for i, p in enumerate(pieces):
        c.send(p)
        if len(pieces) == 2 and i == 0:
            time.sleep(0.005)  # let the first part be a segment of its own
    c.send("QUIT\r\n")
    codes = drain(c)
    c.close()
    return codes


def send_bdat(lab, pieces):
    c = session(lab)
    c.send("MAIL FROM:<a@example.net>\r\nRCPT TO:<b@example.com>\r\n")
    assert [c.reply()[0] for _ in range(2)] == [250, 250]
    for i, p in enumerate(pieces):
        c.send(b"BDAT %d%s\r\n" % (len(p), b" LAST" if i == len(pieces) - 1 else b"") + p)
    c.send("QUIT\r\n")
    codes = drain(c)
    c.close()
    return codes


def smuggling(lab, seqs):
    taken = refused = 0
    c = session(lab)
    c.send("EHLO client.example.net\r\n")
    chunking = any("CHUNKING" in line for line in c.reply()[1])
    code = c.cmd("BDAT 0 LAST")[0]
    assert code >= 500, code  # no transaction, whether offered or not
    c.close()
    for s in seqs:
        seq = s.encode("latin-1")
        for pieces in parts(seq):
            before = len(lab.inbox())
            codes = send_data(lab, pieces)
            # One answer for the message, then that to QUIT: nothing in it was taken for a command.
            # Or the refusal ends the connection.
            assert codes in ([250, 221], [codes[0], 221], [codes[0]]) and (codes[0] == 250 or codes[0] >= 400), \
                (s, codes)
            assert len(lab.inbox()) - before == (codes[0] == 250), (s, codes)
            if b"\0" not in seq:  # a bare CR or LF beside the dot
                assert codes[0] == 554, (s, codes)
            if codes[0] == 250:
                whole = b"".join(pieces).removesuffix(b".\r\n").replace(b"\r\n.", b"\r\n")
                newest = max(lab.inbox(), key=lambda f: f.name.rsplit("-", 1)[1])
                assert newest.read_bytes().endswith(whole), f"{s!r}: altered on the way"
            taken, refused = taken + (codes[0] == 250), refused + (codes[0] != 250)
            if chunking and len(pieces) < 3:
                before = len(lab.inbox())
                codes = send_bdat(lab, pieces)
                assert 354 not in codes and len(codes) <= len(pieces) + 1, (s, codes)
                assert len(lab.inbox()) - before == (250 in codes[len(pieces) - 1:]), (s, codes)
            found = second_message(lab)
            assert not found, f"{s!r}: a second message came out:\n{found}"
        normal(lab, repr(s))
    print(f"{len(seqs)} lookalikes of the end of data, {taken + refused} ways under DATA ({taken} passed as content, "
          f"{refused} refused){' and by BDAT' if chunking else '; BDAT is not offered'}: never a second message")


def rubbish(lab):
    rng = random.Random(3)
    samples = {
        "HTTP": b"POST / HTTP/1.1\r\nHost: mx.example.com\r\nContent-Length: 60\r\n\r\n"
                b"MAIL FROM:<evil@example.net>\r\nRCPT TO:<b@example.com>\r\nDATA\r\n",
        "TLS without STARTTLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + rng.randbytes(500),
        "random octets": rng.randbytes(200_000),
        "a line without end": b"A" * 300_000,
        "an endless MAIL": b"EHLO x.example\r\nMAIL FROM:<" + b"a" * 100_000 + b"@example.net>\r\n",
        "an endless RCPT": b"EHLO x.example\r\nMAIL FROM:<a@example.net>\r\nRCPT TO:<" + b"b" * 100_000 + b"@example.com>\r\n",
        "NULs": b"\0" * 50_000 + b"\r\n",
        "empty lines": b"\r\n" * 20_000,
        "bare LF": b"EHLO x.example\nMAIL FROM:<evil@example.net>\nRCPT TO:<b@example.com>\nDATA\n\nsmuggled\n.\n",
        "BDAT far too large": b"EHLO x.example\r\nMAIL FROM:<a@example.net>\r\nRCPT TO:<b@example.com>\r\n"
                              b"BDAT 18446744073709551615 LAST\r\nx\r\n",
        "BDAT no number": b"EHLO x.example\r\nMAIL FROM:<a@example.net>\r\nRCPT TO:<b@example.com>\r\nBDAT -1 LAST\r\nx\r\n",
    }
    for name, raw in samples.items():
        before = len(lab.inbox())
        c = labs.Smtp(lab, timeout=3)
        try:
            c.send(raw)
            c.sock.shutdown(socket.SHUT_WR)
            while c.sock.recv(65536):
                pass
        except OSError:  # reset, or silence: both are answers to rubbish
            pass
        c.close()
        assert len(lab.inbox()) == before, f"{name}: something was delivered"
        normal(lab, name)
    print(f"{len(samples)} kinds of rubbish survived: " + ", ".join(samples))
    long = session(lab)
    code, text = long.cmd("MAIL FROM:<" + "a" * 5000 + "@example.net>")
    assert code >= 500, text
    assert long.cmd("NOOP")[0] == 250, "the session goes on after an over-long line"
    long.close()


def main():
    seqs = sequences()
    labs.need_root()
    with labs.Lab("psr", arena_mb=64) as lab:
        lab.start_dns({"example.net": f'@ IN TXT "v=spf1 ip4:{labs.CLIENT4} -all"\n'})
        lab.start_sink()
        lab.write_config()
        lab.start_dataplane()
        lab.start_control()
        lab.wait_ready()
        pids = {n: lab.procs[n].pid for n in ("dataplane", "control")}
        open_relay(lab)
        normal(lab, "the probes")
        smuggling(lab, seqs)
        rubbish(lab)
        for n in pids:
            assert lab.procs[n].poll() is None, f"{n} died"


if __name__ == "__main__":
    main()
