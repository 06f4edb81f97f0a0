"""What is compared: the definitions in ``benches/definitions``, the servers in ``peers.toml``."""

from __future__ import annotations

import dataclasses
import importlib.util
import shutil
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = [
    "METRICS",
    "ROOT",
    "Definition",
    "Mark",
    "Metric",
    "Peer",
    "Row",
    "contender_label",
    "load_definitions",
    "load_peers",
]

# ruff: noqa: RUF001 - typographic signs are meant

ROOT = Path(__file__).parent.parent.parent
"""The project's folder."""

Compare: TypeAlias = Literal["ratio", "difference", "value"]


@dataclasses.dataclass(frozen=True, slots=True)
class Metric:
    """
    A figure that a run gives.

    Attributes:
        title: Its name for people.
        unit: Its unit; empty for a ratio.
        more: Whether more of it is better.

    """

    title: str
    unit: str
    more: bool = False


METRICS: Mapping[str, Metric] = {
    "frames_per_second": Metric("frames a second", "/s", more=True),
    "bytes_per_second": Metric("bytes a second", "B/s", more=True),
    "us_per_frame": Metric("time per delivered frame", "µs"),
    "server_ns_per_frame": Metric("server's processor time per frame", "ns"),
    "server_cpu": Metric("server's share of its core", ""),
    "p50_us": Metric("latency, median", "µs"),
    "p99_us": Metric("latency, 99 %", "µs"),
    "p999_us": Metric("latency, 99.9 %", "µs"),
    "late_p99_us": Metric("frames left late by, 99 %", "µs"),
    "bytes_per_connection": Metric("memory per connection", "B"),
    "ns_per_byte": Metric("time per byte at reads of 64 KiB", "ns"),
    "spread": Metric("dearest read size over cheapest", "×"),
}


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """
    One case of a definition.

    Attributes:
        name: Its name in tables.
        options: Options of the load generator, without their dashes.
        quick: Whether ``--quick`` runs it.
        only_quick: Whether nothing but ``--quick`` runs it.
        plot: The figure in which it is a panel, if any.
        skip: Contenders that do not take part, and why.

    """

    name: str
    options: Mapping[str, str | float]
    quick: bool = False
    only_quick: bool = False
    plot: str | None = None
    skip: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True)
class Mark:
    """
    What is to be reached.

    Attributes:
        ours: The contender that has to reach it.
        rival: The contender that it is compared with; none for ``value``.
        rows: Names of the rows in which it holds; all when empty.
        metrics: The figures for which it holds; the definition's first when empty.
        compare: ``ratio`` of ours to the rival's, ``difference``, or ours alone.
        at_least: Smallest median that passes.
        at_most: Largest median that passes.

    """

    ours: str
    rival: str | None = None
    rows: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    compare: Compare = "ratio"
    at_least: float | None = None
    at_most: float | None = None

    def __post_init__(self) -> None:
        if (self.at_least is None) == (self.at_most is None):
            raise ValueError(f"a mark has either at_least or at_most: {self}")
        if (self.rival is None) != (self.compare == "value"):
            raise ValueError(f"a mark has a rival, or compare = 'value': {self}")

    def reached(self, value: float) -> bool:
        """Return whether ``value`` is good enough."""
        if self.at_least is not None:
            return value >= self.at_least
        assert self.at_most is not None
        return value <= self.at_most

    def __str__(self) -> str:
        if self.at_least is not None:
            return f"≥ {self.at_least:g}"
        return f"≤ {self.at_most:g}"


@dataclasses.dataclass(frozen=True, slots=True)
class Definition:
    """
    One benchmark: rows times contenders, and the marks.

    Attributes:
        name: The name of its file.
        order: Its place among the others.
        title: Its name for people.
        about: What it measures, in a few sentences.
        kind: How it is run: ``load``, ``memory`` or ``read-size``.
        metrics: The figures shown; the first is the one that is compared.
        contenders: Who takes part, in the order of the tables.
        reference: The contender to which the others are put into a ratio.
        rows: The cases.
        rounds: How often each contender runs; in each round all run in turn.
        workload: The load generator's word for it.
        mode: What the servers do.
        seconds: Length of one measurement.
        warmup: Seconds of load before it.
        max_size: Bytes of the largest frame, told to the servers.
        marks: What is to be reached.

    """

    name: str
    order: int
    title: str
    about: str
    kind: Literal["load", "memory", "read-size"]
    metrics: tuple[str, ...]
    contenders: tuple[str, ...]
    reference: str
    rows: tuple[Row, ...]
    rounds: int
    workload: str = ""
    mode: str = ""
    seconds: float = 0
    warmup: float = 0
    max_size: int = 2**20
    marks: tuple[Mark, ...] = ()

    def __post_init__(self) -> None:
        names = {row.name for row in self.rows}
        for mark in self.marks:
            for contender in filter(None, (mark.ours, mark.rival)):
                if contender not in self.contenders:
                    raise ValueError(f"{self.name}: mark of unknown contender {contender!r}")
            if not names.issuperset(mark.rows):
                raise ValueError(f"{self.name}: mark of unknown row in {mark.rows}")
        if self.reference not in self.contenders:
            raise ValueError(f"{self.name}: unknown reference {self.reference!r}")
        for metric in self.metrics + sum((mark.metrics for mark in self.marks), ()):
            if metric not in METRICS:
                raise ValueError(f"{self.name}: unknown metric {metric!r}")

    @classmethod
    def of(cls, name: str, data: dict[str, Any]) -> Definition:
        """Make a definition of a parsed file."""
        rows = tuple(Row(**row) for row in data.pop("row"))
        marks = tuple(
            Mark(**{key: _frozen(value) for key, value in mark.items()})
            for mark in data.pop("mark", [])
        )
        data = {key: _frozen(value) for key, value in data.items()}
        data["about"] = " ".join(data["about"].split())
        return cls(name=name, rows=rows, marks=marks, **data)

    def with_rows(self, rows: Iterable[Row]) -> Definition:
        """Return this definition with no rows but these, and marks for them alone."""
        rows = tuple(rows)
        names = {row.name for row in rows}
        marks = (
            dataclasses.replace(mark, rows=tuple(name for name in mark.rows if name in names))
            for mark in self.marks
            if not mark.rows or names.intersection(mark.rows)
        )
        return dataclasses.replace(self, rows=rows, marks=tuple(marks))

    def selected(self, *, quick: bool) -> Definition:
        """Return what the chosen mode runs of this definition; it may have no rows."""
        if not quick:
            return self.with_rows(row for row in self.rows if not row.only_quick)
        return dataclasses.replace(
            self.with_rows(row for row in self.rows if row.quick),
            rounds=1,
            seconds=min(self.seconds, 0.25),
            warmup=min(self.warmup, 0.05),
        )

    def among(self, contenders: set[str]) -> Definition:
        """Return this definition with no contenders but these, and marks for them alone."""
        chosen = tuple(name for name in self.contenders if name in contenders)
        if not chosen:
            return dataclasses.replace(self, rows=(), marks=())
        marks = tuple(
            mark
            for mark in self.marks
            if mark.ours in chosen and (mark.rival is None or mark.rival in chosen)
        )
        reference = self.reference if self.reference in chosen else chosen[0]
        return dataclasses.replace(self, contenders=chosen, marks=marks, reference=reference)


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def load_definitions(names: Iterable[str] = ()) -> list[Definition]:
    """
    Read the definitions, all or those of these names.

    Raises:
        ValueError: If one is unknown or contradicts itself.

    """
    folder = ROOT / "benches" / "definitions"
    known = {path.stem: path for path in sorted(folder.glob("*.toml"))}
    chosen = list(names) or list(known)
    if unknown := set(chosen).difference(known):
        raise ValueError(f"unknown definitions {sorted(unknown)}; there are {sorted(known)}")
    definitions = (
        Definition.of(name, tomllib.loads(known[name].read_text(encoding="utf-8")))
        for name in chosen
    )
    return sorted(definitions, key=lambda definition: definition.order)


@dataclasses.dataclass(frozen=True, slots=True)
class Peer:
    """
    A server to compare: one entry of ``peers.toml``, on one event loop.

    Attributes:
        name: What definitions call it.
        label: What tables and plots call it.
        kind: ``ours``, ``rival`` or ``limit``.
        command: Program and arguments.
        modes: The word for ``--mode`` by mode.
        needs: What must be there for it to run.
        settings: How it is set up.
        warm: Most seconds of load before the first measurement.

    """

    name: str
    label: str
    kind: Literal["ours", "rival", "limit"]
    command: tuple[str, ...]
    modes: Mapping[str, str]
    settings: str
    needs: tuple[str, ...] = ()
    warm: float = 0

    def missing(self) -> str | None:
        """Return what keeps it from running, or ``None``."""
        for need in self.needs:
            kind, _, name = need.partition(":")
            if kind == "module" and not _importable(name):
                return f"no Python module {name}"
            if kind == "tool" and shutil.which(name) is None:
                return f"no program {name}"
            if kind == "file" and not (ROOT / name).exists():
                return f"no {name}: see `python -m benches.peers.build`"
        return None


def _importable(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False  # the package around it is missing


def load_peers() -> dict[str, Peer]:
    """Read ``peers.toml``; one peer for each event loop that an entry runs on."""
    path = ROOT / "benches" / "peers" / "peers.toml"
    peers = {}
    for entry in tomllib.loads(path.read_text(encoding="utf-8"))["peer"]:
        loops = entry.pop("loops", [None])
        needs = tuple(entry.pop("needs", ()))
        command = tuple(
            word.format(python=sys.executable, root=ROOT) for word in entry.pop("command")
        )
        for loop in loops:
            fields = dict(entry, command=command, needs=needs)
            if loop is not None:
                fields["command"] += ("--loop", loop)
            if loop == "uvloop":
                fields["name"] += "+uvloop"
                fields["label"] += " (uvloop)"
                fields["needs"] += ("module:uvloop",)
            peer = Peer(**fields)
            peers[peer.name] = peer
    return peers


def contender_label(name: str, peers: Mapping[str, Peer]) -> str:
    """Return how tables and plots call a contender; in-process ones are called by name."""
    return peers[name].label if name in peers else name
