"""
The codec crate against tokio-util's `AnyDelimiterCodec`, both in Rust, in process.

The program is built by ``make bench-peers``; here its rounds become a table.
"""

from __future__ import annotations

import collections
import json
import statistics
import subprocess
from pathlib import Path

__all__ = ["PROGRAM", "compare", "run"]

PROGRAM = Path(__file__).parent.parent / "target" / "peers" / "tokio" / "release" / "bench-codecs"

RIVAL = "tokio-util"

Cell = tuple[int, int]


def run() -> dict[Cell, dict[str, list[float]]]:
    """Run the program; return nanoseconds a frame by size of a read and of a frame, and by name."""
    output = subprocess.run([PROGRAM], check=True, capture_output=True, text=True).stdout
    cells: dict[Cell, dict[str, list[float]]] = collections.defaultdict(
        lambda: collections.defaultdict(list)
    )
    for line in output.splitlines():
        sample = json.loads(line)
        cells[sample["read"], sample["frame"]][sample["name"]].append(sample["ns"])
    return cells


def compare() -> None:
    """Run the program and print a row for each size of a frame and of a read."""
    print("\nthe crate alone: nanoseconds a frame; ratios: how many times as long tokio-util takes")
    if not PROGRAM.exists():
        print("MISSING: tokio-util: not built, make bench-peers does it")
        return
    for (read, frame), samples in run().items():
        print(f"\n{frame} B frames, {read} B reads  [{len(samples[RIVAL])} rounds]")
        for name, times in samples.items():
            line = f"  {name:14}{statistics.median(times):14,.1f} ns/frame"
            if name != RIVAL:
                pairs = [other / own for own, other in zip(times, samples[RIVAL], strict=True)]
                line += f"  {statistics.median(pairs):6.2f} ({min(pairs):.2f} … {max(pairs):.2f})"
            print(line)
