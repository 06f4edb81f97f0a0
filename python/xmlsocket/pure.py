# SPDX-License-Identifier: MIT
"""
The codec in pure Python: one file, standard library only, made to be copied.

It has the names, errors, offsets and counters of the Rust extension and passes
the same tests. To vendor it, copy this file; nothing else of the package is
needed.

.. code-block:: python

    decoder = Decoder(max_size=2**16)
    while data := sock.recv(2**16):
        for frame in decoder.feed(data):
            handle(frame)
        if decoder.error is not None:
            break
    decoder.feed_eof()  # raises what is latched, or IncompleteFrame

"""

from __future__ import annotations

import operator
import re
import threading
from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Final, Literal, NoReturn

__all__ = [
    "DELIMITER",
    "ConcurrencyError",
    "Decoder",
    "DelimiterInPayload",
    "DocumentError",
    "FrameTooBig",
    "FramingError",
    "IncompleteFrame",
    "InvalidState",
    "LocalError",
    "ReadBuffer",
    "XMLSocketError",
    "check_document",
    "encode",
    "encode_many",
]

DELIMITER: Final = b"\0"
"""The zero byte that ends every frame."""

# The largest max_size: below the largest object of a 64-bit platform, so that
# the extension can add to it without overflow. None means the same.
_LARGEST_SIZE: Final = 2**62

# A piece of a long frame is kept as it came when it has at least this many
# bytes. Smaller ones are merged, for each object costs 41 bytes in a list.
_PIECE: Final = 1024

# Merged pieces are sealed at this size: a growing bytearray allocates an eighth
# in advance, and the frame as a whole must not.
_SEAL: Final = 2**16

# Above this many bytes a delimiter a read is searched with find(), which is
# memchr() and does not look at every byte as split() does: 64 KiB frames are
# split eight times as quickly, but 8-byte ones ten times as slowly. The two
# break even between 512 and 768 bytes.
_SPARSE: Final = 1024

# One for all decoders: each takes it once in its life, if at all. Re-entrant,
# because a garbage collection may run code that calls another decoder.
_first_buffer_wins: Final = threading.RLock()

_BOM: Final = b"\xef\xbb\xbf"
_SPACE: Final = re.compile(rb"[ \t\r\n]*")


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

    Source: as `Decoder.feed_eof`.

    """

    def __init__(self, offset: int, partial: bytes) -> None:
        super().__init__(offset, partial)
        self.offset = offset
        self.partial = partial

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"  # not the bytes: logs show it

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

    Source: ActionScript 3 reference, XMLSocket: a zero byte ends each document.

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

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"  # not the bytes: logs show it

    def __str__(self) -> str:
        if self.line is None:
            return self.reason
        return f"{self.reason}, line {self.line}, column {self.column}"


@final
class ReadBuffer:
    """
    Fixed memory for reads, shared by the decoders of one thread or event loop.

    The memory never moves and never changes its size. Between `Decoder.get_buffer`
    and `Decoder.buffer_updated` of one decoder nothing else may use it, least of
    all a read in another thread.

    Args:
        size: Bytes of one read at most. ``len()`` returns it.

    Raises:
        ValueError: If ``size`` is less than 1.

    """

    __slots__ = ("_memory", "_view")

    def __init__(self, size: int = 2**16) -> None:
        size = operator.index(size)
        if size < 1:
            raise ValueError(f"size must be at least 1, not {size}")
        # A bytearray cannot be resized, hence not moved, while a view of it
        # exists. A caller may release `_view`; `_memory` is a view of our own.
        self._memory = memoryview(bytearray(size))
        self._view = self._memory[:]

    def __len__(self) -> int:
        return len(self._memory)

    def __reduce__(self) -> NoReturn:
        # A copy would share what changes; the extension has none either.
        raise TypeError(f"cannot pickle {type(self).__name__!r} object")

    def __repr__(self) -> str:
        return f"<ReadBuffer size={len(self)}>"


@final
class Decoder:
    """
    Split a byte stream into frames, each ended by one zero byte.

    The same bytes give the same frames, then the same error, however they are
    cut into reads. Memory held between two calls is at most ``max_size`` plus
    one read, and a tenth of it for bookkeeping, however small the reads are.

    Args:
        max_size: Bytes of one frame at most, delimiter excluded. ``None`` lifts
            the limit; 0 admits nothing but empty frames.
        oversize: What a longer frame does: ``"raise"`` latches `FrameTooBig` and
            ends decoding, ``"skip"`` drops that frame, counts it and goes on
            after its delimiter.
        skip_empty: Drop and count empty frames instead of returning them.
        read_buffer: Memory for `get_buffer`. By default a private one is made
            at the first `get_buffer`.

    Attributes:
        buffered: Bytes held of the unfinished frame.
        error: What ended decoding, and what the next call raises, or ``None``.
        bytes_in: Bytes consumed so far, delimiters and skipped frames included,
            nothing after an error.
        frames_in: Frames returned so far.
        payload_in: Bytes of the frames returned so far, delimiters excluded.
        empty_skipped: Empty frames dropped because of ``skip_empty``.
        oversize_skipped: Frames dropped because of ``oversize="skip"``, counted
            as soon as the limit is passed.

    Raises:
        ValueError: If an option is out of its range.
        TypeError: If ``max_size`` is no integer, or ``read_buffer`` is none of
            the same codec.

    Source: ActionScript 3 reference, XMLSocket: a zero byte ends each document.

    """

    __slots__ = (
        "_buffer",
        "_dropped",
        "_empty_skipped",
        "_eof",
        "_frames_in",
        "_held",
        "_idle",
        "_latched",
        "_limit",
        "_max_size",
        "_more",
        "_oversize_skipped",
        "_raises",
        "_scanned",
        "_skip_empty",
        "_skipped",
        "_sparse",
        "_stopped",
        "_surplus",
        "_tail",
    )

    def __init__(
        self,
        *,
        max_size: int | None = 2**20,
        oversize: Literal["raise", "skip"] = "raise",
        skip_empty: bool = False,
        read_buffer: ReadBuffer | None = None,
    ) -> None:
        if oversize not in ("raise", "skip"):
            raise ValueError(f"oversize must be 'raise' or 'skip', not {oversize!r}")
        if read_buffer is not None and not isinstance(read_buffer, ReadBuffer):
            kind = type(read_buffer).__name__
            raise TypeError(f"read_buffer must be a ReadBuffer of this codec or None, not {kind}")
        self._limit = _check_max_size(max_size)
        self._max_size = None if max_size is None else self._limit
        self._raises = oversize == "raise"
        self._skip_empty = bool(skip_empty)
        self._buffer = read_buffer
        # The token of the thread that is inside. Taking it is one atomic operation,
        # as with a lock, and took a sixth of a lock's time to take and give back.
        self._idle: list[None] = [None]
        self._stopped = False  # by an error or by feed_eof()
        self._eof = False
        self._latched: (
            tuple[type[FrameTooBig], int, int] | tuple[type[IncompleteFrame], int, bytes] | None
        ) = None
        # What is held of the unfinished frame, of _held bytes: _tail, then the
        # pieces in _more, which only a frame of more than two reads has.
        self._tail = b""
        self._more: list[bytes | bytearray] = []
        self._held = 0
        self._sparse = False  # delimiters were far apart in the last read
        self._skipped = 0  # bytes so far of the unfinished frame that is being skipped
        self._scanned = 0  # bytes that were searched for a delimiter
        self._surplus = 0  # those of them that came after an error
        self._dropped = 0  # bytes of ended frames that were too big, delimiters included
        self._frames_in = 0
        self._empty_skipped = 0
        self._oversize_skipped = 0

    def __reduce__(self) -> NoReturn:
        # A copy would share what changes; the extension has none either.
        raise TypeError(f"cannot pickle {type(self).__name__!r} object")

    def __repr__(self) -> str:
        return (
            f"<Decoder max_size={self._max_size} "
            f"buffered={self.buffered} frames_in={self._frames_in}>"
        )

    @property
    def buffered(self) -> int:
        """Bytes held of the unfinished frame."""
        return self._held

    @property
    def error(self) -> FramingError | None:
        """What ended decoding, and what the next call raises, or ``None``."""
        if self._latched is None:
            return None
        kind, *arguments = self._latched
        return kind(*arguments)

    @property
    def bytes_in(self) -> int:
        """Bytes consumed so far: delimiters and skipped frames too, nothing after an error."""
        return self._scanned - self._surplus

    @property
    def bytes_scanned(self) -> int:
        """Bytes searched for a delimiter so far: a test hook, no byte is searched twice."""
        return self._scanned

    @property
    def frames_in(self) -> int:
        """Frames returned so far."""
        return self._frames_in

    @property
    def payload_in(self) -> int:
        """Bytes of the frames returned so far, delimiters excluded."""
        delimiters = self._frames_in + self._empty_skipped
        return self.bytes_in - delimiters - self._dropped - self._skipped - self._held

    @property
    def empty_skipped(self) -> int:
        """Empty frames dropped so far because of ``skip_empty``."""
        return self._empty_skipped

    @property
    def oversize_skipped(self) -> int:
        """Frames dropped so far because of ``oversize="skip"``."""
        return self._oversize_skipped

    def feed(self, data: bytes | bytearray | memoryview, /) -> list[bytes]:
        """
        Split the next piece of the stream into complete frames.

        The result does not depend on how the stream is cut: feeding it whole or
        byte by byte yields the same frames in the same order, then the same error.

        Args:
            data: Bytes just read, of any length including zero. ``bytes`` are
                scanned in place; other buffers are copied once, so the caller
                may change them afterwards.

        Returns:
            Frames completed by ``data``, oldest first, without delimiters.
            Empty when no delimiter arrived.

        Raises:
            FrameTooBig: On the call *after* the one that met a frame longer than
                ``max_size`` bytes. Earlier frames are always returned first.
            InvalidState: After `feed_eof`.
            ConcurrencyError: If another thread is inside this decoder.
            TypeError: If ``data`` is no buffer.

        Cost: O(len(data)), amortised; no byte is scanned for a delimiter twice.

        """
        try:
            self._idle.pop()
        except IndexError:
            raise ConcurrencyError("two threads are inside one decoder") from None
        try:
            if self._stopped:
                self._refuse("feed")
            if type(data) is not bytes:
                # Through a view: bytes(5) would be five zero bytes.
                data = memoryview(data).tobytes()
            return self._split(data)
        finally:
            self._idle.append(None)

    def get_buffer(self, sizehint: int = -1, /) -> memoryview:  # noqa: ARG002  # asyncio's signature
        """
        Return the memory into which to read next, for `buffer_updated`.

        Never raises what is latched, so that ``recv_into`` always has a place to
        write to.

        Args:
            sizehint: Ignored; asyncio's ``BufferedProtocol`` passes it.

        Returns:
            A writable view of the whole read buffer, always the same object.

        """
        if self._buffer is None:
            buffer = ReadBuffer()
            with _first_buffer_wins:
                if self._buffer is None:
                    self._buffer = buffer
        return self._buffer._view  # noqa: SLF001  # of the same file

    def buffer_updated(self, nbytes: int, /) -> list[bytes]:
        """
        Split what was just read into the memory that `get_buffer` returned.

        Args:
            nbytes: How many bytes were read, from the start of that memory.

        Returns:
            Frames completed by these bytes, as `feed` returns them.

        Raises:
            FrameTooBig: As `feed` does.
            InvalidState: After `feed_eof`, or if there is no read buffer yet.
            ConcurrencyError: If another thread is inside this decoder.
            ValueError: If ``nbytes`` is negative or exceeds the read buffer.
                Nothing is consumed then.
            TypeError: If ``nbytes`` is no integer.

        Cost: O(nbytes), amortised.

        """
        try:
            self._idle.pop()
        except IndexError:
            raise ConcurrencyError("two threads are inside one decoder") from None
        try:
            if self._stopped:
                self._refuse("buffer_updated")
            if self._buffer is None:
                raise InvalidState("buffer_updated() before get_buffer()")
            memory = self._buffer._memory  # noqa: SLF001  # of the same file
            nbytes = operator.index(nbytes)
            if not 0 <= nbytes <= len(memory):
                raise ValueError(
                    f"buffer_updated() got nbytes={nbytes}, "
                    f"the read buffer holds {len(memory)} bytes"
                )
            # One copy: frames must outlive the next read, and only bytes split into bytes.
            return self._split(memory[:nbytes].tobytes())
        finally:
            self._idle.append(None)

    def feed_eof(self) -> None:
        """
        Tell that the stream has ended. Calling it again repeats the outcome.

        The unfinished frame at the end of a stream is never delivered: it is a
        truncated document.

        Raises:
            IncompleteFrame: If the stream ended inside a frame. ``partial`` holds
                what had arrived, nothing of a frame that was being skipped.
            FrameTooBig: If that was latched.
            ConcurrencyError: If another thread is inside this decoder.

        Source: Ruffle, core/src/socket.rs, and Netty's DelimiterBasedFrameDecoder drop
        it, too; Flash documents nothing.

        """
        try:
            self._idle.pop()
        except IndexError:
            raise ConcurrencyError("two threads are inside one decoder") from None
        try:
            if not self._stopped and (self._held or self._skipped):
                offset = self._scanned - self._held - self._skipped
                partial = self._take()
                self._latched = IncompleteFrame, offset, partial
                self._held = len(partial)  # by the error from now on
            self._stopped = self._eof = True
            if (error := self.error) is not None:
                raise error
        finally:
            self._idle.append(None)

    def discard(self) -> None:
        """
        Let go of the unfinished frame: nobody will hear its end.

        For connections that are cut off and whose decoder lives on for its
        counters. The stream is over as after `feed_eof`, but nothing is raised,
        and the ``partial`` of an `IncompleteFrame` is empty.

        Raises:
            ConcurrencyError: If another thread is inside this decoder.

        """
        try:
            self._idle.pop()
        except IndexError:
            raise ConcurrencyError("two threads are inside one decoder") from None
        try:
            if self._held or (self._skipped and not self._stopped):
                offset = self._scanned - self._held - self._skipped
                if self._latched is not None:  # by feed_eof(), which has gone before
                    offset = self._latched[1]
                self._latched = IncompleteFrame, offset, b""
            self._dropped += self._held
            self._held = 0
            self._tail = b""
            self._more = []
            self._stopped = self._eof = True
        finally:
            self._idle.append(None)

    def _refuse(self, call: str) -> NoReturn:
        """Raise the reason for which nothing is decoded any more."""
        if self._eof:
            raise InvalidState(f"{call}() after feed_eof()")
        error = self.error
        assert error is not None
        raise error

    def _split(self, data: bytes) -> list[bytes]:
        """Return the frames that ``data`` completes: the only search for delimiters."""
        size = len(data)
        self._scanned += size
        held = self._held
        if self._sparse:
            end = data.find(0)
            if end < 0 < held and held + size <= self._limit:
                self._hold(data)
                return []
            frames = _split_sparse(data, end)
        else:
            frames = data.split(DELIMITER)
        # No part of data is longer than data: while that fits, no frame can be
        # too big, and none is looked at.
        if (held + size > self._limit or self._skipped) and (
            self._skipped
            or held + len(frames[0]) > self._limit
            or max(map(len, frames)) > self._limit
        ):
            return self._walk(frames, self._scanned - size)
        if held:
            if len(frames) == 1:
                self._hold(data)
                self._sparse = True
                return []
            frames[0] = self._take(frames[0]) if self._more else self._tail + frames[0]
        self._tail = tail = frames.pop()
        self._held = len(tail)
        found = len(frames)
        self._sparse = found * _SPARSE < size
        if self._skip_empty and not all(frames):
            frames = self._drop_empty(frames)
            found = len(frames)
        self._frames_in += found
        return frames

    def _walk(self, parts: list[bytes], offset: int) -> list[bytes]:
        """Do the same frame by frame: one of them is too big, or is being skipped."""
        frames: list[bytes] = []
        start = offset - self._held  # of the frame that parts[0] goes on with, unless skipping
        skipping = self._skipped > 0
        for number, part in enumerate(parts):
            if number:  # a delimiter stands between two parts: the frame before it is over
                if skipping:
                    self._dropped += self._skipped + 1
                    self._skipped = 0
                    skipping = False
                else:
                    start += self._held + 1
                    frames.append(self._take())
            if not skipping and self._held + len(part) > self._limit:
                if self._raises:
                    self._latch_too_big(start)
                    break
                skipping = True
                self._oversize_skipped += 1
                self._skipped = self._held
                self._take()
            if skipping:
                self._skipped += len(part)
            else:
                self._hold(part)
        if self._skip_empty:
            frames = self._drop_empty(frames)
        self._frames_in += len(frames)
        return frames

    def _drop_empty(self, frames: list[bytes]) -> list[bytes]:
        kept = [frame for frame in frames if frame]
        self._empty_skipped += len(frames) - len(kept)
        return kept

    def _hold(self, part: bytes) -> None:
        """Keep ``part`` as the next piece of the unfinished frame."""
        if not self._held:
            self._tail = part
        elif len(part) >= _PIECE:
            self._more.append(part)
        elif part:
            more = self._more
            if more and isinstance(more[-1], bytearray):
                more[-1] += part
                if len(more[-1]) >= _SEAL:
                    more[-1] = bytes(more[-1])
            else:
                more.append(bytearray(part))
        self._held += len(part)

    def _take(self, end: bytes = b"") -> bytes:
        """Return what is held of the unfinished frame with ``end`` after it, and hold nothing."""
        if self._more:
            whole = b"".join([self._tail, *self._more, end])
            self._more = []
        else:
            whole = self._tail + end
        self._tail = b""
        self._held = 0
        return whole

    def _latch_too_big(self, start: int) -> None:
        """End decoding: byte ``max_size + 1`` of the frame at ``start`` has been seen."""
        self._take()
        self._latched = FrameTooBig, start, self._limit
        self._stopped = True
        self._dropped += self._limit + 1
        self._surplus = self._scanned - (start + self._limit + 1)


def encode(payload: bytes | bytearray | memoryview | str, /) -> bytes:
    """
    Return ``payload`` as one frame: itself and the delimiter.

    Args:
        payload: A document, of any length including zero. ``str`` is encoded as
            UTF-8; other buffers than ``bytes`` are copied as the bytes they hold.

    Raises:
        DelimiterInPayload: If it holds a zero byte, which would end it early.
        UnicodeEncodeError: If the text holds a lone surrogate.
        TypeError: If it is neither text nor a buffer.

    Cost: O(len(payload)).

    Source: ActionScript 3 reference, XMLSocket: a zero byte ends each document.

    """
    if type(payload) is not bytes:
        payload = _payload_bytes(payload)
    if DELIMITER in payload:
        raise DelimiterInPayload(payload.index(DELIMITER))
    return payload + DELIMITER


def encode_many(payloads: Iterable[bytes | bytearray | memoryview | str], /) -> bytes:
    """
    Return every payload as a frame, all in one ``bytes``, in order.

    Nothing is returned unless every payload is good.

    Args:
        payloads: What `encode` takes, any number of them. The iterable is read
            to its end before the first payload is looked at, and what it raises
            passes through. All are made into bytes before the first is searched.

    Raises:
        DelimiterInPayload: If a payload holds a zero byte. ``item`` tells which.
        UnicodeEncodeError: If a text holds a lone surrogate.
        TypeError: If one is neither text nor a buffer.

    Cost: O(total length); the result is allocated once.

    Source: ActionScript 3 reference, XMLSocket: a zero byte ends each document.

    """
    items = list(payloads)
    try:
        encoded = DELIMITER.join([*items, b""])  # type: ignore[list-item]  # text is caught below
        if encoded.count(DELIMITER) == len(items):
            return encoded
    except (TypeError, BufferError):  # text, or a view with gaps
        pass
    # A copy of each first: what other threads write meanwhile must not get past.
    whole = [_payload_bytes(item) for item in items]
    for number, payload in enumerate(whole):
        if DELIMITER in payload:
            raise DelimiterInPayload(payload.index(DELIMITER), number)
    return DELIMITER.join([*whole, b""])


def check_document(frame: bytes, /) -> None:
    """
    Refuse what no parser should see: a DOCTYPE, bytes that are no UTF-8, no XML.

    Looks at the prolog (byte order mark, declaration, processing instructions,
    comments) up to the first element, and at the encoding of the whole frame. It
    accepts every well-formed document without a DOCTYPE and refuses every
    DOCTYPE; whether the rest is well-formed is for the parser to say.

    Args:
        frame: A whole frame, delimiter excluded.

    Raises:
        TypeError: If it is not bytes.
        DocumentError: With the reason and the place of the fault. Columns are
            counted in bytes.

    Cost: O(len(frame)); no byte of the prolog is looked at twice.

    Source: XML 1.0, section 2.8, for what a prolog is; that a DOCTYPE is refused is
    ours.

    """
    if type(frame) is not bytes:
        if not isinstance(frame, bytes):
            raise TypeError(f"frame must be bytes, not {type(frame).__name__}")
        frame = memoryview(frame).tobytes()  # a subclass may have methods of its own
    place = _skip_prolog(frame)
    if frame[place : place + 9].upper() == b"<!DOCTYPE":
        raise _document_error("DOCTYPE is not allowed", frame, place)
    if frame[place + 1 : place + 2] in (b"", b"!", b"/"):
        raise _document_error("no element", frame, place)
    if not frame.isascii():
        try:
            frame.decode()
        except UnicodeDecodeError as error:
            raise _document_error("invalid UTF-8", frame, error.start) from None


def _skip_prolog(frame: bytes) -> int:
    """Return the place of the first ``<`` that begins neither an instruction nor a comment."""
    # By hand, not by one regular expression: to match, `<!--.*?-->` goes on past
    # the end of a comment and takes a DOCTYPE inside one for a real one.
    place = len(_BOM) if frame.startswith(_BOM) else 0
    while True:
        if not frame.startswith(b"<", place):
            space = _SPACE.match(frame, place)
            assert space is not None  # it matches nothing, too
            place = space.end()
            if not frame.startswith(b"<", place):
                reason = "document is empty" if place == len(frame) else "no XML document"
                raise _document_error(reason, frame, place)
        if frame.startswith(b"<?", place):
            end = frame.find(b"?>", place + 2)
            if end < 0:
                raise _document_error("processing instruction without end", frame, place)
            place = end + 2
        elif frame.startswith(b"<!--", place):
            end = frame.find(b"-->", place + 4)
            if end < 0:
                raise _document_error("comment without end", frame, place)
            place = end + 3
        else:
            return place


def _split_sparse(data: bytes, end: int) -> list[bytes]:
    """Do ``data.split(DELIMITER)``, of which ``end`` is the first, one ``find()`` a delimiter."""
    parts = []
    start = 0
    while end >= 0:
        parts.append(data[start:end])
        start = end + 1
        end = data.find(0, start)
    parts.append(data[start:])
    return parts


def _check_max_size(max_size: int | None) -> int:
    if max_size is None:
        return _LARGEST_SIZE
    try:
        limit = operator.index(max_size)
    except TypeError:
        kind = type(max_size).__name__
        raise TypeError(f"max_size must be an int or None, not {kind}") from None
    if isinstance(max_size, bool) or not 0 <= limit <= _LARGEST_SIZE:
        raise ValueError(
            f"max_size must be None or between 0 and {_LARGEST_SIZE}, not {max_size!r}"
        )
    return limit


def _payload_bytes(payload: object) -> bytes:
    if isinstance(payload, str):
        return str.encode(payload)  # a subclass may have a method of its own
    try:
        view = memoryview(payload)  # type: ignore[arg-type]  # what it refuses is reported below
    except TypeError:
        kind = type(payload).__name__
        raise TypeError(f"payload must be bytes-like or str, not {kind}") from None
    return view.tobytes()


def _document_error(reason: str, frame: bytes, place: int) -> DocumentError:
    # rfind() returns -1 in the first line, which makes columns count from 1 there too.
    column = place - frame.rfind(b"\n", 0, place)
    return DocumentError(reason, frame, frame.count(b"\n", 0, place) + 1, column)
