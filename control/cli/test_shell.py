#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""posternctl's shell at a pseudo-terminal: completion, `?`, history, ^C, quoting, another size, its end."""
import fcntl
import os
import pathlib
import pty
import re
import select
import signal
import stat
import struct
import sys
import tempfile
import termios
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import fake_control  # noqa: E402

CTL = os.path.abspath(sys.argv[1])
LIMIT = 30  # seconds until something that must come counts as missing


class Shell:
    def __init__(self, term="dumb", columns=100, path=None, greets=b"", **env):
        path = path or PATH
        self.out = b""
        self.pid, self.fd = pty.fork()
        if not self.pid:
            os.chdir(TMP)
            os.environ.pop("NO_COLOR", None)
            os.environ.update({"TERM": term, "XDG_STATE_HOME": STATE, "LC_ALL": "C.UTF-8", **env})
            os.execv(CTL, [CTL, "--socket", path])
        self.size(columns)
        assert greets in self.prompt().encode(), greets

    def size(self, columns):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))

    def send(self, text):
        os.write(self.fd, text if isinstance(text, bytes) else text.encode())

    def read(self, done):
        """Until done(out); what came."""
        end = time.monotonic() + LIMIT
        while not done(self.out):
            assert time.monotonic() < end, self.out[-2000:]
            if select.select([self.fd], [], [], 0.2)[0]:
                try:
                    self.out += os.read(self.fd, 65536)
                except OSError as e:
                    assert done(self.out), (e, self.out[-2000:])
        out, self.out = self.out, b""
        return out.decode(errors="replace").replace("\r", "")

    def until(self, text):
        return self.read(lambda out: text.encode() in out)

    def prompt(self):
        # At the beginning of a line: elsewhere it is only drawn anew.
        out = self.read(lambda out: re.search(rb"\n\r*(postern \S*\[\d+\]\S*> ?|postern> ?)$", out))
        # Keys are the shell's as soon as the terminal makes no signals of them any more.
        end = time.monotonic() + LIMIT
        while termios.tcgetattr(self.fd)[3] & termios.ISIG:
            assert time.monotonic() < end
            time.sleep(0.01)
        return out

    def run(self, line):
        """A line to its end: what was said until the next prompt."""
        self.send(line + "\r")
        return self.prompt()

    def end(self, line="exit\r"):
        self.send(line)
        end = time.monotonic() + LIMIT
        while True:
            assert time.monotonic() < end, self.out
            if select.select([self.fd], [], [], 0.2)[0]:
                try:
                    more = os.read(self.fd, 65536)
                    self.out += more
                    if not more:
                        break
                except OSError:
                    break
        code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        os.close(self.fd)
        return code


def asked():
    got, control.asked[:] = list(control.asked), []
    return got


def completes():
    s = Shell()
    assert "\ninfo\n" in s.run("logl\t") and asked() == [{"command": "loglevel"}]
    s.run("sh\tdro\t--\t")
    assert asked() == [{"command": "show drops", "all": True}]
    # Names that control knows; one with a blank comes in quotes.
    s.run("breaker ack of\t")
    assert {"command": "breaker ack", "route": "office"} in asked()
    s.run("breaker ack br\t--learn")
    assert {"command": "breaker ack", "route": "branch two", "learn": True} in asked()
    # What two have in common, then both, then the one.
    s.send("show rules SP\t")
    s.send("\t")
    out = s.until("SPAM_TWO")
    assert "SPAM_ONE" in out, out
    s.run("T\t")
    assert asked()[-1] == {"command": "show rules", "name": "SPAM_TWO"}
    # Files: of one that has a blank and a quote in its name the name arrives.
    pathlib.Path(TMP, "it's one.eml").write_bytes(b"From: a@example.com\r\n\r\nx\r\n")
    out = s.run("scan it\t")
    assert "arguments" not in out and "No such" not in out and "score" in out, out
    os.mkdir(os.path.join(TMP, "deep"))
    pathlib.Path(TMP, "deep", "x.conf").write_text("nonsense = 1\n")
    out = s.run("config check de\tx\t")
    assert "deep/x.conf:1: nonsense" in out, out
    # Nothing fits: the line stays as it is.
    out = s.run("frob\tnicate\t")
    assert "there is no command \"frobnicate\"" in out, out
    assert s.end() == 2


def helps():
    s = Shell()
    s.send("show ?")
    out = s.until("status")
    s.send("drops --?")
    out += s.until("--all")
    assert "what was refused or dropped, and why" in out, out
    s.send("\x15breaker ack ?")
    assert "office" in s.until("branch two")
    s.send("\x15show stautus ?")
    assert s.until("did you mean status?")
    s.send("\x15\r")
    s.prompt()
    asked()
    # In quotes, and behind a backslash, it is itself.
    for line, name in (("show rules 'A?'", "A?"), ('show rules "B? "', "B? "), ("show rules C\\?", "C?")):
        s.run(line)
        assert asked() == [{"command": "show rules", "name": name}], line
    assert "what became of messages" in s.run("help") and "--message-id ID" in s.run("help trace")
    assert s.end() == 0


def history():
    s = Shell()
    s.run("loglevel debug")
    s.run(" loglevel notice")
    s.run("loglevel info")
    asked()
    s.run("\x10")  # ^P: the last
    s.run("\x10\x10")
    assert [a["level"] for a in asked()] == ["info", "debug"]
    assert s.end("\x04") == 0
    file = pathlib.Path(STATE, "postern/history")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600 and stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert "loglevel debug\n" in file.read_text() and "notice" not in file.read_text(), file.read_text()
    # Another shell has them; what is too much goes; what is none is not taken.
    file.write_bytes(b"".join(b"loglevel %d\n" % i for i in range(1500)) + b"bad \x1b[31m\nloglevel debug\n")
    s = Shell()
    asked()
    s.run("\x10")
    assert asked() == [{"command": "loglevel", "level": "debug"}]
    s.run("\x10\x10")
    s.end()
    lines = file.read_bytes().splitlines()
    assert lines[0] == b"loglevel 502" and len(lines) == 1003, (lines[0], len(lines))
    # Not through somebody's link, and not to read for others.
    other = pathlib.Path(TMP, "other")
    other.write_text("untouched\n")
    file.unlink()
    file.symlink_to(other)
    s = Shell()
    s.run("loglevel")
    s.end()
    assert other.read_text() == "untouched\n"
    file.unlink()
    file.write_text("loglevel debug\n")
    file.chmod(0o644)
    Shell().end()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    file.unlink()
    # Nor one that has another name as well: who could make that may write to it.
    file.write_text("loglevel debug\n")
    file.chmod(0o644)
    os.link(file, other.with_name("second"))
    s = Shell(greets=b"no history is kept")
    s.run("loglevel")
    s.end()
    assert file.read_text() == "loglevel debug\n" and stat.S_IMODE(file.stat().st_mode) == 0o644
    file.unlink()
    # What is no text in this locale is left out, and what stands behind it is not.
    file.write_bytes(b"loglevel error\nshow rules \xff\xfe\nloglevel notice\n")
    s = Shell()
    asked()
    s.run("\x10")
    s.run("\x10\x10")
    assert [a["level"] for a in asked()] == ["notice", "error"]
    s.end()
    file.unlink()
    # A state directory that is not there is made in what is ours; in another's nothing is.
    new = pathlib.Path(TMP, "new", "state")
    Shell(XDG_STATE_HOME=str(new)).end()
    assert stat.S_IMODE((new / "postern/history").stat().st_mode) == 0o600
    if os.geteuid() == 0:
        foreign = pathlib.Path(TMP, "foreign")
        foreign.mkdir()
        os.chown(foreign, 12345, 12345)
        for env in ({"XDG_STATE_HOME": "", "HOME": str(foreign)}, {"XDG_STATE_HOME": str(foreign)},
                    {"XDG_STATE_HOME": str(foreign / "not/there")}):
            s = Shell(greets=b"not ours", **env)
            s.run("loglevel")
            assert s.end() == 0 and not list(foreign.iterdir()), env
    # No home at all.
    s = Shell(XDG_STATE_HOME="", HOME="")
    s.run("loglevel")
    assert s.end() == 0


def interrupts():
    s = Shell()
    asked()
    # The line is given up, wherever the cursor stands.
    s.send("drain\x01\x03")
    s.prompt()
    assert "debug" in s.run("loglevel debug") and [a["command"] for a in asked()] == ["loglevel"]
    s.send("\x03")
    s.prompt()
    # The command that runs is, and the shell goes on and says so.
    control.silent = True
    s.send("show status\r")
    s.read(lambda out: control.asked)
    s.send("\x03")
    out = s.prompt()
    assert "[130]" in out, out
    control.silent = False
    assert re.search(r"\npostern> ?$", s.run("loglevel")) and asked()
    # A command that goes by a signal of its own.
    control.silent = True
    s.send("show status\r")
    s.read(lambda out: control.asked)
    children = pathlib.Path(f"/proc/{s.pid}/task/{s.pid}/children").read_text().split()
    os.kill(int(children[0]), signal.SIGKILL)
    assert "ended by signal 9" in s.prompt()
    control.silent = False
    asked()
    assert s.end("exit\r") == 137


def ended_by_signals():
    """At the prompt, too, the terminal is left as it was found."""
    want = termios.ISIG | termios.ECHO | termios.ICANON
    for sig in (signal.SIGTERM, signal.SIGHUP):
        s = Shell()
        tty = os.open(os.readlink(f"/proc/{s.pid}/fd/0"), os.O_RDWR | os.O_NOCTTY)
        s.send("show sta")
        s.until("show sta")
        assert not termios.tcgetattr(tty)[3] & want
        os.kill(s.pid, sig)
        code = os.waitstatus_to_exitcode(os.waitpid(s.pid, 0)[1])
        assert code == -sig and termios.tcgetattr(tty)[3] & want == want, (sig, code, termios.tcgetattr(tty))
        os.close(tty)
        os.close(s.fd)
    # A command that runs is ended by them as ever.
    s = Shell()
    control.silent = True
    asked()
    s.send("show status\r")
    s.read(lambda out: control.asked)
    os.kill(int(pathlib.Path(f"/proc/{s.pid}/task/{s.pid}/children").read_text().split()[0]), signal.SIGTERM)
    assert "ended by signal 15" in s.prompt()
    control.silent = False
    assert s.end() == 143


def quoting():
    s = Shell()
    asked()
    assert "' without its end" in s.run("show rules 'a")
    assert '" without its end' in s.run('show rules "a')
    assert "nothing behind the backslash" in s.run("show rules a\\")
    out = s.run("show stautus")
    assert "did you mean status?" in out and "[2]" in out, out
    assert "is one too many" in s.run("drain now") and not asked()
    s.run("# drain")
    s.run("loglevel debug # drain")
    s.run("show rules 'it'\\''s' ")
    assert [a.get("level", a.get("name")) for a in asked()] == ["debug", "it's"]
    s.run("show sources gr\u00fc\u00df")
    assert asked()[-1]["address"] == "gr\u00fc\u00df"
    # No shell and no batch in the shell.
    assert "no command" in s.run("shell") and "options stand behind" in s.run("-f x")
    assert s.end() == 2


def another_size():
    s = Shell(term="xterm")
    s.size(40)
    s.send("show ?")
    out = s.until("postern> show")  # drawn anew, behind all of it
    assert "status" in out and "config" in out, out
    lines = [re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", line) for line in out.split("\n")]
    assert max(map(len, lines)) <= 40, [line for line in lines if len(line) > 40]
    # A line longer than the terminal is wide, edited in its middle, and the size changes while it is there.
    s.send("\x15show rules " + "A" * 60)
    s.size(25)
    s.send("\x01" + "\x06" * 11 + "B")
    s.size(120)
    s.send("\r")
    s.prompt()
    assert asked()[-1]["name"] == "B" + "A" * 60
    # While a command runs.
    control.silent = True
    s.send("show status\r")
    s.read(lambda o: control.asked)
    s.size(50)
    control.silent = False
    s.send("\x03")
    s.prompt()
    s.run("loglevel")
    assert s.end() == 0


def colour():
    for more in ({}, {"NO_COLOR": ""}):
        s = Shell(term="xterm", **more)
        assert "\x1b[31m[2]" in s.run("frobnicate")
        s.end()
    for more in ({"term": "xterm", "NO_COLOR": "1"}, {"term": "dumb"}):
        s = Shell(**more)
        out = s.run("frobnicate")
        assert "postern [2]> " in out and "\x1b[31m" not in out, out
        s.end()


def away():
    """Without control there are no names, and nothing hangs."""
    s = Shell(path="/nonexistent/socket")
    s.send("breaker ack \t")
    s.send("\x03")
    s.prompt()
    assert "/nonexistent/socket: " in s.run("show status")
    assert s.end() == 3


with tempfile.TemporaryDirectory() as TMP:
    PATH, STATE = os.path.join(TMP, "s"), os.path.join(TMP, "state")
    control = fake_control.Control(PATH)
    for test in (completes, helps, history, interrupts, ended_by_signals, quoting, another_size, colour, away):
        test()
        asked()
        print(test.__name__, flush=True)
print("ok")
