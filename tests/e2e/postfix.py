# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""Private Postfix instances inside a lab: own configuration, queue and data; the system's is not touched."""
import contextlib
import os
import pathlib
import pwd
import shutil
import signal
import subprocess

import lab as labs

BASE = """compatibility_level = 3.6
queue_directory = {d}/queue
data_directory = {d}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
inet_interfaces = all
inet_protocols = ipv4
mynetworks = 0.0.0.0/0
mydestination =
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_recipient_restrictions = permit_mynetworks, reject
smtpd_peername_lookup = no
smtp_host_lookup = native
message_size_limit = 20000000
default_process_limit = 100
maillog_file = {d}/maillog
maillog_file_prefixes = {d}
"""


class Postfix:
    def __init__(self, lab, ns, name, hostname, extra, services=()):
        """services: further lines of master.cf."""
        if not shutil.which("postfix"):
            labs.skip("postfix is not installed")
        self.lab, self.ns, self.dir = lab, ns, lab.dir / name
        self.maillog = self.dir / "maillog"
        os.chmod(lab.dir, 0o755)
        for sub in ("etc", "queue", "data"):
            (self.dir / sub).mkdir(parents=True)
        self.maillog.touch()
        user = pwd.getpwnam("postfix")
        os.chown(self.dir / "data", user.pw_uid, user.pw_gid)
        # Each once: of one that overrides another every process of Postfix's warns, postlogd too, into its own socket, and where
        # that is full it waits for itself.
        lines = (BASE.format(d=self.dir) + f"myhostname = {hostname}\n{extra}").splitlines()
        settings = {line.split("=", 1)[0].strip(): line for line in lines if line.strip()}
        (self.dir / "etc/main.cf").write_text("\n".join(settings.values()) + "\n")
        rows = []
        for line in pathlib.Path("/usr/share/postfix/master.cf.dist").read_text().splitlines():
            f = line.split()
            if line[:1] not in ("#", " ", "\t", "") and len(f) >= 8:
                f[4] = "n"  # no chroot
                line = " ".join(f)
            rows.append(line)
        (self.dir / "etc/master.cf").write_text("\n".join([*rows, *services]) + "\n")
        lab.in_ns(ns, "postfix", "-c", self.dir / "etc", "start", check=False, timeout=60)
        pidfile = self.dir / "queue/pid/master.pid"
        self.pid = int(labs.wait_for("Postfix", lambda: pidfile.exists() and pidfile.read_text().strip(), 20))
        labs.wait_for("Postfix listens", lambda: lab.in_ns(
            ns, "ss", "-Hltn", "sport", "=", ":25", check=False).stdout.strip())

    def queue_empty(self):
        return not any(p.is_file() for q in ("maildrop", "incoming", "active", "deferred")
                       for p in (self.dir / "queue" / q).rglob("*"))

    def flush(self):
        self.lab.in_ns(self.ns, "postqueue", "-c", self.dir / "etc", "-f", check=False)

    def stop(self):
        try:
            self.lab.in_ns(self.ns, "postfix", "-c", self.dir / "etc", "stop", check=False, timeout=30)
        except subprocess.TimeoutExpired:
            # Its own processes: the namespace is the lab's. What went wrong before is what the test fails with.
            for pid in labs.run("ip", "netns", "pids", self.lab.ns[self.ns], check=False).stdout.split():
                with contextlib.suppress(OSError):
                    if "postfix" in pathlib.Path(f"/proc/{pid}/cmdline").read_text(errors="replace"):
                        os.kill(int(pid), signal.SIGKILL)
