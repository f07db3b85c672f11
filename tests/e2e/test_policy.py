#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""Policy over the wire: lists that let in and keep out, the greylist and its retry, the quarantine
mailbox, what is discarded, limits of a route. Every refusal is looked up in trace by the id it names.
"""
import os
import re
import signal
import socket
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import lab as labs  # noqa: E402

RULES = ("full HOLD_IT /held back by a word/i\ndescribe HOLD_IT A word\nscore HOLD_IT 1\naction HOLD_IT quarantine\n"
         "full DROP_IT /to be dropped/i\ndescribe DROP_IT A word\nscore DROP_IT 1\naction DROP_IT discard\n"
         "full HEAVY /weighs a lot/i\ndescribe HEAVY A word\nscore HEAVY 20\n")


def message(word, extra="", mid=None):
    mid = mid or re.sub(r"\W", "-", word)
    return (f"From: a@example.net\r\nSubject: {word}\r\n{extra}Message-ID: <{mid}@example.net>\r\n\r\n"
            f"{word}\r\n..a line with a dot\r\n" + "x" * 70 + "\r\n")


class Client(labs.Smtp):
    def begin(self, sender):
        assert self.cmd("EHLO client.example.net")[0] == 250
        return self.cmd(f"MAIL FROM:<{sender}>")


def reply_id(lines):
    return re.search(r"id=([0-9A-Z]{16})", lines[-1]).group(1)


def refused_id(lines):
    m = re.search(r" id=([0-9A-Z]{16})$", lines[-1])
    assert m, lines
    return m.group(1)


def records(lab, lines, n):
    """The n records of a message that was taken; they are written behind the reply."""
    ident = reply_id(lines)
    return labs.wait_for(f"trace of {ident}", lambda: len(t := [
        x for x in lab.trace() if x.get("trace_id") == ident]) == n and t)


def recorded(lab, lines, outcome, **more):
    """The refusal names an id, and trace knows it."""
    ident = refused_id(lines)
    r = labs.wait_for(f"trace of {ident}", lambda: next(
        (t for t in lab.trace() if t.get("trace_id") == ident), None))
    assert r["outcome"] == outcome, r
    for k, v in more.items():
        assert r[k] == v, (k, r)
    return r


def rcpt(lab, sender="s@example.net", to="user@example.com"):
    c = Client(lab)
    assert c.begin(sender)[0] == 250
    reply = c.cmd(f"RCPT TO:<{to}>")
    c.cmd("QUIT")
    c.close()
    return reply


def send(lab, text, sender="s@example.net", to=("user@example.com",)):
    """The reply to the message, or to the first recipient that is refused."""
    c = Client(lab)
    try:
        assert c.begin(sender)[0] == 250
        for r in to:
            reply = c.cmd(f"RCPT TO:<{r}>")
            if reply[0] != 250:
                return reply
        assert c.cmd("DATA")[0] == 354
        c.send(text + ".\r\n")
        return c.reply()
    finally:
        c.cmd("QUIT")
        c.close()


def configure(lab, policy, route="", extra=""):
    lab.write_config(("example.com", "example.org"), verify="none", route_extra=route, extra=extra, policy=policy)
    if "control" in lab.procs:
        lab.ctl("config", "reload")
    else:
        lab.start_control()
        lab.wait_ready()


def counters(lab):
    return {x["name"]: x["value"] for x in lab.stats()["control"]}


def new_mail(lab, before):
    return [p for p in lab.inbox() if p not in before]


def envelope(path):
    lines = path.with_suffix(".env").read_text().splitlines()
    return [x[x.index("<") + 1:x.index(">")] for x in lines]


def deny(lab):
    # by address: at CONNECT, for nobody here would have it
    configure(lab, f'deny-origins = ["{labs.CLIENT4}"]')
    c = Client(lab)
    code, lines = c.banner
    assert code == 554 and "deny-origins" in lines[0], lines
    recorded(lab, lines, "rejected", stage="connect", origin=labs.CLIENT4)
    assert c.cmd("EHLO x.example")[0] == 503
    c.close()
    # a file beside the configuration, and a reload that fails keeps the old one
    f = lab.dir / "senders"
    f.write_text("# bad ones\nbad@example.net\n@spam.example\n")
    configure(lab, f'deny-senders = "{f}"')
    code, lines = rcpt(lab, "Bad@example.net")
    assert code == 550 and "5.7.1" in lines[0] and "deny-senders" in lines[0], lines
    recorded(lab, lines, "rejected", stage="rcpt", mail_from="Bad@example.net", rcpt="user@example.com")
    assert rcpt(lab, "x@spam.example")[0] == 550
    assert rcpt(lab, "good@example.net")[0] == 250
    f.write_text("bad@example.net\nno address\n")
    r = lab.ctl("config", "reload", check=False)
    assert r.returncode != 0 and f"{f}:2" in lab.log("control"), r.stdout
    assert rcpt(lab, "x@spam.example")[0] == 550, "the old list stays"
    # by authenticated domain, behind the content: example.net lists the client (SPF)
    configure(lab, 'deny-domains = ["example.net"]; deny-action = defer')
    code, lines = send(lab, message("authenticated"))
    assert code == 451 and "4.7.1" in lines[-1] and "Mail of example.net" in lines[-1], lines
    r = recorded(lab, lines, "deferred")
    assert r["judged"]["access"] == {"result": "denied", "list": "deny-domains", "what": "example.net",
                                     "by": "spf", "skips": []}, r["judged"]["access"]
    assert r["judged"]["cause"] == "deny", r["judged"]
    # who is not authenticated is not that domain
    assert send(lab, message("not authenticated"), "s@nospf.example")[0] == 250
    # a dry run tells and does nothing
    configure(lab, f'deny-origins = ["{labs.CLIENT4}"]; dry-run = true')
    before = lab.inbox()
    code, lines = send(lab, message("dry run"))
    assert code == 250, lines
    got, = new_mail(lab, before)
    assert b"would=reject" in got.read_bytes()
    print("deny: address, sender file, authenticated domain, dry run: ok", flush=True)


def allow(lab):
    text = message("it weighs a lot")
    base = "reject-score = 10"
    configure(lab, base)
    code, lines = send(lab, text)
    assert code == 550, lines
    recorded(lab, lines, "rejected")
    configure(lab, base + f'; allow-origins = ["{labs.CLIENT4}"]')
    code, lines = send(lab, text)
    assert code == 250, lines
    t = records(lab, lines, 1)[0]["judged"]
    assert t["access"]["list"] == "allow-origins" and t["score"] == 20 and t["action"] == "accept", t
    configure(lab, base + f'; allow-origins = ["{labs.CLIENT4}"]; allow-skips = ["dnsbl"]')
    assert send(lab, text)[0] == 550, "what is not named is not taken away"
    configure(lab, base + '; allow-domains = ["example.net"]')
    assert send(lab, text)[0] == 250
    code, lines = send(lab, text, "s@nospf.example")
    assert code == 550, "MAIL FROM alone lets nobody in"
    configure(lab, base, route='policy { allow-domains = ["example.net"] }')
    assert send(lab, text)[0] == 250
    configure(lab, "defer-score = 10")
    code, lines = send(lab, text)
    assert code == 451, lines
    recorded(lab, lines, "deferred")
    print("allow: origin, authenticated domain, of a route, only what is named: ok", flush=True)


def greylist(lab):
    configure(lab, "greylist = true; greylist-delay = 2s; greylist-window = 10min", extra=f'greylist-file = "{lab.dir}/greylist"\n')
    before = lab.inbox()
    text = message("greylisted")
    code, lines = send(lab, text, "s@nospf.example")
    assert code == 451 and "4.7.1" in lines[0] and "try again in 2 s" in lines[0], lines
    recorded(lab, lines, "deferred", stage="rcpt", mail_from="s@nospf.example")
    assert send(lab, text, "s@nospf.example")[0] == 451, "too early"
    # an unknown recipient hears that, not a deferral
    assert rcpt(lab, "s@nospf.example", "user@elsewhere.example")[0] == 550
    # control dies; the table does not
    pid = lab.procs["control"].pid
    os.kill(pid, signal.SIGKILL)
    lab.stop("control")
    time.sleep(2.5)
    lab.start_control()
    lab.wait_ready()
    assert send(lab, text, "s@nospf.example")[0] == 250, "the retry"
    assert len(new_mail(lab, before)) == 1
    # known from now on, with another sender and recipient too
    assert send(lab, message("known"), "t@nospf.example", ("other@example.com",))[0] == 250
    c = counters(lab)
    assert c["greylist_passed"] == 1 and c["greylist_known"] == 1, c
    assert len(new_mail(lab, before)) == 2
    # another route, another policy
    configure(lab, "greylist = true", route="policy { greylist = false }", extra=f'greylist-file = "{lab.dir}/greylist"\n')
    assert rcpt(lab, "new@other.example")[0] == 250
    print("greylist: deferred, early, killed, retried, known, off for a route: ok", flush=True)


def greylist_spf(lab):
    """By the domain that SPF passes for: the retry may come from elsewhere."""
    os.unlink(lab.dir / "greylist")
    lab.stop("control")
    configure(lab, "greylist = true; greylist-delay = 2s", extra=f'greylist-file = "{lab.dir}/greylist"\n')
    assert rcpt(lab, "s@example.net")[0] == 451
    time.sleep(2.5)
    with labs.in_netns(lab.ns["client"]):
        s = socket.create_connection((labs.GATEWAY6, 25), 30)
    f = s.makefile("rb")
    assert labs.smtp_lines(f)[0] == 220
    for line, want in (("EHLO c.example.net", 250), ("MAIL FROM:<s@example.net>", 250), ("RCPT TO:<user@example.com>", 250),
                       ("QUIT", 221)):
        s.sendall(line.encode() + b"\r\n")
        code, lines = labs.smtp_lines(f)
        assert code == want, lines
    f.close()
    s.close()
    print("greylist: a retry by IPv6 of the same SPF domain: ok", flush=True)


def mailbox(lab):
    configure(lab, 'quarantine-mailbox = "spam@example.org"')
    before = lab.inbox()
    text = message("held back by a word", "X-Postern-Envelope-To: <forged@example.com>\r\n")
    to = ["one@example.com", "two@example.com"]
    code, lines = send(lab, text, to=to)
    assert code == 250, lines
    got, = new_mail(lab, before)
    assert envelope(got) == ["", "spam@example.org"], envelope(got)
    data = got.read_bytes()
    original = text.replace("\r\n..", "\r\n.").replace("X-Postern-Envelope-To: <forged@example.com>\r\n", "").encode()
    assert data.endswith(original), "the sender's octets, less the forged field"
    block = data[:-len(original)].decode()
    assert block.startswith("X-Postern-Quarantine: rule HOLD_IT\r\nX-Postern-Envelope-From: <s@example.net>\r\n"
                            "X-Postern-Envelope-To: <one@example.com>\r\nX-Postern-Envelope-To: <two@example.com>\r\n"), block
    assert "Received: from client.example.net" in block and "X-Postern-Trace: " + reply_id(lines) in block, block
    t = records(lab, lines, 2)
    assert [x["outcome"] for x in t] == ["quarantined"] * 2 and t[0]["quarantine"]["mailbox"] == "spam@example.org", t
    # an ordinary one goes its way
    assert send(lab, message("ordinary"))[0] == 250
    assert envelope(new_mail(lab, before)[-1]) == ["s@example.net", "user@example.com"]
    # the next hop of the mailbox does not take it: 451, whatever it says, and nobody has it
    for box, said in (("refused@example.org", "550 5.1.1"), ("full@example.org", "452 4.2.2")):
        configure(lab, f'quarantine-mailbox = "{box}"')
        n = len(lab.inbox())
        code, lines = send(lab, message("held back by a word", mid=f"again-{box[:4]}"))
        assert code == 451 and "Quarantine is not available" in lines[-1], lines
        t = recorded(lab, lines, "deferred")
        assert said in t["quarantine"]["reply"], t
        assert len(lab.inbox()) == n
    c = counters(lab)
    assert c["quarantine_redirected"] == 1 and c["quarantine_failed"] == 2, c
    print("quarantine mailbox: octets, envelope, refused is 451: ok", flush=True)


def discard(lab):
    configure(lab, "")
    before = lab.inbox()
    code, lines = send(lab, message("to be dropped"))
    assert code == 250, lines
    t = records(lab, lines, 1)
    assert [x["outcome"] for x in t] == ["discarded"] and t[0]["judged"]["reason"] == "rule DROP_IT", t
    assert "NOTICE rule DROP_IT has action discard" in lab.log("control")
    # what the sender hears of stands over it
    configure(lab, "reject-score = 0.5; tag-score = 0.1")
    assert send(lab, message("to be dropped", mid="d2"))[0] == 550
    configure(lab, 'deny-senders = ["bad@example.net"]; deny-action = discard')
    assert "NOTICE policy.deny-action = discard" in lab.log("control")
    code, lines = send(lab, message("whatever"), "bad@example.net")
    assert code == 250, lines
    assert not new_mail(lab, before)
    configure(lab, "dry-run = true")
    assert send(lab, message("to be dropped", mid="d3"))[0] == 250
    assert len(new_mail(lab, before)) == 1, "a dry run delivers it"
    assert counters(lab)["discarded"] == 2, counters(lab)
    print("discard: by a rule, by deny-action, named in the log: ok", flush=True)


def limits(lab):
    configure(lab, "", route="max-recipients = 2; max-message = 70k")
    c = Client(lab)
    assert c.begin("s@example.net")[0] == 250
    codes = [c.cmd(f"RCPT TO:<u{i}@example.com>") for i in range(4)]
    assert [x[0] for x in codes] == [250, 250, 452, 452], codes
    assert "4.5.3" in codes[2][1][0] and "this route takes 2" in codes[2][1][0], codes
    recorded(lab, codes[2][1], "deferred", rcpt="u2@example.com")
    c.cmd("QUIT")
    c.close()
    code, lines = send(lab, message("big") + ("y" * 76 + "\r\n") * 1000)
    assert code == 552, lines
    print("limits: recipients and size of a route: ok", flush=True)


def main():
    labs.need_root()
    with labs.Lab("pol", arena_mb=64) as lab:
        lab.start_dns({"example.net": f'@ IN TXT "v=spf1 ip4:{labs.CLIENT4} ip6:{labs.CLIENT6} -all"\n',
                       "nospf.example": "", "other.example": ""})
        lab.start_sink("--rule", "rcpt:<refused@=550 5.1.1 no such user here", "--rule",
                       "rcpt:<full@=452 4.2.2 mailbox is full")
        (lab.dir / "demo.cf").write_text(RULES)
        lab.write_config(("example.com", "example.org"), verify="none", policy="")
        lab.start_dataplane()
        for part in (deny, allow, greylist, greylist_spf, mailbox, discard, limits):
            part(lab)


if __name__ == "__main__":
    main()
