#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""Every command that prints JSON, in a live lab: it has a schema in docs/schemas, no member is unknown to that, every schema is
of some command; and the same command has a form for people."""
import fcntl
import json
import os
import pty
import struct
import subprocess
import sys
import termios

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import lab as labs  # noqa: E402
import schemas  # noqa: E402

RULES = ("body R_FISH /red herring/\ndescribe R_FISH A fish\nscore R_FISH 1.5\nbody R_BAD /very bad/\nscore R_BAD 20\naction R_BAD reject\n"
         "body R_HOLD /hold this/\nscore R_HOLD 1\naction R_HOLD quarantine\n")
CLOUD = """hostname = "gw.example.net"
listener "public" {{ port = 0; address = ["198.51.100.25/24"] }}
route "office" {{ domains = ["example.com"]; provider = "{provider}"; hosts = ["{host}"]; source-address = "198.51.100.7" }}
"""
CLOUDS = {"exchange": ("exchange-online", "example-com.mail.protection.outlook.com"), "google": ("google-workspace", "smtp.google.com")}
MESSAGE = ("Received: from client.example.net (client.example.net [192.0.2.10]) by mx.example.com with ESMTP id 1;\r\n"
           " Thu, 26 Nov 2026 10:00:00 +0000\r\nAuthentication-Results: mx.example.com; spf=pass smtp.mailfrom=example.net\r\n"
           "DKIM-Signature: v=1; a=rsa-sha256; d=example.net; s=none; c=relaxed/relaxed; h=from; bh=AAAA; b=AAAA\r\n"
           "From: a@example.net\r\nSubject: red herring\r\nMessage-ID: <file@example.net>\r\n\r\na red herring\r\n")


class Walk:
    def __init__(self, lab):
        self.lab = lab
        self.schemas = schemas.Schemas()

    def ctl(self, *args, codes=(0,)):
        p = subprocess.run([labs.build_dir() / "control/cli/posternctl", "--socket", self.lab.dir / "control.sock", *map(str, args)],
                           capture_output=True, text=True, timeout=120, check=False, stdin=subprocess.DEVNULL)
        assert p.returncode in codes, (args, p.returncode, p.stdout[-1000:], p.stderr[-1000:])
        return p.stdout

    def json(self, schema, *args, codes=(0,)):
        answer = json.loads(self.ctl("--json", *args, codes=codes))
        assert self.schemas.check(answer) == schema, (args, answer["schema"])
        return answer

    def both(self, schema, *args, codes=(0,)):
        """For people first: something, and no JSON."""
        text = self.ctl(*args, codes=codes)
        assert text.strip() and text.lstrip()[0] not in "{[", (args, text[:200])
        return self.json(schema, *args, codes=codes)


def at_terminal(w, columns, *args):
    """Lines of a command at a terminal of that width, and not one is wider."""
    pid, fd = pty.fork()
    if not pid:
        fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        ctl = str(labs.build_dir() / "control/cli/posternctl")
        os.execv(ctl, [ctl, "--socket", str(w.lab.dir / "control.sock"), *args])
    out = b""
    while True:
        try:
            more = os.read(fd, 65536)
        except OSError:  # the other end is closed
            break
        if not more:
            break
        out += more
    os.close(fd)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, (args, out)
    lines = out.decode().replace("\r", "").splitlines()
    wide = [x for x in lines if len(x) > columns]
    assert lines and not wide, (columns, args, wide)
    return lines


def tables(w):
    """They fit, from a small window to one that has room for all."""
    for columns in (80, 100, 200):
        for args in ("show workers", "show ports", "show sessions", "show routes", "show drops --all", "show stats", "show sources", "show rules",
                     "breaker show", "trace", "trace shares"):
            at_terminal(w, columns, *args.split())
    # A word that is longer than what is left of the line is not broken, so nothing narrower is asked for.
    assert "HELD MB" not in at_terminal(w, 80, "show", "routes")[0] and "HELD MB" in at_terminal(w, 200, "show", "routes")[0]


def send(lab, *messages):
    """(recipients, body): the codes of the last replies, in one session."""
    c = labs.Smtp(lab)
    c.cmd("EHLO client.example.net")
    codes = []
    for n, (rcpts, body) in enumerate(messages):
        c.cmd(f"MAIL FROM:<s{n}@example.net>")
        taken = [c.cmd(f"RCPT TO:<{r}>")[0] for r in rcpts]
        if 250 not in taken:
            c.cmd("RSET")
            codes.append(taken[0])
            continue
        c.cmd("DATA")
        c.send(f"From: s{n}@example.net\r\nSubject: {body}\r\nMessage-ID: <m{n}@example.net>\r\n\r\n{body}\r\n.\r\n")
        codes.append(c.reply()[0])
    return c, codes


def shows(w):
    lab = w.lab
    assert w.both("postern.breaker-show.1", "breaker", "show")["breakers"][0]["open"]
    w.json("postern.breaker-ack.1", "breaker", "ack", "office", "--learn")
    c, codes = send(lab, (["user@example.com"], "plain"), (["user@example.com", "other@example.com"], "a red herring"),
                    (["user@example.com"], "very bad"), (["later@example.com"], "x"), (["user@example.com"], "hold this"),
                    (["user@example.com"], "hold this too"), (["user@elsewhere.example"], "x"))
    assert codes == [250, 250, 550, 450, 250, 250, 550], codes
    for what in ("status", "workers", "ports", "sessions", "routes", "rules", "stats", "config"):
        w.both({"config": "config/1"}.get(what, f"postern.show-{what}.1"), "show", what)
    w.both("postern.show-drops.1", "show", "drops", "--all")
    w.json("postern.show-rules.1", "show", "rules", "--top", "hits", "--limit", "2")
    w.both("postern.show-sources.1", "show", "sources")
    assert w.both("postern.show-sources.1", "show", "sources", labs.CLIENT4)["sources"]
    w.both("postern.sources-forgive.1", "sources", "forgive", labs.CLIENT4)
    w.both("postern.loglevel.1", "loglevel")
    w.json("postern.loglevel.1", "loglevel", "info")
    tables(w)
    w.both("postern.drain.1", "drain")
    w.both("postern.undrain.1", "undrain")
    c.cmd("QUIT")
    c.close()


def followed(w):
    """What goes on and on: a document a line."""
    lab = w.lab
    w.both("postern.top.1", "top", "--once")
    p = subprocess.Popen([labs.build_dir() / "control/cli/posternctl", "--socket", lab.dir / "control.sock", "--json", "watch", "all"],
                         stdout=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL)
    try:
        events = [json.loads(p.stdout.readline())]
        c, codes = send(lab, (["user@example.com"], "a red herring"), (["later@example.com"], "x"), (["user@example.com"], "very bad"))
        assert codes == [250, 450, 550], codes
        c.cmd("QUIT")
        c.close()
        while events[-1]["event"] != "closed":
            events.append(json.loads(p.stdout.readline()))
    finally:
        p.kill()
        p.wait()
    for e in events:
        assert w.schemas.check(e) == "postern.watch.1"
    assert {e["event"] for e in events} == {"watching", "opened", "greeted", "message", "closed"}, events


def traces(w):
    found = w.both("postern.trace.1", "trace", "--limit", "50")
    assert {r["outcome"] for r in found["records"]} == {"delivered", "rejected", "deferred", "quarantined"}, found
    assert all(r["detail"] for r in found["records"])
    w.json("postern.trace.1", "trace", "--from", "nobody@example.org")
    w.both("postern.explain-trace.1", "explain", found["records"][0]["trace_id"])
    w.both("postern.trace-status.1", "trace", "status")
    assert w.both("postern.shares.1", "trace", "shares")["ways"]
    assert w.both("postern.reindex.1", "trace", "reindex")["records"]


def held(w):
    first, second = [m["id"] for m in w.both("postern.quarantine-list.1", "quarantine", "list")["messages"]]
    w.both("postern.quarantine-show.1", "quarantine", "show", first)
    assert w.json("postern.quarantine-release.1", "quarantine", "release", first)["ok"]
    w.json("postern.quarantine-delete.1", "quarantine", "delete", second)
    released = w.json("postern.trace.1", "trace", "--trace-id", first)["records"]
    assert [r["how"] for r in released] == ["released from quarantine", None], released


def configured(w):
    lab = w.lab
    text = lab.conf.read_text()
    w.both("config-check/1", "config", "check", lab.conf)
    assert not w.json("config-diff/1", "config", "diff")["changes"]
    lab.conf.write_text(text.replace("max-message = ", "max-recipients = 200; max-message = ").replace('trace.jsonl"', 'other.jsonl"'))
    changes = w.both("config-diff/1", "config", "diff", codes=(1,))["changes"]
    assert {c["key"] for c in changes} >= {"limits.max-recipients", "trace.file"}, changes
    done = w.both("postern.config-reload.1", "config", "reload")
    assert done["ok"] and done["restart"] == ["trace.file"], done
    lab.conf.write_text(text.replace("hostname", "hostnome"))
    assert not w.both("config-check/1", "config", "check", lab.conf, codes=(1,))["ok"]
    assert w.both("config-diff/1", "config", "diff", codes=(1, 2))["errors"]
    assert not w.both("postern.config-reload.1", "config", "reload", codes=(1,))["ok"]
    assert w.json("postern.show-status.1", "show", "status")["reload"]["last"]["ok"] is False
    lab.conf.write_text(text)
    w.json("postern.config-reload.1", "config", "reload")
    w.both("config-keys/1", "config", "help")
    w.both("config-keys/1", "config", "help", "route.port")


def files(w):
    """What reads files alone."""
    lab, d = w.lab, w.lab.dir
    (d / "m.eml").write_bytes(MESSAGE.encode())
    (d / "zone").write_text("$ORIGIN example.net.\n@ IN TXT \"v=spf1 ip4:192.0.2.10 -all\"\ngw IN A 198.51.100.7\n")
    zone = ["--dns-zone", d / "zone", "--now", "1795730400"]
    w.both("postern.rules-check.1", "rules", "check", "--explain", d / "demo.cf")
    w.both("postern.rules-test.1", "rules", "test", "--rules", d / "demo.cf", "--parts", d / "m.eml")
    w.both("postern.rules-compile.1", "rules", "compile", "--output", d / "demo.psb", d / "demo.cf")
    for more in ([], ["--config", lab.conf, "--ip", labs.CLIENT4, "--helo", "client.example.net", "--from", "a@example.net"]):
        w.both("postern.scan.1", "scan", *zone, *more, d / "m.eml", codes=(0, 1))
    for side in ("exchange", "gmail", "spamassassin", "rspamd", "first-received", "last-public"):
        w.both("postern.simulate.1", "simulate", side, *zone, "--mail-from", "a@example.net", d / "m.eml", codes=(0, 1))
    assert w.both("postern.explain.1", "explain", *zone, d / "m.eml", codes=(0, 1))["told"]
    w.both("postern.keys.1", "keys", "--config", lab.conf)
    w.both("postern.keys.1", "keys", "check", "--config", lab.conf, *zone, codes=(1,))
    for side, (provider, host) in CLOUDS.items():
        (d / "cloud.conf").write_text(CLOUD.format(provider=provider, host=host))
        told = w.both("doctor/1", "doctor", side, "office", "--config", d / "cloud.conf", *zone, codes=(0, 1, 3))
        assert told["setup"], told
        told = w.both("doctor/1", "doctor", side, "office", "--verify", d / "m.eml", "--config", d / "cloud.conf", *zone, codes=(0, 1, 3))
        assert told["messages"], told


def replayed(w):
    d, types = w.lab.dir, set()
    for n, extra in enumerate((["--plant", "all"], ["--with", "starttls=100"])):
        labs.run(labs.build_dir() / "bench/pcapgen/pcapgen", "-o", d / f"{n}.pcap", "-b", d / f"{n}.book", "--sessions", "60", *extra)
        out = w.ctl("--json", "replay", "--anomalies", "--dataplane", labs.build_dir() / "dataplane/postern-dataplane", d / f"{n}.pcap", codes=(0, 1))
        for line in out.splitlines():
            answer = json.loads(line)
            assert w.schemas.check(answer) == "postern.replay.1"
            types.add(answer["type"])
    assert types == {"message", "anomaly", "encrypted", "summary"}, types


def from_memory(w):
    """Without an index records are those of the log, and the same schema holds."""
    lab = w.lab
    lab.stop("control")
    lab.conf.write_text(lab.conf.read_text().replace('trace.jsonl"', 'trace.jsonl"; index = "none"'))
    lab.start_control()
    lab.wait_ready()
    c, codes = send(lab, (["user@example.com"], "plain"), (["user@example.com"], "very bad"))
    assert codes == [250, 550], codes
    c.close()
    assert len(w.both("postern.trace.1", "trace")["records"]) == 2
    assert w.both("postern.trace-status.1", "trace", "status")["index"] is None


def main():
    labs.need_root()
    files_of = schemas.files()
    for name, f in files_of.items():
        assert f.name == name.replace("/", ".") + ".json", f"{f.name} is of {name}"
        loose = schemas.open_objects(json.loads(f.read_text()))
        assert not loose, f"{f.name}: {loose}: any member would do"
    with labs.Lab("psj", arena_mb=64) as lab:
        w = Walk(lab)
        assert w.json("postern.keys-generate.1", "keys", "generate", "--domain", "example.com", "--selector", "s", lab.dir / "arc.pem")["bits"] >= 2048
        lab.start_dns({"example.net": f'@ IN TXT "v=spf1 ip4:{labs.CLIENT4} -all"\n'})
        lab.start_sink("--rule", "rcpt:<later=450 4.2.1 come back later")
        (lab.dir / "demo.cf").write_text(RULES)
        # Nobody knows which breakers are open: all are.
        (lab.dir / "state").mkdir()
        (lab.dir / "state/breakers.json").write_text("{")
        lab.write_config(verify="none", policy="", route_extra="arc-seal = always", extra=f'''quarantine {{ directory = "{lab.dir}/held"; min-free = 1m }}
metrics {{ listen = "unix:{lab.dir}/metrics.sock" }}
arc {{ key "k" {{ domain = "example.com"; selector = "s"; file = "{lab.dir}/arc.pem" }} }}
''')
        lab.conf.write_text(lab.conf.read_text().replace('trace.jsonl"', 'trace.jsonl"; subjects = true'))
        lab.start_dataplane()
        lab.start_control()
        lab.wait_ready()
        for step in (followed, shows, traces, held, configured, files, replayed, from_memory):
            step(w)
            print(f"{step.__name__}: ok", flush=True)
        unused = set(files_of) - w.schemas.used
        assert not unused, f"no command prints what is of {sorted(unused)}"
        print(f"{len(files_of)} schemas, each of a command: ok")


if __name__ == "__main__":
    main()
