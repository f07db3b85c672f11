#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""posternctl -f: what runs, where it stops, what it says, its exit code. And what one command says of a line that is wrong."""
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import fake_control  # noqa: E402

CTL = sys.argv[1]
BAD = b"\xff@example.com"


def run(*words, stdin=b"", code=0):
    p = subprocess.run([CTL, "--socket", PATH, *words], input=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    assert p.returncode == code, (words, p.returncode, p.stdout.decode(), p.stderr.decode())
    return p.stdout.decode(), p.stderr.decode()


def batch(text, *options, code=0):
    name = os.path.join(TMP, "b")
    with open(name, "wb") as f:
        f.write(text if isinstance(text, bytes) else text.encode())
    out, err = run(*options, "-f", name, code=code)
    return out, err.replace(name, "FILE")


def asked():
    got = [a["command"] for a in control.asked]
    control.asked.clear()
    return got


def documents(text):
    decoder, at, out = json.JSONDecoder(), 0, []
    while at < len(text.rstrip()):
        value, at = decoder.raw_decode(text, at + (len(text[at:]) - len(text[at:].lstrip())))
        out.append(value)
    return out


def good():
    out, err = batch("# a comment\n\nloglevel\n  loglevel debug   # and another\r\nsho w\nloglevel", code=1)
    assert out.splitlines()[:2] == ["info", "debug"] and asked() == ["loglevel", "loglevel", "show workers"], (out, err)
    out, _ = batch("loglevel info\nloglevel 'debug'\nbreaker show\n", "--json")
    assert [d.get("level") for d in documents(out)] == ["info", "debug", None], out
    asked()
    # From standard input, of which no command eats.
    for options in ((), ("--keep-going",)):
        out, err = run(*options, "-f", "-", stdin=b"loglevel\nscan -\nloglevel\n")
        assert out.splitlines()[0] == out.splitlines()[-1] == "debug" and "From: no From field" in out, (out, err)
    assert "standard input:2: exit code 1, a finding: show routes" in run("-f", "-", stdin=b"loglevel\nshow routes\n", code=1)[1]
    # Lines that are larger than what is read at once, and a last one without its end.
    out, _ = batch("# " + "x" * 40000 + "\n" + "loglevel\n" * 40 + "loglevel")
    assert out == "debug\n" * 41
    asked()
    assert batch("") == ("", "") and batch("exit\nfrobnicate\n") == ("", "")
    assert batch("loglevel\nquit\nloglevel\n")[0] == "debug\n" and asked() == ["loglevel"]
    for end in ("exit --json", "--json quit", "--socket /nonexistent exit", "exit --socket=/nonexistent"):
        assert batch(f"loglevel\n{end}\nloglevel\n") == ("debug\n", "") and asked() == ["loglevel"], end
    assert batch("exit --help\nloglevel\n")[0].endswith("debug\n") and asked() == ["loglevel"]
    assert "--socket without its value" in batch("exit --socket\n", code=2)[1]


def failing():
    for text, line, why, code in (("loglevel\nfrobnicate\nloglevel\n", 2, "no command \"frobnicate\"", 2),
                                  ("loglevel\n\n'loglevel\nloglevel\n", 3, "column 1: ' without its end", 2),
                                  ("loglevel\nshow drops --lal\n", 2, "did you mean --all?", 2),
                                  ("loglevel\nshow routes\nloglevel\n", 2, "exit code 1, a finding: show routes", 1),
                                  ("loglevel\n--socket /nonexistent/x show status\n", 2, "exit code 3, not reached", 3),
                                  ("loglevel\nshell\n", 2, "no command", 2),
                                  ("loglevel\n-f x\n", 2, "\"-f\": options stand behind", 2),
                                  (b"loglevel\nshow \x00\n", 2, "control character", 2),
                                  ("loglevel\n" + "x " * 40000 + "\nloglevel\n", 2, "the line is too long", 2)):
        out, err = batch(text, code=code)
        assert out in ("info\n", "debug\n") and f"FILE:{line}: " in err and why in err, (text[:80], out, err)
        assert asked()[0] == "loglevel"
    # The first that failed says the code, whatever comes behind it.
    out, err = batch("show routes\nloglevel\nfrobnicate\n", "--keep-going", code=1)
    assert out == "debug\n" and "FILE:1: " in err and "FILE:3: " in err, (out, err)
    # One that is too long is one failure, however long it is.
    for n in (40000, 70000, 200000):
        out, err = batch("loglevel\n" + "x " * n + "\nloglevel\nfrobnicate\n" + "y" * n * 2, "--keep-going", code=2)
        assert out == "debug\n" * 2 and err.count("the line is too long") == 2, (out, err)
        assert "FILE:2: the line" in err and "FILE:4: exit code 2" in err and "FILE:5: the line" in err, err
    asked()
    control.ready = False
    out, err = batch("show status\nloglevel\n", code=1)
    assert "NOT READY" in out and "FILE:1: exit code 1, a finding: show status" in err
    control.ready = True
    # What is not there, and what cannot be.
    assert "No such file" in run("-f", "/nonexistent/file", code=2)[1]
    assert "Is a directory" in run("-f", TMP, code=2)[1]
    assert "which file?" in run("-f", code=2)[1]
    assert "the commands are in the file" in run("-f", "x", "show", "status", code=2)[1]
    assert "--keep-going: with -f only" in run("--keep-going", "show", "status", code=2)[1]
    # Standard output is gone: nobody shall think that it was told.
    with open("/dev/full", "wb") as full:
        p = subprocess.run([CTL, "--socket", PATH, "-f", "-"], input=b"loglevel\n", stdout=full, stderr=subprocess.PIPE, check=False)
        assert p.returncode == 1 and b"standard output" in p.stderr, p
        for words in (["help"], ["--version"], ["--help"], ["help", "trace"], ["--json", "loglevel"], ["completion", "bash"]):
            p = subprocess.run([CTL, "--socket", PATH, *words], stdout=full, stderr=subprocess.PIPE, check=False)
            assert p.returncode == 1 and b"standard output: No space left" in p.stderr, (words, p)
        # What had failed before says so still.
        p = subprocess.run([CTL, "--socket", PATH, "quarantine", "show"], stdout=full, stderr=subprocess.PIPE, check=False)
        assert p.returncode == 2, p
    asked()
    # What the daemon says does not draw, and says something.
    for error, said, code in (({"code": "failed", "text": "no \x1b[2J \u202e way"}, "posternctl: no ?[2J ? way\n", 1),
                              ({"code": "failed"}, "not said why", 1), ("x", "not said why", 1),
                              ({"code": "not-found", "text": "there is none"}, "there is none", 1),
                              ({"code": "bad-request", "text": "that is no address"}, "that is no address", 2)):
        control.error = error
        # One rule for all of them: what asks by itself, and what has a function of its own.
        for words in (["drain"], ["show", "sources", "x"], ["show", "rules"], ["quarantine", "delete", "x"], ["trace", "status"], ["watch"],
                      ["top", "--once"], ["config", "diff"]):
            assert said in run(*words, code=code)[1], (words, error)
    control.error = None


def signals():
    """^C ends all of it, another signal the command only."""
    for sig, goes_on, code in ((signal.SIGINT, False, 130), (signal.SIGKILL, True, 137), (signal.SIGTERM, True, 143)):
        asked()
        control.silent = True
        p = subprocess.Popen([CTL, "--socket", PATH, "--keep-going", "-f", "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE)
        p.stdin.write(b"show status\nloglevel\n")
        p.stdin.close()
        end = time.monotonic() + 30
        while not control.asked:
            assert time.monotonic() < end
            time.sleep(0.01)
        child = int(pathlib.Path(f"/proc/{p.pid}/task/{p.pid}/children").read_text().split()[0])
        control.silent = False
        os.kill(child, sig)
        out, err = p.stdout.read(), p.stderr.read()
        assert p.wait() == code and (out == b"debug\n") == goes_on and (out == b"") != goes_on, (sig, p.returncode, out, err)
        assert asked() == ["show status", "loglevel"][:1 + goes_on]


def one_shot():
    asked()
    for words, want in ((["show", "status"], ["show status"]), (["drain"], ["drain"]), (["show", "w"], ["show workers"])):
        subprocess.run([CTL, "--socket", PATH, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        assert asked() == want, words
    # Words of what changes something are written out, or nothing is asked.
    for words in (["dra"], ["undr"], ["q", "delete", "x"], ["quarantine", "d", "x"], ["config", "r"]):
        run(*words, code=2)
    assert "no command \"xyzzy\"" in run("xyzzy", code=2)[1]
    assert "--socket without its value" in run("--socket", code=2)[1]
    assert not asked()
    # Without a terminal, and without a command: usage.
    out, err = run(code=2)
    assert not out and "no command" in err and "show drops [--all]" in err
    assert "no terminal" in run("shell", code=2)[1]
    assert run("--version")[0].startswith("posternctl ")
    out, _ = run("help")
    assert out == run("--help")[0] and "exit codes: 0 ok" in out
    out, _ = run("help", "trace")
    assert "--message-id ID" in out and out == run("trace", "--help")[0]
    assert "shares" in run("help", "tr", "sh")[0]
    assert "show workers" in run("help", "show")[0] and run("show", "--help") == run("help", "show")
    assert "did you mean status?" in run("help", "show", "stautus", code=2)[1]
    assert "is no word of a command" in run("help", "drain", "now", code=2)[1]
    # What stands behind -- is an argument, and -- itself is none.
    assert run("config", "check", "--", "-x.conf", code=1)[0].startswith("-x.conf: ")
    assert run("config", "help", "--", "port")[0] == run("config", "help", "port")[0]
    assert "-x: No such" in run("scan", "--", "-x", code=2)[1]


def requests():
    """What is in a request is what was said, or there is none."""
    asked()
    # Words that are no UTF-8: a request without them would ask for more.
    for words in (("show", "sources", BAD), ("show", "rules", BAD), ("quarantine", "release", "0", BAD),
                  ("quarantine", "release", "0", "a@example.com", BAD), ("quarantine", "release", BAD), ("quarantine", "delete", BAD),
                  ("quarantine", "list", "--rcpt", BAD), ("quarantine", "list", "--from", BAD), ("watch", "--peer", BAD),
                  ("sources", "forgive", BAD), ("breaker", "ack", BAD)):
        out, err = run(*words, code=2)
        assert not out and ("no UTF-8" in err or "16 digits" in err) and not control.asked, (words, out, err, control.asked)
    assert '"?@example.com" is no UTF-8' in run("quarantine", "release", "0", BAD, code=2)[1]
    for option in ("--from", "--rcpt", "--message-id"):
        assert "no UTF-8" in run("trace", option, BAD, code=2)[1] and "trace" not in asked(), option
    for number in ("abc", "0", "-1", "1x", "", " 1", "99999999999999999999"):
        assert "--limit: a number from 1" in run("quarantine", "list", "--limit", number, code=2)[1] and not asked(), number
    for words, want in ((("release", "0"), {"id": "0"}), (("release", "0", "a@example.com"), {"id": "0", "rcpts": ["a@example.com"]}),
                        (("release", "--", "0", "-a@example.com"), {"id": "0", "rcpts": ["-a@example.com"]}),
                        (("list", "--limit", "5", "--rcpt", "@example.com"), {"limit": 5, "rcpt": "@example.com"}), (("list",), {})):
        run("quarantine", *words)
        assert control.asked.pop() == {"command": f"quarantine {words[0]}", **want}, words


with tempfile.TemporaryDirectory() as TMP:
    PATH = os.path.join(TMP, "s")
    control = fake_control.Control(PATH)
    good()
    failing()
    signals()
    one_shot()
    requests()
print("ok")
