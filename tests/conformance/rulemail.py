#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""Messages that rules hit: rulemail.py --rules DIR --count N --seed S --out DIR

For each rule of the files that Python can parse, texts are drawn from its expression, and now and then spoilt in one
octet, and set into mail of all the shapes that mail has: encodings, charsets, HTML, parts inside parts, encoded headers.
What comes out has no names, addresses or texts of real mail in it but those the rules themselves speak of."""
import argparse
import base64
import html
import pathlib
import quopri
import random
import re
import sys
import warnings

try:
    from re import _constants as C, _parser as P
except ImportError:
    import sre_constants as C
    import sre_parse as P

# Patterns are Perl's, and what Python will make of "[[" one day is nothing to them.
warnings.filterwarnings("ignore", category=FutureWarning)

WORDS = ("the meeting is on friday and we will look at figures of last quarter before lunch please bring your own "
         "notes thank you for all the help with this report it was good to see what has been done so far here are some "
         "pictures from our garden where tomatoes grow well under glass until autumn comes again soon enough").split()
ACCENTS = ["Grüße", "café", "naïve", "señor", "Привет", "日本語", "żółw", "€20", "“quoted”", "a\u00a0b"]
LINE = re.compile(r"^\s*(header|body|rawbody|uri|full|mimeheader)\s+(\w+)\s+(.*)$")


class Unparsable(Exception):
    pass


class Sampler:
    """A text that an expression matches, mostly: what look-arounds and references demand is not looked at."""

    def __init__(self, rng):
        self.rng = rng

    def draw(self, pattern, flags=0):
        try:
            tree = P.parse(pattern, flags)
        except (re.error, OverflowError, RecursionError, ValueError) as e:
            raise Unparsable(str(e)) from e
        text = self.of(tree, {})
        return "".join(c.swapcase() if self.rng.random() < .1 else c for c in text) if flags & re.I else text

    def of(self, tree, groups):
        return "".join(self.item(op, av, groups) for op, av in tree)

    def item(self, op, av, groups):
        rng = self.rng
        if op is C.LITERAL:
            return chr(av)
        if op is C.NOT_LITERAL:
            return rng.choice([c for c in "abcxyz 0159.-" if ord(c) != av])
        if op is C.ANY:
            return rng.choice("abcdefgh ijk 0123-_")
        if op is C.IN:
            return self.one_of(av)
        if op is C.BRANCH:
            return self.of(rng.choice(av[1]), groups)
        if op in (C.MAX_REPEAT, C.MIN_REPEAT) or str(op) == "POSSESSIVE_REPEAT":
            low, high, body = av
            high = min(int(high), low + rng.choice([0, 0, 1, 1, 2, 6]))
            return "".join(self.of(body, groups) for _ in range(rng.randint(low, max(low, high))))
        if op is C.SUBPATTERN:
            text = self.of(av[-1], groups)
            groups[av[0]] = text
            return text
        if op is C.GROUPREF:
            return groups.get(av, "")
        if op is C.CATEGORY:
            return self.category(av)
        if op is C.AT:
            return " " if av is C.AT_BOUNDARY and rng.random() < .3 else ""
        if str(op) == "ATOMIC_GROUP":
            return self.of(av, groups)
        return ""

    def category(self, c):
        kind = str(c)
        pool = {"CATEGORY_DIGIT": "0123456789", "CATEGORY_SPACE": "  \t", "CATEGORY_WORD": "abcXYZ019_",
                "CATEGORY_NOT_DIGIT": "abc -.", "CATEGORY_NOT_SPACE": "abc019.-", "CATEGORY_NOT_WORD": " .-!,"}
        return self.rng.choice(pool.get(kind, "a"))

    def one_of(self, items):
        if items[0][0] is C.NEGATE:
            tried = [c for c in "abcdefghijklmnopqrstuvwxyz0123456789 .-_" if not self.has(items[1:], c)]
            return self.rng.choice(tried or ["~"])
        op, av = self.rng.choice(items)
        if op is C.RANGE:
            return chr(self.rng.randint(av[0], av[1]))
        return chr(av) if op is C.LITERAL else self.category(av)

    def has(self, items, c):
        for op, av in items:
            if op is C.LITERAL and chr(av) == c or op is C.RANGE and av[0] <= ord(c) <= av[1]:
                return True
            if op is C.CATEGORY and {"CATEGORY_DIGIT": c.isdigit(), "CATEGORY_SPACE": c.isspace(),
                                     "CATEGORY_WORD": c.isalnum() or c == "_",
                                     "CATEGORY_NOT_SPACE": not c.isspace(), "CATEGORY_NOT_DIGIT": not c.isdigit(),
                                     "CATEGORY_NOT_WORD": not (c.isalnum() or c == "_")}.get(str(av), False):
                return True
        return False


def expression(text):
    """"/re/flags", "m{re}flags" → (re, flags) or None."""
    text = re.sub(r"\s+#.*$", "", text.strip())
    m = re.match(r"m?([/{(<!|,'~@%])", text)
    if not m:
        return None
    end = {"{": "}", "(": ")", "<": ">"}.get(m[1], m[1])
    at = text.rfind(end)
    if at <= m.end() - 1:
        return None
    flags = sum({"i": re.I, "s": re.S, "m": re.M, "x": re.X}.get(c, 0) for c in set(text[at + 1:]))
    return text[m.end():at].replace("\\/", "/"), flags


def read_rules(directory):
    """{kind: [(name, field or None, re, flags)]}, and the tags of replace_rules."""
    rules, tags = {}, {}
    for f in sorted(pathlib.Path(directory).glob("*.cf")):
        for line in f.read_text("latin-1").splitlines():
            t = re.match(r"^\s*replace_tag\s+(\S+)\s+(.+)$", line)
            if t:
                tags[t[1]] = t[2]
            m = LINE.match(line)
            if not m or "eval:" in m[3]:
                continue
            field, rest = None, m[3]
            if m[1] in ("header", "mimeheader"):
                h = re.match(r"^(\S+)\s+=~\s+(.*)$", rest)
                if not h:
                    continue
                field, rest = h[1], h[2]
                rest = re.sub(r"\s*\[if-unset:.*\]\s*$", "", rest)
            e = expression(rest)
            if e:
                rules.setdefault(m[1], []).append((m[2], field, *e))
    return rules, tags


class Mail:
    def __init__(self, rules, tags, rng):
        self.rules, self.tags, self.rng, self.sampler = rules, tags, rng, Sampler(rng)

    def text_of(self, kind):
        for _ in range(20):
            _, field, pattern, flags = self.rng.choice(self.rules[kind])
            pattern = re.sub(r"<(\w+)>", lambda m: self.tags.get(m[1], m[0]), pattern)
            try:
                text = self.sampler.draw(pattern, flags)
            except Unparsable:
                continue
            # Patterns are of octets, those of UTF-8 among them.
            try:
                text = text.encode("latin-1").decode("utf-8")
            except UnicodeError:
                pass
            if len(text) < 2000:
                if text and self.rng.random() < .15:
                    i = self.rng.randrange(len(text))
                    text = text[:i] + self.rng.choice(["", "x", " ", "-"]) + text[i + 1:]
                return field, text
        return None, "nothing"

    def uri(self):
        """One of the texts, mostly with a host that is one: SpamAssassin looks at no others."""
        text = self.text_of("uri")[1]
        m = re.match(r"(?:(\w*):?//)?([^/?#]*)(.*)", text, re.S)
        if self.rng.random() < .1:
            return text
        host = re.sub(r"[^\w.@:%-]+", "", re.sub(r"\.[.-]*\.", ".", m[2])).strip(".-") or "www.example.net"
        if not re.search(r"\.(com|net|org|info|biz|me|ru|top|gov)(:\d+)?$", host, re.I):
            host += ".com"
        return "%s://%s%s" % (m[1] or "http", host, m[3])

    def words(self, n):
        return " ".join(self.rng.choice(ACCENTS if self.rng.random() < .02 else WORDS) for _ in range(n))

    def paragraph(self):
        out = [self.words(self.rng.randint(3, 60))]
        if self.rng.random() < .7:
            out.append(self.text_of("body")[1])
        if self.rng.random() < .2:
            out.append("http://" + self.rng.choice(["www.", ""]) + "example." + self.rng.choice(["com", "net", "info"]) +
                       "/" + self.rng.choice(WORDS))
        if self.rng.random() < .15:
            out.append(self.uri())
        self.rng.shuffle(out)
        return " ".join(x for x in out if x)

    def wrap(self, text, width):
        lines = []
        for line in text.split("\n"):
            at = 0
            while len(line) - at > width and " " in line[at:at + width]:
                cut = line.rfind(" ", at, at + width)
                lines.append(line[at:cut])
                at = cut + 1
            lines.append(line[at:])
        return "\n".join(lines)

    def plain(self):
        return self.wrap("\n\n".join(self.paragraph() for _ in range(self.rng.randint(1, 5))),
                         self.rng.choice([60, 72, 76, 900])) + "\n"

    def markup(self):
        out = ["<html><head><title>%s</title><style>p { color: red }</style></head><body>" % self.words(3)]
        for _ in range(self.rng.randint(1, 5)):
            text = self.paragraph()
            safe = html.escape(text) if self.rng.random() < .8 else text
            tag = self.rng.choice(["p", "div", "b", "td", "h1", "span", "li", "font color=\"#ff0000\""])
            out.append("<%s>%s</%s>" % (tag, safe, tag.split()[0]))
            if self.rng.random() < .3:
                out.append('<a href="http://%s/%s">%s</a>' % (self.rng.choice(["example.com", "203.0.113.7", "www.example.org"]),
                                                            self.rng.choice(WORDS), self.words(2)))
            if self.rng.random() < .2:
                out.append(self.text_of("rawbody")[1])
            if self.rng.random() < .2:
                out.append(self.rng.choice(["<br>", "<hr>", "<!-- %s -->" % self.words(2), "&nbsp;", "&#8364;",
                                            '<img src="http://www.example.net/a.gif" alt="x">']))
        return "\n".join(out) + "</body></html>\n"

    def part(self, kind):
        """One leaf: (header lines, octets)."""
        rng = self.rng
        text = self.markup() if kind == "html" else self.plain()
        charset = rng.choice(["us-ascii", "utf-8", "utf-8", "iso-8859-1", "windows-1252", "UTF-8"])
        octets = text.encode(charset, "replace")
        encoding = rng.choice(["7bit", "8bit", "quoted-printable", "base64"])
        if encoding == "7bit" and any(c > 127 for c in octets):
            encoding = "8bit"
        if encoding in ("7bit", "8bit"):
            # RFC 5322 2.1.1
            octets = b"\n".join(x[:990] for x in octets.split(b"\n"))
        if encoding == "quoted-printable":
            octets = quopri.encodestring(octets)
        elif encoding == "base64":
            octets = base64.encodebytes(octets)
        return ["Content-Type: text/%s; charset=%s" % (kind, rng.choice([charset, '"%s"' % charset])),
                "Content-Transfer-Encoding: " + encoding], octets

    def attachment(self):
        data = bytes(self.rng.getrandbits(8) for _ in range(self.rng.randint(10, 3000)))
        name = self.rng.choice(["report.pdf", "photo.jpg", "invoice.zip", "notes.doc", "a b.txt"])
        return ["Content-Type: application/octet-stream; name=\"%s\"" % name, "Content-Transfer-Encoding: base64",
                "Content-Disposition: attachment; filename=\"%s\"" % name], base64.encodebytes(data)

    def tree(self, depth=0):
        rng, shape = self.rng, self.rng.random()
        if shape < .35 or depth > 2:
            return self.part("plain")
        if shape < .55:
            return self.part("html")
        boundary = "=_" + "%08x" % rng.getrandbits(32)
        if shape < .75:
            kind, parts = "alternative", [self.part("plain"), self.part("html")]
        else:
            kind, parts = "mixed", [self.tree(depth + 1), self.attachment() if rng.random() < .6 else self.tree(depth + 1)]
        out = b"This is a message in several parts.\n" if rng.random() < .5 else b""
        for head, body in parts:
            out += b"--" + boundary.encode() + b"\n" + "\n".join(head).encode("latin-1", "replace") + b"\n\n" + body + b"\n"
        return ["Content-Type: multipart/%s; boundary=\"%s\"" % (kind, boundary)], \
            out + b"--" + boundary.encode() + b"--\n"

    def encoded(self, text):
        if all(32 <= ord(c) < 127 for c in text) and self.rng.random() < .8:
            return text
        octets = text.encode("utf-8")
        if self.rng.random() < .5:
            return "=?utf-8?B?%s?=" % base64.b64encode(octets[:45]).decode()
        return "=?utf-8?Q?%s?=" % "".join(chr(c) if chr(c).isascii() and chr(c).isalnum() else "=%02X" % c
                                          for c in octets[:60])

    def message(self, serial):
        rng = self.rng
        head = {"From": "%s <sender%d@example.net>" % (self.encoded(self.words(2).title()), serial % 50),
                "To": "rcpt@example.com", "Subject": self.encoded(self.words(rng.randint(1, 8))),
                "Date": "Fri, 27 Nov 2026 %02d:%02d:%02d +0000" % (rng.randrange(24), rng.randrange(60), rng.randrange(60)),
                "Message-ID": "<%d.%08x@example.net>" % (serial, rng.getrandbits(32))}
        if rng.random() < .3:
            head["X-Mailer"] = rng.choice(["Example Mail 1.0", "nmh"])
        for _ in range(rng.choice([0, 1, 1, 2, 3])):
            field, text = self.text_of("header")
            if field and re.fullmatch(r"[A-Za-z][A-Za-z0-9-]*", field) and field not in ("ALL", "ToCc", "MESSAGEID", "EnvelopeFrom") \
                    and not field.startswith("X-Spam"):
                head[field] = self.encoded(re.sub(r"[\r\n\x00]", " ", text))[:900] or "x"
        mime, body = self.tree()
        lines = ["Received: from mail.example.net (mail.example.net [198.51.100.%d]) by mx.example.com (Postfix) with ESMTP"
                 " id %X for <rcpt@example.com>; Fri, 27 Nov 2026 12:00:00 +0000 (UTC)" % (rng.randint(1, 250), serial)]
        lines += ["%s: %s" % kv for kv in head.items()] + ["MIME-Version: 1.0"] + mime
        text = "\n".join(lines).encode("utf-8", "replace") + b"\n\n" + body
        return text.replace(b"\r\n", b"\n").replace(b"\r", b" ").replace(b"\0", b" ").replace(b"\n", b"\r\n")


def generate(rules_dir, count, seed, out):
    rules, tags = read_rules(rules_dir)
    out = pathlib.Path(out)
    out.mkdir(parents=True, exist_ok=True)
    paths = []
    for i in range(count):
        path = out / f"{i:05}.eml"
        path.write_bytes(Mail(rules, tags, random.Random(f"{seed}.{i}")).message(i))
        paths.append(path)
    return paths


if __name__ == "__main__":
    p = argparse.ArgumentParser()
    p.add_argument("--rules", default="/usr/share/spamassassin")
    p.add_argument("--count", type=int, default=100)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--out", required=True)
    a = p.parse_args()
    if not read_rules(a.rules)[0]:
        sys.exit("no rules there")
    print(len(generate(a.rules, a.count, a.seed, a.out)), "messages")
