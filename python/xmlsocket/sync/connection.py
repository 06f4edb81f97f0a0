"""A connection with blocking calls: the read path, the write path, and how it ends."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, TypeVar, cast

from ..codec import encode_many
from ..connection import to_frame
from ..exceptions import (
    CloseReason,
    ConcurrencyError,
    ConnectionClosedOK,
    DocumentError,
    IncompleteFrame,
)
from ..flow import FRAME_OVERHEAD
from .closing import ClosableConnection
from .stream import PeerStalled

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ..connection import Document, Settings
    from .server import Server
    from .stream import Stream

__all__ = ["Connection"]

T = TypeVar("T")

_TWO_THREADS = "two threads wait for the next document of one connection"


class Connection(ClosableConnection[T]):
    """
    One XMLSocket connection: documents in, documents out.

    Made by `connect` and `serve`. Iterating over it yields the documents that
    arrive, as ``parse`` returns them::

        for document in connection:
            connection.send(document)

    Reading happens in the thread that receives, so the end of the connection
    and its time limits are noticed there. One thread may receive while others
    send, and any thread may close. As a context manager it closes at the end.

    A signal handler that raises, such as that of Ctrl-C, interrupts a waiting
    `recv` without loss; in the middle of a `send` it ends the connection,
    because half a frame must not be followed by another.

    Attributes:
        id: A number that names this connection in logs; unique in the process.
        close_reason: Why the connection ends; ``None`` while it is open.

    Source: Flash MX ActionScript dictionary, XMLSocket: any number of documents on
    one connection, each ended by a zero byte.

    """

    __slots__ = ("_left_at", "_raw", "_refused")

    def __init__(
        self, settings: Settings[T], stream: Stream, server: Server[T] | None = None
    ) -> None:
        super().__init__(settings, stream, server)
        self._raw = settings.parse is cast("Any", bytes)
        self._refused = False
        self._left_at = self._opened

    # Receiving

    def recv(self, timeout: float | None = None) -> T:
        """
        Receive the next document.

        Args:
            timeout: Seconds to wait for it; ``None`` waits for ever, 0 takes
                only what has arrived.

        Returns:
            What ``parse`` makes of the frame: an element by default, ``bytes``
            with ``parse=bytes``.

        Raises:
            TimeoutError: If no document arrived in time. Nothing is lost, also
                not the part of a document that has arrived.
            ConnectionClosedOK: When the peer ended its stream between two
                frames, or this side closed.
            ConnectionClosedError: When the connection ended out of order.
                Documents that came before are delivered first.
            DocumentError: If the frame holds no document and ``malformed`` is
                ``"raise"``. The connection stays open; the next call goes on
                with the next frame.
            ConcurrencyError: If another thread is waiting already.

        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            try:
                frame = self._next(deadline)
            except TimeoutError:
                raise TimeoutError(f"no document within timeout={timeout} seconds") from None
            if self._raw:
                return frame  # type: ignore[return-value]
            try:
                return self._parsed(frame)
            except DocumentError as exc:
                if not self._skips(exc):
                    raise

    def __iter__(self) -> Iterator[T]:
        """
        Iterate over the documents that arrive.

        Ends when the connection ends in order (`ConnectionClosedOK`); raises
        `ConnectionClosedError` when it does not, and `DocumentError` as `recv`
        does. Leaving the loop loses nothing: a new one goes on with the next
        document.
        """
        try:
            while self._raw:
                yield self._next(None)  # type: ignore[misc]
            while True:
                yield self.recv()
        except ConnectionClosedOK:
            return

    def batches(self) -> Iterator[list[bytes]]:
        """
        Iterate over raw frames, all that have arrived at a time.

        The quickest way to receive: no parsing, and nothing is done for the
        single frame. A list is never empty, holds at most ``read_limit`` plus
        what one read completes, and is the caller's to keep.

        Ends and raises as iterating over the connection does.
        """
        try:
            while True:
                yield self._next_batch()
        except ConnectionClosedOK:
            return

    def _next(self, deadline: float | None) -> bytes:
        """Take the next frame from the queue, reading if it is empty."""
        if not self._receiving.acquire(False):
            raise ConcurrencyError(_TWO_THREADS)
        try:
            if not self._ready:
                if not self._arrived:
                    self._fill(deadline)
                self._refill()
            if self._discarded:
                raise self._closed()
            return self._ready.pop()
        finally:
            if self._discarded:
                self._drop_queue()
            self._receiving.release()

    def _next_batch(self) -> list[bytes]:
        """Take all frames from the queue, reading if it is empty."""
        if not self._receiving.acquire(False):
            raise ConcurrencyError(_TWO_THREADS)
        try:
            if not (self._ready or self._arrived):
                self._fill(None)
            if self._discarded:
                raise self._closed()
            return self._take_all()
        finally:
            if self._discarded:
                self._drop_queue()
            self._receiving.release()

    def _fill(self, deadline: float | None) -> None:
        """Read until a frame is in the queue, or raise what ended the connection."""
        with self._guard:
            if self._closing:
                raise self._closed()
            self._reader = threading.get_ident()
            self._inside.append(self._reader)
        resumed = False
        try:
            while not self._arrived:
                if self._input_over:
                    self._end_of_input()
                # Looked at before reading: what has arrived by then is taken.
                refused = self._refused
                idle = self._read()
                if refused:
                    self._input_over = True
                elif not (self._arrived or self._input_over):
                    self._await_input(deadline, resumed=resumed, idle=idle)
                    resumed = True
        finally:
            self._reader = 0
            self._leave()

    def _read(self) -> bool:
        """
        Read and split what is there, as far as ``read_limit`` allows.

        Returns:
            Whether more would have had to be waited for.

        """
        decoder = self._decoder
        view = decoder.get_buffer(-1)
        try:
            while True:
                try:
                    size = self._stream.receive_into(view)
                except BlockingIOError:
                    return True
                if not size:
                    self._input_ended()
                    return False
                frames = decoder.buffer_updated(size)
                paused = bool(frames) and self._arrive(frames)
                error = decoder.error
                if error is not None:
                    self._end(CloseReason.FRAME_TOO_BIG, error)
                    self._input_over = True
                    return False
                if paused or size < len(view):
                    return False
        except OSError as exc:
            self._cut(CloseReason.RESET, exc)
            return False
        except BaseException:
            # An interruption between reading and queueing: bytes may be lost,
            # and what follows them must not pass for whole.
            self.abort()
            raise

    def _await_input(self, deadline: float | None, *, resumed: bool, idle: bool) -> None:
        """
        Wait until there may be something to read; cut the peer if it takes too long.

        Args:
            deadline: When `recv` gives up.
            resumed: Whether this thread has been here since it began to read.
            idle: Whether there is nothing to read now; otherwise do not wait.

        """
        now = time.monotonic()
        if not resumed:
            # The peer is not to blame for the time in which nobody read.
            away = now - self._left_at
            self._heard_at += away
            self._frame_at += away
        self._left_at = now
        reason = self._overdue(now)
        if reason is not None:
            self._cut(reason)
            return
        if deadline is not None and now >= deadline:
            raise TimeoutError
        if idle:
            bounds = [deadline, self._due()]
            self._stream.wait_readable(
                min((bound - now for bound in bounds if bound is not None), default=None)
            )
            self._left_at = time.monotonic()

    def _due(self) -> float | None:
        """Return when the peer will have taken too long, unless something comes."""
        bounds = []
        limit = self._settings.limits.message_timeout
        if limit is not None and self._decoder.buffered:
            bounds.append(self._frame_at + limit)
        limit = self._settings.idle_timeout
        if limit is not None:
            bounds.append(self._heard_at + limit)
        return min(bounds, default=None)

    def _input_ended(self) -> None:
        self._eof = True
        try:
            self._decoder.feed_eof()
        except IncompleteFrame as exc:
            self._end(CloseReason.INCOMPLETE_FRAME, exc)
        else:
            self._end(CloseReason.EOF)
        self._input_over = True

    def _end_of_input(self) -> None:
        """Raise what ended the input; close, unless this side may go on sending."""
        reason = self.close_reason
        assert reason is not None
        half_open = reason is CloseReason.SERVER_CLOSE or (
            reason is CloseReason.EOF and self._stream.half_closes
        )
        if not half_open:
            self._finish(reason, unread=reason is CloseReason.FRAME_TOO_BIG)
        raise self._closed()

    def _refuse_input(self, reason: CloseReason) -> None:
        """Stop reading for good; what has arrived is still delivered, sends still go."""
        self._end(reason)
        self._refused = True

    # Sending

    def send(self, document: Document) -> None:
        """
        Send a document; return when the system has taken all of it.

        Documents that several threads send at once go one after another, whole.
        While the peer does not read, the call waits.

        Args:
            document: An lxml element, text, or bytes (as they are).

        Raises:
            DelimiterInPayload: If it holds a zero byte. Nothing is sent.
            ConnectionClosed: If the connection has ended, or ends meanwhile.

        """
        self._transmit(to_frame(document), 1)

    def send_many(self, frames: Iterable[bytes | str]) -> None:
        """
        Send many documents with one write.

        All or nothing: every payload is checked before the first byte is written.

        Args:
            frames: Payloads, text or bytes, delimiters excluded.

        Raises:
            DelimiterInPayload: If a payload holds a zero byte; ``.item`` says which.
            ConnectionClosed: If the connection has ended, or ends meanwhile.

        """
        if not isinstance(frames, list | tuple):
            frames = list(frames)
        self._transmit(encode_many(frames), len(frames))

    def _transmit(self, data: bytes, frames: int) -> None:
        stream = self._stream
        with self._guard:
            if self._output_over:
                raise self._closed()
            self._inside.append(threading.get_ident())
        try:
            with stream.sending:
                if self._write(data):
                    self._sent(frames, len(data))
                    return
            raise self._closed()
        finally:
            stream.relieve()
            self._leave()

    def _write(self, data: bytes) -> bool:
        """Write ``data`` if the connection still takes it, and say whether all of it went."""
        if self._output_over:
            return False
        self._queued_out = len(data) + FRAME_OVERHEAD
        try:
            if data:
                self._stream.write(data)
        except PeerStalled:
            self._cut(CloseReason.SLOW_PEER)
            return False
        except OSError as exc:
            # What has arrived can still be received. The reason first: whoever
            # sees that the output is over asks for it.
            self._end(CloseReason.RESET, exc)
            self._output_over = True
            return False
        except BaseException:
            self.abort()
            raise
        finally:
            self._queued_out = 0
        return True
