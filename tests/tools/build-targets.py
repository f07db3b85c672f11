#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""build-targets.py BUILD SUITE...: what ninja has to build in BUILD for the tests of these suites, and for what is built for its
own sake (programs, tools, benches): all but the programs that are tests of other suites themselves."""
import json
import os
import subprocess
import sys

MADE = ("executable", "shared library", "shared module", "custom")


def introspect(build, what):
    return json.loads(subprocess.run(["meson", "introspect", f"--{what}", build], check=True, stdout=subprocess.PIPE).stdout)


def main():
    build, suites = os.path.realpath(sys.argv[1]), set(sys.argv[2:])
    needed, others = set(), set()
    for test in introspect(build, "tests"):
        if suites & {s.split(":")[-1] for s in test["suite"]}:
            needed.update(test["depends"])
        else:
            others.add(os.path.realpath(test["cmd"][0]))
    for target in introspect(build, "targets"):
        files = [os.path.realpath(f) for f in target["filename"]]
        if target["id"] in needed or target["type"] in MADE and target["build_by_default"] and others.isdisjoint(files):
            for f in files:
                print(os.path.relpath(f, build))


if __name__ == "__main__":
    main()
