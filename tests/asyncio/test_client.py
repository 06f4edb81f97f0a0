"""Clients on an event loop: connecting, failing to, and connecting again."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import ssl
from typing import Any

import pytest

import xmlsocket
from tests.asyncio.support import port_of
from tests.support.tls import contexts
from xmlsocket import ConnectionClosed
from xmlsocket.flow import Backoff


async def echo(connection: xmlsocket.Connection[bytes]) -> None:
    """Answer every document with itself."""
    async for frame in connection:
        await connection.send(frame)


async def test_connect_awaited_gives_an_open_connection() -> None:
    """``await connect()`` gives a connection that the caller closes."""
    async with xmlsocket.serve(echo, "127.0.0.1", 0, parse=bytes) as server:
        connection = await xmlsocket.connect("127.0.0.1", port_of(server), parse=bytes)
        await connection.send(b"<a/>")

        assert b"<a/>" == await connection.recv()
        await connection.close()


async def test_connect_refused_raises_os_error() -> None:
    """A port nobody listens on is the system's error."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))

        with pytest.raises(ConnectionRefusedError):
            await xmlsocket.connect("127.0.0.1", unused.getsockname()[1])


async def test_connect_open_timeout_names_target_and_option() -> None:
    """An attempt that takes too long raises TimeoutError with the knob to turn."""
    server_context, client_context = contexts()
    assert server_context
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]

        with pytest.raises(
            TimeoutError, match=rf"cannot connect to 127\.0\.0\.1:{port} within open_timeout=0\.05"
        ):
            await xmlsocket.connect("127.0.0.1", port, ssl=client_context, open_timeout=0.05)


async def test_connect_open_timeout_of_a_given_socket_says_so() -> None:
    """Without a host there is no address to name."""
    _, client_context = contexts()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        sock = socket.create_connection(silent.getsockname())
        sock.setblocking(False)

        with pytest.raises(TimeoutError, match="cannot connect to the given socket within"):
            await xmlsocket.connect(
                sock=sock, ssl=client_context, server_hostname="localhost", open_timeout=0.05
            )
        sock.close()


async def test_connect_system_time_out_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system's own time-out keeps its number; loopback cannot provoke one."""

    async def time_out(*args: object) -> None:
        raise TimeoutError(errno.ETIMEDOUT, "Connection timed out")

    monkeypatch.setattr(xmlsocket.Connect, "_open", time_out)

    with pytest.raises(TimeoutError) as caught:
        await xmlsocket.connect("127.0.0.1", 9)
    assert errno.ETIMEDOUT == caught.value.errno


async def test_connect_sock_uses_the_given_socket() -> None:
    """Keywords beyond ours go to the loop, such as a socket that is connected already."""
    async with xmlsocket.serve(echo, "127.0.0.1", 0, parse=bytes) as server:
        sock = socket.create_connection(("127.0.0.1", port_of(server)))
        sock.setblocking(False)
        async with xmlsocket.connect(sock=sock, parse=bytes) as connection:
            await connection.send(b"<a/>")

            assert b"<a/>" == await connection.recv()


async def test_connect_create_connection_uses_the_subclass() -> None:
    """A subclass of Connection can carry an application's own state."""

    class Player(xmlsocket.Connection[bytes]):
        nickname = "waddle"

    async with xmlsocket.serve(echo, "127.0.0.1", 0, parse=bytes) as server:
        async with xmlsocket.connect(
            "127.0.0.1", port_of(server), parse=bytes, create_connection=Player
        ) as connection:
            assert isinstance(connection, Player)


async def test_connect_iterated_connects_again_after_an_end() -> None:
    """``async for`` gives a new connection when the last one is done with."""
    async with xmlsocket.serve(echo, "127.0.0.1", 0, parse=bytes) as server:
        seen: list[bytes] = []
        async for connection in xmlsocket.connect("127.0.0.1", port_of(server), parse=bytes):
            await connection.send(b"%d" % len(seen))
            seen.append(await connection.recv())
            if len(seen) == 3:
                break
            with contextlib.suppress(ConnectionClosed):
                connection.abort()

        assert [b"0", b"1", b"2"] == seen


async def test_connect_iterated_waits_for_a_server_that_is_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Refused attempts are repeated until the server is there."""
    monkeypatch.setattr("xmlsocket.flow.reconnect_delays", lambda: iter([0.01] * 1000))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    reached = asyncio.Event()

    async def client() -> None:
        async for connection in xmlsocket.connect("127.0.0.1", port, parse=bytes):
            await connection.send(b"x")
            await connection.recv()
            reached.set()
            return

    task = asyncio.create_task(client())
    await asyncio.sleep(0.05)
    assert not reached.is_set()
    async with xmlsocket.serve(echo, "127.0.0.1", port, parse=bytes):
        await task
    assert reached.is_set()


async def test_connect_iterated_untrusted_certificate_raises() -> None:
    """A certificate that does not verify will not verify later: the iteration raises."""
    server_context, _ = contexts()
    options: dict[str, Any] = {"ssl": server_context}
    async with xmlsocket.serve(echo, "127.0.0.1", 0, **options) as server:
        with pytest.raises(ssl.SSLCertVerificationError):
            async for _ in xmlsocket.connect("localhost", port_of(server), ssl=True):
                pytest.fail("connected")


async def test_connect_again_and_again_reads_the_authorities_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It takes tens of milliseconds, in which the loop stands."""
    made: list[ssl.SSLContext] = []
    server_context, client_context = contexts()

    def make() -> ssl.SSLContext:
        made.append(client_context)
        return client_context

    monkeypatch.setattr(ssl, "create_default_context", make)
    async with xmlsocket.serve(
        lambda connection: connection.send("<a/>"), "127.0.0.1", 0, ssl=server_context
    ) as server:
        seen = 0
        async for connection in xmlsocket.connect("localhost", port_of(server), ssl=True):
            await connection.recv()
            seen += 1
            if seen == 3:
                break

    assert 1 == len(made)


def test_backoff_after_a_good_connection_starts_anew() -> None:
    """A connection that received something, or lasted, is followed by an attempt at once."""
    backoff = Backoff()

    assert 0.25 <= backoff.after_failure(ConnectionRefusedError()) <= 0.5
    assert 0.45 <= backoff.after_end(frames_in=0, age=1.0) <= 0.9
    assert 0.0 == backoff.after_end(frames_in=1, age=1.0)
    assert 0.25 <= backoff.after_end(frames_in=0, age=0.0) <= 0.5
    assert 0.0 == backoff.after_end(frames_in=0, age=Backoff.SETTLED_AFTER)


def test_backoff_grows_to_a_bound() -> None:
    """Delays grow and stay within a minute."""
    backoff = Backoff()

    delays = [backoff.after_failure(OSError()) for _ in range(50)]

    assert all(30 <= delay <= 60 for delay in delays[-30:])


def test_backoff_error_that_is_no_os_error_is_raised() -> None:
    """What time does not mend is raised."""
    with pytest.raises(LookupError):
        Backoff().after_failure(LookupError())
