"""Starting servers with blocking calls."""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING, Any, TypeVar, overload

from ..connection import Logger, Malformed, Settings
from ..documents import parse as parse_document
from ..endpoint import bind, bind_unix, unlink_unix
from ..limits import Limits
from .connection import Connection
from .server import Server

if TYPE_CHECKING:
    import os
    import ssl as ssl_module
    from collections.abc import Callable, Sequence

    from lxml import etree

__all__ = ["serve", "unix_serve"]

T = TypeVar("T")

_LOGGER = "xmlsocket.server"


@overload
def serve(
    handler: Callable[[Connection[etree._Element]], None],
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
    sock: socket.socket | None = ...,
) -> Server[etree._Element]: ...


@overload
def serve(
    handler: Callable[[Connection[T]], None],
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
    sock: socket.socket | None = ...,
) -> Server[T]: ...


def serve(
    handler: Callable[[Connection[Any]], None],
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
    sock: socket.socket | None = None,
) -> Server[Any]:
    """
    Start a server.

    ``handler`` is called with every `Connection`, each in a thread of its own;
    when it returns, the connection is closed. An exception in it is logged and
    ends its connection only. ::

        with serve(handler, "127.0.0.1", 9339) as server:
            server.serve_forever()

    Args:
        handler: A function that serves one connection.
        host: Address or addresses to listen on; ``None`` for all.
        port: Port to listen on; 0 for a free one, see ``server.sockets``.
        parse: Turns a frame into what `Connection.recv` returns. The default
            makes lxml elements; ``bytes`` gives raw frames, ``bytes.decode``
            text. A ``ValueError`` of it becomes a `DocumentError`.
        ssl: TLS context; ``None`` for plain TCP.
        max_size: Bytes of one frame, delimiter excluded; a larger one ends its
            connection. ``None`` lifts the limit.
        read_limit: Bytes that are taken from the system at a time before they
            are received, as a high-water mark or ``(high, low)``, of which low
            means nothing here. Each frame is charged 128 bytes beyond its length.
        write_limit: Checked and otherwise unused, so that the same options do
            for both transports: `Connection.send` returns when the system has
            taken the document, and nothing waits on this side.
        open_timeout: Seconds for the TLS handshake.
        close_timeout: Seconds that closing a connection may take.
        idle_timeout: Seconds of receiving without anything but empty frames
            after which a connection is cut.
        limits: The other limits.
        skip_empty: Drop empty frames, which hold no document, and count them.
        malformed: ``"raise"`` `DocumentError` for frames without an acceptable
            document, or ``"skip"`` them, counted and logged at a limited rate.
        create_connection: Subclass of `Connection` to use.
        logger: Where to log; ``logging.getLogger("xmlsocket.server")`` if ``None``.
        backlog: Connections that the system keeps waiting to be accepted.
        reuse_port: Let several processes listen on the port (``SO_REUSEPORT``).
        sock: A listening socket to use instead of ``host`` and ``port``.

    Returns:
        The server, which accepts connections already.

    Raises:
        OSError: If the address cannot be listened on.
        ValueError: If an option makes no sense.

    Source: Flash MX ActionScript dictionary, XMLSocket: any number of documents on
    one connection, each ended by a zero byte.

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
    if (sock is None) == (port is None):
        raise ValueError("serve() takes either a port or a sock")
    with contextlib.ExitStack() as undo:
        if sock is None:
            listeners = _bind(host, port, backlog=backlog, reuse_port=reuse_port)
            for listener in listeners:
                undo.enter_context(listener)
        else:
            sock.setblocking(False)
            listeners = [sock]
        server = Server(
            handler,
            settings,
            listeners,
            ssl=ssl,
            create_connection=Connection if create_connection is None else create_connection,
        )
        undo.pop_all()
    return server


def _bind(
    host: str | Sequence[str] | None, port: int | None, *, backlog: int, reuse_port: bool
) -> list[socket.socket]:
    hosts = [host] if host is None or isinstance(host, str) else host
    infos: list[Any] = []
    for name in hosts:
        infos += socket.getaddrinfo(
            name or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    return bind(infos, backlog=backlog, reuse_port=reuse_port)


def unix_serve(
    handler: Callable[[Connection[Any]], None],
    path: str | os.PathLike[str],
    *,
    backlog: int = 1024,
    **options: Any,
) -> Server[Any]:
    """
    Start a server on a Unix socket.

    Args:
        handler: A function that serves one connection.
        path: Where the socket is made; what an earlier server left there is
            replaced, and the socket is removed when the server closes.
        backlog: Connections that the system keeps waiting to be accepted.
        **options: Those of `serve`, without ``host``, ``port`` and ``sock``.

    Returns:
        The server, which accepts connections already.

    Raises:
        OSError: If the socket cannot be made, for instance because a file is there.
        ValueError: If an option makes no sense.

    """
    listener = bind_unix(path, backlog=backlog)
    try:
        return serve(handler, sock=listener, **options)
    except BaseException:
        unlink_unix(listener)
        listener.close()
        raise
