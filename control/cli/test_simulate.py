#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""posternctl simulate over message files: argv[1] is the posternctl to run."""

import base64
import json
import os
import subprocess
import sys
import tempfile

try:
    import dkim
except ImportError:
    dkim = None

DATE = "Tue, 14 Nov 2023 22:13:20 +0000"
ZONE = ('$ORIGIN example.com.\n@ 300 IN TXT "v=spf1 ip4:203.0.113.5 -all"\n'
        '_dmarc 300 IN TXT "v=DMARC1; p=quarantine"\n'
        '$ORIGIN mail.example.com.\n@ 300 IN TXT "v=spf1 ip4:203.0.113.5 -all"\n')
OURS = ("X-Postern-Trace: 0123456789ABCDEF\r\n"
        "Received: from {helo} (unknown [{ip}])\r\n\tby gw.example.net (Postern) with ESMTP id "
        "0123456789ABCDEF;\r\n\t" + DATE + "\r\n")
RELAY = ("Received: from mail.example.com ([203.0.113.5]) by relay.example.org (Postfix) with ESMTP id 2; "
         + DATE + "\r\n")
FORGED = ("Received: from gw.example.net ([198.51.100.7]) by mx.example with ESMTP id 3; " + DATE + "\r\n"
          "Received: from bank.example ([192.0.2.99]) by gw.example.net (Postern) with ESMTP id 4; " + DATE
          + "\r\n")
REST = "Return-Path: <a@example.com>\r\nFrom: a@example.com\r\n\r\nhi\r\n"
CLOUD = ("Received: from front.cloud.example (2001:db8:c::1) by back.cloud.example (2001:db8:c::2) with "
         "Microsoft SMTP Server id 15.20.1; " + DATE + "\r\n"
         "Received: from gw.example.net (198.51.100.7) by front.cloud.example (10.0.0.1) with Microsoft SMTP "
         "Server id 15.20.1; " + DATE + "\r\n")


def run(dirname, text, *words, code=0, more=""):
    path, zone = os.path.join(dirname, "m.eml"), os.path.join(dirname, "zone")
    with open(path, "w", newline="") as f:
        f.write(text)
    with open(zone, "w") as f:
        f.write(ZONE + more)
    p = subprocess.run([sys.argv[1], "simulate", *words, "--dns-zone", zone, path], capture_output=True,
                       text=True, timeout=60)
    assert p.returncode == code, (words, p.returncode, p.stdout, p.stderr)
    return p.stdout if "--json" not in words else json.loads(p.stdout)


def check(dirname, text, words, ip, helo, spf, without):
    r = run(dirname, text, *words, "--json")
    got = (r["with"]["ip"], r["with"]["helo"], r["with"]["spf"]["result"], r["without"]["ip"])
    assert got == (ip, helo, spf, without), (words, got)
    assert r["side"] == words[0] and r["mail_from"] == "a@example.com" and r["dkim"] == [], r
    d = r["with"]["dmarc"]
    got = (d["result"], d["policy"], d["disposition"], d["domain"], d["spf_aligned"])
    want = ("pass", "quarantine", "none", "example.com", True) if spf == "pass" else \
        ("fail", "quarantine", "quarantine", "example.com", False)
    assert got == want, (words, got)
    assert r["without"]["spf"]["result"] == "fail" and r["without"]["dmarc"]["result"] == "fail", r


def envelope(d, direct):
    """The sender: given, null, unknown. SPF follows, and DMARC SPF."""
    gw = ["--gateway", "198.51.100.7"]
    unknown = direct.replace("Return-Path: <a@example.com>\r\n", "")
    null = direct.replace("<a@example.com>", "<>")
    for text, words, sender, results in (
            (direct, ["--mail-from", "x@other.example"], "x@other.example", ("none", "fail")),
            (direct, ["--from", "<b@example.com>"], "b@example.com", ("pass", "pass")),
            (null, [], "", ("pass", "pass")), (unknown, [], None, ("pass", "pass")),
            (unknown, ["--mail-from", ""], "", ("pass", "pass"))):
        r = run(d, text, "exchange", *gw, *words, "--json")
        got = (r["with"]["spf"]["result"], r["with"]["dmarc"]["result"])
        assert r["mail_from"] == sender and got == results, (words, r["mail_from"], got)
    # Without the setting the gateway's own HELO is judged for a null path.
    r = run(d, null, "exchange", *gw, "--helo", "mail.example.com", "--json")
    assert r["without"]["helo"] == "mail.example.com" and r["without"]["spf"]["result"] == "fail", r
    assert "SPF is that of HELO" in run(d, unknown, "exchange", *gw)
    out = run(d, direct, "exchange", *gw, "--mail-from", "\x1b[2J@example.com")
    assert "\x1b" not in out and "sender   <?[2J@example.com>  (--mail-from)" in out, out


def signed(d, received):
    """A signature carries DMARC whatever address is taken, as long as the message is whole. The key says t=y,
    which the clouds count all the same."""
    if not dkim:
        print("no dkimpy: nothing signed")
        return
    key = subprocess.run(["openssl", "genrsa", "-traditional", "2048"], check=True, capture_output=True).stdout
    der = subprocess.run(["openssl", "rsa", "-pubout", "-outform", "DER"], input=key, check=True,
                         capture_output=True).stdout
    p = base64.b64encode(der).decode()
    zone = f's._domainkey.example.com. 300 IN TXT "v=DKIM1; t=y; p={p[:200]}" "{p[200:]}"\n'
    message = REST.split("\r\n", 1)[1].encode()
    text = received + REST.split("\r\n", 1)[0] + "\r\n" + \
        (dkim.sign(message, b"s", b"example.com", key, include_headers=[b"from"]) + message).decode()
    r = run(d, text, "exchange", "--gateway", "198.51.100.7", "--json", more=zone)
    assert [(s["result"], s["domain"], s["selector"]) for s in r["dkim"]] == [("pass", "example.com", "s")], r
    got = [(r[k]["spf"]["result"], r[k]["dmarc"]["result"], r[k]["dmarc"]["dkim_aligned"]) for k in ("with", "without")]
    assert got == [("pass", "pass", [0]), ("fail", "pass", [0])], got
    out = run(d, text + "x\r\n", "exchange", "--gateway", "198.51.100.7", more=zone)
    assert "dkim     fail  d=example.com s=s  body hash did not verify" in out, out
    assert "without it 198.51.100.7: spf fail, dmarc fail" in out, out


def words(d, direct, relayed):
    gw = ["--gateway", "198.51.100.7"]
    out = run(d, direct, "exchange", *gw)
    assert out.startswith("with its setting exchange takes 203.0.113.5: spf pass, dmarc pass (example.com, "
                          "p=quarantine)\nwithout it 198.51.100.7: spf fail, dmarc fail (example.com, "
                          "p=quarantine)\n"), out
    assert "the last address: skipped" in out and "not listed: taken for the sender" in out, out
    assert "spf is aligned" in out and "no aligned SPF or DKIM pass" in out, out
    out = run(d, relayed, "gmail", *gw)
    assert "the gateway has to" in out, out
    out = run(d, direct, "exchange", *gw, "--skip", "0.0.0.0/0", code=1)
    assert "every hop was skipped" in out, out
    out = run(d, direct, "gmail")
    assert "makes no difference" in out, out
    assert "nobody: no Received field" in run(d, REST, "exchange", code=1)
    r = run(d, REST, "exchange", "--json", code=1)
    assert r["with"]["ip"] is None and r["with"]["dmarc"]["result"] == "none", r


def main():
    direct = OURS.format(helo="mail.example.com", ip="203.0.113.5") + FORGED + REST
    relayed = OURS.format(helo="relay.example.org", ip="192.0.2.10") + RELAY + FORGED + REST
    gw = ["--gateway", "198.51.100.7"]
    sender = ("203.0.113.5", "mail.example.com", "pass", "198.51.100.7")
    with tempfile.TemporaryDirectory() as d:
        for text in (direct, CLOUD + direct):
            for side in ("exchange", "gmail", "spamassassin"):
                check(d, text, [side, *gw], *sender)
        for side in ("exchange", "gmail"):
            check(d, relayed, [side, *gw, "--skip", "192.0.2.8-192.0.2.12"], *sender)
            check(d, relayed, [side, *gw, "--skip", "192.0.2.8/32"], "192.0.2.10", "relay.example.org",
                  "fail", "198.51.100.7")
        check(d, relayed, ["first-received", *gw], "192.0.2.10", "relay.example.org", "fail",
              "198.51.100.7")
        check(d, direct, ["last-public", *gw], "192.0.2.99", "bank.example", "fail", "198.51.100.7")
        envelope(d, direct)
        signed(d, OURS.format(helo="mail.example.com", ip="203.0.113.5"))
        words(d, direct, relayed)
        # Options in front of the reader, and a file that looks like one.
        assert run(d, direct, *gw, "--json", "gmail")["with"]["ip"] == "203.0.113.5"
        with open(os.path.join(d, "-odd.eml"), "w", newline="") as f:
            f.write(direct)
        p = subprocess.run([os.path.abspath(sys.argv[1]), "simulate", *gw, "--json", "--dns-zone", "zone", "--", "gmail", "-odd.eml"],
                           cwd=d, capture_output=True, timeout=60, check=True)
        assert json.loads(p.stdout)["with"]["ip"] == "203.0.113.5", p
        run(d, direct, "outlook", code=2)
        run(d, direct, "gmail", "--skip", "192.0.2.9-192.0.2.1", code=2)
        run(d, direct, "gmail", "--gateway", "gw.example.net", code=2)


main()
