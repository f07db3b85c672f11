#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""What becomes of each known way to spoof a sender: docs/spoofing.md says it, this shows it.

usage: sender_spoofing.py POSTERNCTL SMTP_TOOL [IDS.json]

IDS.json names the attacks (only its ids are read); one without a case here is a failure.
POSTERN_CONFORMANCE names another directory of such data. The attacker sends from a host and a
domain of its own, where SPF passes, signed by its own key; victim.example publishes p=reject.
"""
import base64
import json
import os
import subprocess
import sys
import tempfile

try:
    import dkim
except ImportError:
    print('no dkimpy')
    sys.exit(77)

ATTACKER = '203.0.113.66'
OURS = '192.0.2.80'
SYNTAX = '501 5.1.7 Bad sender address syntax'
SENDER_OK = '250 2.1.0 Sender ok'
HOST = 'hostname = "mx.example.net"\nlistener "mx" { port = 25; address = ["192.0.2.1/32"] }\n' \
       'route "r" { domains = ["example.net"]; hosts = ["192.0.2.2"] }\n'
UNALIGNED = '550 5.7.26 Unauthenticated mail is refused by the DMARC policy of victim.example'
UNKNOWN_AUTHOR = '550 5.7.26 Message refused: its author cannot be determined'
MALFORMED = '554 5.6.0 Message refused: malformed or oversized header'
NOT_ALIGNED = 'no aligned SPF or DKIM pass'
FAIL = ('fail', 'victim.example', NOT_ALIGNED)
ATTACKER_PASSES = ('spf=pass smtp.mailfrom=any@attacker.example', 'dkim=pass header.d=attacker.example',
                   'header.from=victim.example policy.dmarc=reject')
# Under policy.dmarc = enforce and strict.
TAGGED = ('tag', 'reject')
failures = []
checks = 0


def check(label, ok, *more):
    global checks
    checks += 1
    if not ok:
        failures.append(' '.join([label, *map(str, more)]))


class Lab:
    """Where messages are judged; the end-to-end test has another one."""
    modes = ('enforce', 'strict')
    attacker, helo, rcpt = ATTACKER, 'mail.attacker.example', 'user@example.net'

    def __init__(self, directory, posternctl=None, smtp_tool=None):
        self.dir, self.posternctl, self.smtp_tool = directory, posternctl, smtp_tool
        pem = self.openssl('genrsa', '-traditional', '2048')
        der = self.openssl('rsa', '-pubout', '-outform', 'DER', stdin=pem)
        p = base64.b64encode(der).decode()
        key = f'"v=DKIM1; p={p[:200]}" "{p[200:]}"'
        self.pem = pem
        self.zones = {
            'attacker.example': f'@ 300 IN TXT "v=spf1 ip4:{self.attacker} -all"\n@ 300 IN A {self.attacker}\n'
                                f'mail 300 IN A {self.attacker}\n_dmarc 300 IN TXT "v=DMARC1; p=none"\n'
                                f'sel._domainkey 300 IN TXT {key}\ns._domainkey 300 IN TXT {key}\n',
            'victim.example': f'@ 300 IN TXT "v=spf1 ip4:{OURS} -all"\n@ 300 IN A {OURS}\n'
                              '_dmarc 300 IN TXT "v=DMARC1; p=reject; np=reject"\n'}
        self.start()

    def start(self):
        self.zone = self.file('zone', ''.join(f'$ORIGIN {k}.\n{v}' for k, v in self.zones.items()).encode())
        self.config = {mode: self.file(mode + '.conf', (HOST + f'policy {{ dmarc = "{mode}" }}\n').encode())
                       for mode in self.modes}

    @staticmethod
    def openssl(*args, stdin=None):
        return subprocess.run(['openssl', *args], input=stdin, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, check=True).stdout

    def file(self, name, data):
        path = os.path.join(self.dir, name)
        with open(path, 'wb') as f:
            f.write(data)
        return path

    def sign(self, message, selector=b's', domain=b'attacker.example'):
        return dkim.sign(message, selector, domain, self.pem, canonicalize=(b'relaxed', b'relaxed'),
                         include_headers=[b'from', b'subject']) + message

    def scan(self, message, sender, mode):
        path = self.file('m.eml', message)
        p = subprocess.run([self.posternctl, '--json', 'scan', '--config', self.config[mode], '--ip', self.attacker,
                            '--helo', self.helo, '--from', sender, '--rcpt', self.rcpt, '--dns-zone', self.zone,
                            path], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
        try:
            return json.loads(p.stdout)
        except ValueError:
            raise AssertionError(p.stderr.decode()) from None

    def mail(self, line):
        """The answer to MAIL FROM, and the reverse-path that control would get (None: not known)."""
        p = subprocess.run([self.smtp_tool], input=f'EHLO mail.attacker.example\nMAIL FROM:{line}\n', text=True,
                           stdout=subprocess.PIPE, check=True, timeout=60)
        lines = p.stdout.splitlines()
        if lines[-1].startswith('reverse-path '):
            return lines[-2], lines[-1][len('reverse-path <'):-1]
        return lines[-1], None

    @staticmethod
    def routed(path, mailbox):
        """What to send as MAIL FROM: scan has no SMTP in front that takes the route off."""
        del path
        return mailbox

    @staticmethod
    def message(*fields):
        return b'\r\n'.join([*fields, b'Subject: invoice', b'To: user@example.net',
                             b'Message-ID: <1@attacker.example>',
                             b'Date: Tue, 14 Nov 2023 22:13:20 +0000', b'', b'Pay here.', b''])

    def content(self, label, message, want, actions=TAGGED, sender='any@attacker.example', ar=(), dkim_want=None,
                no_ar=()):
        """want: dmarc result, decisive domain, start of the reason."""
        for mode in self.modes:
            action = actions[mode == 'strict']
            r = self.scan(message, sender, mode)
            d = r['dmarc']
            got = (d['result'], d['domain'], d['reason'][:len(want[2])])
            check(f'{label} ({mode}): dmarc', got == want, got, 'wanted', want, d['reason'])
            check(f'{label} ({mode}): action', r['action'] == action, r['action'], r['reason'], 'wanted', action)
            if dkim_want:
                got = [(s['result'], s['reason']) for s in r['dkim']]
                check(f'{label}: dkim', got == dkim_want, got, 'wanted', dkim_want)
            # What the client heard, where there was one.
            reply = UNALIGNED if want[0] == 'fail' else UNKNOWN_AUTHOR
            if action == 'reject':
                check(f'{label}: reply', r.get('reply', reply).startswith(reply), r.get('reply'))
                continue
            check(f'{label}: reply', r.get('reply', '250 ').startswith('250 '), r.get('reply'))
            text = next(h for h in r['headers'] if h.startswith('Authentication-Results:'))
            text = ' '.join(text.split())
            for part in (f'dmarc={want[0]} reason="{d["reason"]}"', *ar):
                check(f'{label}: Authentication-Results', part in text, text, 'lacks', part)
            for part in ('dmarc=pass', *no_ar):
                check(f'{label}: Authentication-Results', part not in text, text, 'has', part)


def judged_fail(lab, label, *fields):
    lab.content(label, lab.sign(lab.message(*fields)), FAIL, ar=ATTACKER_PASSES)


def permerror(lab, label, reason, *fields, top=b'', signed=True):
    """top: a field that goes on top of the signed message, as dkimpy would not sign it."""
    message = lab.message(*fields)
    lab.content(label, top + (lab.sign(message) if signed else message), ('permerror', None, 'From: ' + reason),
                no_ar=('header.from=',))


def syntax(lab, label, path):
    got = lab.mail(path)
    check(label, got == (SYNTAX, None), got)


def accepted(lab, label, path, mailbox):
    reply, got = lab.mail(path)
    check(label, reply == SENDER_OK and got in (mailbox, None), reply, got)


# ---- the attacks, one function each -------------------------------------------------------------

def a1(lab):
    """A MAIL FROM below the victim's domain that does not exist."""
    ghost = 'any@ghost.victim.example'
    accepted(lab, 'a1', f'<{ghost}>', ghost)
    lab.content('a1', lab.message(b'From: admin@victim.example'), FAIL, sender=ghost,
                ar=('spf=none', 'smtp.mailfrom=' + ghost, 'header.from=victim.example policy.dmarc=reject'))
    # The author's domain does not exist either: np= is the policy.
    message = lab.message(b'From: admin@ghost.victim.example')
    lab.content('a1 np', message, ('fail', 'ghost.victim.example', NOT_ALIGNED), sender=ghost,
                ar=('header.from=ghost.victim.example policy.dmarc=reject',))
    tag = lab.scan(message, ghost, lab.modes[0])['dmarc']['authors'][0]['treewalk']['policy_tag']
    check('a1 np', tag == 'np', tag)


def a2(lab):
    syntax(lab, 'a2', '<(any@victim.example>')
    syntax(lab, 'a2', '<()any@victim.example>')


def a3(lab):
    """The key's name would end at the NUL, in the attacker's zone."""
    message = lab.message(b'From: admin@victim.example')
    signed = lab.sign(message, selector=b'sel._domainkey.attacker.example.\0.any', domain=b'victim.example')
    lab.content('a3', signed, FAIL, dkim_want=[('permerror', 'octet that no tag value may hold')],
                ar=('dkim=permerror reason="octet that no tag value may hold"', 'header.from=victim.example'),
                no_ar=('header.d=', 'dkim=pass'))


def a4(lab):
    message = lab.message(b'From: admin@victim.example')
    signed = lab.sign(message, domain=b"victim.example'a.attacker.example")
    lab.content('a4', signed, FAIL, dkim_want=[('permerror', 'malformed d=')],
                ar=('dkim=permerror reason="malformed d="',), no_ar=('header.d=', "'a", 'dkim=pass'))


def a5(lab):
    syntax(lab, 'a5', '<any@victim.example(a.attacker.example>')
    syntax(lab, 'a5', '<any@victim.example(a)>')


def a6(lab):
    syntax(lab, 'a6', "<any@victim.example'@any.attacker.example>")
    syntax(lab, 'a6', '<user@b.example@c.example>')
    # Quoted it is a legal local-part, and stays quoted.
    path = '"any@victim.example\'"@attacker.example'
    accepted(lab, 'a6', f'<{path}>', path)
    lab.content('a6', lab.sign(lab.message(b'From: admin@victim.example')), FAIL, sender=path,
                ar=('spf=pass smtp.mailfrom="\\"any@victim.example\'\\"@attacker.example"',))


def a7(lab):
    """The mailbox is what stands behind the colon."""
    box = "'any@attacker.example"
    path = f'@victim.example,@any.example:{box}'
    accepted(lab, 'a7', f'<{path}>', box)
    lab.content('a7', lab.sign(lab.message(b'From: admin@victim.example')), FAIL, sender=lab.routed(path, box),
                ar=(f'spf=pass smtp.mailfrom="{box}"',), no_ar=('any.example',))
    for path in ('<@victim.example,@any.example any@attacker.example>', '<@victim.example;@a:any@attacker.example>',
                 '<@:any@attacker.example>'):
        syntax(lab, 'a7', path)


def a8(lab):
    for fields in ((b'From: any@attacker.example', b'From: admin@victim.example'),
                   (b'From: admin@victim.example', b'From: any@attacker.example')):
        permerror(lab, 'a8', 'more than one From field', *fields)


def a9(lab):
    """Refused (554 5.6.0) whatever the policy: the line would become a part of our own field above it."""
    message = lab.message(b' From: admin@victim.example', b'From: any@attacker.example')
    for mode in lab.modes:
        r = lab.scan(message, 'any@attacker.example', mode)
        check('a9', r.get('error', '').startswith('reading the message: ') and r['headers'] == [], r)
        check('a9: reply', r.get('reply', MALFORMED).startswith(MALFORMED), r.get('reply'))


def a10(lab):
    # To relaxed canonicalization the space is nothing (RFC 6376 3.4.2): the signature stands.
    signed = lab.sign(lab.message(b'From: admin@victim.example'))
    lab.content('a10', signed.replace(b'From: ', b'From : '), FAIL, ar=ATTACKER_PASSES)
    permerror(lab, 'a10', 'more than one From field', b'From: any@attacker.example', b'From : admin@victim.example')


def a11(lab):
    why = 'a malformed field that may be read as From'
    folded = b'From\r\n : admin@victim.example'
    permerror(lab, 'a11', why, b'From: any@attacker.example', top=folded + b'\r\n')
    permerror(lab, 'a11', why, folded, signed=False)


def a12(lab):
    judged_fail(lab, 'a12', b'Sender: any@attacker.example', b'From: admin@victim.example')


def a13(lab):
    judged_fail(lab, 'a13', b'Resent-From: any@attacker.example', b'From: admin@victim.example')


def a14(lab):
    for addresses in (b'admin@victim.example, any@attacker.example', b'any@attacker.example, admin@victim.example'):
        judged_fail(lab, 'a14', b'From: ' + addresses)


def a15(lab):
    word = b'=?utf-8?b?' + base64.b64encode(b'admin@victim.example') + b'?='
    permerror(lab, 'a15', 'element without an address', b'From: ' + word)
    permerror(lab, 'a15', 'encoded word in an address', b'From: ' + word + b'@attacker.example')


def a16(lab):
    judged_fail(lab, 'a16', b'From: <@attacker.example,@any.attacker.example:admin@victim.example>')
    # The other way round who is judged passes, and who may be shown is the victim: no pass.
    lab.content('a16', lab.sign(lab.message(b'From: <@victim.example:any@attacker.example>')),
                ('permerror', 'attacker.example', 'From: source route in an address'))


def a17(lab):
    permerror(lab, 'a17', 'text behind an address', b'From: <any@attacker.example>\\, <admin@victim.example>')
    # In quotes it is a comma of the name.
    judged_fail(lab, 'a17', b'From: "any@attacker.example\\, " <admin@victim.example>')


def a18(lab):
    judged_fail(lab, 'a18', b'From: admin@victim.example,<second@attacker.example>')
    judged_fail(lab, 'a18', b'From: second@attacker.example,<admin@victim.example>')


def a19(lab):
    permerror(lab, 'a19', 'text behind an address', b'From: <any@attacker.example>admin@victim.example')


def control(lab):
    """The same lab lets an honest message pass, or the failures above would show nothing."""
    r = lab.scan(lab.sign(lab.message(b'From: any@attacker.example')), 'any@attacker.example', lab.modes[-1])
    check('control', r['dmarc']['result'] == 'pass' and r['action'] == 'accept', r['dmarc'], r['action'])


def known_ids():
    path = sys.argv[3] if len(sys.argv) > 3 else None
    if 'POSTERN_CONFORMANCE' in os.environ:
        path = os.path.join(os.environ['POSTERN_CONFORMANCE'], 'smtp', 'sender-spoofing.json')
    if not path or not os.path.exists(path):
        return None
    with open(path, encoding='utf-8') as f:
        return [c['id'] for c in json.load(f)['cases']]


CASES = {f.__name__: f for f in (a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15, a16, a17, a18, a19)}


def run(lab, ids):
    met = 0
    control(lab)
    for name in ids:
        before = len(failures)
        if name in CASES:
            CASES[name](lab)
        else:
            failures.append(f'{name}: no outcome is pinned for it')
        met += len(failures) == before
    for f in failures:
        print('FAILED', f)
    print(f'sender-spoofing: {met} of {len(ids)} met, {checks} checks')
    return 1 if failures else 0


def main():
    ids = known_ids()
    if ids is None:
        print('no list of ids: only the cases of our own')
        ids = list(CASES)
    with tempfile.TemporaryDirectory() as d:
        return run(Lab(d, *sys.argv[1:3]), ids)


if __name__ == '__main__':
    sys.exit(main())
