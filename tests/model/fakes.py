"""A transport without a network, and an event loop whose clock stands still until it is moved."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["FakeTransport", "StillLoop"]


class StillLoop(asyncio.SelectorEventLoop):
    """A loop that is turned by hand."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.complaints: list[dict[str, Any]] = []
        super().__init__()
        self.set_exception_handler(lambda _, context: self.complaints.append(context))

    def time(self) -> float:
        """Return the time that was set."""
        return self.now

    def turn(self, times: int = 20) -> None:
        """Run what is ready, and what that makes ready."""

        async def turns() -> None:
            for _ in range(times):
                await asyncio.sleep(0)

        self.run_until_complete(turns())

    def step(self, times: int = 1) -> None:
        """Run what is ready, and not what that makes ready."""
        for _ in range(times):
            self.call_soon(self.stop)
            self.run_forever()


class FakeTransport(asyncio.Transport):
    """
    Does what asyncio's transports do, with lists in place of a socket.

    Attributes:
        writes: What the connection wrote, one item for each write.
        wire: What has left for the peer.
        finished: Whether FIN has been sent.
        blocked: Whether the peer does not read.
        reading: Whether the connection wants to be given bytes.
        gone: Whether the end has been told to the connection.

    """

    def __init__(self, loop: StillLoop) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.wire = bytearray()
        self.finished = False
        self.blocked = False
        self.reading = True
        self.gone = False
        self._loop = loop
        self._buffer = bytearray()
        self._high, self._low = 2**16, 2**14
        self._writing_paused = False
        self._closing = False
        self._eof = False
        self._protocol: Any = None

    # What the connection calls

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        protocol: asyncio.BaseProtocol = self._protocol
        return protocol

    def is_closing(self) -> bool:
        return self._closing

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._high, self._low = high or 0, low or 0

    def get_write_buffer_size(self) -> int:
        return len(self._buffer)

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        assert not self._eof, "write after write_eof"
        self.writes.append(bytes(data))
        if self._closing:
            return
        self._buffer += data
        self._move()
        if len(self._buffer) > self._high and not self._writing_paused:
            self._writing_paused = True
            self._protocol.pause_writing()

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self._eof = True
        self._move()

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            self._move()

    def abort(self) -> None:
        self.lose(None)

    # What the network does

    def give(self, data: bytes) -> None:
        """Let bytes arrive, in reads that fit into the connection's buffer."""
        while data and self.reading and not self._closing:
            view = self._protocol.get_buffer(-1)
            size = min(len(view), len(data))
            view[:size] = data[:size]
            self._protocol.buffer_updated(size)
            data = data[size:]

    def give_end(self) -> None:
        """Let the end of the peer's stream arrive."""
        if not self._protocol.eof_received():
            self.close()

    def lose(self, error: Exception | None) -> None:
        """Break the connection; what the transport still holds is lost."""
        self._closing = True
        self._buffer.clear()
        self._tell_of_the_end(error)

    def block(self, *, blocked: bool) -> None:
        """Let the peer stop reading, or go on."""
        self.blocked = blocked
        self._move()

    def _move(self) -> None:
        if not self.blocked:
            self.take()

    def take(self) -> None:
        """Let the peer take what is there, whether it reads on or not."""
        self.wire += self._buffer
        self._buffer.clear()
        if self._writing_paused:
            self._writing_paused = False
            self._protocol.resume_writing()
        if not self._buffer:
            self.finished |= self._eof
            if self._closing:
                self._tell_of_the_end(None)

    def _tell_of_the_end(self, error: Exception | None) -> None:
        if not self.gone:
            self.gone = True
            tell: Callable[[], None] = lambda: self._protocol.connection_lost(error)  # noqa: E731
            self._loop.call_soon(tell)
