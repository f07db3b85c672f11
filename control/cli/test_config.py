#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""posternctl config and show config. argv: posternctl, postern-control, the folder of examples."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

CTL, CONTROL, EXAMPLES = sys.argv[1:4]
SECRET = "X-Hidden-From-All"
KEY = "0123456789abcdef" * 4
MAIN = """hostname = "mx.example.net"
header-prefix = "%(prefix)s"
listener "a" {{ port = 0; address = ["192.0.2.25/24"] }}
route "b" {{ domains = [%(domains)s]; hosts = ["198.51.100.1"] }}
chain "c" {{ key = "%(key)s" }}
dataplane {{ socket = "{dir}/dp.sock" }}
api {{ socket = "{dir}/api.sock" }}
trace {{ file = "{dir}/trace.jsonl" }}
dns {{ timeout = %(timeout)s }}
.include "more.conf"
"""


def run(*words, code=0):
    done = subprocess.run([CTL, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    assert done.returncode == code, (words, done.returncode, done.stdout.decode(), done.stderr.decode())
    return done.stdout.decode(), done.stderr.decode()


def put(path, text, mode=0o640):
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    os.chmod(path, mode)


def test_help():
    out, _ = run("config", "help", "route.port")
    assert out == ("route.port\n    Number (TCP port), 1 to 65535. Default: 25.\n"
                   "    Of hosts that name none, and of those that MX records name.\n\n"), out
    # Every key of that name; a whole section; all of them.
    out, _ = run("config", "help", "arena-share")
    assert "route.arena-share\n" in out and "limits.arena-share\n" in out
    out, _ = run("config", "help", "policy")
    assert "policy.dmarc\n" in out and "policy.deny\n" in out
    out, _ = run("config", "help", "route.policy")
    assert "All keys of policy but" in out and "deny-origins" not in out
    out, _ = run("config", "help")
    lines = dict(line.split(None, 1) + [""] * (2 - len(line.split(None, 1))) for line in out.splitlines() if line)
    assert lines["hostname"] == "(required)" and lines["limits.max-message"] == "50mb", lines
    assert lines["dns.timeout"] == "10s" and lines["tls.certificate.key"] == "(required)", lines
    assert "`" not in out
    out, err = run("config", "help", "polcy.tag-scor", code=2)
    assert "did you mean policy.tag-score?" in err and not out
    run("config", "help", "policy.tag-score", "frobnicate", code=2)
    run("config", "help", "route.policy.deny", code=2)
    keys = json.loads(run("config", "help", "--json")[0])
    assert keys["schema"] == "config-keys/1"
    by_name = {k["key"]: k for k in keys["keys"]}
    assert len(by_name) == len(keys["keys"]) > 190
    timeout = by_name["dns.timeout"]
    assert (timeout["type"], timeout["unit"], timeout["default"], timeout["min"], timeout["max"],
            timeout["restart"]) == ("time", "seconds", "10s", 0.1, 60, True), timeout
    assert by_name["policy.dmarc"]["words"] == ["enforce", "monitor", "strict"]
    assert by_name["hostname"]["required"] and by_name["chain.key"]["secret"]
    assert by_name["policy.deny"] and "route.policy.deny" not in by_name
    for k in keys["keys"]:
        assert k["text"] and k["type"], k
        assert (k["min"] is None) == (k["type"] not in ("number", "size", "time", "list")), k


def certificate(folder, name, host):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-days", "30", "-subj", "/CN=" + host, "-keyout", os.path.join(folder, name + ".key"), "-out",
                    os.path.join(folder, name + ".pem")], check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)


def test_examples(tmp):
    """What they name is put there; else they are as they are shipped."""
    etc = os.path.join(tmp, "etc")
    os.makedirs(os.path.join(etc, "rules"))
    for name in "mx", "mail", "internal-ca", "relay-ca":
        certificate(etc, name, "mail.example.com" if name == "mail" else name)
    put(os.path.join(etc, "branch.recipients"), "user@branch.example.com\n")
    put(os.path.join(etc, "bad-hosts"), "bad.example\n")
    put(os.path.join(etc, "sites.key"), KEY + "\n")
    names = sorted(n for n in os.listdir(EXAMPLES) if n.endswith(".conf"))
    assert len(names) >= 4, names
    for name in names:
        with open(os.path.join(EXAMPLES, name), encoding="utf-8") as f:
            text = f.read().replace("/etc/postern", etc)
        path = os.path.join(tmp, name)
        put(path, text)
        out, _ = run("config", "check", path)
        assert ": ok: " in out and ("warning" not in out or name == "inline.conf"), out
        # The check is one: a word that is wrong is found in it.
        put(path, text.replace("hostname =", "hostnam ="))
        out, _ = run("config", "check", path, code=1)
        assert path + ":" in out and 'did you mean "hostname"?' in out, out


def test_warnings(tmp):
    """The addresses of a listener are the dataplane's: from there the kernel connects to nobody."""
    path = os.path.join(tmp, "w.conf")
    for key, listener, source in (("source-address", "192.0.2.25/24", "192.0.2.25"), ("source-v6", "2001:db8::25/64", "2001:db8:0::25"),
                                  ("source-v4", "192.0.2.25/24", "192.0.2.26")):
        put(path, f"""hostname = "mx.example.net"
listener "public" {{ port = 0; address = ["192.0.2.24/24", "{listener}"] }}
route "office" {{ domains = ["example.com"]; hosts = ["mail.example.com"]; {key} = "{source}" }}
""")
        out, _ = run("config", "check", path)
        answer = json.loads(run("config", "check", "--json", path)[0])
        if source == "192.0.2.26":
            assert "warning" not in out and answer["warnings"] == [], out
            continue
        assert f'{path}: warning: route.office: its source address {listener.split("/")[0]} is one of listener "public"' in out, out
        assert out.endswith("0 not supported\n") and answer["ok"] and len(answer["warnings"]) == 1, answer


def test_check(tmp):
    path, inc = os.path.join(tmp, "x.conf"), os.path.join(tmp, "x.inc")
    put(path, 'hostname = "mx.example.net"\n.include "x.inc"\n')
    put(inc, '\nlistener a { port = 99; adress = ["192.0.2.25/24"] }\n')
    out, _ = run("config", "check", path, code=1)
    assert inc + ":2: listener.a.port: 99 is out of bounds: expected 0 to 31\n" in out, out
    assert inc + ':2: listener.a.adress: unknown key; did you mean "address"?\n' in out, out
    assert path + ": route: missing: at least one route is needed; there is no default route\n" in out, out
    answer = json.loads(run("config", "check", "--json", path, code=1)[0])
    assert answer["schema"] == "config-check/1" and not answer["ok"], answer
    assert answer["errors"][0] == {"file": inc, "line": 2, "key": "listener.a.port",
                                   "reason": "99 is out of bounds: expected 0 to 31"}, answer
    out, _ = run("config", "check", os.path.join(tmp, "none.conf"), code=1)
    assert "cannot be read: No such file" in out, out


class Daemon:
    """postern-control without a dataplane."""

    def __init__(self, tmp):
        self.tmp, self.path = tmp, os.path.join(tmp, "main.conf")
        self.socket = os.path.join(tmp, "api.sock")
        self.proc = None

    def write(self, more="", prefix=SECRET, domains='"example.com", "example.org"', key=KEY, timeout="5s"):
        # As posternctl sees it, so that it is found by what is said of it.
        put(self.path, MAIN.format(dir=self.tmp) % {"prefix": prefix, "domains": domains, "key": key,
                                                    "timeout": timeout})
        put(os.path.join(self.tmp, "more.conf"), more)

    def start(self):
        # pylint: disable=consider-using-with
        self.proc = subprocess.Popen([CONTROL, "--config", self.path], stdout=subprocess.DEVNULL,
                                     stderr=open(os.path.join(self.tmp, "log"), "wb"),
                                     env=dict(os.environ, ASAN_OPTIONS="detect_leaks=0"))
        end = time.time() + 60
        while subprocess.run([CTL, "--socket", self.socket, "show", "config"], stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL, check=False).returncode:
            assert self.proc.poll() is None and time.time() < end, self.log()
            time.sleep(0.1)

    def log(self):
        with open(os.path.join(self.tmp, "log"), encoding="utf-8") as f:
            return f.read()

    def ctl(self, *words, code=0):
        out, err = run("--socket", self.socket, *words, code=code)
        for secret in SECRET, KEY, "X-Other":
            assert secret not in out + err, (words, out, err)
        return out

    def changes(self, *words, code=1):
        answer = json.loads(self.ctl("config", "diff", *words, "--json", code=code))
        assert answer["schema"] == "config-diff/1", answer
        return answer, {c.pop("key"): c for c in answer["changes"]}

    def stop(self):
        self.proc.send_signal(signal.SIGTERM)
        self.proc.wait(60)


def test_diff(d):
    d.write("policy { tag-score = 6 }\n")
    d.start()
    out = d.ctl("show", "config")
    assert "header-prefix = (not shown)\n" in out and "policy.tag-score = 6\n" in out, out
    assert "chain.c.key = (not shown)\n" in out and 'route.b.domains = ["example.com","example.org"]\n' in out, out
    shown = json.loads(d.ctl("show", "config", "--json"))
    assert shown["schema"] == "config/1" and "salt" not in shown and shown["restart"] == [], shown
    assert {"key": "chain.c.key", "secret": True} in shown["settings"], shown
    assert {"key": "dns.timeout", "value": "5s"} in shown["settings"], shown
    assert d.ctl("config", "diff") == d.path + " says what is in force\n"
    # The same said otherwise.
    d.write("policy { tag-score = 6.0; greylist = no }\nlimits { data-timeout = 3min }\n", timeout="5000ms")
    assert d.ctl("config", "diff") == d.path + " says what is in force\n"

    d.write("spf { workers = 3 }\nroute \"n\" { domains = [\"n.example\"]; hosts = [\"192.0.2.9\"] }\n",
            prefix="X-Other", domains='"example.edu", "example.com"', timeout="6s", key="ff" + KEY)
    out = d.ctl("config", "diff", code=1)
    assert out == ("chain.c.key: changed (not shown)\n"
                   "dns.timeout: 5s -> 6s (restart)\n"
                   "header-prefix: changed (not shown)\n"
                   "policy.tag-score: 6 -> 5 (default)\n"
                   "route.b.domains:\n    - example.org\n    + example.edu\n"
                   "route.n.domains:\n    + n.example\n"
                   "route.n.hosts:\n    + 192.0.2.9\n"
                   "spf.workers: 2 (default) -> 3 (restart)\n"
                   "8 key(s) differ; 2 of them, (restart), need a restart of control\n"), out
    answer, changes = d.changes()
    assert answer["file"] == answer["running"] == d.path and answer["restart"] is True, answer
    assert changes["dns.timeout"] == {"from": "5s", "to": "6s", "from_set": True, "to_set": True, "secret": False,
                                      "restart": True}, changes
    assert changes["header-prefix"] == {"from": None, "to": None, "from_set": True, "to_set": True, "secret": True,
                                        "restart": False}, changes
    assert changes["policy.tag-score"]["to"] == "5" and not changes["policy.tag-score"]["to_set"], changes
    assert json.loads(changes["route.b.domains"]["to"]) == ["example.edu", "example.com"], changes
    return changes


def test_reload(d):
    answer = json.loads(d.ctl("config", "reload", "--json"))
    assert answer["ok"] and answer["restart"] == ["dns.timeout", "spf.workers"], answer
    # What waits for a restart is not in force, and goes on to differ.
    answer, changes = d.changes()
    assert sorted(changes) == ["dns.timeout", "spf.workers"], changes
    assert "dns.timeout = 5s\n" in d.ctl("show", "config")
    out = d.ctl("config", "reload")
    assert "dns.timeout takes effect after a restart of control\n" in out, out
    assert "dns.timeout changed: takes effect after a restart" in d.log()
    # A file that is opened when it is first wanted needs no restart before.
    d.write("greylist-file = \"%s/grey\"\n" % d.tmp)
    answer, changes = d.changes()
    assert changes["greylist-file"]["restart"] is False, changes
    d.write("greylist-file = \"%s/grey\"\npolicy { greylist = yes }\n" % d.tmp)
    answer = json.loads(d.ctl("config", "reload", "--json"))
    assert answer["ok"] and answer["restart"] == [], answer
    assert d.ctl("config", "diff") == d.path + " says what is in force\n"
    d.write("greylist-file = \"%s/other\"\npolicy { greylist = yes }\n" % d.tmp)
    answer, changes = d.changes()
    assert changes["greylist-file"]["restart"] is True, changes
    answer = json.loads(d.ctl("config", "reload", "--json"))
    assert answer["restart"] == ["greylist-file"], answer


def test_other_file(d):
    """A file elsewhere, as whoever asks may read it; one with errors."""
    other = os.path.join(d.tmp, "other", "x.conf")
    os.makedirs(os.path.dirname(other))
    shutil.copy(d.path, other)
    put(os.path.join(d.tmp, "other", "more.conf"), "policy { greylist = yes; tag-score = 9 }\n")
    _, changes = d.changes(other)
    assert changes["policy.tag-score"]["to"] == "9", changes
    put(os.path.join(d.tmp, "other", "more.conf"), "\npolcy { }\n")
    out = d.ctl("config", "diff", other, code=1)
    assert out == os.path.join(d.tmp, "other", "more.conf") + ':2: polcy: unknown key; did you mean "policy"?\n', out
    answer = json.loads(d.ctl("config", "diff", other, "--json", code=1))
    assert answer["errors"][0]["key"] == "polcy" and "changes" not in answer, answer
    # What is refused changes nothing of what is in force.
    put(os.path.join(d.tmp, "more.conf"), "\npolcy { }\n")
    before = d.ctl("show", "config")
    d.ctl("config", "reload", code=1)
    assert d.ctl("show", "config") == before


with tempfile.TemporaryDirectory(prefix="postern-config-") as top:
    os.chmod(top, 0o755)
    test_help()
    for part in "examples", "check", "daemon":
        os.mkdir(os.path.join(top, part))
    test_examples(os.path.join(top, "examples"))
    test_check(os.path.join(top, "check"))
    test_warnings(os.path.join(top, "check"))
    run("--socket", os.path.join(top, "nobody"), "config", "diff", code=3)
    run("config", "diff", "a", "b", code=2)
    daemon = Daemon(os.path.join(top, "daemon"))
    try:
        test_diff(daemon)
        test_reload(daemon)
        test_other_file(daemon)
    except BaseException:
        print(daemon.log() if daemon.proc else "")
        raise
    finally:
        if daemon.proc:
            daemon.stop()
