#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""A whole Postfix → gateway over a link that loses, reorders and doubles → a whole Postfix. And 1,000
messages of smtp-source from 1 KB to 5 MB. Everything once, every body byte-identical.
"""
import hashlib
import os
import pwd
import random
import smtplib
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import lab as labs  # noqa: E402
import postfix  # noqa: E402

IMPAIR = ["--loss", "2", "--reorder", "2", "--duplicate", "2"]
OWN = 120
SOURCE = [(1000, 600), (10000, 300), (100000, 80), (1000000, 15), (5000000, 5)]  # size, messages


def mailbox(hop):
    return list((hop.dir / "mail/box/new").glob("*"))


def start_hop(lab):
    d = lab.dir / "hop/mail"
    d.mkdir(parents=True)
    user = pwd.getpwnam("nobody")
    os.chown(d, user.pw_uid, user.pw_gid)
    return postfix.Postfix(lab, "hop", "hop", "hop.example.com", f"""virtual_mailbox_domains = example.com
virtual_mailbox_base = {d}
virtual_mailbox_maps = static:box/
virtual_uid_maps = static:{user.pw_uid}
virtual_gid_maps = static:{user.pw_gid}
virtual_minimum_uid = 1
virtual_mailbox_limit = 0
mailbox_size_limit = 0""")


def own_messages(lab, rng):
    """Handed to the sending Postfix; Message-ID -> hash of the body with LF line ends."""
    sent = {}
    with labs.in_netns(lab.ns["client"]):
        c = smtplib.SMTP(labs.CLIENT4, 25, local_hostname="client.example.net", timeout=30)
        for i in range(OWN):
            size = 3_000_000 if i == 60 else rng.choice((300, 3000, 30000, 150000))
            lines = [rng.choice((b"", b".", b"..")) + rng.randbytes(30).hex().encode() for _ in range(size // 60)]
            body = b"\r\n".join([b".dot", *lines, b""])
            mid = f"<pf.{i}@example.net>"
            c.sendmail("a@example.net", ["b@example.com"],
                       f"From: a@example.net\r\nMessage-ID: {mid}\r\nSubject: {i}\r\n\r\n".encode() + body)
            sent[mid] = hashlib.sha256(body.replace(b"\r\n", b"\n")).hexdigest()
        c.quit()
    return sent


def main():
    labs.need_root()
    with labs.Lab("psp", impair=IMPAIR, arena_mb=128, seed=11) as lab:
        lab.start_dns({"example.net": f'@ IN TXT "v=spf1 ip4:{labs.CLIENT4} -all"\n'})
        hop = start_hop(lab)
        sender = postfix.Postfix(lab, "client", "sender", "mail.example.net", f"relayhost = [{labs.GATEWAY4}]")
        try:
            lab.write_config()
            lab.start_dataplane()
            lab.start_control()
            lab.wait_ready()
            sent = own_messages(lab, random.Random(9))
            labs.wait_for("the sender's queue is empty", sender.queue_empty, 90)
            labs.wait_for("all are in the mailbox", lambda: len(mailbox(hop)) >= len(sent), 30)
            time.sleep(2)  # a second copy would be here by then
            got = {}
            for f in mailbox(hop):
                head, body = f.read_bytes().split(b"\n\n", 1)
                mid = head.split(b"Message-ID: ", 1)[1].split(b"\n", 1)[0].decode()
                got.setdefault(mid, []).append(hashlib.sha256(body).hexdigest())
            for mid, digest in sent.items():
                assert got.get(mid) == [digest], f"{mid}: {got.get(mid)}"
            print(f"Postfix → gateway → Postfix: {len(sent)} messages, each once, bodies byte-identical")
            # This next hop offers CHUNKING: dots at line starts have passed unstuffed, and LAST was the end.
            sent_by = [r["bdat"] for r in lab.trace() if r["outcome"] == "delivered"]
            assert len(sent_by) == len(sent) and all(sent_by), sent_by
            control = {c["name"]: c["value"] for c in lab.stats()["control"]}
            assert control["nexthop_bdat"] == len(sent) and control["nexthop_in_doubt"] == 0, control
            print(f"all {len(sent)} left by BDAT")
            before, total = len(mailbox(hop)), 0
            for size, n in SOURCE:
                r = lab.in_ns("client", "smtp-source", "-s", min(20, n), "-m", n, "-l", size, "-f", "a@example.net",
                              "-t", "b@example.com", f"inet:{labs.GATEWAY4}:25", timeout=200, check=False)
                assert r.returncode == 0, r.stdout[-1000:]
                total += n
            labs.wait_for("all are in the mailbox", lambda: len(mailbox(hop)) - before >= total, 60)
            time.sleep(2)
            assert len(mailbox(hop)) - before == total
            print(f"smtp-source → gateway → Postfix: {total} messages of 1 KB to 5 MB, each once")
        finally:
            sender.stop()
            hop.stop()


if __name__ == "__main__":
    main()
