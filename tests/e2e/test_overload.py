#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""Three routes: one next hop is well, one answers 2 s late, one does not answer at all.

Mail to the first is delivered, all of it. Senders of the others hear 451 4.4.5 at RCPT, before any
content, and in the end 421 if they insist. What was answered 250 has arrived. When the slow next hop
is quick again, and the dead one lives, their mail goes as before, without anybody's help.
"""
import collections
import json
import os
import re
import smtplib
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import lab as labs  # noqa: E402

SLOW, DEAD4 = 2526, "198.51.100.66"
ROUTES = {
    "slow": f'domains = ["slow.example.com"]\n\thosts = ["{labs.NEXTHOP4}:{SLOW}"]\n\tverify = callout\n'
            "\tmax-connections = 4\n\toverload-wait = 1",
    "dead": f'domains = ["dead.example.com"]\n\thosts = ["{DEAD4}"]\n\tverify = none\n\tmax-connections = 4\n'
            "\tconnect-timeout = 1\n\toverload-wait = 1",
}


def start_hop(lab, name, *rules):
    """A next hop of its own on port SLOW; what it takes lies in <dir>/<name>."""
    inbox = lab.dir / name
    inbox.mkdir(exist_ok=True)
    lab.spawn(name, "hop", [sys.executable, labs.ROOT / "tests/e2e/nexthop.py", "--listen", f"{labs.NEXTHOP4}:{SLOW}",
                            "--inbox", inbox, *(x for r in rules for x in ("--rule", r))])
    labs.wait_for(f"{name} listens", lambda: lab._alive(name) and lab.in_ns(
        "hop", "ss", "-Hltn", "sport", "=", f":{SLOW}", check=False).stdout.strip())


def black_hole(lab):
    """Segments to DEAD4 arrive where nobody takes them, and nobody says so."""
    mac = lab.in_ns("hop", "cat", f"/sys/class/net/{lab.name}h0/address").stdout.strip()
    lab.in_ns("gw", "ip", "neigh", "replace", DEAD4, "lladdr", mac, "dev", f"{lab.name}g1", "nud", "permanent")


class Sender(threading.Thread):
    """Messages to one domain, one after the other over one session while that lives."""

    def __init__(self, lab, domain, who, stop, messages=10**9):
        super().__init__(daemon=True)
        self.lab, self.domain, self.who, self.stop, self.messages = lab, domain, who, stop, messages
        self.heard, self.taken, self.texts, self.error = collections.Counter(), [], set(), None

    def connect(self):
        with labs.in_netns(self.lab.ns["client"]):
            c = smtplib.SMTP(labs.GATEWAY4, 25, local_hostname="client.example.net", timeout=120)
        c.ehlo()
        return c

    def one(self, c, mid):
        """False: the session is over."""
        c.mail("a@example.net")
        code, text = c.rcpt(f"{self.who}@{self.domain}")
        text = text.decode()
        if code == 250:
            code, text = c.data(f"From: a@example.net\r\nMessage-ID: <{mid}@example.net>\r\n\r\nbody\r\n")
            self.heard[f"data {code}"] += 1
            if code == 250:
                self.taken.append(mid)
            time.sleep(0.05 if code == 250 else 1)  # a session has 1000 transactions
            return True
        self.heard[f"rcpt {code} {text.split()[0]}"] += 1
        self.texts.add(text)
        if code == 421:
            return False
        c.rset()
        time.sleep(1)  # commands without a message are counted, too: that is another limit
        return True

    def run(self):
        c = None
        try:
            for i in range(self.messages):
                if self.stop.is_set():
                    break
                c = c or self.connect()
                if not self.one(c, f"{self.who}.{i}.{self.domain}"):
                    c.close()
                    c = None
            if c:
                c.quit()
        except (OSError, smtplib.SMTPException) as e:
            self.error = repr(e)


def arrived(inbox):
    out = set()
    for f in inbox.glob("*.eml"):
        m = re.search(rb"^Message-ID: <(.*)@example\.net>", f.read_bytes(), re.M | re.I)
        out.add(m.group(1).decode())
    return out


def routes(lab):
    return {r["route"]: r for r in json.loads(lab.ctl("show", "routes", "--json").stdout)["routes"]}


def start(lab, domain, n, stop, messages=10**9):
    senders = [Sender(lab, domain, f"{domain[0]}{i}", stop, messages) for i in range(n)]
    for s in senders:
        s.start()
    return senders


def end(senders):
    for s in senders:
        s.join(180)
        assert not s.is_alive() and not s.error, (s.who, s.domain, s.error, s.heard)
    return sum((s.heard for s in senders), collections.Counter())


def overload(lab):
    """Both go on until each has sent somebody away who insisted."""
    stop = threading.Event()
    slow, dead = start(lab, "slow.example.com", 30, stop), start(lab, "dead.example.com", 15, stop)
    try:
        def shedding():
            r = routes(lab)
            return all(r.get(x, {}).get("state") == "shedding" for x in ("slow", "dead")) and r
        r = labs.wait_for("both routes shed", shedding, 60)
        print({x: {k: r[x][k] for k in ("state", "cause", "outstanding", "bound", "held")} for x in r})
        office = end(start(lab, "example.com", 3, stop, 40))
        print(f"office   {dict(office)}")
        assert office == {"data 250": 120}, office
        assert routes(lab)["office"]["state"] == "ok"
        labs.wait_for("421 to who insists", lambda: all(
            any(h.startswith("rcpt 421 4.4.5") for s in senders for h in s.heard) for senders in (slow, dead)), 120, 0.5)
        print(lab.ctl("show", "routes").stdout)
    finally:
        stop.set()
    heard = {"slow": end(slow), "dead": end(dead)}
    for name, h in heard.items():
        print(f"{name:8} {dict(h)}")
    assert heard["slow"]["rcpt 451 4.4.5"] and heard["slow"]["data 250"], heard
    assert heard["dead"]["rcpt 451 4.4.5"] and not heard["dead"]["data 250"], heard
    texts = set().union(*(s.texts for s in slow + dead))
    assert all(re.search(r"\[[0-9A-Z]{16}\]", t) for t in texts if t.startswith("4.4.5")), sorted(texts)[:5]
    return slow, dead


def recovers(lab, domain):
    """By itself, while its senders come again as they always do."""
    stop = threading.Event()
    senders = start(lab, domain, 8, stop)
    try:
        name = domain.split(".", 1)[0]
        labs.wait_for(f"{name} is well", lambda: routes(lab)[name]["state"] == "ok" and routes(lab)[name]["bound"] > 100,
                      120, 0.5)
    finally:
        stop.set()
    heard = end(senders)
    print(f"{name:8} well again: {dict(heard)}")
    end(again := start(lab, domain, 4, threading.Event(), 10))
    assert sum((s.heard for s in again), collections.Counter()) == {"data 250": 40}
    return senders + again


def main():
    labs.need_root()
    with labs.Lab("psov", arena_mb=96) as lab:
        lab.start_dns({"example.com": "", "example.net": f'@ IN TXT "v=spf1 ip4:{labs.CLIENT4} -all"\n'})
        lab.start_sink()
        start_hop(lab, "late", "rcpt=delay 2", "dot=delay 2")
        black_hole(lab)
        lab.write_config(extra="".join(f'route "{n}" {{\n\t{k}\n}}\n' for n, k in ROUTES.items()))
        lab.start_dataplane()
        lab.start_control()
        lab.wait_ready()
        slow, dead = overload(lab)
        lab.stop("late")
        start_hop(lab, "quick")
        slow += recovers(lab, "slow.example.com")
        lab.addr("hop", f"{lab.name}h0", f"{DEAD4}/24")
        # Its next hop is the sink, which listens on one address: what comes to the other goes there.
        start_dead(lab)
        dead += recovers(lab, "dead.example.com")
        for senders, inboxes in ((slow, ("late", "quick")), (dead, ("alive",))):
            taken = {m for s in senders for m in s.taken}
            there = set().union(*(arrived(lab.dir / x) for x in inboxes))
            assert taken and taken <= there, sorted(taken - there)
        log = lab.log("control")
        for name in ROUTES:
            print(*re.findall(rf".*route {name}: .*", log), sep="\n")
            assert re.search(rf"ALERT route {name}: overload", log)
            assert re.search(rf"route {name}: overload is over", log)
        assert not re.search(r"ALERT route office", log)
        c = {x["name"]: x["value"] for x in lab.stats()["control"]}
        assert c["overload_opened"] >= 2 and c["overload_deferred"] and c["overload_closed"], c
        assert all(r["outstanding"] == 0 and r["held"] == 0 for r in routes(lab).values()), routes(lab)


def start_dead(lab):
    inbox = lab.dir / "alive"
    inbox.mkdir()
    lab.spawn("alive", "hop", [sys.executable, labs.ROOT / "tests/e2e/nexthop.py", "--listen", f"{DEAD4}:25",
                               "--inbox", inbox])


if __name__ == "__main__":
    main()
