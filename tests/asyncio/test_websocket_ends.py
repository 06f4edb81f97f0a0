"""WebSockets that end while this side has something to say."""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING

import xmlsocket
from tests.asyncio.support import Handler, port_of, until, warnings_of
from tests.asyncio.test_websocket_server import UPGRADE
from xmlsocket import CloseReason

if TYPE_CHECKING:
    import pytest


async def test_websocket_goodbye_to_a_peer_that_has_reset_ends_at_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The write that finds out is the end: nobody's goodbye is waited for."""
    handler = Handler()
    async with xmlsocket.serve(handler, "127.0.0.1", 0, parse=bytes, websocket=True) as server:
        with contextlib.closing(socket.create_connection(("127.0.0.1", port_of(server)))) as sock:
            sock.sendall(UPGRADE)
            connection = await handler.connection()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        await connection.close()
        handler.leave()
        await until(lambda: not server._tasks)

        assert CloseReason.LOCAL is connection.close_reason
        assert {CloseReason.LOCAL: 1} == server.stats().closed
    assert [] == warnings_of(caplog)
