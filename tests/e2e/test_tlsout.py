#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""TLS to a whole Postfix, a route a policy: what it stored says how it was reached, the trace says why.

DANE stands on a zone that is signed here and served by NSD, MTA-STS on a web server beside the next
hop whose certificate the system's list of CAs, replaced for control alone, leads to. No policy that
fails ever gives a 5xx.
"""
import hashlib
import http.server
import os
import pwd
import re
import smtplib
import ssl
import subprocess
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import interop  # noqa: E402
import lab as labs  # noqa: E402
import postfix  # noqa: E402

ZONE = "example.org"        # signed
HOP = f"hop.{ZONE}"         # the name in the next hop's certificate
CLEAR = labs.DNS4           # a next hop without STARTTLS is here
STRICT = 2526               # wants a client certificate
EC = ("ec", "-pkeyopt", "ec_paramgen_curve:P-256")


def start_hop(lab, pki):
    d = lab.dir / "hop/mail"
    d.mkdir(parents=True)
    user = pwd.getpwnam("nobody")
    os.chown(d, user.pw_uid, user.pw_gid)
    strict = [f"{labs.NEXTHOP4}:{STRICT} inet n - n - - smtpd", "  -o smtpd_tls_security_level=encrypt",
              "  -o smtpd_tls_req_ccert=yes"]
    return postfix.Postfix(lab, "hop", "hop", HOP, f"""virtual_mailbox_domains = static:all
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
smtpd_tls_ask_ccert = yes
smtpd_tls_received_header = yes
smtpd_tls_session_cache_database =
""", strict)


def certificate(d, file, names, usage="serverAuth"):
    (d / f"{file}.ext").write_text("subjectAltName=" + ",".join(f"DNS:{n}" for n in names) +
                                   f"\nkeyUsage=digitalSignature\nextendedKeyUsage={usage}\n")
    labs.run("openssl", "req", "-newkey", *EC, "-nodes", "-subj", f"/CN={names[0]}", "-keyout", d / f"{file}.key",
             "-out", d / f"{file}.csr")
    labs.run("openssl", "x509", "-req", "-in", d / f"{file}.csr", "-CA", d / "ca.pem", "-CAkey", d / "ca.key",
             "-CAcreateserial", "-days", "30", "-extfile", d / f"{file}.ext", "-out", d / f"{file}.pem")


def spki_sha256(pem):
    der = subprocess.run(f"openssl x509 -in {pem} -noout -pubkey | openssl pkey -pubin -outform DER", shell=True,
                         check=True, stdout=subprocess.PIPE).stdout
    return hashlib.sha256(der).hexdigest()


def signed_zone(d, pki):
    """Path of the signed zone, of the anchor. One record's text is not what was signed."""
    hosts = {"hop": None, "dane": "hop", "wrong": "other", "bogus": "hop", "none": None}
    text = f"""$ORIGIN {ZONE}.
$TTL 60
@ IN SOA ns.{ZONE}. hostmaster.{ZONE}. 1 3600 600 86400 5
@ IN NS ns.{ZONE}.
ns IN A {labs.DNS4}
"""
    for host, cert in hosts.items():
        text += f"{host} IN A {labs.NEXTHOP4}\n"
        if cert:
            text += f"_25._tcp.{host} IN TLSA 3 1 1 {spki_sha256(pki / (cert + '.pem'))}\n"
    text += "alias IN CNAME dane\n"
    (d / "plain").write_text(text)
    key = labs.run("ldns-keygen", "-a", "ECDSAP256SHA256", "-k", ZONE, cwd=d).stdout.split()[-1]
    labs.run("ldns-signzone", "-o", ZONE, "-f", d / "signed", d / "plain", key, cwd=d)
    (d / "anchor.key").write_text((d / f"{key}.key").read_text())
    lines = (d / "signed").read_text().splitlines()
    for i, line in enumerate(lines):
        if re.match(r"_25\._tcp\.bogus\S*\s+\d+\s+IN\s+TLSA", line):
            lines[i] = line.rsplit("\t", 1)[0] + "\t3 1 1 " + "00" * 32 if "\t" in line else line
            break
    else:
        raise AssertionError("no TLSA record to spoil")
    (d / "signed").write_text("\n".join(lines) + "\n")
    for f in ("signed", "anchor.key"):
        os.chmod(d / f, 0o644)
    return d / "signed", d / "anchor.key"


class Policies(http.server.BaseHTTPRequestHandler):
    mode = {}

    def do_GET(self):
        domain = self.headers["Host"].removeprefix("mta-sts.")
        body = f"version: STSv1\r\nmode: enforce\r\nmx: {self.mode[domain]}\r\nmax_age: 86400\r\n".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


def start_web(lab, pki, modes):
    """modes: domain -> pattern of its mx."""
    Policies.mode = modes
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pki / "web.pem", pki / "web.key")
    with labs.in_netns(lab.ns["hop"]):
        server = http.server.ThreadingHTTPServer((labs.NEXTHOP4, 443), Policies)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


# route: (keys, how it must come out, what the trace says). Outcomes: tls, clear, a version of 451.
CASES = {
    "none": ("tls = none; hosts = [\"hop.example.org\"]", "clear", "no", ""),
    "may": ("hosts = [\"hop.example.org\"]", "tls", "no", ""),
    "mayclear": (f"hosts = [\"{CLEAR}\"]", "clear", "no", "not offered"),
    "encrypt": ("tls = encrypt; hosts = [\"198.51.100.10\"]", "tls", "no", ""),
    "stripped": (f"tls = encrypt; hosts = [\"{CLEAR}\"]", "451 4.7.4", "no", "not offered"),
    "verify": ("tls = verify; hosts = [\"hop.example.org\"]; tls-ca = \"@ca.pem\"", "tls", "name", ""),
    "system": ("tls = verify; hosts = [\"hop.example.org\"]", "tls", "name", ""),
    "othername": ("tls = verify; hosts = [\"none.example.org\"]", "451 4.7.5", "no", "hostname mismatch"),
    "named": ("tls = verify; hosts = [\"none.example.org\"]; tls-name = [\"hop.example.org\"]", "tls", "name", ""),
    "otherca": ("tls = verify; hosts = [\"hop.example.org\"]; tls-ca = \"@other-ca.pem\"", "451 4.7.5", "no",
                "certificate: "),
    "tls13": ("tls = encrypt; hosts = [\"hop.example.org\"]; tls-min-version = \"1.3\"", "tls", "no", ""),
    "client": (f"tls = verify; hosts = [\"hop.example.org:{STRICT}\"]; tls-certificate = \"@relay.pem\"\n"
               "tls-key = \"@relay.key\"", "tls", "name", ""),
    "nocert": (f"tls = verify; hosts = [\"hop.example.org:{STRICT}\"]", "451 4.4.0", "name", ""),
    "dane": ("tls = dane; hosts = [\"dane.example.org\"]", "tls", "dane", "1 of 1 TLSA records are usable"),
    "danealias": ("tls = dane; hosts = [\"alias.example.org\"]", "tls", "dane", "1 of 1 TLSA records are usable"),
    "danewrong": ("tls = dane; hosts = [\"wrong.example.org\"]", "451 4.7.5", "no", "certificate: "),
    "danebogus": ("tls = dane; hosts = [\"bogus.example.org\"]", "451 4.4.3", "no", "bogus"),
    "danenone": ("tls = dane; hosts = [\"none.example.org\"]", "tls", "no", "no TLSA records"),
    "daneonly": ("tls = dane-only; hosts = [\"none.example.org\"]", "451 4.7.5", "no", "no TLSA records"),
    "daneplain": ("tls = dane; hosts = [\"hop.plain.example\"]", "tls", "no", "addresses are not signed"),
    "sts": ("mx = true", "tls", "name", "mta-sts: enforce"),
    "stsname": ("mx = true", "451 4.7.5", "no", "hostname mismatch"),
    "stsmx": ("mx = true", "451 4.4.4", "no", "mta-sts: enforce, without hop.example.org"),
}
# Domains of the MTA-STS routes: host of the MX record, pattern of the policy.
STS = {"sts": ("hop.example.org", "*.example.org"), "stsname": ("none.example.org", "*.example.org"),
       "stsmx": ("hop.example.org", "mx.example.net")}


def routes(pki):
    out = ""
    for name, (keys, *_) in CASES.items():
        keys = keys.replace("@", f"{pki}/").replace("; ", "\n\t")
        out += f'route "{name}" {{\n\tdomains = ["{name}.example.com"]\n\tverify = none\n\t{keys}\n}}\n'
    return out


def start_dns(lab, zone):
    """An NSD of its own configuration: a signed zone is served as it was written."""
    text = ""
    for name, (host, _) in STS.items():
        text += (f"{name} IN MX 10 {host}.\n_mta-sts.{name} IN TXT \"v=STSv1; id=1;\"\n"
                 f"mta-sts.{name} IN A {labs.NEXTHOP4}\n")
    lab.start_dns({"example.com": text, "example.net": f'@ IN TXT "v=spf1 ip4:{labs.CLIENT4} -all"\n',
                   "plain.example": f"hop IN A {labs.NEXTHOP4}\n"})
    lab.stop("nsd")
    conf = lab.dir / "nsd/nsd.conf"
    conf.write_text(conf.read_text() + f'zone:\n  name: "{ZONE}"\n  zonefile: "{zone}"\n')
    lab.spawn("nsd", "hop", ["nsd", "-d", "-c", conf])
    labs.wait_for("NSD answers", lambda: "RRSIG" in lab.in_ns(
        "hop", "dig", "+time=1", "+tries=1", "+dnssec", f"@{labs.DNS4}", HOP, "A", check=False).stdout)


def start_control(lab, pki):
    """The system's CAs are ours, for control alone."""
    bundle = "/etc/ssl/certs/ca-certificates.crt"
    lab.spawn("control", "gw", ["unshare", "-m", "sh", "-c", f"mount --bind {pki}/ca.pem {bundle} && exec "
                                f"{labs.build_dir()}/control/postern-control --config {lab.conf}"])


def send(lab, name, n=0):
    """The reply to the message."""
    with labs.in_netns(lab.ns["client"]):
        c = smtplib.SMTP(labs.GATEWAY4, 25, local_hostname="client.example.net", timeout=60)
    c.ehlo()
    c.mail("a@example.net")
    code, text = c.rcpt(f"b@{name}.example.com")
    assert code == 250, f"{name}: {code} {text}"
    code, text = c.data(f"From: a@example.net\r\nMessage-ID: <{name}.{n}@example.net>\r\n\r\nbody\r\n")
    c.close()
    return f"{code} {text.decode()}"


def stored(lab, name):
    for f in (lab.dir / "hop/mail/box/new").glob("*"):
        text = f.read_text()
        if f"<{name}.0@example.net>" in text:
            return text
    return None


def check(lab, name):
    _, outcome, verified, why = CASES[name]
    reply = send(lab, name)
    record = labs.wait_for(f"the record of {name}", lambda: next(
        (r for r in lab.trace() if r["rcpt"] == f"b@{name}.example.com" and "outcome" in r), None))
    tls = record.get("next_hop_tls", {})
    print(f"{name:10} {reply[:60]:62} {tls}")
    assert not reply.startswith("5"), f"{name}: {reply}"
    assert tls.get("verified", "no") == verified, f"{name}: {tls}"
    assert why in tls.get("why", "") and (why or not tls.get("why")), f"{name}: {tls}"
    if outcome not in ("tls", "clear"):
        assert reply.startswith(outcome), f"{name}: {reply}"
        assert stored(lab, name) is None
        return
    assert reply.startswith("250"), f"{name}: {reply}"
    assert ("version" in tls) == (outcome == "tls"), f"{name}: {tls}"
    if name != "mayclear":
        text = labs.wait_for(f"{name} in the mailbox", lambda: stored(lab, name))
        head = text.split("X-Postern", 1)[0]
        assert ("using TLSv1.3 with cipher" in head) == (outcome == "tls"), head
        if name == "client":
            assert 'Client CN "relay.example.com"' in head and "verified OK" in head, head


def resumption(lab):
    """Connections of a route that has none idle any more take a session up, and stay verified."""
    control = {c["name"]: c["value"] for c in lab.stats()["control"]}
    assert control["nexthop_tls_injected"] == 0 and control["sts_fetched"] == 3, control
    for i in (1, 2):
        assert send(lab, "system", i).startswith("250")
    last = [r for r in lab.trace() if r["rcpt"] == "b@system.example.com"][-1]
    assert last["next_hop_tls"]["verified"] == "name", last
    after = {c["name"]: c["value"] for c in lab.stats()["control"]}
    assert after["nexthop_reused"] + after["nexthop_tls_resumed"] >= \
        control["nexthop_reused"] + control["nexthop_tls_resumed"] + 2, after
    print({k: v for k, v in after.items() if "tls" in k or "sts_" in k})


def alerts(lab):
    """What somebody has to mend is said, what is merely absent is not."""
    told = set(re.findall(r"ALERT route (\S+):", lab.log("control")))
    assert told >= {"stripped", "othername", "otherca", "nocert", "danewrong", "daneonly", "stsname", "stsmx"}, told
    assert not told & {"may", "mayclear", "danebogus", "danenone", "daneplain"}, told
    print(f"alerts: {sorted(told)}")


def main():
    labs.need_root()
    with labs.Lab("pso", arena_mb=64) as lab:
        pki = lab.dir / "pki"
        pki.mkdir()
        os.chmod(lab.dir, 0o755)
        interop.make_ca(pki)
        interop.make_ca(pki, "other-ca")
        certificate(pki, "hop", [HOP])
        certificate(pki, "other", [HOP])
        certificate(pki, "relay", ["relay.example.com"], "clientAuth")
        certificate(pki, "web", [f"mta-sts.{n}.example.com" for n in STS])
        (pki / "zone").mkdir()
        zone, anchor = signed_zone(pki / "zone", pki)
        start_dns(lab, zone)
        hop = start_hop(lab, pki)
        web = start_web(lab, pki, {f"{n}.example.com": p for n, (_, p) in STS.items()})
        (lab.dir / "inbox").mkdir()
        lab.spawn("nexthop", "hop", [sys.executable, labs.ROOT / "tests/e2e/nexthop.py", "--listen", f"{CLEAR}:25",
                                     "--inbox", lab.dir / "inbox"])
        try:
            lab.write_config(domains=("office.example.com",), extra=routes(pki))
            lab.conf.write_text(lab.conf.read_text().replace(
                "dns { ", f'dns {{ trust-anchor-file = "{anchor}"; '))
            lab.start_dataplane()
            start_control(lab, pki)
            lab.wait_ready()
            for name in CASES:
                check(lab, name)
            resumption(lab)
            alerts(lab)
        finally:
            web.shutdown()
            hop.stop()


if __name__ == "__main__":
    main()
