"""Running a definition: contenders side by side, one round after the other."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

from .definitions import ROOT
from .processes import GeneratorError, Server, holding, load, on_server_core, resident
from .results import Outcome, Sample

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .definitions import Definition, Peer, Row
    from .processes import ServerPool

__all__ = ["estimate", "measure"]

# Seconds that starting a server takes, all in all: most of it are just-in-time
# compilers that warm up.
_START = 1.0

# Seconds that a run takes on top of its measurement: starting the generator,
# connecting, making frames, draining.
_OVERHEAD = 0.12


def measure(
    definition: Definition,
    peers: Mapping[str, Peer],
    pool: ServerPool,
    progress: Callable[[str], None],
) -> Outcome:
    """
    Run a definition.

    In each round every contender runs once, so that what disturbs the machine
    disturbs neighbours alike, and ratios are taken between neighbours.

    Args:
        definition: What to run.
        peers: The servers that there are.
        pool: Where they run.
        progress: Called with a few words before each row.

    """
    outcome = Outcome(definition)
    if definition.kind == "read-size":
        _measure_read_sizes(outcome, progress)
        return outcome
    for name in definition.contenders:
        peer = peers[name]
        missing = peer.missing()
        if missing is None and definition.mode not in peer.modes:
            missing = f"has no mode {definition.mode}"
        if missing is not None:
            outcome.absent[name] = missing
    present = [peers[name] for name in definition.contenders if name not in outcome.absent]
    if definition.kind == "memory":
        _measure_memory(outcome, present, progress)
    else:
        _measure_load(outcome, present, pool, progress)
    return outcome


def estimate(definition: Definition) -> float:
    """Return roughly how many seconds a definition takes."""
    cells = len(definition.rows) * len(definition.contenders)
    if definition.kind == "memory":
        return cells * 6
    if definition.kind == "read-size":
        return cells * definition.rounds * 0.4
    cell = definition.seconds + definition.warmup + _OVERHEAD
    return len(definition.contenders) * _START + cells * definition.rounds * cell


# Load


def _measure_load(
    outcome: Outcome, present: list[Peer], pool: ServerPool, progress: Callable[[str], None]
) -> None:
    definition = outcome.definition
    servers: dict[str, Server] = {}
    for peer in present:
        try:
            server, new = pool.get(peer, definition.mode, definition.max_size)
        except GeneratorError as exc:
            outcome.absent[peer.name] = str(exc)
            continue
        servers[peer.name] = server
        if new and peer.warm:
            progress(f"{definition.name}: {peer.name} warms up")
            _warm(definition, server)
    for number, row in enumerate(definition.rows, 1):
        progress(f"{definition.name} {number}/{len(definition.rows)}: {row.name}")
        _measure_row(outcome, row, servers)
    for name in {name for _, name in outcome.failures}.intersection(servers):
        pool.drop(servers[name])


def _warm(definition: Definition, server: Server) -> None:
    """
    Give a just-in-time compiler load until it is done.

    That is when the server's processor time per frame has not fallen for three
    runs of a second. Time that passes would not do: on a busy machine a compiler
    takes longer.
    """
    best, since = float("inf"), 0
    for _ in range(int(server.peer.warm)):
        options = _options(definition.rows[0], seconds=1, warmup=0)
        try:
            figures = _sample(load(definition.workload, server, options, timeout=60)).figures
        except GeneratorError:
            return  # if it matters, the rows fail, too
        cost = figures.get("server_ns_per_frame", figures.get("p50_us", 0))
        if cost < best * 0.97:
            best, since = cost, 0
        elif (since := since + 1) == 3:
            return


def _measure_row(outcome: Outcome, row: Row, servers: Mapping[str, Server]) -> None:
    definition = outcome.definition
    for _ in range(definition.rounds):
        for name, server in servers.items():
            key = row.name, name
            if name in row.skip:
                outcome.failures[key] = row.skip[name]
            if key in outcome.failures:
                continue
            options = _options(row, seconds=definition.seconds, warmup=definition.warmup)
            try:
                figures = load(definition.workload, server, options, timeout=120)
            except GeneratorError as exc:
                outcome.failures[key] = " ".join(filter(None, [str(exc), server.errors()]))
                outcome.samples.pop(key, None)
            else:
                outcome.samples.setdefault(key, []).append(_sample(figures))


def _options(row: Row, *, seconds: float, warmup: float) -> list[str]:
    options = {"seconds": seconds, "warmup": warmup, **row.options}
    return [word for key, value in options.items() for word in (f"--{key}", str(value))]


def _sample(figures: dict[str, float]) -> Sample:
    if figures.get("frames_per_second"):
        figures["us_per_frame"] = 1e6 / figures["frames_per_second"]
        if figures.get("server_cpu") is not None:
            server = figures["server_cpu"] / figures["frames_per_second"]
            figures["server_ns_per_frame"] = 1e9 * server
    return Sample(
        figures={
            key: value
            for key, value in figures.items()
            if isinstance(value, int | float) and not isinstance(value, bool)
        },
        generator_bound=bool(figures.get("generator_bound")),
        generator_cpu=figures.get("generator_cpu"),
    )


# Memory


def _measure_memory(outcome: Outcome, present: list[Peer], progress: Callable[[str], None]) -> None:
    definition = outcome.definition
    for number, row in enumerate(definition.rows, 1):
        options = [word for key, value in row.options.items() for word in (f"--{key}", str(value))]
        for _ in range(definition.rounds):
            for peer in present:
                progress(
                    f"{definition.name} {number}/{len(definition.rows)}: {row.name}, {peer.name}"
                )
                key = row.name, peer.name
                try:
                    sample = _memory_sample(peer, definition, options)
                except GeneratorError as exc:
                    outcome.failures[key] = str(exc)
                else:
                    outcome.samples.setdefault(key, []).append(sample)


def _memory_sample(peer: Peer, definition: Definition, options: list[str]) -> Sample:
    """Measure in a process of its own: a server that has been busy before holds more."""
    with (
        Server(peer, definition.mode, definition.max_size) as server,
        holding(server.target, options) as steps,
    ):
        points = tuple((float(count), float(resident(server.pid))) for count in steps)
    (first, low), (last, high) = points[0], points[-1]
    return Sample({"bytes_per_connection": (high - low) / (last - first)}, points)


# Read sizes, in process


def _measure_read_sizes(outcome: Outcome, progress: Callable[[str], None]) -> None:
    definition = outcome.definition
    for number, row in enumerate(definition.rows, 1):
        progress(f"{definition.name} {number}/{len(definition.rows)}: {row.name}")
        command = [
            *(sys.executable, "-m", "benches.suite.read_size"),
            *("--frame", str(row.options["frame"]), "--rounds", str(definition.rounds)),
            *definition.contenders,
        ]
        done = subprocess.run(
            command,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            preexec_fn=on_server_core(),
        )
        for line in done.stdout.splitlines():
            found = json.loads(line)
            name = found["contender"]
            if "absent" in found:
                outcome.absent[name] = found["absent"]
                continue
            points = tuple((read, cost) for read, cost in found["points"])
            costs = [cost for _, cost in points]
            figures = {"spread": max(costs) / min(costs), "ns_per_byte": dict(points)[65536]}
            outcome.samples.setdefault((row.name, name), []).append(Sample(figures, points))
