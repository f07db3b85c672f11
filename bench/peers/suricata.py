#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""Suricata over a capture of bench/tap: octets a CPU-second, with the same literals on the same octets (the client's stream).

    bench/peers/suricata.py CAPTURE.pcap LITERALS [--runs N] [--mime]

bench/tap calls this in its own run where Suricata is installed. Nothing here needs root, and nothing listens."""
import argparse
import json
import os
import pathlib
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile

CONFIG = """%YAML 1.1
---
vars:
  address-groups: {{ HOME_NET: "any", EXTERNAL_NET: "!$HOME_NET" }}
  port-groups: {{ SMTP_PORTS: "25" }}
default-log-dir: {log}
stats: {{ enabled: yes, interval: 3600 }}
outputs:
  - eve-log: {{ enabled: yes, filetype: regular, filename: eve.json, types: [ {{ stats: {{ totals: yes, threads: no }} }} ] }}
logging: {{ default-log-level: warning, outputs: [ {{ console: {{ enabled: yes }} }} ] }}
pcap-file: {{ checksum-checks: no }}
app-layer:
  protocols:
    tls: {{ enabled: no }}
    http: {{ enabled: no }}
    smtp:
      enabled: yes
      raw-extraction: no
      mime: {{ decode-mime: {mime}, decode-base64: yes, decode-quoted-printable: yes, extract-urls: yes, body-md5: no }}
      inspected-tracker: {{ content-limit: 0, content-inspect-min-size: 32768, content-inspect-window: 4096 }}
flow: {{ memcap: 1gb, hash-size: 65536, prealloc: 10000 }}
stream:
  memcap: 2gb
  checksum-validation: no
  midstream: no
  inline: no
  reassembly: {{ memcap: 4gb, depth: 0, toserver-chunk-size: 2560, toclient-chunk-size: 2560 }}
detect: {{ profile: high, sgh-mpm-context: auto, inspection-recursion-limit: 3000 }}
mpm-algo: {mpm}
spm-algo: {mpm}
"""


def version():
    """None: it is not installed."""
    if not shutil.which("suricata"):
        return None
    got = subprocess.run(["suricata", "-V"], capture_output=True, text=True, check=False)
    return got.stdout.strip() or "?"


def has_hyperscan():
    got = subprocess.run(["suricata", "--build-info"], capture_output=True, text=True, check=False)
    return any("hyperscan" in x.lower() and "yes" in x.lower() for x in got.stdout.splitlines())


def rules(literals):
    return "".join(f'alert tcp any any -> any 25 (msg:"L{i}"; flow:to_server,established; content:"|{s.hex(" ")}|"; nocase; sid:{i + 1}; rev:1;)\n'
                   for i, s in enumerate(literals.splitlines()))


def once(capture, literals, mime, work):
    """CPU seconds, and its own counters."""
    log = pathlib.Path(tempfile.mkdtemp(dir=work))
    (log / "suricata.yaml").write_text(CONFIG.format(log=log, mime="yes" if mime else "no", mpm="hs" if has_hyperscan() else "ac"))
    (log / "literals.rules").write_text(rules(literals))
    argv = ["suricata", "-c", log / "suricata.yaml", "-S", log / "literals.rules", "-r", capture, "-l", log, "-k", "none", "--runmode", "single"]
    with open(log / "out", "wb") as out:
        p = subprocess.Popen([str(a) for a in argv], stdout=out, stderr=out, stdin=subprocess.DEVNULL)
        _, status, usage = os.wait4(p.pid, 0)
        p.returncode = os.waitstatus_to_exitcode(status)
    if p.returncode:
        sys.exit(f"suricata: exit status {p.returncode}:\n{(log / 'out').read_text(errors='replace')[-2000:]}")
    stats = [json.loads(x)["stats"] for x in (log / "eve.json").read_text().splitlines() if '"stats"' in x]
    shutil.rmtree(log)
    if not stats:
        sys.exit("suricata: no statistics in eve.json")
    return usage.ru_utime + usage.ru_stime, stats[-1]


def empty_capture(work):
    path = pathlib.Path(work) / "empty.pcap"
    path.write_bytes(struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, 1))
    return path


def measure(capture, packets, literals, mime, work):
    """What starting costs is taken off: the same rules over no packet. In the form of bench/tap's measurements."""
    idle, _ = once(empty_capture(work), literals, mime, work)
    cpu, stats = once(capture, literals, mime, work)
    decoder, tcp = stats["decoder"], stats.get("tcp", {})
    if packets and decoder["pkts"] != packets:
        sys.exit(f"suricata decoded {decoder['pkts']} packets of {packets}")
    took = cpu - idle
    if took <= 0:
        sys.exit("suricata: the capture is too small to be measured beside its start")
    losses = {k: v for k, v in {"reassembly_gap": tcp.get("reassembly_gap", 0), "segment_memcap_drop": tcp.get("segment_memcap_drop", 0),
                                "invalid": decoder.get("invalid", 0)}.items() if v}
    return {"cpu_s": [took], "start_cpu_s": idle, "packets": decoder["pkts"], "octets": decoder["bytes"], "had_cpu": 1.0,
            "gbit_s": decoder["bytes"] * 8 / took / 1e9, "mpps": decoder["pkts"] / took / 1e6, "losses": losses,
            "flows": stats.get("app_layer", {}).get("flow", {}).get("smtp", 0), "matches": stats.get("detect", {}).get("alert", 0)}


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    p.add_argument("capture", type=pathlib.Path)
    p.add_argument("literals", type=pathlib.Path, help="one a line (bench/micro/literal_set.py)")
    p.add_argument("--runs", type=int, default=5)
    p.add_argument("--mime", action="store_true", help="with its MIME decoder")
    o = p.parse_args()
    told = version()
    if not told:
        print("suricata is not installed")
        sys.exit(77)
    with tempfile.TemporaryDirectory() as work:
        runs = [measure(o.capture, 0, o.literals.read_bytes(), o.mime, work) for _ in range(o.runs)]
    rates = [r["gbit_s"] for r in runs]
    print(f"{told}: {statistics.median(rates):.2f} Gbit/s a core ({min(rates):.2f}–{max(rates):.2f}), {runs[-1]}")


if __name__ == "__main__":
    main()
