"""``connect_websocket()``: opening, refusals, reconnecting."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING, Any

import pytest

import xmlsocket
from tests.asyncio.support import port_of, until
from tests.support.tls import contexts
from xmlsocket import ConnectionClosedOK, WebSocketError, WebSocketOptions

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


async def echo(connection: xmlsocket.Connection[bytes]) -> None:
    """Answer every frame with itself."""
    async for frame in connection:
        await connection.send(frame)


@contextlib.asynccontextmanager
async def answering(*replies: bytes) -> AsyncIterator[int]:
    """Serve each connection one of the replies, whatever it asks, and hang up."""
    left = list(replies)

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(left.pop(0))
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


async def test_connect_websocket_gives_the_same_connection() -> None:
    """Both ends know the path; the close is orderly for both."""
    options = WebSocketOptions(path="/chat")
    async with xmlsocket.serve(echo, "127.0.0.1", 0, parse=bytes, websocket=options) as server:
        uri = f"ws://127.0.0.1:{port_of(server)}/chat?room=1"
        async with xmlsocket.connect_websocket(uri) as client:
            assert "/chat" == client.path
            await client.send("<a/>")
            assert "a" == (await client.recv()).tag
        await until(lambda: server.stats().closed)
        assert {xmlsocket.CloseReason.EOF: 1} == server.stats().closed


async def test_connect_websocket_over_tls() -> None:
    """``wss`` verifies the server's name as ``ssl`` says."""
    server_context, client_context = contexts()
    options: dict[str, Any] = {"parse": bytes, "websocket": True, "ssl": server_context}
    async with xmlsocket.serve(echo, "127.0.0.1", 0, **options) as server:
        uri = f"wss://127.0.0.1:{port_of(server)}/"
        async with xmlsocket.connect_websocket(uri, parse=bytes, ssl=client_context) as client:
            await client.send(b"x" * 300_000)
            assert b"x" * 300_000 == await client.recv()
        with pytest.raises(OSError, match="certificate verify failed"):
            await xmlsocket.connect_websocket(uri)


async def test_connect_websocket_takes_a_socket() -> None:
    """A connected socket can be given, as to ``connect``."""
    server_context, client_context = contexts()
    options: dict[str, Any] = {"parse": bytes, "websocket": True, "ssl": server_context}
    async with xmlsocket.serve(echo, "127.0.0.1", 0, **options) as server:
        sock = socket.create_connection(("127.0.0.1", port_of(server)))
        sock.setblocking(False)
        async with xmlsocket.connect_websocket(
            "wss://localhost/", parse=bytes, ssl=client_context, sock=sock
        ) as client:
            await client.send(b"<a/>")
            assert b"<a/>" == await client.recv()


async def test_connect_websocket_without_tls_takes_a_socket_too() -> None:
    """The address then names the path and the Host header; where to is the socket's matter."""
    options: dict[str, Any] = {"parse": bytes, "websocket": True}
    async with xmlsocket.serve(echo, "127.0.0.1", 0, **options) as server:
        sock = socket.create_connection(("127.0.0.1", port_of(server)))
        sock.setblocking(False)
        async with xmlsocket.connect_websocket(
            "ws://nowhere.example/chat", parse=bytes, sock=sock
        ) as client:
            assert "/chat" == client.path
            await client.send(b"<a/>")
            assert b"<a/>" == await client.recv()


@pytest.mark.parametrize(
    ("origin", "path", "status"),
    [("https://evil.example", "/chat", 403), (None, "/other", 404)],
)
async def test_connect_websocket_refused_raises_the_status(
    origin: str | None, path: str, status: int
) -> None:
    """A refusal is an error with the HTTP status, also in ``async for``."""
    options = WebSocketOptions(path="/chat", origins=["https://play.example"])
    async with xmlsocket.serve(echo, "127.0.0.1", 0, parse=bytes, websocket=options) as server:
        uri = f"ws://127.0.0.1:{port_of(server)}{path}"
        with pytest.raises(WebSocketError) as caught:
            await xmlsocket.connect_websocket(uri, origin=origin)
        assert status == caught.value.code
        with pytest.raises(WebSocketError):
            async for _ in xmlsocket.connect_websocket(uri, origin=origin):
                pass
        good = uri.replace("other", "chat")
        async with xmlsocket.connect_websocket(good, origin="https://play.example"):
            pass


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (b"", 1006),
        (b"SSH-2.0\r\n\r\n", 1006),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n", 101),
        (b"HTTP/1.1 " + b"x" * 20000, 1006),
    ],
)
async def test_connect_websocket_to_something_else_raises(reply: bytes, code: int) -> None:
    """A server that does not speak WebSocket is an error, not a connection."""
    async with answering(reply) as port:
        with pytest.raises(WebSocketError) as caught:
            await xmlsocket.connect_websocket(f"ws://127.0.0.1:{port}/")
    assert code == caught.value.code


async def test_connect_websocket_open_timeout_covers_the_answer() -> None:
    """A server that takes the connection and says nothing is given up."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        uri = f"ws://127.0.0.1:{listener.getsockname()[1]}/"
        with pytest.raises(TimeoutError, match=r"within open_timeout=0\.05 seconds"):
            await xmlsocket.connect_websocket(uri, open_timeout=0.05)


async def test_connect_websocket_goes_on_when_a_proxy_has_no_server(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """``async for`` outlasts 503 of a proxy and a server that hangs up, not a refusal."""
    monkeypatch.setattr("xmlsocket.flow.reconnect_delays", lambda: iter(lambda: 0.0, None))
    replies = [b"HTTP/1.1 503 No\r\n\r\n", b"", b"HTTP/1.1 401 No\r\n\r\n"]
    async with answering(*replies) as port:
        with pytest.raises(WebSocketError) as caught:
            async for _ in xmlsocket.connect_websocket(f"ws://127.0.0.1:{port}/"):
                pass
    assert 401 == caught.value.code


async def test_connect_websocket_iterated_connects_again() -> None:
    """``async for`` gives a connection after the other."""

    async def once(connection: xmlsocket.Connection[bytes]) -> None:
        await connection.send(b"hello")

    async with xmlsocket.serve(once, "127.0.0.1", 0, parse=bytes, websocket=True) as server:
        seen = 0
        uri = f"ws://127.0.0.1:{port_of(server)}/"
        async for client in xmlsocket.connect_websocket(uri, parse=bytes):
            assert b"hello" == await client.recv()
            with pytest.raises(ConnectionClosedOK):
                await client.recv()
            seen += 1
            if seen == 3:
                break


@pytest.mark.parametrize(
    ("uri", "options", "message"),
    [
        ("http://localhost/", {}, "http://localhost/"),
        ("ws://localhost/", {"ssl": True}, "ssl goes with a wss:// address"),
        ("wss://localhost/", {"ssl": False}, "needs TLS"),
        ("ws://localhost/", {"max_size": -1}, "max_size"),
    ],
)
def test_connect_websocket_bad_option_raises_value_error(
    uri: str, options: dict[str, Any], message: str
) -> None:
    """An option that makes no sense is named at once."""
    with pytest.raises(ValueError, match=message):
        xmlsocket.connect_websocket(uri, **options)
