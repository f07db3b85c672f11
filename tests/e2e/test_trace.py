#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""The trace and its index: every message is found by each of its keys, also without the daemon; control is
killed, the log rotated, the database locked, and mail does not notice; what comes back is complete."""
import collections
import contextlib
import csv
import io
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import lab as labs  # noqa: E402

RULES = ("body R_FISH /red herring/\nscore R_FISH 1.5\nbody R_BAD /very bad/\nscore R_BAD 20\n"
         "action R_BAD reject\n")
KILLS = 3
EVIL = "\u202e\u200bevil \x1b[2J"


class Client:
    """One session, any number of messages."""

    def __init__(self, lab):
        self.c = labs.Smtp(lab)
        assert self.c.cmd("EHLO client.example.net")[0] == 250

    def send(self, n, rcpts=("user@example.com",), body="plain", sender=None, subject="S"):
        c = self.c
        assert c.cmd(f"MAIL FROM:<{f's{n}@example.net' if sender is None else sender}>")[0] == 250
        codes = [c.cmd(f"RCPT TO:<{r}>")[0] for r in rcpts]
        if 250 not in codes:
            c.cmd("RSET")
            return codes[0]
        assert c.cmd("DATA")[0] == 354
        c.send(f"From: s{n}@example.net\r\nSubject: {subject}\r\nMessage-ID: <m{n}@example.net>\r\n\r\n{body}\r\n"
               .encode() + b".\r\n")
        return c.reply()[0]

    def close(self):
        self.c.cmd("QUIT")
        self.c.close()


def find(lab, *args, check=True):
    r = lab.ctl("--json", "trace", *args, check=check)
    return json.loads(r.stdout) if r.stdout.strip() else r


def ids(lab, *args):
    return [r["message_id"] for r in find(lab, *args)["records"]]


def rewrite(lab, *pairs):
    text = lab.conf.read_text()
    for a, b in pairs:
        assert a in text, a
        text = text.replace(a, b)
    lab.conf.write_text(text)


def keys(lab):
    c = Client(lab)
    assert c.send(1) == 250
    assert c.send(2, ("user@example.com", "other@example.com"), "a red herring") == 250
    assert c.send(3, body="very bad") == 550
    assert c.send(4, ("later-one@example.com",)) == 450
    assert c.send(5, sender="", subject=EVIL) == 250
    c.close()
    m = "<m%d@example.net>"
    everything = find(lab, "--limit", "100")
    assert everything["schema"] == "postern.trace.1" and everything["next"] is None, everything
    first = next(r for r in everything["records"] if r["message_id"] == m % 1)
    assert first["detail"] is True and first["judged"]["spf"]["result"] == "pass", first
    assert first["local"] == labs.GATEWAY4 and first["egress"] == labs.EGRESS4, first
    assert ids(lab, "--trace-id", first["trace_id"]) == [m % 1]
    assert ids(lab, "--trace-id", first["trace_id"].lower()) == [m % 1]
    assert ids(lab, "--message-id", m % 2) == [m % 2] * 2
    assert ids(lab, "--message-id", "m3@example.net") == [m % 3]
    assert ids(lab, "--from", "S1@example.NET") == [m % 1]
    assert ids(lab, "--from", "") == [m % 5]
    assert ids(lab, "--from", "@example.net") == [m % 4, m % 3, m % 2, m % 2, m % 1]
    assert ids(lab, "--rcpt", "other@example.com") == [m % 2]
    assert ids(lab, "--rcpt", "later-one@example.com") == [m % 4]
    assert ids(lab, "--origin", labs.CLIENT4, "--rcpt", "other@example.com") == [m % 2]
    assert len(ids(lab, "--origin", "192.0.2.0/28")) == 6 and ids(lab, "--origin", "203.0.113.1") == []
    assert ids(lab, "--outcome", "rejected") == [m % 3]
    assert ids(lab, "--outcome", "deferred") == [m % 4]
    assert ids(lab, "--outcome", "delivered") == [m % 5, m % 2, m % 2, m % 1]
    assert ids(lab, "--rule", "R_FISH") == [m % 2] * 2
    assert ids(lab, "--rule", "R_FISH", "--rcpt", "user@example.com") == [m % 2]
    assert len(ids(lab, "--route", "office", "--since", "1h")) == 6
    assert ids(lab, "--until", "1h") == [] and ids(lab, "--since", "2000-01-01", "--rule", "R_BAD") == [m % 3]
    # pages
    got, more = [], []
    for _ in range(6):
        page = find(lab, "--limit", "2", *more)
        got += [r["message_id"] for r in page["records"]]
        if page["next"] is None:
            break
        more = ["--before", page["next"]]
    assert got == [r["message_id"] for r in everything["records"]], got
    # wrong questions
    for bad in (["--outcome", "lost"], ["--origin", "x"], ["--since", "yesterday"], ["--limit", "0"], ["--rcpt"],
                ["--fields", "yahoo"], ["stray"]):
        r = lab.ctl("trace", *bad, check=False)
        assert r.returncode == 2 and "posternctl" in r.stdout, (bad, r)
    # what strangers wrote, for people and spreadsheets
    for args in (["trace"], ["trace", "--long"], ["trace", "--csv"], ["trace", "--csv", "--fields", "microsoft"],
                 ["trace", "--csv", "--fields", "google"], ["explain", first["trace_id"]]):
        out = lab.ctl(*args).stdout
        assert not any(ch in out for ch in "\x1b\u202e\u200b"), (args, out)
    rows = list(csv.DictReader(io.StringIO(lab.ctl("trace", "--csv", "--fields", "microsoft").stdout)))
    assert len(rows) == 6 and {r["Status"] for r in rows} == {"Delivered", "Failed", "Pending"}, rows
    five = next(r for r in rows if r["MessageId"] == m % 5)
    assert five["Subject"].replace("[2J", "").strip() == "evil" and five["FromIP"] == labs.CLIENT4, five
    rows = list(csv.DictReader(io.StringIO(lab.ctl("trace", "--csv", "--fields", "google").stdout)))
    assert rows[0]["Message ID"] == m % 5 and rows[0]["Event target IP address"] == labs.NEXTHOP4, rows[0]
    # explain
    text = lab.ctl("explain", next(r for r in everything["records"] if r["message_id"] == m % 2)["trace_id"]).stdout
    for word in ("R_FISH", "spf        pass", "other@example.com", "user@example.com", f"from {labs.EGRESS4}"):
        assert word in text, (word, text)
    assert lab.ctl("explain", "0000000000000000", check=False).returncode == 1
    print("found by every key, in pages, as table, CSV and explanation: ok", flush=True)


def offline(lab):
    """No daemon; a copy of the two files; and the index made again out of the log."""
    lab.stop("control")
    db, copy = lab.dir / "trace.db", lab.dir / "copy.db"
    n = len(find(lab, "--database", db, "--limit", "100")["records"])
    assert n == 6
    assert len(find(lab, "--config", lab.conf, "--limit", "100")["records"]) == n
    copy.write_bytes(db.read_bytes())
    (lab.dir / "copy.jsonl").write_bytes((lab.dir / "trace.jsonl").read_bytes())
    r = lab.ctl("--json", "trace", "reindex", "--database", copy)
    assert json.loads(r.stdout)["records"] == n, r.stdout
    assert all(r["detail"] for r in find(lab, "--database", copy, "--limit", "100")["records"])
    (lab.dir / "copy.jsonl").unlink()
    gone = find(lab, "--database", copy, "--limit", "100")["records"]
    assert len(gone) == n and not any(r["detail"] for r in gone) and gone[0]["spf"], gone
    assert lab.ctl("trace", "--database", lab.conf, check=False).returncode == 3
    assert lab.ctl("trace", check=False).returncode == 3
    copy.unlink()
    lab.start_control()
    lab.wait_ready()
    print("searched and made anew without the daemon: ok", flush=True)


def of_log(where, torn):
    want, bad = [], 0
    for p in where.iterdir():
        if not p.name.startswith("trace.jsonl"):
            continue
        for line in filter(None, p.read_text(errors="replace").split("\n")):
            try:
                r = json.loads(line)
            except ValueError:
                bad += 1
                continue
            if "outcome" in r:
                want.append((r["trace_id"], r["rcpt"]))
    assert bad <= torn, f"{bad} lines of the log are no records"
    return want


def of_index(where):
    db = sqlite3.connect(f"file:{where}/trace.db?mode=ro", uri=True)
    got = db.execute("SELECT trace_id, rcpt FROM record").fetchall()
    assert db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    db.close()
    return got


def complete(lab, torn=0, log=None, index=None):
    """The index has each record of the log, once, and no other; at most so many lines of the log are none. A reply does not wait
    for its record: the last one may be under way to the log yet."""
    end = time.monotonic() + 30
    while True:
        want, got = of_log(log or lab.dir, torn), of_index(index or lab.dir)
        if sorted(got) == sorted(want) or time.monotonic() > end:
            break
        time.sleep(0.2)
    assert sorted(got) == sorted(want) and len(got) == len(set(got)), (len(got), len(set(got)), len(want))
    return len(got)


def in_index(lab):
    """Message-ID -> records of it."""
    page = find(lab, "--limit", "10000")
    assert page["next"] is None
    return collections.Counter(r["message_id"] for r in page["records"])


def each_once(lab, numbers):
    have = in_index(lab)
    wrong = {n: have[f"<m{n}@example.net>"] for n in numbers if have[f"<m{n}@example.net>"] != 1}
    assert not wrong, f"messages that are not in the index once: {wrong}"


class Stream(threading.Thread):
    """One message behind the other until the gateway takes no more; which had their 250."""

    def __init__(self, lab, first):
        super().__init__(daemon=True)
        self.c, self.n, self.took, self.ended = labs.Smtp(lab), first, [], ""
        assert self.c.cmd("EHLO client.example.net")[0] == 250

    def run(self):
        try:
            while True:
                n = self.n
                for line in (f"MAIL FROM:<s{n}@example.net>", "RCPT TO:<user@example.com>", "DATA"):
                    code, text = self.c.cmd(line)
                    if code not in (250, 354):
                        self.ended = f"{line}: {code} {text}"
                        return
                self.c.send(f"From: s{n}@example.net\r\nMessage-ID: <m{n}@example.net>\r\n\r\nplain\r\n.\r\n")
                code, text = self.c.reply()
                if code != 250:
                    self.ended = f"content: {code} {text}"
                    return
                self.took.append(n)
                self.n += 1
        except OSError as e:
            self.ended = repr(e)


def killed(lab):
    """In the middle of a stream. What the log had then is in the index, once; a record that was in memory yet is not
    (docs/trace.md), and nothing is there twice."""
    sent, late = [], 0
    for turn in range(KILLS):
        s = Stream(lab, 1000 * (turn + 1))
        s.start()

        def logged():
            have = {r.get("message_id") for r in lab.trace()}
            return [n for n in range(1000 * (turn + 1), s.n + 1) if f"<m{n}@example.net>" in have]
        labs.wait_for("a dozen are in the log", lambda: s.ended or len(logged()) >= 12)
        assert not s.ended, s.ended
        os.kill(lab.procs["control"].pid, signal.SIGKILL)
        s.join(30)
        assert s.ended and not s.is_alive(), "the stream did not notice"
        s.c.close()
        safe = logged()
        late += len(set(s.took) - set(safe))
        sent += safe
        assert len(s.took) >= 11 and set(safe) <= set(s.took) | {s.n}, (safe, s.took, s.n)
        lab.stop("control")
        lab.start_control()
        lab.wait_ready()
    total = complete(lab, KILLS)
    each_once(lab, sent)
    have = in_index(lab)
    assert max(n for m, n in have.items() if m not in (None, "<m2@example.net>")) == 1, have
    print(f"killed {KILLS} times in the middle: {total} records, whole; {len(sent)} of the streams are there once each, "
          f"{late} had no record when it died: ok", flush=True)


def rotated(lab):
    lab.stop("control")
    rewrite(lab, ('trace.jsonl"', 'trace.jsonl"; file-size = 20k; files = 90'))
    lab.start_control()
    lab.wait_ready()
    c = Client(lab)
    for n in range(200, 260):
        assert c.send(n) == 250
        if n == 230:  # and by somebody else meanwhile
            os.rename(lab.dir / "trace.jsonl", lab.dir / "trace.jsonl-20260101")
            os.kill(lab.procs["control"].pid, signal.SIGHUP)
            time.sleep(0.3)
    c.close()
    # One number may be missing: of a rotation that found the log taken away.
    names = {p.name for p in lab.dir.iterdir()}
    assert sum(name.startswith("trace.jsonl.") for name in names) >= 3 and "trace.jsonl-20260101" in names, names
    total = complete(lab, KILLS)
    each_once(lab, range(200, 260))
    r = json.loads(lab.ctl("--json", "trace", "reindex").stdout)
    assert r["records"] == total == complete(lab, KILLS), (r, total)
    each_once(lab, range(200, 260))
    print(f"rotated by size and by SIGHUP under mail, and made anew: {total} records: ok", flush=True)


def locked(lab):
    """Somebody holds the database: mail and log go on, it is counted and said, nothing is missing later."""
    db = sqlite3.connect(lab.dir / "trace.db", isolation_level=None)
    db.execute("BEGIN IMMEDIATE")
    c = Client(lab)
    for n in range(300, 340):
        assert c.send(n) == 250
    labs.wait_for("the index says that it cannot write", lambda: any(
        x["name"] == "trace_index_failed" and x["value"] for x in lab.stats()["control"]), 20)
    lagging = {x["name"]: x["value"] for x in lab.stats()["control"]}
    assert lagging["trace_failed"] == 0 and lagging["trace_index_lag_bytes"] > 0, lagging
    labs.wait_for("an alert", lambda: "ALERT trace: index: " in lab.log("control"), 20)
    assert lab.ctl("trace", "status", check=False).returncode == 1
    assert c.send(340) == 250
    c.close()
    db.execute("COMMIT")
    db.close()
    total = complete(lab, KILLS)
    each_once(lab, range(300, 341))
    print(f"locked for 41 messages: none refused, each in the index once, {total} records: ok", flush=True)


def counts(lab):
    return {x["name"]: x["value"] for x in lab.stats()["control"]}


def status(lab):
    return json.loads(lab.ctl("--json", "trace", "status", check=False).stdout)


def fill(disk):
    """To the last octet."""
    with open(disk / "filler", "ab", buffering=0) as f:
        with contextlib.suppress(OSError):
            while f.write(bytes(65536)):
                pass
        with contextlib.suppress(OSError):
            while f.write(b"\0"):
                pass


def full(lab):
    """Log and index each on a disk of their own that is full: mail flows, an alert says which, what is not recorded is counted;
    with room again all goes on, and the index has each record of the log."""
    lab.stop("control")
    text = lab.conf.read_text()
    disks = {name: lab.dir / f"disk-{name}" for name in ("log", "index")}
    try:
        for d in disks.values():
            d.mkdir()
            subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "none", d], check=True)
        rewrite(lab, (f"{lab.dir}/trace.jsonl", f"{disks['log']}/trace.jsonl"), ("subjects = true", f'subjects = true; index = "{disks["index"]}/trace.db"'))
        lab.start_control()
        lab.wait_ready()
        c = Client(lab)
        before = counts(lab)
        assert c.send(500) == 250
        labs.wait_for("the first record", lambda: ids(lab, "--from", "s500@example.net"))

        fill(disks["log"])
        sent = [c.send(n) for n in range(510, 530)]
        assert sent == [250] * 20, sent
        labs.wait_for("it counts", lambda: counts(lab)["trace_failed"] > before["trace_failed"])
        labs.wait_for("an alert", lambda: "trace.jsonl cannot be written: No space left on device; mail goes on without records" in lab.log("control"))
        assert "No space left" in status(lab)["file_error"] and lab.ctl("trace", "status", check=False).returncode == 1
        assert "NO RECORDS" in lab.ctl("show", "status").stdout
        (disks["log"] / "filler").unlink()
        assert c.send(530) == 250
        labs.wait_for("a record again", lambda: ids(lab, "--from", "s530@example.net"))
        assert status(lab)["file_error"] is None
        lost = counts(lab)["trace_failed"] - before["trace_failed"]
        have = complete(lab, 1, disks["log"], disks["index"])
        assert 1 <= lost <= 20 and have == 22 - lost, (lost, have)

        fill(disks["index"])
        n = 540
        while not counts(lab)["trace_index_failed"] > before["trace_index_failed"]:
            assert c.send(n) == 250 and n < 900
            n += 1
        labs.wait_for("an alert of the index", lambda: re.search(r"ALERT trace: index: .*full", lab.log("control")), 90)
        told = status(lab)
        assert told["index_error"] and told["lag_bytes"] and told["file_error"] is None, told
        assert c.send(n) == 250 and counts(lab)["trace_failed"] - before["trace_failed"] == lost
        c.close()
        (disks["index"] / "filler").unlink()
        labs.wait_for("the index has caught up", lambda: status(lab)["caught_up"], 30)
        have = complete(lab, 1, disks["log"], disks["index"])
        assert have == 22 - lost + n - 539 and len(ids(lab, "--from", f"s{n}@example.net")) == 1, (have, lost, n)
        print(f"disks full: mail flowed, {lost} records counted as lost, none of {n - 539} with the index full: ok", flush=True)
    finally:
        lab.stop("control")
        for d in disks.values():
            subprocess.run(["umount", "-l", d], check=False)
        lab.conf.write_text(text)


def of_others(lab):
    """Log and database belong to somebody else, as after an upgrade, and control may not touch them: it starts, mail flows, and it
    is said what is to be done. Then that is done."""
    db, log = lab.dir / "trace.db", lab.dir / "trace.jsonl"
    at = log.stat().st_size
    for f in lab.dir.glob("trace.*"):
        os.chown(f, 4711, 4711)
        f.chmod(0o640)
    lab.start_control()
    lab.wait_ready()
    c = Client(lab)
    assert c.send(600) == 250
    cure = f"belongs to uid 4711, mode 0640, and this runs as uid {os.getuid()}: chown -h {os.getuid()}:{os.getgid()} "
    labs.wait_for("an alert", lambda: f"ALERT trace: {log} cannot be opened: Permission denied; {log} {cure}{log}; mail goes on" in lab.log("control"))
    told = status(lab)
    assert cure + str(log) in told["file_error"] and cure + str(db) in told["index_error"], told
    shown = lab.ctl("show", "status").stdout
    assert "NO RECORDS" in shown and cure + str(log) in shown, shown
    labs.wait_for("it counts", lambda: counts(lab)["trace_failed"] == 1)
    assert log.stat().st_size == at
    for f in lab.dir.glob("trace.*"):
        os.chown(f, os.getuid(), os.getgid())
    os.kill(lab.procs["control"].pid, signal.SIGHUP)
    labs.wait_for("the log is open", lambda: status(lab)["file_error"] is None)
    assert c.send(601) == 250
    c.close()
    labs.wait_for("its record", lambda: ids(lab, "--from", "s601@example.net") and not ids(lab, "--from", "s600@example.net"))
    print("files of others: mail flowed, the cure is told, and it cures: ok", flush=True)


def bounded(lab):
    """The least size there is; a damaged database."""
    lab.stop("control")
    rewrite(lab, ("file-size = 20k; files = 90", "index-size = 16mb"))
    db = lab.dir / "trace.db"
    # The newest may be empty: it was rotated a moment ago.
    line = max((p for p in lab.dir.glob("trace.jsonl*") if p.stat().st_size), key=lambda p: p.stat().st_mtime).read_text().splitlines()[-1]
    r = json.loads(line)
    now = time.time()
    with open(lab.dir / "trace.jsonl.4711", "w") as f:
        for i in range(30000):
            r["trace_id"] = f"{i:016d}"
            r["time"] = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(now - 40000 + i))
            f.write(json.dumps(r) + "\n")
    lab.start_control()
    lab.wait_ready()
    labs.wait_for("read", lambda: json.loads(
        lab.ctl("--json", "trace", "status").stdout)["caught_up"], 120)
    counts = {x["name"]: x["value"] for x in lab.stats()["control"]}
    assert counts["trace_index_pruned"] > 0, counts
    assert db.stat().st_size <= 16 << 20, db.stat().st_size
    assert len(ids(lab, "--trace-id", f"{29999:016d}")) == 1 and not ids(lab, "--trace-id", f"{0:016d}")
    lab.stop("control")
    with open(db, "r+b") as f:
        f.seek(4096)
        f.write(os.urandom(200000))
    lab.start_control()
    lab.wait_ready()
    c = Client(lab)
    assert c.send(400) == 250
    c.close()
    labs.wait_for("made anew", lambda: len(ids(lab, "--from", "s400@example.net")) == 1, 120)
    assert (lab.dir / "trace.db.damaged").exists()
    print("size bound, damage: ok", flush=True)


def main():
    labs.need_root()
    with labs.Lab("ptr", arena_mb=64) as lab:
        lab.start_dns({"example.net": f'@ IN TXT "v=spf1 ip4:{labs.CLIENT4} -all"\n'})
        lab.start_sink("--rule", "rcpt:<later=450 4.2.1 come back later")
        (lab.dir / "demo.cf").write_text(RULES)
        lab.write_config(verify="none")
        rewrite(lab, ('trace.jsonl"', 'trace.jsonl"; subjects = true'))
        lab.start_dataplane()
        lab.start_control()
        lab.wait_ready()
        keys(lab)
        offline(lab)
        killed(lab)
        rotated(lab)
        locked(lab)
        bounded(lab)
        full(lab)
        of_others(lab)


if __name__ == "__main__":
    main()
