#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""A tap port beside a control process: mail between a client and a Postfix, as a hub shows it, is judged against the
true client and recorded with what Postfix said; an annotated copy goes to a journal; nothing is ever sent; with control
killed messages are counted, and the tap goes on.

    client 192.0.2.10 ──┐
    Postfix 192.0.2.26 ─┤ hub (a bridge that learns nothing)
    DPDK tap port ──────┘      gateway namespace ── journal's next hop, NSD
"""
import base64
import hashlib
import json
import os
import pathlib
import random
import signal
import socket
import struct
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import lab as labs  # noqa: E402
import postfix  # noqa: E402

SERVER = "192.0.2.26"
JOURNAL = "journal@example.org"
RULES = ("full     LOTTERY  /you have won the lottery/i\ndescribe LOTTERY A prize\nscore LOTTERY 6.5\n"
         "body     DEEP     /needle in a large message/i\ndescribe DEEP A needle\nscore DEEP 1\n")


class TapLab(labs.Lab):
    def __init__(self, *args, **kw):
        super().__init__(*args, **kw)
        self.ns["hub"] = f"{self.name}-hub"
        self.ns["mail"] = f"{self.name}-mail"

    def _veth(self, ns_a, a, ns_b, b):
        n = self.name
        if b != f"{n}g0":
            super()._veth(ns_a, a, ns_b, b)
            return
        # The kernel of its end must not speak there either.
        for ns in ("hub", "gw"):
            self.sysctl(ns, "net.ipv6.conf.default.disable_ipv6=1")
        labs.run("ip", "-n", self.ns["hub"], "link", "add", "hub0", "type", "bridge", "ageing_time", "0",
                 "mcast_snooping", "0")
        labs.run("ip", "-n", self.ns["hub"], "link", "set", "hub0", "up")
        for i, (ns, end) in enumerate((("client", f"{n}c0"), ("mail", f"{n}m0"), ("gw", f"{n}g0"))):
            super()._veth(ns, end, "hub", f"{n}b{i}")
            labs.run("ip", "-n", self.ns["hub"], "link", "set", f"{n}b{i}", "master", "hub0")
            labs.run("ip", "netns", "exec", self.ns["hub"], "bridge", "link", "set", "dev", f"{n}b{i}", "learning",
                     "off", "flood", "on")

    def sent_by_tap(self):
        """Frames that came out of the tap port, as its peer counts them."""
        out = labs.run("ip", "-n", self.ns["hub"], "-s", "-j", "link", "show", "dev", f"{self.name}b2").stdout
        stats = json.loads(out)[0]["stats64"]
        assert stats["tx"]["packets"] > 0, "the hub shows the tap nothing"
        return stats["rx"]["packets"]

    def configure(self, mailbox=""):
        (self.dir / "tap.cf").write_text(RULES)
        self.conf = self.dir / "postern.conf"
        self.conf.write_text(f'''hostname = "mx.example.com"
dataplane {{ socket = "{self.dir}/dataplane.sock" }}
tap {{
	ports = [25, 2525]
	journal-route = "journal"
	{mailbox}
}}
route "journal" {{ domains = ["example.org"]; hosts = ["{labs.NEXTHOP4}:25"]; verify = "none" }}
dns {{ forwarders = ["{labs.DNS4}"]; timeout = 5s }}
rules {{ files = ["{self.dir}/tap.cf"] }}
policy {{ allow-private-peer = true; reject-score = 6 }}
limits {{ max-message = 2m }}
trace {{ file = "{self.dir}/trace.jsonl" }}
api {{ socket = "{self.dir}/control.sock" }}
''')

    def outcome(self, subject, n=1, seconds=20):
        """The records of the message with this Message-ID."""
        mid = f"<{subject}@example.net>"
        return labs.wait_for(f"trace of {mid}", lambda: len(t := [
            r for r in self.trace() if r.get("message_id") == mid]) >= n and t, seconds)


def key(directory):
    """(dkimpy's private key, the record's p=)"""
    private = directory / "dkim.key"
    labs.run("openssl", "genrsa", "-traditional", "-out", private, "2048")
    der = subprocess.run(["openssl", "rsa", "-in", private, "-pubout", "-outform", "DER"], check=True,
                         stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
    return private, base64.b64encode(der).decode()


def signed(private, subject, body, broken=False):
    import dkim
    raw = (f"From: Alice <alice@example.net>\r\nTo: bob@example.com\r\nSubject: {subject}\r\n"
           f"Message-ID: <{subject}@example.net>\r\nDate: Mon, 02 Nov 2026 10:00:00 +0000\r\n\r\n").encode() + body
    header = dkim.sign(raw, b"s1", b"example.net", private.read_bytes(), include_headers=[b"from", b"to", b"subject"])
    return header + (raw.replace(b"Alice", b"Mallory") if broken else raw)


def send(lab, data, rcpts=("bob@example.com",), sender="alice@example.net", quit_=True):
    """Through Postfix; the final reply."""
    c = labs.Smtp(lab, SERVER)
    assert c.cmd("EHLO mail.example.net")[0] == 250
    assert c.cmd(f"MAIL FROM:<{sender}>")[0] == 250
    codes = [c.cmd(f"RCPT TO:<{r}>")[0] for r in rcpts]
    assert c.cmd("DATA")[0] == 354
    c.send(data.replace(b"\r\n.", b"\r\n..") + b".\r\n")
    reply = c.reply()
    if quit_:
        c.cmd("QUIT")
    c.close()
    return codes, reply


def judged_as_the_true_client(lab, private):
    data = signed(private, "plain", b"Greetings.\r\n.a dot\r\n")
    codes, reply = send(lab, data, ("bob@example.com", "no@example.com", "carol@example.com"))
    assert codes == [250, 554, 250] and reply[0] == 250, (codes, reply)
    records = lab.outcome("plain", 2)
    assert [r["rcpt"] for r in records] == ["bob@example.com", "carol@example.com"], "a refused recipient is told"
    for r in records:
        assert r["outcome"] == "observed" and r["mode"] == "tap" and r["complete"] is True, r
        assert r["origin"] == r["peer"] == labs.CLIENT4 and r["helo"] == "mail.example.net", r
        assert (r["server"], r["server_port"]) == (SERVER, 25), r
        assert r["server_reply"] == reply[1][-1], (r["server_reply"], reply)
        assert r["mail_from"] == "alice@example.net" and r["anomalies"] == [] and r["size"] == len(data), r
        assert r["judged"]["spf"]["result"] == "pass", r["judged"]["spf"]
        assert [d["result"] for d in r["judged"]["dkim"]] == ["pass"], r["judged"]["dkim"]
        assert r["judged"]["dmarc"]["result"] == "pass" and r["judged"]["action"] == "accept", r["judged"]
        assert "reply" not in r and "next_hop" not in r, "we answered nobody"
    send(lab, signed(private, "broken", b"Greetings.\r\n", broken=True))
    assert [d["result"] for d in lab.outcome("broken")[0]["judged"]["dkim"]] == ["fail"]
    print("judged: ok")


def scanned(lab, private):
    filler = b"".join(b"%06d the quick brown fox jumps over the lazy dog\r\n" % i for i in range(6000))
    send(lab, signed(private, "large", filler + b"a needle in a large message\r\n" + filler))
    r = lab.outcome("large")[0]
    assert [m["rule"] for m in r["judged"]["matches"]] == ["DEEP"] and r["complete"], r
    assert [d["result"] for d in r["judged"]["dkim"]] == ["pass"], r
    send(lab, signed(private, "prize", b"You have won the lottery!\r\n"))
    r = lab.outcome("prize")[0]
    # What policy would have done: it was delivered all the same.
    assert r["judged"]["action"] == "reject" and r["outcome"] == "observed", r
    assert r["server_reply"].startswith("250 "), r
    print("scanned: ok")


def main():
    with TapLab("tap", arena_mb=32) as lab:
        lab.addr("mail", f"{lab.name}m0", f"{SERVER}/24")
        private, public = key(lab.dir)
        lab.start_dns({"example.net": f'@ IN TXT "v=spf1 ip4:{labs.CLIENT4} -all"\n'
                       f's1._domainkey IN TXT "v=DKIM1; k=rsa; p={public[:200]}" "{public[200:]}"\n'
                       '_dmarc IN TXT "v=DMARC1; p=reject"\n'})
        postfix.Postfix(lab, "mail", "server", "server.example.com",
                        "default_transport = discard:\nrelay_transport = discard:\nlocal_transport = discard:\n"
                        "smtpd_recipient_restrictions = check_recipient_access inline:{no@example.com=REJECT}, "
                        "permit_mynetworks, reject")
        lab.start_sink()
        lab.configure()
        lab.start_dataplane(role="tap")
        lab.start_control()
        lab.wait_ready()
        judged_as_the_true_client(lab, private)
        scanned(lab, private)
        assert lab.sent_by_tap() == 0, "a tap port sent something"
    print("tap: ok")


if __name__ == "__main__":
    main()
