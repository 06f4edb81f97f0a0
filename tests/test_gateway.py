"""The gateway between WebSocket and TCP, with the ``websockets`` client and real servers."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from typing import TYPE_CHECKING, Any

import pytest
from websockets.asyncio.client import connect as open_websocket
from websockets.exceptions import ConnectionClosed, InvalidStatus

import xmlsocket
from tests.asyncio.support import Handler, until, warnings_of
from tests.support.tls import contexts
from xmlsocket import CloseReason
from xmlsocket.gateway import Gateway, Target
from xmlsocket.proxies import read_proxy_header

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


def port_of(server: xmlsocket.Server[Any]) -> int:
    """Return the port that a server listens on."""
    port: int = server.sockets[0].getsockname()[1]
    return port


def free_port() -> int:
    """Return a port on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port: int = sock.getsockname()[1]
        return port


async def echo(connection: xmlsocket.Connection[bytes]) -> None:
    """Send every document back."""
    async for frames in connection.batches():
        await connection.send_many(frames)


@contextlib.asynccontextmanager
async def relaying(
    target: Any = echo,
    *,
    tls: bool = False,
    server_options: dict[str, Any] | None = None,
    proxy_header: int | None = None,
    **options: Any,
) -> AsyncIterator[tuple[Gateway, str]]:
    """Start a target and a gateway to it; give the gateway and its URL."""
    server_context, client_context = contexts() if tls else (None, None)
    async with xmlsocket.serve(
        target,
        "127.0.0.1",
        0,
        parse=bytes,
        skip_empty=False,
        ssl=server_context,
        **(server_options or {}),
    ) as server:
        where = Target("localhost", port_of(server), client_context, proxy_header)
        gateway = Gateway({"/game": where}, **options)
        async with gateway.serve("127.0.0.1", 0) as front:
            yield gateway, f"ws://127.0.0.1:{port_of(front)}"


async def receive(websocket: Any, size: int) -> bytes:
    """Receive ``size`` bytes, in messages of any number; all of them binary."""
    data = b""
    async with asyncio.timeout(20):
        while len(data) < size:
            message = await websocket.recv()
            assert isinstance(message, bytes)
            data += message
    return data


async def closed(websocket: Any) -> int:
    """Wait for the end and return its close code."""
    async with asyncio.timeout(20):
        with pytest.raises(ConnectionClosed):
            while True:
                await websocket.recv()
    code: int = websocket.close_code
    return code


# What goes through


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
async def test_gateway_passes_documents_both_ways(tls: bool) -> None:
    """Documents go to the target and come back byte for byte, empty and malformed ones too."""
    wire = b"<a/>\0\0no <xml\0\xff\xfe\0" + "<grüße/>\0".encode() + b"x" * 300_000 + b"\0"
    async with relaying(tls=tls) as (gateway, url), open_websocket(f"{url}/game") as client:
        await client.send(wire)
        assert wire == await receive(client, len(wire))
        assert (1, 1) == (gateway.stats().connections, gateway.stats().relayed)


async def test_gateway_reads_the_authorities_once_for_all_clients(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It takes tens of milliseconds, in which nobody is served."""
    made: list[ssl.SSLContext] = []
    server_context, client_context = contexts()

    def make() -> ssl.SSLContext:
        made.append(client_context)
        return client_context

    monkeypatch.setattr(ssl, "create_default_context", make)
    async with xmlsocket.serve(echo, "127.0.0.1", 0, parse=bytes, ssl=server_context) as server:
        gateway = Gateway({"/game": Target("localhost", port_of(server), ssl=True)})
        async with gateway.serve("127.0.0.1", 0) as front:
            for _ in range(3):
                async with open_websocket(f"ws://127.0.0.1:{port_of(front)}/game") as client:
                    await client.send(b"<a/>\0")
                    assert b"<a/>\0" == await receive(client, 5)

    assert 1 == len(made)


async def test_gateway_takes_text_and_sends_binary() -> None:
    """Ruffle drops text messages, so none is sent; pages may send them."""
    async with relaying() as (_, url), open_websocket(f"{url}/game") as client:
        await client.send("<héllo/>\0")
        assert "<héllo/>\0".encode() == await receive(client, 10)


async def test_gateway_passes_whole_documents_only() -> None:
    """A document reaches the target when its zero byte has come, however it was cut."""
    handler = Handler()
    async with relaying(handler) as (_, url), open_websocket(f"{url}/game") as client:
        target = await handler.connection()
        for piece in (b"<a", b"/>", b"\0<b/>"):
            await client.send(piece)
        assert b"<a/>" == await target.recv()
        await client.close()
        with pytest.raises(xmlsocket.ConnectionClosedOK):
            await target.recv()
        handler.leave()


async def test_gateway_counts_one_connection_while_it_lasts() -> None:
    """A connection that has ended is counted no longer."""
    async with relaying() as (gateway, url):
        async with open_websocket(f"{url}/game"):
            await until(lambda: gateway.stats().connections == 1)
        await until(lambda: gateway.stats().connections == 0)
        assert 1 == gateway.stats().relayed


# Which target


@pytest.mark.parametrize("path", ["/", "/other", "/game/", "/game%2f", "/../game", "/GAME"])
async def test_gateway_path_without_target_is_refused_before_any_connection(path: str) -> None:
    """A path that is not in the configuration gets 404, and the target hears nothing."""
    handler = Handler()
    async with relaying(handler) as (gateway, url):
        with pytest.raises(InvalidStatus) as caught:
            await open_websocket(f"{url}{path}")
        assert 404 == caught.value.response.status_code
        assert 0 == gateway.stats().relayed
        assert handler._arrived.empty()


async def test_gateway_query_chooses_no_target() -> None:
    """What a request adds to a path changes nothing."""
    async with relaying() as (_, url):
        async with open_websocket(f"{url}/game?target=127.0.0.1:22") as client:
            await client.send(b"<a/>\0")
            assert b"<a/>\0" == await receive(client, 5)


async def test_gateway_without_websocket_is_refused() -> None:
    """Who speaks XMLSocket to the gateway has no path and so no target."""
    handler = Handler()
    async with relaying(handler) as (gateway, url):
        port = int(url.rpartition(":")[2])
        async with xmlsocket.connect("127.0.0.1", port, parse=bytes) as client:
            await client.send(b"<a/>")
            with pytest.raises(xmlsocket.ConnectionClosed):
                await client.recv()
        assert (1, 0) == (gateway.stats().refused, gateway.stats().relayed)
        assert handler._arrived.empty()


async def test_gateway_origin_outside_of_the_list_is_refused() -> None:
    """A page from elsewhere gets 403, one from the list is let in."""
    async with relaying(origins=["https://play.example.com"]) as (gateway, url):
        with pytest.raises(InvalidStatus) as caught:
            await open_websocket(f"{url}/game", origin="https://evil.example.com")  # type: ignore[arg-type]
        assert 403 == caught.value.response.status_code
        assert 0 == gateway.stats().relayed
        async with open_websocket(
            f"{url}/game",
            origin="https://play.example.com",  # type: ignore[arg-type]
        ) as client:
            await client.send(b"<a/>\0")
            assert b"<a/>\0" == await receive(client, 5)


async def test_gateway_paths_lead_to_their_own_targets() -> None:
    """Several targets live behind one port."""

    async def name(connection: xmlsocket.Connection[bytes]) -> None:
        await connection.send(str(connection.local_address[1]))
        async for _ in connection:
            pass

    async with (
        xmlsocket.serve(name, "127.0.0.1", 0, parse=bytes) as one,
        xmlsocket.serve(name, "127.0.0.1", 0, parse=bytes) as two,
    ):
        targets = {f"/{port_of(server)}": f"127.0.0.1:{port_of(server)}" for server in (one, two)}
        async with Gateway(targets).serve("127.0.0.1", 0) as front:
            for path in targets:
                async with open_websocket(f"ws://127.0.0.1:{port_of(front)}{path}") as client:
                    expected = path[1:].encode() + b"\0"
                    assert expected == await receive(client, len(expected))


# How it ends


async def test_gateway_target_that_refuses_closes_with_1014(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A target that is down is told by the close code and in one line of the log."""
    port = free_port()
    gateway = Gateway({"/game": f"127.0.0.1:{port}"})
    async with gateway.serve("127.0.0.1", 0) as front:
        async with open_websocket(f"ws://127.0.0.1:{port_of(front)}/game") as client:
            assert 1014 == await closed(client)
        assert 1 == gateway.stats().unreachable
        await until(lambda: front.stats().closed.get(CloseReason.TARGET_FAILED))
    (line,) = [record.getMessage() for record in warnings_of(caplog)]
    assert line.startswith(f"! cannot reach 127.0.0.1:{port}: ")


async def test_gateway_target_that_does_not_answer_closes_after_the_timeout() -> None:
    """Connecting, TLS handshake included, has a time limit."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        _, context = contexts()
        target = Target("localhost", silent.getsockname()[1], ssl=context)
        gateway = Gateway({"/game": target}, connect_timeout=0.05)
        async with gateway.serve("127.0.0.1", 0) as front:
            async with open_websocket(f"ws://127.0.0.1:{port_of(front)}/game") as client:
                assert 1014 == await closed(client)
    assert 1 == gateway.stats().unreachable


async def test_gateway_target_that_ends_delivers_and_closes_with_1000() -> None:
    """What the target sent before its end arrives; an end between documents is in order."""

    async def leave(connection: xmlsocket.Connection[bytes]) -> None:
        await connection.send_many([b"<last/>"] * 1000)

    async with relaying(leave) as (_, url), open_websocket(f"{url}/game") as client:
        assert b"<last/>\0" * 1000 == await receive(client, 8000)
        assert 1000 == await closed(client)


async def test_gateway_target_that_breaks_closes_with_1014() -> None:
    """A reset, or an end inside a document, is no end in order."""

    async def breaks(connection: xmlsocket.Connection[bytes]) -> None:
        await connection.recv()
        connection._transport.write(b"<unfinished")

    async with relaying(breaks) as (_, url), open_websocket(f"{url}/game") as client:
        await client.send(b"<a/>\0")
        assert 1014 == await closed(client)


async def test_gateway_client_that_leaves_ends_the_target_after_its_last_document() -> None:
    """Documents sent just before the close all reach the target; then its stream ends."""
    handler = Handler()
    async with relaying(handler) as (gateway, url):
        async with open_websocket(f"{url}/game") as client:
            target = await handler.connection()
            for number in range(500):
                await client.send(b"%d\0" % number)
        received = [document async for document in target]
        assert [b"%d" % number for number in range(500)] == received
        handler.leave()
        await until(lambda: gateway.stats().connections == 0)


async def test_gateway_too_big_document_closes_with_1009() -> None:
    """``max_size`` holds for what the client sends, and the target does not get it."""
    handler = Handler()
    async with relaying(handler, max_size=1000) as (_, url):
        async with open_websocket(f"{url}/game") as client:
            target = await handler.connection()
            await client.send(b"<a/>\0" + b"x" * 1001 + b"\0")
            assert 1009 == await closed(client)
        assert [b"<a/>"] == [document async for document in target]
        handler.leave()


async def test_gateway_server_close_ends_both_sides() -> None:
    """Closing the gateway's server closes clients in order and lets the targets go."""
    handler = Handler()
    async with xmlsocket.serve(handler, "127.0.0.1", 0, parse=bytes) as server:
        gateway = Gateway({"/game": f"127.0.0.1:{port_of(server)}"})
        front = await gateway.serve("127.0.0.1", 0)
        async with open_websocket(f"ws://127.0.0.1:{port_of(front)}/game") as client:
            target = await handler.connection()
            front.close()
            assert 1001 == await closed(client)
            with pytest.raises(xmlsocket.ConnectionClosedOK):
                await target.recv()
        assert [] == await front.wait_closed()
        handler.leave()


# Limits


async def test_gateway_address_with_too_many_connections_closes_with_1013() -> None:
    """One connection more than an address may have is told to come later; then it may."""
    handler = Handler()
    async with relaying(handler, connections_per_address=2) as (gateway, url):
        async with open_websocket(f"{url}/game") as first, open_websocket(f"{url}/game"):
            await until(lambda: gateway.stats().relayed == 2)
            async with open_websocket(f"{url}/game") as third:
                assert 1013 == await closed(third)
            assert (2, 1) == (gateway.stats().relayed, gateway.stats().too_many)
            await first.close()
            handler.leave()
            await until(lambda: gateway.stats().connections < 2)
            async with open_websocket(f"{url}/game"):
                await until(lambda: gateway.stats().relayed == 3)


async def test_gateway_behind_a_trusted_proxy_counts_clients_and_not_the_proxy() -> None:
    """The cap looks at the address that a trusted proxy forwards."""
    async with xmlsocket.serve(echo, "127.0.0.1", 0, parse=bytes) as server:
        gateway = Gateway({"/game": f"127.0.0.1:{port_of(server)}"}, connections_per_address=1)
        async with gateway.serve("127.0.0.1", 0, trusted_proxies=["127.0.0.1"]) as front:
            url = f"ws://127.0.0.1:{port_of(front)}/game"
            clients = ["192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8:0:1::1"]
            async with contextlib.AsyncExitStack() as stack:
                for address in clients:
                    await stack.enter_async_context(
                        open_websocket(url, additional_headers={"X-Forwarded-For": address})
                    )
                await until(lambda: gateway.stats().connections == len(clients))
                # 64 bits of IPv6 are one customer.
                header = {"X-Forwarded-For": "2001:db8::2"}
                async with open_websocket(url, additional_headers=header) as one_more:
                    assert 1013 == await closed(one_more)


async def test_gateway_client_that_does_not_read_stops_the_target() -> None:
    """The target waits instead of filling the gateway's memory."""
    size, limit = 10_000, 2**16
    sent = 0

    async def flood(connection: xmlsocket.Connection[bytes]) -> None:
        nonlocal sent
        while sent < 10_000:
            await connection.send(b"x" * size)
            sent += 1

    async with relaying(flood, read_limit=limit, write_limit=limit) as (gateway, url):
        # A WebSocket by hand that never reads, with a small buffer in the system.
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**14)
        sock.connect(("127.0.0.1", int(url.rpartition(":")[2])))
        sock.sendall(
            b"GET /game HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        await until(lambda: sent)
        before = -1
        while before != sent:  # until it stands still for many turns of the loop
            before = sent
            for _ in range(200):
                await asyncio.sleep(0.001)
        assert sent < 10_000
        assert 1 == gateway.stats().connections
        sock.close()
        await until(lambda: gateway.stats().connections == 0)


async def test_gateway_target_that_does_not_read_stops_the_client() -> None:
    """The client waits instead of filling the gateway's memory; later all of it arrives."""
    handler = Handler()
    limit, size, count = 2**16, 10_000, 3000
    options: dict[str, Any] = {"read_limit": limit}
    async with relaying(handler, server_options=options, read_limit=limit, write_limit=limit) as (
        _,
        url,
    ):
        async with open_websocket(f"{url}/game") as client:
            target = await handler.connection()
            sent = 0

            async def flood() -> None:
                nonlocal sent
                for _ in range(count):
                    await client.send(b"x" * (size - 1) + b"\0")
                    sent += 1

            flooding = asyncio.create_task(flood())
            before = -1
            while before != sent or not sent:
                before = sent
                for _ in range(200):
                    await asyncio.sleep(0.001)
            assert sent < count

            received = 0
            async for frames in target.batches():
                received += len(frames)
                if received == count:
                    break
            await flooding
        handler.leave()
    assert count == received


# The PROXY header


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("version", [1, 2])
async def test_gateway_proxy_header_tells_the_target_the_client(version: int, tls: bool) -> None:
    """The target that trusts the gateway sees the client's address, with TLS behind the header."""
    server_context, client_context = contexts() if tls else (None, None)

    def accept() -> tuple[Any, bytes]:
        # By hand: TLS begins in the middle of this stream.
        peer, _ = listener.accept()
        header, head = None, peer.recv(12)
        while header is None:
            head += peer.recv(1)
            header = read_proxy_header(head)
        if server_context is not None:
            peer = server_context.wrap_socket(peer, server_side=True)
        with peer:
            document = peer.recv(5)
            peer.sendall(b"<b/>\0")
            assert b"" == peer.recv(1)
        return header.source, document

    with socket.create_server(("127.0.0.1", 0)) as listener:
        seen = asyncio.create_task(asyncio.to_thread(accept))
        where = Target("localhost", listener.getsockname()[1], client_context, version)
        async with Gateway({"/game": where}).serve("127.0.0.1", 0) as front:
            async with open_websocket(f"ws://127.0.0.1:{port_of(front)}/game") as client:
                await client.send(b"<a/>\0")
                assert b"<b/>\0" == await receive(client, 5)
                expected = client.local_address[:2], b"<a/>\0"
            assert expected == await seen


async def test_gateway_proxy_header_to_a_target_that_refuses_closes_with_1014() -> None:
    """With a header, too, a target that is down costs nothing but the connection."""
    target = Target("localhost", free_port(), proxy_header=2)
    gateway = Gateway({"/game": target})
    async with gateway.serve("127.0.0.1", 0) as front:
        async with open_websocket(f"ws://127.0.0.1:{port_of(front)}/game") as client:
            assert 1014 == await closed(client)


# Configuration


@pytest.mark.parametrize(
    ("targets", "options", "message"),
    [
        ({}, {}, "a gateway needs a target"),
        ({"game": "127.0.0.1:1"}, {}, "must start with '/'"),
        ({"/game": "127.0.0.1"}, {}, "'127.0.0.1' is not of the form HOST:PORT"),
        ({"/game": "::1:9339"}, {}, "not of the form HOST:PORT"),
        ({"/game": "127.0.0.1:0"}, {}, "port 0 is not within 1 to 65535"),
        ({"/game": "127.0.0.1:70000"}, {}, "port 70000 is not within 1 to 65535"),
        ({"/game": "h:1"}, {"origins": ["play.example.com"]}, "is not of the form 'scheme://"),
        ({"/game": "h:1"}, {"connections_per_address": 0}, "connections_per_address must be"),
        ({"/game": "h:1"}, {"connect_timeout": -1}, "connect_timeout must be positive"),
    ],
)
def test_gateway_bad_configuration_is_refused(
    targets: dict[str, str], options: dict[str, Any], message: str
) -> None:
    """What makes no sense is named when the gateway is made."""
    with pytest.raises(ValueError, match=message):
        Gateway(targets, **options)


def test_target_bad_field_is_refused() -> None:
    """A header of a version that does not exist, and a movie's port that is none."""
    with pytest.raises(ValueError, match="proxy_header must be 1, 2 or None, not 3"):
        Target("h", 1, proxy_header=3)
    with pytest.raises(ValueError, match="port 0 is not within"):
        Target("h", 1, movie_address=("game.example.com", 0))


def test_target_ipv6_is_read_and_shown_in_brackets() -> None:
    """``[::1]:9339`` is the host ``::1``."""
    target = Target.parse("[::1]:9339")
    assert ("::1", 9339, "[::1]:9339") == (target.host, target.port, str(target))


def test_socket_proxy_names_what_movies_name() -> None:
    """Ruffle maps the address in the movie to the gateway's URL, in the order of the targets."""
    gateway = Gateway(
        {
            "/game": Target("10.0.0.7", 9339, movie_address=("game.example.com", 9000)),
            "/chat": "10.0.0.8:9340",
        }
    )
    assert [
        {"host": "game.example.com", "port": 9000, "proxyUrl": "wss://play.example.com/game"},
        {"host": "10.0.0.8", "port": 9340, "proxyUrl": "wss://play.example.com/chat"},
    ] == gateway.socket_proxy("wss://play.example.com/")
