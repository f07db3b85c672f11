#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""Whose fault is a refusal? What speaks of the relay never becomes a 5xx to a client, and is told to the operator.

Real answers of a whole Postfix to a certificate that is missing or has run out, to an address in its
access table, to a relay that it does not know; a TLS server that breaks the handshake off; Exchange's
words from a scripted next hop. Each at RCPT, by callout, and at delivery. When it is put right mail goes
at once: nothing of it was remembered.
"""
import contextlib
import os
import pwd
import re
import smtplib
import socket
import ssl
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import interop  # noqa: E402
import lab as labs  # noqa: E402
import postfix  # noqa: E402
from test_tlsout import EC, certificate  # noqa: E402

CCERT, BANNED, NORELAY, LATER, TLS = 2601, 2602, 2603, 2604, 2605
SCRIPTED = labs.DNS4
# Exchange Online and those like it, by what the recipient's name stands for; at the stage where they say it.
WORDS = {
    "tenant": ("rcpt", "550 5.7.64 TenantAttribution; Relay Access Denied SMTP"),
    "partner": ("rcpt", "550 5.7.51 TenantInboundAttribution; There is a partner connector configured that matched the "
                        "message's recipient domain"),
    "ip606": ("rcpt", f"550 5.7.606 Access denied, banned sending IP [{labs.EGRESS4}]"),
    "ip649": ("rcpt", f"550 5.7.649 Access denied, banned sending IP [{labs.EGRESS4}]"),
    "ip511": ("rcpt", f"550 5.7.511 Access denied, banned sender[{labs.EGRESS4}]"),
    "dnsbl": ("rcpt", f"554 5.7.1 Service unavailable; Client host [{labs.EGRESS4}] blocked using dnsbl.example.org"),
    "starttls": ("rcpt", "530 5.7.0 Must issue a STARTTLS command first"),
    "noptr": ("dot", "550 5.7.25 The sending IP address doesn't have a PTR record"),
    "traffic": ("dot", "550 5.7.708 Service unavailable. Access denied, traffic not accepted from this IP"),
}
OTHERS = {  # these do speak of recipient or message
    "nobody": ("rcpt", "550 5.1.1 User unknown"),
    "denied": ("rcpt", "550 5.4.1 Recipient address rejected: Access denied"),
    "thesender": ("rcpt", "554 5.7.1 Service unavailable; Client host [192.0.2.10] blocked using dnsbl.example.org"),
    "spam": ("dot", f"550 5.7.1 [{labs.EGRESS4}] Our system has detected that this message is likely unsolicited mail"),
}


def expired(d, file, name):
    labs.run("openssl", "req", "-newkey", *EC, "-nodes", "-subj", f"/CN={name}", "-keyout", d / f"{file}.key",
             "-out", d / f"{file}.csr")
    labs.run("openssl", "x509", "-req", "-in", d / f"{file}.csr", "-CA", d / "ca.pem", "-CAkey", d / "ca.key",
             "-CAcreateserial", "-days", "-1", "-out", d / f"{file}.pem")


def start_hop(lab, pki):
    d = lab.dir / "hop/mail"
    d.mkdir(parents=True)
    user = pwd.getpwnam("nobody")
    os.chown(d, user.pw_uid, user.pw_gid)
    ports = {CCERT: "smtpd_tls_req_ccert=yes -o smtpd_tls_security_level=encrypt",
             BANNED: f"smtpd_client_restrictions=check_client_access,inline:{{{labs.EGRESS4}=REJECT}}",
             NORELAY: "mynetworks=127.0.0.0/8 -o smtpd_relay_restrictions=reject_unauth_destination",
             LATER: "mynetworks=127.0.0.0/8 -o smtpd_relay_restrictions=defer_unauth_destination"}
    services = [row for p, o in ports.items() for row in (f"{labs.NEXTHOP4}:{p} inet n - n - - smtpd", f"  -o {o}")]
    return postfix.Postfix(lab, "hop", "hop", "hop.example.com", f"""virtual_mailbox_domains = here.example
virtual_mailbox_base = {d}
virtual_mailbox_maps = static:box/
virtual_uid_maps = static:{user.pw_uid}
virtual_gid_maps = static:{user.pw_gid}
virtual_minimum_uid = 1
inet_interfaces = {labs.NEXTHOP4}
smtpd_tls_security_level = may
smtpd_tls_cert_file = {pki}/hop.pem
smtpd_tls_key_file = {pki}/hop.key
smtpd_tls_CAfile = {pki}/ca.pem
smtpd_recipient_restrictions = permit
""", services)


def start_tls_server(lab, pki):
    """Takes STARTTLS, and no handshake without a certificate that is good: as many appliances do."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pki / "hop.pem", pki / "hop.key")
    context.load_verify_locations(pki / "ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    with labs.in_netns(lab.ns["hop"]):
        server = socket.create_server((labs.NEXTHOP4, TLS), backlog=32)

    def session(conn):
        kept = conn.dup()  # a handshake that fails closes its socket
        conn.settimeout(10)
        kept.settimeout(10)
        try:
            f = conn.makefile("rb")
            conn.sendall(b"220 hop ESMTP\r\n")
            f.readline()
            conn.sendall(b"250-hop\r\n250 STARTTLS\r\n")
            f.readline()
            conn.sendall(b"220 go\r\n")
            context.wrap_socket(conn, server_side=True).recv(100)
        except OSError:  # the alert is out: the other side closes when it has read it, not we under it
            with contextlib.suppress(OSError):
                while kept.recv(4096):
                    pass
        finally:
            conn.close()
            kept.close()

    def serve():
        try:
            while True:
                conn, _ = server.accept()
                threading.Thread(target=session, args=(conn,), daemon=True).start()
        except OSError:
            pass
    threading.Thread(target=serve, daemon=True).start()
    return server


def start_scripted(lab, *rules):
    lab.stop("nexthop")
    (lab.dir / "inbox").mkdir(exist_ok=True)
    options = [x for r in rules for x in ("--rule", r)]
    lab.spawn("nexthop", "hop", [sys.executable, labs.ROOT / "tests/e2e/nexthop.py", "--listen", f"{SCRIPTED}:25",
                                 "--inbox", lab.dir / "inbox", *options])
    labs.wait_for("next hop listens", lambda: lab.in_ns("hop", "ss", "-Hltn", f"src {SCRIPTED}:25",
                                                        check=False).stdout.strip())


def send(lab, to, sender="a@example.net"):
    """The last reply: of RCPT, or to the message."""
    with labs.in_netns(lab.ns["client"]):
        c = smtplib.SMTP(labs.GATEWAY4, 25, local_hostname="client.example.net", timeout=60)
    c.ehlo()
    c.mail(sender)
    code, text = c.rcpt(to)
    if code == 250:
        code, text = c.data(f"From: {sender}\r\n\r\nbody\r\n")
    c.close()
    return f"{code} {text.decode()}"


def alerts(lab, route):
    return re.findall(rf"ALERT route {route}: (.*)", lab.log("control"))


def both(name, host, tls="tls = none"):
    """The same next hop, asked at RCPT and not."""
    return "".join(f'route "{n}" {{\n\tdomains = ["{n}.example"]\n\thosts = ["{host}"]\n\tverify = {v}\n\t{tls}\n}}\n'
                   for n, v in ((name, "none"), (f"{name}-asked", "callout")))


def refused(lab, route, word, *replies):
    """Deferred as ours to put right, at delivery and at RCPT, and told."""
    for r, reply in ((route, replies[0]), (f"{route}-asked", replies[-1])):
        got = send(lab, f"b@{r}.example")
        assert got.startswith(reply), f"{r}: {got}"
        line = labs.wait_for(f"an alert of {r}", lambda: alerts(lab, r), 5)
        print(f"{r:16} {got[:66]:68} {line[0][:110]}")
        assert any(word in x for x in line), line


def of_postfix(lab):
    refused(lab, "nocert", "No client certificate presented", "451 4.4.0")
    refused(lab, "expired", "Client certificate not trusted", "451 4.4.0")
    refused(lab, "banned", "Client host rejected: Access denied", "451 4.4.0")
    refused(lab, "norelay", "Relay access denied", "451 4.4.0")
    refused(lab, "later", "Relay access denied", "451 4.4.0")
    refused(lab, "handshake", "expired", "451 4.7.5", "451 4.4.3")  # a callout without an answer
    assert send(lab, "b@good.example").startswith("250")
    assert not alerts(lab, "good")


def words(lab):
    """Of a scripted next hop: by recipient at RCPT; those behind the content by sender, as its rules go."""
    everything = {**WORDS, **OTHERS}
    start_scripted(lab, *(f"{stage}:{'<' + n + '@'}={text}" for n, (stage, text) in everything.items()))
    replies = {}
    for n, (stage, text) in everything.items():
        for r in ("cloud", "cloud-asked"):
            mine = n in WORDS
            got = send(lab, f"{n}@{r}.example") if stage == "rcpt" else send(lab, f"b@{r}.example", f"{n}@example.net")
            print(f"{r:12} {n:10} {got[:90]}")
            want = "451 4.4.0" if mine else " ".join(text.split()[:2])
            assert got.startswith(want), f"{n}: {got}, not {want}"
            replies[(r, n)] = got
    assert any("refused this relay" in x for x in alerts(lab, "cloud")), lab.log("control")[-2000:]
    start_scripted(lab)
    for n, (stage, _) in WORDS.items():
        for r in ("cloud", "cloud-asked"):
            got = send(lab, f"{n}@{r}.example") if stage == "rcpt" else send(lab, f"b@{r}.example", f"{n}@example.net")
            assert got.startswith("250"), f"healed {n}: {got}"
    print(f"put right: all {len(WORDS)} go at once")


def main():
    labs.need_root()
    with labs.Lab("psw", arena_mb=64) as lab:
        pki = lab.dir / "pki"
        pki.mkdir()
        os.chmod(lab.dir, 0o755)
        interop.make_ca(pki)
        interop.make_certificate(pki, "hop", "hop.example.com", *EC)
        certificate(pki, "relay", ["relay.example.com"], "clientAuth")
        expired(pki, "old", "relay.example.com")
        lab.start_dns({"example.net": f'@ IN TXT "v=spf1 ip4:{labs.CLIENT4} -all"\n'})
        own = f'tls = encrypt\n\ttls-certificate = "{pki}/%s.pem"\n\ttls-key = "{pki}/%s.key"'
        at = f"{labs.NEXTHOP4}:"
        lab.write_config(domains=("office.example",), extra="".join((
            both("nocert", f"{at}{CCERT}", "tls = encrypt"), both("expired", f"{at}{CCERT}", own % ("old", "old")),
            both("good", f"{at}{CCERT}", own % ("relay", "relay")), both("banned", f"{at}{BANNED}"),
            both("norelay", f"{at}{NORELAY}"), both("later", f"{at}{LATER}"),
            both("handshake", f"{at}{TLS}", own % ("old", "old")), both("cloud", SCRIPTED))))
        hop = start_hop(lab, pki)
        server = start_tls_server(lab, pki)
        try:
            lab.start_dataplane()
            lab.start_control()
            lab.wait_ready()
            of_postfix(lab)
            words(lab)
            control = {c["name"]: c["value"] for c in lab.stats()["control"]}
            print({k: control[k] for k in ("nexthop_relay_fault", "rcpt_remembered", "breaker_opened")})
            assert control["breaker_opened"] == 0, control
        finally:
            server.close()
            hop.stop()


if __name__ == "__main__":
    main()
