"""This package, asyncio, frame by frame: ``async for`` and ``send``. Default settings."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import xmlsocket

from .common import Arguments, Pairs, announce, arguments, run, totals

if TYPE_CHECKING:
    from lxml import etree

    Connection = xmlsocket.Connection[bytes]


class Handlers:
    """One method per mode."""

    server: xmlsocket.Server[Any]

    def __init__(self) -> None:
        self._pairs: Pairs[Connection] = Pairs()

    async def echo(self, connection: Connection) -> None:
        """Send back every frame."""
        async for frame in connection:
            await connection.send(frame)

    async def documents(self, connection: xmlsocket.Connection[etree._Element]) -> None:
        """Parse every document and send it back as lxml writes it."""
        async for document in connection:
            await connection.send(document)

    async def ingest(self, connection: Connection) -> None:
        """Count frames and bytes."""
        count = size = 0
        async for frame in connection:
            count += 1
            size += len(frame)
        await connection.send(totals(count, size))

    async def broadcast(self, connection: Connection) -> None:
        """Send every frame to all."""
        async for frame in connection:
            xmlsocket.broadcast(self.server.connections, frame)

    async def naive_broadcast(self, connection: Connection) -> None:
        """Send every frame to all, one by one: what ``broadcast`` saves."""
        async for frame in connection:
            text = frame.decode()
            for peer in self.server.connections:
                await peer.send(text)

    async def relay(self, connection: Connection) -> None:
        """Pass frames on to the partner."""
        partner = await self._pairs.join(connection)
        async for frame in connection:
            await partner.send(frame)


async def main(args: Arguments) -> None:
    """Serve."""
    handlers = Handlers()
    serve: Any = xmlsocket.serve  # two overloads: documents or raw frames
    if args.mode != "documents":
        serve = functools.partial(serve, parse=bytes)
    async with serve(
        getattr(handlers, args.mode.replace("-", "_")),
        args.host,
        args.port,
        max_size=args.max_size,
        backlog=1024,
    ) as server:
        handlers.server = server
        announce(server.sockets[0].getsockname())
        await server.serve_forever()


if __name__ == "__main__":
    args = arguments(
        __doc__, ("echo", "documents", "ingest", "broadcast", "naive-broadcast", "relay")
    )
    run(main(args), args.loop)
