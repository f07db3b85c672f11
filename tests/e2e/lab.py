# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""A mail network in network namespaces: client | wire | gateway | next hop, with DNS behind.

    client ns                gateway ns                      next-hop ns
    192.0.2.10   ── veth ──  DPDK port (192.0.2.25)          198.51.100.10 SMTP
    2001:db8:1::10           kernel 198.51.100.25 ── veth ── 198.51.100.53 NSD

With impair=... a fourth namespace stands between client and gateway, in which tests/tools/impair
forwards frames and loses, reorders and doubles them. driver="tap" puts net_tap in place of veth and
net_af_packet, always with that fourth namespace: the device is moved there.

Nothing outside the namespaces that this module makes is ever addressed. Every wait is bounded.
"""
import contextlib
import fcntl
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(os.environ.get("POSTERN_ROOT", pathlib.Path(__file__).resolve().parents[2]))

CLIENT4, CLIENT6 = "192.0.2.10", "2001:db8:1::10"
GATEWAY4, GATEWAY6 = "192.0.2.25", "2001:db8:1::25"
EGRESS4 = "198.51.100.25"
NEXTHOP4, DNS4 = "198.51.100.10", "198.51.100.53"

SKIP = 77


def skip(why):
    print(f"skipped: {why}")
    sys.exit(SKIP)


def need_root():
    if os.geteuid() != 0:
        skip("needs root for network namespaces")


def free_hugepages():
    text = pathlib.Path("/proc/meminfo").read_text()
    return int(text.split("HugePages_Free:", 1)[1].split()[0]) if "HugePages_Free:" in text else 0


def build_dir():
    """Where the binaries lie: POSTERN_BUILD, which meson sets for the tests."""
    return pathlib.Path(os.environ.get("POSTERN_BUILD", ROOT / "build" / "release"))


def run(*args, check=True, timeout=60, **kw):
    r = subprocess.run([str(a) for a in args], timeout=timeout, text=True,
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **kw)
    if check and r.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, args))}: exit {r.returncode}\n{r.stdout}")
    return r


# Tests run beside each other, and beside compilers: a wait ends when what it is for has come, and its bound is against
# hanging. It is this many times what a machine without other work would ever need.
PATIENCE = 3


def wait_for(what, test, seconds=20.0, every=0.05):
    seconds *= PATIENCE
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        v = test()
        if v:
            return v
        time.sleep(every)
    raise TimeoutError(f"{what}: not within {seconds} s")


SLOTS = ("", *(f".{i}" for i in range(2, 10)))


class Lab:
    """Use as a context manager. `name` is that of its namespaces and interfaces; at most 6 characters."""
    # Has each thread of the dataplane a CPU of its own? So a bench wants it. Beside other labs they would all wait for the
    # same one while another is idle.
    pinned = False

    def __init__(self, name="pst", impair=None, workdir=None, workers=1, arena_mb=96, seed=1,
                 driver="af_packet", mtu=1500, framesz=2048):
        self.name = name
        self.driver = driver
        self.mtu = mtu
        self.framesz = framesz
        self.impair = impair or (["--loss", "0"] if driver == "tap" else None)
        self.workers = workers
        self.arena_mb = arena_mb
        self.seed = seed
        self.dir = pathlib.Path(workdir or tempfile.mkdtemp(prefix=f"{name}-lab-"))
        self.dir.mkdir(parents=True, exist_ok=True)
        self.procs = {}
        self.ns = {k: f"{name}-{k}" for k in ("client", "wire", "gw", "hop")}
        self.slots = SLOTS if workdir is None else SLOTS[:1]
        self.slot = ""
        self.config_extra = ""
        self.hugepages = False
        self.lock = None

    # ---- network -------------------------------------------------------------------------
    def up(self):
        need_root()
        self._alone()
        self.down_network()
        n = self.name
        for k, ns in self.ns.items():
            if k == "wire" and not self.impair:
                continue
            run("ip", "netns", "add", ns)
            run("ip", "-n", ns, "link", "set", "lo", "up")
            run("ip", "netns", "exec", ns, "sysctl", "-qw", "net.ipv6.conf.all.accept_dad=0",
                "net.ipv6.conf.default.accept_dad=0", check=False)
        if self.impair:
            self.sysctl("wire", "net.ipv6.conf.default.disable_ipv6=1")
            self._veth("client", f"{n}c0", "wire", f"{n}w0")
            if self.driver != "tap":
                self._veth("wire", f"{n}w1", "gw", f"{n}g0")
        else:
            self._veth("client", f"{n}c0", "gw", f"{n}g0")
        self._veth("gw", f"{n}g1", "hop", f"{n}h0")
        # The kernel must not speak on the gateway's wire: DPDK owns it.
        if self.driver != "tap":
            self.sysctl("gw", f"net.ipv6.conf.{n}g0.disable_ipv6=1")
        self.addr("client", f"{n}c0", f"{CLIENT4}/24", f"{CLIENT6}/64")
        self.addr("gw", f"{n}g1", f"{EGRESS4}/24")
        self.addr("hop", f"{n}h0", f"{NEXTHOP4}/24", f"{DNS4}/24")
        if self.impair and self.driver != "tap":
            self.start_impair()
        return self

    def _alone(self):
        """Namespaces have names of the whole machine: the first slot of this name that is free is taken, so that labs of
        one name stand side by side, and what one that was killed has left is removed by the next in its slot. Interfaces
        are in namespaces, and keep their names."""
        def taken():
            for slot in self.slots:
                lock = open(pathlib.Path(tempfile.gettempdir()) / f"postern-lab-{self.name}{slot}.lock", "w")
                with contextlib.suppress(BlockingIOError):
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    self.lock, self.slot = lock, slot
                    return True
                lock.close()
            return False
        wait_for(f"the lab {self.name}", taken, 80, 0.5)
        self.ns = {k: f"{ns}{self.slot}" for k, ns in self.ns.items()}

    def start_impair(self, *options):
        """Again, with other faults, when it runs already."""
        n = self.name
        if options:
            self.impair = list(options)
        self.stop("impair")
        for i in ("w0", "w1"):
            run("ip", "-n", self.ns["wire"], "link", "set", f"{n}{i}", "up", "promisc", "on")
        before = self.log("impair").count("impair: ready")
        self.spawn("impair", "wire", [build_dir() / "tests/tools/impair", "--seed", self.seed,
                                      *self.impair, f"{n}w0", f"{n}w1"])
        wait_for("impair", lambda: self._alive("impair") and
                 self.log("impair").count("impair: ready") > before)

    def sysctl(self, ns, *settings, check=False):
        run("ip", "netns", "exec", self.ns[ns], "sysctl", "-qw", *settings, check=check)

    def _veth(self, ns_a, a, ns_b, b):
        run("ip", "link", "add", a, "netns", self.ns[ns_a], "type", "veth",
            "peer", "name", b, "netns", self.ns[ns_b])
        for ns, i in ((ns_a, a), (ns_b, b)):
            run("ip", "netns", "exec", self.ns[ns], "ethtool", "-K", i, "tx", "off", "tso", "off",
                "gso", "off", "gro", "off", check=False)
            run("ip", "-n", self.ns[ns], "link", "set", i, "mtu", self.mtu, "up")

    def addr(self, ns, dev, *addresses):
        for a in addresses:
            extra = ["nodad"] if ":" in a else []
            run("ip", "-n", self.ns[ns], "addr", "add", a, "dev", dev, *extra)

    def down_network(self):
        """With what is still at work there: a test that was killed has ended nothing."""
        for ns in self.ns.values():
            for pid in run("ip", "netns", "pids", ns, check=False).stdout.split():
                if pid.isdigit() and int(pid) != os.getpid():
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(int(pid), signal.SIGKILL)
            run("ip", "netns", "del", ns, check=False)

    # ---- processes -----------------------------------------------------------------------
    def spawn(self, name, ns, argv, env=None, stdin=None):
        log = open(self.dir / f"{name}.log", "ab")
        p = subprocess.Popen(["ip", "netns", "exec", self.ns[ns], *map(str, argv)],
                             stdout=log, stderr=log, stdin=stdin or subprocess.DEVNULL,
                             env={**os.environ, **(env or {})}, start_new_session=True,
                             cwd=self.dir)
        log.close()
        self.procs[name] = p
        return p

    def stop(self, name, sig=signal.SIGTERM, timeout=10):
        p = self.procs.pop(name, None)
        if not p:
            return
        if p.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(p.pid, sig)
            try:
                p.wait(timeout)
            except subprocess.TimeoutExpired:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(p.pid, signal.SIGKILL)
                p.wait(timeout)

    def log(self, name):
        with contextlib.suppress(FileNotFoundError):
            return (self.dir / f"{name}.log").read_text(errors="replace")
        return ""

    def in_ns(self, ns, *argv, **kw):
        return run("ip", "netns", "exec", self.ns[ns], *argv, **kw)

    # ---- DNS -----------------------------------------------------------------------------
    def start_dns(self, zones):
        """zones: {"example.net": "text of the zone file without SOA and NS"}."""
        d = self.dir / "nsd"
        d.mkdir(exist_ok=True)
        zones = {".": "", **zones}
        conf = [f'server:\n  ip-address: {DNS4}\n  username: ""\n  chroot: ""\n'
                f'  zonesdir: "{d}"\n  database: ""\n  pidfile: "{d}/nsd.pid"\n'
                f'  zonelistfile: "{d}/zone.list"\n  xfrdfile: "{d}/xfrd.state"\n  xfrdir: "{d}"\n'
                f'  server-count: 1\n  hide-version: yes\n'
                f'remote-control:\n  control-enable: no\n']
        for zone, text in zones.items():
            f = d / f"{zone.strip('.') or 'root'}.zone"
            origin = zone if zone.endswith(".") else zone + "."
            f.write_text(f"$ORIGIN {origin}\n$TTL 60\n"
                         f"@ IN SOA ns.invalid. hostmaster.invalid. 1 3600 600 86400 5\n"
                         f"@ IN NS ns.invalid.\n{text}\n")
            conf.append(f'zone:\n  name: "{zone}"\n  zonefile: "{f}"\n')
        (d / "nsd.conf").write_text("".join(conf))
        self.spawn("nsd", "hop", ["nsd", "-d", "-c", d / "nsd.conf"])
        wait_for("NSD answers", lambda: "status:" in self.in_ns(
            "hop", "dig", "+time=1", "+tries=1", f"@{DNS4}", ".", "SOA", check=False).stdout)

    # ---- Postern -------------------------------------------------------------------------
    def write_config(self, domains=("example.com",), verify="callout", hosts=None, extra="", route_extra="",
                     policy='allow = ["0.0.0.0/0", "::/0"]'):
        """policy: labs load from few addresses, so none is limited as a source unless a test says so."""
        hosts = hosts or [f"{NEXTHOP4}:25"]
        q = lambda xs: "[" + ", ".join(f'"{x}"' for x in xs) + "]"
        rules = self.dir / "demo.cf"
        if not rules.exists():
            rules.write_text("full     DEMO_LOTTERY  /you have won the lottery/i\n"
                             "describe DEMO_LOTTERY  A prize nobody entered for\n"
                             "score    DEMO_LOTTERY  6.5\n"
                             "full     DEMO_GREETING /greetings from the demo/i\n"
                             "describe DEMO_GREETING The text of the demonstration message\n"
                             "score    DEMO_GREETING 0.5\n")
        self.conf = self.dir / "postern.conf"
        self.conf.write_text(f'''hostname = "mx.example.com"
dataplane {{ socket = "{self.dir}/dataplane.sock" }}
listener "public" {{
	port = 0
	address = ["{GATEWAY4}/24", "{GATEWAY6}/64"]
	smtp-port = 25
}}
route "office" {{
	domains = {q(domains)}
	hosts = {q(hosts)}
	verify = "{verify}"
	{route_extra}
}}
dns {{ forwarders = ["{DNS4}"]; timeout = 5s }}
rules {{ files = ["{rules}"] }}
policy {{ allow-private-peer = true; {policy} }}
limits {{ max-message = {self.arena_mb // 8}m }}
trace {{ file = "{self.dir}/trace.jsonl" }}
api {{ socket = "{self.dir}/control.sock" }}
{extra or self.config_extra}
''')
        return self.conf

    def vdev(self, **more):
        n = self.name
        if self.driver == "tap":
            args = {"iface": f"{n}t0", **more}
            return "net_tap0," + ",".join(f"{k}={v}" for k, v in args.items())
        args = {"iface": f"{n}g0", "qpairs": self.workers, "framesz": self.framesz,
                "blocksz": 65536, "framecnt": 1024, **more}
        return "net_af_packet0," + ",".join(f"{k}={v}" for k, v in args.items())

    def start_dataplane(self, extra=(), vdev=None, env=None, role="gateway", more=(), roles=None, vdevs=(), telemetry=False):
        """more: further devices, (vdev, role) each; or vdevs and roles apart, the roles with their ports."""
        cpus = sorted(os.sched_getaffinity(0))
        anywhere = "({})".format(",".join(map(str, cpus)))
        lcores = ",".join(f"{i}@{cpus[i % len(cpus)] if self.pinned else anywhere}" for i in range(self.workers + 1))
        memory = ["--in-memory"] if self.hugepages else [
            "--no-huge", "--no-shconf", "--file-prefix", f"{self.name}{self.slot}-dp", "-m", "512"]
        self.spawn("dataplane", "gw", [
            build_dir() / "dataplane/postern-dataplane", "--lcores", lcores, *memory, "--no-pci",
            "--telemetry" if telemetry else "--no-telemetry", "--log-level", "lib.eal:warning",
            f"--vdev={vdev or self.vdev()}", *(f"--vdev={v}" for v, _ in more), *(f"--vdev={v}" for v in vdevs),
            "--", *(f"--port={r}" for r in roles or (f"0={role}", *(f"{i + 1}={r}" for i, (_, r) in enumerate(more)))),
            "--socket", self.dir / "dataplane.sock",
            "--arena-mb", self.arena_mb, "--idle-sleep-us", "50", *extra], env=env)
        wait_for("dataplane's socket", lambda: self._alive("dataplane") and
                 "ready" in self.log("dataplane"), 60)
        if self.driver == "tap":
            self._take_tap()

    def _take_tap(self):
        """The kernel's end of net_tap goes to the wire, with another MAC than DPDK's end."""
        n, gw, wire = self.name, self.ns["gw"], self.ns["wire"]
        run("ip", "-n", gw, "link", "set", f"{n}t0", "down")
        run("ip", "-n", gw, "link", "set", f"{n}t0", "netns", wire, "name", f"{n}w1")
        run("ip", "-n", wire, "link", "set", f"{n}w1", "address", "02:00:5e:00:53:01")
        run("ip", "-n", wire, "link", "set", f"{n}w1", "mtu", self.mtu)
        self.start_impair()

    def start_control(self, extra=()):
        self.spawn("control", "gw", [build_dir() / "control/postern-control",
                                     "--config", self.conf, *extra])

    def _alive(self, name):
        p = self.procs.get(name)
        if p and p.poll() is not None:
            raise RuntimeError(f"{name} ended with {p.returncode}:\n{self.log(name)[-3000:]}")
        return True

    def ctl(self, *args, check=True):
        return run(build_dir() / "control/cli/posternctl", "--socket", self.dir / "control.sock",
                   *args, check=check)

    def status(self):
        r = self.ctl("show", "status", "--json", check=False)
        with contextlib.suppress(ValueError):
            return json.loads(r.stdout)
        return {}

    def wait_ready(self, seconds=30):
        """Control is linked to the dataplane and its configuration is in force."""
        def ready():
            self._alive("dataplane")
            self._alive("control")
            return self.status().get("ready") is True
        wait_for("gateway is ready", ready, seconds)

    def stats(self):
        return json.loads(self.ctl("show", "stats", "--json").stdout)

    def counters(self):
        """Name -> value, all workers together."""
        out = {}
        for c in self.stats()["dataplane"]:
            out[c["name"]] = out.get(c["name"], 0) + c["value"]
        return out

    def impair_counts(self):
        """What impair did until it was stopped: {"lost": [a to b, b to a], ...}."""
        self.stop("impair")
        lines = [x for x in self.log("impair").splitlines() if x.startswith("impair: a>b")
                 or x.startswith("impair: b>a")][-2:]
        rows = [dict(w.split("=") for w in x.split() if "=" in w) for x in lines]
        return {k: [int(r[k]) for r in rows] for k in rows[0]}

    def trace(self):
        out = []
        with contextlib.suppress(FileNotFoundError):
            for line in (self.dir / "trace.jsonl").read_text().splitlines():
                with contextlib.suppress(ValueError):
                    out.append(json.loads(line))
        return out

    # ---- next hops -----------------------------------------------------------------------
    def start_sink(self, *args):
        """The scripted next hop of tests/e2e/nexthop.py; messages land in <dir>/inbox."""
        (self.dir / "inbox").mkdir(exist_ok=True)
        self.spawn("nexthop", "hop", [sys.executable, ROOT / "tests/e2e/nexthop.py", "--listen",
                                      f"{NEXTHOP4}:25", "--inbox", self.dir / "inbox", *args])
        wait_for("next hop listens", lambda: self._alive("nexthop") and self.in_ns(
            "hop", "ss", "-Hltn", "sport", "=", ":25", check=False).stdout.strip())

    def inbox(self):
        return sorted((self.dir / "inbox").glob("*.eml"))

    def close(self):
        for name in reversed(list(self.procs)):
            self.stop(name)
        self.down_network()
        if self.lock:
            self.lock.close()

    def __enter__(self):
        try:
            return self.up()
        except BaseException:
            self.close()
            raise

    def __exit__(self, kind, value, tb):
        if kind is not None and kind is not SystemExit:
            for name in ("dataplane", "control", "nexthop", "impair"):
                text = self.log(name)
                if text:
                    print(f"---- {name}.log (end)\n{text[-3000:]}", file=sys.stderr)
        self.close()
        if kind is None and not os.environ.get("POSTERN_KEEP_LAB"):
            shutil.rmtree(self.dir, ignore_errors=True)


def smtp_lines(sock_file):
    """One reply: (code, [lines])."""
    lines = []
    while True:
        line = sock_file.readline()
        if not line:
            return 0, lines
        lines.append(line.decode("latin-1").rstrip("\r\n"))
        if line[3:4] != b"-":
            return int(line[:3]), lines


@contextlib.contextmanager
def in_netns(name):
    """This thread's sockets are made in the namespace until the block ends."""
    import ctypes
    libc = ctypes.CDLL(None, use_errno=True)
    here = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    there = os.open(f"/run/netns/{name}", os.O_RDONLY)
    try:
        if libc.setns(there, 0x40000000) != 0:
            raise OSError(ctypes.get_errno(), "setns")
        yield
    finally:
        libc.setns(here, 0x40000000)
        os.close(here)
        os.close(there)


class Smtp:
    """A plain client that sees every reply, for tests that must send what no MTA would."""

    def __init__(self, lab, address=GATEWAY4, port=25, timeout=30, banner=True):
        with in_netns(lab.ns["client"]):
            self.sock = socket.create_connection((address, port), timeout)
        self.file = self.sock.makefile("rb")
        self.banner = self.reply() if banner else None

    def reply(self):
        return smtp_lines(self.file)

    def send(self, data):
        self.sock.sendall(data if isinstance(data, bytes) else data.encode())

    def cmd(self, line):
        self.send(line + "\r\n")
        return self.reply()

    def close(self):
        self.file.close()
        self.sock.close()
