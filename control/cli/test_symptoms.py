#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""The seven symptoms of docs/troubleshooting.md: its commands over the messages of symptoms/ find the causes that it
names. argv[1] is the posternctl to run."""

import json
import os
import re
import subprocess
import sys
import tempfile

CTL = sys.argv[1]
HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "symptoms")
DOC = os.path.join(HERE, "..", "..", "..", "docs", "troubleshooting.md")
NOW = "1800000000"  # 2027-01-15: behind the signature of dkim.eml


def at(name):
    return os.path.join(HERE, name)


def run(*words, code=None, data=None):
    p = subprocess.run([CTL, *words], capture_output=True, timeout=60, check=False, input=data)
    assert code is None or p.returncode == code, (words, p.returncode, p.stdout, p.stderr)
    return p.stdout.decode("ascii")


class Lab:
    def __init__(self, where):
        self.conf = os.path.join(where, "postern.conf")
        key = os.path.join(where, "seal.pem")
        run("keys", "generate", "--domain", "example.net", "--selector", "seal", key, code=0)
        with open(at("postern.conf")) as f:
            text = f.read()
        with open(self.conf, "w") as f:
            f.write(text + 'route "sealed" { domains = ["sealed.example"]; provider = "exchange-online"; source-address = '
                    '"198.51.100.7"; hosts = ["sealed-example.mail.protection.outlook.com"]; arc-seal = "always"; '
                    'arc-keys = ["seal"] }\narc { key "seal" { domain = "example.net"; selector = "seal"; file = "%s" } }\n'
                    % key)

    def doctor(self, side, route, *files, more=(), code=1, data=None):
        r = json.loads(run("--json", "doctor", side, route, "--config", self.conf, *more, "--dns-zone", at("zone"), "--now",
                           NOW, "--verify", *files, code=code, data=data))
        assert r["schema"] == "doctor/1" and r["ok"] == (code == 0) and r["setup"] is None, r
        return r

    def found(self, name, want, side="exchange", route="office", more=(), data=None):
        """Codes of warnings and failures, in order; what the one that counts says."""
        r = self.doctor(side, route, at(name) if data is None else "-", more=more, code=1 if want else 0, data=data)
        message = r["messages"][0]
        bad = {c["code"]: c for c in message["checks"] if c["level"] != "ok"}
        assert list(bad) == want, (name, list(bad), want)
        assert all(c["advice"] or "follows from the sender" in c["text"] for c in bad.values() if c["level"] == "FAIL"), bad
        return bad


def symptoms(lab):
    # Nothing wrong: nothing found.
    lab.found("fine.eml", [])
    lab.found("gmail-fine.eml", [], "google", "school")
    # Flagged as false positive: our own rule, and the text on which it hit.
    bad = lab.found("false-positive.eml", ["junk-verdict", "our-verdict"])
    assert "tag; rules=PRIZE (score 6.00)" in bad["our-verdict"]["text"], bad
    assert "SFV:SKS" in bad["junk-verdict"]["advice"], bad
    r = json.loads(run("--json", "rules", "test", "--rules", at("rules.cf"), at("false-positive.eml"), code=0))
    hit = r["messages"][0]["hits"][0]
    assert hit["name"] == "PRIZE" and "you have won" in json.dumps(hit), hit
    # Junk.
    bad = lab.found("junk.eml", ["gateway-taken", "spf", "junk-verdict"])
    assert "(CIP) says 198.51.100.7" in bad["gateway-taken"]["text"] and "203.0.113.5" in bad["gateway-taken"]["text"], bad
    assert "SCL:5 CAT:SPM" in bad["junk-verdict"]["text"], bad
    # Phishing warnings: DMARC failed before it came here, and our seal is not trusted.
    bad = lab.found("phishing.eml", ["dkim", "sealer-untrusted", "compauth", "phishing-verdict"], route="sealed")
    assert "-ArcTrustedSealers" in bad["sealer-untrusted"]["advice"] and "oda=0" in bad["sealer-untrusted"]["text"], bad
    assert "reason=000" in bad["compauth"]["text"] and "CAT:SPOOF" in bad["phishing-verdict"]["text"], bad
    # Rules and allow-lists.
    bad = lab.found("rule-left-over.eml", ["filter-bypassed"])
    assert "SFV:SKN" in bad["filter-bypassed"]["text"] and "Get-TransportRule" in bad["filter-bypassed"]["advice"], bad
    lab.found("ip-allow-list.eml", ["ip-allow-list"])
    lab.found("pilot.eml", ["users-not-covered", "spf"])
    # SPF fails.
    bad = lab.found("spf.eml", ["hop-missing", "spf"])
    assert 'says 192.0.2.40, your relay "edge": the sender behind it is 203.0.113.5' in bad["hop-missing"]["text"], bad
    assert "Add 192.0.2.40 to EFSkipIPs" in bad["hop-missing"]["advice"], bad
    bad = lab.found("gmail.eml", ["gateway-taken", "spf"], "google", "school")
    assert "client-ip) says 198.51.100.7" in bad["gateway-taken"]["text"], bad
    # DKIM fails: doctor says that, explain says what was done.
    lab.found("dkim.eml", ["dkim"])
    r = json.loads(run("--json", "explain", "--dns-zone", at("zone"), "--now", NOW, "--gateway", "198.51.100.7",
                       at("dkim.eml"), code=1))
    f = {x["code"]: x for x in r["findings"]}
    assert list(f) == ["modified-upstream"] and r["dkim"][0]["broken_by"] == "body", r
    assert "Checked by the archive" in json.dumps(r["dkim"][0]["undo"]), r["dkim"]
    # Past the gateway.
    lab.found("bypass.eml", ["bypass"])
    lab.found("direct-send.eml", ["direct-send", "compauth"])


def intermittent(lab):
    """One of two egress addresses is not in the list over there."""
    lab.found("other-egress.eml", ["egress-unlisted", "gateway-taken", "spf"])
    both = ("--egress", "198.51.100.7", "--egress", "198.51.100.8")
    r = lab.doctor("exchange", "office", *(at(n) for n in ("fine.eml", "other-egress.eml", "dkim.eml")), more=both)
    assert [m["drifted"] for m in r["messages"]] == [False, True, False], r["messages"]
    assert [m["handed_over_by"] for m in r["messages"]] == ["198.51.100.7", "198.51.100.8", "198.51.100.7"]
    assert [c["code"] for c in r["checks"]] == ["intermittent"] and "198.51.100.8 (1 of 1)" in r["checks"][0]["text"], r
    # By one address now so, now so: it is another thing.
    r = lab.doctor("exchange", "office", at("fine.eml"), at("junk.eml"))
    assert "1 of 2" in r["checks"][0]["text"] and "trace shares" in r["checks"][0]["advice"], r
    # All alike: nothing hangs on anything.
    assert lab.doctor("exchange", "office", at("junk.eml"), at("junk.eml"))["checks"] == []


def forged(lab):
    """Copies of stamps and of our own fields, by whom the place gives away."""
    with open(at("fine.eml"), "rb") as f:
        fine = f.read()
    with open(at("junk.eml"), "rb") as f:
        junk = f.read()
    # A second stamp: none is read, and the address Exchange judged still says what is wrong.
    stamp = b"X-MS-Exchange-ExternalOriginalInternetSender: ip=[203.0.113.5];domain=mail.example.org\n"
    lab.found("", ["stamp-ambiguous", "gateway-taken", "spf", "junk-verdict"], data=junk.replace(b"From:", stamp * 2 + b"From:", 1))
    # One that contradicts the report.
    assert "stamp-ambiguous" in lab.found("", ["stamp-ambiguous", "spf", "junk-verdict"],
                                          data=junk.replace(b"From:", stamp + b"From:", 1))
    # Our record counts only between the front door's line and ours.
    record = b"X-Postern-Original-Sender: ip=192.0.2.99;\n"
    lab.found("", [], data=fine.replace(b"From:", record + b"From:", 1))
    lab.found("", ["no-record"], data=fine.replace(b"X-Postern-Original-Sender", b"X-Other", 1))
    lab.found("", ["no-line"], data=fine.replace(b"by gw.example.net (Postern)", b"by gw.example.net (Other)", 1))
    # The list over there covers the sender's own address, so that it believes the line that he wrote.
    wrote = b"Received: from bank.example (bank.example [192.0.2.99])\n\tby mail.example.org (Postfix) with ESMTP id 9;\n"
    wrote += b"\tThu, 26 Nov 2026 10:00:00 +0000\n"
    far = fine.replace(b"From:", wrote + b"From:", 1).replace(b"203.0.113.5]", b"192.0.2.99]", 3).replace(
        b"[192.0.2.99])\n\tby gw", b"[203.0.113.5])\n\tby gw").replace(b"CIP:203.0.113.5", b"CIP:192.0.2.99")
    lab.found("", ["skipped-too-far"], data=far)
    lab.found("", ["helo-differs"], data=fine.replace(b"\thelo=mail.example.org", b"\thelo=other.example.org", 1))
    lab.found("", ["taken-for-internal"], data=fine.replace(b"SFV:NSPM", b"SFV:SKI").replace(b"SCL:1;", b"SCL:-1;"))
    lab.found("", ["allowed-sender"], data=fine.replace(b"SFV:NSPM", b"SFV:SKA").replace(b"SCL:1;", b"SCL:-1;"))
    lab.found("", ["allowed-sender"], data=fine.replace(b"SFV:NSPM", b"SFV:SFE"))
    # Nobody's signature is no broken one.
    lab.found("", [], data=fine.replace(b"dkim=pass header.d=example.org header.s=s1", b"dkim=none").replace(b"dkim=pass", b"dkim=none"))
    lab.found("", ["no-results"], data=fine.replace(b"Results: gw.example.net;", b"Results: gw.example;"))
    lab.found("", ["sender-drift"], data=fine.replace(b"ip=203.0.113.5;\n", b"ip=203.0.113.9;\n", 1))
    # The sender's HELO says that it is a server of the cloud: the front door's line is still found.
    with open(at("bypass.eml"), "rb") as f:
        bypass = f.read()
    inside = b"AM9PR05MB0001.eurprd05.prod.outlook.com"
    lab.found("", ["bypass"], data=bypass.replace(b"from evil.example (203", b"from " + inside + b" (203", 1))
    # Without an address to know this gateway by, its name is all there is, and anybody can say that.
    with open(lab.conf) as f:
        text = f.read()
    with open(lab.conf, "w") as f:
        f.write(text.replace('source-address = "198.51.100.7"\n', ""))
    assert "anybody can say" in lab.found("fine.eml", ["way"])["way"]["text"]
    lab.found("fine.eml", [], more=("--egress", "198.51.100.0/24"))
    lab.found("bypass.eml", ["bypass"])
    with open(lab.conf, "w") as f:
        f.write(text)
    # No mailbox's message, and no message at all.
    for data in (b"From: a@example.org\n\nhi\n", b"", b"\x00\xff\n" * 50, b"Received: " * 3000):
        r = lab.doctor("exchange", "office", "-", code=3 if data[:1] == b"F" else 1, data=data)
        assert r["messages"][0]["checks"][-1]["code"] == "not-arrived", r
    # What a message brings cannot draw on a terminal or break the JSON.
    odd = fine.replace(b"SFV:NSPM", b"SFV:\x1b[2J\xff", 1).replace(b"SCL:1", b"SCL:-1", 1)
    assert "SFV:?[2J?" in lab.found("", ["filter-bypassed"], data=odd)["filter-bypassed"]["text"]


def pages():
    """Every page exists, and every message that it names does; every code that doctor says is explained."""
    with open(DOC) as f:
        doc = f.read()
    heads = re.findall(r"^## (\d)\. ", doc, re.M)
    assert heads == list("1234567"), heads
    named = set(re.findall(r"`([a-z-]+\.eml)`", doc))
    there = {n for n in os.listdir(HERE) if n.endswith(".eml")}
    assert named == there, named ^ there
    # What doctor can say is what its page explains, and nothing else.
    codes = set()
    for name in os.listdir(os.path.join(HERE, "..")):
        if re.fullmatch(r"(doctor|verify).*\.c", name):
            with open(os.path.join(HERE, "..", name)) as f:
                codes |= set(re.findall(r'findings_add\(\s*[^,]+,\s*"([a-z-]+)"', f.read()))
    assert len(codes) > 40, codes
    with open(os.path.join(os.path.dirname(DOC), "doctor.md")) as f:
        rows = " ".join(line.split("|")[1] for line in f if line.startswith("| `"))
    told = set(re.findall(r"`([a-z-]+)`", rows))
    assert told == codes, told ^ codes


def main():
    with tempfile.TemporaryDirectory() as d:
        lab = Lab(d)
        symptoms(lab)
        intermittent(lab)
        forged(lab)
    pages()


main()
