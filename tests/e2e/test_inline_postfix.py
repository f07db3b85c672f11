#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""A whole Postfix behind a cable logs the client's own address: by the onward connection that has it
(IP_TRANSPARENT, its segments back through the exception port), by XCLIENT, and by a PROXY header. It
decides whom it relays for, who talks to it under its own name hears that name, with STARTTLS too, and a
server that is not listed is not touched. Control runs without root, with CAP_NET_RAW only where a
connection comes from the client's address.
"""
import os
import pwd
import re
import smtplib
import socket
import ssl
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import inline_lab  # noqa: E402
import lab as labs  # noqa: E402
import postfix  # noqa: E402
from inline_lab import OTHER4, SERVER4, SERVER6  # noqa: E402

NAME = "mail.example.com"
OURS4, OURS6 = "192.0.2.9", "2001:db8:1::9"  # of control, at the exception port
SYSLOG = f"cable-{os.getpid()}"
CAP_NET_RAW = 1 << 13
USER = pwd.getpwnam("nobody")

ROUTE = {  # beside to = dialled; the server's port; with its certificate
    "transparent": ('transparent = yes; transparent-interface = "exc0"', 25, True),
    "xclient": ("xclient = yes", 25, False),
    "proxy": ("proxy = v2", 2525, False),
}


class ExceptionLab(inline_lab.CableLab):
    """With an exception port: the kernel's exc0, at the servers' end of the cable."""

    def __init__(self, name):
        super().__init__(name)
        self.own = self.dir / "own"  # of control, which is not root

    def start(self):
        first, second = self.ports()
        self.start_dataplane(("--control-uid", USER.pw_uid, "--socket-gid", USER.pw_gid), first,
                             vdevs=(second, "net_tap2,iface=exc0"), roles=("0=inline:1", "2=exception:1"))
        # docs/inline.md: what a server sends to a client's address is taken for ours, by exc0 alone.
        self.addr("gw", "exc0", f"{OURS4}/24", f"{OURS6}/64")
        self.sysctl("gw", "net.ipv4.conf.exc0.arp_ignore=1")
        for family in ("-4", "-6"):
            self.in_ns("gw", "ip", family, "rule", "add", "iif", "exc0", "ipproto", "tcp", "sport", "25",
                       "lookup", "100")
            self.in_ns("gw", "ip", family, "route", "add", "local", "default", "dev", "lo", "table", "100")

    def certificate(self):
        self.pem, self.key = self.dir / "mail.pem", self.dir / "mail.key"
        labs.run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                 "-days", "2", "-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME}",
                 "-keyout", self.key, "-out", self.pem)

    def config(self, how):
        route, port, tls = ROUTE[how]
        secure = f'tls {{ certificate "mail" {{ chain = "{self.pem}"; key = "{self.key}" }} }}'
        self.conf = self.dir / "postern.conf"
        self.conf.write_text(f'''hostname = "gw.example.net"
dataplane {{ socket = "{self.dir}/dataplane.sock" }}
inline {{
	server "mail" {{
		addresses = ["{SERVER4}", "{SERVER6}"]
		port = {port}
		route = "{how}"
		hostname = "{NAME}"
		{"" if tls else "allow-clear = yes"}
	}}
}}
route "{how}" {{ to = dialled; {route} }}
{secure if tls else ""}
dns {{ forwarders = ["{labs.DNS4}"]; timeout = 5s }}
policy {{ allow-private-peer = true; allow = ["0.0.0.0/0", "::/0"] }}
limits {{ max-message = {self.arena_mb // 8}m }}
trace {{ file = "{self.own}/trace.jsonl" }}
in-doubt-file = "{self.own}/in-doubt"
state-directory = "{self.own}/state"
rules {{ cache = "{self.own}/rules" }}
api {{ socket = "{self.dir}/control.sock" }}
''')


def start_hop(lab):
    d = lab.dir / "hop/mail"
    d.mkdir(parents=True)
    os.chown(d, USER.pw_uid, USER.pw_gid)
    return postfix.Postfix(lab, "hop", "hop", NAME, f"""virtual_mailbox_domains = example.com
virtual_mailbox_base = {d}
virtual_mailbox_maps = inline:{{ user@example.com=box/ }}
virtual_uid_maps = static:{USER.pw_uid}
virtual_gid_maps = static:{USER.pw_gid}
virtual_minimum_uid = 1
inet_protocols = all
mynetworks = 127.0.0.1
smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination
smtpd_recipient_restrictions = permit_mynetworks, reject_unauth_destination
smtpd_authorized_xclient_hosts = {OURS4} [{OURS6}]
syslog_name = {SYSLOG}
""", ["2525 inet n - n - - smtpd", "  -o smtpd_upstream_proxy_protocol=haproxy"])


def clients(hop):
    """Who sent: (queue id, address), as Postfix has it."""
    with open(hop.maillog, encoding="utf-8", errors="replace") as f:
        return re.findall(rf" {SYSLOG}/smtpd\[\d+\]: (\w+): client=\S+\[([^\]]+)\]", f.read())


def connects(hop):
    with open(hop.maillog, encoding="utf-8", errors="replace") as f:
        return re.findall(rf" {SYSLOG}/smtpd\[\d+\]: connect from \S+\[([^\]]+)\]", f.read())


def warm(lab, hop):
    """Postfix begins its processes with the first session, and a callout waits five seconds (LIMIT_CALLOUT_S)."""
    for port, head in ((25, ""), (2525, f"PROXY TCP4 {SERVER4} {SERVER4} 1025 2525\r\n")):
        with labs.in_netns(lab.ns["hop"]):
            s = socket.create_connection((SERVER4, port), 60)
        f = s.makefile("rb")
        s.sendall(head.encode())
        assert labs.smtp_lines(f)[0] == 220
        for line in ("EHLO localhost", "MAIL FROM:<a@example.net>", "RCPT TO:<user@example.com>", "QUIT"):
            s.sendall(line.encode() + b"\r\n")
            code, lines = labs.smtp_lines(f)
            assert code in (250, 221), lines
        f.close()
        s.close()
    labs.wait_for("both are logged", lambda: len(connects(hop)) == 2)


def boxed(hop, mark):
    for p in (hop.dir / "mail/box/new").glob("*"):
        text = p.read_bytes()
        if mark.encode() in text:
            return text
    return None


def send(lab, to, mark, rcpt="user@example.com", port=25, tls=False):
    """Banner, EHLO's name; what RCPT or the message heard; the client's address."""
    with labs.in_netns(lab.ns["client"]):
        c = smtplib.SMTP(timeout=30, local_hostname="client.example.net")
        code, banner = c.connect(to, port)
    assert code == 220, banner
    me = c.sock.getsockname()[0]
    code, ehlo = c.ehlo()
    assert code == 250
    assert c.has_extn("starttls") == tls, ehlo
    if tls:
        c._host = NAME  # whose certificate it has to be
        assert c.starttls(context=ssl.create_default_context(cafile=lab.pem))[0] == 220
        assert c.ehlo()[0] == 250
    assert c.mail("a@example.net")[0] == 250
    said = c.rcpt(rcpt)
    if said[0] == 250:
        said = c.data(f"From: a@example.net\r\nSubject: {mark}\r\nMessage-ID: <{mark}@example.net>\r\n\r\nhello\r\n")
    c.quit()
    return banner.decode(), ehlo.decode().split()[0], said, me


def delivered(lab, hop, to, how):
    """Through the cable, in the server's name; the log has the client."""
    mark = f"{how}-{'v6' if ':' in to else 'v4'}"
    before = len(clients(hop))
    banner, name, said, me = send(lab, to, mark, port=ROUTE[how][1], tls=ROUTE[how][2])
    assert said[0] == 250, said
    assert banner.startswith(NAME) and name == NAME, (banner, name)
    assert "Postfix" not in banner, "Postfix spoke itself: the flow was not terminated"
    text = labs.wait_for("the mailbox has it", lambda: boxed(hop, mark), 20)
    by = re.search(rb"Received: from client\.example\.net [^\n]*\n\s+by " + NAME.encode() + rb" \(Postern\)", text)
    assert by, text.decode(errors="replace")
    assert b"\nX-Postern-" in text, text.decode(errors="replace")
    logged = labs.wait_for("Postfix logs the client", lambda: clients(hop)[before:], 20)
    assert {ip for _, ip in logged} == {me}, (logged, me)
    return me


def refused(lab, to, how):
    """The server's own words, and a 5xx: nobody relays by it, and no retry is asked for."""
    _, port, tls = ROUTE[how]
    said = send(lab, to, "relay", "user@elsewhere.example", port, tls)[2]
    assert said[0] == 554 and b"Relay access denied" in said[1], said
    said = send(lab, to, "nobody", "nobody@example.com", port, tls)[2]
    assert said[0] == 550 and b"5.1.1" in said[1], said


def run(lab, hop, how):
    lab.config(how)
    lab.start_control(["--user", USER.pw_name])
    lab.wait_ready()
    first = len(connects(hop))
    for to in (SERVER4, SERVER6):
        me = delivered(lab, hop, to, how)
        time.sleep(0.3)
        print(f"     {how}: to {to}, Postfix logs {me}", flush=True)
    # Postfix learns the client of a PROXY header before it logs.
    came = set(connects(hop)[first:])
    want = {OURS4, OURS6} if how == "xclient" else {labs.CLIENT4, labs.CLIENT6}
    assert came == want, (how, came, want)
    refused(lab, SERVER4, how)
    with open(f"/proc/{lab.procs['control'].pid}/status", encoding="utf-8") as f:
        status = f.read()
    assert re.search(r"^Uid:\s+(\d+)", status, re.M)[1] == str(USER.pw_uid), status
    caps = {int(v, 16) for v in re.findall(r"^Cap(?:Prm|Eff):\s*([0-9a-f]+)", status, re.M)}
    assert caps == {CAP_NET_RAW if how == "transparent" else 0}, status
    assert "ALERT" not in lab.log("control"), lab.log("control")
    told = [r for r in lab.trace() if r.get("outcome") == "delivered" and r.get("route") == how]
    assert len(told) == 2, told
    for r, to in zip(told, (SERVER4, SERVER6)):
        assert r["inline"] == {"server": "mail", "address": to, "port": ROUTE[how][1]}, r
    status = lab.ctl("show", "status").stdout
    starttls = "with" if ROUTE[how][2] else "WITHOUT"
    assert f"as {NAME}, {starttls} STARTTLS, route {how} ({how})" in status, status
    lab.stop("control")


def untouched(lab, hop):
    """The same Postfix at an address that is not listed."""
    before = len(clients(hop))
    banner, name, said, me = send(lab, OTHER4, "untouched")
    assert said[0] == 250 and "Postfix" in banner, (banner, said)
    text = labs.wait_for("the mailbox has it", lambda: boxed(hop, "untouched"), 20)
    assert b"Postern" not in text, text
    assert clients(hop)[before:][0][1] == me
    print("     a server that is not listed: its own banner, its own words", flush=True)


def main():
    with ExceptionLab("inpf") as lab:
        lab.start_dns({"example.net": f'@ IN TXT "v=spf1 ip4:{labs.CLIENT4} ip6:{labs.CLIENT6} -all"\n'})
        hop = start_hop(lab)
        lab.certificate()
        lab.own.mkdir()
        os.chown(lab.own, USER.pw_uid, USER.pw_gid)
        (lab.dir / "trace.jsonl").symlink_to(lab.own / "trace.jsonl")
        try:
            lab.start()
            warm(lab, hop)
            for how in ROUTE:
                run(lab, hop, how)
            untouched(lab, hop)
        finally:
            hop.stop()
    print("a Postfix behind a cable: transparent, XCLIENT, PROXY: ok", flush=True)


if __name__ == "__main__":
    main()
