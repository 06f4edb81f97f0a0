"""A recording proxy and an echo server behind it."""

from __future__ import annotations

import asyncio
import contextlib
import io
import socket
from typing import TYPE_CHECKING, Any

import xmlsocket
from xmlsocket.testing.recording import Record, Recorder, RecordingProxy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from xmlsocket.testing.conformance import Endpoint

PATIENCE = 30.0
"""Seconds after which a test gives up waiting."""


class Full(io.StringIO):
    """A file on a disk that is full."""

    def write(self, text: str) -> int:
        """Refuse."""
        raise OSError(28, "No space left on device")


async def echo(connection: xmlsocket.Connection[bytes]) -> None:
    """Send everything back."""
    async for frames in connection.batches():
        await connection.send_many(frames)


@contextlib.asynccontextmanager
async def echoing(**options: Any) -> AsyncIterator[int]:
    """Run an echo server and give its port."""
    async with xmlsocket.serve(
        echo, "127.0.0.1", 0, parse=bytes, skip_empty=False, **options
    ) as server:
        yield server.sockets[0].getsockname()[1]


@contextlib.asynccontextmanager
async def recording(
    target: Endpoint, recorder: Recorder, **options: Any
) -> AsyncIterator[tuple[int, asyncio.Task[None]]]:
    """Run a proxy; give its port and its task."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        serving = asyncio.create_task(RecordingProxy(target, recorder, **options).serve([listener]))
        try:
            yield listener.getsockname()[1], serving
        finally:
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)


def records_of(out: io.StringIO) -> list[Record]:
    """Return what was written."""
    return [Record.parse(line) for line in out.getvalue().splitlines()]


def brief(records: Iterable[Record]) -> list[tuple[str, str, bytes | str | None]]:
    """Return what does not depend on time and ports."""
    return [(r.side, str(r.event), r.how if r.data is None else r.data) for r in records]


async def closed(out: io.StringIO, count: int = 1) -> list[Record]:
    """Wait until so many connections are over, and return all records."""
    async with asyncio.timeout(PATIENCE):
        while out.getvalue().count('"close"') < count:
            await asyncio.sleep(0.005)
    return records_of(out)


async def exchange(port: int, data: bytes, **options: Any) -> bytes:
    """Send, end this direction, and return what comes back."""
    async with asyncio.timeout(PATIENCE):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, **options)
        writer.write(data)
        if not options:
            writer.write_eof()
            came = await reader.read()
        else:
            came = await reader.readexactly(len(data))
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        return came
