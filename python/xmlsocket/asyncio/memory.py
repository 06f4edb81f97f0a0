"""One memory budget for all connections of a server."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any, Final

from ..exceptions import CloseReason
from .connection import CUT, MEMORY

if TYPE_CHECKING:
    from collections.abc import Collection

    from ..connection import Settings
    from .connection import Connection
    from .loop import LoopShare

__all__ = ["MemoryBudget"]

# ruff: noqa: SLF001 - connections and their budget are parts of one transport

_PERIOD: Final = 1.0
_HURRIED: Final = 0.05


class MemoryBudget:
    """
    Keeps what the connections of a server hold below ``Limits.memory``.

    Reads that complete frames are not counted, which is what a server does most. All
    connections are looked at once a second, 20 times a second while they hold more
    than half of the budget, and whenever reads that complete no frame have brought
    what was left of it, or an eighth of it, or, once it is passed, a 32nd. So the
    budget can be passed by the little that comes in between two looks.

    A look that finds it passed pauses all that hold the average or more, the
    heaviest among them; what the next look finds paused already, it cuts off, the
    heaviest first, until the rest fits.

    Args:
        connections: The open connections of the server; it changes them.
        share: What the connections of the loop share.
        settings: Those of the server.
        charge: Bytes charged for a connection, whatever it holds.

    Attributes:
        charge: As given.

    """

    __slots__ = (
        "_budget",
        "_connections",
        "_hurried",
        "_settings",
        "_share",
        "_step",
        "_unfinished",
        "charge",
    )

    def __init__(
        self,
        connections: Collection[Connection[Any]],
        share: LoopShare,
        settings: Settings[Any],
        *,
        charge: int,
    ) -> None:
        self._connections = connections
        self._share = share
        self._settings = settings
        self._budget = settings.limits.memory
        self._hurried = False
        self._unfinished = 0
        self._step = sys.maxsize if self._budget is None else self._budget // 8
        self.charge: int = charge
        if self._budget is not None:
            share.watch(self, _PERIOD)

    def close(self) -> None:
        """Look no more."""
        self._step = sys.maxsize
        self._share.unwatch(self)

    def unfinished(self, size: int) -> None:
        """Count what came without the end of a frame; look when it is much."""
        self._unfinished += size
        if self._unfinished > self._step:
            self._look(time.monotonic())

    def _look(self, now: float) -> None:  # noqa: ARG002 - what clocks call
        budget = self._budget
        assert budget is not None
        self._unfinished = 0
        # One that was cut off is gone with its next turn, or its last words.
        sizes = {
            connection: connection._held()
            for connection in self._connections
            if not connection._brakes & CUT
        }
        used = sum(sizes.values()) + self.charge * len(sizes)
        self._step = min(max(budget - used, budget // 32), budget // 8)
        if used > budget:
            self._relieve(sizes, used, budget)
        elif self._hurried:
            for connection in self._connections:
                connection._let_go(MEMORY)
        hurried = used > budget // 2
        if hurried is not self._hurried:
            self._hurried = hurried
            self._share.unwatch(self)
            self._share.watch(self, _HURRIED if hurried else _PERIOD)

    def _relieve(self, sizes: dict[Connection[Any], int], used: int, budget: int) -> None:
        """Cut off those whose pause did not help, and pause those that hold the most."""
        # Among equals the youngest goes first.
        heaviest = sorted(
            sizes, key=lambda connection: (sizes[connection], connection.id), reverse=True
        )
        for connection in heaviest:
            if used <= budget:
                return
            if connection._brakes & MEMORY:
                self._settings.repeated.warning(
                    "! connection %d cut off: it holds %d bytes, the server %d of Limits.memory=%d",
                    *(connection.id, sizes[connection], used, budget),
                )
                used -= sizes.pop(connection) + self.charge
                connection._brakes |= CUT
                connection._drop_queue()
                connection._cut(CloseReason.MEMORY)
        average = sum(sizes.values()) / max(1, len(sizes))
        for connection, size in sizes.items():
            if size >= average:
                connection._brake(MEMORY)
