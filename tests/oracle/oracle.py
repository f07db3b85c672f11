# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""oracle.py ORACLE RULEMAIL.py CUTS [SEED] — the oracle over the rules of Debian's spamassassin package, on mail that is
made from these rules. Skipped without the package."""
import glob
import subprocess
import sys
import tempfile
import time

oracle, rulemail, cuts = sys.argv[1:4]
seed = sys.argv[4] if len(sys.argv) > 4 else str(int(time.time()))
rules = sorted(glob.glob('/usr/share/spamassassin/*.cf'))
if not rules:
    print('the package spamassassin is not installed')
    sys.exit(77)
with tempfile.TemporaryDirectory() as mail:
    messages = str(max(50, int(cuts) // 10))
    subprocess.run([sys.executable, '-W', 'ignore', rulemail, '--count', messages, '--seed', seed, '--out', mail], check=True)
    sys.exit(subprocess.run([oracle, '-n', cuts, '-e', '8', '-s', seed, '-m', mail] + rules).returncode)
