"""A server on an event loop: its connections, their handlers, shutting down."""

from __future__ import annotations

import asyncio
import functools
import math
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from ..admission import Admission
from ..connection import Counters, Settings
from ..endpoint import keep_alive
from ..exceptions import CloseReason
from ..flow import CONNECTION_CHARGE, TLS_CHARGE
from .accepting import Listeners
from .loop import LoopShare
from .memory import MemoryBudget
from .opening import Entry, OnePort, Openings

if TYPE_CHECKING:
    import socket
    import ssl as ssl_module
    from collections.abc import Awaitable, Callable, Sequence
    from types import TracebackType

    from ..stats import ServerStats
    from .connection import Connection

__all__ = ["Server"]

# ruff: noqa: SLF001 - server and connection are parts of one transport

T = TypeVar("T")


class Server(Generic[T]):
    """
    A server and its open connections. Made by `serve`.

    Usable as an asynchronous context manager, which closes it at the end.
    """

    def __init__(
        self,
        handler: Callable[[Connection[T]], Awaitable[None]],
        settings: Settings[T],
        listeners: Sequence[socket.socket],
        *,
        ssl: ssl_module.SSLContext | None,
        create_connection: type[Connection[T]],
        port: OnePort | None,
    ) -> None:
        self._handler = handler
        self._settings = settings
        self._ssl = ssl
        self._loop = asyncio.get_running_loop()
        self._share = LoopShare.of(self._loop)
        self._make = functools.partial(create_connection, settings, self._share, self)
        self._counters = Counters()
        self._openings = (
            None if port is None else Openings(port, settings, self._make, self._counters)
        )
        self._admission: Admission[asyncio.Task[None]] = Admission(
            settings, self._counters, () if port is None else port.trusted
        )
        # TLS handshakes under way, the oldest first.
        self._handshakes: dict[asyncio.Task[None], asyncio.BaseProtocol] = {}
        self._connections: set[Connection[T]] = set()
        # Of each task the socket it has been given and not yet taken: a task that
        # is cancelled before its first step never runs.
        self._tasks: dict[asyncio.Task[None], socket.socket | None] = {}
        self._cut: dict[Connection[T], None] = {}
        self._closing = False
        # The time beside the handle: of a delay of 0 uvloop's handle does not tell it.
        self._deadline: asyncio.Handle | None = None
        self._due = math.inf
        self._closed = asyncio.Event()
        self._share.watch(self, settings.tick)
        self._memory = MemoryBudget(
            self._connections,
            self._share,
            settings,
            charge=CONNECTION_CHARGE if ssl is None else TLS_CHARGE,
        )
        self._listeners = Listeners(
            listeners, self._accepted, logger=settings.logger, repeated=settings.repeated
        )

    @property
    def connections(self) -> frozenset[Connection[T]]:
        """The connections that are open now."""
        return frozenset(self._connections)

    @property
    def sockets(self) -> tuple[socket.socket, ...]:
        """The listening sockets; closed ones after `close`."""
        return self._listeners.sockets

    def stats(self) -> ServerStats:
        """Return what this server has counted over all its connections, as a snapshot."""
        return self._counters.snapshot(self._connections, self._memory.charge)

    async def serve_forever(self) -> None:
        """Wait until the server is closed; close it when this call is cancelled."""
        try:
            await self._closed.wait()
        finally:
            self.close()
            await self.wait_closed()

    def close(self, timeout: float | None = 10.0) -> None:
        """
        Stop accepting and reading, let handlers finish, then cut what is left.

        Handlers get the documents that have arrived, then `ConnectionClosedOK`
        with the reason ``server_close``; what they send still goes out. Returns
        at once: `wait_closed` waits.

        Args:
            timeout: Seconds until connections that are still open are aborted
                and their handlers cancelled; 0 does so at once, ``None`` never.
                A second call can only shorten it.

        """
        if not self._closing:
            self._closing = True
            self._listeners.close()
            if self._openings is not None:
                self._openings.close()
            for connection in tuple(self._connections):
                connection._refuse_input(CloseReason.SERVER_CLOSE)
            self._settings.logger.info("= server closing, %d open", len(self._connections))
            self._check_closed()
        if timeout is None or self._closed.is_set():
            return
        when = self._loop.time() + timeout
        if when < self._due:
            self._due = when
            if self._deadline is not None:
                self._deadline.cancel()
            if timeout <= 0:
                self._cut_all()
            self._deadline = self._loop.call_later(max(0, timeout), self._cut_all)

    def _cut_all(self) -> None:
        for connection in tuple(self._connections):
            self._cut[connection] = None
            connection._cut(CloseReason.SERVER_CLOSE)
        for task in self._tasks:
            task.cancel()

    async def wait_closed(self) -> list[Connection[T]]:
        """
        Wait until the server is closed and every handler has ended.

        Returns:
            The connections that had to be cut because the time given to `close`
            was over.

        """
        await self._closed.wait()
        return list(self._cut)

    def _check_closed(self) -> None:
        if self._closing and not self._tasks and not self._connections:
            if self._deadline is not None:
                self._deadline.cancel()
                self._deadline = None
            self._share.unwatch(self)
            self._memory.close()
            self._closed.set()

    async def __aenter__(self) -> Server[T]:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
        await self.wait_closed()

    def _accepted(self, sock: socket.socket, address: Any) -> None:
        site = self._admission.admit(sock, len(self._tasks))
        if site is None:
            return
        keep_alive(sock, self._settings.limits.send_timeout)
        task = self._loop.create_task(self._run(sock, address))
        self._tasks[task] = sock
        self._admission.enter(task, site)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._admission.leave(task)
        sock = self._tasks.pop(task)
        if sock is not None:
            sock.close()
        self._check_closed()

    def _look(self, now: float) -> None:
        """Look at the life signs of all connections; called by the loop's clock."""
        for connection in tuple(self._connections):
            connection._look(now)

    def _opened(self, connection: Connection[T]) -> None:
        self._connections.add(connection)
        self._counters.accepted += 1

    def _lost(self, connection: Connection[T]) -> None:
        self._connections.discard(connection)
        self._counters.add_closed(connection)
        self._check_closed()

    async def _run(self, sock: socket.socket, address: Any) -> None:
        """Open a connection on an accepted socket, run the handler, close."""
        task = cast("asyncio.Task[None]", asyncio.current_task())
        self._tasks[task] = None
        connection = await self._open(task, sock, address)
        del address  # would be held for as long as the handler runs
        if connection is None:
            return
        if not self._admission.identify(task, connection.remote_address):
            connection._close(CloseReason.TOO_MANY)
            await connection.close()
            return
        if self._closing:
            connection._refuse_input(CloseReason.SERVER_CLOSE)
        # The handler is awaited here and not further down: each coroutine in
        # between is memory that every idle connection holds.
        reason = CloseReason.LOCAL
        try:
            await self._handler(connection)
        except asyncio.CancelledError:
            connection._cut(CloseReason.SERVER_CLOSE)
            raise
        except Exception as exc:  # noqa: BLE001 - logged with its traceback
            reason = connection._handler_failed(exc)
            self._counters.handler_errors += reason is CloseReason.HANDLER_ERROR
        connection._close(reason)
        await connection.close()

    async def _open(
        self, task: asyncio.Task[None], sock: socket.socket, address: Any
    ) -> Connection[T] | None:
        try:
            # Made beforehand: with TLS, uvloop returns its own protocol, not ours.
            protocol = self._make() if self._openings is None else self._openings.entry(address)
            handshake = {}
            if self._ssl is not None:
                handshake["ssl_handshake_timeout"] = self._settings.open_timeout
                self._shake_hands(task, protocol)
            await self._loop.connect_accepted_socket(
                lambda: protocol, sock, ssl=self._ssl, **handshake
            )
        except (OSError, EOFError) as exc:
            # Someone who connects and leaves, or does not speak TLS, is no error
            # of this server: health checks do it all day.
            self._settings.logger.debug("= no connection: %s", exc)
            sock.close()
            return None
        except Exception:
            self._settings.logger.exception("! cannot make a connection")
            sock.close()
            return None
        except BaseException:
            sock.close()
            raise
        finally:
            self._handshakes.pop(task, None)
        return await protocol.wait() if isinstance(protocol, Entry) else protocol

    def _shake_hands(self, task: asyncio.Task[None], protocol: asyncio.BaseProtocol) -> None:
        """Note a handshake; break off the oldest if there are too many."""
        limit = self._settings.limits.handshakes
        self._handshakes[task] = protocol
        if limit is None or len(self._handshakes) <= limit:
            return
        oldest = next(iter(self._handshakes))
        # Told of its transport, it is done: its task has only not gone on yet.
        if getattr(self._handshakes.pop(oldest), "_transport", None) is None:
            self._admission.stalled(limit)
            oldest.cancel()
