"""What becomes of a server's connections before they are connections: the one port."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, cast

from ..endpoint import format_address
from ..exceptions import CloseReason
from ..opening import Carrier, Opening
from ..policy import match_request
from ..proxies import TrustedProxies
from ..upgrade import WebSocketOptions
from .reply import Reply

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from ..connection import Counters, Settings
    from ..opening import Opened
    from ..policy import Policy
    from ..websocket import ServerWebSocket
    from .connection import Connection

__all__ = ["OnePort", "Openings"]

# ruff: noqa: SLF001 - connection and opening are parts of one transport

T = TypeVar("T")

_OK: Final = 200

# All openings of all loops take turns with it: what was read is copied at once. A
# PROXY header fits with what follows it.
_ROOM: Final = 2**12


@dataclasses.dataclass(frozen=True, slots=True)
class OnePort:
    """The options of `serve` for ports that carry more than frames, checked."""

    policy: Policy | None
    websocket: WebSocketOptions | None
    sniff_timeout: float
    trusted: TrustedProxies

    @classmethod
    def of(
        cls,
        *,
        policy: Policy | None,
        websocket: bool | WebSocketOptions,
        sniff_timeout: float,
        trusted_proxies: Iterable[str],
    ) -> OnePort | None:
        """
        Check the options; None if a port with them carries frames only.

        Raises:
            ValueError: Naming the option that makes no sense.
            ModuleNotFoundError: If the extra ``websocket`` is wanted and missing.

        """
        if not sniff_timeout > 0:
            raise ValueError(f"sniff_timeout must be positive, not {sniff_timeout!r}")
        options = None
        if websocket:
            from .. import websocket as _  # noqa: F401, PLC0415 - an extra, missed now or never

            options = WebSocketOptions() if websocket is True else websocket
        trusted = TrustedProxies(trusted_proxies)
        if policy is None and options is None and not trusted:
            return None
        return cls(policy, options, sniff_timeout, trusted)


class Openings(Generic[T]):
    """
    Decides what the connections of one server carry.

    Args:
        port: What they may carry.
        settings: The server's.
        make: Makes a connection.
        counters: The server's.

    """

    def __init__(
        self,
        port: OnePort,
        settings: Settings[T],
        make: Callable[[], Connection[T]],
        counters: Counters,
    ) -> None:
        self.port = port
        self.settings = settings
        self.make = make
        self.counters = counters
        self.view: memoryview[int] = memoryview(bytearray(_ROOM))
        self.closed: bool = False
        self._undecided: set[Entry[T]] = set()

    def entry(self, peer: Any) -> Entry[T]:
        """Return the protocol for a connection that was accepted from the address ``peer``."""
        entry = Entry(self, peer)
        self._undecided.add(entry)
        return entry

    def decided(self, entry: Entry[T]) -> None:
        """Note that ``entry`` has come to its end, or to its last words."""
        self._undecided.discard(entry)

    def close(self) -> None:
        """Cut those who have not said what they want; last words still go."""
        self.closed = True
        for entry in tuple(self._undecided):
            entry.abort()


class Entry(asyncio.BufferedProtocol, Generic[T]):
    """One accepted connection until it is decided what it carries."""

    def __init__(self, openings: Openings[T], peer: Any) -> None:
        loop = asyncio.get_running_loop()
        self._openings = openings
        self._peer = peer
        self._loop = loop
        self._outcome: asyncio.Future[Connection[T] | None] = loop.create_future()
        self._timer: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport | None = None
        self._carrier: ServerWebSocket
        self._began = 0.0

    async def wait(self) -> Connection[T] | None:
        """Wait for the connection, or for None if there will be none."""
        try:
            return await self._outcome
        finally:
            if not self._outcome.done() or self._outcome.cancelled():
                self.abort()

    def abort(self) -> None:
        """Give up."""
        self._openings.decided(self)
        if self._transport is not None:
            self._transport.abort()

    # Deciding

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the clock, which what comes does not put back."""
        openings = self._openings
        port = openings.port
        self._transport = cast("asyncio.Transport", transport)
        # The transport's, as long as it knows one: it keeps that anyway.
        self._peer = transport.get_extra_info("peername") or self._peer
        self._opening = Opening(
            self._peer,
            match_policy=None if port.policy is None else match_request,
            websocket=port.websocket is not None,
            trusted=port.trusted,
        )
        if openings.closed:
            self.abort()
            return
        self._began = self._loop.time()
        self._timer = self._loop.call_later(port.sniff_timeout, self._on_silence)
        # Behind a port for frames and proxies, whoever is no proxy is decided now.
        self._take(self._opening.feed(b""))

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002
        """Lend a little memory."""
        return self._openings.view

    def buffer_updated(self, nbytes: int) -> None:
        """Look at the bytes that came."""
        self._take(self._opening.feed(self._openings.view[:nbytes]))

    def _on_silence(self) -> None:
        opened = self._opening.on_silence()
        self._take(opened, "timeout")
        if opened.carrier is Carrier.FRAMES and self._openings.port.websocket is not None:
            assert self._transport is not None
            connection = self._transport.get_protocol()
            if not opened.data and not self._transport.is_closing():
                self._transport.set_protocol(_Spare(cast("Connection[T]", connection), self))

    def eof_received(self) -> bool | None:
        """Decide with what there is: no more will come."""
        assert self._transport is not None
        # asyncio's TLS tells it after an abort too.
        if self._transport.is_closing() or self._opening.is_probe:
            return False
        self._take(self._opening.on_silence(), "incomplete")
        successor = self._transport.get_protocol()
        if successor is self or self._transport.is_closing():
            return False
        return cast("asyncio.BufferedProtocol", successor).eof_received()

    def _take(self, opened: Opened | None, cause: str = "proxy_header") -> None:
        if opened is None:
            return
        if opened.carrier is Carrier.WEBSOCKET:
            self._upgrade(opened)
            return
        self._end_opening()
        if opened.carrier is Carrier.FRAMES:
            self._carry_frames(opened)
        elif opened.carrier is Carrier.POLICY_REQUEST:
            self._answer_policy()
        else:
            self._refuse(cause, opened.reason)
            self.abort()

    def _refuse(self, cause: str, why: str) -> None:
        self._openings.counters.refused[cause] += 1
        self._openings.settings.logger.debug(
            "= no connection from %s: %s", format_address(self._peer), why
        )

    def late_request(self) -> None:
        """Count a browser's request on a connection that was taken for frames."""
        self._refuse("timeout", "HTTP request after a silence")

    # What they carry

    def _carry_frames(self, opened: Opened) -> None:
        assert self._transport is not None
        connection = self._openings.make()
        connection._peer = opened.source or self._peer
        self._transport.set_protocol(connection)
        connection.connection_made(self._transport)
        self._settle(connection)
        if opened.data:
            size = len(opened.data)
            connection.get_buffer(size)[:size] = opened.data
            connection.buffer_updated(size)

    def _answer_policy(self) -> None:
        policy = self._openings.port.policy
        assert policy is not None
        self._openings.counters.policy_requests += 1
        self._reply([policy.reply])

    def _reply(self, data: Sequence[bytes]) -> None:
        assert self._transport is not None
        timeout = self._openings.settings.close_timeout
        Reply(self._transport, data, timeout=timeout, lost=self.connection_lost)

    def _upgrade(self, opened: Opened) -> None:
        # Here, because it takes the extra.
        from ..websocket import ServerWebSocket  # noqa: PLC0415
        from .carrier import Upgrade  # noqa: PLC0415

        assert self._transport is not None
        self._stop_timer()
        openings = self._openings
        carrier = ServerWebSocket(
            openings.port.websocket,
            max_size=openings.settings.max_size,
            peer=opened.source or self._peer,
            trusted=openings.port.trusted,
        )
        self._carrier = carrier
        connection = openings.make()
        upgrade = Upgrade(
            carrier,
            connection,
            opened=lambda: self._opened(connection),
            refused=self._refused,
            lost=self.connection_lost,
        )
        timeout = openings.settings.open_timeout
        if timeout is not None:
            self._timer = self._loop.call_at(self._began + timeout, self._on_late_request)
        self._transport.set_protocol(upgrade)
        upgrade.connection_made(self._transport)
        upgrade.receive(opened.data)

    def _on_late_request(self) -> None:
        self._refuse("timeout", "HTTP request not completed in time")
        self.abort()

    def _opened(self, connection: Connection[T]) -> None:
        self._end_opening()
        self._openings.counters.websockets += 1
        connection.path = self._carrier.path
        connection._peer = self._carrier.peer
        self._settle(connection)

    def _refused(self) -> None:
        self._end_opening()
        carrier = self._carrier
        data = carrier.data_to_send()
        if carrier.status is None:
            return  # the peer has left
        if carrier.status != _OK:
            self._refuse(f"http_{carrier.status}", "no WebSocket")
        self._reply(data)

    # The end

    def _end_opening(self) -> None:
        self._openings.decided(self)
        self._stop_timer()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _settle(self, connection: Connection[T] | None) -> None:
        if not self._outcome.done():
            self._outcome.set_result(connection)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - no connection, no reason
        """Note that there will be no connection."""
        if self._opening.is_probe:
            self._openings.settings.logger.debug(
                "= health check of the proxy %s", format_address(self._peer)
            )
        self._end_opening()
        self._settle(None)


class _Spare(asyncio.BufferedProtocol):
    """
    Stands before a connection that was silent until it says something.

    Browsers open connections to spare and may ask on one of them later. Taken for
    XML frames, the request would wait for an answer until the end of
    ``Limits.message_timeout``; closed at once, the browser asks anew on another.
    """

    __slots__ = ("_connection", "_entry")

    def __init__(self, connection: Connection[Any], entry: Entry[Any]) -> None:
        self._connection = connection
        self._entry = entry

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._connection.get_buffer(sizehint)

    def buffer_updated(self, nbytes: int) -> None:
        connection = self._connection
        if bytes(connection.get_buffer(nbytes)[: min(nbytes, 4)]) == b"GET ":
            self._entry.late_request()
            connection._cut(CloseReason.WEBSOCKET_ERROR)
            return
        connection._transport.set_protocol(connection)
        connection.buffer_updated(nbytes)

    def pause_writing(self) -> None:
        self._connection.pause_writing()

    def resume_writing(self) -> None:
        self._connection.resume_writing()

    def eof_received(self) -> bool:
        return self._connection.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._connection.connection_lost(exc)
