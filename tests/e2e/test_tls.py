#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""STARTTLS of the gateway under everything that tlsprobe.py knows; then what must be left of it: the
messages that got their 250, each once and none of an attacker, and processes that live."""
import os
import re
import shutil
import ssl
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


def under_tls(lab, session=None):
    """A client under TLS 1.2, whose session may be resumed: its ticket is in the handshake."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    if session:
        context = session.context
    c = labs.Smtp(lab)
    assert c.cmd("EHLO c.example.net")[0] == 250
    assert c.cmd("STARTTLS")[0] == 220
    c.sock = context.wrap_socket(c.sock, session=session and session.session)
    c.context = context
    c.session = c.sock.session
    c.file = c.sock.makefile("rb")
    assert c.cmd("EHLO c.example.net")[0] == 250
    return c


def renewal(lab):
    """Another certificate by a reload: who is there stays, who comes sees it, tickets are still good."""
    old = under_tls(lab)
    pki = lab.dir / "pki"
    for kind in ("ecdsa", "rsa"):
        interop.make_certificate(pki, kind, interop.NAME, *(
            ("ec", "-pkeyopt", "ec_paramgen_curve:P-256") if kind == "ecdsa" else ("rsa:2048",)))
    lab.ctl("config", "reload")
    new = under_tls(lab)
    assert new.sock.getpeercert(True) != old.sock.getpeercert(True), "the old certificate is still served"
    assert old.cmd("NOOP")[0] == 250
    before = lab.counters()["tls_resumed"]
    again = under_tls(lab, old)
    assert again.sock.session_reused and lab.counters()["tls_resumed"] == before + 1, "the ticket is not taken"
    # Broken ones: the reload fails, what is served stays.
    (pki / "rsa.pem").write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    r = lab.ctl("config", "reload", check=False)
    assert r.returncode != 0 and "rsa" in r.stdout, r.stdout
    assert under_tls(lab).sock.getpeercert(True) == new.sock.getpeercert(True)
    print("renewal: without a restart, sessions and tickets live on; a broken file changes nothing")


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
        renewal(lab)
        k = {name: v for name, v in lab.counters().items() if name.startswith("tls_") and v}
        print(k)
        for name in ("tls_handshakes", "tls_failed_version", "tls_failed_cipher", "tls_version_1_2", "tls_version_1_3"):
            assert k.get(name), f"{name} counted nothing"


if __name__ == "__main__":
    main()
