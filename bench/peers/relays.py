# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""The relays that are compared. Each is started for one run, with the configuration beside this file, and stopped again, so
that none disturbs the next; all listen in the gateway's namespace and hand on to the same sink."""

import gzip
import hashlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
sys.path.insert(0, str(HERE))
import figures  # noqa: E402
import loadlab  # noqa: E402
import mail  # noqa: E402
from loadlab import labs  # noqa: E402
import peers  # noqa: E402
import postfix  # noqa: E402

# The kernel's way into the gateway's namespace, for those who use the kernel.
CLIENT, ADDRESS = "203.0.113.10", "203.0.113.25"
HOSTNAME = "mx.example.com"
CORES = len(os.sched_getaffinity(0))
HARAKA = labs.ROOT / "build/peers/haraka"
RSPAMD_CACHE = labs.ROOT / "build/peers/rspamd"  # of what it compiles, which takes it many seconds


class Missing(Exception):
    """A relay is not to be had here; the text says what it lacks."""


def hexed(literal):
    return "".join(f"\\x{c:02x}" for c in literal)


def configuration(path, values):
    return figures.fill((HERE / path).read_text(), values)


class Relay:
    """key: on the command line; row: in figures. sees: words that its header fields must have. A relay that does not queue
    answers the final dot when the next hop has."""
    key = row = title = ""
    address = ADDRESS
    client = "client"
    sees = ("spf=pass", "dkim=pass", "dmarc=pass")
    queues = True

    def __init__(self, lab, literals, key_file, sealing=False):
        self.lab, self.literals, self.key_file, self.sealing = lab, literals, key_file, sealing
        self.sees = (*self.sees, "ARC-Seal:") if sealing else self.sees
        self.row = self.key + ("-sealing" if sealing else "")
        self.values = {"DIR": lab.dir / self.row, "ADDRESS": self.address, "NEXTHOP": labs.NEXTHOP4, "DNS": labs.DNS4,
                       "HOSTNAME": HOSTNAME, "CORES": CORES, "SELECTOR": mail.SELECTOR, "KEY": key_file}

    def prepare(self):
        """Once: Missing, or the version."""
        raise NotImplementedError

    def start(self):
        raise NotImplementedError

    def stop(self):
        raise NotImplementedError

    def cpu(self):
        """{part: CPU seconds so far}"""
        return {part: sum(loadlab.cpu_of(p) for p in pids) for part, pids in self.pids().items()}

    def spent(self, before, after):
        """{"counted": seconds that messages per CPU-second are of, "all": seconds of all its processes, parts…}"""
        parts = {k: after[k] - before[k] for k in after}
        return {"counted": sum(parts.values()), "all": sum(parts.values()), **parts}

    def listens(self, port):
        return self.lab.in_ns("gw", "ss", "-Hltn", f"sport = :{port}", check=False).stdout.strip()

    def pids(self):
        """{part: its processes}"""
        raise NotImplementedError

    def of(self, name):
        return loadlab.tree(self.lab.procs[name].pid)


class Direct(Relay):
    """The generator at the sink: what both are good for, and what the next hop takes of a latency."""
    key = row = "direct"
    title = "sink alone"
    address, client = labs.NEXTHOP4, "gw"
    sees = ()
    queues = False
    sink_pid = None

    def prepare(self):
        return ""

    def start(self):
        pass

    def stop(self):
        pass

    def pids(self):
        return {"sink": [self.sink_pid]}


class Postern(Relay):
    key, title = "postern", "Postern"
    address = labs.GATEWAY4
    queues = False

    def prepare(self):
        for b in ("dataplane/postern-dataplane", "control/postern-control", "control/cli/posternctl"):
            if not (labs.build_dir() / b).exists():
                raise Missing(f"{labs.build_dir() / b} is not built")
        self.values["DIR"] = self.lab.dir  # where the lab looks for sockets
        (self.lab.dir / "literals.cf").write_text("".join(
            f"full LITERAL_{i} /{hexed(s)}/i\naction LITERAL_{i} reject\n" for i, s in enumerate(self.literals)))
        m = loadlab.machine()
        return f"commit {m['commit']}, DPDK {m['dpdk']}, Hyperscan {m['hyperscan']}"

    def start(self):
        lab = self.lab
        arc = f'arc {{ key k {{ domain = "{mail.SEALER}"; selector = "{mail.SELECTOR}"; file = "{self.key_file}" }} }}\n'
        self.values["SEAL"] = "arc-seal = always" if self.sealing else ""
        lab.conf = lab.dir / "postern.conf"
        lab.conf.write_text(configuration("postern/postern.conf", self.values) + (arc if self.sealing else ""))
        for f in (*lab.dir.glob("trace.*"), *lab.dir.glob("dataplane.log"), *lab.dir.glob("control.log")):
            f.unlink()  # of the run before: "ready" is looked for in one of them
        lab.start_dataplane()
        lab.start_control()
        lab.wait_ready(60)
        self.hz = self.tsc_hz()

    def stop(self):
        for name in ("control", "dataplane"):
            self.lab.stop(name)

    def cycles(self):
        w = json.loads(self.lab.ctl("show", "workers", "--json").stdout)["workers"]
        return sum(x["busy_cycles"] for x in w), w[0]["total_cycles"]

    def tsc_hz(self):
        (_, a), t = self.cycles(), time.monotonic()
        time.sleep(0.5)
        (_, b), u = self.cycles(), time.monotonic()
        return (b - a) / (u - t)

    def cpu(self):
        control = self.lab.procs["control"].pid
        out = {"busy": self.cycles()[0] / self.hz, "worker": 0.0, "main": 0.0, "loop": 0.0, "threads": 0.0, "children": 0.0}
        for t in pathlib.Path(f"/proc/{self.lab.procs['dataplane'].pid}/task").iterdir():
            worker = (t / "comm").read_text().startswith(("lcore-worker", "rte-worker"))
            out["worker" if worker else "main"] += int((t / "schedstat").read_text().split()[0]) / 1e9
        for t in pathlib.Path(f"/proc/{control}/task").iterdir():
            out["loop" if t.name == str(control) else "threads"] += int((t / "schedstat").read_text().split()[0]) / 1e9
        out["children"] = sum(loadlab.cpu_of(p) for p in self.of("control")) - out["loop"] - out["threads"]
        return out

    def pids(self):
        return {"dataplane": self.of("dataplane"), "control": self.of("control")}

    def spent(self, before, after):
        """The design's CPU-second: busy cycles of the worker ÷ TSC Hz, and all of control. The TSC runs on while the worker has not
        its CPU; its busy time is at most that of its thread, which has idle polling in it. So the smaller one is counted."""
        parts = {k: after[k] - before[k] for k in after}
        control = parts["loop"] + parts["threads"] + parts["children"]
        return {"counted": min(parts["busy"], parts["worker"]) + control, "all": parts["worker"] + parts["main"] + control, **parts}


class WithRspamd(Relay):
    """Starts and stops an rspamd of its own beside."""
    worker, port = "", 0

    def prepare_rspamd(self):
        if not shutil.which("rspamd"):
            raise Missing("rspamd is not installed (packaging/install-packages bench)")
        return labs.run("rspamd", "--version").stdout.split("\n")[0].strip()

    def start_rspamd(self):
        d = self.values["DIR"] / "rspamd"
        # What another version compiled, or of other literals, is none of it.
        what = hashlib.sha256(b"\n".join([self.prepare_rspamd().encode(), *self.literals])).hexdigest()[:16]
        cache = RSPAMD_CACHE / what
        values = {**self.values, "DIR": d, "CACHE": cache}
        d.mkdir(parents=True, exist_ok=True)
        cache.mkdir(parents=True, exist_ok=True)
        os.chmod(self.lab.dir, 0o755)
        (d / "literals.map").write_text("".join(f"/{hexed(s)}/i\n" for s in self.literals))
        values["WORKER"] = configuration(f"rspamd/{self.worker}.inc", values)
        values["ARC"] = configuration("rspamd/arc-seal.inc", values) if self.sealing else ""
        shutil.copy(HERE / "rspamd/globals.lua", d)
        (d / "rspamd.conf").write_text(configuration("rspamd/rspamd.conf", values))
        self.lab.spawn("rspamd", "gw", ["rspamd", "-f", "-i", "-c", d / "rspamd.conf",
                                        *(f"--var={k}={d}" for k in ("DBDIR", "RUNDIR", "LOGDIR", "LOCAL_CONFDIR"))])
        labs.wait_for("rspamd listens", lambda: self.lab._alive("rspamd") and self.listens(self.port), 300)
        # The map of literals as Hyperscan's database, which it keeps in a file: without, it would try one by one.
        labs.wait_for("rspamd has compiled the literals", lambda: list(cache.glob("*.hsmc")), 120)

    def stop_rspamd(self):
        self.lab.stop("rspamd", timeout=20)


class PostfixRspamd(WithRspamd):
    key, title = "postfix-rspamd", "Postfix + rspamd"
    worker, port = "proxy", 11332

    def prepare(self):
        if not shutil.which("postfix"):
            raise Missing("postfix is not installed")
        return f"Postfix {labs.run('postconf', '-dh', 'mail_version').stdout.strip()}, {self.prepare_rspamd()}"

    def start(self):
        self.start_rspamd()
        shutil.rmtree(self.lab.dir / f"{self.row}/postfix", ignore_errors=True)
        self.relay = postfix.Postfix(self.lab, "gw", f"{self.row}/postfix", HOSTNAME,
                                     configuration("postfix/main.cf", self.values))

    def stop(self):
        self.relay.stop()
        self.stop_rspamd()

    def pids(self):
        return {"postfix": loadlab.tree(self.relay.pid), "rspamd": self.of("rspamd")}


class Smtpd(peers.Peer):
    """OpenSMTPD with the filter in its private root."""
    name = "opensmtpd-rspamd"
    users = (("opensmtpd", "/var/lib/opensmtpd/empty"), ("opensmtpq", "/var/lib/opensmtpd/empty"))

    def __init__(self, lab, role, text):
        super().__init__(lab, "gw", role, {"etc/smtpd.conf": text, "etc/mailname": HOSTNAME + "\n"})
        (self.root / "var/lib/opensmtpd/empty").mkdir(parents=True, exist_ok=True)


class OpenSmtpdRspamd(WithRspamd):
    key, title = "opensmtpd", "OpenSMTPD + filter-rspamd + rspamd"
    worker, port, n = "normal", 11333, 0

    def prepare(self):
        rspamd = self.prepare_rspamd()
        tree = peers.unpack(Smtpd.name)
        if not tree:
            raise Missing("OpenSMTPD could not be downloaded")
        version = Smtpd(self.lab, "version", "").run("/usr/sbin/smtpd", "-h", check=False).stdout.split()[2]
        log = gzip.open(tree / "usr/share/doc/opensmtpd-filter-rspamd/changelog.Debian.gz", "rt").readline()
        return f"OpenSMTPD {version}, filter-rspamd {re.search(r'[(](.*?)[)]', log)[1]}, {rspamd}"

    def start(self):
        self.start_rspamd()
        self.n += 1  # a root and a spool of its own each time
        self.smtpd = Smtpd(self.lab, f"relay{self.n}", configuration("opensmtpd/smtpd.conf", self.values))
        self.smtpd.start(["/usr/sbin/smtpd", "-d"], ADDRESS, 25)

    def stop(self):
        self.smtpd.stop()
        self.stop_rspamd()

    def pids(self):
        return {"opensmtpd": self.of(self.smtpd.role), "rspamd": self.of("rspamd")}


class Haraka(Relay):
    key, title = "haraka", "Haraka, SPF, DKIM, data.signatures"
    sees = ("spf=pass", "dkim=pass")
    queues = False

    def prepare(self):
        wanted = (HERE / "haraka/package.json").read_text()
        node = loadlab.output_of("node", "--version")
        if not re.match(r"v(2\d|[3-9]\d)\.", node):
            raise Missing(f"node 20 or newer is not installed ({node})")
        # Done when what was asked for is noted, and nothing was left half way.
        done = HARAKA / "installed"
        if not done.exists() or done.read_text() != wanted:
            shutil.rmtree(HARAKA, ignore_errors=True)
            HARAKA.mkdir(parents=True)
            (HARAKA / "package.json").write_text(wanted)
            try:
                r = subprocess.run(["npm", "install", "--omit=optional", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", HARAKA],
                                   stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=600, check=False, cwd=HARAKA)
            except (OSError, subprocess.TimeoutExpired) as e:
                raise Missing(f"npm install: {e}") from e
            if r.returncode:
                raise Missing(f"npm install failed: {r.stderr.strip().splitlines()[-1:]}")
            done.write_text(wanted)
        have = {p: json.loads((HARAKA / "node_modules" / p / "package.json").read_text())["version"]
                for p in ("haraka", "haraka-plugin-spf", "haraka-plugin-dkim")}
        return f"Haraka {have['haraka']}, spf {have['haraka-plugin-spf']}, dkim {have['haraka-plugin-dkim']}, node {node}"

    def start(self):
        d = self.values["DIR"]
        shutil.rmtree(d, ignore_errors=True)
        shutil.copytree(HARAKA / "node_modules/haraka/config", d / "config")  # as haraka -i does
        (d / "node_modules").symlink_to(HARAKA / "node_modules")
        for f in (HERE / "haraka/config").iterdir():
            (d / "config" / f.name).write_text(figures.fill(f.read_text(), self.values))
        shutil.copytree(HERE / "haraka/plugins", d / "plugins")
        (d / "config/data.signatures").write_bytes(b"\n".join(self.literals) + b"\n")
        (d / "resolv.conf").write_text(f"nameserver {labs.DNS4}\n")
        # Node asks whom resolv.conf names.
        script = f'mount --bind {d}/resolv.conf /etc/resolv.conf; exec "$@"'
        self.lab.spawn("haraka", "gw", ["unshare", "--mount", "sh", "-ec", script, "sh", "node", HARAKA / "node_modules/haraka/bin/haraka",
                                        "-c", d], env={"NODE_ENV": "production"})
        labs.wait_for("Haraka listens", lambda: self.lab._alive("haraka") and self.listens(25), 60)

    def stop(self):
        self.lab.stop("haraka", signal.SIGTERM, 20)

    def pids(self):
        return {"haraka": self.of("haraka")}


SEALS = (Postern, PostfixRspamd)
ALL = (Postern, PostfixRspamd, OpenSmtpdRspamd, Haraka)
