#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""Metrics over HTTP agree with what was sent, whatever else asks; the dataplane's telemetry has the same
counters; promtool has nothing against them."""
import contextlib
import ctypes
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import lab as labs  # noqa: E402

N = 37


def http(path, request="GET /metrics", *fields):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(30)
    s.connect(str(path))
    s.sendall("\r\n".join([f"{request} HTTP/1.1", "Host: x", "Connection: close", *fields, "", ""]).encode())
    data = b""
    while chunk := s.recv(65536):
        data += chunk
    s.close()
    head, _, body = data.partition(b"\r\n\r\n")
    return int(head.split()[1]), head.decode(), body.decode()


def scrape(path):
    """Its samples, from the first snapshot on: in the first second there is none."""
    answer = labs.wait_for("numbers", lambda: (a := http(path))[0] == 200 and a, 20)
    return samples(answer[2])


def newer(path):
    """Of a snapshot that was begun after this call: what was answered by then is in it."""
    first = scrape(path)["postern_snapshot_time_seconds"]

    def two_on():
        status, head, text = http(path)
        assert status == 200, head
        return samples(text)["postern_snapshot_time_seconds"] >= first + 2 and (head, text)
    return labs.wait_for("two snapshots", two_on, 20)


def samples(text):
    out = {}
    for line in text.splitlines():
        if line and line[0] != "#":
            name, value = line.rsplit(" ", 1)
            out[name] = float(value)
    return out


def total(s, name, **labels):
    return sum(v for k, v in s.items() if re.match(re.escape(name) + r"(\{|$)", k) and
               all(f'{a}="{b}"' in k for a, b in labels.items()))


def send(lab, n, rcpt="user@example.com", body="x"):
    c = labs.Smtp(lab)
    c.cmd("EHLO client.example.net")
    codes = []
    for i in range(n):
        c.cmd(f"MAIL FROM:<s{i}@example.net>")
        if c.cmd(f"RCPT TO:<{rcpt}>")[0] != 250:
            c.cmd("RSET")
            codes.append(0)
            continue
        c.cmd("DATA")
        c.send(f"From: s@example.net\r\nMessage-ID: <{time.time_ns()}@example.net>\r\n\r\n{body}\r\n.\r\n")
        codes.append(c.reply()[0])
    c.cmd("QUIT")
    c.close()
    return codes


def books(lab, path):
    """Counters and histograms are what was sent, to the last message."""
    before = scrape(path)
    assert send(lab, N) == [250] * N
    assert send(lab, 5, body="very bad") == [550] * 5
    head, text = newer(path)
    assert "text/plain; version=0.0.4" in head, head
    now = samples(text)

    def rose(name, **labels):
        return total(now, name, **labels) - total(before, name, **labels)

    assert rose("postern_delivered_total") == N
    assert rose("postern_rejected_total") == 5
    assert rose("postern_smtp_messages_total") == N + 5
    assert rose("postern_smtp_reply_2xx_total") == N
    assert rose("postern_trace_records_total") == N + 5
    assert rose("postern_recipients_total", route="office", outcome="delivered") == N
    assert rose("postern_recipients_total", route="office", outcome="rejected") == 5
    assert rose("postern_message_seconds_count") == N + 5
    assert rose("postern_judge_seconds_count") == N + 5
    for stage in ("wait", "recipients", "transfer", "reply", "whole"):
        assert rose("postern_delivery_seconds_count", route="office", stage=stage) == N, stage
    # One connection carries many messages; the first needed one.
    assert 1 <= rose("postern_delivery_seconds_count", route="office", stage="connect") <= N
    assert rose("postern_dns_query_seconds_count") > 0
    for k in [k for k in now if "_count" in k]:
        bucket = k.replace("_count{", "_bucket{").rstrip("}") if "{" in k else k.replace("_count", "_bucket{")
        inf = [v for b, v in now.items() if b.startswith(bucket) and 'le="+Inf"' in b]
        assert inf == [now[k]], (k, inf)
    assert now["postern_ready"] == 1 and now["postern_dataplane_linked"] == 1
    # The rules are looked through every fifteen seconds.
    hits = total(before, "postern_rule_hits_total", rule="R_BAD") + 5
    labs.wait_for("hits of the rule", lambda: total(scrape(path), "postern_rule_hits_total", rule="R_BAD") == hits, 40)
    print("counters agree with what was sent: ok", flush=True)
    return text


def forms(lab, path, text):
    status, head, body = http(path, "GET /metrics", "Accept: application/openmetrics-text;version=1.0.0,*/*;q=0.1")
    assert "application/openmetrics-text; version=1.0.0" in head and body.endswith("\n# EOF\n"), head
    assert http(path, "GET /")[0] == 404 and http(path, "DELETE /metrics")[0] == 405
    assert http(path, "HEAD /metrics")[2] == ""
    # What is no HTTP, and who asks and does not read: others are answered all the same.
    held = []
    for junk in (b"\0" * 100, b"GET /metrics HTTP/1.1\r\n", b"GET " + b"x" * 100000, b""):
        s = socket.socket(socket.AF_UNIX)
        s.connect(str(path))
        try:
            s.sendall(junk)
        except OSError:
            pass
        held.append(s)
    assert http(path)[0] == 200 and send(lab, 3) == [250] * 3
    for s in held:
        s.close()
    assert shutil.which("promtool"), "promtool is not there: packaging/install-packages test"
    r = subprocess.run(["promtool", "check", "metrics"], input=text, text=True, capture_output=True)
    assert r.returncode == 0 and not r.stderr, r.stderr
    print("content negotiation, what is no request, promtool: ok", flush=True)


def telemetry(lab, run):
    """The socket of DPDK's telemetry: the first line is its greeting."""
    path = run / "dpdk" / "ptm-dp" / "dpdk_telemetry.v2"
    if not path.exists():
        path = next(run.rglob("dpdk_telemetry.v2*"))
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    s.settimeout(20)
    s.connect(str(path))
    limit = json.loads(s.recv(4096))["max_output_len"]

    def ask(what):
        s.sendall(what.encode())
        return json.loads(s.recv(limit))[what.split(",")[0]]

    c = ask("/postern/counters")
    assert c["smtp_messages"] == lab.counters()["smtp_messages"] > N, c
    smtp = ask("/postern/counters,smtp_")
    assert all(k.startswith("smtp_") for k in smtp) and "smtp_reply_4xx" in smtp, smtp
    assert ask("/postern/workers") == [0] and ask("/postern/workers,0")["rx_packets"] > 0
    assert ask("/postern/ports") == [0] and ask("/postern/ports,0")["driver"] == "net_af_packet"
    assert ask("/postern/workers,7") is None and ask("/postern/ports,x") is None
    s.close()
    print("telemetry of the dataplane: ok", flush=True)


@contextlib.contextmanager
def standing(tid):
    """This one thread stands still, as if a call did not return; the others of its process go on."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)

    def ptrace(request):
        if libc.ptrace(request, tid, None, None):
            raise OSError(ctypes.get_errno(), f"ptrace {request:#x}")
    ptrace(0x4206)  # PTRACE_SEIZE
    try:
        ptrace(0x4207)  # PTRACE_INTERRUPT
        os.waitpid(tid, 0x40000000)  # __WALL
        yield
    finally:
        ptrace(17)  # PTRACE_DETACH


def without_dataplane(lab, path):
    lab.stop("dataplane")
    labs.wait_for("metrics say so", lambda: scrape(path)["postern_dataplane_linked"] == 0, 20)
    now = scrape(path)
    assert now["postern_ready"] == 0 and not any(k.startswith("postern_rx_packets") for k in now)
    # A loop that stands still is seen (PosternStalled): its snapshot grows old, and is told all the same. With a
    # dataplane it would have been killed by that.
    with standing(lab.procs["control"].pid):
        last = scrape(path)["postern_snapshot_time_seconds"]
        labs.wait_for("its age", lambda: time.time() - last > 4, 20)
        assert scrape(path)["postern_snapshot_time_seconds"] == last
    labs.wait_for("a new snapshot", lambda: scrape(path)["postern_snapshot_time_seconds"] > last, 10)
    print("without the dataplane, and with a loop that stands still: ok", flush=True)


def taken(lab, path):
    """Somebody else listens there: mail goes on, and status says that there are no metrics, and why."""
    assert json.loads(lab.ctl("show", "status", "--json").stdout)["metrics"] == {"open": True, "error": None}
    assert "metrics" not in lab.ctl("show", "status").stdout
    lab.stop("control")
    path.unlink(missing_ok=True)
    other = socket.socket(socket.AF_UNIX)
    other.bind(str(path))
    other.listen()
    lab.start_control()
    lab.wait_ready()
    told = json.loads(lab.ctl("show", "status", "--json").stdout)["metrics"]
    assert not told["open"] and str(path) in told["error"], told
    text = lab.ctl("show", "status").stdout
    assert f"metrics     NOT OPEN: {told['error']}" in text, text
    assert f"ALERT metrics: {told['error']}" in lab.log("control")
    assert send(lab, 2) == [250] * 2
    other.close()
    print("an address that is taken is told by status: ok", flush=True)


def main():
    labs.need_root()
    with labs.Lab("ptm", arena_mb=64) as lab:
        path, run = lab.dir / "metrics.sock", lab.dir / "run"
        run.mkdir()
        lab.start_dns({"example.net": f'@ IN TXT "v=spf1 ip4:{labs.CLIENT4} -all"\n'})
        lab.start_sink()
        (lab.dir / "demo.cf").write_text("body R_BAD /very bad/\nscore R_BAD 20\naction R_BAD reject\n")
        lab.write_config(verify="none", extra=f'metrics {{ listen = "unix:{path}" }}')
        lab.start_dataplane(telemetry=True, env={"XDG_RUNTIME_DIR": str(run), "RUNTIME_DIRECTORY": str(run)})
        lab.start_control()
        lab.wait_ready()
        labs.wait_for("a first snapshot", lambda: http(path)[0] == 200)
        forms(lab, path, books(lab, path))
        telemetry(lab, run)
        taken(lab, path)
        path.unlink()
        lab.stop("control")
        lab.start_control()
        lab.wait_ready()
        labs.wait_for("a first snapshot", lambda: http(path)[0] == 200)
        without_dataplane(lab, path)


if __name__ == "__main__":
    main()
