"""
The codec against plain Python, as ratios of one run: ``python -m benches.compare``.

All contenders of a cell take turns (A B C A B C …), so that whatever else the
machine does falls on all alike. A ratio is taken within each round; the table
shows the median of these pairs, with the smallest and the largest. Nanoseconds
are decoration: they hold for this machine and this hour.
"""

from __future__ import annotations

import argparse
import dataclasses
import gc
import os
import pathlib
import platform
import statistics
import sys
import time
from typing import TYPE_CHECKING

from xmlsocket import codec

from . import crates
from .contenders import (
    CONTENDERS,
    FRAME_SIZES,
    LIMIT,
    MISSING,
    PURE,
    READ_SIZES,
    Case,
    Contender,
    play,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

KIB = 2**10
MIB = 2**20

SUBJECT = "rust"
"""The contender that is compared with all the others."""

BEST = "best"
"""Stands for the quickest of those in plain Python in a cell."""

MARKS = {
    (8, 64 * KIB, BEST): 1.15,
    (32, 64 * KIB, BEST): 1.35,
    (128, 64 * KIB, BEST): 1.8,
    (512, 64 * KIB, BEST): 2.2,
    (4 * KIB, 64 * KIB, BEST): 1.3,
    (64 * KIB, 64 * KIB, BEST): 1.25,
    (MIB, 64 * KIB, BEST): 1.0,
    (128, 1460, BEST): 2.8,
    (MIB, 1460, BEST): 1.3,
    (MIB, 1460, "resuming find"): 3.0,
    (MIB, 1460, "tail+split"): 50.0,
}
"""How many times as quick the codec has to be, by frame size, read size and opponent."""

OF_LIMIT = 0.9
"""How near to the limit it has to come in every cell."""

FLAT_READ_SIZES = (1460, 4 * KIB, 16 * KIB, 64 * KIB, 256 * KIB)
FLAT_WITHIN = 3.0
"""Over these sizes of a read the cost of a byte may differ by this factor at most."""

# Time of the processor, where its clock is fine enough: what other programs take
# of a shared machine is none of a contender's. On Windows it ticks every 16 ms.
FINE = time.get_clock_info("process_time").resolution < 1e-6
clock = time.process_time if FINE else time.perf_counter

VOLUME = 512 * KIB
SAMPLE_SECONDS = 0.004
CELL_SECONDS = 4.0
FEWEST_ROUNDS = 5


@dataclasses.dataclass(frozen=True, slots=True)
class Ratio:
    """The pairs of two contenders: how many times as long the other one takes."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, times: Sequence[float], others: Sequence[float]) -> Ratio:
        """Return the ratio of two series of the same rounds."""
        pairs = [other / own for own, other in zip(times, others, strict=True)]
        return cls(statistics.median(pairs), min(pairs), max(pairs))

    def __str__(self) -> str:
        return f"{self.median:6.2f} ({self.low:.2f} … {self.high:.2f})"


class Entry:
    """One contender in one case: what its rounds took."""

    def __init__(self, contender: Contender, case: Case) -> None:
        case.check(contender)
        self._contender = contender
        self._case = case
        self._reads = case.reads()
        once = self._seconds(1)
        self._times = max(1, round(SAMPLE_SECONDS / once))
        self.samples: list[float] = []

    def _seconds(self, times: int) -> float:
        count = 0
        start = clock()
        for _ in range(times):
            count += play(self._contender.make(), self._reads)
        taken = clock() - start
        if count != times * self._case.count:
            raise AssertionError(f"{self._contender.name} loses frames in {self._case}")
        return taken

    def play_round(self) -> None:
        """Take one sample: nanoseconds a frame."""
        self.samples.append(self._seconds(self._times) / self._times / self._case.count * 1e9)

    @property
    def nanoseconds(self) -> float:
        """Median nanoseconds a frame."""
        return statistics.median(self.samples)


def take_turns(entries: Iterable[Entry], rounds: int) -> None:
    """Play the rounds, fewer where one takes long."""
    entries = list(entries)
    end = time.perf_counter() + CELL_SECONDS
    for number in range(rounds):
        if number >= FEWEST_ROUNDS and time.perf_counter() > end:
            break
        for entry in entries:
            entry.play_round()


def size(number: int) -> str:
    """Return a number of bytes as people write it."""
    for unit, name in ((MIB, "MiB"), (KIB, "KiB")):
        if number % unit == 0:
            return f"{number // unit} {name}"
    return f"{number} B"


def verdict(frame: int, read: int, opponent: str, ratio: Ratio) -> str:
    """Return the mark of a cell and whether it was reached, or nothing."""
    mark = OF_LIMIT if opponent == LIMIT else MARKS.get((frame, read, opponent))
    if mark is None:
        return ""
    whom = "the best" if opponent == BEST else "it"
    return f"  [mark {mark:.2f} against {whom}: {'pass' if ratio.median >= mark else 'SHORT'}]"


def compare_cell(frame: int, read: int, rounds: int) -> None:
    """Measure one cell and print its rows."""
    # Two frames of 1 MiB at least: one has to begin where another one ends.
    case = Case.of(frame, read, max(VOLUME, 2 * (frame + 1)))
    entries = {name: Entry(contender, case) for name, contender in CONTENDERS.items()}
    take_turns(entries.values(), rounds)

    others = {name: entry for name, entry in entries.items() if name != SUBJECT}
    best = min(PURE, key=lambda name: others[name].nanoseconds)
    subject = entries.get(SUBJECT, others[best])
    title = f"{size(frame)} frames, {size(read)} reads"
    print(f"\n{title}  [{len(subject.samples)} rounds, {case.count} frames]")
    for name, entry in entries.items():
        line = f"  {name:14}{entry.nanoseconds:14,.0f} ns/frame"
        if entry is not subject:
            ratio = Ratio.of(subject.samples, entry.samples)
            line += f"  {ratio}{verdict(frame, read, name, ratio)}"
            if name == best:
                line += f"  best{verdict(frame, read, BEST, ratio)}"
        print(line)


def compare_read_sizes(frame: int, rounds: int) -> None:
    """Measure what a byte costs over sizes of a read, and print one row."""
    contender = CONTENDERS[SUBJECT]
    entries = {
        read: Entry(contender, Case.of(frame, read, max(VOLUME, 2 * (frame + 1))))
        for read in FLAT_READ_SIZES
    }
    take_turns(entries.values(), rounds)
    costs = [entry.nanoseconds / (frame + 1) for entry in entries.values()]
    factor = max(costs) / min(costs)
    cells = "".join(f"{cost:10.3f}" for cost in costs)
    result = "pass" if factor <= FLAT_WITHIN else "SHORT"
    print(f"  {size(frame):10}{cells}{factor:10.2f}  [mark {FLAT_WITHIN:.2f}: {result}]")


def machine() -> str:
    """Return on what this runs."""
    cpu = platform.processor() or platform.machine()
    info = pathlib.Path("/proc/cpuinfo")
    if info.exists():
        names = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        if names:
            cpu = names[0].partition(":")[2].strip()
    python = f"{platform.python_implementation()} {platform.python_version()}"
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    return f"{cpu}, {os.cpu_count()} cores, load {load:.1f}; {platform.platform()}; {python}"


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m benches.compare", description=__doc__)
    parser.add_argument("--frame", type=int, action="append", help="only this frame size")
    parser.add_argument("--read", type=int, action="append", help="only this read size")
    parser.add_argument("--rounds", type=int, default=41, help="rounds a cell, %(default)s")
    options = parser.parse_args()
    frames = options.frame or FRAME_SIZES

    print(machine())
    print(f"command: python -m benches.compare {' '.join(sys.argv[1:])}")
    print(
        f"xmlsocket.codec is {codec.IMPLEMENTATION}. Ratios: how many times as long as "
        f"{SUBJECT if SUBJECT in CONTENDERS else 'the best'}; median (lowest … highest pair)."
    )
    for name, why in MISSING.items():
        print(f"MISSING: {name}: {why}")
    gc.disable()  # as timeit does: a collection would fall on one contender
    for read in options.read or READ_SIZES:
        for frame in frames:
            compare_cell(frame, read, options.rounds)
    if SUBJECT in CONTENDERS and not options.read:
        reads = "".join(f"{size(read):>10}" for read in FLAT_READ_SIZES)
        print(f"\n{SUBJECT}: nanoseconds a byte by frame size, over sizes of a read")
        print(f"  {'':10}{reads}{'max/min':>10}")
        for frame in frames:
            compare_read_sizes(frame, options.rounds)
    if not (options.frame or options.read):
        crates.compare()


if __name__ == "__main__":
    main()
