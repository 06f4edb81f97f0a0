"""
A node: a server with rooms, in a process of its own.

``python -m benches.scale.node`` prints its port, then serves until it is ended. The first
document of a client, ``<join room="NAME"/>``, is answered with ``<joined/>`` when the backplane
knows the room; every later one goes to the room, sender excluded.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import xmlsocket
from xmlsocket.backplane.nats import NatsBackplane

if TYPE_CHECKING:
    from xmlsocket import Connection

HISTORY = xmlsocket.History(documents=10)


class Rooms:
    """
    The rooms of this process.

    Args:
        backplane: What joins them with those of others; None for a node that stands alone.
        latest: Whether documents displace those of the same key, their ``id``.

    """

    def __init__(self, backplane: NatsBackplane | None, *, latest: bool) -> None:
        self._backplane = backplane
        self._latest = latest
        self._rooms: dict[str, xmlsocket.Room] = {}

    async def serve(self, connection: Connection[Any]) -> None:
        """Serve one client."""
        documents = aiter(connection)
        first = await anext(documents, None)
        if first is None:
            return
        room = self._room(first.get("room"))
        new = not room.members
        room.join(connection)
        if self._backplane is not None and new:
            await self._backplane.flush()
        await connection.send("<joined/>")
        async for document in documents:
            key = document.get("id") if self._latest else None
            room.broadcast(document, exclude=[connection], key=key)

    def _room(self, name: str) -> xmlsocket.Room:
        room = self._rooms.get(name)
        if room is None:
            room = self._rooms[name] = xmlsocket.Room(
                name,
                slow_peer="latest" if self._latest else "close",
                backplane=self._backplane,
            )
        return room


async def run(nats: str | None, *, history: bool, latest: bool) -> None:
    """Serve on a free port of loopback."""
    async with contextlib.AsyncExitStack() as stack:
        backplane = None
        if nats is not None:
            backplane = await stack.enter_async_context(
                NatsBackplane(nats, history=HISTORY if history else None)
            )
        rooms = Rooms(backplane, latest=latest)
        limits = xmlsocket.Limits(connections=None)
        server = await stack.enter_async_context(
            xmlsocket.serve(rooms.serve, "127.0.0.1", 0, limits=limits, idle_timeout=None)
        )
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()


def main() -> None:
    """Read the options and serve."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--nats", metavar="URL")
    parser.add_argument("--history", action="store_true")
    parser.add_argument("--latest", action="store_true")
    given = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(run(given.nats, history=given.history, latest=given.latest))


if __name__ == "__main__":
    main()
