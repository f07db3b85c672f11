#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""STARTTLS of the gateway under everything that tlsprobe.py knows; then what must be left of it: the
messages that got their 250, each once and none of an attacker, and processes that live."""
import os
import re
import shutil
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import interop  # noqa: E402
import lab as labs  # noqa: E402
import tlsprobe  # noqa: E402


def by_nmap(lab):
    """A foreign list of versions and ciphers; it must not know of more than we do."""
    if not shutil.which("nmap"):
        print("nmap is not installed: its list of ciphers is left out")
        return
    out = lab.in_ns("client", "nmap", "-Pn", "-n", "-sT", "-p", "25", "--script", "ssl-enum-ciphers", labs.GATEWAY4,
                    timeout=120).stdout
    print(out)
    assert set(re.findall(r"^\|\s+(SSLv\d|TLSv[\d.]+):", out, re.M)) == {"TLSv1.2", "TLSv1.3"}, "versions"
    names = {"TLS_AKE_WITH" + x[3:]: x for x in interop.CIPHERS["TLSv1.3"]}  # nmap's names for 1.3
    found = {names.get(x, x) for x in re.findall(r"^\|\s+(TLS_\w+) \(", out, re.M)}
    assert found == interop.CIPHERS["TLSv1.2"] | interop.CIPHERS["TLSv1.3"], found
    assert re.search(r"least strength: A", out)


def main():
    labs.need_root()
    with labs.Lab("pst", arena_mb=64) as lab:
        lab.start_dns({"example.net": f'@ IN TXT "v=spf1 ip4:{labs.CLIENT4} -all"\n'})
        lab.start_sink()
        lab.write_config(extra=interop.certificates(lab.dir / "pki"))
        lab.start_dataplane()
        lab.start_control()
        lab.wait_ready()
        target = tlsprobe.Target(labs.GATEWAY4, netns=lab.ns["client"])
        if not tlsprobe.is_offered(target):
            labs.skip("STARTTLS is not announced")
        pids = {n: lab.procs[n].pid for n in ("dataplane", "control")}
        tlsprobe.run(target)
        by_nmap(lab)
        delivered = next(target.delivered)
        labs.wait_for("all messages", lambda: len(lab.inbox()) >= delivered, 10)
        assert len(lab.inbox()) == delivered, f"{len(lab.inbox())} messages, {delivered} replies"
        for f in lab.inbox():
            assert "evil@" not in f.with_suffix(".env").read_text(), f"{f.name} is an attacker's"
        for n in pids:
            assert lab.procs[n].poll() is None, f"{n} died"
        k = {name: v for name, v in lab.counters().items() if name.startswith("tls_") and v}
        print(k)
        for name in ("tls_handshakes", "tls_failed_version", "tls_failed_cipher", "tls_version_1_2", "tls_version_1_3"):
            assert k.get(name), f"{name} counted nothing"


if __name__ == "__main__":
    main()
