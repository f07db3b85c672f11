#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""Clients that take their time, in one process: slow.py ADDRESS LORIS UPLOADS IDLE ANNOUNCED

LORIS sessions send a command at one octet a second, UPLOADS announce ANNOUNCED octets and send
600 a second, IDLE say EHLO and nothing more. Each has an address of its own in 10.77.0.0/16, which
must be local (ip route add local 10.77.0.0/16 dev lo). A line "ready" when all are up; then one
object a second on what they saw; they are replaced when they are sent away.
"""
import json
import selectors
import socket
import sys
import time

BATCH = 200
PARTS = 20  # of a second: clients are not in step with each other


class Client:
    def __init__(self, kind, n, address, announced):
        self.kind, self.address, self.announced = kind, address, announced
        self.source = f"10.77.{n // 250 % 250}.{n % 250 + 2}"
        self.sock = None
        self.state = "closed"

    def open(self, sel):
        self.sock = socket.socket()
        self.sock.setblocking(False)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.sock.bind((self.source, 0))
        self.sock.connect_ex((self.address, 25))
        self.state, self.seen, self.sent = "banner", b"", 0
        sel.register(self.sock, selectors.EVENT_READ, self)

    def close(self, sel):
        sel.unregister(self.sock)
        self.sock.close()
        self.state = "closed"

    def say(self, data):
        try:
            self.sock.send(data)
        except OSError:
            pass

    def readable(self, sel, told):
        try:
            data = self.sock.recv(4096)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            told["gone"] += 1
            self.close(sel)
            return
        self.seen += data
        if not self.seen.endswith(b"\n"):
            return
        code = self.seen.rstrip(b"\r\n").rsplit(b"\n", 1)[-1][:3].decode("latin-1")
        self.seen = b""
        told[code] = told.get(code, 0) + 1
        if self.state == "banner" and code == "220":
            if self.kind == "loris":
                self.state = "drip"
            else:
                self.say(b"EHLO slow.example.net\r\n")
                self.state = "ehlo"
        elif self.state == "ehlo" and self.kind == "idle":
            self.state = "idle"
        elif self.state == "ehlo":
            self.say(b"MAIL FROM:<a@example.net> SIZE=%d\r\n" % self.announced)
            self.state = "mail"
        elif self.state == "mail" and code == "250":
            self.say(b"RCPT TO:<b@example.com>\r\n")
            self.state = "rcpt"
        elif self.state == "rcpt" and code == "250":
            self.say(b"DATA\r\n")
            self.state = "data"
        elif self.state == "data" and code == "354":
            self.state = "upload"
        elif self.state in ("mail", "rcpt", "data"):
            self.state = "refused"

    def tick(self):
        if self.state == "drip":
            line = b"EHLO " + b"a" * 200
            self.say(line[self.sent % len(line):][:1])
            self.sent += 1
        elif self.state == "upload":
            self.say(b"x" * 598 + b"\r\n")
        elif self.state == "refused":
            self.say(b"MAIL FROM:<a@example.net> SIZE=%d\r\n" % self.announced)
            self.state = "mail"


def main():
    address, loris, uploads, idle, announced = sys.argv[1], *map(int, sys.argv[2:6])
    kinds = ["loris"] * loris + ["upload"] * uploads + ["idle"] * idle
    clients = [Client(k, i, address, announced) for i, k in enumerate(kinds)]
    sel = selectors.DefaultSelector()
    told = {"gone": 0}
    ready, next_tick, part, waiting = False, time.monotonic() + 1, 0, list(reversed(clients))
    while True:
        opening = sum(c.state in ("banner", "ehlo") for c in clients) if waiting else 0
        while waiting and opening < BATCH:
            waiting.pop().open(sel)
            opening += 1
        for key, _ in sel.select(0.5 / PARTS):
            key.data.readable(sel, told)
        settled = ("drip", "idle", "upload", "refused", "mail")
        if not ready and not waiting and all(c.state in settled for c in clients):
            ready = True
            print("ready", flush=True)
        if time.monotonic() >= next_tick:
            next_tick += 1 / PARTS
            for c in clients[part::PARTS]:
                c.tick()
            part = (part + 1) % PARTS
            if ready and not part:
                states = {}
                for c in clients:
                    states[c.state] = states.get(c.state, 0) + 1
                print(json.dumps({"states": states, "replies": told}), flush=True)
            waiting += [c for c in clients if c.state == "closed" and c not in waiting] if ready else []


main()
