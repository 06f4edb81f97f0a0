"""Servers with a thread for each connection: starting, handlers, shutting down."""

from __future__ import annotations

import _thread
import contextlib
import errno
import logging
import os
import resource
import socket
import sys
import tempfile
import threading
from typing import Any

import pytest

from tests.sync.support import (
    PATIENCE,
    Handler,
    Interrupted,
    dial,
    echo,
    interrupt,
    port_of,
    read_exactly,
    signalled,
    start,
    until,
)
from xmlsocket import CloseReason, ConnectionClosedOK, sync
from xmlsocket.sync import server as server_module


def serious(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """Return what was logged as a warning or worse."""
    return [record for record in caplog.records if record.levelno >= logging.WARNING]


# Starting


def test_serve_accepts_at_once_and_serve_forever_waits_for_the_close() -> None:
    """A server runs when it is made; ``serve_forever()`` returns when it is closed."""
    server = sync.serve(echo, "127.0.0.1", 0)
    with sync.connect("127.0.0.1", port_of(server)) as client:
        client.send("<a/>")
        assert "a" == client.recv().tag
    forever = start(server.serve_forever)

    server.close()

    forever.result(PATIENCE)
    assert [] == server.wait_closed()
    assert frozenset() == server.connections


def joining(server: sync.Server[Any], monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Return an event that is set when ``serve_forever`` has begun to wait."""
    waiting = threading.Event()
    join = server._thread.join

    def wait(timeout: float | None = None) -> None:
        waiting.set()
        join(timeout)

    monkeypatch.setattr(server._thread, "join", wait)
    return waiting


def test_serve_forever_interrupted_closes_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """An interruption such as Ctrl-C ends serve_forever() and closes the server."""
    server = sync.serve(echo, "127.0.0.1", 0)
    port = port_of(server)
    with signalled(joining(server, monkeypatch).is_set, interrupt):
        with pytest.raises(Interrupted):
            server.serve_forever()

    with pytest.raises(ConnectionRefusedError):
        sync.connect("127.0.0.1", port)


def test_close_leaves_no_thread_and_no_socket() -> None:
    """After wait_closed() nothing of a server is left."""
    before = set(threading.enumerate())
    with sync.serve(echo, "127.0.0.1", 0, parse=bytes) as server:
        clients = [sync.connect("127.0.0.1", port_of(server), parse=bytes) for _ in range(5)]
        for client in clients:
            client.send(b"x")
            client.recv()
        assert 6 == len(set(threading.enumerate()) - before)
    assert before >= set(threading.enumerate())
    assert -1 == server.sockets[0].fileno()
    for client in clients:
        client.close()


def test_serve_all_addresses_share_a_free_port() -> None:
    """Port 0 with no host listens on one free port of every address family."""
    with sync.serve(echo, None, 0) as server:
        ports = {sock.getsockname()[1] for sock in server.sockets}

        assert 1 == len(ports)
        with sync.connect("127.0.0.1", ports.pop()) as client:
            client.send("<a/>")
            client.recv()


def test_serve_several_hosts() -> None:
    """Several addresses can be named."""
    with sync.serve(echo, ["127.0.0.1", "127.0.0.2"], 0) as server:
        assert ["127.0.0.1", "127.0.0.2"] == [sock.getsockname()[0] for sock in server.sockets]


def test_serve_port_in_use_raises_os_error_naming_the_address() -> None:
    """A taken port is the system's error, with the address."""
    with sync.serve(echo, "127.0.0.1", 0) as server:
        port = port_of(server)

        with pytest.raises(OSError, match=rf"cannot listen on 127\.0\.0\.1:{port}") as caught:
            sync.serve(echo, "127.0.0.1", port)
        assert errno.EADDRINUSE == caught.value.errno


def test_serve_reuse_port_lets_two_servers_share_it() -> None:
    """``reuse_port`` opens the same port twice."""
    with sync.serve(echo, "127.0.0.1", 0, reuse_port=True) as first:
        with sync.serve(echo, "127.0.0.1", port_of(first), reuse_port=True) as second:
            assert port_of(first) == port_of(second)


def test_serve_sock_uses_the_given_listener() -> None:
    """A listening socket made elsewhere can be served."""
    listener = socket.create_server(("127.0.0.1", 0))
    with sync.serve(echo, sock=listener) as server:
        with sync.connect("127.0.0.1", port_of(server)) as client:
            client.send("<a/>")
            assert "a" == client.recv().tag


def test_serve_thread_that_does_not_start_leaves_nothing_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A server that cannot start closes what it opened; a given socket stays the caller's."""

    def refuse(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(RuntimeError):
        sync.serve(echo, "127.0.0.1", 0)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        with pytest.raises(RuntimeError):
            sync.serve(echo, sock=listener)
        assert -1 != listener.fileno()


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
        sync.serve(echo, **options)


# Handlers


def test_handler_exception_is_logged_and_ends_its_connection_only(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A handler's error names the connection in the log; others go on."""

    def handler(connection: sync.Connection[bytes]) -> None:
        for frame in connection:
            if frame == b"bad":
                raise LookupError("no such thing")
            connection.send(frame)

    with sync.serve(handler, "127.0.0.1", 0, parse=bytes) as server:
        with (
            sync.connect("127.0.0.1", port_of(server), parse=bytes) as good,
            sync.connect("127.0.0.1", port_of(server), parse=bytes) as bad,
        ):
            bad.send(b"bad")
            with pytest.raises(ConnectionClosedOK):
                bad.recv()
            good.send(b"ok")

            assert b"ok" == good.recv()
        until(lambda: server.stats().connections == 0)
        stats = server.stats()
        assert (2, 1) == (stats.accepted, stats.handler_errors)
        assert {CloseReason.HANDLER_ERROR: 1, CloseReason.EOF: 1} == stats.closed
    (record,) = serious(caplog)
    assert "connection" in record.getMessage()
    assert record.exc_info is not None


def test_handler_that_leaves_its_thread_closes_the_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A handler that calls ``sys.exit`` ends its thread, and its connection with it."""
    ended: list[object] = []
    monkeypatch.setattr(threading, "excepthook", ended.append)

    def handler(connection: sync.Connection[bytes]) -> None:
        raise SystemExit

    with sync.serve(handler, "127.0.0.1", 0, parse=bytes) as server:
        with sync.connect("127.0.0.1", port_of(server), parse=bytes) as client:
            assert [] == list(client)
        until(lambda: ended)
        assert {CloseReason.HANDLER_ERROR: 1} == server.stats().closed


def test_handler_leaves_document_error_one_line_and_closes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A document that the handler does not accept is one log line without a traceback."""
    with sync.serve(echo, "127.0.0.1", 0) as server:
        with sync.connect("127.0.0.1", port_of(server)) as client:
            client.send("<a")
            with pytest.raises(ConnectionClosedOK):
                client.recv()
        until(lambda: server.stats().connections == 0)
        assert {CloseReason.DOCUMENT_ERROR: 1} == server.stats().closed
        assert 0 == server.stats().handler_errors
    (record,) = serious(caplog)
    assert record.exc_info is None
    assert "line 1, column" in record.getMessage()


def test_handler_leaves_connection_closed_without_a_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A handler that meets the end of its connection is no event for the log."""

    def handler(connection: sync.Connection[bytes]) -> None:
        connection.recv()

    with sync.serve(handler, "127.0.0.1", 0, parse=bytes) as server:
        with sync.connect("127.0.0.1", port_of(server)):
            pass
        until(lambda: server.stats().accepted and not server.stats().connections)
    assert [] == serious(caplog)


def test_handler_that_returns_closes_although_others_use_the_connection() -> None:
    """When the handler returns, threads that wait on its connection are woken."""
    others: list[Any] = []

    def handler(connection: sync.Connection[bytes]) -> None:
        others.append(start(connection.recv))
        until(lambda: connection._reader)

    with sync.serve(handler, "127.0.0.1", 0, parse=bytes) as server:
        with sync.connect("127.0.0.1", port_of(server), parse=bytes) as client:
            assert [] == list(client)
    with pytest.raises(ConnectionClosedOK, match="local"):
        others[0].result(PATIENCE)


def test_connect_and_leave_is_silent(caplog: pytest.LogCaptureFixture) -> None:
    """Health probes that connect and leave, or reset, log nothing above DEBUG."""
    with sync.serve(echo, "127.0.0.1", 0) as server:
        for linger in (b"\0" * 8, b"\1\0\0\0\0\0\0\0"):
            with dial(port_of(server)) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        until(lambda: server.stats().accepted == 2 and not server.stats().connections)
    assert [] == serious(caplog)


def test_serve_create_connection_uses_the_subclass() -> None:
    """A subclass of Connection can carry an application's own state."""

    class Player(sync.Connection[bytes]):
        nickname = "waddle"

    def handler(connection: sync.Connection[bytes]) -> None:
        assert isinstance(connection, Player)
        connection.send(connection.nickname)

    options: dict[str, Any] = {"parse": bytes, "create_connection": Player}
    with sync.serve(handler, "127.0.0.1", 0, **options) as server:
        with sync.connect("127.0.0.1", port_of(server), parse=bytes) as client:
            assert b"waddle" == client.recv()


def test_serve_create_connection_that_raises_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """A connection that cannot be made is closed and logged; the server goes on."""

    class Broken(sync.Connection[bytes]):
        def __init__(self, *args: Any) -> None:
            raise LookupError

    options: dict[str, Any] = {"parse": bytes, "create_connection": Broken}
    with sync.serve(echo, "127.0.0.1", 0, **options) as server:
        for _ in range(2):
            with dial(port_of(server)) as peer:
                assert b"" == peer.recv(1)
    assert 2 == len(serious(caplog))


def test_server_that_is_busy_for_long_lets_clients_in_afterwards(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The accepting thread looks now and then whether the server has been closed meanwhile."""
    monkeypatch.setattr(server_module, "_PATIENCE", 0.001)
    looks: list[bool] = []

    class Watched(threading.Event):
        def is_set(self) -> bool:
            looks.append(super().is_set())
            return looks[-1]

    with sync.serve(echo, "127.0.0.1", 0, parse=bytes) as server:
        server._closing = Watched()
        with server._changed:
            client = dial(port_of(server))
            until(lambda: len(looks) > 2)
        with client:
            client.sendall(b"<a/>\0")
            assert b"<a/>\0" == read_exactly(client, 5)
    assert not any(looks[:3])


def test_server_stats_add_open_and_closed_connections() -> None:
    """The sums hold what closed connections counted."""
    with sync.serve(echo, "127.0.0.1", 0, parse=bytes) as server:
        for _ in range(3):
            with sync.connect("127.0.0.1", port_of(server), parse=bytes) as client:
                client.send(b"<a/>")
                client.recv()
        until(lambda: server.stats().connections == 0)
        with sync.connect("127.0.0.1", port_of(server), parse=bytes) as client:
            client.send(b"<b/>")
            client.recv()
            until(lambda: server.stats().frames_out == 4)

            stats = server.stats()

            assert (4, 1) == (stats.accepted, stats.connections)
            assert 1 == len(server.connections)
            assert (4, 20, 20) == (stats.frames_in, stats.bytes_in, stats.bytes_out)


# Shutting down


def test_close_lets_handlers_finish_with_what_has_arrived() -> None:
    """Closing ends the input of every connection; a handler's last words still go."""
    closing = threading.Event()
    entered = threading.Event()

    def handler(connection: sync.Connection[bytes]) -> None:
        entered.set()
        assert closing.wait(PATIENCE)
        for frame in connection:
            connection.send(frame)
        connection.send(b"bye")

    server = sync.serve(handler, "127.0.0.1", 0, parse=bytes)
    client = sync.connect("127.0.0.1", port_of(server), parse=bytes)
    assert entered.wait(PATIENCE)
    client.send_many([b"hello", b"world"])
    (connection,) = server.connections
    until(lambda: connection._stream._sock.recv(12, socket.MSG_PEEK) == b"hello\0world\0")

    server.close()
    closing.set()

    assert [b"hello", b"world", b"bye"] == list(client)
    assert [] == server.wait_closed()
    assert {CloseReason.SERVER_CLOSE: 1} == server.stats().closed
    client.close()


def test_close_wakes_handlers_that_wait() -> None:
    """A handler that waits in recv() gets the end at once, and can still answer."""

    def handler(connection: sync.Connection[bytes]) -> None:
        try:
            connection.recv()
        except ConnectionClosedOK as exc:
            connection.send(exc.reason)

    server = sync.serve(handler, "127.0.0.1", 0, parse=bytes)
    client = sync.connect("127.0.0.1", port_of(server), parse=bytes)
    until(lambda: any(connection._reader for connection in server.connections))

    server.close(timeout=None)

    assert [b"server_close"] == list(client)
    assert [] == server.wait_closed()
    client.close()


def test_close_cuts_handlers_that_do_not_finish_and_names_them() -> None:
    """After the deadline connections are aborted and reported; a later close only shortens it."""
    opened: list[sync.Connection[Any]] = []

    def handler(connection: sync.Connection[bytes]) -> None:
        opened.append(connection)
        connection.send(b"x" * 2**25)

    server = sync.serve(handler, "127.0.0.1", 0, parse=bytes)
    client = dial(port_of(server))
    until(lambda: opened and opened[0]._stream._stuck)

    server.close(timeout=None)
    server.close(timeout=60)
    server.close(timeout=0.05)
    server.close(timeout=60)

    assert opened == server.wait_closed()
    assert CloseReason.SERVER_CLOSE is opened[0].close_reason
    client.close()


def test_close_with_timeout_zero_cuts_at_once() -> None:
    """``close(0)`` does not wait for anyone; the handler's next call raises."""
    outcome: list[Any] = []
    leave = threading.Event()

    def handler(connection: sync.Connection[bytes]) -> None:
        assert leave.wait(PATIENCE)
        with pytest.raises(ConnectionClosedOK) as caught:
            connection.send(b"x")
        outcome.append(caught.value.reason)

    server = sync.serve(handler, "127.0.0.1", 0, parse=bytes)
    client = dial(port_of(server))
    until(lambda: server.connections)
    (connection,) = server.connections

    server.close(0)

    assert b"" == client.recv(1)
    leave.set()
    assert [connection] == server.wait_closed()
    assert [CloseReason.SERVER_CLOSE] == outcome
    client.close()


def test_close_twice_is_harmless() -> None:
    """A second close() after the end changes nothing."""
    server = sync.serve(echo, "127.0.0.1", 0)
    server.close()
    server.wait_closed()
    server.close(0)
    assert [] == server.wait_closed()


def test_close_by_a_signal_handler(monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal handler may close the server that its thread waits for."""
    server = sync.serve(echo, "127.0.0.1", 0)
    with signalled(joining(server, monkeypatch).is_set, server.close):
        server.serve_forever()
    assert [] == server.wait_closed()


def test_close_before_the_handler_was_called_drops_the_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A connection that is being opened when the server closes is closed unserved."""
    opening = threading.Event()
    go_on = threading.Event()

    class Slow(sync.Connection[bytes]):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            opening.set()
            assert go_on.wait(PATIENCE)

    options: dict[str, Any] = {"parse": bytes, "create_connection": Slow}
    server = sync.serve(Handler(), "127.0.0.1", 0, **options)
    with dial(port_of(server)) as peer:
        assert opening.wait(PATIENCE)
        server.close()
        go_on.set()

        assert b"" == peer.recv(1)
    assert [] == server.wait_closed()
    assert 0 == server.stats().accepted


# Unix sockets


def test_unix_serve_and_unix_connect() -> None:
    """The same API over a Unix socket; its path is replaced, and removed at the end."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "chat.sock")  # noqa: PTH118
        stale = socket.socket(socket.AF_UNIX)
        stale.bind(path)
        stale.close()
        with sync.unix_serve(echo, path, parse=bytes):
            with sync.unix_connect(path, parse=bytes) as client:
                client.send(b"<a/>")

                assert b"<a/>" == client.recv()
                assert path == client.remote_address
        assert not os.path.exists(path)  # noqa: PTH110


def test_unix_serve_does_not_replace_a_file() -> None:
    """A file that is no socket is left alone."""
    with tempfile.NamedTemporaryFile() as file:
        with pytest.raises(OSError, match="cannot listen on"):
            sync.unix_serve(echo, file.name)


def test_unix_serve_bad_option_leaves_no_socket_behind() -> None:
    """An option that makes no sense is an error before anything is left in the file system."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "chat.sock")  # noqa: PTH118
        with pytest.raises(ValueError, match="max_size"):
            sync.unix_serve(echo, path, max_size=-1)
        assert [] == os.listdir(folder)  # noqa: PTH208


# Running out


def test_accept_out_of_descriptors_waits_and_recovers(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without even the kept descriptor the server logs one line, does not spin, and recovers."""
    monkeypatch.setattr("xmlsocket.sync.server.ACCEPT_BACKOFF", 0.05)
    with sync.serve(echo, "127.0.0.1", 0, parse=bytes) as server:
        with socket.socket() as waiting:
            waiting.settimeout(PATIENCE)
            server._reserve.close()
            soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            lowest_free = os.open("/dev/null", os.O_RDONLY)
            os.close(lowest_free)
            resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
            try:
                waiting.connect(("127.0.0.1", port_of(server)))
                until(lambda: serious(caplog))
                assert 0 == server.stats().accepted
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            waiting.sendall(b"<a/>\0")
            assert b"<a/>\0" == read_exactly(waiting, 5)
    lines = [record.getMessage() for record in serious(caplog)]
    assert ["! cannot accept connections: Too many open files"] == lines


def test_accept_out_of_descriptors_does_not_spin(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two attempts the server leaves the listener alone; closing it ends the pause."""
    monkeypatch.setattr("xmlsocket.sync.server.ACCEPT_BACKOFF", 3600)
    with sync.serve(echo, "127.0.0.1", 0, parse=bytes) as server:
        repeated = server._settings.repeated
        with socket.socket() as waiting:
            server._reserve.close()
            soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            lowest_free = os.open("/dev/null", os.O_RDONLY)
            os.close(lowest_free)
            resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
            try:
                waiting.connect(("127.0.0.1", port_of(server)))
                until(lambda: serious(caplog))
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            server.close()
            assert [] == server.wait_closed()
    assert 0 == repeated._suppressed.total()


def test_accept_out_of_threads_refuses_and_recovers(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection for which there is no thread is closed; the server goes on."""
    monkeypatch.setattr("xmlsocket.sync.server.ACCEPT_BACKOFF", 0.05)
    with sync.serve(echo, "127.0.0.1", 0, parse=bytes) as server:

        def refuse(*_: object, **__: object) -> None:
            raise _thread.error("can't start new thread")

        with monkeypatch.context() as patch:
            starts = [name for name in vars(threading) if name.startswith("_start_")]
            assert len(starts) == 1  # Python 3.13 gave it another name
            patch.setattr(threading, starts[0], refuse)
            with dial(port_of(server)) as peer:
                assert b"" == peer.recv(1)
        with dial(port_of(server)) as peer:
            peer.sendall(b"<a/>\0")
            assert b"<a/>\0" == read_exactly(peer, 5)
    (record,) = serious(caplog)
    assert "can't start new thread" in record.getMessage()


def test_accept_connection_gone_before_it_was_accepted_is_passed_over() -> None:
    """A listener that has nothing to accept after all does not disturb the server."""
    with sync.serve(echo, "127.0.0.1", 0, parse=bytes) as server:
        # Another process on the same listener may be quicker.
        server._accept(server.sockets[0])
        with contextlib.closing(dial(port_of(server))) as peer:
            peer.sendall(b"x\0")
            assert b"x\0" == read_exactly(peer, 2)


def test_close_by_whoever_has_the_servers_lock_ends_it() -> None:
    """As a signal's handler that interrupts stats(), while the server has accepted somebody."""
    server = sync.serve(echo, "127.0.0.1", 0)

    def accepting() -> bool:
        frames = sys._current_frames().values()
        return any(frame.f_code.co_name == "_enter" for frame in frames)

    def close() -> None:
        with server._changed, socket.create_connection(server.sockets[0].getsockname()) as peer:
            until(accepting)
            server.close(1)
            assert b"" == peer.recv(1)

    start(close).result(PATIENCE)
    assert [] == server.wait_closed()
