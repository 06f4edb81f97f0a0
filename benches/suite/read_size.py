"""
The codec's cost per byte against the size of a read, in process.

A program: ``python -m benches.suite.read_size --frame 1024 rust pure``. Prints a
line of JSON per contender and round.
"""

from __future__ import annotations

import argparse
import json
import time

from benches.compare import FLAT_READ_SIZES
from benches.contenders import CONTENDERS, Case, Contender, play

_VOLUME = 2 * 2**20
_SECONDS = 0.02


def cost(contender: Contender, reads: list[bytes]) -> float:
    """
    Return nanoseconds per byte.

    The best of the runs that fit into a few hundredths of a second, by the
    processor's clock: what comes on top of it is other programs'.
    """
    size = sum(map(len, reads))
    best = float("inf")
    end = time.perf_counter() + _SECONDS
    while True:
        feed = contender.make()
        start = time.process_time()
        play(feed, reads)
        best = min(best, time.process_time() - start)
        if time.perf_counter() > end:
            return best / size * 1e9


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frame", type=int, required=True, help="bytes of a frame")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("contenders", nargs="+")
    args = parser.parse_args()

    for name in set(args.contenders).difference(CONTENDERS):
        print(json.dumps({"contender": name, "absent": "not available in process"}))
    present = [CONTENDERS[name] for name in args.contenders if name in CONTENDERS]
    cases = {read: Case.of(args.frame, read, _VOLUME) for read in FLAT_READ_SIZES}
    for case in cases.values():
        for contender in present:
            case.check(contender)
    streams = {read: case.reads() for read, case in cases.items()}
    for _ in range(args.rounds):
        points: dict[str, list[tuple[int, float]]] = {item.name: [] for item in present}
        for read, reads in streams.items():
            for contender in present:
                points[contender.name].append((read, cost(contender, reads)))
        for name, found in points.items():
            print(json.dumps({"contender": name, "points": found}))


if __name__ == "__main__":
    main()
