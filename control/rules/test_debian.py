# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""Loads the rules of Debian's spamassassin package: at least 98 % of its regular expressions and of
its meta rules must be in force or switched off by a score of 0. Skipped without the package."""
import glob
import json
import subprocess
import sys
import tempfile

files = sorted(glob.glob('/usr/share/spamassassin/*.cf'))
if not files:
    print('the package spamassassin is not installed')
    sys.exit(77)
with tempfile.TemporaryDirectory() as cache:
    run = [sys.argv[1], '--json', 'rules', 'check', '--cache', cache]
    first = subprocess.run(run + files, capture_output=True)
    again = subprocess.run(run + files, capture_output=True)
out = json.loads(first.stdout)
assert out['ok'], [i for i in out['issues'] if i['severity'] == 'error']
# What was kept gives the same plan, but for what is measured anew.
assert json.loads(again.stdout)['counts'] == out['counts']
patterns = bad = 0
for kind, tiers in out['counts'].items():
    print(kind, tiers)
    if kind != 'eval':
        patterns += sum(tiers.values())
        bad += tiers.get('unsupported', 0)
print(f'{patterns} rules that are no eval, {bad} of them not supported')
assert patterns > 2000
assert bad <= patterns * 0.02
