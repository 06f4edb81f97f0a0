"""What all connections of one event loop share: read buffer, end of turn, clock."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, Protocol

from ..codec import ReadBuffer

if TYPE_CHECKING:
    import asyncio

    from .output import Output

__all__ = ["LoopShare"]

# ruff: noqa: SLF001 - parts of one transport


class Watched(Protocol):
    """What a clock looks at: a server, for all its connections, or a client's connection."""

    def _look(self, now: float) -> None: ...


class _Clock:
    """Looks at the life signs of all that a loop has to watch, with one timer."""

    __slots__ = ("_handle", "_loop", "_period", "_watched")

    def __init__(self, loop: asyncio.AbstractEventLoop, period: float) -> None:
        self._loop = loop
        self._period = period
        self._watched: set[Watched] = set()
        self._handle: asyncio.TimerHandle | None = None

    def add(self, watched: Watched) -> None:
        self._watched.add(watched)
        if self._handle is None:
            self._handle = self._loop.call_later(self._period, self._tick)

    def discard(self, watched: Watched) -> None:
        self._watched.discard(watched)
        if not self._watched and self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _tick(self) -> None:
        self._handle = self._loop.call_later(self._period, self._tick)
        now = time.monotonic()
        for watched in tuple(self._watched):
            watched._look(now)


# A thread runs one loop at a time. A dictionary keyed by loops would keep every
# loop alive, for the share needs its loop.
_thread = threading.local()


class LoopShare:
    """One for each event loop, made when its first connection is."""

    # A read is synchronous within one callback of the loop, so one buffer serves
    # all connections, and an idle connection holds none. 64 KiB: with 256 KiB a
    # read of tiny frames would make 87,000 objects, for no measurable gain.
    __slots__ = ("_clocks", "_dirty", "loop", "read_buffer")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop: asyncio.AbstractEventLoop = loop
        self.read_buffer: ReadBuffer = ReadBuffer(2**16)
        self._dirty: list[Output[Any]] = []
        self._clocks: dict[float, _Clock] = {}

    @classmethod
    def of(cls, loop: asyncio.AbstractEventLoop) -> LoopShare:
        """Return the share of ``loop``."""
        share: LoopShare | None = getattr(_thread, "share", None)
        if share is None or share.loop is not loop:
            share = _thread.share = cls(loop)
        return share

    def schedule(self, connection: Output[Any]) -> None:
        """Flush ``connection`` when this turn of the loop is over."""
        if not self._dirty:
            self.loop.call_soon(self._end_turn)
        self._dirty.append(connection)

    def _end_turn(self) -> None:
        dirty, self._dirty = self._dirty, []
        for connection in dirty:
            connection._flush()

    def watch(self, watched: Watched, period: float | None) -> None:
        """Look at life signs every ``period`` seconds, ``None`` for never."""
        if period is not None:
            clock = self._clocks.get(period)
            if clock is None:
                clock = self._clocks[period] = _Clock(self.loop, period)
            clock.add(watched)

    def unwatch(self, watched: Watched) -> None:
        """Look no more."""
        for clock in self._clocks.values():
            clock.discard(watched)
