#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""posternctl trace on files alone: whose the index is that root makes, and that a stranger's index does not draw on the
terminal. argv[1] is the posternctl to run."""

import os
import sqlite3
import stat
import subprocess
import sys
import tempfile

CTL = sys.argv[1]
NOBODY = 65534
LINE = '{"trace_id":"0123456789ABCDEF","outcome":"delivered","time":"2026-01-01T00:00:00.000Z"}\n'


def run(*words, code=0):
    done = subprocess.run([CTL, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    assert done.returncode == code, (words, done)
    return done.stdout.decode(), done.stderr.decode()


def owner(path):
    s = os.stat(path)
    return s.st_uid, s.st_gid, stat.S_IMODE(s.st_mode)


def reindexed(where):
    log, database = os.path.join(where, "trace.jsonl"), os.path.join(where, "trace.db")
    with open(log, "w", encoding="ascii") as f:
        f.write(LINE)
    if os.geteuid() == 0:
        os.chown(log, NOBODY, NOBODY)
    os.umask(0)
    for _ in range(2):  # one that is there already is as good
        out, _ = run("trace", "reindex", "--database", database, "--log", log)
        assert out.startswith("1 record(s) indexed"), out
        assert owner(database) == (*owner(log)[:2], 0o640), owner(database)
    assert "0123456789ABCDEF" in run("trace", "--database", database)[0]
    os.unlink(database)
    # where it cannot be made that is said
    _, err = run("trace", "reindex", "--database", os.path.join(where, "none", "trace.db"), "--log", log, code=3)
    assert os.path.join(where, "none", "trace.db") in err, err


def hostile(where):
    log, database = os.path.join(where, "trace.jsonl"), os.path.join(where, "trace.db")
    run("trace", "reindex", "--database", database, "--log", log)
    db = sqlite3.connect(database)
    db.execute("PRAGMA writable_schema = ON")
    db.execute("INSERT INTO sqlite_schema VALUES ('table', ?, ?, 0, 'CREATE TABLE drawn (')",
               ("\x1b[2Jdrawn\u202e", "drawn"))
    db.commit()
    db.close()
    for words in (("trace",), ("trace", "shares"), ("explain", "0123456789ABCDEF"), ("trace", "reindex")):
        done = subprocess.run([CTL, *words, "--database", database], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              check=False)
        text = (done.stdout + done.stderr).decode()
        assert done.returncode and "?[2Jdrawn?" in text, (words, done)
        assert "\x1b" not in text and "\u202e" not in text, (words, done)


with tempfile.TemporaryDirectory() as d:
    os.chmod(d, 0o755)
    reindexed(d)
    hostile(d)
