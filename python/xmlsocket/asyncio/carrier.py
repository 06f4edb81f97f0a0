"""WebSocket below a connection: shows it a transport, and is the protocol of the real one."""

from __future__ import annotations

import asyncio
import collections
from typing import TYPE_CHECKING, Any, Final, cast

from ..exceptions import CloseReason
from ..websocket import ServerWebSocket, binary_message
from .linger import LINGER_TIME, Linger
from .rest import take_rest

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..websocket import WebSocket
    from .connection import Connection

__all__ = ["Upgrade", "WebSocketTransport"]

# ruff: noqa: SLF001 - connection and carrier are parts of one transport

# A peer's messages may be as short as two bytes, and each becomes objects of many
# times its size before its payload is counted, so little is read at a time.
_READ_SIZE: Final = 2**13

# Boundaries mean nothing, so what is written at once is cut to messages that any
# peer takes: `websocket.FRAGMENT_MIN` is what a carrier of ours has to.
_MESSAGE_SIZE: Final = 2**16


class _LastMessage:
    """
    Makes messages of payload, and remembers the last one.

    A broadcast hands the same bytes to one connection after the other.
    """

    __slots__ = ("_made",)

    def __init__(self) -> None:
        self._made = (b"", binary_message(b""))

    def __call__(self, payload: bytes) -> bytes:
        # One tuple, replaced as a whole: loops of several threads share it.
        made = self._made
        if made[0] != payload:
            made = self._made = (payload, binary_message(payload))
        return made[1]


_message = _LastMessage()


class WebSocketTransport(asyncio.Transport, asyncio.BufferedProtocol):
    """
    The transport of a connection that a WebSocket carries.

    Args:
        transport: The real transport, whose protocol this becomes.
        carrier: The WebSocket; open.
        connection: What is carried.

    """

    def __init__(
        self, transport: asyncio.Transport, carrier: WebSocket, connection: Connection[Any]
    ) -> None:
        super().__init__()
        self._transport = transport
        self._carrier = carrier
        self._connection = connection
        self._wrap = _message if isinstance(carrier, ServerWebSocket) else carrier.wrap
        self._room = connection.get_buffer(-1)
        self._view = self._room[:_READ_SIZE]
        # Payload that came with the read after which the connection wanted no more.
        self._pending: collections.deque[bytes] = collections.deque()
        self._reading_paused = False
        self._writing_paused = False
        self._closing = False
        self._timer: asyncio.TimerHandle | None = None
        transport.set_protocol(self)
        connection.connection_made(self)

    # The connection's side

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return what the real transport knows."""
        return self._transport.get_extra_info(name, default)

    def is_closing(self) -> bool:
        """Tell whether the end has begun, on this side or below."""
        return self._closing or self._transport.is_closing()

    def pause_reading(self) -> None:
        """Hand the connection nothing more."""
        self._reading_paused = True
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Go on with what is pending, then with reading."""
        self._reading_paused = False
        # Not now: the connection is in the middle of taking frames.
        asyncio.get_running_loop().call_soon(self._go_on)

    def _go_on(self) -> None:
        self._deliver()
        if not (self._reading_paused or self._transport.is_closing()):
            self._transport.resume_reading()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send ``data`` as binary messages; after the end of the WebSocket drop it."""
        if not self._carrier.is_open:
            return
        data = bytes(data)
        if len(data) <= _MESSAGE_SIZE:
            self._transport.write(self._wrap(data))
            return
        pieces = (data[at : at + _MESSAGE_SIZE] for at in range(0, len(data), _MESSAGE_SIZE))
        self._transport.write(b"".join(map(self._wrap, pieces)))

    def can_write_eof(self) -> bool:
        """Tell that a WebSocket has no half-closed state."""
        return False

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Set the limits of the real transport."""
        self._transport.set_write_buffer_limits(high, low)

    def get_write_buffer_size(self) -> int:
        """Return what waits in the real transport, headers of messages included."""
        return self._transport.get_write_buffer_size()

    def close(self) -> None:
        """Say why in a close frame, wait a moment for the peer's, and close."""
        self._closing = True
        self._pending.clear()
        self._carrier.close(self._reason())
        self._send_control()
        if self._carrier.finished:
            self._hang_up()
        elif not self._transport.is_closing():
            self._end_within(LINGER_TIME)
            self._transport.resume_reading()

    def abort(self) -> None:
        """Close at once; a peer that is cut off for a reason is told it if it reads."""
        self._closing = True
        self._pending.clear()
        reason = self._reason()
        if reason is CloseReason.LOCAL or not self._carrier.is_open or self._writing_paused:
            self._transport.abort()
            return
        self._carrier.close(reason)
        self._send_control()
        self._end_within(LINGER_TIME)
        self._transport.close()

    def _reason(self) -> CloseReason:
        return self._connection.close_reason or CloseReason.LOCAL

    def _end_within(self, seconds: float) -> None:
        self._stop_timer()
        self._timer = asyncio.get_running_loop().call_later(seconds, self._time_is_up)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _time_is_up(self) -> None:
        if self._writing_paused or self._transport.is_closing():
            # A peer that does not read would keep a closing transport for ever.
            self._transport.abort()
        else:
            self._end_within(LINGER_TIME)
            self._transport.close()

    def _hang_up(self) -> None:
        """Close the real transport, now that both sides have said their last."""
        self._stop_timer()
        if self._transport.is_closing():
            return
        if self._carrier.error is not None and self._transport.can_write_eof():
            # The peer is not at its end and may be sending still.
            Linger(self._transport, self._connection.connection_lost)
        else:
            self._end_within(LINGER_TIME)
            self._transport.close()

    # The real transport's side

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - see _READ_SIZE
        """Lend a part of the read buffer that all connections of this loop share."""
        return self._view

    def buffer_updated(self, nbytes: int) -> None:
        """Take what was read."""
        self.take(self._carrier.receive_data(bytes(self._view[:nbytes])))

    def take(self, payload: list[bytes]) -> None:
        """Hand on what the carrier has made of a read, and see what became of it."""
        self._connection._carry(self._carrier.buffered)
        self._send_control()
        if self._closing:
            if self._carrier.finished:
                self._hang_up()
            return
        self._pending += payload
        self._deliver()

    def _deliver(self) -> None:
        """Give the connection what is pending, as far as it wants, and then the end."""
        connection, pending = self._connection, self._pending
        while not (self._reading_paused or self._closing):
            if pending:
                data = pending.popleft()
                part = data[: len(self._room)]
                if len(data) > len(part):
                    pending.appendleft(data[len(part) :])
                self._room[: len(part)] = part
                connection.buffer_updated(len(part))
            elif self._carrier.finished:
                self._end()
                return
            else:
                return

    def _end(self) -> None:
        """Tell the connection that no more will come, and close."""
        error = self._carrier.error
        if error is not None:
            # It closes this transport when what it has written is gone.
            self._connection._finish(CloseReason.WEBSOCKET_ERROR, error, linger=False)
            return
        self._closing = True
        self._connection.eof_received()
        self._hang_up()

    def _send_control(self) -> None:
        """Write what the carrier has to say, if the peer takes anything."""
        if not self._writing_paused:
            data = b"".join(self._carrier.data_to_send())
            if data:
                self._transport.write(data)

    def pause_writing(self) -> None:
        """Keep pongs back, and let the connection queue."""
        self._writing_paused = True
        self._connection.pause_writing()

    def resume_writing(self) -> None:
        """Write what was kept back."""
        self._writing_paused = False
        self._send_control()
        if not self._writing_paused:
            self._connection.resume_writing()

    def eof_received(self) -> bool:
        """Take the end of the stream, which is an error unless both had said goodbye."""
        self._take_rest()
        self._carrier.receive_eof()
        self.take([])
        return False

    def _take_rest(self) -> None:
        take_rest(self._transport, self, lambda: not self._closing)

    def connection_lost(self, exc: Exception | None) -> None:
        """Pass it on, after what the connection had no room for."""
        self._stop_timer()
        if not self._connection._input_over:
            self._take_rest()
            if exc is None:
                self._carrier.receive_eof()  # uvloop's TLS has not told it
            # TLS ends while reading is paused, too.
            self._reading_paused = False
            self._deliver()
        self._closing = True
        if self._carrier.finished and not self._pending:
            exc = None  # after its goodbye a peer may hang up as it likes
        self._pending.clear()
        self._connection.connection_lost(exc)


class Upgrade(asyncio.BufferedProtocol):
    """
    Has a transport while the WebSocket on it opens.

    Args:
        carrier: The WebSocket.
        connection: What it is to carry.
        opened: Called when it has opened, before the connection begins.
        refused: Called when it will not; ``carrier`` tells why.
        lost: Called with ``connection_lost``'s argument while neither was.

    """

    def __init__(
        self,
        carrier: WebSocket,
        connection: Connection[Any],
        *,
        opened: Callable[[], None],
        refused: Callable[[], None],
        lost: Callable[[Exception | None], None],
    ) -> None:
        self._carrier = carrier
        self._connection = connection
        self._opened = opened
        self._refused = refused
        self._view = connection.get_buffer(-1)[:_READ_SIZE]
        self._transport: asyncio.Transport
        self._lost = lost

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the request, if this is the client's side."""
        self._transport = cast("asyncio.Transport", transport)
        data = b"".join(self._carrier.data_to_send())
        if data:
            self._transport.write(data)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - see _READ_SIZE
        """Lend a part of the read buffer that all connections of this loop share."""
        return self._view

    def buffer_updated(self, nbytes: int) -> None:
        """Take what was read."""
        self.receive(bytes(self._view[:nbytes]))

    def receive(self, data: bytes) -> None:
        """Take bytes of the opening, and what may follow them."""
        payload = self._carrier.receive_data(data)
        if self._carrier.has_opened:
            self._opened()
            WebSocketTransport(self._transport, self._carrier, self._connection).take(payload)
        elif self._carrier.finished:
            self._refused()

    def eof_received(self) -> bool:
        """Note that the peer has left."""
        self._carrier.receive_eof()
        self._refused()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Pass it on."""
        self._lost(exc)
