# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""A cable in network namespaces: client | dataplane | server, two af_packet ports; and a wire without
anything in it, for comparison.

    client ns                gateway ns                            server ns
    192.0.2.10   ── veth ──  DPDK port 0 ═ DPDK port 1  ── veth ── 192.0.2.80, 192.0.2.81
                             kernel 198.51.100.25       ── veth ── 198.51.100.10 (another interface)
"""
import socket
import struct

import lab as labs

SERVER4, OTHER4 = "192.0.2.80", "192.0.2.81"
SERVER6 = "2001:db8:1::80"
MIRROR_S = 5.5  # PORT_MIRROR_MS of dataplane/port/port_mirror.h, and a poll


class CableLab(labs.Lab):
    """Lab with a second DPDK interface, g2, whose veth peer s0 is in the namespace of the next hop."""

    def __init__(self, name, cable="af_packet", **kw):
        super().__init__(name, **kw)
        self.cable = cable

    def up(self):
        super().up()
        n = self.name
        self._veth("gw", f"{n}g2", "hop", f"{n}s0")
        self.sysctl("gw", f"net.ipv6.conf.{n}g2.disable_ipv6=1")
        return self.server_end()

    def server_end(self):
        n = self.name
        self.addr("hop", f"{n}s0", f"{SERVER4}/24", f"{OTHER4}/24", f"{SERVER6}/64")
        # One kernel has both interfaces of the server: it answers ARP where it was asked.
        self.sysctl("hop", "net.ipv4.conf.all.arp_ignore=1", "net.ipv4.conf.all.rp_filter=0",
                    f"net.ipv4.conf.{n}s0.rp_filter=0")
        return self

    def ports(self):
        n, frame = self.name, self.framesz
        if self.cable == "tap":
            return [f"net_tap{i},iface={n}t{i}" for i in (0, 1)]
        more = f"qpairs={self.workers},framesz={frame},blocksz=65536,framecnt=1024"
        return [f"net_af_packet0,iface={n}g0,{more}", f"net_af_packet1,iface={n}g2,{more}"]

    def start_cable(self, *extra, take=True):
        first, second = self.ports()
        self.start_dataplane(vdev=first, extra=extra, roles=("0=inline:1",), vdevs=(second,))
        if self.cable == "tap" and take:
            for i, (ns, dev) in enumerate((("client", "c0"), ("hop", "s0"))):
                self._take_end(f"{self.name}t{i}", ns, f"{self.name}{dev}")

    def _take_end(self, tap, ns, dev):
        """The kernel's end of a net_tap takes the place of a veth."""
        addresses = labs.run("ip", "-n", self.ns[ns], "-br", "addr", "show", "dev", dev).stdout.split()[2:]
        labs.run("ip", "-n", self.ns[ns], "link", "del", dev)
        labs.run("ip", "-n", self.ns["gw"], "link", "set", tap, "down")
        labs.run("ip", "-n", self.ns["gw"], "link", "set", tap, "netns", self.ns[ns], "name", dev)
        # Its MAC is also that of DPDK's end.
        labs.run("ip", "-n", self.ns[ns], "link", "set", dev, "address", f"02:00:5e:00:53:1{tap[-1]}")
        labs.run("ip", "-n", self.ns[ns], "link", "set", dev, "mtu", self.mtu, "up")
        self.addr(ns, dev, *(a for a in addresses if not a.startswith("fe80")))


class WireLab(CableLab):
    """The same two ends with nothing between them: one veth pair, in place of two and the dataplane."""

    def up(self):
        labs.Lab.up(self)
        n = self.name
        labs.run("ip", "-n", self.ns["client"], "link", "del", f"{n}c0")
        self._veth("client", f"{n}c0", "hop", f"{n}s0")
        self.addr("client", f"{n}c0", f"{labs.CLIENT4}/24", f"{labs.CLIENT6}/64")
        return self.server_end()


class Raw:
    """A packet socket: frames as they are."""

    def __init__(self, lab, ns, dev):
        with labs.in_netns(lab.ns[ns]):
            self.sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
            self.sock.setsockopt(263, 8, 1)  # SOL_PACKET, PACKET_AUXDATA: the tag that the kernel took off
            self.sock.setsockopt(socket.SOL_SOCKET, 33, 16 << 20)  # SO_RCVBUFFORCE
            self.sock.bind((dev, 0))
        self.sock.settimeout(5)

    def send(self, frame):
        self.sock.send(frame)

    def recv(self):
        return self.take()[0]

    def take(self):
        """A frame with its outer tag put back; did it go out?"""
        data, anc, _, who = self.sock.recvmsg(65536, 256)
        for level, kind, aux in anc:
            if level != 263 or kind != 8:
                continue
            status, _, _, _, _, tci, tpid = struct.unpack("=IIIHHHH", aux[:20])
            if status & 0x10:  # TP_STATUS_VLAN_VALID
                data = data[:12] + struct.pack("!HH", tpid if status & 0x40 else 0x8100, tci) + data[12:]
        return data, who[2] == socket.PACKET_OUTGOING

    def missed(self):
        """Frames that this socket had no room for, since the last question."""
        return struct.unpack("=II", self.sock.getsockopt(263, 6, 8))[1]  # PACKET_STATISTICS

    def expect(self, frame, what):
        """Frames of the kernels on both sides go by; this one has to come."""
        for _ in range(2000):
            if self.recv() == frame:
                return
        raise AssertionError(f"{what}: did not come through")

    def close(self):
        self.sock.close()
