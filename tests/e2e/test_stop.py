#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""SIGTERM to control while a message is with the next hop: it is seen to its end, and its client hears
250; what comes meanwhile is told 451. A second SIGTERM does not wait."""
import json
import os
import re
import signal
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import lab as labs  # noqa: E402


class Client(threading.Thread):
    def __init__(self, lab, sender):
        super().__init__()
        self.lab, self.sender, self.end = lab, sender, None

    def run(self):
        self.end = send(self.lab, self.sender)


def send(lab, sender):
    c = labs.Smtp(lab, timeout=60)
    c.cmd("EHLO client.example.net")
    code, text = c.cmd(f"MAIL FROM:<{sender}@example.net>")
    assert code == 250, text
    code, text = c.cmd("RCPT TO:<b@example.com>")
    if code == 250:
        assert c.cmd("DATA")[0] == 354
        c.send(f"From: a@example.net\r\nMessage-ID: <{sender}@example.net>\r\n\r\nx\r\n.\r\n")
        code, text = c.reply()
    c.close()
    return code, " ".join(text)


def copies(lab, sender):
    want = f"Message-ID: <{sender}@example.net>".encode()
    return sum(want in f.read_bytes() for f in lab.inbox())


def with_next_hop(lab, sender):
    """Runs until the next hop has the message and does not answer yet."""
    t = Client(lab, sender)
    t.start()
    labs.wait_for(f"{sender} at the next hop", lambda: copies(lab, sender) == 1)
    return t


def log_levels(lab):
    """What control says of a message, at each level; it says that its level changes, whatever that is."""
    def said_of(sender):
        before = len(lab.log("control"))
        assert send(lab, sender)[0] == 250
        return lab.log("control")[before:]
    assert lab.ctl("loglevel").stdout == "info\n"
    assert "message" not in said_of("info")
    assert lab.ctl("loglevel", "debug").stdout == "debug\n"
    before = len(lab.log("control"))
    said_of("debug")  # behind the reply
    labs.wait_for("its line", lambda: re.search(r"control: message [0-9A-Z]+: delivered, 1 recipient", lab.log("control")[before:]))
    assert json.loads(lab.ctl("--json", "loglevel", "error").stdout) == {"schema": "postern.loglevel.1", "level": "error", "before": "debug"}
    assert said_of("error") == ""
    r = lab.ctl("loglevel", "loud", check=False)
    assert r.returncode == 2 and "error, notice, info or debug" in r.stdout, r
    assert lab.ctl("loglevel", "info").stdout == "info\n"
    changes = re.findall(r"log level (\w+), was (\w+)", lab.log("control"))
    assert changes == [("debug", "info"), ("error", "debug"), ("info", "error")], changes
    print("log levels: ok")


def banner(lab):
    c = labs.Smtp(lab)
    c.close()
    return c.banner[0]


def drained(lab):
    """The dataplane is told, and stays so when control is another: whoever asks hears it."""
    def says(what):
        return json.loads(lab.ctl("--json", "top", "--once").stdout)["draining"] is what
    assert banner(lab) == 220 and says(False)
    lab.ctl("drain")
    labs.wait_for("draining", lambda: says(True))
    assert banner(lab) == 421
    lab.stop("control")
    lab.start_control()
    lab.wait_ready()
    assert banner(lab) == 421 and says(True)
    lab.ctl("undrain")
    labs.wait_for("not draining", lambda: says(False))
    assert banner(lab) == 220
    print("drain: 421, also behind a restart of control, until undrain")


def main():
    labs.need_root()
    with labs.Lab("pst7") as lab:
        lab.start_dns({"example.net": f'@ IN TXT "v=spf1 ip4:{labs.CLIENT4} -all"\n'})
        go = lab.dir / "go"
        lab.start_sink("--rule", f"dot:<slow=await {go}", "--rule", "dot:<stuck=hang")
        lab.write_config(verify="none")
        lab.start_dataplane()
        lab.start_control()
        lab.wait_ready()
        log_levels(lab)
        drained(lab)
        t = with_next_hop(lab, "slow")
        control = lab.procs["control"]
        os.kill(control.pid, signal.SIGTERM)
        code, text = send(lab, "late")
        assert code == 451, text
        assert control.poll() is None, "control did not wait"
        go.touch()
        t.join(60)
        assert t.end and t.end[0] == 250, t.end
        control.wait(60)
        assert copies(lab, "slow") == 1 and copies(lab, "late") == 0
        print("one SIGTERM: the message under way was acknowledged after it, a later one deferred")
        lab.start_control()
        lab.wait_ready()
        assert send(lab, "after")[0] == 250
        t = with_next_hop(lab, "stuck")
        control = lab.procs["control"]
        os.kill(control.pid, signal.SIGTERM)
        time.sleep(0.3)
        assert control.poll() is None, "control did not wait"
        os.kill(control.pid, signal.SIGTERM)
        control.wait(60)
        t.join(60)
        assert t.end and t.end[0] == 451, t.end
        print("two SIGTERMs: control ends at once, its client hears 451")


if __name__ == "__main__":
    main()
