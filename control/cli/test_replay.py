#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""posternctl replay with a dataplane that says what the test wants: argv[1] is the posternctl to run. The real one is
in tests/e2e/test_replay.py."""

import json
import os
import struct
import subprocess
import sys
import tempfile
import time

CTL = sys.argv[1]
FAKE = r"""#!/usr/bin/python3
import os, sys, time
d = os.path.dirname(sys.argv[0])
with open(d + "/args", "w") as f:
    f.write("\n".join(sys.argv[1:]))
with open(d + "/seen", "wb") as f:
    for part in sys.argv[sys.argv.index("--vdev") + 1].split(","):
        if part.startswith("rx_pcap="):
            f.write(open(part[8:], "rb").read())
os.makedirs(os.environ["RUNTIME_DIRECTORY"] + "/dpdk/" + sys.argv[sys.argv.index("--file-prefix") + 1])
exec(open(d + "/do").read())
"""
MESSAGE = {"type": "message", "flow": "192.0.2.1:40000>198.51.100.25:25", "mail_from": "a@example.org",
           "rcpt_to": ["b@example.net", "c@example.net"], "rcpt_refused": ["d@example.net"], "size": 1234, "sha256": "00" * 32,
           "complete": True, "bdat": False, "reply": "250 2.0.0 queued", "anomalies": []}
GAP = {"type": "anomaly", "flow": MESSAGE["flow"], "anomaly": "gap", "side": "client", "octets": 120, "cause": "never_seen"}
ODD = {"type": "anomaly", "flow": MESSAGE["flow"], "anomaly": "overlap_diff"}
TLS = {"type": "encrypted", "flow": "[2001:db8::1]:4>[2001:db8::25]:25"}
SUMMARY = {"type": "summary", "packets": 2, "flows": 1, "messages": 1, "incomplete": 0, "encrypted": 0,
           "counters": {"tap_flows": 1, "tap_retransmitted": 7, "rx_drop_short": 3, "rx_bytes": 99}}


def capture(packets=2, link=1, tail=b""):
    head = struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, link)
    return head + (struct.pack("<IIII", 1, 2, 60, 60) + b"x" * 60) * packets + tail


class Lab:
    def __init__(self, where):
        self.where = where
        self.fake = where + "/postern-dataplane"
        self.tmp = where + "/tmp"
        os.mkdir(self.tmp)
        with open(self.fake, "w") as f:
            f.write(FAKE)
        os.chmod(self.fake, 0o755)
        # A name that would be options of the driver, were it handed down.
        self.pcap = where + "/a b,tx_pcap=x,[y].pcap"
        self.write(self.pcap, capture())

    @staticmethod
    def write(path, data):
        with open(path, "wb") as f:
            f.write(data)

    def do(self, code):
        self.write(self.where + "/do", code.encode())

    def lines(self, *lines):
        text = "".join((x if isinstance(x, str) else json.dumps(x)) + "\n" for x in lines)
        self.do(f"sys.stdout.write({text!r})")

    def run(self, *words, code=0, files=None, dataplane=True):
        words = (["--dataplane", self.fake] if dataplane else []) + list(words)
        p = subprocess.run([CTL, "replay", *words, *(files or [self.pcap])], capture_output=True, timeout=60, check=False,
                           env={**os.environ, "TMPDIR": self.tmp, "PATH": self.where if dataplane is None else "/nowhere"})
        assert p.returncode == code, (words, p.returncode, p.stdout, p.stderr)
        assert os.listdir(self.tmp) == [], os.listdir(self.tmp)
        return p.stdout.decode(), p.stderr.decode()

    def args(self):
        with open(self.where + "/args") as f:
            return f.read().split("\n")


def shown(lab):
    lab.lines(MESSAGE, TLS, {**SUMMARY, "encrypted": 1})
    out, err = lab.run()
    row = out.splitlines()[1]
    assert row.split()[:5] == [MESSAGE["flow"], "a@example.org", "b@example.net", "+1", "(1"] and "1234  yes" in row, out
    assert "250 2.0.0 queued" in row and "2001:db8::1]:4>[2001:db8::25]:25" in out and "encrypted" in out, out
    assert "2 packets, 1 flows, 1 messages (0 incomplete), 1 encrypted" in out, out
    assert "tap_retransmitted" in out and "rx_drop_short" in out and "rx_bytes" not in out and not err, (out, err)
    with open(lab.where + "/seen", "rb") as f:
        assert f.read() == capture()
    args = lab.args()
    assert args[-1] == "--tap-dump" and "--no-huge" in args and "--no-pci" in args and "tx_pcap" not in " ".join(args), args


def findings(lab):
    lab.lines({**MESSAGE, "complete": False, "incomplete": "gap,120", "mail_from": None, "rcpt_to": [], "reply": None}, SUMMARY)
    out, _ = lab.run(code=1)
    assert "gap,120" in out and "not seen" in out and " ?  " in out and "0 flows" not in out, out
    lab.lines(GAP, ODD, {**MESSAGE, "mail_from": "", "rcpt_more": 5}, SUMMARY)
    out, _ = lab.run(code=1)
    assert "overlap_diff" not in out and "<>" in out and "+6" in out, out
    out, _ = lab.run("--anomalies", code=1)
    assert "gap of 120 octets of the client's: never_seen" in out and "overlap_diff" in out, out
    lab.lines({**SUMMARY, "packets": 1})
    assert "1 packets were read of 2" in lab.run(code=1)[1]
    lab.lines({**SUMMARY, "flows": 0})
    assert "no connection to port 25 began" in lab.run()[0]


def hostile(lab):
    evil = "a\x1b[2J\u202e\x9b\0\u00e4@example.org"
    lab.lines({**MESSAGE, "mail_from": evil, "reply": evil * 99, "rcpt_to": ["\u4f8b" * 40]}, SUMMARY)
    out, _ = lab.run()
    assert "a?[2J???\u00e4@example.org  " in out and " " + "\u4f8b" * 27 + "~" in out, ascii(out)
    assert not any(c in out for c in "\x1b\u202e\x9b\0"), ascii(out)
    for lines, why in (
            (("nonsense",), "no JSON"), (("[1]",), "no object"), (({"type": "mail"},), "no message"),
            (({**MESSAGE, "size": -1},), "no message"), (({**MESSAGE, "rcpt_to": [1]},), "no message"),
            (({**MESSAGE, "complete": False},), "no message"), (({**MESSAGE, "flow": None},), "no message"),
            (({**SUMMARY, "counters": {"x": "y"}},), "no message"), (({**SUMMARY, "counters": {"tap_\x1b": 1}},), "no message"), (({**SUMMARY, "flows": "1"},), "no message"),
            (('{"type":"encrypted","type":"encrypted","flow":"x"}',), "no JSON"),
            ((SUMMARY, MESSAGE), "behind the summary"), (({**MESSAGE, "sha256": "x" * 600000},), "no end")):
        lab.lines(*lines)
        assert why in lab.run(code=3)[1], why
    # One that goes on and on is ended.
    lab.do("sys.stdout.write('x\\n'); sys.stdout.flush(); time.sleep(600)")
    begun = time.monotonic()
    lab.run(code=3)
    assert time.monotonic() - begun < 60
    lab.do("sys.stdout.write('{')")
    assert "cut off" in lab.run(code=3)[1]


def failures(lab):
    lab.lines(MESSAGE)
    assert "without a summary" in lab.run(code=3)[1]
    lab.do("print('no memory for packets\\x1b[0m', file=sys.stderr); sys.exit(1)")
    err = lab.run(code=3)[1]
    assert "no memory for packets?[0m" in err and "exit status 1" in err, err
    lab.do("os.kill(os.getpid(), 9)")
    assert "signal 9" in lab.run(code=3)[1]
    # Nobody reads what we print: the dataplane is ended all the same, and nothing is left behind.
    lab.do("while True: print('" + json.dumps(ODD) + "')")
    p = subprocess.Popen([CTL, "replay", "--anomalies", "--dataplane", lab.fake, lab.pcap], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                         env={**os.environ, "TMPDIR": lab.tmp})
    p.stdout.readline()
    p.stdout.close()
    assert p.wait(60) == 3 and b"standard output" in p.stderr.read() and os.listdir(lab.tmp) == []
    assert "not there" in lab.run("--dataplane", "/nowhere/x", code=3, dataplane=False)[1]
    # In the PATH, and nowhere.
    lab.lines(MESSAGE, SUMMARY)
    if not os.path.exists(os.path.join(os.path.dirname(CTL), "../../dataplane/postern-dataplane")):
        lab.run(dataplane=None)
        assert "--dataplane PATH" in lab.run(code=3, dataplane=False)[1]


def files(lab):
    for data, why in ((b"", "empty"), (b"From: x", "neither pcap"), (b"\x1f\x8b\x08\0", "gzip -d"), (capture(link=113), "link type 113"),
                      (capture(0, tail=b"x"), "cut off")):
        lab.write(lab.where + "/bad", data)
        assert why in lab.run(files=[lab.pcap, lab.where + "/bad"], code=2)[1], why
    for path, why in ((lab.where, "no regular file"), (lab.where + "/none", "No such file"), ("/dev/null", "no regular file")):
        assert why in lab.run(files=[path], code=2)[1], path
    lab.lines(MESSAGE, SUMMARY)
    lab.write(lab.where + "/cut", capture(2, tail=b"\0" * 10))
    out, err = lab.run(files=[lab.where + "/cut"], code=1)
    assert "cut off at octet 186, behind 2 packets" in err and "a@example.org" in out, (out, err)
    lab.lines(MESSAGE, {**SUMMARY, "packets": 4})
    lab.run(files=[lab.pcap, lab.pcap])
    with open(lab.where + "/seen", "rb") as f:
        assert f.read() == capture() * 2
    assert "at most 16" in lab.run(files=[lab.pcap] * 17, code=2)[1]


def options(lab):
    lab.lines(MESSAGE, SUMMARY)
    lab.run("--ports", "25,587", "--midstream", "--ignore-checksums", "--max-sessions", "99")
    args = lab.args()
    assert args[args.index("--tap-dump") + 1:] == ["--tap-ports", "25,587", "--max-sessions", "99", "--tap-midstream",
                                                   "--tap-ignore-checksums"], args
    for words in (["--ports", "--x"], ["--ports", ""], ["--max-sessions", "-1"], ["--what"]):
        lab.run(*words, code=2)
    p = subprocess.run([CTL, "replay"], capture_output=True, check=False)
    assert p.returncode == 2 and b"which capture" in p.stderr
    lab.lines({**MESSAGE, "mail_from": "\u202e@example.org"}, SUMMARY)
    p = subprocess.run([CTL, "--json", "replay", "--dataplane", lab.fake, lab.pcap], capture_output=True, check=True)
    got = [json.loads(x) for x in p.stdout.decode("ascii").splitlines()]
    name = {"schema": "postern.replay.1"}
    assert got == [{**MESSAGE, "mail_from": "\u202e@example.org", **name}, {**SUMMARY, **name}], got


def main():
    for test in (shown, findings, hostile, failures, files, options):
        with tempfile.TemporaryDirectory() as d:
            test(Lab(d))
    print("ok")


main()
