"""
asyncio streams: ``readuntil``, ``write`` and ``drain`` per message, as their documentation shows.

``limit`` is the largest frame or the default of 64 KiB, whichever is more; TCP_NODELAY
is asyncio's default.
"""

from __future__ import annotations

import asyncio
import functools
from typing import TYPE_CHECKING

from lxml import etree

from .common import Arguments, Pairs, announce, arguments, run, totals

if TYPE_CHECKING:
    from asyncio import StreamReader, StreamWriter
    from collections.abc import AsyncIterator


async def frames(reader: StreamReader) -> AsyncIterator[bytes]:
    """Yield frames without delimiters until the end of input."""
    while True:
        try:
            frame = await reader.readuntil(b"\0")
        except asyncio.IncompleteReadError:
            return
        yield frame[:-1]


class Handlers:
    """One method per mode."""

    def __init__(self) -> None:
        self._writers: set[StreamWriter] = set()
        self._pairs: Pairs[StreamWriter] = Pairs()
        # The settings of this package's parser, so that the work is the same.
        self._parser = etree.XMLParser(
            encoding="utf-8", resolve_entities=False, no_network=True, huge_tree=False
        )

    async def echo(self, reader: StreamReader, writer: StreamWriter) -> None:
        """Send back every frame."""
        while True:
            frame = (await reader.readuntil(b"\0"))[:-1]
            writer.write(frame + b"\0")
            await writer.drain()

    async def documents(self, reader: StreamReader, writer: StreamWriter) -> None:
        """Parse every document and send it back as lxml writes it."""
        async for frame in frames(reader):
            document = etree.fromstring(frame, self._parser)
            writer.write(etree.tostring(document, encoding="utf-8") + b"\0")
            await writer.drain()

    async def ingest(self, reader: StreamReader, writer: StreamWriter) -> None:
        """Count frames and bytes."""
        count = size = 0
        async for frame in frames(reader):
            count += 1
            size += len(frame)
        writer.write(totals(count, size) + b"\0")

    async def broadcast(self, reader: StreamReader, _writer: StreamWriter) -> None:
        """Send every frame to all, encoded for each: the loop that people write first."""
        async for frame in frames(reader):
            text = frame.decode()
            for writer in tuple(self._writers):
                writer.write(text.encode() + b"\0")
                await writer.drain()

    async def relay(self, reader: StreamReader, writer: StreamWriter) -> None:
        """Pass frames on to the partner."""
        partner = await self._pairs.join(writer)
        async for frame in frames(reader):
            partner.write(frame + b"\0")
            await partner.drain()

    async def handle(self, mode: str, reader: StreamReader, writer: StreamWriter) -> None:
        """Run the handler of ``mode`` and close the connection."""
        self._writers.add(writer)
        try:
            await getattr(self, mode)(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the load generator is done
        finally:
            self._writers.discard(writer)
            writer.close()


async def main(args: Arguments) -> None:
    """Serve."""
    server = await asyncio.start_server(
        functools.partial(Handlers().handle, args.mode),
        args.host,
        args.port,
        limit=max(args.max_size, 2**16),
        backlog=1024,
    )
    announce(server.sockets[0].getsockname())
    await server.serve_forever()


if __name__ == "__main__":
    args = arguments(__doc__, ("echo", "documents", "ingest", "broadcast", "relay"))
    run(main(args), args.loop)
