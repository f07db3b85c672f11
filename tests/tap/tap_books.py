#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""Compares what an observer says of a capture with the books of bench/pcapgen.

	tap_books.py BOOK DUMP [--must KIND,…] [--may KIND,…] [--ignore NAME,…] [--show N]

DUMP is the output of `postern-dataplane --tap-dump`, or of tap_reader.py: a JSON object a line. Exit code 0: each message was
reported once and right, each anomaly that has to be was, and nothing was invented; 1: not so; 2: a file is unusable.
--must and --may say for a kind of anomaly that it has or has not to be reported; --ignore names what the observer calls
something that is not to be judged."""
import argparse
import collections
import ipaddress
import json
import re
import sys

GAP = {"gap", "never_seen", "nic_missed", "no_mbuf", "ooo_cap", "budget"}
# What an observer that lost a command or an end of data may say of what follows.
CONFUSED = {"pairing_lost", "unpaired_reply", "bad_reply", "early_data", "early_reply", "early_talk", "long_line", "nested_mail",
            "bad_bdat", "bare_lf_command", "disputed_end", "starttls_injection", "cut"}
# Kind in the book: (names of which one has to be there, other names it explains).
SEEN = {
    # of a CRLF one half may be lost
    "lost": (GAP, CONFUSED | {"fin_false", "bare_lf", "bare_cr"}),
    "lost-reply": (GAP, {"pairing_lost", "unpaired_reply", "bad_reply"}),
    "upstream-loss": (set(), set()),
    "retransmit": (set(), set()),
    "duplicate": (set(), set()),
    "reorder": (set(), set()),
    "ack-early": (set(), set()),
    "tiny": ({"tiny_segments"}, set()),
    "overlap-same": (set(), set()),
    "overlap-differ": ({"overlap_diff"}, set()),
    "overlap-ahead": ({"overlap_diff"}, set()),
    "ttl-decoy": ({"overlap_diff", "ttl"}, {"lookalike", "bare_cr", "bare_lf", "nul"}),
    "ttl-rst": ({"ttl", "data_after_rst"}, {"data_after_rst", "rst_in_window"} | GAP | CONFUSED),
    "checksum": ({"bad_checksum", "checksum"}, set()),
    "out-of-window": ({"out_of_window"}, set()),
    "keepalive": ({"keepalive"}, {"overlap_diff"}),
    # who sees one side does not know the window
    "rst-in-window": ({"rst_in_window"}, {"rst_out_of_window"}),
    "rst-out-of-window": ({"rst_out_of_window"}, set()),
    "fragments": (set(), set()),
    "frag-overlap": ({"frag_overlap"}, {"bad_checksum"}),
    "frag-lost": (set(), set()),
    "lookalike": ({"lookalike"}, set()),
    "abort-rst": (set(), {"no_ack"}),
    "abort-fin": (set(), set()),
    "cut-start": (set(), {"midstream"} | GAP | CONFUSED),
    "cut-end": (set(), GAP),
    "fin-data": ({"data_after_fin"}, set()),
    "fin-again": (set(), set()),
    "half-close": (set(), set()),
}
# Where one side is not in the capture, its octets are a gap, and its FIN is not seen.
ONE_SIDED = GAP | {"pairing_lost", "fin_false"}
# And the next session with the same ports begins in one that may not be over.
ONE_SIDED_AGAIN = {"syn_in_flow", "ttl", "out_of_window", "rst_out_of_window", "paws"}
# What observers may say of any message or session, with nothing wrong about it.
USUAL = {"encrypted", "starttls"}


class Unusable(Exception):
    pass


def flow_key(text):
    """Two (address, port), however they are written; the client's first."""
    if isinstance(text, dict):
        text = "{} {} {} {}".format(*(text[k] for k in ("src", "sport", "dst", "dport")))
    ends = re.findall(r"\[?([0-9a-fA-F:]*:[0-9a-fA-F:.]+|\d+\.\d+\.\d+\.\d+)\]?(?:[:. ]|\]:)(\d+)", str(text))
    if "[" in str(text):
        ends = re.findall(r"\[([0-9a-fA-F:.]+)\][:. ](\d+)", str(text))
    if len(ends) != 2:
        raise Unusable(f"flow {text!r}: two addresses with ports are wanted")
    return tuple((ipaddress.ip_address(a), int(p)) for a, p in ends)


def key_text(key):
    return ">".join(f"[{a}]:{p}" if a.version == 6 else f"{a}:{p}" for a, p in key)


def lines_of(path):
    with open(path, encoding="utf-8") as f:
        for number, line in enumerate(f, 1):
            if line.strip():
                try:
                    thing = json.loads(line)
                except ValueError as e:
                    raise Unusable(f"{path}:{number}: {e}") from e
                if not isinstance(thing, dict):
                    raise Unusable(f"{path}:{number}: not an object")
                yield f"{path}:{number}", thing


class Book:
    def __init__(self, path):
        self.messages, self.anomalies = collections.defaultdict(list), collections.defaultdict(list)
        self.sessions, self.odd, self.end = collections.defaultdict(list), collections.defaultdict(set), None
        n = 0
        for where, t in lines_of(path):
            try:
                if t["type"] == "message":
                    self.messages[flow_key(t["flow"])].append(t)
                    self.odd[flow_key(t["flow"])].update(t.get("odd", []))
                    n += 1
                elif t["type"] == "anomaly":
                    if t["kind"] not in SEEN:
                        raise Unusable(f"{where}: no such kind as {t['kind']}")
                    self.anomalies[flow_key(t["flow"])].append(t)
                elif t["type"] == "session":
                    self.sessions[flow_key(t["flow"])].append(t)
                elif t["type"] == "end":
                    self.end = t
            except KeyError as e:
                raise Unusable(f"{where}: no {e}") from e
        if self.end is None or self.end["messages"] != n:
            raise Unusable(f"{path}: the book is cut: {n} messages and no end that says so")


def name_of(a):
    return a if isinstance(a, str) else a.get("anomaly") or a.get("name") or a.get("kind") or a.get("cause") or "?"


class Dump:
    def __init__(self, path):
        self.messages, self.anomalies = collections.defaultdict(list), collections.defaultdict(collections.Counter)
        self.encrypted, self.summary = collections.Counter(), None
        for where, t in lines_of(path):
            if "flow" not in t:
                self.summary = t
                continue
            key = flow_key(t["flow"])
            if t.get("type") == "encrypted":
                self.encrypted[key] += 1
                continue
            if "mail_from" in t:
                t["where"] = where
                self.messages[key].append(t)
            elif not any(k in t for k in ("anomaly", "anomalies", "kind", "name", "cause")):
                raise Unusable(f"{where}: neither a message nor an anomaly")
            if "anomaly" in t or "mail_from" not in t and "anomalies" not in t:
                self.anomalies[key][name_of(t)] += 1
                if isinstance(t.get("cause"), str):
                    self.anomalies[key][t["cause"]] += 1
            for a in t.get("anomalies") or []:
                self.anomalies[key][name_of(a)] += 1


def bare(address):
    return address[1:-1] if address and address[0] == "<" and address[-1] == ">" else address or ""


def recipients(d, accepted):
    out = []
    for r in d.get("rcpt_to" if accepted else "rcpt_refused") or []:
        if isinstance(r, dict):
            code = int(str(r.get("reply") or 250)[:3])
            ok = r.get("accepted", code < 400)
            if ok == accepted:
                out.append(bare(r.get("address") or r.get("rcpt") or r.get("to")))
        else:
            out.append(bare(r))
    return sorted(out)


def code(reply):
    m = re.match(r"\s*(\d{3})", str(reply)) if reply else None
    return int(m.group(1)) if m else None


def missing_of(d):
    """As "missing": N or "incomplete": "gap,N"; None: it does not say."""
    if isinstance(d.get("missing"), int):
        return d["missing"]
    m = re.fullmatch(r"gap,(\d+)", str(d.get("incomplete")))
    return int(m.group(1)) if m else None


# What may keep an observer from seeing that STARTTLS was taken.
HIDES = {"lost", "lost-reply", "ttl-rst", "cut-start", "cut-end"}


class Comparison:
    def __init__(self, book, dump, must=(), may=(), ignore=()):
        self.book, self.dump = book, dump
        self.must, self.may, self.ignore = set(must), set(may), set(ignore)
        self.bad = collections.OrderedDict((k, []) for k in (
            "messages missing", "messages invented", "messages wrong", "TLS missing", "TLS invented", "anomalies missing",
            "anomalies invented"))
        self.found = self.planted = self.reported = 0
        for key in dict.fromkeys([*book.sessions, *dump.messages, *dump.encrypted]):
            self.flow(key)
        for key in set(book.anomalies) | set(dump.anomalies):
            self.odd(key)

    def good(self):
        return not any(self.bad.values())

    def say(self, what, m, text):
        self.bad[what].append(f"{m.get('flow')}: {text}" + (f" ({m['where']})" if "where" in m else ""))

    def pair(self, key):
        """(book, dump) of a flow: first by content, then by sender, then what is left by sender and order."""
        want, have, pairs = list(self.book.messages.get(key, [])), list(self.dump.messages.get(key, [])), []
        same = [lambda b, d: b["mail_from"] == bare(d["mail_from"]) and b["sha256"] and b["sha256"] == d.get("sha256"),
                lambda b, d: d["mail_from"] is None and b["expect"] == "optional" and b["sha256"] and b["sha256"] == d.get("sha256"),
                lambda b, d: b["mail_from"] and b["mail_from"] == bare(d["mail_from"]),
                lambda b, d: b["mail_from"] == bare(d["mail_from"]) and recipients(d, True) == sorted(b["rcpt_to"]),
                lambda b, d: b["mail_from"] == bare(d["mail_from"])]
        for test in same:
            for b in list(want):
                d = next((d for d in have if test(b, d)), None)
                if d is not None:
                    want.remove(b)
                    have.remove(d)
                    pairs.append((b, d))
        return pairs, want, have

    def flow(self, key):
        pairs, want, have = self.pair(key)
        doubtful = any(b["expect"] == "optional" for b in self.book.messages.get(key, [])) or any(
            s["cut_start"] for s in self.book.sessions.get(key, []))
        for b in want:
            if b["expect"] != "optional":
                self.say("messages missing", b, f"{b['mail_from'] or '<>'}, {b['size']} octets")
        # Who sees one side cannot know whether the FIN was meant: what stands behind it may be told, with a word of that.
        alone = any(s["sees"] != "both" for s in self.book.sessions.get(key, [])) and any(
            a["kind"] == "fin-data" for a in self.book.anomalies.get(key, []))
        for d in have:
            if alone and "data_after_fin" in d.get("anomalies", []):
                continue
            # Two messages that ran into each other where a command is missing: no lie if it says so.
            if d.get("complete") or not doubtful:
                self.say("messages invented", d, f"{d['mail_from'] or '<>'}, {d.get('size')} octets")
        for b, d in pairs:
            self.message(key, b, d)
        self.tls(key)

    def tls(self, key):
        sessions, said = self.book.sessions.get(key, []), self.dump.encrypted[key]
        most = sum(s["tls"] for s in sessions)
        hidden = any(a["kind"] in HIDES for a in self.book.anomalies.get(key, []))
        least = 0 if hidden else sum(s["tls"] and s["sees"] == "both" for s in sessions)
        if said < least or said > most:
            what = "TLS missing" if said < least else "TLS invented"
            self.say(what, {"flow": key_text(key)}, f"{said} sessions said to be encrypted, and {most} are")

    def message(self, key, b, d):
        wrong = []
        absent = [f for f in ("rcpt_to", "size", "sha256", "complete", "reply") if f not in d]
        if absent:
            wrong.append(f"no {', '.join(absent)}")
        other = b["ambiguous"] and SEEN["ttl-decoy"][0] & set(self.dump.anomalies[key])
        if b["expect"] == "optional":
            # Whole in truth and seen in part: its content is what counts, if it is called complete.
            if d.get("complete") and b["sha256"] != d.get("sha256") and not other:
                wrong.append("complete, and is not")
        else:
            self.exact(b, d, other, wrong)
        self.found += 1
        if wrong:
            self.say("messages wrong", {**d, "flow": b["flow"]}, f"{b['mail_from'] or '<>'}: " + "; ".join(wrong))

    def exact(self, b, d, other, wrong):
        if recipients(d, True) != sorted(b["rcpt_to"]):
            wrong.append(f"recipients {recipients(d, True)}, not {sorted(b['rcpt_to'])}")
        if "rcpt_refused" in d and recipients(d, False) != sorted(b["rcpt_refused"]):
            wrong.append(f"refused recipients {recipients(d, False)}, not {sorted(b['rcpt_refused'])}")
        if code(d.get("reply")) != b["reply"] and not (b["reply_maybe"] and d.get("reply") is None):
            wrong.append(f"reply {d.get('reply')}, not {b['reply']}")
        if bool(d.get("complete")) != b["complete"]:
            wrong.append(f"complete {d.get('complete')}, not {b['complete']} ({b['lack']})")
        elif b["complete"]:
            if d.get("sha256") != b["sha256"] and not other:
                wrong.append("other content")
            if d.get("size") != b["size"] and not other:
                wrong.append(f"size {d.get('size')}, not {b['size']}")
        else:
            missing = missing_of(d)
            if b["missing"] is not None and missing not in (None, b["missing"]):
                wrong.append(f"{missing} octets missing, not {b['missing']}")
            if isinstance(d.get("size"), int) and d["size"] > b["size"]:
                wrong.append(f"size {d['size']}, and there are {b['size']}")

    def odd(self, key):
        names, explained = self.dump.anomalies.get(key, {}), USUAL | self.ignore | self.book.odd.get(key, set())
        flow = {"flow": key_text(key)}
        sessions = self.book.sessions.get(key, [])
        if any(s["sees"] != "both" for s in sessions):
            explained = explained | ONE_SIDED | (ONE_SIDED_AGAIN if len(sessions) > 1 else set())
        for a in self.book.anomalies.get(key, []):
            needed, more = SEEN[a["kind"]]
            explained = explained | needed | more
            must = (a["must"] or a["kind"] in self.must) and a["kind"] not in self.may
            self.planted += must
            if must and not needed & set(names):
                self.say("anomalies missing", flow, f"{a['kind']}, packet {a['packet']}")
        for name, n in sorted(names.items()):
            self.reported += n
            if name not in explained:
                self.say("anomalies invented", flow, f"{name}, {n} times")

    def show(self, say=print, limit=20):
        total = sum(len(m) for m in self.book.messages.values())
        say(f"{sum(map(len, self.book.sessions.values()))} sessions, {total} messages, {self.found} of them reported; "
            f"{self.planted} anomalies have to be reported, {self.reported} reports")
        for what, cases in self.bad.items():
            say(f"{what}: {len(cases)}")
            for c in cases[:limit]:
                say(f"  {c}")


def main(argv):
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("book")
    p.add_argument("dump")
    for name in ("--must", "--may", "--ignore"):
        p.add_argument(name, default="", metavar="LIST")
    p.add_argument("--show", type=int, default=20, metavar="N", help="cases of each sort (20)")
    a = p.parse_args(argv)
    try:
        lists = [[x for x in v.split(",") if x] for v in (a.must, a.may, a.ignore)]
        for kind in lists[0] + lists[1]:
            if kind not in SEEN:
                raise Unusable(f"no such kind as {kind}: {', '.join(SEEN)}")
        c = Comparison(Book(a.book), Dump(a.dump), *lists)
    except (Unusable, OSError) as e:
        print(f"tap_books: {e}", file=sys.stderr)
        return 2
    c.show(limit=a.show)
    return 0 if c.good() else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
