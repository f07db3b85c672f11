#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""Rules over all views, lists and attachments through the whole gateway: small messages and messages of many runs, by
DATA and BDAT, cut by the network as it likes; the hits of the trace are those of the texts. A reload changes the set."""
import base64
import pathlib
import quopri
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


def main():
    with labs.Lab("psru") as lab:
        d = lab.dir
        (d / "all.cf").write_text(RULES)
        # The second pattern holds nothing that the dataplane could look for, and has its view for itself.
        (d / "other.cf").write_text("body OTHER /hello/\nrawbody ALONE /(?s)(.)(.)\\1\\2\\1/\n")
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
        # Another set: what is sent now is judged by it, and by nothing else.
        lab.conf.write_text(text.replace("all.cf", "other.cf"))
        lab.ctl("config", "reload")
        send(lab, CASES["html"][0], False)
        n += 1
        assert hits(lab, n) == {"OTHER", "ALONE", "list.bad"}, hits(lab, n)
        # One that is wrong: the old one stays.
        (d / "other.cf").write_text("body OTHER /hello(/\n")
        r = lab.ctl("config", "reload", check=False)
        assert r.returncode != 0 and "other.cf:1" in r.stdout, r.stdout
        send(lab, CASES["plain"][0], False)
        n += 1
        assert hits(lab, n) == set(), hits(lab, n)  # "Hello" with a capital
    print("ok")


if __name__ == "__main__":
    main()
