"""Decoding: UTF-8 strictly and as Flash does, code pages, byte order marks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xmlsocket import flash
from xmlsocket.encoding import decode
from xmlsocket.exceptions import DocumentError
from xmlsocket.flash import decode_flash


def units(data: bytes) -> str:
    """
    Decode as avmplus's Utf8ToUtf16 does when not strict, one unit at a time.

    The slow and plain twin of `decode_flash`: it knows no regular expression and
    no codec, and makes UTF-16, surrogates and all.
    """
    found: list[int] = []
    at = 0
    while at < len(data):
        lead = data[at]
        length, bits, least = (
            (2, 0x1F, 0x80)
            if lead >> 5 == 0b110
            else (3, 0x0F, 0x800)
            if lead >> 4 == 0b1110
            else (4, 0x07, 0x10000)
            if lead >> 4 == 0b1111
            else (1, 0xFF, 0)
        )
        rest = data[at + 1 : at + length]
        number = lead & bits
        for byte in rest:
            number = number << 6 | byte & 0x3F
        valid = len(rest) == length - 1 and all(byte >> 6 == 0b10 for byte in rest)
        if not valid or number < least:
            number, length = lead, 1
        if number >= 0x10000:
            found += [0xD800 + ((number - 0x10000) >> 10 & 0x3FF), 0xDC00 + (number & 0x3FF)]
        else:
            found.append(number)
        at += length
    wide = b"".join(unit.to_bytes(2, "little") for unit in found)
    return wide.decode("utf-16-le", "surrogatepass")


# As many lead and continuation bytes as not, so that sequences happen.
utf8_like = st.lists(
    st.one_of(
        st.binary(max_size=3),
        st.text(st.characters(exclude_categories=()), max_size=3).map(
            lambda text: text.encode("utf-8", "surrogatepass")
        ),
        st.tuples(st.integers(0xC0, 0xFF), st.lists(st.integers(0x80, 0xBF), max_size=4)).map(
            lambda parts: bytes([parts[0], *parts[1]])
        ),
    ),
    max_size=12,
).map(b"".join)


@given(utf8_like)
def test_decode_flash_any_bytes_agrees_with_plain_twin(data: bytes) -> None:
    """For all bytes the result is that of the rule written out step by step."""
    assert units(data) == decode_flash(data)


@given(st.text())
def test_decode_flash_valid_utf8_is_plain_utf8(text: str) -> None:
    """Valid UTF-8 means the same to Flash and to Python."""
    assert text == decode_flash(text.encode())


@pytest.mark.parametrize(
    ("data", "text"),
    [
        pytest.param(b"caf\xe9", "café", id="latin-1"),
        pytest.param(b"\xe9\xc3\xa9", "éé", id="mixed"),
        pytest.param(b"\xc3", "\xc3", id="cut-off"),
        pytest.param(b"\xe2\x82a", "\xe2\x82a", id="resumes-at-next-byte"),
        pytest.param(b"\xe2\xc3\xa9", "\xe2é", id="resumes-inside"),
        pytest.param(b"\x80\xbf", "\x80\xbf", id="continuation-alone"),
        pytest.param(b"\xc0\x80\xc1\xbf", "\xc0\x80\xc1\xbf", id="overlong-2"),
        pytest.param(b"\xe0\x9f\xbf", "\xe0\x9f\xbf", id="overlong-3"),
        pytest.param(b"\xf0\x8f\xbf\xbf", "\xf0\x8f\xbf\xbf", id="overlong-4"),
        pytest.param(b"\xf8\x8f\xbf\xbf", "\xf8\x8f\xbf\xbf", id="overlong-f8"),
        pytest.param(b"\xed\xa0\x80", "\ud800", id="lone-surrogate"),
        pytest.param(b"\xed\xa0\xbd\xed\xb8\x80", "\U0001f600", id="surrogate-pair"),
        pytest.param(b"\xf8\x9f\x98\x80", "\U0001f600", id="f8-as-f0"),
        pytest.param(b"\xfc\x8f\xbf\xbf", "\U0010ffff", id="fc-as-f4"),
        pytest.param(b"\xf4\x90\x80\x80", "\U00010000", id="beyond-unicode-wraps"),
        pytest.param(b"\xff\xbf\xbf\xbf", "\U000fffff", id="largest"),
        pytest.param(b"\xff\xbf\xbf", "\xff\xbf\xbf", id="f8-needs-three"),
    ],
)
def test_decode_flash_invalid_utf8_follows_flash(data: bytes, text: str) -> None:
    """Each rule of avmplus's Utf8ToUtf16 for what is not UTF-8."""
    assert text == decode_flash(data)


def test_decode_flash_keeps_byte_order_mark() -> None:
    """It is `decode` and `parse` that remove one."""
    assert decode_flash(b"\xef\xbb\xbfa\xff") == "\ufeffa\xff"


@pytest.mark.parametrize("errors", ["strict", "flash"])
def test_decode_removes_one_byte_order_mark(errors: str) -> None:
    """One leading mark goes, a second one is text."""
    data = b"\xef\xbb\xbf\xef\xbb\xbfa"

    assert decode(data, "utf-8", errors) == "\ufeffa"  # type: ignore[arg-type]  # one of the two


def test_parse_removes_one_byte_order_mark_from_bytes_and_text() -> None:
    """A mark before the declaration is no text node."""
    assert flash.parse(b"\xef\xbb\xbf<?xml?>").nodes == []
    assert flash.parse("\ufeff\ufeff").nodes == ["\ufeff"]


def test_decode_strict_invalid_utf8_raises_with_position() -> None:
    """The error tells line and column of the first bad byte and has the frame."""
    with pytest.raises(DocumentError, match=r"^invalid utf-8, line 2, column 3$") as caught:
        decode(b"<a>\n  \xff</a>")

    assert caught.value.frame == b"<a>\n  \xff</a>"


def test_parse_strict_invalid_utf8_raises() -> None:
    """Only a caller who asks for it gets an exception from a frame's content."""
    with pytest.raises(DocumentError, match="invalid utf-8"):
        flash.parse(b"\xff", errors="strict")
    assert flash.parse(b"\xff").nodes == ["\xff"]


@pytest.mark.parametrize(
    ("encoding", "data", "text"),
    [
        ("latin-1", b"caf\xe9", "café"),
        ("windows-1252", b"\x80\x93a\x94", "€“a”"),
        ("shift_jis", "日本".encode("shift_jis"), "日本"),
        ("UTF8", b"caf\xc3\xa9", "café"),
    ],
)
def test_parse_code_page_is_decoded_with_pythons_codec(
    encoding: str, data: bytes, text: str
) -> None:
    """Old servers write in the code page of their system."""
    assert [text] == flash.parse(data, encoding=encoding).nodes
    assert [text] == flash.parse(data, encoding=encoding, errors="strict").nodes


def test_parse_declared_encoding_is_ignored() -> None:
    """A declaration is kept and not believed."""
    document = flash.parse(b'<?xml encoding="utf-16"?>caf\xc3\xa9')

    assert document.nodes == ["café"]


@pytest.mark.parametrize(
    ("encoding", "data", "text"),
    [
        ("windows-1252", b"a\x81b", "a\x81b"),
        ("shift_jis", b"a\xffb\x93", "a\xffb\x93"),
        ("euc_jp", b"a\x8f\xa1", "a\x8f\xa1"),
        ("ascii", b"caf\xe9", "café"),
        ("UTF8", b"caf\xe9", "café"),
        ("idna", b"\xe9", "é"),
    ],
)
def test_parse_undecodable_byte_of_code_page_becomes_character_of_same_number(
    encoding: str, data: bytes, text: str
) -> None:
    """So nothing is refused; in strict mode it is."""
    assert [text] == flash.parse(data, encoding=encoding).nodes
    with pytest.raises(DocumentError):
        flash.parse(data, encoding=encoding, errors="strict")


def test_parse_unknown_encoding_raises_lookup_error() -> None:
    """A misspelt codec is the caller's mistake, not the frame's."""
    with pytest.raises(LookupError):
        flash.parse(b"<a/>", encoding="latin-99")
    with pytest.raises(LookupError):
        flash.parse(b"<a/>", encoding="latin-99", errors="strict")


def test_parse_unknown_errors_raises_value_error() -> None:
    """Python's other error handlers are not offered."""
    with pytest.raises(ValueError, match="errors must be 'strict' or 'flash', not 'ignore'"):
        flash.parse(b"<a/>", errors="ignore")  # type: ignore[arg-type]  # what the test is about
