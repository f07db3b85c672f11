#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""posternctl rules test over message files: argv[1] is the posternctl to run."""

import json
import os
import subprocess
import sys
import tempfile

RULES = r"""
header  SUBJ     Subject =~ /\bwin\w+$/
describe SUBJ    A prize
score   SUBJ     1.5
header  LF       Subject =~ /g\n/
header  FIRST    X-Spam-Relays-External =~ /^\[ ip=198\.51\.100\.7 rdns=mail\.example\.net /
header  ENV      EnvelopeFrom =~ /^bounce\@example\.net$/
header  ALLEXT   ALL-EXTERNAL =~ /\AReceived: from mail\.example\.net [^\n]*\nFrom: [^\n]*\nSubject: you are winning\n/
body    MANY     /spam/
tflags  MANY     multiple maxhits=3
score   MANY     0.5
rawbody ODD      /\x1b.{3}\xff/s
body    __PART   /eggs/
body    __OTHER  /bacon/
meta    META     __PART && !__OTHER
score   META     2
meta    OVER     META + SUBJ > 1
score   OVER     0.25
header  NOT_SPF  eval:check_for_spf_none()
"""
MAIL = (b"Return-Path: <bounce@example.net>\r\n"
        b"Received: from mail.example.net (mail.example.net [198.51.100.7])\r\n\tby mx.example.com (Postfix) with ESMTP id 1;"
        b" Fri, 27 Nov 2026 12:00:00 +0000\r\n"
        b"From: a@example.net\r\nSubject: =?utf-8?q?you_are?=\r\n =?utf-8?q?_winning?=\r\nMIME-Version: 1.0\r\n"
        b"Content-Type: text/plain\r\n\r\nspam, eggs, spam, spam and spam\r\n\x1bab\n\xff\r\n")
PLAIN = b"From: a@example.net\r\nSubject: hello\r\n\r\nnothing\r\n"


def run(*words, code=0):
    p = subprocess.run([sys.argv[1], "rules", "test", *words], capture_output=True, timeout=60, check=False)
    assert p.returncode == code, (words, p.returncode, p.stdout, p.stderr)
    return p.stdout.decode("ascii"), p.stderr.decode()


def hits_of(message):
    return {h["name"]: h for h in message["hits"]}


def main():
    with tempfile.TemporaryDirectory() as d:
        rules, mail, plain = (os.path.join(d, n) for n in ("t.cf", "m.eml", "plain.eml"))
        for path, data in ((rules, RULES.encode()), (mail, MAIL), (plain, PLAIN)):
            with open(path, "wb") as f:
                f.write(data)
        answer = json.loads(run("--json", "--rules", rules, mail, plain)[0])
        first, second = answer["messages"]
        assert answer["ok"] and first["file"] == mail and second["hits"] == [] and second["score"] == 0, answer
        hits = hits_of(first)
        assert set(hits) == {"SUBJ", "LF", "FIRST", "ENV", "ALLEXT", "MANY", "ODD", "META", "OVER"}, hits
        assert hits["SUBJ"]["text"] == "winning" and hits["SUBJ"]["describe"] == "A prize", hits["SUBJ"]
        assert hits["SUBJ"]["in"] == "header Subject" and hits["SUBJ"]["tier"] == "native", hits["SUBJ"]
        assert hits["LF"]["text"] == "g\\n", hits["LF"]
        assert hits["MANY"]["count"] == 3 and hits["MANY"]["score"] == 1.5, hits["MANY"]
        assert hits["ODD"]["text"] == "\\x1bab\\n\\xff", hits["ODD"]
        assert hits["META"]["of"] == ["__PART"] and hits["OVER"]["of"] == ["META", "SUBJ"], hits
        # 1.5 + five of 1 + 3 * 0.5 + 2 + 0.25
        assert abs(first["score"] - 10.25) < 1e-6 and first["limited"] == 0, first
        assert first["reaches"] == "tag" and first["thresholds"] == {"tag": 5.0}, first
        # Parts are shown when asked for; they score nothing.
        more = json.loads(run("--json", "--parts", "--rules", rules, mail)[0])["messages"][0]
        assert set(hits_of(more)) == set(hits) | {"__PART"} and more["score"] == first["score"], more
        text, _ = run("--rules", rules, mail)
        assert "of __PART\n" in text and 'rawbody: "\\x1bab\\n\\xff"' in text and '"spam" and 2 more' in text, text
        assert " 10.25  in all, tag at 5.00" in text and text.rstrip().endswith(": tag"), text
        # A peer that is named is who sends; nothing is taken from Return-Path then.
        told = hits_of(json.loads(run("--json", "--rules", rules, "--ip", "203.0.113.9", "--from", "x@example.org", mail)[0])
                       ["messages"][0])
        assert "FIRST" not in told and "ENV" not in told and "SUBJ" in told, told
        # What cannot be.
        assert "which rules?" in run(mail, code=2)[1]
        assert "which message?" in run("--rules", rules, code=2)[1]
        assert "--score-set" in run("--rules", rules, "--score-set", "4", mail, code=2)[1]
        assert "--ip" in run("--rules", rules, "--ip", "nowhere", mail, code=2)[1]
        with open(rules, "a", encoding="ascii") as f:
            f.write("body BAD /(/\n")
        out, err = run("--rules", rules, mail, code=2)
        assert not out and "t.cf:%d: BAD" % (RULES.count("\n") + 1) in err, err
        with open(rules, "w", encoding="ascii") as f:
            f.write(RULES)
        # One that is not there does not keep the others from being looked at.
        out, err = run("--rules", rules, os.path.join(d, "none"), mail, code=1)
        assert "none" in err and "10.25  in all" in out, (out, err)


main()
