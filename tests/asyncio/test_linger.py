"""Last words on a connection: they arrive, and nobody can keep the connection by not leaving."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
from typing import TYPE_CHECKING, cast

from tests.asyncio.support import read_all, until
from tests.support.tls import contexts
from xmlsocket.asyncio.linger import answer

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator

    import pytest


class Speaker(asyncio.Protocol):
    """Says something as soon as it is connected, and notes its end."""

    def __init__(self, words: bytes) -> None:
        self.words = words
        self.lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say it, after uvloop has begun to read, as its servers do behind this call."""
        transport = cast("asyncio.Transport", transport)
        speak = functools.partial(answer, transport, self.words, self.connection_lost)
        asyncio.get_running_loop().call_soon(speak)

    def connection_lost(self, exc: Exception | None) -> None:
        """Note the end."""
        assert not self.lost
        self.lost = True


@contextlib.asynccontextmanager
async def speaker(
    words: bytes, context: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[Speaker, tuple[str, int]]]:
    """Start a server that says ``words`` to one client."""
    protocol = Speaker(words)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: protocol, "127.0.0.1", 0, ssl=context)
    try:
        yield protocol, server.sockets[0].getsockname()
    finally:
        server.close()
        await server.wait_closed()


async def test_answer_reaches_a_peer_that_still_sends() -> None:
    """What the peer sends meanwhile is thrown away and does not destroy the answer."""
    async with speaker(b"x" * 10**6) as (protocol, address):
        reader, writer = await asyncio.open_connection(*address)
        writer.write(b"y" * 50_000)
        assert b"x" * 10**6 == await read_all(reader)
        writer.close()
        await until(lambda: protocol.lost)


async def test_answer_over_tls_is_followed_by_the_close() -> None:
    """TLS has no half-closed connections: the answer goes, then the connection is closed."""
    server_context, client_context = contexts()
    async with speaker(b"words", server_context) as (protocol, address):
        reader, writer = await asyncio.open_connection(
            *address, ssl=client_context, server_hostname="localhost"
        )
        assert b"words" == await read_all(reader)
        writer.close()
        await until(lambda: protocol.lost)


async def test_linger_ends_for_a_peer_that_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """A peer that reads and does not close has the time of a linger and no more."""
    monkeypatch.setattr("xmlsocket.asyncio.linger.LINGER_TIME", 0.05)
    async with speaker(b"words") as (protocol, address):
        _, writer = await asyncio.open_connection(*address)
        await until(lambda: protocol.lost)
        writer.close()


async def test_linger_ends_for_a_peer_that_does_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a peer does not take within the time of a linger is dropped."""
    monkeypatch.setattr("xmlsocket.asyncio.linger.LINGER_TIME", 0.05)
    async with speaker(b"x" * 20 * 2**20) as (protocol, address):
        with socket.create_connection(address):
            await until(lambda: protocol.lost)
