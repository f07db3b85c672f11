#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""Adds up the results of `meson test` (testlog.json, one object a line). Last line: the counts. With CI in the environment
a test that skips fails, but for want of huge pages, which a machine may not have."""
import json
import os
import sys

passed = failed = skipped = missing = 0
for path in sys.argv[1:]:
    try:
        lines = open(path, encoding="utf-8").read().splitlines()
    except FileNotFoundError:
        continue
    for line in lines:
        test = json.loads(line)
        result = test["result"]
        if result in ("OK", "EXPECTEDFAIL"):
            passed += 1
        elif result == "SKIP":
            skipped += 1
            missing += "hugepages" not in test["name"]
            print(f"skipped: {test['name']}: {(test.get('stdout') or '').strip()[-200:]}")
        else:
            failed += 1
            print(f"failed: {test['name']} ({result.lower()}), log beside {path}")
lacking = missing and os.environ.get("CI")
if lacking:
    print(f"failed: {missing} skipped, which CI does not allow")
print(f"{passed} passed, {failed} failed, {skipped} skipped")
sys.exit(1 if failed or lacking or not passed else 0)
