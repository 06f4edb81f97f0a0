"""What a proxy reads from and writes to: a socket, or TLS on one."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
import sys
from typing import Final

__all__ = ["SocketStream", "TLSStream"]

_READ: Final = 2**16

# Value of SO_LINGER with which close() sends a reset: on, for no time.
_RESET: Final = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)


class SocketStream:
    """
    A connected socket, for the running loop.

    Args:
        sock: TCP or Unix.

    """

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        if sock.family in {socket.AF_INET, socket.AF_INET6}:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._sock = sock
        self._loop = asyncio.get_running_loop()

    async def read(self) -> bytes:
        """
        Return what has come, nothing at the end.

        Raises:
            OSError: If the stream is broken.

        """
        return await self._loop.sock_recv(self._sock, _READ)

    async def write(self, data: bytes) -> None:
        """
        Write, as slowly as the peer takes it.

        Raises:
            OSError: If the stream is broken.

        """
        await self._loop.sock_sendall(self._sock, data)

    async def finish(self) -> None:
        """Tell the peer that nothing more will come, and go on reading."""
        with contextlib.suppress(OSError):  # gone already
            self._sock.shutdown(socket.SHUT_WR)

    def close(self, *, reset: bool = False) -> None:
        """Close, in order or with a reset."""
        if reset:
            with contextlib.suppress(OSError):
                self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._sock.close()


class TLSStream(SocketStream):
    """
    TLS on a connected socket.

    The streams of asyncio would do, were it not for the end: they answer the
    peer's by closing both directions, and what is on its way back would be lost.

    Args:
        sock: As for `SocketStream`.
        context: TLS context.
        server_hostname: Whom the peer has to be; None where we are the server.

    """

    def __init__(
        self, sock: socket.socket, context: ssl.SSLContext, server_hostname: str | None = None
    ) -> None:
        super().__init__(sock)
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(
            self._incoming,
            self._outgoing,
            server_side=server_hostname is None,
            server_hostname=server_hostname,
        )
        self._sending = asyncio.Lock()

    async def handshake(self) -> None:
        """
        Agree with the peer; comes first.

        Raises:
            OSError: If it fails.

        """
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                await self._flush()
                await self._feed()
            except ssl.SSLError:
                with contextlib.suppress(OSError):
                    await self._flush()  # tell the peer what it did wrong
                raise
            else:
                await self._flush()
                return

    async def _feed(self) -> None:
        """Hand OpenSSL what has come."""
        data = await super().read()
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    async def _flush(self) -> None:
        """Write what OpenSSL has made."""
        async with self._sending:
            while data := self._outgoing.read():
                await super().write(data)

    async def read(self) -> bytes:
        """Return what has come; see `SocketStream.read`."""
        while True:
            try:
                data = self._tls.read(_READ)
            except ssl.SSLWantReadError:
                data = None
            except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
                return b""  # Flash and many others end without the word of TLS
            # What the peer asks TLS itself is answered, but not behind a writer that
            # waits: its peer may be waiting for us to read.
            if self._outgoing.pending and not self._sending.locked():
                await self._flush()
            if data is not None:
                return data
            await self._feed()

    async def write(self, data: bytes) -> None:
        """Write; see `SocketStream.write`."""
        self._tls.write(data)
        await self._flush()

    async def finish(self) -> None:
        """Say the end in the words of TLS and of TCP; see `SocketStream.finish`."""
        with contextlib.suppress(OSError):
            self._tls.unwrap()
        with contextlib.suppress(OSError):
            await self._flush()
        await super().finish()
