#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""What --tap-dump says of generated captures is what their books say: each message with its octets, envelope and reply,
each anomaly that was planted, and nothing else. --seeds FIRST-LAST, --sessions N for others than those of the default."""
import argparse
import os
import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import lab as labs  # noqa: E402

BOOKS = pathlib.Path(__file__).resolve().parent.parent / "tap/tap_books.py"
KINDS = (
    ("clean", []),
    ("all that goes wrong", ["--plant", "all"]),
    ("one side and BDAT", ["--plant", "all", "--with", "client-only=40,server-only=20,bdat=50"]),
    ("ports again", ["--plant", "lost=3,lost-reply=3,ack-early=3,lookalike=10", "--with", "reuse=10", "--messages", "6"]),
)

# Captures that showed faults (seed, sessions, kind): a message of what the content behind a lost DATA held; the octet of a
# keep-alive where a reply was missing; two losses of one session; a message without its sender that has the content of another.
SHOWN = ((32, 300, "ports again"), (47, 300, "all that goes wrong"), (29, 300, "ports again"), (17, 300, "ports again"))


def one(pcapgen, dataplane, where, seed, sessions, options):
    pcap, book, dump = (where / x for x in ("a.pcap", "a.book", "a.dump"))
    subprocess.run([pcapgen, "-o", pcap, "-b", book, "--sessions", str(sessions), "--seed", str(seed), "--size",
                    "500-20k@80,20k-200k@20", *options], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with open(dump, "wb") as out:
        got = subprocess.run([dataplane, "-l", "0", "--no-huge", "-m", "512", "--no-pci", "--no-telemetry", "--file-prefix", f"tapbooks{os.getpid()}",
                              "--vdev", f"net_pcap0,rx_pcap={pcap}", "--", "--tap-dump"], stdout=out,
                             stderr=subprocess.PIPE, timeout=300)
    assert got.returncode == 0, got.stderr.decode(errors="replace")[-2000:]
    got = subprocess.run([sys.executable, BOOKS, book, dump], stdout=subprocess.PIPE, text=True)
    assert got.returncode == 0, f"seed {seed}, {options}:\n{got.stdout}"
    return got.stdout.splitlines()[0]


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--seeds")
    p.add_argument("--sessions", type=int, default=150)
    a = p.parse_args()
    first, last = map(int, (a.seeds or "8-9").split("-"))
    runs = [(seed, a.sessions, name) for seed in range(first, last + 1) for name, _ in KINDS]
    if not a.seeds:
        runs += SHOWN
    build = labs.build_dir()
    with tempfile.TemporaryDirectory() as d:
        for seed, sessions, name in runs:
            told = one(build / "bench/pcapgen/pcapgen", build / "dataplane/postern-dataplane", pathlib.Path(d), seed,
                       sessions, dict(KINDS)[name])
            print(f"{name}, seed {seed}: {told}")
    print("ok")


if __name__ == "__main__":
    main()
