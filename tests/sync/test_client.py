"""Clients with blocking calls: connecting, failing to, and connecting again."""

from __future__ import annotations

import errno
import logging
import os
import socket
import ssl
import tempfile
from typing import Any

import pytest

from tests.support.scripted import closed_port
from tests.support.tls import contexts
from tests.sync.support import PATIENCE, echo, port_of, start, until
from xmlsocket import ConnectionClosedOK, sync


def test_connect_gives_an_open_connection() -> None:
    """``connect()`` gives a connection that the caller closes."""
    with sync.serve(echo, "127.0.0.1", 0) as server:
        connection = sync.connect("127.0.0.1", port_of(server))
        connection.send("<a/>")

        assert "a" == connection.recv().tag
        connection.close()


def test_connect_refused_raises_os_error() -> None:
    """A port nobody listens on is the system's error, for one address and for several."""
    with pytest.raises(ConnectionRefusedError):
        sync.connect("127.0.0.1", closed_port())
    with pytest.raises(ConnectionRefusedError):
        sync.connect("localhost", closed_port())


def test_connect_unknown_host_raises_os_error() -> None:
    """A name that nobody knows is the resolver's error."""
    with pytest.raises(socket.gaierror):
        sync.connect("host.invalid", 9339)


def test_connect_name_with_several_addresses_takes_the_one_that_answers() -> None:
    """A server that listens on one address of a name is found."""
    with sync.serve(echo, "127.0.0.1", 0) as server:
        with sync.connect("localhost", port_of(server)) as connection:
            connection.send("<a/>")
            connection.recv()


def test_connect_without_target_raises_value_error() -> None:
    """Something to connect to has to be named."""
    with pytest.raises(ValueError, match="either a host and a port or a sock"):
        sync.connect()


def test_connect_bad_option_raises_value_error() -> None:
    """An option that makes no sense is named."""
    with pytest.raises(ValueError, match="close_timeout"):
        sync.connect("127.0.0.1", 1, close_timeout=-1)


def test_connect_unknown_option_raises_type_error() -> None:
    """An option that does not exist is no option of the system either."""
    with pytest.raises(TypeError, match="colour"):
        sync.connect("127.0.0.1", 1, colour="red")


def test_connect_open_timeout_names_target_and_option() -> None:
    """An attempt that takes too long raises TimeoutError with the knob to turn."""
    _, client_context = contexts()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]

        with pytest.raises(
            TimeoutError, match=rf"cannot connect to 127\.0\.0\.1:{port} within open_timeout=0\.05"
        ):
            sync.connect("127.0.0.1", port, ssl=client_context, open_timeout=0.05)


def test_connect_open_timeout_bounds_connecting() -> None:
    """A server that does not accept is given up after ``open_timeout``."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        address = full.getsockname()
        waiting = []
        for _ in range(3):  # a backlog of 0 still takes one or two
            sock = socket.socket()
            sock.setblocking(False)
            sock.connect_ex(address)
            waiting.append(sock)

        with pytest.raises(TimeoutError, match=r"within open_timeout=0\.05 seconds"):
            sync.connect(*address, open_timeout=0.05)
        for sock in waiting:
            sock.close()


def test_connect_time_out_of_the_system_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system's own time-out is not taken for ``open_timeout``."""

    def connect(*_: object) -> None:
        raise TimeoutError(errno.ETIMEDOUT, "Connection timed out")

    monkeypatch.setattr(socket.socket, "connect", connect)
    with pytest.raises(TimeoutError) as caught:
        sync.connect("127.0.0.1", 9)
    assert errno.ETIMEDOUT == caught.value.errno


def test_connect_without_time_limits() -> None:
    """``None`` lifts the time limits."""
    server_context, client_context = contexts()
    options: dict[str, Any] = {"parse": bytes, "open_timeout": None, "close_timeout": None}
    with sync.serve(echo, "127.0.0.1", 0, ssl=server_context, **options) as server:
        with sync.connect(
            "127.0.0.1", port_of(server), ssl=client_context, **options
        ) as connection:
            connection.send(b"<a/>")

            assert b"<a/>" == connection.recv()


def test_connect_sock_uses_the_given_socket() -> None:
    """A socket that is connected already can be used."""
    with sync.serve(echo, "127.0.0.1", 0, parse=bytes) as server:
        sock = socket.create_connection(("127.0.0.1", port_of(server)))
        with sync.connect(sock=sock, parse=bytes) as connection:
            connection.send(b"<a/>")

            assert b"<a/>" == connection.recv()


def test_connect_source_address_binds_first() -> None:
    """``source_address`` is where the connection comes from."""
    with sync.serve(echo, "127.0.0.1", 0) as server:
        with sync.connect(
            "127.0.0.1", port_of(server), source_address=("127.0.0.3", 0)
        ) as connection:
            assert "127.0.0.3" == connection.local_address[0]


def test_connect_create_connection_uses_the_subclass() -> None:
    """A subclass of Connection can carry an application's own state."""

    class Player(sync.Connection[bytes]):
        nickname = "waddle"

    with sync.serve(echo, "127.0.0.1", 0, parse=bytes) as server:
        with sync.connect(
            "127.0.0.1", port_of(server), parse=bytes, create_connection=Player
        ) as connection:
            assert isinstance(connection, Player)


def test_unix_connect_without_server_raises_os_error() -> None:
    """A path where nobody listens is the system's error."""
    with pytest.raises(FileNotFoundError):
        sync.unix_connect("/nonexistent/chat.sock")


def test_unix_connect_open_timeout_names_the_path() -> None:
    """As for TCP, the message says where to and which knob to turn."""
    _, client_context = contexts()
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "silent.sock")  # noqa: PTH118
        with socket.socket(socket.AF_UNIX) as silent:
            silent.bind(path)
            silent.listen()
            with pytest.raises(TimeoutError, match=r"silent\.sock within open_timeout=0\.05"):
                sync.unix_connect(
                    path, ssl=client_context, server_hostname="localhost", open_timeout=0.05
                )


def test_reconnect_connects_again_after_an_end() -> None:
    """Iterating gives a new connection when the last one is done with."""
    with sync.serve(echo, "127.0.0.1", 0, parse=bytes) as server:
        seen: list[bytes] = []
        connections: list[Any] = []
        for connection in sync.reconnect("127.0.0.1", port_of(server), parse=bytes):
            connections.append(connection)
            connection.send(b"%d" % len(seen))
            seen.append(connection.recv())
            if len(seen) == 3:
                break

        assert [b"0", b"1", b"2"] == seen
        for connection in connections[:2]:
            with pytest.raises(ConnectionClosedOK, match="local"):
                connection.recv()
        connections[2].close()


def test_reconnect_waits_for_a_server_that_is_away(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Refused attempts are repeated, each with a line in the log, until the server is there."""
    monkeypatch.setattr("xmlsocket.flow.reconnect_delays", lambda: iter([0.01] * 10_000))
    port = closed_port()

    def client() -> bytes:
        for connection in sync.reconnect("127.0.0.1", port, parse=bytes):
            with connection:
                connection.send(b"x")
                return connection.recv()
        raise AssertionError

    with caplog.at_level(logging.INFO, "xmlsocket.client"):
        reaching = start(client)
        until(lambda: len(caplog.records) >= 2)
        assert not reaching.done()
        with sync.serve(echo, "127.0.0.1", port, parse=bytes):
            assert b"x" == reaching.result(PATIENCE)
    assert f"= cannot connect to 127.0.0.1:{port}" in caplog.text
    assert "next attempt in 0.0 s" in caplog.text


def test_reconnect_logs_where_it_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """``logger`` also takes the lines between two connections."""
    with caplog.at_level(logging.INFO, "mine"):
        attempts = sync.reconnect(
            "127.0.0.1", closed_port(), logger=logging.getLogger("mine"), parse=bytes
        )
        start(next, attempts)
        until(lambda: caplog.records)

    assert {"mine"} == {record.name for record in caplog.records}


def test_reconnect_untrusted_certificate_raises() -> None:
    """A certificate that does not verify will not verify later: the iteration raises."""
    server_context, _ = contexts()
    with sync.serve(echo, "127.0.0.1", 0, ssl=server_context) as server:
        with pytest.raises(ssl.SSLCertVerificationError):
            for _ in sync.reconnect("localhost", port_of(server), ssl=True):
                pytest.fail("connected")
