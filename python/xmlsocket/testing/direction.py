"""One direction of one connection through a `ChaosProxy`: read, hold, write."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import random
from typing import TYPE_CHECKING, Final

from .faults import Damage, Places

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    from .faults import Faults
    from .stats import DirectionStats
    from .stream import SocketStream

    class Watch(Protocol):
        """Sees what one side sends, as it comes."""

        def took(self, data: bytes) -> None:
            """Take note of bytes."""

        def ended(self, *, reset: bool) -> None:
            """Take note of the end."""


__all__ = ["Closed", "Direction", "Reset", "Watch"]

_READ: Final = 2**16

# The sender has to wait when this many bytes are on their way.
_HELD: Final = 2**20

# A piece at most as long as the bandwidth takes for this: so a change of the
# faults is seen soon.
_PACE: Final = 0.05


class Reset(Exception):
    """Both sides get a reset."""


class Closed(Exception):
    """Both sides get a FIN."""


class Direction:
    """
    Carries the bytes of one direction from one stream to the other.

    Args:
        source: Where they come from.
        target: Where they go.
        seed: What all random choices of this direction depend on.
        faults: Returns the faults in force.
        stats: What is counted, shared by all connections.
        watch: Sees what the source sends; None for nobody.

    Attributes:
        target_gone: Whether the target was found gone while it was written to.

    """

    def __init__(
        self,
        source: SocketStream,
        target: SocketStream,
        seed: str,
        faults: Callable[[], Faults],
        stats: DirectionStats,
        *,
        watch: Watch | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._source = source
        self._target = target
        self._faults = faults
        self._stats = stats
        self._watch = watch
        self.target_gone: bool = False
        # A sequence of random numbers for each purpose: no fault shifts another.
        self._damage = Damage(f"{seed} corrupt")
        self._merges = Places(f"{seed} merge")
        self._slices = Places(f"{seed} slice")
        self._jitter = random.Random(f"{seed} jitter")  # noqa: S311 - no secret
        self._wake = asyncio.Event()  # for the writer: something arrived, or the faults changed
        self._room = asyncio.Event()  # for the reader: something left, or the faults changed
        # On its way: when it arrived, how much of the jitter is its own, what.
        self._travelling: collections.deque[tuple[float, float, bytes]] = collections.deque()
        self._ready = bytearray()  # arrived at the far end, and not written yet
        self._ready_since = 0.0
        self._held = 0  # bytes in both
        self._read = 0
        self._written = 0
        self._released = 0  # up to here nothing is held back for merging
        self._free = 0.0  # when the bandwidth takes the next piece
        self._end: tuple[float, type[Reset] | None] | None = None  # when the source ended, and how
        self._over = False  # the target has been told of an end

    def changed(self) -> None:
        """Look at the faults again."""
        self._wake.set()
        self._room.set()

    async def read(self) -> None:
        """Read to the end of the source."""
        kind: type[Reset] | None = None
        while True:
            self._room.clear()
            if self._held >= _HELD or self._faults().black_hole:
                await self._room.wait()
                continue
            try:
                data = await self._source.read()
            except OSError:
                kind = Reset
                break
            if not data:
                break
            self._arrive(data)
        self._end = self._loop.time(), kind
        self._wake.set()
        if self._watch is not None:
            self._watch.ended(reset=kind is Reset)

    def _arrive(self, data: bytes) -> None:
        self._stats.bytes_in += len(data)
        if self._watch is not None:
            self._watch.took(data)
        if not self._over:
            data, changed = self._damage.done_to(data, self._read, self._faults().corrupt)
            self._stats.corrupted += changed
            self._travelling.append((self._loop.time(), self._jitter.random(), data))
            self._held += len(data)
            self._wake.set()
        self._read += len(data)

    async def write(self) -> None:
        """
        Write to the target what the faults let through, and its end.

        Raises:
            Reset: If both sides are to be reset.
            Closed: If both sides are to be closed in order.

        """
        while True:
            self._wake.clear()
            faults = self._faults()
            if faults.black_hole:
                await self._wake.wait()
                continue
            await self._check(faults)
            if self._over:
                return
            now = self._loop.time()
            wait = self._land(faults, now)
            if self._ready:
                wait = self._hold_back(faults, now)
                if wait is None:
                    await self._write_piece(self._piece(faults))
                    continue
            elif self._end is not None and not self._travelling:
                wait = await self._finish(faults, now)
            await self._wait(wait)

    async def _wait(self, seconds: float | None) -> None:
        """Wait until something changes, at most for ``seconds``."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()

    async def _check(self, faults: Faults) -> None:
        """End the stream if it has come to the place for it."""
        if faults.reset_at is not None and self._written >= faults.reset_at:
            self._stats.resets += 1
            raise Reset
        if faults.limit is not None and self._written >= faults.limit:
            self._stats.closes += 1
            raise Closed
        at = faults.half_close_at
        if at is not None and self._written >= at and not self._over:
            self._stats.half_closes += 1
            await self._shut()

    def _land(self, faults: Faults, now: float) -> float | None:
        """Make ready what has travelled for long enough, and return the seconds to the next."""
        while self._travelling:
            sent, luck, data = self._travelling[0]
            due = sent + faults.delay + luck * faults.jitter
            if due > now:
                return due - now
            self._travelling.popleft()
            if not self._ready:
                self._ready_since = now
            self._ready += data
        return None

    def _hold_back(self, faults: Faults, now: float) -> float | None:
        """Return the seconds to wait before a piece may go, or None when one may go now."""
        wait = 0.0
        if faults.merge is not None and self._written >= self._released:
            whole = self._merges.after(self._written, faults.merge)
            there = self._written + len(self._ready)
            ended = self._end is not None and not self._travelling
            wait = self._ready_since + faults.merge_wait - now
            if there < whole and wait > 0 and not ended:
                return wait
            self._released = min(whole, there)
        if faults.bandwidth is not None and self._free > now:
            return self._free - now
        return None

    def _piece(self, faults: Faults) -> bytes:
        """Take the next piece."""
        ends = [self._written + min(len(self._ready), _READ)]
        if faults.merge is not None:
            ends.append(self._released)
        if faults.slice is not None:
            ends.append(self._slices.after(self._written, faults.slice))
        if faults.bandwidth is not None:
            ends.append(self._written + max(1, int(faults.bandwidth * _PACE)))
        stops = (faults.reset_at, faults.limit, faults.half_close_at)
        ends += [stop for stop in stops if stop is not None]
        size = min(ends) - self._written
        piece = bytes(self._ready[:size])
        del self._ready[:size]
        return piece

    async def _write_piece(self, piece: bytes) -> None:
        size = len(piece)
        try:
            await self._target.write(piece)
        except OSError:
            self.target_gone = True
            raise Reset from None  # the receiver is gone, and the sender has to know
        self._written += size
        self._held -= size
        self._stats.pieces += 1
        self._stats.bytes_out += size
        now = self._loop.time()
        self._ready_since = now
        self._room.set()
        bandwidth = self._faults().bandwidth
        if bandwidth is not None:
            self._free = max(self._free, now) + size / bandwidth
        # So that a receiver on this loop, and the other direction, get their turn.
        await asyncio.sleep(0)

    async def _finish(self, faults: Faults, now: float) -> float | None:
        """Tell the target of the end, or return the seconds until that is due."""
        assert self._end is not None
        when, kind = self._end
        if kind is not None:
            raise kind
        wait = when + faults.slow_close - now
        if wait > 0:
            return wait
        await self._shut()
        return 0.0

    async def _shut(self) -> None:
        """Send FIN; what still comes is thrown away."""
        self._over = True
        self._travelling.clear()
        self._ready.clear()
        self._held = 0
        self._room.set()
        await self._target.finish()
