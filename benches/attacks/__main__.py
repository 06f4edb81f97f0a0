"""
Attacks on this package's server and on others', side by side.

Run it with ``python -m benches.attacks``; ``--help`` lists the options. Linux only: the
memory of a server is read from ``/proc``.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
import time
from typing import TYPE_CHECKING

from benches.suite import machine
from benches.suite.definitions import ROOT
from benches.suite.processes import CORES, GeneratorError

from .catalogue import ATTACKS, attack
from .model import FULL, QUICK, Failed
from .report import Outcome, label, marks_table, page, section
from .victims import CONTENDERS, LXML

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .model import Attack, Scale


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the chosen attacks and return the exit status."""
    args = _parser().parse_args(arguments)
    try:
        attacks = [attack(name) for name in args.only.split(",") if name] or list(ATTACKS)
    except ValueError as exc:
        print(exc, file=sys.stderr)
        return 2
    if sys.platform != "linux":
        print("the attacks read /proc: they need Linux", file=sys.stderr)
        return 2
    contenders = {name for name in args.contenders.split(",") if name}
    scale = QUICK if args.quick else FULL
    if args.quick:
        print("--quick: sizes are scaled down, as the titles say; marks are those of the full size")
    pinned = _pin()
    print(pinned, flush=True)

    start = time.monotonic()
    outcomes = []
    for item in attacks:
        outcome = _run(item, scale, contenders, start)
        outcomes.append(outcome)
        print(f"\n{section(outcome)}\n", flush=True)
    print("## Marks\n\n" + marks_table(outcomes))
    if args.record:
        _write_record(outcomes, scale, pinned, partly=bool(args.only))
    verdicts = [verdict for outcome in outcomes for verdict in outcome.verdicts()]
    failed = sum(len(outcome.failures) for outcome in outcomes)
    counts = (f"{verdicts.count(word)} {word.lower()}" for word in ("pass", "SHORT", "MISSING"))
    print(f"\n{time.monotonic() - start:.0f} s; marks: {', '.join(counts)}; failed runs: {failed}")
    return 1 if any("ours" in outcome.failures for outcome in outcomes) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benches.attacks", description=__doc__)
    names = ", ".join(item.name for item in ATTACKS)
    parser.add_argument(
        "--quick", action="store_true", help="smaller attacks: two or three minutes"
    )
    parser.add_argument("--only", metavar="NAME,…", default="", help=f"attacks to run: {names}")
    parser.add_argument(
        "--contenders",
        metavar="NAME,…",
        default="",
        help=f"servers to attack: {', '.join(CONTENDERS)}, lxml",
    )
    parser.add_argument(
        "--record",
        action="store_true",
        help="write benches/record/attacks; with --only, replace those attacks in it",
    )
    return parser


def _pin() -> str:
    """Leave the servers' core to the servers."""
    if CORES is None:
        return "Server and attacker could not be pinned to cores of their own."
    os.sched_setaffinity(0, {CORES[1]})
    return f"Server on core {CORES[0]}, attacker on core {CORES[1]}."


def _run(item: Attack, scale: Scale, contenders: set[str], start: float) -> Outcome:
    outcome = Outcome(item, scale)
    servers = CONTENDERS | {LXML.name: LXML}
    for name in item.contenders:
        if contenders and name not in contenders:
            continue
        contender = servers[name]
        reason = item.skip.get(name) or contender.peer().missing()
        if reason is not None:
            outcome.absent[name] = reason
            continue
        words = f"{item.name}: {label(name)}"
        print(f"[{time.monotonic() - start:5.0f} s] {words}", file=sys.stderr, flush=True)
        try:
            outcome.found[name] = item.run(contender, scale)
        except (Failed, GeneratorError, OSError, RuntimeError) as exc:
            outcome.failures[name] = f"failed: {exc}"
    return outcome


def _write_record(outcomes: Sequence[Outcome], scale: Scale, pinned: str, *, partly: bool) -> None:
    folder = ROOT / "benches" / "record" / "attacks"
    folder.mkdir(parents=True, exist_ok=True)
    results = folder / "results.json"
    command = shlex.join(["python", "-m", "benches.attacks", *sys.argv[1:]])
    commands = {outcome.attack.name: command for outcome in outcomes}
    if partly:
        before = json.loads(results.read_text("utf-8"))
        if before["scale"] != scale.name:
            raise SystemExit(f"the record is of the scale {before['scale']}, this is {scale.name}")
        again = {outcome.attack.name: outcome for outcome in outcomes}
        outcomes = [
            again.get(name) or Outcome.from_json(attack(name), scale, found)
            for name, found in before["attacks"].items()
        ]
        commands = before["commands"] | commands
    facts = machine.describe()
    about = {
        "commands": commands,
        "scale": scale.name,
        "machine": facts,
        "pinned": CORES is not None,
        "attacks": {outcome.attack.name: outcome.as_json() for outcome in outcomes},
    }
    text = json.dumps(about, indent=1, ensure_ascii=False) + "\n"
    results.write_text(text, encoding="utf-8")
    (folder / "README.md").write_text(page(outcomes, facts, commands, pinned), encoding="utf-8")
    print(f"\nwritten to {folder.relative_to(ROOT)}")


if __name__ == "__main__":
    sys.exit(main())
