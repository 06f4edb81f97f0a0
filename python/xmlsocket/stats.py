"""What connections and servers count; snapshots that do not change after they are taken."""

from __future__ import annotations

import collections
import dataclasses
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any, Literal

    from .exceptions import CloseReason

__all__ = [
    "ConnectionStats",
    "PeerStats",
    "PolicyStats",
    "RoomStats",
    "ServerStats",
    "WorkerStats",
    "WorkersStats",
    "total",
]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionStats:
    """
    Counters of one connection.

    Attributes:
        age: Seconds since the connection was opened.
        frames_in: Frames received, skipped ones excluded.
        frames_out: Frames accepted for sending.
        bytes_in: Bytes received, delimiters included.
        bytes_out: Bytes accepted for sending, delimiters included.
        empty_skipped: Empty frames dropped because of ``skip_empty``.
        malformed_skipped: Documents dropped because of ``malformed="skip"``.
        dropped: Frames accepted for sending that never went, because a room drops or
            replaces what a slow member does not take.
        buffered_in: Bytes of the frame that is still arriving.
        queued_in: Bytes charged for frames that wait for the application.
        queued_out: Bytes charged for frames that wait for the peer.

    """

    age: float
    frames_in: int
    frames_out: int
    bytes_in: int
    bytes_out: int
    empty_skipped: int
    malformed_skipped: int
    dropped: int
    buffered_in: int
    queued_in: int
    queued_out: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ServerStats:
    """
    Counters of one server over all its connections, open and closed.

    Attributes:
        connections: Connections open now.
        accepted: Connections opened since the server started.
        handler_errors: Handlers that ended with an exception.
        frames_in: Frames received.
        frames_out: Frames accepted for sending.
        bytes_in: Bytes received.
        bytes_out: Bytes accepted for sending.
        empty_skipped: Empty frames dropped because of ``skip_empty``.
        malformed_skipped: Documents dropped because of ``malformed="skip"``.
        dropped: Frames that rooms dropped or replaced for slow members.
        closed: How many connections ended for which reason.
        policy_requests: Requests for the socket policy that were answered; they
            are no connections and not among those accepted.
        websockets: WebSockets opened; among those accepted.
        memory: Bytes that all open connections are charged now, as
            ``Limits.memory`` counts them.
        queued_in: Bytes charged for frames that wait for the application now.
        queued_out: Bytes charged for frames that wait for peers now.
        refused: How many never became a connection, and why: ``http_404``,
            ``http_403`` and so on after the status that was answered,
            ``proxy_header`` for a malformed one, ``timeout`` and ``incomplete``
            for an opening that broke off, ``connections``,
            ``connections_per_address`` and ``handshakes`` for the limit of that
            name.

    """

    connections: int
    accepted: int
    handler_errors: int
    frames_in: int
    frames_out: int
    bytes_in: int
    bytes_out: int
    empty_skipped: int
    malformed_skipped: int
    dropped: int
    closed: Mapping[CloseReason, int]
    policy_requests: int
    websockets: int
    memory: int
    queued_in: int
    queued_out: int
    refused: Mapping[str, int]


def total(parts: Iterable[ServerStats]) -> ServerStats:
    """Return the sums over several servers, such as those of worker processes."""
    parts = list(parts)
    sums: dict[str, Any] = {}
    for field in dataclasses.fields(ServerStats):
        values = [getattr(part, field.name) for part in parts]
        if str(field.type).startswith("Mapping"):
            sums[field.name] = dict(sum(map(collections.Counter, values), collections.Counter()))
        else:
            sums[field.name] = sum(values)
    return ServerStats(**sums)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PeerStats:
    """
    One peer among many.

    Attributes:
        id: Number of the connection within its process.
        address: Where the peer is, as text.
        stats: Counters of the connection.

    """

    id: int
    address: str
    stats: ConnectionStats


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStats:
    """
    One worker process.

    Attributes:
        number: Its place, from 1; a replacement has the same.
        process: Its process id.
        state: ``starting``, ``ready``, or ``draining`` when it accepts no more.
        answers: Whether it has told its figures since it was last asked; false for
            longer than a moment means that its event loop is blocked.
        stats: What its server counted; ``None`` until it has told.

    """

    number: int
    process: int
    state: Literal["starting", "ready", "draining"]
    answers: bool
    stats: ServerStats | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class WorkersStats:
    """
    All workers of `serve_workers`.

    Attributes:
        total: The sums over all workers, those that have ended included.
        workers: Those that live.
        restarts: How many workers were started in the place of others that ended
            without being asked to by a rolling restart.
        cut: Connections that had to be cut because a worker's time to stop was over.
        slowest: The peers for whom most waits, the slowest first.

    """

    total: ServerStats
    workers: tuple[WorkerStats, ...]
    restarts: int
    cut: int
    slowest: tuple[PeerStats, ...]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PolicyStats:
    """
    Counters of one server of policy files.

    Attributes:
        connections: Connections open now.
        accepted: Connections opened since the server started.
        answered: Those that got the policy.
        refused: Those closed because they sent something else.
        silent: Those that ended without a whole request: health checks, most of
            the time, or requests that did not come in time.
        evicted: Those cut off without an answer to make room for a later one.

    """

    connections: int
    accepted: int
    answered: int
    refused: int
    silent: int
    evicted: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RoomStats:
    """
    Counters of one room in one process.

    Attributes:
        members: Connections in the room now.
        documents: Documents sent to the members, those of other servers included.
        dropped: Documents that a slow member did not get under ``"drop_oldest"``,
            one for each member.
        replaced: Documents that a slow member did not get because a later one had
            the same key, one for each member.
        cut: Members cut off because too much waited for them.

    """

    members: int
    documents: int
    dropped: int
    replaced: int
    cut: int
