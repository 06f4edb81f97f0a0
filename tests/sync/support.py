"""What the tests of the sync tree share."""

from __future__ import annotations

import concurrent.futures
import contextlib
import queue
import signal
import socket
import threading
import time
from typing import TYPE_CHECKING, Any, TypeVar

from xmlsocket import sync

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator

PATIENCE = 30.0
"""Seconds after which a test gives up waiting for another thread."""

R = TypeVar("R")


def echo(connection: sync.Connection[Any]) -> None:
    """Answer every document with itself."""
    for document in connection:
        connection.send(document)


class Handler:
    """A handler that hands its connection to the test and lives until the test lets it go."""

    def __init__(self) -> None:
        self._arrived: queue.Queue[sync.Connection[Any]] = queue.Queue()
        self._leave = threading.Event()

    def __call__(self, connection: sync.Connection[Any]) -> None:
        self._arrived.put(connection)
        self._leave.wait(PATIENCE)

    def connection(self) -> sync.Connection[Any]:
        """Return the next connection that was opened."""
        return self._arrived.get(timeout=PATIENCE)

    def leave(self) -> None:
        """Let all handlers return."""
        self._leave.set()


def port_of(server: sync.Server[Any]) -> int:
    """Return the port of a server on one address."""
    port: int = server.sockets[0].getsockname()[1]
    return port


def dial(port: int, tls: ssl.SSLContext | None = None) -> socket.socket:
    """Connect a plain socket, or one of the ``ssl`` module, to a port of 127.0.0.1."""
    sock = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock if tls is None else tls.wrap_socket(sock, server_hostname="127.0.0.1")


@contextlib.contextmanager
def raw(
    *, tls: tuple[ssl.SSLContext, ssl.SSLContext] | None = None, **options: Any
) -> Iterator[tuple[sync.Connection[Any], socket.socket]]:
    """Open a server's connection and, at its other end, a socket that knows only bytes."""
    handler = Handler()
    options.setdefault("parse", bytes)
    server_context, client_context = tls or (None, None)
    with sync.serve(handler, "127.0.0.1", 0, ssl=server_context, **options) as server:
        with dial(port_of(server), client_context) as peer:
            connection = handler.connection()
            try:
                yield connection, peer
            finally:
                handler.leave()
                connection.abort()


@contextlib.contextmanager
def pair(**options: Any) -> Iterator[tuple[sync.Connection[Any], sync.Connection[Any]]]:
    """Open a connection and give its client's and its server's end."""
    handler = Handler()
    options.setdefault("parse", bytes)
    with sync.serve(handler, "127.0.0.1", 0, **options) as server:
        with sync.connect("127.0.0.1", port_of(server), **options) as client:
            connection = handler.connection()
            try:
                yield client, connection
            finally:
                handler.leave()
                connection.abort()


def start(function: Callable[..., R], *args: Any) -> concurrent.futures.Future[R]:
    """Call ``function`` in a thread of its own."""
    future: concurrent.futures.Future[R] = concurrent.futures.Future()

    def run() -> None:
        try:
            future.set_result(function(*args))
        except BaseException as exc:  # noqa: BLE001 - raised again by result()
            future.set_exception(exc)

    threading.Thread(target=run, daemon=True).start()
    return future


def until(condition: Callable[[], Any]) -> None:
    """Wait for another thread to make the condition hold; the test's timeout is the bound."""
    while not condition():
        time.sleep(0.001)


def read_all(sock: socket.socket) -> bytes:
    """Read to the end of the stream."""
    data = bytearray()
    while chunk := sock.recv(2**20):
        data += chunk
    return bytes(data)


def read_exactly(sock: socket.socket, size: int) -> bytes:
    """Read ``size`` bytes."""
    data = bytearray()
    while len(data) < size:
        chunk = sock.recv(size - len(data))
        assert chunk, f"stream ended after {len(data)} of {size} bytes"
        data += chunk
    return bytes(data)


def reset(sock: socket.socket) -> None:
    """Close a socket so that the peer gets a reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    sock.close()


@contextlib.contextmanager
def signalled(when: Callable[[], Any], action: Callable[[], object]) -> Iterator[None]:
    """Run ``action`` once in a signal handler of the main thread, as soon as ``when`` holds."""
    main = threading.get_ident()
    struck = threading.Event()

    def strike() -> None:
        until(when)
        # Again and again: a signal that comes just before a system call does not
        # interrupt it.
        while not struck.is_set():
            signal.pthread_kill(main, signal.SIGUSR1)
            struck.wait(0.01)

    def handler(*_: object) -> None:
        if not struck.is_set():
            struck.set()
            action()

    before = signal.signal(signal.SIGUSR1, handler)
    striking = start(strike)
    try:
        yield
    finally:
        striking.result(PATIENCE)
        signal.signal(signal.SIGUSR1, before)


class Interrupted(BaseException):
    """What a signal handler of a test raises, as that of Ctrl-C raises KeyboardInterrupt."""


def interrupt() -> None:
    """Raise `Interrupted`."""
    raise Interrupted
