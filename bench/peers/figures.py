# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""What becomes of books and measurements: nothing here runs anything."""

import collections
import re
import statistics

SUFFIX = {"": 1, "k": 1000, "m": 1000_000}


def sizes(text):
    """"10k,1m" → [10000, 1000000]"""
    out = []
    for word in text.split(","):
        m = re.fullmatch(r"([1-9]\d*)([km]?)", word.strip().lower())
        if not m:
            raise ValueError(f"not a size: {word!r}")
        out.append(int(m[1]) * SUFFIX[m[2]])
    if min(out) < 2000 or max(out) > 10_000_000:
        raise ValueError("sizes of 2k to 10m are wanted")
    return out


def size_name(octets):
    for suffix in ("m", "k"):
        if octets % SUFFIX[suffix] == 0:
            return f"{octets // SUFFIX[suffix]}{suffix}"
    return str(octets)


def sent(lines):
    """mailer's books → [(id, reply, microseconds)]"""
    return [(a, int(b), float(c)) for a, b, c in (line.split() for line in lines)]


def id_of(message_id):
    """What mailer put into a Message-ID; None: it is of something else."""
    m = re.match(r"<([0-9a-f]{16})\.", message_id)
    return m[1] if m else None


def audit(rows, arrived, wanted):
    """What differs between what was acknowledged and what arrived, in words; none: every message was acknowledged, arrived
    once and with the wanted words in its header. rows: of sent(); arrived: of the sink's books; wanted: {bit: word}."""
    out = []
    ids = collections.Counter(id_of(x["id"]) for x in arrived if x["reply"] // 100 == 2)
    good = {r[0] for r in rows if r[1] // 100 == 2}
    refused = collections.Counter(r[1] for r in rows if r[1] // 100 != 2)
    out += [f"{n} messages got the reply {code}" if code else f"{n} messages got no reply" for code, n in sorted(refused.items())]
    for what, n in (("did not arrive", len(good - set(ids))),
                    ("arrived more than once", sum(ids[i] > 1 for i in good)),
                    ("arrived and were never acknowledged", len(set(ids) - good))):
        if n:
            out.append(f"{n} messages {what}")
    for bit, word in wanted.items():
        n = sum(not x["found"] >> bit & 1 for x in arrived)
        if n:
            out.append(f"{n} messages arrived without {word}")
    return out


def percentile(values, share):
    """The least value that `share` of them do not exceed."""
    v = sorted(values)
    return v[min(len(v) - 1, max(0, -int(-len(v) * share // 1) - 1))]


def latencies(rows):
    us = [r[2] for r in rows if r[1] // 100 == 2]
    return {"p50_us": percentile(us, 0.5), "p99_us": percentile(us, 0.99)}


def row(name, unit, values, command):
    return {"name": name, "unit": unit, "median": statistics.median(values), "low": min(values), "high": max(values),
            "runs": len(values), "values": list(values), "command": command}


def cell(values, form="{:,.0f}"):
    return f"{form} ({form}–{form})".format(statistics.median(values), min(values), max(values))


def ratios(a, b):
    """Run by run: those of a round are beside each other in time."""
    return [x / y for x, y in zip(a, b)]


def fill(text, values):
    """@NAME@ in a configuration file; one that is not known is a mistake (KeyError)."""
    return re.sub(r"@([A-Z]+)@", lambda m: str(values[m[1]]), text)
