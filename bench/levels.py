# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""The levels of bench/run: which scripts, with which arguments, what they need, and how their JSON becomes rows (benchlib.py)."""
import dataclasses
import glob
import os
import typing

import benchlib
from benchlib import BOUND, row, row_of_spread, slug

GATEWAY = ("dataplane/postern-dataplane", "control/postern-control", "control/cli/posternctl")
LOAD = (*GATEWAY, "bench/smtpload/smtpload")


@dataclasses.dataclass(frozen=True)
class Script:
    name: str
    rows: typing.Callable           # its JSON → rows
    argv: tuple
    runs: str = "--runs"            # the option that takes their number; "": the first argument
    quick: tuple = ()               # instead of what it does by itself
    json: str = "--json"            # "": the argument behind the number of runs
    targets: tuple = ()             # of ninja
    programs: tuple = ()
    root: bool = False
    huge: int = 0                   # pages of 2 MiB with which --hugepages is given
    files: str = ""                 # a pattern of files that must be there


# ---- level A ------------------------------------------------------------------------------------

def micro(got):
    return [row_of_spread(f"A.micro.{slug(r['group'])}.{slug(r['name'])}", r["name"], f"cycles per {r['unit']}", r["cycles"], r["repetitions"],
                          better="lower", group=r["group"], labels=["disturbed"] if r["yardstick"] > 1.15 else []) for r in got["rows"]]


def scan(got):
    runs, out = len(got["rounds"]), []

    def add(id, name, unit, s, **kw):  # noqa: A002
        out.append(row_of_spread("A.scan." + id, name, unit, s, runs, **kw))
    for name, c in got["figures"]["corpora"].items():
        g = "content, Debian's SpamAssassin rules"
        add(f"{name}.whole", name, "views made and scanned, GB/s", c["whole_gb_s"], group=g)
        add(f"{name}.made", name, "views made alone, GB/s", c["made_gb_s"], group=g)
        add(f"{name}.scan_s", name, "messages/s, dataplane", c["scan_messages_s"], group=g)
        add(f"{name}.both_s", name, "messages/s, with control", c["messages_s"], group=g)
        add(f"{name}.control_us", name, "control, us a message", c["control"]["mean_us"], group=g, better="lower")
        g = "the literal set on `full` beside raw Hyperscan"
        raw = max(("raw", "raw_single"), key=lambda k, x=c["literals"]: x[k]["median"])
        add(f"{name}.raw", name, "raw Hyperscan, GB/s", c["literals"][raw], group=g, better="none")
        add(f"{name}.literals", name, "ours, GB/s", c["literals"]["ours"], group=g, baseline=f"A.scan.{name}.raw")
        add(f"{name}.ratio", name, "ours ÷ the faster of raw", c["literals"]["ratio"], group=g)
    same = got["figures"].get("same", {})
    for who in ("rspamd", "spamd", "Postern, scan and control"):
        if who in same:
            add(f"same.{slug(who)}", who, "messages/CPU-s", same[who], group="scan and judgement of the same mail",
                better="higher" if who.startswith("Postern") else "none",
                baseline="A.scan.same.rspamd" if who.startswith("Postern") and "rspamd" in same else None)
    return out


JUDGE_BESIDE = {"Postern": "rspamd", "Postern, with ARC sealing": "rspamd, with ARC sealing"}


def judge(got):
    out = []
    for name, values in got.items():
        beside = JUDGE_BESIDE.get(name)
        out.append(row("A.judge." + slug(name), name, "per CPU-second", values, group="the judge beside rspamd, the same checks",
                       better="higher" if name.startswith("Postern") else "none",
                       baseline="A.judge." + slug(beside) if beside in got else None))
    return out


def tls(got):
    out = []
    for c in got["cases"]:
        name, better = f"{c['name']}, {c['memory']}", "lower" if c["unit"] == "octets" else "higher"
        unit = {"/s": "handshakes/CPU-s"}.get(c["unit"], c["unit"])
        at = "A.tls." + slug(name)
        group = f"TLS beside bare OpenSSL, {unit}"
        out += [row(at + ".bare", name, "bare OpenSSL", c["bare"], group=group, better="none"),
                row(at, name, "Postern", c["ours"], group=group, better=better, baseline=at + ".bare")]
    return out


def rings(got):
    return [row("A.rings." + c["id"], c["name"], "ns", c["ns"], group="rings between a worker and control, two CPUs that spin", better="lower")
            for c in got["cases"]]


def given(got):
    """Scripts that make rows themselves."""
    return got["rows"]


# ---- level B ------------------------------------------------------------------------------------

TAP_NAMES = {"testpmd-rx": "testpmd, received and freed", "testpmd-io": "testpmd, received and sent to net_null", "follow": "followed, no rules",
             "full": "literal set on `full`", "views": "all views, literal set on `full`", "follow-2": "followed, two workers",
             "full-2": "literal set on `full`, two workers", "suricata": "Suricata", "suricata-mime": "Suricata, MIME decoded"}


def tap(got):
    out, rows = [], got["rows"]
    for key, ms in rows.items():
        ours = not key.startswith(("testpmd", "suricata"))
        labels = ["lossy"] if sum(m.get("messages_of_expected", 1) < 0.98 for m in ms) * 2 > len(ms) else []
        for suffix, unit, field in (("gbit", "Gbit/s a core", "gbit_s"), ("mpps", "Mpps a core", "mpps")):
            out.append(row(f"B.tap.{key}.{suffix}", TAP_NAMES.get(key, key), unit, [m[field] / len(m["cpu_s"]) for m in ms], labels=labels,
                           group="tap, captures beyond the last-level cache", better="higher" if ours else "none",
                           baseline=f"B.tap.testpmd-rx.{suffix}" if ours and "testpmd-rx" in rows else None))
    for key in ("follow", "full"):
        if key in rows and key + "-2" in rows:
            two = rows[key + "-2"]
            lossy = sum(m.get("messages_of_expected", 1) < 0.98 for m in two) * 2 > len(two)
            out.append(row(f"B.tap.{key}.two", TAP_NAMES[key], "two workers ÷ one", [b["gbit_s"] / a["gbit_s"] for a, b in zip(rows[key], two)],
                           group="tap, two workers", labels=["lossy"] if lossy else []))
    return out


# ---- level C ------------------------------------------------------------------------------------

def idle_sessions(got):
    out, base = [], got["labs"][0]
    for lab in got["labs"]:
        n, runs = lab["idle"], lab["runs"]
        labels = [BOUND] if sum(r["generator_bound"] for r in runs) * 2 > len(runs) else []
        group, name = "sessions that send beside idle ones", f"{n:,} idle"

        def add(id, unit, values, name=name, labels=labels, group=group, n=n, **kw):  # noqa: A002
            out.append(row(f"C.idle.{n}.{id}", name, unit, values, group=group, labels=labels, **kw))
        add("worker_cycles", "worker cycles a message", [r["cycles"] for r in runs], better="lower",
            plot={"chart": "idle-cost", "series": "worker", "x": n})
        add("both_us", "worker and control, us a message", [r["cycles"] / r["tsc_hz"] * 1e6 + r["control_us"] for r in runs], better="lower",
            plot={"chart": "idle-cost-us", "series": "worker and control", "x": n})
        add("p99_ms", "p99, ms", [r["latency_us"]["p99"] / 1e3 for r in runs], better="lower")
        add("lost", "idle sessions lost", [lab["probe"]["lost"]], better="lower")
        if n:
            kib = sum(lab["memory"]["opened"][p][1] - base["memory"]["opened"][p][1] for p in ("dataplane", "control"))
            add("octets", "octets of Pss a session, both", [kib * 1024 / n], better="lower",
                plot={"chart": "idle-octets", "series": "dataplane and control", "x": n})
    return out


def idle_tls(got):
    ids = {"clear": "clear", "TLS 1.3": "tls13", "TLS 1.2": "tls12"}
    return [row("C.idle_tls." + ids.get(name, "data"), name, "octets of Pss a session", v, better="lower", group="memory of a session")
            for name, v in got["octets"].items()]


def syn_flood(got):
    rate = got["args"]["rate"] / 1e6
    group = f"mail beside a flood of {rate:g} M SYN/s, one worker"
    out = []
    for key, name in (("plain", "no flood"), ("decoyed", "as many frames for another MAC"), ("flooded", "flood")):
        bound = [BOUND] if sum(r["generator_bound"] for r in got[key]) * 2 > len(got[key]) else []
        out += [row(f"C.syn.{key}.goodput", name, "messages/s", [r["goodput"] for r in got[key]], group=group, labels=bound),
                row(f"C.syn.{key}.flood", name, "frames taken, M/s", [r["flood"] / 1e6 for r in got[key]], group=group, better="none")]
    for key, base in (("share", "plain"), ("share_decoy", "decoyed")):
        out.append(row("C.syn." + key, f"flood ÷ {'no flood' if base == 'plain' else 'other MAC'}", "goodput, %",
                       [100 * b["goodput"] / a["goodput"] for a, b in zip(got[base], got["flooded"])], group=group))
    for c in dict.fromkeys((c["kind"], c["wanted"]) for c in got["cost"]):
        same = [x for x in got["cost"] if (x["kind"], x["wanted"]) == c]
        name = f"{'SYN' if c[0] == 'flood' else 'other MAC'}, {c[1] / 1e6:g} M/s wanted"
        out += [row(f"C.syn.cost.{c[0]}.{c[1]}", name, "worker cycles a frame", [x["cycles"] for x in same], group="what a SYN costs",
                    better="lower"),
                row(f"C.syn.handled.{c[0]}.{c[1]}", name, "handled, M/s", [x["handled"] / 1e6 for x in same], group="what a SYN costs")]
    out.append(row("C.syn.lost", "flood", "idle sessions lost", [sum(p["lost"] for p in got["probes"])], group=group, better="lower"))
    return out


def deliver(got):
    out = []
    for name, runs in got["throughput"].items():
        ours = name.startswith("Postern")
        base = "C.deliver." + slug(name.replace("Postern", "Postfix"))
        for key, unit in (("per_s", "messages/s"), ("per_cpu_s", "messages/CPU-s of the relay")):
            out.append(row(f"C.deliver.{slug(name)}.{key}", name, unit, [r[key] for r in runs], group="relayed to a sink, beside Postfix",
                           better="higher" if ours else "none", baseline=f"{base}.{key}" if ours else None))
    for name, runs in got["latency"].items():
        for key, unit in (("dot_p50_us", "p50, us"), ("dot_p99_us", "p99, us"), ("dot_p999_us", "p99.9, us")):
            out.append(row(f"C.deliver.dot.{slug(name)}.{key}", name, unit, [r[key] for r in runs], better="lower",
                           group="final dot to reply of one session"))
    for how in ("", ", loaded"):
        direct = got["latency"].get("direct to sink" + how)
        for kind in ("clear", "TLS out"):
            ours = got["latency"].get(f"Postern, {kind}{how}")
            for key, unit in (("dot_p50_us", "added, p50, us"), ("dot_p99_us", "added, p99, us")) if direct and ours else ():
                out.append(row(f"C.deliver.added.{slug(kind + how)}.{key}", f"Postern, {kind}{how}, less direct", unit,
                               [b[key] - a[key] for a, b in zip(direct, ours)], better="lower", group="final dot to reply of one session"))
    return out


def beside(prefix, group, names):
    """Scripts whose rows are {"p50_us", "p90_us", "p99_us"} by situation."""
    def rows(got):
        out = []
        where = got["runs"] if isinstance(got.get("runs"), dict) else got
        for key, name in names.items():
            for p in ("p50_us", "p99_us") if key in where else ():
                out.append(row(f"C.{prefix}.{slug(key)}.{p}", name, p.replace("_us", ", us"), [r[p] for r in where[key]], group=group,
                               better="lower", baseline=None if key == "alone" else f"C.{prefix}.alone.{p}"))
        return out
    return rows


def reload_rows(got):
    group = f"reload, a list of {got['args']['entries']:,}"
    return [row("C.reload.held", "event loop held", "ms, longest", got["held_ms"], group=group, better="lower"),
            row("C.reload.longest", "longest answer", "ms, longest", got["longest_ms"], group=group, better="lower")]


# ---- level E ------------------------------------------------------------------------------------

PEER_KINDS = {"per_cpu_s": ("messages/CPU-s", "higher"), "all_per_cpu_s": ("messages/CPU-s, all its processes", "higher"),
              "per_s": ("messages/s", "higher"), "p50_us": ("dot to reply, p50, us", "lower"), "p99_us": ("p99, us", "lower")}


def peers(got):
    """Names are peers/RELAY[-sealing]/SIZE/KIND, and of the ratios peers/ratio[-sealing]/SIZE/per_cpu_s."""
    out = []
    for r in got["rows"]:
        _, who, size, kind = r["name"].split("/")
        at, group = f"E.{who}.{size}.{kind}", f"the same mail, {size}"
        if who.startswith("ratio"):
            out.append(row(at, "Postern ÷ Postfix + rspamd" + who.removeprefix("ratio").replace("-", ", "), "times", r["values"], group="ratio, " + size))
            continue
        unit, better = PEER_KINDS[kind]
        ours = who.startswith("postern")
        out.append(row(at, who, unit, r["values"], group=group, better=better if ours else "none",
                       baseline=at.replace("E.postern", "E.postfix-rspamd") if ours else None))
    return out


# ---- all ----------------------------------------------------------------------------------------

LEVELS = {
    "A": (
        Script("raw", given, ("bench/raw",), programs=("openssl",)),
        Script("micro", micro, ("bench/run-micro",), runs="--reps", quick=("--flows", "1000"), targets=("bench/micro/micro",)),
        Script("scan", scan, ("bench/run-micro", "scan"), runs="--rounds", quick=("--messages", "60", "--peer-messages", "0"),
               targets=("bench/micro/micro-scan",), files="/usr/share/spamassassin/*.cf"),
        Script("judge", judge, ("bench/judge/run",), quick=("--messages", "1000", "--rspamd-messages", "500"),
               targets=("bench/judge/bench-judge",), programs=("nsd", "dig")),
        Script("rings", rings, ("build:bench/rings/bench-rings",), runs="", json="", targets=("bench/rings/bench-rings",)),
        Script("tls", tls, ("build:bench/tls/bench-tls",), runs="", json="", targets=("bench/tls/bench-tls",)),
    ),
    "B": (
        Script("tap", tap, ("bench/tap",), quick=("--seconds", "2", "--capture-mb", "64", "--only", "testpmd-rx", "--only", "follow",
                                                  "--only", "full", "--only", "views"),
               targets=("dataplane/postern-dataplane", "bench/pcapgen/pcapgen", "control/cli/posternctl"), huge=2300),
    ),
    "C": (
        Script("gateway", given, ("bench/gateway", "--audit"), quick=("--seconds", "2", "--sizes", "10000,32000", "--shares", "0.5,1.5"),
               targets=(*LOAD, "bench/sink/sink"), programs=("nsd", "dig", "ip", "openssl"), root=True, huge=900),
        Script("idle-sessions", idle_sessions, ("bench/idle-sessions", "--runs", "1"), runs="--rounds",
               quick=("--idle", "10000", "--seconds", "2"), targets=LOAD, programs=("nsd", "smtp-sink", "ip"), root=True),
        Script("idle-tls", idle_tls, ("bench/idle-tls",), quick=("--sessions", "500"), targets=LOAD, programs=("nsd", "smtp-sink", "ip"), root=True),
        Script("syn-flood", syn_flood, ("bench/syn-flood",), quick=("--seconds", "2"), targets=LOAD,
               programs=("nsd", "smtp-source", "smtp-sink", "ip"), root=True),
        Script("deliver", deliver, ("bench/deliver/run",), quick=("--messages", "1000", "--latency", "1000"),
               targets=(*GATEWAY, "bench/sink/sink", "bench/clients/bystander"), programs=("nsd", "smtp-source", "postfix", "ip"), root=True),
        Script("slow-clients", beside("slow", "a client beside 12,200 slow ones", {"alone": "alone", "beside": "beside slow ones"}),
               ("bench/slow-clients",), quick=("--idle", "1000", "--uploads", "100", "--messages", "200"),
               targets=(*GATEWAY, "bench/clients/bystander"), programs=("nsd", "smtp-sink", "ip"), root=True),
        Script("tls-storm", beside("storm", "a client in clear beside a storm of handshakes",
                                   {"alone": "alone", "storm": "during the storm", "other": "storm at another server"}),
               ("bench/tls-storm",), quick=("--messages", "200"), targets=(*GATEWAY, "bench/clients/bystander", "bench/clients/storm"),
               programs=("nsd", "smtp-sink", "ip"), root=True),
        Script("overload", beside("overload", "a route beside two others",
                                  {k: k for k in ("alone", "beside well ones", "beside a slow and a dead one")}),
               ("bench/overload",), quick=("--messages", "200", "--settle", "5", "--rest", "2"),
               targets=(*GATEWAY, "bench/clients/bystander"), programs=("nsd", "smtp-sink", "ip"), root=True),
        Script("reload", reload_rows, ("bench/reload",), quick=("--entries", "100000", "--quiet", "2"), targets=GATEWAY, programs=("nsd", "ip"),
               root=True),
        Script("flame", given, ("bench/flame",), runs=None, quick=("--seconds", "4"), targets=LOAD, programs=("perf",), root=True, huge=900),
    ),
    "D": (),
    "E": (Script("peers", peers, ("bench/peers/run",), quick=("--messages", "200", "--latency", "50"),
                targets=(*GATEWAY, "bench/sink/sink", "bench/clients/mailer"), programs=("nsd", "ip"), root=True),),
}

D_TEXT = """Level D is what a laboratory with NICs runs; nothing of it was run here. bench/pktgen/README.md says how:

    packaging/install-packages bench     # then Pktgen-DPDK 23.06.1 from its sources: it is not in Debian
    build/release/bench/pcapgen/pcapgen -o tap.pcap -b tap.book --microseconds --octets 200m --with vlan=0,qinq=0
    pktgen … -- -P -m "[1:2].0" -s 0:tap.pcap -f bench/pktgen/tap-replay.pkt      # replay into a tap port
    pktgen … -s 0:syn4.pcap -f bench/pktgen/syn-flood.pkt                          # SYN floods into a gateway port
    script bench/pktgen/ndr.lua                                                    # in Pktgen: NDR and PDR, ndr.csv
"""


def existing(script):
    """Why it cannot be run, or None."""
    program = script.argv[0]
    if not program.startswith("build:") and not (benchlib.ROOT / program).exists():
        return f"{program} is not there"
    if script.files and not glob.glob(script.files):
        return f"no file {script.files} (packaging/install-packages test)"
    if script.root and os.geteuid():
        return "needs root"
    return None
