# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""What the matrix of clients needs: certificates, messages, what must have come of each, the table.

A case is one message of one client that uses one feature. Its Message-ID finds it again at the next
hop and in the trace.
"""
import collections
import contextlib
import itertools
import re
import socket
import ssl
import subprocess
import threading

import lab as labs

NAME = "mx.example.com"        # in the gateway's certificates
SECOND = "mx2.example.com"     # in another certificate of the gateway, by SNI
WRONG = "wrong.example.com"    # resolves to the gateway, stands in no certificate
SENDER = "a@example.net"

OK, NOT_ANNOUNCED, FAILED = "ok", "not announced", "FAILED"
CLIENTS = ("Postfix", "Exim", "OpenSMTPD", "swaks", "Python smtplib", "openssl s_client", "raw socket", "→ Exim",
           "→ OpenSMTPD")
FEATURES = ("IPv4", "IPv6", "PIPELINING", "8BITMIME", "5 MB", "50 recipients", "reuse", "STARTTLS", "verified", "TLS 1.2",
            "TLS 1.3", "ECDSA, RSA", "resumption", "SNI", "CHUNKING", "SMTPUTF8", "XCLIENT", "PROXY")


# ---- certificates ------------------------------------------------------------------------
def openssl(*args):
    return labs.run("openssl", *args)


def make_ca(d, name="ca"):
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-subj",
            f"/CN=Test {name}", "-keyout", d / f"{name}.key", "-out", d / f"{name}.pem", "-addext",
            "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign")
    return d / f"{name}.pem"


def make_certificate(d, file, name, *algorithm):
    (d / f"{file}.ext").write_text(f"subjectAltName=DNS:{name}\nkeyUsage=digitalSignature,keyEncipherment\n"
                                   "extendedKeyUsage=serverAuth\nbasicConstraints=CA:FALSE\n")
    openssl("req", "-newkey", *algorithm, "-nodes", "-subj", f"/CN={name}", "-keyout", d / f"{file}.key", "-out",
            d / f"{file}.csr")
    openssl("x509", "-req", "-in", d / f"{file}.csr", "-CA", d / "ca.pem", "-CAkey", d / "ca.key", "-CAcreateserial",
            "-days", "30", "-extfile", d / f"{file}.ext", "-out", d / f"{file}.pem")


def certificates(d):
    """ECDSA and RSA side by side, another name, and a CA that signed neither. Returns the tls section."""
    d.mkdir(parents=True, exist_ok=True)
    make_ca(d)
    make_ca(d, "other-ca")
    ec = ("ec", "-pkeyopt", "ec_paramgen_curve:P-256")
    files = {"ecdsa": (NAME, *ec), "rsa": (NAME, "rsa:2048"), "second": (SECOND, *ec)}
    for file, args in files.items():
        make_certificate(d, file, *args)
    return "tls {\n" + "".join(f'\tcertificate "{f}" {{ chain = "{d}/{f}.pem"; key = "{d}/{f}.key" }}\n'
                               for f in files) + "}\n"


# ---- what the server says of itself --------------------------------------------------------
def announced(lab, address=labs.GATEWAY4, tls=False):
    """Keywords of EHLO; with tls=True those behind STARTTLS."""
    c = labs.Smtp(lab, address)
    lines = c.cmd("EHLO probe.example.net")[1]
    if tls:
        assert c.cmd("STARTTLS")[0] == 220
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        c.sock = context.wrap_socket(c.sock)
        c.file = c.sock.makefile("rb")
        lines = c.cmd("EHLO probe.example.net")[1]
    c.cmd("QUIT")
    c.close()
    return {line[4:].split()[0].upper() for line in lines[1:]}


# ---- messages ----------------------------------------------------------------------------
serial = itertools.count(1)


class Message:
    """What a client is given, octet for octet as it must arrive."""

    def __init__(self, client, what, size=0, eight_bit=False, to="b@example.com", sender=SENDER, utf8=False):
        self.id = f"<{client}.{what}.{next(serial)}@example.net>".replace(" ", "-")
        self.sender, self.to = sender, [to] if isinstance(to, str) else to
        head = [f"From: {SENDER}", "To: b@example.com", f"Subject: {'Grüße' if utf8 else client} {what}",
                "Date: Thu, 01 Jan 2026 00:00:00 +0000", f"Message-ID: {self.id}", "MIME-Version: 1.0",
                "Content-Type: text/plain; charset=utf-8",
                f"Content-Transfer-Encoding: {'8bit' if eight_bit or utf8 else '7bit'}", ""]
        body = [".", "..", ".dot", "From the first octet", "white space at the end \t ", "", "x" * 900, "\t", "="]
        if eight_bit or utf8:
            body += ["Grüße, 你好, ☃", "ÿ" * 100]
        text = "\r\n".join(head + body + [""]).encode()
        line = b".0123456789abcdef" * 4 + b"\r\n"
        self.wire = text + line * (max(size - len(text), 0) // len(line)) + b"the end\r\n"


def unfold(raw):
    return re.sub(rb"\r\n(?=[ \t])", b"", raw)


RECEIVED = re.compile(r"Received: from .*? \((?:\S+) \[(?:IPv6:)?(?P<ip>[^\]]*)\]\)\s+by mx\.example\.com \(Postern\) "
                      r"with (?P<proto>\S+) id (?P<id>[0-9A-Z]{16})"
                      r"(?:\s+\(version=(?P<version>TLSv1\.[23]) cipher=(?P<cipher>[A-Z0-9_]+)\))?"
                      r"(?:\s+for <[^>]*>)?;\s+\S.*$")
CIPHERS = {  # of RFC 9325 4.2 and two for old Exchange; names of IANA
    "TLSv1.3": {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"},
    "TLSv1.2": {f"TLS_ECDHE_{a}_WITH_{c}" for a in ("ECDSA", "RSA") for c in
                ("AES_128_GCM_SHA256", "AES_256_GCM_SHA384", "CHACHA20_POLY1305_SHA256")} |
               {"TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384", "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256"},
}


def check_block(raw, message, proto, tls, ip, relayed):
    """Our block, then what the client wrote: its own Received if it is a relay, and the message."""
    assert raw.startswith(b"X-Postern-"), raw[:80]
    assert raw.endswith(message.wire), "the message was altered on the way"
    head = unfold(raw[:-len(message.wire)]).decode("utf-8").split("\r\n")
    assert head.pop() == ""
    at = next(i for i, line in enumerate(head) if line.startswith("Received:"))
    m = RECEIVED.match(head[at])
    assert m, head[at]
    assert (m["proto"], m["ip"]) == (proto, ip), f"with {m['proto']} from {m['ip']}, not {proto} from {ip}"
    below = head[at + 1:]
    assert all(x.startswith("Received:") for x in below) and len(below) == (1 if relayed else 0), below
    assert bool(m["version"]) == bool(tls), head[at]
    if tls:
        assert m["cipher"] in CIPHERS[m["version"]], head[at]
        if isinstance(tls, str):
            assert tls in (m["version"], m["cipher"]), f"{m['version']} {m['cipher']}, not {tls}"


class Inbox:
    """Messages at the scripted next hop by Message-ID; every file is read once."""

    def __init__(self, lab):
        self.lab, self.seen, self.by_id, self.lock = lab, set(), collections.defaultdict(list), threading.Lock()

    def find(self, mid):
        with self.lock:
            for f in self.lab.inbox():
                if f.name not in self.seen:
                    self.seen.add(f.name)
                    with open(f, "rb") as file:  # ours and its header: not five megabytes
                        m = re.search(rb"\r\nMessage-ID: (<[^>]*>)", file.read(16384))
                    self.by_id[m[1].decode() if m else ""].append(f)
            return list(self.by_id[mid])


# ---- the matrix --------------------------------------------------------------------------
class Matrix:
    """client × feature → outcome; `not announced` where the server does not offer what a case needs."""

    def __init__(self, lab, keywords):
        self.lab, self.keywords = lab, keywords
        self.inbox = Inbox(lab)
        self.cells, self.lock = {}, threading.Lock()
        self.versions, self.open, self.refused = {}, [], []
        self.failures = []

    def put(self, client, feature, outcome, why=""):
        assert client in CLIENTS and feature in FEATURES, (client, feature)
        with self.lock:
            old = self.cells.get((client, feature))
            if old is None or outcome == FAILED or old == NOT_ANNOUNCED:
                self.cells[(client, feature)] = outcome
            if outcome == FAILED:
                self.failures.append(f"{client}, {feature}: {why}")

    def offers(self, client, feature, needs):
        missing = [k for k in needs if k not in self.keywords]
        if missing:
            self.put(client, feature, NOT_ANNOUNCED)
        return not missing

    @contextlib.contextmanager
    def cell(self, client, feature):
        """What fails within is this cell's failure and nobody else's."""
        try:
            yield
            self.put(client, feature, OK)
        except Exception as e:  # noqa: BLE001: each cell is judged on its own
            self.put(client, feature, FAILED, f"{type(e).__name__}: {e}")

    def case(self, client, feature, send, message, *, needs=(), tls=None, utf8=False, ip=labs.CLIENT4, relayed=False):
        """send(message) hands it over and raises if that was refused. That it arrived is looked at
        in settle(), for a relay takes its time."""
        if not self.offers(client, feature, needs):
            return
        proto = ("UTF8SMTP" if utf8 else "ESMTP") + ("S" if tls else "")
        try:
            send(message)
        except Exception as e:  # noqa: BLE001
            self.put(client, feature, FAILED, f"{type(e).__name__}: {e}")
            return
        with self.lock:
            self.open.append((client, feature, message, proto, tls, ip, relayed))

    def refuses(self, client, feature, send, message, needs=()):
        """The client itself must not hand this one over: a certificate is not what it asked for."""
        if self.offers(client, feature, needs):
            send(message)
            with self.lock:
                self.refused.append((client, feature, message))

    def settle(self, seconds=40):
        for client, feature, message, *expected in self.open:
            with self.cell(client, feature):
                got = labs.wait_for(f"{message.id} at the next hop", lambda: self.inbox.find(message.id), seconds)
                check_block(got[0].read_bytes(), message, *expected)
            if self.failures:
                seconds = 5  # what is not there by now will hardly come
        for client, feature, message, *_ in self.open:
            with self.cell(client, feature):
                got = self.inbox.find(message.id)
                assert len(got) == len({f.stem for f in got}) > 0, f"{message.id} is not there"
                rcpts = [x.encode("latin-1").decode() for f in got
                         for x in f.with_suffix(".env").read_text().splitlines()[1:]]
                rcpts = sorted(re.search("<(.*)>", r)[1] for r in rcpts)
                assert rcpts == sorted(message.to), f"{len(got)} copies, to {rcpts[:3]}..."
        for client, feature, message in self.refused:
            with self.cell(client, feature):
                assert not self.inbox.find(message.id), "went to a server of the wrong name"

    def table(self):
        clients = [c for c in CLIENTS if any(c == x for x, _ in self.cells)]
        rows = [["client", *FEATURES], *([" ".join(filter(None, (c, self.versions.get(c)))), *(
            self.cells.get((c, f), "–") for f in FEATURES)] for c in clients)]
        width = [max(len(r[i]) for r in rows) for i in range(len(rows[0]))]
        lines = ["| " + " | ".join(x.ljust(w) for x, w in zip(r, width)) + " |" for r in rows]
        lines.insert(1, "|" + "|".join("-" * (w + 2) for w in width) + "|")
        return "\n".join(lines)


# ---- openssl s_client as a mail client -----------------------------------------------------
class SClient:
    """An SMTP session through `openssl s_client -starttls smtp`."""

    def __init__(self, lab, *options, address=labs.GATEWAY4):
        self.process = subprocess.Popen(
            ["ip", "netns", "exec", lab.ns["client"], "openssl", "s_client", "-starttls", "smtp", "-connect",
             f"{address}:25", "-name", "client.example.net", "-ign_eof", *map(str, options)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        # A client that hangs is ended from here: reads have no time limit of their own.
        self.guard = threading.Timer(20, self.process.kill)
        self.guard.start()
        # What s_client tells of the handshake ends with the last line of the EHLO before STARTTLS.
        self.facts = self.until(rb"250 ")

    def until(self, start):
        out = []
        for line in iter(self.process.stdout.readline, b""):
            out.append(line.decode("latin-1"))
            if re.match(start, line):
                return "".join(out)
        self.close()
        raise ConnectionError("".join(out)[-400:])

    def cmd(self, line):
        self.process.stdin.write(line if isinstance(line, bytes) else line.encode() + b"\r\n")
        self.process.stdin.flush()
        return int(self.until(rb"\d{3} ").rsplit("\n", 2)[-2][:3])

    def deliver(self, message):
        got = [self.cmd("EHLO client.example.net"), self.cmd(f"MAIL FROM:<{message.sender}>"),
               *(self.cmd(f"RCPT TO:<{r}>") for r in message.to), self.cmd("DATA"),
               self.cmd(message.wire.replace(b"\r\n.", b"\r\n..") + b".\r\n")]
        assert got[-2:] == [354, 250], got
        self.quit()

    def quit(self):
        self.process.stdin.write(b"QUIT\r\n")
        self.process.stdin.flush()
        self.facts += self.process.stdout.read().decode("latin-1")
        self.close()

    def close(self):
        self.guard.cancel()
        self.process.kill()
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(10)


# ---- our own client that sends BDAT ----------------------------------------------------------
def bdat(lab, message, chunk, address=labs.GATEWAY4, empty_last=False):
    """The whole transaction in one flight, RFC 3030 4.2: chunks of `chunk` octets, BDAT 0 LAST if asked."""
    pieces = [message.wire[i:i + chunk] for i in range(0, len(message.wire), chunk)] + ([b""] if empty_last else [])
    c = labs.Smtp(lab, address)
    c.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    assert c.cmd("EHLO client.example.net")[0] == 250
    out = [f"MAIL FROM:<{message.sender}> BODY=8BITMIME\r\n".encode(),
           *(f"RCPT TO:<{r}>\r\n".encode() for r in message.to)]
    out += [b"BDAT %d%s\r\n" % (len(p), b" LAST" if i == len(pieces) - 1 else b"") + p for i, p in enumerate(pieces)]
    sender = threading.Thread(target=c.send, args=(b"".join(out),))
    sender.start()
    codes = [c.reply()[0] for _ in range(1 + len(message.to) + len(pieces))]
    sender.join(30)
    assert set(codes) == {250}, f"chunks of {chunk}: {codes[:10]}"
    c.cmd("QUIT")
    c.close()
