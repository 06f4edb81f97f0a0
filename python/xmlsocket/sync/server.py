"""Servers with blocking calls: a thread that accepts, and one for each connection."""

from __future__ import annotations

import contextlib
import math
import selectors
import socket
import threading
import time
from typing import TYPE_CHECKING, Final, Generic, TypeVar, cast

from ..admission import Admission
from ..connection import Counters
from ..endpoint import ACCEPT_BACKOFF, Reserve, format_address, keep_alive, unlink_unix
from ..exceptions import CloseReason
from .stream import Stream, new_selector
from .tls import TLSStream

if TYPE_CHECKING:
    import ssl as ssl_module
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from ..connection import Settings
    from ..stats import ServerStats
    from .closing import ClosableConnection
    from .connection import Connection

__all__ = ["Server"]

# Seconds after which a thread that waits for the lock asks whether it still wants it.
_PATIENCE: Final = 0.05

# ruff: noqa: SLF001 - server and connection are parts of one transport

T = TypeVar("T")


class Server(Generic[T]):
    """
    A server and its open connections. Made by `serve`, which starts it.

    Usable as a context manager, which closes it at the end. Its threads are
    daemons: a handler that never returns keeps no process alive.
    """

    def __init__(
        self,
        handler: Callable[[Connection[T]], None],
        settings: Settings[T],
        listeners: Sequence[socket.socket],
        *,
        ssl: ssl_module.SSLContext | None,
        create_connection: type[Connection[T]],
    ) -> None:
        self._handler = handler
        self._settings = settings
        self._listeners = tuple(listeners)
        self._ssl = ssl
        self._create_connection = create_connection
        self._counters = Counters()
        self._admission: Admission[threading.Thread] = Admission(settings, self._counters)
        # TLS handshakes under way, the oldest first.
        self._handshakes: dict[threading.Thread, socket.socket] = {}
        self._connections: set[Connection[T]] = set()
        self._threads: set[threading.Thread] = set()
        self._leaving: list[threading.Thread] = []
        self._cut: list[Connection[T]] = []
        # Guards all that changes and tells when it did. Connections are never
        # called while it is held: they call back with a lock of their own.
        # Reentrant, because a signal handler may close the server.
        self._changed = threading.Condition(threading.RLock())
        self._deadline = math.inf
        self._closing = threading.Event()
        self._deaf = threading.Event()
        # Whoever waits for a peer also waits for the end of this stream, which
        # comes when the server closes.
        self._wake, self._waker = socket.socketpair()
        self._reserve = Reserve()
        self._thread = threading.Thread(target=self._run, name="xmlsocket server", daemon=True)
        try:
            self._thread.start()
        except BaseException:
            self._reserve.close()
            self._wake.close()
            self._waker.close()
            raise
        for listener in self._listeners:
            settings.logger.info("= listening on %s", format_address(listener.getsockname()))

    @property
    def connections(self) -> frozenset[Connection[T]]:
        """The connections that are open now."""
        with self._changed:
            return frozenset(self._connections)

    @property
    def sockets(self) -> tuple[socket.socket, ...]:
        """The listening sockets; closed ones after `close`."""
        return self._listeners

    def stats(self) -> ServerStats:
        """Return what this server has counted over all its connections, as a snapshot."""
        with self._changed:
            return self._counters.snapshot(self._connections)

    def serve_forever(self) -> None:
        """Wait until the server is closed; close it when this call is interrupted."""
        try:
            # Windows delivers Ctrl-C only between two waits.
            while self._thread.is_alive():
                self._thread.join(1.0)
        finally:
            self.close()
            self.wait_closed()

    def close(self, timeout: float | None = 10.0) -> None:
        """
        Stop accepting and reading, let handlers finish, then cut what is left.

        Handlers get the documents that have arrived, then `ConnectionClosedOK`
        with the reason ``server_close``; what they send still goes out. Returns
        at once: `wait_closed` waits.

        Args:
            timeout: Seconds until connections that are still open are aborted;
                0 does so at once, ``None`` never. A thread cannot be cancelled,
                but its next ``recv`` or ``send`` raises. A second call can only
                shorten the time.

        """
        with self._changed:
            if timeout is not None:
                self._deadline = min(self._deadline, time.monotonic() + timeout)
                self._changed.notify_all()
            first = not self._closing.is_set()
            self._closing.set()
            connections = tuple(self._connections)
        if first:
            self._settings.logger.info("= server closing, %d open", len(connections))
            for connection in connections:
                connection._refuse_input(CloseReason.SERVER_CLOSE)
            self._waker.close()
        self._deaf.wait()

    def wait_closed(self) -> list[Connection[T]]:
        """
        Wait until the server is closed and every handler has returned.

        Returns:
            The connections that had to be cut because the time given to `close`
            was over.

        """
        self._thread.join()
        return list(self._cut)

    def __enter__(self) -> Server[T]:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
        self.wait_closed()

    # The server's own thread

    def _run(self) -> None:
        """Accept until the server closes, then see everyone off."""
        try:
            with new_selector() as selector:
                selector.register(self._wake, selectors.EVENT_READ)
                for listener in self._listeners:
                    selector.register(listener, selectors.EVENT_READ)
                while not self._closing.is_set():
                    for key, _ in selector.select():
                        if key.fileobj is not self._wake:
                            self._accept(cast("socket.socket", key.fileobj))
        finally:
            self._reserve.close()
            for listener in self._listeners:
                unlink_unix(listener)
                listener.close()
            self._deaf.set()
            self._see_off()

    def _accept(self, listener: socket.socket) -> None:
        try:
            sock, _ = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        except OSError as exc:
            # No more descriptors, most of the time. Trying again at once would spin.
            if self._reserve.turn_away(listener, exc):
                self._tell(exc.strerror)
            else:
                self._pause(exc.strerror)
            return
        thread = threading.Thread(target=self._serve, args=(sock,), daemon=True)
        if not self._enter(thread, sock):
            return
        keep_alive(sock, self._settings.limits.send_timeout)
        try:
            thread.start()
        except RuntimeError as exc:
            sock.close()
            with self._changed:
                self._forget(thread)
            self._pause(exc)

    def _enter(self, thread: threading.Thread, sock: socket.socket) -> bool:
        """Note whom ``thread`` is to serve; close the socket if that is nobody."""
        # Not `with`: where a signal's handler closes the server, the thread that it
        # interrupted may have the lock, and waits for this one.
        while not self._changed.acquire(timeout=_PATIENCE):
            if self._closing.is_set():
                sock.close()
                return False
        try:
            site = self._admission.admit(sock, len(self._threads))
            if site is None:
                return False
            self._admission.enter(thread, site)
            self._threads.add(thread)
            if self._ssl is not None:
                self._shake_hands(thread, sock)
        finally:
            self._changed.release()
        return True

    def _forget(self, thread: threading.Thread) -> None:
        self._threads.discard(thread)
        self._handshakes.pop(thread, None)
        self._admission.leave(thread)

    def _pause(self, cause: object) -> None:
        self._tell(cause)
        self._closing.wait(ACCEPT_BACKOFF)
        self._reserve.restore()

    def _tell(self, cause: object) -> None:
        self._settings.repeated.warning("! cannot accept connections: %s", cause)

    def _see_off(self) -> None:
        """Wait for all threads, but cut their connections when the time is over."""
        with self._changed:
            while self._threads and (left := self._deadline - time.monotonic()) > 0:
                self._changed.wait(None if left == math.inf else left)
            late = self.connections
            self._cut += late
        for connection in late:
            connection._cut(CloseReason.SERVER_CLOSE)
        with self._changed:
            while self._threads:
                self._changed.wait()
        for thread in self._leaving:
            thread.join()
        self._wake.close()

    # The threads of connections

    def _serve(self, sock: socket.socket) -> None:
        """Open a connection on an accepted socket, run the handler, close."""
        try:
            connection = self._open(sock)
            if connection is not None:
                threading.current_thread().name = f"xmlsocket connection {connection.id}"
                reason = CloseReason.HANDLER_ERROR
                try:
                    reason = self._handle(connection)
                finally:
                    connection._close(reason)
        finally:
            with self._changed:
                thread = threading.current_thread()
                self._forget(thread)
                if self._closing.is_set():
                    self._leaving.append(thread)
                self._changed.notify_all()

    def _open(self, sock: socket.socket) -> Connection[T] | None:
        logger = self._settings.logger
        try:
            stream = self._open_stream(sock)
            connection = self._create_connection(self._settings, stream, self)
        except OSError as exc:
            # Someone who connects and leaves, or does not speak TLS, is no error
            # of this server: health checks do it all day.
            logger.debug("= no connection: %s", exc)
        except Exception:
            logger.exception("! cannot make a connection")
        else:
            with self._changed:
                if not self._closing.is_set():
                    self._connections.add(connection)
                    self._counters.accepted += 1
                    return connection
        sock.close()
        return None

    def _open_stream(self, sock: socket.socket) -> Stream:
        if self._ssl is None:
            return Stream(sock, wake=self._wake)
        stream = TLSStream(sock, self._ssl, server_side=True, wake=self._wake)
        timeout = self._settings.open_timeout
        try:
            stream.handshake(None if timeout is None else time.monotonic() + timeout)
        finally:
            with self._changed:
                self._handshakes.pop(threading.current_thread(), None)
        return stream

    def _shake_hands(self, thread: threading.Thread, sock: socket.socket) -> None:
        """Note a handshake; break off the oldest if there are too many."""
        limit = self._settings.limits.handshakes
        self._handshakes[thread] = sock
        if limit is not None and len(self._handshakes) > limit:
            stalled = self._handshakes.pop(next(iter(self._handshakes)))
            self._admission.stalled(limit)
            # Its thread, which waits for the peer, meets the end of the stream.
            with contextlib.suppress(OSError):
                stalled.shutdown(socket.SHUT_RDWR)

    def _lost(self, connection: ClosableConnection[T]) -> None:
        with self._changed:
            self._connections.discard(cast("Connection[T]", connection))
            self._counters.add_closed(connection)

    def _handle(self, connection: Connection[T]) -> CloseReason:
        """Run the handler and tell why the connection ends now."""
        try:
            self._handler(connection)
        except Exception as exc:  # noqa: BLE001 - logged with its traceback
            reason = connection._handler_failed(exc)
            with self._changed:
                self._counters.handler_errors += reason is CloseReason.HANDLER_ERROR
            return reason
        return CloseReason.LOCAL
