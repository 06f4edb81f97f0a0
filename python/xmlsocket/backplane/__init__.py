"""What carries the documents of a room from one process to the others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from .memory import MemoryBackplane

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Backplane", "MemoryBackplane"]


class Backplane(Protocol):
    """
    What a `Room` asks of the medium that joins it to rooms of the same name.

    A room delivers to its own members by itself. A backplane forwards what rooms
    publish, as it was encoded, to the other rooms of the same name, in the order
    in which one room published it. None of the methods waits; all of them belong
    to the event loop's thread.
    """

    def subscribe(self, name: str, deliver: Callable[[bytes, str | None], None], /) -> None:
        """
        Deliver what others publish to a room from now on.

        Called when the room gets its first member.

        Args:
            name: Name of the room: 1 to 255 bytes of UTF-8, written by a peer
                perhaps, so to be encoded where the medium has syntax.
            deliver: Called with each frame, its delimiter included, and its key.

        """
        ...

    def unsubscribe(self, name: str, deliver: Callable[[bytes, str | None], None], /) -> None:
        """Deliver no more: the room has lost its last member."""
        ...

    def publish(
        self,
        name: str,
        frame: bytes,
        key: str | None,
        sender: Callable[[bytes, str | None], None],
        /,
    ) -> None:
        """
        Hand a frame to all others who have subscribed to the room.

        Args:
            name: Name of the room.
            frame: The document, encoded, its delimiter included.
            key: What it is the latest of, or None.
            sender: What the publishing room subscribes with: it gets no echo.

        """
        ...
