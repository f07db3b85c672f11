#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""What leaves a route that seals: usage: arc_sealing.py POSTERNCTL ARC_TOOL PERL_SCRIPT DKIM_PERL

`posternctl scan --output` writes the message as it would be delivered. dkimpy and Mail::DKIM must
find the chain that we say we continued, and the sender's DKIM signature must verify as before.
"""
import base64
import json
import os
import re
import subprocess
import sys
import tempfile
import time

try:
    import authres  # noqa: F401, dkimpy seals with it
    import dkim
    import nacl  # noqa: F401, dkimpy verifies Ed25519 with it
except ImportError:
    print('no dkimpy, authres or nacl')
    sys.exit(77)

# dkimpy verifies Ed25519, and keeps it out of ARC by a table alone.
dkim.ARC_HASH_ALGORITHMS[b'ed25519-sha256'] = dkim.HASH_ALGORITHMS[b'ed25519-sha256']
POSTERNCTL, ARC_TOOL, PERL, DKIM_PERL = sys.argv[1:5]
NOW = int(time.time())
ID = 'mx.example.net'
US = 'seal.example.net'
CONFIG = '''hostname = "%s"
listener a { port = 0; address = ["192.0.2.25/24"] }
route rsa { domains = ["rsa.example"]; hosts = ["192.0.2.2"]; arc-seal = always; arc-keys = ["r"] }
route ed { domains = ["ed.example"]; hosts = ["192.0.2.2"]; arc-seal = always; arc-keys = ["e"] }
route modified { domains = ["modified.example"]; hosts = ["192.0.2.2"]; arc-seal = modified; arc-domain = "%s" }
route never { domains = ["never.example"]; hosts = ["192.0.2.2"] }
route late { domains = ["late.example"]; hosts = ["192.0.2.2"]; arc-seal = always; arc-keys = ["late"] }
arc {
  key r { domain = "%s"; selector = "r"; file = "%s/r.pem"; active-from = "%s" }
  key e { domain = "%s"; selector = "e"; file = "%s/e.pem" }
  key late { domain = "late.example.net"; selector = "l"; file = "%s/r.pem"; active-from = "%s" }
}
'''
DAY = 86400
failures = []
counted = 0


def check(what, ok, told=''):
    global counted
    counted += 1
    if not ok:
        failures.append('%s: %s' % (what, told))


def openssl(*args, stdin=None):
    return subprocess.run(['openssl', *args], input=stdin, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, check=True).stdout


def day(t):
    return time.strftime('%Y-%m-%d', time.gmtime(t))


class Lab:
    def __init__(self, where):
        self.where, self.n = where, 0
        self.pem = {'r': openssl('genrsa', '2048'), 'e': openssl('genpkey', '-algorithm', 'ed25519'),
                    'x': openssl('genrsa', '-traditional', '1024')}
        self.text = {}
        for name, pem in self.pem.items():
            self.write(name + '.pem', pem)
            der = openssl('pkey', '-pubout', '-outform', 'DER', stdin=pem)
            kind, der = ('ed25519', der[-32:]) if name == 'e' else ('rsa', der)
            self.text[name] = 'v=DKIM1; k=%s; p=%s' % (kind, base64.b64encode(der).decode())
        # name -> text: we, a list, a sender
        self.txt = {'r._domainkey.' + US: self.text['r'], 'e._domainkey.' + US: self.text['e'],
                    'x._domainkey.' + US: self.text['x'], 'x._domainkey.lists.example.org': self.text['x'],
                    'x._domainkey.example.com': self.text['x']}
        self.write('keys', ''.join('%s\t%s\n' % kv for kv in self.txt.items()).encode())
        zone = '$TTL 300\n'
        for top in ('example.net.', 'example.org.', 'example.com.'):
            zone += '$ORIGIN %s\n@ IN SOA ns.%s h.%s 1 2 3 4 5\n' % (top, top, top)
            for name, text in self.txt.items():
                if (name + '.').endswith('.' + top):
                    zone += '%s. IN TXT %s\n' % (name, ' '.join('"%s"' % text[i:i + 200]
                                                                for i in range(0, len(text), 200)))
        self.write('zone', zone.encode())
        self.write('conf', (CONFIG % (ID, US, US, where, day(NOW - DAY), US, where, where, day(NOW + 3 * DAY))).encode())

    def path(self, name):
        return os.path.join(self.where, name)

    def write(self, name, data):
        with open(os.open(self.path(name), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), 'wb') as f:
            f.write(data)
        return self.path(name)

    def fresh(self, message):
        self.n += 1
        return self.write('%d.eml' % self.n, message)

    def dns(self, name, timeout=5):
        name = (name.decode() if isinstance(name, bytes) else name).rstrip('.')
        return self.txt[name].encode() if name in self.txt else None

    def scan(self, message, route='rsa', now=NOW, ip='198.51.100.7'):
        """What is told, and the octets that would leave."""
        path = self.fresh(message)
        done = subprocess.run([POSTERNCTL, '--json', 'scan', '--config', self.path('conf'), '--ip', ip, '--helo',
                               'm.example.com', '--from', 'a@example.com', '--rcpt', 'b@%s.example' % route,
                               '--dns-zone', self.path('zone'), '--now', str(now), '--output', path + '.out', path],
                              stdout=subprocess.PIPE, check=False)
        with open(path + '.out', 'rb') as f:
            return json.loads(done.stdout), f.read()

    def seal(self, message, domain='lists.example.org', hops=1, who=ID + '.invalid'):
        spec = '%s:%s:x:%s:spf=pass smtp.mailfrom=a@example.com' % (self.path('x.pem'), domain, who)
        for _ in range(hops):
            path = self.fresh(message)
            subprocess.run([ARC_TOOL, '-n', str(NOW), '-s', spec, self.path('keys'), path], check=True)
            with open(path + '.sealed', 'rb') as f:
                message = f.read()
        return message

    def seal_blind(self, message):
        """dkimpy seals what it is told to: cv=pass, whatever became of the message."""
        told = b'Authentication-Results: lists.example.org; arc=pass; spf=pass smtp.mailfrom=a@example.com\r\n'
        made = b''.join(dkim.arc_sign(told + message, b'x', b'lists.example.org', self.pem['x'],
                                      b'lists.example.org', timestamp=NOW))
        assert b'cv=pass' in made, made
        return made + message

    def sign(self, message):
        return dkim.sign(message, b'x', b'example.com', self.pem['x'], canonicalize=(b'simple', b'simple'),
                         include_headers=[b'from', b'subject', b'date', b'message-id']) + message

    def dkimpy(self, message):
        try:
            cv = dkim.arc_verify(message, dnsfunc=self.dns)[0]
        except Exception:  # it raises whatever broken input makes it raise
            cv = None
        return cv.decode() if cv in (b'pass', b'none') else 'fail'

    def perl(self, script, message, *args):
        out = subprocess.run(['perl', script, *args, self.path('keys'), self.fresh(message)], stdout=subprocess.PIPE,
                             stderr=subprocess.DEVNULL, check=True).stdout.decode().split()
        return out[0] if out else ''


def message(body=b'Hello\r\nworld\r\n', subject=b'one'):
    return (b'Received: from a.example by b.example; Tue, 14 Nov 2023 22:13:20 +0000\r\n'
            b'From: Alice <a@example.com>\r\nTo: b@rsa.example,\r\n carol@example.net\r\n'
            b'Subject: ' + subject + b'\r\nDate: Tue, 14 Nov 2023 22:13:20 +0000\r\n'
            b'Message-ID: <1@example.com>\r\n\r\n') + body


def expect_chain(lab, what, out, want, kind='rsa'):
    """Both verifiers; of Ed25519 Mail::DKIM knows nothing."""
    found = lab.dkimpy(out)
    check(what + ': dkimpy', found == want, found)
    if kind == 'rsa' or want == 'fail':
        found = lab.perl(PERL, out, 'verify')
        check(what + ': Mail::DKIM', (found if found != 'invalid' else 'fail') == want, found)


def sealed(lab, what, m, want, kind='rsa', signed=True, first=True):
    """want: instance and cv of our set, None: none; returns the octets that leave."""
    told, out = lab.scan(m, kind)
    got = told['arc']['sealed']
    if want is None:
        check(what + ': no set', got is None, got)
        check(what + ': the block', not told['headers'][0].startswith('ARC-'), told['headers'])
    else:
        instance, cv = want
        check(what + ': told', got == {'domain': US, 'selector': kind[0], 'instance': instance, 'cv': cv}, told['arc'])
        names = [h.split(':')[0] for h in told['headers']]
        check(what + ': order', names[:4] == ['ARC-Seal', 'ARC-Message-Signature', 'ARC-Authentication-Results',
                                              'X-Postern-Original-Sender'], names)
        aar, ar = told['headers'][2], [h for h in told['headers'] if h.startswith('Authentication-Results:')][0]
        flat = [' '.join(x.split()) for x in (aar.split(';', 2)[2], ar.split(';', 1)[1])]
        check(what + ': same results', flat[0] == flat[1] and ' arc=' in flat[0], flat)
        check(what + ': instance of the AAR', aar.split(': ', 1)[1].startswith('i=%d; %s;' % (instance, ID)), aar)
        expect_chain(lab, what, out, 'fail' if cv == 'fail' else 'pass', kind)
    if first:  # else fields of our first time were removed
        check(what + ': the original', out.endswith(m), out[-200:])
    check(what + ': broken', told['signatures_broken'] == 0, told['signatures_broken'])
    if signed:
        found = dkim.verify(out, dnsfunc=lab.dns)
        check(what + ': DKIM by dkimpy', found, found)
        # Mail::DKIM takes l=0 for no limit: what it says must be what it said before.
        found, before = lab.perl(DKIM_PERL, out), lab.perl(DKIM_PERL, m)
        check(what + ': DKIM by Mail::DKIM', found == before and (found == 'pass' or b'l=0' in m), found)
    return out


def bodies(lab):
    cases = {'plain': b'Hello\r\nworld\r\n', 'none': b'', 'empty lines': b'\r\n\r\n\r\n', 'white space': b'a  b \t\r\n \r\n\r\n',
             'no CRLF at the end': b'end', '8-bit': 'Gr\u00fc\u00dfe \u4f60\u597d\r\n'.encode(), 'latin-1': b'Gr\xfc\xdfe\r\n',
             'bare CR': b'a\rb\r\r\nc\r\n', 'NUL': b'a\0b\r\n', 'long': b'x' * 3000 + b'\r\n',
             'dots': b'.\r\n..\r\n', '2 MB': b'0123456789abcdef' * 131072 + b'\r\n'}
    for name, body in cases.items():
        for kind in ('rsa', 'ed'):
            what = '%s, body %s' % (kind, name)
            # dkimpy signs these otherwise than others would: without a signature of the sender.
            if name in ('bare CR', 'no CRLF at the end', 'NUL'):
                told, out = lab.scan(message(body), kind)
                check(what, told['arc']['sealed'] is not None, told['arc'])
                again = lab.scan(out, 'never')[0]['arc']
                check(what + ': ours', again['result'] == 'pass', again)
                expect_chain(lab, what, out, 'pass', kind)
                continue
            sealed(lab, what, lab.sign(message(body)), (1, 'none'), kind)


def short(lab):
    """A signature and a set of others that cover nothing of the body."""
    zero = dkim.sign(message(b''), b'x', b'example.com', lab.pem['x'], length=True,
                     canonicalize=(b'relaxed', b'relaxed')) + message(b'')
    assert b'l=0' in zero
    for kind in ('rsa', 'ed'):
        for body in (b'', b'anything\r\n', b'a\rb\r\n'):
            sealed(lab, '%s, l=0, %r' % (kind, body), zero + body, (1, 'none'), kind)


def chains(lab):
    m = lab.sign(message())
    for kind in ('rsa', 'ed'):
        sealed(lab, kind + ', no chain', m, (1, 'none'), kind)
        sealed(lab, kind + ', one set', lab.seal(m), (2, 'pass'), kind)
        three = lab.seal(m, hops=3)
        sealed(lab, kind + ', three sets', three, (4, 'pass'), kind)
        # A list that changed the subject and sealed: its chain passes, the sender's signature does not.
        changed = lab.seal_blind(lab.seal(m).replace(b'Subject: one', b'Subject: [list] one'))
        sealed(lab, kind + ', changed by a list', changed, (3, 'pass'), kind, signed=False)
        for what, bad in {'subject': three.replace(b'Subject: one', b'Subject: two'),
                          'a set less': re.sub(rb'(?m)^ARC-Seal: a=rsa-sha256;\r\n\tb=[^;]*; cv=pass; d=lists.example.org;'
                                               rb' i=2;[^\n]*\n(?:[ \t][^\n]*\n)*', b'', three),
                          'results': three.replace(b'i=2; mx', b'i=2; my')}.items():
            assert bad != three, what
            out = sealed(lab, '%s, failed: %s' % (kind, what), bad, (4, 'fail'), kind, signed=False)
            # Who comes behind us finds an end and adds nothing, and so do we.
            sealed(lab, '%s, after the end: %s' % (kind, what), out, None, kind, signed=False, first=False)
    fortynine = lab.seal(m, hops=49)
    fifty = sealed(lab, '49 sets', fortynine, (50, 'pass'))
    told = lab.scan(fifty)[0]['arc']
    check('50 sets', told['sealed'] is None and told['unsealed'] == 'the chain has 50 sets', told)
    sealed(lab, '50 sets', lab.seal(fortynine), None)


def switches(lab):
    m = lab.sign(message())
    forged = b'X-Postern-Score: 9\r\n' + m
    for route, what, want in (('never', m, None), ('never', forged, None), ('modified', m, None),
                              ('modified', forged, 'pass'), ('late', m, 'no key of the route is active today')):
        told, out = lab.scan(what, route)
        check('route ' + route, (told['arc']['sealed'] is not None) == (want == 'pass'), told['arc'])
        check('route ' + route, told['headers_removed'] == (what == forged), told['headers_removed'])
        if want == 'pass':
            expect_chain(lab, 'route ' + route, out, 'pass')
        check('route ' + route, told['arc'].get('unsealed') == (want if want != 'pass' else None), told['arc'])
        check('route ' + route, dkim.verify(out, dnsfunc=lab.dns), 'DKIM')
    # Before the newer key begins, the one without a beginning signs.
    for now, key in ((NOW - 3 * DAY, 'e'), (NOW, 'r')):
        told = lab.scan(forged, 'modified', now)[0]['arc']
        check('rotation', told['sealed'] and told['sealed']['selector'] == key, told)


def own_id(told):
    return [h for h in told['headers'] if h.startswith('Authentication-Results:')][0]


def loops(lab):
    m = lab.sign(message())
    ours = lab.scan(m)[1]
    aar = re.search(rb'(?m)^ARC-Authentication-Results:[^\n]*\n(?:[ \t][^\n]*\n)*', ours).group()
    set_of_ours = ours[:ours.index(b'X-Postern')]
    # Out through the cloud, which seals, and in again: our fields of the first time go, our set stays.
    back = lab.seal(ours)
    told, out = lab.scan(back)
    check('loop', told['arc']['result'] == 'pass' and told['arc']['sealed']['instance'] == 3, told['arc'])
    check('loop: the field stays', out.count(aar) == 1, told)
    check('loop: the others go', out.count(b'\nX-Postern-Trace:') == 1, out[:3000])
    expect_chain(lab, 'loop', out, 'pass')
    check('loop: DKIM', dkim.verify(out, dnsfunc=lab.dns), '')
    told, out = lab.scan(lab.seal(out), 'ed')
    check('second loop', told['arc']['result'] == 'pass' and out.count(aar) == 1, told['arc'])
    expect_chain(lab, 'second loop', out, 'pass', 'ed')

    other = lab.sign(message(b'Pay me\r\n', b'other'))
    forged = b'ARC-Authentication-Results: i=1; %s; dmarc=pass header.from=bank.example\r\n' % ID.encode()
    cases = {
        'alone': (forged + m, 'fail'),
        'in a chain without our seal': (lab.seal(m, who=ID), 'fail'),
        'our domain, a key that is not configured': (lab.seal(m, domain=US, who=ID), 'fail'),
        'our set on another message': (set_of_ours + other, 'fail'),
        # All its seals verify, and so does the newest AMS.
        'our set on another message, sealed by a stranger': (lab.seal_blind(set_of_ours + other), 'fail'),
        'beside a genuine chain': (forged.replace(b'i=1', b'i=2') + lab.seal(m), 'fail'),
        'results changed': (ours.replace(b'dkim=pass', b'dkim=fail', 1), 'fail'),
        'case and comments': (lab.seal(m, who='MX.example.NET'), 'fail'),
    }
    for what, (m2, want) in cases.items():
        told, out = lab.scan(m2)
        check('forged, %s: result' % what, told['arc']['result'] == want, told['arc'])
        check('forged, %s: told' % what, 'arc=%s' % want in own_id(told), own_id(told))
        mine = [h for h in told['headers'] if h.startswith('ARC-Authentication-Results')]
        left = len(re.findall(rb'(?mi)^ARC-Authentication-Results:\s*i=\d+;\s*%s;' % ID.encode(), out)) - len(mine)
        check('forged, %s: removed' % what, left == 0 and told['headers_removed'] > 0, told['headers_removed'])
        check('forged, %s: our set' % what, told['arc']['sealed'] and told['arc']['sealed']['cv'] == 'fail', told['arc'])
        expect_chain(lab, 'forged, ' + what, out, 'fail')


with tempfile.TemporaryDirectory() as tmp:
    the_lab = Lab(tmp)
    for step in (chains, bodies, short, switches, loops):
        step(the_lab)
        print('%s: %d checks so far, %d failures' % (step.__name__, counted, len(failures)))
for f in failures[:40]:
    print('FAIL', f)
sys.exit(1 if failures else 0)
