#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""content_differential.py CONTENT-TOOL CONTENT-SPAMASSASSIN.PL [COUNT [DIR]]

Words of the body, URIs, subjects and authors that the content library and the installed SpamAssassin
find in COUNT generated HTML parts, in texts and header fields, and in the text parts of the messages
below DIR. Words and header fields have to be the same; of URIs what SpamAssassin finds has to be among
ours. What differs on purpose stands in KNOWN, with both results, as in docs/content.md; anything else
fails. Exit 77 without SpamAssassin."""
import email
import json
import os
import random
import re
import subprocess
import sys
import tempfile

BATCH = 250
HEAD = (b'From: "A" <a@example.org>\nTo: b@example.org\nSubject: S\nMIME-Version: 1.0\n'
        b'Content-Type: text/%s; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n')

# input, our words, our URIs; SpamAssassin's words, SpamAssassin's URIs that we do not have.
KNOWN = [
    # References the standard has and HTML::Entities reads otherwise
    ('html', '&#150;&#0;&#x110000;', '\u2013\ufffd\ufffd', [], '\x96&#0;&#x110000;', []),
    ('html', 'a&ZeroWidthSpace;b', 'a\u200bb', [], 'a&ZeroWidthSpace;b', []),
    # Where a CDATA section ends
    ('html', 'a<![CDATA[b>c]]>d', 'abc]]>d', [], 'ab>cd', []),
    # Comments that the standard ends at once
    ('html', 'a<!-->b-->c', 'ab-->c', [], 'ac', []),
    # An end tag with something behind its name
    ('html', '<style>a</style x>b', 'b', [], '', []),
    # What no reader shows
    ('html', 'a<iframe>b</iframe><noframes>c</noframes>d', 'ad', [], 'abcd', []),
    # A title without its end is the rest
    ('html', '<title>a<b>b</b>', '\n\na<b>b</b>', [], 'a b', []),
    # A '<' at the very end
    ('html', 'a<', 'a<', [], 'a', []),
    # NUL is nothing to readers; there it parts words
    ('html', 'vi\x00agra', 'viagra', [], 'vi agra', []),
    # A reference without ';' in an attribute
    ('html', '<a href="http://a.com/?x&copy=1">', '', ['http://a.com/?x&copy=1'], '',
     ['http://a.com/?x\xa9=1']),
    # Tabs inside of links
    ('html', '<a href="http://a.com/x\ty">', '', ['http://a.com/xy'], '', ['http://a.com/x\ty']),
    # '%' stays encoded: what is decoded twice means something else
    ('html', '<a href="http://a.com/%2541">', '', ['http://a.com/%2541'], '', ['http://a.com/%41']),
    # Places that are not looked at there
    ('html', '<p style="background:url(http://a.com/x)"><img srcset="http://b.com/y 2x">'
     '<button formaction="http://c.com/z">', '\n\n',
     ['http://a.com/x', 'http://b.com/y', 'http://c.com/z'], '', []),
    # Guesses at what a name without dots, or a path, may have meant
    ('html', '<a href="http://nodots/">', '', ['http://nodots/'], '', ['http://www.nodots.com/']),
    ('html', '<a href="x/y.html">', '', ['x/y.html'], '', ['http://x/y.html', 'http://www.x.com/y.html']),
    ('html', '<a href="\\\\a.com/x">', '', ['\\\\a.com/x', 'http:\\\\a.com/x', 'http://a.com/x'], '',
     ['http:////a.com/x']),
    ('html', '<a href="//a.com/x">', '', ['//a.com/x', 'http://a.com/x'], '', ['http:////a.com/x']),
    ('html', '<a href=" ">', '', [], '', ['']),
    # Octal numbers in addresses
    ('html', '<a href="http://0177.0.0.1/">', '', ['http://0177.0.0.1/', 'http://127.0.0.1/'], '',
     ['http://127...1/']),
    # Names in other letters
    ('html', '<a href="http://ex&shy;ample\u3002com/">', '',
     ['http://ex\xadample\u3002com/', 'http://example.com/'], '', None),
    ('html', '<a href="http://127.1/">', '', ['http://127.1/', 'http://127.0.0.1/'], '', []),
    ('html', '<a href="http://b\u00fccher.de/">', '',
     ['http://b\u00fccher.de/', 'http://xn--bcher-kva.de/'], '', None),
    # Brackets that belong to a URI; punctuation of other scripts that does not
    ('plain', 'http://a.com/b_(c)', 'http://a.com/b_(c)', ['http://a.com/b_(c)'],
     'http://a.com/b_(c)', ['http://a.com/b_(c']),
    ('plain', '\u201chttp://a.com/b\u201d', '\u201chttp://a.com/b\u201d', ['http://a.com/b'],
     '\u201chttp://a.com/b\u201d', ['http://a.com/b\u201d']),
    # Names with punctuation behind them
    ('plain', 'foo.com, (bar.net)', 'foo.com, (bar.net)', ['http://foo.com', 'http://bar.net'],
     'foo.com, (bar.net)', []),
    ('plain', 'x=foo.com', 'x=foo.com', ['http://foo.com'], 'x=foo.com', []),
    # Names behind a scheme that end in no known top-level domain
    ('plain', 'http://foo.invalid/x', 'http://foo.invalid/x', ['http://foo.invalid/x'],
     'http://foo.invalid/x', []),
    # Other schemes in text
    ('plain', 'sip:a@b.com', 'sip:a@b.com', ['mailto:a@b.com'], 'sip:a@b.com', ['mailto:sip:a@b.com']),
]

# value of From, our address and name; SpamAssassin's
KNOWN_FROM = [
    ('Foo <a@b.com', 'a@b.com', 'Foo', '', ''),
    ('(lead) a@b.com', 'a@b.com', 'lead', '', 'a@b.com'),
    ('a@b.com ((x) y)', 'a@b.com', '(x) y', '', 'a@b.com ( y)'),
    ('"Fo\\"o \\\\x" <a@b.com>', 'a@b.com', 'Fo"o \\x', 'a@b.com', 'Fo"o x'),
    ('Foo <mailto:a@b.com>', 'mailto:a@b.com', 'Foo', '', 'Foo'),
    ('"unclosed <a@b.com>', 'a@b.com', 'unclosed', 'a@b.com', ''),
    ('a(c)@b(d).com', 'a@b.com', 'c', 'a@b.com', ''),
]
# value of Subject, ours, SpamAssassin's
KNOWN_SUBJECT = [
    ('=?x-unknown?Q?=41?=', '=?x-unknown?Q?=41?=', 'A'),
    ('=?utf-8?Q?a=0D=0AFrom:=20b?=', 'a  From: b', 'a\r\nFrom: b'),
    ('=?utf-8?B?YWI=ZGVm?=', 'abdef', 'ab\x00def'),
]

WORDS = '''account verify invoice offer free news the a of and dear friend click here now total amount
12,50 EUR 100% (see below) "quoted" it's -- next-day e.g. i.e. end. start, \u00fcber caf\u00e9 \u20ac5
\u4e2d\u6587'''.split()
# Apart from their neighbours: glued to them both sides guess, each in its way.
PLACES = ''' www.example.com  example.org  mail.example.co.uk  user@example.com  info@mail.example.org
http://example.com/path  https://www.example.net/a?b=c&d=e  http://example.org/x.  ftp://ftp.example.com/f
http://1.2.3.4/x  http://user:pw@example.com:8080/y  http://example.com/a/../b  http://example.com/%41b
http://r.example.com/?u=http://inner.example.net/x  HTTP://EXAMPLE.ORG/Y '''.split()
WORDS += [f' {p} ' for p in PLACES]
REFS = ['&amp;', '&lt;', '&gt;', '&nbsp;', '&eacute;', '&euro;', '&#8364;', '&#x41;', '&#228;', '&copy;', '&copy',
        '&unknown;', '& ', '&;', '&quot;', '&hellip;', '&#38;']
INLINE = 'b i u span font strong em small big center tt a:x o:p sup code kbd label section article nav'.split()
BLOCK = 'p div blockquote pre h1 h2 h3 h6 ul ol li dl dt dd table tbody tr td th form fieldset'.split()
ODD = ['<!-- comment > -- x -->', '<!--x-->', '<!DOCTYPE html>', '<![if !mso]>', '<!--[if mso]><p>m</p><![endif]-->',
       '<script>var a = "<b>x</b>" && 1;</script>', '<style>p { color: red } a > b {}</style>', '</b>', '</p>', '</td>',
       '<br>', '<br/>', '<BR />', '<hr>', '<b <i>', '<p\n class="x"\n>', "<p title='a>b'>", '<p x=a>', ' < ', ' <3 ',
       '<?php echo 1 ?>', '<title>Some title &amp; more</title>', '<textarea>a <b>c</textarea>', '<wbr>', '\n\n', '\t',
       '<span style="display:none">', '</span>', '<img alt="alt text" width=1>', '<input value="v">']
URLS = ['http://example.com/', 'https://www.example.org/a?b=1&amp;c=2', 'http://example.net', 'mailto:a@example.com',
        'http://example.com:80/x', 'https://example.com:443/', 'http://1.2.3.4/', 'http://3232235777/', 'cid:part1@example',
        'http://example.org/%41%2f%20', 'http://example.org/?u=http%3A%2F%2Finner.example.com%2Fx', 'javascript:go()',
        'http://example.com/a/../b', 'http://example.com#f', 'http://example.com?q', 'http:example.com/c', 'tel:+1',
        'http:/example.net/d', 'http:\\\\example.org\\e', 'www.example.com/f', 'example.net', ' http://example.com/g ',
        'h&#116;tp://example.com/h', 'HTTP://EXAMPLE.COM/I', 'http://user@example.com/j', 'http://example.com./k']
LINKS = ['<a href="%s">', "<A HREF='%s'>", '<a class="x" href = "%s" id=y>', '<img src="%s">', '<body background="%s">',
         '<form action="%s">', '<area href="%s">', '<link href="%s">', '<iframe src="%s"></iframe>',
         '<meta http-equiv="refresh" content="0; url=%s">', '<script src="%s"></script>', '<embed src="%s">']


def part(rng, depth):
    kind = rng.random()
    if kind < 0.45 or depth > 6:
        return ' '.join(rng.choice(WORDS) for _ in range(rng.randint(1, 8))) + rng.choice(['', ' ', '\n', '  '])
    if kind < 0.55:
        return rng.choice(REFS)
    if kind < 0.68:
        return rng.choice(ODD)
    if kind < 0.78:
        return rng.choice(LINKS) % rng.choice(URLS)
    tag = rng.choice(INLINE if kind < 0.88 else BLOCK)
    inner = ''.join(part(rng, depth + 1) for _ in range(rng.randint(0, 4)))
    return f'<{tag}>{inner}' + rng.choice([f'</{tag}>', f'</{tag}>', f'</{tag.upper()} >', ''])


def generated_html(count):
    rng = random.Random(2026)
    return [''.join(part(rng, 0) for _ in range(rng.randint(1, 12))).encode() for _ in range(count)]


def generated_text(count):
    rng = random.Random(1142)
    return [''.join(rng.choice(WORDS) + rng.choice([' ', ' ', '\n', '  ', '\n\n'])
                    for _ in range(rng.randint(1, 60))).encode() for _ in range(count)]


NAMES = ['Foo', 'Foo Bar', '"Foo, Bar"', "'Foo'", '"\'Foo Bar\'"', '=?utf-8?Q?F=C3=BCr?=', '"=?utf-8?B?RsO8cg==?="',
         '=?iso-8859-1?q?F=FCr?= =?iso-8859-1?q?_x?=', '"x@example.net"', 'Foo "Bar" Baz', 'Foo (c) Bar', '',
         'F\u00fcr', 'Foo\n Bar', '=?utf-8?Q?A=2C?= B', 'A  B', '"Foo <x@example.net>"']
ADDRESSES = ['<a@example.com>', '<"q l"@example.com>', '<A.B+c@mail.example.org>', '< a@example.com >',
             '<a@[192.0.2.1]>', '<a@example.com> (trail)']
BARE = ['a@example.com', 'a@example.com (Foo Bar)', '"q l"@example.com', 'a@example.com, b@example.org',
        'a@example.com;b@example.org', 'g: a@example.com (Foo), b@example.org;', 'undisclosed:;', '<>', 'Foo', 'Foo <foo>',
        'a b@example.com']
SUBJECT = ['plain', '=?utf-8?Q?a?=', '=?utf-8?Q?=C3?=', '=?utf-8?Q?=BC?=', '=?UTF-8?B?w7w=?=', '=?iso-8859-1?Q?=FC_?=',
           '=?utf-8*en?q?abc?=', '=?utf-8?X?abc?=', '=?utf-8?Q?abc', '=?utf-8?Q?a b?=', '=?utf-8?Q??=', '"q"', '(c)',
           '\u00fc', '?=', '=?', '=?utf-8?B?YWJj\n ZGVm?=', '=?utf-8?Q?a=zz=?=']


def run_sa(script, messages, where):
    out = []
    for at in range(0, len(messages), BATCH):
        names = []
        for i, m in enumerate(messages[at:at + BATCH]):
            names.append(os.path.join(where, f'{i}.eml'))
            with open(names[-1], 'wb') as f:
                f.write(m)
        r = subprocess.run(['perl', script] + names, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if r.returncode == 77:
            print(r.stderr.decode().strip())
            sys.exit(77)
        lines = r.stdout.decode().splitlines()
        if r.returncode or len(lines) != len(names):
            sys.exit(f'SpamAssassin failed: {r.stderr.decode()[-2000:]}')
        out += [json.loads(line) for line in lines]
    return out


def run_ours(tool, mode, inputs, where):
    out = []
    for at in range(0, len(inputs), BATCH):
        names = []
        for i, m in enumerate(inputs[at:at + BATCH]):
            names.append(os.path.join(where, f'{i}.in'))
            with open(names[-1], 'wb') as f:
                f.write(m)
        r = subprocess.run([tool, mode] + names, stdout=subprocess.PIPE)
        if r.returncode:
            sys.exit(f'content-tool ended with {r.returncode}')
        lines = r.stdout.decode().splitlines()
        if len(lines) != len(names):
            sys.exit(f'content-tool said {len(lines)} lines of {len(names)} files')
        out += [json.loads(line) for line in lines]
    return out


def text(s):
    """What both sides print, octets or characters, as characters."""
    try:
        return s.encode('latin-1').decode('utf-8')
    except (UnicodeEncodeError, UnicodeDecodeError):
        return s


def words(s):
    """The body view folds every white space, U+00A0 included; the renderer that of ASCII."""
    return text(s).split()


def explained(uri, ours):
    """Is a URI of SpamAssassin's that we lack a guess of its kind (KNOWN) at one that we have?"""
    m = re.match(r'(?i)https?://www\.([^./]+)\.com(.*)', uri)
    if m and any(re.match(r'(?i)(https?://)?' + re.escape(m.group(1)) + r'(?![\w.-])', o) for o in ours):
        return 'guess: www. and .com around a name without dots'
    if re.match(r'http://[^/]', uri) and uri[7:] in ours:
        return 'guess: http:// before a path'
    if uri == '':
        return 'empty link'
    return None


class Tally:
    def __init__(self):
        self.failed = 0
        self.kinds = {}

    def fail(self, *what):
        self.failed += 1
        if self.failed <= 20:
            print('DIFFERS:', *(ascii(w)[:600] for w in what), sep='\n    ')

    def compare(self, name, mode, bodies, script, tool, where):
        theirs = run_sa(script, [HEAD % mode.encode() + b for b in bodies], where)
        ours = run_ours(tool, 'html' if mode == 'html' else 'text', bodies, where)
        same = n_words = n_uris = more = 0
        for body, a, b in zip(bodies, theirs, ours):
            wa, wb = words(''.join(p + ' ' for p in a['body'][1:])), words(b['text'])
            ua, ub = {text(u) for u in a['uris']}, {text(u) for u in b['uris']}
            n_words += len(wa)
            n_uris += len(ua)
            more += len(ub - ua)
            same += wa == wb
            if wa != wb and re.search(br'(?i)<title', body) and not re.search(br'(?i)</title', body):
                kind = "words of a title without its end"
                self.kinds[kind] = self.kinds.get(kind, 0) + 1
            elif wa != wb:
                self.fail(body, ' '.join(wa), ' '.join(wb))
            for u in ua - ub:
                kind = explained(u, ub)
                if kind:
                    self.kinds[kind] = self.kinds.get(kind, 0) + 1
                else:
                    self.fail(body, f'URI {u}', sorted(ub))
        print(f'{name}: {len(bodies)} parts, {same} with the same words ({n_words} of them); '
              f'{n_uris} URIs of SpamAssassin among ours, {more} of ours it does not have')


def parts_below(directory):
    """Text parts of stored messages, by subtype, as UTF-8."""
    found = {'html': [], 'plain': []}
    for root, _, names in sorted(os.walk(directory)):
        for name in sorted(names):
            with open(os.path.join(root, name), 'rb') as f:
                raw = f.read()
            try:
                message = email.message_from_bytes(raw)
                for p in message.walk():
                    kind = p.get_content_subtype()
                    if p.get_content_maintype() != 'text' or kind not in found or p.is_multipart():
                        continue
                    data = p.get_payload(decode=True) or b''
                    data = data.decode(p.get_content_charset('us-ascii'), 'replace')
                    data = data.replace('\r\n', '\n').replace('\x00', '')
                    if data.strip():
                        found[kind].append(data.encode('utf-8', 'replace'))
            except (LookupError, ValueError, AssertionError, IndexError):
                continue  # what Python's parser cannot read is not for this test
    return found


def check_known(tally, script, tool, where):
    for mode in ('html', 'plain'):
        rows = [k for k in KNOWN if k[0] == mode]
        theirs = run_sa(script, [HEAD % mode.encode() + k[1].encode() for k in rows], where)
        ours = run_ours(tool, 'html' if mode == 'html' else 'text', [k[1].encode() for k in rows], where)
        for k, a, b in zip(rows, theirs, ours):
            got = text(b['text']), [text(u) for u in b['uris']]
            if got != (k[2], k[3]):
                tally.fail('known', k[1], 'ours', got, 'expected', k[2:4])
            their_words = ' '.join(words(''.join(p + ' ' for p in a['body'][1:])))
            missing = sorted({text(u) for u in a['uris']} - set(got[1]))
            if their_words != k[4] or (k[5] is not None and missing != sorted(k[5])):
                tally.fail('known', k[1], 'theirs', their_words, missing, 'expected', k[4:6])


def check_headers(tally, script, tool, where):
    rng = random.Random(5322)
    values = [f'{n} {a}' for n in NAMES for a in ADDRESSES] + BARE
    messages = [f'From: {v}\nSubject: S\n\nx\n'.encode() for v in values + [k[0] for k in KNOWN_FROM]]
    theirs = run_sa(script, messages, where)
    raw = [v.encode() for v in values + [k[0] for k in KNOWN_FROM]]
    ours = list(zip(run_ours(tool, 'address', raw, where), run_ours(tool, 'name', raw, where)))
    for i, (a, (address, name)) in enumerate(zip(theirs, ours)):
        got = text(address['text']), text(name['text'])
        their = tuple(text((a['head'][k] or '').rstrip('\n')) for k in ('From:addr', 'From:name'))
        want = (got, got) if i < len(values) else (KNOWN_FROM[i - len(values)][1:3],
                                                     KNOWN_FROM[i - len(values)][3:5])
        if (got, their) != want:
            tally.fail(raw[i], 'ours', got, 'theirs', their)
    print(f'From: {len(values)} values with the same address and name')
    subjects = [rng.choice(['', ' ', '\n ', ' x ']).join(rng.choice(SUBJECT) for _ in range(rng.randint(1, 5)))
                for _ in range(300)]
    raw = [s.encode() for s in subjects + [k[0] for k in KNOWN_SUBJECT]]
    theirs = run_sa(script, [b'Subject: ' + r + b'\n\nx\n' for r in raw], where)
    for i, (a, b) in enumerate(zip(theirs, run_ours(tool, 'decode', raw, where))):
        got, their = text(b['text']), text((a['head']['Subject'] or '').rstrip('\n'))
        want = (got.rstrip(), got.rstrip()) if i < len(subjects) else KNOWN_SUBJECT[i - len(subjects)][1:]
        if (got.rstrip(), their.rstrip()) != want:
            tally.fail(raw[i], 'ours', got, 'theirs', their)
    print(f'Subject: {len(subjects)} values')


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    tool, script = sys.argv[1:3]
    count = int(sys.argv[3]) if len(sys.argv) > 3 else 600
    tally = Tally()
    with tempfile.TemporaryDirectory() as where:
        check_known(tally, script, tool, where)
        tally.compare('generated HTML', 'html', generated_html(count), script, tool, where)
        tally.compare('generated text', 'plain', generated_text(count // 3), script, tool, where)
        check_headers(tally, script, tool, where)
        if len(sys.argv) > 4 and os.path.isdir(sys.argv[4]):
            for mode, parts in parts_below(sys.argv[4]).items():
                tally.compare(f'{mode} parts of stored messages', mode, parts, script, tool, where)
    for kind, n in sorted(tally.kinds.items()):
        print(f'differs as is known, {kind}: {n}')
    if tally.failed:
        sys.exit(f'{tally.failed} differences that nobody expected')


main()
