#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""A route that seals, in the daemon: what the next hop gets verifies, what loops back goes on in the same
chain, a renewed key is taken by a reload, and a bad one leaves the old in force."""
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import lab as labs  # noqa: E402

try:
    import dkim
except ImportError:
    labs.skip("no dkimpy")

DOMAIN, SELECTOR = "seal.example.com", "s1"
NAME = f"{SELECTOR}._domainkey.{DOMAIN}"


def generate(lab, name):
    out = lab.ctl("--json", "keys", "generate", "--domain", DOMAIN, "--selector", SELECTOR, lab.dir / name)
    return json.loads(out.stdout)["record"]


def verify(data, record):
    return dkim.arc_verify(data, dnsfunc=lambda name, timeout=5: record.encode()
                           if name.decode().rstrip(".") == NAME else None)


def send(lab, text):
    n = len(lab.trace())
    c = labs.Smtp(lab)
    for line, code in (("EHLO mail.example.net", 250), ("MAIL FROM:<a@example.net>", 250),
                       ("RCPT TO:<b@example.com>", 250), ("DATA", 354), (text + "\r\n.", 250)):
        got = c.cmd(line)
        assert got[0] == code, (line, got)
    c.close()
    t = labs.wait_for("trace record", lambda: (t := lab.trace()) and len(t) == n + 1 and t[-1])
    return t["judged"]["arc"], lab.inbox()[-1].read_bytes()


def counted(lab, name):
    return next(c["value"] for c in lab.stats()["control"] if c["name"] == name)


def reload(lab, ok):
    done = lab.ctl("config", "reload", check=False)
    assert (done.returncode == 0) == ok, done
    return done.stdout


def main():
    labs.need_root()
    with labs.Lab("pse") as lab:
        lab.conf = lab.dir / "none"
        first, second = generate(lab, "key.pem"), generate(lab, "next.pem")
        strings = " ".join(f'"{first[i:i + 255]}"' for i in range(0, len(first), 255))
        lab.start_dns({"example.com": f"{SELECTOR}._domainkey.seal IN TXT {strings}\n"})
        lab.start_sink()
        lab.write_config(route_extra="arc-seal = always", extra=f'''arc {{ key "k" {{
	domain = "{DOMAIN}"; selector = "{SELECTOR}"; file = "{lab.dir}/key.pem" }} }}''')
        lab.start_dataplane()
        lab.start_control()
        lab.wait_ready()
        text = "From: a@example.net\r\nSubject: x\r\nMessage-ID: <1@example.net>\r\n\r\ntext"
        arc, got = send(lab, text)
        assert arc["sealed"] == {"domain": DOMAIN, "selector": SELECTOR, "instance": 1, "cv": "none"}, arc
        assert got.startswith(b"ARC-Seal: ") and verify(got, first)[0] == b"pass", (verify(got, first), got)
        # In again as it went out: the chain goes on, and only our set of the first time stays.
        arc, again = send(lab, got.decode().removesuffix("\r\n"))
        assert arc["result"] == "pass" and arc["sealed"]["instance"] == 2, arc
        assert verify(again, first)[0] == b"pass", verify(again, first)
        assert again.count(b"ARC-Authentication-Results: i=1; mx.example.com;") == 1, again
        assert again.count(b"X-Postern-Trace:") == 1, again
        # Renewed: nothing else of the file has changed.
        os.replace(lab.dir / "next.pem", lab.dir / "key.pem")
        reload(lab, True)
        _, got = send(lab, text)
        assert verify(got, second)[0] == b"pass" and verify(got, first)[0] != b"pass", got
        # A key that may not be used: the reload says so, and the old one goes on.
        os.chmod(lab.dir / "key.pem", 0o644)
        said = reload(lab, False)
        assert "arc.key.k.file" in said and "others may read" in said, said
        _, got = send(lab, text)
        assert verify(got, second)[0] == b"pass", got
        assert (counted(lab, "arc_sealed"), counted(lab, "arc_seal_failed")) == (4, 0), lab.stats()
        done = subprocess.run([labs.build_dir() / "control/cli/posternctl", "keys", "--config", lab.conf],
                              capture_output=True, text=True, check=False)
        assert done.returncode == 2 and "others may read" in done.stderr, done


if __name__ == "__main__":
    main()
