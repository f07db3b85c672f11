#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""bench/micro/scan over a few messages and rules whose hits are known: what it counts must be right. No time is looked
at. POSTERN_BUILD names the build directory."""

import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import literal_set  # noqa: E402
import scan_mail  # noqa: E402

MESSAGES = 12
RULES = r"""
header IN_ALL Message-ID =~ /\@\S+\.example\./
full BASE64 /^Content-Transfer-Encoding: base64/m
full NEVER /zqx[jk]vzqx[jk]v/
body LOOKS /(?=shipped)s\w+ed\b/
uri CLICK /click\.\w+\.example/
meta BOTH IN_ALL && BASE64
"""


def fail(why):
    sys.exit(f"FAIL: {why}")


def check(ok, why):
    if not ok:
        fail(why)


def run(work, *more):
    (work / "rules.cf").write_text(RULES)
    out = work / "out.json"
    p = subprocess.run([sys.executable, HERE / "scan", "--rounds", "1", "--messages", str(MESSAGES), "--literals", "20",
                        "--peer-messages", "0", "--cache", work / "cache", "--rules", work / "rules.cf", "--json", out, *more],
                       capture_output=True, text=True, env=dict(os.environ))
    if p.returncode:
        fail(f"{p.returncode}: {p.stderr[-2000:]}")
    return p.stdout, json.loads(out.read_text())


def expected_hits(directory):
    """Of IN_ALL, BASE64 and BOTH; the other rules need views."""
    n = 0
    for f in directory.iterdir():
        m = f.read_bytes()
        base64 = re.search(rb"^Content-Transfer-Encoding: base64", m, re.M) is not None
        n += 1 + 2 * base64
    return n


def check_generator(work):
    for name, kind, seed in (("a", "mix", 1), ("b", "mix", 1), ("c", "mix", 2), ("html", "html", 1)):
        scan_mail.write(kind, seed, 8, work / name)
    read = {d: [f.read_bytes() for f in sorted((work / d).iterdir())] for d in ("a", "b", "c", "html")}
    check(read["a"] == read["b"], "the same seed makes other messages")
    check(not set(read["a"]) & set(read["c"]), "another seed makes the same messages")
    check(all(b"\r\n\r\n" in m and b"\n" not in m.replace(b"\r\n", b"") for m in read["a"]), "a line end that is not CRLF")
    check(any(b"text/html" in m for m in read["html"]), "no HTML")
    chosen, _ = literal_set.choose(7, 20, 50_000)
    check(len(set(chosen)) == 20 and chosen == literal_set.choose(7, 20, 50_000)[0], "literals differ from run to run")


def check_counts(work):
    # Without CRLF, as files are; what is below counts, too.
    (work / "real" / "below").mkdir(parents=True)
    one = b"Message-ID: <1@a.example.com>\nSubject: x\n\nIt was shipped.\nhttp://click.a.example.com/\n"
    two = b"Subject: nothing\r\n\r\nnothing\r\n"
    (work / "real" / "one.eml").write_bytes(one)
    (work / "real" / "below" / "two.eml").write_bytes(two)
    text, r = run(work, "--corpus", str(work / "real"))
    f = r["figures"]["corpora"]
    check(set(f) == {"text", "html", "mix", "corpus"}, f"corpora {set(f)}")
    for name, c in f.items():
        check(c["whole_gb_s"]["min"] > 0 and c["made_gb_s"]["min"] > 0, f"{name} was not measured")
        check(c["literals"]["ratio"]["min"] > 0, f"{name}: literals were not measured")
        check(c["control"]["in_full"] == 0 and c["control"]["limited"] == 0, f"{name}: {c['control']}")
    real = r["rounds"][0]["corpora"][3]
    # IN_ALL, LOOKS, CLICK of the first, nothing of the second.
    check(real["control"]["hits"] == 3, f"hits {real['control']['hits']} of 3")
    octets = len(one) + one.count(b"\n") + len(two)
    check(real["control"]["messages"] == 2 and real["views"]["full"]["octets"] == octets, f"octets {real['views']}")
    scan_mail.write("text", 1, MESSAGES, work / "again")
    want = expected_hits(work / "again")
    views = [x for x in r["dearest"]["rules"] if x["rule"] in ("LOOKS", "CLICK", "NEVER")]
    got = r["rounds"][0]["corpora"][0]["control"]["hits"]
    check(got >= want and got <= want + 2 * MESSAGES, f"hits {got}, at least {want} are due")
    check({x["rule"] for x in views} == {"LOOKS", "CLICK"}, f"the dearest are {views}")
    check(all(x["us_each"] >= 0 for x in views), f"a rule that could not be taken alone: {views}")
    for part in ("GB/s", "SHA-256", "naive", "Dearest", "openings a message", "ratio"):
        check(part in text, f"the table lacks {part}")


def main():
    with tempfile.TemporaryDirectory(prefix="test-scan-") as d:
        check_generator(pathlib.Path(d))
        check_counts(pathlib.Path(d))
    print("ok")
    return 0


if __name__ == "__main__":
    sys.exit(main())
