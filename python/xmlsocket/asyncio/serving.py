"""`serve` and `unix_serve`: from the options to a server that listens."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from ..connection import Logger, Malformed, Settings
from ..documents import parse as parse_document
from ..endpoint import bind_unix, unlink_unix
from ..limits import Limits
from .accepting import listen as listen_on
from .connection import Connection
from .opening import OnePort
from .server import Server

if TYPE_CHECKING:
    import os
    import ssl as ssl_module
    from collections.abc import Awaitable, Callable, Generator, Iterable, Sequence
    from types import TracebackType

    from lxml import etree

    from ..policy import Policy
    from ..upgrade import WebSocketOptions

__all__ = ["Serve", "serve", "unix_serve"]

# ruff: noqa: SLF001 - starting a server is a part of it

T = TypeVar("T")

_LOGGER = "xmlsocket.server"


class Serve(Generic[T]):
    """What `serve` returns: await it, or use it as an asynchronous context manager."""

    def __init__(
        self,
        listen: Callable[[], Awaitable[list[socket.socket]]],
        start: Callable[[list[socket.socket]], Server[T]],
    ) -> None:
        self._listen = listen
        self._start = start
        self._server: Server[T] | None = None

    async def _serve(self) -> Server[T]:
        listeners = await self._listen()
        try:
            return self._start(listeners)
        except BaseException:
            for listener in listeners:
                unlink_unix(listener)
                listener.close()
            raise

    def __await__(self) -> Generator[Any, None, Server[T]]:
        return self._serve().__await__()

    async def __aenter__(self) -> Server[T]:
        self._server = await self._serve()
        return self._server

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._server is not None
        await self._server.__aexit__(exc_type, exc, traceback)


@overload
def serve(
    handler: Callable[[Connection[etree._Element]], Awaitable[None]],
    host: str | Sequence[str] | None = ...,
    port: int | None = ...,
    *,
    ssl: ssl_module.SSLContext | None = ...,
    max_size: int | None = ...,
    read_limit: int | tuple[int, int] | None = ...,
    write_limit: int | tuple[int, int] | None = ...,
    open_timeout: float | None = ...,
    close_timeout: float | None = ...,
    idle_timeout: float | None = ...,
    limits: Limits = ...,
    skip_empty: bool = ...,
    malformed: Malformed = ...,
    create_connection: type[Connection[etree._Element]] | None = ...,
    logger: Logger | None = ...,
    backlog: int = ...,
    reuse_port: bool = ...,
    sock: socket.socket | Sequence[socket.socket] | None = ...,
    policy: Policy | None = ...,
    websocket: bool | WebSocketOptions = ...,
    sniff_timeout: float = ...,
    trusted_proxies: Iterable[str] = ...,
) -> Serve[etree._Element]: ...


@overload
def serve(
    handler: Callable[[Connection[T]], Awaitable[None]],
    host: str | Sequence[str] | None = ...,
    port: int | None = ...,
    *,
    parse: Callable[[bytes], T],
    ssl: ssl_module.SSLContext | None = ...,
    max_size: int | None = ...,
    read_limit: int | tuple[int, int] | None = ...,
    write_limit: int | tuple[int, int] | None = ...,
    open_timeout: float | None = ...,
    close_timeout: float | None = ...,
    idle_timeout: float | None = ...,
    limits: Limits = ...,
    skip_empty: bool = ...,
    malformed: Malformed = ...,
    create_connection: type[Connection[T]] | None = ...,
    logger: Logger | None = ...,
    backlog: int = ...,
    reuse_port: bool = ...,
    sock: socket.socket | Sequence[socket.socket] | None = ...,
    policy: Policy | None = ...,
    websocket: bool | WebSocketOptions = ...,
    sniff_timeout: float = ...,
    trusted_proxies: Iterable[str] = ...,
) -> Serve[T]: ...


def serve(
    handler: Callable[[Connection[Any]], Awaitable[None]],
    host: str | Sequence[str] | None = None,
    port: int | None = None,
    *,
    parse: Callable[[bytes], Any] = parse_document,
    ssl: ssl_module.SSLContext | None = None,
    max_size: int | None = 2**20,
    read_limit: int | tuple[int, int] | None = 2**20,
    write_limit: int | tuple[int, int] | None = 2**16,
    open_timeout: float | None = 10,
    close_timeout: float | None = 10,
    idle_timeout: float | None = None,
    limits: Limits = Limits(),  # noqa: B008 - frozen
    skip_empty: bool = True,
    malformed: Malformed = "raise",
    create_connection: type[Connection[Any]] | None = None,
    logger: Logger | None = None,
    backlog: int = 1024,
    reuse_port: bool = False,
    sock: socket.socket | Sequence[socket.socket] | None = None,
    policy: Policy | None = None,
    websocket: bool | WebSocketOptions = False,
    sniff_timeout: float = 1.0,
    trusted_proxies: Iterable[str] = (),
) -> Serve[Any]:
    """
    Start a server.

    With ``policy``, ``websocket`` or ``trusted_proxies`` the port looks at the
    first bytes of a connection and serves whoever sent them: a Flash movie that
    asks for the policy, a browser, a proxy that tells whom it speaks for, or a
    client that simply sends documents. The handler starts when that is decided,
    so a client that waits for the server to speak first is kept waiting for
    ``sniff_timeout``; TLS is a matter of ``ssl`` as ever.

    ``handler`` is called with every `Connection`; when it returns, the connection
    is closed. An exception in it is logged and ends its connection only. ::

        async with serve(handler, "127.0.0.1", 9339) as server:
            await server.serve_forever()

    Args:
        handler: A coroutine function that serves one connection.
        host: Address or addresses to listen on; ``None`` for all.
        port: Port to listen on; 0 for a free one, see ``server.sockets``.
        parse: Turns a frame into what `Connection.recv` returns. The default
            makes lxml elements; ``bytes`` gives raw frames, ``bytes.decode``
            text. A ``ValueError`` of it becomes a `DocumentError`.
        ssl: TLS context; ``None`` for plain TCP.
        max_size: Bytes of one frame, delimiter excluded; a larger one ends its
            connection. ``None`` lifts the limit.
        read_limit: Bytes that may wait to be received before reading pauses, as
            a high-water mark (low: a quarter of it) or ``(high, low)``. Each
            frame is charged 128 bytes beyond its length.
        write_limit: Bytes that may wait for the peer before `Connection.send`
            waits, in the same form.
        open_timeout: Seconds for the TLS handshake, and then for the request that
            opens a WebSocket.
        close_timeout: Seconds that closing a connection may take.
        idle_timeout: Seconds without anything but empty frames after which a
            connection is cut.
        limits: The other limits.
        skip_empty: Drop empty frames, which hold no document, and count them.
        malformed: ``"raise"`` `DocumentError` for frames without an acceptable
            document, or ``"skip"`` them, counted and logged at a limited rate.
        create_connection: Subclass of `Connection` to use.
        logger: Where to log; ``logging.getLogger("xmlsocket.server")`` if ``None``.
        backlog: Connections that the system keeps waiting to be accepted.
        reuse_port: Let several processes listen on the port (``SO_REUSEPORT``).
        sock: A listening socket to use instead of ``host`` and ``port``, or several.
        policy: Socket policy to answer ``<policy-file-request/>`` with when it is
            the first thing a client sends.
        websocket: Take WebSockets, with the rules of `WebSocketOptions`; ``True``
            for pages that come from this very host and port. Needs the extra
            ``websocket``.
        sniff_timeout: Seconds that a connection has to show what it carries;
            bytes do not extend them. Silence is taken for documents, half a
            request is closed.
        trusted_proxies: Addresses and networks of proxies, such as
            ``"10.0.0.0/8"``, or ``"unix:"``, whose PROXY header (version 1 or 2)
            and ``X-Forwarded-For`` tell the client's address. From anyone else
            the one is data and the other nothing.

    Returns:
        An object to await, or to use in ``async with``; both give the `Server`.

    Raises:
        OSError: If the address cannot be listened on.
        ValueError: If an option makes no sense.
        PolicyError: When awaited: ``policy`` grants what its port may not.
        ModuleNotFoundError: If ``websocket`` needs an extra that is not installed.

    Source: Flash MX ActionScript dictionary, XMLSocket, for framing; Flash 8,
    Learning ActionScript 2.0, page 706, for ``policy``; RFC 6455 for ``websocket``;
    The PROXY protocol, versions 1 and 2, HAProxy Technologies, for
    ``trusted_proxies``.

    """
    settings = Settings.of(
        parse=parse,
        max_size=max_size,
        read_limit=read_limit,
        write_limit=write_limit,
        open_timeout=open_timeout,
        close_timeout=close_timeout,
        idle_timeout=idle_timeout,
        limits=limits,
        skip_empty=skip_empty,
        malformed=malformed,
        logger=logger,
        default_logger=_LOGGER,
    )
    one_port = OnePort.of(
        policy=policy,
        websocket=websocket,
        sniff_timeout=sniff_timeout,
        trusted_proxies=trusted_proxies,
    )
    if (sock is None) == (port is None):
        raise ValueError("serve() takes either a port or a sock")

    async def listen() -> list[socket.socket]:
        if sock is not None:
            given = [sock] if isinstance(sock, socket.socket) else list(sock)
            for listener in given:
                listener.setblocking(False)
            return given
        return await listen_on(host, port, backlog=backlog, reuse_port=reuse_port)

    def start(listeners: list[socket.socket]) -> Server[Any]:
        if policy is not None:
            for listener in listeners:
                if listener.family != getattr(socket, "AF_UNIX", None):
                    policy.check_port(listener.getsockname()[1])
        return Server(
            handler,
            settings,
            listeners,
            ssl=ssl,
            create_connection=Connection if create_connection is None else create_connection,
            port=one_port,
        )

    return Serve(listen, start)


def unix_serve(
    handler: Callable[[Connection[Any]], Awaitable[None]],
    path: str | os.PathLike[str],
    *,
    backlog: int = 1024,
    **options: Any,
) -> Serve[Any]:
    """
    Start a server on a Unix socket.

    Args:
        handler: A coroutine function that serves one connection.
        path: Where the socket is made; what an earlier server left there is
            replaced, and the socket is removed when the server closes.
        backlog: Connections that the system keeps waiting to be accepted.
        **options: Those of `serve`, without ``host``, ``port`` and ``sock``.

    Returns:
        An object to await, or to use in ``async with``; both give the `Server`.

    Raises:
        OSError: When awaited: if the socket cannot be made, for instance because a file is there.
        ValueError: If an option makes no sense.

    """

    async def listen() -> list[socket.socket]:
        return [bind_unix(path, backlog=backlog)]

    starting = serve(handler, port=0, **options)
    starting._listen = listen
    return starting
