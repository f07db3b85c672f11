#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""Rules over all views, lists and attachments through the whole gateway: small messages and messages of many runs, by
DATA and BDAT, cut by the network as it likes; the hits of the trace are those of the texts, and `show rules` counts what was
sent. A reload changes the set, and what is counted of a rule that stays goes on. At last it is looked at with `top` and
`watch`: who watches sees what is to be seen and no more, and who watches without reading holds nobody."""
import base64
import json
import pathlib
import quopri
import signal
import socket
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import lab as labs  # noqa: E402

RULES = """body     B_HELLO   /hello wonderful world/i
header   H_SUBJ    Subject =~ /gr\\xc3\\xbc\\xc3\\x9fe/i
header   H_FROM    From:addr =~ /special\\@example\\.net/
header   H_NONE    X-Absent =~ /./
header   H_THERE   exists:X-There
mimeheader M_PDF   Content-Type =~ /application\\/pdf/
uri      U_BAD     /evil\\.example\\/path/
rawbody  R_TAG     /<b>hello/
full     F_END     /the very end\\r\\n$/
body     B_REPEAT  /needle/
tflags   B_REPEAT  multiple
body     B_OBFU    /\\bv[_\\W]{0,3}[i1!|][_\\W]{0,3}a[_\\W]{0,3}g[_\\W]{0,3}r[_\\W]{0,3}a\\b/i
meta     M_BOTH    B_HELLO && U_BAD
header   H_RELAY   X-Spam-Relays-External =~ /helo=client\\.example\\.net/
body     B_ALMOST  /wonderful(?! world)/
body     __HIDDEN  /wonderful/
meta     M_SAME    (B_HELLO && __HIDDEN) - B_HELLO
"""
FILLER = b"Nothing to be seen in this line, which is repeated to make the message long.\r\n"


def head(subject=b"x", sender=b"a@example.net", more=b""):
    return (b"From: Some One <" + sender + b">\r\nTo: b@example.com\r\nSubject: " + subject + b"\r\nMIME-Version: 1.0\r\n"
            + more)


def html(text):
    return b"Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n" + \
        quopri.encodestring(text).replace(b"\n", b"\r\n") + b"\r\n"


def base64_part(kind, data, name=None):
    disposition = b'Content-Disposition: attachment; filename="' + name + b'"\r\n' if name else b""
    return b"Content-Type: " + kind + b"\r\n" + disposition + b"Content-Transfer-Encoding: base64\r\n\r\n" + \
        base64.encodebytes(data).replace(b"\n", b"\r\n")


def multipart(*parts):
    return b"Content-Type: multipart/mixed; boundary=\"b-0\"\r\n\r\n" + b"".join(b"--b-0\r\n" + p + b"\r\n" for p in parts) + \
        b"--b-0--\r\n"


LONG = FILLER * 4000  # 310 KB: five runs
CASES = {
    "plain": (head() + b"\r\nHello  wonderful\r\nworld\r\n", {"B_HELLO"}),
    "nothing": (head() + b"\r\nnothing\r\n", set()),
    "html": (head(b"=?utf-8?Q?Gr=C3=BC=C3=9Fe?=") + html(b"<p><b>hello</b> wonderful world <a href=\"http://evil.example/path\">x</a> banana"),
             {"B_HELLO", "H_SUBJ", "U_BAD", "R_TAG", "M_BOTH", "list.bad"}),
    "sender": (head(sender=b"special@example.net", more=b"X-There: \r\n") + b"\r\nx\r\n", {"H_FROM", "H_THERE"}),
    "parts": (head() + multipart(b"\r\nv-!-a g r a\r\n", base64_part(b"application/pdf", b"%PDF-1.7 x", b"invoice.pdf.exe")),
              {"B_OBFU", "M_PDF", "attachment.programs", "attachment.tricks"}),
    "hashed": (head() + multipart(base64_part(b"application/x-thing", b"known by its hash", b"a.bin")), {"list.hash"}),
    "long": (head() + b"\r\n" + LONG + b"hello wonderful world needle\r\n" + LONG + b"needle http://evil.example/path\r\nthe very end\r\n",
             {"B_HELLO", "U_BAD", "M_BOTH", "F_END", "B_REPEAT", "list.bad"}),
    "long parts": (head() + multipart(b"\r\nhello wonderful world\r\n", base64_part(b"image/png", b"\x89PNG\r\n" + bytes(300000), b"x.scr"),
                                      html(b"<b>hello</b>")), {"B_HELLO", "attachment.programs", "R_TAG"}),
}


def send(lab, content, bdat):
    s = labs.Smtp(lab)
    for line in ("EHLO client.example.net", "MAIL FROM:<a@example.net>", "RCPT TO:<b@example.com>"):
        code, lines = s.cmd(line)
        assert code == 250, lines
    if bdat:
        s.send(b"BDAT %d LAST\r\n" % len(content) + content)
    else:
        assert s.cmd("DATA")[0] == 354
        s.send(content.replace(b"\r\n.", b"\r\n..") + b".\r\n")
    code, lines = s.reply()
    assert code == 250, (code, lines)
    s.cmd("QUIT")
    s.close()


def hits(lab, n):
    def there():
        rows = [r for r in lab.trace() if r.get("outcome") == "delivered"]
        return rows if len(rows) >= n else None
    row = labs.wait_for(f"record {n} in the trace", there)[n - 1]
    return {m["rule"] for m in row["judged"]["matches"]}


def counted(lab, *words):
    answer = json.loads(lab.ctl("--json", "show", "rules", *words).stdout)
    return answer, {r["name"]: r for r in answer["rules"]}


def check_counts(lab, n):
    """Every case was sent twice: so often did each rule hit, and all that is counted by rule adds up."""
    answer, rules = counted(lab)
    totals = answer["totals"]
    control = {c["name"]: c["value"] for c in lab.stats()["control"]}
    want = {name: 2 * sum(name in hit for _, hit in CASES.values()) for name in rules}
    wonderful = 2 * sum(b"wonderful" in content for content, _ in CASES.values())
    want.update(H_RELAY=n, __HIDDEN=wonderful)
    assert {name: r["hits"] for name, r in rules.items()} == want, (rules, want)
    # The gate opens wherever the word stands, and what must not follow it always does.
    almost = rules["B_ALMOST"]
    assert (almost["opened"], almost["evaluated"], almost["matched"], almost["hits"]) == (wonderful, wonderful, 0, 0), almost
    relay = rules["H_RELAY"]
    assert (relay["tier"], relay["opened"], relay["evaluated"], relay["matched"]) == ("control", 0, n, n), relay
    for r in rules.values():
        assert r["tier"] in ("confirmed", "gated", "automaton") or not r["opened"], r
        assert r["tier"] in ("confirmed", "gated", "automaton", "control") or not r["evaluated"], r
        assert r["tier"] == "control" or r["evaluated"] == r["opened"], r
        assert r["limited"] == 0 and (r["ns"] > 0) == (r["evaluated"] > 0), r
        assert r["hits"] == r["matched"] or not r["evaluated"], r
    for key, total, counter in (("evaluated", "evaluated", "rule_evaluated"), ("opened", None, "rule_gates"),
                                ("ns", "pattern_ns", "rule_pattern_ns")):
        assert sum(r[key] for r in rules.values()) == control[counter], (key, control[counter], rules)
        assert not total or totals[total] == control[counter], (totals, control)
    assert (totals["messages"], totals["messages_in_full"]) == (n, 0) and control["rule_messages"] == n, totals
    assert totals["ns"] >= totals["pattern_ns"] + totals["text_ns"] > 0, totals
    assert answer["in_force"] == len([r for r in rules.values() if r["tier"] != "unsupported"]), answer
    assert answer["never_hit"] == 3, answer  # B_ALMOST, H_NONE, M_SAME
    # What is asked for, in its order; and what cannot be asked for.
    assert list(counted(lab, "--top", "hits", "--limit", "3", "?_*")[1]) == ["H_RELAY", "B_HELLO", "__HIDDEN"], rules
    assert list(counted(lab, "--top", "opened", "B_almost")[1]) == ["B_ALMOST"]
    assert [r["ns"] for r in counted(lab, "--top", "cost")[0]["rules"]] == \
        sorted((r["ns"] for r in rules.values() if r["ns"]), reverse=True)
    for words, code, why in ((("--top", "size"), 2, "cost, hits or opened"), (("--limit", "20001"), 2, "from 1 to 20000"),
                             (("B[",), 2, "name: 1 to 128 letters")):
        r = lab.ctl("show", "rules", *words, check=False)
        assert r.returncode == code and why in r.stdout, r
    return rules


class Watch:
    """posternctl watch --json, from its first line on."""

    def __init__(self, lab, *words):
        self.out = lab.dir / f"watch-{len(list(lab.dir.glob('watch-*')))}"
        self.file = self.out.open("wb")
        self.p = subprocess.Popen([labs.build_dir() / "control/cli/posternctl", "--socket", lab.dir / "control.sock", "--json", "watch",
                                   *words], stdout=self.file)
        labs.wait_for("watching", self.lines)

    def lines(self):
        return [json.loads(line) for line in self.out.read_text().split("\n")[:-1]]

    def events(self, n):
        """The first n, when they are there, without the first line."""
        return labs.wait_for(f"{n} events", lambda: self.lines()[1:] if len(self.lines()) > n else None)

    def end(self, how=signal.SIGTERM):
        self.p.send_signal(how)
        self.p.wait(10)
        self.file.close()
        return self.lines()[1:]


def many(lab, messages, rcpts):
    """So many records: more than a watcher's queue and its socket hold."""
    s = labs.Smtp(lab)
    assert s.cmd("EHLO client.example.net")[0] == 250
    for _ in range(messages):
        s.send("MAIL FROM:<a@example.net>\r\n" + "".join(f"RCPT TO:<{'long-' * 10}{i}@example.com>\r\n" for i in range(rcpts)))
        assert [s.reply()[0] for _ in range(rcpts + 1)] == [250] * (rcpts + 1)
        assert s.cmd("DATA")[0] == 354
        s.send(head() + b"\r\nhello\r\n.\r\n")
        assert s.reply()[0] == 250
    s.cmd("QUIT")
    s.close()


def lazy_watcher(lab):
    s = socket.socket(socket.AF_UNIX)
    s.connect(str(lab.dir / "control.sock"))
    s.sendall(b'{"command": "watch", "what": "messages"}\n')
    first = json.loads(s.recv(4096))
    assert first["event"] == "watching", first
    return s


def watched(lab):
    """OTHER hits `hello`; the set before it is gone."""
    everything, ruled = Watch(lab), Watch(lab, "messages", "--rule", "OTHER")
    elsewhere = Watch(lab, "--peer", "203.0.113.0/24")
    # A domain that is not ours: refused at RCPT, and seen as well.
    s = labs.Smtp(lab)
    for line, code in (("EHLO client.example.net", 250), ("MAIL FROM:<a@example.net>", 250), ("RCPT TO:<x@example.org>", 550)):
        assert s.cmd(line)[0] == code
    s.cmd("QUIT")
    s.close()
    everything.events(4)
    send(lab, CASES["html"][0], False)
    everything.events(8)
    send(lab, CASES["nothing"][0], False)
    got = everything.events(12)
    assert [e["event"] for e in got] == ["opened", "greeted", "message", "closed"] * 3, got
    opened, greeted, refused, closed = got[:4]
    assert opened["accepted"] and opened["peer"] == labs.CLIENT4 and len({e["session"] for e in (opened, greeted, closed)}) == 1, got
    assert (greeted["helo"], greeted["tls"], closed["tls"]) == ("client.example.net", None, False), got
    assert (refused["outcome"], refused["rcpt"], refused["stage"]) == ("rejected", "x@example.org", "rcpt"), refused
    assert refused["reply"].startswith("550 5.7.1"), refused
    assert (closed["messages"], closed["rcpts_refused"]) == (0, 1) and got[7]["messages"] == 1, got
    assert got[4]["session"] != opened["session"], got
    m = got[6]
    assert (m["outcome"], m["mail_from"], m["rcpt"], m["origin"]) == ("delivered", "a@example.net", "b@example.com", labs.CLIENT4), m
    assert set(m["rules"]) == {"OTHER", "ALONE", "list.bad", "B_HELLO"} and m["rules_hit"] == 4 and m["reply"].startswith("250 "), m
    assert ruled.end() == [m], (ruled.lines(), m)
    assert elsewhere.end() == [], elsewhere.lines()
    everything.end()
    text = lab.ctl("watch", "--outcome", "lost", check=False)
    assert text.returncode == 2 and "outcome: delivered" in text.stdout, text
    # One that does not read: mail flows on, the others see all of it, and it hears how much it missed.
    lazy, reads, rcpts, messages = lazy_watcher(lab), Watch(lab, "messages", "--rule", "OTHER"), 100, 20
    many(lab, messages, rcpts)
    seen = reads.events(messages * rcpts)
    assert len(seen) == messages * rcpts and all(e["event"] == "message" for e in seen), len(seen)
    control = {c["name"]: c["value"] for c in lab.stats()["control"]}
    assert control["watch_left_out"] > 0, control
    lazy.settimeout(10)
    lines, missed, data = 0, 0, b""
    while lines + missed < messages * rcpts:
        more = lazy.recv(65536)
        assert more, "the daemon cut it"
        *whole, data = (data + more).split(b"\n")
        for line in whole:
            e = json.loads(line)
            if e["event"] == "left-out":
                missed += e["n"]
            else:
                assert e["trace_id"] == seen[lines + missed]["trace_id"] and e["rcpt"] == seen[lines + missed]["rcpt"], e
                lines += 1
    assert missed == control["watch_left_out"] and lines + missed == messages * rcpts, (lines, missed, control["watch_left_out"])
    lazy.close()
    reads.end()
    view = json.loads(lab.ctl("--json", "top", "--once", "--interval", "0.2").stdout)
    assert view["schema"] == "postern.top.1" and view["ready"] and view["linked"] and view["interval_s"] > 0.2, view
    assert view["rates"]["messages"] == 0 and view["rates"]["rx_packets"] is not None and len(view["workers"]) == 1, view
    assert 0 <= view["workers"][0]["busy"] <= 1 and 0 <= view["workers"][0]["arena"] < 1 and view["workers"][0]["sessions"] == 0, view
    assert [(r["route"], r["breaker"], r["state"], len(r["hosts"])) for r in view["routes"]] == [("office", "closed", "ok", 1)], view
    assert "OTHER" in [r["name"] for r in view["rules"]], view
    text = lab.ctl("top", "--interval", "0.1").stdout
    assert "READY" in text and "office" in text and "OTHER" in text and "\x1b" not in text, text
    return messages


def main():
    with labs.Lab("psru") as lab:
        d = lab.dir
        (d / "all.cf").write_text(RULES)
        # The second pattern holds nothing that the dataplane could look for, and has its view for itself.
        (d / "other.cf").write_text("body OTHER /hello/\nrawbody ALONE /(?s)(.)(.)\\1\\2\\1/\nbody B_HELLO /hello/\n"
                                    "body R_TAG /another kind/\n")
        (d / "domains").write_text("evil.example\n")
        import hashlib
        (d / "hashes").write_text(hashlib.sha256(b"known by its hash").hexdigest() + "\n")
        lab.start_dns({"example.net": f'@ IN TXT "v=spf1 ip4:{labs.CLIENT4} -all"\n'})
        lab.start_sink()
        lab.write_config(extra=f'''list "bad" {{ file = "{d}/domains"; score = 0.1 }}
list "hash" {{ file = "{d}/hashes"; kind = sha256; score = 0.1 }}
attachment "programs" {{ extensions = [exe, scr]; score = 0.1 }}
attachment "tricks" {{ double-extension = yes; score = 0.1 }}
''')
        text = lab.conf.read_text().replace(str(d / "demo.cf"), str(d / "all.cf"))
        lab.conf.write_text(text)
        lab.start_dataplane()
        lab.start_control()
        lab.wait_ready()
        n = 0
        for bdat in (False, True):
            for name, (content, want) in CASES.items():
                send(lab, content, bdat)
                n += 1
                got = hits(lab, n)
                assert got == want | {"H_RELAY"}, f"{name} bdat={bdat}: {got ^ (want | {'H_RELAY'})} of {got}"
        counters = lab.counters()
        assert counters["scan_error"] == 0 and counters["scan_no_stream"] == 0, counters
        before = check_counts(lab, n)
        # Another set: what is sent now is judged by it, and by nothing else.
        lab.conf.write_text(text.replace("all.cf", "other.cf"))
        lab.ctl("config", "reload")
        send(lab, CASES["html"][0], False)
        n += 1
        assert hits(lab, n) == {"OTHER", "ALONE", "list.bad", "B_HELLO"}, hits(lab, n)
        answer, rules = counted(lab)
        assert rules["B_HELLO"]["hits"] == before["B_HELLO"]["hits"] + 1, (before, rules)
        for key in ("opened", "evaluated", "matched"):
            assert rules["B_HELLO"][key] == before["B_HELLO"][key] + (rules["B_HELLO"]["tier"] != "native"), (key, before, rules)
        assert rules["B_HELLO"]["ns"] >= before["B_HELLO"]["ns"], (before, rules)
        assert rules["OTHER"]["hits"] == rules["ALONE"]["hits"] == rules["ALONE"]["evaluated"] == 1, rules
        assert rules["R_TAG"]["hits"] == 0 and "U_BAD" not in rules, rules  # another kind: another rule
        assert answer["totals"]["messages"] == n, answer
        # One that is wrong: the old one stays.
        (d / "other.cf").write_text("body OTHER /hello(/\n")
        r = lab.ctl("config", "reload", check=False)
        assert r.returncode != 0 and "other.cf:1" in r.stdout, r.stdout
        send(lab, CASES["plain"][0], False)
        n += 1
        assert hits(lab, n) == set(), hits(lab, n)  # "Hello" with a capital
        answer, again = counted(lab)
        assert again["B_HELLO"]["hits"] == rules["B_HELLO"]["hits"] and again["ALONE"]["evaluated"] == 2, again
        assert answer["totals"]["messages"] == n, answer
        n += 2 + watched(lab)
        assert counted(lab)[0]["totals"]["messages"] == n
    print("ok")


if __name__ == "__main__":
    main()
