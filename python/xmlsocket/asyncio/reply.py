"""An answer that ends its connection, such as a page, to a peer that may be slow to take it."""

from __future__ import annotations

import asyncio
import collections
from typing import TYPE_CHECKING, Final

from .linger import answer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Reply"]

_PIECE: Final = 2**16
_NOTHING: Final = memoryview(b"")


class Reply(asyncio.Protocol):
    """
    Takes the place of a protocol, writes an answer and ends the connection.

    The transport holds no more than 64 KiB of it at a time. A peer that has not
    taken these within ``timeout`` seconds is cut off.

    Args:
        transport: Where to write.
        data: The answer, in parts, which are not copied: a page may be long, and
            many may want it at once.
        timeout: Seconds; None for no limit.
        lost: Called with ``connection_lost``'s argument.

    """

    def __init__(
        self,
        transport: asyncio.Transport,
        data: Sequence[bytes],
        *,
        timeout: float | None,
        lost: Callable[[Exception | None], None],
    ) -> None:
        self._transport = transport
        self._parts = collections.deque([memoryview(part) for part in data] or [_NOTHING])
        self._timeout = timeout
        self._lost = lost
        self._timer: asyncio.TimerHandle | None = None
        self._paused = False
        # What else the peer sends is of no interest.
        transport.pause_reading()
        transport.set_protocol(self)
        # Not high=0: asyncio's TLS pauses at "size >= high" and so for ever.
        transport.set_write_buffer_limits(high=1, low=0)
        self._write()

    def _write(self) -> None:
        self._stop_timer()
        # Closing: the write that found out that the peer has gone.
        parts = self._parts
        while not (self._paused or self._transport.is_closing()):
            if len(parts[0]) > _PIECE:
                piece, parts[0] = parts[0][:_PIECE], parts[0][_PIECE:]
            elif len(parts) > 1:
                piece = parts.popleft()
            else:
                break
            self._transport.write(piece)
        loop = asyncio.get_running_loop()
        if self._paused:
            if self._timeout is not None:
                self._timer = loop.call_later(self._timeout, self._transport.abort)
        else:
            # Not now: asyncio's transport may be in the middle of resume_writing().
            loop.call_soon(self._end)

    def _end(self) -> None:
        if not self._transport.is_closing():
            answer(self._transport, bytes(self._parts[0]), self._lost)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def pause_writing(self) -> None:
        """Wait for the peer."""
        self._paused = True

    def resume_writing(self) -> None:
        """Go on."""
        self._paused = False
        self._write()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever waits for the end."""
        self._stop_timer()
        self._lost(exc)
