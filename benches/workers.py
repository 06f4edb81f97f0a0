"""
Two workers against one, on one machine with a load generator on the same cores.

``python -m benches.workers`` prints a table; ``--record`` also writes it to
``benches/record/workers.md``. Rounds run one worker and two in turn, and a ratio
is taken within a round. Nothing is pinned: the kernel shares the cores among
workers and generator, and the table says what that leaves for the ratio.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benches.suite import machine
from benches.suite.processes import GENERATOR

import xmlsocket

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator, Sequence

    from xmlsocket import Connection

RECORD = Path(__file__).parent / "record" / "workers.md"
SIZE = 128
CONNECTIONS = 64


async def batches(connection: Connection[bytes]) -> None:
    """Send everything back, a read at a time: the least that a server can do for a frame."""
    async for frames in connection.batches():
        await connection.send_many(frames)


async def documents(connection: Connection[Any]) -> None:
    """Parse every document, build the answer anew, as servers do that look at what they get."""
    async for document in connection:
        await connection.send(document)


def start_batches(sockets: Sequence[socket.socket]) -> xmlsocket.Serve[bytes]:
    """Serve raw frames."""
    return xmlsocket.serve(batches, sock=sockets, parse=bytes)


def start_documents(sockets: Sequence[socket.socket]) -> xmlsocket.Serve[Any]:
    """Serve documents."""
    return xmlsocket.serve(documents, sock=sockets)


STARTS = {"documents": start_documents, "batches": start_batches}


@dataclasses.dataclass(frozen=True)
class Sample:
    """One run: frames a second, and processor time used of a second, by whom."""

    rate: float
    workers: float
    generator: float
    idle: float


@contextlib.contextmanager
def serving(name: str, workers: int) -> Iterator[tuple[int, list[int]]]:
    """Run a server of so many workers; give its port and their processes."""
    command = [sys.executable, "-m", "benches.workers", "--serve", name, "--workers", str(workers)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            port = int(process.stdout.readline())
            # The helper of multiprocessing is a child as well, and does nothing.
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
            yield port, [int(pid) for pid in children.split()]
        finally:
            process.terminate()


def processor_time(pids: Sequence[int]) -> float:
    """Return the seconds of processor time that processes have used."""
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])  # utime, stime
    return ticks / os.sysconf("SC_CLK_TCK")


def idle_time() -> float:
    """Return the seconds that all cores together have had nothing to do."""
    fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()
    return int(fields[4]) / os.sysconf("SC_CLK_TCK")


def measure(name: str, workers: int, in_flight: int, seconds: float) -> Sample:
    """Run a server and the generator once. Every reply is compared with what was sent."""
    with serving(name, workers) as (port, pids):
        command = [GENERATOR, "echo", "--target", f"127.0.0.1:{port}", "--size", SIZE]
        command += ["--connections", CONNECTIONS, "--in-flight", in_flight, "--seconds", seconds]
        used, idle, began = processor_time(pids), idle_time(), time.monotonic()
        done = subprocess.run([*map(str, command)], check=True, capture_output=True, text=True)
        passed = time.monotonic() - began
        figures = json.loads(done.stdout)
        return Sample(
            rate=figures["frames_per_second"],
            workers=(processor_time(pids) - used) / passed,
            generator=figures["generator_cpu"],
            idle=(idle_time() - idle) / passed,
        )


def compare(name: str, in_flight: int, rounds: int, seconds: float) -> str:
    """Run one worker and two in turn, and return rows of the table."""
    samples: dict[int, list[Sample]] = {1: [], 2: []}
    for _ in range(rounds):
        for workers, row in samples.items():
            row.append(measure(name, workers, in_flight, seconds))
    ratios = [two.rate / one.rate for one, two in zip(*samples.values(), strict=True)]
    lines = []
    for workers, row in samples.items():
        shares = [median(row, field) for field in ("workers", "generator", "idle")]
        shares.append(max(0.0, (os.cpu_count() or 1) - sum(shares)))
        cells = [f"{share:.2f}" for share in shares]
        rate = f"{median(row, 'rate'):,.0f} | {median(row, 'rate') / median(row, 'workers'):,.0f}"
        lines.append(f"| {name} | {workers} | {rate} | {' | '.join(cells)} | |")
    spent = [
        (two.rate / two.workers) / (one.rate / one.workers)
        for one, two in zip(*samples.values(), strict=True)
    ]
    spread = f"**{statistics.median(ratios):.2f}** ({min(ratios):.2f} … {max(ratios):.2f})"
    lines[-1] = lines[-1].removesuffix("|") + f"{spread} |"
    # All cores, divided by what one worker's rate takes of them, generator included.
    one = samples[1]
    taken = median(one, "workers") + median(one, "generator")
    bound = (os.cpu_count() or 1) / taken
    work = f"{statistics.median(spent):.2f} ({min(spent):.2f} … {max(spent):.2f})"
    lines.append(f"| | | | {work} | | | | | at most {bound:.2f} |")
    return "\n".join(lines)


def median(row: Sequence[Sample], field: str) -> float:
    """Return the median of one figure."""
    figures: list[float] = [getattr(sample, field) for sample in row]
    return statistics.median(figures)


def report(rounds: int, seconds: float) -> str:
    """Run everything and return the table with what it was taken on."""
    found = machine.describe()
    rows = [
        compare("documents", 256, rounds, seconds),
        compare("batches", 256, rounds, seconds),
    ]
    where = ", ".join(
        f"{name} {found[name]}" for name in ("processor", "cores", "system", "Python", "xmlsocket")
    )
    shares = "workers | generator | idle | others"
    return f"""# Two workers against one

`python -m benches.workers --record --rounds {rounds} --seconds {seconds:g}`: echo of
{SIZE}-byte documents over {CONNECTIONS} connections. {where}.

| work | workers | frames/s | per processor second | {shares} | two : one |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |
{chr(10).join(rows)}

`documents` parses each document with lxml and serializes the answer; `batches` sends raw frames
back and parses nothing. The generator runs on the same cores. The columns before the ratio are
cores in use; `others` are other programs, and what the kernel does on nobody's account. "At most"
is what the ratio can reach here: all cores, divided by the cores that one worker and the generator
that feeds it take. Below each pair are the frames of a processor second, two workers : one. Where
that is near 1, workers cost each other nothing, and what the ratio lacks is time on a core that
others had; where it is less, the cores are not as quick together as alone: they share a physical
core, caches, or the machine with others.
"""


def main() -> None:
    """Measure, or serve for a measurement."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").strip().splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--record", action="store_true", help=f"write {RECORD.name}")
    parser.add_argument("--serve", choices=STARTS, help=argparse.SUPPRESS)
    parser.add_argument("--workers", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        xmlsocket.serve_workers(
            STARTS[given.serve],
            "127.0.0.1",
            0,
            workers=given.workers,
            ready=lambda sockets: print(sockets[0].getsockname()[1], flush=True),
        )
        return
    if not GENERATOR.exists():
        sys.exit(f"{GENERATOR} is not there: make bench-peers builds it")
    text = report(given.rounds, given.seconds)
    print(text)
    if given.record:
        RECORD.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
