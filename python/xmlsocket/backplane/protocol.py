"""What a room asks of the medium that joins it to others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable
    from typing import TypeAlias

    Deliver: TypeAlias = Callable[[bytes, str | None, Collection[Any]], None]

__all__ = ["Backplane"]


class Backplane(Protocol):
    """
    What a `Room` asks of the medium that joins it to rooms of the same name.

    A backplane forwards what rooms publish, as it was encoded, to the other rooms
    of the same name, in the order in which one room published it. None of the
    methods waits; all of them belong to the event loop's thread.

    A medium that keeps a history is `ordered`: all rooms of one name get the
    documents in one order, and new members are first sent those of `replay`.

    ``deliver`` is how a room gets documents. It is called with the frame, its
    delimiter included, the key, and the members to pass over: what was given to
    `publish` if the room published the frame itself, and nothing otherwise.
    """

    @property
    def ordered(self) -> bool:
        """
        Whether `publish` delivers to the publishing room too, when it is its turn.

        If not, rooms send what they publish to their own members, at once.
        """
        ...

    def subscribe(self, name: str, deliver: Deliver, /) -> None:
        """
        Deliver what is published to a room from now on.

        Called when the room gets its first member.

        Args:
            name: Name of the room: 1 to 255 bytes of UTF-8, written by a peer
                perhaps, so to be encoded where the medium has syntax.
            deliver: How the room gets documents.

        """
        ...

    def unsubscribe(self, name: str, deliver: Deliver, /) -> None:
        """
        Deliver no more: the room has lost its last member.

        Args:
            name: Name of the room, as given to `subscribe`.
            deliver: What was given to `subscribe`.

        """
        ...

    def publish(
        self,
        name: str,
        frame: bytes,
        key: str | None,
        sender: Deliver,
        exclude: Collection[Any],
        /,
    ) -> None:
        """
        Hand a frame to all who have subscribed to the room.

        Args:
            name: Name of the room.
            frame: The document, encoded, its delimiter included.
            key: What it is the latest of, or None.
            sender: What the publishing room subscribes with: it gets no echo,
                unless the backplane is `ordered`.
            exclude: What an `ordered` backplane gives back to ``sender``.

        """
        ...

    def replay(self, name: str, /) -> Iterable[tuple[bytes, str | None]]:
        """
        Return what one more member of a subscribed room is sent first.

        That is the end of what was delivered to the room so far; what is not
        delivered yet will be.

        Args:
            name: Name of the room, as given to `subscribe`.

        Returns:
            Frames, delimiters included, and their keys, the oldest first.

        """
        ...
