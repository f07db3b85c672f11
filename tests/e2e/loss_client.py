#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""The senders of no-loss: each message is tried until all its recipients are answered 2xx or 5xx, as an MTA's queue
does it, in clear and under TLS, by DATA and by BDAT, to one route or two.

A line a try: "ID ATTEMPT EVENT RECIPIENTS DOT END FLAG", DOT the time right before the dot (or LAST) went out, END when
the try was over, EVENT one of
    250, 5xx, 4xx  what the message was answered
    250m           2xx from memory: "Message was taken before"
    rcpt4, rcpt5   what a recipient was answered, beside the line of those that were taken, if there were any
    pre4, pre5     DATA or a chunk was refused: the end of the content was not sent
    broken         the connection went before the dot was out
    lost           it went after the dot, without an answer; timeout: no answer came
    reset          we ended it after the dot, and nothing of a reply had come
    unread         we ended it after the dot, and a reply was there that we had not read: it was acknowledged
    gave-up        enough tries
FLAG is "again" for what was sent once more on purpose, after a 250 that was read, "-" else.
"""
import argparse
import asyncio
import collections
import contextlib
import hashlib
import os
import random
import socket
import ssl
import time

from loss_stream import Closed, Stream, aim

HELD = b"held back by a word\r\n"


class Gone(Exception):
    """We ended it ourselves: the event."""


class Sender:
    def __init__(self, args):
        self.args = args
        self.rng = random.Random(args.seed)
        self.book = os.open(args.book, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self.aimed = set()  # connections on which the last 250 was followed by a kill: what is sent twice there?
        self.next = args.first
        self.end = args.first + args.messages
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.context.check_hostname, self.context.verify_mode = False, ssl.CERT_NONE

    def note(self, ident, attempt, event, rcpts, dot, flag):
        os.write(self.book, f"{ident} {attempt} {event} {','.join(rcpts)} {dot:.4f} {time.time():.4f} {flag}\n".encode())

    def hit(self, share):
        return self.rng.random() < share

    # ---- what is sent --------------------------------------------------------------------
    def recipients(self, ident):
        rng = random.Random(f"rcpts {ident}")
        a, b = ([f"{x}@{d}" for x in "abcdefgh"] for d in self.args.domains)
        kind = rng.random()
        if kind < 0.4:
            return [rng.choice(a)]
        if kind < 0.7:
            return [rng.choice(b)]
        if kind < 0.8:
            return rng.sample(a, 3)
        if kind < 0.9:
            return rng.sample(b, 2)
        return rng.sample(rng.sample(a, 2) + rng.sample(b, 2), 4)

    def content(self, ident, attempt, domain):
        rng = random.Random(f"body {ident}")
        lines = [rng.randbytes(30).hex().encode() + b"\r\n" for _ in range(rng.choice((1, 8, 40)))]
        lines.insert(rng.randrange(len(lines) + 1), b"." * rng.randrange(1, 4) + b"\r\n")
        if rng.random() < self.args.held:
            lines.append(HELD)
        body = b"".join(lines)
        return (f"From: a@{domain}\r\nMessage-ID: <{ident}@{domain}>\r\nX-Attempt: {attempt}\r\n"
                f"Date: Fri, 27 Nov 2026 12:00:00 +0000\r\nSubject: {ident}\r\n"
                f"X-Sum: {hashlib.sha256(body).hexdigest()[:16]}\r\n\r\n").encode() + body

    # ---- a session -----------------------------------------------------------------------
    async def reply(self, s):
        async with asyncio.timeout(self.args.timeout):
            while True:
                line = await s.readline()
                if line[3:4] != b"-":
                    return int(line[:3]), line

    async def command(self, s, line):
        await s.write(line.encode() + b"\r\n")
        return (await self.reply(s))[0]

    async def connect(self):
        sock = socket.socket()
        s = Stream(sock)
        try:
            async with asyncio.timeout(self.args.timeout):
                await s.loop.sock_connect(sock, self.args.to)
            if (await self.reply(s))[0] != 220 or await self.command(s, "EHLO client.example.net") != 250:
                raise Closed
            if self.hit(self.args.tls):
                if await self.command(s, "STARTTLS") != 220:
                    raise Closed
                async with asyncio.timeout(self.args.timeout):
                    await s.handshake(self.context, False,
                                      cut=self.rng.randrange(1, 400) if self.hit(self.args.resets) else None)
                if await self.command(s, "EHLO client.example.net") != 250:
                    raise Closed
            return s
        except BaseException:
            sock.close()
            raise

    async def send(self, s, text, bdat):
        """Content, its end included; time right before the end goes out. It may break off before."""
        if bdat:
            at = self.rng.randrange(len(text) - 2) if self.hit(0.5) else 0
            if at:
                await s.write(f"BDAT {at}\r\n".encode() + text[:at])
                code = (await self.reply(s))[0]
                if code != 250:
                    return None, code
            parts = f"BDAT {len(text) - at} LAST\r\n".encode() + text[at:-2], text[-2:]
        else:
            code = await self.command(s, "DATA")
            if code != 354:
                return None, code
            parts = b"".join(b"." + x if x[:1] == b"." else x for x in text.splitlines(True)), b".\r\n"
        if self.hit(self.args.resets):
            wire = s.seal(parts[0])
            await s.raw(wire[:self.rng.randrange(len(wire))])
            self.leave(s)
            raise Closed
        dot = time.time()
        await s.write(b"".join(parts))
        return dot, 0

    def leave(self, s):
        if self.hit(0.5):
            s.reset()
        else:
            s.close(notify=self.hit(0.5))

    async def outcome(self, s, held):
        """The event of a message whose dot is out. What goes to quarantine has more moments at which to die."""
        if self.hit(self.args.resets):
            await asyncio.sleep(self.rng.uniform(0, 0.05))
            # A reply that comes between these two lines is acknowledged and not seen; see loss_books.py.
            event = "unread" if s.unread() else "reset"
            self.leave(s)
            return event
        if self.hit(self.args.aims * (0.015 if held else 0.003)):
            await asyncio.sleep(self.rng.uniform(0, 0.02))
            aim(self.args.aim, self.rng.choice(("control", "control", "dataplane")), "held" if held else "dot-sent")
        aimed = self.hit(self.args.aims * 0.002)
        if aimed:  # its acknowledgement is delayed, as it is with clients that do not speak at once
            s.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 0)
        try:
            code, line = await self.reply(s)
        except (Closed, ValueError):
            s.reset()
            return "lost"
        except TimeoutError:
            s.reset()
            return "timeout"
        if aimed:
            aim(self.args.aim, self.rng.choice(("control", "dataplane")), "250-read")
            await asyncio.sleep(0.02)
            self.aimed.add(s)
        if code < 300:
            return "250m" if b"Message was taken before" in line else "250"
        return "5xx" if code >= 500 else "4xx"

    async def attempt(self, s, m, rcpts, flag="-"):
        """One transaction. (event, recipients that it speaks of)."""
        m.attempt += 1
        rcpts, dot = list(rcpts), 0.0
        try:
            await s.write(b"".join(x.encode() + b"\r\n" for x in (
                f"MAIL FROM:<{m.ident}@{m.domain}>", *(f"RCPT TO:<{r}>" for r in rcpts))))
            codes = [(await self.reply(s))[0] for _ in range(1 + len(rcpts))]
            refused = {r: c for r, c in zip(rcpts, codes[1:]) if c >= 400}
            for r, c in refused.items():
                if codes[0] < 400 and not (c == 452 and len(refused) < len(rcpts)):
                    self.note(m.ident, m.attempt, "rcpt5" if c >= 500 else "rcpt4", [r], 0, flag)
                    if m.refused(r, c) and c < 500:
                        self.note(m.ident, m.attempt, "gave-up", [r], 0, flag)
            rcpts = [r for r in rcpts if r not in refused]
            if not rcpts:
                await self.command(s, "RSET")
                return "refused", []
            text = self.content(m.ident, m.attempt, m.domain)
            dot, code = await self.send(s, text, self.hit(0.3))
            if dot is None:
                dot = 0.0
                await self.command(s, "RSET")
                event = "pre5" if code >= 500 else "pre4"
            else:
                event = await self.outcome(s, text.endswith(HELD))
        except (Closed, OSError, ValueError, TimeoutError):
            s.reset()
            event = "broken"
        if rcpts:
            self.note(m.ident, m.attempt, event, rcpts, dot, flag)
        return event, rcpts

    async def until_answered(self, s, m):
        """The connection that is left, or None."""
        for k in range(self.args.tries):
            began, event, rcpts = time.time(), "broken", []
            with contextlib.suppress(Closed, OSError, ValueError, TimeoutError):
                s = s or await self.connect()
                event, rcpts = await self.attempt(s, m, m.pending)
            if event in ("broken", "lost", "timeout", "reset", "unread"):
                s = None
            if event in ("250", "250m", "5xx", "pre5"):
                m.pending = [r for r in m.pending if r not in rcpts]
            if event in ("250", "250m"):
                m.taken.append(rcpts)
            if not m.pending:
                return s
            if event in ("250", "250m"):
                continue
            # What took long is under way, maybe, and so is what we ran away from: half of the senders come again when
            # that is over, and have to be answered from the table then.
            wait = 6 if time.time() - began > 4 else 2.5 if event in ("reset", "lost") else 0
            await asyncio.sleep(wait * self.hit(0.5) + self.rng.uniform(0.02, 0.1) * min(k + 1, 20))
        m.attempt += 1
        self.note(m.ident, m.attempt, "gave-up", m.pending, 0, "-")
        return s

    async def session(self):
        s = None
        while self.next < self.end:
            m = Message(self, f"m{self.next}")
            self.next += 1
            s = await self.until_answered(s, m)
            if s and m.taken and (self.hit(self.args.twice) or s in self.aimed):
                self.aimed.discard(s)
                # The 250 was read, so it is acknowledged once the next command was answered.
                with contextlib.suppress(Closed, OSError, ValueError, TimeoutError):
                    await self.command(s, "NOOP")
                    event, _ = await self.attempt(s, m, self.rng.choice(m.taken), "again")
                    if event in ("250", "250m", "4xx", "5xx", "pre4", "pre5", "refused"):
                        continue
                s = None
            elif s and self.hit(0.05):
                self.leave(s)
                s = None


class Message:
    def __init__(self, sender, ident):
        self.ident = ident
        self.domain = f"d{random.Random(ident).randrange(5000)}.example.net"
        self.pending = sender.recipients(ident)
        self.attempt = 0
        self.taken = []
        self.deferred = collections.Counter()  # by recipient

    def refused(self, rcpt, code):
        """Over for it? A refusal at delivery is remembered for 15 minutes, which nobody here waits for."""
        self.deferred[rcpt] += code < 500
        if rcpt in self.pending and (code >= 500 or self.deferred[rcpt] == 5):
            self.pending = [r for r in self.pending if r != rcpt]
            return True
        return False


async def main():
    p = argparse.ArgumentParser()
    p.add_argument("--to", required=True)
    p.add_argument("--book", required=True)
    p.add_argument("--aim", default="/nowhere")
    p.add_argument("--messages", type=int, default=1000)
    p.add_argument("--first", type=int, default=0)
    p.add_argument("--sessions", type=int, default=20)
    p.add_argument("--resets", type=float, default=0.01, help="share of messages in or behind which the client goes")
    p.add_argument("--twice", type=float, default=0.02, help="share that is sent twice on purpose")
    p.add_argument("--tls", type=float, default=0.3, help="share of sessions under TLS")
    p.add_argument("--held", type=float, default=0.08, help="share that policy holds back")
    p.add_argument("--aims", type=float, default=0, help="how often it asks for a kill; 1: 5 in 1000 messages")
    p.add_argument("--tries", type=int, default=60)
    p.add_argument("--timeout", type=float, default=6.5)
    p.add_argument("--domains", nargs=2, default=["example.com", "example.org"], help="of the two routes")
    p.add_argument("--seed", type=int, default=1)
    args = p.parse_args()
    host, port = args.to.rsplit(":", 1)
    args.to = (host, int(port))
    sender = Sender(args)
    await asyncio.gather(*(sender.session() for _ in range(args.sessions)))


if __name__ == "__main__":
    asyncio.run(main())
