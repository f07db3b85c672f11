#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""A next hop whose replies a test can script; what it accepts lies byte for byte in --inbox.

Written on plain sockets, so that it can misbehave in ways in which no library would. It is not
aiosmtpd because the received octets must be kept as they came, dot-stuffing apart.

--rule STAGE[:MATCH]=ACTION, first match wins. STAGE: connect ehlo mail rcpt data body dot.
MATCH: substring of the command line (from data on: of the MAIL line). ACTION: "CODE text" | drop | hang | delay SECONDS | await FILE: until
it is there.
"""
import argparse
import hashlib
import itertools
import os
import pathlib
import socket
import threading
import time

serial = itertools.count(1)


class Drop(Exception):
    pass


class Server:
    def __init__(self, args):
        self.inbox = pathlib.Path(args.inbox)
        self.rules = []
        for r in args.rule:
            left, action = r.split("=", 1)
            stage, _, match = left.partition(":")
            self.rules.append((stage, match.lower(), action))
        host, port = args.listen.rsplit(":", 1)
        self.sock = socket.create_server((host.strip("[]"), int(port)), backlog=256)
        self.log_lock = threading.Lock()

    def log(self, text):
        with self.log_lock:
            with open(self.inbox / "log", "a") as f:
                f.write(text + "\n")

    def act(self, conn, stage, line, default):
        """Carries out the first rule that fits; True when the default reply was sent."""
        for s, match, action in self.rules:
            if s == stage and match in line.lower():
                if action == "drop":
                    raise Drop
                if action == "hang":
                    time.sleep(3600)
                if action.startswith("delay "):
                    time.sleep(float(action.split()[1]))
                    continue
                if action.startswith("await "):
                    while not os.path.exists(action.split(" ", 1)[1]):
                        time.sleep(0.05)
                    continue
                conn.sendall((action + "\r\n").encode())
                return False
        if default:
            conn.sendall((default + "\r\n").encode())
        return True

    def session(self, conn, peer):
        f = conn.makefile("rb")
        sender, rcpts = None, []
        try:
            if not self.act(conn, "connect", "", "220 hop.example.com ESMTP"):
                return
            while True:
                raw = f.readline(4096)
                if not raw:
                    return
                line = raw.decode("latin-1").rstrip("\r\n")
                verb = line[:4].upper()
                if verb == "EHLO":
                    self.act(conn, "ehlo", line, "250-hop.example.com\r\n250-PIPELINING\r\n"
                             "250-SIZE 104857600\r\n250-ENHANCEDSTATUSCODES\r\n250 8BITMIME")
                elif verb == "HELO":
                    self.act(conn, "ehlo", line, "250 hop.example.com")
                elif verb == "MAIL":
                    if self.act(conn, "mail", line, "250 2.1.0 ok"):
                        sender, rcpts = line, []
                elif verb == "RCPT":
                    if self.act(conn, "rcpt", line, "250 2.1.5 ok"):
                        rcpts.append(line)
                elif verb == "DATA":
                    if not rcpts:
                        conn.sendall(b"503 5.5.1 no recipients\r\n")
                        continue
                    if not self.act(conn, "data", sender, "354 go"):
                        continue
                    self.data(conn, f, peer, sender, rcpts)
                    sender, rcpts = None, []
                elif verb == "RSET":
                    sender, rcpts = None, []
                    conn.sendall(b"250 2.0.0 ok\r\n")
                elif verb == "QUIT":
                    conn.sendall(b"221 2.0.0 bye\r\n")
                    return
                elif verb == "NOOP":
                    conn.sendall(b"250 2.0.0 ok\r\n")
                else:
                    conn.sendall(b"502 5.5.1 unknown\r\n")
        except (Drop, OSError):
            pass
        finally:
            f.close()
            conn.close()

    def data(self, conn, f, peer, sender, rcpts):
        self.act(conn, "body", sender or "", "")
        out = []
        while True:
            line = f.readline()
            if not line:
                raise Drop
            if line == b".\r\n":
                break
            out.append(line[1:] if line.startswith(b".") else line)
        content = b"".join(out)
        for s, match, action in self.rules:
            if s == "dot" and match in (sender or "").lower() and action[0].isdigit():
                conn.sendall((action + "\r\n").encode())
                return
        n = next(serial)
        digest = hashlib.sha256(content).hexdigest()
        name = f"{os.getpid()}-{n:06d}"
        tmp = self.inbox / f".{name}"
        tmp.write_bytes(content)
        (self.inbox / f"{name}.env").write_text("\n".join([sender, *rcpts]) + "\n")
        os.replace(tmp, self.inbox / f"{name}.eml")
        self.log(f"{name} {digest} {len(content)} {peer[0]} {sender}")
        self.act(conn, "dot", sender or "", f"250 2.0.0 ok: queued as {name}")

    def serve(self):
        while True:
            conn, peer = self.sock.accept()
            conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self.session, args=(conn, peer), daemon=True).start()


if __name__ == "__main__":
    p = argparse.ArgumentParser()
    p.add_argument("--listen", required=True)
    p.add_argument("--inbox", required=True)
    p.add_argument("--rule", action="append", default=[])
    Server(p.parse_args()).serve()
