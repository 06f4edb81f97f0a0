"""One line of a recording: what it says, how it is written and read."""

from __future__ import annotations

import base64
import binascii
import dataclasses
import datetime as dt
import enum
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

__all__ = ["Event", "Record", "RecordingError", "read"]

# JSON escapes control characters below U+0020. Of the others a terminal obeys some,
# and some turn the order of what it shows.
_DOUBTFUL: Final = re.compile(r"[^\x20-\x7e]")

_SIDES: Final = frozenset({"client", "server", "proxy"})


class RecordingError(Exception):
    """A recording cannot be written, or a file is none; the text says where and why."""


class Event(enum.StrEnum):
    """
    What happened.

    ``OPEN`` and ``CLOSE`` are the first and the last of a connection. ``FRAME`` is
    what a zero byte ended, ``OVERSIZE`` the beginning of a frame longer than the
    recorder keeps, ``UNFINISHED`` what no zero byte had ended when its side did.
    ``END`` is the end of what one side sends; the other may go on.
    """

    OPEN = "open"
    FRAME = "frame"
    OVERSIZE = "oversize"
    UNFINISHED = "unfinished"
    END = "end"
    CLOSE = "close"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """
    One line of a recording.

    Attributes:
        time: When, in UTC.
        seconds: Seconds since the connection was accepted.
        connection: Its number, counted from 1.
        side: Who did it: ``"client"``, ``"server"`` or ``"proxy"``.
        event: What happened.
        data: Of what was sent, the bytes without the zero byte, cut where there
            were more than the recorder keeps; None for other events.
        size: Bytes that were sent, the zero byte not counted.
        peer: Of ``open``, the client's address.
        how: Of ``end`` and ``close``: ``"closed"`` in order, ``"reset"``; of
            ``close`` also ``"stopped"`` with the proxy, or why the server could
            not be reached.

    """

    time: dt.datetime
    seconds: float
    connection: int
    side: str
    event: Event
    data: bytes | None = None
    size: int | None = None
    peer: str | None = None
    how: str | None = None

    def as_json(self) -> str:
        """Return it as one line without its end."""
        fields: dict[str, Any] = {
            "time": self.time.isoformat(timespec="microseconds").replace("+00:00", "Z"),
            "seconds": round(self.seconds, 6),
            "connection": self.connection,
            "side": self.side,
            "event": str(self.event),
        }
        if self.data is not None:
            fields["size"] = self.size
            try:
                fields["text"] = self.data.decode()
            except UnicodeDecodeError:
                fields["base64"] = base64.b64encode(self.data).decode()
        for name in ("peer", "how"):
            if (value := getattr(self, name)) is not None:
                fields[name] = value
        return _DOUBTFUL.sub(_escaped, json.dumps(fields, ensure_ascii=False))

    @classmethod
    def parse(cls, line: str) -> Record:
        """
        Read one line.

        Raises:
            ValueError: If it is no record, with what is wrong.

        """
        try:
            fields = json.loads(line)
        except (ValueError, RecursionError):
            raise ValueError("no JSON") from None
        if not isinstance(fields, dict):
            raise ValueError("no JSON object")  # noqa: TRY004 - for the caller, all is a ValueError
        try:
            record = cls(
                time=dt.datetime.fromisoformat(fields["time"]),
                seconds=float(fields["seconds"]),
                connection=int(fields["connection"]),
                side=fields["side"],
                event=Event(fields["event"]),
                data=_data(fields),
                size=fields.get("size"),
                peer=fields.get("peer"),
                how=fields.get("how"),
            )
        except KeyError as exc:
            raise ValueError(f"{exc.args[0]} is missing") from None
        except (TypeError, AttributeError) as exc:
            raise ValueError(str(exc)) from None
        if record.side not in _SIDES:
            raise ValueError(f"{record.side!r} is no side")
        return record


def _escaped(match: re.Match[str]) -> str:
    character = match[0]
    return character if character.isprintable() else json.dumps(character)[1:-1]


def _data(fields: dict[str, Any]) -> bytes | None:
    if "base64" in fields:
        try:
            return base64.b64decode(fields["base64"], validate=True)
        except binascii.Error as exc:
            raise ValueError(f"base64: {exc}") from None
    text = fields.get("text")
    return None if text is None else text.encode()


def read(path: str | os.PathLike[str]) -> Iterator[Record]:
    """
    Read a recording.

    Args:
        path: A file that `Recorder` wrote.

    Yields:
        Its records, in the order in which they were written.

    Raises:
        OSError: If it cannot be read.
        RecordingError: If a line is no record; the text has its number.

    """
    with Path(path).open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                yield Record.parse(line.decode())
            except UnicodeDecodeError:
                raise RecordingError(f"line {number}: no UTF-8") from None
            except ValueError as exc:
                raise RecordingError(f"line {number}: {exc}") from None
