"""Rooms: groups of connections that are sent the same documents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, get_args

# ruff: noqa: SLF001 - delivery is a part of the write path of connections
from .asyncio.backlog import queue
from .asyncio.connection import broadcast_frame
from .asyncio.output import CLOSED
from .backplane import MemoryBackplane
from .connection import to_frame
from .stats import RoomStats

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from .asyncio import Connection
    from .backplane import Backplane
    from .connection import Document

__all__ = ["Room"]

SlowPeer = Literal["close", "drop_oldest", "latest"]

NAME_MAX: Final = 255
"""Bytes of a room's name in UTF-8. Names often come from peers; subjects of brokers are short."""

# The rooms of every connection that has joined one, until it ends.
_joined: dict[Connection[Any], set[Room]] = {}


class Room:
    """
    A group of connections that are sent the same documents.

    A connection may be in many rooms, and leaves them by itself when it ends.
    Joining and leaving cost the same in a large room as in a small one. All
    methods belong to the event loop's thread, and none of them waits.

    What happens when a member reads more slowly than the room speaks, that is,
    when more waits for it than its ``write_limit``:

    - ``"close"``: it is cut off (`CloseReason.SLOW_PEER`) when more than
      ``Limits.write_cap`` bytes wait, as `broadcast` does.
    - ``"drop_oldest"``: of this room's documents the oldest are dropped until
      those that wait beyond ``write_limit`` fit into ``max_waiting``.
    - ``"latest"``: a document with a key displaces the one of the same key that
      waits; without a key none is lost. Above ``Limits.write_cap`` the member is
      cut off.

    Under every policy documents arrive in the order in which they were sent, by
    the room or by `Connection.send`. With ``write_limit=None`` nothing counts as
    slow. On a backplane with `History` a document of the room is sent when the
    history has it, which may be after `broadcast` has returned, and members that
    join are sent the history first.

    Args:
        name: 1 to 255 bytes of UTF-8; rooms of the same name on one backplane are
            one room.
        slow_peer: The policy.
        max_waiting: Bytes, with 352 for each document, that the documents of this
            room may hold for one member beyond its ``write_limit``; one document
            may always wait. For ``"drop_oldest"``.
        backplane: What joins the rooms of several servers; by default this room
            stands alone.

    Raises:
        ValueError: If an argument is out of range.

    """

    def __init__(
        self,
        name: str,
        *,
        slow_peer: SlowPeer = "close",
        max_waiting: int = 2**16,
        backplane: Backplane | None = None,
    ) -> None:
        if not 0 < len(name.encode()) <= NAME_MAX:
            raise ValueError(f"a room's name must have 1 to {NAME_MAX} bytes in UTF-8")
        if slow_peer not in get_args(SlowPeer):
            raise ValueError(f"slow_peer must be one of {get_args(SlowPeer)}, not {slow_peer!r}")
        if max_waiting < 0:
            raise ValueError(f"max_waiting must not be negative, not {max_waiting}")
        self.name = name
        self._slow_peer = slow_peer
        self._max_waiting = max_waiting
        self._backplane: Backplane = MemoryBackplane() if backplane is None else backplane
        # An ordered set. A dict, so that no member waits longer than others by chance.
        self._members: dict[Connection[Any], None] = {}
        self._documents = 0
        self._dropped = 0
        self._replaced = 0
        self._cut = 0

    @property
    def members(self) -> frozenset[Connection[Any]]:
        """The members of this process."""
        return frozenset(self._members)

    def join(self, connection: Connection[Any]) -> None:
        """
        Add a connection.

        Args:
            connection: Who joins; one that is a member or has ended is passed over.

        """
        if connection in self._members:
            return
        rooms = _joined.get(connection)
        if rooms is None:
            if not connection._when_lost(_forget):
                return
            rooms = _joined[connection] = set()
        if not self._members:
            self._backplane.subscribe(self.name, self._spread)
        self._members[connection] = None
        rooms.add(self)
        for frame, key in self._backplane.replay(self.name):
            self._send([connection], frame, key)

    def leave(self, connection: Connection[Any]) -> None:
        """
        Remove a connection; what it was sent before still goes.

        Args:
            connection: Who leaves; one that is no member is passed over.

        """
        if connection in self._members:
            _joined[connection].discard(self)
            self._remove(connection)

    def _remove(self, connection: Connection[Any]) -> None:
        del self._members[connection]
        if not self._members:
            self._backplane.unsubscribe(self.name, self._spread)

    def broadcast(
        self,
        document: Document,
        *,
        exclude: Collection[Connection[Any]] = (),
        key: str | None = None,
    ) -> None:
        """
        Send a document to all members, those of other servers included.

        It is encoded once.

        Args:
            document: An lxml element, text, or bytes.
            exclude: Members of this process that do not get it, most often
                ``[sender]``.
            key: What the document is the latest of, such as one player's
                position. With ``slow_peer="latest"`` only.

        Raises:
            DelimiterInPayload: If the document holds a zero byte. Nothing is sent.
            ValueError: If there is a key under another policy.

        """
        if key is not None and self._slow_peer != "latest":
            raise ValueError(f"a key needs slow_peer='latest', not {self._slow_peer!r}")
        frame = to_frame(document)
        if exclude:
            exclude = frozenset(exclude)
        if not self._backplane.ordered:
            self._spread(frame, key, exclude)
        self._backplane.publish(self.name, frame, key, self._spread, exclude)

    def stats(self) -> RoomStats:
        """Return what this room, in this process, has counted."""
        return RoomStats(
            members=len(self._members),
            documents=self._documents,
            dropped=self._dropped,
            replaced=self._replaced,
            cut=self._cut,
        )

    def _spread(self, frame: bytes, key: str | None, exclude: Collection[Connection[Any]]) -> None:
        """Send to the members what was said here or came over the backplane."""
        self._documents += 1
        if exclude:
            self._send([member for member in self._members if member not in exclude], frame, key)
        else:
            self._send(self._members, frame, key)

    def _send(self, members: Iterable[Connection[Any]], frame: bytes, key: str | None) -> None:
        if self._slow_peer == "close":
            self._cut += len(broadcast_frame(members, frame))
            return
        for member in members:
            if member._hold != CLOSED:
                self._offer(member, frame, key)

    def _offer(self, member: Connection[Any], frame: bytes, key: str | None) -> None:
        """Send to one member, whose policy is not to be cut off at once."""
        backlog = queue(member, frame)
        if backlog is not None:
            lane = backlog.lane(self)
            if self._slow_peer == "drop_oldest":
                backlog.hold(lane, frame, None)
                self._dropped += backlog.trim(lane, self._max_waiting)
            else:
                self._replaced += backlog.hold(lane, frame, key)
            member._relieve()
        if member._hold == CLOSED:
            self._cut += 1


def _forget(connection: Connection[Any]) -> None:
    """Let a connection that has ended leave its rooms."""
    for room in _joined.pop(connection):
        room._remove(connection)
