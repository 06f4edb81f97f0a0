"""What single things cost, each as a difference between runs."""

from __future__ import annotations

import dataclasses
import selectors
import socket
import statistics
import time
from typing import TYPE_CHECKING, Any

from .clients import await_joined, connect
from .model import Costs, Memory, Nats
from .rig import Plan, RoomPlan, broker, processor_time, resident, run, serving, steady

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .rig import Backplane, Sample

__all__ = ["measure_costs", "measure_memory", "measure_nats", "measure_ratios"]

ROOMS = 50
"""So many that documents of one room hardly ever meet, as in a fleet."""

MANY = 20
"""Members of a room where deliveries are to cost more than the rest."""


def _per(total: float, count: float) -> float:
    """Return a cost; what noise makes negative is nothing."""
    return max(0.0, total / count)


def _run(
    listeners: tuple[int, ...],
    rate: float,
    seconds: float,
    *,
    backplane: Backplane = "memory",
    latest: bool = False,
) -> Sample:
    """Run rooms whose senders are all at the first node."""
    rooms = (RoomPlan(0, listeners),) * ROOMS
    plan = Plan(rooms=rooms, backplane=backplane, latest=latest, rate=rate, seconds=seconds)
    return steady(plan, tries=2)


def measure_costs(kind: str, rounds: int, seconds: float) -> tuple[Costs, dict[str, float]]:
    """Measure some times and return the median of each figure; see `_measure_costs`."""
    found = [_measure_costs(kind, seconds) for _ in range(rounds)]
    costs = {
        field.name: statistics.median(getattr(cost, field.name) for cost, _ in found)
        for field in dataclasses.fields(Costs)
    }
    return Costs(**costs), {
        name: statistics.median(seen[name] for _, seen in found) for name in found[0][1]
    }


def _measure_costs(kind: str, seconds: float) -> tuple[Costs, dict[str, float]]:
    """
    Measure what a node does: ``core``, ``latest`` or ``history``.

    Returns:
        The costs, and of the runs with two nodes: ``nats``, its processor seconds for each
        message with its delivery to one node (with a history, to both and an answer);
        ``together``, documents in a message; ``headers``, bytes of a message's headers;
        ``load``, the most of a core that a node took that sends nothing to NATS.

    """
    latest = kind == "latest"
    backplane: Backplane = "history" if kind == "history" else "core"
    silent = _run((0,), 1200, seconds, latest=latest)
    loud = _run((MANY,), 500, seconds, latest=latest)
    one = _run((0, 1), 800, seconds, backplane=backplane, latest=latest)
    many = _run((0, MANY), 400, seconds, backplane=backplane, latest=latest)

    document = silent.nodes[0] / silent.sent
    local = _per(loud.nodes[0] - loud.sent * document, loud.delivered)
    # Both receive a message for each document, or the few that travel together.
    extra = many.nodes[1] / many.sent - one.nodes[1] / one.sent
    remote = _per(extra, MANY - 1)
    messages = _messages(one) + _messages(many)
    sent = one.nodes[0] + many.nodes[0] - (one.sent + many.sent) * document
    read = one.nodes[1] + many.nodes[1] - (one.delivered + many.delivered) * remote
    costs = Costs(
        document=document,
        local=local,
        publish=_per(sent, messages),
        receive=_per(read, messages),
        remote=remote,
    )
    headers = one.counters["in_bytes"] - one.sent * 128
    return costs, {
        "nats": (one.nats + many.nats) / messages,
        "together": (one.sent + many.sent) / messages,
        "headers": headers / _messages(one),
        "load": max(s.nodes[-1] / s.seconds for s in (silent, loud, one, many)),
    }


def _messages(sample: Sample) -> int:
    """Return the messages with documents: all that NATS is told."""
    return sample.counters["in_msgs"]


# NATS alone


@dataclasses.dataclass(frozen=True)
class _Fan:
    """Messages of one connection that go to others."""

    readers: int
    size: int
    rate: float | None
    count: int


def _fan(plan: _Fan) -> float:
    """Return the processor seconds of NATS for a message."""
    with broker(jetstream=False) as nats:
        readers = [_hello(nats.port) for _ in range(plan.readers)]
        for sock in readers:
            sock.sendall(b"SUB xmlsocket.live.room 1\r\nPING\r\n")
            _until_pong(sock)
        writer = _hello(nats.port)
        message = b"PUB xmlsocket.live.room %d\r\n%b\r\n" % (plan.size, b"x" * plan.size)
        before = nats.counters(), processor_time(nats.pid)
        _publish(writer, readers, message, plan)
        writer.sendall(b"PING\r\n")
        _until_pong(writer)
        used = processor_time(nats.pid) - before[1]
        taken = nats.counters()["in_msgs"] - before[0]["in_msgs"]
        for sock in [writer, *readers]:
            sock.close()
    if taken != plan.count:
        raise RuntimeError(f"NATS took {taken} messages of {plan.count}")
    return used / taken


def _publish(
    writer: socket.socket, readers: Sequence[socket.socket], message: bytes, plan: _Fan
) -> None:
    with selectors.DefaultSelector() as selector:
        for sock in readers:
            selector.register(sock, selectors.EVENT_READ)
        missing = plan.readers * plan.count * plan.size
        began = time.monotonic()
        sent = 0
        step = 1 if plan.rate else 64
        while sent < plan.count or missing > 0:
            due = began + sent / plan.rate if plan.rate else 0.0
            if sent < plan.count and time.monotonic() >= due:
                writer.sendall(message * min(step, plan.count - sent))
                sent += min(step, plan.count - sent)
            if not readers:
                time.sleep(max(0.0, due - time.monotonic()))
                continue
            wait = max(0.0, due - time.monotonic()) if sent < plan.count else 0.2
            for key, _ in selector.select(wait):
                missing -= len(key.fileobj.recv(2**18))  # type: ignore[union-attr] # sockets


def _hello(port: int) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", port), timeout=20)
    while not sock.recv(2**16).endswith(b"\r\n"):  # INFO
        pass
    sock.sendall(b'CONNECT {"verbose":false,"pedantic":false,"echo":false}\r\nPING\r\n')
    _until_pong(sock)
    return sock


def _until_pong(sock: socket.socket) -> None:
    seen = b""
    while not seen.endswith(b"PONG\r\n"):
        piece = sock.recv(2**16)
        if not piece:
            raise ConnectionError("NATS has closed the connection")
        seen += piece


FANS = (0, 1, 4, 16)


def measure_nats(seconds: float) -> tuple[dict[str, Nats], dict[str, dict[str, float]]]:
    """
    Measure NATS with small messages to several readers, and larger ones.

    Returns:
        Its costs, ``paced`` (1,000 messages a second, one by one) and ``busy`` (as many as
        go), and the seconds a message for each number of readers.

    """
    costs, seen = {}, {}
    for name, rate, count in (
        ("paced", 1000.0, int(1000 * seconds)),
        ("busy", None, int(20_000 * seconds)),
    ):
        small = [_fan(_Fan(readers, 128, rate, count)) for readers in FANS]
        large = _fan(_Fan(4, 4096, rate, count))
        costs[name] = nats_costs(small, large)
        seen[name] = {f"128 B to {k}": used for k, used in zip(FANS, small, strict=True)}
        seen[name]["4096 B to 4"] = large
    return costs, seen


def nats_costs(small: Sequence[float], large: float) -> Nats:
    """Return the costs that explain seconds a message: 128 bytes to `FANS`, 4096 bytes to 4."""
    byte = max(0.0, (large - small[FANS.index(4)]) / ((4096 - 128) * (1 + 4)))
    given, taken = statistics.linear_regression(FANS, small)
    return Nats(taken=max(0.0, taken - 128 * byte), given=max(0.0, given - 128 * byte), byte=byte)


# Memory


def measure_memory(count: int) -> Memory:
    """Measure what idle members, rooms and subscriptions hold."""
    with serving() as (pid, port):
        connection = _slope(pid, port, count, MANY)
    with broker(jetstream=False) as nats:
        with serving("--nats", nats.url) as (pid, port):
            alone = _slope(pid, port, count, 1)
        before = resident(nats.pid)
        sock = _hello(nats.port)
        subscriptions = 50 * count
        for number in range(subscriptions):
            sock.sendall(b"SUB xmlsocket.live.lobby-%d %d\r\n" % (number, number))
        sock.sendall(b"PING\r\n")
        _until_pong(sock)
        held = (resident(nats.pid) - before) / subscriptions
        sock.close()
    return Memory(connection=connection, room=max(0.0, alone - connection), subscription=held)


def _slope(pid: int, port: int, count: int, members: int) -> float:
    """Return the bytes of a node for each of many clients in rooms of so many."""
    socks: list[socket.socket] = []
    try:
        held = []
        for end in (count // 10, count):
            first = len(socks)
            for number in range(first, end):
                socks.append(connect(port, f"room{number // members}"))
                await_joined(socks[-1])
            held.append(resident(pid))
        return (held[1] - held[0]) / (count - count // 10)
    finally:
        for sock in socks:
            sock.close()


# Two nodes against one


def measure_ratios(rounds: int, seconds: float) -> dict[str, dict[str, Any]]:
    """
    Deliver as much as goes, to 10 listeners in each of 20 rooms: one node, then two.

    Returns:
        For ``core`` and ``history``: deliveries of two nodes over those of one in memory in
        the same round, median, lowest and highest: by the clock, for a processor second of
        the nodes, and for one of nodes and NATS.

    """
    found: dict[str, list[Sample]] = {"memory": [], "core": [], "history": []}
    rooms: dict[str, tuple[RoomPlan, ...]] = {
        "memory": (RoomPlan(0, (10,)),) * 20,
        "core": (RoomPlan(0, (5, 5)), RoomPlan(1, (5, 5))) * 10,
    }
    for _ in range(rounds):
        found["memory"].append(run(Plan(rooms=rooms["memory"], seconds=seconds)))
        for backplane in ("core", "history"):
            plan = Plan(rooms=rooms["core"], backplane=backplane, seconds=seconds)
            found[backplane].append(run(plan))
    answer: dict[str, dict[str, Any]] = {}
    for name in ("core", "history"):
        answer[name] = {}
        for how in (clock, per_nodes, per_all):
            ratios = [
                how(two) / how(one) for one, two in zip(found["memory"], found[name], strict=True)
            ]
            answer[name][how.__name__] = [statistics.median(ratios), min(ratios), max(ratios)]
    return answer


def clock(sample: Sample) -> float:
    """Deliveries a second."""
    return sample.delivered / sample.seconds


def per_nodes(sample: Sample) -> float:
    """Deliveries for a processor second of nodes."""
    return sample.delivered / sum(sample.nodes)


def per_all(sample: Sample) -> float:
    """Deliveries for a processor second of nodes and NATS."""
    return sample.delivered / (sum(sample.nodes) + sample.nats)
