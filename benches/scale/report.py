"""The figures as tables, and the plot of nodes against players."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from benches.suite.table import short, table

from .model import WORKLOADS, Costs, Fleet, Limits, Memory, Nats, fleet

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = [
    "PLAYERS",
    "Figures",
    "check_table",
    "costs_table",
    "draw",
    "fill",
    "fleet_table",
    "page",
    "ratio_table",
]

# ruff: noqa: RUF001 - typographic signs are meant

PLAYERS = (10**5, 10**6, 10**7)

SPREADS = (None, 1)
"""Rooms with members at any node, and each at a node of its own."""


@dataclasses.dataclass(frozen=True)
class Figures:
    """What a record says, as the model takes it."""

    costs: Mapping[str, Costs]
    nats: Mapping[str, Nats]
    memory: Memory

    @classmethod
    def of(cls, results: Mapping[str, Any]) -> Figures:
        """Return those of results.json."""
        return cls(
            {kind: Costs(**cost) for kind, cost in results["costs"].items()},
            {kind: Nats(**cost) for kind, cost in results["nats"].items()},
            Memory(**results["memory"]),
        )

    def fleet(self, name: str, players: int, spread: int | None, limits: Limits | None) -> Fleet:
        """Return the fleet that bears a workload."""
        workload = WORKLOADS[name]
        cost = self.costs[workload.kind]
        return fleet(
            workload, players, cost, self.nats, memory=self.memory, limits=limits, spread=spread
        )


def _power(players: int) -> str:
    digits = str(players)
    power = "".join("⁰¹²³⁴⁵⁶⁷⁸⁹"[int(digit)] for digit in str(len(digits) - 1))
    return f"10{power}" if digits.rstrip("0") == "1" else f"{players:,}"


def _cores(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}" if value >= 0.05 else "<0.1"


def fleet_table(
    figures: Figures, players: tuple[int, ...] = PLAYERS, limits: Limits | None = None
) -> str:
    """Return a line for each workload, number of players and placement."""
    rows = []
    for name, workload in WORKLOADS.items():
        for count in players:
            for spread in SPREADS if workload.room is not None else (None,):
                made = figures.fleet(name, count, spread, limits)
                wanted = made.demand
                given = wanted.local + wanted.remote
                rows.append(
                    [
                        name,
                        _power(count),
                        "anywhere" if spread is None else "one node",
                        f"{made.nodes:,}",
                        made.bound,
                        short(given, "/s") if given >= 1 else f"{given:.2g} /s",
                        short(wanted.received, "/s"),
                        f"{_cores(made.nats_busy)} – {_cores(made.nats_paced)}",
                        f"{made.servers:,}",
                        short(wanted.bytes_out, "B/s"),
                        short(made.nats_memory, "B"),
                    ]
                )
    heads = "workload,players,a room is at,nodes,because of,deliveries,NATS gives,"
    heads += "cores of NATS,servers,bytes it gives,its memory"
    return table(heads.split(","), rows)


def costs_table(results: Mapping[str, Any]) -> str:
    """Return what single things cost."""
    words = {
        "document": "a document in: read, parsed, handed to its room",
        "local": "a delivery to a member of the node",
        "publish": "a message to NATS",
        "receive": "a message from NATS",
        "remote": "a delivery of what came from NATS",
    }
    kinds = ("core", "latest", "history")
    rows = [
        [text, *(f"{results['costs'][kind][name] * 1e6:.1f} µs" for kind in kinds)]
        for name, text in words.items()
    ]
    own = "NATS, a message in and out (history: stored, two out and an answer)"
    rows.append([own, *(f"{results['seen'][kind]['nats'] * 1e6:.1f} µs" for kind in kinds)])
    return table(["processor time for", *kinds], rows)


def nats_table(results: Mapping[str, Any]) -> str:
    """Return what NATS takes for a message."""
    fans = results["fans"]
    rows = [[name, *(f"{fans[kind][name] * 1e6:.1f} µs" for kind in fans)] for name in fans["busy"]]
    rows += [
        [f"→ a message {part}", *(f"{results['nats'][kind][part] * 1e6:.2f} µs" for kind in fans)]
        for part in ("taken", "given")
    ]
    rows.append(["→ a byte", *(f"{results['nats'][kind]['byte'] * 1e9:.2f} ns" for kind in fans)])
    return table(["NATS, a message to so many nodes", *fans], rows)


def memory_table(results: Mapping[str, Any]) -> str:
    """Return what things hold."""
    memory = results["memory"]
    words = {
        "connection": "a node: an idle member of a room of 20",
        "room": "a node: a room that it shares through NATS",
        "subscription": "NATS: a room at a node",
    }
    return table(["memory", ""], [[text, short(memory[name], "B")] for name, text in words.items()])


def ratio_table(results: Mapping[str, Any]) -> str:
    """Return deliveries of two nodes over those of one."""
    words = {
        "clock": "deliveries a second",
        "per_nodes": "for a processor second of the nodes",
        "per_all": "for a processor second of nodes and NATS",
    }
    rows = []
    for how, text in words.items():
        cells = []
        for kind in ("core", "history"):
            middle, low, high = results["ratios"][kind][how]
            cells.append(f"{middle:.2f} ({low:.2f} – {high:.2f})")
        rows.append([text, *cells])
    return table(["two nodes : one in memory", "core", "history"], rows)


def _off(pair: list[float] | None) -> str:
    if pair is None:
        return "–"
    said, seen = pair
    return f"{short(said)} : {short(seen)} ({said / seen - 1:+.0%})"


def check_table(results: Mapping[str, Any]) -> str:
    """Return what the model says against what four nodes did."""
    rows = []
    for run in results["check"]:
        said, seen = (sum(pair[side] for pair in run["nodes"]) for side in (0, 1))
        each = [pair[0] / pair[1] - 1 for pair in run["nodes"]]
        cells = [_off(run[name]) for name in ("nats", "messages in", "messages out", "bytes out")]
        rows.append(
            [
                f"{run['kind']}, {run['rate']:.0f}/s",
                short(run["delivered"], "/s"),
                f"{run['late']:.0%}",
                _off([said, seen]),
                f"{min(each):+.0%} … {max(each):+.0%}",
                *cells,
            ]
        )
    heads = ["run", "deliveries", "late", "cores of 4 nodes", "each node", "cores of NATS"]
    return table([*heads, "messages in /s", "messages out /s", "bytes out /s"], rows)


def fill(text: str, results: Mapping[str, Any]) -> str:
    """Return a page whose tables, between comments that name them, are those of a record."""
    made = {
        "costs": costs_table(results),
        "nats": nats_table(results),
        "memory": memory_table(results),
        "ratios": ratio_table(results),
        "check": check_table(results),
        "fleets": fleet_table(Figures.of(results)),
    }
    for name, shown in made.items():
        start, end = f"<!-- table: {name} -->\n", "\n<!-- end -->"
        before, _, rest = text.partition(start)
        _, found, after = rest.partition(end)
        if not found:
            raise ValueError(f"the page has no table {name}")
        text = f"{before}{start}\n{shown}\n{end}{after}"
    return text


def page(results: Mapping[str, Any]) -> str:
    """Return the record as a page."""
    facts = "\n".join(f"- {name}: {value}" for name, value in results["machine"].items())
    load = max(seen["load"] for seen in results["seen"].values())
    return f"""# Scale

Made by `{results["command"]}`. Each node, NATS and the clients were a process of
their own; all shared {results["machine"]["cores"]} cores, of which {results["others"]:.2f} were
taken by other programs on average. Figures are processor time, medians of {results["rounds"]}
rounds, for documents of 128 bytes that come one by one. Nodes that send
nothing to NATS took up to {load:.0%} of a core, those that do took more.
How each figure is got stands in `benches/scale/measure.py`, the model in `benches/scale/model.py`.

## Costs

{costs_table(results)}

{nats_table(results)}

`paced`: 1,000 messages a second, one by one; `busy`: as many as go.

{memory_table(results)}

## Two nodes against one

20 rooms, 10 listeners and a sender each, four documents of a room on their way at once; two nodes
share the listeners of each room. Median of the rounds, lowest and highest.

{ratio_table(results)}

## Model against four nodes

40 rooms of 20 whose members are at any of four nodes. Model : measured, per second.
`late` documents left more than 50 ms after they were due, because the clients had no core.

{check_table(results)}

## The model's fleets

Half of a core is planned to be busy, a node has 10,000 connections at most, a server of NATS
8 cores. Nothing of this table was run.

{fleet_table(Figures.of(results))}

![Nodes against players](nodes.svg)

## Machine

{facts}
"""


def draw(figures: Figures, path: Path) -> None:
    """Draw nodes against players."""
    import matplotlib as mpl  # noqa: PLC0415 - the model alone does without
    from benches.suite.plots import SERIES, STYLE, save  # noqa: PLC0415 - as above
    from matplotlib.figure import Figure  # noqa: PLC0415 - as above

    players = [round(10 ** (4 + step / 8)) for step in range(25)]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7, 4), layout="constrained")
        axis = figure.subplots()
        for colour, (name, workload) in zip(SERIES, WORKLOADS.items(), strict=False):
            for spread in SPREADS if workload.room is not None else (None,):
                where = "" if workload.room is None else ", rooms at any node"
                axis.loglog(
                    players,
                    [figures.fleet(name, count, spread, None).nodes for count in players],
                    color=colour,
                    linestyle="-" if spread is None else "--",
                    label=name + (where if spread is None else ", each room at one node"),
                )
        axis.set_xlabel("players")
        axis.set_ylabel("nodes: processes with a core each")
        axis.grid(visible=True)
        axis.legend()
        save(figure, path)
