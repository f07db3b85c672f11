# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""Turns the public SPF test suite (YAML) into lines that test_spf_suite.c reads.

scenario / rr <name> <type> <data...> / timeout <name> / test <name> <host> <helo> <mailfrom>
<results> <explanation>; names and texts are octets in hexadecimal, "-" stands for nothing.
"""
import sys
import yaml


def octets(s):
    return str(s).encode("latin-1").hex() or "-"


def text(value):
    parts = value if isinstance(value, list) else [value]
    return " ".join(octets(p) for p in parts) or "none"


def zone(name, entries):
    owner = octets(name)
    records = [e for e in entries if isinstance(e, dict)]
    has_txt = any("TXT" in r for r in records)
    for r in records:
        for kind, value in r.items():
            if value == "NONE":
                continue
            if kind in ("TXT", "SPF"):
                print("rr", owner, kind, text(value))
                if kind == "SPF" and not has_txt:
                    print("rr", owner, "TXT", text(value))
            elif kind == "MX":
                print("rr", owner, kind, value[0], octets(value[1]))
            elif kind in ("PTR", "CNAME", "NS"):
                print("rr", owner, kind, octets(value))
            else:
                print("rr", owner, kind, value)
    if "TIMEOUT" in entries:
        print("timeout", owner)


with open(sys.argv[1], encoding="utf-8") as f:
    for doc in yaml.safe_load_all(f):
        print("scenario", octets(doc["description"]))
        for name, entries in doc["zonedata"].items():
            zone(name, entries)
        for name, t in doc["tests"].items():
            result = t["result"] if isinstance(t["result"], list) else [t["result"]]
            print("test", name, t["host"], octets(t["helo"]), octets(t["mailfrom"]),
                  ",".join(result), octets(t["explanation"]) if "explanation" in t else "-")
