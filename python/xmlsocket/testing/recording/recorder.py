"""Writes what passes, a line for each frame and each end."""

from __future__ import annotations

import datetime as dt
import time
from typing import TYPE_CHECKING, Any, Final

from ...reasons import reason
from .record import Event, Record, RecordingError

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TextIO

__all__ = ["Recorder", "Tape"]

_RESET: Final = {True: "reset", False: "closed"}


class Recorder:
    """
    Writes a recording. Each line is flushed.

    Args:
        out: Where to, a file of text in UTF-8 that leaves line ends alone.
        max_size: Bytes that are kept of one frame; ``None`` for all.
        clock: Seconds, from anywhere, that only rise.
        now: Seconds since 1970.

    Attributes:
        connections: How many were recorded.
        frames: How many frames.

    Raises:
        ValueError: If ``max_size`` is negative.

    """

    def __init__(
        self,
        out: TextIO,
        *,
        max_size: int | None = 2**20,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        if max_size is not None and max_size < 0:
            raise ValueError(f"max_size must be None or not negative, not {max_size}")
        self._out = out
        self._max_size = max_size
        self._clock = clock
        # One look at the wall clock: when it is set back, times still rise.
        self._start = now() - clock()
        self.connections: int = 0
        self.frames: int = 0

    def open(self, peer: str) -> Tape:
        """
        Begin to record a connection.

        Args:
            peer: The client's address.

        Returns:
            What takes note of its events.

        """
        self.connections += 1
        tape = Tape(self, self.connections, self._clock(), self._max_size)
        tape.write("client", Event.OPEN, peer=peer)
        return tape

    def write(self, tape: Tape, side: str, event: Event, about: dict[str, Any]) -> None:
        """
        Write a line.

        Args:
            tape: The connection.
            side: Who did it.
            event: What happened.
            about: The other attributes of `Record`.

        Raises:
            RecordingError: If that fails.

        """
        now = self._clock()
        record = Record(
            time=dt.datetime.fromtimestamp(self._start + now, dt.UTC),
            seconds=now - tape.started,
            connection=tape.number,
            side=side,
            event=event,
            **about,
        )
        self.frames += event in {Event.FRAME, Event.OVERSIZE}
        try:
            self._out.write(record.as_json() + "\n")
            self._out.flush()
        except OSError as exc:
            raise RecordingError(f"cannot write the recording: {reason(exc)}") from exc


class Tape:
    """
    The recording of one connection.

    Args:
        recorder: Writes it.
        number: That of the connection.
        started: When it began, by the recorder's clock.
        max_size: As for `Recorder`.

    Attributes:
        client: Takes note of what the client sends.
        server: Likewise of the server.

    """

    def __init__(
        self, recorder: Recorder, number: int, started: float, max_size: int | None
    ) -> None:
        self._recorder = recorder
        self.number = number
        self.started = started
        self.client: _Side = _Side(self, "client", max_size)
        self.server: _Side = _Side(self, "server", max_size)
        self._first: tuple[str, str] | None = None
        self._closed = False

    def write(self, side: str, event: Event, **about: Any) -> None:
        """Write a line."""
        self._recorder.write(self, side, event, about)

    def ended(self, side: str, how: str) -> None:
        """Take note of the end of one side."""
        if not self._closed:
            self._first = self._first or (side, how)
            self.write(side, Event.END, how=how)

    def close(self, side: str, how: str) -> None:
        """
        Take note of the end of the connection.

        Args:
            side: Who brought it about, unless a side has ended before.
            how: In which way.

        """
        for unfinished in (self.client, self.server):
            unfinished.flush()
        side, how = self._first or (side, how)
        self.write(side, Event.CLOSE, how=how)
        self._closed = True


class _Side:
    """Splits at zero bytes. The codec refuses what is too long; here its length is wanted."""

    def __init__(self, tape: Tape, name: str, max_size: int | None) -> None:
        self._tape = tape
        self._name = name
        self._max_size = max_size
        self._kept = bytearray()
        self._size = 0

    def took(self, data: bytes) -> None:
        """Write the frames that ``data`` completes."""
        *ends, rest = data.split(b"\0")
        for end in ends:
            self._add(end)
            event = Event.FRAME if self._size == len(self._kept) else Event.OVERSIZE
            kept, size = self._take()
            self._tape.write(self._name, event, data=kept, size=size)
        self._add(rest)

    def ended(self, *, reset: bool) -> None:
        """Write what was not ended, and the end."""
        self.flush()
        self._tape.ended(self._name, _RESET[reset])

    def flush(self) -> None:
        """Write what no zero byte has ended."""
        if self._size:
            kept, size = self._take()
            self._tape.write(self._name, Event.UNFINISHED, data=kept, size=size)

    def _add(self, data: bytes) -> None:
        self._size += len(data)
        room = len(data) if self._max_size is None else max(0, self._max_size - len(self._kept))
        self._kept += data[:room]

    def _take(self) -> tuple[bytes, int]:
        taken = bytes(self._kept), self._size
        self._kept.clear()
        self._size = 0
        return taken
