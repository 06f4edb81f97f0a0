"""Reads the vectors of ``tests/vectors``, whose README defines the format."""

from __future__ import annotations

import dataclasses
import pathlib
import re
from typing import TYPE_CHECKING, Any, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["DecodeVector", "DocumentVector", "EncodeVector", "read"]

FOLDER = pathlib.Path(__file__).parent.parent / "vectors"

# The last alternative, nothing, catches a backslash that starts no escape.
_ESCAPE = re.compile(r"\\(?:x([0-9a-f]{2})|(\\)|)")


class Block:
    """The lines of one vector. Every line must be taken, each key once unless it is a list."""

    def __init__(self, lines: list[str]) -> None:
        self._values: dict[str, list[str]] = {}
        for line in lines:
            key, colon, value = line.partition(":")
            if not colon or (value and value[0] != " ") or value != value.rstrip():
                raise ValueError(f"not a line of the form 'key: value': {line!r}")
            self._values.setdefault(key, []).append(value[1:])

    def texts(self, key: str) -> list[str]:
        """Take the values of a key that is a list."""
        return self._values.pop(key, [])

    def text(self, key: str, default: str | None = None) -> str:
        """Take the only value of a key."""
        values = self._values.pop(key, [] if default is None else [default])
        if len(values) != 1:
            raise ValueError(f"{key!r} stands {len(values)} times in a vector")
        return values[0]

    def number(self, key: str, default: str | None = None) -> int | None:
        """Take a number, or ``none``."""
        value = self.text(key, default)
        return None if value == "none" else int(value)

    def count(self, key: str, default: str | None = None) -> int:
        """Take a number."""
        return int(self.text(key, default))

    def flag(self, key: str) -> bool:
        """Take ``true`` or ``false``, the latter by default."""
        return {"true": True, "false": False}[self.text(key, "false")]

    def end(self) -> None:
        """Refuse what nobody took."""
        if self._values:
            raise ValueError(f"unknown keys in a vector: {sorted(self._values)}")


def unescape(value: str) -> bytes:
    """Return the bytes that a value stands for."""

    def byte(match: re.Match[str]) -> str:
        if match[1]:
            return chr(int(match[1], 16))
        if match[2]:
            return "\\"
        raise ValueError(f"unknown escape in {value!r}")

    return _ESCAPE.sub(byte, value).encode("latin-1")


@dataclasses.dataclass(frozen=True, kw_only=True)
class DecodeVector:
    """One vector of ``decode.txt``: options, a stream, and what comes out."""

    name: str
    options: dict[str, Any]
    stream: bytes
    frames: list[bytes]
    error: tuple[object, ...] | None
    bytes_in: int
    empty_skipped: int
    oversize_skipped: int
    buffered: int

    @classmethod
    def of(cls, block: Block) -> Self:
        """Read it from its lines."""
        error: tuple[object, ...] | None = None
        kind = block.text("error", "none")
        if kind == "FrameTooBig":
            error = kind, block.count("offset"), block.count("limit")
        elif kind == "IncompleteFrame":
            error = kind, block.count("offset"), unescape(block.text("partial"))
        elif kind != "none":
            raise ValueError(f"unknown error {kind!r}")
        return cls(
            name=block.text("name"),
            options={
                "max_size": block.number("max_size", str(2**20)),
                "oversize": block.text("oversize", "raise"),
                "skip_empty": block.flag("skip_empty"),
            },
            stream=unescape(block.text("input")),
            frames=[unescape(value) for value in block.texts("frame")],
            error=error,
            bytes_in=block.count("bytes_in"),
            empty_skipped=block.count("empty_skipped", "0"),
            oversize_skipped=block.count("oversize_skipped", "0"),
            buffered=block.count("buffered", "0"),
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class EncodeVector:
    """One vector of ``encode.txt``: payloads, and their encoding or the fault."""

    name: str
    payloads: list[bytes]
    encoded: bytes | None
    fault: tuple[int, int] | None

    @classmethod
    def of(cls, block: Block) -> Self:
        """Read it from its lines."""
        encoded = block.texts("encoded")
        return cls(
            name=block.text("name"),
            payloads=[unescape(value) for value in block.texts("payload")],
            encoded=unescape(encoded[0]) if encoded else None,
            fault=None if encoded else (block.count("index"), block.count("item")),
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class DocumentVector:
    """One vector of ``check_document.txt``: a frame and why it is refused, if it is."""

    name: str
    frame: bytes
    fault: tuple[str, int, int] | None

    @classmethod
    def of(cls, block: Block) -> Self:
        """Read it from its lines."""
        reason = block.text("reason", "")
        return cls(
            name=block.text("name"),
            frame=unescape(block.text("frame")),
            fault=(reason, block.count("line"), block.count("column")) if reason else None,
        )


V = TypeVar("V", DecodeVector, EncodeVector, DocumentVector)


def _blocks(text: str) -> Iterator[Block]:
    lines: list[str] = []
    for line in [*text.split("\n"), ""]:
        if line.startswith("#"):
            continue
        if line:
            lines.append(line)
        elif lines:
            yield Block(lines)
            lines = []


def read(file: str, kind: type[V]) -> list[V]:
    """Return all vectors of a file, refusing anything that is not the format."""
    vectors = []
    for block in _blocks((FOLDER / file).read_text("ascii")):
        vectors.append(kind.of(block))
        block.end()
    names = [vector.name for vector in vectors]
    if len(set(names)) != len(names):
        raise ValueError(f"a name stands twice in {file}")
    return vectors
