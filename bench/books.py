# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""The books of bench/smtpload (--books) held against those of bench/sink (--books --id-field X-Load-Id), message by message.

A fault, by kind:

    lost      2xx to the client, and the next hop never took it
    arrived   4xx or 5xx to the client, and the next hop took it
    twice     the next hop took it more than once
    differs   what it took is not what was sent
    unsent    it took what nobody sent, or what has no id

A message without a reply (0: the connection was lost) may be there or not: it is only counted."""
import collections
import dataclasses
import json
import re

KINDS = ("lost", "arrived", "twice", "differs", "unsent")
ID = re.compile(r"[0-9a-f]{8}\.[0-9a-f]{8}")
SHA256 = re.compile(r"[0-9a-f]{64}")


class BadBooks(Exception):
    """Names the file and the line."""


@dataclasses.dataclass(frozen=True)
class Sent:
    content: tuple  # (run, number)
    reply: int
    latency_us: int
    stage: str


@dataclasses.dataclass
class Taken:
    replies: list
    digests: list


def rows(path):
    """(line number, object) of each line."""
    try:
        with open(path, encoding="ascii") as f:
            for n, line in enumerate(f, 1):
                if not line.endswith("\n"):
                    raise BadBooks(f"{path}, line {n}: it is not whole")
                try:
                    got = json.loads(line)
                except ValueError as e:
                    raise BadBooks(f"{path}, line {n}: not JSON: {e}") from e
                if not isinstance(got, dict):
                    raise BadBooks(f"{path}, line {n}: not an object")
                yield n, got
    except OSError as e:
        raise BadBooks(f"{path}: {e.strerror}") from e
    except UnicodeDecodeError as e:
        raise BadBooks(f"{path}: not ASCII") from e


def field(path, n, row, name, kind, good=lambda v: True):
    v = row.get(name)
    # A bool is an int for isinstance().
    if not isinstance(v, kind) or isinstance(v, bool) is not (kind is bool) or not good(v):
        raise BadBooks(f"{path}, line {n}: {name} is {v!r}")
    return v


class Load:
    """The books of one or more runs of smtpload."""

    def __init__(self, *paths):
        self.sent, self.digest = {}, {}
        for path in paths:
            self.read(path)

    def read(self, path):
        run, ended, messages = None, False, 0
        for n, r in rows(path):
            if ended:
                raise BadBooks(f"{path}, line {n}: behind the end")
            if run is None:
                run = field(path, n, r, "run", str, re.compile("[0-9a-f]{8}").fullmatch)
                if r.get("version") != 1:
                    raise BadBooks(f"{path}, line {n}: version {r.get('version')!r} is not known")
            elif "end" in r:
                ended = True
                if field(path, n, r, "messages", int) != messages:
                    raise BadBooks(f"{path}, line {n}: {r['messages']} messages were sent, {messages} are here")
            elif "id" in r:
                self.message(path, n, r, run)
                messages += 1
            else:
                number = field(path, n, r, "content", int, lambda v: v >= 0)
                self.digest[run, number] = field(path, n, r, "sha256", str, SHA256.fullmatch)
        if not ended:
            raise BadBooks(f"{path}: no end: smtpload did not close them")

    def message(self, path, n, r, run):
        who = field(path, n, r, "id", str, ID.fullmatch)
        content = run, field(path, n, r, "content", int)
        if not who.startswith(run):
            raise BadBooks(f"{path}, line {n}: {who} is of another run than {run}")
        if who in self.sent:
            raise BadBooks(f"{path}, line {n}: {who} was sent twice")
        if content not in self.digest:
            raise BadBooks(f"{path}, line {n}: there is no content {content[1]}")
        self.sent[who] = Sent(content, field(path, n, r, "reply", int, lambda v: 0 <= v <= 999),
                              field(path, n, r, "latency_us", int, lambda v: v >= 0), field(path, n, r, "stage", str))


def taken(*paths):
    """{id: Taken} of what the sinks answered 2xx, and how many attempts they refused."""
    out, refused = {}, 0
    for path in paths:
        for n, r in rows(path):
            who = field(path, n, r, "id", str)
            digest = field(path, n, r, "sha256", str, lambda v: v == "" or SHA256.fullmatch(v))
            reply = field(path, n, r, "reply", int, lambda v: 200 <= v <= 599)
            if reply // 100 != 2:
                refused += 1
                continue
            t = out.setdefault(who, Taken([], []))
            t.replies.append(reply)
            t.digests.append(digest)
    return out, refused


@dataclasses.dataclass
class Audit:
    counts: collections.Counter
    faults: dict  # kind: ids

    @property
    def ok(self):
        return not any(self.faults.values())

    def told(self, most=5):
        c = self.counts
        out = [f"{c['sent']} sent: {c['accepted']} accepted, {c['refused']} refused, {c['unknown']} without a reply "
               f"({c['unknown_arrived']} of them arrived); {c['taken']} taken by the next hop, {c['attempts_refused']} attempts refused there"]
        for kind in KINDS:
            ids = self.faults[kind]
            if ids:
                out.append(f"{kind}: {len(ids)}: {' '.join(i or '(no id)' for i in ids[:most])}{' …' if len(ids) > most else ''}")
        return "\n".join(out if not self.ok else [*out, "no fault"])


def audit(load, sink_paths):
    got, attempts = taken(*sink_paths)
    c, faults = collections.Counter(), {k: [] for k in KINDS}
    c["attempts_refused"] = attempts
    for who, s in load.sent.items():
        t = got.pop(who, None)
        verdict = {2: "accepted", 4: "refused", 5: "refused"}.get(s.reply // 100, "unknown")
        c["sent"] += 1
        c[verdict] += 1
        if t is None:
            if verdict == "accepted":
                faults["lost"].append(who)
            continue
        c["taken"] += len(t.replies)
        if verdict == "refused":
            faults["arrived"].append(who)
        elif verdict == "unknown":
            c["unknown_arrived"] += 1
        if len(t.replies) > 1:
            faults["twice"].append(who)
        if any(d != load.digest[s.content] for d in t.digests):
            faults["differs"].append(who)
    for who, t in got.items():
        c["taken"] += len(t.replies)
        faults["unsent"] += [who] * len(t.replies)
    return Audit(c, faults)
