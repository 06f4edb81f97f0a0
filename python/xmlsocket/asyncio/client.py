"""Clients on an event loop: connecting, and connecting again."""

from __future__ import annotations

import asyncio
import os
import ssl as ssl_module
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast, overload

from ..connection import Logger, Malformed, Settings
from ..documents import parse as parse_document
from ..endpoint import format_address, keep_alive
from ..exceptions import WebSocketError
from ..flow import Backoff
from ..limits import Limits
from .connection import Connection
from .loop import LoopShare

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Generator
    from types import TracebackType

    from lxml import etree

__all__ = ["LOGGER", "Connect", "connect", "unix_connect"]

T = TypeVar("T")

LOGGER = "xmlsocket.client"


class Connect(Generic[T]):
    """
    What `connect` returns.

    Await it for a `Connection`, use it in ``async with`` to have the connection
    closed at the end, or in ``async for`` to connect again and again::

        async for connection in connect("127.0.0.1", 9339):
            try:
                async for document in connection: ...
            except ConnectionClosed:
                continue
    """

    def __init__(
        self,
        settings: Settings[T],
        create_connection: type[Connection[T]],
        address: tuple[str | None, int | None] | str,
        *,
        ssl: ssl_module.SSLContext | bool | None,
        kwargs: dict[str, Any],
    ) -> None:
        self._settings = settings
        self._create_connection = create_connection
        self._address = address
        self._ssl = ssl
        self._kwargs = kwargs
        self._connection: Connection[T] | None = None

    async def _open(self, connection: Connection[T]) -> None:
        await self._open_transport(connection)

    async def _open_transport(self, protocol: asyncio.BufferedProtocol) -> asyncio.Transport:
        loop = asyncio.get_running_loop()
        if self._ssl is True:
            # Once: it reads all authorities of the system, while the loop stands.
            self._ssl = ssl_module.create_default_context()
        context = self._ssl or None
        if isinstance(self._address, str):
            transport, _ = await loop.create_unix_connection(
                lambda: protocol, self._address, ssl=context, **self._kwargs
            )
        else:
            # typeshed does not know that a given sock= goes with neither of the two.
            host, port = cast("tuple[str, int]", self._address)
            transport, _ = await loop.create_connection(
                lambda: protocol, host, port, ssl=context, **self._kwargs
            )
        keep_alive(transport.get_extra_info("socket"), self._settings.limits.send_timeout)
        return transport

    async def _connect(self) -> Connection[T]:
        share = LoopShare.of(asyncio.get_running_loop())
        # Made beforehand: with TLS, uvloop returns its own protocol, not ours.
        connection = self._create_connection(self._settings, share)
        timeout = self._settings.open_timeout
        try:
            async with asyncio.timeout(timeout):
                await self._open(connection)
        except TimeoutError as exc:
            if timeout is None or exc.errno is not None:  # the system's own
                raise
            text = f"cannot connect to {self._target()} within open_timeout={timeout} seconds"
            raise TimeoutError(text) from None
        return connection

    def _target(self) -> str:
        """Return what is connected to, for messages."""
        if self._address[0] is None:
            return "the given socket"
        return format_address(self._address)

    def __await__(self) -> Generator[Any, None, Connection[T]]:
        return self._connect().__await__()

    async def __aenter__(self) -> Connection[T]:
        self._connection = await self._connect()
        return self._connection

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._connection is not None
        await self._connection.close()

    async def __aiter__(self) -> AsyncIterator[Connection[T]]:
        """
        Yield a connection; when the loop's body is done with it, close it and connect again.

        Attempts that fail are repeated after growing, random delays, without
        end; so are connections that ended at once. A certificate that does not
        verify is raised: time does not mend it.
        """
        backoff = Backoff()
        while True:
            try:
                connection = await self._connect()
            except (OSError, WebSocketError) as exc:
                delay = backoff.after_failure(exc)
                self._settings.logger.info(
                    "= cannot connect to %s (%s), next attempt in %.1f s",
                    self._target(),
                    exc,
                    delay,
                )
            else:
                try:
                    yield connection
                finally:
                    await connection.close()
                stats = connection.stats
                delay = backoff.after_end(frames_in=stats.frames_in, age=stats.age)
            await asyncio.sleep(delay)


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
) -> Connect[T]: ...


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
) -> Connect[etree._Element]: ...


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
) -> Connect[Any]:
    """
    Connect to a server.

    For one connection, closed at the end::

        async with connect("127.0.0.1", 9339) as connection:
            await connection.send("<hello/>")
            reply = await connection.recv()

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
        read_limit: Bytes that may wait to be received before reading pauses, as
            a high-water mark (low: a quarter of it) or ``(high, low)``. Each
            frame is charged 128 bytes beyond its length.
        write_limit: Bytes that may wait for the peer before `Connection.send`
            waits, in the same form.
        open_timeout: Seconds for resolving, connecting and the TLS handshake
            together.
        close_timeout: Seconds that closing may take.
        idle_timeout: Seconds without anything but empty frames after which the
            connection is cut.
        limits: The other limits.
        skip_empty: Drop empty frames, which hold no document, and count them.
        malformed: ``"raise"`` `DocumentError` for frames without an acceptable
            document, or ``"skip"`` them, counted and logged at a limited rate.
        create_connection: Subclass of `Connection` to use.
        logger: Where to log; ``logging.getLogger("xmlsocket.client")`` if ``None``.
        **kwargs: Handed to the event loop's ``create_connection``:
            ``server_hostname``, ``local_addr``, ``family``, ``sock`` and so on.

    Returns:
        An object to await, or to use in ``async with`` or ``async for``.

    Raises:
        OSError: When awaited: the server cannot be found or reached, or its
            certificate does not verify (``ssl.SSLError`` is an ``OSError``).
        TimeoutError: When awaited: after ``open_timeout`` seconds.
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
        default_logger=LOGGER,
    )

    return Connect(
        settings,
        Connection if create_connection is None else create_connection,
        (host, port),
        ssl=ssl,
        kwargs=kwargs,
    )


def unix_connect(path: str | os.PathLike[str], **options: Any) -> Connect[Any]:
    """
    Connect to a server on a Unix socket.

    Args:
        path: Where the socket is.
        **options: Those of `connect`, without ``host`` and ``port``; ``kwargs``
            are handed to the event loop's ``create_unix_connection``.

    Returns:
        An object to await, or to use in ``async with`` or ``async for``.

    Raises:
        OSError: When awaited: if nobody listens there, or it may not be opened.
        TimeoutError: When awaited: after ``open_timeout`` seconds.
        ValueError: If an option makes no sense.

    """
    connecting = connect(**options)
    connecting._address = os.fspath(path)  # noqa: SLF001 - the one thing that differs
    return connecting
