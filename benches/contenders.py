"""
The contenders of the codec benchmarks: ways to split a stream at zero bytes.

Each one makes ``feed`` functions: the bytes of one read in, the frames completed
by it out. Those written here are what people write by hand, as good as plain
Python makes them. None of them knows a limit, counts or guards anything. Beside
them stand what libraries bring, and the limit: a C extension that does nothing
but find delimiters and make objects.
"""

from __future__ import annotations

import asyncio
import dataclasses
from typing import TYPE_CHECKING

from xmlsocket import codec, pure

from . import limit

try:
    from twisted.protocols.basic import LineOnlyReceiver
except ModuleNotFoundError:
    LineOnlyReceiver = None

if TYPE_CHECKING:
    from collections.abc import Callable

    Feed = Callable[[bytes], list[bytes]]

__all__ = [
    "CONTENDERS",
    "FRAME_SIZES",
    "LIMIT",
    "MISSING",
    "PURE",
    "READ_SIZES",
    "Case",
    "Contender",
    "play",
]

FRAME_SIZES = (8, 32, 128, 512, 4 * 2**10, 64 * 2**10, 2**20)
"""Bytes of one frame, delimiter excluded."""

READ_SIZES = (1460, 64 * 2**10)
"""Bytes of one read: a segment of TCP over Ethernet, and the package's read buffer."""


@dataclasses.dataclass(frozen=True, slots=True)
class Contender:
    """
    One way to split a stream.

    Attributes:
        name: Its name in tables.
        make: Returns a ``feed`` function with a state of its own.

    """

    name: str
    make: Callable[[], Feed]


class TailSplit:
    """Join the tail with the read and split all of it: quadratic in reads per frame."""

    def __init__(self) -> None:
        self._tail = b""

    def feed(self, data: bytes) -> list[bytes]:
        """Return the frames completed by ``data``."""
        *frames, self._tail = (self._tail + data).split(b"\0")
        return frames


class PiecesSplit:
    """Split the read alone and keep the pieces of the unfinished frame in a list: linear."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def feed(self, data: bytes) -> list[bytes]:
        """Return the frames completed by ``data``."""
        frames = data.split(b"\0")
        if len(frames) == 1:
            self._pieces.append(data)
            return []
        self._pieces.append(frames[0])
        frames[0] = b"".join(self._pieces)
        self._pieces = [frames.pop()]
        return frames


class ResumingFind:
    """Search a growing buffer from where the last search stopped: linear, one call a frame."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Return the frames completed by ``data``."""
        buffer = self._buffer
        place = len(buffer)
        buffer += data
        frames = []
        start = 0
        while (place := buffer.find(0, place)) >= 0:
            frames.append(bytes(buffer[start:place]))
            start = place = place + 1
        del buffer[:start]
        return frames


class ReadUntil:
    """
    ``asyncio.StreamReader.readuntil``, once a frame, without a running loop.

    The coroutine is stepped by hand, which spares it the task and the turns of
    the loop that it costs in a program.
    """

    def __init__(self) -> None:
        self._reader = asyncio.StreamReader(limit=2**21, loop=_idle_loop())
        self._next = self._reader.readuntil(b"\0")
        self._step()

    def _step(self) -> bytes | None:
        try:
            self._next.send(None)
        except StopIteration as stop:
            self._next = self._reader.readuntil(b"\0")
            frame: bytes = stop.value
            return frame[:-1]
        return None

    def feed(self, data: bytes) -> list[bytes]:
        """Return the frames completed by ``data``."""
        self._reader.feed_data(data)
        frames = []
        while (frame := self._step()) is not None:
            frames.append(frame)
        return frames

    def __del__(self) -> None:
        self._next.close()


def _idle_loop() -> asyncio.AbstractEventLoop:
    """Return the loop that stream readers here belong to; it never runs."""
    if not _loops:
        _loops.append(asyncio.new_event_loop())
    return _loops[0]


_loops: list[asyncio.AbstractEventLoop] = []


if LineOnlyReceiver is not None:

    class _Lines(LineOnlyReceiver):  # type: ignore[misc, unused-ignore]
        """Twisted's own splitter, with the zero byte as the end of a line."""

        delimiter = b"\0"
        MAX_LENGTH = 2**21

        class _Open:
            disconnecting = False

        transport = _Open()

        def __init__(self) -> None:
            self.frames: list[bytes] = []

        def lineReceived(self, line: bytes) -> None:  # noqa: N802 - Twisted's name
            """Keep a frame."""
            self.frames.append(line)

        def feed(self, data: bytes) -> list[bytes]:
            """Return the frames completed by ``data``."""
            self.dataReceived(data)
            frames, self.frames = self.frames, []
            return frames


class Limit:
    """The C extension of `limit`."""

    def __init__(self) -> None:
        self._split = limit.load().split
        self._pieces: list[bytes] = []

    def feed(self, data: bytes) -> list[bytes]:
        """Return the frames completed by ``data``."""
        frames: list[bytes] = self._split(self._pieces, data)
        return frames


LIMIT = "plain C"
"""The contender that marks what can be reached."""

MISSING: dict[str, str] = {}
"""Contenders that cannot take part here, and why."""

CONTENDERS = {
    contender.name: contender
    for contender in (
        Contender("rust", lambda: codec.Decoder().feed),
        Contender("pure", lambda: pure.Decoder().feed),
        Contender("tail+split", lambda: TailSplit().feed),
        Contender("pieces+split", lambda: PiecesSplit().feed),
        Contender("resuming find", lambda: ResumingFind().feed),
    )
    # With the pure codec chosen, or without the extension, there is no "rust".
    if contender.name != "rust" or codec.IMPLEMENTATION == "rust"
}
"""All contenders by name."""

PURE = tuple(name for name in CONTENDERS if name != "rust")
"""Those that are plain Python: what the codec has to be quicker than."""

CONTENDERS["readuntil"] = Contender("readuntil", lambda: ReadUntil().feed)
if LineOnlyReceiver is None:
    MISSING["Twisted"] = "not installed: pip install --group bench"
else:
    CONTENDERS["Twisted"] = Contender("Twisted", lambda: _Lines().feed)
try:
    limit.load()
except limit.Unavailable as exc:
    MISSING[LIMIT] = str(exc)
else:
    CONTENDERS[LIMIT] = Contender(LIMIT, lambda: Limit().feed)


@dataclasses.dataclass(frozen=True, slots=True)
class Case:
    """
    A stream of equal frames, cut into equal reads.

    Attributes:
        frame: Bytes of one frame, delimiter excluded.
        read: Bytes of one read; the last may be shorter.
        count: How many frames.

    """

    frame: int
    read: int
    count: int

    @classmethod
    def of(cls, frame: int, read: int, volume: int) -> Case:
        """Return a case of about ``volume`` bytes, of one frame at least."""
        return cls(frame, read, max(1, volume // (frame + 1)))

    def frames(self) -> list[bytes]:
        """Return the frames: no two neighbours are equal, so that none can be mistaken."""
        kinds = [bytes([0x41 + number % 26]) * self.frame for number in range(26)]
        return [kinds[number % 26] for number in range(self.count)]

    def reads(self) -> list[bytes]:
        """Return the stream as the reads in which it comes."""
        stream = b"".join(frame + b"\0" for frame in self.frames())
        return [stream[at : at + self.read] for at in range(0, len(stream), self.read)]

    def check(self, contender: Contender) -> None:
        """Raise if a contender does not return exactly the frames of this case, in order."""
        feed = contender.make()
        expected = iter(self.frames())
        for read in self.reads():
            for frame in feed(read):
                if frame != next(expected, None):
                    raise AssertionError(f"{contender.name} returns a wrong frame in {self}")
        if next(expected, None) is not None:
            raise AssertionError(f"{contender.name} loses frames in {self}")


def play(feed: Feed, reads: list[bytes]) -> int:
    """Feed all reads and return how many frames came out: this is what is timed."""
    count = 0
    for read in reads:
        count += len(feed(read))
    return count
