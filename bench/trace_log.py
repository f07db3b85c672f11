# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""A trace log as a gateway writes it in a month: skewed senders, recipients, networks, rules and outcomes, and for each kind
of value one that is common, one that is rare and one that does not occur."""
import itertools
import json
import random
import time

DAYS = 30
OUTCOMES = {"delivered": 7800, "rejected": 1700, "deferred": 300, "quarantined": 100, "discarded": 30, "aborted": 70}
ROUTES = {"office": 85000, "branch": 14995, "lab": 5}
EGRESS = ["198.51.100.25", "198.51.100.26", "2001:db8:2::25", "2001:db8:2::26"]
LOCAL = ["192.0.2.25", "192.0.2.26", "2001:db8:1::25"]
# Mail of the first tenth only: the newest records have none of it.
GONE = "newsletter@gone.example"

# What a record has that nobody looks for, as long as it is in the log of a gateway.
REST = json.dumps({"tcp": {"srtt_us": 21400, "retransmits": 0, "out_of_order": 0, "ttl": 53}, "flags": 0, "tls": {
    "version": "TLSv1.3", "cipher": "TLS_AES_256_GCM_SHA384", "resumed": False, "sni": "mx.example.com", "client": None,
    "client_verified": False, "client_sha256": None}, "next_hop_tls": {
        "policy": "may", "verified": "no", "version": "TLSv1.3", "cipher": "TLS_AES_256_GCM_SHA384", "resumed": True},
    "late": False, "bdat": False}, separators=(",", ":"))[1:-1]
JUDGED = json.dumps({"spf_helo": {"result": "none", "identity": "helo", "domain": "mail.example", "mechanism": "", "reason": "no SPF record"},
                     "arc": {"result": "none", "reason": "", "chain": [], "sealed": None}, "dmarc": {
    "result": "pass", "policy": "reject", "disposition": "none", "from": "ok", "reason": "", "psl_differs": False,
    "authors": [{"domain": "sender.example", "treewalk": {"result": "pass", "disposition": "none", "policy": "reject",
                                                          "policy_tag": "p", "policy_domain": "sender.example", "org": "sender.example",
                                                          "spf_aligned": True, "dkim_aligned": [0], "reason": ""}, "psl": None,
                 "published": "reject"}], "override": None}, "dnsbl": [], "cause": "nothing", "reason": "", "headers_removed": 0,
    "signatures_broken": 0, "signatures_voided": {"oversigned_trace": 0, "forged_own_header": 0, "foreign_trust": 0},
    "reverified": None, "findings": []}, separators=(",", ":"))[1:-1]


def skewed(rng, values, n, s=1.0):
    """n of them, the k-th of which is as common as 1 / (k + 2) ** s."""
    return rng.choices(values, cum_weights=list(itertools.accumulate((k + 2) ** -s for k in range(len(values)))), k=n)


def pools(rng):
    domains = [f"sender{i}.example" for i in range(30000)]
    senders = [f"{w}{i}@{d}" for i, d in enumerate(skewed(rng, domains, 200000)) for w in (rng.choice(("anna", "bob", "news", "billing")),)]
    # Networks of the documentation and of 198.18/15 and 100.64/10, which nobody's mail comes from.
    origins = [f"100.{64 + (i * 7919) % 64}.{(i * 104729) % 251}.{1 + (i * 31) % 250}" for i in range(50000)]
    origins += [f"2001:db8:{i % 4000:x}::{i:x}" for i in range(10000)]
    rcpts = [f"user{i}@{d}" for i, d in enumerate(skewed(rng, [f"ours{k}.example" for k in range(20)], 5000, 1.4))]
    return senders, origins, rcpts


def line(i, ms, sender, rcpt, origin, route, outcome, egress, local, rules, size):
    day = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(ms // 1000))
    domain = sender.rpartition("@")[2]
    matches = ",".join(f'{{"rule":"{r}","view":"body","score":0.5}}' for r in rules)
    hop = f',"next_hop":"hop1.{route}.example [203.0.113.10]:25","next_hop_reply":"250 2.0.0 {i:x} queued","egress":"{egress}"' \
        if outcome in ("delivered", "deferred") else ""
    reply = {"delivered": f"250 2.0.0 {i:x} queued", "rejected": f"550 5.7.1 Message refused by policy id={i:016X}",
             "deferred": "451 4.3.0 Try again later"}.get(outcome, f"250 2.0.0 Accepted id={i:016X}")
    return (f'{{"trace_id":"{i * 2654435761 % (1 << 64):016X}","message_id":"<{i:x}.{ms}@{domain}>","peer":"{origin}","peer_port":{1024 + i % 60000},'
            f'"helo":"mail.{domain}","mail_from":"{sender}","size":{size},"local":"{local}",{REST},"route":"{route}","us":{900 + i % 7000},'
            f'"origin":"{origin}","judged":{{"origin":{{"ip":"{origin}","helo":"mail.{domain}","ptr":"mail.{domain}","via":"direct",'
            f'"status":"direct","reason":"","unproven":false,"path":[{{"ip":"{origin}","helo":"mail.{domain}","rdns":"","by":"","with":"","id":"",'
            f'"date":"","listed":false,"relay":null,"header":-1,"note":"stopped: not listed, the sender"}}],"corroboration":[]}},'
            f'"spf":{{"result":"pass","identity":"mailfrom","domain":"{domain}","mechanism":"ip4:{origin}","reason":""}},'
            f'"dkim":[{{"result":"pass","domain":"{domain}","selector":"s1","algorithm":"rsa-sha256","reason":"","testing":false,"partial":false}}],'
            f'{JUDGED},"matches":[{matches}],"score":{len(rules) / 2},"action":"{"accept" if outcome == "delivered" else "reject"}"}},'
            f'"judge_us":{300 + i % 900},"stage":"dot"{hop},"rcpt":"{rcpt}","outcome":"{outcome}","reply":"{reply}",'
            f'"time":"{day}.{ms % 1000:03d}Z"}}\n')


def write(path, n, seed=7):
    """Into that file, n records until a minute ago. What to look for: {field: {"common" | "rare" | "none": value}}, and
    "middle": the number of the record in the middle."""
    rng = random.Random(seed)
    senders, origins, rcpts = pools(rng)
    rules = [f"RULE_{i}" for i in range(300)]
    end = int(time.time() * 1000) - 60000
    step = DAYS * 86400000 / n
    picked = {"from": skewed(rng, senders, n), "rcpt": skewed(rng, rcpts, n, 0.8), "origin": skewed(rng, origins, n, 0.9),
              "outcome": rng.choices(list(OUTCOMES), list(OUTCOMES.values()), k=n),
              "route": rng.choices(list(ROUTES), list(ROUTES.values()), k=n)}
    hits = skewed(rng, rules, n * 2)
    for i in range(0, n // 10, 4):
        picked["from"][i] = GONE
    # Once each, and in the first half: the way to them is the longest.
    lone = n // 3
    picked["from"][lone], picked["rcpt"][lone], picked["origin"][lone] = "once@rare.example", "once@ours-rare.example", "203.0.113.77"
    middle = None
    with open(path, "w", encoding="ascii") as f:
        for i in range(n):
            ms = int(end - (n - i) * step)
            k = i * 2
            own = ["ONLY_ONCE"] if i == lone else hits[k:k + (i * 7 % 3)]
            f.write(line(i + 1, ms, picked["from"][i], picked["rcpt"][i], picked["origin"][i], picked["route"][i], picked["outcome"][i],
                         EGRESS[i * 13 % 7 % 4], LOCAL[i * 11 % 5 % 3], own, 2000 + i * 37 % 90000))
            if i == n // 2:
                middle = ms << 20
    return {"path": str(path), "middle": middle, "one": {
        "trace_id": f"{(lone + 1) * 2654435761 % (1 << 64):016X}", "message_id": f"<{lone + 1:x}.{int(end - (n - lone) * step)}@rare.example>",
        "day": time.strftime("%Y-%m-%d", time.gmtime((end - DAYS * 43200000) // 1000))}, "common": {
            "from": most(picked["from"]), "from_domain": "@" + most([x.rpartition("@")[2] for x in picked["from"]]),
            "rcpt": most(picked["rcpt"]), "rcpt_domain": "@" + most([x.rpartition("@")[2] for x in picked["rcpt"]]),
            "origin": most(picked["origin"]), "rule": "RULE_0", "route": "office"}}


def most(values):
    counts = {}
    for v in values:
        counts[v] = counts.get(v, 0) + 1
    return max(counts, key=counts.get)
