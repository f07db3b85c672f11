# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""What is wanted of Postern, and which row says whether it is reached."""
import benchlib

# (what, id of the row, least or most, unit, id of the physical limit or None, factor from that row to the unit)
LEAST, MOST = ">=", "<="
TARGETS = (
    ("gateway without control, 10 KB, not scanned", "C.accept.off.10000.messages_core_s", LEAST, 150_000, "messages/s and core", None, 1),
    ("gateway without control, 32 KB, not scanned", "C.accept.off.32000.gbit_core_s", LEAST, 20, "Gbit/s and core", "A.raw.memcpy-256-mib", 8),
    ("gateway without control, 128 KB, not scanned", "C.accept.off.128000.gbit_core_s", LEAST, 20, "Gbit/s and core",
     "A.raw.memcpy-256-mib", 8),
    ("gateway without control, 1 MB, not scanned", "C.accept.off.1000000.gbit_core_s", LEAST, 20, "Gbit/s and core",
     "A.raw.memcpy-256-mib", 8),
    ("gateway without control, 10 KB, all views and literal set", "C.accept.views.10000.messages_core_s", LEAST, 30_000, "messages/s and core",
     "A.scan.text.raw", 1e5),
    ("sessions", "C.accept.sessions.sessions_core_s", LEAST, 200_000, "sessions/s and core", None, 1),
    ("messages per CPU-second ÷ Postfix + rspamd, no sealing", "E.ratio.10k.per_cpu_s", LEAST, 20, "times", None, 1),
    ("messages per CPU-second ÷ Postfix + rspamd, sealing", "E.ratio-sealing.10k.per_cpu_s", LEAST, 6, "times", None, 1),
    ("final dot to reply at half load, p50", "C.through.load.0.5.reply_p50", MOST, 300, "us", None, 1),
    ("final dot to reply at half load, p99", "C.through.load.0.5.reply_p99", MOST, 3000, "us", None, 1),
    ("final dot to reply, one session, less the next hop's, p50", "C.deliver.added.clear.dot_p50_us", MOST, 300, "us", None, 1),
    ("final dot to reply, one session, less the next hop's, p99", "C.deliver.added.clear.dot_p99_us", MOST, 3000, "us", None, 1),
    ("tap, literal set on `full`", "B.tap.full.gbit", LEAST, 10, "Gbit/s and core", "B.tap.testpmd-rx.gbit", 1),
    ("tap, all views", "B.tap.views.gbit", LEAST, 3, "Gbit/s and core", "B.tap.testpmd-rx.gbit", 1),
    ("tap, two workers ÷ one", "B.tap.full.two", LEAST, 1.8, "times", None, 1),
    ("goodput at half the knee under 2 M SYN/s", "C.syn.share", LEAST, 95, "%", None, 1),
    ("idle session in clear, among 1,000,000", "C.idle.1000000.octets", MOST, 1024, "octets", None, 1),
    ("idle session under TLS 1.3", "C.idle_tls.tls13", MOST, 18 * 1024, "octets", "A.tls.idle-session-tls-1-3-malloc.bare", 1),
    ("session in DATA, its chunk of the arena aside", "C.idle_tls.data", MOST, 24 * 1024, "octets", None, 1),
    ("content of plain text, Debian's rules", "A.scan.text.whole", LEAST, 0.25, "GB/s and core", "A.scan.text.raw", 1),
    ("content of the mix, Debian's rules", "A.scan.mix.whole", LEAST, 0.6, "GB/s and core", "A.scan.mix.raw", 1),
    ("literal set ÷ raw Hyperscan, text", "A.scan.text.ratio", LEAST, 0.8, "times", None, 1),
    ("literal set ÷ raw Hyperscan, html", "A.scan.html.ratio", LEAST, 0.8, "times", None, 1),
    ("literal set ÷ raw Hyperscan, mix", "A.scan.mix.ratio", LEAST, 0.8, "times", None, 1),
)


def state(row, how, wanted):
    """"met", or by how much it is missed."""
    have = row["median"]
    if (have >= wanted) if how == LEAST else (have <= wanted):
        return "met"
    if how == LEAST:
        return f"**missed**: {100 * have / wanted:.0f} % of it"
    return f"**missed**: {have / wanted:.2f} times it"


def judge(rows):
    """Lines of a table; targets of which nothing was measured are named, if any was."""
    by = {r["id"]: r for r in rows}
    if not any(t[1] in by for t in TARGETS):
        return []
    out = []
    for what, id, how, wanted, unit, limit, factor in TARGETS:  # noqa: A001
        sign = "≥" if how == LEAST else "≤"
        if id not in by:
            out.append([what, f"{sign} {benchlib.number(wanted)} {unit}", "not measured in this run", "", ""])
            continue
        raw = by.get(limit)
        told = f"{raw['group']}: {raw['name']}: {benchlib.number(raw['median'] * factor)}" if raw else ""
        out.append([what, f"{sign} {benchlib.number(wanted)} {unit}", benchlib.cell(by[id]), state(by[id], how, wanted), told])
    return out
