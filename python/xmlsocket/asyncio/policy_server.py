"""A server for socket policy files alone, as on port 843."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final, Self, cast

from ..connection import Logger, RepeatedLog
from ..policy import MASTER_PORT, match_request
from ..stats import PolicyStats
from .accepting import Listeners, listen
from .linger import answer

if TYPE_CHECKING:
    import socket
    from collections.abc import Generator, Sequence
    from types import TracebackType

    from ..policy import Policy

__all__ = ["PolicyServer"]

# ruff: noqa: SLF001 - a server and its clients

_LOGGER: Final = "xmlsocket.policy"


class PolicyServer:
    """
    Answers policy requests, and nothing else.

    Flash asks port 843 first, before the port that the movie wants. Await the
    object, or use it in ``async with``, which closes it at the end::

        policy = Policy(["play.example.com"], [9339])
        async with PolicyServer(policy, "0.0.0.0") as server:
            await server.serve_forever()

    A connection that sends anything but a policy request is closed, so is one
    that sends nothing; neither is worth a line in the log, for health checks
    do it all day. A reply is followed by FIN and the connection is closed.

    Args:
        policy: What to answer.
        host: Address or addresses to listen on; ``None`` for all.
        port: Port to listen on. Systems reserve those below 1024: see the
            documentation for a redirection, and ``public_port``. 0 for a free
            one, see `sockets`.
        on_accept: Answer at once rather than when the request has come. Players
            take that on a port that serves policies only.
        request_timeout: Seconds from accepting a connection to the last byte of
            its request; not extended by further bytes. ``None`` lifts the limit.
        max_connections: Connections open at a time. One more, and the oldest is
            cut off: whoever asks gets an answer even while others only hold
            connections. ``None`` lifts the limit.
        public_port: The port that players connect to, where a redirection makes
            it another one than ``port``. What a policy may grant depends on it.
        backlog: Connections that the system keeps waiting to be accepted.
        reuse_port: Let several processes listen on the port (``SO_REUSEPORT``).
        sock: A listening socket to use instead of ``host`` and ``port``.
        logger: Where to log; ``logging.getLogger("xmlsocket.policy")`` if ``None``.

    Raises:
        PolicyError: If the policy may not be served from this port, see
            `Policy.check_port`. With port 0 or a ``sock``: when awaited.
        ValueError: If a limit makes no sense.
        OSError: When awaited: if the address cannot be listened on.

    Source: "Setting up a socket policy file server", Adobe; Flash 8, Learning
    ActionScript 2.0, page 706.

    """

    def __init__(
        self,
        policy: Policy,
        host: str | Sequence[str] | None = None,
        port: int = MASTER_PORT,
        *,
        on_accept: bool = False,
        request_timeout: float | None = 10.0,
        max_connections: int | None = 1000,
        public_port: int | None = None,
        backlog: int = 1024,
        reuse_port: bool = False,
        sock: socket.socket | None = None,
        logger: Logger | None = None,
    ) -> None:
        for name, value in (
            ("request_timeout", request_timeout),
            ("max_connections", max_connections),
        ):
            if value is not None and not value > 0:
                raise ValueError(f"{name} must be positive or None, not {value!r}")
        self._policy = policy
        self._public_port = public_port or (0 if sock else port)
        if self._public_port:
            policy.check_port(self._public_port)
        self._address = (host, port)
        self._sock = sock
        self._backlog = backlog
        self._reuse_port = reuse_port
        self._on_accept = on_accept
        self._request_timeout = request_timeout
        self._max_connections = max_connections
        self._logger = logging.getLogger(_LOGGER) if logger is None else logger
        self._listeners: Listeners | None = None
        self._opening: set[asyncio.Task[None]] = set()
        # In the order in which they came.
        self._clients: dict[_Client, None] = {}
        self._counts = {"accepted": 0, "answered": 0, "refused": 0, "silent": 0, "evicted": 0}
        self._closing = False
        self._closed = asyncio.Event()

    def __await__(self) -> Generator[Any, None, PolicyServer]:
        return self._start().__await__()

    async def _start(self) -> PolicyServer:
        if self._sock is not None:
            self._sock.setblocking(False)
            sockets = [self._sock]
        else:
            sockets = await listen(
                *self._address, backlog=self._backlog, reuse_port=self._reuse_port
            )
        try:
            self._policy.check_port(self._public_port or sockets[0].getsockname()[1])
        except BaseException:
            for listener in sockets:
                listener.close()
            raise
        self._listeners = Listeners(
            sockets, self._accepted, logger=self._logger, repeated=RepeatedLog(self._logger)
        )
        return self

    async def __aenter__(self) -> Self:
        await self._start()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
        await self.wait_closed()

    @property
    def sockets(self) -> tuple[socket.socket, ...]:
        """The listening sockets; closed ones after `close`, none before the start."""
        return () if self._listeners is None else self._listeners.sockets

    def stats(self) -> PolicyStats:
        """Return what this server has counted, as a snapshot."""
        return PolicyStats(connections=len(self._clients), **self._counts)

    async def serve_forever(self) -> None:
        """Wait until the server is closed; close it when this call is cancelled."""
        try:
            await self._closed.wait()
        finally:
            self.close()
            await self.wait_closed()

    def close(self) -> None:
        """
        Stop accepting, and close the connections that have not asked yet.

        Returns at once: `wait_closed` waits, no more than the second that
        replies on their way are given.
        """
        if self._closing:
            return
        self._closing = True
        if self._listeners is not None:
            self._listeners.close()
        for client in tuple(self._clients):
            client.leave()
        self._check_closed()

    async def wait_closed(self) -> None:
        """Wait until the server is closed and every connection is gone."""
        await self._closed.wait()

    def _check_closed(self) -> None:
        if self._closing and not self._opening and not self._clients:
            self._closed.set()

    # The clients

    def _accepted(self, sock: socket.socket, address: Any) -> None:  # noqa: ARG002 - any may ask
        task = asyncio.get_running_loop().create_task(self._open(sock))
        self._opening.add(task)
        task.add_done_callback(self._opened)

    async def _open(self, sock: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.connect_accepted_socket(lambda: _Client(self), sock)
        except OSError as exc:
            self._logger.debug("= no connection: %s", exc)
            sock.close()

    def _opened(self, task: asyncio.Task[None]) -> None:
        self._opening.discard(task)
        self._check_closed()

    def _arrived(self, client: _Client) -> None:
        self._count("accepted")
        self._clients[client] = None
        if self._max_connections is not None and len(self._clients) > self._max_connections:
            oldest = next(iter(self._clients))
            oldest.evict()
            self._lost(oldest)
        if self._closing:
            client.leave()
        elif self._on_accept:
            # Not now: uvloop begins to read only behind this callback.
            asyncio.get_running_loop().call_soon(client.answer)

    def _lost(self, client: _Client) -> None:
        self._clients.pop(client, None)
        self._check_closed()

    def _count(self, what: str) -> None:
        self._counts[what] += 1


class _Client(asyncio.Protocol):
    """One connection, from accepting it to its end."""

    transport: asyncio.Transport

    def __init__(self, server: PolicyServer) -> None:
        self._server = server
        self._data = b""
        self._outcome: str | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the clock; it is not put back."""
        self.transport = cast("asyncio.Transport", transport)
        timeout = self._server._request_timeout
        if timeout is not None:
            self._timer = asyncio.get_running_loop().call_later(timeout, self.leave)
        self._server._arrived(self)

    def data_received(self, data: bytes) -> None:
        """Answer a request, and only that. At most one read is held beside its beginning."""
        self._data += data
        match = match_request(self._data)
        if match:
            self.answer()
        elif match is False:
            self._end("refused")
            self.transport.close()

    def answer(self) -> None:
        """Send the policy and be done, once."""
        if self._outcome is not None:
            return
        self._end("answered")
        answer(self.transport, self._server._policy.reply, self.connection_lost)

    def leave(self) -> None:
        """Close, unless an answer is on its way."""
        if self._outcome is None:
            self.transport.close()

    def evict(self) -> None:
        """Make room at once; if an answer is on its way, the peer has had time to take it."""
        if self._outcome is None:
            self._end("evicted")
        self.transport.abort()

    def _end(self, outcome: str) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._outcome = outcome
        self._server._count(outcome)
        peer = self.transport.get_extra_info("peername")
        self._server._logger.debug("= policy request of %s: %s", peer, outcome)

    def connection_lost(self, exc: Exception | None) -> None:
        """Make room for others."""
        del exc  # of no interest, whether they closed or were reset
        if self._outcome is None:
            self._end("silent")
        self._server._lost(self)
