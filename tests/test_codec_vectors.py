"""Both codecs do what ``tests/vectors`` says, which the Rust crate is held to as well."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from xmlsocket.exceptions import DelimiterInPayload, DocumentError

from .support import vectors
from .support.codecs import FEEDS, Outcome, decode, pieces

if TYPE_CHECKING:
    from .support.codecs import CodecModule, Feed

DECODE = vectors.read("decode.txt", vectors.DecodeVector)
ENCODE = vectors.read("encode.txt", vectors.EncodeVector)
DOCUMENTS = vectors.read("check_document.txt", vectors.DocumentVector)


def by_name(vector: vectors.DecodeVector | vectors.EncodeVector | vectors.DocumentVector) -> str:
    """Name a test after its vector."""
    return vector.name


@pytest.mark.parametrize("way", FEEDS.values(), ids=FEEDS)
@pytest.mark.parametrize("vector", DECODE, ids=by_name)
def test_decoder_vector_gives_frames_error_and_counters(
    codec: CodecModule, vector: vectors.DecodeVector, way: Feed
) -> None:
    """A vector holds whole, cut in two at every place, and byte by byte."""
    stream = vector.stream
    expected = Outcome(
        frames=vector.frames,
        error=vector.error,
        bytes_in=vector.bytes_in,
        frames_in=len(vector.frames),
        payload_in=sum(map(len, vector.frames)),
        empty_skipped=vector.empty_skipped,
        oversize_skipped=vector.oversize_skipped,
        buffered=vector.buffered,
    )

    for cuts in [[], *([place] for place in range(len(stream) + 1)), range(1, len(stream))]:
        decoder = codec.Decoder(**vector.options)

        assert expected == decode(decoder, pieces(stream, cuts), way), f"cut at {list(cuts)}"


@pytest.mark.parametrize("vector", ENCODE, ids=by_name)
def test_encode_many_vector_gives_frames_or_fault(
    codec: CodecModule, vector: vectors.EncodeVector
) -> None:
    """Payloads become one stream of frames, or the first one with a zero byte is named."""
    if vector.fault is None:
        assert vector.encoded == codec.encode_many(vector.payloads)
    else:
        with pytest.raises(DelimiterInPayload) as caught:
            codec.encode_many(vector.payloads)
        assert vector.fault == (caught.value.index, caught.value.item)


@pytest.mark.parametrize("vector", [v for v in ENCODE if len(v.payloads) == 1], ids=by_name)
def test_encode_vector_gives_frame_or_fault(
    codec: CodecModule, vector: vectors.EncodeVector
) -> None:
    """A single payload becomes a frame, or its first zero byte is named and no item is."""
    (payload,) = vector.payloads

    if vector.fault is None:
        assert vector.encoded == codec.encode(payload)
    else:
        with pytest.raises(DelimiterInPayload) as caught:
            codec.encode(payload)
        assert (vector.fault[0], None) == (caught.value.index, caught.value.item)


@pytest.mark.parametrize("vector", DOCUMENTS, ids=by_name)
def test_check_document_vector_accepts_or_names_fault(
    codec: CodecModule, vector: vectors.DocumentVector
) -> None:
    """A frame is accepted, or refused with the reason, the line and the column."""
    if vector.fault is None:
        codec.check_document(vector.frame)
    else:
        with pytest.raises(DocumentError) as caught:
            codec.check_document(vector.frame)
        error = caught.value
        assert (*vector.fault, vector.frame) == (
            error.reason,
            error.line,
            error.column,
            error.frame,
        )


@pytest.mark.parametrize(
    ("block", "fault"),
    [
        ("name: a\nframe: <a/>\ncolour: red", "unknown keys"),
        ("name: a\nframe: <a/>\nframe: <a/>", "'frame' stands 2 times"),
        ("name: a", "'frame' stands 0 times"),
        ("name: a\nframe: \\n", "unknown escape"),
        ("name: a\nframe: <a/> ", "not a line"),
        ("name: a\nframe:<a/>", "not a line"),
        ("name: a\nframe <a/>", "not a line"),
        ("name: a\nframe: <a/>\n\nname: a\nframe: <b/>", "a name stands twice"),
    ],
)
def test_vectors_malformed_file_is_refused(
    block: str, fault: str, tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slip in a vector file stops the tests: no line of it goes unread."""
    monkeypatch.setattr(vectors, "FOLDER", tmp_path)
    (vectors.FOLDER / "slip.txt").write_text(block, "ascii")

    with pytest.raises(ValueError, match=fault):
        vectors.read("slip.txt", vectors.DocumentVector)
