"""The backplane within one process."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["MemoryBackplane"]


class MemoryBackplane:
    """
    Joins rooms of one event loop, such as those of two servers in one program.

    Frames are delivered before `publish` returns.
    """

    def __init__(self) -> None:
        # The inner dicts are ordered sets.
        self._rooms: dict[str, dict[Callable[[bytes, str | None], None], None]] = {}

    def subscribe(self, name: str, deliver: Callable[[bytes, str | None], None], /) -> None:
        """Deliver what others publish to a room from now on."""
        self._rooms.setdefault(name, {})[deliver] = None

    def unsubscribe(self, name: str, deliver: Callable[[bytes, str | None], None], /) -> None:
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
        sender: Callable[[bytes, str | None], None],
        /,
    ) -> None:
        """Hand a frame to all others who have subscribed to the room."""
        for deliver in tuple(self._rooms.get(name, ())):
            if deliver != sender:
                deliver(frame, key)
