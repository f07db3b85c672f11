#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""Gateways that route to each other, whole ones on one wire: where it ends, what the client hears, who is told.

A message that comes back while it is still in hand is refused at the second sight, so a loop of n nodes
takes n acceptances and the refusal. A Postfix in between answers before it sends on; then the Received
fields are all there is, and the third sight ends it. A forward to another mailbox passes.
"""
import os
import re
import shutil
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import lab as labs  # noqa: E402
import postfix  # noqa: E402

WIRE, CLIENT, POSTFIX, DNS = "192.0.2.", "192.0.2.10", "192.0.2.60", "192.0.2.53"
MAILBOX = 2525  # a scripted next hop's
NAMES = {"a": "one.example.net", "b": "two.example.net", "c": "three.example.net"}
LISTEN = {"a": f"{WIRE}25", "b": f"{WIRE}26", "c": f"{WIRE}27"}
EGRESS = {"a": f"{WIRE}35", "b": f"{WIRE}36", "c": f"{WIRE}37"}
# domain -> next hop of each node. "verify" of the two that ask each other is the callout.
ROUTES = {
    "two.example": {"a": "b", "b": "a"},
    "three.example": {"a": "b", "b": "c", "c": "a"},
    "asked.example": {"a": "b", "b": "a"},
    "postfix.example": {"a": "postfix"},
    "box.example": {"a": "postfix"},
    "fwd.example": {"a": "mailbox"},
}


class Wire(labs.Lab):
    """A bridge, the client, DNS and a Postfix on it; gateways come as Node."""

    def __init__(self, name):
        super().__init__(name)
        self.ns = {k: f"{name}-{k}" for k in ("client", "hop", "bridge")}

    def up(self):
        labs.need_root()
        self._alone()
        self.down_network()
        for ns in self.ns.values():
            labs.run("ip", "netns", "add", ns)
            labs.run("ip", "-n", ns, "link", "set", "lo", "up")
        labs.run("ip", "-n", self.ns["bridge"], "link", "add", "br0", "type", "bridge")
        labs.run("ip", "-n", self.ns["bridge"], "link", "set", "br0", "up")
        self.plug("client", f"{self.name}c", f"{CLIENT}/24")
        self.plug("hop", f"{self.name}h", f"{POSTFIX}/24", f"{DNS}/24")
        return self

    def plug(self, ns, dev, *addresses):
        self.ns.setdefault(ns, ns)
        self._veth(ns, dev, "bridge", f"{dev}p")
        labs.run("ip", "-n", self.ns["bridge"], "link", "set", f"{dev}p", "master", "br0")
        self.addr(ns, dev, *addresses)


class Node(labs.Lab):
    """One gateway: its port and its kernel's address are on the wire."""

    def __init__(self, wire, key):
        super().__init__(f"{wire.name}{key}", arena_mb=64)
        self.wire, self.key = wire, key
        self.slot = wire.slot
        self.ns = {"gw": f"{wire.name}{key}-gw{self.slot}", "bridge": wire.ns["bridge"]}

    def up(self):
        ns = self.ns["gw"]
        labs.run("ip", "netns", "del", ns, check=False)
        labs.run("ip", "netns", "add", ns)
        labs.run("ip", "-n", ns, "link", "set", "lo", "up")
        self.wire.plug(ns, f"{self.name}g0")
        self.sysctl("gw", f"net.ipv6.conf.{self.name}g0.disable_ipv6=1")
        self.wire.plug(ns, f"{self.name}g1", f"{EGRESS[self.key]}/24")
        return self

    def down_network(self):
        labs.run("ip", "netns", "del", self.ns["gw"], check=False)

    def start(self):
        hops = {**LISTEN, "postfix": POSTFIX, "mailbox": f"{POSTFIX}:{MAILBOX}"}
        routes = "".join(f'route "{d.split(".")[0]}" {{ domains = ["{d}"]; hosts = ["{hops[to[self.key]]}"]\n'
                         f'\tverify = {"callout" if d == "asked.example" else "none"} }}\n'
                         for d, to in ROUTES.items() if self.key in to)
        self.write_config(domains=(f"{self.key}.example.com",), extra=routes)
        text = self.conf.read_text()
        for old, new in (("mx.example.com", NAMES[self.key]), (f'"{labs.GATEWAY4}/24", "{labs.GATEWAY6}/64"',
                                                               f'"{LISTEN[self.key]}/24"'),
                         ('verify = "callout"', "verify = none")):
            assert old in text, old
            text = text.replace(old, new)
        self.conf.write_text(text)
        self.start_dataplane()
        self.start_control()

    def counts(self):
        return {c["name"]: c["value"] for c in self.stats()["control"]}


class Client(labs.Smtp):
    def __init__(self, wire):
        super().__init__(wire, LISTEN["a"])
        assert self.banner[0] == 220, self.banner
        assert self.cmd("EHLO client.example.org")[0] == 250

    def message(self, rcpts, mid):
        """The replies to the RCPTs, and that to the message or None."""
        assert self.cmd("MAIL FROM:<s@example.org>")[0] == 250
        got = [" ".join(self.cmd(f"RCPT TO:<{r}>")[1]) for r in rcpts]
        if not any(r.startswith("250") for r in got):
            self.cmd("RSET")
            return got, None
        assert self.cmd("DATA")[0] == 354
        return got, self.cmd(f"From: s@example.org\r\nMessage-ID: <{mid}@example.org>\r\n\r\nround\r\n.")[1][0]


def records(node, mid):
    """One of each message that the node had to do with, by its trace id."""
    return {r["trace_id"]: r for r in node.trace() if r.get("message_id") == f"<{mid}@example.org>"}


def sights(nodes, mid, total):
    """How often each node had the message at its end of headers, and what came of each."""
    labs.wait_for(f"{total} records of {mid}", lambda: sum(len(records(n, mid)) for n in nodes.values()) >= total)
    got = {k: sorted(r["outcome"] for r in records(n, mid).values()) for k, n in nodes.items()}
    assert sum(map(len, got.values())) == total, got
    return got


def gateways(nodes, client):
    """Two and three: it ends when it comes back to where it began, after as many hops as there are nodes."""
    for domain, n in (("two.example", 2), ("three.example", 3)):
        mid = domain.split(".")[0]
        rcpts = [f"x@{domain}", f"y@{domain}"]
        before = nodes["a"].counts()["loops"]
        rcpt, final = client.message(rcpts, mid)
        got = sights(nodes, mid, n + 1)
        print(f"{n} gateway(s) in a ring: seen {n + 1} times, {got}; the client: {final[:70]}")
        assert final.startswith("554 5.4.6"), final
        assert len(got["a"]) == 2 and all(len(got[k]) <= 1 for k in "bc"), got
        assert all(o == ["rejected"] * len(o) for o in got.values()), got
        assert nodes["a"].counts()["loops"] == before + 1


def itself(node):
    """That a gateway is its own next hop is refused in the file."""
    good = node.conf.read_text()
    bad = node.dir / "bad.conf"
    for hosts in (LISTEN["a"], NAMES["a"]):
        bad.write_text(good + f'route "self" {{ domains = ["self.example"]; hosts = ["{hosts}"] }}\n')
        r = node.in_ns("gw", labs.build_dir() / "control/cli/posternctl", "config", "check", bad, check=False)
        print(f"{hosts}: {r.stdout.strip().splitlines()[0].split('bad.conf')[-1]}")
        assert r.returncode != 0 and "in a loop" in r.stdout, r.stdout


def asked(nodes, client):
    """They ask each other at RCPT: the loop is named, and the sender keeps its mail."""
    rcpt, final = client.message(["x@asked.example"], "asked")
    print(f"asking each other: {rcpt[0][:90]}")
    assert rcpt[0].startswith("451 4.4.6") and final is None, rcpt
    assert nodes["a"].counts()["rcpt_loops"] == 1
    line = re.search(r"ALERT route asked: .*route to each other", nodes["a"].log("control"))
    assert line, nodes["a"].log("control")[-1000:]
    print(line.group(0))


def start_postfix(wire):
    """Sends all on to the first gateway, x@box.example to another mailbox."""
    return postfix.Postfix(wire, "hop", "hop", "hop.example.org", f"""relayhost = [{LISTEN["a"]}]
virtual_alias_domains = box.example
virtual_alias_maps = inline:{{ x@box.example=y@fwd.example }}
minimal_backoff_time = 1s
maximal_backoff_time = 1s
queue_run_delay = 1s
notify_classes =
""")


def through_postfix(nodes, client):
    """Who answers before it sends on has taken it: the fields alone decide, at the third sight."""
    _, final = client.message(["x@postfix.example"], "postfix")
    got = sights(nodes, "postfix", 3)
    print(f"gateway → Postfix → gateway: {got}")
    assert final.startswith("250"), final
    assert got["a"] == ["delivered", "delivered", "rejected"], got
    assert len([r for r in records(nodes["a"], "postfix").values() if "5.4.6" in str(r)]) == 1


def forward(wire, nodes, client):
    """A mailbox here forwards to another one here: our own Received is below, and the mail arrives, once."""
    _, final = client.message(["x@box.example"], "forward")
    assert final.startswith("250"), final
    got = sights(nodes, "forward", 2)
    assert got["a"] == ["delivered", "delivered"], got
    text, = (f.read_text() for f in wire.inbox())
    assert len(re.findall(rf"by {NAMES['a']} \(Postern\)", text)) == 2, text
    print("a forward between two mailboxes: delivered")


def main():
    labs.need_root()
    labs.DNS4 = DNS
    with Wire("psl") as wire:
        nodes = {k: Node(wire, k) for k in NAMES}
        hop = None
        try:
            wire.start_dns({"example.org": f'@ IN TXT "v=spf1 ip4:{CLIENT} -all"\n'})
            hop = start_postfix(wire)
            (wire.dir / "inbox").mkdir()
            wire.spawn("nexthop", "hop", [sys.executable, labs.ROOT / "tests/e2e/nexthop.py", "--listen",
                                          f"{POSTFIX}:{MAILBOX}", "--inbox", wire.dir / "inbox"])
            for n in nodes.values():
                n.up().start()
            for n in nodes.values():
                n.wait_ready()
            client = Client(wire)
            itself(nodes["a"])
            gateways(nodes, client)
            asked(nodes, client)
            through_postfix(nodes, client)
            forward(wire, nodes, client)
        except BaseException:
            for k, n in nodes.items():
                for part in ("dataplane", "control"):
                    print(f"---- {k} {part}\n{n.log(part)[-2000:]}", file=sys.stderr)
            raise
        finally:
            if hop:
                hop.stop()
            for n in nodes.values():
                n.close()
        for n in nodes.values():
            shutil.rmtree(n.dir, ignore_errors=True)


if __name__ == "__main__":
    main()
