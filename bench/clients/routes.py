#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""Senders of several routes, in one process: routes.py ADDRESS [DOMAIN:SESSIONS:EVERY_MS:OCTETS]...

Each session sends a message to somebody of its domain, waits EVERY_MS (times 0.5 to 1.5), and so on; what is
refused at RCPT it tries again after that time, as another message. A line "ready", then at the end
(SIGTERM) one object on what was heard.
"""
import asyncio
import collections
import json
import random
import signal
import sys

RECIPIENTS = 10000  # of a domain: each is asked for by a callout of its own

heard = collections.defaultdict(collections.Counter)


async def reply(r):
    while True:
        line = await r.readline()
        if not line:
            raise ConnectionError
        if line[3:4] != b"-":
            return line


async def say(r, w, line):
    w.write(line)
    return await reply(r)


async def transaction(r, w, domain, content):
    """False: the session is to end."""
    w.write(b"MAIL FROM:<a@example.net>\r\nRCPT TO:<b%d@%s>\r\n" % (random.randrange(RECIPIENTS), domain.encode()))
    if (await reply(r))[:3] != b"250":
        return False
    answer = await reply(r)
    if answer[:3] != b"250":
        heard[domain]["rcpt " + answer[:9].decode()] += 1
        if answer[:3] == b"421":
            return False
        await say(r, w, b"RSET\r\n")
        return True
    answer = await say(r, w, b"DATA\r\n")
    if answer[:3] == b"354":
        answer = await say(r, w, content)
    heard[domain]["data " + answer[:9].decode()] += 1
    return answer[:3] != b"421"


async def session(address, domain, every, octets):
    content = (b"From: a@example.net\r\nSubject: load\r\n\r\n" + (b"x" * 70 + b"\r\n") * (octets // 72 + 1) + b".\r\n")
    while True:
        try:
            r, w = await asyncio.open_connection(address, 25)
            await reply(r)
            await say(r, w, b"EHLO load.example.net\r\n")
            for _ in range(30):  # and anew, before there are too many commands in one session
                if not await transaction(r, w, domain, content):
                    break
                await asyncio.sleep(every * random.uniform(0.5, 1.5))
            w.close()
        except (ConnectionError, OSError):
            heard[domain]["lost"] += 1
        await asyncio.sleep(every * random.uniform(0.5, 1.5))


async def main():
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    tasks = []
    for arg in sys.argv[2:]:
        domain, sessions, every, octets = arg.split(":")
        tasks += [asyncio.create_task(session(sys.argv[1], domain, int(every) / 1000, int(octets)))
                  for _ in range(int(sessions))]
    print("ready", flush=True)
    await stop.wait()
    for t in tasks:
        t.cancel()
    print(json.dumps({d: dict(h) for d, h in heard.items()}), flush=True)


asyncio.run(main())
