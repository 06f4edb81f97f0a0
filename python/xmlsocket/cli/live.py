"""``serve --stats``: what a server counts, while it runs."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rich.console import Console
from rich.filesize import decimal
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ..exceptions import safe_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType
    from typing import Self

    from ..exceptions import CloseReason
    from ..stats import ServerStats, WorkersStats

__all__ = ["LiveStats"]

TABLE_EVERY = 1.0
"""Seconds between two looks, in a terminal."""
LINE_EVERY = 10.0
"""Seconds between two lines, in a file."""

_RATES = ("frames_in", "frames_out", "bytes_in", "bytes_out")


class LiveStats:
    """
    Shows figures as a table that changes in a terminal, as lines elsewhere.

    Args:
        clock: Seconds, from anywhere.

    Attributes:
        interval: Seconds between two calls of `show`.

    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = Console(highlight=False, emoji=False, markup=False)
        self._live: Live | None = None
        if self._console.is_terminal:
            # Drawn by the caller: a thread would draw figures that have not changed.
            self._live = Live(console=self._console, auto_refresh=False)
        self._clock = clock
        self._then = clock()
        self._before = dict.fromkeys(_RATES, 0)
        self.interval: float = LINE_EVERY if self._live is None else TABLE_EVERY

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, stats: WorkersStats) -> None:
        """Show the figures of now, and rates since the last call."""
        rates = self._rates(stats.total)
        if self._live is None:
            self._console.print(_line(stats, rates), soft_wrap=True)
        else:
            self._live.update(_table(stats, rates), refresh=True)

    def _rates(self, stats: ServerStats) -> dict[str, float]:
        now = self._clock()
        passed = max(now - self._then, 1e-3)
        rates = {}
        for name in _RATES:
            value = getattr(stats, name)
            # Less than before only when a worker was killed before it could tell.
            rates[name] = max(0.0, value - self._before[name]) / passed
            self._before[name] = value
        self._then = now
        return rates


def _bytes(number: float) -> str:
    return decimal(int(number))


def _line(stats: WorkersStats, rates: Mapping[str, float]) -> str:
    total = stats.total
    return (
        f"connections {total.connections:,}"
        f" | documents/s in {rates['frames_in']:,.0f} out {rates['frames_out']:,.0f}"
        f" | bytes/s in {_bytes(rates['bytes_in'])} out {_bytes(rates['bytes_out'])}"
        f" | waiting in {_bytes(total.queued_in)} out {_bytes(total.queued_out)}"
        f" | dropped {total.dropped:,} | closed {_words(total.closed)}"
    )


def _words(counts: Mapping[CloseReason, int] | Mapping[str, int]) -> str:
    most_first = sorted(counts.items(), key=lambda item: -item[1])
    return ", ".join(f"{name} {count:,}" for name, count in most_first) or "0"


def _table(stats: WorkersStats, rates: Mapping[str, float]) -> Table:
    total = stats.total
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim")
    table.add_column()

    def row(name: str, text: str) -> None:
        table.add_row(Text(name), Text(text))

    row("connections", f"{total.connections:,} open, {total.accepted:,} accepted")
    for name, frames, size, queued in (
        ("in", "frames_in", "bytes_in", total.queued_in),
        ("out", "frames_out", "bytes_out", total.queued_out),
    ):
        row(
            name,
            f"{rates[frames]:,.0f} documents/s, {_bytes(rates[size])}/s, {_bytes(queued)} waiting",
        )
    row(
        "dropped",
        f"{total.dropped:,} by rooms, {total.malformed_skipped:,} malformed,"
        f" {total.empty_skipped:,} empty",
    )
    row("closed", _words(total.closed))
    if total.refused:
        row("refused", _words(total.refused))
    for worker in stats.workers:
        state = worker.state if worker.answers else f"{worker.state}, does not answer"
        served = "" if worker.stats is None else f", {worker.stats.connections:,} connections"
        row(f"worker {worker.number}", f"process {worker.process}, {state}{served}")
    for peer in stats.slowest:
        # The address may be what a proxy said.
        row(
            "slow peer",
            f"{safe_text(peer.address, 64)}: {_bytes(peer.stats.queued_out)} waiting,"
            f" connected for {peer.stats.age:,.0f} s",
        )
    return table
