#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""Differential test of the DKIM verifier and of the header block.

usage: dkim_differential.py DKIM_TOOL ANNOTATE_TOOL PERL_SCRIPT

Keys are made here. Messages are signed by dkimpy in every canonicalization over odd bodies and
headers; our verifier, dkimpy and Mail::DKIM must all pass each, and all fail each broken variant.
"""
import base64
import json
import os
import random
import subprocess
import sys
import tempfile
import time

try:
    import dkim
    import nacl.signing
except ImportError:
    print('no dkimpy or PyNaCl')
    sys.exit(77)

DKIM_TOOL, ANNOTATE_TOOL, PERL = sys.argv[1:4]
DOMAIN = b'example.com'
failures = []
counted = 0


def openssl(*args, stdin=None):
    return subprocess.run(['openssl', *args], input=stdin, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, check=True).stdout


def make_keys():
    keys, table = {}, {}
    for bits in (1024, 2048, 4096):
        pem = openssl('genrsa', '-traditional', str(bits))
        der = openssl('rsa', '-pubout', '-outform', 'DER', stdin=pem)
        keys['rsa%d' % bits] = pem
        table['rsa%d' % bits] = 'v=DKIM1; k=rsa; p=' + base64.b64encode(der).decode()
    seed = nacl.signing.SigningKey.generate()
    keys['ed'] = base64.b64encode(bytes(seed))
    table['ed'] = 'v=DKIM1; k=ed25519; p=' + base64.b64encode(bytes(seed.verify_key)).decode()
    return keys, table


KEYS, TABLE = make_keys()
HEAD = (b'Received: from a.example (a.example [192.0.2.1])\r\n\tby b.example; Tue, 14 Nov 2023 22:13:20 +0000\r\n'
        b'From: Alice <alice@example.com>\r\nTo: bob@example.net\r\nSubject: a test\r\n'
        b'Date: Tue, 14 Nov 2023 22:13:20 +0000\r\nMessage-ID: <1@example.com>\r\n')
ODD_HEAD = (b'FROM:alice@example.com\r\nsubject:   runs \t of\r\n \t\r\n\twhite   space \t \r\n'
            b'To: one@example.net,\r\n  two@example.net\r\nX-Dup: 1\r\nX-Dup: 2\r\nX-Dup:\r\n 3\r\nX-Empty:\r\n')
BODIES = {
    'empty': b'',
    'crlf': b'\r\n',
    'plain': b'Hello\r\nworld\r\n',
    'no-crlf': b'Hello\r\nworld',
    'blank-end': b'Hello\r\n\r\n\r\n\r\n',
    'blank-front': b'\r\n\r\nHello\r\n',
    'wsp': b'a  b\t\tc \t\r\n \r\n\t\r\n  d\r\n',
    'wsp-end': b'text\r\n \r\n\t \r\n\r\n',
    'only-wsp': b' \t \r\n',
    'dots': b'.\r\n..\r\nFrom me\r\n',
    '8bit': 'Gr\u00fc\u00dfe\r\n'.encode() + bytes(range(128, 256)) + b'\r\n',
    'long': b'x' * 100000 + b'\r\n',
    'big': b''.join(b'line %d  with\t words \r\n' % i for i in range(20000)),
    'many-blank': b'a\r\n' + b'\r\n' * 5000 + b'b\r\n' + b'\r\n' * 5000,
}


def sign(message, key='rsa2048', canon=(b'relaxed', b'relaxed'), **more):
    algorithm = b'ed25519-sha256' if key == 'ed' else b'rsa-sha256'
    return dkim.sign(message, key.encode(), DOMAIN, KEYS[key], canonicalize=canon,
                     signature_algorithm=algorithm, **more) + message


def perl_agrees(canon, body):
    """Mail::DKIM does not add the CRLF that RFC 6376 3.4.3 adds to a body without one."""
    return not (canon[1] == b'simple' and body == 'no-crlf')


class Batch:
    """Messages with what is expected of each, verified in one go by all three."""

    def __init__(self, directory, table=None):
        self.directory, self.items = directory, []
        self.table = dict(TABLE if table is None else table)
        self.keys = os.path.join(directory, 'keys')

    def add(self, label, message, want, others=True, perl=True):
        path = os.path.join(self.directory, '%d.eml' % len(self.items))
        with open(path, 'wb') as f:
            f.write(message)
        self.items.append((label, message, want, others, perl, path))

    def dns(self, name, timeout=5):
        if isinstance(name, str):
            name = name.encode()
        selector = name.split(b'.')[0].decode()
        text = self.table.get(selector, '!nxdomain')
        return None if text.startswith('!') else text.encode()

    def run(self):
        global counted
        with open(self.keys, 'w') as f:
            for name, text in self.table.items():
                for one in text if isinstance(text, list) else [text]:
                    f.write('%s._domainkey.example.com\t%s\n' % (name, one))
        paths = [i[5] for i in self.items]
        for args in ([], ['-p', '1021'], ['-p', '7']):
            small = [i for i in self.items if not args or len(i[1]) < 200000]
            out = subprocess.run([DKIM_TOOL, '-n', str(int(time.time())), *args, self.keys, *[i[5] for i in small]],
                                 stdout=subprocess.PIPE, check=True).stdout.splitlines()
            if len(out) != len(small):
                failures.append('verifier printed %d lines for %d messages' % (len(out), len(small)))
            for (label, _, want, *_), line in zip(small, out):
                got = [s['result'] for s in json.loads(line)]
                counted += 1
                if got != want:
                    failures.append('%s %s: ours %s, wanted %s' % (label, args, line.decode(), want))
        perl = subprocess.run(['perl', PERL, self.keys, *paths], stdout=subprocess.PIPE, check=True)
        for (label, message, want, others, with_perl, _), line in zip(self.items, perl.stdout.splitlines()):
            want_pass = want[:1] == ['pass']
            if others:
                try:
                    got = dkim.verify(message, dnsfunc=self.dns)
                except dkim.DKIMException:
                    got = False
                counted += 1
                if got != want_pass:
                    failures.append('%s: dkimpy %s, ours wanted %s' % (label, got, want))
            if others and with_perl:
                got = line.decode().split()[:1] == ['pass']
                counted += 1
                if got != want_pass:
                    failures.append('%s: Mail::DKIM %s, ours wanted %s' % (label, line.decode(), want))


def good(directory):
    batch = Batch(directory)
    for canon in [(a, b) for a in (b'simple', b'relaxed') for b in (b'simple', b'relaxed')]:
        tag = b'/'.join(canon).decode()
        for name, body in BODIES.items():
            for head, which in ((HEAD, 'plain'), (ODD_HEAD, 'odd')):
                m = head + b'\r\n' + body
                batch.add('%s %s %s' % (tag, name, which), sign(m, canon=canon), ['pass'],
                          perl=perl_agrees(canon, name))
        m = HEAD + b'\r\n' + BODIES['wsp']
        for key in ('rsa1024', 'rsa4096'):
            batch.add(tag + ' ' + key, sign(m, key, canon), ['pass'])
        batch.add(tag + ' ed25519', sign(m, 'ed', canon), ['pass'], perl=False)
        over = [b'from', b'from', b'to', b'subject', b'subject', b'reply-to']
        batch.add(tag + ' oversigned', sign(m, canon=canon, include_headers=over), ['pass'])
        dup = [b'from', b'x-dup', b'x-dup', b'x-empty', b'x-none']
        batch.add(tag + ' duplicates', sign(ODD_HEAD + b'\r\nx\r\n', canon=canon, include_headers=dup), ['pass'])
        batch.add(tag + ' l=', sign(m, canon=canon, length=True), ['pass'])
        batch.add(tag + ' l= and more', sign(m, canon=canon, length=True) + b'added\r\n', ['pass'])
        two = sign(sign(m, 'rsa1024', canon), 'rsa2048', canon)
        batch.add(tag + ' two', two, ['pass', 'pass'])
        # A new field above the signed ones is not chosen.
        batch.add(tag + ' X-Dup on top', b'X-Dup: 0\r\n' +
                  sign(ODD_HEAD + b'\r\nx\r\n', canon=canon, include_headers=dup), ['pass'])
    batch.run()


def broken(directory):
    batch = Batch(directory)
    rng = random.Random(1)
    for canon in [(a, b) for a in (b'simple', b'relaxed') for b in (b'simple', b'relaxed')]:
        tag = b'/'.join(canon).decode()
        m = HEAD + b'\r\nHello  world\r\nsecond line\r\n'
        good_one = sign(m, canon=canon)
        batch.add(tag + ' body', good_one.replace(b'Hello', b'hello'), ['fail'])
        batch.add(tag + ' subject', good_one.replace(b'a test', b'another'), ['fail'])
        batch.add(tag + ' body longer', good_one + b'x\r\n', ['fail'])
        batch.add(tag + ' body shorter', good_one[:-13], ['fail'])
        batch.add(tag + ' second Subject', good_one.replace(b'\r\n\r\n', b'\r\nSubject: new\r\n\r\n', 1), ['fail'])
        over = sign(m, canon=canon, include_headers=[b'from', b'from', b'subject', b'subject'])
        batch.add(tag + ' oversigned added', b'Subject: new\r\n' + over, ['fail'])
        cut = sign(m, canon=canon, length=True)
        batch.add(tag + ' l= cut short', cut[:-13], ['permerror'], others=False)
        loose = canon[1] == b'relaxed'
        batch.add(tag + ' body spaces', good_one.replace(b'Hello  world', b'Hello \t world '),
                  ['pass' if loose else 'fail'])
        loose = canon[0] == b'relaxed'
        batch.add(tag + ' header spaces', good_one.replace(b'Subject: a test', b'SUBJECT:a  \r\n\ttest '),
                  ['pass' if loose else 'fail'])
        # One octet of what is signed changed to another letter, anywhere but in white space.
        start, n = good_one.index(b'From: Alice') + 6, 0
        while n < 25:
            i = rng.randrange(start, len(good_one))
            if not chr(good_one[i]).isalnum():
                continue
            flipped = bytes([good_one[i] ^ 1])
            if not flipped.isalnum() or good_one[:i].count(b'Received: from') > 1:
                continue
            name = good_one[:i].rsplit(b'\r\n', 1)[-1]
            if b':' not in name and i < good_one.index(b'\r\n\r\n'):
                continue
            batch.add('%s mutated at %d' % (tag, i), good_one[:i] + flipped + good_one[i + 1:], ['fail'])
            n += 1
        # A digit of b= changed.
        at = good_one.index(b' b=') + 10
        batch.add(tag + ' b=', good_one[:at] + (b'A' if good_one[at:at + 1] != b'A' else b'B') +
                  good_one[at + 1:], ['fail'])
    batch.run()


def keys(directory):
    table = dict(TABLE)
    p = TABLE['rsa2048'].split('p=')[1]
    other = TABLE['rsa1024']
    cases = {
        'bare': ('p=' + p, 'pass'), 'spaced': ('v=DKIM1 ; h = sha1 : sha256 ; s=email ; p= ' + p[:50] + ' ' + p[50:], 'pass'),
        'testing': ('v=DKIM1; t=y; p=' + p, 'pass'), 'strict': ('v=DKIM1; t=s; p=' + p, 'pass'),
        'revoked': ('v=DKIM1; p=', 'permerror'), 'none': ('!nxdomain', 'permerror'),
        'nodata': ('!nodata', 'permerror'), 'tempfail': ('!tempfail', 'temperror'),
        'sha1': ('v=DKIM1; h=sha1; p=' + p, 'permerror'), 'service': ('v=DKIM1; s=other; p=' + p, 'permerror'),
        'type': ('v=DKIM1; k=ed25519; p=' + p, 'permerror'), 'wrong': (other, 'fail'),
        'several': ([other, 'v=spf1 -all', 'v=DKIM1; p=' + p], 'pass'),
        'revoked-too': (['v=DKIM1; p=', 'v=DKIM1; p=' + p], 'pass'),
        'junk': ('not a key', 'permerror'), 'twice': ('p=' + p + '; p=' + p, 'permerror'),
    }
    m = HEAD + b'\r\nHello\r\n'
    batch = Batch(directory, {})
    for name, (text, want) in cases.items():
        KEYS[name] = KEYS['rsa2048']
        batch.table[name] = text
        # The other two differ from each other where records are broken or several.
        agree = name in ('bare', 'testing', 'strict', 'revoked', 'none', 'wrong')
        batch.add('key ' + name, sign(m, name), [want], others=agree)
    small = openssl('genrsa', '-traditional', '512')
    KEYS['small'] = small
    batch.table['small'] = 'v=DKIM1; p=' + base64.b64encode(
        openssl('rsa', '-pubout', '-outform', 'DER', stdin=small)).decode()
    batch.add('key of 512 bits', sign(m, 'small'), ['policy'], others=False)
    KEYS['pkcs1'] = KEYS['rsa2048']
    batch.table['pkcs1'] = 'v=DKIM1; p=' + base64.b64encode(
        openssl('rsa', '-RSAPublicKey_out', '-outform', 'DER', stdin=KEYS['rsa2048'])).decode()
    batch.add('RSAPublicKey', sign(m, 'pkcs1'), ['pass'], others=False)
    batch.add('identity', sign(m, 'bare', identity=b'x@sub.example.com'), ['pass'])
    batch.add('identity against t=s', sign(m, 'strict', identity=b'x@sub.example.com'), ['permerror'], others=False)
    sha1 = dkim.sign(m, b'bare', DOMAIN, KEYS['rsa2048'], signature_algorithm=b'rsa-sha1') + m
    batch.add('rsa-sha1', sha1, ['permerror'], others=False)
    many = m
    for _ in range(12):
        many = sign(many, 'bare')
    batch.add('twelve signatures', many, ['pass'] * 10 + ['neutral'] * 2, others=False)
    # Junk does not take a place from a real one.
    junk = b'DKIM-Signature: v=1; junk\r\n' * 12
    batch.add('junk on top', junk + sign(m, 'bare'), ['permerror'] * 12 + ['pass'], others=False)
    batch.run()


def annotated(directory):
    """With our block in front every signature still verifies, for dkimpy as for us."""
    batch = Batch(directory)
    forged = b'X-Postern-Score: -99\r\nAuthentication-Results: (x) mx.example.net; dkim=pass\r\n'
    for canon in ((b'simple', b'simple'), (b'relaxed', b'relaxed')):
        for name, body in BODIES.items():
            m = sign(HEAD + b'\r\n' + body, canon=canon)
            path = os.path.join(directory, 'in.eml')
            for label, raw, removed in ((name, m, 0), (name + ' forged', forged + m, 1)):
                with open(path, 'wb') as f:
                    f.write(raw)
                run = subprocess.run([ANNOTATE_TOOL, path], stdout=subprocess.PIPE,
                                     stderr=subprocess.PIPE, check=True)
                if not run.stdout.endswith(m) or int(run.stderr) != removed:
                    failures.append('annotate %s: octets changed' % label)
                batch.add('annotate ' + label, run.stdout, ['pass'], perl=perl_agrees(canon, name))
    # An oversigned name of ours: our field voids it, and every verifier says so.
    m = sign(HEAD + b'\r\nx\r\n', include_headers=[b'from', b'x-postern-score'])
    with open(os.path.join(directory, 'in.eml'), 'wb') as f:
        f.write(m)
    out = subprocess.run([ANNOTATE_TOOL, os.path.join(directory, 'in.eml')], stdout=subprocess.PIPE,
                         stderr=subprocess.DEVNULL, check=True).stdout
    batch.add('oversigned name of ours', m, ['pass'])
    batch.add('oversigned name of ours annotated', out, ['fail'])
    batch.run()


for part in (good, broken, keys, annotated):
    with tempfile.TemporaryDirectory() as where:
        before = len(failures)
        part(where)
        print('%s: %d verdicts so far, %d failures' % (part.__name__, counted, len(failures) - before))
for f in failures[:40]:
    print('FAIL', f)
sys.exit(1 if failures else 0)
