#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""What STARTTLS must withstand, tried from the client's namespace of a lab or from here:

    tlsprobe.py ADDRESS [--port 25] [--name mx.example.com] [--to b@example.com] [--netns NAME]

Each probe is a function with asserts. TLS is driven over memory BIOs, so that every octet goes out
when and in what portion a probe wants.
"""
import argparse
import concurrent.futures
import contextlib
import itertools
import os
import re
import select
import socket
import ssl
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import lab as labs  # noqa: E402

WAIT = 10


class Target:
    """Where to connect to, whose certificate to expect, to whom mail may go."""

    def __init__(self, address, port=25, netns=None, to="b@example.com", sender="a@example.net"):
        self.address, self.port, self.netns, self.to, self.sender = address, port, netns, to, sender
        self.delivered = itertools.count()  # next() of it is the number of messages that got their 250

    def connect(self):
        with labs.in_netns(self.netns) if self.netns else contextlib.nullcontext():
            sock = socket.create_connection((self.address, self.port), WAIT)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    def openssl(self, *options, stdin=b"", seconds=WAIT):
        """Output of s_client; stdin stays open for `seconds` or until the server closes."""
        argv = ["openssl", "s_client", "-starttls", "smtp", "-connect", f"{self.address}:{self.port}", *options]
        if self.netns:
            argv = ["ip", "netns", "exec", self.netns, *argv]
        p = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        p.stdin.write(stdin)
        p.stdin.flush()
        out, end = b"", time.monotonic() + seconds
        while time.monotonic() < end and select.select([p.stdout], [], [], max(end - time.monotonic(), 0))[0]:
            got = os.read(p.stdout.fileno(), 65536)
            if not got:
                break
            out += got
            if b"\r\n221 " in out or b"\n221 " in out:
                break
        p.kill()
        p.stdin.close()
        p.stdout.close()
        p.wait(WAIT)
        return out.decode("latin-1")


def insecure(version=None):
    """A client context that takes any certificate, and offers what old clients would."""
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    c.check_hostname, c.verify_mode = False, ssl.CERT_NONE
    c.set_ciphers("ALL:COMPLEMENTOFALL:@SECLEVEL=0")
    if version:
        c.minimum_version = c.maximum_version = version
    return c


class Clear:
    """The session before STARTTLS; reads whole replies."""

    def __init__(self, target, greet=True):
        self.sock, self.buf, self.closed = target.connect(), b"", False
        if greet:
            assert self.reply()[:3] == b"220"
            self.send(b"EHLO probe.example.net\r\n")
            self.ehlo = self.reply()
            assert self.ehlo[:3] == b"250", self.ehlo

    def send(self, octets):
        self.sock.sendall(octets)

    def fill(self):
        try:
            got = self.sock.recv(65536)
        except ConnectionError:
            got = b""
        self.buf += got
        return bool(got)

    def reply(self):
        """The octets of one reply; b"" if the server closes instead."""
        while not (m := re.match(rb"(?:\d{3}-[^\n]*\n)*\d{3} [^\n]*\n", self.buf)):
            if not self.fill():
                return b""
        self.buf = self.buf[m.end():]
        return m[0]

    def rest(self, seconds=WAIT):
        """All until the server closes; what came in `seconds` if it does not."""
        self.sock.settimeout(seconds)
        with contextlib.suppress(TimeoutError):
            while self.fill():
                pass
            self.closed = True
        out, self.buf = self.buf, b""
        return out

    def close(self):
        self.sock.close()


class Secure(Clear):
    """The session behind STARTTLS, over memory BIOs. cut(octets) -> the portions in which they go out."""

    def __init__(self, target, context, cut=None, pause=0.0):
        self.tls = None
        super().__init__(target)
        self.cut, self.pause = cut or (lambda octets: [octets]), pause
        self.flights = []  # their lengths
        self.send(b"STARTTLS\r\n")
        got = self.reply()
        assert got[:3] == b"220" and not self.buf, got + self.buf
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing)
        self.drive(self.tls.do_handshake)

    def flush(self):
        out = self.outgoing.read()
        if not out:
            return
        for i, part in enumerate(self.cut(out)):
            if i and self.pause:
                time.sleep(self.pause)  # or the kernel makes one segment of both
            self.sock.sendall(part)
        self.flights.append(len(out))

    def drive(self, step, *args):
        while True:
            try:
                result = step(*args)
                self.flush()
                return result
            except ssl.SSLWantReadError:
                self.flush()
                got = self.sock.recv(65536)
                if got:
                    self.incoming.write(got)
                else:
                    self.incoming.write_eof()

    def send(self, octets):
        if not self.tls:
            return super().send(octets)
        return self.drive(self.tls.write, octets)

    def fill(self):
        if not self.tls:
            return super().fill()
        try:
            got = self.drive(self.tls.read, 65536)
        except (ssl.SSLError, ConnectionError):
            got = b""
        self.buf += got
        return bool(got)


def deliver(target, session, text=b"Subject: probe\r\n\r\n.probe\r\n"):
    """One message; the codes of all replies behind EHLO must be the right ones."""
    session.send(b"EHLO probe.example.net\r\n")
    ehlo = session.reply()
    assert ehlo[:3] == b"250" and b"STARTTLS" not in ehlo, ehlo
    session.send(b"MAIL FROM:<%s>\r\nRCPT TO:<%s>\r\nDATA\r\n" % (target.sender.encode(), target.to.encode()))
    codes = [session.reply()[:3] for _ in range(3)]
    assert codes == [b"250", b"250", b"354"], codes
    session.send(text.replace(b"\r\n.", b"\r\n..") + b".\r\nQUIT\r\n")
    codes = [session.reply()[:3] for _ in range(2)]
    assert codes == [b"250", b"221"], codes
    next(target.delivered)


def is_offered(target):
    c = Clear(target)
    c.close()
    return b"STARTTLS" in c.ehlo


# ---- probes ------------------------------------------------------------------------------
INJECTED = (b"RSET\r\n", b"NOOP injected\r\n", b"EHLO evil.example\r\n",
            b"MAIL FROM:<evil@example.net>\r\nRCPT TO:<b@example.com>\r\nDATA\r\nSubject: injected\r\n\r\nx\r\n.\r\n",
            b"X", b"\r\n")
ANSWER = re.compile(rb"^\d{3}[ -]", re.M)


def command_injection(target):
    """CVE-2011-0411: clear text behind STARTTLS is never executed, nor its reply sent under TLS."""
    for injected in INJECTED:
        c = Clear(target)
        c.send(b"STARTTLS\r\n" + injected)  # one segment
        first = c.reply()
        after = handshake_then_read(c) if first[:3] == b"220" else c.rest(3)
        assert not ANSWER.search(after), f"{injected!r} was answered: {first!r} {after[:200]!r}"
        c.close()
        c = Clear(target)
        c.send(b"STARTTLS\r\n")
        assert c.reply()[:3] == b"220"
        c.send(injected)  # the next segment: no TLS record begins so
        if len(injected) < 5:
            c.sock.shutdown(socket.SHUT_WR)  # less than the header of a record may be waited with
        after = c.rest()
        assert not ANSWER.search(after), f"{injected!r} was answered: {after[:200]!r}"
        assert c.closed, f"{injected!r}: the connection lives on"
        c.close()


def handshake_then_read(c):
    """What a server says of its own accord once the handshake is done; b"" if that fails."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = insecure().wrap_bio(incoming, outgoing)
    step, out, end = tls.do_handshake, b"", time.monotonic() + 3
    c.sock.settimeout(0.5)
    with contextlib.suppress(ssl.SSLError, OSError):
        while time.monotonic() < end:
            try:
                out += step() or b""
                step = lambda: tls.read(65536)  # noqa: E731
            except ssl.SSLWantReadError:
                c.send(outgoing.read())
                got = c.sock.recv(65536)
                if not got:
                    break
                incoming.write(got)
    return out


def state_is_reset(target):
    """RFC 3207 4.2: what the client said before TLS is forgotten."""
    s = Secure(target, insecure())
    s.send(b"MAIL FROM:<%s>\r\n" % target.sender.encode())
    assert s.reply()[:3] == b"503"
    s.send(b"STARTTLS\r\n")
    assert s.reply()[:1] == b"5"
    deliver(target, s)
    s.close()
    c = Clear(target)
    c.send(b"MAIL FROM:<%s>\r\nSTARTTLS\r\n" % target.sender.encode())
    assert c.reply()[:3] == b"250"
    assert c.reply()[:3] == b"503"  # within a transaction; the session goes on in clear
    c.send(b"STARTTLS now\r\n")
    assert c.reply()[:3] == b"501"
    c.close()


def split_sessions(target, threads=6):
    """Every flight of the client cut into two segments at every octet: session k cuts each at its k-th."""
    def one(context, at):
        def cut(octets):
            return [octets[:at], octets[at:]] if 0 < at < len(octets) else [octets]
        s = Secure(target, context, cut, pause=0.001)
        try:
            deliver(target, s)
            return max(s.flights)
        except (OSError, AssertionError) as e:
            raise AssertionError(f"cut behind octet {at}, {s.tls.version()}: {e!r}") from e
        finally:
            s.close()

    count = 0
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            context = insecure(version)
            context.set_ciphers("ECDHE+AESGCM")
            longest = one(context, 0) + 8  # lengths vary by some octets
            count += sum(1 for _ in pool.map(lambda at: one(context, at), range(1, longest)))
    return f"{count} sessions"


def octet_by_octet(target):
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        s = Secure(target, insecure(version), lambda octets: [octets[i:i + 1] for i in range(len(octets))])
        deliver(target, s)
        s.close()


def glued_records(target):
    """The opposite: one segment with the end of the handshake, EHLO and the whole envelope."""
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        s = Secure(target, insecure(version))
        for line in (b"EHLO probe.example.net\r\n", b"MAIL FROM:<%s>\r\n" % target.sender.encode(),
                     b"RCPT TO:<%s>\r\n" % target.to.encode(), b"DATA\r\n"):
            s.tls.write(line)
        s.flush()
        codes = [s.reply()[:3] for _ in range(4)]
        assert codes == [b"250", b"250", b"250", b"354"], codes
        for octet in b"Subject: x\r\n\r\nx\r\n.\r\n":
            s.tls.write(bytes([octet]))
        s.flush()
        assert s.reply()[:3] == b"250"
        next(target.delivered)
        s.close()


def renegotiation(target):
    """RFC 9325 3.5: a client that asks for another handshake under TLS 1.2 gets none."""
    out = target.openssl("-tls1_2", stdin=b"R\nNOOP\nQUIT\n", seconds=4)
    assert "Cipher is ECDHE" in out, out[-800:]
    assert "RENEGOTIATING" in out, out[-800:]
    # s_client says "no renegotiation" or sees the connection end; a second chain would be a success.
    assert re.search("no renegotiation|alert|error|closed", out.split("RENEGOTIATING", 1)[1]), out[-800:]
    assert out.split("RENEGOTIATING", 1)[1].count("verify return") == 0, out[-800:]


OLD = {"TLS 1.0": ssl.TLSVersion.TLSv1, "TLS 1.1": ssl.TLSVersion.TLSv1_1}
# Names of OpenSSL that this build knows; RC4, 3DES, EXPORT are compiled out of Debian's and are sent by hand.
WEAK = ("AES128-SHA", "AES256-SHA", "AES128-GCM-SHA256", "AES128-SHA256", "ECDHE-RSA-AES128-SHA",
        "ECDHE-RSA-AES256-SHA", "ECDHE-ECDSA-AES128-SHA", "ECDHE-ECDSA-AES256-SHA", "DHE-RSA-AES128-SHA",
        "DHE-RSA-AES128-GCM-SHA256", "ADH-AES128-SHA", "AECDH-AES128-SHA", "NULL-SHA", "NULL-SHA256",
        "ECDHE-RSA-NULL-SHA", "CAMELLIA128-SHA", "PSK-AES128-CBC-SHA")
BY_NUMBER = {"RC4-MD5": 0x0004, "RC4-SHA": 0x0005, "EXP-RC4-MD5": 0x0003, "EXP-DES-CBC-SHA": 0x0008,
             "EXP-EDH-RSA-DES-CBC-SHA": 0x0014, "DES-CBC-SHA": 0x0009, "DES-CBC3-SHA": 0x000a,
             "EDH-RSA-DES-CBC3-SHA": 0x0016, "ECDHE-RSA-RC4-SHA": 0xc011, "ECDHE-RSA-DES-CBC3-SHA": 0xc012,
             "ECDHE-ECDSA-RC4-SHA": 0xc007, "ECDHE-ECDSA-DES-CBC3-SHA": 0xc008, "NULL-MD5": 0x0001,
             "RC2-CBC-MD5 (export)": 0x0006}


def hello(suites, version=0x0303):
    """A ClientHello with just these suites, and what an RSA or ECDSA server wants to know of TLS 1.2."""
    extensions = (b"\x00\x0a\x00\x06\x00\x04\x00\x17\x00\x1d"                  # groups P-256, X25519
                  b"\x00\x0b\x00\x02\x01\x00"                                  # points uncompressed
                  b"\x00\x0d\x00\x0a\x00\x08\x04\x03\x08\x04\x04\x01\x02\x01"  # signatures
                  b"\xff\x01\x00\x01\x00")
    body = version.to_bytes(2, "big") + os.urandom(32) + b"\0" + (2 * len(suites)).to_bytes(2, "big") + \
        b"".join(x.to_bytes(2, "big") for x in suites) + b"\x01\x00" + len(extensions).to_bytes(2, "big") + extensions
    shake = b"\x01" + len(body).to_bytes(3, "big") + body
    return b"\x16\x03\x01" + len(shake).to_bytes(2, "big") + shake


def by_hand(target, octets):
    """What comes for a first flight made by hand: kind of record and its first two octets."""
    c = Clear(target)
    c.send(b"STARTTLS\r\n")
    assert c.reply()[:3] == b"220"
    c.send(octets)
    while len(c.buf) < 7 and c.fill():
        pass
    c.close()
    return c.buf[:1], c.buf[5:7]


def versions_refused(target):
    for name, version in OLD.items():
        with contextlib.suppress(ssl.SSLError, ConnectionError):
            Secure(target, insecure(version)).close()
            raise AssertionError(f"{name} was taken")
    # SSL 3 knows no alert protocol_version (RFC 6101 5.4): handshake_failure stands in for it.
    for name, number, alert in (("SSL 3", 0x0300, 0x28), ("TLS 1.0", 0x0301, 0x46), ("TLS 1.1", 0x0302, 0x46)):
        got = by_hand(target, hello([0xc02f, 0xc02b, 0x002f, 0xc014], number))
        assert got == (b"\x15", bytes([2, alert])), f"{name}: {got}, not alert {alert}"
    assert by_hand(target, hello([0xc02f, 0xc02b])) == (b"\x16", b"\x02\x00"), "our own hello is at fault"


def ciphers_refused(target):
    for name, number in BY_NUMBER.items():
        got = by_hand(target, hello([number]))
        assert got == (b"\x15", b"\x02\x28"), f"{name}: {got}, not the alert handshake_failure"
    tried = 0
    for name in WEAK:
        context = insecure(ssl.TLSVersion.TLSv1_2)
        try:
            context.set_ciphers(name + ":@SECLEVEL=0")
        except ssl.SSLError:
            continue
        tried += 1
        with contextlib.suppress(ssl.SSLError, ConnectionError):
            Secure(target, context).close()
            raise AssertionError(f"{name} was taken")
    assert tried > 8, f"this OpenSSL can only try {tried}"
    return len(BY_NUMBER) + tried


def http(target):
    """A browser that was made to speak to us, before and behind STARTTLS (ALPACA, cross-protocol)."""
    request = (b"POST / HTTP/1.1\r\nHost: mx.example.com\r\nContent-Length: 80\r\n\r\n"
               b"MAIL FROM:<evil@example.net>\r\nRCPT TO:<b@example.com>\r\nDATA\r\nSubject: x\r\n\r\nx\r\n.\r\n")
    s = Secure(target, insecure())
    s.send(request)
    got = s.rest()
    assert got[:3] in (b"421", b"") and b"250" not in got and b"354" not in got, got
    s.close()
    c = Clear(target)
    c.send(b"STARTTLS\r\n")
    assert c.reply()[:3] == b"220"
    c.send(request)
    got = c.rest()
    assert not ANSWER.search(got), got
    c.close()


def alpn(target):
    """RFC 7301 3.2: there is no protocol but SMTP here; a client that insists on HTTP gets no HTTP."""
    context = insecure()
    context.set_alpn_protocols(["h2", "http/1.1"])
    with contextlib.suppress(ssl.SSLError, ConnectionError):
        s = Secure(target, context)
        assert s.tls.selected_alpn_protocol() is None, s.tls.selected_alpn_protocol()
        s.close()


PROBES = (command_injection, state_is_reset, octet_by_octet, glued_records, renegotiation, versions_refused,
          ciphers_refused, http, alpn, split_sessions)


def run(target, **options):
    for probe in PROBES:
        started = time.monotonic()
        got = probe(target, **options.get(probe.__name__, {}))
        print(f"{probe.__name__.replace('_', ' ')}: ok{f', {got}' if got else ''} "
              f"({time.monotonic() - started:.1f} s)", flush=True)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("address")
    p.add_argument("--port", type=int, default=25)
    p.add_argument("--netns")
    p.add_argument("--to", default="b@example.com")
    p.add_argument("--from", dest="sender", default="a@example.net")
    a = p.parse_args()
    target = Target(a.address, a.port, a.netns, a.to, a.sender)
    if not is_offered(target):
        labs.skip("STARTTLS is not announced")
    run(target)


if __name__ == "__main__":
    main()
