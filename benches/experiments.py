"""
What was tried and not built, with the figures that decided it: ``python -m benches.experiments``.

Relaying without an object a frame (a batch of offsets into one read) is not
there in Python; what it could win at most is shown by the crate, which passes
frames on as slices. Parsing large documents in threads is a few lines for
those who want it.
"""

from __future__ import annotations

import concurrent.futures
import statistics
import time
from typing import TYPE_CHECKING

import xmlsocket
from xmlsocket import codec

from . import crates
from .contenders import Case

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS = 15
READ = 65536


def median_ns(function: Callable[[], object], count: int) -> float:
    """Return the median of the time of one of ``count`` items, in nanoseconds."""
    samples = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        function()
        samples.append((time.perf_counter() - start) / count * 1e9)
    return statistics.median(samples)


def relay(case: Case) -> float:
    """Return what passing a frame on costs through ``feed`` and ``encode_many``."""
    reads = case.reads()

    def run() -> None:
        feed = codec.Decoder().feed
        for read in reads:
            codec.encode_many(feed(read))

    return median_ns(run, case.count)


def compare_relay() -> None:
    """Print the table of the first experiment."""
    print("passing frames on, ns a frame, reads of 64 KiB: at most so much quicker without objects")
    if not crates.PROGRAM.exists():
        print("MISSING: the crate's program: not built, make bench-peers does it")
        return
    cells = crates.run()
    for frame in (32, 128, 512, 4096):
        objects = relay(Case.of(frame, READ, 2**21))
        least = statistics.median(cells[READ, frame]["crate, relay"])
        print(f"  {frame:6} B {objects:10.1f} {least:10.1f} {objects / least:8.1f} x")


def compare_threads() -> None:
    """Print the table of the second experiment."""
    print("parsing a document, µs: here, and in a pool of two threads (two documents at a time)")
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for kib in (1, 64, 1024):
            item = b'<item id="1" name="abc">text</item>'
            document = b"<list>" + item * (kib * 1024 // len(item)) + b"</list>"
            batch = [document] * max(4, 256 // kib)
            here = median_ns(lambda b=batch: [xmlsocket.parse(d) for d in b], len(batch))  # type: ignore[misc]
            there = median_ns(lambda b=batch: list(pool.map(xmlsocket.parse, b)), len(batch))  # type: ignore[misc]
            print(f"  {kib:5} KiB {here / 1e3:10.1f} {there / 1e3:10.1f} {here / there:8.2f} x")


if __name__ == "__main__":
    compare_relay()
    compare_threads()
