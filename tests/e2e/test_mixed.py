#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""Many recipients of one message, from a whole Postfix that sends and retries as Postfix does.

Over three routes; a hundred of whom one is refused at RCPT; a list that is behind the times. It must
come to an end: every recipient who is there gets one copy, whoever is not is told of once, and the
time to the last delivery is printed. What a client hears at each step is looked at with a client of
our own first.
"""
import os
import pwd
import re
import smtplib
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import lab as labs  # noqa: E402
import postfix  # noqa: E402

PORTS = {"a": 2601, "b": 2602, "c": 2603, "asked": 2604, "listed": 2605}
BACKOFF = 2  # seconds between two tries of the sender; Postfix's own default is 300
GONE = ["gone1", "gone2", "gone3"]
MANY = 100


def start_hop(lab):
    d = lab.dir / "hop/mail"
    d.mkdir(parents=True)
    user = pwd.getpwnam("nobody")
    os.chown(d, user.pw_uid, user.pw_gid)
    unknown = lab.dir / "hop/unknown"
    unknown.write_text("/^gone/ 550 5.1.1 No such user\n")
    services = [f"{labs.NEXTHOP4}:{p} inet n - n - - smtpd" for p in PORTS.values()]
    return postfix.Postfix(lab, "hop", "hop", "hop.example.com", f"""virtual_mailbox_domains = static:all
virtual_mailbox_base = {d}
virtual_mailbox_maps = static:box/
virtual_uid_maps = static:{user.pw_uid}
virtual_gid_maps = static:{user.pw_gid}
virtual_minimum_uid = 1
inet_interfaces = {labs.NEXTHOP4}
smtpd_recipient_restrictions = check_recipient_access regexp:{unknown}, permit_mynetworks, reject
smtpd_reject_unlisted_recipient = no
smtpd_error_sleep_time = 0
""", services)


def start_sender(lab):
    """Its own users get the bounces."""
    d = lab.dir / "sender/mail"
    d.mkdir(parents=True)
    user = pwd.getpwnam("nobody")
    os.chown(d, user.pw_uid, user.pw_gid)
    return postfix.Postfix(lab, "client", "sender", "mail.example.net", f"""relayhost = [{labs.GATEWAY4}]
virtual_mailbox_domains = example.net
virtual_mailbox_base = {d}
virtual_mailbox_maps = static:box/
virtual_uid_maps = static:{user.pw_uid}
virtual_gid_maps = static:{user.pw_gid}
virtual_minimum_uid = 1
queue_run_delay = {BACKOFF}s
minimal_backoff_time = {BACKOFF}s
maximal_backoff_time = {BACKOFF}s
smtp_destination_recipient_limit = {MANY}
delay_warning_time = 0
notify_classes =
""")


def submit(lab, sender, rcpts, mid):
    with labs.in_netns(lab.ns["client"]):
        c = smtplib.SMTP(labs.CLIENT4, 25, local_hostname="submit.example.net", timeout=30)
    refused = c.sendmail(sender, rcpts, f"From: {sender}\r\nMessage-ID: <{mid}@example.net>\r\n\r\nto many\r\n")
    assert not refused, refused
    c.quit()


def copies(d, mid):
    """Recipient -> copies in this mailbox; each copy has one Delivered-To."""
    out = {}
    for f in (d / "mail/box/new").glob("*"):
        text = f.read_text()
        if f"\nMessage-ID: <{mid}@example.net>\n" in text:
            to = re.search(r"^Delivered-To: (\S+)$", text, re.M)[1]
            out[to] = out.get(to, 0) + 1
    return out


def bounced(sender, mid):
    """Whom the sender's Postfix gave up, and with which reply."""
    out = {}
    for f in (sender.dir / "mail/box/new").glob("*"):
        text = f.read_text()
        if f"Message-ID: <{mid}@example.net>" in text and "Content-Type: message/delivery-status" in text:
            for part in re.findall(r"Final-Recipient: rfc822; ?(\S+)\n(?:.*\n)*?Diagnostic-Code: smtp; (.*)", text):
                out.setdefault(part[0], []).append(part[1])
    return out


def transactions(lab, mid):
    """Of the gateway, in the order of their ends: [recipients, outcome]."""
    by_id = {}
    for r in lab.trace():
        if r.get("message_id") == f"<{mid}@example.net>" and "outcome" in r:
            t = by_id.setdefault(r["trace_id"], [0, r["outcome"]])
            t[0] += 1
    return list(by_id.values())


def converge(lab, hop, sender, rcpts, mid, refused=()):
    """All of them, once each, from one submission on; what is printed is the sender's view of it."""
    want = {r for r in rcpts if r not in refused}
    began = time.monotonic()
    submit(lab, "a@example.net", rcpts, mid)
    labs.wait_for(f"all copies of {mid}", lambda: set(copies(hop.dir, mid)) >= want, 60)
    took = time.monotonic() - began
    labs.wait_for("the sender's queue is empty", sender.queue_empty, 60)
    got = copies(hop.dir, mid)
    assert got == {r: 1 for r in want}, {r: n for r, n in got.items() if n != 1 or r not in want}
    told = bounced(sender, mid)
    assert set(told) == set(refused), (told, refused)
    assert all(len(x) == 1 and x[0].startswith("550 5.1.1") for x in told.values()), told
    t = transactions(lab, mid)
    print(f"{mid}: {len(rcpts)} recipients, {len(want)} delivered once, {len(told)} bounced once; last delivery after "
          f"{took:.1f} s with {BACKOFF} s between tries; transactions with content: {t}")
    return t


def three_routes(lab, hop, sender):
    """One transaction, one route: 452 4.5.3 to the others, never to the first; a try of the sender's a route."""
    rcpts = [f"u{i}@{d}.example" for i in range(4) for d in "abc"]
    c = labs.Smtp(lab)
    c.cmd("EHLO client.example.net")
    c.cmd("MAIL FROM:<raw@example.net>")
    replies = [c.cmd(f"RCPT TO:<{r}>")[1][0] for r in rcpts]
    for r, x in zip(rcpts, replies):
        assert x.startswith("250" if r.endswith("@a.example") else "452 4.5.3"), f"{r}: {x}"
    c.cmd("QUIT")
    c.close()
    t = converge(lab, hop, sender, rcpts, "routes")
    assert t == [[4, "delivered"]] * 3, t


def one_refused(lab, hop, sender):
    """The next hop is asked at RCPT: its 550 is that recipient's alone, and one transaction is all."""
    rcpts = [f"u{i}@asked.example" for i in range(MANY)]
    rcpts[57] = "gone@asked.example"
    t = converge(lab, hop, sender, rcpts, "asked", ["gone@asked.example"])
    assert t == [[MANY - 1, "delivered"]], t


def stale_list(lab, hop, sender):
    """Taken at RCPT, for the list says so; refused on the way out: 451 for all, and the retry hears whom."""
    here = [f"u{i}@listed.example" for i in range(3)]
    gone = ["gone9@listed.example"]

    def attempt():
        c = labs.Smtp(lab)
        c.cmd("EHLO client.example.net")
        c.cmd("MAIL FROM:<raw@example.net>")
        replies = [c.cmd(f"RCPT TO:<{r}>")[1][0] for r in here + gone]
        c.cmd("DATA")
        final = c.cmd("From: raw@example.net\r\nMessage-ID: <raw@example.net>\r\n\r\ntext\r\n.")[1][-1]
        c.cmd("QUIT")
        c.close()
        return replies, final

    replies, final = attempt()
    assert all(r.startswith("250") for r in replies) and final.startswith("451 4.3.0"), (replies, final)
    assert not copies(hop.dir, "raw")
    replies, final = attempt()
    assert [r[:9] for r in replies[:3]] == ["250 2.1.5"] * 3 and replies[3].startswith("550 5.1.1"), replies
    assert final.startswith("250"), final
    labs.wait_for("the copies", lambda: copies(hop.dir, "raw") == {r: 1 for r in here})
    print(f"a stale list: 451 4.3.0, then {replies[3][:40]} at that RCPT and {final[:9]} for the others")

    rcpts = [f"u{i}@listed.example" for i in range(MANY - len(GONE))]
    for i, g in enumerate(GONE):
        rcpts.insert(30 * i + 7, f"{g}@listed.example")
    t = converge(lab, hop, sender, rcpts, "listed", [f"{g}@listed.example" for g in GONE])
    assert t == [[MANY, "deferred"], [MANY - len(GONE), "delivered"]], t


def main():
    labs.need_root()
    with labs.Lab("psm", arena_mb=64) as lab:
        os.chmod(lab.dir, 0o755)
        lab.start_dns({"example.net": f'@ IN TXT "v=spf1 ip4:{labs.CLIENT4} -all"\n'})
        people = lab.dir / "people"
        people.write_text("@listed.example\n")
        verify = {"asked": "callout", "listed": f'list\n\trecipients = "{people}"'}
        lab.write_config(domains=("office.example",), extra="".join(
            f'route "{n}" {{\n\tdomains = ["{n}.example"]\n\thosts = ["{labs.NEXTHOP4}:{p}"]\n'
            f'\tverify = {verify.get(n, "none")}\n}}\n' for n, p in PORTS.items()))
        hop = start_hop(lab)
        sender = None
        try:
            sender = start_sender(lab)
            lab.start_dataplane()
            lab.start_control()
            lab.wait_ready()
            three_routes(lab, hop, sender)
            one_refused(lab, hop, sender)
            stale_list(lab, hop, sender)
        finally:
            if sender:
                sender.stop()
            hop.stop()


if __name__ == "__main__":
    main()
