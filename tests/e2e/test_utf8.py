#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""Addresses with UTF-8 through the whole relay: what is announced, taken and refused, what the next hop
gets, what SPF, header and trace make of them. And relays that are known by a certificate: with it the
line they wrote is believed, without it they are the sender."""
import json
import os
import ssl
import socket
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import lab as labs  # noqa: E402

RELAY, SENDER = "192.0.2.11", "203.0.113.7"
EHLO8 = "250-hop.example.com\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SMTPUTF8"
FROM, TO = "jürgen@bücher.example", "用户@例子.example"


class From(labs.Smtp):
    def __init__(self, lab, source=labs.CLIENT4):
        with labs.in_netns(lab.ns["client"]):
            self.sock = socket.create_connection((labs.GATEWAY4, 25), 20, (source, 0))
        self.file = self.sock.makefile("rb")
        self.banner = self.reply()

    def starttls(self, *cert):
        assert self.cmd("STARTTLS")[0] == 220
        ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        ctx.check_hostname, ctx.verify_mode = False, ssl.CERT_NONE
        if cert:
            ctx.load_cert_chain(*cert)
        self.file.close()
        self.sock = ctx.wrap_socket(self.sock, server_hostname="mx.example.com")
        self.file = self.sock.makefile("rb")
        assert self.cmd("EHLO mail.example.net")[0] == 250

    def message(self, sender, rcpt, text, params=""):
        for line, code in ((f"MAIL FROM:<{sender}>{params}", 250), (f"RCPT TO:<{rcpt}>", 250), ("DATA", 354)):
            got = self.cmd(line)
            assert got[0] == code, (line, got)
        got = self.cmd(text + "\r\n.")
        assert got[0] == 250, got


def messages(lab):
    """A refused recipient has a record too, without a size."""
    return [x for x in lab.trace() if "size" in x]


def newest(lab, count):
    return labs.wait_for("trace record", lambda: (t := messages(lab)) and len(t) == count and t[-1])


def counted(lab, name):
    return next(c["value"] for c in lab.stats()["control"] if c["name"] == name)


def pair(lab, name):
    cert, key = lab.dir / f"{name}.pem", lab.dir / f"{name}.key"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                    "-nodes", "-subj", f"/CN={name}", "-days", "2", "-keyout", key, "-out", cert],
                   check=True, capture_output=True)
    return cert, key


def fingerprint(cert):
    out = subprocess.run(["openssl", "x509", "-in", cert, "-noout", "-fingerprint", "-sha256"],
                         check=True, capture_output=True, text=True).stdout
    return out.strip().split("=", 1)[1]


def refusals(lab):
    c = From(lab)
    assert "250-SMTPUTF8" in c.cmd("EHLO mail.example.net")[1]
    for line, code in ((f"MAIL FROM:<{FROM}>", "553 5.6.7"), ("MAIL FROM:<> SMTPUTF8=1", "501 5.5.4"),
                       ("MAIL FROM:<a\u202eb@example.net> SMTPUTF8", "553 5.6.7"),
                       ("MAIL FROM:<a@example.net>", "250 2.1.0"), (f"RCPT TO:<{TO}>", "553 5.6.7"),
                       ("RSET", "250 2.0.0"), ("MAIL FROM:<> SMTPUTF8", "250 2.1.0"),
                       ("RCPT TO:<a@\u0301例子.example>", "550 5.1.2"), ("RCPT TO:<a@例え.example>", "550 5.7.1"),
                       ("RCPT TO:<a\uff20b@例子.example>", "550 5.7.1"), ("RSET", "250 2.0.0")):
        got = c.cmd(line)
        assert got[1][0].startswith(code), (line, got)
    c.close()


def whole(lab):
    text = f"From: {FROM}\r\nTo: {TO}\r\nSubject: grüße\r\n\r\ntext"
    c = From(lab)
    c.cmd("EHLO mail.example.net")
    c.message(FROM, TO, text, " SMTPUTF8")
    t = newest(lab, 1)
    assert (t["mail_from"], t["rcpt"], t["outcome"]) == (FROM, TO, "delivered"), t
    assert t["smtputf8"] is True and "tls" not in t, t
    spf = t["judged"]["spf"]
    assert (spf["result"], spf["domain"]) == ("pass", "xn--bcher-kva.example"), spf
    got = lab.inbox()[-1].read_bytes().decode()
    assert got.endswith(text + "\r\n"), got
    head = got[:-len(text) - 2]
    assert f" with UTF8SMTP id {t['trace_id']}\r\n\tfor <{TO}>;" in head, head
    assert f"smtp.mailfrom={FROM}" in head, head
    env = lab.inbox()[-1].with_suffix(".env").read_text().encode("latin-1").decode().splitlines()
    assert env[0].startswith(f"MAIL FROM:<{FROM}>") and "SMTPUTF8" in env[0], env
    assert env[1] == f"RCPT TO:<{TO}>", env
    # The A-label is the same recipient: known by now.
    before = counted(lab, "callouts")
    c.message(FROM, TO.replace("例子", "xn--fsqu00a"), text, " SMTPUTF8")
    assert counted(lab, "callouts") == before
    newest(lab, 2)
    for who in ("@xn--bcher-kva.example", "@bücher.example", FROM):
        found = json.loads(lab.ctl("trace", "--from", who, "--json").stdout)["records"]
        assert len(found) == 2, (who, found)
    # What came without SMTPUTF8 leaves without it.
    c.message("a@example.net", "b@例子.example".replace("例子", "xn--fsqu00a"), "Subject: x\r\n\r\nx")
    t = newest(lab, 3)
    assert "smtputf8" not in t, t
    assert b" with ESMTP id " in lab.inbox()[-1].read_bytes()
    c.close()


def relay(lab, cert, stranger):
    line = (f"Received: from out.example.org (out.example.org [{SENDER}]) by relay.example.org\r\n"
            "\twith ESMTP id 1; Tue, 14 Nov 2023 22:13:20 +0000\r\n")
    rcpt = "b@xn--fsqu00a.example"
    n = len(messages(lab))
    for shows, origin, note in ((cert, SENDER, "listed: relay partner"),
                                (stranger, RELAY, "another certificate"), ((), RELAY, "no client certificate"),
                                (None, RELAY, "no TLS")):
        c = From(lab, RELAY)
        c.cmd("EHLO relay.example.org")
        if shows is not None:
            c.starttls(*shows)
        c.message("a@example.net", rcpt, line + "Subject: x\r\n\r\nx")
        t = newest(lab, n := n + 1)
        c.close()
        assert t["origin"] == origin and note in t["judged"]["origin"]["path"][0]["note"], t
        tls = t.get("tls")
        assert (tls is None) == (shows is None), t
        if tls:
            assert tls["version"] == "TLSv1.3" and tls["sni"] == "mx.example.com", tls
            assert tls["client_verified"] is False, tls
            assert (tls["client_sha256"] is not None) == bool(shows), tls
            head = lab.inbox()[-1].read_text()
            assert f" with ESMTPS id {t['trace_id']}\n\t(version=TLSv1.3 cipher={tls['cipher']})" in head, head
    assert tls is None and counted(lab, "origin_unproven") == 3


def main():
    labs.need_root()
    with labs.Lab("psu") as lab:
        lab.addr("client", f"{lab.name}c0", f"{RELAY}/24")
        lab.start_dns({"xn--bcher-kva.example": f'@ IN TXT "v=spf1 ip4:{labs.CLIENT4} -all"\n'})
        lab.start_sink("--rule", f"ehlo={EHLO8}")
        cert, stranger, own = pair(lab, "relay"), pair(lab, "stranger"), pair(lab, "mx.example.com")
        lab.write_config(domains=("例子.example",), extra=f'''tls {{ certificate "mx" {{ chain = "{own[0]}"; key = "{own[1]}" }} }}
relay "partner" {{ addresses = ["{RELAY}"]; tls-sha256 = "{fingerprint(cert[0])}"; unproven = "direct" }}
''')
        lab.start_dataplane()
        lab.start_control()
        lab.wait_ready()
        refusals(lab)
        whole(lab)
        relay(lab, cert, stranger)


if __name__ == "__main__":
    main()
