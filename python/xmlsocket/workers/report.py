"""What a worker tells its supervisor of itself."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Any, NamedTuple

from ..endpoint import format_address
from ..stats import PeerStats, ServerStats

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..asyncio import Server
    from ..connection import BaseConnection

__all__ = ["SLOWEST", "Report", "report", "slowest"]

SLOWEST = 5
"""How many of the slowest peers are told."""


class Report(NamedTuple):
    """The figures of one server at one time."""

    stats: ServerStats
    slowest: tuple[PeerStats, ...]


def slowest(connections: Iterable[BaseConnection[Any]]) -> tuple[PeerStats, ...]:
    """Return the peers for whom most waits, the slowest first; those who keep up are none."""
    found = heapq.nlargest(SLOWEST, connections, key=lambda connection: connection._waiting_out())  # noqa: SLF001 - cheaper than stats, and there may be thousands
    peers = [
        PeerStats(
            id=connection.id,
            address=format_address(getattr(connection, "remote_address", None)),
            stats=connection.stats,
        )
        for connection in found
    ]
    return tuple(peer for peer in peers if peer.stats.queued_out)


def report(server: Server[Any]) -> Report:
    """Return the figures of a server."""
    return Report(server.stats(), slowest(server.connections))
