# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""The rule sets of the benches: the literal set on the view `full`, and with it a rule on every other view, compiled."""
import pathlib
import subprocess
import sys

import benchlib

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "micro"))
import literal_set  # noqa: E402

# Never met: so that nothing but the making and scanning of the views is added.
VIEW_RULES = "body VB /zq7xkvwj0body/i\nrawbody VR /zq7xkvwj0raw/i\nuri VU /zq7xkvwj0uri/i\nheader VS Subject =~ /zq7xkvwj0subject/i\n" \
             "header VF From =~ /zq7xkvwj0from/i\nheader VT To =~ /zq7xkvwj0to/i\n"


def make(work, literals=1000):
    """full.cf, views.cf and, compiled, full.psb, views.psb in the directory, and the literals themselves; what is to be told of them.
    Choosing the literals takes a minute of CPU the first time and is kept beside the build."""
    work = pathlib.Path(work)
    cache = benchlib.build_dir() / "bench/micro/scan.cache"  # of bench/run-micro scan, which has the same ones
    cache.mkdir(parents=True, exist_ok=True)
    told, lines = literal_set.kept(cache, literals)
    (work / "literals").write_bytes(lines)
    rules = "".join(f"full LITERAL_{i} /{''.join(f'{chr(92)}x{c:02x}' for c in s)}/i\n" for i, s in enumerate(lines.splitlines()))
    for name, text, more in (("full", rules, []), ("views", rules + VIEW_RULES, ["--all-views"])):
        (work / f"{name}.cf").write_text(text)
        subprocess.run([benchlib.build_dir() / "control/cli/posternctl", "rules", "compile", "--output", work / f"{name}.psb", *more,
                        work / f"{name}.cf"], check=True, stdout=subprocess.DEVNULL)
    return told
