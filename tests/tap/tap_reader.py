#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""A second observer, slow and plain, that shares nothing with the dataplane or with pcapgen: reads a capture of SMTP and
prints what was in it, a JSON object a line, with the fields of `postern-dataplane --tap-dump`. Each flow is put together when
the capture is over; of overlapping octets the first count. It proves the books of pcapgen, and that what they call
observable can be observed.

	tap_reader.py CAPTURE [PORT…]"""
import hashlib
import json
import re
import struct
import sys

ACCEPT = 1 << 22  # octets beyond the highest known that may be data: more than any window here
VERBS = (b"EHLO", b"HELO", b"MAIL", b"RCPT", b"DATA", b"BDAT", b"RSET", b"NOOP", b"QUIT", b"AUTH", b"STARTTLS")
FIN, SYN, RST, ACK = 1, 2, 4, 16


def pcap(path):
    """(time in ns, frame) of each packet."""
    with open(path, "rb") as f:
        head = f.read(24)
        magic, _, _, _, _, _, link = struct.unpack("<IHHiIII", head)
        if magic != 0xA1B23C4D or link != 1:
            raise ValueError(f"{path}: not a pcap with nanoseconds and Ethernet")
        while record := f.read(16):
            sec, ns, n, whole = struct.unpack("<IIII", record)
            frame = f.read(n)
            if n != whole or len(frame) != n:
                raise ValueError(f"{path}: a packet is cut")
            yield sec * 10**9 + ns, frame


def checks(data):
    """RFC 1071: the sum of all is 0xffff, which is 0 in this arithmetic."""
    return int.from_bytes(data + b"\0" * (len(data) & 1), "big") % 0xFFFF == 0


class Fragments:
    def __init__(self):
        self.parts = {}

    def add(self, key, offset, more, data):
        """The whole payload once it is there. Datagrams with overlapping pieces are dropped (RFC 5722)."""
        p = self.parts.setdefault(key, [])
        p.append((offset, more, data))
        p.sort()
        at = 0
        for o, m, d in p:
            if o < at:
                if not p[-1][1]:
                    del self.parts[key]
                return None
            if o > at:
                return None
            at += len(d)
            if not m:
                del self.parts[key]
                return b"".join(x[2] for x in p)
        return None


def datagrams(path):
    """(source, destination, TCP segment, checksum is right) of each packet."""
    fragments = Fragments()
    for _, f in pcap(path):
        at = 12
        while f[at:at + 2] in (b"\x81\x00", b"\x88\xa8"):
            at += 4
        kind, ip = f[at:at + 2], f[at + 2:]
        if kind == b"\x08\x00":
            n = (ip[0] & 15) * 4
            ip = ip[:struct.unpack(">H", ip[2:4])[0]]
            if not checks(ip[:n]) or ip[9] != 6:
                continue
            src, dst, seg = ip[12:16], ip[16:20], ip[n:]
            frag = struct.unpack(">H", ip[6:8])[0]
            if frag & 0x3FFF:
                seg = fragments.add((src, dst, ip[4:6]), (frag & 0x1FFF) * 8, bool(frag & 0x2000), seg)
        elif kind == b"\x86\xdd":
            src, dst, seg, proto = ip[8:24], ip[24:40], ip[40:40 + struct.unpack(">H", ip[4:6])[0]], ip[6]
            if proto == 44:
                proto, frag = seg[0], struct.unpack(">H", seg[2:4])[0]
                seg = fragments.add((src, dst, seg[4:8]), frag & 0xFFF8, bool(frag & 1), seg[8:])
            if proto != 6:
                continue
        else:
            continue
        if seg is not None:
            yield src, dst, seg, checks(src + dst + struct.pack(">HH", 6, len(seg)) + seg)


class Side:
    """What one side sent. Offsets: 0 is the octet behind the SYN."""

    def __init__(self, isn):
        self.isn = isn
        self.data = bytearray()
        self.have = []  # [from, to), in order
        self.fin = None
        self.acked = 0
        self.acks = []  # (offset, what the sender had acknowledged)

    def offset(self, seq):
        near = max(self.acked, self.have[-1][1] if self.have else 0)
        delta = (seq - self.isn - 1 - near) & 0xFFFFFFFF
        return near + (delta - (1 << 32) if delta >= 1 << 31 else delta)

    def next(self):
        return max(self.acked, self.have[0][1] if self.have and self.have[0][0] == 0 else 0)

    def add(self, at, octets):
        """Returns whether they differ from what was there."""
        if at < 0:
            octets, at = octets[-at:], 0
        end = at + len(octets)
        if len(self.data) < end:
            self.data.extend(bytes(end - len(self.data)))
        differ, todo, kept = False, [(at, end)], []
        for a, b in self.have:
            low, high = max(a, at), min(b, end)
            if low < high:
                differ |= self.data[low:high] != octets[low - at:high - at]
                f, t = todo.pop()
                if f < low:
                    todo.append((f, low))
                todo.append((max(high, f), t))
        for f, t in todo:
            self.data[f:t] = octets[f - at:t - at]
        for a, b in sorted(self.have + [(at, end)]):
            if kept and a <= kept[-1][1]:
                kept[-1] = (kept[-1][0], max(kept[-1][1], b))
            elif a < b:
                kept.append((a, b))
        self.have = kept
        return differ

    def gaps(self):
        end, out, at = max(self.acked, len(self.data)), [], 0
        if self.fin is not None:
            end = self.fin
        for a, b in self.have:
            if a > at:
                out.append((at, min(a, end)))
            at = b
        if at < end:
            out.append((at, end))
        return out


class Flow:
    def __init__(self, text):
        self.text, self.side, self.odd, self.over = text, [None, None], set(), None

    def segment(self, who, seg, good):
        if not good:
            self.odd.add("bad_checksum")
            return
        seq, ack = struct.unpack(">II", seg[4:12])
        flags, payload = seg[13], seg[(seg[12] >> 4) * 4:]
        if flags & SYN:
            if self.side[who] is None:
                self.side[who] = Side(seq)
            return
        me, peer = self.side[who], self.side[1 - who]
        if me is None or self.over:
            return
        at = me.offset(seq)
        if flags & RST:
            if at == me.next():
                self.over = "rst"
            else:
                self.odd.add("rst_in_window" if 0 < at - me.next() < 65536 else "rst_out_of_window")
            return
        if payload and not -ACCEPT < at - me.next() < ACCEPT:
            self.odd.add("out_of_window")
            return
        if peer is not None and flags & ACK:
            told = peer.offset(ack)
            if peer.fin is not None:
                told = min(told, peer.fin)
            if -1 <= told - peer.acked < ACCEPT:
                peer.acked = max(peer.acked, told)
                me.acks.append((at, told))
        if payload and me.fin is not None and at + len(payload) > me.fin:
            self.odd.add("data_after_fin")
            payload = payload[:max(0, me.fin - at)]
        # One octet in front of what is acknowledged: a keep-alive (RFC 9293 3.8.4).
        if payload and not (at + len(payload) <= me.acked and len(payload) == 1) and me.add(at, payload):
            self.odd.add("overlap_diff")
        if flags & FIN and at + len(payload) >= me.next() and me.fin is None:
            me.fin = at + len(payload)


class Dialogue:
    """The octets of both sides as messages: each command has one reply, in order (RFC 5321 4.2, RFC 2920)."""

    def __init__(self, flow):
        self.flow, self.out = flow, []
        self.client, self.server = flow.side
        self.c = bytes(self.client.data) if self.client else b""
        self.gaps = self.client.gaps() if self.client else []
        self.end = len(self.c) if self.client.fin is None else min(len(self.c), self.client.fin)
        self.end = max([self.end] + [b for _, b in self.gaps])
        self.c += bytes(self.end - len(self.c))
        self.replies = self.read_replies() if self.server else None
        self.next = 0

    def read_replies(self):
        """(code, offset of its end) of each reply. A gap between two is taken for one that is not known."""
        data, out = bytearray(self.server.data), []
        self.pipelining = b"-PIPELINING\r\n" in data
        for a, b in self.server.gaps():
            data[a:b] = b"?" * (b - a - 1) + b"\n"
        for m in re.finditer(rb"[^\n]*\n", data):
            line = m.group()
            if line[3:4] != b"-":
                out.append((int(line[:3]) if line[:3].isdigit() else None, m.end()))
        return out

    def reply(self):
        """The next code; None: not known. Without the server's side every command went well."""
        if self.replies is None:
            return 0
        if self.next >= len(self.replies):
            self.next += 1
            return None
        self.next += 1
        return self.replies[self.next - 1][0]

    def gap_in(self, a, b):
        return sum(min(b, y) - max(a, x) for x, y in self.gaps if x < b and y > a)

    def line(self, at):
        end = self.c.find(b"\n", at, self.end)
        end = self.end if end < 0 else end + 1
        return end, self.c[at:end]

    def resync(self, at):
        """Behind the gap at the next MAIL; which reply is next follows from what the client had acknowledged by then."""
        if self.replies is not None and self.pipelining:
            return self.end  # nothing says which reply is whose
        after = max([at] + [b for a, b in self.gaps if a <= at])
        m = re.compile(rb"(?<=\n)mail from:", re.I).search(self.c, after)
        if m and self.replies is not None:
            self.next = self.told(m.start())
        return m.start() if m else self.end

    def told(self, at):
        """The replies that the client had when it sent what begins here."""
        ack = max((ack for off, ack in self.client.acks if off <= at), default=0)
        return sum(1 for r in self.replies if r[1] <= ack)

    def run(self):
        self.reply()
        at, self.sender, self.rcpt = 0, None, []
        while at < self.end:
            end, line = self.line(at)
            if self.gap_in(at, end):
                self.sender, self.rcpt = None, []
                at = self.resync(end if any(a <= at for a, _ in self.gaps) else at)
                continue
            if not line.endswith(b"\n"):
                break
            at = self.command(line.strip(), end)
        return self.out

    def command(self, line, at):
        verb = line.split(b" ")[0].split(b":")[0].upper()
        text = line.decode("latin-1")
        if verb not in VERBS and self.gaps:
            return self.resync(at - 1)
        if verb == b"BDAT":
            return self.bdat(line, at)
        code = self.reply()
        good = code is not None and (code == 0 or code < 400)
        if verb == b"MAIL" and good:
            self.sender, self.rcpt = re.search("<(.*?)>", text).group(1), []
        elif verb == b"RCPT" and good:
            self.rcpt.append(re.search("<(.*?)>", text).group(1))
        elif verb in (b"RSET", b"EHLO", b"HELO"):
            self.sender, self.rcpt = None, []
        elif verb == b"STARTTLS" and good:
            self.out.append({"type": "encrypted", "flow": self.flow.text})
            return self.end
        elif verb == b"AUTH":
            while code == 334:
                at, _ = self.line(at)
                code = self.reply()
        elif verb == b"DATA" and (code in (354, 0)):
            return self.data(at)
        return at

    def data(self, at):
        end = -1
        if self.c[at:at + 3] == b".\r\n" and not self.gap_in(at, at + 3):
            wire, end = b"", at + 3
        look = at
        while end < 0 and (hit := self.c.find(b"\r\n.\r\n", look, self.end)) >= 0:
            if self.gap_in(hit, hit + 5):
                look = hit + 1
                continue
            wire, end = self.c[at:hit + 2], hit + 5
        complete = end >= 0
        if not complete:
            wire, end = self.c[at:self.end], self.end
        content = re.sub(rb"(^|\r\n)\.", rb"\1", wire)
        reply = self.reply() if complete else None
        if self.gap_in(at, end) and complete and self.replies is not None and not self.pipelining:
            # Its own end of data may be what is missing, and this the one of the next.
            self.next = self.told(end)
            reply = self.replies[self.next - 1][0]
            reply = None if reply == 354 else reply  # the capture ends before its own
        self.message(content, self.gap_in(at, end), complete, reply)
        return end

    def bdat(self, line, at):
        content, missing = b"", 0
        while True:
            m = re.fullmatch(rb"BDAT (\d+)( LAST)?", line, re.I)
            n = int(m.group(1))
            have = min(n, self.end - at)
            content += self.c[at:at + have]
            missing += self.gap_in(at, at + have)
            at += have
            if have < n:
                self.message(content, missing, False, None)
                return at
            code = self.reply()
            if m.group(2) or code is None or code >= 400:
                self.message(content, missing, bool(m.group(2)), code)
                return at
            end, line = self.line(at)
            if self.gap_in(at, end) or not re.match(rb"BDAT .*\n", line, re.I):
                self.message(content, missing, False, None)
                return at
            line, at = line.strip(), end

    def message(self, content, missing, complete, code):
        if self.sender is None:  # chunks behind a refused one: their octets are swallowed (RFC 3030 2)
            return
        self.out.append({"flow": self.flow.text, "mail_from": self.sender, "rcpt_to": self.rcpt,
                         "size": len(content) - missing, "sha256": hashlib.sha256(content).hexdigest() if not missing else None,
                         "complete": complete and not missing, "missing": missing, "reply": code or None, "anomalies": []})
        self.sender, self.rcpt = None, []


def observe(path, ports=(25,)):
    """What is in the capture: messages, then what was odd of each flow."""
    open_flows, done = {}, []

    def text(a):
        return ".".join(map(str, a)) if len(a) == 4 else "[" + ":".join(f"{a[i]:02x}{a[i + 1]:02x}" for i in range(0, 16, 2)) + "]"

    for src, dst, seg, good in datagrams(path):
        sport, dport = struct.unpack(">HH", seg[:4])
        who = 0 if dport in ports else 1
        key = (src, sport, dst, dport) if who == 0 else (dst, dport, src, sport)
        flow = open_flows.get(key)
        isn = struct.unpack(">I", seg[4:8])[0]
        if seg[13] & SYN and good and flow and (flow.side[who] is None and flow.side[1 - who] and who == 0 or
                                                flow.side[who] and flow.side[who].isn != isn):
            done.append(open_flows.pop(key))
            flow = None
        if flow is None:
            if not seg[13] & SYN or not good:
                continue
            flow = open_flows[key] = Flow(f"{text(key[0])}:{key[1]}>{text(key[2])}:{key[3]}")
        flow.segment(who, seg, good)
    for flow in done + list(open_flows.values()):
        if flow.side[0] is None:
            continue
        messages = Dialogue(flow).run()
        for side in flow.side:
            if side and side.gaps():
                flow.odd.add("never_seen")
        yield from messages
        yield from ({"flow": flow.text, "anomaly": name} for name in sorted(flow.odd))


if __name__ == "__main__":
    for thing in observe(sys.argv[1], tuple(map(int, sys.argv[2:])) or (25,)):
        print(json.dumps(thing))
