"""How much of what was said in a room its new members are told."""

from __future__ import annotations

import collections
import dataclasses
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["History", "Replay"]

# Charged for a document beyond its length: its object, its time, its place.
_OVERHEAD: Final = 192


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """
    What a backplane keeps of each room.

    With both, new members are sent what satisfies both.

    Args:
        documents: How many documents a new member is sent first, the latest ones;
            None does not count them.
        seconds: How old they may be; None for any age.

    Raises:
        ValueError: If there is no limit, or a negative one.

    """

    documents: int | None = 100
    seconds: float | None = None

    def __post_init__(self) -> None:
        if self.documents is None and self.seconds is None:
            raise ValueError("a history needs a limit: History.documents or History.seconds")
        for name in ("documents", "seconds"):
            value = getattr(self, name)
            if value is not None and not value >= 0:
                raise ValueError(f"History.{name} must not be negative, not {value}")


class Replay:
    """
    The documents of one room that its new members are sent.

    Args:
        history: How many.

    Attributes:
        size: Bytes charged for them.

    """

    def __init__(self, history: History) -> None:
        self._seconds = history.seconds
        self._entries: collections.deque[tuple[bytes, str | None, float]] = collections.deque(
            maxlen=history.documents
        )
        self.size: int = 0

    def add(self, frame: bytes, key: str | None, time: float) -> None:
        """Append a document and drop those that are too many or too old at ``time``."""
        entries = self._entries
        if len(entries) == entries.maxlen and entries:
            self._drop()
        if entries.maxlen != 0:
            entries.append((frame, key, time))
            self.size += len(frame) + _OVERHEAD
        self._age(time)

    def at(self, time: float) -> Iterator[tuple[bytes, str | None]]:
        """Return the documents, oldest first, that a member who comes at ``time`` is sent."""
        self._age(time)
        return ((frame, key) for frame, key, _ in tuple(self._entries))

    def _age(self, time: float) -> None:
        if self._seconds is not None:
            while self._entries and self._entries[0][2] < time - self._seconds:
                self._drop()

    def _drop(self) -> None:
        self.size -= len(self._entries.popleft()[0]) + _OVERHEAD
