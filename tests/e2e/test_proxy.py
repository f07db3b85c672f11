#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""Who names another client than itself, and who is believed: swaks by PROXY header (1 and 2) and by
XCLIENT, from peers of the trust list and from others. What is judged, traced and written into our
Received is the client that was named; the TCP peer stands in the trace record."""
import contextlib
import json
import os
import socket
import struct
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import lab as labs  # noqa: E402

XCLIENT, BALANCER, STRANGER = "192.0.2.10", "192.0.2.12", "192.0.2.11"
CLIENT, CLIENT6 = "203.0.113.7", "2001:db8:7::7"
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


class From(labs.Smtp):
    """The plain client, from one of our addresses, with octets in front of everything."""

    def __init__(self, lab, source, first=(), banner=True):
        with labs.in_netns(lab.ns["client"]):
            self.sock = socket.create_connection((labs.GATEWAY4, 25), 20, (source, 0))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.sock.makefile("rb")
        for part in first:
            self.send(part)
        self.banner = self.reply() if banner else None

    def reply(self):
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            return super().reply()
        return 0, ["reset"]

    def mail(self, sender="a@example.net"):
        self.cmd("EHLO mx.example.net")
        for line, code in ((f"MAIL FROM:<{sender}>", 250), ("RCPT TO:<b@example.com>", 250), ("DATA", 354)):
            got = self.cmd(line)
            assert got[0] == code, (line, got)
        return self.cmd(f"From: {sender}\r\nSubject: x\r\n\r\ntext\r\n.")


def swaks(lab, source, *options, check=True):
    r = lab.in_ns("client", "swaks", "--server", labs.GATEWAY4, "--local-interface", source,
                  "--from", "a@example.net", "--to", "b@example.com", "--helo", "mx.example.net",
                  "--timeout", "20", *options, check=False)
    assert not check or r.returncode == 0, r.stdout
    return r.stdout


def newest(lab, count):
    return labs.wait_for("trace record", lambda: (t := lab.trace()) and len(t) == count and t[-1])


def judged_as(lab, count, client, via, address, spf):
    t = newest(lab, count)
    assert t["peer"] == client and t["origin"] == client, t
    got = t.get("via", {})
    assert (got.get("how"), got.get("address")) == (via, address), t
    assert t["outcome"] == "delivered", t
    text = lab.inbox()[-1].read_text(errors="replace")
    literal = f"[IPv6:{client}]" if ":" in client else f"[{client}]"
    received = text.split("Received: from ", 1)[1].split(";", 1)[0]
    assert literal in received, received
    assert f"spf={spf}" in text, text[:1500]
    assert f"X-Postern-Original-Sender: ip={client}" in text, text[:1500]
    return t


def by_swaks(lab):
    n = 0
    proxy = ["--proxy-source", CLIENT, "--proxy-source-port", "4711", "--proxy-dest", labs.GATEWAY4,
             "--proxy-dest-port", "25"]
    swaks(lab, BALANCER, "--proxy-version", "1", "--proxy-family", "TCP4", *proxy)
    t = judged_as(lab, n := n + 1, CLIENT, "proxy", BALANCER, "pass")
    assert t["peer_port"] == 4711 and t["via"]["port"] > 0, t
    swaks(lab, BALANCER, "--proxy-version", "2", "--proxy-command", "PROXY", "--proxy-protocol", "STREAM",
          "--proxy-family", "AF_INET", *proxy)
    judged_as(lab, n := n + 1, CLIENT, "proxy", BALANCER, "pass")
    out = swaks(lab, XCLIENT, "--xclient-addr", CLIENT, "--xclient-name", "mx.example.net",
                "--xclient-port", "4712")
    assert "XCLIENT NAME ADDR PORT PROTO HELO DESTADDR DESTPORT" in out, out
    t = judged_as(lab, n := n + 1, CLIENT, "xclient", XCLIENT, "pass")
    assert t["peer_port"] == 4712, t
    # Not in the trust list: not announced, not believed, and judged as itself.
    out = swaks(lab, STRANGER, "--xclient-addr", CLIENT, check=False)
    assert "did not advertise XCLIENT" in out, out
    swaks(lab, STRANGER, "--proxy-version", "1", "--proxy-family", "TCP4", *proxy, check=False)
    swaks(lab, BALANCER, "--xclient-addr", CLIENT, check=False)
    assert len(lab.trace()) == n, lab.trace()[-1]
    return n


def by_hand(lab, n):
    v1 = f"PROXY TCP4 {CLIENT} {labs.GATEWAY4} 4711 25\r\n".encode()
    v2 = SIGNATURE + b"\x21\x11\0\x0c" + socket.inet_aton(CLIENT) + socket.inet_aton(labs.GATEWAY4) + \
        struct.pack(">HH", 4711, 25)
    v6 = SIGNATURE + b"\x21\x21\0\x24" + socket.inet_pton(socket.AF_INET6, CLIENT6) + \
        socket.inet_pton(socket.AF_INET6, labs.GATEWAY6) + struct.pack(">HH", 4711, 25)
    for header in (v1, v2):
        for at in range(1, len(header)):
            c = From(lab, BALANCER, (header[:at], header[at:]))
            assert c.banner[0] == 220, (at, c.banner)
            c.close()
    c = From(lab, BALANCER, (v6,))
    assert c.mail()[0] == 250
    judged_as(lab, n := n + 1, CLIENT6, "proxy", BALANCER, "pass")
    c.close()
    # LOCAL and UNKNOWN: the balancer speaks for itself.
    for header in (SIGNATURE + b"\x20\0\0\0", b"PROXY UNKNOWN\r\n"):
        c = From(lab, BALANCER, (header,))
        assert c.mail()[0] == 250
        judged_as(lab, n := n + 1, BALANCER, None, None, "fail")
        c.close()
    before = lab.counters()
    wrong = [v1.replace(b"TCP4", b"TCP6"), v1[:-2] + b" 1\r\n", v2[:12] + b"\x31" + v2[13:],
             b"EHLO mx.example.net\r\n", v2[:15] + b"\x0b" + v2[16:]]
    tried = 0
    for header in wrong:
        for at in range(1, len(header), 3):
            c = From(lab, BALANCER, (), banner=False)
            with contextlib.suppress(ConnectionResetError, BrokenPipeError):
                c.send(header[:at])
                c.send(header[at:])
            assert c.reply()[0] == 0
            c.close()
            tried += 1
    now = labs.wait_for("counters", lambda: (k := lab.counters()) and
                        k["proxy_bad"] - before["proxy_bad"] == tried and k)
    assert now["proxy_headers"] == before["proxy_headers"], now
    # From others a header is what any foreign protocol is.
    for source in (STRANGER, XCLIENT):
        c = From(lab, source)
        assert c.banner[0] == 220
        assert c.cmd(v1.decode().rstrip())[0] == 421
        c.close()
    c = From(lab, STRANGER)
    assert c.cmd(f"XCLIENT ADDR={CLIENT}") == (550, ["550 5.7.0 XCLIENT is not for you"])
    assert c.mail()[0] == 250
    judged_as(lab, n := n + 1, STRANGER, None, None, "fail")
    c.close()
    return n


def xclient_session(lab, n):
    c = From(lab, XCLIENT)
    assert c.mail()[0] == 250
    judged_as(lab, n := n + 1, XCLIENT, None, None, "fail")
    assert c.cmd(f"XCLIENT ADDR={CLIENT}")[0] == 220
    assert c.cmd("MAIL FROM:<a@example.net>")[0] == 503
    assert c.mail()[0] == 250
    judged_as(lab, n := n + 1, CLIENT, "xclient", XCLIENT, "pass")
    assert c.cmd(f"XCLIENT ADDR=IPV6:{CLIENT6} HELO=other.example.net")[0] == 220
    c.cmd("MAIL FROM:<a@example.net>")
    assert c.cmd(f"XCLIENT ADDR={CLIENT}")[0] == 503
    c.cmd("RCPT TO:<b@example.com>")
    c.cmd("DATA")
    assert c.cmd("From: a@example.net\r\n\r\nx\r\n.")[0] == 250
    t = judged_as(lab, n := n + 1, CLIENT6, "xclient", XCLIENT, "pass")
    assert t["helo"] == "other.example.net", t
    assert c.cmd("XCLIENT ADDR=1.2.3")[0] == 501
    # A client that hides behind a NAT is refused as it would be without us in between.
    assert c.cmd("XCLIENT ADDR=10.1.2.3")[0] == 421
    c.close()
    c = From(lab, BALANCER, (f"PROXY TCP4 {CLIENT} {labs.GATEWAY4} 1 25\r\n".encode(),))
    s = [x for x in json.loads(lab.ctl("show", "sessions", "--json").stdout)["sessions"]
         if x["peer"] == CLIENT]
    assert s and s[-1]["via"] == "proxy", s
    c.close()


def main():
    labs.need_root()
    with labs.Lab("psx") as lab:
        lab.addr("client", f"{lab.name}c0", f"{BALANCER}/24", f"{STRANGER}/24")
        lab.start_dns({"example.net": f'@ IN TXT "v=spf1 ip4:{CLIENT} ip6:{CLIENT6} -all"\n'})
        lab.start_sink()
        conf = lab.write_config(extra=f'''trust "front" {{ addresses = ["{XCLIENT}"]; xclient = yes }}
trust "balancer" {{ addresses = ["{BALANCER}/32"]; proxy = yes }}
''')
        conf.write_text(conf.read_text().replace("allow-private-peer = true", "allow-private-peer = false"))
        lab.start_dataplane()
        lab.start_control()
        lab.wait_ready()
        n = by_swaks(lab)
        n = by_hand(lab, n)
        xclient_session(lab, n)
        print({k: v for k, v in lab.counters().items() if "proxy" in k or "xclient" in k})


if __name__ == "__main__":
    main()
