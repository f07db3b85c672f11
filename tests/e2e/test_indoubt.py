#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""The 250 that its client never heard (RFC 1047): its retry is answered and not delivered again. Everything
else is delivered as often as it is sent."""
import os
import signal
import socket
import struct
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import lab as labs  # noqa: E402


def message(n, body="hello"):
    return (f"From: a@example.net\r\nMessage-ID: <{n}@example.net>\r\nDate: Fri, 27 Nov 2026 12:00:00 +0000\r\n"
            f"\r\n{body}\r\n")


def begin(lab, rcpts=("user@example.com",), sender="s@example.net"):
    c = labs.Smtp(lab)
    assert c.cmd("EHLO client.example.net")[0] == 250
    assert c.cmd(f"MAIL FROM:<{sender}>")[0] == 250
    for r in rcpts:
        assert c.cmd(f"RCPT TO:<{r}>")[0] == 250
    assert c.cmd("DATA")[0] == 354
    return c


def send(lab, text, *args):
    c = begin(lab, *args)
    c.send(text + ".\r\n")
    code, lines = c.reply()
    c.cmd("QUIT")
    c.close()
    return code, lines[-1]


def reset(c):
    c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    c.close()


def control_counters(lab):
    return {x["name"]: x["value"] for x in lab.stats()["control"]}


def twice(lab):
    for _ in range(2):
        assert send(lab, message("twice"))[0] == 250
    assert len(lab.inbox()) == 2
    print("the same twice, both acknowledged: delivered twice: ok", flush=True)


def client_resets(lab):
    """It goes after its dot, while the next hop takes its time; the next hop's 250 comes late."""
    before = len(lab.inbox())
    c = begin(lab, ["slow@example.com"], "slow@example.net")
    c.send(message("reset") + ".\r\n")
    labs.wait_for("the next hop has it", lambda: len(lab.inbox()) == before + 1, 10)
    reset(c)
    labs.wait_for("in doubt", lambda: control_counters(lab)["indoubt_entries"] == 1, 10)
    code, line = send(lab, message("reset"), ["slow@example.com"], "slow@example.net")
    assert code == 250 and "before" in line, line
    assert len(lab.inbox()) == before + 1
    # that was heard: what comes now is a new one
    assert send(lab, message("reset"), ["slow@example.com"], "slow@example.net")[0] == 250
    assert len(lab.inbox()) == before + 2
    print("client reset after the dot: its retry is answered, once: ok", flush=True)


def others_are_not_answered(lab):
    """Another body, sender or recipient is another message."""
    before = len(lab.inbox())
    labs.wait_for("nothing is in doubt", lambda: control_counters(lab)["indoubt_entries"] == 0, 10)
    c = begin(lab, ["slow@example.com"], "slow@example.net")
    c.send(message("other") + ".\r\n")
    labs.wait_for("the next hop has it", lambda: len(lab.inbox()) == before + 1, 10)
    reset(c)
    labs.wait_for("in doubt", lambda: control_counters(lab)["indoubt_entries"] == 1, 10)
    for text, rcpts, sender in ((message("other", "changed"), ["slow@example.com"], "slow@example.net"),
                                (message("other"), ["slower@example.com"], "slow@example.net"),
                                (message("other"), ["slow@example.com"], "slow2@example.net"),
                                (message("other"), ["slow@example.com", "two@example.com"], "slow@example.net")):
        assert "before" not in send(lab, text, rcpts, sender)[1]
        before += 1
    assert len(lab.inbox()) == before + 1
    assert "before" in send(lab, message("other"), ["slow@example.com"], "slow@example.net")[1]
    print("other bodies, senders, recipients: delivered: ok", flush=True)


def policy_changed(lab):
    """Delivered, its 250 lost, and rules that would refuse it now: a bounce of what is in the mailbox would be a lie."""
    before = len(lab.inbox())
    rules = lab.dir / "demo.cf"
    text = rules.read_text()
    labs.wait_for("nothing is in doubt", lambda: control_counters(lab)["indoubt_entries"] == 0, 10)
    c = begin(lab, ["slow@example.com"], "slow@example.net")
    c.send(message("policy", "now forbidden") + ".\r\n")
    labs.wait_for("the next hop has it", lambda: len(lab.inbox()) == before + 1, 10)
    reset(c)
    labs.wait_for("in doubt", lambda: control_counters(lab)["indoubt_entries"] == 1, 10)
    rules.write_text(text + "full FORBIDDEN /now forbidden/\nscore FORBIDDEN 1\naction FORBIDDEN reject\n")
    lab.ctl("config", "reload")
    assert send(lab, message("policy2", "now forbidden"), ["slow@example.com"], "slow@example.net")[0] == 550
    code, line = send(lab, message("policy", "now forbidden"), ["slow@example.com"], "slow@example.net")
    assert code == 250 and "before" in line, line
    assert len(lab.inbox()) == before + 1
    rules.write_text(text)
    lab.ctl("config", "reload")
    print("a policy that changed meanwhile: the retry is answered: ok", flush=True)


def killed(lab, who):
    """The 250 is on its way and not acknowledged when a process dies: the client's link is down."""
    before = len(lab.inbox())
    c = begin(lab, ["slow@example.com"], "slow@example.net")
    c.send(message(f"killed-{who}") + ".\r\n")
    labs.wait_for("the next hop has it", lambda: len(lab.inbox()) == before + 1, 10)
    labs.run("ip", "netns", "exec", lab.ns["client"], "ip", "route", "add", "blackhole", f"{labs.GATEWAY4}/32")
    done = control_counters(lab)["delivered"]
    labs.wait_for("our 250 is out", lambda: control_counters(lab)["delivered"] > done, 10)
    os.kill(lab.procs[who].pid, signal.SIGKILL)
    lab.stop(who)
    if who == "control":
        lab.start_control()
    else:
        lab.start_dataplane()
    lab.wait_ready()
    labs.run("ip", "netns", "exec", lab.ns["client"], "ip", "route", "del", "blackhole", f"{labs.GATEWAY4}/32")
    c.close()
    code, line = send(lab, message(f"killed-{who}"), ["slow@example.com"], "slow@example.net")
    assert code == 250 and "before" in line, line
    assert len(lab.inbox()) == before + 1
    print(f"{who} killed before the acknowledgement: the retry is answered: ok", flush=True)


def main():
    labs.need_root()
    with labs.Lab("psb", arena_mb=64) as lab:
        lab.start_dns({"example.net": f'@ IN TXT "v=spf1 ip4:{labs.CLIENT4} -all"\n'})
        lab.start_sink("--rule", "dot:<slow=delay 1.5")
        lab.write_config()
        lab.start_dataplane()
        lab.start_control()
        lab.wait_ready()
        start = time.monotonic()
        twice(lab)
        client_resets(lab)
        others_are_not_answered(lab)
        policy_changed(lab)
        killed(lab, "control")
        killed(lab, "dataplane")
        print(f"{time.monotonic() - start:.1f} s", flush=True)


if __name__ == "__main__":
    main()
