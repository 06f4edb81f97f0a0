"""
Plots of the results, as SVG files that read on light and on dark pages.

``python -m benches.suite.plots benches/record/NAME`` draws those of a record anew.

The background is transparent, and every colour has a contrast of at least 3 to 1
with white and with the dark grey of code hosting sites (tests hold them to it).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, FuncFormatter

from .definitions import METRICS, contender_label, load_peers
from .results import Spread, read_record
from .table import short

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from .definitions import Peer, Row
    from .results import Outcome

__all__ = ["COLOURS", "INK", "SERIES", "STYLE", "draw_all", "save"]


INK = "#7b828c"
"""Text, axes and grid."""

COLOURS = {"ours": "#2f81f7", "rival": "#c4701a", "limit": "#858b94"}
"""By kind of contender."""

SERIES = ("#2f81f7", "#c4701a", "#2f9e60", "#b565d9", "#d9534f", "#858b94", "#1f9aa8", "#a08a20")
"""One after the other, for curves."""

STYLE = {
    "svg.fonttype": "none",  # text stays text: small files, the reader's font
    "svg.hashsalt": "xmlsocket",  # the same results give the same file
    "font.family": "sans-serif",
    "font.size": 9,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "axes.titlecolor": INK,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": INK,
    "grid.alpha": 0.25,
    "legend.frameon": False,
}


def draw_all(folder: Path, outcomes: Sequence[Outcome], peers: Mapping[str, Peer]) -> list[Path]:
    """Draw every figure for which there are results, and return the files."""
    figures: dict[str, list[tuple[Outcome, Row]]] = {}
    for outcome in outcomes:
        for row in outcome.definition.rows:
            measured = any(name == row.name for name, _ in outcome.samples)
            if row.plot is not None and measured:
                figures.setdefault(row.plot, []).append((outcome, row))
    paths = []
    with mpl.rc_context(STYLE):
        for name, panels in figures.items():
            figure = _FIGURES[name](panels, peers)
            path = folder / f"{name}.svg"
            save(figure, path)
            paths.append(path)
    return paths


def save(figure: Figure, path: Path) -> None:
    """Write a figure as a file that is the same whenever it is made of the same."""
    figure.savefig(path, transparent=True, bbox_inches="tight", metadata={"Date": None})
    # The backend leaves spaces at the ends of lines.
    text = "\n".join(line.rstrip() for line in path.read_text("utf-8").splitlines())
    path.write_text(text + "\n", "utf-8")


def _kind(name: str, peers: Mapping[str, Peer]) -> str:
    return peers[name].kind if name in peers else "rival"


def _title(figure: Figure, title: str, remark: str) -> None:
    figure.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold")
    figure.text(0.01, 0.0, remark, ha="left", va="top", fontsize=8)


# Bars: one panel per row, contenders from best to worst


def _bars(
    panels: Sequence[tuple[Outcome, Row]],
    peers: Mapping[str, Peer],
    *,
    title: str,
    label: str,
    remark: str,
    columns: int = 2,
) -> Figure:
    rows = -(-len(panels) // columns)
    count = max(len(outcome.definition.contenders) for outcome, _ in panels)
    figure = Figure(figsize=(4.9 * columns, rows * (0.24 * count + 0.9)), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    for place, axis in enumerate(axes.flat):
        if place >= len(panels):
            axis.set_visible(False)
            continue
        outcome, row = panels[place]
        metric = outcome.definition.metrics[0]
        found = _measured(outcome, row, metric)
        found.sort(key=lambda item: item[1].median, reverse=METRICS[metric].more)
        axis.set_title(row.name, loc="left")
        axis.set_xscale("log")
        lowest = min(spread.low for _, spread in found)
        axis.set_xlim(lowest / 2, max(spread.high for _, spread in found) * 4)
        for height, (name, spread) in enumerate(found):
            axis.barh(height, spread.median, color=COLOURS[_kind(name, peers)], height=0.7)
            axis.plot([spread.low, spread.high], [height, height], color=INK, linewidth=1.2)
            text = short(spread.median, METRICS[metric].unit)
            axis.annotate(
                text,
                (spread.high, height),
                xytext=(4, 0),
                textcoords="offset points",
                va="center",
                fontsize=8,
            )
        axis.set_yticks(range(len(found)), [contender_label(name, peers) for name, _ in found])
        axis.invert_yaxis()
        axis.grid(axis="x")
        axis.set_axisbelow(True)
        axis.xaxis.set_major_formatter(EngFormatter())
        axis.set_xlabel(label)
    _title(figure, title, remark)
    return figure


def _measured(outcome: Outcome, row: Row, metric: str) -> list[tuple[str, Spread]]:
    found = []
    for name in outcome.definition.contenders:
        spread = outcome.spread(row.name, name, metric)
        if spread is not None:
            found.append((name, spread))
    return found


def _throughput(panels: Sequence[tuple[Outcome, Row]], peers: Mapping[str, Peer]) -> Figure:
    return _bars(
        panels,
        peers,
        title="Pipelined echo over loopback, server on one core",
        label="frames a second (log scale, more is better)",
        remark="Blue: this package. Grey: raw bytes without framing. "
        "Thin line: lowest to highest round. Every reply was checked.",
    )


def _broadcast(panels: Sequence[tuple[Outcome, Row]], peers: Mapping[str, Peer]) -> Figure:
    return _bars(
        panels,
        peers,
        title="Broadcast over loopback, server on one core",
        label="µs per delivered frame (log scale, less is better)",
        remark="Blue: this package. Grey: raw bytes without framing, which merge in flight. "
        "Thin line: lowest to highest round.",
    )


# Latency: median and tail of each contender on one line


def _latency(panels: Sequence[tuple[Outcome, Row]], peers: Mapping[str, Peer]) -> Figure:
    count = max(len(outcome.definition.contenders) for outcome, _ in panels)
    size = (4.9 * len(panels), 0.26 * count + 1.3)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False)
    marks = (("p50_us", "o", "median"), ("p99_us", "D", "99 %"), ("p999_us", "|", "99.9 %"))
    for axis, (outcome, row) in zip(axes.flat, panels, strict=True):
        found = _measured(outcome, row, "p50_us")
        found.sort(key=lambda item: item[1].median)
        axis.set_title(f"{outcome.definition.title}, {row.name}", loc="left")
        axis.set_xscale("log")
        for height, (name, _) in enumerate(found):
            colour = COLOURS[_kind(name, peers)]
            spreads = [outcome.spread(row.name, name, metric) for metric, _, _ in marks]
            values = [spread.median for spread in spreads if spread is not None]
            axis.plot(values, [height] * len(values), color=colour, linewidth=1, alpha=0.6)
            for value, (_, shape, _) in zip(values, marks, strict=True):
                axis.plot(value, height, shape, color=colour, markersize=6)
        for _, shape, words in marks:
            axis.plot([], [], shape, color=INK, label=words)
        axis.legend(loc="lower center", bbox_to_anchor=(0.5, 1.08), ncols=3)
        axis.set_yticks(range(len(found)), [contender_label(name, peers) for name, _ in found])
        axis.invert_yaxis()
        axis.grid(axis="x")
        axis.set_axisbelow(True)
        axis.xaxis.set_major_formatter(_plain())
        axis.set_xlabel("µs (log scale, less is better)")
    _title(
        figure,
        "Latency over loopback, server on one core",
        "Blue: this package. Grey: raw bytes without framing. Medians over the rounds.",
    )
    return figure


def _plain() -> FuncFormatter:
    return FuncFormatter(lambda value, _: f"{value:,.0f}" if value >= 1 else f"{value:g}")


# Curves


def _curves(
    axis: Any, outcome: Outcome, row: Row, peers: Mapping[str, Peer], scale: float = 1
) -> None:
    """Draw the median of every contender's points, and name it at the end of its line."""
    ends: list[tuple[float, float, str, str]] = []
    for number, name in enumerate(outcome.definition.contenders):
        samples = outcome.samples.get((row.name, name), [])
        if not samples:
            continue
        xs = [x for x, _ in samples[0].points]
        columns = zip(*([y for _, y in sample.points] for sample in samples), strict=True)
        ys = [Spread.of(column).median * scale for column in columns]
        colour = SERIES[number % len(SERIES)]
        dashed = "--" if _kind(name, peers) == "limit" else "-"
        axis.plot(xs, ys, dashed, color=colour, marker="o", markersize=3.5, linewidth=1.6)
        ends.append((ys[-1], xs[-1], contender_label(name, peers), colour))
    _label_ends(axis, ends)


def _label_ends(axis: Any, ends: list[tuple[float, float, str, str]]) -> None:
    """Write names beside the ends of lines, from below, none on top of another."""
    transform, inverse = axis.transData, axis.transData.inverted()
    lowest = float("-inf")
    for y, x, words, colour in sorted(ends):
        across, up = transform.transform((x, y))
        up = max(up, lowest + 11)
        lowest = up
        _, place = inverse.transform((across, up))
        axis.annotate(
            words,
            (x, place),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
            color=colour,
            annotation_clip=False,
        )


def _memory(panels: Sequence[tuple[Outcome, Row]], peers: Mapping[str, Peer]) -> Figure:
    outcome, row = panels[-1]
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axis = figure.subplots()
    points = [point for sample in _any(outcome, row) for point in sample.points]
    axis.set_ylim(0, max(y for _, y in points) / 2**20 * 1.05)
    axis.set_xlim(0, max(x for x, _ in points))
    axis.set_xlabel("idle connections")
    axis.set_ylabel("resident memory of the server, MiB")
    axis.xaxis.set_major_formatter(_plain())
    axis.grid()
    figure.canvas.draw()
    _curves(axis, outcome, row, peers, scale=1 / 2**20)
    _title(
        figure,
        "Memory against idle connections",
        "Each connection has echoed one frame. Dashed: raw bytes without framing.",
    )
    return figure


def _any(outcome: Outcome, row: Row) -> list[Any]:
    return [
        sample
        for (name, _), samples in outcome.samples.items()
        if name == row.name
        for sample in samples
    ]


def _read_size(panels: Sequence[tuple[Outcome, Row]], peers: Mapping[str, Peer]) -> Figure:
    columns = min(2, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(5.2 * columns, 2.9 * rows + 0.4), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, sharey=True)
    samples = [sample for panel in panels for sample in _any(*panel)]
    costs = [cost for sample in samples for _, cost in sample.points]
    for place, axis in enumerate(axes.flat):
        if place >= len(panels):
            axis.set_visible(False)
            continue
        outcome, row = panels[place]
        axis.set_title(f"frames of {row.name}", loc="left")
        axis.set_xscale("log")
        axis.set_yscale("log")
        axis.set_ylim(min(costs) / 1.5, max(costs) * 1.5)
        reads = [x for x, _ in _any(outcome, row)[0].points]
        axis.set_xlim(reads[0] / 1.2, reads[-1])
        axis.set_xticks(reads, [_bytes(read) for read in reads])
        axis.minorticks_off()
        axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_xlabel("bytes of one read")
        axis.set_ylabel("ns per byte (log scale)")
        axis.grid()
    figure.canvas.draw()
    for axis, (outcome, row) in zip(axes.flat, panels, strict=False):
        _curves(axis, outcome, row, peers)
    _title(
        figure,
        "Cost per byte of splitting a stream, against the size of a read",
        "In process, medians over the rounds, less is better.",
    )
    return figure


def _bytes(value: float) -> str:
    return f"{value / 1024:g} Ki" if value % 1024 == 0 else f"{value:g}"


_FIGURES: dict[str, Callable[[Sequence[tuple[Outcome, Row]], Mapping[str, Peer]], Figure]] = {
    "throughput": _throughput,
    "broadcast": _broadcast,
    "latency": _latency,
    "memory": _memory,
    "read-size": _read_size,
}


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        draw_all(Path(argument), read_record(Path(argument)), load_peers())
