#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""The senders of no-loss: each message is tried until it is answered 2xx or 5xx, as an MTA's queue does it.

A line a try: "ID EVENT TIME", EVENT one of
    250, 5xx, 4xx  what the message was answered, at whatever stage
    broken         the connection went before the dot was out
    lost           it went after the dot, without an answer
    reset          we reset it ourselves after the dot, without reading on
    again-250      sent once more on purpose, after a 250 that was read, and answered 250
    gave-up        enough tries
"""
import argparse
import asyncio
import contextlib
import os
import random
import socket
import struct
import time


class Broken(Exception):
    pass


class Sender:
    def __init__(self, args):
        self.args = args
        self.rng = random.Random(args.seed)
        self.book = os.open(args.book, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self.next = args.first
        self.end = args.first + args.messages

    def note(self, ident, event):
        os.write(self.book, f"{ident} {event} {time.time():.3f}\n".encode())

    async def reply(self, reader):
        while True:
            line = await asyncio.wait_for(reader.readline(), self.args.timeout)
            if not line:
                raise Broken
            if line[3:4] != b"-":
                return int(line[:3])

    def content(self, ident):
        rng = random.Random(ident)
        return (f"From: a@{self.args.domain}\r\nMessage-ID: <{ident}@{self.args.domain}>\r\n"
                f"Date: Fri, 27 Nov 2026 12:00:00 +0000\r\nSubject: {ident}\r\n\r\n").encode() + \
            b"".join(rng.randbytes(30).hex().encode() + b"\r\n" for _ in range(rng.choice((1, 8, 40)))) + b".\r\n"

    async def connect(self):
        reader, writer = await asyncio.wait_for(asyncio.open_connection(*self.args.to), self.args.timeout)
        if await self.reply(reader) != 220:
            writer.transport.abort()
            raise Broken
        writer.write(b"EHLO client.example.net\r\n")
        if await self.reply(reader) != 250:
            writer.transport.abort()
            raise Broken
        return reader, writer

    async def attempt(self, conn, ident):
        """The event; the connection is good for the next message unless an exception says otherwise."""
        reader, writer = conn
        writer.write(f"MAIL FROM:<s@{self.args.domain}>\r\nRCPT TO:<{self.rng.choice('abcdefgh')}@example.com>\r\n"
                     "DATA\r\n".encode())
        codes = [await self.reply(reader) for _ in range(3)]
        bad = next((c for c in codes[:2] if c >= 400), codes[2] if codes[2] != 354 else 0)
        if bad:
            if codes[2] == 354:
                raise Broken
            writer.write(b"RSET\r\n")
            await self.reply(reader)
            return "5xx" if bad >= 500 else "4xx"
        writer.write(self.content(ident))
        await writer.drain()
        if self.rng.random() < self.args.resets:
            await asyncio.sleep(self.rng.uniform(0, 0.05))
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
            return "reset"
        try:
            code = await self.reply(reader)
        except (Broken, OSError, asyncio.TimeoutError, ValueError):
            writer.transport.abort()
            return "lost"
        return "250" if code < 300 else "5xx" if code >= 500 else "4xx"

    async def until_answered(self, conn, ident):
        """The connection that is left, or None."""
        for k in range(self.args.tries):
            event = "broken"
            try:
                conn = conn or await self.connect()
                event = await self.attempt(conn, ident)
            except (Broken, OSError, asyncio.TimeoutError, ValueError):
                if conn:
                    conn[1].transport.abort()
            if event in ("broken", "lost", "reset"):
                conn = None
            self.note(ident, event)
            if event in ("250", "5xx"):
                return conn, event
            await asyncio.sleep(self.rng.uniform(0.02, 0.1) * min(k + 1, 20))
        self.note(ident, "gave-up")
        return conn, "gave-up"

    async def session(self):
        conn = None
        while self.next < self.end:
            ident = f"m{self.next}"
            self.next += 1
            conn, event = await self.until_answered(conn, ident)
            if event == "250" and conn and self.rng.random() < self.args.twice:
                # The 250 was read, so it is acknowledged once the next command was answered.
                with contextlib.suppress(Broken, OSError, asyncio.TimeoutError, ValueError):
                    conn[1].write(b"NOOP\r\n")
                    await self.reply(conn[0])
                    event = await self.attempt(conn, ident)
                    self.note(ident, f"again-{event}")
                    if event in ("lost", "reset"):
                        conn = None
                    continue
                conn = None


async def main():
    p = argparse.ArgumentParser()
    p.add_argument("--to", required=True)
    p.add_argument("--book", required=True)
    p.add_argument("--messages", type=int, default=1000)
    p.add_argument("--first", type=int, default=0)
    p.add_argument("--sessions", type=int, default=20)
    p.add_argument("--resets", type=float, default=0.01, help="share of messages after whose dot the client resets")
    p.add_argument("--twice", type=float, default=0.01, help="share that is sent twice on purpose")
    p.add_argument("--tries", type=int, default=60)
    p.add_argument("--timeout", type=float, default=20)
    p.add_argument("--domain", default="example.net")
    p.add_argument("--seed", type=int, default=1)
    args = p.parse_args()
    host, port = args.to.rsplit(":", 1)
    args.to = (host, int(port))
    sender = Sender(args)
    await asyncio.gather(*(sender.session() for _ in range(args.sessions)))


if __name__ == "__main__":
    asyncio.run(main())
