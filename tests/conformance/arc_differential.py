#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""Differential test of ARC, both directions.

usage: arc_differential.py ARC_TOOL PERL_SCRIPT

Keys are made here. Chains of 1 to 10 sets and one of 50 are sealed by us, dkimpy and Mail::DKIM in
any order; all three must pass each chain after each hop, and agree on every broken variant.
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

try:
    import authres  # noqa: F401, dkimpy seals with it
    import dkim
except ImportError:
    print('no dkimpy or authres')
    sys.exit(77)

ARC_TOOL, PERL = sys.argv[1:3]
NOW = int(time.time())
CHAINS = int(sys.argv[3]) if len(sys.argv) > 3 else 200
ID = 'mx.example.net'
DOMAINS = ('example.com', 'lists.example.org')
rng = random.Random(1)
failures = []
counted = 0


def openssl(*args, stdin=None):
    return subprocess.run(['openssl', *args], input=stdin, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, check=True).stdout


class Lab:
    def __init__(self, where):
        self.where, self.n = where, 0
        self.pem = openssl('genrsa', '-traditional', '1024')
        der = openssl('rsa', '-pubout', '-outform', 'DER', stdin=self.pem)
        self.text = 'v=DKIM1; k=rsa; p=' + base64.b64encode(der).decode()
        self.pem_path, self.keys = os.path.join(where, 'pem'), os.path.join(where, 'keys')
        with open(self.pem_path, 'wb') as f:
            f.write(self.pem)
        self.names = {'k._domainkey.' + d for d in DOMAINS}
        with open(self.keys, 'w') as f:
            f.writelines('%s\t%s\n' % (n, self.text) for n in self.names)

    def write(self, message):
        path = os.path.join(self.where, '%d.eml' % self.n)
        self.n += 1
        with open(path, 'wb') as f:
            f.write(message)
        return path

    def dns(self, name, timeout=5):
        name = (name.decode() if isinstance(name, bytes) else name).rstrip('.')
        return self.text.encode() if name in self.names else None

    # ---- verifying: "none", "pass" or "fail" for each
    def ours(self, paths, *args):
        out = subprocess.run([ARC_TOOL, '-n', str(NOW), *args, self.keys, *paths],
                             stdout=subprocess.PIPE, check=True).stdout.splitlines()
        return [json.loads(line) for line in out]

    def dkimpy(self, message):
        try:
            cv = dkim.arc_verify(message, dnsfunc=self.dns)[0]
        except Exception:  # it raises whatever broken input makes it raise
            cv = None
        return cv.decode() if cv in (b'pass', b'none') else 'fail'

    def perl(self, paths):
        out = subprocess.run(['perl', PERL, 'verify', self.keys, *paths], stdout=subprocess.PIPE,
                             stderr=subprocess.DEVNULL, check=True).stdout.decode().split()
        return [r if r in ('pass', 'none') else 'fail' for r in out]

    # ---- sealing: messages of one length of chain
    def seal_ours(self, messages, domain, cv):
        paths = [self.write(m) for m in messages]
        spec = '%s:%s:k:%s:arc=%s; spf=pass smtp.mailfrom=a@example.com' % (self.pem_path, domain, ID, cv)
        subprocess.run([ARC_TOOL, '-n', str(NOW), '-p', '997', '-s', spec, self.keys, *paths], check=True)
        return [open(p + '.sealed', 'rb').read() for p in paths]

    def seal_dkimpy(self, messages, domain, cv):
        out = []
        for m in messages:
            with_results = results_field(cv) + m
            made = dkim.arc_sign(with_results, b'k', domain.encode(), self.pem, ID.encode(), timestamp=NOW)
            out.append(b''.join(made) + m)
        return out

    def seal_perl(self, messages, domain, cv):
        paths = [self.write(results_field(cv) + m) for m in messages]
        subprocess.run(['perl', PERL, 'seal', self.keys, self.pem_path, domain, 'k', ID, cv, *paths],
                       check=True)
        return [open(p + '.sealed', 'rb').read().replace(results_field(cv), b'', 1) for p in paths]


def results_field(cv):
    return ('Authentication-Results: %s; arc=%s; spf=pass smtp.mailfrom=a@example.com\r\n' % (ID, cv)).encode()


def message(i):
    body = [b'Hello\r\nworld\r\n', b'a  b \t\r\n\r\n\r\n', b'', b'x' * 3000 + b'\r\n',
            'Gr\u00fc\u00dfe\r\n'.encode()][i % 5]
    return (b'Received: from a.example by b.example; Tue, 14 Nov 2023 22:13:20 +0000\r\n'
            b'From: Alice <alice@example.com>\r\nTo: bob@example.net,\r\n carol@example.net\r\n'
            b'Subject: number %d\r\nDate: Tue, 14 Nov 2023 22:13:20 +0000\r\n'
            b'Message-ID: <%d@example.com>\r\n\r\n' % (i, i)) + body


def compare(lab, cases, want=None):
    """cases: (label, message). All three must agree, and be right where that is known."""
    global counted
    paths = [lab.write(m) for _, m in cases]
    ours, perl = lab.ours(paths), lab.perl(paths)
    pieces = lab.ours(paths, '-p', '61')
    if not len(ours) == len(perl) == len(pieces) == len(cases):
        failures.append('%d of ours, %d of Mail::DKIM for %d' % (len(ours), len(perl), len(cases)))
    for (label, m), o, p, in_pieces in zip(cases, ours, perl, pieces):
        verdicts = (o['result'], lab.dkimpy(m), p)
        counted += 3
        if o != in_pieces:
            failures.append('%s: in pieces %s, whole %s' % (label, in_pieces, o))
        if len(set(verdicts)) != 1 or (want and verdicts[0] != want):
            failures.append('%s: ours %s (%s), dkimpy %s, Mail::DKIM %s' %
                            (label, verdicts[0], o['reason'], *verdicts[1:]))


def grow(lab, lengths, every=1):
    """Chains sealed by anybody, compared at every such hop; returns those of full length."""
    live = [(i, n, message(i)) for i, n in enumerate(lengths)]
    done, hop = [], 0
    while live:
        hop += 1
        cv = 'none' if hop == 1 else 'pass'
        groups = {}
        for i, n, m in live:
            groups.setdefault((rng.choice(('ours', 'ours', 'dkimpy', 'perl')), rng.choice(DOMAINS)), []).append((i, n, m))
        live = []
        for (who, domain), items in groups.items():
            sealed = getattr(lab, 'seal_' + who)([m for _, _, m in items], domain, cv)
            if hop % every == 0:
                compare(lab, [('chain %d hop %d by %s' % (i, hop, who), m)
                              for (i, _, _), m in zip(items, sealed)], 'pass')
            for (i, n, _), m in zip(items, sealed):
                (live if hop < n else done).append((i, n, m))
    return done


def mutations(lab, chains):
    cases = []
    for i, n, m in chains:
        newest = rng.randrange(1, n + 1)
        fields = re.findall(rb'(?im)^ARC-[^\n]*\n(?:[ \t][^\n]*\n)*', m)
        victim = rng.choice(fields)
        cases += [
            ('chain %d: Subject' % i, m.replace(b'Subject: number', b'Subject: Number')),
            ('chain %d: body' % i, m + b'more\r\n'),
            ('chain %d: without a field' % i, m.replace(victim, b'', 1)),
            ('chain %d: a field twice' % i, victim + m),
            ('chain %d: gap' % i, m.replace(b'i=%d;' % newest, b'i=%d;' % (n + 1)) if n > 1 else m + b'x\r\n'),
            ('chain %d: results' % i, m.replace(b'spf=pass', b'spf=fail', 1)),
            ('chain %d: cv' % i, re.sub(rb'cv=(none|pass)', b'cv=invalid', m, count=1)),
        ]
        # One letter of a signature.
        at = rng.choice([x.end() for x in re.finditer(rb'[;\s]b=\s*', m)]) + 5
        flipped = b'A' if m[at:at + 1] != b'A' else b'B'
        label = 'chain %d: b= of octet %d' % (i, at)
        cases.append((label, m[:at] + flipped + m[at + 1:]))
    compare(lab, cases, 'fail')
    # What changes nothing: white space, case of names, a new field on top.
    compare(lab, [('chain %d: harmless' % i, b'X-New: 1\r\n' + m.replace(b'Subject: number', b'SUBJECT:   number'))
                  for i, _, m in chains], 'pass')


with tempfile.TemporaryDirectory() as where:
    the_lab = Lab(where)
    compare(the_lab, [('no chain', message(0))], 'none')
    made = grow(the_lab, [rng.randrange(1, 11) if k % 3 == 0 else rng.randrange(1, 4) for k in range(CHAINS)])
    print('chains: %d verdicts so far, %d failures' % (counted, len(failures)))
    # Every fifth number of sets up to the most there can be; fewer where time is short.
    grow(the_lab, [50], 5 if CHAINS >= 200 else 25)
    print('50 sets: %d verdicts so far, %d failures' % (counted, len(failures)))
    mutations(the_lab, made)
    print('mutations: %d verdicts so far, %d failures' % (counted, len(failures)))
for f in failures[:40]:
    print('FAIL', f)
sys.exit(1 if failures else 0)
