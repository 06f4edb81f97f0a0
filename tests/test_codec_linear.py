"""The work grows with the bytes, not with the reads: counted in bytes, never in seconds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import pytest

from xmlsocket import pure

if TYPE_CHECKING:
    from collections.abc import Callable

    from .support.codecs import CodecModule

MIB = 2**20


class Splitter(Protocol):
    """What this file asks of a decoder."""

    def feed(self, data: bytes, /) -> list[bytes]:
        """Return the frames completed by ``data``."""
        ...

    @property
    def bytes_scanned(self) -> int:
        """Bytes searched for a delimiter so far."""
        ...


class StartsAgain:
    """A wrong decoder: correct frames, but each read searches the unfinished one from its start."""

    def __init__(self) -> None:
        self._tail = b""
        self.bytes_scanned = 0

    def feed(self, data: bytes, /) -> list[bytes]:
        """Return the frames completed by ``data``."""
        data = self._tail + data
        self.bytes_scanned += len(data)
        *frames, self._tail = data.split(b"\0")
        return frames


class StartsAgainWhenFound(StartsAgain):
    """Another: it resumes where it stopped, but goes over a frame again once it is complete."""

    def feed(self, data: bytes, /) -> list[bytes]:
        """Return the frames completed by ``data``."""
        if b"\0" not in data:
            self.bytes_scanned += len(data)
            self._tail += data
            return []
        return super().feed(data)


def feed_in_pieces(decoder: Splitter, stream: bytes, size: int) -> list[bytes]:
    """Feed a stream in pieces of ``size`` bytes and check that none was searched twice."""
    frames = []
    for place in range(0, len(stream), size):
        frames += decoder.feed(stream[place : place + size])
    assert len(stream) == decoder.bytes_scanned
    return frames


@pytest.mark.parametrize("size", [1, 2, 7])
def test_feed_bytewise_long_frame_searches_each_byte_once(codec: CodecModule, size: int) -> None:
    """A frame that comes byte by byte costs no more searching than one that comes whole."""
    frames = [b"x" * 150_000, b"", b"y" * 50_000]

    assert frames == feed_in_pieces(codec.Decoder(), b"\0".join(frames) + b"\0", size)


def test_feed_mebibyte_frames_in_segments_searches_each_byte_once(codec: CodecModule) -> None:
    """Frames of 1 MiB in reads of 1460 bytes cost no more searching than in one read."""
    frames = [bytes([number]) * MIB for number in range(1, 5)]

    assert frames == feed_in_pieces(codec.Decoder(), b"\0".join(frames) + b"\0", 1460)


@pytest.mark.parametrize("size", [1, 1460, 2**16])
def test_feed_skipped_frame_searches_each_byte_once(codec: CodecModule, size: int) -> None:
    """A frame that is being skipped is searched for its end, once."""
    decoder = codec.Decoder(max_size=1000, oversize="skip", skip_empty=True)

    assert [b"y"] == feed_in_pieces(decoder, b"x" * 100_000 + b"\0\0\0y\0", size)
    assert (1, 2) == (decoder.oversize_skipped, decoder.empty_skipped)


def test_buffer_updated_in_segments_searches_each_byte_once(codec: CodecModule) -> None:
    """The same holds for reads into the decoder's own memory."""
    decoder = codec.Decoder(read_buffer=codec.ReadBuffer(1460))
    view = decoder.get_buffer()
    view[:] = b"x" * 1460

    for _ in range(700):
        decoder.buffer_updated(1460)
    view[:1] = b"\0"

    assert [b"x" * 700 * 1460] == decoder.buffer_updated(1)
    assert 700 * 1460 + 1 == decoder.bytes_scanned


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the lengths of the reads that were split by find() instead of split()."""
    found = []
    split = pure._split_sparse

    def counted(data: bytes, end: int) -> list[bytes]:
        found.append(len(data))
        return split(data, end)

    monkeypatch.setattr(pure, "_split_sparse", counted)
    return found


def test_pure_decoder_long_frame_is_searched_the_quick_way(quick: list[int]) -> None:
    """Where delimiters are far apart split() gives way to find(), and comes back with them."""
    decoder = pure.Decoder()
    for read in (b"a\0" * 700 + b"b", b"x" * 1460, b"\0" + b"a\0" * 720, b"a\0"):
        decoder.feed(read)

    assert [1441] == quick


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_pure_decoder_searches_the_quick_way_above_1_kib_a_frame(
    quick: list[int], frames: int
) -> None:
    """What a read held says how the next one is searched: 1,024 bytes a delimiter are the edge."""
    for length, found in ((1024 * frames, []), (1024 * frames + 1, [2])):
        decoder = pure.Decoder()
        assert frames == len(decoder.feed(b"a\0" * frames + b"b" * (length - 2 * frames)))

        decoder.feed(b"a\0")

        assert found == quick


@pytest.mark.parametrize("wrong", [StartsAgain, StartsAgainWhenFound])
def test_planted_quadratic_decoder_is_caught(wrong: Callable[[], StartsAgain]) -> None:
    """The check of this file fails on decoders that search a byte twice: it is a check."""
    frames = [b"x" * 20_000, b"y"]

    with pytest.raises(AssertionError):
        feed_in_pieces(wrong(), b"\0".join(frames) + b"\0", 1460)
    assert frames == feed_in_pieces(wrong(), b"\0".join(frames) + b"\0", 2**16)
