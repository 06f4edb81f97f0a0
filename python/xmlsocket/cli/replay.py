"""``xmlsocket replay``: a recording shown, or its client's side sent again."""

from __future__ import annotations

import asyncio
from pathlib import Path  # noqa: TC003 - typer reads the annotations at run time
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.console import Console
from rich.text import Text

from ..exceptions import safe_text
from ..testing.recording import Event, RecordingError, read
from ..testing.recording import replay as send_again
from .errors import CommandError, reason
from .options import stream_endpoint
from .serve import count
from .terminal import excerpt, readable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..testing.recording import Outcome, Record

__all__ = ["replay"]

EXAMPLES = """Examples:

\b
  xmlsocket replay session.jsonl                        show it
  xmlsocket replay session.jsonl --connection 2
  xmlsocket replay session.jsonl 127.0.0.1:9339         send it at its own pace
  xmlsocket replay session.jsonl 127.0.0.1:9339 --fast
"""

_MARKS: Final = {"client": ("> ", "cyan"), "server": ("< ", "green"), "proxy": ("= ", "dim")}
_WIDTH: Final = 60


def _records(path: Path, connections: list[int] | None) -> Iterator[Record]:
    """Yield the records of a file that are wanted."""
    found = False
    try:
        for record in read(path):
            if not connections or record.connection in connections:
                found = True
                yield record
    except OSError as exc:
        raise CommandError(f"cannot read {path}: {reason(exc)}") from None
    except RecordingError as exc:
        raise CommandError(f"{path}: {exc}") from None
    if not found:
        raise CommandError(f"{path}: no such connection" if connections else f"{path}: empty")


def _show(records: Iterator[Record]) -> None:
    console = Console(highlight=False, emoji=False, markup=False)
    for record in records:
        mark, style = _MARKS[record.side]
        start = f"{record.time:%H:%M:%S.%f} {record.seconds:11.6f}  {record.connection:>3} "
        for number, line in enumerate(_words(record).split("\n")):
            left = Text.assemble((start, "dim"), (mark, style))
            indent = Text(" " * len(left))
            console.print(Text.assemble(indent if number else left, line), soft_wrap=True)


def _words(record: Record) -> Text:
    """Return what happened, fit for a terminal."""
    if record.data is None:
        about = safe_text(record.how or record.peer or "")
        if record.event is Event.OPEN:
            about = f"{about} on {record.time:%Y-%m-%d}, UTC"
        return Text(f"[{record.event}] {about}".rstrip(), "dim")
    shown = readable(record.data)
    if record.event is Event.FRAME:
        return shown
    note = f"[{record.event}] {record.size:,} bytes: "
    return Text.assemble((note, "yellow"), shown)


def _tell(outcome: Outcome) -> bool:
    """Report one connection that was sent again; return whether it went as before."""
    start = f"connection {outcome.connection}: {count(outcome.sent, 'frame')} sent"
    if outcome.failure is not None:
        typer.echo(f"{start}, then {safe_text(outcome.failure)}")
        return False
    at = outcome.difference
    if at is None:
        typer.echo(f"{start}, {count(len(outcome.came), 'answer')}, the same as recorded")
        return True
    wanted, came = len(outcome.wanted), len(outcome.came)
    typer.echo(f"{start}, {came:,} of {count(wanted, 'answer')}, different from number {at + 1}:")
    for word, frames in (("recorded", outcome.wanted), ("now", outcome.came)):
        shown = excerpt(frames[at], _WIDTH).plain if at < len(frames) else "nothing"
        typer.echo(f"  {word + ':':9} {shown}")
    return False


def replay(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A recording of 'xmlsocket record'.")
    ],
    target: Annotated[
        str | None,
        typer.Argument(
            metavar="TARGET",
            help="Send it to this server: HOST:PORT, tls://HOST:PORT or unix:PATH.",
        ),
    ] = None,
    *,
    connection: Annotated[
        list[int] | None,
        typer.Option(
            metavar="N",
            min=1,
            help="Only the connection with this number; may be given several times.",
        ),
    ] = None,
    fast: Annotated[
        bool,
        typer.Option(
            "--fast", help="Wait for the answers that came before, not for the recorded times."
        ),
    ] = False,
    wait: Annotated[
        float,
        typer.Option(
            metavar="SECONDS",
            min=0,
            help="How long answers may take with --fast, and after the last frame.",
        ),
    ] = 1.0,
    tls_ca: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="PEM file to verify a tls:// server with, not the system's."
        ),
    ] = None,
) -> None:
    """
    Show a recording, or send its clients' side to a server again.

    Shown are the time, the seconds since the connection was accepted, its number,
    and what happened: '>' is what the client sent, '<' the server. What a terminal
    could obey is escaped.

    With TARGET, all recorded connections are opened again, each frame is sent at
    its time, and the answers are compared. Exit status 1: some differ.
    """
    records = _records(file, connection)
    if target is None:
        _show(records)
        return
    endpoint = stream_endpoint(target, "TARGET", tls_ca)
    try:
        outcomes = asyncio.run(send_again(records, endpoint, fast=fast, wait=wait))
    except ValueError as exc:
        raise CommandError(f"{file}: {exc}") from None
    same = [_tell(outcome) for outcome in outcomes]
    raise typer.Exit(0 if all(same) else 1)
