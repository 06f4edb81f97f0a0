"""Errors survive pickling, say what house rules ask for, and stand in one tree."""

from __future__ import annotations

import copy
import pickle
from typing import TYPE_CHECKING

import pytest

from xmlsocket import exceptions, pure
from xmlsocket.exceptions import (
    CloseReason,
    ConcurrencyError,
    ConnectionClosed,
    ConnectionClosedError,
    ConnectionClosedOK,
    DelimiterInPayload,
    DocumentError,
    FrameTooBig,
    FramingError,
    IncompleteFrame,
    InvalidState,
    LocalError,
    PolicyError,
    WebSocketError,
    XMLSocketError,
    safe_text,
)

if TYPE_CHECKING:
    from .support.codecs import CodecModule

SAMPLES: list[tuple[XMLSocketError, str]] = [
    (XMLSocketError("anything"), "anything"),
    (FramingError("anything"), "anything"),
    (LocalError("anything"), "anything"),
    (FrameTooBig(5, 4), "frame starting at stream offset 5 exceeds max_size=4 bytes"),
    (
        IncompleteFrame(5, b"<b"),
        "stream ended inside the frame starting at stream offset 5, 2 bytes without a delimiter",
    ),
    (DelimiterInPayload(17), r"payload contains the delimiter b'\0' at index 17"),
    (DelimiterInPayload(17, 3), r"payload 3 contains the delimiter b'\0' at index 17"),
    (InvalidState("feed() after feed_eof()"), "feed() after feed_eof()"),
    (ConcurrencyError("two threads are inside one decoder"), "two threads are inside one decoder"),
    (DocumentError("no element"), "no element"),
    (DocumentError("no element", b"</a>", 1, 1), "no element, line 1, column 1"),
    (ConnectionClosed(CloseReason.EOF), "closed by the peer (eof)"),
    (ConnectionClosedOK(CloseReason.LOCAL), "closed by this side (local)"),
    (ConnectionClosedError(CloseReason.RESET), "connection lost (reset)"),
    (PolicyError("no policy"), "no policy"),
    (PolicyError("no policy", 3), "no policy, line 3"),
    (WebSocketError("refused", 403), "refused (403)"),
]

CLASSES = {
    value
    for name in exceptions.__all__
    if isinstance(value := getattr(exceptions, name), type) and issubclass(value, Exception)
}

PARENTS = {
    XMLSocketError: {Exception},
    ConnectionClosed: {XMLSocketError},
    ConnectionClosedOK: {ConnectionClosed},
    ConnectionClosedError: {ConnectionClosed},
    FramingError: {XMLSocketError},
    FrameTooBig: {FramingError},
    IncompleteFrame: {FramingError},
    LocalError: {XMLSocketError},
    DelimiterInPayload: {LocalError, ValueError},
    InvalidState: {LocalError},
    ConcurrencyError: {LocalError},
    DocumentError: {XMLSocketError, ValueError},
    PolicyError: {XMLSocketError, ValueError},
    WebSocketError: {XMLSocketError},
}


def by_type(value: object) -> str | None:
    """Name a test after the class of its error."""
    return type(value).__name__ if isinstance(value, Exception) else ""


def test_exceptions_all_have_a_sample_and_a_place() -> None:
    """No error is left out of these tests."""
    assert CLASSES == {type(error) for error, _ in SAMPLES} == PARENTS.keys()


@pytest.mark.parametrize(("error", "text"), SAMPLES, ids=by_type)
def test_exception_text_is_built_from_its_attributes(error: XMLSocketError, text: str) -> None:
    """The text says what, where and which limit; lower case, without a full stop."""
    assert text == str(error)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(("error", "text"), SAMPLES, ids=by_type)
def test_exception_pickled_and_copied_is_the_same(
    error: XMLSocketError, text: str, protocol: int
) -> None:
    """Errors cross processes with their type, attributes and text."""
    for twin in (pickle.loads(pickle.dumps(error, protocol)), copy.copy(error)):
        assert type(error) is type(twin)
        assert (vars(error), error.args, text) == (vars(twin), twin.args, str(twin))


@pytest.mark.parametrize("kind", PARENTS, ids=lambda kind: kind.__name__)
def test_exception_class_stands_in_its_place(kind: type[XMLSocketError]) -> None:
    """Errors derive from what a caller would catch, and name their public home."""
    assert PARENTS[kind] == set(kind.__bases__)
    assert "xmlsocket.exceptions" == kind.__module__


def test_exceptions_of_the_codec_are_those_of_the_pure_file() -> None:
    """Whichever module an error is imported from, it is one class."""
    names = [name for name in pure.__all__ if name in exceptions.__all__]

    assert 9 == len(names)
    assert [getattr(pure, name) for name in names] == [getattr(exceptions, name) for name in names]


def test_exceptions_raised_by_a_codec_can_be_pickled(codec: CodecModule) -> None:
    """What the extension raises crosses processes like what Python raises."""
    decoder = codec.Decoder(max_size=4)
    decoder.feed(b"<a/>\0toolong")
    raised: list[BaseException] = []
    for call in (
        lambda: decoder.feed(b""),
        lambda: codec.encode("a\0"),
        lambda: codec.encode_many(["", "a\0"]),
        lambda: codec.check_document(b"<!DOCTYPE a>"),
    ):
        with pytest.raises(XMLSocketError) as caught:
            call()
        raised.append(caught.value)

    for error in raised:
        twin = pickle.loads(pickle.dumps(error))
        assert (type(error), vars(error), str(error)) == (type(twin), vars(twin), str(twin))


@pytest.mark.parametrize("reason", CloseReason)
def test_connection_closed_of_tells_order_from_trouble(reason: CloseReason) -> None:
    """Closed on this side or by the peer between frames is in order, anything else is not."""
    in_order = reason in {CloseReason.LOCAL, CloseReason.EOF, CloseReason.SERVER_CLOSE}

    error = ConnectionClosed.of(reason)

    assert (ConnectionClosedOK if in_order else ConnectionClosedError) is type(error)
    assert reason is error.reason
    assert str(error).endswith(f" ({reason.value})")


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("", ""),
        ("plain text, é € 日本 \U0001f600", "plain text, é € 日本 \U0001f600"),
        ("two\nlines\r\tand\x1b[31mcolour\x07", r"two\nlines\r\tand\x1b[31mcolour\x07"),
        ("\x00\x7f\x85\x9b", r"\x00\x7f\x85\x9b"),
        ("a\u2028b\u2029c", r"a\u2028b\u2029c"),
        ("a\u202eb\u2066c\u200fd", r"a\u202eb\u2066c\u200fd"),
        ("\ud800\udfff", r"\ud800\udfff"),
        ("\ufeff\ufffe\U0010ffff", r"\ufeff\ufffe\U0010ffff"),
    ],
)
def test_safe_text_control_characters_are_escaped(text: str, safe: str) -> None:
    """Nothing of a peer's text can move a cursor, forge a line or turn the text round."""
    assert safe == safe_text(text)
    assert safe_text(text).isprintable()


def test_safe_text_long_text_is_cut_and_its_length_told() -> None:
    """The limit holds for what is shown, escapes included; the rest is counted as it was sent."""
    assert "abc" == safe_text("abc", limit=3)
    assert "abc… (1 more characters)" == safe_text("abcd", limit=3)
    assert r"\n\n… (3 more characters)" == safe_text("\n" * 5, limit=5)
    assert r"\U000e0001" * 20 + "… (180 more characters)" == safe_text("\U000e0001" * 200)
    assert "x" * 200 + "… (9800 more characters)" == safe_text("x" * 10_000)


@pytest.mark.parametrize(
    "error",
    [IncompleteFrame(0, b"<secret>" * 1000), DocumentError("reason", b"<secret>" * 1000, 1, 1)],
    ids=lambda error: type(error).__name__,
)
def test_repr_of_an_exception_that_holds_a_frame_does_not_show_it(error: Exception) -> None:
    """Loops log it of tasks whose exception nobody looked at."""
    assert f"{type(error).__name__}({str(error)!r})" == repr(error)
    assert "secret" not in repr(ExceptionGroup("two", [error, error]))
