"""What a `ChaosProxy` counts."""

from __future__ import annotations

import dataclasses

__all__ = ["DirectionStats", "ProxyStats"]


@dataclasses.dataclass(slots=True)
class DirectionStats:
    """
    What one direction of all connections has counted.

    Attributes:
        bytes_in: Bytes read from the senders.
        bytes_out: Bytes written to the receivers.
        pieces: Writes in which they went.
        corrupted: Bytes that were changed on the way.
        resets: Connections that ``Faults.reset_at`` ended.
        closes: Connections that ``Faults.limit`` ended.
        half_closes: Streams that ``Faults.half_close_at`` ended.

    """

    bytes_in: int = 0
    bytes_out: int = 0
    pieces: int = 0
    corrupted: int = 0
    resets: int = 0
    closes: int = 0
    half_closes: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class ProxyStats:
    """
    What a `ChaosProxy` has counted, as a snapshot.

    Attributes:
        connections: Connections accepted.
        open: Connections open now.
        unreachable: Connections that were reset because the server could not be reached.
        to_server: What went from clients to the server.
        to_client: What went from the server to clients.

    """

    connections: int
    open: int
    unreachable: int
    to_server: DirectionStats
    to_client: DirectionStats
