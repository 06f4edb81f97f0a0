"""The server that movies talk to, and the ways to it."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from typing import TYPE_CHECKING, Final

import xmlsocket
from xmlsocket import WebSocketOptions
from xmlsocket.gateway import Gateway

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from xmlsocket import CloseReason, Connection, Server

__all__ = ["DIRECT", "WAYS", "Echo", "Way"]

PATH = "/socket"


class Echo:
    """
    A handler that sends back what it gets.

    It answers ``<many/>`` with 100 documents at once, and ends on ``<end/>``.

    Attributes:
        frames: All that it got.
        connections: Those that it served.

    """

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.connections: list[Connection[bytes]] = []

    async def __call__(self, connection: Connection[bytes]) -> None:
        """Serve one client."""
        self.connections.append(connection)
        async for frames in connection.batches():
            self.frames += frames
            for frame in frames:
                if frame == b"<end/>":
                    return
                await connection.send_many([b"<n/>"] * 100 if frame == b"<many/>" else [frame])

    async def ended(self) -> list[CloseReason | None]:
        """Wait for the ends of all connections and return their reasons."""
        for connection in self.connections:
            await connection.wait_closed()
        return [connection.close_reason for connection in self.connections]


@dataclasses.dataclass(frozen=True, slots=True)
class Way:
    """
    A way from a page to the echo.

    Attributes:
        url: Where the page connects to.
        echo: Who answers there.

    """

    url: str
    echo: Echo


@contextlib.asynccontextmanager
async def one_port(echo: Echo, origin: str) -> AsyncIterator[Way]:
    """Let the server itself take WebSockets of the pages of ``origin``."""
    options = WebSocketOptions(path=PATH, origins=[origin])
    # Sooner than the limit of pytest, which would end the loop that all tests share.
    async with (
        asyncio.timeout(40),
        xmlsocket.serve(echo, "127.0.0.1", 0, parse=bytes, websocket=options) as server,
    ):
        yield Way(f"ws://127.0.0.1:{_port(server)}{PATH}", echo)


@contextlib.asynccontextmanager
async def gateway(echo: Echo, origin: str) -> AsyncIterator[Way]:
    """Put a gateway before a server that knows nothing but TCP."""
    async with (
        asyncio.timeout(40),
        xmlsocket.serve(echo, "127.0.0.1", 0, parse=bytes) as server,
        Gateway({PATH: f"127.0.0.1:{_port(server)}"}, origins=[origin]).serve(
            "127.0.0.1", 0
        ) as front,
    ):
        yield Way(f"ws://127.0.0.1:{_port(front)}{PATH}", echo)


DIRECT: Final = one_port
WAYS: Final[list[Callable[[Echo, str], contextlib.AbstractAsyncContextManager[Way]]]] = [
    one_port,
    gateway,
]


def _port(server: Server[bytes]) -> int:
    port: int = server.sockets[0].getsockname()[1]
    return port
