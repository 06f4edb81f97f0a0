"""What the tests of the backplane on NATS share."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection

    from xmlsocket.backplane.nats import NatsBackplane

__all__ = ["Listener"]


class Listener:
    """Stands for a room with members: notes what is delivered to it."""

    def __init__(self) -> None:
        self.documents: list[bytes] = []
        self.keys: list[str | None] = []
        self.excluded: list[Collection[Any]] = []

    def __call__(self, frame: bytes, key: str | None, exclude: Collection[Any]) -> None:
        assert frame.endswith(b"\0")
        self.documents.append(frame[:-1])
        self.keys.append(key)
        self.excluded.append(exclude)

    def join(self, plane: NatsBackplane, name: str = "a") -> Listener:
        """Subscribe to a room."""
        plane.subscribe(name, self)
        return self

    async def heard(self, last: bytes) -> list[bytes]:
        """Return all documents as soon as ``last`` is among them."""
        async with asyncio.timeout(50):
            while last not in self.documents[-1:] and last not in self.documents:
                await asyncio.sleep(0.001)
        return self.documents

    def say(self, plane: NatsBackplane, *documents: bytes, name: str = "a") -> None:
        """Publish documents as the room would."""
        for document in documents:
            plane.publish(name, document + b"\0", None, self, ())
