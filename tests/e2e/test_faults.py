#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""A next hop that refuses, drops and hangs at every stage, and what our client hears of it.

Two routes to the same next hop: example.com asks for each recipient at RCPT time, example.org does
not ask. The next hop's rules match on sender and recipient, so that one next hop serves all cases
but those of the banner. At the end: what was answered 250 lies in the inbox exactly once, and
nothing else does, but for what the next hop took and then fell silent about.
"""
import os
import re
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import lab as labs  # noqa: E402

TIMEOUTS = "connect-timeout = 2s; command-timeout = 3s"
DEADLINE = 20.0  # far above the time-outs of the route, far below the defaults
RULES = [
    "rcpt:<nobody@=550 5.1.1 no such user here",
    "rcpt:<full@=552 5.2.2 mailbox is full",
    "rcpt:<busy=451 4.2.1 mailbox is busy",
    "mail:<auth@=530 5.7.0 authentication required",
    "mail:<listed@=554 5.7.1 your address is listed",
    "rcpt:<relay@=550 5.7.64 relay access denied",
    "mail:<dropmail@=drop",
    "mail:<hangmail@=hang",
    "data:<dropdata@=drop",
    "data:<hangdata@=hang",
    "data:<nodata@=554 5.6.0 no thanks",
    "body:<dropbody@=drop",
    "dot:<dot4@=452 4.2.2 no room just now",
    "dot:<dot5@=554 5.6.0 content not wanted",
    "dot:<dotrelay@=550 5.7.606 access denied, banned sending address",
    "dot:<dotdrop@=drop",
]


class Case:
    """Transactions with numbered Message-IDs and what was answered to them."""

    def __init__(self, lab):
        self.lab, self.n, self.failed = lab, 0, []
        self.acked, self.unacked, self.doubt = set(), set(), set()

    def send(self, sender, rcpts, size=200, doubt=False):
        """((code, text) of each RCPT, (code, text) of the end or None, seconds)."""
        self.n += 1
        mid = f"<fault.{self.n}@example.net>"
        start = time.monotonic()
        c = labs.Smtp(self.lab, timeout=60)
        c.cmd("EHLO client.example.net")
        code, text = c.cmd(f"MAIL FROM:<{sender}@example.net>")
        assert code == 250, text
        answers = [c.cmd(f"RCPT TO:<{r}>") for r in rcpts]
        end = None
        if any(a[0] == 250 for a in answers):
            assert c.cmd("DATA")[0] == 354
            c.send(f"From: a@example.net\r\nMessage-ID: {mid}\r\n\r\n" + ("x" * 70 + "\r\n") * (size // 72 + 1)
                   + ".\r\n")
            end = c.reply()
        (self.acked if end and end[0] == 250 else self.doubt if doubt else self.unacked).add(mid)
        c.cmd("QUIT")
        c.close()
        flat = lambda a: (a[0], " ".join(a[1]))
        return [flat(a) for a in answers], flat(end) if end else None, time.monotonic() - start

    def expect(self, what, got, *patterns):
        """Each answer ("CODE text") begins as its pattern says."""
        rcpt, end, took = got
        seen = [t for _, t in rcpt] + ([end[1]] if end else [])
        ok = len(seen) == len(patterns) and all(re.match(p, s) for p, s in zip(patterns, seen)) \
            and took < DEADLINE
        print(f"{'ok  ' if ok else 'FAIL'} {what} ({took:.1f} s): " + " | ".join(s[:60] for s in seen), flush=True)
        if not ok:
            self.failed.append(f"{what}: wanted {patterns}, got {seen} in {took:.1f} s")

    def settle(self):
        got = []
        for f in self.lab.inbox():
            m = re.search(rb"^Message-ID: (<fault[^>]+>)", f.read_bytes(), re.M)
            got.append(m.group(1).decode() if m else f.name)
        for mid in self.acked:
            if got.count(mid) != 1:
                self.failed.append(f"{mid}: acknowledged, {got.count(mid)} copies in the inbox")
        for mid in set(got) - self.acked - self.doubt:
            self.failed.append(f"{mid}: in the inbox, but our client was not told so")
        print(f"{len(self.acked)} acknowledged and delivered, {len(self.unacked)} refused and not delivered, "
              f"{len(self.doubt)} in doubt")


def recipients(t):
    c, o = "example.com", "example.org"
    t.expect("callout: 550 to one of three", t.send("a1", [f"x@{c}", f"nobody@{c}", f"y@{c}"]),
             "250", r"550.5\.1\.1", "250", "250")
    t.expect("callout: 451 to all", t.send("a2", [f"busy1@{c}", f"busy2@{c}"]), r"451.4\.2\.1", r"451.4\.2\.1")
    three = [f"x@{o}", f"full@{o}", f"y@{o}"]
    t.expect("no callout: 552 to one of three defers all", t.send("a3", three), *["250"] * 3, "451")
    t.expect("... the retry hears it at RCPT", t.send("a3", three), "250", r"552.5\.2\.2", "250", "250")
    t.expect("... another sender is not told from memory", t.send("a4", three[:1]), "250", "250")
    t.expect("no callout: single recipient refused", t.send("a5", [f"nobody@{o}"]), "250", r"550.5\.1\.1")
    t.expect("no callout: 451 to all", t.send("a6", [f"busy1@{o}", f"busy2@{o}"]), "250", "250", "451")


def relay_refused(t):
    """A refusal of us is never passed on as one of the mail: nobody is bounced."""
    for sender, rcpt, what in (("auth", "new1", "530 at MAIL"), ("listed", "new2", "554 at MAIL"),
                               ("a7", "relay", "relay denied at RCPT")):
        t.expect(f"callout: {what}", t.send(sender, [f"{rcpt}@example.com"]), r"451.4\.4\.0")
        for again in ("", ", again"):  # not remembered as a refusal
            t.expect(f"no callout: {what}{again}", t.send(sender, [f"{rcpt}@example.org"]),
                     "250", r"451.4\.4\.0")
    t.expect("banned address after the dot", t.send("dotrelay", ["x@example.org"]), "250", r"451.4\.4\.0")


def connection(t):
    t.expect("callout: drop at MAIL", t.send("dropmail", ["x1@example.com"]), r"451.4\.4\.")
    t.expect("callout: hang at MAIL", t.send("hangmail", ["x1@example.com"]), r"451.4\.4\.")
    for d in ("com", "org"):
        for sender, what in (("dropdata", "drop at DATA"), ("hangdata", "hang at DATA"),
                             ("dropbody", "drop in the body")):
            size = 400_000 if sender == "dropbody" else 200
            t.expect(f"{what}, example.{d}", t.send(sender, [f"x@example.{d}"], size), "250", r"451.4\.4\.")
    t.expect("no callout: drop at MAIL", t.send("dropmail", ["x2@example.org"]), "250", r"451.4\.4\.")
    t.expect("no callout: hang at MAIL", t.send("hangmail", ["x2@example.org"]), "250", r"451.4\.4\.")


def the_dot(t):
    t.expect("554 to DATA passed on", t.send("nodata", ["x@example.org"]), "250", r"554.5\.6\.0.no thanks")
    t.expect("452 after the dot passed on", t.send("dot4", ["x@example.com"]), "250", r"452.4\.2\.2.no room")
    t.expect("554 after the dot passed on", t.send("dot5", ["x@example.com"]), "250", r"554.5\.6\.0.content")
    t.expect("drop after the dot", t.send("dotdrop", ["x@example.org"], doubt=True), "250", r"451.4\.4\.2")


def banner(t):
    """The same next hop with another rule at connect; recipients that nobody asked for yet."""
    for i, (what, rule, code) in enumerate((
            ("drop at connect", "connect=drop", r"451.4\.4\."), ("hang at banner", "connect=hang", r"451.4\.4\."),
            ("554 at banner", "connect=554 5.3.2 not for you", r"451.4\.4\.0"),
            ("550 at EHLO", "ehlo=550 5.7.1 not for you", r"451.4\.4\.0"))):
        t.lab.stop("nexthop")
        t.lab.start_sink("--rule", rule)
        t.expect(f"callout: {what}", t.send(f"b{i}", [f"b{i}@example.com"]), r"451.4\.")
        t.expect(f"no callout: {what}", t.send(f"b{i}", [f"b{i}@example.org"]), "250", code)
    t.lab.stop("nexthop")
    t.expect("callout: nobody listens", t.send("c1", ["c1@example.com"]), r"451.4\.4\.")
    t.expect("no callout: nobody listens", t.send("c1", ["c1@example.org"]), "250", r"451.4\.4\.1")
    t.lab.start_sink()
    for d in ("com", "org"):
        t.expect(f"the next hop is well again, example.{d}", t.send("c2", [f"c1@example.{d}"]), "250", "250")


def main():
    labs.need_root()
    with labs.Lab("psx", arena_mb=64) as lab:
        lab.start_dns({"example.net": f'@ IN TXT "v=spf1 ip4:{labs.CLIENT4} -all"\n'})
        lab.start_sink(*[a for r in RULES for a in ("--rule", r)])
        lab.write_config(route_extra=TIMEOUTS, extra=f'''route "blind" {{
	domains = ["example.org"]
	hosts = ["{labs.NEXTHOP4}:25"]
	verify = "none"
	{TIMEOUTS}
}}''')
        lab.start_dataplane()
        lab.start_control()
        lab.wait_ready()
        t = Case(lab)
        for part in (recipients, relay_refused, the_dot, connection, banner):
            part(t)
        t.settle()
        assert not t.failed, "\n" + "\n".join(t.failed)


if __name__ == "__main__":
    main()
