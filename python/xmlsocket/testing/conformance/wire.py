"""
One connection to a server under test.

Bytes go out as a check wants them cut; what comes is split at its zero bytes, and
nothing else is done to it. It shares no code with the package's own transports
and codec, which are among what is tested.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import secrets
import selectors
import socket
import ssl
import struct
import sys
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

__all__ = [
    "BINARY",
    "CLOSE",
    "CONTINUATION",
    "PING",
    "TEXT",
    "Ended",
    "Silent",
    "WebSocketWire",
    "Wire",
]

_READ: Final = 2**16
_RESET: Final = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)

CONTINUATION: Final = 0
TEXT: Final = 1
BINARY: Final = 2
CLOSE: Final = 8
PING: Final = 9
_PONG: Final = 10
_FINAL: Final = 0x80
_MASKED: Final = 0x80
_SMALL: Final = 125
_MEDIUM: Final = 126
_CODE: Final = 2  # bytes of a close code
_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Silent(Exception):
    """Nothing came in time, or nothing was taken."""


class Ended(Exception):
    """The server has ended the connection; the text says how."""


class Wire:
    """
    A stream to the server, without a protocol.

    Args:
        sock: Connected, after its TLS handshake if it has one.
        timeout: Seconds that a wait takes at most, unless it is told another time.

    Attributes:
        buffer: What has come and was not taken yet.
        timeout: As the argument; may be set.
        ended: How the server ended the connection: ``"closed"`` or ``"reset"``;
            None while it has not.

    """

    def __init__(self, sock: socket.socket, timeout: float) -> None:
        self.buffer: bytearray = bytearray()
        self.ended: str | None = None
        self._sock = sock
        self.timeout: float = timeout
        self._searched = 0
        sock.setblocking(False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def tls(self) -> ssl.SSLSocket:
        """The socket, of a connection with TLS."""
        assert isinstance(self._sock, ssl.SSLSocket)
        return self._sock

    def send(self, data: bytes, *, read: bool = True) -> None:
        """
        Send ``data`` as one segment, as far as the system lets it be one.

        Args:
            data: Any bytes.
            read: Whether to take in what comes while the server does not take more.

        Raises:
            Silent: If the server takes nothing in time.
            Ended: If it has ended the connection.

        """
        self._write(data, read=read)

    def _write(self, data: bytes, *, read: bool = True) -> None:
        view = memoryview(data)
        deadline = time.monotonic() + self.timeout
        while view:
            try:
                sent = self._sock.send(view)
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                came = read and self._read()
                if not came and not self._wait(deadline, write=True, read=read):
                    raise Silent from None
            except OSError:
                # What came before the reset is worth more than that there was one.
                while self.ended is None and self._read():
                    pass
                self.ended = self.ended or "reset"
            else:
                view = view[sent:]
                deadline = time.monotonic() + self.timeout
            if self.ended is not None:
                raise Ended(self.ended)

    def _wait(self, deadline: float, *, write: bool = False, read: bool = True) -> bool:
        events = (selectors.EVENT_WRITE if write else 0) | (selectors.EVENT_READ if read else 0)
        with selectors.DefaultSelector() as selector:
            selector.register(self._sock, events)
            return bool(selector.select(max(0.0, deadline - time.monotonic())))

    def _read(self) -> bool:
        """Read once; return whether something came, the end included."""
        try:
            data = self._sock.recv(_READ)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return False
        except OSError:
            self.ended = "reset"
            return True
        if data:
            self._take(data)
        else:
            self.ended = self.ended or "closed"
        return True

    def _take(self, data: bytes) -> None:
        self.buffer += data

    def _end(self, how: str) -> None:
        self.ended = how

    def pull(self, deadline: float) -> bool:
        """Wait until something comes, the end included; False if nothing does in time."""
        while not self._read():
            if not self._wait(deadline):
                return False
        return True

    def frame(self, timeout: float | None = None) -> bytes:
        """
        Take the next frame, without its zero byte.

        Raises:
            Silent: If none is complete in time.
            Ended: If the connection ended before one was complete.

        """
        deadline = time.monotonic() + (self.timeout if timeout is None else timeout)
        while (at := self.buffer.find(0, self._searched)) < 0:
            self._searched = len(self.buffer)
            if self.ended is not None:
                raise Ended(self.ended)
            if not self.pull(deadline):
                raise Silent
        frame = bytes(self.buffer[:at])
        del self.buffer[: at + 1]
        self._searched = 0
        return frame

    def listen(self, seconds: float) -> bytes:
        """Return what comes within so many seconds, or until the end, without taking it."""
        deadline = time.monotonic() + seconds
        while self.ended is None and self.pull(deadline):
            pass
        return bytes(self.buffer)

    def until_end(self, timeout: float | None = None) -> str | None:
        """Wait for the end; return how it came, or None if it did not in time."""
        self.listen(self.timeout if timeout is None else timeout)
        return self.ended

    def finish(self) -> None:
        """Send FIN, and go on receiving."""
        self._sock.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Break the connection off with a reset."""
        with contextlib.suppress(OSError):
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._sock.close()

    def close(self) -> None:
        """Close without a further word."""
        self._sock.close()


class WebSocketWire(Wire):
    """
    A WebSocket of RFC 6455 to the server; `send` makes one binary message.

    Args:
        sock: As for `Wire`.
        timeout: Likewise.
        host: What the header Host says.
        path: What is asked for.
        origin: What the header Origin says; None for none.

    Attributes:
        opcodes: Kinds of the messages that have come.
        pongs: Payloads of the pongs that have come.
        close_code: Code with which the server closed; None while it has not, 1005
            without one.

    Raises:
        ConnectionError: If the server refuses it.

    """

    def __init__(
        self, sock: socket.socket, timeout: float, *, host: str, path: str, origin: str | None
    ) -> None:
        super().__init__(sock, timeout)
        self.opcodes: list[int] = []
        self.pongs: list[bytes] = []
        self.close_code: int | None = None
        self.headers: dict[str, str] = {}
        self._arrived = bytearray()
        self._owed: list[bytes] = []  # pongs, which must not go into the midst of a message
        self._open = False
        self._ask(host, path, origin)

    def _ask(self, host: str, path: str, origin: str | None) -> None:
        key = base64.b64encode(secrets.token_bytes(16))
        lines = [
            f"GET {path} HTTP/1.1",
            f"Host: {host}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {key.decode()}",
            "Sec-WebSocket-Version: 13",
        ]
        if origin is not None:
            lines.append(f"Origin: {origin}")
        self._write("\r\n".join([*lines, "", ""]).encode())
        deadline = time.monotonic() + self.timeout
        while b"\r\n\r\n" not in self._arrived:
            if self.ended is not None:
                raise ConnectionError(f"{self.ended} instead of opening a WebSocket")
            if not self.pull(deadline):
                raise ConnectionError("no WebSocket was opened in time")
        head, _, rest = bytes(self._arrived).partition(b"\r\n\r\n")
        status, *fields = head.decode("latin-1").split("\r\n")
        for field in fields:
            name, _, value = field.partition(":")
            self.headers[name.strip().lower()] = value.strip()
        if status.split(" ")[1:2] != ["101"]:
            raise ConnectionError(f"no WebSocket but {status[:60]!r}")
        accept = base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())
        if self.headers.get("sec-websocket-accept") != accept.decode():
            raise ConnectionError("the WebSocket was opened with the wrong Sec-WebSocket-Accept")
        self._open = True
        self._arrived.clear()
        self._take(rest)

    def send(self, data: bytes, *, read: bool = True) -> None:
        """Send ``data`` as one binary message; see `Wire.send`."""
        self._write(self.message(data), read=read)

    def pull(self, deadline: float) -> bool:
        """Answer pings, then wait; see `Wire.pull`."""
        while self._owed:
            self._write(self._owed.pop(0), read=False)
        return super().pull(deadline)

    def send_raw(self, data: bytes) -> None:
        """Send bytes that are no message, or one made by `message`."""
        self._write(data)

    @staticmethod
    def message(
        payload: bytes, opcode: int = BINARY, *, final: bool = True, masked: bool = True
    ) -> bytes:
        """Return one frame of RFC 6455."""
        first = opcode | (_FINAL if final else 0)
        mask = _MASKED if masked else 0
        size = len(payload)
        if size <= _SMALL:
            head = struct.pack("!BB", first, mask | size)
        elif size < 2**16:
            head = struct.pack("!BBH", first, mask | _MEDIUM, size)
        else:
            head = struct.pack("!BBQ", first, mask | (_MEDIUM + 1), size)
        if not masked:
            return head + payload
        key = secrets.token_bytes(4)
        pad = (key * (size // 4 + 1))[:size]
        mixed = int.from_bytes(payload, "big") ^ int.from_bytes(pad, "big")
        return head + key + mixed.to_bytes(size, "big")

    def _take(self, data: bytes) -> None:
        self._arrived += data
        while self._open and (message := self._next()) is not None:
            opcode, payload = message
            if opcode == PING:
                self._owed.append(self.message(payload, _PONG))
            elif opcode == _PONG:
                self.pongs.append(payload)
            elif opcode == CLOSE:
                known = len(payload) >= _CODE
                self.close_code = int.from_bytes(payload[:_CODE], "big") if known else 1005
                self._end(f"closed with WebSocket code {self.close_code}")
            else:
                self.opcodes.append(opcode)
                super()._take(payload)

    def _next(self) -> tuple[int, bytes] | None:
        """Take a frame of RFC 6455 off what has arrived, if one is complete."""
        arrived = self._arrived
        if len(arrived) < _CODE:
            return None
        size, start = arrived[1] & ~_MASKED, 2
        extra = {_MEDIUM: 2, _MEDIUM + 1: 8}.get(size, 0)
        if extra:
            size, start = int.from_bytes(arrived[2 : 2 + extra], "big"), 2 + extra
        if len(arrived) < start or len(arrived) < start + size:
            return None
        opcode, payload = arrived[0] & 0x0F, bytes(arrived[start : start + size])
        del arrived[: start + size]
        return opcode, payload
