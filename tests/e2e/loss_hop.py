#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""The next hop of no-loss: takes messages and keeps a book of them, and fails at random at every stage.

One line a message that it took responsibility for: "ID FAULT", written before an octet of the reply goes out. FAULT is
what then happened to the reply: "none", "cut:N" (reset behind N octets of it), "hang" or "late".
"""
import argparse
import asyncio
import contextlib
import os
import random
import socket
import struct

REPLY = b"250 2.0.0 taken\r\n"


class Closed(Exception):
    pass


class Hop:
    def __init__(self, args):
        self.rng = random.Random(args.seed)
        self.rate = args.rate
        self.book = os.open(args.book, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self.faults = {}

    def chance(self, share=1.0):
        return self.rng.random() < self.rate * share

    def count(self, name):
        self.faults[name] = self.faults.get(name, 0) + 1

    def reset(self, writer):
        with contextlib.suppress(OSError, AttributeError):
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
        raise Closed

    async def stage(self, writer, name, good):
        """The reply to a command, or a fault in its place. True if it was the good one."""
        if self.chance():
            kind = self.rng.choice(["4xx", "5xx", "reset", "hang", "garbage", "421"] if name not in ("rcpt",)
                                   else ["4xx", "reset", "hang", "421"])
            self.count(f"{name} {kind}")
            if kind == "reset":
                self.reset(writer)
            if kind == "hang":
                await asyncio.sleep(self.rng.uniform(1, 3))
                self.reset(writer)
            text = {"4xx": "451 4.3.0 not now", "5xx": "550 5.7.0 never", "421": "421 4.3.2 closing",
                    "garbage": "\x01\x02 what"}[kind]
            writer.write(text.encode() + b"\r\n")
            await writer.drain()
            if kind in ("421", "garbage"):
                raise Closed
            return False
        writer.write(good.encode() + b"\r\n")
        await writer.drain()
        return True

    async def content(self, reader, writer):
        ident = None
        cut = self.rng.randrange(4) if self.chance() else None
        n = 0
        while True:
            line = await reader.readline()
            if not line:
                raise Closed
            if line == b".\r\n":
                return ident
            if ident is None and line.startswith(b"Message-ID: <"):
                ident = line[13:].split(b"@")[0].decode()
            n += 1
            if cut is not None and n > 12 + cut:
                self.count("body reset")
                self.reset(writer)

    async def end(self, writer, ident):
        """Either it refuses, and keeps nothing, or it has the message, whatever becomes of the reply."""
        if self.chance():
            kind = self.rng.choice(["4xx", "5xx", "reset"])
            self.count(f"dot {kind}")
            if kind == "reset":
                self.reset(writer)
            writer.write(b"452 4.3.1 no room\r\n" if kind == "4xx" else b"554 5.6.0 not this one\r\n")
            await writer.drain()
            return
        fault = "none"
        if self.chance(2):
            fault = self.rng.choice([f"cut:{self.rng.randrange(len(REPLY))}", "hang", "late"])
            self.count(f"reply {fault.split(':')[0]}")
        os.write(self.book, f"{ident} {fault}\n".encode())
        if fault.startswith("cut:"):
            writer.write(REPLY[:int(fault[4:])])
            await writer.drain()
            await asyncio.sleep(0.01)
            self.reset(writer)
        if fault == "hang":
            await asyncio.sleep(self.rng.uniform(2, 4))
            self.reset(writer)
        if fault == "late":
            await asyncio.sleep(self.rng.uniform(0.5, 1.5))
        writer.write(REPLY)
        await writer.drain()

    async def dialogue(self, reader, writer):
        if not await self.stage(writer, "connect", "220 hop.example"):
            return
        while True:
            line = await reader.readline()
            if not line:
                return
            verb = line[:4].upper()
            if verb in (b"EHLO", b"HELO"):
                await self.stage(writer, "ehlo", "250-hop.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 ENHANCEDSTATUSCODES")
            elif verb == b"MAIL":
                good = await self.stage(writer, "mail", "250 2.1.0 ok")
            elif verb == b"RCPT":
                good = good and await self.stage(writer, "rcpt", "250 2.1.5 ok")
                if not good:
                    pass
            elif verb == b"DATA":
                if not good:
                    writer.write(b"503 5.5.1 no recipients\r\n")
                elif await self.stage(writer, "data", "354 go"):
                    await self.end(writer, await self.content(reader, writer))
            elif verb == b"QUIT":
                writer.write(b"221 2.0.0 bye\r\n")
                return
            else:
                writer.write(b"250 2.0.0 ok\r\n")

    async def serve(self, reader, writer):
        try:
            await self.dialogue(reader, writer)
        except (Closed, OSError, asyncio.IncompleteReadError, ValueError):
            pass
        finally:
            with contextlib.suppress(Exception):
                writer.close()


async def main():
    p = argparse.ArgumentParser()
    p.add_argument("--listen", required=True)
    p.add_argument("--book", required=True)
    p.add_argument("--rate", type=float, default=0.01, help="share of faults at each stage")
    p.add_argument("--seed", type=int, default=1)
    args = p.parse_args()
    hop = Hop(args)
    host, port = args.listen.rsplit(":", 1)
    server = await asyncio.start_server(hop.serve, host, int(port), reuse_port=True, limit=1 << 20, backlog=1024)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
