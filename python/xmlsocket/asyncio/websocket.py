"""WebSocket clients on an event loop."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar, overload

from ..connection import Logger, Malformed, Settings
from ..documents import parse as parse_document
from ..exceptions import WebSocketError
from ..limits import Limits
from .client import LOGGER, Connect
from .connection import Connection

if TYPE_CHECKING:
    import ssl as ssl_module
    from collections.abc import Callable

    from lxml import etree

    from ..websocket import ClientWebSocket

__all__ = ["connect_websocket"]

T = TypeVar("T")

_ABNORMAL = 1006


class _ConnectWebSocket(Connect[T]):
    """`Connect` with a WebSocket between the transport and the connection."""

    def __init__(
        self,
        settings: Settings[T],
        create_connection: type[Connection[T]],
        make_carrier: Callable[[], ClientWebSocket],
        *,
        ssl: ssl_module.SSLContext | bool | None,
        kwargs: dict[str, Any],
    ) -> None:
        carrier = make_carrier()
        if not carrier.secure and ssl is not None:
            raise ValueError("ssl goes with a wss:// address")
        if carrier.secure and ssl is False:
            raise ValueError("a wss:// address needs TLS, so ssl cannot be False")
        address: tuple[str | None, int | None] = carrier.host, carrier.port
        if kwargs.get("sock") is not None:
            address = None, None
            if carrier.secure:
                kwargs = {"server_hostname": carrier.host} | kwargs
        super().__init__(
            settings,
            create_connection,
            address,
            ssl=(ssl or True) if carrier.secure else None,
            kwargs=kwargs,
        )
        self._make_carrier = make_carrier

    async def _open(self, connection: Connection[T]) -> None:
        # Here, because it takes the extra.
        from .carrier import Upgrade  # noqa: PLC0415

        carrier = self._make_carrier()
        outcome: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()

        def settle(error: Exception | None) -> None:
            if not outcome.done():
                outcome.set_result(error)

        def opened() -> None:
            connection.path = carrier.path
            settle(None)

        def lost(exc: Exception | None) -> None:
            settle(exc or WebSocketError("connection lost before it was open", _ABNORMAL))

        upgrade = Upgrade(
            carrier, connection, opened=opened, refused=lambda: settle(carrier.error), lost=lost
        )
        transport = await self._open_transport(upgrade)
        try:
            error = await outcome
        except BaseException:
            transport.abort()
            raise
        if error is not None:
            transport.abort()
            raise error


# First the one with parse: the other would take it for one of the kwargs.
@overload
def connect_websocket(
    uri: str,
    *,
    origin: str | None = ...,
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
def connect_websocket(
    uri: str,
    *,
    origin: str | None = ...,
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


def connect_websocket(
    uri: str,
    *,
    origin: str | None = None,
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
    Connect to a server by WebSocket, as a browser does. Needs the extra ``websocket``.

    The connection is the same as that of `connect`; documents travel in binary
    messages whose boundaries mean nothing. ::

        async with connect_websocket("wss://play.example.com/chat") as connection:
            await connection.send("<hello/>")

    In ``async for`` it connects again as `connect` does, also when a proxy in
    front of the server answers that it cannot reach it (statuses from 500 on).
    Another refusal is raised: time does not mend it.

    Args:
        uri: ``ws://host[:port]/path``, or ``wss://…`` for TLS.
        origin: ``Origin`` to send, for servers that want one; a program that is
            no browser needs none.
        parse: As for `connect`, and so are the options from here on.
        ssl: TLS context for ``wss://``; the default verifies against the
            system's certificates.
        max_size: Bytes of one frame, delimiter excluded.
        read_limit: Bytes that may wait to be received before reading pauses.
        write_limit: Bytes that may wait for the peer before sending waits.
        open_timeout: Seconds for resolving, connecting, the TLS handshake and
            the server's answer together.
        close_timeout: Seconds that closing may take.
        idle_timeout: Seconds without anything but empty frames after which the
            connection is cut.
        limits: The other limits.
        skip_empty: Drop empty frames, and count them.
        malformed: ``"raise"`` `DocumentError`, or ``"skip"`` such frames.
        create_connection: Subclass of `Connection` to use.
        logger: Where to log; ``logging.getLogger("xmlsocket.client")`` if ``None``.
        **kwargs: Handed to the event loop's ``create_connection``.

    Returns:
        An object to await, or to use in ``async with`` or ``async for``.

    Raises:
        WebSocketError: When awaited: the server refuses; ``code`` is the HTTP
            status it answered with, or 1006 if it spoke no HTTP.
        OSError: When awaited: as for `connect`.
        TimeoutError: When awaited: after ``open_timeout`` seconds.
        ValueError: If ``uri`` is none, or an option makes no sense.
        ModuleNotFoundError: If the extra is not installed.

    Source: RFC 6455; Ruffle, web/src/navigator.rs, for binary messages without a
    subprotocol.

    """
    # Here, because it takes the extra.
    from ..websocket import ClientWebSocket  # noqa: PLC0415

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
    return _ConnectWebSocket(
        settings,
        Connection if create_connection is None else create_connection,
        lambda: ClientWebSocket(uri, max_size=max_size, origin=origin),
        ssl=ssl,
        kwargs=kwargs,
    )
