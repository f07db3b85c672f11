# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""Rounds of bench/micro/scan → figures → tables."""

import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import benchlib  # noqa: E402
from benchlib import middle as spread  # noqa: E402

VIEWS = ("body", "rawbody", "uri", "full", "attachment", "headers")
TIERS = ("native and confirmed", "gated", "automaton")


def machine(cpu, commit):
    return {**benchlib.machine(), "cpus": os.cpu_count(), "pinned_to": cpu, "commit": commit, "load_before": os.getloadavg()[0]}


def gb_s(c):
    return c["octets"] / c["ns"]


def ns_octet(c):
    return c["ns"] / c["octets"]


def control(rounds):
    """Gates and hits are the same in every round; times are not."""
    first = rounds[0]["control"]
    n = first["messages"]
    out = {k: spread([r["control"][k] for r in rounds]) for k in ("median_us", "p99_us", "max_us")}
    out["mean_us"] = spread([r["control"]["all"]["ns"] / n / 1e3 for r in rounds])
    out.update(with_gates=first["with_gates"] / n, gates=first["gates"] / n, texts=first["texts"] / n, hits=first["hits"] / n,
               in_full=first["in_full"], limited=first["limited"])
    return out


def of_corpus(rounds):
    out = {"whole_gb_s": spread([gb_s(r["whole"]) for r in rounds]),
           "made_gb_s": spread([gb_s(r["made"]) for r in rounds]),
           "matches": rounds[0]["whole"]["matches"],
           "control": control(rounds)}
    n, octets = rounds[0]["control"]["messages"], rounds[0]["whole"]["octets"]
    for part in ("small", "large"):
        if rounds[0][part]["octets"]:
            out[part + "_gb_s"] = spread([gb_s(r[part]) for r in rounds])
    out["scan_messages_s"] = spread([n / r["whole"]["ns"] * 1e9 for r in rounds])
    out["messages_s"] = spread([n / (r["whole"]["ns"] + r["control"]["all"]["ns"]) * 1e9 for r in rounds])
    out["views"] = {}
    for v in VIEWS:
        if v not in rounds[0]["views"]:
            continue
        view = {"octets": rounds[0]["views"][v]["octets"], "matches": rounds[0]["views"][v]["matches"],
                "ns_octet": spread([ns_octet(r["views"][v]) for r in rounds]),
                "ns_octet_of_message": spread([r["views"][v]["ns"] / octets for r in rounds])}
        for t in TIERS:
            if v in rounds[0]["tiers"].get(t, {}):
                view[t] = spread([ns_octet(r["tiers"][t][v]) for r in rounds])
        if v in rounds[0]["naive"]:
            view["naive"] = spread([ns_octet(r["naive"][v]) for r in rounds])
        out["views"][v] = view
    lit = {k: spread([gb_s(r["literals"][k]) for r in rounds]) for k in ("ours", "raw", "raw_single")}
    # Against the faster of the two, round by round.
    lit["ratio"] = spread([gb_s(r["literals"]["ours"]) / max(gb_s(r["literals"]["raw"]), gb_s(r["literals"]["raw_single"]))
                           for r in rounds])
    lit["hits_in_10_kb"] = rounds[0]["literals"]["raw"]["matches"] * 10_000 / octets
    out["literals"] = lit
    return out


def figures(result):
    rounds = result["rounds"]
    out = {"corpora": {}}
    for i, c in enumerate(result["setup"]["corpora"]):
        out["corpora"][c["name"]] = of_corpus([r["corpora"][i] for r in rounds])
    same = [c["same"] for r in rounds for c in r["corpora"] if "same" in c]
    if same:
        n = same[0]["messages"]
        out["same"] = {"messages": n,
                       "Postern, scan and control": spread([n / (s["scan"]["ns"] + s["control"]["ns"]) * 1e9 for s in same]),
                       "Postern, scan": spread([n / s["scan"]["ns"] * 1e9 for s in same]),
                       "Postern, control": spread([n / s["control"]["ns"] * 1e9 for s in same])}
        for p in rounds[0]["peers"]:
            out["same"][p] = spread([r["peers"][p] for r in rounds])
    return out


# ---- tables

def number(v, digits):
    return f"{v:,.0f}" if digits == 0 else f"{v:.{digits}f}"


def cell(s, digits=2):
    if s is None:
        return ""
    return f"{number(s['median'], digits)} ({number(s['min'], digits)}–{number(s['max'], digits)})"


def table(head, rows):
    print("| " + " | ".join(head) + " |\n|" + "---|" * len(head))
    for r in rows:
        print("| " + " | ".join(str(x) for x in r) + " |")
    print()


def show_head(result):
    m, s = result["machine"], result["setup"]
    print(f"{m['cpu']}, {m['cpus']} CPUs, kernel {m['kernel']}, Hyperscan {s['hyperscan']}, {s['compiler']}, -march={s['march']}, "
          f"-O{s['optimization']}, commit {m['commit']}; pinned to CPU {m['pinned_to']}, load average {m['load_before']:.2f} before, "
          f"{m['load_after']:.2f} after; CPU time, {len(result['rounds'])} rounds: median (lowest–highest)\n")
    lit = result["literals"]
    print(f"rules: {s['rules']} in force, SHA-256 of the files {s['rules_sha256']}; databases {s['database_octets'] / 1e6:.1f} MB\n"
          f"literals: {lit['n']}, SHA-256 {lit['sha256']}, met {lit['hits_in_10_kb']['text']:.3f} times in 10 kB of text that they were not "
          f"chosen by, {lit['hits_in_10_kb']['html']:.3f} of html\nseed {result['seed']}; messages:\n")
    table(["corpus", "messages", "MB", "size p10", "p50", "p90", "p99", "max", "over 64 KiB", "SHA-256"],
          [[c["name"], c["messages"], f"{c['octets'] / 1e6:.1f}", *(c["size"][k] for k in ("p10", "p50", "p90", "p99", "max")),
            c["over_64_kib"], c["sha256"]] for c in s["corpora"]])


def show_corpora(result):
    f = result["figures"]["corpora"]
    print("The dataplane, GB/s of the messages' octets: views made and scanned; views made alone; and what control does then\n")
    table(["corpus", "whole, GB/s", "those up to 64 KiB", "larger ones", "made alone", "messages/s", "with control",
           "matches a message"],
          [[n, *(cell(c.get(k), 3) for k in ("whole_gb_s", "small_gb_s", "large_gb_s", "made_gb_s")),
            cell(c["scan_messages_s"], 0), cell(c["messages_s"], 0), f"{c['matches'] / m['messages']:.1f}"]
           for (n, c), m in zip(f.items(), result["setup"]["corpora"])])
    print("Each view alone, ns an octet of the view: as it is; rules of one tier alone; all patterns in one database of Hyperscan's\n")
    rows = []
    for n, c in f.items():
        whole = next(m["octets"] for m in result["setup"]["corpora"] if m["name"] == n)
        for v, x in c["views"].items():
            rows.append([n, v, f"{x['octets'] / whole:.3f}", cell(x["ns_octet"]), *(cell(x.get(t)) for t in (*TIERS, "naive")),
                         cell(x["ns_octet_of_message"])])
    table(["corpus", "view", "octets ÷ message's", "all", *TIERS, "naive", "all, by octet of message"], rows)
    naive = ", ".join(f"{k} {v['patterns']} ({v['left_out']} left out)" for k, v in result["setup"]["naive"].items())
    print(f"Patterns of the naive databases: {naive}\n")


def show_control(result):
    print("Control, of a message\n")
    table(["corpus", "with a gate open, %", "gates open", "hits", "texts asked for", "median, us", "mean", "p99", "most",
           "in full", "limited"],
          [[n, f"{100 * c['with_gates']:.1f}", f"{c['gates']:.1f}", f"{c['hits']:.1f}", f"{c['texts']:.1f}",
            *(cell(c[k], 0) for k in ("median_us", "mean_us", "p99_us", "max_us")), c["in_full"], c["limited"]]
           for n, c in ((n, c["control"]) for n, c in result["figures"]["corpora"].items())])
    show_rules(result["dearest"])


def place(slot):
    """Fields of headers in one row."""
    return slot if slot in VIEWS else "mime headers" if slot.startswith("mimeheader") else "headers"


def groups(rules):
    out = {}
    for x in rules:
        g = out.setdefault((place(x["slot"]), x["tier"]), [0, 0.0, 0.0])
        g[0] += 1
        g[1] += x["open"]
        g[2] += max(x["us_a_message"], 0)
    return [[*k, n, f"{o:.2f}", f"{us:.1f}"] for k, (n, o, us) in sorted(out.items(), key=lambda kv: -kv[1][2])]


def show_rules(dearest):
    rules = dearest["rules"]
    known = [x for x in rules if x["us_each"] >= 0]
    print(f"Rules that control looked at, all corpora together, each judged alone over texts that are there, less the "
          f"{dearest['floor_us']:.1f} us that any judgement takes ({len(rules) - len(known)} of {len(rules)} could not be "
          f"taken alone); {100 * dearest['with_view_gate']:.1f} % of the messages have an open gate in a view\n")
    table(["where", "tier", "rules", "openings a message", "us a message"], groups(rules))
    head = ["rule", "where", "tier", "open, % of messages", "us when it is looked at", "us a message"]

    def row(x):
        return [x["rule"], x["slot"], x["tier"], f"{100 * x['open']:.1f}", f"{x['us_each']:.1f}", f"{x['us_a_message']:.2f}"]

    print("Dearest\n")
    table(head, [row(x) for x in sorted(known, key=lambda x: -x["us_a_message"])[:20]])
    print("Gates that open most\n")
    table(head, [row(x) for x in sorted(rules, key=lambda x: -x["open"])[:20]])


def show_beside(result):
    print("Literals on `full`, GB/s: our path, and hs_scan/hs_scan_stream of the same octets without and with "
          "HS_FLAG_SINGLEMATCH; ours ÷ the faster\n")
    table(["corpus", "ours", "raw", "raw, single match", "ratio", "hits in 10 kB"],
          [[n, cell(x["ours"], 3), cell(x["raw"], 3), cell(x["raw_single"], 3), cell(x["ratio"]), f"{x['hits_in_10_kb']:.2f}"]
           for n, x in ((n, c["literals"]) for n, c in result["figures"]["corpora"].items())])
    same = result["figures"].get("same")
    if same:
        print(f"The first {same['messages']} messages of the mix, messages a CPU-second\n")
        table(["who", "messages/CPU-s"], [[k, cell(v, 1)] for k, v in same.items() if k != "messages"])
    for p in result["peers_missing"]:
        print(f"{p} is not installed and was not measured")


def show(result):
    show_head(result)
    show_corpora(result)
    show_control(result)
    show_beside(result)
