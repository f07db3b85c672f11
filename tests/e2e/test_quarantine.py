#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""What is held back: 250 with the copy on the disk, listed, shown, released byte for byte, deleted.

The disk is a small tmpfs, so that it can be full; control is killed between the 250 and the release.
"""
import json
import os
import signal
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import lab as labs  # noqa: E402

RULES = ("full HOLD_IT /held back by a word/i\ndescribe HOLD_IT A word that is held back\nscore HOLD_IT 1\n"
         "action HOLD_IT quarantine\n")
FORGED = "X-Postern-Score: -99\r\n"


def message(word, size=200):
    return (f"From: a@example.net\r\nSubject: {word}\r\n{FORGED}Message-ID: <{word}@example.net>\r\n\r\n"
            f"{word}\r\n..a line with a dot\r\n" + "x" * 70 + "\r\n" + ("y" * 76 + "\r\n") * (size // 78))


def send(lab, text, rcpts=("user@example.com",)):
    c = labs.Smtp(lab)
    assert c.cmd("EHLO client.example.net")[0] == 250
    assert c.cmd("MAIL FROM:<s@example.net>")[0] == 250
    for r in rcpts:
        assert c.cmd(f"RCPT TO:<{r}>")[0] == 250
    assert c.cmd("DATA")[0] == 354
    c.send(text + ".\r\n")
    reply = c.reply()
    c.cmd("QUIT")
    c.close()
    return reply


def quarantine(lab, *args, check=True):
    r = lab.ctl("--json", "quarantine", *args, check=check)
    return json.loads(r.stdout) if r.stdout.strip() else r


def held(lab):
    return quarantine(lab, "list")["messages"]


def envelope(path):
    lines = path.with_suffix(".env").read_text().splitlines()
    return [x[x.index("<") + 1:x.index(">")] for x in lines]


def hold_and_release(lab):
    text = message("held back by a word")
    code, lines = send(lab, text, ["user1@example.com", "user2@example.com", "user3@example.org"][:2])
    assert code == 250, lines
    assert not lab.inbox()
    m, = held(lab)
    assert m["id"] in lines[-1], lines
    assert m["reason"] == "rule HOLD_IT" and m["mail_from"] == "s@example.net", m
    assert [r["rcpt"] for r in m["rcpts"]] == ["user1@example.com", "user2@example.com"], m
    shown = quarantine(lab, "show", m["id"])
    assert FORGED.strip() in shown["content"], "the original as it came"
    assert "Received: from client.example.net" in shown["header_block"]

    # control dies; the message does not
    pid = lab.procs["control"].pid
    os.kill(pid, signal.SIGKILL)
    lab.stop("control")
    lab.start_control()
    lab.wait_ready()
    assert [x["id"] for x in held(lab)] == [m["id"]]

    r = quarantine(lab, "release", m["id"], "user2@example.com")
    assert r["ok"] and r["rcpts"][0]["rcpt"] == "user2@example.com", r
    path, = lab.inbox()
    assert envelope(path) == ["s@example.net", "user2@example.com"]
    original = text.replace("\r\n..", "\r\n.").replace(FORGED, "").encode()
    got = path.read_bytes()
    assert got.endswith(original), "the sender's octets, less the forged field"
    block = got[:-len(original)].decode()
    assert block == shown["header_block"], block
    assert [x["held"] for x in held(lab)[0]["rcpts"]] == [True, False]

    r = quarantine(lab, "release", m["id"])
    assert r["ok"] and [x["rcpt"] for x in r["rcpts"]] == ["user1@example.com"], r
    assert len(lab.inbox()) == 2 and not held(lab)
    outcomes = [t["outcome"] for t in lab.trace() if t.get("trace_id") == m["id"]]
    assert outcomes.count("quarantined") == 2 and outcomes.count("delivered") == 2, outcomes
    print("held, shown, killed, released by recipient: ok", flush=True)


def refused_release(lab):
    """What the next hop does not take stays."""
    before = len(lab.inbox())
    send(lab, message("held back by a word, two"), ["user@example.com", "later-nobody@example.com"])
    m, = held(lab)
    r = quarantine(lab, "release", m["id"], check=False)
    assert not r["ok"], r
    state = {x["rcpt"]: x for x in r["rcpts"]}
    assert not state["later-nobody@example.com"]["released"], r
    assert "5.1.1" in state["later-nobody@example.com"]["reply"], r
    assert state["user@example.com"]["released"], r
    assert [x["rcpt"] for x in held(lab)[0]["rcpts"] if x["held"]] == ["later-nobody@example.com"], held(lab)
    assert len(lab.inbox()) == before + 1
    quarantine(lab, "delete", m["id"])
    assert not held(lab)
    assert lab.ctl("quarantine", "show", m["id"], check=False).returncode != 0
    assert lab.ctl("quarantine", "release", "../../etc/passwd", check=False).returncode != 0
    print("refused at release: stays, the other has it; deleted: ok", flush=True)


def other_ways(lab):
    """Held by hosts for two domains, released when their route goes by MX: each domain to its own."""
    send(lab, message("held back by a word, three"), ["user@example.com", "user@example.org"])
    m, = held(lab)
    text = lab.conf.read_text()
    lab.conf.write_text(text.replace(f'hosts = ["{labs.NEXTHOP4}:25"]', "mx = true").replace(
        'verify = "none"', 'verify = "none"; tls = none'))
    assert "mx = true" in lab.conf.read_text()
    lab.ctl("config", "reload")
    before = set(lab.inbox())
    r = quarantine(lab, "release", m["id"])
    assert r["ok"], r
    new = sorted(envelope(p)[1:] for p in set(lab.inbox()) - before)
    assert new == [["user@example.com"], ["user@example.org"]], new
    lab.conf.write_text(text)
    lab.ctl("config", "reload")
    print("released by MX: each domain goes its own way: ok", flush=True)


def full(lab):
    """The disk is full: 452, and the next that fits is taken."""
    codes = []
    for i in range(12):
        codes.append(send(lab, message(f"held back by a word {i}", 400_000))[0])
    assert set(codes) == {250, 452}, codes
    assert codes.count(250) == len(held(lab)), codes
    for m in held(lab):
        quarantine(lab, "delete", m["id"])
    assert send(lab, message("held back by a word again"))[0] == 250
    assert send(lab, message("an ordinary one"))[0] == 250
    print(f"full disk: {codes.count(250)} taken, {codes.count(452)} times 452: ok", flush=True)


def main():
    labs.need_root()
    with labs.Lab("psu", arena_mb=64) as lab:
        disk = lab.dir / "disk"
        disk.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "none", disk], check=True)
        try:
            mx = f"@ IN MX 10 hop\nhop IN A {labs.NEXTHOP4}\n"
            lab.start_dns({"example.net": f'@ IN TXT "v=spf1 ip4:{labs.CLIENT4} -all"\n', "example.com": mx, "example.org": mx})
            lab.start_sink("--rule", "rcpt:<later-nobody=550 5.1.1 no such user here")
            (lab.dir / "demo.cf").write_text(RULES)
            lab.write_config(("example.com", "example.org"), verify="none", extra=f'quarantine {{ directory = "{disk}/q"; min-free = 100k }}')
            lab.start_dataplane()
            lab.start_control()
            lab.wait_ready()
            hold_and_release(lab)
            refused_release(lab)
            other_ways(lab)
            full(lab)
            c = {x["name"]: x["value"] for x in lab.stats()["control"]}
            assert c["quarantined"] > 3 and c["quarantine_failed"] > 0, c
        finally:
            lab.close()
            subprocess.run(["umount", "-l", disk], check=False)


if __name__ == "__main__":
    main()
