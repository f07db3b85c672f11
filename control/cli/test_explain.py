#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""posternctl explain over messages that something happened to: argv[1] is the posternctl to run."""

import base64
import json
import os
import subprocess
import sys
import tempfile

try:
    import dkim
except ImportError:
    print("no dkimpy")
    sys.exit(77)

DATE = "Tue, 14 Nov 2023 22:13:20 +0000"
MAIL = ("From: a@example.com\r\nTo: b@example.org\r\nSubject: report\r\nReply-To: c@example.com\r\n"
        "Date: " + DATE + "\r\nMessage-ID: <1@example.com>\r\n\r\nThe figures.\r\n")
SIGNED = [b"from", b"to", b"subject", b"reply-to"]


def line(helo, ip, by, more=""):
    return f"Received: from {helo} ({helo} [{ip}]) by {by} (Postfix) with ESMTP id 1; {DATE}\r\n{more}"


class Lab:
    def __init__(self, dirname, posternctl):
        self.dir, self.posternctl = dirname, posternctl
        key, der = os.path.join(dirname, "key"), os.path.join(dirname, "der")
        quiet = {"check": True, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        subprocess.run(["openssl", "genrsa", "-traditional", "-out", key, "2048"], **quiet)
        subprocess.run(["openssl", "rsa", "-in", key, "-pubout", "-outform", "DER", "-out", der], **quiet)
        with open(key, "rb") as f:
            self.key = f.read()
        self.signed = self.sign(MAIL)
        with open(der, "rb") as f:
            p = base64.b64encode(f.read()).decode()
        self.zone = ('$ORIGIN example.com.\n@ 300 IN TXT "v=spf1 ip4:203.0.113.5 -all"\n'
                     '_dmarc 300 IN TXT "v=DMARC1; p=reject"\n'
                     f's._domainkey 300 IN TXT "v=DKIM1; p={p[:200]}" "{p[200:]}"\n'
                     f's._domainkey.example.net. 300 IN TXT "v=DKIM1; p={p[:200]}" "{p[200:]}"\n')

    def sign(self, message, names=SIGNED, **more):
        return dkim.sign(message.encode(), b"s", b"example.com", self.key, include_headers=names,
                         **more).decode() + message

    def run(self, text, *words, zone=None, form="--json"):
        path, file = os.path.join(self.dir, "m.eml"), os.path.join(self.dir, "zone")
        with open(path, "w", newline="", encoding="utf-8") as f:
            f.write("Return-Path: <a@example.com>\r\n" + text)
        with open(file, "w") as f:
            f.write(zone or self.zone)
        p = subprocess.run([self.posternctl, "explain", *words, form, "--dns-zone", file, path],
                           capture_output=True, text=True, timeout=60)
        return p

    def codes(self, text, want, *words, zone=None):
        p = self.run(text, *words, zone=zone)
        assert p.returncode == (1 if want else 0), (p.returncode, p.stdout, p.stderr)
        r = json.loads(p.stdout)
        assert [f["code"] for f in r["findings"]] == want, json.dumps(r, indent=1)
        return r


def senders(lab):
    cip = "X-Forefront-Antispam-Report: CIP:%s;CTRY:;H:x;CAT:NONE\r\n"
    border = line("relay.example.org", "198.51.100.7", "front.cloud.example")
    first = line("mail.example.com", "203.0.113.5", "relay.example.org")
    gw = ("--gateway", "198.51.100.7")
    whole = border + first + lab.signed

    # The mailbox found the sender: nothing to tell.
    lab.codes(cip % "203.0.113.5" + whole, [])
    lab.codes(cip % "203.0.113.5" + whole, [], *gw)
    # It took the relay: shown by SPF, or known by the list; the advice names the relay.
    for words in ((), gw):
        r = lab.codes(cip % "198.51.100.7" + whole, ["sender-hidden"], *words)
        assert "relay.example.org (198.51.100.7) hid the sender" in r["findings"][0]["text"], r
        assert "198.51.100.7" in r["findings"][0]["advice"], r
        assert [h["ip"] for h in r["path"] if h["sender"]] == ["203.0.113.5"], r
        assert r["stamp"] == "X-Forefront-Antispam-Report"
    # Gmail's stamp, and none at all.
    spf = "Received-SPF: fail (google.com: no) client-ip=198.51.100.7;\r\n"
    lab.codes(spf + whole, ["sender-hidden"])
    # With the sender seen both would pass: that is what the setting is worth.
    assert "Then SPF says pass and DMARC pass." in r["findings"][0]["advice"], r
    lab.codes(whole, ["sender-hidden"])
    # A message that is yet to reach the mailbox.
    lab.codes(first + lab.signed, ["sender-hidden"], *gw)
    r = lab.codes(border + line("lb", "10.0.0.9", "relay.example.org") + lab.signed, ["nat-hides"], *gw)
    assert "relay.example.org saw the private address 10.0.0.9" in r["findings"][0]["text"]
    lab.codes(border + "Received: by relay.example.org; x\r\n" + lab.signed, ["line-missing"], *gw)
    lab.codes(cip % "192.0.2.1" + whole, ["taken-not-in-chain"])
    lab.codes(border + lab.signed, ["spf-fails"])


def hosts(lab):
    """What the mailbox host found, in its own way of writing it; and what others found below."""
    top = line("relay.example.org", "198.51.100.7", "mx.cloud.example")
    first = line("mail.example.com", "203.0.113.5", "relay.example.org")
    exchange = ("Authentication-Results: spf=fail (sender IP is 198.51.100.7)\r\n smtp.mailfrom=example.com; dkim=fail "
                "(body hash did not verify)\r\n header.d=example.com;dmarc=fail action=oreject\r\n "
                "header.from=example.com;compauth=fail reason=000\r\n")
    google = ("Authentication-Results: mx.cloud.example;\r\n       dkim=pass header.i=@example.com header.s=s "
              "header.b=a/b9;\r\n       spf=softfail (cloud.example: domain of transitioning a@example.com does not "
              "designate 198.51.100.7 as permitted sender) smtp.mailfrom=a@example.com;\r\n       dmarc=pass "
              "(p=REJECT sp=REJECT dis=NONE) header.from=example.com\r\n")
    gateway = ("Authentication-Results: relay.example.org; spf=pass smtp.mailfrom=a@example.com; dkim=pass "
               "header.d=example.com;\r\n\tiprev=pass policy.iprev=203.0.113.5\r\n")

    # The host writes it above its own line.
    r = lab.codes(exchange + top + first + lab.signed, ["sender-hidden"])
    assert "the mailbox host judged its address: SPF fail, DMARC fail; the true sender is 203.0.113.5" in \
        r["findings"][0]["text"], r
    assert r["stamp"] == "Authentication-Results" and r["host"] == 0, r
    t = r["told"][0]
    assert (t["spf"], t["ip"], t["dmarc"], t["compauth"], t["compauth_reason"], t["by"]) == \
        ("fail", "198.51.100.7", "fail", "fail", "000", ""), t
    assert t["dkim"] == [{"result": "fail", "domain": "example.com"}], t
    # Below it.
    r = lab.codes(top + google + first + lab.signed, ["sender-hidden"])
    assert "(mx.cloud.example) judged its address: SPF softfail, DMARC pass" in r["findings"][0]["text"], r
    # The gateway's own is told, and is not taken for the host's; nor what stands below it.
    for below in ("", "Authentication-Results: forged.example; spf=pass (sender IP is 203.0.113.5)\r\n"):
        r = lab.codes(top + gateway + first + below + lab.signed, ["sender-hidden"])
        assert r["stamp"] is None and r["host"] == -1 and len(r["told"]) == 1 + bool(below), r
        r = lab.codes(top + google + gateway + first + below + lab.signed, ["sender-hidden"])
        assert r["host"] == 0 and [t["by"] for t in r["told"]][:2] == ["mx.cloud.example", "relay.example.org"], r
    r = lab.codes(top + "Authentication-Results: mx.cloud.example; spf=\r\n" + first + lab.signed, ["sender-hidden"])
    assert r["told"][0]["error"].startswith("no result, at octet ") and r["host"] == -1, r
    # Exchange Online: hops of its own with public addresses on top, then what it found, then the line of entry.
    inside = ("Received: from back.prod.cloud.example (2001:db8:c::1) by box.prod.cloud.example (2001:db8:c::2) with "
              "Microsoft SMTP Server id 15.20.1; " + DATE + "\r\n")
    inside += inside.replace("back", "front").replace("box", "back")
    entry = line("relay.example.org", "198.51.100.7", "front.mail.cloud.example")
    spf = ("Received-SPF: Fail (front.cloud.example: domain of example.com does not designate 198.51.100.7 as permitted "
           "sender) receiver=front.cloud.example; client-ip=198.51.100.7; helo=relay.example.org;\r\n")
    bare = exchange.replace(" (sender IP is 198.51.100.7)", "")
    for found, stamp in ((exchange + spf, "Authentication-Results"), (spf + exchange, "Received-SPF"), (bare, None)):
        r = lab.codes(inside + found + entry + first + lab.signed, ["sender-hidden"])
        assert r["stamp"] == stamp and r["host"] == 0, r
        assert [h["ip"] for h in r["path"] if h["taken"]] == ["198.51.100.7"], r
    # In words, for people.
    p = lab.run(top + google + gateway + first + lab.signed, form="--from=a@example.com")
    assert "told     mx.cloud.example  spf softfail (198.51.100.7), dkim pass (example.com), dmarc pass " \
        "(example.com)  <- the mailbox host" in p.stdout, p.stdout


BODY = "".join(f"Line {i} of the report, which is one of several.\r\n" for i in range(6))
TEXT = ("From: a@example.com\r\nTo: b@example.org\r\nSubject: Re: report\r\nDate: " + DATE + "\r\nMIME-Version: 1.0\r\n"
        "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" + BODY)
ALL = [b"from", b"from", b"to", b"subject", b"reply-to", b"mime-version", b"content-type", b"content-transfer-encoding"]


def undoing(lab):
    """What was done to a message is taken back, and the signature proves it."""
    low = line("mail.example.com", "203.0.113.5", "edge.example.org")

    def case(text, *steps, complete=True, found=""):
        r = json.loads(lab.run(low + text).stdout)
        u = r["dkim"][0]["undo"]
        assert [s["what"] for s in u["steps"]] == list(steps) and u["complete"] == complete, json.dumps(r, indent=1)
        f = [f for f in r["findings"] if f["code"] == "modified-upstream"][0]
        assert found in f["text"] and "Cannot be repaired" in f["advice"], f
        assert ("verifies again when" in f["text"]) == bool(steps), f
        return f

    for canon in ((b"relaxed", b"relaxed"), (b"simple", b"simple")):
        s = lab.sign(TEXT, ALL, canonicalize=canon)
        f = case(s.replace("Subject: Re", "Subject: [EXT] Re"), "subject-tag",
                 found='the signature verifies again when "[EXT]" is taken off the Subject')
        assert "Switch the tag in the Subject off" in f["advice"], f
        case(s.replace("Subject: Re: ", "Subject: Re: [list 1] "), "subject-tag", found='"[list 1]" is')
        case(s.replace("Subject: Re", "Subject: EXTERN: ***SPAM*** Re"), "subject-tag", found='"EXTERN: ***SPAM***"')
        case(s.replace("report\r\nDate", "report (external)\r\nDate", 1), "subject-tag", found='"(external)"')
        case(s + "-- \r\nChecked by x.\r\n", "lines-added", found='2 lines at the end of the body ("--")')
        case(s.replace("\r\n\r\nLine 0", "\r\n\r\nCaution!\r\n\r\nLine 0"), "lines-added",
             found='2 lines at the beginning of the body ("Caution!")')
        case(s.replace("Line 3", "<b>Caution!</b>\r\nLine 3"), "lines-added",
             found='1 line in the middle of the body ("<b>Caution!</b>") is left out')
        case("Reply-To: list@example.net\r\n" + s, "field-added", found="the added Reply-To is left out")
        # A list: its tag, its own From, a footer.
        munged = s.replace("From: a@example.com", "From: a via list <list@example.net>\r\nX-Original-From: a@example.com")
        case(munged.replace("Subject: Re", "Subject: [list] Re") + "___\r\nlist info\r\n", "subject-tag", "from",
             "lines-added", found="From is put back as it stands in X-Original-From")
        # Nothing of the kind: nothing is claimed, and half a finding is said to be half.
        case(s.replace("several", "many"), complete=False)
        f = case(s.replace("several", "many").replace("Subject: Re", "Subject: [EXT] Re"), "subject-tag",
                 complete=False, found="the header verifies again")
        assert "what was done to the body was not found" in f["text"], f
        f = case(s.replace("To: b@", "To: c@") + "x\r\n", "lines-added", complete=False, found="the body hash verifies")

    s = lab.sign(TEXT, ALL)
    # 8bit to quoted-printable, as for a next hop without 8BITMIME.
    text = TEXT.replace("report, which", "r\u00e9port, which")
    signed = dkim.sign(text.encode(), b"s", b"example.com", lab.key, include_headers=ALL,
                       canonicalize=(b"relaxed", b"relaxed")).decode()
    head, body = text.split("\r\n\r\n", 1)
    head = head.replace("8bit", "quoted-printable")
    qp = body.replace("\u00e9", "=C3=A9").replace("several", "sev=\r\neral")
    f = case(signed + head + "\r\n\r\n" + qp, "encoding", "encoding", found="Content-Transfer-Encoding is 8bit again")
    assert "8BITMIME" in f["advice"], f
    case(signed + head + "\r\n\r\n" + qp + "--=20\r\nFooter\r\n", "encoding", "encoding", "lines-added")
    b64 = "".join(x + "\r\n" for x in base64.encodebytes(body.encode()).decode().split("\n") if x)
    case(signed + head.replace("quoted-printable", "base64") + "\r\n\r\n" + b64, "encoding", "encoding")
    # Wrapped by a list.
    top, body = s.split("\r\n\r\n", 1)
    top = top.replace("text/plain; charset=utf-8", 'multipart/mixed; boundary="=_x"')
    wrapped = ("\r\n\r\n--=_x\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" +
               body + "\r\n--=_x\r\nContent-Type: text/plain\r\n\r\nlist info\r\n--=_x--\r\n")
    f = case(top + wrapped, "wrapped", "wrapped", found="part 1 of the multipart put around it is the body")
    assert "wraps messages" in f["advice"], f
    # A banner or a footer in the text and in the HTML, in lines of its own or not.
    text, page = "Dear B,\r\n\r\nthe report.\r\n", "<html><body class=x><p>Dear B,</p>\r\n<p>the report.</p></body></html>\r\n"
    both = (TEXT.split("Content-Type")[0] + 'Content-Type: multipart/alternative; boundary=b1\r\n\r\n--b1\r\n'
            "Content-Type: text/plain\r\n\r\n" + text + "\r\n--b1\r\nContent-Type: text/html\r\n\r\n" + page + "\r\n--b1--\r\n")
    signed = lab.sign(both, ALL)
    banner = "<div style='x'><b>External</b> mail</div>"
    for change in ((text, "External mail\r\n\r\n" + text, "<p>Dear", banner + "<p>Dear"),
                   (text, "External mail\r\n" + text, "<p>the", banner + "\r\n<p>the"),
                   (text, text + "-- \r\nExternal mail\r\n", "</body>", banner + "</body>")):
        f = case(signed.replace(*change[:2]).replace(*change[2:]), "lines-added", "lines-added",
                 found='External mail" is left out of the body and "External mail" is left out of the body there too')
    # In the HTML alone.
    case(signed.replace("</body>", banner + "</body>"), "lines-added", found='"External mail" is left out of the body')
    # What was not changed is not said to be.
    r = json.loads(lab.run(low + s.replace("Subject: Re", "Subject: [EXT] Re")).stdout)
    assert r["dkim"][0]["undo"]["body_whole"] and not r["dkim"][0]["undo"]["header_whole"], r
    assert r["findings"][0]["text"].startswith("a signed header field, signed by example.com, changed"), r
    # Links tell who rewrote them.
    f = case(s.replace("several", "https://eu1.safelinks.protection.outlook.com/?url=x"), complete=False)
    assert "links of Microsoft Safe Links" in f["text"], f
    # Bounded: a large body in many lines, and one too large to be tried.
    case(s + "x\r\n" + "\r\n" * 60000, "lines-added")
    case(s + "x\r\n\r\ny\r\n" * 60000, complete=False)
    case(s + "x" * 78 + "\r\n" + "y" * (5 << 20), complete=False)


def sealed(lab):
    """ARC: a sealer that had seen it pass is named; a broken chain is said to be broken."""
    host = ("Authentication-Results: mx.cloud.example; spf=fail smtp.mailfrom=a@example.com; dmarc=fail "
            "header.from=example.com\r\n")
    top = line("relay.example.net", "198.51.100.7", "mx.cloud.example")
    low = line("mail.example.com", "203.0.113.5", "relay.example.net")
    own = ("Authentication-Results: relay.example.net; spf=pass smtp.mailfrom=a@example.com; dkim=pass "
           "header.d=example.com; dmarc=pass header.from=example.com\r\n")
    changed = own + low + lab.signed + "footer\r\n"
    fields = dkim.arc_sign(changed.encode(), b"s", b"example.net", lab.key, b"relay.example.net",
                           include_headers=[b"from", b"subject"])
    message = host + top + b"".join(fields).decode() + changed
    r = lab.codes(message, ["sender-hidden", "modified-upstream", "arc-sealer"])
    f = r["findings"][2]
    assert "example.net had found that it passes" in f["text"] and '-ArcTrustedSealers "example.net"' in f["advice"], f
    r = lab.codes(message + "more\r\n", ["sender-hidden", "modified-upstream", "arc-broken"])
    # Where DMARC passed there is nothing to save.
    lab.codes(message.replace("dmarc=fail", "dmarc=pass", 1), ["sender-hidden", "modified-upstream"])


def signatures(lab):
    ok = "Authentication-Results: edge.example.org; dkim=pass header.d=example.com\r\n"
    top = line("mid.example.org", "203.0.113.5", "mx.cloud.example", "X-Mimecast-Originator: x\r\n")
    low = line("mail.example.com", "203.0.113.5", "edge.example.org")

    lab.codes(top + ok + low + lab.signed, [])
    r = lab.codes(top + ok + low + lab.signed + "-- \r\nChecked.\r\n", ["modified-upstream"])
    f = r["findings"][0]
    assert "the body" in f["text"] and "after edge.example.org had found" in f["text"], f
    assert "by one of: mx.cloud.example, edge.example.org (fields of Mimecast)" in f["text"], f
    assert "Cannot be repaired" in f["advice"], f
    assert r["dkim"][0]["broken_by"] == "body", r
    # Who found it broken cannot have been it, nor who comes behind.
    failed = "Authentication-Results: mid.example.org; dkim=fail header.d=example.com\r\n"
    mid = line("edge.example.org", "203.0.113.5", "mid.example.org")
    r = lab.codes(top + failed + mid + ok + low + lab.signed + "x\r\n", ["modified-upstream"])
    assert "; by edge.example.org (fields" in r["findings"][0]["text"], r
    # Nobody says that it was ever whole: everybody above the signature may have been it.
    r = lab.codes(top + low + lab.signed.replace("The figures", "Figures"), ["modified-upstream"])
    assert "mx.cloud.example, edge.example.org" in r["findings"][0]["text"], r
    # Another domain's pass says nothing.
    r = lab.codes(top + ok.replace("example.com", "example.com.test") + low + lab.signed + "x\r\n",
                  ["modified-upstream"])
    assert "had found the signature whole" not in r["findings"][0]["text"], r
    r = lab.codes(low + lab.signed.replace("Subject: report", "Subject: [EXT] report"), ["modified-upstream"])
    assert r["dkim"][0]["broken_by"] == "header" and "header field" in r["findings"][0]["text"], r
    r = lab.codes(low + lab.signed.replace("Reply-To: c@example.com\r\n", ""),
                  ["signed-field-missing", "modified-upstream"])
    assert "reply-to" in r["findings"][0]["text"] and r["dkim"][0]["broken_by"] == "missing-field", r
    no_key = "".join(x + "\n" for x in lab.zone.splitlines() if "_domainkey" not in x)
    r = lab.codes(low + lab.signed, ["signer-key"], zone=no_key)
    assert r["dkim"][0]["broken_by"] == "key" and "s._domainkey.example.com" in r["findings"][0]["text"], r


def words(lab):
    low = line("mail.example.com", "203.0.113.5", "edge.example.org")
    p = lab.run(low + lab.signed, form="--from=a@example.com")
    assert p.returncode == 0 and "nothing found" in p.stdout and "<- sender" in p.stdout, p
    p = lab.run(low + lab.signed + "x\r\n", form="--from=a@example.com")
    assert p.returncode == 1 and "finding  modified-upstream\n  what   the body of the message" in p.stdout, p
    assert lab.run(low, "--skip", "x").returncode == 2


def main():
    with tempfile.TemporaryDirectory() as d:
        lab = Lab(d, sys.argv[1])
        senders(lab)
        hosts(lab)
        signatures(lab)
        undoing(lab)
        sealed(lab)
        words(lab)


main()
