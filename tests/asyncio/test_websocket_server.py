"""Connections carried by WebSocket, against the ``websockets`` package and raw bytes."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import pytest
import websockets.asyncio.client
import websockets.exceptions
from websockets.frames import Frame, Opcode

import xmlsocket
from tests.asyncio.support import Handler, port_of, until, warnings_of
from tests.support.tls import contexts
from xmlsocket import CloseReason, ConnectionClosedError, ConnectionClosedOK, WebSocketError
from xmlsocket.asyncio import carrier
from xmlsocket.websocket import binary_message

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

UPGRADE = (
    b"GET /chat?room=1 HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
    b"Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    b"Sec-WebSocket-Version: 13\r\n\r\n"
)


async def echo(connection: xmlsocket.Connection[bytes]) -> None:
    """Answer every frame with itself."""
    async for frame in connection:
        await connection.send(frame)


@contextlib.asynccontextmanager
async def browser(
    server: xmlsocket.Server[Any], path: str = "/chat", **options: Any
) -> AsyncIterator[websockets.asyncio.client.ClientConnection]:
    """Connect with the client of the websockets package."""
    scheme = "wss" if "ssl" in options else "ws"
    uri = f"{scheme}://localhost:{port_of(server)}{path}"
    async with websockets.asyncio.client.connect(
        uri, host="127.0.0.1", proxy=None, max_size=None, **options
    ) as client:
        yield client


@contextlib.asynccontextmanager
async def opened(
    **options: Any,
) -> AsyncIterator[tuple[xmlsocket.Connection[Any], websockets.asyncio.client.ClientConnection]]:
    """Open a WebSocket and give the server's connection and the client."""
    handler = Handler()
    options = {"websocket": True, **options}
    client_options = options.pop("client", {})
    async with xmlsocket.serve(handler, "127.0.0.1", 0, parse=bytes, **options) as server:
        async with browser(server, **client_options) as client:
            connection = await handler.connection()
            try:
                yield connection, client
            finally:
                handler.leave()
                connection.abort()


@contextlib.asynccontextmanager
async def raw_client(
    **options: Any,
) -> AsyncIterator[tuple[xmlsocket.Connection[Any], asyncio.StreamReader, asyncio.StreamWriter]]:
    """Open a WebSocket by hand, so that anything can be sent on it."""
    handler = Handler()
    options = {"websocket": True, **options}
    async with xmlsocket.serve(handler, "127.0.0.1", 0, parse=bytes, **options) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(server))
        writer.write(UPGRADE)
        await reader.readuntil(b"\r\n\r\n")
        connection = await handler.connection()
        try:
            yield connection, reader, writer
        finally:
            handler.leave()
            connection.abort()
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


def masked(opcode: Opcode, data: bytes, *, fin: bool = True) -> bytes:
    """Return a frame as a client sends it."""
    return Frame(opcode, data, fin).serialize(mask=True)


async def close_code(reader: asyncio.StreamReader) -> int:
    """Read to the end and return the code of the last frame, a close frame."""
    async with asyncio.timeout(10):
        data = await reader.read()
    at = data.rindex(b"\x88")
    return int.from_bytes(data[at + 2 : at + 4], "big")


# Carrying


async def test_websocket_is_the_same_connection() -> None:
    """Path, peer and statistics are there; the handler need not know what carries it."""
    async with opened() as (connection, client):
        assert "/chat" == connection.path
        assert client.local_address == connection.remote_address
        assert client.remote_address == connection.local_address
        await client.send(b"<a/>\0<b/>\0")
        assert [b"<a/>", b"<b/>"] == [await connection.recv(), await connection.recv()]
        await connection.send("<c/>")
        assert b"<c/>\0" == await client.recv()
        stats = connection.stats
        assert (2, 10, 1, 5) == (
            stats.frames_in,
            stats.bytes_in,
            stats.frames_out,
            stats.bytes_out,
        )


async def test_websocket_boundaries_of_messages_mean_nothing() -> None:
    """Text and binary, fragments, with pings in between, make one stream of frames."""
    async with raw_client() as (connection, reader, writer):
        for data in (
            masked(Opcode.TEXT, b"<a>", fin=False),
            masked(Opcode.PING, b"are you there"),
            masked(Opcode.CONT, "é".encode()[:1], fin=False),
            masked(Opcode.PONG, b""),
            masked(Opcode.CONT, "é".encode()[1:] + b"</a>\0<b"),
            masked(Opcode.BINARY, b""),
            masked(Opcode.BINARY, b"/>\0"),
        ):
            for byte in data:
                writer.write(bytes([byte]))
                await asyncio.sleep(0)

        assert "<a>é</a>".encode() == await connection.recv()
        assert b"<b/>" == await connection.recv()
        assert b"\x8a\x0dare you there" == await reader.readexactly(15)


async def test_websocket_documents_that_come_with_the_request_are_delivered() -> None:
    """Frames in the same segment as the upgrade are not lost, nor is a close behind them."""
    received: list[bytes] = []

    async def handler(connection: xmlsocket.Connection[bytes]) -> None:
        received.extend([frame async for frame in connection])

    async with xmlsocket.serve(handler, "127.0.0.1", 0, parse=bytes, websocket=True) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(server))
        writer.write(
            UPGRADE + masked(Opcode.BINARY, b"<a/>\0<b/>\0") + masked(Opcode.CLOSE, b"\x03\xe8")
        )
        assert 1000 == await close_code(reader)
        writer.close()
        await writer.wait_closed()
        await until(lambda: server.stats().closed)
        assert {CloseReason.EOF: 1} == server.stats().closed
    assert [b"<a/>", b"<b/>"] == received


@pytest.mark.parametrize("max_size", [2**20, 1000])
async def test_websocket_megabytes_there_and_back(max_size: int) -> None:
    """Long documents, and many short ones at a time, arrive whole and in order."""
    frames = [b"%d" % number + b"x" * (max_size - 10) for number in range(2**22 // max_size)]
    options: dict[str, Any] = {"parse": bytes, "max_size": max_size}
    async with xmlsocket.serve(echo, "127.0.0.1", 0, websocket=True, **options) as server:
        uri = f"ws://127.0.0.1:{port_of(server)}/"
        async with xmlsocket.connect_websocket(uri, **options) as client:
            sending = asyncio.create_task(client.send_many(frames))

            assert frames == [await client.recv() for _ in frames]
            await sending


async def test_websocket_over_tls() -> None:
    """A TLS listener carries wss, in both directions and to an orderly end."""
    server_context, client_context = contexts()
    options: dict[str, Any] = {"ssl": client_context}
    async with opened(ssl=server_context, client=options) as (connection, client):
        await client.send(b"x" * 500_000 + b"\0")
        frame = await connection.recv()
        await connection.send(frame)
        assert frame + b"\0" == b"".join(
            [await client.recv(decode=False) for _ in range(-(-500_001 // 2**16))]
        )
        await client.close()
        with pytest.raises(ConnectionClosedOK):
            await connection.recv()


async def test_websocket_connect_and_leave_is_silent(caplog: pytest.LogCaptureFixture) -> None:
    """A tab that vanishes ends its connection with an error for the handler, not for the log."""
    async with raw_client() as (connection, _, writer):
        writer.close()
        with pytest.raises(ConnectionClosedError) as caught:
            await connection.recv()
    assert CloseReason.WEBSOCKET_ERROR == caught.value.reason
    assert isinstance(caught.value.__cause__, WebSocketError)
    assert 1006 == caught.value.__cause__.code
    assert [] == warnings_of(caplog)


# Limits and backpressure


async def test_websocket_frame_too_big_is_closed_with_1009() -> None:
    """``max_size`` holds over fragments without end; frames before are delivered."""
    async with raw_client(max_size=1000) as (connection, reader, writer):
        writer.write(masked(Opcode.BINARY, b"<a/>\0", fin=False))
        for _ in range(4):
            writer.write(masked(Opcode.CONT, b"x" * 300, fin=False))

        assert b"<a/>" == await connection.recv()
        with pytest.raises(ConnectionClosedError) as caught:
            await connection.recv()
        assert CloseReason.FRAME_TOO_BIG == caught.value.reason
        assert 1009 == await close_code(reader)


async def test_websocket_fragment_too_big_is_closed_with_1009() -> None:
    """A fragment beyond its limit is refused at its header, though the peer goes on."""
    async with raw_client(max_size=1000) as (connection, reader, writer):
        writer.write(masked(Opcode.BINARY, b"<a/>\0") + masked(Opcode.BINARY, b"x" * 2**17))

        assert b"<a/>" == await connection.recv()
        with pytest.raises(ConnectionClosedError) as caught:
            await connection.recv()
        assert CloseReason.WEBSOCKET_ERROR == caught.value.reason
        assert 1009 == await close_code(reader)


@pytest.mark.parametrize(
    ("wire", "code"),
    [
        (b"\xf2\x80\0\0\0\0", 1002),  # reserved bits
        (b"\x82\x01x", 1002),  # not masked
        (masked(Opcode.CONT, b"x"), 1002),
        (masked(Opcode.TEXT, b"\xff\xfe"), 1007),
        (masked(Opcode.CLOSE, b"\x03\xe8"), 1000),
        (masked(Opcode.CLOSE, b"\x0f\xa0"), 4000),
    ],
    ids=["reserved bits", "no mask", "continuation", "no UTF-8", "1000", "4000"],
)
async def test_websocket_close_codes_tell_what_was_wrong(wire: bytes, code: int) -> None:
    """Each break of the rules has its code, and a close is answered with its own."""
    async with raw_client() as (connection, reader, writer):
        writer.write(wire)
        assert code == await close_code(reader)
        with pytest.raises(ConnectionClosedOK if code in {1000, 4000} else ConnectionClosedError):
            await connection.recv()


@pytest.mark.parametrize(
    ("options", "code"),
    [({"idle_timeout": 0.05}, 1008), ({"limits": xmlsocket.Limits(message_timeout=0.05)}, 1008)],
)
async def test_websocket_cut_by_a_limit_is_told_so(options: dict[str, Any], code: int) -> None:
    """A peer that reads learns why it was cut off."""
    async with raw_client(**options) as (_, reader, writer):
        writer.write(masked(Opcode.BINARY, b"<a"))
        assert code == await close_code(reader)


async def test_websocket_fragment_that_does_not_end_is_cut_and_counted() -> None:
    """Its bytes are the start of a document, though no frame can be made of them yet."""
    options: dict[str, Any] = {"limits": xmlsocket.Limits(message_timeout=None)}
    wire = masked(Opcode.BINARY, b"x" * 50_000)
    async with raw_client(**options) as (connection, _, writer):
        writer.write(wire[:-1])
        await until(lambda: connection._held() == 49_999)
        assert 0 == connection.stats.buffered_in
        writer.write(wire[-1:])
        await until(lambda: connection.stats.buffered_in == 50_000)
        assert 50_000 == connection._held()

    options = {"limits": xmlsocket.Limits(message_timeout=0.05)}
    async with raw_client(**options) as (connection, reader, writer):
        writer.write(wire[:-1])
        assert 1008 == await close_code(reader)
        assert xmlsocket.CloseReason.MESSAGE_TIMEOUT is connection.close_reason


async def test_websocket_fragment_that_came_with_the_request_is_cut_as_well() -> None:
    """Nothing more has to arrive for its time to run."""
    handler = Handler()
    limits = xmlsocket.Limits(message_timeout=0.05)
    async with xmlsocket.serve(
        handler, "127.0.0.1", 0, parse=bytes, websocket=True, limits=limits
    ) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(server))
        writer.write(UPGRADE + masked(Opcode.BINARY, b"x" * 1000)[:-1])
        assert 1008 == await close_code(reader)
        handler.leave()
        writer.close()


async def test_websocket_fragments_without_end_stay_within_the_memory_of_the_server() -> None:
    """The heaviest peers are cut, whatever holds what they have sent."""
    limits = xmlsocket.Limits(memory=300_000, message_timeout=None)
    handler = Handler()
    async with (
        xmlsocket.serve(
            handler, "127.0.0.1", 0, parse=bytes, websocket=True, limits=limits
        ) as server,
        contextlib.AsyncExitStack() as stack,
    ):
        for _ in range(10):
            reader, writer = await asyncio.open_connection("127.0.0.1", port_of(server))
            stack.callback(writer.close)
            writer.write(UPGRADE)
            await reader.readuntil(b"\r\n\r\n")
            writer.write(masked(Opcode.BINARY, b"x" * 60_000)[:-1])

        await until(lambda: server.stats().closed.get(xmlsocket.CloseReason.MEMORY, 0) > 0)
        await until(lambda: server.stats().memory <= 300_000)
        handler.leave()


async def test_websocket_abort_does_not_pretend_an_orderly_end() -> None:
    """After abort() the client sees no close frame."""
    async with opened() as (connection, client):
        connection.abort()
        with pytest.raises(websockets.exceptions.ConnectionClosedError) as caught:
            await client.recv()
        assert caught.value.rcvd is None


async def test_websocket_reading_pauses_while_nobody_receives() -> None:
    """Above ``read_limit`` no more is taken, to the piece of one message; later all is there."""
    frames = [b"%06d" % number for number in range(100_000)]
    async with opened(read_limit=10_000) as (connection, client):
        message = b"\0".join(frames) + b"\0"
        sending = asyncio.create_task(client.send(message))
        await until(lambda: connection.stats.queued_in > 10_000)
        for _ in range(20):
            await asyncio.sleep(0.001)
        # One piece of at most 64 KiB completes 9,362 such frames.
        assert connection.stats.queued_in <= 10_000 + (6 + 128) * (2**16 // 7 + 1)
        received: list[bytes] = []
        async for batch in connection.batches():
            received += batch
            if len(received) == len(frames):
                break
        assert frames == received
        await sending


async def test_websocket_close_behind_unread_documents_loses_none() -> None:
    """A client that sends much and closes is heard out by a slow handler."""
    frames = [b"%06d" % number for number in range(50_000)]
    async with opened(read_limit=1000) as (connection, client):
        await client.send(b"\0".join(frames) + b"\0")
        closing = asyncio.create_task(client.close())
        await until(lambda: connection.stats.queued_in)
        assert frames == [frame async for frame in connection]
        await closing


async def test_websocket_send_waits_for_a_peer_that_does_not_read() -> None:
    """``write_limit`` holds on WebSockets; the answers to pings of such a peer do not pile up."""
    async with raw_client(write_limit=1000) as (connection, reader, writer):
        reader._transport.pause_reading()  # type: ignore[attr-defined]

        async def send() -> None:
            while True:
                await connection.send(b"x" * 100_000)

        sending = asyncio.create_task(send())
        count = -1
        while count != connection.stats.frames_out:
            count = connection.stats.frames_out
            await asyncio.sleep(0.05)
        assert not sending.done()
        transport: Any = connection._transport
        size = transport.get_write_buffer_size()
        writer.write(masked(Opcode.PING, b"p" * 100) * 100 + masked(Opcode.BINARY, b"<a/>\0"))
        assert b"<a/>" == await connection.recv()
        assert size == transport.get_write_buffer_size()
        assert connection.stats.queued_out <= 1000 + 100_000 + 129
        assert len(transport._carrier._out) <= 1
        sending.cancel()


async def test_websocket_slow_peer_is_cut_by_broadcast() -> None:
    """``Limits.write_cap`` holds on WebSockets."""
    limits = xmlsocket.Limits(write_cap=100_000)
    async with raw_client(limits=limits) as (connection, reader, _):
        reader._transport.pause_reading()  # type: ignore[attr-defined]
        while connection.close_reason is None:
            xmlsocket.broadcast([connection], b"x" * 100_000)
            await asyncio.sleep(0)
        assert CloseReason.SLOW_PEER == connection.close_reason
        await connection.wait_closed()


async def test_broadcast_makes_one_message_for_all_websockets(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A document that goes to many is framed once, and differing ones are not mixed up."""
    made: list[bytes] = []

    def count(payload: bytes) -> bytes:
        made.append(payload)
        return binary_message(payload)

    monkeypatch.setattr(carrier, "binary_message", count)
    async with xmlsocket.serve(echo, "127.0.0.1", 0, parse=bytes, websocket=True) as server:
        async with contextlib.AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(browser(server)) for _ in range(5)]
            await until(lambda: server.stats().connections == 5)

            xmlsocket.broadcast(server.connections, "<one/>")
            await asyncio.sleep(0)
            xmlsocket.broadcast(server.connections, "<two/>")

            for client in clients:
                assert [b"<one/>\0", b"<two/>\0"] == [await client.recv(), await client.recv()]
        assert [b"<one/>\0", b"<two/>\0"] == made


# Ends


async def test_websocket_handler_that_returns_closes_with_1000() -> None:
    """What was sent before goes first, then both sides say goodbye."""

    async def handler(connection: xmlsocket.Connection[bytes]) -> None:
        await connection.send(b"bye")

    async with xmlsocket.serve(handler, "127.0.0.1", 0, parse=bytes, websocket=True) as server:
        async with browser(server) as client:
            assert b"bye\0" == await client.recv()
            with pytest.raises(websockets.exceptions.ConnectionClosedOK) as caught:
                await client.recv()
        assert caught.value.rcvd is not None
        assert 1000 == caught.value.rcvd.code
        await until(lambda: server.stats().closed)
        assert {CloseReason.LOCAL: 1} == server.stats().closed


async def test_websocket_server_close_says_going_away() -> None:
    """Browsers learn from 1001 that the server went."""
    async with xmlsocket.serve(echo, "127.0.0.1", 0, parse=bytes, websocket=True) as server:
        async with browser(server) as client:
            await until(lambda: server.connections)
            server.close()
            with pytest.raises(websockets.exceptions.ConnectionClosedOK) as caught:
                await client.recv()
            assert caught.value.rcvd is not None
            assert 1001 == caught.value.rcvd.code
        assert [] == await server.wait_closed()


@pytest.mark.parametrize("read", [True, False])
async def test_websocket_close_does_not_wait_for_a_peer_that_never_answers(read: bool) -> None:
    """Without the peer's goodbye the connection is closed after a moment all the same."""
    async with raw_client() as (connection, reader, _):
        if not read:
            reader._transport.pause_reading()  # type: ignore[attr-defined]
        await connection.close()
        assert CloseReason.LOCAL == connection.close_reason


async def test_websocket_send_behind_the_goodbye_of_the_peer_goes_nowhere() -> None:
    """What is sent while the peer's last documents are still waiting is dropped, as on TCP."""
    async with raw_client(read_limit=0) as (connection, reader, writer):
        writer.write(masked(Opcode.BINARY, b"<a/>\0" * 100_000) + masked(Opcode.CLOSE, b"\x03\xe8"))
        await until(lambda: not connection._transport._carrier.is_open)  # type: ignore[attr-defined]
        await connection.send(b"<late/>")

        assert 100_000 == len([frame async for frame in connection])
        async with asyncio.timeout(10):
            assert b"\x88\x02\x03\xe8" == await reader.read()


async def test_websocket_incomplete_frame_at_a_goodbye() -> None:
    """A goodbye in the middle of a document is the error that it is on TCP."""
    async with opened() as (connection, client):
        await client.send(b"<a")
        await client.close()
        with pytest.raises(ConnectionClosedError) as caught:
            await connection.recv()
        assert CloseReason.INCOMPLETE_FRAME == caught.value.reason
