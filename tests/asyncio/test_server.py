"""Servers on an event loop: accepting, handlers and their errors, shutting down."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import ssl
import tempfile
from typing import Any

import pytest

import xmlsocket
from tests.asyncio.support import Handler, port_of, read_all, until, warnings_of
from tests.support.tls import contexts
from xmlsocket import CloseReason, ConnectionClosed, ConnectionClosedOK


async def echo(connection: xmlsocket.Connection[Any]) -> None:
    """Answer every document with itself."""
    async for document in connection:
        await connection.send(document)


async def test_serve_awaited_serves_until_closed() -> None:
    """``await serve()`` gives a server that runs until it is closed."""
    server = await xmlsocket.serve(echo, "127.0.0.1", 0)
    forever = asyncio.create_task(server.serve_forever())
    async with xmlsocket.connect("127.0.0.1", port_of(server)) as client:
        await client.send("<a/>")
        assert "a" == (await client.recv()).tag

    server.close()

    await forever
    assert [] == await server.wait_closed()
    assert frozenset() == server.connections


async def test_serve_forever_cancelled_closes_the_server() -> None:
    """Cancelling serve_forever() closes the server, and refuses later connections."""
    server = await xmlsocket.serve(echo, "127.0.0.1", 0)
    port = port_of(server)
    forever = asyncio.create_task(server.serve_forever())
    await asyncio.sleep(0)
    forever.cancel()

    with pytest.raises(asyncio.CancelledError):
        await forever
    with pytest.raises(ConnectionRefusedError):
        await xmlsocket.connect("127.0.0.1", port)


async def test_serve_all_addresses_share_a_free_port() -> None:
    """Port 0 with no host listens on one free port of every address family."""
    async with xmlsocket.serve(echo, None, 0) as server:
        ports = {sock.getsockname()[1] for sock in server.sockets}

        assert 1 == len(ports)
        async with xmlsocket.connect("127.0.0.1", ports.pop()) as client:
            await client.send("<a/>")
            await client.recv()


async def test_serve_port_in_use_raises_os_error_naming_the_address() -> None:
    """A taken port is the system's error, with the address."""
    async with xmlsocket.serve(echo, "127.0.0.1", 0) as server:
        port = port_of(server)

        with pytest.raises(OSError, match=rf"cannot listen on 127\.0\.0\.1:{port}") as caught:
            await xmlsocket.serve(echo, "127.0.0.1", port)
        assert errno.EADDRINUSE == caught.value.errno


async def test_serve_reuse_port_lets_two_servers_share_it() -> None:
    """``reuse_port`` opens the same port twice."""
    async with xmlsocket.serve(echo, "127.0.0.1", 0, reuse_port=True) as first:
        async with xmlsocket.serve(echo, "127.0.0.1", port_of(first), reuse_port=True) as second:
            assert port_of(first) == port_of(second)


async def test_serve_sock_uses_the_given_listener() -> None:
    """A listening socket made elsewhere can be served."""
    listener = socket.create_server(("127.0.0.1", 0))
    async with xmlsocket.serve(echo, sock=listener) as server:
        async with xmlsocket.connect("127.0.0.1", port_of(server)) as client:
            await client.send("<a/>")
            assert "a" == (await client.recv()).tag


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "either a port or a sock"),
        ({"port": 0, "max_size": -1}, "max_size"),
        ({"port": 0, "open_timeout": 0}, "open_timeout must be positive or None, not 0"),
        ({"port": 0, "malformed": "ignore"}, "malformed must be 'raise' or 'skip'"),
        ({"port": 0, "read_limit": (1, 2)}, "read_limit must satisfy 0 <= low <= high"),
        ({"port": 0, "write_limit": -1}, "write_limit must satisfy"),
    ],
)
def test_serve_bad_option_raises_value_error(options: dict[str, Any], message: str) -> None:
    """An option that makes no sense is named at once."""
    with pytest.raises(ValueError, match=message):
        xmlsocket.serve(echo, **options)


# Handlers


async def test_handler_exception_is_logged_and_ends_its_connection_only(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A handler's error names the connection in the log; others go on."""

    async def handler(connection: xmlsocket.Connection[bytes]) -> None:
        async for frame in connection:
            if frame == b"bad":
                raise LookupError("secret")
            await connection.send(frame)

    async with xmlsocket.serve(handler, "127.0.0.1", 0, parse=bytes) as server:
        async with (
            xmlsocket.connect("127.0.0.1", port_of(server), parse=bytes) as good,
            xmlsocket.connect("127.0.0.1", port_of(server), parse=bytes) as bad,
        ):
            await bad.send(b"bad")
            with pytest.raises(ConnectionClosedOK):
                await bad.recv()
            await good.send(b"ok")

            assert b"ok" == await good.recv()
        await until(lambda: server.stats().connections == 0)
        stats = server.stats()
        assert (2, 1) == (stats.accepted, stats.handler_errors)
        assert {CloseReason.HANDLER_ERROR: 1, CloseReason.EOF: 1} == stats.closed
    (record,) = warnings_of(caplog)
    assert "connection" in record.getMessage()
    assert record.exc_info is not None


async def test_handler_leaves_document_error_one_line_and_closes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A document that the handler does not accept is one log line without a traceback."""
    async with xmlsocket.serve(echo, "127.0.0.1", 0) as server:
        async with xmlsocket.connect("127.0.0.1", port_of(server)) as client:
            await client.send("<a")
            with pytest.raises(ConnectionClosedOK):
                await client.recv()
        await until(lambda: server.stats().connections == 0)
        assert {CloseReason.DOCUMENT_ERROR: 1} == server.stats().closed
        assert 0 == server.stats().handler_errors
    (record,) = warnings_of(caplog)
    assert record.exc_info is None
    assert "line 1, column" in record.getMessage()


async def test_handler_leaves_connection_closed_without_a_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A handler that meets the end of its connection is no event for the log."""

    async def handler(connection: xmlsocket.Connection[bytes]) -> None:
        await connection.recv()

    async with xmlsocket.serve(handler, "127.0.0.1", 0, parse=bytes) as server:
        async with xmlsocket.connect("127.0.0.1", port_of(server)):
            pass
        await until(lambda: server.stats().accepted and not server.stats().connections)
    assert [] == warnings_of(caplog)


async def test_connect_and_leave_is_silent(caplog: pytest.LogCaptureFixture) -> None:
    """Health probes that connect and leave, or reset, log nothing above DEBUG."""
    async with xmlsocket.serve(echo, "127.0.0.1", 0) as server:
        for linger in (b"\0" * 8, b"\1\0\0\0\0\0\0\0"):
            with socket.create_connection(("127.0.0.1", port_of(server))) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        await until(lambda: server.stats().accepted == 2 and not server.stats().connections)
    assert [] == warnings_of(caplog)


async def test_server_stats_add_open_and_closed_connections() -> None:
    """The sums hold what closed connections counted."""
    async with xmlsocket.serve(echo, "127.0.0.1", 0, parse=bytes) as server:
        for _ in range(3):
            async with xmlsocket.connect("127.0.0.1", port_of(server), parse=bytes) as client:
                await client.send(b"<a/>")
                await client.recv()
        await until(lambda: server.stats().connections == 0)
        async with xmlsocket.connect("127.0.0.1", port_of(server), parse=bytes) as client:
            await client.send(b"<b/>")
            await client.recv()

            stats = server.stats()

            assert (4, 1) == (stats.accepted, stats.connections)
            assert (4, 20, 4, 20) == (
                stats.frames_in,
                stats.bytes_in,
                stats.frames_out,
                stats.bytes_out,
            )


# Shutting down


async def test_close_lets_handlers_finish_with_what_has_arrived() -> None:
    """Closing ends the input of every connection; a handler's last words still go."""

    async def handler(connection: xmlsocket.Connection[bytes]) -> None:
        async for frame in connection:
            await connection.send(frame)
        await connection.send(b"bye")

    server = await xmlsocket.serve(handler, "127.0.0.1", 0, parse=bytes)
    client = await xmlsocket.connect("127.0.0.1", port_of(server), parse=bytes)
    await client.send(b"hello")
    assert b"hello" == await client.recv()

    server.close()

    assert [b"bye"] == [frame async for frame in client]
    assert [] == await server.wait_closed()
    assert {CloseReason.SERVER_CLOSE: 1} == server.stats().closed
    await client.close()


async def test_close_cuts_handlers_that_do_not_finish_and_names_them() -> None:
    """After the deadline handlers are cancelled, connections aborted and reported."""
    cancelled = asyncio.Event()
    opened: list[xmlsocket.Connection[Any]] = []

    async def handler(connection: xmlsocket.Connection[Any]) -> None:
        opened.append(connection)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    server = await xmlsocket.serve(handler, "127.0.0.1", 0)
    client = await xmlsocket.connect("127.0.0.1", port_of(server))
    await until(lambda: opened)

    server.close(timeout=None)
    server.close(timeout=60)
    server.close(timeout=90)
    server.close(timeout=0.05)

    assert opened == await server.wait_closed()
    assert cancelled.is_set()
    await client.close()


async def test_close_with_timeout_zero_cuts_at_once() -> None:
    """``close(0)`` does not wait for anyone."""
    handler = Handler()
    server = await xmlsocket.serve(handler, "127.0.0.1", 0)
    client = await xmlsocket.connect("127.0.0.1", port_of(server))
    connection = await handler.connection()

    server.close(0)

    assert [connection] == await server.wait_closed()
    await client.close()


async def test_close_twice_is_harmless() -> None:
    """A second close() after the end changes nothing."""
    server = await xmlsocket.serve(echo, "127.0.0.1", 0)
    server.close()
    await server.wait_closed()
    server.close(0)
    assert [] == await server.wait_closed()


# Unix sockets and TLS


async def test_unix_serve_and_unix_connect() -> None:
    """The same API over a Unix socket; its path is replaced, and removed at the end."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "chat.sock")  # noqa: PTH118
        stale = socket.socket(socket.AF_UNIX)
        stale.bind(path)
        stale.close()
        async with xmlsocket.unix_serve(echo, path, parse=bytes):
            async with xmlsocket.unix_connect(path, parse=bytes) as client:
                await client.send(b"<a/>")

                assert b"<a/>" == await client.recv()
        assert not os.path.exists(path)  # noqa: PTH110, ASYNC240


async def test_unix_serve_does_not_replace_a_file() -> None:
    """A file that is no socket is left alone."""
    with tempfile.NamedTemporaryFile() as file:
        with pytest.raises(OSError, match="cannot listen on"):
            await xmlsocket.unix_serve(echo, file.name)


async def test_tls_echo() -> None:
    """With a context on both sides documents travel over TLS."""
    server_context, client_context = contexts()
    async with xmlsocket.serve(echo, "127.0.0.1", 0, ssl=server_context, parse=bytes) as server:
        async with xmlsocket.connect(
            "127.0.0.1", port_of(server), ssl=client_context, parse=bytes
        ) as client:
            for size in (1, 1000, 300_000):
                await client.send(b"x" * size)
                assert size == len(await client.recv())


async def test_tls_end_of_stream_ends_iteration() -> None:
    """A TLS peer that closes ends the stream in order, in both directions."""
    server_context, client_context = contexts()
    ended: list[xmlsocket.Connection[bytes]] = []

    async def handler(connection: xmlsocket.Connection[bytes]) -> None:
        await connection.send(b"hello")
        async for _ in connection:
            pass
        ended.append(connection)

    async with xmlsocket.serve(handler, "127.0.0.1", 0, ssl=server_context, parse=bytes) as server:
        async with xmlsocket.connect(
            "127.0.0.1", port_of(server), ssl=client_context, parse=bytes
        ) as client:
            assert b"hello" == await client.recv()
        await until(lambda: ended)
        assert CloseReason.EOF is ended[0].close_reason


async def test_tls_untrusted_certificate_raises_ssl_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A certificate that does not verify raises ssl's error; the server logs no error."""
    server_context, _ = contexts()
    async with xmlsocket.serve(echo, "127.0.0.1", 0, ssl=server_context) as server:
        with pytest.raises(ssl.SSLCertVerificationError):
            await xmlsocket.connect("localhost", port_of(server), ssl=True)
    assert [] == warnings_of(caplog)


@pytest.mark.parametrize("secure", [False, True])
async def test_serve_create_connection_that_raises_is_logged(
    secure: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """A connection that cannot be made is closed and logged; the server goes on."""

    class Broken(xmlsocket.Connection[Any]):
        def __init__(self, *args: Any) -> None:
            raise LookupError

    server_context, client_context = contexts()
    options: dict[str, Any] = {"ssl": server_context if secure else None}
    async with xmlsocket.serve(echo, "127.0.0.1", 0, create_connection=Broken, **options) as server:
        for _ in range(2):
            with contextlib.suppress(OSError):  # in the middle of the handshake
                reader, writer = await asyncio.open_connection(
                    "localhost", port_of(server), ssl=client_context if secure else None
                )
                writer.write(b"<a/>\0")
                with contextlib.suppress(ConnectionResetError):
                    assert b"" == await read_all(reader)
                writer.close()
        await until(lambda: not server._tasks)
    assert 2 == len(warnings_of(caplog))


async def test_tls_stalled_handshake_ends_after_open_timeout() -> None:
    """A client that never speaks TLS is let go after ``open_timeout``."""
    server_context, _ = contexts()
    options: dict[str, Any] = {"ssl": server_context, "open_timeout": 0.1}
    async with xmlsocket.serve(echo, "127.0.0.1", 0, **options) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(server))

        with contextlib.suppress(ConnectionResetError):
            assert b"" == await read_all(reader)
        assert 0 == server.stats().accepted
        writer.close()
        with contextlib.suppress(ConnectionResetError):
            await writer.wait_closed()


async def test_close_at_once_ends_pending_handshakes() -> None:
    """``close(0)`` does not wait for a client that is in the middle of the TLS handshake."""
    server_context, _ = contexts()
    server = await xmlsocket.serve(echo, "127.0.0.1", 0, ssl=server_context)
    reader, writer = await asyncio.open_connection("127.0.0.1", port_of(server))
    await until(lambda: server._tasks)

    server.close(0)

    assert [] == await server.wait_closed()
    with contextlib.suppress(ConnectionResetError):
        assert b"" == await read_all(reader)
    writer.close()
    with contextlib.suppress(ConnectionResetError):
        await writer.wait_closed()


async def test_close_at_once_cuts_a_connection_whose_handshake_has_ended_in_the_same_turn(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """``close(0)`` between the end of a handshake and the start of its handler ends, too."""

    class Closing(xmlsocket.Connection[Any]):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            asyncio.get_running_loop().call_soon(server.close, 0)

    server_context, _ = contexts()
    options: dict[str, Any] = {"ssl": server_context, "create_connection": Closing}
    server = await xmlsocket.serve(echo, "127.0.0.1", 0, **options)
    with contextlib.suppress(OSError, ConnectionClosed):
        async with xmlsocket.connect("localhost", port_of(server), ssl=contexts()[1]) as peer:
            await peer.recv()

    (connection,) = await asyncio.wait_for(server.wait_closed(), 10)
    assert CloseReason.SERVER_CLOSE is connection.close_reason
    assert [] == warnings_of(caplog)


async def test_close_at_once_lets_go_of_a_socket_accepted_in_the_same_turn() -> None:
    """A connection that was accepted and not yet opened is closed, too."""
    server = await xmlsocket.serve(echo, "127.0.0.1", 0)
    (listener,) = server.sockets
    with socket.create_connection(("127.0.0.1", port_of(server))) as client:
        server._listeners._accept(listener)
        assert 1 == len(server._tasks)
        server.close(0)
        await server.wait_closed()

        client.settimeout(10)
        with contextlib.suppress(ConnectionResetError):
            assert b"" == client.recv(1)
