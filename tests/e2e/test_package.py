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
import pwd
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
import interop  # noqa: E402
import lab as labs  # noqa: E402
import postfix  # noqa: E402

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
        return labs.run("chroot", self.at, *args, check=check, timeout=240)

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


# What a server has and a lab has not is left out, or is a virtual interface.
HARDWARE = ("sysctl -w vm.nr_hugepages=", "modprobe vfio-pci && dpdk-devbind.py ")
HOP = "example-com.mail.protection.outlook.com"


def commands(source):
    """Those of docs/deploy.md."""
    text = (source / "docs/deploy.md").read_text()
    first = re.search(r"(?:^    \S.*\n)+", text, re.M).group()
    out = [line.strip() for line in first.splitlines()]
    assert len(out) == 10, out
    return out


def edit(root, lab):
    """What an operator writes into the example: addresses of the lab, and where its DNS is."""
    conf = root.at / "etc/postern/postern.conf"
    text = conf.read_text()
    assert f'hosts = ["{HOP}"]' in text and 'provider = "exchange-online"' in text
    for old, new in (('"192.0.2.25/24", "2001:db8::25/64"', f'"{labs.GATEWAY4}/24"'), ('source-v4 = "192.0.2.26"', f'source-v4 = "{labs.EGRESS4}"')):
        assert text.count(old) == 1, (old, text)
        text = text.replace(old, new)
    conf.write_text(text + f'dns {{\n\tforwarders = ["{labs.DNS4}"]\n}}\nlimits {{\n\tmax-message = 5mb\n}}\n')


def device(root, lab):
    """The lab's interface in place of the NIC of docs/deploy.md."""
    n = lab.name
    default = root.at / "etc/default/postern"
    text = default.read_text()
    assert '\nEAL_ARGS="-l 0-1 --in-memory --allow 0000:3b:00.0"\n' in text, text
    text = re.sub(r'^EAL_ARGS=.*$', f'EAL_ARGS="--lcores 0@0,1@1 --no-huge --no-shconf --no-pci --file-prefix {n} -m 512 '
                  f'--vdev=net_af_packet0,iface={n}g0,qpairs=1"', text, flags=re.M)
    text = re.sub(r'^DATAPLANE_ARGS=.*$', 'DATAPLANE_ARGS="--port 0=gateway --arena-mb 96 --idle-sleep-us 100"', text, flags=re.M)
    default.write_text(text)


def deploy(root, lab, lines):
    """docs/deploy.md behind its first line, as it stands there; then the gateway runs. Its two processes."""
    started, done = [], 0
    for line in lines:
        if line == "editor /etc/postern/postern.conf":
            edit(root, lab)
        elif line == "systemctl enable --now postern-dataplane postern-control":
            device(root, lab)
            started = [start(root, lab, name, lab.ns["gw"]) for name in UNITS]
            labs.wait_for("READY", lambda: root.run("posternctl", "show", "status", check=False).returncode == 0, 20)
        elif not line.startswith(HARDWARE):
            said = root.run("sh", "-c", f"cd /tmp && {line}").stdout
            print(f"# {line}\n{said}", end="")
            done += 1
        if line == "posternctl show status":
            assert said.split("\n")[0].endswith("  READY") and "listener    public: " in said, said
    assert done == 5 and len(started) == 2, (done, started)
    return started


def start_hop(lab, pki):
    """Of Microsoft's name, with a certificate of it by a CA that the root trusts."""
    d = lab.dir / "inbox"
    d.mkdir()
    user = pwd.getpwnam("nobody")
    os.chown(d, user.pw_uid, user.pw_gid)
    return postfix.Postfix(lab, "hop", "hop", HOP, f"""virtual_mailbox_domains = static:all
virtual_mailbox_base = {d}
virtual_mailbox_maps = static:box/
virtual_uid_maps = static:{user.pw_uid}
virtual_gid_maps = static:{user.pw_gid}
virtual_minimum_uid = 1
inet_interfaces = {labs.NEXTHOP4}
smtpd_tls_security_level = may
smtpd_tls_cert_file = {pki}/hop.pem
smtpd_tls_key_file = {pki}/hop.key
""")


def certificates(root, lab):
    """Of the next hop; in /tmp of the root the server's own, as the operator has it; the CA where OpenSSL looks for those that are
    trusted. Returns the directory and that link."""
    pki = lab.dir / "pki"
    pki.mkdir()
    os.chmod(lab.dir, 0o755)
    ec = ("ec", "-pkeyopt", "ec_paramgen_curve:P-256")
    interop.make_ca(pki)
    interop.make_certificate(pki, "hop", HOP, *ec)
    interop.make_certificate(pki, "mx", "mx.example.net", *ec)
    for end in ("pem", "key"):
        shutil.copy(pki / f"mx.{end}", root.at / f"tmp/mx.{end}")
    name = labs.run("openssl", "x509", "-noout", "-subject_hash", "-in", pki / "ca.pem").stdout.strip()
    trusted = root.at / f"etc/ssl/certs/{name}.0"
    shutil.copy(pki / "ca.pem", trusted)
    return pki, trusted


def through(root, lab):
    """A message as Exchange gets it."""
    labs.run("ip", "netns", "exec", lab.ns["client"], "swaks", "--server", labs.GATEWAY4, "--from", "a@example.net", "--to", "b@example.com",
             "--helo", "client.example.net", "--tls")
    got = labs.wait_for("the message", lambda: list((lab.dir / "inbox/box/new").glob("*")), 20)
    text = got[0].read_text()
    assert "spf=pass" in text and "by mx.example.net (Postern)" in text and "Received: from client.example.net (" in text, text[:2000]
    trace = (root.at / "var/log/postern/trace.jsonl")
    labs.wait_for("its record", lambda: trace.exists() and "b@example.com" in trace.read_text(), 10)
    record = json.loads(trace.read_text().splitlines()[-1])
    assert record["outcome"] == "delivered" and record["route"] == "tenant" and record["next_hop_tls"]["verified"] == "name", record
    assert record["tls"]["version"], record  # on both sides
    # What is to be set over there is for this configuration.
    said = labs.run("ip", "netns", "exec", lab.ns["gw"], "chroot", root.at, "posternctl", "doctor", "exchange", "tenant", check=False).stdout
    assert "New-InboundConnector" in said and "-ConnectorType Partner" in said and "'mx.example.net'" in said, said


def drivers(root):
    """EAL loads what lies in its directory, and this machine has everything: what no dependency of the package brings is
    taken out of the root, as it is on a server with nothing else."""
    depends = {}
    for line in root.run("dpkg-query", "--show", "--showformat", "${Package}\t${Depends}, ${Pre-Depends}\n").stdout.splitlines():
        name, text = line.split("\t")
        depends[name] = re.findall(r"(?:^|[,|]) *([a-z0-9][a-z0-9+.-]*)", text)
    needed, todo = set(), ["postern"]
    while todo:
        p = todo.pop()
        if p in depends and p not in needed:
            needed.add(p)
            todo += depends[p]
    kept = set()
    for line in root.run("dpkg-query", "--search", "*/dpdk/pmds-*/*").stdout.splitlines():
        owners, file = line.rsplit(": ", 1)
        if {o.split(":")[0].strip() for o in owners.split(",")} & needed:
            kept.add(pathlib.Path(file).name.split(".")[0])
        else:
            (root.at / file.lstrip("/")).unlink(missing_ok=True)
    assert kept == {"librte_mempool_ring", "librte_bus_pci", "librte_bus_vdev", "librte_net_af_packet"}, kept


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
    # What is linked, and what is loaded without being linked.
    for needed in ("librte-eal", "libhyperscan5", "libssl3", "libspf2-2", "libedit2", "librte-mempool-ring", "librte-bus-pci", "librte-bus-vdev",
                   "librte-net-af-packet", "ca-certificates"):
        assert needed in info.split("Depends: ")[1].split("\n")[0], (needed, info)
    root = Root()
    try:
        before = root.files()
        shutil.copy(deb, root.at / "tmp/postern.deb")
        install, *lines = commands(labs.ROOT)
        assert install == "apt install ./postern_*.deb", install
        said = root.run("dpkg", "--install", "/tmp/postern.deb").stdout
        assert "usr/share/doc/postern/deploy.md" in said, said
        assert (root.at / "usr/share/doc/postern/deploy.md").read_text() == (labs.ROOT / "docs/deploy.md").read_text()
        assert root.run("id", "-un", "postern").stdout.strip() == "postern"
        for d, mode in (("run/postern", 0o1770), ("var/lib/postern", 0o750), ("var/log/postern", 0o750), ("etc/postern", 0o750)):
            assert (root.at / d).stat().st_mode & 0o7777 == mode, d
        assert "hostname" in root.run("man", "-P", "cat", "-l", "/usr/share/man/man5/postern.conf.5.gz").stdout
        assert "rawbody" in root.run("man", "-P", "cat", "-l", "/usr/share/man/man5/postern-rules.5.gz").stdout
        assert (root.at / "usr/share/doc/postern/schemas/postern.trace.1.json").exists()
        units_are_sound(root)
        drivers(root)
        assert "complete -F _posternctl posternctl" in (root.at / "usr/share/bash-completion/completions/posternctl").read_text()
        assert (root.at / "usr/share/zsh/vendor-completions/_posternctl").read_text().startswith("#compdef posternctl\n")
        root.run("bash", "-c", ". /usr/share/bash-completion/completions/posternctl; COMP_WORDS=(posternctl show dro); COMP_CWORD=2; "
                 "_posternctl; [ \"${COMPREPLY[*]}\" = drops ]")
        with labs.Lab("pspk") as lab:
            pki, trusted = certificates(root, lab)
            lab.start_dns({"example.net": f'@ IN TXT "v=spf1 ip4:{labs.CLIENT4} -all"\n',
                           "mail.protection.outlook.com": f"example-com IN A {labs.NEXTHOP4}\n"})
            hop = start_hop(lab, pki)
            try:
                d, c = deploy(root, lab, lines)
                without_privileges(root, c[0], d[0])
                through(root, lab)
                rotated(root, c[0])
                # Killed by the manager's rules: a new control is ready again, and says so.
                c[0].kill()
                c[0].wait()
                c = start(root, lab, "postern-control", lab.ns["gw"])
                stop("postern-control", *c)
                stop("postern-dataplane", *d)
            finally:
                hop.stop()
                trusted.unlink()
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
