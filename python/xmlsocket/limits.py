"""Limits that are on by default and that the keywords of ``connect`` and ``serve`` leave out."""

from __future__ import annotations

import dataclasses

__all__ = ["Limits"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """
    Bounds on what one peer may cost. ``None`` lifts a limit.

    What is a keyword of ``connect`` and ``serve`` (``max_size``, ``read_limit``,
    ``write_limit`` and the timeouts of opening, closing and idling) is not
    repeated here: a limit has one place.

    Attributes:
        message_timeout: Seconds from the first byte of a frame to its delimiter.
            Not extended by further bytes; not counted while this side has
            stopped reading.
        send_timeout: Seconds that data may wait for a peer that takes none of it
            before the connection is cut off. Not counted while nothing waits.
        write_cap: Bytes that may wait for a peer that does not read before
            ``broadcast`` cuts it off. ``send`` waits and so never gets there.
        quantum: Frames that one connection may take from its queue before the
            other connections of the loop get their turn.
        frame_rate: Frames a second that one connection may send, with a burst of
            as many as one second allows. Above it reading pauses: no frame is
            lost. Event loops only; empty frames that are skipped do not count.
        memory: Bytes that all connections of one server may hold together:
            unfinished frames, frames that wait for the application or the peer,
            4 KiB for each connection, or 300 KiB with TLS. Above it the heaviest
            are paused, then cut off. Event loops only; looked at once a second,
            more often above a half of it and while much comes without an end.
        connections: Connections that one server may have, those included that
            are still being opened, and at most four fifths of the descriptors
            that the process may open. What comes beyond is closed at once.
        connections_per_address: Connections of one server that one address may
            have; of IPv6 its first 64 bits count, behind trusted proxies the
            client's. Off by default, because schools and providers put many
            players behind one address.
        handshakes: TLS handshakes of one server that may be under way. Beyond
            that the oldest is broken off: it had the most time, and stalled ones
            keep nobody out.

    Raises:
        ValueError: If a limit is negative, or zero where zero would stop all work.

    """

    message_timeout: float | None = 30.0
    send_timeout: float | None = 30.0
    write_cap: int | None = 4 * 2**20
    quantum: int | None = 512
    frame_rate: float | None = None
    memory: int | None = 256 * 2**20
    connections: int | None = 10_000
    connections_per_address: int | None = None
    handshakes: int | None = 256

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value is not None and not value > 0:
                raise ValueError(f"Limits.{field.name} must be positive or None, not {value!r}")
