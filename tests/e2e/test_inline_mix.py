#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""What is not SMTP to a listed server, with control there and a server listed: iperf3, ssh, ARP and ND, pings of all sizes,
tags, and frames of no protocol that we know. Every frame that a kernel sends at one end of the cable comes out at the other,
octet for octet, and none else; and over a plain veth pair the same traffic does the same."""
import collections
import hashlib
import json
import os
import pathlib
import re
import socket
import struct
import subprocess
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import inline_lab  # noqa: E402
import lab as labs  # noqa: E402
from inline_lab import OTHER4, SERVER4, SERVER6  # noqa: E402
from test_inline import A, B, bulk, frames, pattern, udp  # noqa: E402

IPERF = 8 << 20
SSH = 2 << 20
# Protocols that must have been among it: EtherType and protocol of IP, with tags.
KINDS = {"0806", "0800 1", "0800 6", "0800 17", "86dd 58", "86dd 6", "86dd 17", "86dd 44", "88cc", "9999", "8847", "8863", "802.3",
         "88b5", "tag 0806", "tag 0800 17", "tag 0800 6", "tag 86dd 17", "tag tag 0800 6", "tag 88b5", "tag tag 88b5"}


MARK = b"\x88\xb6the tape begins" + bytes(46)


class Tape(threading.Thread):
    """Counts the frames of an interface by their octets, each way, from a mark on: what was on its way when the tapes were put
    up, one of them may have missed."""

    def __init__(self, lab, ns, dev):
        super().__init__(daemon=True)
        self.raw, self.done = inline_lab.Raw(lab, ns, dev), False
        self.raw.sock.setsockopt(1, 33, 128 << 20)  # SOL_SOCKET, SO_RCVBUFFORCE
        self.raw.sock.settimeout(0.2)
        self.out, self.came, self.begin = collections.Counter(), collections.Counter(), {}
        self.n = [0, 0]  # came, went out: what can be read while the thread runs
        self.marked = [False, False]
        self.start()

    def run(self):
        while not self.done:
            try:
                frame, out = self.raw.take()
            except TimeoutError:
                continue
            if frame[12:] == MARK:
                (self.out if out else self.came).clear()
                self.n[out], self.marked[out] = 0, True
                continue
            key = hashlib.blake2b(frame, digest_size=16).digest()
            self.begin.setdefault(key, (len(frame), frame[:80]))
            (self.out if out else self.came)[key] += 1
            self.n[out] += 1

    def stop(self):
        self.done = True
        self.join(10)
        missed = self.raw.missed()
        self.raw.close()
        assert not missed, f"the tape missed {missed} frames"


class Tapes:
    """Both ends of a wire, for as long as the block lasts."""
    ENDS = (("client", "c0"), ("hop", "s0"))

    def __init__(self, lab):
        self.lab = lab

    def __enter__(self):
        self.client, self.server = (Tape(self.lab, ns, f"{self.lab.name}{end}") for ns, end in self.ENDS)
        for (ns, end), addresses in zip(self.ENDS, (B + A, A + B)):
            sender = inline_lab.Raw(self.lab, ns, f"{self.lab.name}{end}")
            sender.send(addresses + MARK)
            sender.close()
        labs.wait_for("the marks", lambda: all(self.client.marked + self.server.marked))
        return self

    def ways(self):
        yield "to the server", self.client, self.server
        yield "to the client", self.server, self.client

    def __exit__(self, kind, *_):
        if kind:
            self.client.done = self.server.done = True
            return
        try:
            labs.wait_for("all is there", lambda: all(a.n[1] == b.n[0] for _, a, b in self.ways()), 10)
        except TimeoutError:
            pass
        for t in (self.client, self.server):
            t.stop()
        for way, a, b in self.ways():
            gone, new = a.out - b.came, b.came - a.out
            assert not gone and not new, (
                f"{way}: {gone.total()} of {a.out.total()} frames did not come as they were sent, {new.total()} others did; the "
                f"first: {[t.begin[k] for t, c in ((a, gone), (b, new)) for k in list(c)[:2]]}")

    def total(self):
        return self.client.out.total() + self.server.out.total()

    def kinds(self):
        """What protocols there were: EtherType, or that of IP behind it, with the tags in front."""
        out = set()
        for t in (self.client, self.server):
            for k in t.out:
                f, at, name = t.begin[k][1], 12, ""
                while (kind := int.from_bytes(f[at:at + 2], "big")) == 0x8100:
                    at, name = at + 4, name + "tag "
                name += "802.3" if kind < 1536 else f"{kind:04x}"
                if kind in (0x0800, 0x86dd):
                    name += f" {f[at + 11 if kind == 0x0800 else at + 8]}"
                out.add(name)
        return out


def ping(lab, to, *args):
    out = lab.in_ns("client", "ping", "-n", "-q", "-c", "3", "-i", "0.05", "-W", "10", *args, to).stdout
    # It does not wait for a reply that takes longer than two of those before: that all came the tapes say.
    assert re.search(r" [123] received, (\d|\.)+% packet loss", out), out


def pings(lab, mtu, fragments4):
    """The first ones ask for the neighbour."""
    for ns, dev in (("client", "c0"), ("hop", "s0")):
        labs.run("ip", "-n", lab.ns[ns], "neigh", "flush", "dev", f"{lab.name}{dev}")
    for to, head in ((SERVER4, 28), (SERVER6, 48)):
        for size in (0, 56, mtu - head):
            ping(lab, to, "-M", "do", "-s", str(size))
        if fragments4 or ":" in to:
            ping(lab, to, "-s", "20000")
            ping(lab, to, "-s", str(mtu - head + 1))


def tagged(lab):
    """IP and ARP of VLANs, as a trunk has them. By hand, for not every kernel has VLANs."""
    client, server = inline_lab.Raw(lab, "client", f"{lab.name}c0"), inline_lab.Raw(lab, "hop", f"{lab.name}s0")
    to, me = socket.inet_aton(SERVER4), socket.inet_aton(labs.CLIENT4)
    tags = struct.pack("!HH", 0x8100, 7)

    def ip4(proto, payload):
        h = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 1, 0, 64, proto, 0) + me + to
        total = sum(struct.unpack("!10H", h))
        return b"\x08\0" + h[:10] + struct.pack("!H", ~(total % 0xffff) & 0xffff) + h[12:] + payload

    def tcp(port):
        return ip4(6, struct.pack("!HHIIBBHHH", 40000, port, 1, 0, 0x50, 2, 65535, 0, 0))
    ip6 = struct.pack("!IHBB", 0x60000000, 100, 17, 64) + bytes(15) + b"\1" + bytes(15) + b"\2" + pattern(100, "ip6")
    arp = b"\x08\x06" + struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1) + A + me + bytes(6) + to + bytes(18)
    for what, rest in (("ARP", tags + arp), ("UDP", tags + ip4(17, pattern(900, "udp"))), ("TCP", tags + tcp(443)),
                       ("TCP behind two tags, to the listed server", struct.pack("!HH", 0x8100, 9) + tags + tcp(25)),
                       ("IPv6", tags + b"\x86\xdd" + ip6)):
        frame = B + A + rest
        client.send(frame)
        server.expect(frame, f"{what} with tags, to the server")
    client.close()
    server.close()


def iperf(lab, to, *args):
    out = json.loads(lab.in_ns("client", "iperf3", "-J", "-c", to, "--connect-timeout", "10000", *args).stdout)
    assert "error" not in out, out["error"]
    return out["end"]


def bulks(lab):
    """Windows that the rings hold: what is lost there would be sent again, and be no harm, but not be the same octets."""
    lab.spawn("iperf3", "hop", ["iperf3", "-s"])
    labs.wait_for("iperf3 listens", lambda: lab.in_ns("hop", "ss", "-Hltn", "sport", "=", ":5201").stdout.strip())
    datagrams = []
    for to in (SERVER4, SERVER6):
        for way in ((), ("-R",)):
            end = iperf(lab, to, "-n", str(IPERF), *way)
            # Who receives ends when the sender has, or the other way round, be the rest on its way.
            assert max(end["sum_sent"]["bytes"], end["sum_received"]["bytes"]) >= IPERF, end
        datagrams.append(iperf(lab, to, "-u", "-b", "20M", "-l", "1400", "-n", "700000")["sum"]["packets"])
    lab.stop("iperf3")
    return datagrams


def ssh(lab):
    """A session with keys of its own, whose host key is known: nobody is in the middle. 2 MB there and back."""
    d = lab.dir / "ssh"
    d.mkdir()
    for key in ("host", "user"):
        labs.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", key, "-f", d / key)
    (d / "known").write_text(f"{SERVER4} {(d / 'host.pub').read_text()}")
    (d / "sshd_config").write_text(f"""Port 22
ListenAddress {SERVER4}
HostKey {d}/host
AuthorizedKeysFile {d}/user.pub
StrictModes no
UsePAM no
PidFile none
PermitRootLogin prohibit-password
PasswordAuthentication no
""")
    pathlib.Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # as sshd's own unit does; empty
    lab.spawn("sshd", "hop", ["/usr/sbin/sshd", "-D", "-e", "-f", d / "sshd_config"])
    labs.wait_for("sshd listens", lambda: lab.in_ns("hop", "ss", "-Hltn", "sport", "=", ":22").stdout.strip())
    data = pattern(SSH // 64, "ssh") * 64
    r = subprocess.run(["ip", "netns", "exec", lab.ns["client"], "ssh", "-F", "none", "-i", str(d / "user"), "-o", "BatchMode=yes",
                        "-o", "IdentitiesOnly=yes", "-o", f"UserKnownHostsFile={d}/known", "-o", "StrictHostKeyChecking=yes",
                        f"root@{SERVER4}", f"echo \"$SSH_CONNECTION\" >&2; tee {d}/got"], input=data, capture_output=True, timeout=60)
    assert r.returncode == 0, (r.stderr, lab.log("sshd")[-2000:])
    assert hashlib.sha256((d / "got").read_bytes()).digest() == hashlib.sha256(data).digest(), "octets to the server"
    assert hashlib.sha256(r.stdout).digest() == hashlib.sha256(data).digest(), "octets from the server"
    lab.stop("sshd")
    return re.sub(r" \d+ ", " PORT ", r.stderr.decode().splitlines()[-1], count=1)


def mix(lab, fragments4):
    """What there is to tell of it, which does not depend on the wire."""
    for ns in ("client", "hop"):
        lab.sysctl(ns, "net.ipv4.tcp_rmem=4096 65536 262144", "net.ipv4.tcp_wmem=4096 65536 262144", check=True)
    with Tapes(lab) as tapes:
        pings(lab, lab.mtu, fragments4)
        # In fragments, too, where the wire leaves them alone.
        udp(lab, SERVER6, (0, 1, lab.mtu - 48, 3 * lab.mtu))
        udp(lab, SERVER4, (0, 1, lab.mtu - 28) + ((3 * lab.mtu,) if fragments4 else ()))
        frames(lab, lab.mtu)
        tagged(lab)
        bulk(lab, OTHER4, 25, 1 << 18)
        facts = {"ssh": ssh(lab), "iperf3": bulks(lab)}
    assert tapes.kinds() >= KINDS, KINDS - tapes.kinds()
    return facts, tapes.total()


def listed(lab):
    """control is there, and SMTP to this very server would be taken in its name."""
    lab.conf = lab.dir / "postern.conf"
    lab.conf.write_text(f'''hostname = "gw.example.net"
dataplane {{ socket = "{lab.dir}/dataplane.sock" }}
inline {{ server "mail" {{ addresses = ["{SERVER4}", "{SERVER6}"]; route = "mail"; allow-clear = yes }} }}
route "mail" {{ to = dialled; xclient = yes }}
dns {{ forwarders = ["{labs.DNS4}"] }}
policy {{ allow-private-peer = true }}
limits {{ max-message = {lab.arena_mb // 8}m }}
trace {{ file = "{lab.dir}/trace.jsonl" }}
api {{ socket = "{lab.dir}/control.sock" }}
''')
    lab.start_control()
    lab.wait_ready()
    c = labs.Smtp(lab, SERVER4, timeout=20)
    assert c.banner[0] in (220, 421, 451, 554) and "gw.example.net" in c.banner[1][0], c.banner
    c.close()


def compared(cable, mtu, framesz, fragments4):
    name = f"mx{cable[0]}"
    with inline_lab.WireLab(f"{name}w", mtu=mtu) as lab:
        plain, n_plain = mix(lab, fragments4)
    with inline_lab.CableLab(f"{name}c", cable, mtu=mtu, framesz=framesz) as lab:
        lab.start_cable("--mbuf-size", str(framesz))
        listed(lab)
        through, n = mix(lab, fragments4)
        c = lab.counters()
        wrong = {k: c[k] for k in c if c[k] and re.match(r"inline_(drop|reject)|tx_drop|rx_drop|rx_missed|inline_watched", k)}
        assert not wrong, wrong
        assert c["inline_bridged_packets"] >= n, (c["inline_bridged_packets"], n)
    assert through == plain, f"a plain veth pair: {plain}\nthrough the cable: {through}"
    assert through["ssh"] == f"{labs.CLIENT4} PORT {SERVER4} 22", through["ssh"]
    print(f"{cable}, MTU {mtu}: {n} frames came as they were sent, as {n_plain} did over a plain veth pair: ok", flush=True)


def main():
    labs.need_root()
    compared("af_packet", 9000, 16384, fragments4=False)
    compared("tap", 1500, 2048, fragments4=True)


if __name__ == "__main__":
    main()
