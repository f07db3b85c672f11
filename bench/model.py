# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""From what was measured on two CPUs to 32 workers: what all workers share is one after the other a limit of messages a second, and
the lowest of them is what breaks first. Workers share nothing with each other (own queues, tables, arena slice, rings), so their
limit is taken as linear; that it is holds here for two only, and only for a tap (bench/tap). What is not in it: memory bandwidth,
the NIC, other clocks with all cores busy."""
import math

import benchlib

WORKERS = (1, 2, 4, 8, 16, 32)
SPF_WORKERS = 2    # the default of the configuration
LOOPS = 1          # that control runs today; the rings are laid out for 16 (HANDOFF_MAX_LOOPS)
AT = "C.through.full.10000."
# With control behind it a worker here is idle most of the time, and what it does in small bursts costs more: its limit is that
# without control.
WORKER = "C.accept.full.10000.messages_core_s"


def costs(rows):
    """Seconds a message of each party, or None."""
    by = {r["id"]: r["median"] / 1e6 for r in rows if r["id"].startswith(AT)}
    names = {"loop": "loop_us", "thread": "thread_us", "spf": "children_us"}
    worker = next((1 / r["median"] for r in rows if r["id"] == WORKER and r["median"] > 0), None)
    if not worker or not all(AT + n in by for n in names.values()):
        return None
    return {"worker": worker, **{k: by[AT + n] for k, n in names.items()}}


def limits(workers, per):
    """[(what, messages a second)]"""
    out = [("workers", workers / per["worker"]), ("control: its loop", LOOPS / per["loop"]),
           ("control: the busiest other thread", 1 / per["thread"] if per["thread"] else math.inf),
           ("SPF workers", SPF_WORKERS / per["spf"] if per["spf"] else math.inf)]
    return [(name, round(v, 6)) for name, v in out]


def first(workers, per):
    return min(limits(workers, per), key=lambda x: x[1])


def loops_for(workers, per):
    """Loops of control that would keep up with so many workers."""
    return math.ceil(round(workers * per["loop"] / per["worker"], 6))


def table(rows):
    per = costs(rows)
    if not per:
        return None
    rings = next((r["median"] for r in rows if r["id"] == "A.rings.many"), None)
    lines = []
    for n in WORKERS:
        name, most = first(n, per)
        lines.append([n, *(benchlib.number(v) if v < math.inf else "" for _, v in limits(n, per)), f"{name}: {benchlib.number(most)}",
                      loops_for(n, per)])
    told = ("a message of 10,000 octets, the literal set: a worker {worker:.1f} us, control's loop {loop:.1f}, its busiest other thread "
            "{thread:.1f}, SPF workers {spf:.1f}").format(**{k: v * 1e6 for k, v in per.items()})
    if rings is not None:
        told += f"; a question through the rings {rings:.0f} ns"
    head = ["workers", *(name for name, _ in limits(1, per)), "breaks first, messages/s", "loops that would keep up"]
    return f"{told}\n\n{benchlib.table(head, lines)}"
