#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""The next hop of no-loss: takes messages and keeps a book of them, and fails at random at every stage.

Two lines a message that it took responsibility for, the first written before an octet of the reply goes out:
    T ID ATTEMPT NAME RECIPIENTS FAULT TIME SUM      SUM: "ok", or "bad" if these are not the octets that were sent
    R ID ATTEMPT TIME                                the whole reply is with the kernel
FAULT is what then happens to the reply: "none"; "ok-..." if all of it goes out, in an odd way; "cut:N", "fin:N" (reset,
end behind N octets of it), under TLS "tls-cut:N", "tls-fin:N" (of its record); "hang", "late", "verylate".
Faults at other stages: "F STAGE KIND".
"""
import argparse
import asyncio
import os
import random
import socket
import ssl
import time

from loss_books import read_message
from loss_stream import Closed, Stream, aim

REPLY = b"250 2.0.0 taken\r\n"
ALERT = bytes.fromhex("15030300020228")  # handshake_failure
# Faults in place of a reply. "fin": an end without close_notify under TLS. "tls": half a record, and the end.
COMMAND = ("4xx", "5xx", "421", "reset", "fin", "hang", "garbage", "tls")
STAGES = {
    "connect": ("4xx", "5xx", "421", "reset", "fin", "hang", "garbage"),
    "ehlo": COMMAND, "mail": COMMAND, "data": COMMAND, "chunk": ("reset", "fin", "hang", "tls"), "dot": ("4xx", "5xx", "reset", "fin", "tls"),
    "rcpt": COMMAND,
    "starttls": ("4xx", "5xx", "421", "reset", "fin", "hang", "garbage", "stripped", "injected"),
    "handshake": ("cut", "cut", "alert", "garbage", "hang", "fin", "wrong-name", "wrong-ca", "wrong-name"),
}
WEIGHT = {"starttls": 12, "handshake": 25, "rcpt": 0.5, "connect": 4, "ehlo": 4}  # most come once a connection only
TEXT = {"4xx": "451 4.3.0 not now", "5xx": "550 5.7.0 never", "421": "421 4.3.2 closing", "garbage": "\x01\x02 what"}


class Hop:
    def __init__(self, args):
        self.args = args
        self.rng = random.Random(args.seed)
        self.book = os.open(args.book, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self.contexts = {}
        for kind, file in (("good", args.cert), ("wrong-name", args.wrong_name), ("wrong-ca", args.wrong_ca)):
            if file:
                self.contexts[kind] = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                self.contexts[kind].load_cert_chain(f"{file}.pem", f"{file}.key")

    def note(self, *words):
        os.write(self.book, (" ".join(map(str, words)) + "\n").encode())

    def fault(self, stage):
        """What goes wrong at this stage, or None."""
        if self.rng.random() >= self.args.rate * WEIGHT.get(stage, 1):
            return None
        kind = self.rng.choice(STAGES[stage])
        self.note("F", stage, kind)
        return kind

    def hit(self, share):
        return self.rng.random() < self.args.aims * share


class Dialogue:
    def __init__(self, hop, sock):
        self.hop, self.rng = hop, hop.rng
        self.s = Stream(sock)
        self.starttls = bool(hop.contexts)
        self.chunking = self.rng.random() < 0.5
        self.rcpts = []

    async def spoil(self, kind):
        """In place of a reply. Returns where the dialogue goes on."""
        s = self.s
        if kind == "hang":
            await asyncio.sleep(self.rng.uniform(3, 5))
            kind = "reset"
        if kind == "tls" and s.ssl:
            record = s.seal(b"250 2.0.0 ok\r\n")
            await s.raw(record[:self.rng.randrange(1, len(record))])
            await asyncio.sleep(0.002)
            kind = self.rng.choice(("reset", "fin"))
        if kind in ("reset", "tls"):
            s.reset()
            raise Closed
        if kind == "fin":
            s.close(notify=False)
            raise Closed
        await s.write(TEXT[kind].encode() + b"\r\n")
        if kind in ("421", "garbage"):
            s.close()
            raise Closed

    async def stage(self, name, good):
        """The reply to a command, or a fault in its place. True if it was the good one."""
        kind = self.hop.fault(name)
        if kind:
            await self.spoil(kind)
            return False
        await self.s.write(good.encode() + b"\r\n")
        return True

    async def ehlo(self):
        words = ["hop.example", "PIPELINING", "8BITMIME", "ENHANCEDSTATUSCODES"]
        if self.chunking:
            words.append("CHUNKING")
        self.stripped = self.hop.fault("starttls") if self.starttls and not self.s.ssl else None
        if self.starttls and not self.s.ssl and self.stripped != "stripped":
            words.append("STARTTLS")
        await self.stage("ehlo", "\r\n".join(
            f"250{'-' if i + 1 < len(words) else ' '}{w}" for i, w in enumerate(words)))

    async def secure(self):
        """STARTTLS and its handshake, with what can go wrong with either."""
        s, kind = self.s, self.stripped
        if kind == "injected":
            await s.write(b"220 2.0.0 go\r\n250 2.0.0 said in clear\r\n")
            kind = None
        elif kind and kind != "stripped":
            await self.spoil(kind)
            return
        else:
            await s.write(b"220 2.0.0 go\r\n")
        kind = self.hop.fault("handshake")
        if kind == "hang":
            await self.spoil(kind)
        if kind in ("alert", "garbage"):
            await s.raw(ALERT if kind == "alert" else b"502 what is that\r\n")
            s.close()
            raise Closed
        if kind == "fin":
            await s.fill()
            s.close()
            raise Closed
        context = self.hop.contexts[kind if kind in self.hop.contexts else "good"]
        await s.handshake(context, True, cut=self.rng.randrange(900) if kind == "cut" else None)

    async def content(self):
        """The lines up to the dot, undone."""
        cut = self.rng.randrange(12, 30) if self.rng.random() < self.hop.args.rate else None
        out, n = [], 0
        while True:
            line = await self.s.readline()
            if line == b".\r\n":
                return b"".join(out)
            out.append(line[1:] if line[:1] == b"." else line)
            n += 1
            if cut is not None and n > cut:
                self.hop.note("F", "body", "reset")
                self.s.reset()
                raise Closed

    async def take(self, data):
        """Either it refuses, and keeps nothing, or it has the message, whatever becomes of the reply."""
        hop, s, rng = self.hop, self.s, self.rng
        kind = hop.fault("dot")
        if kind:
            await self.spoil(kind)
            return
        ident, attempt, good = read_message(data)
        fault, reply, record = "none", REPLY, None
        if rng.random() < 2.5 * hop.args.rate:
            fault = rng.choice(["cut", "cut", "fin", "hang", "late", "verylate", "ok-slow", "ok-multi", "ok-nonotify"])
            record = s.seal(reply) if fault in ("cut", "fin") else None
            if record:
                fault = f"{'tls-' if s.ssl else ''}{fault}:{rng.randrange(len(record))}"
        if rng.random() >= hop.args.forget:
            hop.note("T", ident, attempt, hop.args.name, ",".join(self.rcpts), fault, f"{time.time():.4f}",
                     "ok" if good else "bad")
        if hop.hit(0.003):
            aim(hop.args.aim, rng.choice(("control", "dataplane", hop.args.name)), "dot-out")
            await asyncio.sleep(0.05)
        if record:
            await s.raw(record[:int(fault.split(":")[1])])
            await asyncio.sleep(0.01)
            await self.spoil("fin" if "fin" in fault else "reset")
        if fault == "hang":
            await self.spoil("hang")
        if fault in ("late", "verylate"):
            await asyncio.sleep(rng.uniform(0.5, 1.5) if fault == "late" else rng.uniform(4.6, 7.5))
        if fault == "ok-multi":
            reply = b"250-2.0.0 it is\r\n" + reply
        if fault == "ok-slow":
            for octet in reply:
                await s.write(bytes([octet]))
                await asyncio.sleep(0.001)
        else:
            await s.write(reply)
        hop.note("R", ident, attempt, f"{time.time():.4f}")
        if hop.hit(0.003):
            aim(hop.args.aim, rng.choice(("control", "dataplane", hop.args.name)), "reply-out")
        if fault == "ok-nonotify":
            s.close(notify=False)
            raise Closed

    async def bdat(self, line, good):
        words = line.split()
        n = int(words[1])
        if len(words) < 3:
            raise ValueError(f"a chunk that is not the last: {line!r}")
        kind, got = self.hop.fault("chunk"), self.hop.rng.randrange(n) if n else 0
        data = await self.s.read(got)
        if kind:
            await self.spoil(kind)
        data += await self.s.read(n - got)
        if not good:
            await self.s.write(b"503 5.5.1 no recipients\r\n")
            return
        await self.take(data)

    async def run(self):
        s, good = self.s, False
        if not await self.stage("connect", "220 hop.example"):
            s.close()
            return
        while True:
            line = await s.readline()
            verb = line[:4].upper()
            if verb == b"EHLO":
                await self.ehlo()
            elif verb == b"STAR" and self.starttls and not s.ssl:
                await self.secure()
            elif verb == b"MAIL":
                self.rcpts = []
                good = await self.stage("mail", "250 2.1.0 ok")
            elif verb == b"RCPT":
                if not good:
                    await s.write(b"503 5.5.1 not now\r\n")
                elif await self.stage("rcpt", "250 2.1.5 ok"):
                    self.rcpts.append(line[line.index(b"<") + 1:line.rindex(b">")].decode())
            elif verb == b"DATA":
                if not good or not self.rcpts:
                    await s.write(b"503 5.5.1 no recipients\r\n")
                elif await self.stage("data", "354 go"):
                    await self.take(await self.content())
            elif verb == b"BDAT":
                await self.bdat(line, good and bool(self.rcpts))
            elif verb == b"QUIT":
                await s.write(b"221 2.0.0 bye\r\n")
                s.close()
                return
            else:
                await s.write(b"250 2.0.0 ok\r\n")


async def serve(hop, sock):
    d = Dialogue(hop, sock)
    try:
        await d.run()
    except (Closed, ssl.SSLError, OSError):
        d.s.sock.close()


async def main():
    p = argparse.ArgumentParser()
    p.add_argument("--listen", required=True)
    p.add_argument("--name", required=True)
    p.add_argument("--book", required=True)
    p.add_argument("--aim", default="/nowhere")
    p.add_argument("--rate", type=float, default=0.01, help="share of faults at each stage")
    p.add_argument("--aims", type=float, default=0, help="how often it asks for a kill; 1: 3 in 1000 messages")
    p.add_argument("--forget", type=float, default=0, help="share it answers 250 and throws away: a lie, for --self-test")
    p.add_argument("--cert", help="PEM and key without their endings; else no STARTTLS")
    p.add_argument("--wrong-name")
    p.add_argument("--wrong-ca")
    p.add_argument("--seed", type=int, default=1)
    args = p.parse_args()
    hop = Hop(args)
    host, port = args.listen.rsplit(":", 1)
    listener = socket.create_server((host, int(port)), backlog=1024)
    listener.setblocking(False)
    loop = asyncio.get_running_loop()
    tasks = set()

    while True:
        sock, _ = await loop.sock_accept(listener)
        t = loop.create_task(serve(hop, sock))
        tasks.add(t)
        t.add_done_callback(tasks.discard)


if __name__ == "__main__":
    asyncio.run(main())
