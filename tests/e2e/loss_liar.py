#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""A relay in the gateway's place that lies, so that no-loss shows that it would notice (--self-test).

Lies, each told about one message in fifty: drop (250, and nothing is delivered), bounce (delivered, 550), defer
(delivered, 451), double (delivered twice), damage (an octet is another), memory ("taken before", which is not true),
amnesia (none, but it delivers what its client ran away from, and knows nothing of it when it comes again).
"""
import argparse
import asyncio
import random
import socket

from loss_stream import Closed, Stream

LIES = ("drop", "bounce", "defer", "double", "damage", "memory", "amnesia")


class Liar:
    def __init__(self, args):
        self.args, self.rng = args, random.Random(args.seed)

    async def deliver(self, sender, rcpts, text):
        sock = socket.socket()
        s = Stream(sock)
        host, port = self.args.to[rcpts[0].split("@")[1]]
        await s.loop.sock_connect(sock, (host, port))
        await s.readline()
        for line in ("EHLO liar.example", f"MAIL FROM:<{sender}>", *(f"RCPT TO:<{r}>" for r in rcpts), "DATA"):
            await s.write(line.encode() + b"\r\n")
            while (await s.readline())[3:4] == b"-":
                pass
        await s.write(text + b".\r\n")
        await s.readline()
        s.close()

    async def message(self, s, sender, rcpts, text):
        lie = self.args.lie if self.rng.random() < 0.02 else ""
        if lie == "damage":
            text = text[:-4] + b"g" + text[-3:]  # no digit of what is sent
        if lie not in ("drop", "memory"):
            await self.deliver(sender, rcpts, text)
        if lie == "double":
            await self.deliver(sender, rcpts, text)
        await s.write({"bounce": b"550 5.7.1 no\r\n", "defer": b"451 4.3.0 later\r\n",
                       "memory": b"250 2.0.0 Message was taken before id=0\r\n"}.get(lie, b"250 2.0.0 ok\r\n"))

    async def run(self, s):
        await s.write(b"220 liar.example\r\n")
        sender, rcpts = "", []
        while True:
            line = (await s.readline()).decode()
            verb, reply = line[:4].upper(), b"250 2.0.0 ok\r\n"
            if verb == "MAIL":
                sender, rcpts = line[line.index("<") + 1:line.index(">")], []
            elif verb == "RCPT":
                rcpt = line[line.index("<") + 1:line.index(">")]
                if rcpts and rcpt.split("@")[1] != rcpts[0].split("@")[1]:
                    reply = b"452 4.5.3 another route\r\n"
                else:
                    rcpts.append(rcpt)
            elif verb == "BDAT":
                text = b""
                while True:
                    n, *last = line.split()[1:]
                    text += await s.read(int(n))
                    if last:
                        break
                    await s.write(reply)
                    line = (await s.readline()).decode()
                text = b"".join(b"." + x if x[:1] == b"." else x for x in text.splitlines(True))
                await self.message(s, sender, rcpts, text)
                continue
            elif verb == "DATA":
                await s.write(b"354 go\r\n")
                text = b""
                while (line := await s.readline()) != b".\r\n":
                    text += line
                await self.message(s, sender, rcpts, text)
                continue
            await s.write(reply)

    async def serve(self, sock):
        s = Stream(sock)
        try:
            await self.run(s)
        except (Closed, OSError, ValueError):
            s.sock.close()


async def main():
    p = argparse.ArgumentParser()
    p.add_argument("--listen", required=True)
    p.add_argument("--to", nargs="+", required=True, help="DOMAIN=HOST:PORT")
    p.add_argument("--lie", choices=LIES, required=True)
    p.add_argument("--seed", type=int, default=1)
    args = p.parse_args()
    args.to = {d: (h.rsplit(":", 1)[0], int(h.rsplit(":", 1)[1])) for d, h in (x.split("=") for x in args.to)}
    liar = Liar(args)
    host, port = args.listen.rsplit(":", 1)
    listener = socket.create_server((host, int(port)), backlog=256)
    listener.setblocking(False)
    loop, tasks = asyncio.get_running_loop(), set()
    while True:
        sock, _ = await loop.sock_accept(listener)
        t = loop.create_task(liar.serve(sock))
        tasks.add(t)
        t.add_done_callback(tasks.discard)


if __name__ == "__main__":
    asyncio.run(main())
