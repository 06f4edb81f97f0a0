"""What the tests of the asyncio tree share."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from typing import TYPE_CHECKING, Any

import xmlsocket

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    import pytest

    from xmlsocket import Connection, Server


class Handler:
    """A handler that hands its connection to the test and lives until the test lets it go."""

    def __init__(self) -> None:
        self._arrived: asyncio.Queue[Connection[Any]] = asyncio.Queue()
        self._leave = asyncio.Event()

    async def __call__(self, connection: Connection[Any]) -> None:
        self._arrived.put_nowait(connection)
        await self._leave.wait()

    async def connection(self) -> Connection[Any]:
        """Return the next connection that was opened."""
        async with asyncio.timeout(10):
            return await self._arrived.get()

    def leave(self) -> None:
        """Let all handlers return."""
        self._leave.set()


def port_of(server: Server[Any]) -> int:
    """Return the port of a server on one address."""
    port: int = server.sockets[0].getsockname()[1]
    return port


@contextlib.asynccontextmanager
async def raw(
    **options: Any,
) -> AsyncIterator[tuple[Connection[Any], asyncio.StreamReader, asyncio.StreamWriter]]:
    """Open a server's connection and, at its other end, a stream that knows only bytes."""
    handler = Handler()
    options.setdefault("parse", bytes)
    async with xmlsocket.serve(handler, "127.0.0.1", 0, **options) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(server))
        connection = await handler.connection()
        try:
            yield connection, reader, writer
        finally:
            handler.leave()
            connection.abort()
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


@contextlib.asynccontextmanager
async def pair(
    *, server_options: dict[str, Any] | None = None, **options: Any
) -> AsyncIterator[tuple[Connection[Any], Connection[Any]]]:
    """Open a connection and give its client's and its server's end."""
    handler = Handler()
    options.setdefault("parse", bytes)
    server_options = {"parse": bytes} | (server_options or {})
    async with xmlsocket.serve(handler, "127.0.0.1", 0, **server_options) as server:
        async with xmlsocket.connect("127.0.0.1", port_of(server), **options) as client:
            connection = await handler.connection()
            try:
                yield client, connection
            finally:
                handler.leave()
                connection.abort()


async def until(condition: Callable[[], Any]) -> None:
    """Let the loop turn until the condition holds; the test's timeout is the bound."""
    while not condition():
        await asyncio.sleep(0.001)


async def read_all(reader: asyncio.StreamReader) -> bytes:
    """Read to the end of the stream."""
    async with asyncio.timeout(10):
        return await reader.read()


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """Return what this package logged as a warning or worse (a slow machine makes asyncio talk)."""
    return [
        record
        for record in caplog.records
        if record.levelno >= logging.WARNING and record.name.startswith("xmlsocket")
    ]


def reset(writer: asyncio.StreamWriter) -> None:
    """Close a stream so that the peer gets a reset."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    writer.transport.abort()


async def gather_bounded(*awaitables: Awaitable[Any]) -> list[Any]:
    """Gather, but not for ever."""
    async with asyncio.timeout(50):
        return await asyncio.gather(*awaitables)
