#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""A result of bench/run as text: header, targets, tables; and as a directory with plots and flame graphs.

    bench/report.py RESULT.json DIRECTORY"""
import pathlib
import sys

import benchlib
import model
import svg
import targets

# chart: (title, x, y, logarithmic x, logarithmic y)
CHARTS = {
    "accept-messages": ("Messages a worker takes, by their size", "octets of a message", "messages/s of a worker's time", True, True),
    "accept-gbit": ("Octets a worker takes, by size of the messages", "octets of a message", "Gbit/s of a worker's time", True, False),
    "through-messages": ("Through control: messages of a worker's time", "octets of a message", "messages/s of a worker's time", True, True),
    "through-gbit": ("Through control: octets of a worker's time", "octets of a message", "Gbit/s of a worker's time", True, False),
    "accept-latency": ("Latency by load, without control", "load, % of the knee", "us from when it was due to the final reply", False, True),
    "through-latency": ("Latency by load, through control", "load, % of the knee", "us from when it was due to the final reply", False, True),
    "idle-cost": ("What a message costs beside idle sessions", "idle sessions", "worker cycles a message", True, False),
    "idle-cost-us": ("What a message costs beside idle sessions, all in all", "idle sessions", "us of worker and control", True, False),
    "idle-octets": ("What an idle session takes", "idle sessions", "octets of Pss each", True, True),
}


def header(result):
    out = [benchlib.machine_line(result["machine"]),
           f"{result['date']}, load average {result['load'][0]} before, {result['load'][1]} after; `{result['command']}`; {result['runs']} "
           "runs: median (lowest–highest)"]
    if result.get("rule_set"):
        out.append(f"literal set SHA-256 {', '.join(result['rule_set'])}")
    if result["quick"]:
        out.append("**A --quick run: no figure of it is to be quoted.**")
    return "\n\n".join(out)


def beside(rows):
    """What is held against something, with the ratio of the medians."""
    by = {r["id"]: r for r in rows}
    out = []
    for r in rows:
        b = by.get(r["baseline"])
        if b and b["median"] > 0:
            out.append([f"{r['name']}, {r['unit']}", benchlib.cell(r), b["name"] if b["name"] != r["name"] else b["unit"], benchlib.cell(b),
                        f"{r['median'] / b['median']:.2f}"])
    return out


def targets_table(rows):
    lines = targets.judge(rows)
    return benchlib.table(["target", "wanted", "figure", "", "physical limit"], lines) if lines else ""


def script_text(s):
    if s.get("skipped") or s.get("failed"):
        return f"### {s['name']}\n\n{'Left out' if s.get('skipped') else 'FAILED'}: {s.get('skipped') or s.get('failed')}\n"
    load = f"load {s['load'][0]} before, {s['load'][1]} after" if s.get("load") else ""
    return f"### {s['name']}\n\n`{s['command']}`, {s['seconds']} s, {load}\n\n{benchlib.tables(s['rows'])}"


def text(result):
    rows = benchlib.rows_of(result)
    out = ["# Bench", header(result)]
    judged = targets_table(rows)
    if judged:
        out += ["## Targets", judged]
    for level, of in result["levels"].items():
        if of["scripts"]:
            out += [f"## Level {level}", *(script_text(s) for s in of["scripts"])]
    held = beside(rows)
    if held:
        out += ["## Beside", benchlib.table(["what", "figure", "beside", "its figure", "ratio"], held)]
    scaled = model.table(rows)
    if scaled:
        out += ["## Model to 32 workers", scaled]
    return "\n\n".join(out) + "\n"


def plots(rows):
    """{chart: SVG}, of the charts that have points."""
    out = {}
    for chart, (title, x, y, log_x, log_y) in CHARTS.items():
        series = {}
        for r in rows:
            if r.get("plot") and r["plot"]["chart"] == chart:
                series.setdefault(r["plot"]["series"], []).append((r["plot"]["x"], r["median"], r["low"], r["high"]))
        drawn = svg.plot(title, x, y, series, log_x, log_y) if series else None
        if drawn:
            out[chart] = drawn
    return out


def write(result, directory):
    d = pathlib.Path(directory)
    d.mkdir(parents=True, exist_ok=True)
    pictures = plots(benchlib.rows_of(result))
    for level in result["levels"].values():
        for s in level["scripts"]:
            if s.get("folded"):
                pictures[f"flame-{s['name']}"] = svg.flame(s["title"], s["folded"])
    more = ["## Plots"] if pictures else []
    for name, picture in pictures.items():
        if picture:
            (d / f"{name}.svg").write_text(picture)
            more.append(f"![{name}]({name}.svg)")
    (d / "report.md").write_text(text(result) + "\n" + "\n\n".join(more) + "\n")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__.split("\n\n")[1].strip())
    write(benchlib.read_result(sys.argv[1]), sys.argv[2])
