"""
The queue of what waits to be written on one connection.

The Rust extension brings one that takes documents without a Python frame; the
class here does the same without that shortcut, for when the pure codec is used.
"""

from __future__ import annotations

import collections
from typing import TYPE_CHECKING

from .codec import IMPLEMENTATION

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any

__all__ = ["Outbox", "PureOutbox"]


class PureOutbox:
    """
    The frames that wait to be written on one connection, and the account of them.

    Args:
        overhead: Bytes charged beyond its length for a document or a block of
            frames.

    Attributes:
        room: The charge up to which `put` takes documents; ``None`` while it
            takes none.
        charge: What waits: its bytes, and the overhead of each document or block.
        frames: Frames taken so far.
        bytes: Bytes taken so far, delimiters included.

    """

    __slots__ = ("_blocks", "_overhead", "bytes", "charge", "frames", "room")

    def __init__(self, overhead: int, /) -> None:
        self._overhead = overhead
        self._blocks: collections.deque[bytes] = collections.deque()
        self.room: int | None = None
        self.charge: int = 0
        self.frames: int = 0
        self.bytes: int = 0

    def put(self, document: object, /) -> Coroutine[Any, Any, None] | None:  # noqa: ARG002
        """
        Take a document if others wait already and nothing stands in its way.

        Here something always does: what makes it worth while is to be done
        without a Python frame.

        Args:
            document: Text or bytes.

        Returns:
            What to await, without waiting; or None if the document was not taken:
            nothing waits that it could join, it does not fit into `room`, holds a
            delimiter or has another type.

        """
        return None

    def push(self, data: bytes, frames: int = 1, /) -> int:
        """
        Append frames that are encoded.

        Args:
            data: The frames, delimiters included.
            frames: How many they are.

        Returns:
            The charge of all that waits.

        """
        self._blocks.append(data)
        self.frames += frames
        self.bytes += len(data)
        self.charge += len(data) + self._overhead
        return self.charge

    def take(self, limit: int, /) -> bytes:
        """
        Take what to write next off the front.

        Args:
            limit: When this many bytes are there, no further block is taken.

        Returns:
            The bytes of whole blocks; empty if nothing waits.

        """
        taken = []
        size = 0
        while self._blocks and size < limit:
            data = self._blocks.popleft()
            size += len(data)
            taken.append(data)
        self.charge -= size + len(taken) * self._overhead
        return taken[0] if len(taken) == 1 else b"".join(taken)

    def clear(self) -> None:
        """Drop all that waits, and take no more documents."""
        self._blocks.clear()
        self.charge = 0
        self.room = None


if TYPE_CHECKING or IMPLEMENTATION == "rust":
    from ._rust import Outbox
else:
    Outbox = PureOutbox
