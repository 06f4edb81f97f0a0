"""
The text of a frame: strict, as Flash reads it, or in an old server's code page.

Nothing but the standard library and the errors of the package is needed.
"""

from __future__ import annotations

import codecs
import re
from typing import TYPE_CHECKING

from .exceptions import DocumentError, safe_text

if TYPE_CHECKING:
    from typing import Literal

__all__ = ["decode", "decode_flash"]

_BOM = "\ufeff"

# Bytes read as Latin-1, so that "a byte that belongs to no sequence becomes the
# character of its own number" needs no work: it is what stays when the
# sequences are replaced. Group 1 is a run of what is a sequence in Unicode too,
# surrogates included; group 2 one sequence of four beyond it. Every repeat is
# possessive or of fixed length: a byte is looked at a bounded number of times.
_SEQUENCES = re.compile(
    "((?:"
    "[\xc2-\xdf][\x80-\xbf]"
    "|\xe0[\xa0-\xbf][\x80-\xbf]"
    "|[\xe1-\xef][\x80-\xbf]{2}"
    "|\xf0[\x90-\xbf][\x80-\xbf]{2}"
    "|[\xf1-\xf3][\x80-\xbf]{3}"
    "|\xf4[\x80-\x8f][\x80-\xbf]{2}"
    ")++)"
    "|([\xf4-\xf7\xf9-\xff][\x80-\xbf]{3}|\xf8[\x90-\xbf][\x80-\xbf]{2})"
)
_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")


def decode_flash(data: bytes) -> str:
    """
    Decode UTF-8 as Flash Player does, for which no input is an error.

    - A byte that starts no valid sequence becomes the character of the same
      number, as in Latin-1, and decoding goes on with the next byte. Overlong
      forms are not valid.
    - Encoded surrogates are accepted. A pair becomes the character it stands
      for, since Flash's strings are UTF-16; a lone one stays in the result,
      which then cannot be encoded strictly.
    - Sequences of four bytes may start with F4 to FF and go beyond U+10FFFF:
      the number wraps around, as it does when it is cut into two surrogates.

    Valid UTF-8 costs what ``bytes.decode`` costs; the rest is linear too.

    Args:
        data: Any bytes. A byte order mark is not removed.

    Returns:
        The text; it has no more characters than ``data`` has bytes.

    Source: avmplus, core/UnicodeUtils.cpp, ``Utf8ToUtf16`` when not strict.

    """
    try:
        return data.decode()
    except UnicodeDecodeError:
        text = _SEQUENCES.sub(_characters, data.decode("latin-1"))
        return _PAIR.sub(_join, text)


def _characters(sequences: re.Match[str]) -> str:
    data = sequences[0].encode("latin-1")
    if sequences[1] is not None:
        return data.decode("utf-8", "surrogatepass")
    lead, *rest = data
    number = lead & 0x07
    for byte in rest:
        number = number << 6 | byte & 0x3F
    return chr(0x10000 + (number - 0x10000 & 0xFFFFF))


def _join(pair: re.Match[str]) -> str:
    high, low = map(ord, pair[0])
    return chr(0x10000 + ((high & 0x3FF) << 10) + (low & 0x3FF))


def decode(
    frame: bytes, encoding: str = "utf-8", errors: Literal["strict", "flash"] = "strict"
) -> str:
    """
    Return the text of a frame without its byte order mark.

    Args:
        frame: The bytes of one frame.
        encoding: ``"utf-8"``, or what an old server writes, such as
            ``"latin-1"``, ``"windows-1252"`` or ``"shift_jis"``: decoded with
            Python's codec. What a declaration inside says is not believed.
        errors: ``"flash"`` accepts everything: UTF-8 as `decode_flash` does, and
            in other encodings an undecodable byte becomes the character of the
            same number too. The latter is ours: in Flash the operating system
            decided.

    Raises:
        DocumentError: With ``errors="strict"``, if the frame is not valid in its
            encoding; with line and column.
        LookupError: If Python does not know ``encoding``.
        ValueError: If ``errors`` is neither.

    Source: Flash MX 2004, Using Flash, multilanguage text: UTF-8 from player 6
    on, the system's code page before it or with ``System.useCodepage``.

    """
    if errors == "flash":
        text = _decode_any(frame, encoding)
    elif errors == "strict":
        try:
            text = frame.decode(encoding)
        except UnicodeDecodeError as exc:
            line = frame.count(b"\n", 0, exc.start) + 1
            column = exc.start - frame.rfind(b"\n", 0, exc.start)
            raise DocumentError(f"invalid {safe_text(encoding)}", frame, line, column) from None
    else:
        raise ValueError(f"errors must be 'strict' or 'flash', not {errors!r}")
    return text.removeprefix(_BOM)


def _decode_any(frame: bytes, encoding: str) -> str:
    if codecs.lookup(encoding).name == "utf-8":
        return decode_flash(frame)
    try:
        return frame.decode(encoding, "xmlsocket.flash")
    except UnicodeError:
        # A codec that takes no error handler, such as "idna".
        return frame.decode("latin-1")


def _same_number(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    return chr(error.object[error.start]), error.start + 1


codecs.register_error("xmlsocket.flash", _same_number)
