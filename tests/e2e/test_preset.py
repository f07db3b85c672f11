#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""provider = exchange-online as the next hop sees it: a whole Postfix with a certificate of Microsoft's name.

Its log says how many messages came by each connection and that each was secured, its kernel how many
connections there were at once. Microsoft demands fewer than 200 messages and 20 minutes a connection; the age
is made short here, nothing else.
"""
import collections
import concurrent.futures
import os
import pwd
import re
import smtplib
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import interop  # noqa: E402
import lab as labs  # noqa: E402
import postfix  # noqa: E402

NAME = "example-com.mail.protection.outlook.com"
FEW, MANY, OLD = 2601, 2602, 2603
BULK, CLIENTS = 650, 40
ROUTES = {  # beside the preset; "few" so that a connection comes to its bound
    "few": (FEW, "max-connections = 3"),
    "many": (MANY, ""),
    "old": (OLD, "max-connections = 3\n\tconnection-age = 1"),
}


def start_hop(lab, pki):
    d = lab.dir / "hop/mail"
    d.mkdir(parents=True)
    user = pwd.getpwnam("nobody")
    os.chown(d, user.pw_uid, user.pw_gid)
    services = []
    for name, (port, _) in ROUTES.items():
        services += [f"{labs.NEXTHOP4}:{port} inet n - n - - smtpd", f"  -o syslog_name=preset-{name}"]
    return postfix.Postfix(lab, "hop", "hop", NAME, f"""virtual_mailbox_domains = static:all
virtual_mailbox_base = {d}
virtual_mailbox_maps = static:box/
virtual_uid_maps = static:{user.pw_uid}
virtual_gid_maps = static:{user.pw_gid}
virtual_minimum_uid = 1
inet_interfaces = {labs.NEXTHOP4}
smtpd_tls_security_level = may
smtpd_tls_cert_file = {pki}/hop.pem
smtpd_tls_key_file = {pki}/hop.key
smtpd_tls_loglevel = 1
""", services)


def log(hop, name):
    """(event, process, rest) of the service's lines, in its order."""
    with open(hop.maillog, encoding="utf-8", errors="replace") as f:
        for line in f:
            m = re.search(rf" preset-{name}/smtpd\[(\d+)\]: (connect|disconnect) from \S+ ?(.*)", line)
            if m:
                yield m[2], m[1], m[3]


class AtOnce(threading.Thread):
    """The most connections at once to a port of the next hop. Its processes log each for itself, and one that was closed may
    be logged as ended behind the begin of the next: the kernel knows."""

    def __init__(self, lab, port):
        super().__init__(daemon=True)
        self.lab, self.end, self.most, self.done = lab, f":{port:04X}", 0, threading.Event()

    def run(self):
        with labs.in_netns(self.lab.ns["hop"]):
            while not self.done.wait(0.02):
                with open("/proc/thread-self/net/tcp", encoding="ascii") as f:
                    rows = [line.split() for line in f]
                self.most = max(self.most, sum(r[1].endswith(self.end) and r[3] == "01" for r in rows))  # ESTABLISHED

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        self.join()


def connections(hop, name, total):
    """Counts of commands of each ended connection, when all messages are in the log."""
    def ended():
        out = [collections.Counter({k: int(v) for k, v in re.findall(r"(\w+)=(\d+)", rest)})
               for event, _, rest in log(hop, name) if event == "disconnect"]
        return out if sum(c["mail"] for c in out) >= total else None
    got = labs.wait_for(f"all connections of {name} are over", ended, 60, 0.5)
    assert sum(c["mail"] for c in got) == total, got
    assert all(c["starttls"] == 1 and c["ehlo"] == 2 and c["rset"] == 0 for c in got), got
    return got


def send(lab, name, n, pause=0.0):
    """n messages by one client."""
    with labs.in_netns(lab.ns["client"]):
        c = smtplib.SMTP(labs.GATEWAY4, 25, local_hostname="client.example.net", timeout=90)
    for i in range(n):
        c.sendmail("a@example.net", f"b@{name}.example", f"From: a@example.net\r\nSubject: {i}\r\n\r\nbody\r\n")
        time.sleep(pause)
    c.quit()


def together(lab, name, clients, each):
    with concurrent.futures.ThreadPoolExecutor(clients) as pool:
        for f in [pool.submit(send, lab, name, each) for _ in range(clients)]:
            f.result(120)


def main():
    labs.need_root()
    with labs.Lab("psx", arena_mb=96) as lab:
        pki = lab.dir / "pki"
        pki.mkdir()
        os.chmod(lab.dir, 0o755)
        interop.make_ca(pki)
        interop.make_certificate(pki, "hop", NAME, "ec", "-pkeyopt", "ec_paramgen_curve:P-256")
        lab.start_dns({"example.net": f'@ IN TXT "v=spf1 ip4:{labs.CLIENT4} -all"\n',
                       "mail.protection.outlook.com": f"example-com IN A {labs.NEXTHOP4}\n"})
        lab.write_config(domains=("office.example",), extra="".join(
            f'route "{n}" {{\n\tdomains = ["{n}.example"]\n\tprovider = exchange-online\n\thosts = ["{NAME}:{p}"]\n'
            f'\tverify = none\n\ttls-ca = "{pki}/ca.pem"\n\tidle-timeout = 2\n\t{more}\n}}\n'
            for n, (p, more) in ROUTES.items()))
        hop = start_hop(lab, pki)
        try:
            lab.start_dataplane()
            lab.start_control()
            lab.wait_ready()
            with AtOnce(lab, FEW) as few:
                together(lab, "few", 5, BULK // 5)
                got = connections(hop, "few", BULK)
            per = sorted((c["mail"] for c in got), reverse=True)
            print(f"{BULK} messages, at most 3 connections: {len(per)} connections with {per} messages, {few.most} at once")
            # With two connections for messages one of them at least has come to its bound.
            assert per[0] == 199 and 1 < few.most <= 3, (per, few.most)

            with AtOnce(lab, MANY) as many:
                together(lab, "many", CLIENTS, 5)
                got = connections(hop, "many", CLIENTS * 5)
            per = sorted((c["mail"] for c in got), reverse=True)
            print(f"{CLIENTS} clients at once, {CLIENTS * 5} messages: {len(per)} connections with {per} messages, "
                  f"{many.most} at once")
            assert 1 < many.most <= 20 and len(per) > 1, (per, many.most)

            send(lab, "old", 30, 0.1)
            got = connections(hop, "old", 30)
            per = [c["mail"] for c in got]
            print(f"connection-age = 1, 30 messages in 3 s and more: {len(per)} connections with {per} messages")
            assert len(per) > 1 and sum(per) == 30, per
            control = {c["name"]: c["value"] for c in lab.stats()["control"]}
            total = BULK + CLIENTS * 5 + 30
            assert control["delivered"] == total and control["nexthop_tls_untrusted"] == 0, control
            gone = [r for r in lab.trace() if r["outcome"] == "delivered"]
            assert len(gone) == total and all(r["next_hop_tls"]["verified"] == "name" for r in gone), len(gone)
        finally:
            hop.stop()


if __name__ == "__main__":
    main()
