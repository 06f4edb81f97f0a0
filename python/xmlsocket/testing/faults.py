"""Faults of a stream: what is to happen, and where a seed makes it happen. No I/O."""

from __future__ import annotations

import dataclasses
import math
import random
from typing import TypeAlias

__all__ = ["Damage", "Faults", "Places", "Sizes"]

Sizes: TypeAlias = "int | tuple[int, int]"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """
    What happens to the bytes of one direction. Without arguments: nothing.

    Faults compose: bytes are first corrupted, then delayed, merged, sliced, and
    written as the bandwidth allows. Places in the stream are counted in bytes
    per connection and direction, from its start.

    Attributes:
        slice: Bytes of a piece at most, or a range from which each piece's size
            is drawn. Every piece is a write of its own with ``TCP_NODELAY``;
            the receiver's system may still hand out several with one read.
        merge: Hold bytes back until this many are there, or a number drawn from
            a range, or ``merge_wait`` seconds have passed since the first, or
            the stream ends.
        merge_wait: Seconds.
        delay: Seconds that bytes spend on their way. Many reads can be on their
            way at once; the throughput stays as it was.
        jitter: Seconds that are added to the delay of each read, drawn from 0
            to this. The order is kept.
        bandwidth: Bytes per second.
        corrupt: How likely each byte is to be replaced by another, 0 to 1.
        reset_at: Reset both sides when this many bytes have passed. What a
            receiver has not read by then may be lost, as in life.
        limit: Close both sides in order when this many bytes have passed; what
            the other direction has on its way is lost.
        half_close_at: End this direction with FIN when this many bytes have
            passed, and throw away what follows. The other direction goes on.
        slow_close: Seconds for which the end of the stream is held back.
        black_hole: Nothing gets through, neither bytes nor the end of the
            stream, and the proxy stops reading: the sender waits. Nothing is
            lost: when it is lifted, the stream goes on.

    Raises:
        ValueError: If a value is out of its range.

    """

    slice: Sizes | None = None
    merge: Sizes | None = None
    merge_wait: float = 0.05
    delay: float = 0.0
    jitter: float = 0.0
    bandwidth: int | None = None
    corrupt: float = 0.0
    reset_at: int | None = None
    limit: int | None = None
    half_close_at: int | None = None
    slow_close: float = 0.0
    black_hole: bool = False

    def __post_init__(self) -> None:
        for name in ("slice", "merge"):
            value = getattr(self, name)
            low, high = value if isinstance(value, tuple) else (value, value)
            if value is not None and not 1 <= low <= high:
                raise ValueError(f"{name} must be at least 1, or a rising range, not {value!r}")
        for name in ("merge_wait", "delay", "jitter", "slow_close"):
            value = getattr(self, name)
            if not 0 <= value < math.inf:
                raise ValueError(f"{name} must be a number of seconds from 0 on, not {value!r}")
        for name, least in (("bandwidth", 1), ("reset_at", 0), ("limit", 0), ("half_close_at", 0)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ValueError(f"{name} must be at least {least} or None, not {value!r}")
        if not 0 <= self.corrupt <= 1:
            raise ValueError(f"corrupt must be between 0 and 1, not {self.corrupt!r}")


class Places:
    """
    Places in a stream at which it is cut, drawn one after the other.

    They depend on the seed and on the ranges asked for, never on the reads in
    which the stream came.
    """

    __slots__ = ("_end", "_random", "_sizes")

    def __init__(self, seed: str) -> None:
        self._random = random.Random(seed)  # noqa: S311 - no secret
        self._sizes: Sizes | None = None
        self._end = 0

    def after(self, place: int, sizes: Sizes) -> int:
        """Return the first place after ``place``."""
        if sizes != self._sizes:  # changed at run time: the piece begins here
            self._sizes = sizes
            self._end = place
        while self._end <= place:
            self._end += self._random.randint(*sizes) if isinstance(sizes, tuple) else sizes
        return self._end


class Damage:
    """Bytes of a stream that are replaced by others; which ones depends on the seed alone."""

    __slots__ = ("_next", "_random", "_rate")

    def __init__(self, seed: str) -> None:
        self._random = random.Random(seed)  # noqa: S311 - no secret
        self._rate = 0.0
        self._next = 0

    def done_to(self, data: bytes, place: int, rate: float) -> tuple[bytes, int]:
        """Return the bytes that stand at ``place`` as they go on, and how many were changed."""
        if rate != self._rate:  # changed at run time: the dice are cast from here on
            self._rate = rate
            self._next = place + self._gap()
        end = place + len(data)
        if not rate or self._next >= end:
            return data, 0
        damaged = bytearray(data)
        count = 0
        while self._next < end:
            damaged[self._next - place] ^= self._random.randint(1, 255)
            count += 1
            self._next += 1 + self._gap()
        return bytes(damaged), count

    def _gap(self) -> int:
        """Return how many bytes stay whole before the next one that does not."""
        if self._rate in (0, 1):
            return 0
        # 1 - random() is never 0.
        gap = math.log(1 - self._random.random()) / math.log1p(-self._rate)
        return int(min(gap, 2.0**62))
