"""Results as text: Markdown that reads well in a terminal, too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .definitions import METRICS, contender_label
from .results import Spread, judge, ratios

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from .definitions import Definition, Mark, Peer, Row
    from .results import Judgment, Outcome

__all__ = ["marks_table", "outcome_tables", "record_page", "settings_table", "short", "table"]


# ruff: noqa: RUF001 - typographic signs are meant


def short(value: float, unit: str = "") -> str:
    """Return a number with three digits and its unit: 12.3 M/s, 56.7 µs."""
    if unit in {"B", "B/s"}:
        for prefix, size in (("Gi", 2**30), ("Mi", 2**20), ("Ki", 2**10)):
            if abs(value) >= size:
                return f"{value / size:.3g} {prefix}{unit}"
    elif unit == "/s":
        for prefix, power in (("M", 1e6), ("k", 1e3)):
            if abs(value) >= power:
                return f"{_three(value / power)} {prefix}{unit}"
    return f"{_three(value)} {unit}".rstrip()


def _three(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table with its columns lined up; all but the first are flush right."""
    lines = [heads, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]

    def line(cells: Sequence[str]) -> str:
        first = cells[0].ljust(widths[0])
        rest = (cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True))
        return "| " + " | ".join([first, *rest]) + " |"

    rule = [":" + "-" * (widths[0] - 1), *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join([line(lines[0]), line(rule), *map(line, lines[1:])])


def _range(spread: Spread, unit: str = "") -> str:
    return f"{short(spread.low, unit)} – {short(spread.high, unit)}"


def outcome_tables(outcome: Outcome, peers: Mapping[str, Peer]) -> str:
    """Return a definition's results: a table per row, and who did not take part."""
    definition = outcome.definition
    parts = [f"## {definition.title}", definition.about]
    parts += [_row_table(outcome, row, peers) for row in definition.rows]
    if outcome.absent:
        lines = (
            f"- **not measured: {contender_label(name, peers)}**: {reason}"
            for name, reason in outcome.absent.items()
        )
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def _row_table(outcome: Outcome, row: Row, peers: Mapping[str, Peer]) -> str:
    definition = outcome.definition
    first, *others = definition.metrics
    metric = METRICS[first]
    reference = contender_label(definition.reference, peers)
    # More than 1 always means that the reference is better.
    relation = f"{reference} ÷ this" if metric.more else f"this ÷ {reference}"
    heads = [
        row.name,
        metric.title,
        "low – high",
        *(METRICS[other].title for other in others),
        relation,
        "low – high",
        "note",
    ]
    lines = []
    for name in definition.contenders:
        if name in outcome.absent:
            continue
        spread = outcome.spread(row.name, name, first)
        if spread is None:
            failure = outcome.failures.get((row.name, name), "not measured")
            blank = [""] * (len(heads) - 3)
            lines.append([contender_label(name, peers), "failed", *blank, failure])
            continue
        own = [outcome.spread(row.name, name, other) for other in others]
        lines.append(
            [
                contender_label(name, peers),
                short(spread.median, metric.unit),
                _range(spread, metric.unit),
                *(
                    short(found.median, METRICS[other].unit) if found else ""
                    for other, found in zip(others, own, strict=True)
                ),
                *_relation(outcome, row.name, name),
                _note(outcome, row.name, name, peers),
            ]
        )
    return table(heads, lines)


def _relation(outcome: Outcome, row: str, name: str) -> tuple[str, str]:
    definition = outcome.definition
    if name == definition.reference:
        return "1×", ""
    metric = definition.metrics[0]
    pair = (definition.reference, name) if METRICS[metric].more else (name, definition.reference)
    values = ratios(outcome, row, *pair, metric)
    if not values:
        return "", ""
    spread = Spread.of(values)
    return short(spread.median) + "×", _range(spread)


def _note(outcome: Outcome, row: str, name: str, peers: Mapping[str, Peer]) -> str:
    note = outcome.bound(row, name)
    # Raw echo does next to nothing: that the generator cannot follow is expected.
    if name in peers and peers[name].kind == "limit" and note == "bound by generator":
        return ""
    return note


def marks_table(outcomes: Iterable[Outcome], peers: Mapping[str, Peer]) -> str:
    """Return all marks with what was reached, pass or short for each."""
    heads = ["what", "figure", "ours", "against", "reached", "low – high", "mark", "", "note"]
    lines = [
        _mark_line(outcome.definition, judgment, peers)
        for outcome in outcomes
        for judgment in judge(outcome)
    ]
    return table(heads, lines) if lines else "No marks."


def _mark_line(
    definition: Definition, judgment: Judgment, peers: Mapping[str, Peer]
) -> Sequence[str]:
    mark, value = judgment.mark, judgment.value
    unit = METRICS[judgment.metric].unit if mark.compare != "ratio" else ""
    times = "×" if mark.compare == "ratio" else ""
    return [
        f"{definition.title}, {judgment.row}",
        METRICS[judgment.metric].title,
        contender_label(mark.ours, peers),
        contender_label(mark.rival, peers) if mark.rival else "",
        f"{short(value.median, unit)}{times}" if value else "",
        _range(value, unit) if value else "",
        _bound(mark, unit) + times,
        judgment.verdict.upper() if judgment.verdict != "pass" else "pass",
        judgment.note,
    ]


def _bound(mark: Mark, unit: str) -> str:
    if mark.at_least is not None:
        return f"≥ {short(mark.at_least, unit)}"
    assert mark.at_most is not None
    return f"≤ {short(mark.at_most, unit)}"


def settings_table(peers: Mapping[str, Peer]) -> str:
    """Return how each contender is set up."""
    seen: dict[str, Peer] = {}
    for peer in peers.values():
        seen.setdefault(peer.settings, peer)
    return "\n".join(f"- {peer.label}: {peer.settings}" for peer in seen.values())


_PREFACE = """\
How it was measured is described in `benches/README.md`. Contenders ran in turn; ratios are of
neighbours in time, given as median and range over the rounds. All figures hold for this machine;
the ratios travel better than the figures."""


def record_page(
    outcomes: Sequence[Outcome],
    peers: Mapping[str, Peer],
    machine: Mapping[str, str],
    command: str,
    pinned: str,
) -> str:
    """Return the page of a record."""
    facts = "\n".join(f"- {name}: {value}" for name, value in machine.items())
    parts = [
        "# Servers over loopback",
        f"Made by `{command}`. {pinned}",
        _PREFACE,
        "## Marks",
        marks_table(outcomes, peers),
        *(outcome_tables(outcome, peers) for outcome in outcomes),
        "## Contenders",
        settings_table(peers),
        "## Machine",
        facts,
    ]
    return "\n\n".join(parts) + "\n"
