"""What was measured: samples, ratios of pairs, and whether marks are reached."""

from __future__ import annotations

import dataclasses
import json
import statistics
from typing import TYPE_CHECKING, Any

from .definitions import METRICS, load_definitions

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from .definitions import Definition, Mark, Row

__all__ = ["Judgment", "Outcome", "Sample", "Spread", "judge", "ratios", "read_record"]


@dataclasses.dataclass(frozen=True, slots=True)
class Spread:
    """
    Median, smallest and largest of a few numbers.

    With two numbers, the median is their mean.
    """

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, numbers: Sequence[float]) -> Spread:
        """Summarise at least one number."""
        return cls(statistics.median(numbers), min(numbers), max(numbers))


@dataclasses.dataclass(frozen=True, slots=True)
class Sample:
    """
    One run of one contender.

    Attributes:
        figures: By metric.
        points: Pairs of x and y for plots, where a run gives a curve.
        generator_bound: Whether the load generator's core was less than 20 % idle.
        generator_cpu: The generator's own share of its core.

    """

    figures: dict[str, float]
    points: tuple[tuple[float, float], ...] = ()
    generator_bound: bool = False
    generator_cpu: float | None = None

    @classmethod
    def of(cls, data: dict[str, Any]) -> Sample:
        """Make a sample of a record's."""
        return cls(**data | {"points": tuple((x, y) for x, y in data["points"])})


@dataclasses.dataclass(slots=True)
class Outcome:
    """
    What came of a definition.

    Attributes:
        definition: As it was run.
        samples: By row and contender, one per round.
        failures: By row and contender: why there is no sample.
        absent: By contender: why it did not take part at all.

    """

    definition: Definition
    samples: dict[tuple[str, str], list[Sample]] = dataclasses.field(default_factory=dict)
    failures: dict[tuple[str, str], str] = dataclasses.field(default_factory=dict)
    absent: dict[str, str] = dataclasses.field(default_factory=dict)

    def values(self, row: str, contender: str, metric: str) -> list[float]:
        """Return a metric of all rounds."""
        return [
            sample.figures[metric]
            for sample in self.samples.get((row, contender), [])
            if metric in sample.figures
        ]

    def spread(self, row: str, contender: str, metric: str) -> Spread | None:
        """Return a metric over all rounds, if there are any."""
        values = self.values(row, contender, metric)
        return Spread.of(values) if values else None

    def bound(self, row: str, contender: str) -> str:
        """
        Return a note if the load generator had no time to spare.

        When it was not the generator itself that used its core, others did:
        then the machine was not quiet.
        """
        samples = self.samples.get((row, contender), [])
        if not any(sample.generator_bound for sample in samples):
            return ""
        cpu = [sample.generator_cpu for sample in samples if sample.generator_cpu is not None]
        if self.definition.workload != "paced" and cpu and max(cpu) < 0.6:
            return "core not quiet"
        return "bound by generator"

    def as_json(self) -> dict[str, Any]:
        """Return everything for the record."""
        definition = self.definition
        return {
            "title": definition.title,
            "about": definition.about,
            "metrics": list(definition.metrics),
            "reference": definition.reference,
            "rounds": definition.rounds,
            "seconds": definition.seconds,
            "absent": self.absent,
            "rows": [
                {
                    "name": row.name,
                    "options": dict(row.options),
                    "contenders": {
                        contender: self._cell_json(row, contender)
                        for contender in definition.contenders
                        if contender not in self.absent
                    },
                }
                for row in definition.rows
            ],
            "marks": [judgment.as_json() for judgment in judge(self)],
        }

    def _cell_json(self, row: Row, contender: str) -> dict[str, Any]:
        key = row.name, contender
        if key in self.failures:
            return {"failure": self.failures[key]}
        return {"samples": [dataclasses.asdict(sample) for sample in self.samples.get(key, [])]}


@dataclasses.dataclass(frozen=True, slots=True)
class Judgment:
    """
    A mark, held against what was measured in one row.

    Attributes:
        mark: What is to be reached.
        row: Where.
        metric: By which figure.
        value: Ratio or difference of each round's pair, or our figure; ``None`` if
            one side is missing.
        note: What to know about it.

    """

    mark: Mark
    row: str
    metric: str
    value: Spread | None
    note: str = ""

    @property
    def verdict(self) -> str:
        """``pass``, ``short``, or ``missing`` when there is nothing to judge."""
        if self.value is None:
            return "missing"
        return "pass" if self.mark.reached(self.value.median) else "short"

    def as_json(self) -> dict[str, Any]:
        """Return everything for the record."""
        return {
            "row": self.row,
            "metric": self.metric,
            "ours": self.mark.ours,
            "rival": self.mark.rival,
            "compare": self.mark.compare,
            "mark": str(self.mark),
            "value": dataclasses.asdict(self.value) if self.value else None,
            "verdict": self.verdict,
            "note": self.note,
        }


def read_record(folder: Path) -> list[Outcome]:
    """Return what a record holds of the definitions that there still are."""
    record = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    outcomes = []
    for name, found in record["definitions"].items():
        (definition,) = load_definitions([name])
        rows = {row["name"]: row["contenders"] for row in found["rows"]}
        kept = tuple(row for row in definition.rows if row.name in rows)
        outcome = Outcome(definition.with_rows(kept), absent=found["absent"])
        for row in kept:
            for contender, cell in rows[row.name].items():
                key = row.name, contender
                if "failure" in cell:
                    outcome.failures[key] = cell["failure"]
                else:
                    outcome.samples[key] = [Sample.of(sample) for sample in cell["samples"]]
        outcomes.append(outcome)
    return outcomes


def ratios(outcome: Outcome, row: str, ours: str, rival: str, metric: str) -> list[float]:
    """Return ours over theirs, round by round: both ran within moments of each other."""
    pairs = zip(outcome.values(row, ours, metric), outcome.values(row, rival, metric), strict=False)
    return [own / other for own, other in pairs if other]


def judge(outcome: Outcome) -> Iterator[Judgment]:
    """Hold the marks of a definition against its samples, row by row."""
    definition = outcome.definition
    for mark in definition.marks:
        for row in definition.rows:
            if mark.rows and row.name not in mark.rows:
                continue
            for metric in mark.metrics or definition.metrics[:1]:
                assert metric in METRICS
                yield _judge_row(outcome, mark, row.name, metric)


def _judge_row(outcome: Outcome, mark: Mark, row: str, metric: str) -> Judgment:
    values = outcome.values(row, mark.ours, metric)
    if mark.rival is None:
        note = outcome.bound(row, mark.ours)
    else:
        names = (mark.ours, mark.rival)
        notes = ((name, outcome.bound(row, name)) for name in names)
        note = ", ".join(f"{name}: {text}" for name, text in notes if text)
        missing = [
            outcome.absent.get(name) or outcome.failures.get((row, name)) or "" for name in names
        ]
        note = "; ".join(filter(None, [note, *missing]))
    if mark.compare == "ratio" and mark.rival is not None:
        values = ratios(outcome, row, mark.ours, mark.rival, metric)
    elif mark.compare == "difference" and mark.rival is not None:
        pairs = zip(values, outcome.values(row, mark.rival, metric), strict=False)
        values = [own - other for own, other in pairs]
    return Judgment(mark, row, metric, Spread.of(values) if values else None, note)
