#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""The load generator through a whole gateway to the sink: DATA, BDAT, TLS, mixes, messages of files, and the books of both held
against each other message by message; with refusals of the next hop, too. And that what is missing in books is missed."""
import json
import os
import pathlib
import subprocess
import sys

os.environ["POSTERN_BENCH_NICE"] = "0"
sys.path[:0] = [str(pathlib.Path(__file__).resolve().parent), str(pathlib.Path(__file__).resolve().parents[2] / "bench")]
import lab as labs  # noqa: E402
import audited  # noqa: E402
import books  # noqa: E402
import loadlab  # noqa: E402

MESSAGES, SESSIONS, FILES = 60, 8, 25
BASE = ["--active", SESSIONS]


def start_sink(lab, name, *args):
    return loadlab.Sink(lab, 25, lab.dir / f"{name}.books", "--id-field", audited.ID_FIELD, *args)


def start_load(lab):
    return lambda *args: loadlab.Smtpload(lab, *args, nap_us=100)


def check(what, good, told=""):
    if not good:
        raise AssertionError(f"{what}\n{told}")


def counted(lab):
    """What the gateway counts of messages, and what of them is in the trace."""
    s = lab.stats()
    ctl = {c["name"]: c["value"] for c in s["control"]}
    return {"submitted": lab.counters()["smtp_messages"], **{n: ctl[n] for n in ("messages", "delivered", "deferred", "trace_records")}}


def agree(lab, before, a):
    """To the last message: counters of both processes, the trace, and the books of generator and sink."""
    taken, refused = a.counts["accepted"], a.counts["refused"]
    told = {n: v - before[n] for n, v in counted(lab).items()}
    check("the counters are other than the books", told == {"submitted": taken + refused, "messages": taken + refused, "delivered": taken,
                                                            "deferred": refused, "trace_records": taken + refused}, told)


def taken_whole(lab):
    """Everything is accepted, arrives once and whole."""
    sink = start_sink(lab, "all")
    try:
        before, messages = lab.counters(), counted(lab)
        said, paths = audited.runs(start_load(lab), lab.dir, BASE, FILES, seconds=0, messages=MESSAGES)
        after = lab.counters()
    finally:
        sink.end()
    a = books.audit(books.Load(*paths), [lab.dir / "all.books"])
    print(a.told())
    check("the audit found faults", a.ok, a.told())
    check("every message is in the books", a.counts["sent"] == MESSAGES * len(audited.KINDS), a.counts)
    check("and was accepted", a.counts["accepted"] == a.counts["sent"], a.told())
    agree(lab, messages, a)
    for kind, r in said.items():
        check(f"{kind}: the generator has them, too", r["messages"] == MESSAGES and r["lost"] == 0 and not r["refused"], r)
    check("more than one message of the files", said["corpus"]["contents"] == FILES, said["corpus"])
    check("sessions under TLS", said["tls"]["up_tls"] == SESSIONS // 2 and said["tls-bdat"]["up_tls"] > 0, said)
    check("connections were left", said["commands"]["reconnected"] >= MESSAGES // 7 - 1, said["commands"])
    check("the gateway shook hands for them", after["tls_handshakes"] - before["tls_handshakes"] >= SESSIONS // 2 + MESSAGES // 5, after)
    return paths


def refused(lab):
    """What the next hop refuses the client hears, and it is not there."""
    sink = start_sink(lab, "refusing", "--refuse", "dot=451:300")
    before = counted(lab)
    try:
        said, paths = audited.runs(start_load(lab), lab.dir, BASE, 0, ["chunks"], seconds=0, messages=MESSAGES)
    finally:
        sink.end()
    a = books.audit(books.Load(*paths), [lab.dir / "refusing.books"])
    print(a.told())
    check("the audit found faults", a.ok, a.told())
    check("some are refused, some are not", 0 < a.counts["refused"] < MESSAGES and a.counts["accepted"], a.told())
    agree(lab, before, a)
    check("by the next hop's code", said["chunks"]["refused"] == {"451": a.counts["refused"]}, said)


def missed(lab, paths):
    """The same books with one line less, one twice, one of another message: each is found."""
    good = (lab.dir / "all.books").read_text().splitlines(keepends=True)
    other = json.loads(good[1])
    other["sha256"] = "0" * 64
    for kind, lines in (("lost", good[1:]), ("twice", [*good, good[0]]), ("differs", [good[0], json.dumps(other) + "\n", *good[2:]])):
        (lab.dir / "broken.books").write_text("".join(lines))
        r = subprocess.run([sys.executable, labs.ROOT / "bench/audit", *paths, "--sink", lab.dir / "broken.books"], capture_output=True, text=True,
                           check=False)
        check(f"{kind} is not found", r.returncode == 1 and f"{kind}: 1: " in r.stdout, r.stdout + r.stderr)


def not_to_be_sent(lab):
    """Files that are no messages are named, and nothing is sent."""
    bad = lab.dir / "bad"
    bad.mkdir()
    (bad / "1.eml").write_text("Subject: x\n\nbody\n")
    (bad / "2.eml").write_text("no header\n")
    r = subprocess.run([labs.build_dir() / "bench/smtpload/smtpload", "--socket", lab.dir / "none", "--active", "1", "--corpus", bad],
                       capture_output=True, text=True, check=False, timeout=20)
    check("a bad file was taken", r.returncode == 1 and f"{bad}/2.eml, line 1: no header" in r.stderr, r.stderr)


def main():
    labs.need_root()
    with loadlab.LoadLab("psm") as lab:
        not_to_be_sent(lab)
        lab.start_dns(loadlab.ZONES)
        lab.write_load_config(extra=audited.tls_config(lab.dir), limits="max-transactions = 1000000")
        lab.start_dataplane(idle_sleep_us=50)
        lab.start_control()
        lab.wait_ready()
        paths = taken_whole(lab)
        missed(lab, paths)
        refused(lab)
    print("passed")


if __name__ == "__main__":
    main()
