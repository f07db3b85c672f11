#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""Postfix, Exim and OpenSMTPD as next hops, each extension of SMTP on and off, a corpus of awkward messages.

What they store is, octet for octet, what they put on top, our header block, and what the client sent.
They keep mail with LF line ends; that, and what each does to a message of its own accord, is said in
STORES and in kept(), and nothing else may differ. What cannot be handed on is refused as docs/smtp.md
says.
"""
import concurrent.futures
import os
import pwd
import re
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import interop  # noqa: E402
import lab as labs  # noqa: E402
import peers  # noqa: E402
import postfix  # noqa: E402

SMALL = 400_000  # SIZE of the next hops that take little
ALL = {"PIPELINING", "CHUNKING", "8BITMIME", "SMTPUTF8", "SIZE", "STARTTLS", "DSN", "ENHANCEDSTATUSCODES"}
UTF8_TO, UTF8_FROM = "büro", "jörg@example.net"

# ---- next hops: name of the route -> (port, what it must not offer) --------------------------
# Postfix takes them off one by one; what is left of Exim and OpenSMTPD is what these know.
POSTFIX = {"pf": (2600, set()), **{f"pf{i}": (2600 + i, {k}) for i, k in enumerate(sorted(ALL), 1)},
           "pfnone": (2609, ALL), "pfsmall": (2610, set()), "pfsmallsecret": (2611, {"SIZE"})}
EXIM_KNOWS = ALL - {"ENHANCEDSTATUSCODES"}
EXIM = {"ex": (2700, set()), "expipe": (2701, {"PIPELINING"}), "exchunk": (2702, {"CHUNKING"}),
        "exutf8": (2703, {"SMTPUTF8"}), "extls": (2704, {"STARTTLS"}), "exdsn": (2705, {"DSN"}),
        "exsmall": (2706, set())}
EXIM7 = {"ex7bit": (2720, {"8BITMIME", "SMTPUTF8"}),  # it offers the second only with the first
         "exnone": (2721, EXIM_KNOWS - {"SIZE"})}
# Its server side of TLS does not work in the private root: its key process answers with an internal error.
SMTPD_KNOWS = {"8BITMIME", "SIZE", "DSN", "ENHANCEDSTATUSCODES"}
SMTPD = {"os": (2800, set()), "osdsn": (2802, {"DSN"})}


# Further routes to ports of Postfix: what the route says decides.
EXTRA = {
    "xasked": ("SMTPUTF8", 'verify = "callout"'),
    "xencrypt": ("STARTTLS", "verify = none\n\ttls = encrypt"),
    "xnever": (None, "verify = none\n\tchunking = never"),
    "xpass": ("8BITMIME", "verify = none\n\t8bit = pass"),
}


def port_without(keyword):
    return next(port for port, off in POSTFIX.values() if off == ({keyword} if keyword else set()))


# ---- messages ----------------------------------------------------------------------------------
class Case:
    """What one client sends, and how. bdat: sizes of its chunks, None: DATA."""

    def __init__(self, name, content, bdat=None, utf8=False):
        self.name, self.content, self.bdat, self.utf8 = name, content, bdat, utf8
        self.eight = not content.isascii()
        self.bare_lf = re.search(rb"(?<!\r)\n", content) is not None


def corpus():
    def head(eight=False, subject=b"a test"):
        return (b"From: a@example.net\r\nTo: b@example.com\r\nSubject: " + subject + b"\r\n"
                b"Date: Thu, 01 Jan 2026 00:00:00 +0000\r\nMessage-ID: <0@example.net>\r\nMIME-Version: 1.0\r\n"
                b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: " +
                (b"8bit" if eight else b"7bit") + b"\r\n\r\n")
    dots = b".\r\n..\r\n.dot\r\n...\r\n \r\n.\r\n.\r\n"
    eight = "Grüße, 你好, ☃\r\n".encode() + bytes(range(0x80, 0x100)) + b"\r\n"
    line = b".0123456789abcdef" * 4 + b"\r\n"
    big = head(True) + line * (500_000 // len(line)) + eight * 200 + line * (500_000 // len(line)) + b"the end\r\n"
    yield Case("plain", head() + b"text\r\n")
    yield Case("folded", head(subject=b"one\r\n\ttwo\r\n  three \t ") + b"white space at the end \t \r\n\t\r\n\r\n\r\n")
    yield Case("8bit", head(True) + eight)
    yield Case("8bit in chunks", head(True) + eight * 20, bdat=[1, 100, 513, 10 ** 6])
    yield Case("dots", head() + dots)
    yield Case("dots in chunks", head() + dots, bdat=[len(head()) + 1, 2, 10 ** 6])
    yield Case("998", head() + b"x" * 998 + b"\r\n" + b"." * 998 + b"\r\n")
    yield Case("5000", head() + b"y" * 5000 + b"\r\n" + b"." * 5000 + b"\r\nend\r\n")
    yield Case("no final newline", head() + b"first\r\nlast", bdat=[10 ** 6])
    yield Case("empty body", head())
    yield Case("no body", head()[:-2])
    yield Case("no header", b"\r\nbody only\r\n")
    yield Case("empty", b"")
    yield Case("empty chunk", b"", bdat=[1])
    yield Case("bare LF", head() + b"one\ntwo\r\n\n\nthree\r\n", bdat=[10 ** 6])
    yield Case("NUL", head() + b"a\0b\r\n\0\r\n")
    yield Case("bare CR", head() + b"one\rtwo\r\n")
    yield Case("1 MiB", big)
    yield Case("1 MiB in chunks", big, bdat=[65536] * 40)
    yield Case("UTF-8 addresses", head(True, "Grüße".encode()) + "Grüße\r\n".encode(), utf8=True)


# ---- what is stored ------------------------------------------------------------------------------
DATE = rb"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), [ \d]\d \w{3} \d{4} \d\d:\d\d:\d\d [+-]\d{4}"
TLS = rb"(?:\n\t\(using TLSv1\.3 with cipher \S+ \(256/256 bits\)" \
      rb"\n\t key-exchange \S+ server-signature ECDSA \(prime256v1\)(?: server-digest SHA256)?\)" \
      rb"\n\t\(No client certificate requested\))?"
STORES = {  # in front of our block
    "pf": rb"Return-Path: <%s>\nX-Original-To: %s\nDelivered-To: %s\n"
          rb"Received: from mx\.example\.com \(unknown \[198\.51\.100\.25\]\)%s\n"
          rb"\tby hop\.example\.com \(Postfix\) with (?:UTF8SMTP|E?SMTP)S? id \w+\n\tfor <%s>; " +
          DATE + rb" \(\w+\)\n",
    "ex": rb"Received: from mx\.example\.com by hop\.exim\.example with (?:utf8)?esmtps? id [\w-]+;\n\t" + DATE +
          rb"\n",
    "os": rb"Return-Path: <a@example\.net>\nDelivered-To: %s\nReceived: from mx\.example\.com "
          rb"\(<unknown> \[198\.51\.100\.25\]\)\n\tby hop\.smtpd\.example \(OpenSMTPD\) with ESMTP id [0-9a-f]{8}\n"
          rb"\tfor <%s>;\n\t" + DATE + rb" \(\w+\)\n",
}
BLOCK = (rb"X-Postern-Original-Sender: ip=192\.0\.2\.10;\n\thelo=client\.example\.net;\n\tptr=unknown;\n\tvia=direct\n"
         rb"X-Postern-Score: 0\.00\nX-Postern-Verdict: %s\nX-Postern-Trace: %s\n"
         rb"Authentication-Results: mx\.example\.com;\n\tspf=pass smtp\.mailfrom=%s;\n\tdkim=none;\n\tarc=none;\n"
         rb"\tdmarc=%s;\n\tiprev=permerror policy\.iprev=192\.0\.2\.10\n"
         rb"Received: from client\.example\.net \(unknown \[192\.0\.2\.10\]\)\n\tby mx\.example\.com \(Postern\) "
         rb"with %s id %s\n\tfor <%s>;\n\t" + DATE + rb"\n")


def kept(kind, case):
    """The octets of the message as this server keeps them: LF line ends, and what it does of its own."""
    raw = case.content.replace(b"\r\n", b"\n")
    if kind == "pf":
        raw = raw.replace(b"\r", b" ")  # a bare CR is white space to Postfix
    if kind == "ex":
        raw = raw.replace(b"\r", b"\n")  # and the end of a line to Exim
    if kind == "os":
        raw = re.sub(rb"\0[^\n]*", b"", raw)  # a line ends at its NUL for OpenSMTPD
    if kind == "ex" and b"\n\n" not in raw and not raw.startswith(b"\n"):
        return (raw if not raw or raw.endswith(b"\n") else raw + b"\n") + b"\n"  # it ends a header that has no body
    if raw and not raw.endswith(b"\n"):
        raw += b"\n"
    return raw


def check_stored(kind, case, name, trace_id, raw):
    sender = UTF8_FROM if case.utf8 else "a@example.net"
    to = f"{UTF8_TO if case.utf8 else 'b'}@{name}.example"
    r, s, t = (re.escape(x.encode()) for x in (to, sender, trace_id))
    rest = kept(kind, case)
    assert raw.endswith(rest), f"the message was altered: {raw[-200:]!r}, not {rest[-200:]!r}"
    head = raw[:len(raw) - len(rest)] if rest else raw
    top = {"pf": lambda p: p % (s, r, r, TLS, r), "ex": lambda p: p, "os": lambda p: p % (r, r)}[kind](STORES[kind])
    verdict, dmarc = (b"accept", rb'none reason="no policy record" header\.from=example\.net')
    if b"From:" not in case.content:
        verdict, dmarc = b"tag", rb'permerror reason="From: no From field"'
    block = BLOCK % (verdict, t, s, dmarc, b"UTF8SMTP" if case.utf8 else b"ESMTP", t, r)
    assert re.fullmatch(top + block, head), f"not the head and our block: {head!r}"


class Boxes:
    """Stored messages by our trace id, from wherever they lie."""

    def __init__(self, look):
        self.look, self.seen, self.by_id = look, set(), {}

    def get(self, trace_id):
        for f in self.look():
            if f not in self.seen:
                self.seen.add(f)
                raw = f.read_bytes()
                m = re.search(rb"^X-Postern-Trace: ([0-9A-Z]{16})$", raw, re.M)
                self.by_id.setdefault(m[1].decode(), []).append(raw)
        return self.by_id.get(trace_id)


# ---- servers -------------------------------------------------------------------------------------
def start_postfix(lab, pki):
    d = lab.dir / "hop/mail"
    d.mkdir(parents=True)
    user = pwd.getpwnam("nobody")
    os.chown(d, user.pw_uid, user.pw_gid)
    services = []
    for name, (port, off) in POSTFIX.items():
        services += [f"{labs.NEXTHOP4}:{port} inet n - n - - smtpd",
                     f"  -o smtpd_discard_ehlo_keywords={','.join(sorted(k.lower() for k in off))}"]
        if "small" in name:
            services.append(f"  -o message_size_limit={SMALL}")
    return postfix.Postfix(lab, "hop", "hop", "hop.example.com", f"""virtual_mailbox_domains = static:all
virtual_mailbox_base = {d}
virtual_mailbox_maps = static:box/
virtual_uid_maps = static:{user.pw_uid}
virtual_gid_maps = static:{user.pw_gid}
virtual_minimum_uid = 1
virtual_mailbox_limit = 0
inet_interfaces = {labs.NEXTHOP4}
smtpd_tls_security_level = may
smtpd_tls_cert_file = {pki}/hop.pem
smtpd_tls_key_file = {pki}/hop.key
smtpd_tls_received_header = yes
smtpd_tls_session_cache_database =
""", services)


def exim_extensions(table, eight):
    """By the port that the client came to."""
    def on(keyword):
        ports = ":".join(str(port) for port, off in table.values() if keyword in off) or "0"
        return f"${{if inlist{{$received_port}}{{{ports}}}{{}}{{*}}}}"
    small = ":".join(str(port) for name, (port, _) in table.items() if "small" in name) or "0"
    return f"""tls_advertise_hosts = {on("STARTTLS")}
tls_certificate = /etc/hop.pem
tls_privatekey = /etc/hop.key
accept_8bitmime = {"true" if eight else "false"}
smtputf8_advertise_hosts = {on("SMTPUTF8")}
chunking_advertise_hosts = {on("CHUNKING")}
pipelining_advertise_hosts = {on("PIPELINING")}
dsn_advertise_hosts = {on("DSN")}
smtp_accept_queue_per_connection = 0
notifier_socket =
message_size_limit = ${{if inlist{{$received_port}}{{{small}}}{{{SMALL}}}{{50M}}}}"""


def start_exim(lab, pki, role, table, eight):
    files = {f"etc/hop.{x}": (pki / f"hop.{x}").read_text() for x in ("pem", "key")}
    ports = " : ".join(str(p) for p, _ in table.values())
    return peers.Exim(lab, "hop", role, "hop.exim.example", labs.NEXTHOP4, ports, files=files,
                      extensions=exim_extensions(table, eight))


def start_opensmtpd(lab):
    return peers.OpenSmtpd(lab, "hop", "store", "hop.smtpd.example", labs.NEXTHOP4, SMTPD["os"][0],
                           listen={SMTPD["osdsn"][0]: "no-dsn"})


class Probe(labs.Smtp):
    """EHLO from where the gateway speaks."""

    def __init__(self, lab, port):
        class Here:
            ns = {"client": lab.ns["gw"]}
        super().__init__(Here, labs.NEXTHOP4, port)


def offered(lab, port):
    """keyword -> parameter."""
    c = Probe(lab, port)
    lines = c.cmd("EHLO probe.example.net")[1][1:]
    c.cmd("QUIT")
    c.close()
    return {w[0].upper(): (w + [""])[1] for w in (line[4:].split() for line in lines)}


# ---- one message -----------------------------------------------------------------------------------
def transact(c, name, case):
    """The reply to the message, of whichever command it was."""
    sender, to = (UTF8_FROM, UTF8_TO) if case.utf8 else ("a@example.net", "b")
    options = (" SMTPUTF8" if case.utf8 else "") + (" BODY=8BITMIME" if case.eight else "")
    code, lines = c.cmd(f"MAIL FROM:<{sender}>{options}")
    assert code == 250, lines
    code, lines = c.cmd(f"RCPT TO:<{to}@{name}.example>")
    assert code == 250, lines
    if case.bdat is None:
        assert c.cmd("DATA")[0] == 354
        text = case.content
        c.send((b"." if text.startswith(b".") else b"") + text.replace(b"\r\n.", b"\r\n..") + b".\r\n")
        return c.reply()
    sizes, at, pieces = iter(case.bdat), 0, []
    while at < len(case.content) or not pieces:
        pieces.append(case.content[at:at + next(sizes)])
        at += len(pieces[-1])
    for i, p in enumerate(pieces):
        c.send(b"BDAT %d%s\r\n" % (len(p), b" LAST" if i == len(pieces) - 1 else b"") + p)
        reply = c.reply()
        assert reply[0] == 250 or i == len(pieces) - 1, reply
    return reply


def expected(case, ehlo):
    """By the last rows of the table in docs/smtp.md; None: it is delivered. Our block is in front: what is
    near the bound of SIZE is not in the corpus."""
    if case.utf8 and "SMTPUTF8" not in ehlo:
        return "553 5.6.7"
    if case.eight and "8BITMIME" not in ehlo:
        return "554 5.6.3"
    if case.bare_lf and "CHUNKING" not in ehlo:
        return "550 5.6.11"
    if "SIZE" in ehlo and ehlo["SIZE"] and len(case.content) > int(ehlo["SIZE"]):
        return "552 5.3.4"
    return None


class Run:
    def __init__(self, lab):
        self.lab, self.failures, self.delivered, self.refused, self.open = lab, [], 0, 0, []

    def hop(self, kind, table, boxes, knows):
        for name, (port, off) in table.items():
            ehlo = offered(self.lab, port)
            have = ALL & set(ehlo)
            if have != knows - off:
                self.failures.append(f"{name}: offers {sorted(have)}, not {sorted(knows - off)}")
                continue
            c = labs.Smtp(self.lab)
            c.cmd("EHLO client.example.net")
            for case in corpus():
                try:
                    self.one(c, kind, name, case, ehlo, boxes)
                except Exception as e:  # noqa: BLE001: each is judged on its own
                    self.failures.append(f"{name}, {case.name}: {type(e).__name__}: {e}")
                    c.close()
                    c = labs.Smtp(self.lab)
                    c.cmd("EHLO client.example.net")
            c.cmd("QUIT")
            c.close()

    def one(self, c, kind, name, case, ehlo, boxes):
        code, lines = transact(c, name, case)
        want = expected(case, ehlo)
        if want is None and name == "pfsmallsecret" and len(case.content) > SMALL:
            want = "552 5.3.4"  # it says so behind the content, and that is passed on
        reply = lines[-1]
        if want:
            assert reply.startswith(want), f"{reply}, not {want}"
            self.refused += 1
            return
        assert code == 250, reply
        trace_id = re.search(r"id=([0-9A-Z]{16})", reply)[1]
        self.open.append((kind, name, case, ehlo, boxes, trace_id))

    def extra(self, boxes):
        """What a route says about its next hop; docs/smtp.md has all of these."""
        case = {c.name: c for c in corpus()}
        c = labs.Smtp(self.lab)
        c.cmd("EHLO client.example.net")
        # SMTPUTF8 is looked for at RCPT already where the next hop is asked.
        assert c.cmd(f"MAIL FROM:<{UTF8_FROM}> SMTPUTF8")[0] == 250
        reply = c.cmd(f"RCPT TO:<{UTF8_TO}@xasked.example>")[1][-1]
        assert reply.startswith("553 5.6.7"), reply
        c.cmd("RSET")
        for name, which, want in (("xencrypt", "plain", "451 4.7.4"), ("xnever", "bare LF", "550 5.6.11"),
                                  ("xnever", "dots in chunks", "250"), ("xnever", "no final newline", "250"),
                                  ("xpass", "8bit", "250"), ("xpass", "8bit in chunks", "250")):
            off = {EXTRA[name][0], "CHUNKING" if name == "xnever" else None}
            reply = transact(c, name, case[which])[1][-1]
            assert reply.startswith(want), f"{name}, {which}: {reply}"
            if want == "250":
                self.open.append(("pf", name, case[which], dict.fromkeys(ALL - off, ""), boxes,
                                  re.search(r"id=([0-9A-Z]{16})", reply)[1]))
            else:
                self.refused += 1
        c.cmd("QUIT")
        c.close()

    def settle(self):
        """As it was sent, once each, and in the way that was offered."""
        ids = {t for *_, t in self.open}
        labs.wait_for("the records", lambda: ids <= {r["trace_id"] for r in self.lab.trace()}, every=0.5)
        record = {r["trace_id"]: r for r in self.lab.trace()}
        end = time.monotonic() + 30  # servers store what they took when they have the time for it
        for kind, name, case, ehlo, boxes, trace_id in self.open:
            try:
                got = labs.wait_for(f"{trace_id} in the mailbox", lambda: boxes.get(trace_id),
                                    max(end - time.monotonic(), 1))
                assert len(got) == 1, f"stored {len(got)} times"
                check_stored(kind, case, name, trace_id, got[0])
                r = record[trace_id]
                assert r["bdat"] == ("CHUNKING" in ehlo), f"bdat is {r['bdat']}"
                assert ("version" in r["next_hop_tls"]) == ("STARTTLS" in ehlo), r["next_hop_tls"]
                added = bool(case.content) and not case.content.endswith(b"\r\n") and "CHUNKING" not in ehlo
                assert bool(r.get("eof_crlf_added")) == added, f"eof_crlf_added is {r.get('eof_crlf_added')}"
                self.delivered += 1
            except Exception as e:  # noqa: BLE001
                self.failures.append(f"{name}, {case.name}: {type(e).__name__}: {e}")


def main():
    labs.need_root()
    started = time.monotonic()
    have = {n for n in ("exim", "opensmtpd") if peers.unpack(n)}
    with labs.Lab("psh", arena_mb=96) as lab:
        pki = lab.dir / "pki"
        pki.mkdir()
        os.chmod(lab.dir, 0o755)
        interop.make_ca(pki)
        interop.make_certificate(pki, "hop", "hop.example.com", "ec", "-pkeyopt", "ec_paramgen_curve:P-256")
        lab.start_dns({"example.net": f'@ IN TXT "v=spf1 ip4:{labs.CLIENT4} -all"\n'})
        tables = {**POSTFIX, **EXIM, **EXIM7, **SMTPD}
        keys = {n: (p, "verify = none") for n, (p, _) in tables.items()}
        keys |= {n: (port_without(k), text) for n, (k, text) in EXTRA.items()}
        routes = "".join(f'route "{n}" {{\n\tdomains = ["{n}.example"]\n\thosts = ["{labs.NEXTHOP4}:{p}"]\n\t{text}\n}}\n'
                         for n, (p, text) in keys.items())
        lab.write_config(domains=("office.example",), extra=routes)
        lab.start_dataplane()
        lab.start_control()
        hops, run = [], Run(lab)
        try:
            hops.append(start_postfix(lab, pki))
            work = [("pf", POSTFIX, Boxes(lambda d=lab.dir / "hop/mail/box/new": list(d.glob("*"))), ALL)]
            if "exim" in have:
                for role, table, eight in (("store", EXIM, True), ("seven", EXIM7, False)):
                    e = start_exim(lab, pki, role, table, eight)
                    hops.append(e)
                    work.append(("ex", table, Boxes(e.mail), EXIM_KNOWS))
            if "opensmtpd" in have:
                o = start_opensmtpd(lab)
                hops.append(o)
                work.append(("os", SMTPD, Boxes(o.mail), SMTPD_KNOWS))
            lab.wait_ready()
            print(f"everything is up after {time.monotonic() - started:.0f} s")
            with concurrent.futures.ThreadPoolExecutor(len(work)) as pool:
                for f in [pool.submit(run.hop, *w) for w in work]:
                    f.result(120)
            run.extra(work[0][2])
            run.settle()
            if run.failures:
                for h in hops[1:]:
                    print(f"---- {h.role}\n{h.log()[-3000:]}", file=sys.stderr)
            assert not run.failures, f"{len(run.failures)}:\n" + "\n".join(run.failures)
            n = sum(len(t) for _, t, *_ in work)
            print(f"{n} next hops of {1 + len(have)} servers, {len(list(corpus()))} messages: {run.delivered} stored "
                  f"octet by octet, {run.refused} refused as documented, {time.monotonic() - started:.0f} s")
        finally:
            for h in hops:
                h.stop()


if __name__ == "__main__":
    main()
