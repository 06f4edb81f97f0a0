"""The rules of the codec, each on both twins. What ``tests/vectors`` can tell is told there."""

from __future__ import annotations

import array
import copy
import inspect
import pickle
from typing import TYPE_CHECKING, Any, cast

import pytest

from xmlsocket import pure
from xmlsocket.exceptions import (
    DelimiterInPayload,
    DocumentError,
    FrameTooBig,
    IncompleteFrame,
    InvalidState,
)

from .support.codecs import describe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .support.codecs import CodecModule

MIB = 2**20

PUBLIC = ["Decoder", "ReadBuffer", "check_document", "encode", "encode_many"]


class Subclass(bytes):
    """Bytes with methods of their own, which no codec may ask."""

    __slots__ = ()

    def __len__(self) -> int:
        return 1

    def find(self, *_: object) -> int:
        """Find nothing."""
        return -1

    def split(self, *_: object) -> list[bytes]:
        """Return anything but what was asked for."""
        return [b"anything"]

    def startswith(self, *_: object) -> bool:
        """Agree."""
        return True


class Number:
    """What stands for an int wherever Python wants one."""

    def __init__(self, value: int) -> None:
        self._value = value

    def __index__(self) -> int:
        return self._value

    def __repr__(self) -> str:
        return repr(self._value)


def latched(codec: CodecModule) -> pure.Decoder:
    """Return a decoder that a frame too big has stopped."""
    decoder = codec.Decoder(max_size=1)
    decoder.get_buffer()
    decoder.feed(b"abc")
    return decoder


def ended(codec: CodecModule) -> pure.Decoder:
    """Return a decoder that has seen the end of its stream."""
    decoder = codec.Decoder()
    decoder.get_buffer()
    decoder.feed_eof()
    return decoder


# Both twins


@pytest.mark.parametrize("name", PUBLIC)
def test_codec_signature_is_that_of_the_pure_twin(codec: CodecModule, name: str) -> None:
    """Parameters have the same names, kinds and defaults in both codecs."""
    expected = inspect.signature(getattr(pure, name))

    assert list(map(str, bare(expected))) == list(map(str, bare(signature(codec, name))))


@pytest.mark.parametrize("kind", ["Decoder", "ReadBuffer"])
def test_codec_class_has_the_public_names_of_the_pure_twin(codec: CodecModule, kind: str) -> None:
    """Neither codec has a method or an attribute that the other lacks."""
    expected = [name for name in dir(getattr(pure, kind)) if not name.startswith("_")]

    assert expected == [name for name in dir(getattr(codec, kind)) if not name.startswith("_")]
    for name in expected:
        twin = getattr(getattr(pure, kind), name)
        if callable(twin):
            method = inspect.signature(getattr(getattr(codec, kind), name))
            assert list(map(str, bare(inspect.signature(twin)))) == list(map(str, bare(method)))


def signature(codec: CodecModule, name: str) -> inspect.Signature:
    """Return the signature of a function or a class."""
    return inspect.signature(getattr(codec, name))


def bare(signature: inspect.Signature) -> Iterator[inspect.Parameter]:
    """Return the parameters without their annotations, which an extension has none of."""
    for parameter in signature.parameters.values():
        yield parameter.replace(annotation=inspect.Parameter.empty)


# Options


@pytest.mark.parametrize("max_size", [-1, 2**62 + 1, 2**64, -(2**70), True, False])
def test_decoder_max_size_out_of_range_raises_value_error(
    codec: CodecModule, max_size: int
) -> None:
    """A limit is between 0 and 2**62 bytes, and a bool is a mistake."""
    with pytest.raises(ValueError, match="max_size") as caught:
        codec.Decoder(max_size=max_size)

    expected = f"max_size must be None or between 0 and 4611686018427387904, not {max_size}"
    assert expected == str(caught.value)


@pytest.mark.parametrize("max_size", ["1", 1.0, b"1", [1]])
def test_decoder_max_size_of_other_type_raises_type_error(
    codec: CodecModule, max_size: Any
) -> None:
    """A limit is an int or None, nothing that converts to one."""
    with pytest.raises(TypeError, match="max_size") as caught:
        codec.Decoder(max_size=max_size)

    kind = type(max_size).__name__
    assert f"max_size must be an int or None, not {kind}" == str(caught.value)


@pytest.mark.parametrize("max_size", [0, 1, 2**31, 2**32, 2**62, None, Number(5)])
def test_decoder_max_size_in_range_is_accepted(codec: CodecModule, max_size: Any) -> None:
    """Both ends of the range, no limit, and what stands for an int are accepted."""
    decoder = codec.Decoder(max_size=max_size)

    assert [b""] == decoder.feed(b"\0")
    assert f"<Decoder max_size={max_size} buffered=0 frames_in=1>" == repr(decoder)


@pytest.mark.parametrize("oversize", ["RAISE", "", "drop", None, 1])
def test_decoder_unknown_oversize_raises_value_error(codec: CodecModule, oversize: Any) -> None:
    """What a frame too big does is one of two words."""
    with pytest.raises(ValueError, match="oversize") as caught:
        codec.Decoder(oversize=oversize)

    assert f"oversize must be 'raise' or 'skip', not {oversize!r}" == str(caught.value)


@pytest.mark.parametrize("other", [bytearray(8), object(), 2**16])
def test_decoder_read_buffer_of_other_type_raises_type_error(
    codec: CodecModule, other: Any
) -> None:
    """Memory for reads has to be a ReadBuffer."""
    with pytest.raises(TypeError, match="read_buffer") as caught:
        codec.Decoder(read_buffer=other)

    kind = type(other).__name__
    expected = f"read_buffer must be a ReadBuffer of this codec or None, not {kind}"
    assert expected == str(caught.value)


def test_decoder_options_are_keyword_only(codec: CodecModule) -> None:
    """No option is known by its place, and none is made up."""
    decoder: Any = codec.Decoder

    with pytest.raises(TypeError):
        decoder(4)
    with pytest.raises(TypeError):
        decoder(colour="red")


def test_decoder_default_max_size_is_one_mebibyte(codec: CodecModule) -> None:
    """A frame of 1 MiB passes by default, one byte more does not."""
    decoder = codec.Decoder()

    assert [b"x" * MIB] == decoder.feed(b"x" * MIB + b"\0" + b"y" * (MIB + 1))
    assert ("FrameTooBig", MIB + 1, MIB) == describe(decoder.error)


def test_decoder_without_limit_takes_any_frame(codec: CodecModule) -> None:
    """With max_size=None a frame may be larger than the default limit."""
    decoder = codec.Decoder(max_size=None)

    assert [] == decoder.feed(b"x" * (2 * MIB))
    assert [b"x" * (2 * MIB)] == decoder.feed(b"\0")


def test_decoder_repr_tells_its_state(codec: CodecModule) -> None:
    """The representation is short and the same for both codecs."""
    decoder = codec.Decoder()
    decoder.feed(b"a\0b\0c\0de")

    assert "<Decoder max_size=1048576 buffered=2 frames_in=3>" == repr(decoder)


@pytest.mark.parametrize(
    "name", [name for name, value in vars(pure.Decoder).items() if isinstance(value, property)]
)
def test_decoder_attribute_cannot_be_set(codec: CodecModule, name: str) -> None:
    """What a decoder tells cannot be overwritten."""
    with pytest.raises(AttributeError):
        setattr(codec.Decoder(), name, 0)


# feed


@pytest.mark.parametrize(
    "data",
    [
        b"<a/>\0<b",
        Subclass(b"<a/>\0<b"),
        bytearray(b"<a/>\0<b"),
        memoryview(b"<a/>\0<b"),
        memoryview(b"<.a./.>.\0.<.b.")[::2],
        memoryview(b"b<\0>/a<")[::-1],
        memoryview(b"<a/>\0<b.").cast("H")[:3],
        array.array("b", b"<a/>\0<b"),
    ],
    ids=["bytes", "subclass", "bytearray", "view", "strided", "reversed", "words", "array"],
)
def test_feed_any_buffer_gives_its_bytes(codec: CodecModule, data: Any) -> None:
    """A buffer of any kind counts as the bytes it holds, in its order."""
    decoder = codec.Decoder()
    expected = bytes(memoryview(data))

    assert [b"<a/>"] == decoder.feed(data)
    with pytest.raises(IncompleteFrame) as caught:
        decoder.feed_eof()
    assert expected[5:] == caught.value.partial
    assert len(expected) == decoder.bytes_in


@pytest.mark.parametrize("data", ["<a/>\0", [60], 5, None, 1.5, object()])
def test_feed_no_buffer_raises_type_error(codec: CodecModule, data: Any) -> None:
    """Text, numbers and lists are no bytes, and nothing is consumed."""
    decoder = codec.Decoder()

    with pytest.raises(TypeError):
        decoder.feed(data)
    assert 0 == decoder.bytes_in
    assert [b"a"] == decoder.feed(b"a\0")


def test_feed_frames_are_plain_bytes_in_a_list_of_the_caller(codec: CodecModule) -> None:
    """Frames are of the exact type bytes, and the list may be changed."""
    decoder = codec.Decoder()

    frames = [*decoder.feed(Subclass(b"a\0b")), *decoder.feed(bytearray(b"\0"))]
    decoder.feed(b"c\0").clear()

    assert [bytes, bytes] == [type(frame) for frame in frames]
    assert 3 == decoder.frames_in
    assert [b"d"] == decoder.feed(b"d\0")


def test_feed_buffer_changed_afterwards_changes_no_frame(codec: CodecModule) -> None:
    """What was fed is the decoder's own: the caller may reuse the buffer."""
    decoder = codec.Decoder()
    data = bytearray(b"a\0bc")

    frames = decoder.feed(data)
    data[:] = b"\0\0\0\0"

    assert [b"a"] == frames
    assert [b"bcd"] == decoder.feed(b"d\0")


def test_feed_oversized_frame_returns_earlier_frames_first(codec: CodecModule) -> None:
    """Frames before an oversized one are delivered; the error comes with the next call."""
    decoder = codec.Decoder(max_size=4)

    assert [b"<a/>"] == decoder.feed(b"<a/>\0<toolong/>")
    with pytest.raises(FrameTooBig, match="offset 5 exceeds max_size=4 bytes"):
        decoder.feed(b"")


@pytest.mark.parametrize(
    "call",
    [
        lambda decoder: decoder.feed(b"c\0"),
        lambda decoder: decoder.feed(b""),
        lambda decoder: decoder.buffer_updated(1),
        lambda decoder: decoder.feed_eof(),
    ],
    ids=["feed", "feed nothing", "buffer_updated", "feed_eof"],
)
def test_decoder_latched_error_is_raised_anew_by_every_call(
    codec: CodecModule, call: Callable[[pure.Decoder], object]
) -> None:
    """Each call raises an exception of its own, all say the same, and nothing is consumed."""
    decoder = latched(codec)
    with pytest.raises(FrameTooBig) as first:
        call(decoder)
    with pytest.raises(FrameTooBig) as second:
        decoder.feed_eof()

    assert first.value is not second.value
    assert ("FrameTooBig", 0, 1) == describe(first.value) == describe(second.value)
    assert ("FrameTooBig", 0, 1) == describe(decoder.error)
    assert 2 == decoder.bytes_in


@pytest.mark.parametrize("argument", ["no bytes", -1, None])
def test_decoder_stopped_tells_so_whatever_the_argument(codec: CodecModule, argument: Any) -> None:
    """A stopped decoder tells why before it looks at the argument."""
    with pytest.raises(FrameTooBig):
        latched(codec).feed(argument)
    with pytest.raises(FrameTooBig):
        latched(codec).buffer_updated(-1)
    with pytest.raises(InvalidState, match=r"^feed\(\) after feed_eof\(\)$"):
        ended(codec).feed(argument)
    with pytest.raises(InvalidState, match=r"^buffer_updated\(\) after feed_eof\(\)$"):
        ended(codec).buffer_updated(-1)


def test_feed_oversized_frame_frees_what_was_held(codec: CodecModule) -> None:
    """Nothing of a frame too big is kept."""
    decoder = codec.Decoder(max_size=4)

    decoder.feed(b"abcd")
    assert 4 == decoder.buffered
    decoder.feed(b"e")
    assert 0 == decoder.buffered


def test_feed_skipped_frame_holds_nothing(codec: CodecModule) -> None:
    """While a frame is being skipped nothing of it is held."""
    decoder = codec.Decoder(max_size=4, oversize="skip")

    held = []
    for data in (b"abcd", b"e", b"f" * 100):
        assert [] == decoder.feed(data)
        held.append(decoder.buffered)

    assert [4, 0, 0] == held
    assert [b"ok"] == decoder.feed(b"g\0ok\0")


def test_feed_read_larger_than_max_size_takes_its_short_frames(codec: CodecModule) -> None:
    """The limit holds for frames, not for reads."""
    decoder = codec.Decoder(max_size=4)

    assert [b"abcd"] * 1000 == decoder.feed(b"abcd\0" * 1000)
    assert decoder.error is None


@pytest.mark.parametrize("gap", [1, 10, 1023, 1024, 5000, 70_000])
def test_feed_delimiters_near_and_far_are_all_found(codec: CodecModule, gap: int) -> None:
    """Frames of every length, and changes between short and long ones, come out whole."""
    frames = [b"x" * gap, *([b"y"] * 50), b"z" * (gap + 1), b"", b"x" * (2 * gap)] * 3
    decoder = codec.Decoder()

    received = []
    for frame in frames:
        received += decoder.feed(frame + b"\0")
    whole = decoder.feed(b"\0".join(frames) + b"\0")

    assert frames == received
    assert frames == whole
    assert decoder.bytes_scanned == decoder.bytes_in


# feed_eof


@pytest.mark.parametrize("stream", [b"", b"\0", b"<a/>\0"])
def test_feed_eof_between_frames_tells_nothing(codec: CodecModule, stream: bytes) -> None:
    """A stream may end where no frame has begun, and its end may be told twice."""
    decoder = codec.Decoder()
    decoder.feed(stream)

    decoder.feed_eof()
    decoder.feed_eof()

    assert decoder.error is None


def test_feed_eof_inside_a_frame_raises_the_same_each_time(codec: CodecModule) -> None:
    """The unfinished frame is in the error, which stays latched, and is never delivered."""
    decoder = codec.Decoder()
    decoder.feed(b"<a/>\0<b")

    for _ in range(2):
        with pytest.raises(IncompleteFrame) as caught:
            decoder.feed_eof()
        assert ("IncompleteFrame", 5, b"<b") == describe(caught.value)
    assert ("IncompleteFrame", 5, b"<b") == describe(decoder.error)
    assert (1, 4, 7, 2) == (
        decoder.frames_in,
        decoder.payload_in,
        decoder.bytes_in,
        decoder.buffered,
    )


def test_discard_lets_go_of_the_unfinished_frame_and_keeps_the_counters(codec: CodecModule) -> None:
    """Nothing is held any more, the stream is over, and what was counted stands."""
    decoder = codec.Decoder()
    decoder.get_buffer()
    decoder.feed(b"<a/>\0<b")
    decoder.feed(b"x" * 5000)

    decoder.discard()
    decoder.discard()

    assert (1, 4, 5007, 0) == (
        decoder.frames_in,
        decoder.payload_in,
        decoder.bytes_in,
        decoder.buffered,
    )
    assert ("IncompleteFrame", 5, b"") == describe(decoder.error)
    with pytest.raises(IncompleteFrame):
        decoder.feed_eof()
    with pytest.raises(InvalidState, match=r"^feed\(\) after feed_eof\(\)$"):
        decoder.feed(b"")
    with pytest.raises(InvalidState, match=r"^buffer_updated\(\) after feed_eof\(\)$"):
        decoder.buffer_updated(0)


def test_discard_after_feed_eof_empties_its_error(codec: CodecModule) -> None:
    """The place stays known, the bytes do not."""
    decoder = codec.Decoder()
    decoder.feed(b"<a/>\0<b")
    with pytest.raises(IncompleteFrame):
        decoder.feed_eof()

    decoder.discard()

    assert ("IncompleteFrame", 5, b"") == describe(decoder.error)
    assert (4, 0) == (decoder.payload_in, decoder.buffered)


@pytest.mark.parametrize("stream", [b"", b"<a/>\0", b"too big", b"<a/>\0too big\0"])
def test_discard_with_nothing_unfinished_changes_no_error(
    codec: CodecModule, stream: bytes
) -> None:
    """What had stopped the stream, or nothing, is what is told afterwards."""
    decoder = codec.Decoder(max_size=4)
    decoder.feed(stream)
    before = describe(decoder.error)

    decoder.discard()

    assert before == describe(decoder.error)
    assert 0 == decoder.buffered
    with pytest.raises(InvalidState, match=r"^feed\(\) after feed_eof\(\)$"):
        decoder.feed(b"<a/>\0")


def test_discard_inside_a_skipped_frame_tells_where_it_began(codec: CodecModule) -> None:
    """A frame that is being skipped is unfinished, too."""
    decoder = codec.Decoder(max_size=4, oversize="skip")
    decoder.feed(b"<a/>\0too big")

    decoder.discard()

    assert ("IncompleteFrame", 5, b"") == describe(decoder.error)
    assert (4, 0) == (decoder.payload_in, decoder.buffered)


@pytest.mark.parametrize("data", [b"", b"<a/>\0"])
@pytest.mark.parametrize("stream", [b"", b"<b", b"too big"])
def test_feed_after_feed_eof_raises_invalid_state(
    codec: CodecModule, stream: bytes, data: bytes
) -> None:
    """Nothing can follow the end of a stream, however it ended."""
    decoder = codec.Decoder(max_size=4)
    decoder.get_buffer()
    decoder.feed(stream)
    if stream:
        with pytest.raises((IncompleteFrame, FrameTooBig)):
            decoder.feed_eof()
    else:
        decoder.feed_eof()

    with pytest.raises(InvalidState, match=r"^feed\(\) after feed_eof\(\)$"):
        decoder.feed(data)
    with pytest.raises(InvalidState, match=r"^buffer_updated\(\) after feed_eof\(\)$"):
        decoder.buffer_updated(len(data))


# The read buffer


@pytest.mark.parametrize("size", [0, -1, -(2**40)])
def test_read_buffer_too_small_raises_value_error(codec: CodecModule, size: int) -> None:
    """A read has at least one byte."""
    with pytest.raises(ValueError, match="size") as caught:
        codec.ReadBuffer(size)

    assert f"size must be at least 1, not {size}" == str(caught.value)


@pytest.mark.parametrize("size", ["8", 8.0, None, b"8"])
def test_read_buffer_size_of_other_type_raises_type_error(codec: CodecModule, size: Any) -> None:
    """A size is an int."""
    with pytest.raises(TypeError):
        codec.ReadBuffer(size)


def test_read_buffer_size_is_its_length(codec: CodecModule) -> None:
    """The size is 64 KiB unless told otherwise."""
    assert 2**16 == len(codec.ReadBuffer())
    assert [1, 5, 7] == [len(codec.ReadBuffer(n)) for n in (1, Number(5), 7)]  # type: ignore[arg-type]  # any index
    assert "<ReadBuffer size=7>" == repr(codec.ReadBuffer(size=7))


def test_get_buffer_returns_one_writable_view_of_all_of_it(codec: CodecModule) -> None:
    """It is always the same object, whatever size is hinted at."""
    decoder = codec.Decoder(read_buffer=codec.ReadBuffer(100))

    view = decoder.get_buffer()

    assert view is decoder.get_buffer(-1) is decoder.get_buffer(5) is decoder.get_buffer(10**9)
    assert (False, 100, "B", True) == (view.readonly, len(view), view.format, view.c_contiguous)


def test_get_buffer_without_read_buffer_makes_a_private_one(codec: CodecModule) -> None:
    """A decoder alone reads into 64 KiB of its own."""
    first, second = codec.Decoder(), codec.Decoder()

    assert 2**16 == len(first.get_buffer())
    assert first.get_buffer() is not second.get_buffer()


def test_get_buffer_of_a_stopped_decoder_returns_the_view(codec: CodecModule) -> None:
    """What is latched is never raised here: recv_into() always has memory to write to."""
    assert 2**16 == len(latched(codec).get_buffer())
    assert 2**16 == len(ended(codec).get_buffer())


def test_read_buffer_shared_by_decoders_gives_each_its_own_frames(codec: CodecModule) -> None:
    """Decoders that take turns with one read buffer do not see each other's bytes."""
    shared = codec.ReadBuffer(16)
    decoders = [codec.Decoder(read_buffer=shared) for _ in range(3)]

    received: list[list[bytes]] = [[], [], []]
    for turn in range(4):
        for number, decoder in enumerate(decoders):
            data = b"%d-%d\0%d" % (number, turn, number)
            decoder.get_buffer()[: len(data)] = data
            received[number] += decoder.buffer_updated(len(data))

    assert [[b"0-0", b"00-1", b"00-2", b"00-3"]] == received[:1]
    assert [[b"2-0", b"22-1", b"22-2", b"22-3"]] == received[2:]
    assert decoders[0].get_buffer() is decoders[1].get_buffer()


def test_buffer_updated_frames_outlive_the_next_read(codec: CodecModule) -> None:
    """Frames and the unfinished one are copies: the memory is free for the next read."""
    decoder = codec.Decoder()
    view = decoder.get_buffer()

    view[:5] = b"ab\0cd"
    frames = decoder.buffer_updated(5)
    view[:5] = b"\0xxxx"

    assert [b"ab"] == frames
    assert [b"cd"] == decoder.buffer_updated(1)


def test_buffer_updated_takes_as_many_bytes_as_told(codec: CodecModule) -> None:
    """Nothing, a part and all of the memory can be read at once."""
    decoder = codec.Decoder(read_buffer=codec.ReadBuffer(4))
    decoder.get_buffer()[:] = b"a\0b\0"

    assert [] == decoder.buffer_updated(0)
    assert [b"a"] == decoder.buffer_updated(2)
    assert [b"a", b"b"] == decoder.buffer_updated(4)
    assert 6 == decoder.bytes_in == decoder.bytes_scanned


@pytest.mark.parametrize("nbytes", [-1, 5, 2**31, -(2**31)])
def test_buffer_updated_out_of_range_raises_value_error(codec: CodecModule, nbytes: int) -> None:
    """More bytes than there is memory for cannot have been read; nothing is consumed."""
    decoder = codec.Decoder(read_buffer=codec.ReadBuffer(4))

    with pytest.raises(ValueError, match="nbytes") as caught:
        decoder.buffer_updated(nbytes)

    expected = f"buffer_updated() got nbytes={nbytes}, the read buffer holds 4 bytes"
    assert expected == str(caught.value)
    assert (0, None) == (decoder.bytes_in, decoder.error)


@pytest.mark.parametrize("nbytes", ["1", 1.0, None, b"1"])
def test_buffer_updated_of_other_type_raises_type_error(codec: CodecModule, nbytes: Any) -> None:
    """A count of bytes is an int; nothing is consumed."""
    decoder = codec.Decoder(read_buffer=codec.ReadBuffer(4))

    with pytest.raises(TypeError):
        decoder.buffer_updated(nbytes)
    assert 0 == decoder.bytes_in


def test_buffer_updated_before_get_buffer_raises_invalid_state(codec: CodecModule) -> None:
    """Without memory nothing can have been read into it."""
    decoder = codec.Decoder()

    with pytest.raises(InvalidState, match=r"^buffer_updated\(\) before get_buffer\(\)$"):
        decoder.buffer_updated(0)
    decoder.get_buffer()
    assert [] == decoder.buffer_updated(0)


def test_read_buffer_memory_never_moves(codec: CodecModule) -> None:
    """The memory cannot be resized, not even when a caller has released the view."""
    decoder = codec.Decoder(read_buffer=codec.ReadBuffer(4))
    view = decoder.get_buffer()
    memory: Any = view.obj
    view[:] = b"ab\0c"

    view.release()

    for resize in (lambda: memory.extend(b"x"), memory.clear, memory.pop):
        with pytest.raises(BufferError):
            resize()
    assert [b"ab"] == decoder.buffer_updated(4)


# encode


@pytest.mark.parametrize(
    ("payload", "encoded"),
    [
        (b"<a/>", b"<a/>\0"),
        (Subclass(b"<a/>"), b"<a/>\0"),
        (bytearray(b"<a/>"), b"<a/>\0"),
        (memoryview(b"<.a./.>.")[::2], b"<a/>\0"),
        (array.array("H", [0x4141, 0x4242]), b"AABB\0"),
        ("<a/>", b"<a/>\0"),
        ("<é>€\U0001f600</é>", "<é>€\U0001f600</é>\0".encode()),
        ("", b"\0"),
        (b"", b"\0"),
    ],
    ids=lambda value: value.hex() if isinstance(value, memoryview) else repr(value),
)
def test_encode_text_or_buffer_gives_one_frame(
    codec: CodecModule, payload: Any, encoded: bytes
) -> None:
    """A payload is text, sent as UTF-8, or any buffer, sent as the bytes it holds."""
    assert encoded == codec.encode(payload)
    assert encoded * 2 == codec.encode_many([payload, payload])
    assert type(codec.encode(payload)) is bytes


@pytest.mark.parametrize("payload", [5, None, [60], 1.5, object()])
def test_encode_other_type_raises_type_error(codec: CodecModule, payload: object) -> None:
    """What is neither text nor a buffer is named by its type."""
    expected = f"payload must be bytes-like or str, not {type(payload).__name__}"
    calls: list[Callable[[], bytes]] = [
        lambda: codec.encode(payload),
        lambda: codec.encode_many([b"a", payload]),
    ]

    for call in calls:
        with pytest.raises(TypeError, match="payload") as caught:
            call()
        assert expected == str(caught.value)


@pytest.mark.parametrize("payload", ["\ud800", "a\udfff\0"])
def test_encode_lone_surrogate_raises_unicode_encode_error(
    codec: CodecModule, payload: str
) -> None:
    """Text that has no UTF-8 form cannot be sent."""
    with pytest.raises(UnicodeEncodeError):
        codec.encode(payload)
    with pytest.raises(UnicodeEncodeError):
        codec.encode_many([payload])


@pytest.mark.parametrize(
    ("payload", "index"),
    [("é€\0", 5), (bytearray(b"a\0b"), 1), (memoryview(b"a.b.\0.")[::2], 2), (Subclass(b"\0"), 0)],
)
def test_encode_delimiter_is_located_in_the_encoded_payload(
    codec: CodecModule, payload: Any, index: int
) -> None:
    """The index counts bytes of the encoding, not characters."""
    with pytest.raises(DelimiterInPayload) as alone:
        codec.encode(payload)
    with pytest.raises(DelimiterInPayload) as third:
        codec.encode_many(["", b"", payload])

    assert (index, None) == (alone.value.index, alone.value.item)
    assert (index, 2) == (third.value.index, third.value.item)


def test_encode_many_takes_any_iterable(codec: CodecModule) -> None:
    """Generators, tuples, sets and mixtures of types will do."""
    expected = b"a\0b\0c\0"

    assert expected == codec.encode_many(iter(["a", b"b", bytearray(b"c")]))
    assert expected == codec.encode_many(letter for letter in "abc")
    assert expected == codec.encode_many(("a", b"b", "c"))
    assert b"" == codec.encode_many(set())


@pytest.mark.parametrize("payloads", [5, None, object()])
def test_encode_many_no_iterable_raises_type_error(codec: CodecModule, payloads: Any) -> None:
    """One number or object is no iterable."""
    with pytest.raises(TypeError, match="not iterable"):
        codec.encode_many(payloads)


def test_encode_many_error_of_the_iterable_passes_through(codec: CodecModule) -> None:
    """The iterable is read to its end first: its own error comes before any fault."""

    def payloads() -> Iterator[bytes]:
        yield b"a\0"
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        codec.encode_many(payloads())


def test_encode_many_type_is_checked_before_delimiters(codec: CodecModule) -> None:
    """All payloads are made into bytes before the first is searched."""
    with pytest.raises(TypeError, match="not int"):
        codec.encode_many([b"a\0", 5])
    with pytest.raises(UnicodeEncodeError):
        codec.encode_many([b"a\0", "\ud800"])


# check_document


@pytest.mark.parametrize("frame", ["<a/>", bytearray(b"<a/>"), memoryview(b"<a/>"), None, 5])
def test_check_document_no_bytes_raises_type_error(codec: CodecModule, frame: Any) -> None:
    """Only bytes are a frame: nothing else is checked and then changed."""
    with pytest.raises(TypeError, match="frame") as caught:
        codec.check_document(frame)

    assert f"frame must be bytes, not {type(frame).__name__}" == str(caught.value)


def test_check_document_long_blank_is_an_empty_document(codec: CodecModule) -> None:
    """However much white space there is, nothing stands after it."""
    with pytest.raises(DocumentError, match="document is empty, line 1, column 1001"):
        codec.check_document(b" " * 1000)


def test_check_document_subclass_of_bytes_counts_as_its_bytes(codec: CodecModule) -> None:
    """Subclasses of bytes cannot change either, and their methods are not asked."""
    codec.check_document(Subclass(b" <a/>"))
    with pytest.raises(DocumentError, match="DOCTYPE is not allowed, line 1, column 2"):
        codec.check_document(Subclass(b" <!DOCTYPE a>"))


# Both alike


@pytest.mark.parametrize("name", ["Decoder", "ReadBuffer"])
@pytest.mark.parametrize("make", [copy.copy, copy.deepcopy, pickle.dumps])
def test_decoder_and_read_buffer_cannot_be_copied(
    codec: CodecModule, name: str, make: Callable[[object], object]
) -> None:
    """A copy that shared the unfinished frame would mix two streams."""
    with pytest.raises(TypeError, match="cannot pickle"):
        make(getattr(codec, name)())


def test_buffer_updated_takes_integers_of_any_kind_and_nothing_else(codec: CodecModule) -> None:
    """As Python's own functions do."""

    class Two:
        def __index__(self) -> int:
            return 2

    decoder = codec.Decoder()
    decoder.get_buffer()[:2] = b"a\0"

    assert [b"a"] == decoder.buffer_updated(cast("int", Two()))
    for wrong in (2.0, "2", None):
        with pytest.raises(TypeError):
            decoder.buffer_updated(cast("Any", wrong))
    assert 2 == decoder.bytes_in
