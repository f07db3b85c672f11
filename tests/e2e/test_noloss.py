#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""The short run of no-loss, and one lie that it has to find out. The long run is for hand: docs/no-loss.md."""
import os
import pathlib
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import lab as labs  # noqa: E402

NO_LOSS = pathlib.Path(__file__).resolve().parent / "no-loss"


def main():
    labs.need_root()
    for args, code in (("--short", 0), ("--self-test --lie drop", 0)):
        got = subprocess.run([sys.executable, NO_LOSS, "--lab", "psy", *args.split()], check=False).returncode
        assert got == code, f"no-loss {args}: exit {got}"


if __name__ == "__main__":
    main()
