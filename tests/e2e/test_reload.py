#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""Reloads under load: two rule sets take turns while messages come in, small ones in one block, large ones in streams, by
DATA and BDAT, some of them so slow that several sets come and go meanwhile. Every message is judged by one set, and by
all of it; each is delivered once, none is refused; memory and descriptors of both processes come to rest. Then what a
reload must survive: a dataplane that refuses, or dies over it.

--reloads N: 100 for the figures."""
import argparse
import collections
import json
import os
import pathlib
import re
import signal
import statistics
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import lab as labs  # noqa: E402

# Of every tier but confirmed, in every kind of text; each hits every message. The order differs, so that an id of one set names
# another rule of the other.
RULES = """body       X_BODY   /needle/
body       X_GATED  /needle [a-z]{1,9}(?= thread)/
body       X_AUTO   /\\bv[_\\W]{0,3}[i1!|][_\\W]{0,3}a[_\\W]{0,3}g[_\\W]{0,3}r[_\\W]{0,3}a\\b/i
rawbody    X_CTRL   /([a-z])([a-z])\\1\\2\\1/
header     X_HEAD   Subject =~ /reload (?:small|large|slow)/
header     X_THERE  exists:X-Marker
header     X_FROM   From:addr =~ /marker\\@example\\.net/
header     X_RELAY  X-Spam-Relays-External =~ /helo=client\\.example\\.net/
mimeheader X_MIME   Content-Type =~ /text\\/plain/
uri        X_URI    /marker\\.example\\/path/
full       X_FULL   /the very end\\r\\n$/
meta       X_META   X_BODY && X_GATED && X_CTRL && X_HEAD && X_URI && X_FULL
"""
NAMES = sorted(re.findall(r"X_(\w+)", "\n".join(x.split("/")[0].split("X_META")[0] for x in RULES.splitlines())) + ["META"])
NAMES = sorted(set(NAMES))
# Of memory, in the bounds of a test: what an allocator does with a set more or less.
QUIET_MIB = 4
DATAPLANE_MIB = 40
FILLER = b"Nothing to be seen in this line, which is repeated to make the message long.\r\n"


def rule_set(letter, reverse):
    lines = RULES.replace("X_", f"{letter}_").splitlines()
    lines = list(reversed(lines)) if reverse else lines
    return "\n".join(lines) + "\n" + "".join(f"score {letter}_{n} 0.01\n" for n in NAMES)


WHOLE = {letter: frozenset(f"{letter}_{n}" for n in NAMES) for letter in "AB"}


def content(token, kind, size):
    text = FILLER * (size // len(FILLER) // 2)
    return (b"From: Some One <marker@example.net>\r\nTo: b@example.com\r\nSubject: reload " + kind.encode() +
            b"\r\nX-Marker: yes\r\nX-Token: " + token.encode() + b"\r\nMIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\n" +
            text + b"a needle and thread, v-i-a-g-r-a, xyxyx, http://marker.example/path\r\n" + text + b"the very end\r\n")


class Load:
    """Clients that send one message after the other until they are told to stop."""

    def __init__(self, lab):
        self.lab = lab
        self.stop = threading.Event()
        self.lock = threading.Lock()
        self.sent, self.bad = collections.Counter(), []
        self.threads = []
        for n, (kind, bdat, size) in enumerate([("small", False, 400), ("small", True, 400), ("large", False, 300000),
                                                ("large", True, 300000), ("slow", False, 200000), ("slow", True, 200000)]):
            self.threads.append(threading.Thread(target=self.client, args=(n, kind, bdat, size)))
        for t in self.threads:
            t.start()

    def client(self, n, kind, bdat, size):
        s = None
        serial = 0
        while not self.stop.is_set():
            token = f"t{n}-{serial}"
            serial += 1
            try:
                if not s:
                    s = labs.Smtp(self.lab, timeout=60)
                    assert s.cmd("EHLO client.example.net")[0] == 250
                self.one(s, token, kind, bdat, content(token, kind, size))
                with self.lock:
                    self.sent[token] += 1
                if serial % 500 == 0:  # a session takes 1000
                    s.cmd("QUIT")
                    s.close()
                    s = None
            except Exception as e:  # noqa: BLE001: whatever it was, it is a finding
                with self.lock:
                    self.bad.append(f"{token} {kind} {'BDAT' if bdat else 'DATA'}: {e!r}")
                s = None
            time.sleep(0.1)  # beside other tests: what counts is that messages are under way all the time
        if s:
            s.cmd("QUIT")
            s.close()

    def one(self, s, token, kind, bdat, data):
        for line in (f"MAIL FROM:<{token}@example.net>", "RCPT TO:<b@example.com>"):
            code, lines = s.cmd(line)
            assert code == 250, (line, lines)
        step = max(1, len(data) // 20) if kind == "slow" else 60000
        pieces = [data[i:i + step] for i in range(0, len(data), step)]
        if not bdat:
            assert s.cmd("DATA")[0] == 354
        for i, p in enumerate(pieces):
            if kind == "slow":
                time.sleep(0.1)
            if not bdat:
                s.send(p)
                continue
            last = i + 1 == len(pieces)
            s.send(b"BDAT %d%s\r\n" % (len(p), b" LAST" if last else b"") + p)
            code, lines = s.reply()
            assert code == 250, lines
        if not bdat:
            s.send(b".\r\n")
            code, lines = s.reply()
            assert code == 250, lines

    def end(self):
        self.stop.set()
        for t in self.threads:
            t.join(90)
            assert not t.is_alive()


def memory(pid):
    """MiB of RSS without the arena: what of it was touched once stays, and load on a slow machine touches more of it."""
    total, counts = 0, True
    for line in pathlib.Path(f"/proc/{pid}/smaps").read_text().splitlines():
        if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
            counts = "memfd:postern-arena" not in line
        elif line.startswith("Rss:") and counts:
            total += int(line.split()[1])
    return total // 1024


def descriptors(pid):
    links = []
    for f in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        try:
            links.append(os.readlink(f))
        except FileNotFoundError:
            pass
    return len([x for x in links if "socket:" not in x]), len([x for x in links if "memfd:" in x])


def mappings(pid):
    return len([x for x in pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines() if "memfd:" in x])


def sample(lab):
    return {p: (memory(lab.procs[p].pid), *descriptors(lab.procs[p].pid), mappings(lab.procs[p].pid))
            for p in ("control", "dataplane")}


def use(lab, letter):
    """The rule file is replaced as an editor would, then taken over."""
    new = lab.dir / "rules.new"
    new.write_text(rule_set(letter, letter == "B"))
    new.rename(lab.dir / "set.cf")


def reload(lab, check=True):
    r = lab.ctl("--json", "config", "reload", check=False)
    try:
        got = json.loads(r.stdout)
    except ValueError:
        raise RuntimeError(r.stdout) from None
    assert got["ok"] or not check, got
    return got


def judged(lab):
    """token -> the rules that the trace has of it."""
    out = collections.defaultdict(list)
    for r in lab.trace():
        if r.get("outcome") == "delivered":
            out[r["mail_from"].split("@")[0]].append(frozenset(m["rule"] for m in r["judged"]["matches"]))
    return out


def arrived(lab):
    """token -> the rules that the annotation of each copy names."""
    out = collections.defaultdict(list)
    for f in lab.inbox():
        head = f.read_bytes().split(b"\r\n\r\n", 1)[0].decode()
        head = re.sub(r"\r\n[ \t]+", "", head)
        token = re.search(r"^X-Token: (\S+)", head, re.M)
        names = re.search(r"rules=([A-Z_,]+)", head)
        out[token[1]].append(frozenset(names[1].split(",")) if names else frozenset())
    return out


def alternate(lab, n):
    use(lab, "A")
    reload(lab)
    shm = len(list(pathlib.Path("/dev/shm").iterdir()))
    idle = sample(lab)["dataplane"][0]
    load = Load(lab)
    took, at = [], {}
    try:
        for i in range(1, n + 1):
            use(lab, "BA"[i % 2 == 0])
            start = time.monotonic()
            reload(lab)
            took.append(time.monotonic() - start)
            time.sleep(max(0.0, 0.25 - took[-1]))
            if i in (min(20, n // 2), n):
                at[i] = sample(lab)
                print(f"after {i}: RSS MiB, descriptors without sockets, memfds, their mappings: {at[i]}")
    finally:
        load.end()
    assert not load.bad, load.bad[:5]
    sent = set(load.sent)
    labs.wait_for("all of them in the trace", lambda: set(judged(lab)) >= sent, 20)
    got, there = judged(lab), arrived(lab)
    assert set(got) == sent and set(there) == sent, (len(got), len(there), len(sent))
    seen = collections.Counter()
    for token in sent:
        assert len(got[token]) == 1 and len(there[token]) == 1, (token, "twice")
        hit, = got[token]
        assert hit in WHOLE.values(), (token, sorted(hit))
        assert there[token][0] == hit, (token, sorted(there[token][0]), sorted(hit))
        seen[sorted(hit)[0][0]] += 1
    assert min(seen["A"], seen["B"]) > 0, seen
    counters = lab.counters()
    for name in ("scan_error", "scan_no_stream"):
        assert counters[name] == 0, (name, counters[name])
    outcomes = collections.Counter(r.get("outcome") for r in lab.trace())
    assert set(outcomes) == {"delivered"}, outcomes
    print(f"{n} reloads, {statistics.median(took) * 1e3:.0f} ms each (median; longest {max(took) * 1e3:.0f}); {len(sent)} messages, "
          f"{seen['A']} by A, {seen['B']} by B, each delivered once, none by both")
    assert len(at) == 2, at
    for p in ("control", "dataplane"):
        first, last = at[min(at)][p], at[max(at)][p]
        # Sixteen sets may be kept for messages under way; before so many were made their mappings still grow, one a reload.
        more = 2 + (max(at) - min(at) if min(at) < 20 else 0)
        assert all(b <= a + 2 for a, b in zip(first[1:3], last[1:3])) and last[3] <= first[3] + more, (p, first, last)
    # Sets that messages under way still need take memory, more of them the slower the machine: this is looked at after the load.
    # A set that leaked would be 14 MiB a reload.
    most = idle + DATAPLANE_MIB
    labs.wait_for("the dataplane frees the sets that no message needs", lambda: sample(lab)["dataplane"][0] <= most, 10)
    print(f"dataplane, MiB: {idle} before the load, {sample(lab)['dataplane'][0]} after it")
    assert len(list(pathlib.Path("/dev/shm").iterdir())) <= shm, "files in /dev/shm"


def rest(lab, n, one_set):
    """Without mail: control remembers 10,000 messages, which is all that may grow in it under load. By the 18th it
    has the 17 sets that it keeps while they come without a pause. A set that leaked would be 1.5 MiB here, and 14 in the dataplane."""
    for i in range(1, n + 1):
        use(lab, "BA"[i % 2])
        reload(lab)
        if i == 18:
            time.sleep(0.5)  # the dataplane looks for what it may free ten times a second
            before = sample(lab)
    # Control lets go of them with time: slower reloads find fewer.
    kept = {"control": max(before["control"][3], one_set + 16), "dataplane": before["dataplane"][3]}

    def no_more():
        now = sample(lab)
        return now if all(now[p][0] <= before[p][0] + QUIET_MIB and now[p][1:3] == before[p][1:3] and now[p][3] <= kept[p]
                          for p in kept) else None
    try:
        after = labs.wait_for("no more than before", no_more, 5)
    except TimeoutError:
        raise AssertionError((before, sample(lab), kept)) from None
    time.sleep(5)

    def quiet():
        now = sample(lab)
        return now if now["control"][3] <= one_set and lab.counters()["generations_behind"] == 0 else None
    print(f"without mail: after 18 {before}, after {n} {after}, at rest {labs.wait_for('it comes to rest', quiet)}")


def one_more(lab, token):
    s = labs.Smtp(lab)
    assert s.cmd("EHLO client.example.net")[0] == 250
    Load.one(None, s, token, "small", False, content(token, "small", 400))
    s.cmd("QUIT")
    s.close()
    return labs.wait_for("its record", lambda: judged(lab).get(token))[0]


def refusals(lab):
    """The old set stays where the dataplane refuses the new one, or dies while it looks at it."""
    use(lab, "A")
    reload(lab)
    before = lab.status()["generation"]
    conf = lab.conf.read_text()
    use(lab, "B")
    lab.conf.write_text(conf.replace("port = 0", "port = 7"))
    got = reload(lab, check=False)
    assert got["ok"] is False and "port 7" in got["errors"][0]["reason"] and got["generation"] == before, got
    assert one_more(lab, "refused-1") == WHOLE["A"]
    last = lab.status()["reload"]["last"]
    assert last["ok"] is False and "port 7" in last["reason"], last
    assert "port 7" in lab.ctl("show", "status").stdout
    lab.conf.write_text(conf)
    dataplane = lab.procs["dataplane"]
    dataplane.send_signal(signal.SIGSTOP)
    p = subprocess.Popen([str(labs.build_dir() / "control/cli/posternctl"), "--json", "--socket",
                          str(lab.dir / "control.sock"), "config", "reload"], stdout=subprocess.PIPE, text=True)
    labs.wait_for("it is pushed", lambda: lab.status()["reload"]["stage"] == "pushing")
    dataplane.kill()
    got = json.loads(p.communicate(timeout=30)[0])
    assert got["ok"] is False and got["errors"][0]["reason"] == "the dataplane went away", got
    assert got["generation"] == before, got
    lab.stop("dataplane")
    lab.start_dataplane()
    lab.wait_ready()
    assert lab.status()["generation"] == before
    assert one_more(lab, "refused-2") == WHOLE["A"]
    reload(lab)
    assert one_more(lab, "refused-3") == WHOLE["B"]


def tiers(lab):
    """What the sets are made of, as compiled here."""
    use(lab, "A")
    text = labs.run(labs.build_dir() / "control/cli/posternctl", "rules", "check", "--explain", lab.dir / "set.cf").stdout
    found = {line.split()[0] for line in text.splitlines() if " A_" in line}
    assert found >= {"native", "gated", "automaton", "control", "computed"}, text
    print("tiers:", ", ".join(sorted(found)))


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--reloads", type=int, default=20)
    args = ap.parse_args()
    if args.reloads < 4:
        ap.error("--reloads: 4 at least")
    with labs.Lab("psrl") as lab:
        tiers(lab)
        lab.start_dns({"example.net": f'@ IN TXT "v=spf1 ip4:{labs.CLIENT4} -all"\n'})
        lab.start_sink()
        lab.write_config()
        text = lab.conf.read_text().replace(str(lab.dir / "demo.cf"), str(lab.dir / "set.cf"))
        lab.conf.write_text(text)
        lab.start_dataplane()
        lab.start_control()
        lab.wait_ready()
        one_set = mappings(lab.procs["control"].pid)
        alternate(lab, args.reloads)
        rest(lab, max(32, args.reloads), one_set)
        refusals(lab)
    print("ok")


if __name__ == "__main__":
    main()
