"""A connection on an event loop: the read path, the write path, and how it ends."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar, cast

from ..connection import Settings, to_frame
from ..endpoint import drop_unsent
from ..exceptions import (
    CloseReason,
    ConcurrencyError,
    ConnectionClosed,
    ConnectionClosedOK,
    DocumentError,
    FrameTooBig,
    IncompleteFrame,
)
from ..flow import Pace
from .arrival import Arrival
from .linger import LINGER_SIZE, ON_ITS_WAY, Linger
from .output import CLOSED, QUEUE, WAIT, WRITE, Output
from .rest import send_rest, take_rest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable

    from ..connection import Document
    from .loop import LoopShare
    from .server import Server

__all__ = ["CUT", "MEMORY", "Connection", "broadcast", "broadcast_frame"]

# ruff: noqa: SLF001 - connection, loop share and server are parts of one transport

T = TypeVar("T")

# Why reading stays paused although the application could take more.
MEMORY: Final = 1
RATE: Final = 2
CUT: Final = 4  # for its memory, for good


class Connection(Output[T], asyncio.BufferedProtocol):
    """
    One XMLSocket connection: documents in, documents out.

    Made by `connect` and `serve`. Iterating over it yields the documents that
    arrive, as ``parse`` returns them::

        async for document in connection:
            await connection.send(document)

    All methods belong to the event loop's thread.

    Attributes:
        id: A number that names this connection in logs; unique in the process.
        path: Path of the request that opened a WebSocket, without its query;
            empty on TCP.
        close_reason: Why no more documents arrive; ``None`` while they may.

    Source: Flash MX ActionScript dictionary, XMLSocket: any number of documents on
    one connection, each ended by a zero byte.

    """

    __slots__ = (
        "_arrival",
        "_brakes",
        "_ending",
        "_input_over",
        "_lost",
        "_pace",
        "_quantum",
        "_raw",
        "_reading_paused",
        "_server",
        "_taken",
        "_view",
    )

    # On the class: they differ for WebSockets and behind proxies only.
    path: str = ""
    _peer: Any = None

    def __init__(
        self, settings: Settings[T], share: LoopShare, server: Server[T] | None = None
    ) -> None:
        super().__init__(settings, share)
        self._server = server
        self._view = self._decoder.get_buffer(-1)
        self._raw = settings.parse is cast("Any", bytes)
        self._arrival = Arrival(share.loop)
        self._reading_paused = False
        self._brakes = 0
        rate = settings.limits.frame_rate
        self._pace = None if rate is None else Pace(rate, self._opened)
        self._input_over = False
        self._taken = 0
        self._quantum = settings.limits.quantum or sys.maxsize
        # The end
        self._ending: Literal["close", "linger"] | None = None
        self._lost: asyncio.Future[None] | bool = False

    # What it is

    @property
    def local_address(self) -> Any:
        """This side's address: ``(host, port)``, more for IPv6, a path for Unix sockets."""
        return self._transport.get_extra_info("sockname")

    @property
    def remote_address(self) -> Any:
        """
        The peer's address: ``(host, port)``, more for IPv6, a path for Unix sockets.

        Behind trusted proxies it is the client's, with port 0 where a proxy did
        not tell it.
        """
        return self._peer or self._transport.get_extra_info("peername")

    # Receiving

    async def recv(self) -> T:
        """
        Receive the next document.

        Cancelling it loses nothing: the document stays for the next call.

        Returns:
            What ``parse`` makes of the frame: an element by default, ``bytes``
            with ``parse=bytes``.

        Raises:
            ConnectionClosedOK: When the peer ended its stream between two
                frames, or this side closed.
            ConnectionClosedError: When the connection ended out of order.
                Documents that came before are delivered first.
            DocumentError: If the frame holds no document and ``malformed`` is
                ``"raise"``. The connection stays open; the next call goes on
                with the next frame.
            ConcurrencyError: If another call is waiting already.

        """
        while True:
            if not self._ready:
                await self._fill()
            frame = self._ready.pop()
            if self._raw:
                return frame  # type: ignore[return-value]
            try:
                return self._parsed(frame)
            except DocumentError as exc:
                if not self._skips(exc):
                    raise

    async def __aiter__(self) -> AsyncIterator[T]:
        """
        Iterate over the documents that arrive.

        Ends when the connection ends in order (`ConnectionClosedOK`); raises
        `ConnectionClosedError` when it does not, and `DocumentError` as `recv`
        does. Leaving the loop loses nothing: a new one goes on with the next
        document.
        """
        # recv() once more, without its coroutine, which is half of its cost.
        ready = self._ready
        try:
            if self._raw:
                while True:
                    if not ready:
                        await self._fill()
                    yield ready.pop()  # type: ignore[misc]
            while True:
                yield await self.recv()
        except ConnectionClosedOK:
            return

    async def batches(self) -> AsyncIterator[list[bytes]]:
        """
        Iterate over raw frames, all that have arrived at a time.

        The quickest way to receive: no parsing, and nothing is done for the
        single frame. A list is never empty, holds at most ``read_limit`` plus
        what one read completes, and is the caller's to keep.

        Ends and raises as iterating over the connection does.
        """
        try:
            while True:
                while not (self._ready or self._arrived):
                    await self._next_arrival()
                frames = self._take_all()
                if self._reading_paused:
                    self._maybe_resume_reading()
                yield frames
        except ConnectionClosedOK:
            return

    async def _fill(self) -> None:
        """See to it that a frame is ready, or raise what ended the connection."""
        while not self._ready:
            if not self._arrived:
                await self._next_arrival()
            elif self._taken >= self._quantum:
                # The other connections get their turn.
                self._taken = 0
                await asyncio.sleep(0)
                continue
            self._refill()
            self._taken += len(self._ready)
            if self._reading_paused:
                self._maybe_resume_reading()

    def _next_arrival(self) -> Arrival:
        """
        Return what to await for a change, or raise what ended the connection.

        No coroutine: its frame would be memory that every idle connection holds.
        """
        if self._arrival.awaited:
            raise ConcurrencyError("two calls wait for the next document of one connection")
        if self._input_over:
            raise self._closed()
        if self._outbox.charge:
            # The application has nothing left to do, so nothing more will join
            # what it has written in this turn.
            self._flush()
        self._taken = 0
        return self._arrival

    def _wake(self) -> None:
        self._arrival.tell_soon()

    def _maybe_resume_reading(self) -> None:
        if self._brakes or self._input_over:
            return
        if self._charge <= self._settings.read_limit.low:
            self._reading_paused = False
            self._transport.resume_reading()

    def _brake(self, cause: int) -> None:
        """Pause reading, whatever the application takes, until `_let_go`."""
        self._brakes |= cause
        if not self._input_over:
            self._pause_reading()

    def _let_go(self, cause: int) -> None:
        """Read again, unless there is another cause not to."""
        if self._brakes & cause:
            self._brakes &= ~cause
            if self._reading_paused:
                self._maybe_resume_reading()

    # Ending

    async def close(self) -> None:
        """
        Send what is queued, then close.

        Documents that have arrived and were not received are dropped. Waits
        until the connection is closed; after ``close_timeout`` seconds it is
        aborted. Closing twice does no harm.
        """
        self._close(CloseReason.LOCAL)
        try:
            async with asyncio.timeout(self._settings.close_timeout):
                await self.wait_closed()
        except TimeoutError:
            self._transport.abort()
            await self.wait_closed()

    def abort(self) -> None:
        """Close at once; what is queued in either direction is lost."""
        self._drop_queue()
        self._cut(CloseReason.LOCAL)

    async def wait_closed(self) -> None:
        """
        Wait until the connection is closed, whoever closes it.

        That the peer has ended its stream does not close it, as this side may
        still send: a handler that does nothing but wait here waits on.
        """
        loss = self._loss()
        if loss is not None:
            await asyncio.shield(loss)

    def _when_lost(self, callback: Callable[[Connection[T]], None]) -> bool:
        """Call ``callback`` when the connection is closed; tell whether it is not closed yet."""
        loss = self._loss()
        if loss is None:
            return False
        loss.add_done_callback(lambda _: callback(self))
        return True

    def _loss(self) -> asyncio.Future[None] | None:
        """Return what is done when the connection is closed; None if it is."""
        if self._lost is True:
            return None
        if self._lost is False:
            self._lost = self._share.loop.create_future()
        return self._lost

    def _close(self, reason: CloseReason) -> None:
        """Drop what has arrived, send what is queued, then close."""
        if self._ending is None and self._lost is not True:
            unread = self._reading_paused or self._queued_in() > 0 or self._decoder.buffered > 0
            self._drop_queue()
            # A server that closes has stopped to read, not the peer to send.
            deaf = self.close_reason is CloseReason.SERVER_CLOSE
            self._finish(reason, linger=unread and (deaf or not self._input_over))

    def _finish(
        self, reason: CloseReason, cause: BaseException | None = None, *, linger: bool
    ) -> None:
        """
        End both directions: no more input, no more sends, flush what is queued, close.

        Args:
            reason: Why.
            cause: The error behind it.
            linger: The peer has sent what nobody will read. Closing then makes
                the system answer with a reset, which destroys our last words on
                their way; so FIN goes first, and input is thrown away until the
                peer closes too.

        """
        self._end(reason, cause)
        self._stop_input()
        self._refuse_output()
        self._pause_reading()
        self._ending = "linger" if linger and self._transport.can_write_eof() else "close"
        self._flush()

    def _flush(self) -> None:
        super()._flush()
        if self._ending is not None and not self._writing_paused:
            # Not now: asyncio's transport, in the middle of resume_writing(),
            # would report the end of a connection that is closed there twice.
            self._share.loop.call_soon(self._end_output)

    def _end_output(self) -> None:
        """Close, now that the peer has everything."""
        if self._transport.is_closing():
            return
        if self._ending == "close":
            self._transport.close()
        else:
            self._ending = "close"
            # A peer that did nothing wrong may have a lot on its way.
            size = ON_ITS_WAY if self.close_reason is CloseReason.SERVER_CLOSE else LINGER_SIZE
            Linger(self._transport, self.connection_lost, size)

    def _stop_input(self) -> None:
        self._input_over = True
        self._wake()

    def _cut(self, reason: CloseReason, cause: BaseException | None = None) -> None:
        """Close at once, but let the application have what has arrived."""
        self._end(reason, cause)
        # A handler may go on for long; the frame that it waited for will not end.
        self._decoder.discard()
        self._stop_input()
        self._refuse_output()
        if self.close_reason is CloseReason.SLOW_PEER:
            drop_unsent(self._transport.get_extra_info("socket"))
        self._transport.abort()

    def _relieve(self) -> bool:
        """Write what the peer takes; cut it off if too much waits, and say whether it stays."""
        self._flush()
        cap = self._settings.limits.write_cap
        if cap is None or self._waiting_out() <= cap:
            return True
        self._cut(CloseReason.SLOW_PEER)
        return False

    def _refuse_input(self, reason: CloseReason) -> None:
        """Stop reading for good; what has arrived is still delivered, sends still go."""
        if not self._input_over:
            self._end(reason)
            self._stop_input()
            self._pause_reading()

    def _look(self, now: float) -> None:
        """Look at the life signs; called by the loop's clock."""
        if self._stuck(now):
            self._cut(CloseReason.SLOW_PEER)
            return
        if self._brakes & RATE and not self._too_fast(now):
            self._let_go(RATE)
        if self._reading_paused or self._input_over:
            self._excuse(now)
            return
        reason = self._overdue(now)
        if reason is not None:
            self._cut(reason)

    def _too_fast(self, now: float) -> bool:
        return self._pace is not None and self._pace.exceeded(self._decoder.frames_in, now)

    # The transport's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take over the transport."""
        self._transport = cast("asyncio.Transport", transport)
        send_rest(self._transport)
        # Whatever the system does not take at once stays in our queue, where it
        # is counted and can be replaced. Not high=0: asyncio's TLS pauses at
        # "size >= high" and so for ever.
        self._transport.set_write_buffer_limits(high=1, low=0)
        if self._server is None:
            self._share.watch(self, self._settings.tick)
        else:
            self._server._opened(self)
        self._log("= connection %d open, peer %s", self.id, self.remote_address)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - the loop's read size is fixed
        """Lend the read buffer that all connections of this loop share."""
        return self._view

    def buffer_updated(self, nbytes: int) -> None:
        """Split what was read; one call into Rust for each read."""
        decoder = self._decoder
        frames = decoder.buffer_updated(nbytes)
        if self._hold == QUEUE:
            self._hold = WRITE  # a new turn
        if frames:
            if self._arrive(frames):
                self._pause_reading()
            if self._pace is not None and self._too_fast(time.monotonic()):
                self._brake(RATE)
            self._arrival.tell()
        elif self._server is not None:
            self._server._memory.unfinished(nbytes)
        # The loop calls again only when more bytes come, so look now.
        if decoder.error is not None:
            self._finish(CloseReason.FRAME_TOO_BIG, decoder.error, linger=True)

    def _carry(self, held: int) -> None:
        """Note how much a carrier holds of what is not complete."""
        more = held - self._carried
        if more:
            self._carried = held
        if more > 0 and self._server is not None:
            self._server._memory.unfinished(more)

    def _pause_reading(self) -> None:
        if not (self._reading_paused or self._transport.is_closing()):
            self._reading_paused = True
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        """Note the end of the peer's stream; on TCP this side may still send."""
        self._take_rest()
        self._input_ended()
        return self._transport.can_write_eof()

    def _take_rest(self) -> None:
        take_rest(self._transport, self, lambda: not self._input_over)

    def _input_ended(self) -> None:
        if self._input_over:
            return
        try:
            self._decoder.feed_eof()
        except (IncompleteFrame, FrameTooBig) as exc:
            self._finish(CloseReason.INCOMPLETE_FRAME, exc, linger=False)
        else:
            self._end(CloseReason.EOF)
            self._stop_input()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell everyone who waits that the connection is gone."""
        self._take_rest()
        if exc is None:
            self._input_ended()
        else:
            self._end(CloseReason.RESET, exc)
            self._decoder.discard()
        self._stop_input()
        self._end_of_output()
        if self._server is None:
            self._share.unwatch(self)
        else:
            self._server._lost(self)
        lost, self._lost = self._lost, True
        if isinstance(lost, asyncio.Future) and not lost.done():
            lost.set_result(None)
        self._log("= connection %d closed, %s", self.id, self.close_reason)


def broadcast(
    connections: Iterable[Connection[Any]], document: Document, *, raise_exceptions: bool = False
) -> None:
    """
    Send one document to many connections without waiting for any of them.

    It is encoded once, and all that a connection is sent in one turn of the loop
    goes out with one write. Order with `Connection.send` is kept; closed
    connections are passed over. A peer that does not read is cut off
    (`CloseReason.SLOW_PEER`) when more than ``Limits.write_cap`` bytes wait for
    it: the others neither wait for it nor pay for it.

    Args:
        connections: Where to; the iterable is read before anything is sent.
        document: An lxml element, text, or bytes.
        raise_exceptions: Raise an ``ExceptionGroup`` with the
            `ConnectionClosed` of every connection that was cut off.

    Raises:
        DelimiterInPayload: If the document holds a zero byte. Nothing is sent.

    """
    errors = broadcast_frame(connections, to_frame(document))
    if errors and raise_exceptions:
        raise ExceptionGroup("peers that do not read were cut off", errors)


def broadcast_frame(connections: Iterable[Connection[Any]], frame: bytes) -> list[ConnectionClosed]:
    """Send a frame as `broadcast` does, and return the errors of those that were cut off."""
    errors: list[ConnectionClosed] = []
    for connection in tuple(connections):
        hold = connection._hold
        if hold == CLOSED:
            continue
        # Connection._push(), without a call for each peer.
        charge = connection._outbox.push(frame)
        if hold != WAIT:
            connection._hold = WAIT
            connection._share.schedule(connection)
        if charge > connection._room and not connection._relieve():
            errors.append(connection._closed())
    return errors
