"""How long to wait before a process that died is started again."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Backoff"]


class Backoff:
    """
    The wait before one worker's next start.

    A worker that served for a while is replaced at once: connections queue on
    its listener meanwhile. One that dies young, and dies again, most likely
    always will, and starting it costs others their processor.

    Args:
        first: Seconds of the first wait; each one is twice the one before.
        most: Seconds of the longest wait.
        healthy: Seconds of life after which a death is the first one again.
        clock: Seconds, from anywhere.

    """

    def __init__(
        self,
        *,
        first: float = 0.1,
        most: float = 10.0,
        healthy: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._first = first
        self._most = most
        self._healthy = healthy
        self._clock = clock
        self._next = first
        self._started = clock()

    def started(self) -> None:
        """Note that the worker starts now."""
        self._started = self._clock()

    def died(self) -> float:
        """Return the seconds to wait before the worker is started again."""
        if self._clock() - self._started >= self._healthy:
            self._next = self._first
            return 0.0
        wait = self._next
        self._next = min(2 * wait, self._most)
        return wait
