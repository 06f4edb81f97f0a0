"""
The codec in Rust.

`xmlsocket.codec` chooses between this module and its twin `xmlsocket.pure`:
import from there, this one is private. The two have the same names, errors,
offsets and counters, and pass the same tests.
"""

from collections.abc import Coroutine, Iterable
from typing import Any, Literal, Self, final

from .pure import FramingError

__all__ = ["Decoder", "Outbox", "ReadBuffer", "check_document", "encode", "encode_many"]

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

    def __new__(cls, size: int = 65536) -> Self: ...
    def __len__(self) -> int: ...

@final
class Decoder:
    """
    Split a byte stream into frames, each ended by one zero byte.

    The same bytes give the same frames, then the same error, however they are
    cut into reads. Memory held between two calls is at most ``max_size`` plus
    one read, and a tenth of it for bookkeeping, however small the reads are.
    Long pieces of an unfinished frame stay in the ``bytes`` they came in.

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
        TypeError: If ``max_size`` is no integer or ``read_buffer`` is none of
            this module.

    Source: ActionScript 3 reference, XMLSocket: a zero byte ends each document.

    """

    def __new__(
        cls,
        *,
        max_size: int | None = 1048576,
        oversize: Literal["raise", "skip"] = "raise",
        skip_empty: bool = False,
        read_buffer: ReadBuffer | None = None,
    ) -> Self: ...
    @property
    def buffered(self) -> int:
        """Bytes held of the unfinished frame."""

    @property
    def error(self) -> FramingError | None:
        """What ended decoding, and what the next call raises, or ``None``."""

    @property
    def bytes_in(self) -> int:
        """Bytes consumed so far: delimiters and skipped frames too, nothing after an error."""

    @property
    def bytes_scanned(self) -> int:
        """Bytes searched for a delimiter so far: a test hook, no byte is searched twice."""

    @property
    def frames_in(self) -> int:
        """Frames returned so far."""

    @property
    def payload_in(self) -> int:
        """Bytes of the frames returned so far, delimiters excluded."""

    @property
    def empty_skipped(self) -> int:
        """Empty frames dropped so far because of ``skip_empty``."""

    @property
    def oversize_skipped(self) -> int:
        """Frames dropped so far because of ``oversize="skip"``."""

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

        Cost: O(len(data)), amortised; no byte is scanned for a delimiter twice,
        and each frame that lies whole in ``data`` is copied once, into its object.

        """

    def get_buffer(self, sizehint: int = -1, /) -> memoryview:
        """
        Return the memory into which to read next, for `buffer_updated`.

        Never raises what is latched, so that ``recv_into`` always has a place to
        write to.

        Args:
            sizehint: Ignored; asyncio's ``BufferedProtocol`` passes it.

        Returns:
            A writable view of the whole read buffer, always the same object.

        """

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

        """

    def discard(self) -> None:
        """
        Let go of the unfinished frame: nobody will hear its end.

        For connections that are cut off and whose decoder lives on for its
        counters. The stream is over as after `feed_eof`, but nothing is raised,
        and the ``partial`` of an `IncompleteFrame` is empty.

        Raises:
            ConcurrencyError: If another thread is inside this decoder.

        """

@final
class Outbox:
    """
    The frames that wait to be written on one connection, and the account of them.

    Its twin, `xmlsocket.outbox.PureOutbox`, has the same names and the same
    account, but for `put`, which it leaves to the long way.

    Args:
        overhead: Bytes charged beyond its length for a document or a block of
            frames.

    """

    room: int | None
    """The charge up to which `put` takes documents; ``None`` while it takes none."""

    def __new__(cls, overhead: int, /) -> Self: ...
    def put(self, document: object, /) -> Coroutine[Any, Any, None] | None:
        """
        Take a document if others wait already and nothing stands in its way.

        Args:
            document: Text or bytes.

        Returns:
            What to await, without waiting; or ``None`` if the document was not
            taken: nothing waits that it could join, it does not fit into `room`,
            holds a delimiter or has another type.

        """

    def push(self, data: bytes, frames: int = 1, /) -> int:
        """
        Append frames that are encoded.

        Args:
            data: The frames, delimiters included. Kept, not copied.
            frames: How many they are.

        Returns:
            The charge of all that waits.

        """

    def take(self, limit: int, /) -> bytes:
        """
        Take what to write next off the front.

        Args:
            limit: When this many bytes are there, no further block is taken.

        Returns:
            The bytes of whole blocks; empty if nothing waits. A block that was
            pushed and is taken alone is the object that was pushed.

        """

    def clear(self) -> None:
        """Drop all that waits, and take no more documents."""

    @property
    def charge(self) -> int:
        """What waits: its bytes, and the overhead of each document or block."""

    @property
    def frames(self) -> int:
        """Frames taken so far."""

    @property
    def bytes(self) -> int:
        """Bytes taken so far, delimiters included."""

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

    """

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

    """

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
        DocumentError: With the reason and the place of the fault. Columns are
            counted in bytes.

    Cost: O(len(frame)); no byte of the prolog is looked at twice.

    """
