#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""Mail for bench/micro/scan, always the same for the same seed.

    scan_mail.py --kind text|html|mix --seed N --messages N DIRECTORY

text  text/plain alone: letters, threads with quoted replies, notices of machines, lists. Median of a text 1.8 kB,
      lognormal, sigma 1; one in 80 is a log of 70 to 250 kB.
html  multipart/alternative, text and HTML: letters of two mail programs, notices, newsletters (tables with inline CSS,
      links that count, 15 to 70 kB); one in ten is HTML alone.
mix   35 % text, 45 % html, 20 % with attachments: one (62 %), two (24 %) or up to five of JPEG 30 %, PDF 30 %, office
      documents (zip) 22 %, PNG 8 %, text or CSV 7 %, a forwarded message 3 %; median 70 kB before base64, lognormal,
      sigma 1.4, at most 3 MB.

Of the texts 7 % are in other languages, 3 % unsolicited."""

import argparse
import base64
import pathlib
import quopri
import random
import string
import sys

import scan_html
import scan_words as w

CONSONANTS = "b c d f g h k l m n p r s t v w z st tr br ch".split()
VOWELS = "a e i o u ai ou ee".split()
DAYS = "Monday Tuesday Wednesday Thursday Friday".split()
B64 = (string.ascii_letters + string.digits + "-_").encode()


def zipf(words):
    """The word of rank k about 1/k as often as the first."""
    return words, [1 / (i + 2) for i in range(len(words))]


class Writer:
    """Sentences, numbers, names, links."""

    def __init__(self, seed):
        self.r = random.Random(seed)
        self.tables = {k: zipf(v) for k, v in (("n", w.NOUNS), ("v", w.VERBS), ("a", w.ADJECTIVES), ("d", w.ADVERBS))}

    def pick(self, items):
        return items[int(self.r.random() * len(items))]

    def chance(self, p):
        return self.r.random() < p

    def below(self, a, b):
        return a + int(self.r.random() * (b - a))

    def size(self, median, sigma, least, most):
        return int(min(max(median * self.r.lognormvariate(0, sigma), least), most))

    def word(self, kind):
        words, weights = self.tables[kind]
        return self.r.choices(words, weights)[0]

    def noun(self):
        if self.chance(0.03):
            return self.coined()
        n = self.word("n")
        if self.chance(0.3):
            n = n[:-1] + "ies" if n[-1] == "y" and n[-2] not in "aeiou" else n + ("es" if n[-1] in "sx" else "s")
        return n

    def verb(self, form):
        v = self.word("v")
        stem = v[:-1] if v.endswith("e") else v
        return {"": v, "ing": stem + "ing", "ed": stem + "ed", "s": v + "s"}[form]

    def coined(self):
        """A word that is in no list: product, place, family."""
        s = "".join(self.pick(CONSONANTS) + self.pick(VOWELS) for _ in range(self.below(2, 4)))
        return (s + self.pick(["", "n", "x", "r", "ton", "ix"])).capitalize()

    def phrase_noun(self):
        s = self.pick(["the", "a", "this", "our", "your", "the", "that", "each", "my", "some"])
        return " ".join([s, self.word("a"), self.noun()] if self.chance(0.4) else [s, self.noun()])

    def clause(self):
        subject = self.pick(["I", "we", "you", "they", "it", "he", "she", ""]) or self.phrase_noun()
        tail = self.pick(["", " " + self.pick(["in", "on", "with", "for", "from", "about", "at", "after", "under", "into"])
                          + " " + self.phrase_noun()])
        middle = self.pick([f"{self.verb('ed')} {self.phrase_noun()}", f"will {self.verb('')} {self.phrase_noun()}",
                            f"can {self.word('d')} {self.verb('')} {self.phrase_noun()}", f"should be {self.verb('ed')}",
                            f"is {self.word('a')}", f"was not {self.verb('ed')} by {self.phrase_noun()}",
                            f"would like to {self.verb('')} {self.phrase_noun()}", f"has been {self.verb('ing')}",
                            f"had to {self.verb('')} {self.noun()} and {self.noun()}", f"does not {self.verb('')}"])
        return f"{subject} {middle}{tail}"

    def code(self, n):
        return "".join(self.pick(string.ascii_uppercase + string.digits) for _ in range(n))

    def base64(self, n):
        return base64.b64encode(self.r.randbytes(n)).decode()[:n]

    def token(self, n):
        return bytes(B64[b & 63] for b in self.r.randbytes(n)).decode()

    def host(self):
        return f"{self.pick(w.COMPANIES).lower()}.example.{self.pick(['com', 'com', 'com', 'net', 'org'])}"

    def url(self, tracking=False):
        if tracking:
            return (f"https://click.{self.host()}/{self.pick(['ls', 'c', 'e'])}/click?upn={self.token(self.below(60, 220))}"
                    f"&utm_source=newsletter&utm_medium=email&utm_campaign={self.noun().lower()}_{self.below(1, 99)}")
        path = "/".join(self.word("n") for _ in range(self.below(1, 4)))
        return (f"http{'s' if self.chance(0.85) else ''}://{self.pick(['www.', '', 'support.', 'docs.'])}{self.host()}/{path}"
                + self.pick(["", "", ".html", f"?id={self.below(1, 99999)}", f"/{self.token(11)}"]))

    def fill(self, s):
        out = []
        for lit, name, _, _ in string.Formatter().parse(s):
            out.append(lit)
            if name:
                out.append(self.field(name))
        return "".join(out)

    def field(self, name):
        r = self.below
        return {"n": self.noun, "n2": self.noun, "a": lambda: self.word("a"), "first": lambda: self.pick(w.FIRST),
                "last": lambda: self.pick(w.LAST), "place": lambda: self.pick(w.PLACES), "num": lambda: str(r(2, 400)),
                "company": lambda: self.pick(w.COMPANIES), "url": self.url, "pct": lambda: f"{r(1, 15) * 5}%",
                "code": lambda: self.code(8), "day": lambda: self.pick(DAYS),
                "money": lambda: self.pick(["\u20ac", "$", "$", "EUR ", "\u00a3"]) + f"{r(3, 9000):,}.{r(0, 100):02}",
                "date": lambda: self.pick([f"{r(1, 29)} {self.pick('January April June August November'.split())} 2026",
                                           f"{r(1, 13):02}/{r(1, 29):02}/2026", f"2026-{r(1, 13):02}-{r(1, 29):02}"]),
                "clock": lambda: f"{r(7, 20)}:{self.pick(['00', '15', '30', '45'])}",
                "tel": lambda: f"+49 30 555 {r(1000, 9999)}"}[name]()

    def sentence(self):
        x = self.r.random()
        if x < 0.35:
            s = self.fill(self.pick(w.PHRASES))
        elif x < 0.7:
            s = self.clause()
        else:
            s = self.clause() + self.pick([", and ", ", but ", " because ", ", so ", " when ", "; "]) + self.clause()
        if self.chance(0.03):
            s = s.upper()
        return s[0].upper() + s[1:] + self.pick([".", ".", ".", ".", "?", "!", "..."])

    def paragraph(self, language="en", offers=False, spam=False):
        if language != "en":
            return " ".join(self.fill(self.pick(w.FOREIGN[language])).capitalize() + "." for _ in range(self.below(2, 6)))
        out = [self.sentence() for _ in range(self.below(1, 7))]
        if offers and self.chance(0.6):
            out.append(self.fill(self.pick(w.MARKETING)).capitalize() + "!")
        if spam:
            out.insert(0, self.fill(self.pick(w.UNSOLICITED)) + ".")
        return " ".join(out)

    def paragraphs(self, size, **kw):
        out, n = [], 0
        while n < size:
            out.append(self.paragraph(**kw))
            n += len(out[-1])
        return out

    def language(self):
        return self.pick(["de", "fr", "es", "ru", "ja"]) if self.chance(0.07) else "en"


def wrap(text, width=72, prefix=""):
    lines, line = [], prefix
    for word in text.split(" "):
        if len(line) + len(word) > width and line != prefix:
            lines.append(line.rstrip())
            line = prefix
        line += word + " "
    return "\n".join(lines + [line.rstrip()])


class Mail(Writer):
    def address(self):
        first, last = self.pick(w.FIRST), self.pick(w.LAST)
        host = self.host()
        local = self.pick([f"{first}.{last}", f"{first[0]}{last}", first, f"{last}{self.below(1, 99)}", "info", "noreply"])
        return f"{first} {last}", f"{local.lower()}@{host}"

    def encoded(self, s):
        return s if s.isascii() else "=?utf-8?B?" + base64.b64encode(s.encode()).decode() + "?="

    def header(self, subject, bulk=False):
        name, addr = self.address()
        to_name, _ = self.address()
        host = addr.split("@")[1]
        day = self.below(1, 28)
        date = f"{self.pick(DAYS)[:3]}, {day} Jan 2026 {self.below(0, 24):02}:{self.below(0, 60):02}:07 +0100"
        h = [f"Return-Path: <{addr}>"]
        for i in range(self.below(1, 5)):
            h.append(f"Received: from {self.pick(['mail', 'mx', 'smtp', 'out'])}{i}.{host} (mail{i}.{host} "
                     f"[198.51.100.{self.below(1, 255)}])\n"
                     f"\tby mx{i}.example.com (Postfix) with ESMTPS id {self.code(11)}\n"
                     f"\t(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits))\n\tfor <user@example.com>; {date}")
        if self.chance(0.7):
            h.append(f"DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d={host}; s=s{self.below(1, 9)}; "
                     f"t={self.below(10**9, 2 * 10**9)};\n\th=from:to:subject:date:message-id:mime-version:content-type;\n"
                     f"\tbh={self.base64(43)}=;\n\t"
                     "b=" + "\n\t ".join(self.base64(68) for _ in range(5)))
        h += [f"From: {self.pick([name, chr(34) + name + chr(34)])} <{addr}>",
              f"To: {to_name} <user{self.below(1, 50)}@example.com>"]
        if self.chance(0.3):
            h.append("Cc: " + ",\n\t".join("%s <%s>" % self.address() for _ in range(self.below(1, 5))))
        h += [f"Subject: {self.encoded(subject)}", f"Date: {date}", f"Message-ID: <{self.token(22)}@{host}>"]
        if bulk:
            h += [f"List-Unsubscribe: <{self.url(True)}>,\n\t<mailto:unsubscribe@{host}>",
                  "List-Unsubscribe-Post: List-Unsubscribe=One-Click", "Precedence: bulk",
                  f"Feedback-ID: {self.below(1, 10**6)}:{self.token(10)}:{host}", f"X-Mailer-Id: {self.token(40)}"]
        else:
            h.append(self.pick(["X-Mailer: ExampleMail 16.0", "User-Agent: Example Letter/115.7",
                                "Thread-Index: " + self.token(40)]))
            if self.chance(0.5):
                h += [f"References: <{self.token(20)}@{host}>\n\t<{self.token(20)}@example.com>",
                      f"In-Reply-To: <{self.token(20)}@example.com>"]
        h.append("MIME-Version: 1.0")
        return h

    def subject(self):
        s = self.pick([self.sentence()[:60], f"{self.word('a')} {self.noun()}".capitalize(),
                       f"Your {self.noun()} {self.code(7)}", self.fill(self.pick(w.MARKETING)).capitalize(),
                       self.fill("{n} {date}").capitalize()])
        return self.pick(["", "", "", "Re: ", "Re: ", "Fwd: ", "[dev] "]) + s

    # ---- texts

    def signature(self):
        name, addr = self.address()
        return "\n".join(["-- ", name,
                          f"{self.word('a').capitalize()} {self.noun().capitalize()} | {self.pick(w.COMPANIES)} Ltd.",
                          self.fill("{num} Harbour Street, {place} | {tel}"), f"{addr} | {self.url()}"])

    def letter(self, size):
        language, spam = self.language(), self.chance(0.03)
        out = [self.fill(self.pick(w.OPENINGS)), *(wrap(p) for p in self.paragraphs(size, language=language, spam=spam))]
        out += [self.fill(self.pick(w.CLOSINGS)) + "\n" + self.pick(w.FIRST)]
        if self.chance(0.5):
            out.append(self.signature())
        if self.chance(0.25):
            out.append(wrap(self.fill(self.pick(w.DISCLAIMERS))))
        if self.chance(0.45):
            for level in range(1, self.below(2, 4)):
                out.append("On %s, %s <%s> wrote:" % (self.field("date"), *self.address()))
                out.append("\n".join(wrap(p, 76, "> " * level) + "\n" + (">" * level)
                                     for p in self.paragraphs(size / 2)))
        return "\n\n".join(out)

    def notice(self, size):
        out, n = [self.fill("This is an automatic message from {company} {n} monitoring."), ""], 0
        while n < size:
            out.append(self.pick([
                f"2026-01-{self.below(1, 29):02}T{self.below(0, 24):02}:{self.below(0, 60):02}:{self.below(0, 60):02}Z "
                f"host{self.below(1, 40)} "
                f"{self.word('n')}[{self.below(100, 30000)}]: {self.word('v')} {self.word('n')} failed: code={self.below(1, 255)}",
                f"  /usr/lib/{self.word('n')}/{self.word('n')}.so.{self.below(1, 9)}  {self.below(1, 10**7)}  {self.token(32)}",
                f"{self.word('n'):<24}{self.below(1, 9999):>10}{self.below(1, 9999):>10}  {self.below(0, 100)}%",
                f"+\t{self.word('v')}_{self.word('n')}(struct {self.word('n')} *{self.word('n')}, size_t n);"]))
            n += len(out[-1]) + 1
        return "\n".join(out)

    def text(self):
        if self.chance(1 / 80):
            return self.notice(self.size(110e3, 0.5, 70e3, 250e3))
        return self.pick([self.letter, self.letter, self.letter, self.notice])(self.size(1800, 1.0, 80, 40e3))

    def digest(self):
        return ("\n\n" + "-" * 30 + "\n\n").join(self.letter(self.size(900, 0.7, 80, 4e3)) for _ in range(self.below(3, 9)))

    # ---- parts

    def part(self, kind, text, encoding=None):
        """Header lines and body of a text part."""
        if encoding is None:
            longest = max(map(len, text.split("\n")))
            encoding = "7bit" if text.isascii() and longest < 990 else \
                self.pick(["quoted-printable", "quoted-printable", "8bit" if longest < 400 else "base64", "base64"])
        raw = text.encode()
        if encoding == "quoted-printable":
            raw = quopri.encodestring(raw)
        elif encoding == "base64":
            raw = base64.encodebytes(raw)
        return [f"Content-Type: {kind}; charset={self.pick(['utf-8', 'UTF-8', chr(34) + 'utf-8' + chr(34)])}",
                f"Content-Transfer-Encoding: {encoding}"], raw

    def multipart(self, kind, parts):
        b = self.pick(["----=_Part_", "=_", "b1_", "_000_", "0000000000"]) + self.token(24)
        body = b"".join(b"--" + b.encode() + b"\n" + "\n".join(h).encode() + b"\n\n" + raw.rstrip(b"\n") + b"\n"
                        for h, raw in parts)
        return [f"Content-Type: multipart/{kind};\n\tboundary=\"{b}\""], body + f"--{b}--\n".encode()

    def alternative(self):
        kind = self.pick(["letter", "letter", "letter", "outlook", "outlook", "notice", "newsletter", "newsletter"])
        plain, html = getattr(scan_html, kind)(self)
        hard = "base64" if self.chance(0.12) else "quoted-printable" if self.chance(0.85) else None
        part = self.part("text/html", html, hard)
        if not self.chance(0.1):
            part = self.multipart("alternative", [self.part("text/plain", plain), part])
        return (*part, kind in ("notice", "newsletter"))

    def message(self, head, body, bulk=False):
        m = "\n".join([*self.header(self.subject(), bulk), *head]).encode() + b"\n\n" + body
        return m.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")

    def make_text(self):
        return self.message(*self.part("text/plain", self.digest() if self.chance(0.05) else self.text()))

    def make_html(self):
        head, body, bulk = self.alternative()
        return self.message(head, body, bulk)

    # ---- attachments

    def jpeg(self, n):
        return (b"\xff\xd8\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0\xff\xdb\0C\0" + bytes(range(8, 72)) + self.r.randbytes(n) +
                b"\xff\xd9")

    def png(self, n):
        return (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\3\x20\0\0\2\x58\x08\6\0\0\0" + self.r.randbytes(n) +
                b"\0\0\0\0IEND\xaeB`\x82")

    def pdf(self, n):
        out, size = [b"%PDF-1.5\n%\xe2\xe3\xcf\xd3\n"], 0
        while size < n:
            k = min(self.below(800, 40000), max(n - size, 100))
            out.append(f"{len(out)} 0 obj\n<< /Length {k} /Filter /FlateDecode /Type /XObject >>\nstream\n".encode())
            out.append(self.r.randbytes(k) + b"\nendstream\nendobj\n")
            size += k
        return b"".join(out) + b"trailer\n<< /Root 1 0 R >>\nstartxref\n116\n%%EOF\n"

    def office(self, n):
        """Stored members with names of an office document; a directory at the end."""
        names = ["[Content_Types].xml", "_rels/.rels", "word/document.xml", "word/styles.xml", "word/media/image1.png",
                 "docProps/app.xml"]
        out, directory = b"", b""
        for name in names:
            data, nm = self.r.randbytes(max(n // len(names), 16)), name.encode()
            meta = self.r.randbytes(4) + len(data).to_bytes(4, "little") * 2 + len(nm).to_bytes(2, "little")
            directory += b"PK\1\2\x14\0\x14\0\0\0\0\0\0\0\x21\x58" + meta + b"\0" * 12 + len(out).to_bytes(4, "little") + nm
            out += b"PK\3\4\x14\0\0\0\0\0\0\0\x21\x58" + meta + b"\0\0" + nm + data
        return out + directory + b"PK\5\6\0\0\0\0" + len(names).to_bytes(2, "little") * 2 + \
            len(directory).to_bytes(4, "little") + len(out).to_bytes(4, "little") + b"\0\0"

    def attachment(self):
        n = self.size(70e3, 1.4, 400, 3e6)
        kind, ext, make = self.r.choices([
            ("image/jpeg", "jpg", self.jpeg), ("application/pdf", "pdf", self.pdf),
            ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", "docx", self.office),
            ("image/png", "png", self.png), ("text/csv", "csv", lambda n: self.notice(min(n, 200000)).encode()),
            ("message/rfc822", "eml", None)], [30, 30, 22, 8, 7, 3])[0]
        if make is None:
            return (["Content-Type: message/rfc822", "Content-Disposition: attachment"],
                    self.make_html().replace(b"\r\n", b"\n"))
        name = f"{self.word('n')}{self.pick(['', '_', ' '])}{self.below(1, 2027)}.{ext}"
        return [f"Content-Type: {kind}; name=\"{name}\"", f"Content-Disposition: attachment; filename=\"{name}\"",
                "Content-Transfer-Encoding: base64"], base64.encodebytes(make(n))

    def make_attached(self):
        first = self.part("text/plain", self.text()) if self.chance(0.4) else self.alternative()[:2]
        n = self.r.choices([1, 2, self.below(3, 6)], [62, 24, 14])[0]
        return self.message(*self.multipart("mixed", [first, *(self.attachment() for _ in range(n))]))

    def make_mix(self):
        return self.r.choices([self.make_text, self.make_html, self.make_attached], [35, 45, 20])[0]()


def write(kind, seed, messages, directory):
    directory.mkdir(parents=True, exist_ok=True)
    for i in range(messages):
        # A message does not depend on how many there are.
        (directory / f"{i:05}.eml").write_bytes(getattr(Mail(f"{kind} {seed} {i}"), "make_" + kind)())


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--kind", choices=["text", "html", "mix"], required=True)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--messages", type=int, default=1000)
    p.add_argument("directory", type=pathlib.Path)
    o = p.parse_args()
    write(o.kind, o.seed, o.messages, o.directory)
    return 0


if __name__ == "__main__":
    sys.exit(main())
