"""Clients with blocking calls: connecting, and connecting again."""

from __future__ import annotations

import logging
import os
import socket
import ssl as ssl_module
import time
from typing import TYPE_CHECKING, Any, TypeVar, overload

from ..connection import Logger, Malformed, Settings
from ..documents import parse as parse_document
from ..endpoint import format_address, keep_alive
from ..flow import Backoff
from ..limits import Limits
from .connection import Connection
from .stream import Stream, remaining
from .tls import TLSStream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lxml import etree

__all__ = ["connect", "reconnect", "unix_connect"]

T = TypeVar("T")

_LOGGER = "xmlsocket.client"


# First the one with parse: the other would take it for one of the kwargs.
@overload
def connect(
    host: str | None = ...,
    port: int | None = ...,
    *,
    parse: Callable[[bytes], T],
    ssl: ssl_module.SSLContext | bool | None = ...,
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
    **kwargs: Any,
) -> Connection[T]: ...


@overload
def connect(
    host: str | None = ...,
    port: int | None = ...,
    *,
    ssl: ssl_module.SSLContext | bool | None = ...,
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
    **kwargs: Any,
) -> Connection[etree._Element]: ...


def connect(
    host: str | None = None,
    port: int | None = None,
    *,
    parse: Callable[[bytes], Any] = parse_document,
    ssl: ssl_module.SSLContext | bool | None = None,
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
    **kwargs: Any,
) -> Connection[Any]:
    """
    Connect to a server.

    As a context manager the connection is closed at the end::

        with connect("127.0.0.1", 9339) as connection:
            connection.send("<hello/>")
            reply = connection.recv()

    Args:
        host: Name or address of the server.
        port: Its port.
        parse: Turns a frame into what `Connection.recv` returns. The default
            makes lxml elements; ``bytes`` gives raw frames, ``bytes.decode``
            text. A ``ValueError`` of it becomes a `DocumentError`.
        ssl: TLS context, or ``True`` for one that verifies against the system's
            certificates; ``None`` for plain TCP.
        max_size: Bytes of one frame, delimiter excluded; a larger one ends the
            connection. ``None`` lifts the limit.
        read_limit: Bytes that are taken from the system at a time before they
            are received, as a high-water mark or ``(high, low)``, of which low
            means nothing here. Each frame is charged 128 bytes beyond its length.
        write_limit: Checked and otherwise unused, so that the same options do
            for both transports: `Connection.send` returns when the system has
            taken the document, and nothing waits on this side.
        open_timeout: Seconds for connecting and the TLS handshake together.
            Resolving a name cannot be interrupted and is not cut short.
        close_timeout: Seconds that closing may take.
        idle_timeout: Seconds of receiving without anything but empty frames
            after which the connection is cut.
        limits: The other limits.
        skip_empty: Drop empty frames, which hold no document, and count them.
        malformed: ``"raise"`` `DocumentError` for frames without an acceptable
            document, or ``"skip"`` them, counted and logged at a limited rate.
        create_connection: Subclass of `Connection` to use.
        logger: Where to log; ``logging.getLogger("xmlsocket.client")`` if ``None``.
        **kwargs: ``source_address`` as in ``socket.create_connection``,
            ``server_hostname`` for the certificate if it is not ``host``, or a
            connected ``sock`` instead of ``host`` and ``port``.

    Returns:
        The open connection.

    Raises:
        OSError: If the server cannot be found or reached, or its certificate
            does not verify (``ssl.SSLError`` is an ``OSError``).
        TimeoutError: After ``open_timeout`` seconds.
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
    return _connect(
        settings,
        Connection if create_connection is None else create_connection,
        host,
        port,
        context=ssl_module.create_default_context() if ssl is True else ssl or None,
        **kwargs,
    )


def unix_connect(path: str | os.PathLike[str], **options: Any) -> Connection[Any]:
    """
    Connect to a server on a Unix socket.

    Args:
        path: Where the socket is.
        **options: Those of `connect`, without ``host`` and ``port``.

    Returns:
        The open connection.

    Raises:
        OSError: If nobody listens there, or it may not be opened.
        TimeoutError: After ``open_timeout`` seconds.
        ValueError: If an option makes no sense.

    """
    return connect(path=os.fspath(path), **options)


def _connect(
    settings: Settings[T],
    create_connection: type[Connection[T]],
    host: str | None,
    port: int | None,
    *,
    context: ssl_module.SSLContext | None,
    path: str | None = None,
    sock: socket.socket | None = None,
    source_address: tuple[str, int] | None = None,
    server_hostname: str | None = None,
) -> Connection[T]:
    if sock is None and path is None and port is None:
        raise ValueError("connect() takes either a host and a port or a sock")
    timeout = settings.open_timeout
    deadline = None if timeout is None else time.monotonic() + timeout
    try:
        if sock is None:
            if path is None:
                sock = _connect_tcp(host, port, source_address, deadline)
            else:
                sock = _connect_to(socket.AF_UNIX, 0, path, None, deadline)
        try:
            keep_alive(sock, settings.limits.send_timeout)
            if context is None:
                return create_connection(settings, Stream(sock))
            stream = TLSStream(sock, context, server_hostname=server_hostname or host)
            stream.handshake(deadline)
            return create_connection(settings, stream)
        except BaseException:
            sock.close()
            raise
    except TimeoutError as exc:
        if exc.errno is not None:  # the system's own
            raise
        target = _name(host, port, path)
        text = f"cannot connect to {target} within open_timeout={timeout} seconds"
        raise TimeoutError(text) from None


def _name(host: str | None, port: int | None, path: str | None = None) -> str:
    """Return what to call the server in a message."""
    if path is not None:
        return format_address(path)
    return "the given socket" if port is None else format_address((host or "localhost", port))


def _connect_tcp(
    host: str | None,
    port: int | None,
    source_address: tuple[str, int] | None,
    deadline: float | None,
) -> socket.socket:
    """
    Connect to the first address of ``host`` that answers.

    Not ``socket.create_connection``, whose timeout is that of one address, and
    names such as localhost have two.
    """
    failures: list[OSError] = []
    for family, _, proto, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        try:
            return _connect_to(family, proto, address, source_address, deadline)
        except TimeoutError:
            raise
        except OSError as exc:
            failures.append(exc)
    try:
        raise failures[0]
    finally:
        failures.clear()  # or the exception and this frame keep each other alive


def _connect_to(
    family: int, proto: int, address: Any, source_address: Any, deadline: float | None
) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM, proto)
    try:
        if source_address is not None:
            sock.bind(source_address)
        sock.settimeout(remaining(deadline))
        sock.connect(address)
    except BaseException:
        sock.close()
        raise
    return sock


@overload
def reconnect(
    host: str | None = ...,
    port: int | None = ...,
    *,
    parse: Callable[[bytes], T],
    **options: Any,
) -> Iterator[Connection[T]]: ...


@overload
def reconnect(
    host: str | None = ..., port: int | None = ..., **options: Any
) -> Iterator[Connection[etree._Element]]: ...


def reconnect(
    host: str | None = None, port: int | None = None, **options: Any
) -> Iterator[Connection[Any]]:
    """
    Connect again and again.

    Yields a connection; when the loop's body is done with it, closes it and
    connects again::

        for connection in reconnect("127.0.0.1", 9339):
            try:
                for document in connection: ...
            except ConnectionClosed:
                continue

    Attempts that fail are repeated after growing, random delays, without end;
    so are connections that ended at once. A certificate that does not verify is
    raised: time does not mend it.

    Args:
        host: Name or address of the server.
        port: Its port.
        **options: Those of `connect`.

    Yields:
        An open connection.

    Raises:
        ssl.SSLCertVerificationError: If the server's certificate does not verify.
        ValueError: If an option makes no sense.

    """
    logger = options.get("logger") or logging.getLogger(_LOGGER)
    backoff = Backoff()
    while True:
        try:
            connection = connect(host, port, **options)
        except OSError as exc:
            delay = backoff.after_failure(exc)
            logger.info(
                "= cannot connect to %s (%s), next attempt in %.1f s",
                _name(host, port),
                exc,
                delay,
            )
        else:
            with connection:
                yield connection
            stats = connection.stats
            delay = backoff.after_end(frames_in=stats.frames_in, age=stats.age)
        time.sleep(delay)
