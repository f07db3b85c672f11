# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""Exim and OpenSMTPD inside a lab, unpacked by packaging/unpack-peers and never installed.

Both want users, spools and files at paths that were fixed when Debian built them. Each gets a root
directory of its own, put together of bind mounts in a mount namespace: the machine's libraries, the
package's programs, and an /etc that the test writes. A PID namespace takes all processes along when
the first one is stopped.
"""
import contextlib
import os
import pwd
import sysconfig

import lab as labs

ARCH = sysconfig.get_config_var("MULTIARCH") or "x86_64-linux-gnu"
CACHE = labs.ROOT / "build" / "peers"
PACKAGES = {"exim": ["exim4-daemon-light", "exim4-base"], "opensmtpd": ["opensmtpd"],
            "opensmtpd-rspamd": ["opensmtpd", "opensmtpd-filter-rspamd"]}
VMAIL = pwd.getpwnam("nobody")  # whoever may own mail
UID = 64999  # of a peer's own users, in its own /etc/passwd


def unpack(name):
    """The directory of the unpacked package; None if there is neither network nor cache."""
    r = labs.run(labs.ROOT / "packaging/unpack-peers", CACHE, name, *PACKAGES[name], check=False, timeout=240)
    if r.returncode == 75 and not os.environ.get("CI"):
        print(f"skipped: {name}: {r.stdout.strip()}")
        return None
    if r.returncode:
        raise RuntimeError(f"unpack-peers {name}: {r.stdout}")
    return CACHE / name


class Peer:
    """A mail server in a private root; subclasses say what lies in it and what runs."""
    users = ()
    name = ""

    def __init__(self, lab, ns, role, files):
        self.lab, self.ns = lab, ns
        self.role = f"{self.name}-{role}"
        self.tree = unpack(self.name)
        self.root = lab.dir / self.role
        os.chmod(lab.dir, 0o755)
        for d in ("bin", "dev", "etc/ssl/certs", "lib", "lib64", "proc", "run", "tmp", "sbin", "var/mail", "var/log",
                  "var/spool", "usr/bin", "usr/sbin", "usr/share", "usr/libexec", f"lib/{ARCH}", f"usr/lib/{ARCH}"):
            (self.root / d).mkdir(parents=True, exist_ok=True)
        os.chmod(self.root / "tmp", 0o1777)
        (self.root / "var/run").symlink_to("../run")
        os.chown(self.root / "var/mail", VMAIL.pw_uid, VMAIL.pw_gid)
        rows = [("root", 0, "/"), ("nobody", VMAIL.pw_uid, "/var/mail"),
                *((u, UID - i, home) for i, (u, home) in enumerate(self.users))]
        (self.root / "etc/passwd").write_text("".join(f"{u}:x:{n}:{n}::{h}:/bin/sh\n" for u, n, h in rows))
        (self.root / "etc/group").write_text("".join(f"{u}:x:{n}:\n" for u, n, _ in rows) +
                                             f"nogroup:x:{VMAIL.pw_gid}:\nmail:x:8:\n")
        (self.root / "etc/nsswitch.conf").write_text("passwd: files\ngroup: files\nhosts: files\n")
        (self.root / "etc/resolv.conf").write_text("lookup file\n")
        (self.root / "etc/hosts").write_text("127.0.0.1 localhost\n")
        for path, text in files.items():
            f = self.root / path
            f.parent.mkdir(parents=True, exist_ok=True)
            f.write_bytes(text) if isinstance(text, bytes) else f.write_text(text)
            os.chmod(f, 0o644)

    def enter(self, argv):
        """The command line that makes the namespaces and runs argv in the private root."""
        r = self.root
        binds = [("/usr/bin", "bin"), ("/usr/bin", "usr/bin"), ("/usr/lib64", "lib64"), ("/dev", "dev"),
                 ("/usr/share", "usr/share"), (f"/usr/lib/{ARCH}", f"lib/{ARCH}"),
                 (self.tree / "usr/sbin", "usr/sbin"), (self.tree / "usr/libexec", "usr/libexec"),
                 (self.tree / f"usr/lib/{ARCH}", f"usr/lib/{ARCH}")]
        script = [f"mount --bind {a} {r}/{b}" for a, b in binds if os.path.isdir(a)]
        script += [f"mount -t proc proc {r}/proc", f'exec chroot {r} "$@"']
        return ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-ec", "\n".join(script), "sh", *argv]

    def run(self, *argv, **kw):
        return self.lab.in_ns(self.ns, *self.enter([str(a) for a in argv]), **kw)

    def start(self, argv, address, port):
        self.lab.spawn(self.role, self.ns, self.enter(argv))
        labs.wait_for(f"{self.role} listens", lambda: self.alive() and self.lab.in_ns(
            self.ns, "ss", "-Hltn", f"src {address}:{port}", check=False).stdout.strip())

    def alive(self):
        p = self.lab.procs.get(self.role)
        if p and p.poll() is not None:
            raise RuntimeError(f"{self.role} ended with {p.returncode}:\n{self.log()}")
        return True

    def log(self):
        return self.lab.log(self.role)

    def mail(self):
        """What was stored here, with LF line ends."""
        return [f for d in (self.root / "var/mail").rglob("new") for f in d.iterdir()]

    def stop(self):
        self.lab.stop(self.role)


EXIM = """primary_hostname = {hostname}
exim_user = Debian-exim
exim_group = Debian-exim
spool_directory = /var/spool/exim
log_file_path = /var/log/exim/%slog
daemon_smtp_ports = {port}
local_interfaces = {address}
host_lookup =
rfc1413_hosts =
{extensions}
smtp_accept_max = 50
keep_environment =
acl_smtp_rcpt = accept
acl_smtp_data = accept
no_message_logs
received_header_text = Received: ${{if def:sender_helo_name {{from $sender_helo_name }}}}by {hostname} \\
  with $received_protocol id $message_exim_id
{extra}
begin routers
{routers}
begin transports
{transports}
begin retry
* * F,1h,2s
"""

EXIM_EXTENSIONS = """tls_advertise_hosts =
accept_8bitmime = true
smtputf8_advertise_hosts = *
chunking_advertise_hosts = {chunking}
message_size_limit = 50M"""

EXIM_STORE = ("""store:
  driver = accept
  transport = store
""", """store:
  driver = appendfile
  directory = /var/mail/box
  maildir_format
  create_directory
  user = nobody
  group = nogroup
  message_prefix =
  message_suffix =
""")


class Exim(Peer):
    """transports: name -> (address of the gateway, options); chosen by the recipient's local part,
    "rest", which is the last, by all others. port: one, or several as Exim lists them ("25 : 26").
    extensions: what it offers, in place of the usual."""
    name = "exim"
    users = (("Debian-exim", "/var/spool/exim"),)

    def __init__(self, lab, ns, role, hostname, address, port, transports=None, files=None, extra="",
                 extensions=None):
        routers, parts = "", ""
        for name, (host, options) in (transports or {}).items():
            which = "" if name == "rest" else f"  local_parts = {name}\n"
            routers += (f"{name}:\n  driver = manualroute\n{which}  transport = {name}\n"
                        f'  route_list = * "<+ {host}" byname\n  self = send\n')
            parts += f"{name}:\n  driver = smtp\n  port = 25\n" + "".join(f"  {o}\n" for o in options)
        if not transports:
            routers, parts = EXIM_STORE
        conf = EXIM.format(hostname=hostname, port=port, address=address, routers=routers, transports=parts,
                           extra=extra, extensions=extensions or EXIM_EXTENSIONS.format(
                               chunking="*" if transports else ""))
        super().__init__(lab, ns, role, {"etc/exim4/exim4.conf": conf, **(files or {})})
        for d in ("var/spool/exim", "var/log/exim"):
            (self.root / d).mkdir(parents=True, exist_ok=True)
            os.chown(self.root / d, UID, UID)
        self.start(["/usr/sbin/exim4", "-bdf", "-q1m"], address, str(port).split()[0])

    def log(self):
        logs = sorted((self.root / "var/log/exim").glob("*log"))
        return super().log() + "".join(f"{f.name}: {f.read_text(errors='replace')[-3000:]}\n" for f in logs)

    def mainlog(self):
        with contextlib.suppress(FileNotFoundError):
            return (self.root / "var/log/exim/mainlog").read_text(errors="replace").splitlines()
        return []

    def version(self):
        return self.run("/usr/sbin/exim4", "-bV").stdout.split()[2]


class OpenSmtpd(Peer):
    """relays: name -> host and options of a relay action; chosen as Exim's transports are. listen: port ->
    options of further listeners."""
    name = "opensmtpd"
    users = (("opensmtpd", "/var/lib/opensmtpd/empty"), ("opensmtpq", "/var/lib/opensmtpd/empty"))

    def __init__(self, lab, ns, role, hostname, address, port, relays=None, files=None, listen=None):
        conf = [f"listen on {address} port {port} hostname {hostname}", "smtp max-message-size 50M"]
        conf += [f"listen on {address} port {p} hostname {hostname} {options}" for p, options in (listen or {}).items()]
        for name, options in (relays or {}).items():
            which = "any" if name == "rest" else f'rcpt-to regex "^{name}@"'
            conf += [f'action "{name}" relay {options} helo "{hostname}"',
                     f'match from any for {which} action "{name}"']
        if not relays:
            conf = ['table box { "@" = "nobody" }', *conf,
                    'action "store" maildir "/var/mail/box" virtual <box>',
                    'match from any for any action "store"']
        super().__init__(lab, ns, role, {"etc/smtpd.conf": "\n".join(conf) + "\n", "etc/mailname": hostname + "\n",
                                         **(files or {})})
        (self.root / "var/lib/opensmtpd/empty").mkdir(parents=True, exist_ok=True)
        self.start(["/usr/sbin/smtpd", "-d"], address, port)

    def version(self):
        return self.run("/usr/sbin/smtpd", "-h", check=False).stdout.split()[2]
