"""A WebSocket whose peer stops to read at the worst moment, which no network lets one choose."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from websockets.frames import Frame, Opcode

from xmlsocket import CloseReason, Connection, WebSocketOptions
from xmlsocket.asyncio.carrier import Upgrade
from xmlsocket.asyncio.linger import LINGER_TIME
from xmlsocket.asyncio.loop import LoopShare
from xmlsocket.proxies import TrustedProxies
from xmlsocket.websocket import ServerWebSocket, binary_message

from .fakes import FakeTransport, StillLoop
from .test_connection import settings_of

if TYPE_CHECKING:
    from collections.abc import Iterator

UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


@pytest.fixture
def loop() -> Iterator[StillLoop]:
    """Give a loop that is turned by hand."""
    loop = StillLoop()
    yield loop
    loop.close()


def opened(loop: StillLoop) -> tuple[Connection[bytes], FakeTransport]:
    """Return a connection that a WebSocket carries, and the transport below both."""
    connection = Connection(settings_of(read_limit=10**6, write_limit=0), LoopShare(loop))
    transport = FakeTransport(loop)
    carrier = ServerWebSocket(
        WebSocketOptions(), max_size=3000, peer=("192.0.2.1", 1), trusted=TrustedProxies()
    )

    async def open_() -> None:
        upgrade = Upgrade(
            carrier,
            connection,
            opened=lambda: None,
            refused=lambda: pytest.fail("refused"),
            lost=lambda exc: pytest.fail(f"lost: {exc}"),
        )
        transport.set_protocol(upgrade)
        upgrade.connection_made(transport)
        upgrade.receive(UPGRADE)

    loop.run_until_complete(open_())
    assert transport.wire.startswith(b"HTTP/1.1 101 ")
    transport.wire.clear()
    return connection, transport


def give(loop: StillLoop, transport: FakeTransport, opcode: Opcode, data: bytes) -> None:
    """Let a message of the client arrive."""

    async def arrive() -> None:
        transport.give(Frame(opcode, data).serialize(mask=True))

    loop.run_until_complete(arrive())


def test_close_peer_that_does_not_take_the_goodbye_is_cut_off(loop: StillLoop) -> None:
    """It has a moment to take it; what it says meanwhile is not heard, and then it is gone."""
    connection, transport = opened(loop)
    transport.block(blocked=True)
    closing = loop.create_task(connection.close())
    loop.turn()
    give(loop, transport, Opcode.BINARY, b"<late/>\0")
    assert (0, False) == (connection.stats.frames_in, transport.is_closing())

    loop.now += LINGER_TIME
    loop.turn()

    assert transport.gone
    assert closing.done()
    assert CloseReason.LOCAL is connection.close_reason
    assert [] == loop.complaints


def test_resume_writing_pong_that_fills_the_transport_goes_before_documents(
    loop: StillLoop,
) -> None:
    """Where the answer to a ping is all that the peer takes, what is queued waits on."""
    connection, transport = opened(loop)
    transport.block(blocked=True)
    sending = [loop.create_task(connection.send(data)) for data in (b"1", b"2")]
    loop.turn()
    give(loop, transport, Opcode.PING, b"?")
    pong = Frame(Opcode.PONG, b"?").serialize(mask=False)

    transport.take()
    loop.turn()
    assert binary_message(b"1\0") == transport.wire
    assert pong == transport.writes[-1]
    assert not sending[1].done()

    transport.take()
    loop.turn()
    assert binary_message(b"1\0") + pong == transport.wire
    assert binary_message(b"2\0") == transport.writes[-1]
    transport.block(blocked=False)
    loop.turn()
    assert all(task.done() for task in sending)
    connection.abort()
    loop.turn()
