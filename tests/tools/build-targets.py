#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""build-targets.py [--tests] BUILD SUITE...: what ninja has to build in BUILD for the tests of these suites, and, without
--tests, for its own sake (programs, tools, benches): all but the programs that are tests of other suites themselves."""
import argparse
import json
import os
import subprocess

MADE = ("executable", "shared library", "shared module", "custom")


def introspect(build, what):
    return json.loads(subprocess.run(["meson", "introspect", f"--{what}", build], check=True, stdout=subprocess.PIPE).stdout)


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--tests", action="store_true")
    p.add_argument("build", type=os.path.realpath)
    p.add_argument("suites", nargs="+")
    args = p.parse_args()
    build, suites = args.build, set(args.suites)
    needed, others = set(), set()
    for test in introspect(build, "tests"):
        if suites & {s.split(":")[-1] for s in test["suite"]}:
            needed.update(test["depends"])
        else:
            others.add(os.path.realpath(test["cmd"][0]))
    for target in introspect(build, "targets"):
        files = [os.path.realpath(f) for f in target["filename"]]
        own = not args.tests and target["type"] in MADE and target["build_by_default"] and others.isdisjoint(files)
        if own or target["id"] in needed:
            for f in files:
                print(os.path.relpath(f, build))


if __name__ == "__main__":
    main()
