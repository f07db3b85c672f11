#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""Limits on sources: who guesses recipients is sent away and kept out, a good client beside it does not
notice; good standing lifts the limits on volume; observe mode, lists by address, forgiving; the table over a
reload and over the death of the dataplane."""
import json
import os
import re
import signal
import socket
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import lab as labs  # noqa: E402

GOOD, BAD, DENIED, SPARED, CROWD = (f"192.0.2.{n}" for n in (10, 11, 65, 66, 12))
UNKNOWN, SESSIONS = 5, 8
CONTACT = "see https://postmaster.example.net/"
POLICY = f'deny = ["192.0.2.64/26"]; allow = ["{SPARED}"]'


class From(labs.Smtp):
    def __init__(self, lab, source, address=labs.GATEWAY4):
        with labs.in_netns(lab.ns["client"]):
            self.sock = socket.create_connection((address, 25), 20, (source, 0))
        self.file = self.sock.makefile("rb")
        self.banner = self.reply()

    def envelope(self):
        assert self.cmd("EHLO client.example.net")[0] == 250
        assert self.cmd("MAIL FROM:<a@example.net>")[0] == 250
        return self

    def mail(self):
        for line, code in (("MAIL FROM:<a@example.net>", 250), ("RCPT TO:<b@example.com>", 250),
                           ("DATA", 354), ("From: a@example.net\r\n\r\nx\r\n.", 250)):
            got = self.cmd(line)
            assert got[0] == code, (line, got)


def limits(mode):
    return f'''sources {{ sessions = {SESSIONS}; unknown-recipients = {UNKNOWN}; half-life = 1h
unknown-recipients-mode = {mode} }}
texts {{ contact = "{CONTACT}" }}
'''


def banner(lab, source, address=labs.GATEWAY4):
    c = From(lab, source, address)
    c.close()
    return c.banner


def counter(lab, name):
    return next(c["value"] for c in lab.stats()["control"] if c["name"] == name)


def sources(lab, *address):
    return json.loads(lab.ctl("show", "sources", *address, "--json").stdout)


def guess(lab, source, address=labs.GATEWAY4):
    """Unknown recipients until somebody says 421: what each was answered."""
    c = From(lab, source, address).envelope()
    said = []
    for i in range(UNKNOWN + 3):
        said.append(c.cmd(f"RCPT TO:<unknown{i}@example.com>"))
        if said[-1][0] == 421:
            assert c.reply()[0] == 0, "421, and the connection stays"
            break
    c.close()
    return said


def guessing(lab):
    good = From(lab, GOOD)
    good.cmd("EHLO good.example.net")
    good.mail()
    for source, address, shown in ((BAD, labs.GATEWAY4, BAD), (labs.CLIENT6, labs.GATEWAY6, "2001:db8:1::/64")):
        said = guess(lab, source, address)
        assert [code for code, _ in said] == [550] * UNKNOWN + [421], said
        text = said[-1][1][0]
        assert text.startswith(f"421 4.7.0 Too many unknown recipients from {shown}, try again later "
                               f"(limit unknown-recipients); {CONTACT} id="), text
        good.mail()
        got = banner(lab, source, address)
        assert got[0] == 421 and "limit unknown-recipients" in got[1][0], got
        good.mail()
    # An address of the same /64 that was never seen is the same source.
    lab.addr("client", f"{lab.name}c0", "2001:db8:1::77/64")
    assert banner(lab, "2001:db8:1::77", labs.GATEWAY6)[0] == 421
    assert counter(lab, "source_unknown") == 5, lab.stats()
    assert f"source {BAD}: limit unknown-recipients enforced" in lab.log("control"), lab.log("control")
    # It is shown, and forgiven.
    worst = sources(lab)["worst"]
    assert {v["source"] for v in worst[:2]} == {BAD, "2001:db8:1::/64"}, worst
    one = sources(lab, BAD)["sources"]
    assert len(one) == 1 and one[0]["over"] == ["unknown-recipients"], one
    assert one[0]["hit"]["unknown-recipients"] == 2 and one[0]["sessions"] == 0, one
    assert "OVER unknown-recipients" in lab.ctl("show", "sources").stdout
    assert lab.ctl("sources", "forgive", "nonsense", check=False).returncode != 0
    assert "1 source(s) forgiven" in lab.ctl("sources", "forgive", BAD).stdout
    assert banner(lab, BAD)[0] == 220
    assert banner(lab, labs.CLIENT6, labs.GATEWAY6)[0] == 421
    good.mail()
    good.close()


def volume(lab):
    # In good standing by now (LIMIT_SOURCE_GOOD): as many as it likes.
    assert sources(lab, GOOD)["sources"][0]["good"], sources(lab, GOOD)
    many = [From(lab, GOOD) for _ in range(30)]
    assert all(c.banner[0] == 220 for c in many), [c.banner for c in many]
    crowd = [From(lab, CROWD) for _ in range(SESSIONS + 2)]
    assert [c.banner[0] for c in crowd] == [220] * SESSIONS + [421, 421], [c.banner for c in crowd]
    assert "limit sessions" in crowd[-1].banner[1][0], crowd[-1].banner
    assert sources(lab)["busiest"][0]["source"] == GOOD, sources(lab)["busiest"]
    crowd.pop(0).close()
    labs.wait_for("one session less", lambda: sources(lab, CROWD)["sources"][0]["sessions"] == SESSIONS - 1)
    assert banner(lab, CROWD)[0] == 220
    return many + crowd


def lists(lab):
    c = From(lab, DENIED)
    assert c.banner[0] == 554 and re.fullmatch(
        rf"554 Your address is refused by policy \(policy\.deny\); {re.escape(CONTACT)} id=[0-9A-Z]{{16}}", c.banner[1][0]), c.banner
    assert c.cmd("EHLO x.example.net")[0] == 503
    assert c.cmd("QUIT")[0] == 221
    c.close()
    assert counter(lab, "source_denied") == 1
    assert all(code == 550 for code, _ in guess(lab, SPARED))
    assert banner(lab, SPARED)[0] == 220
    assert sources(lab, SPARED) == {"schema": "postern.show-sources.1", "listed": "allow", "sources": []}, sources(lab, SPARED)


def observing(lab):
    lab.write_config(policy=POLICY, extra=limits("observe"))
    lab.ctl("config", "reload")
    # The table is the one of before, and what was enforced is observed now.
    assert sources(lab, labs.CLIENT6)["sources"][0]["over"] == ["unknown-recipients"]
    assert banner(lab, labs.CLIENT6, labs.GATEWAY6)[0] == 220
    before, refused = counter(lab, "source_unknown_observed"), counter(lab, "source_unknown")
    assert before == 1, before
    said = guess(lab, BAD)
    assert [code for code, _ in said] == [550] * (UNKNOWN + 3), said
    assert banner(lab, BAD)[0] == 220
    # The one too many, two more, and CONNECT.
    assert counter(lab, "source_unknown_observed") == before + 4
    assert counter(lab, "source_unknown") == refused
    assert "limit unknown-recipients observed" in lab.log("control"), lab.log("control")


def dataplane_dies(lab, held):
    assert sources(lab, GOOD)["sources"][0]["sessions"] == 30
    lab.stop("dataplane", signal.SIGKILL)
    labs.wait_for("control noticed", lambda: not lab.status().get("dataplane", {}).get("linked", True))
    assert sources(lab, GOOD)["sources"][0]["sessions"] == 0
    for c in held:
        c.close()
    lab.start_dataplane()
    lab.wait_ready()
    v = sources(lab, GOOD)["sources"][0]
    assert v["good"] and v["sessions"] == 0, v
    assert sources(lab, CROWD)["sources"][0]["sessions"] == 0
    assert banner(lab, CROWD)[0] == 220


def main():
    labs.need_root()
    with labs.Lab("pso", arena_mb=64) as lab:
        lab.addr("client", f"{lab.name}c0", *(f"{a}/24" for a in (BAD, DENIED, SPARED, CROWD)))
        lab.start_dns({"example.net": '@ IN TXT "v=spf1 ip4:192.0.2.0/24 -all"\n'})
        lab.start_sink("--rule", "rcpt:unknown=550 5.1.1 No such user")
        lab.write_config(policy=POLICY, extra=limits("enforce"))
        lab.start_dataplane()
        lab.start_control()
        lab.wait_ready()
        guessing(lab)
        held = volume(lab)
        lists(lab)
        observing(lab)
        dataplane_dies(lab, held)
        print({c["name"]: c["value"] for c in lab.stats()["control"] if c["name"].startswith("source_")})


if __name__ == "__main__":
    main()
