"""What waits for one slow peer while some of it may still be dropped or replaced."""

from __future__ import annotations

import collections
from typing import TYPE_CHECKING, Final, NamedTuple, cast

if TYPE_CHECKING:
    import builtins  # a property shadows the name bytes
    from collections.abc import Coroutine, Hashable
    from typing import Any

    from ..outbox import Outbox
    from .connection import Connection

__all__ = ["Backlog", "Lane", "queue"]

# ruff: noqa: SLF001 - a part of the connection, on which it puts itself

# Charged for a document that waits here, beyond its length: a place in one or two
# ordered dictionaries, its numbers and its own object. Counted: 340 bytes.
_OVERHEAD: Final = 352

# What is handed to the transport can be replaced no more: little at a time.
_HANDOVER: Final = 2**14


class _Entry(NamedTuple):
    data: bytes
    frames: int
    key: Hashable
    lane: Lane | None


class Lane:
    """
    The documents of one sender that wait in a backlog and may be displaced there.

    Attributes:
        places: The place in the backlog of each, oldest first, by its key.
        charge: What they are charged.

    """

    __slots__ = ("charge", "places")

    def __init__(self) -> None:
        self.places: collections.OrderedDict[Hashable, int] = collections.OrderedDict()
        self.charge: int = 0


class Backlog:
    """
    Stands in for a connection's outbox while its peer reads too slowly.

    Everything that is sent meanwhile, by whomever, waits here in order; what came
    from a `Lane` can be displaced until the transport takes it. When nothing
    waits any more the outbox is put back, so that connections which keep up have
    none of this.

    Args:
        connection: Its transport is full, so it will ask for more.

    """

    __slots__ = (
        "_bytes",
        "_charge",
        "_connection",
        "_entries",
        "_frames",
        "_lanes",
        "_next",
        "_outbox",
    )

    def __init__(self, connection: Connection[Any]) -> None:
        self._connection = connection
        self._outbox = connection._outbox
        # Not a dict: finding its first entry again and again is quadratic.
        self._entries: collections.OrderedDict[int, _Entry] = collections.OrderedDict()
        self._lanes: dict[object, Lane] = {}
        self._next = 0
        self._charge = 0
        self._frames = 0
        self._bytes = 0
        connection._outbox = cast("Outbox", self)

    # What `Output` asks of an outbox

    @property
    def charge(self) -> int:
        """What waits, here and in the outbox."""
        return self._outbox.charge + self._charge

    @property
    def frames(self) -> int:
        """Frames taken so far, by the outbox and here."""
        return self._outbox.frames + self._frames

    @property
    def bytes(self) -> int:
        """Bytes taken so far, by the outbox and here."""
        return self._outbox.bytes + self._bytes

    @property
    def room(self) -> int | None:
        """The outbox's own."""
        return self._outbox.room

    @room.setter
    def room(self, room: int | None) -> None:
        self._outbox.room = room

    def put(self, document: object, /) -> Coroutine[Any, Any, None] | None:  # noqa: ARG002
        """Take no document that is not encoded: as `PureOutbox`."""
        return None

    def push(self, data: builtins.bytes, frames: int = 1, /) -> int:
        """Append frames that nothing displaces, and return the charge of all that waits."""
        self._append(_Entry(data, frames, None, None))
        return self.charge

    def take(self, limit: int, /) -> builtins.bytes:
        """Take what to write next; the outbox is put back when that is all."""
        limit = min(limit, _HANDOVER)
        while self._entries and self._outbox.charge < limit:
            place, entry = self._entries.popitem(last=False)
            if entry.lane is not None:
                del entry.lane.places[place if entry.key is None else entry.key]
                entry.lane.charge -= len(entry.data) + _OVERHEAD
            self._discharge(entry)
            self._outbox.push(entry.data, entry.frames)
        if not self._entries:
            self._connection._outbox = self._outbox
        return self._outbox.take(limit)

    def clear(self) -> None:
        """Drop all that waits: the connection is gone."""
        self._connection._sent(self._frames, self._bytes)
        self._connection._outbox = self._outbox
        self._outbox.clear()
        self._entries.clear()
        self._lanes.clear()
        self._charge = self._frames = self._bytes = 0

    # What may be displaced

    def lane(self, owner: object) -> Lane:
        """Return the lane of ``owner``."""
        return self._lanes.setdefault(owner, Lane())

    def hold(self, lane: Lane, data: builtins.bytes, key: Hashable) -> bool:
        """
        Append a document that may be displaced.

        Args:
            lane: Where it belongs.
            data: The document, encoded.
            key: The document of the same key that waits in the lane is displaced;
                of none if it is ``None``.

        Returns:
            Whether one was displaced.

        """
        displaced = key is not None and key in lane.places
        if displaced:
            self._displace(lane, lane.places.pop(key))
        lane.places[self._next if key is None else key] = self._next
        lane.charge += len(data) + _OVERHEAD
        self._append(_Entry(data, 1, key, lane))
        return displaced

    def trim(self, lane: Lane, limit: int) -> int:
        """
        Displace the oldest documents of a lane until they fit; the newest stays.

        Returns:
            How many were displaced.

        """
        displaced = 0
        while lane.charge > limit and len(lane.places) > 1:
            _, place = lane.places.popitem(last=False)
            self._displace(lane, place)
            displaced += 1
        return displaced

    def _append(self, entry: _Entry) -> None:
        self._entries[self._next] = entry
        self._next += 1
        self._charge += len(entry.data) + _OVERHEAD
        self._frames += entry.frames
        self._bytes += len(entry.data)

    def _displace(self, lane: Lane, place: int) -> None:
        entry = self._entries.pop(place)
        lane.charge -= len(entry.data) + _OVERHEAD
        self._discharge(entry)
        # It was accepted for sending, and stays counted as such.
        self._connection._sent(entry.frames, len(entry.data))
        self._connection._displaced += entry.frames

    def _discharge(self, entry: _Entry) -> None:
        self._charge -= len(entry.data) + _OVERHEAD
        self._frames -= entry.frames
        self._bytes -= len(entry.data)


def queue(connection: Connection[Any], frame: bytes) -> Backlog | None:
    """
    Queue a frame for the end of this turn, unless the peer is behind.

    Args:
        connection: One that is not closed.
        frame: The document, encoded.

    Returns:
        None if the frame is queued; or where it has to wait, by `Backlog.hold`.

    """
    outbox: object = connection._outbox
    if isinstance(outbox, Backlog):
        return outbox
    if connection._outbox.charge > connection._room:
        # Whoever fills the outbox beyond the room flushes it at once: what is there
        # still is what the transport does not take.
        return Backlog(connection)
    if connection._push(frame) > connection._room:
        connection._relieve()
    return None
