"""
The codec in pure Python: one file, standard library only, made to be copied.

It has the names, errors, offsets and counters of the Rust extension and passes
the same tests. To vendor it, copy this file; nothing else of the package is
needed.
"""

from __future__ import annotations

__all__ = [
    "ConcurrencyError",
    "DelimiterInPayload",
    "DocumentError",
    "FrameTooBig",
    "FramingError",
    "IncompleteFrame",
    "InvalidState",
    "LocalError",
    "XMLSocketError",
]


class XMLSocketError(Exception):
    """Base class of every error that this package raises of its own."""


class FramingError(XMLSocketError):
    """
    The peer's bytes cannot be split into frames any further.

    Attributes:
        offset: Where the offending frame starts, in bytes from the start of the
            stream. It does not depend on how the stream was cut into reads.

    """

    offset: int


class FrameTooBig(FramingError):
    """
    A frame is longer than ``max_size`` allows.

    Attributes:
        offset: Where the frame starts, in bytes from the start of the stream.
        limit: The ``max_size`` in force, in bytes, delimiter excluded.

    """

    def __init__(self, offset: int, limit: int) -> None:
        super().__init__(offset, limit)
        self.offset = offset
        self.limit = limit

    def __str__(self) -> str:
        return f"frame starting at stream offset {self.offset} exceeds max_size={self.limit} bytes"


class IncompleteFrame(FramingError):
    """
    The stream ended inside a frame, so the frame was never delivered.

    Attributes:
        offset: Where the frame starts, in bytes from the start of the stream.
        partial: The bytes that did arrive, for diagnosis only: they are no
            document. Empty when the frame was being skipped as too big.

    """

    def __init__(self, offset: int, partial: bytes) -> None:
        super().__init__(offset, partial)
        self.offset = offset
        self.partial = partial

    def __str__(self) -> str:
        return (
            f"stream ended inside the frame starting at stream offset {self.offset}, "
            f"{len(self.partial)} bytes without a delimiter"
        )


class LocalError(XMLSocketError):
    """The caller made a mistake; the peer is not at fault and nothing was sent."""


class DelimiterInPayload(LocalError, ValueError):
    """
    A payload holds the delimiter: the peer would see two frames.

    Attributes:
        index: Where the first zero byte stands in the encoded payload, in bytes.
        item: Which payload of the iterable given to ``encode_many`` holds it,
            counted from 0; ``None`` for ``encode``.

    """

    def __init__(self, index: int, item: int | None = None) -> None:
        super().__init__(index, item)
        self.index = index
        self.item = item

    def __str__(self) -> str:
        which = "payload" if self.item is None else f"payload {self.item}"
        return rf"{which} contains the delimiter b'\0' at index {self.index}"


class InvalidState(LocalError):
    """The object has passed the point at which this call makes sense."""


class ConcurrencyError(LocalError):
    """Two threads are inside one decoder, or two callers wait in ``recv`` at once."""


class DocumentError(XMLSocketError, ValueError):
    """
    A frame holds no acceptable document. The connection stays usable.

    Attributes:
        reason: What is wrong. Text that came from the peer is escaped and cut.
        frame: The whole frame, as it arrived.
        line: Line of the fault, counted from 1, or ``None`` when unknown.
        column: Column of the fault in that line, counted from 1, or ``None``.

    """

    def __init__(
        self,
        reason: str,
        frame: bytes = b"",
        line: int | None = None,
        column: int | None = None,
    ) -> None:
        super().__init__(reason, frame, line, column)
        self.reason = reason
        self.frame = frame
        self.line = line
        self.column = column

    def __str__(self) -> str:
        if self.line is None:
            return self.reason
        return f"{self.reason}, line {self.line}, column {self.column}"
