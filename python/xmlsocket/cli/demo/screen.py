"""What the audience of the demo sees: the cast, the conversation, the summary."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self, TypeAlias

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from ..terminal import excerpt

if TYPE_CHECKING:
    from .script import Script
    from .stage import Outcome

    Styled: TypeAlias = "str | Text | tuple[str, str]"

__all__ = ["Screen"]

_COLOURS = ("cyan", "green", "magenta", "yellow", "blue")

_MEANING = ": every document of the others, byte for byte, in order, none twice"

# Columns where there is no terminal that has a number of its own.
_PLAIN_WIDTH = 100


class Screen:
    """Shows the conversation as the first client takes part in it, then the summary."""

    def __init__(self, script: Script) -> None:
        self._console = Console(highlight=False, emoji=False, markup=False)
        self._width = self._console.width if self._console.is_terminal else _PLAIN_WIDTH
        self._script = script
        self._styles = {
            part.name: style for part, style in zip(script.parts, _COLOURS, strict=False)
        }
        # Only what is said before the chorus is shown; the chorus is counted.
        self._speakers: dict[bytes, str] = {}
        for part in script.parts:
            shown = part.says[: len(part.says) - script.chorus]
            self._speakers.update(dict.fromkeys(shown, part.name))
        self._bar = Progress(
            TextColumn("  all at once", style="dim"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("documents relayed"),
            console=self._console,
            transient=True,
        )
        self._task = self._bar.add_task("", total=script.documents, visible=False)

    def __enter__(self) -> Self:
        """Introduce the clients."""
        for part in self._script.parts:
            self._line((f"  {part.name:5}", self._styles[part.name]), f"  {part.kind}")
        self._line()
        if self._console.is_terminal:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._console.is_terminal:
            self._bar.stop()

    def _line(self, *parts: Styled) -> None:
        self._console.print(Text.assemble(*parts), soft_wrap=True)

    def watch(self, document: bytes) -> None:
        """Show a document unless it belongs to the chorus."""
        speaker = self._speakers.get(document)
        if speaker is None:
            return
        name = self._script.names.get(document)
        tail = f"  ({name}, {len(document):,} bytes)" if name else ""
        width = max(20, self._width - 9 - len(tail))
        shown = excerpt(document, width) if document else Text("empty", "dim")
        self._line((f"  {speaker:5}", self._styles[speaker]), "  ", shown, (tail, "dim"))
        if document == self._script.signal:
            self._line((f"  …      {self._script.chorus:,} documents from each", "dim"))
            self._bar.update(self._task, visible=True)

    def progress(self, relayed: int) -> None:
        """Move the bar."""
        self._bar.update(self._task, completed=relayed)

    def summary(self, outcome: Outcome) -> None:
        """Show what everyone heard, the totals, and the verdict."""
        table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
        table.add_column("  client")
        headings = ("says", "heard", "of", "bytes", "missing", "repeated", "disordered", "foreign")
        for heading in headings:
            table.add_column(heading, justify="right")
        for tally in outcome.tallies:
            figures = (
                tally.says,
                tally.heard,
                tally.expected,
                tally.size,
                tally.missing,
                tally.repeated,
                tally.disordered,
                tally.foreign,
            )
            table.add_row(
                Text(f"  {tally.name}", self._styles[tally.name]),
                *(f"{figure:,}" for figure in figures),
                style="red" if tally.errors else None,
            )
        self._line()
        self._console.print(table, width=max(self._width, _PLAIN_WIDTH), soft_wrap=True)
        self._line()
        for name, value in self._totals(outcome).items():
            self._line(f"  {name:12}{value}")
        for failure in outcome.failures:
            self._line((f"  {failure}", "red"))
        self._line()
        if outcome.errors:
            self._line(("  failed: not every client got what it should", "bold red"))
        else:
            self._line(("  ok: every client got what it should", "bold green"), _MEANING)

    def _totals(self, outcome: Outcome) -> dict[str, str]:
        heard = sum(tally.heard for tally in outcome.tallies)
        size = sum(tally.size for tally in outcome.tallies)
        totals = {
            "documents": f"{outcome.relayed:,} relayed, {heard:,} delivered",
            "bytes": f"{size:,} delivered",
        }
        if outcome.seconds is not None:
            others = len(outcome.tallies) - 1
            at_once = self._script.chorus * len(outcome.tallies)
            totals["rate"] = (
                f"{at_once * others / outcome.seconds:,.0f} documents a second delivered:"
                f" {at_once:,} at once, each to {others}, in {outcome.seconds:.2f} s"
            )
        return totals | {"errors": f"{outcome.errors:,}"}
