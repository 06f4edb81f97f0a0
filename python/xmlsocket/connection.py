"""
What the connections of both transports share: settings, receive queue, ends, counters.

Nothing here touches a socket, a lock or an event loop. A transport adds its
read loop, its write loop and its registry.
"""

from __future__ import annotations

import collections
import dataclasses
import itertools
import logging
import time
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeAlias, TypeVar

from . import codec
from .documents import serialize
from .exceptions import CloseReason, ConnectionClosed, DocumentError, safe_text
from .flow import CONNECTION_CHARGE, FRAME_OVERHEAD, WaterMarks
from .stats import ConnectionStats, ServerStats

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from lxml import etree

    from .limits import Limits

__all__ = [
    "BaseConnection",
    "Counters",
    "Document",
    "Logger",
    "Malformed",
    "RepeatedLog",
    "Settings",
    "to_frame",
]

T = TypeVar("T")

Document: TypeAlias = "etree._Element | str | bytes"  # noqa: SLF001 - lxml's name for it
Logger: TypeAlias = "logging.Logger | logging.LoggerAdapter[Any]"
Malformed: TypeAlias = Literal["raise", "skip"]

_ids = itertools.count(1)

_PACE_BOUND = 1.0
"""Seconds as a bound for the clock, which looks eight times as often."""

_READY_CHARGE = 2**18
"""Bytes that may be moved out of the queue's account in advance of being taken: about one read."""


def to_frame(document: Document) -> bytes:
    """
    Return ``document`` as it goes on the wire, delimiter included.

    Raises:
        DelimiterInPayload: If it holds a zero byte.
        UnicodeEncodeError: If it is text with a lone surrogate.

    """
    if isinstance(document, str | bytes):
        return codec.encode(document)
    return codec.encode(serialize(document))


class RepeatedLog:
    """Log the first of many like events, then at most one line a minute with their count."""

    __slots__ = ("_clock", "_interval", "_last", "_logger", "_suppressed")

    def __init__(
        self,
        logger: Logger,
        *,
        interval: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._logger = logger
        self._interval = interval
        self._clock = clock
        self._last: dict[str, float] = {}
        self._suppressed: collections.Counter[str] = collections.Counter()

    def warning(self, message: str, *args: object) -> None:
        """Log ``message % args`` unless the same ``message`` was logged within the interval."""
        now = self._clock()
        last = self._last.get(message)
        if last is not None and now - last < self._interval:
            self._suppressed[message] += 1
            return
        self._last[message] = now
        suppressed = self._suppressed.pop(message, 0)
        if suppressed:
            message += " (and %d more like it)"
            args = (*args, suppressed)
        self._logger.warning(message, *args)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Settings(Generic[T]):
    """The checked options of ``connect`` or ``serve``, shared by all their connections."""

    parse: Callable[[bytes], T]
    max_size: int | None
    read_limit: WaterMarks
    write_limit: WaterMarks
    open_timeout: float | None
    close_timeout: float | None
    idle_timeout: float | None
    limits: Limits
    skip_empty: bool
    malformed: Malformed
    logger: Logger
    repeated: RepeatedLog

    @classmethod
    def of(
        cls,
        *,
        parse: Callable[[bytes], T],
        max_size: int | None,
        read_limit: int | tuple[int, int] | None,
        write_limit: int | tuple[int, int] | None,
        open_timeout: float | None,
        close_timeout: float | None,
        idle_timeout: float | None,
        limits: Limits,
        skip_empty: bool,
        malformed: Malformed,
        logger: Logger | None,
        default_logger: str,
    ) -> Settings[T]:
        """
        Check the options and keep them.

        Raises:
            ValueError: Naming the option that makes no sense.

        """
        codec.Decoder(max_size=max_size)  # the decoder owns the rule for max_size
        for name, value in (
            ("open_timeout", open_timeout),
            ("close_timeout", close_timeout),
            ("idle_timeout", idle_timeout),
        ):
            if value is not None and not value > 0:
                raise ValueError(f"{name} must be positive or None, not {value!r}")
        if malformed not in {"raise", "skip"}:
            raise ValueError(f"malformed must be 'raise' or 'skip', not {malformed!r}")
        if logger is None:
            logger = logging.getLogger(default_logger)
        return cls(
            parse=parse,
            max_size=max_size,
            read_limit=WaterMarks.of("read_limit", read_limit),
            write_limit=WaterMarks.of("write_limit", write_limit),
            open_timeout=open_timeout,
            close_timeout=close_timeout,
            idle_timeout=idle_timeout,
            limits=limits,
            skip_empty=skip_empty,
            malformed=malformed,
            logger=logger,
            repeated=RepeatedLog(logger),
        )

    @property
    def tick(self) -> float | None:
        """Seconds between two looks at a connection's life signs; ``None`` without a time limit."""
        limits = self.limits
        # Reading that has paused for the rate starts again at a look.
        pause = None if limits.frame_rate is None else _PACE_BOUND
        given = (limits.message_timeout, limits.send_timeout, self.idle_timeout, pause)
        bounds = [bound for bound in given if bound is not None]
        return min(1.0, max(0.01, min(bounds) / 8)) if bounds else None


class BaseConnection(Generic[T]):
    """One connection without its transport."""

    # __dict__ costs a pointer until someone hangs an attribute of his own on
    # the connection, which handlers of chat servers like to do.
    __slots__ = (
        "__dict__",
        "__weakref__",
        "_arrived",
        "_bytes_out",
        "_cause",
        "_charge",
        "_decoder",
        "_displaced",
        "_frame_at",
        "_frame_start",
        "_frames_out",
        "_heard",
        "_heard_at",
        "_malformed_skipped",
        "_opened",
        "_payload_seen",
        "_queued_out",
        "_ready",
        "_settings",
        "close_reason",
        "id",
    )

    # Held below this connection of what is not complete; on the class, for only
    # WebSockets hold anything.
    _carried: int = 0

    def __init__(self, settings: Settings[T], read_buffer: codec.ReadBuffer | None = None) -> None:
        self.id: int = next(_ids)
        self.close_reason: CloseReason | None = None
        self._frames_out = 0
        self._bytes_out = 0
        self._malformed_skipped = 0
        self._displaced = 0
        self._settings = settings
        self._decoder = codec.Decoder(
            max_size=settings.max_size, skip_empty=settings.skip_empty, read_buffer=read_buffer
        )
        self._cause: BaseException | None = None
        self._opened = time.monotonic()
        # Frames wait in two lists. A read's list is taken over as _arrived, so
        # that batches() can hand it on without touching a frame. What recv() and
        # iteration take next is moved to _ready, reversed, a quantum at a time:
        # taking a frame is then one pop(), and lets go of it. The list in _ready
        # is never replaced, so that a loop can hold on to it.
        self._arrived: list[bytes] = []
        self._ready: list[bytes] = []
        self._charge = 0  # of _arrived; what is in _ready counts as taken
        self._payload_seen = 0
        self._queued_out = 0
        # What the last look at the life signs saw, and when that was first so.
        self._heard = 0
        self._heard_at = self._opened
        self._frame_start = -1
        self._frame_at = self._opened

    # Receive queue

    def _arrive(self, frames: list[bytes]) -> bool:
        """Queue the frames of one read and say whether reading has to pause."""
        if self._arrived:
            self._arrived += frames
        else:
            self._arrived = frames
        payload = self._decoder.payload_in
        self._charge += payload - self._payload_seen + FRAME_OVERHEAD * len(frames)
        self._payload_seen = payload
        # "> high", not ">=": one read may complete thousands of frames, so the
        # mark is a trigger, not a bound; and high = 0 must still let one through.
        high = self._settings.read_limit.high
        return high is not None and self._charge > high

    def _refill(self) -> None:
        """Move the next frames from `_arrived` to `_ready`, a quantum at most."""
        frames = self._arrived
        quantum = self._settings.limits.quantum or len(frames)
        if len(frames) <= quantum and self._charge <= _READY_CHARGE:
            self._arrived = []
            self._charge = 0
        else:
            part = frames[:quantum]
            charge = sum(map(len, part)) + FRAME_OVERHEAD * len(part)
            while charge > _READY_CHARGE and len(part) > 1:
                charge -= len(part.pop()) + FRAME_OVERHEAD
            del frames[: len(part)]
            self._charge -= charge
            frames = part
        frames.reverse()
        self._ready += frames

    def _take_all(self) -> list[bytes]:
        """Take all frames; the list is the caller's."""
        frames = self._arrived
        self._arrived = []
        self._charge = 0
        if self._ready:
            frames = self._ready[::-1] + frames
            self._ready.clear()
        return frames

    def _drop_queue(self) -> None:
        self._arrived = []
        self._ready.clear()
        self._charge = 0

    def _queued_in(self) -> int:
        """Return what all frames that wait are charged."""
        ready = self._ready
        return self._charge + sum(map(len, ready)) + FRAME_OVERHEAD * len(ready)

    def _waiting_out(self) -> int:
        """Return what is charged for all that waits for the peer."""
        return self._queued_out

    def _held(self) -> int:
        """Return what the peer makes this side hold, in bytes charged."""
        return self._queued_in() + self._decoder.buffered + self._carried + self._waiting_out()

    def _parsed(self, frame: bytes) -> T:
        """Turn a frame into what the application asked for, or raise `DocumentError`."""
        try:
            return self._settings.parse(frame)
        except DocumentError:
            raise
        except ValueError as exc:
            raise DocumentError(safe_text(str(exc)), frame) from exc

    def _skips(self, error: DocumentError) -> bool:
        """Count and log ``error`` if the settings say to skip it; otherwise return false."""
        if self._settings.malformed != "skip":
            return False
        self._malformed_skipped += 1
        self._settings.repeated.warning("! connection %d: document skipped: %s", self.id, error)
        return True

    # Ends

    def _end(self, reason: CloseReason, cause: BaseException | None = None) -> None:
        """Note why the connection ends; the first reason stands."""
        if self.close_reason is None:
            self.close_reason = reason
            self._cause = cause

    def _handler_failed(self, error: Exception) -> CloseReason:
        """Tell why the connection ends whose handler raised, and log it if it deserves that."""
        if isinstance(error, ConnectionClosed):
            return CloseReason.LOCAL
        if isinstance(error, DocumentError):
            # The peer's fault, and not to be had a traceback for.
            self._settings.repeated.warning("! connection %d: %s", self.id, error)
            return CloseReason.DOCUMENT_ERROR
        logger = self._settings.logger
        logger.error("! connection %d: handler failed", self.id, exc_info=error)
        return CloseReason.HANDLER_ERROR

    def _closed(self) -> ConnectionClosed:
        """Return the exception for a connection that has ended, its cause set."""
        assert self.close_reason is not None
        error = ConnectionClosed.of(self.close_reason)
        error.__cause__ = self._cause
        return error

    def _overdue(self, now: float) -> CloseReason | None:
        """
        Compare the life signs with those of the last look and tell what took too long.

        Nothing is noted per read: a frame is late when the same frame was
        unfinished at a look ``message_timeout`` ago, a peer is idle when the
        same count of bytes stood there ``idle_timeout`` ago. Both are found at
        most one look late. Zero bytes alone are no sign of life.
        """
        decoder = self._decoder
        carried = self._carried
        heard = decoder.bytes_in + carried - decoder.empty_skipped
        if heard != self._heard:
            self._heard = heard
            self._heard_at = now
        # -1 between frames, so that the clock never starts before the first byte.
        start = decoder.bytes_in - decoder.buffered if decoder.buffered or carried else -1
        if start != self._frame_start or start < 0:
            self._frame_start = start
            self._frame_at = now
        limit = self._settings.limits.message_timeout
        if limit is not None and now - self._frame_at >= limit:
            return CloseReason.MESSAGE_TIMEOUT
        limit = self._settings.idle_timeout
        if limit is not None and now - self._heard_at >= limit:
            return CloseReason.IDLE
        return None

    def _excuse(self, now: float) -> None:
        """Start both clocks anew: this side was not reading, so the peer is not to blame."""
        self._heard_at = now
        self._frame_at = now

    # Counters

    def _sent(self, frames: int, size: int) -> None:
        self._frames_out += frames
        self._bytes_out += size

    def _counts_out(self) -> tuple[int, int, int]:
        """Return frames and bytes accepted for sending, and the charge of those that wait."""
        return self._frames_out, self._bytes_out, self._queued_out

    @property
    def stats(self) -> ConnectionStats:
        """What this connection has counted so far, as a snapshot."""
        decoder = self._decoder
        frames_out, bytes_out, queued_out = self._counts_out()
        return ConnectionStats(
            age=time.monotonic() - self._opened,
            frames_in=decoder.frames_in,
            frames_out=frames_out,
            bytes_in=decoder.bytes_in,
            bytes_out=bytes_out,
            empty_skipped=decoder.empty_skipped,
            malformed_skipped=self._malformed_skipped,
            dropped=self._displaced,
            buffered_in=decoder.buffered,
            queued_in=self._queued_in(),
            queued_out=queued_out,
        )

    # What it tells

    def _log(self, message: str, *args: object) -> None:
        self._settings.logger.debug(message, *args)

    def __repr__(self) -> str:
        state = "open" if self.close_reason is None else self.close_reason.value
        return f"<{type(self).__name__} {self.id} {state}>"


class Counters:
    """A server's counters: sums over closed connections, to which the open ones are added."""

    __slots__ = (
        "_sums",
        "accepted",
        "closed",
        "handler_errors",
        "policy_requests",
        "refused",
        "websockets",
    )

    # Of closed connections nothing waits any more.
    _GAUGES = ("queued_in", "queued_out")
    _SUMMED = (
        "frames_in",
        "frames_out",
        "bytes_in",
        "bytes_out",
        "empty_skipped",
        "malformed_skipped",
        "dropped",
    )

    def __init__(self) -> None:
        self.accepted: int = 0
        self.handler_errors: int = 0
        self.policy_requests: int = 0
        self.websockets: int = 0
        self.refused: collections.Counter[str] = collections.Counter()
        self.closed: collections.Counter[CloseReason] = collections.Counter()
        self._sums: collections.Counter[str] = collections.Counter()

    def add_closed(self, connection: BaseConnection[Any]) -> None:
        """Keep the figures of a connection that has ended."""
        assert connection.close_reason is not None
        self.closed[connection.close_reason] += 1
        self._add(self._sums, connection, self._SUMMED)

    def _add(
        self, sums: collections.Counter[str], connection: BaseConnection[Any], names: Iterable[str]
    ) -> None:
        stats = connection.stats
        for name in names:
            sums[name] += getattr(stats, name)

    def snapshot(
        self, connections: Iterable[BaseConnection[Any]], charge: int = CONNECTION_CHARGE
    ) -> ServerStats:
        """
        Return the sums over closed and open connections.

        Args:
            connections: Those that are open.
            charge: Bytes charged for each, whatever it holds.

        """
        sums = self._sums.copy()
        names = (*self._SUMMED, *self._GAUGES)
        count = held = 0
        for connection in connections:
            count += 1
            held += charge + connection._held()  # noqa: SLF001 - parts of one transport
            self._add(sums, connection, names)
        return ServerStats(
            connections=count,
            accepted=self.accepted,
            handler_errors=self.handler_errors,
            policy_requests=self.policy_requests,
            websockets=self.websockets,
            memory=held,
            refused=dict(self.refused),
            closed=dict(self.closed),
            **{name: sums[name] for name in names},
        )
