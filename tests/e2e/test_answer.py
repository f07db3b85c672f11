#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""--answer=accept: a gateway, and a tap, without control that accepts and throws away, says so to everybody, scans by a compiled set, and
gives all memory back."""
import json
import os
import pathlib
import signal
import smtplib
import socket
import subprocess
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import lab as labs  # noqa: E402

RULES = "full HIT /greetings from the bench/i\nbody TEXT /nothing of this/i\n"
BODY = b"Subject: bench\r\nFrom: a@example.org\r\n\r\nGreetings from the bench\r\n" + b"line of text\r\n" * 300
PER_CLIENT, CLIENTS = 40, 8
DATAPLANE = labs.build_dir() / "dataplane/postern-dataplane"
POSTERNCTL = labs.build_dir() / "control/cli/posternctl"


def start(lab, *options):
    lab.spawn("dataplane", "gw", [
        DATAPLANE, "--lcores", f"0@0,1@{1 % os.cpu_count()},2@{1 % os.cpu_count()}", "--no-huge", "--no-shconf", "--file-prefix",
        "ans-dp", "-m", "512", "--no-pci", "--no-telemetry", "--log-level", "lib.eal:warning", f"--vdev={lab.vdev()}", "--",
        "--port", "0=gateway", "--answer=accept", "--listen", f"0={labs.GATEWAY4}/24", "--listen",
        f"0=[{labs.GATEWAY6}]/64:2525", "--arena-mb", lab.arena_mb, "--idle-sleep-us", "50", *options])
    labs.wait_for("dataplane", lambda: lab._alive("dataplane") and "ready" in lab.log("dataplane"), 60)


def client(address, port, count, replies):
    with smtplib.SMTP(timeout=30) as s:
        code, banner = s.connect(address, port)
        replies.append((code, banner))
        s.ehlo("client.example.org")
        for i in range(count):
            s.mail("a@example.org")
            s.rcpt("b@example.net")
            s.rcpt(f"c{i}@example.com")
            replies.append(s.data(BODY if i % 10 else BODY * 40))


def stats(lab):
    return [json.loads(x) for x in lab.log("dataplane").splitlines() if x.startswith('{"type":"stats"')]


def total(line, name):
    return sum(w.get(name, 0) for w in line["workers"])


def load(lab):
    replies = []
    with labs.in_netns(lab.ns["client"]):
        # Connections are made in this thread's namespace: each is handed to a thread of its own with it.
        def one(address, port):
            with labs.in_netns(lab.ns["client"]):
                client(address, port, PER_CLIENT, replies)
        threads = [threading.Thread(target=one, args=((labs.GATEWAY4, 25) if i % 2 else (labs.GATEWAY6, 2525)))
                   for i in range(CLIENTS)]
        for t in threads:
            t.start()
        for t in threads:
            t.join(120)
    banners = [r for r in replies if r[0] == 220]
    taken = [r for r in replies if r[0] == 250]
    assert len(banners) == CLIENTS and all(b"THROWN AWAY" in r[1] for r in banners), banners
    assert len(taken) == CLIENTS * PER_CLIENT and all(b"thrown away" in r[1] for r in taken), replies[:3]


def cut_off(lab):
    """A client that goes within its message leaves nothing behind, and those before it are answered."""
    with labs.in_netns(lab.ns["client"]):
        for _ in range(5):
            s = socket.create_connection((labs.GATEWAY4, 25), 10)
            s.sendall(b"EHLO x\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n")
            f = s.makefile("rb")
            while not f.readline().startswith(b"354"):
                pass
            s.sendall(b"x" * 70000)
            s.close()


def refusals(lab):
    (lab.dir / "no.psb").write_bytes(b"x" * 5000)
    base = [DATAPLANE, "--no-huge", "--no-shconf", "--file-prefix", "ans-no", "-m", "64", "--no-pci", "--no-telemetry", "--vdev=net_null0",
            "-l", "0,1", "--"]
    for words, why in (
            (["--port", "0=gateway", "--answer=accept"], "--listen"),
            (["--port", "0=gateway", "--answer=yes"], "accept is all there is"),
            (["--port", "0=gateway", "--listen", "0=192.0.2.25/24"], "for --answer"),
            (["--port", "0=gateway", "--answer=accept", "--listen", "0=192.0.2.25/24", "--socket", "/nowhere/s"], "no control"),
            (["--answer=accept", "--tap-dump"], "no dump"),
            *[(["--port", "0=gateway", "--answer=accept", "--listen", bad], "expected N=")
              for bad in ("192.0.2.25/24", "0=192.0.2.25", "0=192.0.2.25/33", "0=[2001:db8::1/64", "0=[2001:db8::1]/129",
                          "0=192.0.2.25/24:0", "0=192.0.2.25/24:65536", "x=192.0.2.25/24", "0=2001:db8::1/64", "0=192.0.2/24")],
            (["--port", "0=gateway", "--answer=accept", "--listen", "1=192.0.2.25/24", "--rx-mbufs", "64", "--arena-mb", "8",
              "--max-sessions", "16", "--max-tls", "0"], "names port 1"),
            *[(["--port", "0=gateway", "--answer=accept", "--listen", "0=192.0.2.25/24", "--rx-mbufs", "64", "--arena-mb", "8",
                "--max-sessions", "16", "--max-tls", "0", "--rules", path], why)
              for path, why in ((lab.dir / "none", "No such file"), (lab.dir, "no file of rules"), (lab.dir / "no.psb", "bad magic"))]):
        p = subprocess.run([*map(str, base), *map(str, words)], capture_output=True, text=True, timeout=60, check=False)
        assert p.returncode and why in p.stderr, (words, p.returncode, p.stderr)


def watched(lab, bundle):
    """A tap port in the same way: every message of a capture is submitted, scanned and released."""
    pcap, book = lab.dir / "tap.pcap", lab.dir / "tap.book"
    subprocess.run([labs.build_dir() / "bench/pcapgen/pcapgen", "-o", pcap, "-b", book, "--sessions", "80", "--seed", "3", "--size",
                    "500-20k@80,60k-200k@20", "--with", "reuse=0"], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    lines = [json.loads(x) for x in book.read_text().splitlines()]
    packets = lines[-1]["packets"]
    messages = sum(x["type"] == "message" for x in lines)
    with open(lab.dir / "tap.log", "wb") as log:
        p = subprocess.Popen([str(x) for x in (
            DATAPLANE, "--lcores", f"0@0,1@{1 % os.cpu_count()}", "--no-huge", "--no-shconf", "--file-prefix", "ans-tap", "-m", "512", "--no-pci",
            "--no-telemetry", f"--vdev=net_pcap0,rx_pcap={pcap}", "--", "--port", "0=tap", "--answer=accept", "--rules", bundle, "--stats-seconds",
            "1", "--arena-mb", "96", "--max-tls", "0", "--idle-sleep-us", "50")], stdout=log, stderr=log, start_new_session=True)
    try:
        def last():
            assert p.poll() is None, lab.log("tap")[-2000:]
            told = [json.loads(x) for x in lab.log("tap").splitlines() if x.startswith('{"type":"stats"') and x.endswith("}")]
            return told[-1] if told else {"workers": []}
        labs.wait_for("the capture is read", lambda: total(last(), "tap_packets") == packets, 60)
        labs.wait_for("all is released", lambda: total(last(), "tap_submitted") and not total(last(), "arena_records_used"), 30)
        got = last()
    finally:
        p.terminate()
        p.wait(30)
    assert total(got, "tap_messages") == messages, (got, messages)
    assert total(got, "tap_submitted") == messages + total(got, "tap_encrypted") and total(got, "scan_bytes") > 0, got
    assert not any("unjudged" in k for w in got["workers"] for k in w) and not total(got, "handoff_stale"), got


def main():
    with labs.Lab("ans", workers=2) as lab:
        (lab.dir / "r.cf").write_text(RULES)
        bundle = lab.dir / "r.psb"
        told = labs.run(POSTERNCTL, "--json", "rules", "compile", "--output", bundle, lab.dir / "r.cf")
        assert json.loads(told.stdout)["rules"] == 2, told.stdout
        refusals(lab)
        watched(lab, bundle)
        start(lab, "--rules", bundle, "--stats-seconds", "1")
        assert "THROWN AWAY" in lab.log("dataplane") and "socket none" in lab.log("dataplane")
        load(lab)
        cut_off(lab)
        labs.wait_for("memory is given back", lambda: stats(lab) and total(stats(lab)[-1], "sessions_now") == 0 and
                      total(stats(lab)[-1], "arena_records_used") == 0 and total(stats(lab)[-1], "smtp_reply_acked") ==
                      CLIENTS * PER_CLIENT, 30)
        lab.procs["dataplane"].send_signal(signal.SIGTERM)
        assert lab.procs["dataplane"].wait(20) == 0, lab.log("dataplane")[-2000:]
        lines = stats(lab)
        last = lines[-1]
        assert len(lines) >= 2 and last["seconds"] > lines[0]["seconds"] and last["tsc_hz"] > 10**8, lines[-1]
        assert total(last, "arena_chunks_used") == 0 and total(last, "handoff_stale") == 0 == total(last, "handoff_invalid"), last
        assert total(last, "smtp_messages") == CLIENTS * PER_CLIENT <= total(last, "scan_matches"), last
        assert all(w.get("handoff_submit") for w in last["workers"]), "both workers answer"
    print("ok")


if __name__ == "__main__":
    main()
