"""TLS contexts of a throw-away authority, for tests on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import ssl
import threading
from typing import TYPE_CHECKING

import trustme

if TYPE_CHECKING:
    import socket

_MAKING = threading.Lock()


def contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return a server's context and that of a client who trusts it, for 127.0.0.1 and localhost."""
    # Two threads that come at once would each get an authority that the other does not trust.
    with _MAKING:
        return _contexts()


@functools.cache
def _contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1", "::1").configure_cert(server)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(client)
    return server, client


class Shaken:
    """The client's side of TLS in memory, so that a test decides what leaves together."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = contexts()[1].wrap_bio(self._in, self._out, server_hostname="localhost")

    async def shake(self) -> None:
        """Do the client's part of the handshake; its last words still wait to be sent."""
        loop = asyncio.get_running_loop()
        self._sock.setblocking(False)
        while True:
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                self.send()
                self._in.write(await loop.sock_recv(self._sock, 2**16))
            else:
                return

    def say_goodbye(self) -> None:
        """Add the end of TLS to what waits."""
        with contextlib.suppress(ssl.SSLWantReadError):  # it wants to hear the server's
            self.tls.unwrap()

    def send(self) -> None:
        """Send what waits, at once."""
        self._sock.sendall(self._out.read())

    async def read(self) -> bytes:
        """Read what was sent to this side, or the end: no bytes."""
        while True:
            try:
                return self.tls.read(2**16)
            except ssl.SSLWantReadError:
                data = await asyncio.get_running_loop().sock_recv(self._sock, 2**16)
                if not data:
                    return b""
                self._in.write(data)

    async def ended(self) -> bool:
        """Wait for the end of the stream, in order or not."""
        with contextlib.suppress(ConnectionError):
            while await asyncio.get_running_loop().sock_recv(self._sock, 2**16):
                pass
        return True
