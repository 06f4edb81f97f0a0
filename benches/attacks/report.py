"""What the attacks gave, as tables."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from benches.suite.table import short, table

from .model import FULL, METRICS, Found
from .victims import CONTENDERS, LXML

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from benches.suite.definitions import Mark

    from .model import Attack, Scale

__all__ = ["Outcome", "attack_table", "label", "marks_table", "page", "section"]

# ruff: noqa: RUF001 - typographic signs are meant

_FACTOR = {"ms": 1e3, "µs": 1e6}


def shown(metric: str, value: float) -> str:
    """Return a figure in its unit."""
    unit = METRICS[metric].unit
    return short(value * _FACTOR.get(unit, 1), unit)


def label(name: str) -> str:
    """Return how tables call a contender."""
    return (CONTENDERS | {LXML.name: LXML})[name].label


@dataclasses.dataclass(slots=True)
class Outcome:
    """
    What came of an attack.

    Attributes:
        attack: The attack.
        scale: Its size.
        found: By contender.
        failures: By contender: why there is nothing.
        absent: By contender: why it was not attacked.

    """

    attack: Attack
    scale: Scale
    found: dict[str, Found] = dataclasses.field(default_factory=dict)
    failures: dict[str, str] = dataclasses.field(default_factory=dict)
    absent: dict[str, str] = dataclasses.field(default_factory=dict)

    @classmethod
    def from_json(cls, attack: Attack, scale: Scale, data: Mapping[str, Any]) -> Outcome:
        """Return what was recorded by `as_json`."""
        found = {name: Found(**one) for name, one in data["found"].items()}
        return cls(attack, scale, found, data["failures"], data["absent"])

    def measured(self, mark: Mark) -> float | None:
        """Return the figure that a mark is about, if there is one."""
        found = self.found.get(mark.ours)
        return None if found is None else found.figures.get(mark.metrics[0])

    def verdict(self, mark: Mark) -> str:
        """Return ``pass``, ``SHORT``, or ``MISSING`` when there is nothing to judge."""
        value = self.measured(mark)
        if value is None:
            return "MISSING"
        return "pass" if mark.reached(value) else "SHORT"

    def verdicts(self) -> list[str]:
        """Return all verdicts, unless this package was not to be attacked."""
        if "ours" not in self.found and "ours" not in self.failures:
            return []
        return [self.verdict(mark) for mark in self.attack.marks]

    def rivals(self, metric: str) -> str:
        """Return the others' figures in a few words."""
        parts = []
        for name in self.attack.contenders:
            if name == "ours" or name not in self.found:
                continue
            value = self.found[name].figures.get(metric)
            text = "–" if value is None else shown(metric, value)
            parts.append(f"{label(name)} {text}")
        return ", ".join(parts)

    def as_json(self) -> dict[str, Any]:
        """Return everything for the record."""
        return {
            "title": self.attack.title(self.scale),
            "about": self.attack.about,
            "found": {name: dataclasses.asdict(found) for name, found in self.found.items()},
            "failures": self.failures,
            "absent": self.absent,
            "marks": [
                {
                    "metric": mark.metrics[0],
                    "mark": str(mark),
                    "value": self.measured(mark),
                    "verdict": self.verdict(mark).lower(),
                }
                for mark in self.attack.marks
            ],
        }


def bound(mark: Mark) -> str:
    """Return what a mark asks for."""
    if mark.at_most is not None:
        return f"≤ {shown(mark.metrics[0], mark.at_most)}"
    assert mark.at_least is not None
    return f"≥ {shown(mark.metrics[0], mark.at_least)}"


def marks_table(outcomes: Iterable[Outcome]) -> str:
    """Return all marks, with what was reached and what others reach."""
    lines = []
    for outcome in outcomes:
        if not outcome.verdicts():
            continue
        for mark in outcome.attack.marks:
            metric, value = mark.metrics[0], outcome.measured(mark)
            lines.append(
                [
                    outcome.attack.title(outcome.scale),
                    METRICS[metric].title,
                    "" if value is None else shown(metric, value),
                    bound(mark),
                    outcome.verdict(mark),
                    outcome.rivals(metric),
                ]
            )
    heads = ["attack", "figure", "measured", "mark", "", "others"]
    return table(heads, lines) if lines else "No marks."


def attack_table(outcome: Outcome) -> str:
    """Return an attack's figures, a line for each server."""
    attack = outcome.attack
    heads = ["", *(METRICS[metric].title for metric in attack.metrics), "note"]
    lines = []
    for name in attack.contenders:
        if name in outcome.found:
            found = outcome.found[name]
            cells = [
                shown(metric, found.figures[metric]) if metric in found.figures else "–"
                for metric in attack.metrics
            ]
            lines.append([label(name), *cells, found.note])
        elif name in outcome.failures:
            lines.append([label(name), *[""] * len(attack.metrics), outcome.failures[name]])
        elif name in outcome.absent:
            reason = f"not measured: {outcome.absent[name]}"
            lines.append([label(name), *[""] * len(attack.metrics), reason])
    return table(heads, lines)


def section(outcome: Outcome) -> str:
    """Return an attack with what is done in it."""
    attack = outcome.attack
    parts = [f"## {attack.title(outcome.scale)}", attack.about, attack_table(outcome)]
    if attack.short and "SHORT" in outcome.verdicts():
        parts.append(f"**Why it is short.** {attack.short}")
    return "\n\n".join(parts)


PREFACE = """\
Each server runs in a process of its own on one core, the attacker and the client that watches
on another. Memory is the growth of the server's resident memory at its peak over what it was
when the attack began; `others' longest wait` is what a client saw that asked throughout, so it
holds the noise of the machine, too. A dash stands where there is no figure: what was never
closed has no time of closing. One run each: durations are of this machine and this hour; memory,
counts and log sizes hardly change from run to run."""


SMALLER = """\
**Not the full size.** The attacks were scaled down, to what the titles say; the marks are those of
the full size, and easier to reach with less. `make attacks` runs all of it."""


def page(
    outcomes: Sequence[Outcome],
    machine: Mapping[str, str],
    commands: Mapping[str, str],
    pinned: str,
) -> str:
    """Return the page of a record; ``commands`` tells what made it, attack by attack."""
    made = ", and ".join(f"`{command}`" for command in dict.fromkeys(commands.values()))
    used = dict.fromkeys(name for outcome in outcomes for name in outcome.attack.contenders)
    servers = CONTENDERS | {LXML.name: LXML}
    settings = "\n".join(f"- {servers[name].label}: {servers[name].settings}" for name in used)
    facts = "\n".join(f"- {name}: {value}" for name, value in machine.items())
    parts = [
        "# Attacks",
        f"Made by {made}. {pinned}",
        PREFACE,
        *([] if outcomes[0].scale == FULL else [SMALLER]),
        "## Marks",
        marks_table(outcomes),
        *(section(outcome) for outcome in outcomes),
        "## Servers",
        settings,
        "## Machine",
        facts,
    ]
    return "\n\n".join(parts) + "\n"
