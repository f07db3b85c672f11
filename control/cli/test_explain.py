#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""posternctl explain over messages that something happened to: argv[1] is the posternctl to run."""

import base64
import json
import os
import subprocess
import sys
import tempfile

try:
    import dkim
except ImportError:
    print("no dkimpy")
    sys.exit(77)

DATE = "Tue, 14 Nov 2023 22:13:20 +0000"
MAIL = ("From: a@example.com\r\nTo: b@example.org\r\nSubject: report\r\nReply-To: c@example.com\r\n"
        "Date: " + DATE + "\r\nMessage-ID: <1@example.com>\r\n\r\nThe figures.\r\n")
SIGNED = [b"from", b"to", b"subject", b"reply-to"]


def line(helo, ip, by, more=""):
    return f"Received: from {helo} ({helo} [{ip}]) by {by} (Postfix) with ESMTP id 1; {DATE}\r\n{more}"


class Lab:
    def __init__(self, dirname, posternctl):
        self.dir, self.posternctl = dirname, posternctl
        key, der = os.path.join(dirname, "key"), os.path.join(dirname, "der")
        quiet = {"check": True, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        subprocess.run(["openssl", "genrsa", "-traditional", "-out", key, "2048"], **quiet)
        subprocess.run(["openssl", "rsa", "-in", key, "-pubout", "-outform", "DER", "-out", der], **quiet)
        with open(key, "rb") as f:
            self.signed = dkim.sign(MAIL.encode(), b"s", b"example.com", f.read(),
                                    include_headers=SIGNED).decode() + MAIL
        with open(der, "rb") as f:
            p = base64.b64encode(f.read()).decode()
        self.zone = ('$ORIGIN example.com.\n@ 300 IN TXT "v=spf1 ip4:203.0.113.5 -all"\n'
                     f's._domainkey 300 IN TXT "v=DKIM1; p={p[:200]}" "{p[200:]}"\n')

    def run(self, text, *words, zone=None, form="--json"):
        path, file = os.path.join(self.dir, "m.eml"), os.path.join(self.dir, "zone")
        with open(path, "w", newline="") as f:
            f.write("Return-Path: <a@example.com>\r\n" + text)
        with open(file, "w") as f:
            f.write(zone or self.zone)
        p = subprocess.run([self.posternctl, "explain", *words, form, "--dns-zone", file, path],
                           capture_output=True, text=True, timeout=60)
        return p

    def codes(self, text, want, *words, zone=None):
        p = self.run(text, *words, zone=zone)
        assert p.returncode == (1 if want else 0), (p.returncode, p.stdout, p.stderr)
        r = json.loads(p.stdout)
        assert [f["code"] for f in r["findings"]] == want, json.dumps(r, indent=1)
        return r


def senders(lab):
    cip = "X-Forefront-Antispam-Report: CIP:%s;CTRY:;H:x;CAT:NONE\r\n"
    border = line("relay.example.org", "198.51.100.7", "front.cloud.example")
    first = line("mail.example.com", "203.0.113.5", "relay.example.org")
    gw = ("--gateway", "198.51.100.7")
    whole = border + first + lab.signed

    # The mailbox found the sender: nothing to tell.
    lab.codes(cip % "203.0.113.5" + whole, [])
    lab.codes(cip % "203.0.113.5" + whole, [], *gw)
    # It took the relay: shown by SPF, or known by the list; the advice names the relay.
    for words in ((), gw):
        r = lab.codes(cip % "198.51.100.7" + whole, ["sender-hidden"], *words)
        assert "relay.example.org (198.51.100.7) hid the sender" in r["findings"][0]["text"], r
        assert "198.51.100.7" in r["findings"][0]["advice"], r
        assert [h["ip"] for h in r["path"] if h["sender"]] == ["203.0.113.5"], r
        assert r["stamp"] == "X-Forefront-Antispam-Report"
    # Gmail's stamp, and none at all.
    spf = "Received-SPF: fail (google.com: no) client-ip=198.51.100.7;\r\n"
    lab.codes(spf + whole, ["sender-hidden"])
    lab.codes(whole, ["sender-hidden"])
    # A message that is yet to reach the mailbox.
    lab.codes(first + lab.signed, ["sender-hidden"], *gw)
    r = lab.codes(border + line("lb", "10.0.0.9", "relay.example.org") + lab.signed, ["nat-hides"], *gw)
    assert "relay.example.org saw the private address 10.0.0.9" in r["findings"][0]["text"]
    lab.codes(border + "Received: by relay.example.org; x\r\n" + lab.signed, ["line-missing"], *gw)
    lab.codes(cip % "192.0.2.1" + whole, ["taken-not-in-chain"])
    lab.codes(border + lab.signed, ["spf-fails"])


def signatures(lab):
    ok = "Authentication-Results: edge.example.org; dkim=pass header.d=example.com\r\n"
    top = line("mid.example.org", "203.0.113.5", "mx.cloud.example", "X-Mimecast-Originator: x\r\n")
    low = line("mail.example.com", "203.0.113.5", "edge.example.org")

    lab.codes(top + ok + low + lab.signed, [])
    r = lab.codes(top + ok + low + lab.signed + "-- \r\nChecked.\r\n", ["modified-upstream"])
    f = r["findings"][0]
    assert "the body" in f["text"] and "after a server had found" in f["text"], f
    assert "went through: mx.cloud.example (fields of: Mimecast)" in f["text"], f
    assert "Cannot be repaired" in f["advice"], f
    assert r["dkim"][0]["broken_by"] == "body", r
    # Nobody says that it was ever whole: everybody above the signature may have been it.
    r = lab.codes(top + low + lab.signed.replace("The figures", "Figures"), ["modified-upstream"])
    assert "mx.cloud.example, edge.example.org" in r["findings"][0]["text"], r
    # Another domain's pass says nothing.
    r = lab.codes(top + ok.replace("example.com", "example.com.test") + low + lab.signed + "x\r\n",
                  ["modified-upstream"])
    assert "after a server" not in r["findings"][0]["text"], r
    r = lab.codes(low + lab.signed.replace("Subject: report", "Subject: [EXT] report"), ["modified-upstream"])
    assert r["dkim"][0]["broken_by"] == "header" and "header field" in r["findings"][0]["text"], r
    r = lab.codes(low + lab.signed.replace("Reply-To: c@example.com\r\n", ""),
                  ["signed-field-missing", "modified-upstream"])
    assert "reply-to" in r["findings"][0]["text"] and r["dkim"][0]["broken_by"] == "missing-field", r
    no_key = "".join(x + "\n" for x in lab.zone.splitlines() if "_domainkey" not in x)
    r = lab.codes(low + lab.signed, ["signer-key"], zone=no_key)
    assert r["dkim"][0]["broken_by"] == "key" and "s._domainkey.example.com" in r["findings"][0]["text"], r


def words(lab):
    low = line("mail.example.com", "203.0.113.5", "edge.example.org")
    p = lab.run(low + lab.signed, form="--from=a@example.com")
    assert p.returncode == 0 and "nothing found" in p.stdout and "<- sender" in p.stdout, p
    p = lab.run(low + lab.signed + "x\r\n", form="--from=a@example.com")
    assert p.returncode == 1 and "finding  modified-upstream: the body" in p.stdout, p
    assert lab.run(low, "--skip", "x").returncode == 2


def main():
    with tempfile.TemporaryDirectory() as d:
        lab = Lab(d, sys.argv[1])
        senders(lab)
        signatures(lab)
        words(lab)


main()
