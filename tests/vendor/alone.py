"""
Runs the vectors on a copy of ``pure.py``, with nothing but the standard library.

``python -I -S alone.py PURE READER``: the copy, and the module that reads the
vectors. Run by tests/vendor/test_single_file.py.
"""

from __future__ import annotations

import importlib.util
import itertools
import sys
from pathlib import Path
from typing import Any


def load(path: str) -> Any:
    """Import a file by its path."""
    spec = importlib.util.spec_from_file_location(Path(path).stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Where dataclasses look their module up.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def whole(decoder: Any, read: bytes) -> list[bytes]:
    """Feed a read."""
    frames: list[bytes] = decoder.feed(read)
    return frames


def through_buffer(decoder: Any, read: bytes) -> list[bytes]:
    """Feed a read, which is short, through the decoder's buffer."""
    decoder.get_buffer()[: len(read)] = read
    frames: list[bytes] = decoder.buffer_updated(len(read))
    return frames


def decode(pure: Any, vector: Any, cuts: list[int], feed: Any) -> None:
    """Compare all that comes of a stream."""
    places = [0, *cuts, len(vector.stream)]
    decoder = pure.Decoder(**vector.options)
    frames = []
    for start, end in itertools.pairwise(places):
        frames += feed(decoder, vector.stream[start:end])
        if decoder.error is not None:
            break
    assert vector.frames == frames
    assert vector.buffered == decoder.buffered
    assert len(frames) == decoder.frames_in
    assert sum(map(len, frames)) == decoder.payload_in
    for name in ("bytes_in", "empty_skipped", "oversize_skipped"):
        assert getattr(vector, name) == getattr(decoder, name), name
    error = None
    try:
        decoder.feed_eof()
    except pure.FrameTooBig as exc:
        error = "FrameTooBig", exc.offset, exc.limit
    except pure.IncompleteFrame as exc:
        error = "IncompleteFrame", exc.offset, exc.partial
    assert vector.error == error


def encode(pure: Any, vector: Any) -> None:
    """Compare what becomes of payloads."""
    encoded = fault = None
    try:
        encoded = pure.encode_many(vector.payloads)
    except pure.DelimiterInPayload as exc:
        fault = exc.index, exc.item
    assert (vector.encoded, vector.fault) == (encoded, fault)
    if len(vector.payloads) == 1 and vector.fault is None:
        assert vector.encoded == pure.encode(vector.payloads[0])


def check_document(pure: Any, vector: Any) -> None:
    """Compare what is said of a document."""
    fault = None
    try:
        pure.check_document(vector.frame)
    except pure.DocumentError as exc:
        fault = exc.reason, exc.line, exc.column
    assert vector.fault == fault


def main() -> None:
    """Do all vectors, and tell how many there were."""
    pure = load(sys.argv[1])
    reader = load(sys.argv[2])
    streams = reader.read("decode.txt", reader.DecodeVector)
    payloads = reader.read("encode.txt", reader.EncodeVector)
    documents = reader.read("check_document.txt", reader.DocumentVector)
    for vector in streams:
        length = len(vector.stream)
        ways = [[], *([place] for place in range(length + 1)), list(range(1, length))]
        for cuts, feed in itertools.product(ways, (whole, through_buffer)):
            decode(pure, vector, cuts, feed)
    for vector in payloads:
        encode(pure, vector)
    for vector in documents:
        check_document(pure, vector)
    foreign = [
        name
        for name, module in sys.modules.items()
        if "site-packages" in str(getattr(module, "__file__", "")) or name.startswith("xmlsocket")
    ]
    assert [] == foreign
    print(len(streams), len(payloads), len(documents))  # noqa: T201 - for the test


main()
