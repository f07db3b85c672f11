# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""Turns the public ARC suites (YAML) into lines that test_arc_suite.c reads.

scenario / txt <name> <text> / test <name> <none|pass|fail|ended> <message> / sign <name> <message>
<key> <domain> <selector> <authserv-id> <time> <names> <results> <AS> <AMS> <AAR>; texts are octets in
hexadecimal, "-" stands for nothing.
"""
import re
import sys
import yaml


def octets(s):
    return str(s).encode("utf-8").hex() or "-"


def crlf(s):
    return s.replace("\r\n", "\n").replace("\n", "\r\n")


def results(message, authserv_id):
    """What Authentication-Results of our own id say, in one list (RFC 8617 5.1)."""
    head = message.split("\n\n", 1)[0]
    found = []
    for field in re.split(r"\n(?![ \t])", head):
        name, _, value = field.partition(":")
        owner, _, rest = value.partition(";")
        if name.lower() == "authentication-results" and owner.strip() == authserv_id:
            found.append(crlf(rest.strip()))
    return "; ".join(found)


with open(sys.argv[1], encoding="utf-8") as f:
    for doc in yaml.safe_load_all(f):
        print("scenario")
        for name, text in (doc.get("txt-records") or {}).items():
            print("txt", octets(name), octets(text.replace("\n", "")))
        for name, t in doc["tests"].items():
            m = t["message"]
            if "sig-headers" in t:
                print("sign", name, octets(crlf(m)), octets(doc["privatekey"]), octets(doc["domain"]),
                      octets(doc["sel"]), octets(t["srv-id"]), t["t"], octets(t["sig-headers"]),
                      octets(results(m, t["srv-id"])), *[octets(t[k] or "") for k in ("AS", "AMS", "AAR")])
            else:
                # No cv: the chain was ended by somebody before.
                print("test", name, str(t["cv"] or "ended").lower(), octets(crlf(m)))
