#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""The literal set of the benches: n-grams cut from mail text, so that they nearly match all the time, which together are
met at most 0.1 times in 10 kB of other mail text, whatever the case.

    literal_set.py [--seed N] [--literals N] [--of-octets N]     one a line, on standard output

Always the same for the same options. 12 to 20 octets; of the messages of scan_mail.py (half text, half html) those of one
seed are cut, those of another must not hold them, those of a third are looked at afterwards. The SHA-256 on standard
error is that of the output."""

import argparse
import collections
import hashlib
import itertools
import pathlib
import random
import re
import sys

import scan_mail

OCTETS = 15_000_000
HEAD = 8
# What people and style sheets write; base64 would be easy to tell from text.
WORDS = re.compile(rb"(?=.*[a-z ]{3})(?=.*[ .=])[a-z0-9 ,.:;/?'<>=\"-]+")


def text(kind, seed, octets):
    """Messages as they are sent, in small letters, one after the other."""
    out, n = [], 0
    while n < octets:
        out.append(getattr(scan_mail.Mail(f"literals {seed} {len(out)}"), "make_" + kind)().lower())
        n += len(out[-1])
    return b"\0".join(out)


def candidates(r, source):
    """Cut anywhere; within a line, no white space at the edges."""
    while True:
        n, at = 12 + int(r.random() * 9), int(r.random() * (len(source) - 20))
        s = source[at:at + n]
        if WORDS.fullmatch(s) and s == s.strip():
            yield s


def prose(seed, octets):
    w = scan_mail.Mail(f"prose {seed}")
    return "\n".join(w.paragraphs(octets, offers=True)).lower().encode()


def met(literals, data):
    """Those that are in it, each as often as it is: one pass over the octets."""
    by_head = collections.defaultdict(list)
    for s in literals:
        by_head[s[:HEAD]].append(s)
    out = collections.Counter()
    for i in [i for i in range(len(data)) if data[i:i + HEAD] in by_head]:
        out.update(s for s in by_head[data[i:i + HEAD]] if data.startswith(s, i))
    return out


def choose(seed, wanted, octets):
    """Literals, and how often they are met in 10 kB of text and of html that they were not chosen by."""
    source = prose(seed, octets // 8) + text("text", seed, octets // 8) + text("html", seed, octets // 8)
    found = list(dict.fromkeys(itertools.islice(candidates(random.Random(seed), source), wanted * 8)))
    for kind in ("text", "html"):
        # One that is met here is met too often elsewhere. Of those that are not some will be: the more octets, the fewer.
        seen = met(found, text(kind, seed + 1, octets))
        found = [s for s in found if s not in seen]
    chosen = found[:wanted]
    again = [text(kind, seed + 2, octets // 4) for kind in ("text", "html")]
    return chosen, [met(chosen, t).total() * 10_000 / len(t) for t in again]


def kept(directory, wanted):
    """What is to be told of the set, and its lines. It takes a minute of CPU, so it is kept in the directory, by the text of the
    scripts that make it."""
    here = pathlib.Path(__file__).resolve().parent
    scripts = b"".join((here / f"{m}.py").read_bytes() for m in ("literal_set", "scan_mail", "scan_html", "scan_words"))
    path = pathlib.Path(directory) / f"literals-{wanted}-{hashlib.sha256(scripts).hexdigest()[:16]}"
    if not path.exists():
        chosen, rates = choose(7, wanted, OCTETS * min(wanted, 1000) // 1000)
        new = path.with_suffix(".new")
        new.write_bytes(b"".join(s + b"\n" for s in [b"%.3f %.3f" % tuple(rates), *chosen]))
        new.rename(path)
    rates, literals = path.read_bytes().split(b"\n", 1)
    rates = [float(r) for r in rates.split()]
    return {"n": literals.count(b"\n"), "hits_in_10_kb": {"text": rates[0], "html": rates[1]},
            "sha256": hashlib.sha256(literals).hexdigest()}, literals


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--seed", type=int, default=7)
    p.add_argument("--literals", type=int, default=1000)
    p.add_argument("--of-octets", type=int, default=OCTETS)
    o = p.parse_args()
    chosen, rates = choose(o.seed, o.literals, o.of_octets)
    out = b"".join(s + b"\n" for s in chosen)
    sys.stdout.buffer.write(out)
    print(f"{len(chosen)} literals; in 10 kB of other text {rates[0]:.3f} hits, of html {rates[1]:.3f}; SHA-256 "
          f"{hashlib.sha256(out).hexdigest()}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
