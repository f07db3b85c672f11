#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""rules_spamassassin.py POSTERNCTL PERL-SCRIPT COUNT DIR: hits of Debian's rules, SpamAssassin's and ours.

Over every message below DIR (POSTERN_CONFORMANCE names another directory of data) and COUNT generated ones
(rulemail.py). Eval tests and tests in the DNS are taken out of the rules for both. What is counted are pairs of message
and rule, parts of rules (__) too, where either side has a hit: equal are those that both have. A pair that one side
alone has must be one of a kind in KINDS, which looks whether its reason is there in that message; more than one other in
5,000 pairs fails, as do less than 99 % of equal pairs, and different scores where the hits are the same. Exit 77 without
SpamAssassin.
"""

import collections
import email
import glob
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.parse

import rulemail
from views_mime import files
from views_spamassassin import DIFFER

RULES = '/usr/share/spamassassin'
EVAL = re.compile(r'^\s*(?:(?:header|body|rawbody|uri|full|mimeheader)\s+\w+\s+eval:|(?:askdns|rbl|uri_detail|urirhsbl|urirhssub|'
                  r'uridnsbl|uridnssub|urinsrhsbl|urinsrhssub|urifullnsrhsbl|urifullnsrhssub)\s)')
# What a stock SpamAssassin loads and what decides which blocks of the rules are read.
PLUGINS = ('URIDNSBL SPF Pyzor Razor2 SpamCop AutoLearnThreshold WelcomeListSubject MIMEHeader ReplaceTags DKIM Check '
           'HTTPSMismatch URIDetail Bayes BodyEval DNSEval HTMLEval HeaderEval MIMEEval RelayEval URIEval WLBLEval VBounce '
           'ImageInfo FreeMail AskDNS HashBL DMARC').split()
# Of stored messages: which rules see something else there, and why.
STORED = {
    'attachment_with_quoted_filename.eml': ('Relays-|ALL-', 'SpamAssassin trusts who authenticated to a relay that it does '
                                                            'not trust'),
    'bad_subject.eml': ('Relays-', 'an address is no name of a host: "from 172.30.44.41 (172.30.44.57)"'),
    'header_fields_with_empty_values.eml': ('Relays-', 'SpamAssassin takes HELO for a name in the DNS in lines of this form'),
    'example10.eml': ('ToCc:addr', 'addresses with comments inside are read'),
    'example13.eml': ('From', '"From  :" in the first line is a field, and no separator of mailboxes'),
}


def prepare(out):
    """The rules without what neither side shall run."""
    os.mkdir(out)
    os.mkdir(os.path.join(out, 'site'))
    with open(os.path.join(out, 'site', 'init.pre'), 'w', encoding='ascii') as f:
        f.write('enable_compat welcomelist_blocklist\n')
        f.writelines('loadplugin Mail::SpamAssassin::Plugin::%s\n' % p for p in PLUGINS)
    # Whom to trust is told here, too: nobody is guessed.
    with open(os.path.join(out, 'site', 'local.cf'), 'w', encoding='ascii') as f:
        for what in ('trusted', 'internal'):
            f.write('clear_%s_networks\n%s_networks 192.0.2.254\n' % (what, what))
    paths = []
    for path in sorted(glob.glob(RULES + '/*.cf')):
        with open(path, encoding='latin-1') as f:
            text = ''.join('\n' if EVAL.match(line) else line for line in f)
        paths.append(os.path.join(out, os.path.basename(path)))
        with open(paths[-1], 'w', encoding='latin-1') as f:
            f.write(text)
    return paths


def spamassassin(script, rules, paths, where):
    """{path: (score, hits, URIs)}"""
    runs, out = [], {}
    for k in range(2):
        listed = os.path.join(where, 'list%d' % k)
        with open(listed, 'w', encoding='utf-8') as f:
            f.writelines(p + '\n' for p in paths[k::2])
        result = open(listed + '.out', 'w+b')
        runs.append((subprocess.Popen(['perl', script, rules, listed], stdout=result, stderr=subprocess.DEVNULL), result))
    for run, result in runs:
        if run.wait():
            sys.exit('SpamAssassin: exit code %d' % run.returncode)
        result.seek(0)
        for line in result:
            path, score, hits, uris = line.decode('ascii').rstrip('\n').split('\t')
            out[path] = float(score), set(hits.split()), [urllib.parse.unquote_to_bytes(u) for u in uris.split()]
        result.close()
    return out


def postern(posternctl, rules, cache, paths):
    run = [posternctl, '--json', 'rules', 'test', '--cache', cache, '--score-set', '0', '--parts']
    for path in rules:
        run += ['--rules', path]
    done = subprocess.run(run + paths, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    if done.returncode:
        sys.exit(done.stderr.decode('utf-8', 'replace')[-2000:])
    return {m['file']: m for m in json.loads(done.stdout)['messages']}


def plan_of(posternctl, rules, cache):
    """{rule: of `rules check --explain`, and all expressions that a meta rule of that name has somewhere}"""
    # With a remark its exit code is 1.
    done = subprocess.run([posternctl, '--json', 'rules', 'check', '--explain', '--cache', cache, '--score-set', '0'] + rules,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
    plan = {r['name']: r for r in json.loads(done.stdout)['plan']}
    for path in rules:
        with open(path, encoding='latin-1') as f:
            for name, expression in re.findall(r'^\s*meta\s+(\w+)\s+(.*)$', f.read(), re.M):
                if name in plan:
                    plan[name]['over'] = plan[name].get('over', set()) | set(re.findall(r'\w+', expression))
            f.seek(0)
            for name, pattern in re.findall(r'^\s*(?:header|body|rawbody|full|mimeheader)\s+(\w+)\s+(.*)$', f.read(), re.M):
                if name in plan and re.search(r'\W\w*i\w*\s*$', pattern):
                    plan[name]['folds'] = bool(re.search(r'\\x[c-fC-F][0-9a-fA-F]|<\w+>', pattern))
    return plan


def octets(text):
    """Of the text of a hit as `rules test` shows it."""
    text = re.sub(r'\.\.\.$', '', text) if len(text) > 80 else text
    return re.sub(rb'\\(x..|.)', lambda m: bytes([int(m[1][1:], 16)]) if m[1][:1] == b'x' and len(m[1]) == 3 else
                  {b'n': b'\n', b't': b'\t'}.get(m[1], m[1]), text.encode('ascii'))


class Message:
    """One message and what both said of it."""

    def __init__(self, name, path, sa, ours):
        self.name = name
        with open(path, 'rb') as f:
            self.data = f.read()
        self.score, self.sa, self.uris = sa
        self.hits = {h['name']: h for h in ours['hits']}
        self.total = ours['score']

    def parts(self):
        return [p for p in email.message_from_bytes(self.data).walk() if not p.is_multipart()]


# ---- kinds: does the reason hold in this message? `rule`: of the plan; `ours`: our hit, or None ----

def stored(m, rule, _):
    where, _ = STORED.get(m.name, ('', ''))
    return bool(where) and re.search(where, rule['text'])


def other_view(m, rule, _):
    # Meta rules, too: they also count how often a part of theirs hits.
    return m.name in DIFFER and rule['kind'] != 'full'


def guessed_uri(m, rule, ours):
    """What is in no text of the message is made up: http://www.name.com/ of "name"."""
    text = b''.join(p.get_payload(decode=True) or b'' for p in m.parts())
    return rule['kind'] == 'uri' and not ours and any(u.lower() not in text.lower() for u in m.uris)


def open_comment(m, rule, _):
    """What is behind a "<!--" without its end is not shown (html.h); SpamAssassin takes it for text."""
    return rule['kind'] in ('body', 'uri') and any(
        b'-->' not in comment for p in m.parts() if p.get_content_type() == 'text/html'
        for comment in (p.get_payload(decode=True) or b'').split(b'<!--')[-1:]
        if b'<!--' in (p.get_payload(decode=True) or b''))


def twice(m, rule, ours):
    """All fields of a name are looked at, not the last one of each header."""
    name = rule['text'].split()[-1].split(':')[0]
    return rule['kind'] == 'mimeheader' and ours and any(
        len(p.get_all(name, [])) > 1 for p in email.message_from_bytes(m.data).walk())


def folded(m, rule, ours):
    """/i makes \\xe3 match \\xc3, octets though they be."""
    return rule['kind'] != 'uri' and not ours and rule.get('folds') and any(
        not (p.get_payload(decode=True) or b'').isascii() for p in m.parts())


def other_uri(m, rule, ours):
    return rule['kind'] == 'uri' and ours and not any(octets(ours['text']) in u for u in m.uris)


def label(m, rule, _):
    if rule['kind'] != 'body':
        return False
    for p in m.parts():
        data, charset = p.get_payload(decode=True) or b'', (p.get_content_charset() or '').lower()
        if data.isascii() or charset in ('', 'utf-8', 'utf8', 'us-ascii'):
            continue
        try:
            data.decode('utf-8')
            return True
        except UnicodeDecodeError:
            pass
    return False


KINDS = {
    'URI that SpamAssassin sees none in': other_uri,
    'URI that SpamAssassin guesses': guessed_uri,
    'HTML behind a comment without an end': open_comment,
    'UTF-8 under another label': label,
    '/i on octets above 0x7f': folded,
    'a field of a part twice': twice,
    'a stored message whose views differ (views_spamassassin.py)': other_view,
    'a stored message with a Received or address that is read otherwise': stored,
}


def follows(m, rule, differs):
    """A meta rule over one that differs."""
    return rule['kind'] == 'meta' and not rule['over'].isdisjoint(differs)


def compare(m, plan, left_out, table):
    """Pairs into table[kind of rule]: [equal, SpamAssassin's, ours]; what differs: {rule: kind or None}"""
    sa, ours = m.sa - left_out, set(m.hits) - left_out
    why = {}
    for name in sa | ours:
        side = 0 if name in sa and name in ours else 1 if name in sa else 2
        table[plan[name]['kind']][side] += 1
        if not name.startswith('__'):
            table['rules, not parts'][side] += 1
        if side:
            why[name] = next((k for k, holds in KINDS.items() if holds(m, plan[name], m.hits.get(name))), None)
    # Metas over metas: as often as there is one more.
    found = True
    while found:
        found = False
        known = [n for n, k in why.items() if k]
        for name, kind in why.items():
            if not kind and follows(m, plan[name], known):
                why[name] = 'meta over one of these'
                found = True
    return why


def messages(count, top, where):
    """{path: name}"""
    paths, names = [], {}
    for name in files(top):
        with open(name, 'rb') as f:
            data = f.read().replace(b'\r\n', b'\n').replace(b'\n', b'\r\n')
        paths.append(os.path.join(where, 'data%04d.eml' % len(paths)))
        with open(paths[-1], 'wb') as f:
            f.write(data)
        names[paths[-1]] = os.path.basename(name)
    if not paths:
        print('no messages at', top, '- without them:')
    for p in rulemail.generate(RULES, count, 1, os.path.join(where, 'made')):
        names[str(p)] = p.name
    print('%d stored messages, %d generated' % (len(paths), count))
    return names


def report(table, why, example):
    print('%-18s %8s %8s %8s  equal' % ('', 'both', 'SA only', 'ours'))
    for kind, (both, sa, ours) in sorted(table.items()):
        print('%-18s %8d %8d %8d  %.2f %%' % (kind, both, sa, ours, 100 * both / (both + sa + ours)))
    for kind, n in why.most_common():
        print('%6d  %s' % (n, kind or 'NOT EXPLAINED'))
    for name, (side, path) in sorted(example.items())[:40]:
        print('  not explained: %s, %s, %s' % (name, side, path))


def main():
    posternctl, script, count, top = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
    if os.environ.get('POSTERN_CONFORMANCE'):
        top = os.path.join(os.environ['POSTERN_CONFORMANCE'], 'mime')
    if not glob.glob(RULES + '/*.cf') or subprocess.run(['perl', '-MMail::SpamAssassin', '-e1'], check=False,
                                                        stderr=subprocess.DEVNULL).returncode:
        print('the package spamassassin is not installed')
        return 77
    where = tempfile.mkdtemp()
    try:
        rules = prepare(os.path.join(where, 'rules'))
        cache = os.path.join(where, 'cache')
        os.mkdir(cache, 0o700)
        names = messages(count, top, where)
        paths = list(names)
        sa = spamassassin(script, os.path.join(where, 'rules'), paths, where)
        ours = postern(posternctl, rules, cache, paths)
        # Time is short on a busy machine: once more, alone.
        again = [p for p in paths if ours[p]['limited']]
        if again:
            ours.update(postern(posternctl, rules, cache, again))
        plan = plan_of(posternctl, rules, cache)
        return judge(names, sa, ours, plan)
    finally:
        shutil.rmtree(where)


def judge(names, sa, ours, plan):
    left_out = {n for n, r in plan.items() if r['tier'] == 'unsupported' or r['partial']}
    table, why, example = collections.defaultdict(lambda: [0, 0, 0]), collections.Counter(), {}
    same = scores = 0
    for path, shown in names.items():
        m = Message(shown, path, sa[path], ours[path])
        for name, kind in compare(m, plan, left_out, table).items():
            why[kind] += 1
            if not kind:
                example[name] = 'SpamAssassin' if name in m.sa else 'ours', shown
        if m.sa == set(m.hits):
            same += 1
            if abs(m.score - m.total) > 0.005:
                scores += 1
                print('score of %s: %g, not %g' % (shown, m.total, m.score))
    report(table, why, example)
    both, all_of = (sum(sum(v[i] for i in sides) for k, v in table.items() if k != 'rules, not parts')
                    for sides in ((0,), (0, 1, 2)))
    print('%d of %d pairs are equal, %.3f %%; %d rules left out; %d of %d messages hit the same, %d of these with another score' % (
        both, all_of, 100 * both / all_of, len(left_out), same, len(names), scores))
    # What is waived by kind must not hide that a kind of rules does not work.
    low = [k for k, v in table.items() if v[0] < .95 * sum(v)]
    if low:
        print('below 95 %:', ', '.join(low))
    return 1 if scores or low or why[None] > all_of // 5000 or both < .99 * all_of else 0


if __name__ == '__main__':
    sys.exit(main())
