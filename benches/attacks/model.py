"""Attacks as data: what is run, how large, what is measured, what is to be reached."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from benches.suite.definitions import Mark, Metric

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .victims import Contender

__all__ = ["FULL", "METRICS", "QUICK", "Attack", "Failed", "Found", "Scale", "most"]

# ruff: noqa: RUF001 - typographic signs are meant

MIB = 2**20


class Failed(Exception):
    """A server lost something, or answered wrongly: there is no figure."""


@dataclasses.dataclass(slots=True)
class Found:
    """
    What an attack on one server gave.

    Attributes:
        figures: By metric; those that could not be taken are missing.
        note: What to know about it.

    """

    figures: dict[str, float]
    note: str = ""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """
    How large the attacks are. Sizes are bytes, times are seconds.

    Attributes:
        name: Of the scale.
        patience: After which an attack is broken off.
        endless: Of the frame that does not end, with the default limit.
        lifted: Of the frame that a lifted limit allows.
        zeros: Of ends of frames.
        tiny: Of the smallest frames.
        slow: Sent to a slow handler at most, in ``slow_seconds``.
        slow_seconds: See there.
        broadcast: Sent to each reader of a broadcast.
        readers: Of the broadcast, one of which stops.
        starve_seconds: Without descriptors.
        stalls: TLS handshakes that do not go on.
        handshake: Seconds that a handshake may take; ``None`` for each server's default.
        partials: Connections with an unfinished frame of 900 KB each.
        idle: Connections that are silent.
        names: Of documents with distinct names.
        rounds: Of measurements within one process.
        quiet: Before floods, to see what the machine's own noise is.

    """

    name: str
    patience: float = 45
    endless: int = 10**9
    lifted: int = 2**30
    zeros: int = 50_000_000
    tiny: int = 50_000_000
    slow: int = 300_000_000
    slow_seconds: float = 10
    broadcast: int = 10**9
    readers: int = 100
    starve_seconds: float = 5
    stalls: int = 300
    handshake: float | None = None
    partials: int = 3000
    idle: int = 1000
    names: int = 200_000_000
    rounds: int = 200
    quiet: float = 1


FULL = Scale(name="full")

QUICK = Scale(
    name="quick",
    patience=10,
    endless=64_000_000,
    lifted=2**27,
    zeros=5_000_000,
    tiny=2_000_000,
    slow_seconds=2,
    broadcast=64_000_000,
    starve_seconds=2,
    handshake=2,
    partials=600,
    idle=300,
    names=40_000_000,
    rounds=50,
    quiet=0.3,
)

METRICS: Mapping[str, Metric] = {
    "closed": Metric("closed after", "ms"),
    "memory": Metric("memory at its peak", "B"),
    "cpu": Metric("processor time", "s"),
    "answer": Metric("others' longest wait", "ms"),
    "usual": Metric("99 of 100 waits", "ms"),
    "quiet": Metric("longest before it", "ms"),
    "stall": Metric("longest turn of the loop", "ms"),
    "growth": Metric("time for twice as much", "×"),
    "frame_ns": Metric("processor time per frame", "ns"),
    "sent": Metric("taken in", "B"),
    "unserved": Metric("readers that missed something", ""),
    "cut": Metric("stopped reader cut off", ""),
    "log": Metric("log", "B"),
    "recovered": Metric("new client served after", "ms"),
    "turned_away": Metric("connections closed", ""),
    "left": Metric("left half a second after the limit", ""),
    "overtime": Metric("the last one beyond the limit", "s"),
    "idle": Metric("a silent connection", "B"),
    "partial": Metric("with 60 KB of a frame", "B"),
    "doctype": Metric("DOCTYPE refused in", "µs"),
    "other": Metric("no XML refused in", "µs"),
    "check": Metric("of that beyond the exception", "µs"),
    "document": Metric("69-byte document", "µs"),
    "ratio": Metric("to fromstring() with its parser", "×"),
}
"""What is measured. Times are given in seconds and shown in their unit."""


def most(metric: str, value: float) -> Mark:
    """Return the mark that this package's figure is ``value`` at most."""
    return Mark(ours="ours", metrics=(metric,), compare="value", at_most=value)


@dataclasses.dataclass(frozen=True, slots=True)
class Attack:
    """
    One attack.

    Attributes:
        name: What ``--only`` calls it.
        title: What tables call it, for a scale.
        about: What is done, and what to know about the figures.
        run: Does it to a contender.
        metrics: What it measures, in the order of the table.
        marks: What this package is to reach.
        contenders: Who is attacked; the first is this package.
        skip: Who is not, and why.
        short: Why a mark may not be reached, shown when one is not.

    """

    name: str
    title: Callable[[Scale], str]
    about: str
    run: Callable[[Contender, Scale], Found]
    metrics: tuple[str, ...]
    marks: tuple[Mark, ...]
    contenders: tuple[str, ...]
    skip: Mapping[str, str] = dataclasses.field(default_factory=dict)
    short: str = ""

    def __post_init__(self) -> None:
        for metric in self.metrics + sum((mark.metrics for mark in self.marks), ()):
            if metric not in METRICS:
                raise ValueError(f"{self.name}: unknown metric {metric!r}")
