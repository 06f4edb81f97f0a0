"""The memory of decoders is bounded: measured in bytes of the process, never in seconds."""

from __future__ import annotations

import ctypes
import gc
import pathlib
import sys
import tracemalloc
from typing import TYPE_CHECKING

import pytest

from xmlsocket import pure

if TYPE_CHECKING:
    from collections.abc import Callable

    from .support.codecs import CodecModule

KIB = 2**10
MIB = 2**20

STATM = pathlib.Path("/proc/self/statm")
PAGE = 4 * KIB

needs_glibc = pytest.mark.skipif(
    not STATM.exists() or not hasattr(ctypes.CDLL(None), "malloc_trim"),
    reason="only Linux tells resident memory, and only glibc can be asked to give back free memory",
)


def resident() -> int:
    """Return the memory of this process in bytes: the extension's does not show in tracemalloc."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    return int(STATM.read_text().split()[1]) * PAGE


def growth(run: Callable[[], object]) -> tuple[int, object]:
    """Return by how many bytes the process grows, and what keeps them."""
    before = resident()
    kept = run()
    return resident() - before, kept


def holding(codec: CodecModule, size: int, read: int) -> pure.Decoder:
    """Return a decoder that holds ``size`` bytes of an unfinished frame."""
    decoder = codec.Decoder(max_size=size)
    for place in range(0, size, read):
        assert [] == decoder.feed(b"x" * min(read, size - place))
    assert size == decoder.buffered
    return decoder


@needs_glibc
@pytest.mark.parametrize("read", [1460, 64 * KIB])
def test_decoders_with_unfinished_frames_hold_max_size_each(codec: CodecModule, read: int) -> None:
    """A peer that never ends its frame costs max_size, a tenth for bookkeeping, and no more."""
    holding(codec, MIB, read)

    grown, decoders = growth(lambda: [holding(codec, MIB, read) for _ in range(48)])

    assert isinstance(decoders, list)
    assert 47 * MIB < grown < 48 * 1.1 * MIB + 4 * MIB


@needs_glibc
def test_decoders_after_a_long_frame_give_its_memory_back(codec: CodecModule) -> None:
    """Connections that once had a frame of 1 MiB do not keep room for another."""

    def once_large() -> pure.Decoder:
        decoder = holding(codec, MIB, 64 * KIB)
        assert 1 == len(decoder.feed(b"\0abc"))
        return decoder

    once_large()

    grown, decoders = growth(lambda: [once_large() for _ in range(100)])

    assert isinstance(decoders, list)
    assert grown < 20 * MIB


@needs_glibc
def test_decoders_stopped_by_a_frame_too_big_give_its_memory_back(codec: CodecModule) -> None:
    """What was held of a frame too big is freed when the limit is passed."""

    def stopped() -> pure.Decoder:
        decoder = holding(codec, MIB, 64 * KIB)
        decoder.feed(b"x")
        assert decoder.error is not None
        return decoder

    stopped()

    grown, decoders = growth(lambda: [stopped() for _ in range(100)])

    assert isinstance(decoders, list)
    assert grown < 20 * MIB


@needs_glibc
def test_decoder_skipping_an_endless_frame_does_not_grow(codec: CodecModule) -> None:
    """A frame that is being skipped costs nothing, however long it gets."""
    decoder = codec.Decoder(max_size=KIB, oversize="skip")
    read = b"x" * MIB
    decoder.feed(read)

    grown, _ = growth(lambda: [decoder.feed(read) for _ in range(64)])

    assert 65 * MIB == decoder.bytes_in
    assert grown < 8 * MIB


@pytest.mark.parametrize(
    ("sizes", "share"),
    [
        ([1], 0.01),
        ([7], 0.01),
        ([1023], 0.01),
        ([1024], 0.05),
        ([1, 1024], 0.11),
        ([1, 1, 2000], 0.06),
    ],
    ids=str,
)
def test_pure_decoder_small_reads_cost_a_tenth_of_bookkeeping(
    sizes: list[int], share: float
) -> None:
    """The pieces of a long frame do not each carry the weight of an object."""
    decoder = pure.Decoder()
    reads = [b"x" * size for size in sizes]

    for kib in range(1, 200):
        while decoder.buffered < kib * KIB:
            for read in reads:
                assert [] == decoder.feed(read)
        parts = [decoder._tail, *decoder._more]
        held = sys.getsizeof(decoder._more) + sum(map(sys.getsizeof, parts))

        assert decoder.buffered == sum(map(len, parts))
        # The piece that is still growing has an eighth of 64 KiB in reserve.
        assert held < decoder.buffered * (1 + share) + 9 * KIB


def kept(decoder: pure.Decoder) -> list[tuple[type, int]]:
    """Return kind and length of what is held of an unfinished frame after its first read."""
    return [(type(piece), len(piece)) for piece in decoder._more]


def test_pure_decoder_keeps_long_reads_as_they_came_and_merges_short_ones() -> None:
    """What has 1 KiB is worth an object of its own, and is not copied."""
    decoder = pure.Decoder()
    reads = [b"x" * size for size in (1, 1024, 1023, 1, 2000, 1023)]
    for read in reads:
        decoder.feed(read)

    assert [(bytes, 1024), (bytearray, 1024), (bytes, 2000), (bytearray, 1023)] == kept(decoder)
    assert reads[0] is decoder._tail
    assert reads[1] is decoder._more[0]
    assert reads[4] is decoder._more[2]


def test_pure_decoder_after_short_frames_keeps_a_long_read_as_it_came() -> None:
    """The first read without a delimiter is not copied onto what is held either."""
    decoder = pure.Decoder()
    decoder.feed(b"a\0" * 700 + b"b")

    decoder.feed(read := b"x" * 1460)

    assert b"b" == decoder._tail
    assert read is decoder._more[0]


@pytest.mark.parametrize("last", [1, 1000])
def test_pure_decoder_seals_merged_reads_at_64_kib(last: int) -> None:
    """What grows has an eighth in reserve, so that it may not grow for ever."""
    decoder = pure.Decoder()
    before = [(bytes, 2048)] * 3
    for size in (2048, 2048, 2048, 2048, *[1023] * 64, 63):
        decoder.feed(b"x" * size)
    assert [*before, (bytearray, 2**16 - 1)] == kept(decoder)

    decoder.feed(b"x" * last)

    assert [*before, (bytes, 2**16 - 1 + last)] == kept(decoder)
    decoder.feed(b"xyz")
    assert [*before, (bytes, 2**16 - 1 + last), (bytearray, 3)] == kept(decoder)
    frame = decoder.feed(b"\0")[0]
    assert b"x" * (len(frame) - 2) + b"yz" == frame


def test_pure_buffer_updated_copies_only_what_was_read() -> None:
    """A short read into a large buffer does not cost a copy of the buffer."""
    decoder = pure.Decoder(read_buffer=pure.ReadBuffer(MIB))
    decoder.get_buffer()[:2] = b"a\0"

    tracemalloc.start()
    try:
        assert [b"a"] == decoder.buffer_updated(2)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 4 * KIB


def traced_peak(run: Callable[[], object]) -> int:
    """Return by how many bytes Python's own memory grows at most while ``run`` runs."""
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        kept = run()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept
    return peak - before


@pytest.mark.parametrize("count", [1, 64])
def test_feed_frames_whole_in_one_read_are_copied_once(codec: CodecModule, count: int) -> None:
    """What lies whole in a read becomes one object a frame; nothing is copied on the way."""
    frame = b"x" * (MIB // count)
    read = (frame + b"\0") * count
    decoder = codec.Decoder()

    peak = traced_peak(lambda: decoder.feed(read))

    assert MIB <= peak <= MIB + 64 * KIB


def test_feed_long_frame_in_many_reads_is_copied_once_at_its_end(codec: CodecModule) -> None:
    """The reads of a long frame are kept, not copied together before it is complete."""
    reads = [b"x" * 64 * KIB] * 16
    decoder = codec.Decoder(max_size=2 * MIB)
    for read in reads:
        decoder.feed(read)

    peak = traced_peak(lambda: decoder.feed(b"\0"))

    assert MIB <= peak <= MIB + 64 * KIB
