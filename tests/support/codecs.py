"""What the tests of the codec share: the type of its twins, and ways to drive a decoder."""

from __future__ import annotations

import dataclasses
import itertools
from typing import TYPE_CHECKING, Any, Protocol

from xmlsocket.exceptions import FrameTooBig, FramingError, IncompleteFrame

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from xmlsocket import pure

    Feed = Callable[["pure.Decoder", Iterable[bytes]], list[bytes]]

__all__ = ["FEEDS", "CodecModule", "Outcome", "decode", "describe", "pieces"]


class CodecModule(Protocol):
    """Either twin. The pure one lends its types to both."""

    Decoder: type[pure.Decoder]
    ReadBuffer: type[pure.ReadBuffer]

    encode: Callable[[Any], bytes]
    encode_many: Callable[[Iterable[Any]], bytes]
    check_document: Callable[[Any], None]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outcome:
    """Everything that a decoder tells about a stream."""

    frames: list[bytes]
    error: tuple[object, ...] | None
    bytes_in: int
    frames_in: int
    payload_in: int
    empty_skipped: int
    oversize_skipped: int
    buffered: int


def describe(error: BaseException | None) -> tuple[object, ...] | None:
    """Return an error of the codec as a value that compares."""
    match error:
        case None:
            return None
        case FrameTooBig():
            return "FrameTooBig", error.offset, error.limit
        case IncompleteFrame():
            return "IncompleteFrame", error.offset, error.partial
        case _:
            raise TypeError(f"no error of a decoder: {error!r}")


def pieces(stream: bytes, cuts: Iterable[int]) -> list[bytes]:
    """Cut a stream at the given places; equal ones give empty pieces."""
    places = [0, *sorted(cuts), len(stream)]
    return [stream[start:end] for start, end in itertools.pairwise(places)]


def feed(decoder: pure.Decoder, reads: Iterable[bytes]) -> list[bytes]:
    """Feed a decoder until it is stopped."""
    frames = []
    for read in reads:
        frames += decoder.feed(read)
        if decoder.error is not None:
            break
    return frames


def read_into(decoder: pure.Decoder, reads: Iterable[bytes]) -> list[bytes]:
    """Do the same through the decoder's read buffer, as a ``recv_into`` would."""
    frames = []
    for read in reads:
        rest = read
        while True:
            memory = decoder.get_buffer(-1)
            part, rest = rest[: len(memory)], rest[len(memory) :]
            memory[: len(part)] = part
            frames += decoder.buffer_updated(len(part))
            if decoder.error is not None:
                return frames
            if not rest:
                break
    return frames


def alternate(decoder: pure.Decoder, reads: Iterable[bytes]) -> list[bytes]:
    """Do the same both ways in turn, with buffers of several types."""
    ways: list[Callable[[bytes], list[bytes]]] = [
        lambda read: feed(decoder, [read]),
        lambda read: read_into(decoder, [read]),
        lambda read: decoder.feed(bytearray(read)),
        lambda read: decoder.feed(memoryview(b"<" + read + b">")[1:-1]),
    ]
    frames = []
    for number, read in enumerate(reads):
        frames += ways[number % len(ways)](read)
        if decoder.error is not None:
            break
    return frames


FEEDS: dict[str, Feed] = {"feed": feed, "read_into": read_into, "alternate": alternate}
"""The ways by which bytes get into a decoder."""


def decode(decoder: pure.Decoder, reads: Iterable[bytes], way: Feed = feed) -> Outcome:
    """Take a new decoder to the end of a stream and return all that it tells."""
    frames = way(decoder, reads)
    scanned = decoder.bytes_scanned
    if decoder.error is None:
        assert decoder.bytes_in == scanned, "a byte was searched twice, or never"
    outcome = Outcome(
        frames=frames,
        error=None,
        bytes_in=decoder.bytes_in,
        frames_in=decoder.frames_in,
        payload_in=decoder.payload_in,
        empty_skipped=decoder.empty_skipped,
        oversize_skipped=decoder.oversize_skipped,
        buffered=decoder.buffered,
    )
    try:
        decoder.feed_eof()
    except FramingError as error:
        return dataclasses.replace(outcome, error=describe(error))
    return outcome
