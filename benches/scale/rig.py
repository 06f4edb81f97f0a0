"""Nodes, NATS and clients as processes of their own, and the processor time of each."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from benches.suite.definitions import ROOT
from tests.support.nats import NatsServer, free_ports

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = [
    "Broker",
    "Plan",
    "RoomPlan",
    "Sample",
    "broker",
    "processor_time",
    "resident",
    "run",
    "serving",
    "steady",
]

Backplane = Literal["memory", "core", "history"]

LATE_MAX = 0.05
"""Share of late documents above which a run is not worth much."""

COUNTERS = ("in_msgs", "out_msgs", "in_bytes", "out_bytes")
"""What NATS counts; bytes are those of payloads and headers."""


@dataclasses.dataclass(frozen=True)
class RoomPlan:
    """
    One room.

    Attributes:
        sender: Number of the node at which its sender is; the sender hears nothing.
        listeners: Other members at each node.

    """

    sender: int
    listeners: tuple[int, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """
    One run.

    Attributes:
        rooms: The rooms; each has members at as many nodes as there are.
        backplane: What joins the nodes.
        latest: Whether documents have keys and rooms the policy ``latest``.
        rate: Documents a second, evenly over time and rooms; None for as many as go.
        window: Documents of a room on their way at once, without a rate.
        seconds: For how long.
        size: Bytes of a document, delimiter included.

    """

    rooms: tuple[RoomPlan, ...]
    backplane: Backplane = "memory"
    latest: bool = False
    rate: float | None = None
    window: int = 4
    seconds: float = 4.0
    size: int = 128

    @property
    def nodes(self) -> int:
        """The number of nodes."""
        return len(self.rooms[0].listeners)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sample:
    """
    What a run gave.

    Attributes:
        sent: Documents.
        delivered: Deliveries.
        late: Share of the documents that left late: the clients had to wait for a core, and
            what comes late comes in heaps.
        seconds: That passed until the last delivery.
        nodes: Processor seconds of each node.
        nats: Processor seconds of NATS.
        clients: Processor seconds of the clients.
        counters: What NATS has counted.

    """

    sent: int
    delivered: int
    late: float
    seconds: float
    nodes: tuple[float, ...]
    clients: float
    nats: float = 0.0
    counters: dict[str, int] = dataclasses.field(default_factory=dict)


def processor_time(pid: int) -> float:
    """Return the seconds of processor time that a process has used, all threads together."""
    # The kernel's clock of another process (clock_getcpuclockid), in nanoseconds: those of
    # /proc have a grain of 10 ms.
    return time.clock_gettime(((~pid) << 3) | 2)


def resident(pid: int) -> int:
    """Return the bytes of memory that a process holds."""
    pages = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


class Broker:
    """A server of NATS whose counters can be read."""

    def __init__(self, folder: Path, *, jetstream: bool) -> None:
        [self._monitor] = free_ports(1)
        config = f"http: 127.0.0.1:{self._monitor}\npid_file: {json.dumps(str(folder / 'pid'))}"
        self._server = NatsServer(folder, config=config, jetstream=jetstream)
        self._pid_file = folder / "pid"
        self.url = self._server.url
        self.port = self._server.port

    @property
    def pid(self) -> int:
        """Its process."""
        return int(self._pid_file.read_text(encoding="ascii"))

    def counters(self) -> dict[str, int]:
        """Return what it has counted."""
        address = f"http://127.0.0.1:{self._monitor}/varz"
        with urllib.request.urlopen(address, timeout=10) as answer:
            figures = json.load(answer)
        return {name: figures[name] for name in COUNTERS}


@contextlib.contextmanager
def broker(*, jetstream: bool) -> Iterator[Broker]:
    """Run a server of NATS."""
    with tempfile.TemporaryDirectory() as folder:
        made = Broker(Path(folder), jetstream=jetstream)
        with made._server:  # noqa: SLF001 - the two are one
            yield made


@contextlib.contextmanager
def serving(*options: str) -> Iterator[tuple[int, int]]:
    """Run a node and give its process and its port."""
    command = [sys.executable, "-m", "benches.scale.node", *options]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.pid, int(process.stdout.readline())
        finally:
            process.kill()


@contextlib.contextmanager
def clients(plan: Plan, ports: Sequence[int]) -> Iterator[subprocess.Popen[str]]:
    """Run the clients until all have joined."""
    command = [sys.executable, "-m", "benches.scale.clients"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            order = {"plan": dataclasses.asdict(plan), "ports": list(ports)}
            process.stdin.write(json.dumps(order) + "\n")
            process.stdin.flush()
            if process.stdout.readline() != "ready\n":
                raise RuntimeError("the clients could not join")
            yield process
        finally:
            process.kill()


def run(plan: Plan) -> Sample:
    """
    Run a plan.

    Raises:
        RuntimeError: If a document did not arrive, or the clients failed.

    """
    with contextlib.ExitStack() as stack:
        options = ["--latest"] if plan.latest else []
        nats = None
        if plan.backplane != "memory":
            nats = stack.enter_context(broker(jetstream=plan.backplane == "history"))
            options += ["--nats", nats.url]
            options += ["--history"] if plan.backplane == "history" else []
        nodes = [stack.enter_context(serving(*options)) for _ in range(plan.nodes)]
        process = stack.enter_context(clients(plan, [port for _, port in nodes]))
        pids = [pid for pid, _ in nodes]
        before = _read(pids, nats)
        figures = _ask(process)
        after = _read(pids, nats)
    if figures.pop("lost"):
        raise RuntimeError(f"documents were lost: {plan}")
    return Sample(
        **figures,
        nodes=tuple(b - a for a, b in zip(before[0], after[0], strict=True)),
        nats=after[1] - before[1],
        counters={name: after[2][name] - before[2][name] for name in before[2]},
    )


def steady(plan: Plan, tries: int = 3) -> Sample:
    """Run a plan again while many documents leave late, and return the run with the fewest."""
    samples: list[Sample] = []
    while not samples or (samples[-1].late > LATE_MAX and len(samples) < tries):
        samples.append(run(plan))
    return min(samples, key=lambda sample: sample.late)


def _ask(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("go\n")
    process.stdin.flush()
    line = process.stdout.readline()
    if not line:
        raise RuntimeError("the clients failed")
    figures: dict[str, Any] = json.loads(line)
    return figures


def _read(pids: Sequence[int], nats: Broker | None) -> tuple[list[float], float, dict[str, int]]:
    nodes = [processor_time(pid) for pid in pids]
    if nats is None:
        return nodes, 0.0, {}
    return nodes, processor_time(nats.pid), nats.counters()
