# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""The books of no-loss compared: what each try was answered, which copies there are, what was killed when.

Every try has a number of its own, which its copy carries, so that each copy is known to be of one try and each try is
judged by itself. A copy is a message at a next hop or in quarantine. What may not be, by name:

  lost        answered 2xx, and a recipient has no copy of it
  refused     answered 5xx, and there is a copy of that try
  deferred    answered 4xx, and there is a copy although the next hop said 2xx, nothing was killed and no deadline passed
  broken      its end was never sent, or it was refused before its content: and there is a copy
  doubled     one try, several copies for a recipient
  damaged     a copy with other octets than were sent
  stray       a copy for a recipient that this try did not have, or of no try
  gone        the connection went behind the dot, or no answer came, without a kill of the dataplane
  memory      answered from memory, and delivered as well
  swallowed   acknowledged once more than there are copies: sent twice, there once (a process killed while the first 250
              was out explains it, and is counted)
  missed      delivered again although the next hop had said 2xx before, control lived, and the client's TCP did not
              acknowledge our 2xx: the table of what is in doubt did not know it
"""
import collections
import dataclasses
import hashlib

SLACK = 1.0       # seconds in which control has read a reply that the kernel of the next hop has
DEADLINE = 4.5    # less than verdict-timeout of the configuration
HELD = "Q"        # a copy in quarantine
RACE = 0.03       # share of the clients that reset between the arrival of the 250 and their look at the socket

KINDS = ("lost", "refused", "deferred", "broken", "doubled", "damaged", "stray", "gone", "memory", "swallowed", "missed")


def read_message(text):
    """(id, number of the try, are these the octets that were sent)"""
    head, _, body = text.partition(b"\r\n\r\n")
    field = dict(x.split(b": ", 1) for x in head.split(b"\r\n") if x.startswith((b"Message-ID: ", b"X-Attempt: ", b"X-Sum: ")))
    good = hashlib.sha256(body).hexdigest()[:16].encode() == field[b"X-Sum"]
    return field[b"Message-ID"][1:].split(b"@")[0].decode(), int(field[b"X-Attempt"]), good


@dataclasses.dataclass
class Try:
    ident: str
    n: int
    event: str
    rcpts: list
    dot: float
    end: float
    flag: str
    copies: list = dataclasses.field(default_factory=list)

    def acked(self):
        return self.event in ("250", "250m")


@dataclasses.dataclass
class Copy:
    where: str
    rcpts: list
    fault: str = "none"
    taken: float = 0.0
    good: bool = True
    replied: float = 0.0  # 0: never, or not all of the reply

    def said(self):
        return self.fault == "none" or self.fault.startswith("ok-") or "late" in self.fault


@dataclasses.dataclass
class Kill:
    what: str
    begin: float
    end: float
    where: str = "random"


class Books:
    def __init__(self):
        self.tries = collections.defaultdict(list)  # id: its tries with content, by number
        self.gave_up, self.rcpt_refused = set(), set()
        self.copies = collections.defaultdict(list)  # (id, number)
        self.kills = []
        self.faults = collections.Counter()  # of commands, by stage and kind
        self.events = collections.Counter()

    # ---- reading -------------------------------------------------------------------------
    def read_sender(self, lines):
        for line in lines:
            ident, n, event, rcpts, dot, end, flag = line.split()
            rcpts = rcpts.split(",")
            self.events[event if flag == "-" else f"again-{event}"] += 1
            if event == "gave-up":
                self.gave_up.update((ident, r) for r in rcpts)
                continue
            if event in ("rcpt4", "rcpt5"):
                self.rcpt_refused.update((ident, r) for r in rcpts if event == "rcpt5")
                continue
            self.tries[ident].append(Try(ident, int(n), event, rcpts, float(dot), float(end), flag))

    def read_hop(self, lines):
        for line in lines:
            w = line.split()
            if w[0] == "T":
                self.copies[w[1], int(w[2])].append(Copy(w[3], w[4].split(","), w[5], float(w[6]), w[7] == "ok"))
            elif w[0] == "R":
                for c in self.copies[w[1], int(w[2])]:
                    c.replied = c.replied or float(w[3])
            elif w[0] == "F":
                self.faults[w[1], w[2]] += 1

    def held(self, ident, n, rcpts, good):
        self.copies[ident, n].append(Copy(HELD, rcpts, good=good))

    def killed(self, what, begin, end):
        return next((k for k in self.kills if k.what in what and k.end >= begin and k.begin <= end), None)

    # ---- one try -------------------------------------------------------------------------
    def why(self, t, c):
        """Why the client of this try does not know of this copy; None: there is no reason."""
        if not c.said():
            return f"next hop: reply {c.fault.split(':')[0]}"
        # What is dead sends nothing, but what it had sent may have been read late.
        k = self.killed((c.where,), c.taken - 0.1, t.end + 0.1) or \
            self.killed(("control",), (c.taken or t.dot + SLACK) - SLACK, t.end + 0.1) or \
            self.killed(("dataplane",), t.dot - 0.1, t.end + 0.1)
        if k:
            return f"{'next hop' if k.what == c.where else k.what} killed ({k.where})"
        if t.event == "unread":
            return "client reset, our 2xx acknowledged and not read"
        if t.event == "reset":
            return "client reset, our 2xx not acknowledged"
        if t.event == "4xx" and t.end - t.dot > DEADLINE:
            return "next hop: reply behind our deadline"
        return None


class Audit:
    def __init__(self, books):
        self.b = books
        self.bad = {k: [] for k in KINDS}
        self.unacked, self.again, self.remembered = collections.Counter(), collections.Counter(), collections.Counter()
        self.swallowed_by_kill = self.raced = self.reset_copies = self.under_way = 0
        self.n, self.cut_at = collections.Counter(), collections.defaultdict(set)
        for ident, tries in books.tries.items():
            tries.sort(key=lambda t: t.n)
            for t in tries:
                t.copies = books.copies.pop((ident, t.n), [])
        for key, copies in books.copies.items():
            self.bad["stray"].append(f"{key} {copies}")
        for ident, tries in books.tries.items():
            self.message(ident, tries)
        if self.raced > max(3, RACE * self.reset_copies):
            self.bad["missed"].append(f"{self.raced} of {self.reset_copies} clients that reset before the 250 came")

    def report(self, kind, t, c=None):
        self.bad[kind].append(f"{t} {c or ''}")

    # ---- one try -------------------------------------------------------------------------
    def one(self, t):
        per = collections.Counter(r for c in t.copies for r in c.rcpts)
        for c in t.copies:
            self.n["copies"] += 1
            self.n["held"] += c.where == HELD
            if not c.good:
                self.report("damaged", t, c)
            self.cut_at[c.fault.split(":")[0]].add(c.fault.split(":")[-1])
            if set(c.rcpts) - set(t.rcpts):
                self.report("stray", t, c)
        if any(n > 1 for n in per.values()):
            self.report("doubled", t)
        if t.event == "250" and set(t.rcpts) - set(per):
            self.report("lost", t)
        elif t.event == "5xx" and t.copies:
            self.report("refused", t)
        elif t.event in ("broken", "pre4", "pre5") and t.copies:
            self.report("broken", t)
        elif t.event == "250m" and t.copies:
            self.report("memory", t)
        elif t.event == "4xx" and any(not self.b.why(t, c) for c in t.copies):
            self.report("deferred", t)
        elif t.event in ("lost", "timeout") and not self.b.killed(("dataplane",), t.dot - 0.5, t.end + 0.1):
            self.report("gone", t)

    # ---- one message ---------------------------------------------------------------------
    def message(self, ident, tries):
        for t in tries:
            self.one(t)
        for r in sorted({r for t in tries for r in t.rcpts}):
            mine = [t for t in tries if r in t.rcpts]
            self.n["recipients"] += 1
            self.n["answered 2xx"] += any(t.acked() for t in mine)
            self.n["given up"] += (ident, r) in self.b.gave_up
            refused = (ident, r) in self.b.rcpt_refused or any(t.event in ("5xx", "pre5") for t in mine)
            self.n["answered 5xx"] += refused
            self.n["5xx behind a try in doubt"] += refused and any(
                c for t in mine for c in t.copies if not t.acked() and r in c.rcpts)
            self.balance(mine, r)
            self.duplicates(mine, r)
        for i, t in enumerate(tries):
            self.coverage(t, tries[i + 1:])

    def balance(self, mine, r):
        """Is there a copy for each 2xx?"""
        spare, acked = 0, []
        for t in mine:
            if t.event != "250":
                spare += sum(r in c.rcpts for c in t.copies)
            if t.event == "250m":
                if spare:
                    spare -= 1
                elif not any(r in c.rcpts for x in mine if x.n < t.n for c in x.copies):
                    self.report("lost", t)
                elif t.flag == "again" and any(
                        self.b.killed(("control", "dataplane"), x.dot - 0.1, x.end + SLACK) for x in acked):
                    self.swallowed_by_kill += 1
                else:
                    self.report("swallowed", t)
            if t.acked():
                acked.append(t)

    def duplicates(self, mine, r):
        """Copies that the client does not know of, by their reason: answered from the table when it came again, of use
        because nothing else of it was answered, or too many."""
        open_ = []
        for t in mine:
            if t.event == "250m" and open_:
                self.remembered[open_.pop()] += 1
            for c in t.copies:
                if t.event != "250" and r in c.rcpts:
                    open_.append(self.b.why(t, c) or "no reason")
                    self.unacked[open_[-1]] += 1
        if not any(t.acked() for t in mine):
            open_ = open_[1:]
        self.again.update(open_)

    def coverage(self, t, later):
        """A copy whose 2xx control had read is not delivered again."""
        if t.event in ("250", "250m", "unread"):
            return
        for c in t.copies:
            replied = c.replied or (t.end if c.where == HELD else 0)
            if not c.said() or not replied or self.b.killed((c.where,), c.taken - 0.1, replied + SLACK) or \
                    self.b.killed(("control",), t.dot - 0.1, replied + SLACK):
                continue
            self.reset_copies += t.event == "reset"
            for x in later:
                if x.copies and set(x.rcpts) <= set(c.rcpts):
                    if x.dot <= replied + SLACK or self.overtaken(x, c, later):
                        self.under_way += 1
                    elif t.event == "reset":
                        self.raced += 1
                    else:
                        self.report("missed", t, x)
                    break
                if not x.copies and set(x.rcpts) & set(c.rcpts) and x.event in (
                        "250m", "unread", "reset", "lost", "timeout"):
                    break  # answered from the table, and then its entry may be gone

    @staticmethod
    def overtaken(x, c, later):
        """x was left behind by its client and still judged when a later try was answered from the table."""
        return x.event != "250" and any(
            y.n > x.n and y.event == "250m" and set(y.rcpts) & set(c.rcpts) and y.dot <= max(k.taken for k in x.copies)
            for y in later)

    # ---- the end -------------------------------------------------------------------------
    def good(self):
        """Nothing lost, and half of it taken: a gateway that defers everything loses nothing either."""
        taken, of = self.n["answered 2xx"], self.n["recipients"]
        return not any(self.bad.values()) and taken > 0 and taken * 2 >= of

    def show(self, out=print):
        b, n = self.b, self.n
        out("tries:", dict(sorted(b.events.items())))
        out("faults of the next hops:", {f"{s} {k}": v for (s, k), v in sorted(b.faults.items())})
        for name in ("cut", "fin", "tls-cut", "tls-fin"):
            out(f"replies broken off ({name}) behind octets:", *sorted(map(int, self.cut_at[name])))
        out("kills:", dict(sorted(collections.Counter(f"{k.what} {k.where}" for k in b.kills).items())))
        out(f"{len(b.tries)} messages, {n['recipients']} recipients of them: {n['answered 2xx']} answered 2xx, "
            f"{n['answered 5xx']} answered 5xx ({n['5xx behind a try in doubt']} of them behind a try in doubt that had "
            f"arrived), {n['given up']} given up by their sender")
        out(f"{n['copies']} copies, {n['held']} of them in quarantine")
        out(f"{'copies whose client was not told 2xx':52} {'all':>6} {'answered from':>14} {'delivered':>10} {'share of':>9}")
        out(f"{'':52} {'':>6} {'the table':>14} {'again':>10} {'copies':>9}")
        for why, k in self.unacked.most_common():
            out(f"  {why:50} {k:6} {self.remembered[why]:14} {self.again[why]:10} "
                f"{100 * self.again[why] / max(1, n['copies']):8.3f}%")
        early = sum(b.faults.values()) + sum(k.what in ("dns", "disk") for k in b.kills)
        out(f"  {f'{early} faults in front of the dot, of resolver and disk':50} {0:6} {0:14} {0:10} {0:8.3f}%")
        total = sum(self.again.values())
        out(f"  {'together':50} {sum(self.unacked.values()):6} {sum(self.remembered.values()):14} {total:10} "
            f"{100 * total / max(1, n['copies']):8.3f}%")
        out(f"delivered again while another try of it was under way: {self.under_way}; client's reset and our 2xx crossed: "
            f"{self.raced} of {self.reset_copies}; sent twice, a process killed meanwhile, there once: {self.swallowed_by_kill}")
        out("violations:", ", ".join(f"{k} {len(v)}" for k, v in self.bad.items()))
        for kind, bad in self.bad.items():
            for x in bad[:5]:
                out(f"  {kind}: {x}")
