#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""Routes before a whole Postfix: subdomains, MX records, XCLIENT, XFORWARD, PROXY, limits, the breaker.

What Postfix wrote into Received and into its log says as whom it took the client; what it stored is
what was sent.
"""
import json
import os
import pwd
import re
import signal
import smtplib
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import lab as labs  # noqa: E402
import postfix  # noqa: E402

PROXY, XFORWARD, FEW = 2526, 2527, 2528

ROUTES = {
    "mx": 'domains = ["m.example.com", ".below.example.com"]\n\tmx = true\n\tidle-timeout = 1',
    "one": f'domains = ["special.below.example.com"]\n\thosts = ["{labs.NEXTHOP4}"]\n\tverify = callout\n\txclient = true',
    "proxy": f'domains = ["proxy.example.com"]\n\thosts = ["{labs.NEXTHOP4}:{PROXY}"]\n\tverify = callout\n\tproxy = v2',
    "xforward": f'domains = ["xf.example.com"]\n\thosts = ["{labs.NEXTHOP4}:{XFORWARD}"]\n\tverify = none\n\txforward = true',
    "few": f'domains = ["few.example.com"]\n\thosts = ["{labs.NEXTHOP4}:{FEW}"]\n\tverify = none\n\tprovider = exchange-online\n'
           "\ttls = none\n\tmessages-per-connection = 3",
    "listed": f'domains = ["list.example.com"]\n\thosts = ["{labs.NEXTHOP4}"]\n\tverify = list\n\trecipients = "@list"',
}
ZONE = f"""m IN MX 10 hop.example.net.
m IN MX 20 us.example.net.
a.below IN MX 5 hop.example.net.
null.below IN MX 0 .
self.below IN MX 10 us.example.net.
self.below IN MX 20 hop.example.net.
implicit.below IN A {labs.NEXTHOP4}
"""


def start_hop(lab):
    d = lab.dir / "hop/mail"
    d.mkdir(parents=True)
    user = pwd.getpwnam("nobody")
    os.chown(d, user.pw_uid, user.pw_gid)
    unknown = lab.dir / "hop/unknown"
    unknown.write_text("/^gone@/ REJECT\n")
    services = [f"{labs.NEXTHOP4}:{PROXY} inet n - n - - smtpd", "  -o smtpd_upstream_proxy_protocol=haproxy",
                f"{labs.NEXTHOP4}:{XFORWARD} inet n - n - - smtpd", f"{labs.NEXTHOP4}:{FEW} inet n - n - - smtpd",
                "  -o syslog_name=few"]
    return postfix.Postfix(lab, "hop", "hop", "hop.example.net", f"""virtual_mailbox_domains = static:all
virtual_mailbox_base = {d}
virtual_mailbox_maps = static:box/
virtual_uid_maps = static:{user.pw_uid}
virtual_gid_maps = static:{user.pw_gid}
virtual_minimum_uid = 1
inet_interfaces = {labs.NEXTHOP4}
smtpd_authorized_xclient_hosts = {labs.EGRESS4}
smtpd_authorized_xforward_hosts = {labs.EGRESS4}
smtpd_recipient_restrictions = check_recipient_access regexp:{unknown}, permit_mynetworks, reject
smtpd_reject_unlisted_recipient = no
""", services)


def send(lab, to, mid, helo="client.example.net", fields=""):
    """RCPT reply, then that to the message, or None."""
    with labs.in_netns(lab.ns["client"]):
        c = smtplib.SMTP(labs.GATEWAY4, 25, local_hostname=helo, timeout=60)
    c.ehlo()
    c.mail("a@example.net")
    code, text = c.rcpt(to)
    rcpt = f"{code} {text.decode()}"
    if code != 250:
        c.close()
        return rcpt, None
    code, text = c.data(f"{fields}From: a@example.net\r\nMessage-ID: <{mid}@example.net>\r\n\r\nbody\r\n")
    c.quit()
    return rcpt, f"{code} {text.decode()}"


def stored(lab, mid):
    def look():
        for f in (lab.dir / "hop/mail/box/new").glob("*"):
            text = f.read_text()
            if f"<{mid}@example.net>" in text:
                return text
        return None
    return labs.wait_for(f"{mid} in the mailbox", look)


def first_received(text):
    """Postfix's own, unfolded."""
    return re.sub(r"\n\s+", " ", re.search(r"^Received: (?:.|\n[ \t])*", text, re.M).group(0))


def log_from(hop, mark):
    with open(hop.maillog, encoding="utf-8", errors="replace") as f:
        f.seek(mark)
        return f.read()


def mx(lab):
    for to, reply in (("b@m.example.com", None), ("b@a.below.example.com", None),
                      ("b@implicit.below.example.com", None), ("b@null.below.example.com", "556 5.1.10"),
                      ("b@self.below.example.com", "451 4.4.6"), ("b@nowhere.below.example.com", "451 4.4.4")):
        mid = to.replace("@", ".")
        rcpt, final = send(lab, to, mid)
        print(f"{to:36} {rcpt[:50]:52} {(final or '')[:40]}")
        if reply:
            assert rcpt.startswith(reply), rcpt
        else:
            assert final and final.startswith("250"), (rcpt, final)
            assert f"[{labs.EGRESS4}]" in first_received(stored(lab, mid))
    assert re.search(r"ALERT route mx: .*lead back here", lab.log("control"))


def identities(lab, hop):
    """Postfix names the client, not us."""
    _, final = send(lab, "b@special.below.example.com", "xclient", "helo.example.net")
    assert final and final.startswith("250"), final
    got = first_received(stored(lab, "xclient"))
    print(got)
    assert f"from helo.example.net (" in got and f"[{labs.CLIENT4}]" in got and labs.EGRESS4 not in got, got
    rcpt, final = send(lab, "b@proxy.example.com", "proxy")
    assert final and final.startswith("250"), (rcpt, final)
    got = first_received(stored(lab, "proxy"))
    print(got)
    assert f"[{labs.CLIENT4}]" in got and labs.EGRESS4 not in got, got
    mark = os.path.getsize(hop.maillog)
    _, final = send(lab, "b@xf.example.com", "xforward")
    assert final and final.startswith("250"), final
    assert labs.EGRESS4 in first_received(stored(lab, "xforward"))
    line = labs.wait_for("the log", lambda: re.search(rf"client=\S+, .*orig_client=\S*\[{labs.CLIENT4}\].*",
                                                      log_from(hop, mark)))
    print(line.group(0))


def limits(lab, hop):
    """Those of another route, which are idle, end when they like: this one's port has a name in the log."""
    for i in range(7):
        _, final = send(lab, "b@few.example.com", f"few{i}")
        assert final and final.startswith("250"), final
        stored(lab, f"few{i}")

    def ended():
        return re.findall(r" few/smtpd\[\d+\]: disconnect from \S+ ehlo=1 mail=(\d+)", log_from(hop, 0))
    labs.wait_for("connections end", lambda: len(ended()) >= 2)
    per = [int(n) for n in ended()]
    print(f"messages a connection: {per}")
    assert per[:2] == [3, 3], per


def lists(lab):
    assert send(lab, "Known@list.example.com", "list")[1].startswith("250")
    assert send(lab, "nobody@list.example.com", "no")[0].startswith("550 5.1.1")
    # The list is behind the times: the next hop is heard, and remembered.
    rcpt, final = send(lab, "gone@list.example.com", "gone")
    assert rcpt.startswith("250") and final.startswith("55"), (rcpt, final)
    assert send(lab, "gone@list.example.com", "gone2")[0].startswith("55")


def refuse(lab, hop, pattern):
    """Postfix reads its tables again when the sessions that it has are over."""
    (lab.dir / "hop/unknown").write_text(f"{pattern} REJECT\n")
    lab.in_ns("hop", "postfix", "-c", hop.dir / "etc", "reload", timeout=60)
    labs.wait_for("idle connections end", lambda: all(
        h["connections"] == 0 for h in lab.status()["hosts"] if h["route"] == "mx"))


def loops(lab):
    """Here twice: a loop. Once is a forward."""
    ours = ("Received: from a.example.org (unknown [203.0.113.7])\r\n\tby mx.example.com (Postern) with ESMTP id "
            "0123456789ABCDEF\r\n\tfor <x@example.com>; Fri, 27 Nov 2026 10:00:00 +0000\r\n")
    to = "known@list.example.com"
    assert send(lab, to, "forward", fields=ours)[1].startswith("250")
    final = send(lab, to, "twice", fields=ours * 2)[1]
    print(final)
    assert final.startswith("554 5.4.6"), final


def crash(lab):
    """kill -9 of control: its memory is gone, the state directory is not."""
    labs.wait_for("the breaker is on disk", lambda: '"open":true' in state_file(lab))
    lab.stop("control", signal.SIGKILL)
    lab.start_control()
    lab.wait_ready()


def state_file(lab):
    path = lab.dir / "state/breakers.json"
    return path.read_text() if path.exists() else ""


def damaged(lab):
    """Nobody knows which breakers were open: all are, and mail is deferred, not bounced."""
    lab.stop("control", signal.SIGKILL)
    path = lab.dir / "state/breakers.json"
    path.write_bytes(path.read_bytes()[:-3])
    lab.start_control()
    lab.wait_ready()
    assert "nobody knows which breakers were open, so all are" in lab.log("control")
    shown = json.loads(lab.ctl("breaker", "show", "--json").stdout)["breakers"]
    assert shown and all(b["open"] for b in shown), shown
    assert path.with_suffix(".json.bad").exists()
    assert next(c["value"] for c in lab.stats()["control"] if c["name"] == "state_damaged") == 1


def breaker(lab, hop):
    """All at once nobody is known: no client hears 5xx, until an operator says so."""
    people = [f"p{i}@m.example.com" for i in range(16)]
    for p in people:
        assert send(lab, p, p.replace("@", "."))[1].startswith("250")
    refuse(lab, hop, "/./")
    # The next hop took them within ten minutes and is not asked: they are refused at delivery.
    replies = [r[1] or r[0] for r in (send(lab, p, f"again.{p}".replace("@", ".")) for p in people)]
    print([r[:9] for r in replies])
    bounced = sum(r.startswith("5") for r in replies)
    assert bounced == 9 and all(r.startswith("451 4.4.0") for r in replies[9:]), replies
    shown = json.loads(lab.ctl("breaker", "show", "--json").stdout)["breakers"]
    state = next(b for b in shown if b["route"] == "mx")
    print(state)
    assert state["open"] and state["by"] == "known"
    print(lab.ctl("breaker", "show").stdout)
    assert re.search(r"ALERT route mx: .*breaker is open", lab.log("control"))
    # Those that were bounced hear 451 too, from memory.
    assert send(lab, people[0], "third")[0].startswith("451 4.4.0")
    crash(lab)
    assert "1 breaker(s) are open, as before the restart" in lab.log("control")
    after = next(b for b in json.loads(lab.ctl("breaker", "show", "--json").stdout)["breakers"] if b["route"] == "mx")
    assert after["open"] and after["by"] == "known" and after["opened"] == state["opened"], after
    assert send(lab, people[0], "fourth")[0].startswith("451 4.4.0")
    refuse(lab, hop, "/^gone@/")
    assert lab.ctl("breaker", "ack", "mx").returncode == 0
    assert lab.ctl("breaker", "ack", "mx", check=False).returncode != 0
    for i, p in enumerate(people):
        rcpt, final = send(lab, p, f"healed{i}")
        assert final and final.startswith("250"), (p, rcpt, final)


def main():
    labs.need_root()
    with labs.Lab("psu", arena_mb=64) as lab:
        os.chmod(lab.dir, 0o755)
        lab.start_dns({"example.com": ZONE, "example.net": f'@ IN TXT "v=spf1 ip4:{labs.CLIENT4} -all"\n'
                       f"hop IN A {labs.NEXTHOP4}\nus IN A {labs.GATEWAY4}\n"})
        hop = start_hop(lab)
        people = lab.dir / "people"
        people.write_text("# who is there\nknown@list.example.com\ngone@list.example.com\n")
        try:
            lab.write_config(domains=("office.example.com",), extra="".join(
                f'route "{n}" {{\n\t{k}\n}}\n' for n, k in ROUTES.items()).replace("@list\"", f"{people}\""))
            lab.start_dataplane()
            lab.start_control()
            lab.wait_ready()
            mx(lab)
            identities(lab, hop)
            limits(lab, hop)
            lists(lab)
            loops(lab)
            breaker(lab, hop)
            damaged(lab)
        finally:
            hop.stop()


if __name__ == "__main__":
    main()
