#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""What other servers take for the end of a message: in DATA and in BDAT, in clear and under TLS, each
cut in two segments (records, chunks) at every octet. One message in is one reply and at most one message
at the next hop, with every octet of it; each is counted.
"""
import os
import pathlib
import socket
import ssl
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import lab as labs  # noqa: E402

LOOKALIKES = [b"\n.\n", b"\n.\r", b"\r.\n", b"\r.\r", b"\n.\r\n", b"\r.\r\n", b"\r\n.\n", b"\r\n.\r",
              b"\r\n\0.\r\n", b"\r\n.\0\r\n", b"\r\n.\r\r\n", b"\r\r\n.\r\r\n"]
SMUGGLED = b"MAIL FROM:<x@example.org>\r\nDATA\r\n"
ENVELOPE = b"MAIL FROM:<a@example.net>\r\nRCPT TO:<b@example.com>\r\n"


class Session:
    def __init__(self, lab, context):
        self.plain = labs.Smtp(lab)
        self.sock, self.file = self.plain.sock, self.plain.file
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if context:
            self.cmd(b"EHLO c.example.net\r\n", 250)
            self.cmd(b"STARTTLS\r\n", 220)
            self.sock = context.wrap_socket(self.sock)
            self.file = self.sock.makefile("rb")
        self.cmd(b"EHLO c.example.net\r\n", 250)

    def reply(self):
        return labs.smtp_lines(self.file)

    def cmd(self, line, *codes):
        self.sock.sendall(line)
        for want in codes:
            code, lines = self.reply()
            assert code == want, (line, want, lines)

    def close(self):
        self.sock.sendall(b"QUIT\r\n")
        code, lines = self.reply()
        assert code == 221, lines
        self.file.close()
        self.sock.close()

    def data(self, content, cut):
        """Content in two pieces; the reply to it."""
        self.cmd(ENVELOPE + b"DATA\r\n", 250, 250, 354)
        content += b"\r\n.\r\n"
        self.sock.sendall(content[:cut])
        self.sock.sendall(content[cut:])
        return self.reply()[0]

    def bdat(self, content, cut):
        """In two chunks, the second with its command in one write."""
        self.cmd(ENVELOPE, 250, 250)
        content += b"\r\n"
        self.cmd(b"BDAT %d\r\n" % cut + content[:cut], 250)
        self.sock.sendall(b"BDAT %d LAST\r\n" % (len(content) - cut) + content[cut:])
        return self.reply()[0]


def run(lab, context, how):
    """How many were accepted, of how many."""
    accepted = tried = 0
    for i, lookalike in enumerate(LOOKALIKES):
        content = b"Subject: %d\r\n\r\nx" % i + lookalike + SMUGGLED + b"y"
        s = Session(lab, context)
        for cut in range(1, len(content) + (5 if how == "data" else 2)):
            code = getattr(s, how)(content, cut)
            nul = b"\0" in lookalike
            assert code == (250 if nul else 554 if how == "data" else 550), (lookalike, cut, how, code)
            accepted += code == 250
            tried += 1
        # Nothing of it is waiting to be executed.
        s.cmd(b"NOOP\r\n", 250)
        s.close()
    return accepted, tried


def certificate(lab):
    labs.run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
             lab.dir / "key.pem", "-out", lab.dir / "chain.pem", "-days", "30", "-subj", "/CN=mx.example.com")
    os.chmod(lab.dir / "key.pem", 0o600)
    return (f'tls {{ certificate "mx" {{ chain = "{lab.dir}/chain.pem"; key = "{lab.dir}/key.pem" }} }}')


def main():
    with labs.Lab("lkalk") as lab:
        lab.start_dns({"example.net": ""})
        lab.start_sink()
        lab.write_config(verify="none", extra=certificate(lab))
        lab.start_dataplane()
        lab.start_control()
        lab.wait_ready()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        accepted = tried = 0
        for how in ("data", "bdat"):
            for c in (None, context):
                a, n = run(lab, c, how)
                print(f"{how}, {'TLS' if c else 'clear'}: {n} messages, {a} accepted")
                accepted, tried = accepted + a, tried + n
        counted = lab.counters()["smtp_lookalike"]
        assert counted == tried, (counted, tried)
        inbox = [m.read_bytes() for m in lab.inbox()]
        assert len(inbox) == accepted, (len(inbox), accepted)
        for raw in inbox:
            assert raw.split(b"\r\n\r\n", 1)[1].endswith(SMUGGLED + b"y\r\n"), raw[-200:]
        print(f"{tried} look-alikes, each counted; {accepted} messages (NUL) passed on whole, no second message")


if __name__ == "__main__":
    labs.need_root()
    main()
