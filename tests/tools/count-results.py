#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""count-results.py [--since SECONDS] LOG...: adds up the results of `meson test` (testlog.json, one object a line), with the
slowest tests and the time since then. Last line: the counts. With CI in the environment a test that skips fails, but for want
of huge pages, which a machine may not have."""
import argparse
import json
import os
import pathlib
import time

SLOWEST = 10


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--since", type=int, help="when all began, in seconds since 1970")
    p.add_argument("logs", nargs="+", type=pathlib.Path)
    args = p.parse_args()
    passed = failed = skipped = missing = 0
    took = []
    for path in args.logs:
        if not path.exists():
            continue
        build = path.parent.parent.name
        for line in path.read_text(encoding="utf-8").splitlines():
            test = json.loads(line)
            result, name = test["result"], test["name"].split(":")[-1]
            took.append((test["duration"], name, build))
            if result in ("OK", "EXPECTEDFAIL"):
                passed += 1
            elif result == "SKIP":
                skipped += 1
                missing += "hugepages" not in name
                print(f"skipped: {name}: {(test.get('stdout') or '').strip()[-200:]}")
            else:
                failed += 1
                print(f"failed: {name} ({result.lower()}), log beside {path}")
    lacking = missing and os.environ.get("CI")
    if lacking:
        print(f"failed: {missing} skipped, which CI does not allow")
    if took:
        print("the slowest tests:")
        for seconds, name, build in sorted(took, reverse=True)[:SLOWEST]:
            print(f"{seconds:8.1f} s  {name}  ({build})")
    if args.since:
        print(f"{sum(t[0] for t in took):8.1f} s of tests, several at once; {time.time() - args.since:.0f} s with packages and builds")
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed or lacking or not passed else 0


if __name__ == "__main__":
    raise SystemExit(main())
