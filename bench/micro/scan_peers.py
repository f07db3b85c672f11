# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""Who reads the same messages beside us: rspamd with its own rules, spamd with the rules of SpamAssassin. Both without the
network, on loopback, one worker, pinned to one CPU; what counts is the CPU time of that worker."""

import pathlib
import pwd
import shutil
import signal
import socket
import subprocess
import time

# Modules of rspamd that ask the DNS or other servers, or need a Redis.
RSPAMD_OFF = ("rbl surbl spf dkim dkim_signing dmarc arc asn mx_check fuzzy_check replies ratelimit greylist neural bimi dcc p0f "
              "url_redirector history_redis reputation rspamd_update phishing_feeds external_services antivirus hfilter "
              "once_received").split()


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def cpu_seconds(pid):
    """Of all threads."""
    return sum(int((t / "schedstat").read_text().split()[0]) for t in pathlib.Path(f"/proc/{pid}/task").iterdir()) / 1e9


def children(pid):
    out = []
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        out += [int(c) for c in (task / "children").read_text().split()]
    return out


class PeerError(Exception):
    pass


class Peer:
    program = ""

    def __init__(self, directory, cpu):
        self.dir = directory / self.program
        self.dir.mkdir()
        self.dir.chmod(0o755)
        self.cpu, self.port, self.process = cpu, free_port(), None

    @classmethod
    def installed(cls):
        return shutil.which(cls.program, path="/usr/sbin:/usr/bin") is not None

    def spawn(self, argv):
        self.process = subprocess.Popen(["taskset", "-c", str(self.cpu), *argv], stdin=subprocess.DEVNULL,
                                        stdout=open(self.dir / "out", "w"), stderr=subprocess.STDOUT)

    def wait(self, ready, seconds=600):
        for _ in range(seconds * 10):
            if self.process.poll() is not None:
                raise PeerError(f"{self.program} ended: {self.log()}")
            if ready():
                return
            time.sleep(0.1)
        raise PeerError(f"{self.program} is not ready: {self.log()}")

    def log(self):
        return (self.dir / "out").read_text(errors="replace")[-1500:]

    def worker(self):
        """The process that reads messages."""
        raise NotImplementedError

    def ask(self, s, message):
        """Sends a message; True: what came back is a judgement."""
        raise NotImplementedError

    def listens(self):
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1):
                return self.worker() is not None
        except OSError:
            return False

    def run(self, messages):
        """CPU seconds of the worker for these."""
        pid = self.worker()
        before = cpu_seconds(pid)
        for m in messages:
            with socket.create_connection(("127.0.0.1", self.port), 300) as s:
                if not self.ask(s, m):
                    raise PeerError(f"{self.program} did not judge a message: {self.log()}")
        if self.worker() != pid:
            raise PeerError(f"{self.program} has another worker now")
        return cpu_seconds(pid) - before

    def close(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def receive(s):
    out = []
    while part := s.recv(65536):
        out.append(part)
    return b"".join(out)


class Rspamd(Peer):
    program = "rspamd"

    def start(self):
        local = self.dir / "local.d"
        local.mkdir()
        (self.dir / "override.d").mkdir()
        (self.dir / "maps.d").mkdir()
        for m in RSPAMD_OFF:
            (local / f"{m}.conf").write_text("enabled = false;\n")
        (local / "options.inc").write_text('dns { nameserver = ["127.0.0.1:9"]; timeout = 0.1s; retransmits = 1; }\n'
                                           f'control_socket = "{self.dir}/control mode=0600";\n')
        (local / "logging.inc").write_text('level = "info";\n')
        (local / "worker-normal.inc").write_text(f'bind_socket = "127.0.0.1:{self.port}"; count = 1; task_timeout = 300s;\n')
        for kind in ("controller", "proxy"):
            (local / f"worker-{kind}.inc").write_text("enabled = false; count = -1;\n")
        self.spawn(["rspamd", "-f", "-i", "-c", "/etc/rspamd/rspamd.conf",
                    *(f"--var={k}={self.dir}" for k in ("DBDIR", "RUNDIR", "LOGDIR", "LOCAL_CONFDIR"))])

    def ready(self):
        # Its expressions are compiled by a helper after the start; before that they run one by one.
        self.wait(lambda: "rspamd_worker_hyperscan_ready" in self.rspamd_log() and self.listens())

    def rspamd_log(self):
        f = self.dir / "rspamd.log"
        return f.read_text(errors="replace") if f.exists() else ""

    def log(self):
        return super().log() + self.rspamd_log()[-1500:]

    def worker(self):
        for c in children(self.process.pid):
            if b"normal process" in pathlib.Path(f"/proc/{c}/cmdline").read_bytes():
                return c
        return None

    def ask(self, s, message):
        s.sendall(b"POST /checkv2 HTTP/1.1\r\nHost: a\r\nConnection: close\r\nIP: 198.51.100.7\r\nHelo: mail.example.com\r\n"
                  b"Hostname: mail.example.com\r\n"
                  b"From: sender@example.com\r\nRcpt: user@example.com\r\nContent-Length: %d\r\n\r\n" % len(message) + message)
        return b'"required_score"' in receive(s)


class Spamd(Peer):
    program = "spamd"

    def start(self):
        user = pwd.getpwnam("nobody").pw_name
        shutil.chown(self.dir, user)
        self.spawn(["spamd", "-L", "-x", "-u", user, "-H", str(self.dir), "-i", f"127.0.0.1:{self.port}", "-s", "stderr",
                    "--min-children=1", "--max-children=1", "--max-conn-per-child=1000000", "--cf=use_bayes 0"])

    def ready(self):
        self.wait(self.listens)

    def worker(self):
        c = children(self.process.pid)
        return c[0] if len(c) == 1 else None

    def ask(self, s, message):
        s.sendall(b"SYMBOLS SPAMC/1.5\r\nContent-length: %d\r\n\r\n" % len(message) + message)
        s.shutdown(socket.SHUT_WR)
        return b" 0 EX_OK" in receive(s)[:40]
