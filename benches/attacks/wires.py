"""What attackers write: frames that end with a zero byte, or those of a WebSocket."""

from __future__ import annotations

import contextlib
import socket
import struct
from typing import TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:
    import ssl

__all__ = ["WIRES", "Client", "Wire"]

PATIENCE = 60.0
"""Seconds to wait for an answer; an attack that takes longer is broken off."""


class Wire(Protocol):
    """How frames are written and read."""

    end: bytes
    """What ends a frame."""

    def hello(self) -> bytes:
        """Return what opens a connection; the answer ends with an empty line, if there is one."""

    def start(self, size: int) -> bytes:
        """Return what stands before the payload of a frame of ``size`` bytes."""

    def split(self, data: bytearray) -> bytes | None:
        """Cut the first frame of a server off ``data``, if it is whole."""

    def received(self, size: int) -> int:
        """Return how many bytes a server's frame with a payload of ``size`` has."""


class ZeroBytes:
    """XMLSocket."""

    end = b"\0"

    def hello(self) -> bytes:
        """Return nothing."""
        return b""

    def start(self, size: int) -> bytes:  # noqa: ARG002 - nobody is told
        """Return nothing."""
        return b""

    def split(self, data: bytearray) -> bytes | None:
        """Cut the first frame off, if it is whole."""
        frame, end, rest = data.partition(b"\0")
        if not end:
            return None
        data[:] = rest
        return bytes(frame)

    def received(self, size: int) -> int:
        """Return the size with its zero byte."""
        return size + 1


class WebSocket:
    """Text frames, masked with zeros: which leaves the payload as it is."""

    end = b""

    def hello(self) -> bytes:
        """Return the request."""
        return (
            b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        )

    def start(self, size: int) -> bytes:
        """Return the header."""
        if size < 126:
            return bytes([0x81, 0x80 | size, 0, 0, 0, 0])
        if size < 2**16:
            return struct.pack("!BBHI", 0x81, 0xFE, size, 0)
        return struct.pack("!BBQI", 0x81, 0xFF, size, 0)

    def split(self, data: bytearray) -> bytes | None:
        """Cut the first frame off, if it is whole."""
        if len(data) < 2:
            return None
        size, at = data[1] & 0x7F, 2
        if size >= 126:
            at = 4 if size == 126 else 10
            size = int.from_bytes(data[2:at])
        if len(data) < at + size:
            return None
        frame = bytes(data[at : at + size])
        del data[: at + size]
        return frame

    def received(self, size: int) -> int:
        """Return the size with its header, which has no mask."""
        return len(self.start(size)) - 4 + size


WIRES: dict[str, Wire] = {"xmlsocket": ZeroBytes(), "websocket": WebSocket()}
"""By what a server speaks."""


class Client:
    """
    A connection that asks and waits: blocking, and as plain as can be.

    A context manager that closes it.

    Args:
        address: Of the server.
        wire: What it speaks.
        context: For TLS.
        patience: Seconds for whatever it waits for.

    Raises:
        OSError: If it cannot connect, or waits too long; also ``ask``.

    """

    def __init__(
        self,
        address: tuple[str, int],
        wire: Wire,
        context: ssl.SSLContext | None = None,
        patience: float = PATIENCE,
    ) -> None:
        self.wire = wire
        self.sock = socket.create_connection(address, patience)
        self._data = bytearray()
        try:
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if context is not None:
                self.sock = context.wrap_socket(self.sock, server_hostname="localhost")
            self._open()
        except BaseException:
            self.sock.close()
            raise

    def _open(self) -> None:
        if hello := self.wire.hello():
            self.sock.sendall(hello)
            while b"\r\n\r\n" not in self._data:
                self._read()
            del self._data[: self._data.index(b"\r\n\r\n") + 4]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def _read(self) -> None:
        data = self.sock.recv(2**16)
        if not data:
            raise ConnectionResetError("closed by the server")
        self._data += data

    def frame(self, payload: bytes) -> bytes:
        """Return a frame as it is written."""
        return self.wire.start(len(payload)) + payload + self.wire.end

    def ask(self, payload: bytes) -> bytes:
        """Send a frame and return the next that comes."""
        self.sock.sendall(self.frame(payload))
        return self.next()

    def next(self) -> bytes:
        """Return the next frame."""
        while (frame := self.wire.split(self._data)) is None:
            self._read()
        return frame

    def waiting(self) -> bool:
        """Read what has come, and return whether a frame is still missing."""
        self.sock.setblocking(False)
        try:
            with contextlib.suppress(BlockingIOError):
                self._read()
        finally:
            self.sock.settimeout(PATIENCE)
        found = self.wire.split(self._data)
        return found is None
