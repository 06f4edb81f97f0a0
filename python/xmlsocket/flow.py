"""Arithmetic of flow control that the transports share: water marks, charges, delays."""

from __future__ import annotations

import dataclasses
import random
import ssl
from typing import TYPE_CHECKING

from .exceptions import WebSocketError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "CONNECTION_CHARGE",
    "FRAME_OVERHEAD",
    "TLS_CHARGE",
    "Backoff",
    "Pace",
    "WaterMarks",
    "reconnect_delays",
]

# Of our own: a program that seeds the random module keeps its sequence, and many
# clients that were seeded alike do not come back at the same moment.
_jitter = random.Random()  # noqa: S311 - no secret

# Statuses of HTTP from here on, and close codes, which have four digits.
_SERVER_ERROR = 500

FRAME_OVERHEAD = 128
"""Bytes charged for a queued frame beyond its length.

A ``bytes`` object and its place in a queue cost 41 to 60 bytes; tiny frames
would otherwise hold many times the memory they are charged for
(CVE-2026-48779 in another framing library is that mistake).
"""

CONNECTION_CHARGE = 2**12
"""Bytes charged for a connection that holds nothing; counted: 2.6 KB, with uvloop 4.0 KB."""

TLS_CHARGE = 300 * 2**10
"""Bytes charged for a connection with TLS on an event loop, which reads into 256 KiB of its own."""


@dataclasses.dataclass(frozen=True, slots=True)
class WaterMarks:
    """
    Where flow stops and where it starts again, in bytes.

    Attributes:
        high: Flow stops above this mark; ``None`` never stops it.
        low: Flow starts again at or below this mark.

    """

    high: int | None
    low: int

    @classmethod
    def of(cls, name: str, limit: int | tuple[int, int] | None) -> WaterMarks:
        """
        Build the marks from ``high``, ``(high, low)`` or ``None``.

        Args:
            name: Name of the option, for the error message.
            limit: The high mark, with a quarter of it as the low mark; or both.

        Raises:
            TypeError: If a mark is no integer.
            ValueError: Unless ``0 <= low <= high``.

        """
        if limit is None:
            return cls(None, 0)
        marks = limit if isinstance(limit, tuple) else (limit,)
        if not all(isinstance(mark, int) for mark in marks):
            raise TypeError(
                f"{name} must be a number of bytes, two of them, or None, not {limit!r}"
            )
        high, low = limit if isinstance(limit, tuple) else (limit, limit // 4)
        if not 0 <= low <= high:
            raise ValueError(f"{name} must satisfy 0 <= low <= high, not high={high}, low={low}")
        return cls(high, low)


class Pace:
    """
    Compares a growing count with a rate.

    Args:
        rate: Counts a second that are always in order, and in a burst after a
            pause; of a rate below 1 a burst is one.
        now: Seconds on the clock that `exceeded` is given too.

    """

    __slots__ = ("_at", "_debt", "_rate", "_seen")

    def __init__(self, rate: float, now: float) -> None:
        self._rate = rate
        self._seen = 0
        self._debt = 0.0  # what was counted and not yet worn off
        self._at = now

    def exceeded(self, count: int, now: float) -> bool:
        """
        Tell whether more was counted than the rate and its burst allow.

        Args:
            count: All that was counted so far.
            now: Seconds on the clock.

        """
        debt = max(0.0, self._debt - (now - self._at) * self._rate)
        self._debt = debt + (count - self._seen)
        self._seen = count
        self._at = now
        return self._debt > max(1.0, self._rate)


def reconnect_delays(
    *, first: float = 0.5, factor: float = 1.8, longest: float = 60.0
) -> Iterator[float]:
    """
    Yield the seconds to wait before each further attempt to connect, for ever.

    Delays grow by ``factor`` up to ``longest``. Each is drawn from the upper
    half of its range, so that clients which lost the same server at the same
    moment do not come back at the same moment.
    """
    delay = first
    while True:
        yield delay * _jitter.uniform(0.5, 1.0)
        delay = min(delay * factor, longest)


class Backoff:
    """Decides whether and when a client connects again."""

    SETTLED_AFTER = 10.0
    """Seconds after which a connection counts as a good one although nothing came."""

    def __init__(self) -> None:
        self._delays = reconnect_delays()

    def after_failure(self, error: Exception) -> float:
        """
        Return the seconds to wait after an attempt that failed.

        Raises:
            Exception: ``error`` itself, when trying again cannot help: what is
                no `OSError`, a certificate that does not verify, and a WebSocket
                refused for another reason than that the server, behind its
                proxy, is not there just now.

        """
        if isinstance(error, WebSocketError):
            passes = error.code >= _SERVER_ERROR
        else:
            passes = isinstance(error, OSError)
        if not passes or isinstance(error, ssl.SSLCertVerificationError):
            raise error
        return next(self._delays)

    def after_end(self, *, frames_in: int, age: float) -> float:
        """
        Return the seconds to wait after a connection that has ended.

        None after a good one. A server that accepts and hangs up at once would
        otherwise be called in a tight loop.

        Args:
            frames_in: Frames that the connection received.
            age: Seconds that it lasted.

        """
        if frames_in or age >= self.SETTLED_AFTER:
            self._delays = reconnect_delays()
            return 0.0
        return next(self._delays)
