"""
The server benchmarks: this package and its rivals over loopback, side by side.

Run it with ``python -m benches.servers``; ``--help`` lists the options, and
``benches/README.md`` explains the method.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import time
from typing import TYPE_CHECKING

from benches.suite import machine
from benches.suite.definitions import ROOT, load_definitions, load_peers
from benches.suite.measure import estimate, measure
from benches.suite.processes import CORES, GENERATOR, ServerPool
from benches.suite.results import judge
from benches.suite.table import marks_table, outcome_tables, record_page

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from benches.suite.definitions import Definition, Peer
    from benches.suite.results import Outcome


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the chosen definitions and return the exit status."""
    args = _parser().parse_args(arguments)
    if not GENERATOR.exists():
        print(f"{GENERATOR.relative_to(ROOT)} is missing: run `make bench-peers`", file=sys.stderr)
        return 2
    try:
        definitions = _chosen(args)
    except ValueError as exc:
        print(exc, file=sys.stderr)
        return 2
    peers = load_peers()
    _say_what_is_missing(definitions, peers)
    pinned = _pinning()
    print(pinned)
    print(f"About {sum(map(estimate, definitions)) / 60:.0f} minutes.\n", flush=True)

    outcomes = []
    start = time.monotonic()
    with ServerPool() as pool:
        for definition in definitions:
            outcome = measure(definition, peers, pool, _progress(start))
            outcomes.append(outcome)
            print("\n" + outcome_tables(outcome, peers) + "\n", flush=True)
    print("## Marks\n\n" + marks_table(outcomes, peers))

    if args.record:
        folder = ROOT / "benches" / "record" / args.record
        _write_record(folder, outcomes, peers, pinned)
        print(f"\nwritten to {folder.relative_to(ROOT)}")
    failed = sum(len(outcome.failures) for outcome in outcomes)
    verdicts = [judgment.verdict for outcome in outcomes for judgment in judge(outcome)]
    counts = (f"{verdicts.count(verdict)} {verdict}" for verdict in ("pass", "short", "missing"))
    print(f"\n{time.monotonic() - start:.0f} s; marks: {', '.join(counts)}; failed runs: {failed}")
    return 1 if failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benches.servers", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few rows, one short round")
    parser.add_argument(
        "--only", metavar="NAME,…", default="", help="definitions to run, by file name"
    )
    parser.add_argument(
        "--contenders", metavar="NAME,…", default="", help="contenders to run, where they take part"
    )
    parser.add_argument(
        "--record", metavar="NAME", help="write results and plots to benches/record/NAME"
    )
    return parser


def _chosen(args: argparse.Namespace) -> list[Definition]:
    names = [name for name in args.only.split(",") if name]
    definitions = [item.selected(quick=args.quick) for item in load_definitions(names)]
    contenders = {name for name in args.contenders.split(",") if name}
    if contenders:
        definitions = [item.among(contenders) for item in definitions]
    return [item for item in definitions if item.rows and item.contenders]


def _say_what_is_missing(definitions: Sequence[Definition], peers: dict[str, Peer]) -> None:
    wanted = {name for item in definitions for name in item.contenders if name in peers}
    for name in sorted(wanted):
        if (reason := peers[name].missing()) is not None:
            print(f"*** NOT MEASURED: {peers[name].label}: {reason} ***", file=sys.stderr)


def _pinning() -> str:
    if CORES is None:
        return "Server and generator could not be pinned to cores of their own."
    return f"Server on core {CORES[0]}, load generator on core {CORES[1]}."


def _progress(start: float) -> Callable[[str], None]:
    def progress(words: str) -> None:
        print(f"[{time.monotonic() - start:5.0f} s] {words}", file=sys.stderr, flush=True)

    return progress


def _write_record(
    folder: Path, outcomes: Sequence[Outcome], peers: dict[str, Peer], pinned: str
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    facts = machine.describe()
    command = shlex.join(["python", "-m", "benches.servers", *sys.argv[1:]])
    results = {
        "command": command,
        "machine": facts,
        "pinned": CORES is not None,
        "contenders": {
            peer.name: {"label": peer.label, "kind": peer.kind, "settings": peer.settings}
            for peer in peers.values()
        },
        "definitions": {outcome.definition.name: outcome.as_json() for outcome in outcomes},
    }
    text = json.dumps(results, indent=1, ensure_ascii=False) + "\n"
    (folder / "results.json").write_text(text, encoding="utf-8")
    page = record_page(outcomes, peers, facts, command, pinned)
    (folder / "README.md").write_text(page, encoding="utf-8")
    try:
        from benches.suite import plots  # noqa: PLC0415 - the figures can do without matplotlib
    except ModuleNotFoundError as exc:
        if exc.name is None or exc.name.partition(".")[0] != "matplotlib":
            raise
        print("*** NO PLOTS: matplotlib is not installed ***", file=sys.stderr)
    else:
        plots.draw_all(folder, outcomes, peers)


if __name__ == "__main__":
    sys.exit(main())
