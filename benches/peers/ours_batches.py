"""This package, asyncio, by the batch: all frames that have arrived at once. Default settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import xmlsocket

from .common import Arguments, Pairs, announce, arguments, run, totals

if TYPE_CHECKING:
    Connection = xmlsocket.Connection[bytes]


class Handlers:
    """One method per mode."""

    server: xmlsocket.Server[bytes]

    def __init__(self) -> None:
        self._pairs: Pairs[Connection] = Pairs()

    async def echo(self, connection: Connection) -> None:
        """Send back every frame."""
        async for frames in connection.batches():
            await connection.send_many(frames)

    async def ingest(self, connection: Connection) -> None:
        """Count frames and bytes."""
        count = size = 0
        async for frames in connection.batches():
            count += len(frames)
            size += sum(map(len, frames))
        await connection.send(totals(count, size))

    async def broadcast(self, connection: Connection) -> None:
        """Send every frame to all."""
        async for frames in connection.batches():
            everybody = self.server.connections
            for frame in frames:
                xmlsocket.broadcast(everybody, frame)

    async def relay(self, connection: Connection) -> None:
        """Pass frames on to the partner."""
        partner = await self._pairs.join(connection)
        async for frames in connection.batches():
            await partner.send_many(frames)


async def main(args: Arguments) -> None:
    """Serve."""
    handlers = Handlers()
    async with xmlsocket.serve(
        getattr(handlers, args.mode),
        args.host,
        args.port,
        parse=bytes,
        max_size=args.max_size,
        backlog=1024,
    ) as server:
        handlers.server = server
        announce(server.sockets[0].getsockname())
        await server.serve_forever()


if __name__ == "__main__":
    args = arguments(__doc__, ("echo", "ingest", "broadcast", "relay"))
    run(main(args), args.loop)
