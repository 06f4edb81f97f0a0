"""How rooms and documents look on NATS."""

from __future__ import annotations

import re
import urllib.parse
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["ID", "MessageId", "check_prefix", "pack", "token", "unpack", "weight"]

ID: Final = "Nats-Msg-Id"
"""Header by which JetStream knows a message that is sent again."""

KEYS: Final = "Xmlsocket-Keys"
"""Header with the keys of the documents, separated by commas, absent if none has one."""

_PLAIN: Final = re.compile(r"[^A-Za-z0-9_-]")
_PREFIX: Final = re.compile(r"[A-Za-z0-9_-]{1,100}(\.[A-Za-z0-9_-]{1,100}){0,4}")
_ID: Final = re.compile(r"([A-Za-z0-9]{1,64})\.([0-9]{1,18})\.([0-9]{1,18})")


def token(name: str) -> str:
    """
    Return the token of a subject that stands for a room, for no other one.

    Letters, digits, ``-`` and ``_`` of ASCII stand for themselves, each other byte
    of the name's UTF-8 is ``=`` and two hexadecimal digits. So it has no ``.``,
    ``*``, ``>`` or space, which mean something in subjects, and at most three
    times the bytes of the name.
    """
    return _PLAIN.sub(lambda match: "".join(f"={byte:02X}" for byte in match[0].encode()), name)


def check_prefix(prefix: str) -> None:
    """Raise `ValueError` for what cannot begin a subject."""
    if not _PREFIX.fullmatch(prefix):
        raise ValueError(
            f"prefix must be 1 to 5 tokens of letters, digits, '-' and '_', not {prefix[:40]!r}"
        )


class MessageId(NamedTuple):
    """
    Name of a message with documents of one room.

    Attributes:
        origin: The backplane that sent it.
        number: Grows with each message of the origin.
        previous: Number of the origin's message before, in this room; 0 if the
            origin does not know.

    """

    origin: str
    number: int
    previous: int

    def __str__(self) -> str:
        return f"{self.origin}.{self.number}.{self.previous}"

    @classmethod
    def of(cls, headers: Mapping[str, str] | None) -> MessageId:
        """Return that of a message; raises `ValueError` if it has none."""
        match = _ID.fullmatch((headers or {}).get(ID, ""))
        if match is None:
            raise ValueError("no message of a room")
        return cls(match[1], int(match[2]), int(match[3]))


def _quoted(key: str | None) -> str:
    return "" if key is None else "=" + urllib.parse.quote(key, safe="", errors="surrogatepass")


def weight(frame: bytes, key: str | None) -> int:
    """Return by how many bytes a document makes a message longer, at most."""
    return len(frame) + 1 + (0 if key is None else len(_quoted(key)))


def pack(documents: Iterable[tuple[bytes, str | None]]) -> tuple[bytes, dict[str, str]]:
    """Return the payload and the headers of a message with documents of one room."""
    frames, keys = zip(*documents, strict=True)
    headers = {KEYS: ",".join(map(_quoted, keys))} if any(k is not None for k in keys) else {}
    return b"".join(frames), headers


def unpack(payload: bytes, headers: Mapping[str, str] | None) -> list[tuple[bytes, str | None]]:
    """
    Return the frames of a message, delimiters included, and their keys.

    Raises:
        ValueError: If no backplane has made this message.

    """
    if not payload.endswith(b"\0"):
        raise ValueError("the payload does not end with a delimiter")
    if payload.find(b"\0") == len(payload) - 1:
        frames = [payload]
    else:
        frames = [frame + b"\0" for frame in payload[:-1].split(b"\0")]
    line = (headers or {}).get(KEYS)
    if line is None:
        return [(frame, None) for frame in frames]
    keys = [
        urllib.parse.unquote(key[1:], errors="surrogatepass") if key else None
        for key in line.split(",")
    ]
    if len(keys) != len(frames):
        raise ValueError("the message has not one key for each document")
    return list(zip(frames, keys, strict=True))
