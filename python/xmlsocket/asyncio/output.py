"""The write path of a connection on an event loop: queue, end of turn, high-water mark, cap."""

from __future__ import annotations

import collections
import contextlib
import sys
from typing import TYPE_CHECKING, Final, TypeVar

from ..codec import encode_many
from ..connection import BaseConnection, Settings, to_frame
from ..flow import FRAME_OVERHEAD
from ..outbox import Outbox

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Coroutine, Iterable
    from typing import Any

    from ..connection import Document
    from .loop import LoopShare

__all__ = ["CLOSED", "QUEUE", "WAIT", "WRITE", "Output"]

T = TypeVar("T")

# What becomes of the next frame.
WRITE: Final = 0  # it is the first of its turn: written at once
QUEUE: Final = 1  # queued, and the end of the turn has to be awaited
WAIT: Final = 2  # queued, and a flush will come: at the end of the turn, or when the peer reads
CLOSED: Final = 3  # refused

# One write of a long queue. Large enough to keep system calls rare, small enough
# that what the transport may hold beyond our own queue stays small.
_CHUNK: Final = 2**18


class Output(BaseConnection[T]):
    """The sending half of `Connection`."""

    __slots__ = (
        "_drained",
        "_high",
        "_hold",
        "_in_transport",
        "_outbox",
        "_room",
        "_share",
        "_stuck_at",
        "_transport",
        "_writing_paused",
    )

    def __init__(self, settings: Settings[T], share: LoopShare) -> None:
        super().__init__(settings, share.read_buffer)
        high = settings.write_limit.high
        self._share = share
        self._transport: asyncio.Transport
        self._outbox = Outbox(FRAME_OVERHEAD)
        self._hold = WRITE
        self._writing_paused = False
        self._in_transport = 0
        self._stuck_at: float | None = None
        self._high = sys.maxsize if high is None else high
        self._set_room(self._high)  # what the outbox may hold before send() waits
        self._drained: collections.deque[asyncio.Future[None]] | None = None

    def send(self, document: Document) -> Coroutine[Any, Any, None]:
        """
        Send a document.

        The first document of a turn of the loop is written at once, those that
        follow in the same turn with one more write. Above the high-water mark of
        ``write_limit`` the call waits until the peer has read enough. Cancelled
        while it waits, the document still goes, whole.

        Args:
            document: An lxml element, text, or bytes (as they are).

        Returns:
            What has to be awaited, as if this were a coroutine function.

        Raises:
            DelimiterInPayload: If it holds a zero byte. Nothing is sent.
            ConnectionClosed: If the connection has ended.

        """
        # No coroutine where nothing has to be waited for, which is most of the
        # time: making and running one costs more than queueing the document.
        return self._outbox.put(document) or self._send(document)

    async def _send(self, document: Document) -> None:
        self._put(to_frame(document), 1)
        if self._outbox.charge > self._room:
            await self._drain()

    async def send_many(self, frames: Iterable[bytes | str]) -> None:
        """
        Send many documents with one write.

        All or nothing: every payload is checked before the first byte is written.

        Args:
            frames: Payloads, text or bytes, delimiters excluded.

        Raises:
            DelimiterInPayload: If a payload holds a zero byte; ``.item`` says which.
            ConnectionClosed: If the connection has ended.

        """
        if not isinstance(frames, list | tuple):
            frames = list(frames)
        data = encode_many(frames)
        if data:
            self._put(data, len(frames))
        elif self._hold == CLOSED:
            raise self._closed()
        if self._outbox.charge > self._room:
            await self._drain()

    def _put(self, data: bytes, frames: int) -> None:
        """Write the first frames of a turn, queue the others."""
        if self._hold == CLOSED:
            raise self._closed()
        if self._hold == WRITE:
            self._hold = QUEUE
            self._sent(frames, len(data))
            self._transport.write(data)
        else:
            self._push(data, frames)

    def _push(self, data: bytes, frames: int = 1) -> int:
        """Queue ``data`` for the end of this turn and return the charge of all that waits."""
        charge = self._outbox.push(data, frames)
        if self._hold != WAIT:
            self._hold = WAIT
            self._share.schedule(self)
        return charge

    def _flush(self) -> None:
        """Hand the queue to the transport, as far as the transport takes it."""
        outbox = self._outbox
        while not self._writing_paused and (data := outbox.take(_CHUNK)):
            self._transport.write(data)
        if self._hold != CLOSED and not self._writing_paused:
            self._hold = WRITE
        if self._drained and self._waiting_out() <= self._settings.write_limit.low:
            self._release()

    def _waiting_out(self) -> int:
        """Return how many bytes wait for the peer, in our outbox and in the transport."""
        return self._outbox.charge + self._in_transport

    def _counts_out(self) -> tuple[int, int, int]:
        outbox = self._outbox
        frames, size = self._frames_out + outbox.frames, self._bytes_out + outbox.bytes
        return frames, size, self._waiting_out()

    async def _drain(self) -> None:
        """Wait until no more is queued than ``write_limit`` allows."""
        self._flush()
        if self._waiting_out() <= self._high:
            return
        if self._drained is None:
            self._drained = collections.deque()
        waiter = self._share.loop.create_future()
        self._drained.append(waiter)
        try:
            await waiter
        finally:
            with contextlib.suppress(ValueError):
                self._drained.remove(waiter)
        if self._hold == CLOSED:
            raise self._closed()

    def _release(self) -> None:
        """Wake everyone who waits in `_drain`."""
        while self._drained:
            waiter = self._drained.popleft()
            if not waiter.done():
                waiter.set_result(None)

    def _end_of_output(self) -> None:
        """Give up what is queued: the connection is gone."""
        self._refuse_output()
        self._outbox.clear()
        self._in_transport = 0
        self._release()

    def _refuse_output(self) -> None:
        """Take no more documents; what waits still goes."""
        self._hold = CLOSED
        self._outbox.room = None

    def pause_writing(self) -> None:
        """Keep further frames in our outbox."""
        self._writing_paused = True
        self._in_transport = self._transport.get_write_buffer_size()
        self._stuck_at = None
        self._set_room(self._high - self._in_transport)
        if self._hold != CLOSED:
            self._hold = WAIT

    def _stuck(self, now: float) -> bool:
        """
        Tell whether the peer has taken nothing for ``send_timeout`` of what waits for it.

        While the transport is full nothing is added to it, so it holds as much as
        at the last look only if the peer has taken nothing since.
        """
        if not self._writing_paused:
            return False
        waiting = self._transport.get_write_buffer_size()
        if self._stuck_at is None or waiting != self._in_transport:
            self._in_transport = waiting
            self._set_room(self._high - waiting)
            self._stuck_at = now
        limit = self._settings.limits.send_timeout
        return limit is not None and now - self._stuck_at >= limit

    def resume_writing(self) -> None:
        """Go on with our outbox."""
        self._writing_paused = False
        self._in_transport = 0
        self._set_room(self._high)
        self._flush()

    def _set_room(self, room: int) -> None:
        self._room = room
        if self._hold != CLOSED:
            self._outbox.room = min(max(0, room), sys.maxsize)
