"""The backplanes on which the tests of rooms run."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from typing import TYPE_CHECKING, Any, NamedTuple

from nats.js.errors import NotFoundError

from xmlsocket import History, MemoryBackplane, Room
from xmlsocket.backplane.nats import NatsBackplane
from xmlsocket.backplane.nats.stream import StreamFeed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from .nats import NatsServer

__all__ = ["KINDS", "Plane", "open_plane", "prefix", "settle"]

KINDS = ("memory", "memory with history", "nats", "nats with history")

_numbers = itertools.count()


def prefix() -> str:
    """Return a prefix that no other test has."""
    return f"test{next(_numbers)}"


class Plane(NamedTuple):
    """
    What joins the rooms of two processes, or of what stands for them.

    Attributes:
        here: The backplane of one.
        there: The backplane of the other; the same one if it is in memory.

    """

    here: MemoryBackplane | NatsBackplane
    there: MemoryBackplane | NatsBackplane

    def room(self, name: str, **options: Any) -> Room:
        """Return a room of this process."""
        return Room(name, backplane=self.here, **options)

    def far_room(self, name: str, **options: Any) -> Room:
        """Return a room of the other process."""
        return Room(name, backplane=self.there, **options)

    async def settle(self) -> None:
        """Wait until all that was said has arrived, and everyone will hear what comes."""
        await settle(*(plane for plane in self if isinstance(plane, NatsBackplane)))

    def open_rooms(self) -> int:
        """Return how many rooms the backplanes believe to have members."""
        return sum(
            plane.stats().rooms if isinstance(plane, NatsBackplane) else len(plane._rooms)
            for plane in set(self)
        )


async def settle(*planes: NatsBackplane) -> None:
    """Wait until all that was said on these backplanes has arrived on all of them."""
    async with asyncio.timeout(40):
        for plane in planes:
            await plane.flush()
        for plane in planes:
            # What the server had for it came before the server's answer.
            await plane.flush()
            client = (await plane._link.session()).client
            while any(sub.pending_msgs for sub in client._subs.values()):
                await asyncio.sleep(0)
            for feed in tuple(plane._feeds.values()):
                if isinstance(feed, StreamFeed):
                    await _read_to_the_end(plane, feed)


async def _read_to_the_end(plane: NatsBackplane, feed: StreamFeed) -> None:
    client = (await plane._link.session()).client
    try:
        last = await client.jsm().get_last_msg(feed._stream, feed._subject)
    except NotFoundError:
        return
    while feed._last < (last.seq or 0):
        await asyncio.sleep(0.001)


@contextlib.asynccontextmanager
async def open_plane(kind: str, server: NatsServer | None) -> AsyncIterator[Plane]:
    """Open one of `KINDS`."""
    history = History(documents=100) if "history" in kind else None
    if kind.startswith("memory"):
        plane = MemoryBackplane(history)
        yield Plane(plane, plane)
        return
    assert server is not None
    name = prefix()
    async with (
        NatsBackplane(server.url, history=history, prefix=name) as here,
        NatsBackplane(server.url, history=history, prefix=name) as there,
    ):
        yield Plane(here, there)
