"""
The codec in Rust.

`xmlsocket.codec` chooses between this module and its twin `xmlsocket.pure`:
import from there, this one is private. The two have the same names, errors,
offsets and counters, and pass the same tests. What `help` says of the extension
is the text of the twin, which the build takes from there.
"""

from collections.abc import Coroutine, Iterable
from typing import Any, Literal, Self, final

from .pure import FramingError

__all__ = ["Decoder", "Outbox", "ReadBuffer", "check_document", "encode", "encode_many"]

@final
class ReadBuffer:
    def __new__(cls, size: int = 65536) -> Self: ...
    def __len__(self) -> int: ...

@final
class Decoder:
    def __new__(
        cls,
        *,
        max_size: int | None = 1048576,
        oversize: Literal["raise", "skip"] = "raise",
        skip_empty: bool = False,
        read_buffer: ReadBuffer | None = None,
    ) -> Self: ...
    @property
    def buffered(self) -> int: ...
    @property
    def error(self) -> FramingError | None: ...
    @property
    def bytes_in(self) -> int: ...
    @property
    def bytes_scanned(self) -> int: ...
    @property
    def frames_in(self) -> int: ...
    @property
    def payload_in(self) -> int: ...
    @property
    def empty_skipped(self) -> int: ...
    @property
    def oversize_skipped(self) -> int: ...
    def feed(self, data: bytes | bytearray | memoryview, /) -> list[bytes]: ...
    def get_buffer(self, sizehint: int = -1, /) -> memoryview: ...
    def buffer_updated(self, nbytes: int, /) -> list[bytes]: ...
    def feed_eof(self) -> None: ...
    def discard(self) -> None: ...

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

def encode(payload: bytes | bytearray | memoryview | str, /) -> bytes: ...
def encode_many(payloads: Iterable[bytes | bytearray | memoryview | str], /) -> bytes: ...
def check_document(frame: bytes, /) -> None: ...
