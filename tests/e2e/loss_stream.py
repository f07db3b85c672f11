# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
"""One end of a connection, in clear or under TLS, that can be broken at any octet.

TLS is done over memory, so that what goes on the wire is in our hands: half a record, an end without close_notify,
words in clear where the handshake should be.
"""
import array
import asyncio
import contextlib
import fcntl
import socket
import ssl
import struct
import termios

LINE_MAX = 1 << 20


class Closed(Exception):
    """The connection is over, by whomever."""


class Stream:
    def __init__(self, sock):
        self.sock = sock
        self.loop = asyncio.get_running_loop()
        self.buf = bytearray()
        self.ssl = None
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    # ---- reading -------------------------------------------------------------------------
    async def fill(self):
        try:
            data = await self.loop.sock_recv(self.sock, 1 << 16)
            if not data:
                raise Closed
            if not self.ssl:
                self.buf += data
                return
            self.inc.write(data)
            self.decrypt()
        except (OSError, ssl.SSLError, ValueError) as e:
            raise Closed from e

    def decrypt(self):
        with contextlib.suppress(ssl.SSLWantReadError):
            while True:
                data = self.ssl.read(1 << 16)
                if not data:
                    raise Closed
                self.buf += data

    async def readline(self):
        at = 0
        while True:
            end = self.buf.find(b"\n", at)
            if end >= 0:
                line = bytes(self.buf[:end + 1])
                del self.buf[:end + 1]
                return line
            at = len(self.buf)
            if at > LINE_MAX:
                raise Closed
            await self.fill()

    async def read(self, n):
        while len(self.buf) < n:
            await self.fill()
        data = bytes(self.buf[:n])
        del self.buf[:n]
        return data

    def unread(self):
        """Has anything come that nobody has looked at? It is acknowledged then."""
        n = array.array("i", [0])
        with contextlib.suppress(OSError):
            fcntl.ioctl(self.sock, termios.FIONREAD, n)
        return bool(self.buf) or n[0] > 0

    # ---- writing -------------------------------------------------------------------------
    def seal(self, data):
        """What goes on the wire for it."""
        if not self.ssl:
            return data
        self.ssl.write(data)
        return self.out.read()

    async def raw(self, data):
        try:
            await self.loop.sock_sendall(self.sock, data)
        except OSError as e:
            raise Closed from e

    async def write(self, data):
        try:
            data = self.seal(data)
        except ssl.SSLError as e:
            raise Closed from e
        await self.raw(data)

    # ---- TLS -----------------------------------------------------------------------------
    async def handshake(self, context, server_side, name=None, cut=None):
        """cut: so many octets of ours go out, then the connection is reset."""
        self.inc, self.out = ssl.MemoryBIO(), ssl.MemoryBIO()
        obj = context.wrap_bio(self.inc, self.out, server_side=server_side, server_hostname=name)
        self.inc.write(bytes(self.buf))
        self.buf.clear()
        sent = 0
        while True:
            done = False
            try:
                obj.do_handshake()
                done = True
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLError as e:
                with contextlib.suppress(Closed):
                    await self.raw(self.out.read())  # the alert
                raise Closed from e
            data = self.out.read()
            if cut is not None and sent + len(data) >= cut:
                await self.raw(data[:cut - sent])
                await asyncio.sleep(0.002)
                self.reset()
                raise Closed
            sent += len(data)
            if data:
                await self.raw(data)
            if done:
                self.ssl = obj
                self.decrypt()
                return
            try:
                data = await self.loop.sock_recv(self.sock, 1 << 16)
            except OSError as e:
                raise Closed from e
            if not data:
                raise Closed
            self.inc.write(data)

    # ---- the end -------------------------------------------------------------------------
    def reset(self):
        with contextlib.suppress(OSError):
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def close(self, notify=True):
        """With close_notify under TLS, if it is wanted; then FIN."""
        if self.ssl and notify and self.sock.fileno() >= 0:
            with contextlib.suppress(ssl.SSLError, OSError):
                self.ssl.unwrap()
            with contextlib.suppress(OSError):
                self.sock.send(self.out.read())
        self.sock.close()


def aim(path, what, where):
    """Asks no-loss to kill `what` now; it may have killed something a moment ago and not do it."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as s:
        s.sendto(f"{what} {where}".encode(), str(path))
