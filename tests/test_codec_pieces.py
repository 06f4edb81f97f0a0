"""Long frames are kept as pieces of reads, shared or merged: none is lost, changed or kept."""

from __future__ import annotations

import random
import sys
from typing import TYPE_CHECKING

import pytest

from xmlsocket.exceptions import IncompleteFrame

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .support.codecs import CodecModule

KIB = 2**10

# Lengths around those at which a codec changes how it keeps a piece.
FRAMES = [0, 1, 60, 1023, 1024, 4095, 4096, 4097, 20_000, 65_535, 65_536, 65_537, 300_000]
READS = [1, 100, 1024, 1460, 4095, 4096, 4097, 8192, 65_535, 65_536, 65_537, 200_000]


def random_stream(numbers: random.Random) -> bytes:
    """Return up to five frames, the last without its delimiter."""
    frames = [numbers.randbytes(numbers.choice(FRAMES)) for _ in range(numbers.randrange(1, 6))]
    return b"\0".join(frame.replace(b"\0", b"x") for frame in frames)


def random_reads(numbers: random.Random, stream: bytes) -> Iterator[bytes]:
    """Cut a stream into reads."""
    place = 0
    # One size for most reads of a stream, as on a socket, and others in between.
    usual = numbers.choice(READS)
    while place < len(stream):
        size = usual if numbers.random() < 0.8 else numbers.choice(READS)
        # A stream of 300 KB in reads of a few bytes would only take time.
        size = max(size, len(stream) // 2000)
        yield stream[place : place + size]
        place += size


@pytest.mark.parametrize("feed", ["feed", "buffer_updated", "both"])
@pytest.mark.parametrize("seed", range(40))
def test_long_frames_in_reads_of_any_size_come_out_whole(
    codec: CodecModule, seed: int, feed: str
) -> None:
    """Whatever the sizes of frames and reads, the frames are those of the stream."""
    numbers = random.Random(seed)
    stream = random_stream(numbers)
    *expected, tail = stream.split(b"\0")
    decoder = codec.Decoder(read_buffer=codec.ReadBuffer(200_000))
    frames = []

    for read in random_reads(numbers, stream):
        if feed == "feed" or (feed == "both" and numbers.random() < 0.5):
            frames += decoder.feed(read)
        else:
            decoder.get_buffer()[: len(read)] = read
            frames += decoder.buffer_updated(len(read))

    assert expected == frames
    assert len(tail) == decoder.buffered
    if tail:
        with pytest.raises(IncompleteFrame) as caught:
            decoder.feed_eof()
        assert tail == caught.value.partial


@pytest.mark.parametrize("size", [10, 5000, 100 * KIB])
def test_feed_mutable_read_changed_afterwards_changes_no_frame(
    codec: CodecModule, size: int
) -> None:
    """A ``bytearray`` belongs to the caller again as soon as ``feed`` has returned."""
    decoder = codec.Decoder()
    read = bytearray(b"a" * size)

    for _ in range(3):
        assert [] == decoder.feed(read)
        read[:] = b"b" * size
        assert [] == decoder.feed(read)
        read[:] = b"a" * size

    assert [(b"a" * size + b"b" * size) * 3] == decoder.feed(b"\0")


def test_buffer_updated_memory_used_again_changes_no_frame(codec: CodecModule) -> None:
    """What a frame has got so far is out of the read buffer before the next read."""
    decoder = codec.Decoder()
    view = decoder.get_buffer()
    size = len(view)

    for byte in b"abc":
        view[:] = bytes([byte]) * size
        assert [] == decoder.buffer_updated(size)

    view[:1] = b"\0"
    assert [b"a" * size + b"b" * size + b"c" * size] == decoder.buffer_updated(1)


@pytest.mark.parametrize("size", [100, 100 * KIB])
def test_reads_of_a_frame_are_released_when_it_ends(codec: CodecModule, size: int) -> None:
    """A decoder keeps no read alive beyond the frame that it belongs to."""
    decoder = codec.Decoder()
    reads = [bytes([byte]) * size for byte in b"abc"]
    before = [sys.getrefcount(read) for read in reads]

    assert [[], [], []] == [decoder.feed(read) for read in reads]
    assert [b"".join(reads)] == decoder.feed(b"\0")

    assert before == [sys.getrefcount(read) for read in reads]


def test_short_end_of_a_long_read_does_not_keep_the_read(codec: CodecModule) -> None:
    """A frame that has just begun does not hold all of the read that it began in."""
    decoder = codec.Decoder()
    read = b"<a/>\0" * (200 * KIB) + b"x" * (10 * KIB)
    before = sys.getrefcount(read)

    assert 200 * KIB == len(decoder.feed(read))

    assert 10 * KIB == decoder.buffered
    assert before == sys.getrefcount(read)


def test_error_releases_the_reads_of_the_frame_too_big(codec: CodecModule) -> None:
    """Nothing is held of a frame that ended the stream."""
    decoder = codec.Decoder(max_size=150 * KIB)
    read = b"x" * (100 * KIB)
    before = sys.getrefcount(read)

    decoder.feed(read)
    decoder.feed(read)

    assert decoder.error is not None
    assert 0 == decoder.buffered
    assert before == sys.getrefcount(read)
