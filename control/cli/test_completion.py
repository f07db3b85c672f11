#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""Completion in bash and zsh themselves: what is offered for lines, with and without a control to ask."""
import os
import pathlib
import pty
import re
import select
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import fake_control  # noqa: E402

CTL = os.path.abspath(sys.argv[1])
MISSING = []  # programs without which not all was tried

# COMP_WORDS and COMP_CWORD as readline makes them of a line, then what the function leaves behind.
BASH = r"""
source "$1"
complete -p posternctl >/dev/null || exit 9
shift
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
compopt() { printf 'option %s\n' "$2"; }
_posternctl
printf '%s\n' "${COMPREPLY[@]}"
"""


def bash(*words, socket=True):
    line = [CTL, *(["--socket", PATH] if socket else ["--socket", "/nonexistent"]), *words]
    p = subprocess.run(["bash", "--norc", "--noprofile", "-c", BASH, "x", SCRIPT, *line], cwd=TMP, check=True,
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert not p.stderr, p.stderr
    return [w for w in p.stdout.decode().splitlines() if w]


def bash_lines():
    assert {"show", "trace", "explain", "loglevel"} <= set(bash("")) and "exit" not in bash("")
    assert bash("tra") == ["trace"] and bash("xyzzy") == []
    assert bash("show", "sta") == ["status", "stats"]
    assert bash("sho", "dr") == ["drops"]
    assert bash("show", "drops", "--") == ["--all"] and bash("show", "drops", "--all", "--") == []
    assert bash("show", "rules", "--top", "") == ["cost", "hits", "opened"]
    assert bash("trace", "--outcome", "de") == ["delivered", "deferred"]
    # bash parts at =.
    assert bash("trace", "--outcome", "=", "de") == ["delivered", "deferred"]
    assert "delivered" in bash("trace", "--outcome", "=")
    assert "--message-id" in bash("trace", "--") and "--from" in bash("trace", "--limit", "=", "5", "--f")
    # What control knows.
    assert bash("breaker", "ack", "of") == ["office"] and bash("breaker", "ack", "br") == ["branch\\ two"]
    assert bash("trace", "--rule", "SPAM_") == ["SPAM_ONE", "SPAM_TWO"]
    assert bash("quarantine", "show", "0") == fake_control.HELD
    assert bash("trace", "--trace-id", "") == fake_control.TRACES
    assert {"route.port", "route"} <= set(bash("config", "help", "route"))
    for words in (("breaker", "ack", ""), ("trace", "--rule", ""), ("quarantine", "show", ""), ("trace", "--trace-id", "")):
        assert bash(*words, socket=False) == [], words
    # Files, by bash's own means.
    assert sorted(bash("scan", "mess")) == ["message one.eml", "messages", "option filenames"]
    assert bash("config", "check", "c") == ["option filenames", "c.conf"]
    assert bash("help", "show", "dr") == ["drops"]
    # In the middle of what is wrong nothing is offered.
    assert bash("show", "stautus", "") == []


def missing(what):
    assert not os.environ.get("CI"), f"{what} is missing, and all of it is to be tried here"
    MISSING.append(what)


def installed():
    """As bash loads it: by its name, out of the directory of completions."""
    d = os.path.join(TMP, "data/bash-completion/completions")
    os.makedirs(d)
    shutil.copy(SCRIPT, os.path.join(d, "posternctl"))
    loader = "/usr/share/bash-completion/bash_completion"
    if not os.path.exists(loader):
        missing("bash-completion")
        return
    env = {**os.environ, "XDG_DATA_DIRS": os.path.join(TMP, "data"), "PATH": f"{os.path.dirname(CTL)}:{os.environ['PATH']}"}
    p = subprocess.run(["bash", "--norc", "--noprofile", "-c",
                        f". {loader}; _completion_loader posternctl; complete -p posternctl"], env=env, check=False,
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert b"complete -F _posternctl posternctl" in p.stdout, p


def zsh_lines():
    if not shutil.which("zsh"):
        missing("zsh")
        return
    d = os.path.join(TMP, "zsh")
    os.makedirs(d)
    with open(os.path.join(d, "_posternctl"), "wb") as f:
        f.write(subprocess.run([CTL, "completion", "zsh"], stdout=subprocess.PIPE, check=True).stdout)
    pid, fd = pty.fork()
    if not pid:
        os.chdir(TMP)
        os.environ.update(TERM="dumb", PS1="READY> ", PATH=f"{os.path.dirname(CTL)}:{os.environ['PATH']}", LC_ALL="C")
        os.execvp("zsh", ["zsh", "-f", "-i"])

    def read_until(pattern, limit=30):
        out = b""
        end = time.monotonic() + limit
        while time.monotonic() < end:
            if select.select([fd], [], [], 0.2)[0]:
                try:
                    out += os.read(fd, 65536)
                except OSError:
                    break
            if re.search(pattern, out):
                return out
        raise AssertionError((pattern, out))

    read_until(rb"READY> ")
    os.write(fd, f"fpath=({d} $fpath); autoload -U compinit; compinit -u -D; setopt nobeep; PS1='NOW''> '\n".encode())
    read_until(rb"NOW> ")

    def line(text, want):
        os.write(fd, text.encode() + b"\t")
        out = read_until(want)
        os.write(fd, b"\x15")
        return out
    line("posternctl sho", rb"posternctl show ")
    line("posternctl show dro", rb"show drops ")
    out = line("posternctl show sta\t", rb"status[^\n]*\n.*stats|stats[^\n]*\n.*status")
    assert b"all counters" in out, out
    line(f"posternctl --socket {PATH} breaker ack of", rb"ack office ")
    line("posternctl trace --outcome dis", rb"discarded ")
    os.write(fd, b"exit\n")
    os.waitpid(pid, 0)
    os.close(fd)


with tempfile.TemporaryDirectory() as TMP:
    PATH, SCRIPT = os.path.join(TMP, "s"), os.path.join(TMP, "posternctl.bash")
    control = fake_control.Control(PATH)
    for name in ("message one.eml", "c.conf"):
        pathlib.Path(TMP, name).touch()
    os.mkdir(os.path.join(TMP, "messages"))
    with open(SCRIPT, "wb") as script:
        script.write(subprocess.run([CTL, "completion", "bash"], stdout=subprocess.PIPE, check=True).stdout)
    bash_lines()
    installed()
    zsh_lines()
if MISSING:
    print("the rest is well; not tried without", ", ".join(MISSING))
    sys.exit(77)  # to meson: skipped
print("ok")
