#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""The Debian package: built, installed over a root of its own (an overlay of this machine's, which has what it depends on),
run as its units say under a service manager's socket, a message sent through it, removed, purged. Nothing of it stays, and
units, user and directories are what systemd's own tools take."""
import contextlib
import json
import os
import pathlib
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import lab as labs  # noqa: E402

UNITS = ("postern-dataplane", "postern-control")


class Root:
    """The machine's file system with a layer of ours over it."""

    def __init__(self):
        self.base = pathlib.Path(tempfile.mkdtemp(prefix="postern-pkg-", dir="/dev/shm"))
        self.at = self.base / "root"
        for d in ("upper", "work", "root"):
            (self.base / d).mkdir()
        labs.run("mount", "-t", "overlay", "overlay", "-o",
                 f"lowerdir=/,upperdir={self.base}/upper,workdir={self.base}/work", self.at)
        self.mounts = [self.at]
        for d, kind in (("proc", "proc"), ("dev", None), ("run", "tmpfs"), ("tmp", "tmpfs"), ("sys", None)):
            if kind:
                labs.run("mount", "-t", kind, kind, self.at / d)
            else:
                labs.run("mount", "--bind", f"/{d}", self.at / d)
            self.mounts.append(self.at / d)
        (self.at / "run/lock").mkdir()
        (self.at / "tmp").chmod(0o1777)

    def run(self, *args, check=True):
        return labs.run("chroot", self.at, *args, check=check)

    def close(self):
        for m in reversed(self.mounts):
            labs.run("umount", "-l", m, check=False)
        shutil.rmtree(self.base, ignore_errors=True)

    def files(self):
        """Files and directories of the layer, but what dpkg itself keeps. Whiteouts (character devices) are what was
        deleted, and a directory that the machine has too is there for what is in it."""
        upper = self.base / "upper"
        out = set()
        for f in upper.rglob("*"):
            name = "/" + str(f.relative_to(upper))
            if f.is_char_device() or f.is_dir() and not f.is_symlink() and os.path.isdir(name):
                continue
            if not name.startswith(("/var/lib/dpkg/", "/var/cache/", "/etc/ld.so.cache")):
                out.add(name)
        return out


class Manager:
    """What a process says to its service manager."""

    def __init__(self, root, name):
        self.path = f"/run/notify-{name}"
        pathlib.Path(str(root.at) + self.path).unlink(missing_ok=True)
        self.s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.s.bind(str(root.at) + self.path)
        os.chmod(str(root.at) + self.path, 0o777)
        self.heard = []

    def hear(self):
        with contextlib.suppress(BlockingIOError):
            while True:
                self.heard += self.s.recv(4096, socket.MSG_DONTWAIT).decode().splitlines()
        return self.heard


def unit(root, name):
    """key -> values of its [Service]."""
    out = {}
    for line in (root.at / f"usr/lib/systemd/system/{name}.service").read_text().splitlines():
        if "=" in line and not line.startswith("#"):
            key, value = line.split("=", 1)
            out.setdefault(key, []).append(value)
    return out


def start(root, lab, name, ns):
    """As the unit says: environment file, arguments, socket. What systemd's sandbox adds is not here."""
    u = unit(root, name)
    env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "WATCHDOG_USEC": str(int(u["WatchdogSec"][0]) * 1000000)}
    values = {}
    for f in u.get("EnvironmentFile", []):
        for line in (root.at / f.lstrip("/")).read_text().splitlines():
            if line and not line.startswith("#"):
                key, value = line.split("=", 1)
                values[key] = shlex.split(value)[0] if value else ""
    args = []
    for word in shlex.split(u["ExecStart"][0]):
        args += shlex.split(values[word[1:]]) if word.startswith("$") else [word]
    manager = Manager(root, name)
    env["NOTIFY_SOCKET"] = manager.path
    log = open(lab.dir / f"{name}.log", "wb")
    p = subprocess.Popen(["ip", "netns", "exec", ns, "chroot", str(root.at), *args], env=env, stdout=log,
                         stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)

    def ready():
        assert p.poll() is None, (lab.dir / f"{name}.log").read_text(errors="replace")[-3000:]
        return "READY=1" in manager.hear()
    labs.wait_for(f"{name} says READY=1", ready, 60)
    labs.wait_for(f"{name} feeds its watchdog", lambda: "WATCHDOG=1" in manager.hear(), 10)
    return p, manager


def stop(name, p, manager):
    p.send_signal(signal.SIGTERM)
    assert p.wait(30) == 0, f"{name} ended with {p.returncode}"
    assert "STOPPING=1" in manager.hear(), manager.heard


def threads(pid):
    """Of each thread: name -> value in its /proc/PID/status, which is the machine's."""
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        yield dict(line.split(":\t", 1) for line in (task / "status").read_text().splitlines())


def without_privileges(root, control, dataplane):
    """control is its user and nothing more; the dataplane stays root, of whom nothing is left but the right to end a
    control that hangs."""
    uid = root.run("id", "-u", "postern").stdout.strip()
    gid = root.run("id", "-g", "postern").stdout.strip()
    assert uid not in ("", "0"), uid
    for t in threads(control.pid):
        assert t["Uid"].split() == [uid] * 4 and t["Gid"].split() == [gid] * 4, (t["Name"], t["Uid"], t["Gid"])
        assert set(t["Groups"].split()) <= {gid}, (t["Name"], t["Groups"])
        assert int(t["CapEff"], 16) == int(t["CapPrm"], 16) == 0, (t["Name"], t["CapEff"], t["CapPrm"])
        assert t["NoNewPrivs"] == "1" and t["Seccomp"] == "2", (t["Name"], t["NoNewPrivs"], t["Seccomp"])
    for t in threads(dataplane.pid):
        assert int(t["CapEff"], 16) == int(t["CapPrm"], 16) == 1 << 5, (t["Name"], t["CapEff"], t["CapPrm"])  # CAP_KILL
        assert t["NoNewPrivs"] == "1", (t["Name"], t["NoNewPrivs"])


def rotated(root, control):
    """By logrotate as its file says, but for the signal, which goes by way of systemd."""
    log = root.at / "var/log/postern"
    root.run("logrotate", "--force", "--state", "/tmp/logrotate.state", "/etc/logrotate.d/postern")
    old, = log.glob("trace.jsonl-*")
    new = (log / "trace.jsonl").stat()
    assert "b@example.com" in old.read_text() and new.st_size == 0, (old, new)
    assert new.st_mode & 0o7777 == 0o640 and new.st_uid == (log.stat().st_uid), new
    control.send_signal(signal.SIGHUP)

    def opened():
        """Who reads it for the index has it open as well, but not to append."""
        fds = pathlib.Path(f"/proc/{control.pid}/fd")
        return {f.stat().st_ino for f in fds.iterdir() if os.readlink(f).find("trace.jsonl") >= 0 and
                int(re.search(r"flags:\s*(\d+)", (fds.parent / "fdinfo" / f.name).read_text())[1], 8) & os.O_APPEND} == {new.st_ino}
    labs.wait_for("control writes into the new one", opened, 10)


def configure(root, lab):
    n = lab.name
    default = root.at / "etc/default/postern"
    text = default.read_text()
    text = re.sub(r'^EAL_ARGS=.*$', f'EAL_ARGS="--lcores 0@0,1@1 --no-huge --no-shconf --no-pci --file-prefix {n} -m 512 '
                  f'--vdev=net_af_packet0,iface={n}g0,qpairs=1"', text, flags=re.M)
    text = re.sub(r'^DATAPLANE_ARGS=.*$', 'DATAPLANE_ARGS="--port 0=gateway --arena-mb 96 --idle-sleep-us 100"', text, flags=re.M)
    default.write_text(text)
    example = (root.at / "usr/share/doc/postern/examples/postern.conf").read_text()
    assert 'hostname = "mx.example.net"' in example
    (root.at / "etc/postern/postern.conf").write_text(f"""hostname = "mx.example.net"
listener "public" {{
	port = 0
	address = ["{labs.GATEWAY4}/24"]
}}
route "office" {{
	domains = ["example.com"]
	hosts = ["{labs.NEXTHOP4}"]
	verify = "none"
}}
dns {{
	forwarders = ["{labs.DNS4}"]
}}
limits {{
	max-message = 5mb
}}
""")
    os.chown(root.at / "etc/postern/postern.conf", 0, (root.at / "etc/postern").stat().st_gid)
    os.chmod(root.at / "etc/postern/postern.conf", 0o640)


def units_are_sound(root):
    for name in UNITS:
        r = root.run("systemd-analyze", "verify", "--man=no", f"/usr/lib/systemd/system/{name}.service", check=False)
        # Units of the machine itself may have their faults; of ours none is spoken of.
        bad = [line for line in r.stdout.splitlines() if name in line and "Failed to create" not in line]
        assert not bad, bad
        u = unit(root, name)
        assert u["Type"] == ["notify"] and u["NoNewPrivileges"] == ["yes"] and u["ProtectSystem"] == ["strict"], u
        assert (root.at / u["ExecStart"][0].split()[0].lstrip("/")).exists()
    said = root.run("logrotate", "--debug", "/etc/logrotate.d/postern").stdout
    assert "error" not in said.lower(), said


def build(out):
    """Of the build under test, if it was set up as a package's, as ./check does; else of one more."""
    options = subprocess.run(["meson", "introspect", "--buildoptions", labs.build_dir()], check=True, stdout=subprocess.PIPE).stdout
    prefix = next(o["value"] for o in json.loads(options) if o["name"] == "prefix")
    env = {**os.environ, **({"POSTERN_DEB_BUILT": str(labs.build_dir())} if prefix == "/usr" else {})}
    start = time.monotonic()
    deb = pathlib.Path(labs.run(labs.ROOT / "packaging/build-deb", out, timeout=1100, env=env).stdout.splitlines()[-1])
    print(f"{deb.name}: {deb.stat().st_size >> 10} KiB, built in {time.monotonic() - start:.0f} s")
    return deb


def main():
    labs.need_root()
    out = pathlib.Path(tempfile.mkdtemp(prefix="postern-deb-"))
    deb = build(out)
    info = labs.run("dpkg-deb", "--info", deb).stdout
    for library in ("librte-eal", "libhyperscan5", "libssl3", "libspf2-2", "libedit2"):
        assert library in info, (library, info)
    root = Root()
    try:
        before = root.files()
        shutil.copy(deb, root.at / "tmp/postern.deb")
        said = root.run("dpkg", "--install", "/tmp/postern.deb").stdout
        assert "copy /usr/share/doc/postern/examples/postern.conf" in said, said
        assert root.run("id", "-un", "postern").stdout.strip() == "postern"
        for d, mode in (("run/postern", 0o1770), ("var/lib/postern", 0o750), ("var/log/postern", 0o750), ("etc/postern", 0o750)):
            assert (root.at / d).stat().st_mode & 0o7777 == mode, d
        assert "hostname" in root.run("man", "-P", "cat", "-l", "/usr/share/man/man5/postern.conf.5.gz").stdout
        assert "rawbody" in root.run("man", "-P", "cat", "-l", "/usr/share/man/man5/postern-rules.5.gz").stdout
        assert (root.at / "usr/share/doc/postern/schemas/postern.trace.1.json").exists()
        units_are_sound(root)
        assert "complete -F _posternctl posternctl" in (root.at / "usr/share/bash-completion/completions/posternctl").read_text()
        assert (root.at / "usr/share/zsh/vendor-completions/_posternctl").read_text().startswith("#compdef posternctl\n")
        root.run("bash", "-c", ". /usr/share/bash-completion/completions/posternctl; COMP_WORDS=(posternctl show dro); COMP_CWORD=2; "
                 "_posternctl; [ \"${COMPREPLY[*]}\" = drops ]")
        with labs.Lab("pspk") as lab:
            configure(root, lab)
            print(root.run("posternctl", "config", "check").stdout.strip())
            lab.start_dns({"example.net": f'@ IN TXT "v=spf1 ip4:{labs.CLIENT4} -all"\n'})
            lab.start_sink()
            d = start(root, lab, "postern-dataplane", lab.ns["gw"])
            c = start(root, lab, "postern-control", lab.ns["gw"])
            labs.wait_for("READY", lambda: root.run("posternctl", "show", "status", check=False).stdout.split("\n")[0].endswith("  READY"), 20)
            without_privileges(root, c[0], d[0])
            labs.run("ip", "netns", "exec", lab.ns["client"], "swaks", "--server", labs.GATEWAY4, "--from", "a@example.net",
                     "--to", "b@example.com", "--helo", "client.example.net")
            got = labs.wait_for("the message", lab.inbox, 10)
            text = got[0].read_text()
            assert "spf=pass" in text and "by mx.example.net (Postern)" in text, text[:2000]
            trace = (root.at / "var/log/postern/trace.jsonl")
            labs.wait_for("its record", lambda: trace.exists() and "b@example.com" in trace.read_text(), 10)
            rotated(root, c[0])
            # Killed by the manager's rules: a new control is ready again, and says so.
            c[0].kill()
            c[0].wait()
            c = start(root, lab, "postern-control", lab.ns["gw"])
            stop("postern-control", *c)
            stop("postern-dataplane", *d)
        root.run("dpkg", "--remove", "postern")
        assert (root.at / "etc/default/postern").exists() and not (root.at / "usr/sbin/postern-control").exists()
        root.run("dpkg", "--purge", "postern")
        # Its user stays, as files of that owner may; dpkg and systemd-sysusers write down what they did.
        kept = tuple(f"/etc/{f}{end}" for f in ("passwd", "group", "shadow", "gshadow") for end in ("", "-"))
        left = root.files() - before - {*kept, "/etc/.pwd.lock", "/var/log/dpkg.log"}
        left |= {f"/run/{f.name}" for f in (root.at / "run").glob("postern*")}
        assert not left, sorted(left)
    finally:
        root.close()
        shutil.rmtree(out, ignore_errors=True)
    print("ok")


if __name__ == "__main__":
    main()
