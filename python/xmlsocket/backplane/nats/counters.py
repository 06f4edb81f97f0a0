"""What a backplane on NATS counts."""

from __future__ import annotations

import dataclasses

__all__ = ["Counters", "NatsStats"]


@dataclasses.dataclass(slots=True)
class Counters:
    """The counters that only grow."""

    published: int = 0
    received: int = 0
    dropped: int = 0
    missed: int = 0
    malformed: int = 0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class NatsStats:
    """
    Counters of one backplane.

    Attributes:
        connected: Whether there is a connection to NATS now.
        losses: How often it was lost.
        rooms: Rooms that have members in this process.
        waiting: Bytes charged for documents that NATS has not taken yet.
        published: Documents that NATS has taken.
        received: Documents that came from NATS, own ones of a history included.
        dropped: Documents that were not sent, because more than ``max_waiting``
            waited, because NATS refused them for good, such as those above its
            ``max_payload``, or because the backplane was closed.
        missed: Messages, of one or more documents each, known not to have
            arrived: nats-py dropped them because this process was too slow, or
            the stream had given them up before they were read (each gap is one, and
            seen if its sender has members in the room).
        malformed: Messages on the subjects of rooms that no backplane has made.

    """

    connected: bool
    losses: int
    rooms: int
    waiting: int
    published: int
    received: int
    dropped: int
    missed: int
    malformed: int
