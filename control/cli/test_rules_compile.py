#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""posternctl rules compile: argv[1] is the posternctl to run."""

import json
import os
import struct
import subprocess
import sys
import tempfile

RULES = "full A /buy now/i\nbody B /hello world/\nheader C Subject =~ /prize/\n"
CONF = """hostname = mx.example.net
listener a {{ port = 0; address = ["192.0.2.25/24"] }}
route r {{ domains = ["example.com"]; hosts = ["192.0.2.2"] }}
rules {{ files = ["{0}"] }}
"""
HEAD = struct.Struct("<IIQIIQQ32s64s")


def run(*words, code=0):
    p = subprocess.run([sys.argv[1], "--json", "rules", "compile", *words], capture_output=True, timeout=120, check=False)
    assert p.returncode == code, (words, p.returncode, p.stdout, p.stderr)
    return p.stdout.decode(), p.stderr.decode()


def slots(path):
    """{slot: patterns}, and the digest."""
    with open(path, "rb") as f:
        data = f.read()
    magic, _, size, n, _, at, _, digest, _ = HEAD.unpack_from(data)
    assert magic == 0x32425350 and size == len(data)
    return {s: p for s, _, p, *_ in struct.iter_unpack("<IIQQQQQQQQQ", data[at:at + n * 80])}, digest.hex()


def main():
    with tempfile.TemporaryDirectory() as d:
        rules, conf, out = (os.path.join(d, n) for n in ("r.cf", "postern.conf", "r.psb"))
        for path, text in ((rules, RULES), (conf, CONF.format(rules)), (d + "/bad.cf", "full A /(/\n"), (d + "/none.cf", "# nothing\n")):
            with open(path, "w", encoding="ascii") as f:
                f.write(text)
        told = json.loads(run("--output", out, rules)[0])
        made, digest = slots(out)
        assert told["rules"] == 3 and told["texts"] == len(made) == 3 and told["rules_sha256"] == digest, (told, made)
        assert told["octets"] == os.path.getsize(out)
        # The views are made, though nothing looks at them: header 1, body 2, rawbody 3, full 4, uri 5, attachment 6.
        run("--output", out, "--all-views", rules)
        more, again = slots(out)
        assert again == digest and set(made) < set(more) and {1, 2, 3, 4, 5, 6} <= set(more), more
        # What control would take.
        run("--output", out, "--config", conf)
        assert slots(out) == (made, digest), slots(out)
        before = os.listdir(d)
        for words, why in (([rules], "--output"), (["--output", out], "either rule files"), (["--output", out, "--config", conf, rules], "either"),
                           (["--output", out, d + "/bad.cf"], "bad.cf:1: A"), (["--output", out, d + "/none.cf"], "none of them"),
                           (["--output", out, d + "/missing.cf"], "missing.cf"), (["--output", d + "/no/x", rules], "No such file"),
                           (["--output", d, rules], d), (["--output", out, "--config", d + "/bad.cf"], "bad.cf")):
            assert why in run(*words, code=2)[1], words
        assert os.listdir(d) == before and slots(out) == (made, digest)
    print("ok")


main()
