#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""What the judge tells of ARC: usage: arc_scan.py POSTERNCTL ARC_TOOL

A message is sealed, sealed again, changed; `posternctl scan --json` must tell each as it is, in its
record and in Authentication-Results.
"""
import base64
import json
import os
import subprocess
import sys
import tempfile

POSTERNCTL, ARC_TOOL = sys.argv[1:3]
NOW = '1700000000'
MESSAGE = (b'From: a@example.com\r\nSubject: one\r\nDate: Tue, 14 Nov 2023 22:13:20 +0000\r\n'
           b'Message-ID: <1@example.com>\r\n\r\nhello\r\n')


def run(*args):
    return subprocess.run(args, stdout=subprocess.PIPE, check=False)


def scan(where, message):
    path = os.path.join(where, 'scan.eml')
    with open(path, 'wb') as f:
        f.write(message)
    done = run(POSTERNCTL, '--json', 'scan', '--ip', '198.51.100.7', '--helo', 'm.example.com', '--from',
               'a@example.com', '--rcpt', 'b@localhost.localdomain', '--dns-zone', where + '/zone', '--now', NOW,
               path)
    told = json.loads(done.stdout)
    field = [h for h in told['headers'] if h.startswith('Authentication-Results:')]
    assert len(field) == 1, told
    return told['arc'], ' '.join(field[0].split())


def seal(where, message, domain):
    path = os.path.join(where, 'seal.eml')
    with open(path, 'wb') as f:
        f.write(message)
    done = run(ARC_TOOL, '-n', NOW, '-s', '%s/pem:%s:k:mx.example.net:spf=none' % (where, domain),
               where + '/keys', path)
    assert done.returncode == 0, done
    with open(path + '.sealed', 'rb') as f:
        return f.read()


with tempfile.TemporaryDirectory() as tmp:
    subprocess.run(['openssl', 'genrsa', '-traditional', '-out', tmp + '/pem', '1024'], check=True,
                   stderr=subprocess.DEVNULL)
    der = subprocess.run(['openssl', 'rsa', '-in', tmp + '/pem', '-pubout', '-outform', 'DER'], check=True,
                         stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
    key = 'v=DKIM1; p=' + base64.b64encode(der).decode()
    with open(tmp + '/keys', 'w') as f:
        f.writelines('k._domainkey.%s\t%s\n' % (d, key) for d in ('example.com', 'example.org'))
    with open(tmp + '/zone', 'w') as f:
        f.write('$ORIGIN example.com.\n$TTL 300\n@ IN SOA ns.example.com. h.example.com. 1 2 3 4 5\n'
                'k._domainkey IN TXT "%s" "%s"\n$ORIGIN example.org.\n'
                '@ IN SOA ns.example.com. h.example.com. 1 2 3 4 5\n'
                'k._domainkey IN TXT "%s" "%s"\n' % (key[:200], key[200:], key[:200], key[200:]))
    arc, field = scan(tmp, MESSAGE)
    assert arc == {'result': 'none', 'reason': '', 'chain': [], 'sealed': None}, arc
    assert 'arc=none' in field and 'arc.chain' not in field, field

    two = seal(tmp, seal(tmp, MESSAGE, 'example.com'), 'example.org')
    arc, field = scan(tmp, two)
    assert arc['result'] == 'pass' and arc['oldest_pass'] == 0, arc
    assert [c['domain'] for c in arc['chain']] == ['example.com', 'example.org'], arc
    assert 'arc=pass header.oldest-pass=0 arc.chain="example.com:example.org"' in field, field

    arc, field = scan(tmp, two.replace(b'Subject: one', b'Subject: two'))
    why = 'i=2: ARC-Message-Signature: signature did not verify'
    assert (arc['result'], arc['reason']) == ('fail', why), arc
    assert 'arc=fail reason="%s"' % why in field and 'arc.chain' not in field, field

    ended = seal(tmp, two.replace(b'hello', b'Hello'), 'example.com')
    arc, _ = scan(tmp, ended)
    assert (arc['result'], arc['reason']) == ('fail', 'i=3: the seal says cv=fail'), arc
print('ok')
