#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""Differential test of DKIM over generated messages, both directions.

usage: dkim_generated.py DKIM_TOOL DKIM_SIGN VERIFY_PL SIGN_PL [MESSAGES [SEED]]

Each message is made at random, signed by us, dkimpy or Mail::DKIM with a random key, and verified by
all three as it is and in five mutations. All must agree. Where one does not, a rule below must name
the reason; the rules together may explain at most one case in a hundred.
"""
import base64
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
import warnings

try:
    import dkim
    import nacl.signing
except ImportError:
    print('no dkimpy or PyNaCl')
    sys.exit(77)

TOOL, SIGN, VERIFY_PL, SIGN_PL = sys.argv[1:5]
COUNT = int(sys.argv[5]) if len(sys.argv) > 5 else 2400
SEED = int(sys.argv[6]) if len(sys.argv) > 6 else 1
MUTATIONS, BATCH, SHOWN = 5, 200, 15
NOW = int(time.time())
DAY = 24 * 3600
rng = random.Random(SEED)
warnings.simplefilter('ignore')


def openssl(*args, stdin=None):
    return subprocess.run(['openssl', *args], input=stdin, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, check=True).stdout


# ---- keys: what is published of each, by selector ----------------------------------------------

class Keys:
    RSA = ('rsa1024', 'rsa2048', 'rsa3072', 'rsa4096')

    def __init__(self, where):
        self.pem, self.path, self.table = {}, {}, {}
        for name in self.RSA:
            pem = openssl('genrsa', '-traditional', name[3:])
            self.add(name, pem, 'k=rsa; ', openssl('rsa', '-pubout', '-outform', 'DER', stdin=pem))
        seed = nacl.signing.SigningKey.generate()
        # The PKCS #8 form of RFC 8410 for us, the bare seed for dkimpy.
        der = bytes.fromhex('302e020100300506032b657004220420') + bytes(seed)
        self.add('ed', openssl('pkey', '-inform', 'DER', stdin=der), 'k=ed25519; ', bytes(seed.verify_key))
        self.seed = base64.b64encode(bytes(seed))
        for name, pem in self.pem.items():
            self.path[name] = os.path.join(where, name + '.pem')
            with open(self.path[name], 'wb') as f:
                f.write(pem)

    def add(self, name, pem, kind, public):
        p = base64.b64encode(public).decode()
        half = len(p) // 2
        self.pem[name] = pem
        rsa = kind == 'k=rsa; '
        forms = {
            '': 'v=DKIM1; %sp=%s' % (kind, p),
            '-bare': (kind if not rsa else '') + 'p=' + p,
            '-space': 'v=DKIM1 ;  %s p=%s %s ;' % (kind, p[:half], p[half:]),
            '-flags': 'v=DKIM1; t=y:s; n=a note; s=email; %sh=sha256; p=%s' % (kind, p),
            '-unknown': 'v=DKIM1; z=what; %sp=%s' % (kind, p),
            '-revoked': 'v=DKIM1; %sp=' % kind,
            '-version': 'v=DKIM2; %sp=%s' % (kind, p),
            '-cut': 'v=DKIM1; %sp=%s' % (kind, p[:half // 4 * 4]),
            '-none': '!nxdomain',
        }
        for form, text in forms.items():
            self.table[name + form] = text
        self.good = ['', '', '', '', '-bare', '-space', '-flags', '-unknown']
        self.bad = ['-revoked', '-version', '-cut', '-none']

    def dns(self, name, timeout=5):
        name = name.decode() if isinstance(name, bytes) else name
        text = self.table.get(name.split('._domainkey.')[0].lower(), '!')
        return None if text.startswith('!') else text.encode()

    def write(self, path, domains):
        with open(path, 'w') as f:
            for domain in domains:
                f.writelines('%s._domainkey.%s\t%s\n' % (s, domain, t) for s, t in self.table.items())


# ---- messages -----------------------------------------------------------------------------------

DOMAINS = ('example.com', 'mail.example.org', 'a-b.example')
WORDS = ('alpha', 'beta', 'Gamma', 'x', 'long' * 12, '=?utf-8?q?gr=C3=BCn?=', '1.5', 'a:b', 'c;d', '"q q"')
EIGHT = ('gr\u00fcn', '\u65e5\u672c', '\u20ac')


def spaces():
    return rng.choice(('', ' ', ' ', ' ', '  ', '\t', ' \t '))


def text(n, fold):
    """Words with white space and folds between."""
    out = []
    for _ in range(n):
        out.append(rng.choice(EIGHT) if rng.random() < 0.04 else rng.choice(WORDS))
        out.append(rng.choice((' ', ' ', '  ', ' \t', '\r\n ', '\r\n\t', '\r\n   ') if fold else (' ', ' ', '\t')))
    return ''.join(out[:-1])


def field(name, value):
    name = rng.choice((name, name, name, name.lower(), name.upper()))
    return name + ':' + spaces() + value + rng.choice(('', '', '', ' ', '\t ')) + '\r\n'


def header(i):
    fields = [field('Received', 'from a%d.example by b.example; Tue, 14 Nov 2023 22:13:20 +0000' % k)
              for k in range(rng.randrange(0, 3))]
    fields.append(field('From', rng.choice(('a@example.com', 'Alice <a@example.com>', '"A, B"\r\n <a@example.com>'))))
    fields.append(field('To', ','.join('u%d@example.net' % k for k in range(rng.randrange(1, 5)))))
    fields.append(field('Subject', text(rng.randrange(0, 9), rng.random() < 0.4)))
    fields.append(field('Date', 'Tue, 14 Nov 2023 22:13:20 +0000'))
    fields.append(field('Message-ID', '<%d@example.com>' % i))
    for _ in range(rng.randrange(0, 4)):
        fields.append(field(rng.choice(('X-Dup', 'X-Dup', 'X-Other', 'Comments')), text(rng.randrange(0, 4), True)))
    if rng.random() < 0.1:
        fields.append(field('X-Long', 'w' * rng.choice((997, 998, 1500, 9000))))
    if rng.random() < 0.3:
        fields += [field('MIME-Version', '1.0'), field('Content-Type', 'text/plain;\r\n\tcharset=utf-8')]
    rng.shuffle(fields)
    return ''.join(fields)


def body():
    kind = rng.random()
    if kind < 0.06:
        return b''
    if kind < 0.12:
        return b'\r\n' * rng.randrange(1, 4)
    if kind < 0.14:
        return b'x' * rng.choice((998, 999, 70000)) + b'\r\n'
    out = []
    for _ in range(rng.randrange(1, 12)):
        line = rng.random()
        if line < 0.2:
            out.append(rng.choice(('', '', ' ', '\t', ' \t ')).encode())
        elif line < 0.25:
            out.append(bytes(rng.choices(range(128, 256), k=20)))
        else:
            out.append((spaces() + text(rng.randrange(1, 8), False) + spaces()).encode())
    out = b'\r\n'.join(out) + b'\r\n' * rng.choice((1, 1, 1, 2, 4))
    return out


class Case:
    def __init__(self, label, message, features):
        self.label, self.message, self.features = label, message, features


def names_for(head):
    """A list for h=: From, then what there is, duplicates and names that are not there."""
    there = [f.split(':')[0] for f in re.split(r'\r\n(?![ \t])', head) if f]
    names = ['from'] + [n for n in there if n.lower() != 'from' and rng.random() < 0.7]
    names += rng.choices(['from', 'subject', 'x-none', 'reply-to'], k=rng.randrange(0, 3))
    if rng.random() < 0.5:
        rng.shuffle(names)
    return [n.lower() if rng.random() < 0.5 else n for n in names]


# What a signature may say beyond the plain one: a tag, and how often it is tried. All are signed as
# they stand, so that a verifier has to look at the tag itself.
SEMANTIC = (('x-past', 8), ('t-future', 4), ('x-ok', 12), ('i-sub', 12), ('i-out', 6), ('no-from', 4), ('v2', 4),
            ('unknown', 12), ('order', 12), ('l-part', 14), ('l-all', 8), ('l-zero', 4), ('l-over', 2), ('sha1', 2),
            ('no-c', 8), ('c-one', 8), ('fold-b', 12), ('bad-c', 4), ('q', 6), ('q-bad', 4), ('space', 10),
            ('twice', 2), ('bare', 2), ('cut', 3))
# On these the others differ by a rule below, in every mutation alike: they are tried as they are.
ALONE = ('t-future', 'no-from', 'l-zero', 'l-over', 'sha1', 'twice', 'bare', 'cut')


class Maker:
    def __init__(self, keys, where):
        self.keys, self.where, self.n = keys, where, 0

    def path(self, message):
        path = os.path.join(self.where, 'm%d' % self.n)
        self.n += 1
        with open(path, 'wb') as f:
            f.write(message)
        return path

    def template(self, f, names, head_c, body_c, length):
        """The DKIM-Signature as the job of our signer, with what f says."""
        what = f['what']
        tags = [('v', '2' if what == 'v2' else '1'),
                ('a', 'rsa-sha1' if what == 'sha1' else 'ed25519-sha256' if f['key'] == 'ed' else 'rsa-sha256'),
                ('d', f['domain']), ('s', f['selector']), ('h', ':'.join(names)), ('bh', '%B')]
        c = '%s/%s' % (head_c, body_c)
        if what == 'bad-c':
            c = 'nowsp/nowsp'
        if what == 'c-one':
            c = head_c
        if what != 'no-c':
            tags.insert(2, ('c', c))
        if length is not None:
            tags.append(('l', str(length)))
        more = {'x-past': [('t', NOW - 9 * DAY), ('x', NOW - 2 * DAY)], 't-future': [('t', NOW + 2 * DAY)],
                'x-ok': [('t', NOW - 9), ('x', NOW + DAY)], 'i-sub': [('i', 'u@sub.' + f['domain'])],
                'i-out': [('i', 'u@x' + f['domain'])], 'unknown': [('zz', 'a b'), ('r', 'y')],
                'q': [('q', 'dns/txt')], 'q-bad': [('q', 'http')], 'twice': [('d', f['domain'])]}
        tags += [(k, str(v)) for k, v in more.get(what, [])]
        if what == 'order':
            rng.shuffle(tags)
        gap, eq = rng.choice((('; ', '='), (';%F', '='), (';', '='))), '='
        if what == 'space':
            eq = ' = '
        text = gap[0].join(k + eq + v for k, v in tags)
        b = ('%F' if what == 'fold-b' else '') + '%S'
        return 'DKIM-Signature: ' + text + gap[0] + 'b' + eq + b

    def ours(self, f, head, content):
        names = names_for(head)
        head_c, body_c = f['canon']
        if f['what'] == 'no-from':
            names = [n for n in names if n.lower() != 'from'] or ['subject']
        if f['what'] == 'no-c':
            head_c = body_c = 'simple'
        if f['what'] == 'c-one':
            body_c = 'simple'
        if f['what'] == 'bad-c':
            head_c = body_c = 'simple'
        length = {'l-part': rng.randrange(1, 40), 'l-zero': 0, 'l-all': 'all', 'l-over': 'over'}.get(f['what'])
        whole = len(canonical_body(content, body_c))
        if length in ('all', 'over'):
            length = whole + 7 * (length == 'over')
        elif length is not None:
            length = min(length, whole)
        template = self.template(f, names, head_c, body_c, length)
        path = self.path(head.encode() + b'\r\n' + content)
        return '\t'.join((self.keys.path[f['key']], head_c, body_c, '-' if length is None else str(length),
                          ':'.join(names), template, path)), path

    def mail_dkim(self, f, head, content):
        names = [n for n in names_for(head) if ' ' not in n]
        path = self.path(head.encode() + b'\r\n' + content)
        identity = 'u@sub.' + f['domain'] if f['what'] == 'i-sub' else '-'
        return '\t'.join((self.keys.path[f['key']], '/'.join(f['canon']), f['domain'], f['selector'],
                          ':'.join(names) if rng.random() < 0.7 else '-', identity, path)), path

    def dkimpy(self, f, head, content):
        message = head.encode() + b'\r\n' + content
        more = {'length': True} if f['what'] in ('l-all', 'l-part') else {}
        if f['what'] == 'i-sub':
            more['identity'] = b'u@sub.' + f['domain'].encode()
        if rng.random() < 0.7:
            # It refuses to sign these two.
            more['include_headers'] = [n.encode() for n in names_for(head) if n.lower() not in ('received', 'comments')]
        ed = f['key'] == 'ed'
        sha1 = f['what'] == 'sha1' and not ed
        made = dkim.sign(message, f['selector'].encode(), f['domain'].encode(),
                         self.keys.seed if ed else self.keys.pem[f['key']],
                         canonicalize=tuple(c.encode() for c in f['canon']),
                         signature_algorithm=b'ed25519-sha256' if ed else b'rsa-sha1' if sha1 else b'rsa-sha256', **more)
        return made + message

    def messages(self, count, first):
        jobs, perl, out = [], [], []
        for i in range(first, first + count):
            who = rng.choice(('ours', 'ours', 'dkimpy', 'perl'))
            f = {'by': who, 'domain': rng.choice(DOMAINS), 'what': '',
                 'canon': (rng.choice(('simple', 'relaxed')), rng.choice(('simple', 'relaxed')))}
            f['key'] = rng.choice(Keys.RSA + (('ed',) if who != 'perl' else ()))
            form = rng.choice(self.keys.good) if rng.random() < 0.93 else rng.choice(self.keys.bad)
            f['selector'], f['form'] = f['key'] + form, form
            if rng.random() < 0.55:
                f['what'] = rng.choices([s[0] for s in SEMANTIC], [s[1] for s in SEMANTIC])[0]
            head, content = header(i), body()
            if f['what'] == 'cut':
                content = content.rstrip(b'\r\n') or b'x'
            if f['what'] == 'bare':
                content = b'one\ntwo\rthree\r\n'
            label = '%d by %s %s %s %s' % (i, who, '/'.join(f['canon']), f['selector'], f['what'])
            if who == 'dkimpy':
                out.append(Case(label, self.dkimpy(f, head, content), f))
                continue
            job, path = (self.ours if who == 'ours' else self.mail_dkim)(f, head, content)
            (jobs if who == 'ours' else perl).append(job)
            out.append(Case(label, path, f))
        subprocess.run([SIGN], input='\n'.join(jobs + ['']).encode(), check=True)
        subprocess.run(['perl', SIGN_PL], input='\n'.join(perl + ['']).encode(), check=True)
        for case in out:
            if isinstance(case.message, str):
                with open(case.message + '.signed', 'rb') as f:
                    case.message = f.read()
        return out


def canonical_body(content, how):
    """Only its length is used, so that l= can name it."""
    if how == 'relaxed':
        content = re.sub(rb'[ \t]+', b' ', re.sub(rb'[ \t]+(?=\r\n|$)', b'', content))
    content = re.sub(rb'(\r\n)*\Z', b'', content)
    return content + b'\r\n' if content or how == 'simple' else b''


# ---- mutations ----------------------------------------------------------------------------------

def split(message):
    head, _, rest = message.partition(b'\r\n\r\n')
    return re.split(rb'\r\n(?![ \t])', head), rest


def join(fields, rest):
    return b'\r\n'.join(fields) + b'\r\n\r\n' + rest


def pick(fields):
    """Any field but the signature."""
    return rng.choice([i for i, x in enumerate(fields) if not x.lower().startswith(b'dkim-signature')])


def header_case(fields, rest):
    i = pick(fields)
    name, _, value = fields[i].partition(b':')
    fields[i] = name.swapcase() + b':' + value
    return fields, rest


def header_space(fields, rest):
    i = pick(fields)
    name, _, value = fields[i].partition(b':')
    fields[i] = name + b': ' + rng.choice((b'', b' ', b'\t')) + value.lstrip() + rng.choice((b' ', b'\t', b''))
    return fields, rest


def header_fold(fields, rest):
    i = pick(fields)
    name, _, value = fields[i].partition(b':')
    at = [m.start() for m in re.finditer(rb'(?<=\S) (?=\S)', value)]
    if at:
        k = rng.choice(at)
        value = value[:k] + rng.choice((b'\r\n ', b'\r\n\t', b'  ')) + value[k + 1:]
    fields[i] = name + b':' + value
    return fields, rest


def header_octet(fields, rest):
    i = pick(fields)
    name, _, value = fields[i].partition(b':')
    at = [k for k in range(len(value)) if value[k:k + 1].isalnum()]
    if at:
        k = rng.choice(at)
        value = value[:k] + (b'q' if value[k:k + 1] != b'q' else b'p') + value[k + 1:]
    fields[i] = name + b':' + value
    return fields, rest


def header_order(fields, rest):
    rng.shuffle(fields)
    return fields, rest


def header_twice(fields, rest):
    copy = fields[pick(fields)]
    if copy.lower().startswith(b'from:') and rng.random() < 0.8:  # a rule below
        copy = fields[pick(fields)]
    fields.insert(rng.randrange(len(fields) + 1), copy)
    return fields, rest


def header_gone(fields, rest):
    if len(fields) > 2:
        del fields[pick(fields)]
    return fields, rest


def header_new(fields, rest):
    fields.insert(rng.randrange(len(fields) + 1), rng.choice((b'X-New: 1', b'X-Dup: 9', b'Subject: new', b'Reply-To: z')))
    return fields, rest


def body_space(fields, rest):
    at = [m.start() for m in re.finditer(rb'[ \t]|\r\n', rest)]
    if at:
        k = rng.choice(at)
        rest = rest[:k] + rng.choice((b' ', b'\t', b'  ')) + rest[k:]
    return fields, rest


def body_line(fields, rest):
    at = [m.end() for m in re.finditer(rb'\r\n', rest)]
    k = rng.choice(at) if at else len(rest)
    return fields, rest[:k] + rng.choice((b'\r\n', b'new line\r\n', b' \r\n')) + rest[k:]


def body_more(fields, rest):
    return fields, rest + rng.choice((b'\r\n', b'\r\n\r\n', b' \r\n', b'more\r\n', b'\r\n \r\nx\r\n'))


def body_octet(fields, rest):
    at = [k for k in range(min(len(rest), 4000)) if rest[k:k + 1].isalnum()]
    if at:
        k = rng.choice(at)
        rest = rest[:k] + (b'q' if rest[k:k + 1] != b'q' else b'p') + rest[k + 1:]
    return fields, rest


def body_less(fields, rest):
    lines = rest.split(b'\r\n')
    if len(lines) > 2:
        del lines[rng.randrange(len(lines) - 1)]
    return fields, b'\r\n'.join(lines)


def signature(change):
    def mutate(fields, rest):
        i = next(k for k, x in enumerate(fields) if x.lower().startswith(b'dkim-signature'))
        fields[i] = change(fields[i])
        return fields, rest
    return mutate


def tag_b(x):
    at = [m.end() for m in re.finditer(rb'[;\s]b\s*=\s*', x)][-1] + rng.randrange(4, 60)
    return x[:at] + (b'A' if x[at:at + 1] != b'A' else b'B') + x[at + 1:]


def tag_b_fold(x):
    at = [m.end() for m in re.finditer(rb'[;\s]b\s*=\s*', x)][-1] + rng.randrange(4, 60)
    while x[at - 1:at + 1].strip() != x[at - 1:at + 1]:  # not into a fold
        at += 1
    return x[:at] + rng.choice((b' ', b'\r\n ', b'\r\n\t ')) + x[at:]


def tag_gone(x):
    tag = rng.choice((b'v', b'a', b'bh', b'd', b'h', b's', b'c'))
    return re.sub(rb'(?:(?<=[;\s])|(?<=:))%b\s*=[^;]*(?:;|$)' % tag, b'', x, count=1)


def tag_value(x):
    tag, value = rng.choice(((b'a', b'rsa-sha512'), (b'c', b'relaxed/simple'), (b'd', b'example.net'), (b's', b'nokey'),
                             (b'v', b'11'), (b'h', b'from'), (b'bh', b'AAAA')))
    return re.sub(rb'(?<=[;:\s])%b\s*=[^;]*' % tag, tag + b'=' + value, x, count=1)


def tag_case(x):
    return x.replace(b'rsa-sha256', b'RSA-SHA256').replace(b'bh=', b'BH=')


HARMLESS = (header_case, header_space, header_fold, header_order, body_space, body_more)
MUTATORS = HARMLESS + HARMLESS + (header_octet, header_twice, header_gone, header_new, body_line, body_octet, body_less,
                                  signature(tag_b), signature(tag_b_fold), signature(tag_gone), signature(tag_value),
                                  signature(tag_case))
TITLES = {m: m.__name__ if m.__name__ != 'mutate' else m.__closure__[0].cell_contents.__name__ for m in MUTATORS}


def mutate(case):
    out = []
    if case.features['what'] in ALONE or (case.features['what'], case.features['form']) == ('i-sub', '-flags'):
        return out
    for m in rng.sample(MUTATORS, MUTATIONS):
        message = join(*m(*split(case.message)))
        out.append(Case(case.label + ' ' + TITLES[m], message, dict(case.features, mutation=TITLES[m])))
    return out


# ---- verdicts -----------------------------------------------------------------------------------

RULES = {}


def rule(section):
    """A named difference: which verdict differs (dkimpy or perl) and why ours is the one to have."""
    def add(f):
        RULES[f.__name__.replace('_', '-')] = (section, f)
        return f
    return add


@rule('6376 5.4, 6.1.1')
def from_not_signed(case, ours, dkimpy, perl):
    """A signature that does not cover From is ignored; the others take it."""
    return case.features['what'] == 'no-from' and not ours


@rule('6376 8.15')
def second_from(case, ours, dkimpy, perl):
    """dkimpy always hashes one From more than h= names; RFC 6376 leaves that to the signer (DMARC refuses it)."""
    return len(re.findall(rb'(?im)^from[ \t]*:', split_head(case))) > 1 and not dkimpy and ours == perl


@rule('6376 3.5, l=')
def l_over_body(case, ours, dkimpy, perl):
    """l= must not be larger than the body; the others do not look."""
    return case.features['what'] == 'l-over' and not ours


@rule('6376 3.5, l=')
def l_zero(case, ours, dkimpy, perl):
    """Mail::DKIM takes l=0 for no l= at all."""
    return bool(re.search(rb'(?i)[;\s]l\s*=\s*0\s*(;|$)', split_head(case))) and ours == dkimpy


@rule('6376 3.4.3, 3.5')
def l_in_empty_body(case, ours, dkimpy, perl):
    """The CRLF that stands for an empty body in "simple" is cut by l= as any; Mail::DKIM hashes it whole."""
    return case.features['what'] == 'l-part' and not case.message.partition(b'\r\n\r\n')[2].strip(b'\r\n') and \
        ours == dkimpy


@rule('6376 3.5, t=')
def t_future(case, ours, dkimpy, perl):
    """Mail::DKIM does not look at t=."""
    return case.features['what'] == 't-future' and not ours and not dkimpy


@rule('6376 3.2')
def tag_twice(case, ours, dkimpy, perl):
    """A second tag of a name voids the list; Mail::DKIM takes it."""
    return case.features['what'] == 'twice' and not ours and not dkimpy


@rule('6376 3.6.1, t=s')
def strict_identity(case, ours, dkimpy, perl):
    """dkimpy does not look at t=s."""
    return case.features['what'] == 'i-sub' and case.features['form'] == '-flags' and not ours and not perl


@rule('8301 3.1')
def rsa_sha1(case, ours, dkimpy, perl):
    """Verifiers must not take it any more; the others do."""
    return case.features['what'] == 'sha1' and not ours


@rule('6376 3.4.3')
def no_final_crlf(case, ours, dkimpy, perl):
    """A body without CRLF at its end gets one; Mail::DKIM adds none in "simple", signing and verifying."""
    return case.features['what'] == 'cut' and case.features['canon'][1] == 'simple'


@rule('6376 3.4.4')
def final_space(case, ours, dkimpy, perl):
    """White space at the end goes, where the last line has no CRLF too; dkimpy leaves a space there."""
    return case.features['what'] == 'cut' and case.features['canon'][1] == 'relaxed' and ours == perl


@rule('6376 5.3')
def bare_line_end(case, ours, dkimpy, perl):
    """CR and LF alone are octets of a line to us (and refused before by default); dkimpy makes them CRLF."""
    return case.features['what'] == 'bare'


def split_head(case):
    return case.message.partition(b'\r\n\r\n')[0]


def explain(case, ours, dkimpy, perl):
    for name, (_, f) in RULES.items():
        if f(case, ours, dkimpy, perl):
            return name
    return None


def verify(keys, where, cases):
    paths = []
    for i, case in enumerate(cases):
        paths.append(os.path.join(where, 'v%d.eml' % i))
        with open(paths[-1], 'wb') as f:
            f.write(case.message)
    table = os.path.join(where, 'keys')
    keys.write(table, DOMAINS)
    ours = [subprocess.run([TOOL, '-n', str(NOW), *args, table, *paths], stdout=subprocess.PIPE, check=True)
            .stdout.splitlines() for args in ([], ['-p', '61'])]
    perl = subprocess.run(['perl', VERIFY_PL, table, *paths], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                          check=True).stdout.decode().splitlines()
    assert len(ours[0]) == len(ours[1]) == len(perl) == len(cases)
    for case, whole, pieces, p in zip(cases, *ours, perl):
        got = json.loads(whole)
        assert whole == pieces, case.label
        try:
            d = dkim.verify(case.message, dnsfunc=keys.dns)
        except Exception:  # it raises whatever broken input makes it raise
            d = False
        yield case, got, [s['result'] for s in got] == ['pass'], bool(d), p.split()[:1] == ['pass']


def main():
    counts, failures = {}, []
    total = cases = passed = 0
    by = {}
    with tempfile.TemporaryDirectory() as where:
        keys = Keys(where)
        maker = Maker(keys, where)
        while total < COUNT:
            n = min(BATCH, COUNT - total)
            made = maker.messages(n, total)
            total += n
            batch = []
            for case in made:
                batch += [case] + mutate(case)
            for case, got, ours, dkimpy, perl in verify(keys, where, batch):
                cases += 1
                passed += ours
                by[case.features['by']] = by.get(case.features['by'], 0) + 1
                ed = case.features['key'] == 'ed'  # Mail::DKIM knows RSA only
                if ours == dkimpy and (ed or ours == perl):
                    continue
                name = explain(case, ours, dkimpy, ours if ed else perl)
                counts[name] = counts.get(name, 0) + 1
                if name is None:
                    failures.append((case, got, dkimpy, None if ed else perl))
            for f in os.listdir(where):
                if f.startswith(('v', 'm')):
                    os.unlink(os.path.join(where, f))
    explained = sum(n for name, n in counts.items() if name)
    print('%d messages (%s), %d cases, %d of them pass' %
          (total, ', '.join('%d cases signed by %s' % (n, k) for k, n in sorted(by.items())), cases, passed))
    print('%-28s %-18s %6s %8s' % ('rule', 'RFC', 'cases', 'share'))
    for name, (section, _) in RULES.items():
        n = counts.get(name, 0)
        print('%-28s %-18s %6d %7.3f%%' % (name, section, n, 100 * n / cases))
    print('explained %d (%.3f%%), unexplained %d' % (explained, 100 * explained / cases, len(failures)))
    for case, got, d, p in failures[:SHOWN]:
        print('DIFFERS %s: ours %s, dkimpy %s, Mail::DKIM %s' % (case.label, got, d, p))
        if os.environ.get('KEEP'):
            with open(os.path.join(os.environ['KEEP'], re.sub(r'[^\w.-]', '_', case.label)), 'wb') as f:
                f.write(case.message)
    return 1 if failures or explained > cases / 100 else 0


if __name__ == '__main__':
    sys.exit(main())
