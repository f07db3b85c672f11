#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""Each proof that docs/rfc-coverage.md names must exist, each row must name one, each script must be named by a row."""
import fnmatch
import pathlib
import re
import sys

ROOT = pathlib.Path(sys.argv[1])
scripts = {p.name for p in (ROOT / "tests/script").glob("*.tcp")}
others = {"test_tcp": "dataplane/tcp/test_tcp.c", "sim_tcp": "tests/sim/sim_tcp.c", "sim_blind": "tests/sim/sim_blind.c",
          "fuzz_cable": "tests/fuzz/fuzz_cable.c", "fuzz_tcp": "tests/fuzz/fuzz_tcp.c", "test_net": "dataplane/net/test_net.c"}
wrong, named, rows = [], set(), 0
for number, line in enumerate((ROOT / "docs/rfc-coverage.md").read_text().splitlines(), 1):
    cells = [c.strip() for c in line.strip("|").split("|")]
    if not line.startswith("|") or cells[0] in ("area", "---"):
        continue
    rows += 1
    proofs = re.findall(r"`([^`]+)`", cells[-1])
    if not proofs:
        wrong.append(f"line {number}: no proof of: {cells[0]}")
    for p in proofs:
        if p.endswith(".tcp"):
            hits = set(fnmatch.filter(scripts, p))
            named |= hits
            ok = bool(hits)
        elif p.startswith("e2e/"):
            ok = (ROOT / "tests" / p).exists()
        else:
            ok = (ROOT / others.get(p, p)).exists()
        if not ok:
            wrong.append(f"line {number}: there is no {p}")
if rows < 40 or len(scripts) < 120:
    wrong.append(f"{rows} rows and {len(scripts)} scripts: too few to be right")
wrong += [f"{s}: named by no row" for s in sorted(scripts - named)]
print(f"{rows} rows, {len(scripts)} scripts")
print("\n".join(wrong))
sys.exit(bool(wrong))
