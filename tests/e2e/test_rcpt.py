#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""Fifty recipients of one transaction, pipelined, to a next hop that takes 100 ms for each.

What is asserted: each recipient hears its own reply, in order, and the message goes to those that
were accepted and to no others. The time it took is printed, not judged.
"""
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import lab as labs  # noqa: E402

N = 50
REFUSED = {0: 550, 3: 451, 7: 550, 8: 550, 17: 451, 31: 550, 48: 451, 49: 550}
NAME = {250: "user", 550: "nobody", 451: "busy"}
RULES = ["rcpt=delay 0.1", "rcpt:<nobody=550 5.1.1 no such user here", "rcpt:<busy=451 4.2.1 mailbox is busy"]
BODY = "From: a@example.net\r\nSubject: to many\r\n\r\nhello\r\n.\r\n"


def transaction(lab, sender, rcpts, pieces=1, body=BODY):
    """Codes of the RCPTs, code of the end, seconds; everything up to DATA in so many writes."""
    c = labs.Smtp(lab, timeout=120)
    assert c.cmd("EHLO client.example.net")[0] == 250
    text = f"MAIL FROM:<{sender}@example.net>\r\n" + "".join(f"RCPT TO:<{r}>\r\n" for r in rcpts) + "DATA\r\n"
    start = time.monotonic()
    step = len(text) // pieces + 1
    for i in range(0, len(text), step):
        c.send(text[i:i + step])
        if pieces > 1:
            time.sleep(0.02)
    assert c.reply()[0] == 250
    codes = [c.reply()[0] for _ in rcpts]
    took = time.monotonic() - start
    end, _ = c.reply()
    if end == 354:
        c.send(body)
        end, _ = c.reply()
    assert c.cmd("QUIT")[0] == 221
    c.close()
    return codes, end, took


def envelope(path):
    lines = path.with_suffix(".env").read_text().splitlines()
    return [x[x.index("<") + 1:x.index(">")] for x in lines[1:]]


def many(lab):
    for k, pieces in enumerate((1, 37)):
        want = [REFUSED.get(i, 250) for i in range(N)]
        rcpts = [f"{NAME[code]}{i}.{k}@example.com" for i, code in enumerate(want)]
        before = set(lab.inbox())
        codes, end, took = transaction(lab, f"many{k}", rcpts, pieces)
        print(f"{N} recipients in {pieces} writes: {took:.2f} s", flush=True)
        assert codes == want, f"wanted {want}, got {codes}"
        assert end == 250, end
        new = set(lab.inbox()) - before
        assert len(new) == 1, new
        assert envelope(new.pop()) == [r for r, code in zip(rcpts, want) if code == 250]


def routes(lab):
    """The first that is accepted says which way the transaction goes."""
    for sender, rcpts, want in (
            ("r1", ["u1@example.com", "u2@example.org", "u3@example.com", "nobody4@example.com"], [250, 452, 250, 550]),
            ("r2", ["nobody1@example.com", "u2@example.org", "u5@example.com", "u6@example.org"], [550, 250, 452, 250]),
            ("r3", ["busy1@example.com", "x@example.test", "u2@example.org"], [451, 550, 250])):
        codes, end, _ = transaction(lab, sender, rcpts)
        assert codes == want, f"{sender}: wanted {want}, got {codes}"
        assert end == 250, end
    codes, end, _ = transaction(lab, "r4", ["nobody8@example.com", "nobody9@example.com"])
    assert (codes, end) == ([550, 550], 554), (codes, end)
    print("routes: ok", flush=True)


def gone(lab):
    """Clients that go while recipients are open leave nothing behind."""
    for i in range(10):
        c = labs.Smtp(lab)
        c.cmd("EHLO client.example.net")
        c.send(f"MAIL FROM:<g{i}@example.net>\r\n" + "".join(f"RCPT TO:<g{i}.{k}@example.com>\r\n" for k in range(20)))
        c.close()
    labs.wait_for("no session is left", lambda: lab.status()["sessions"] == 0)
    print("clients gone: ok", flush=True)


def main():
    labs.need_root()
    with labs.Lab("psrc", arena_mb=64) as lab:
        lab.start_dns({"example.net": f'@ IN TXT "v=spf1 ip4:{labs.CLIENT4} -all"\n'})
        lab.start_sink(*[a for r in RULES for a in ("--rule", r)])
        lab.write_config(extra=f'''route "blind" {{
	domains = ["example.org"]
	hosts = ["{labs.NEXTHOP4}:25"]
	verify = "none"
}}''')
        lab.start_dataplane()
        lab.start_control()
        lab.wait_ready()
        many(lab)
        routes(lab)
        gone(lab)


if __name__ == "__main__":
    main()
