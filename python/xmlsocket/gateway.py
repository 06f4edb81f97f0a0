"""
WebSocket to TCP for servers that cannot be changed.

A page in a browser, such as a Flash movie in Ruffle, reaches an XMLSocket
server through a gateway. The gateway's configuration says which path leads to
which server; nothing in a request can choose another. Documents are passed on
whole and are never parsed.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import ssl as ssl_module
from typing import TYPE_CHECKING, Any, Final

from .admission import Sites
from .asyncio import connect, serve
from .asyncio.dialing import dial
from .connection import Logger, RepeatedLog
from .endpoint import check_port, format_address, parse_address
from .exceptions import CloseReason, ConnectionClosed
from .limits import Limits
from .proxies import make_proxy_header
from .upgrade import WebSocketOptions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .asyncio import Connection, Serve

__all__ = ["Gateway", "GatewayStats", "Target"]

_LOGGER: Final = "xmlsocket.gateway"

# Seconds that a target gets to take what a client sent before it left.
_LAST_WORDS: Final = 10.0


@dataclasses.dataclass(frozen=True, slots=True)
class Target:
    """
    A server behind the gateway.

    Attributes:
        host: Its name or address.
        port: Its port.
        ssl: TLS context to connect with, or ``True`` for one that verifies
            against the system's certificates; ``None`` for plain TCP.
        proxy_header: Version of the PROXY header, 1 or 2, that tells the server
            the client's address; ``None`` for none. It goes first, before TLS.
        movie_address: Host and port that movies name to reach this server, for
            `Gateway.socket_proxy`; ``None``: those above.

    Raises:
        ValueError: If a port or the version of the header is none.

    """

    host: str
    port: int
    ssl: ssl_module.SSLContext | bool | None = None
    proxy_header: int | None = None
    movie_address: tuple[str, int] | None = None

    def __post_init__(self) -> None:
        for port in (self.port, *(self.movie_address or ())[1:]):
            check_port(port)
        if self.proxy_header not in {None, 1, 2}:
            raise ValueError(f"proxy_header must be 1, 2 or None, not {self.proxy_header!r}")

    @classmethod
    def parse(cls, text: str) -> Target:
        """
        Read ``HOST:PORT``, IPv6 hosts in brackets.

        Raises:
            ValueError: If it is of another form, or there is no such port.

        """
        return cls(*parse_address(text))

    def __str__(self) -> str:
        return format_address((self.host, self.port))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class GatewayStats:
    """
    Counters of one gateway.

    Attributes:
        connections: Connections relayed now.
        relayed: Connections for which a target was reached.
        unreachable: Connections closed because their target could not be reached.
        too_many: Connections closed because their address had too many.
        refused: Connections that were no WebSocket and so had no target. What is
            refused with an HTTP status counts with the server, not here.

    """

    connections: int
    relayed: int
    unreachable: int
    too_many: int
    refused: int


class Gateway:
    """
    Relays WebSockets to XMLSocket servers.

    It is a handler, and `serve` starts an ordinary `Server` with it::

        gateway = Gateway({"/game": "10.0.0.7:9339"}, origins=["https://play.example.com"])
        async with gateway.serve("0.0.0.0", 8080) as server:
            await server.serve_forever()

    Each side waits for the other: a peer that does not read stops the reading
    from its partner above ``write_limit`` and ``read_limit``. When one side
    ends, what has arrived from it is delivered, then the other is closed:
    WebSocket close code 1000 after an end of the target between two documents,
    1014 when it could not be reached or was lost, 1013 when the client's address
    has too many connections.

    Args:
        targets: The server for each path; ``"HOST:PORT"`` or a `Target`.
        origins: Which pages may connect, as for `WebSocketOptions`.
        connections_per_address: Connections that one address may have open;
            of IPv6 its first 64 bits count. ``None`` lifts the limit.
        connect_timeout: Seconds for resolving and connecting to a target, TLS
            included. ``None`` lifts the limit.
        max_size: Bytes of one document, in both directions, as for `connect`.
        read_limit: As for `connect`, in both directions.
        write_limit: Likewise.
        limits: The other limits, likewise.
        logger: Where to log; ``logging.getLogger("xmlsocket.gateway")`` if ``None``.

    Raises:
        ValueError: If there is no target, or a path, target, origin or limit
            makes no sense.

    Source: Ruffle, web/src/navigator.rs: what a movie sends to a socket comes in
    binary messages of a WebSocket.

    """

    def __init__(
        self,
        targets: Mapping[str, Target | str],
        *,
        origins: Sequence[str] | None = None,
        connections_per_address: int | None = 50,
        connect_timeout: float | None = 10.0,
        max_size: int | None = 2**20,
        read_limit: int | tuple[int, int] | None = 2**20,
        write_limit: int | tuple[int, int] | None = 2**16,
        limits: Limits = Limits(),  # noqa: B008 - frozen
        logger: Logger | None = None,
    ) -> None:
        if not targets:
            raise ValueError("a gateway needs a target")
        for name, value in (
            ("connections_per_address", connections_per_address),
            ("connect_timeout", connect_timeout),
        ):
            if value is not None and not value > 0:
                raise ValueError(f"{name} must be positive or None, not {value!r}")
        self.targets: dict[str, Target] = {
            path: Target.parse(target) if isinstance(target, str) else target
            for path, target in targets.items()
        }
        self._websocket = WebSocketOptions(origins=origins, path=tuple(self.targets))
        self._per_address = connections_per_address
        self._open = Sites(connections_per_address)
        self._connect_timeout = connect_timeout
        self._options: dict[str, Any] = {
            "parse": bytes,
            "skip_empty": False,
            "max_size": max_size,
            "read_limit": read_limit,
            "write_limit": write_limit,
            "limits": limits,
        }
        self._logger = logging.getLogger(_LOGGER) if logger is None else logger
        self._repeated = RepeatedLog(self._logger)
        self._verifying: ssl_module.SSLContext | None = None
        self._counts = {"relayed": 0, "unreachable": 0, "too_many": 0, "refused": 0}

    def serve(
        self, host: str | Sequence[str] | None = None, port: int | None = None, **options: Any
    ) -> Serve[bytes]:
        """
        Start a server for this gateway.

        Args:
            host: Address or addresses to listen on; ``None`` for all.
            port: Port to listen on; 0 for a free one.
            **options: Further options of `xmlsocket.serve`, such as ``ssl``,
                ``trusted_proxies`` and ``idle_timeout``.

        Returns:
            An object to await, or to use in ``async with``; both give the `Server`.

        """
        return serve(self, host, port, websocket=self._websocket, **(self._options | options))

    def stats(self) -> GatewayStats:
        """Return what this gateway has counted, as a snapshot."""
        return GatewayStats(connections=self._open.total(), **self._counts)

    def socket_proxy(self, url: str) -> list[dict[str, str | int]]:
        """
        Return Ruffle's ``socketProxy`` for the targets.

        Args:
            url: Where browsers reach the gateway: ``wss://host[:port]``.

        Source: Ruffle's web configuration; host and port have to be exactly what
        the movie names, and the first match wins.

        """
        entries: list[dict[str, str | int]] = []
        for path, target in self.targets.items():
            host, port = target.movie_address or (target.host, target.port)
            entries.append({"host": host, "port": port, "proxyUrl": url.rstrip("/") + path})
        return entries

    async def __call__(self, connection: Connection[bytes]) -> None:
        """Serve one client: find its target, connect, relay."""
        target = self.targets.get(connection.path)
        if target is None:
            self._counts["refused"] += 1
            return
        site = Sites.of(connection.remote_address)
        if not self._open.enter(site):
            self._counts["too_many"] += 1
            self._repeated.warning("! more than %d connections from one address", self._per_address)
            _close(connection, CloseReason.TOO_MANY)
            return
        try:
            await self._serve(connection, target)
        finally:
            self._open.leave(site)

    async def _serve(self, connection: Connection[bytes], target: Target) -> None:
        try:
            server = await self._connect(connection, target)
        except (OSError, UnicodeError) as exc:  # UnicodeError: no name of a host looks like that
            self._counts["unreachable"] += 1
            why = str(exc) or f"no answer within connect_timeout={self._connect_timeout} seconds"
            self._repeated.warning("! cannot reach %s: %s", target, why)
            _close(connection, CloseReason.TARGET_FAILED)
            return
        self._counts["relayed"] += 1
        self._logger.debug("= connection %d relayed to %s", connection.id, target)
        try:
            await _relay(connection, server)
        finally:
            await server.close()

    def _context(self, target: Target) -> ssl_module.SSLContext | bool | None:
        """Return what to connect with, the system's authorities read once for all clients."""
        if target.ssl is not True:
            return target.ssl
        if self._verifying is None:
            self._verifying = ssl_module.create_default_context()
        return self._verifying

    async def _connect(self, client: Connection[bytes], target: Target) -> Connection[bytes]:
        options = self._options | {"ssl": self._context(target), "open_timeout": None}
        async with asyncio.timeout(self._connect_timeout):
            if target.proxy_header is None:
                return await connect(target.host, target.port, **options)
            header = make_proxy_header(
                target.proxy_header, client.remote_address, client.local_address
            )
            sock = await dial(target.host, target.port)
            try:
                await asyncio.get_running_loop().sock_sendall(sock, header)
                if target.ssl:
                    options["server_hostname"] = target.host
                return await connect(sock=sock, **options)
            except BaseException:
                sock.close()
                raise


async def _relay(client: Connection[bytes], server: Connection[bytes]) -> None:
    """Pass documents on both ways until one side ends, and see that what it sent arrives."""
    there = asyncio.create_task(_pump(client, server))
    back = asyncio.create_task(_pump(server, client))
    try:
        await asyncio.wait({there, back}, return_when=asyncio.FIRST_COMPLETED)
        if server.close_reason is None:
            # The client is gone; what it had sent may still wait for the target.
            await asyncio.wait({there}, timeout=_LAST_WORDS)
        elif server.close_reason is not CloseReason.EOF:
            _close(client, CloseReason.TARGET_FAILED)
    finally:
        for task in (there, back):
            task.cancel()
        await asyncio.gather(there, back, return_exceptions=True)


async def _pump(source: Connection[bytes], sink: Connection[bytes]) -> None:
    with contextlib.suppress(ConnectionClosed):
        async for frames in source.batches():
            await sink.send_many(frames)


def _close(connection: Connection[bytes], reason: CloseReason) -> None:
    # Handlers of applications have no use for another reason than their own will.
    connection._close(reason)  # noqa: SLF001
