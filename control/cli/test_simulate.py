#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""posternctl simulate over message files: argv[1] is the posternctl to run."""

import json
import os
import subprocess
import sys
import tempfile

DATE = "Tue, 14 Nov 2023 22:13:20 +0000"
ZONE = '$ORIGIN example.com.\n@ 300 IN TXT "v=spf1 ip4:203.0.113.5 -all"\n'
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


def run(dirname, text, *words, code=0):
    path, zone = os.path.join(dirname, "m.eml"), os.path.join(dirname, "zone")
    with open(path, "w", newline="") as f:
        f.write(text)
    with open(zone, "w") as f:
        f.write(ZONE)
    p = subprocess.run([sys.argv[1], "simulate", *words, "--dns-zone", zone, path], capture_output=True,
                       text=True, timeout=60)
    assert p.returncode == code, (words, p.returncode, p.stdout, p.stderr)
    return p.stdout if "--json" not in words else json.loads(p.stdout)


def check(dirname, text, words, ip, helo, spf, without):
    r = run(dirname, text, *words, "--json")
    got = (r["with"]["ip"], r["with"]["helo"], r["with"]["spf"]["result"], r["without"]["ip"])
    assert got == (ip, helo, spf, without), (words, got)
    assert r["side"] == words[0] and r["with"]["dmarc"]["result"] == "none"


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
        out = run(d, direct, "exchange", *gw)
        assert "the last address: skipped" in out and "not listed: taken for the sender" in out, out
        run(d, direct, "exchange", *gw, "--skip", "0.0.0.0/0", code=1)
        run(d, REST, "exchange", code=1)
        run(d, direct, "outlook", code=2)
        run(d, direct, "gmail", "--skip", "192.0.2.9-192.0.2.1", code=2)
        run(d, direct, "gmail", "--gateway", "gw.example.net", code=2)


main()
