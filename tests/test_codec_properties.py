"""What holds for any bytes, however they are cut: Hypothesis looks for a counter-example."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from lxml import etree

from xmlsocket import pure
from xmlsocket.exceptions import DelimiterInPayload, DocumentError

from .support.codecs import FEEDS, Outcome, decode, pieces

if TYPE_CHECKING:
    from .support.codecs import CodecModule, Feed

# No test may depend on how quick a machine is.
SETTINGS = settings(deadline=None, max_examples=200)

OPTIONS = st.fixed_dictionaries(
    {
        "max_size": st.sampled_from([0, 1, 2, 3, 5, 8, 40, 2000, None]),
        "oversize": st.sampled_from(["raise", "skip"]),
        "skip_empty": st.booleans(),
    }
)

# Random bytes hold hardly a zero: most streams are made of few different bytes,
# with delimiters in between, and of runs that pass the sizes at which a codec
# changes its ways.
RUNS = st.builds(
    lambda byte, size: bytes([byte]) * size,
    st.sampled_from([0, 1, 0x61, 0x80, 0xFF]),
    st.sampled_from([1, 2, 3, 7, 8, 15, 16, 31, 32, 33, 63, 64, 65, 1023, 1024, 1025, 3000]),
)
STREAMS = st.one_of(
    st.lists(st.sampled_from([0, 0, 1, 0x61]), max_size=40).map(bytes),
    st.lists(st.one_of(st.just(b"\0"), RUNS), max_size=12).map(b"".join),
    st.binary(max_size=100),
)


@st.composite
def cut_streams(draw: st.DrawFn) -> tuple[bytes, list[bytes]]:
    """Return a stream and the reads in which it comes, empty ones among them."""
    stream = draw(STREAMS)
    places = st.integers(0, len(stream))
    cuts = draw(
        st.one_of(
            st.lists(places, max_size=10),
            st.integers(1, 70).map(lambda step: list(range(step, len(stream), step))),
        )
    )
    return stream, pieces(stream, cuts)


def oracle(stream: bytes, *, max_size: int | None, oversize: str, skip_empty: bool) -> Outcome:
    """Decode a whole stream in the plainest way that can be thought of."""
    frames: list[bytes] = []
    empty = skipped = offset = 0
    error: tuple[object, ...] | None = None
    *complete, tail = stream.split(b"\0")
    consumed = len(stream)
    buffered = 0
    for frame in complete:
        if max_size is not None and len(frame) > max_size:
            skipped += 1
            if oversize == "raise":
                break
        elif skip_empty and not frame:
            empty += 1
        else:
            frames.append(frame)
        offset += len(frame) + 1
    else:
        if max_size is not None and len(tail) > max_size:
            skipped += 1
            error = "IncompleteFrame", offset, b""
        elif tail:
            buffered = len(tail)
            error = "IncompleteFrame", offset, tail
    if skipped and oversize == "raise":
        assert max_size is not None
        skipped = 0
        consumed = offset + max_size + 1
        error = "FrameTooBig", offset, max_size
    return Outcome(
        frames=frames,
        error=error,
        bytes_in=consumed,
        frames_in=len(frames),
        payload_in=sum(map(len, frames)),
        empty_skipped=empty,
        oversize_skipped=skipped,
        buffered=buffered,
    )


@pytest.mark.parametrize("way", FEEDS.values(), ids=FEEDS)
@SETTINGS
@given(cut=cut_streams(), options=OPTIONS, buffer_size=st.sampled_from([1, 3, 64, 2**16]))
def test_decoder_any_stream_any_cuts_gives_what_the_oracle_gives(
    codec: CodecModule,
    way: Feed,
    cut: tuple[bytes, list[bytes]],
    options: dict[str, Any],
    buffer_size: int,
) -> None:
    """Frames, error, offset and counters depend on the bytes alone, in both codecs."""
    stream, reads = cut
    decoder = codec.Decoder(**options, read_buffer=codec.ReadBuffer(buffer_size))

    assert oracle(stream, **options) == decode(decoder, reads, way)
    assert decoder.bytes_in <= decoder.bytes_scanned <= len(stream)


@pytest.mark.parametrize(
    "stream",
    [
        b"",
        b"a",
        b"\0",
        b"\0\0\0\0\0\0\0\0",
        b"abcdefgh",
        b"ab\0cd\0ef",
        b"\0a\0\0bcd\0\0",
        b"abc\0\0d\0ef",
        b"a\0bcdef\0",
        b"abcdef\0g\0",
    ],
)
@pytest.mark.parametrize("oversize", ["raise", "skip"])
@pytest.mark.parametrize("max_size", [0, 2, None])
@pytest.mark.parametrize("skip_empty", [False, True])
def test_decoder_every_chunking_of_a_short_stream_gives_the_same(
    codec: CodecModule,
    stream: bytes,
    oversize: str,
    max_size: int | None,
    skip_empty: bool,
) -> None:
    """All 2**(n-1) ways to cut a stream of n bytes have one outcome."""
    options: dict[str, Any] = {
        "max_size": max_size,
        "oversize": oversize,
        "skip_empty": skip_empty,
    }
    expected = oracle(stream, **options)
    inner = range(1, len(stream))
    read_buffer = codec.ReadBuffer(8)

    for count in range(max(len(stream), 1)):
        for cuts in itertools.combinations(inner, count):
            for way in FEEDS.values():
                decoder = codec.Decoder(**options, read_buffer=read_buffer)

                assert expected == decode(decoder, pieces(stream, cuts), way), f"cut at {cuts}"


PAYLOADS = st.lists(
    st.one_of(
        st.binary(max_size=80).map(lambda data: data.replace(b"\0", b"\1")),
        st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=40),
    ),
    max_size=12,
)


@SETTINGS
@given(payloads=PAYLOADS, data=st.data())
def test_encode_then_decode_gives_the_payloads_back(
    codec: CodecModule, payloads: list[bytes | str], data: st.DataObject
) -> None:
    """Whatever is encoded comes out of a decoder as it was, text as its UTF-8."""
    expected = [item.encode() if isinstance(item, str) else item for item in payloads]
    stream = codec.encode_many(payloads)
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=6))

    outcome = decode(codec.Decoder(), pieces(stream, cuts))

    assert expected == outcome.frames
    assert outcome.error is None
    assert b"".join(map(codec.encode, payloads)) == stream


@SETTINGS
@given(payloads=st.lists(STREAMS, min_size=1, max_size=8))
def test_encode_many_first_delimiter_is_named(codec: CodecModule, payloads: list[bytes]) -> None:
    """A stream is made of payloads without a zero byte; else the first such byte is named."""
    places = ((payload.find(b"\0"), item) for item, payload in enumerate(payloads))
    expected = next(((index, item) for index, item in places if index >= 0), None)

    if expected is None:
        assert b"".join(payload + b"\0" for payload in payloads) == codec.encode_many(payloads)
    else:
        with pytest.raises(DelimiterInPayload) as caught:
            codec.encode_many(payloads)
        assert expected == (caught.value.index, caught.value.item)


# Documents. Pieces of XML in any order: most are wrong, but not too many.
TOKENS = [
    *[b"<a>", b"</a>", b"<a/>", b"<a/>", b"<b:c xmlns:b='d' e='&amp;'/>", b"x", b"&lt;"],
    *[b"<!--", b"-->", b"<!-- - -->", b"<!--<!DOCTYPE a>-->", b"--", b"-"],
    *[b"<?", b"?>", b"<?p?>", b"<?p <!DOCTYPE a>?>", b"<?xml version='1.0'?>", b"?"],
    *[b"<!DOCTYPE a>", b"<!doctype a>", b"<!DOCTYPE a [<!ENTITY b 'c'>]>", b"<!DOCTYPE", b"<!"],
    *[b"<![CDATA[", b"]]>", b"<", b">", b"/", b"!", b"[", b"]", b"'", b'"'],
    *[b" ", b"\n", b"\t", b"\r", b"\x0b", b"\x0c", b"\x01", b"\xef\xbb\xbf"],
    *[b"\xc3\xa9", b"\xe2\x82\xac", b"\xc3", b"\xa9", b"\xff", b"\xed\xa0\x80", b"\xc0\x80"],
]
SOUP = st.lists(st.sampled_from(TOKENS), max_size=8).map(b"".join)
MISC = st.lists(
    st.sampled_from([b" ", b"\n", b"<!--a-->", b"<?p q?>", b"<!--<!DOCTYPE a>-->"]), max_size=3
).map(b"".join)
PLAUSIBLE = st.tuples(
    st.sampled_from([b"", b"\xef\xbb\xbf"]),
    st.sampled_from([b"", b"<?xml version='1.0'?>", b"<?xml version='1.0' encoding='utf-16'?>"]),
    MISC,
    st.sampled_from([b"", b"", b"<!DOCTYPE a>", b"<!DOCTYPE a [<!ENTITY b 'c'>]>"]),
    st.one_of(MISC, SOUP),
    st.sampled_from([b"<a/>", b"<a>\xc3\xa9</a>", b"<a><![CDATA[<!DOCTYPE a>]]></a>", b""]),
    MISC,
).map(b"".join)
FRAMES = st.one_of(SOUP, PLAUSIBLE)


class Doctypes:
    """A parser's target that takes note of every DOCTYPE, also of a frame that fails later."""

    def __init__(self) -> None:
        self.seen = False

    def doctype(self, name: str | None, public: str | None, system: str | None) -> None:
        """Take note of one."""
        self.seen = True

    def close(self) -> None:
        """End the document, as the protocol of targets demands."""


def read_by_lxml(frame: bytes) -> tuple[bool, bool]:
    """Return whether lxml accepts a frame, and whether it met a DOCTYPE in it."""
    doctypes: Any = Doctypes()  # the stubs want a target to take all events
    # The settings of `xmlsocket.documents`.
    parser = etree.XMLParser(
        target=doctypes,
        encoding="utf-8",
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        attribute_defaults=False,
        huge_tree=False,
        recover=False,
    )
    try:
        etree.fromstring(frame, parser)
    except etree.XMLSyntaxError:
        return False, doctypes.seen
    return True, doctypes.seen


def check(codec: CodecModule, frame: bytes) -> tuple[object, ...] | None:
    """Return why a frame is refused, or None."""
    try:
        codec.check_document(frame)
    except DocumentError as error:
        return error.reason, error.line, error.column, error.frame
    return None


@settings(SETTINGS, max_examples=500)
@given(frame=FRAMES)
@example(b"<!-- <!DOCTYPE a> --><a/>")
@example(b"<!-- --><!DOCTYPE a><!-- --><a/>")
@example(b"<?p?><!DOCTYPE a><?p?><a/>")
def test_check_document_against_lxml_refuses_every_doctype_and_nothing_else(
    codec: CodecModule, frame: bytes
) -> None:
    """No DOCTYPE reaches the parser, and nothing well-formed without one is refused."""
    refused = check(codec, frame) is not None
    well_formed, doctype = read_by_lxml(frame)

    if not refused:
        assert not doctype
    if well_formed:
        assert refused == doctype


@settings(SETTINGS, max_examples=200)
@given(frame=st.one_of(FRAMES, st.binary(max_size=60)))
def test_check_document_any_frame_gives_what_the_pure_twin_gives(
    codec: CodecModule, frame: bytes
) -> None:
    """Reason, line and column are the same in both codecs."""
    assert check(pure, frame) == check(codec, frame)
