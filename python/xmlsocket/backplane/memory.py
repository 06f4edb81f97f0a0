"""The backplane within one process."""

from __future__ import annotations

import collections
import time
from typing import TYPE_CHECKING, Any, Final

from .history import Replay

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from .history import History
    from .protocol import Deliver

__all__ = ["MemoryBackplane"]

# Charged for a room that is remembered, beyond its name and documents.
_OVERHEAD: Final = 1024


class MemoryBackplane:
    """
    Joins rooms of one event loop, such as those of two servers in one program.

    Frames are delivered before `publish` returns.

    Args:
        history: What new members are sent first; by default nothing.
        memory: Bytes that all histories together may hold. Beyond it the rooms in
            which nothing was said for longest are forgotten, but for the latest.

    """

    def __init__(self, history: History | None = None, *, memory: int = 2**26) -> None:
        # The inner dicts are ordered sets.
        self._rooms: dict[str, dict[Deliver, None]] = {}
        self._history = history
        self._memory = memory
        self._used = 0
        # In the order in which something was said last.
        self._replays: collections.OrderedDict[str, Replay] = collections.OrderedDict()

    @property
    def ordered(self) -> bool:
        """Whether there is a history."""
        return self._history is not None

    def subscribe(self, name: str, deliver: Deliver, /) -> None:
        """Deliver what others publish to a room from now on."""
        self._rooms.setdefault(name, {})[deliver] = None

    def unsubscribe(self, name: str, deliver: Deliver, /) -> None:
        """Deliver no more."""
        subscribers = self._rooms[name]
        del subscribers[deliver]
        if not subscribers:
            del self._rooms[name]

    def publish(
        self,
        name: str,
        frame: bytes,
        key: str | None,
        sender: Deliver,
        exclude: Collection[Any],
        /,
    ) -> None:
        """Hand a frame to all who have subscribed to the room."""
        if self._history is not None:
            self._remember(name, frame, key, self._history)
        for deliver in tuple(self._rooms.get(name, ())):
            if deliver != sender:
                deliver(frame, key, ())
            elif self._history is not None:
                deliver(frame, key, exclude)

    def replay(self, name: str, /) -> Iterable[tuple[bytes, str | None]]:
        """Return what one more member of the room is sent first."""
        replay = self._replays.get(name)
        if replay is None:
            return ()
        before = replay.size
        documents = replay.at(time.monotonic())
        self._used += replay.size - before
        return documents

    def _remember(self, name: str, frame: bytes, key: str | None, history: History) -> None:
        replay = self._replays.get(name)
        if replay is None:
            replay = self._replays[name] = Replay(history)
            self._used += _OVERHEAD
        self._replays.move_to_end(name)
        before = replay.size
        replay.add(frame, key, time.monotonic())
        self._used += replay.size - before
        # Names come from peers: there may be any number of rooms.
        while self._used > self._memory and len(self._replays) > 1:
            _, forgotten = self._replays.popitem(last=False)
            self._used -= forgotten.size + _OVERHEAD
