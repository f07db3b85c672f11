#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""Every option of the table of commands is one that its command takes: what reads options itself does not refuse what help
tells of, nor hold a value for a flag. And what both take they read in one way. argv[1]: posternctl."""
import os
import re
import subprocess
import sys
import tempfile

CTL = os.path.abspath(sys.argv[1])
# What getopt says, and what the grammar does.
REFUSED = re.compile("unrecognized option|requires an argument|doesn't allow an argument|unknown option|is ambiguous|one too many")
# What a command cannot do without; others get nothing.
ZONE = ["--dns-zone", "zone"]  # nobody is asked
ARGUMENTS = {"explain": ["m.eml", *ZONE], "scan": ["m.eml", *ZONE], "simulate": ["gmail", "m.eml", *ZONE], "replay": ["x.pcap"],
             "doctor": ["google", "office", *ZONE], "keys check": ZONE, "rules check": ["x.cf"], "rules test": ["m.eml"],
             "rules compile": ["x.cf"], "keys generate": ["key.pem"], "breaker ack": ["office"]}
VALUES = {"WORD": "delivered", "TIME": "1d"}
TRACE = "0123456789ABCDEF"
OF_TRACE = {"--database", "--log", "--config"}  # of explain


def run(*words):
    return subprocess.run([CTL, "--socket", "/nonexistent/socket", *words], cwd=TMP, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=60, check=False)


def commands():
    """Of the usage: "  show drops [--all]      what was refused"; what is too long goes on further in."""
    lines = [x for x in run("help").stdout.splitlines() if re.match(r"  \S", x)]
    return [re.match(r"(?:[a-z]+(?: |$))+", x[2:]).group().strip() for x in lines]


def options(command):
    """name -> words of its value, [] of a flag."""
    out = {}
    for line in run("help", *command.split()).stdout.splitlines():
        m = re.match(r"    (--[a-z-]+)(?: (\S+))?(?:  |$)", line)
        if m:
            out[m.group(1)] = m.group(2).split("|") if m.group(2) else []
    return out


def try_option(command, name, value):
    rest = [TRACE] if command == "explain" and name in OF_TRACE else ARGUMENTS.get(command, [])
    line = [*command.split(), name, *([] if value is None else [value]), *rest]
    p = run(*line)
    assert p.returncode >= 0 and not REFUSED.search(p.stderr), (line, p.returncode, p.stderr)


def walk():
    n, all_ = 0, commands()
    assert {"show status", "trace", "trace shares", "keys list", "keys generate", "explain", "rules test", "top"} <= set(all_), all_
    assert set(ARGUMENTS) <= set(all_), all_
    for command in all_:
        for name, choice in options(command).items():
            value = None if not choice else choice[0] if choice[0].islower() else VALUES.get(choice[0], "1")
            try_option(command, name, value)
            n += 1
    print(f"{len(all_)} commands, {n} options: ok")
    assert n > 80, n


def explain():
    """Of a trace id, or of a file: what is said is of the one that was named."""
    for name in ("--gateway", "--skip", "--mail-from", "--from", "--helo", "--dns-zone", "--now"):
        p = run("explain", name, "1", TRACE)
        assert p.returncode == 2 and f"{name} is of message files, and {TRACE} is a trace id" in p.stderr, p
    for name in OF_TRACE:
        p = run("explain", "m.eml", name, "x")
        assert p.returncode == 2 and f"{name} is of trace ids, and m.eml is none" in p.stderr, p
    # A value that looks like one is none, and a file of such a name is a file.
    p = run("explain", "--helo", TRACE, "--dns-zone", "zone", "m.eml")
    assert p.returncode in (0, 1) and "nothing found" in p.stdout + p.stderr or "finding" in p.stdout, p
    with open(os.path.join(TMP, TRACE), "w", encoding="ascii") as f:
        f.write(MESSAGE)
    p = run("explain", "--dns-zone", "zone", TRACE)
    assert "sender" in p.stdout and "no record" not in p.stderr, p
    os.unlink(os.path.join(TMP, TRACE))
    assert "no index" in (p := run("explain", TRACE)).stderr or p.returncode == 3, p


def now():
    """A time that is none is none for all that ask for one: 1970 would make every key and signature out of date."""
    for words in (["scan", "m.eml"], ["simulate", "gmail", "m.eml"], ["explain", "m.eml"], ["keys"], ["keys", "check"],
                  ["doctor", "google", "office"]):
        for text in ("soon", "", "-1", "99999999999999999999"):
            p = run(*words, f"--now={text}")
            assert p.returncode == 2 and "no number of seconds since 1970" in p.stderr, (words, text, p)


MESSAGE = "Received: from a.example (a.example [192.0.2.1]) by mx.example.net; Thu, 26 Nov 2026 10:00:00 +0000\nFrom: a@example.com\n\nx\n"
with tempfile.TemporaryDirectory() as TMP:
    for name_, text_ in (("m.eml", MESSAGE), ("zone", "$ORIGIN example.com.\n"), ("x.cf", "body A /x/\n"), ("1", "$ORIGIN example.com.\n")):
        with open(os.path.join(TMP, name_), "w", encoding="ascii") as file:
            file.write(text_)
    walk()
    explain()
    now()
print("ok")
