"""Four nodes, and what the model says of them."""

from __future__ import annotations

import dataclasses
import random
from typing import TYPE_CHECKING, Any

from .model import Costs, Demand, Nats, Workload, demand, nats_cores, node_seconds
from .rig import Plan, RoomPlan, steady

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["NODES", "ROOM", "check", "counted", "place"]

NODES, ROOMS, ROOM = 4, 40, 20

RUNS = (("core", 150.0), ("core", 300.0), ("core", 600.0), ("latest", 300.0), ("history", 150.0))
"""Kind, and documents a second of all rooms together."""


def place(seed: int = 7) -> tuple[RoomPlan, ...]:
    """Return rooms whose members are at any node, by chance."""
    chance = random.Random(seed)
    rooms = []
    for _ in range(ROOMS):
        listeners = [0] * NODES
        for _ in range(ROOM - 1):
            listeners[chance.randrange(NODES)] += 1
        rooms.append(RoomPlan(chance.randrange(NODES), tuple(listeners)))
    return tuple(rooms)


def counted(plan: Plan, headers: float, node: int | None = None) -> Demand:
    """
    Return what a plan asks for in a second, counted room by room.

    Args:
        plan: What is run, with a rate.
        headers: Bytes of a message's headers.
        node: What happens at this node only; by default at all.

    """
    assert plan.rate is not None
    each = plan.rate / len(plan.rooms)
    documents = local = remote = received = subscriptions = 0.0
    for room in plan.rooms:
        for number, members in enumerate(room.listeners):
            if node not in (None, number):
                continue
            here = number == room.sender
            documents += each * here
            local += each * members * here
            remote += each * members * (not here)
            received += each * (members > 0 and not here)
            subscriptions += members > 0 or here
    length = plan.size + headers
    return Demand(
        documents=documents,
        local=local,
        remote=remote,
        published=documents,
        received=received,
        bytes_in=documents * length,
        bytes_out=received * length,
        subscriptions=subscriptions,
    )


def check(
    costs: Mapping[str, Costs],
    nats: Nats,
    headers: Mapping[str, float],
    seconds: float,
) -> list[dict[str, Any]]:
    """
    Run four nodes and compare.

    Returns:
        For each run pairs of what the model says and what was measured: processor seconds a
        second of each node, of NATS (None with a history, of which the model says nothing);
        messages and bytes that NATS took and gave in a second. ``averages`` has the messages
        that it gives by the formula for rooms placed by chance.

    """
    rows = []
    for kind, wished in RUNS:
        plan = Plan(
            rooms=place(),
            backplane="history" if kind == "history" else "core",
            latest=kind == "latest",
            rate=wished,
            seconds=seconds,
        )
        sample = steady(plan)
        span = sample.seconds
        # What was sent indeed: where the machine is short of time clients are late.
        rate = sample.sent / span
        plan = dataclasses.replace(plan, rate=rate)
        whole = counted(plan, headers[kind])
        again = whole.published + whole.published if kind == "history" else 0.0  # own copy, answer
        workload = Workload(name="check", title="", room=ROOM, rate=rate / (ROOMS * ROOM))
        row: dict[str, Any] = {
            "kind": kind,
            "rate": wished,
            "late": sample.late,
            "delivered": sample.delivered / span,
            "nodes": [
                [node_seconds(counted(plan, headers[kind], node), costs[kind]), used / span]
                for node, used in enumerate(sample.nodes)
            ],
            "nats": None if kind == "history" else [nats_cores(whole, nats), sample.nats / span],
            "messages in": [whole.published, sample.counters["in_msgs"] / span],
            "messages out": [whole.received + again, sample.counters["out_msgs"] / span],
            "bytes in": [whole.bytes_in, sample.counters["in_bytes"] / span],
            "bytes out": None
            if kind == "history"
            else [whole.bytes_out, sample.counters["out_bytes"] / span],
            "averages": demand(workload, ROOMS * ROOM, NODES).received,
        }
        rows.append(row)
    return rows
