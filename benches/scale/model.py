"""
What a fleet of nodes needs, from what single things cost: arithmetic only.

A node is a process on a core. Every document comes to one node, goes to the members there,
and as one message through NATS to each other node that has members. Documents of one
room that come in one turn of the loop travel together, and a NATS that is busy handles several
messages at once: both make real fleets cheaper than the model.
"""

from __future__ import annotations

import dataclasses
import math
import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "WORKLOADS",
    "Costs",
    "Demand",
    "Fleet",
    "Limits",
    "Memory",
    "Nats",
    "Workload",
    "demand",
    "fleet",
    "nats_cores",
    "node_seconds",
    "others",
    "routes",
    "simulate",
]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Costs:
    """
    Processor seconds of a node.

    Attributes:
        document: To read and parse a document and hand it to the room.
        local: To deliver it to one member of the node.
        publish: To send a message to NATS.
        receive: To take a message from NATS.
        remote: To deliver what came from NATS to one member.

    """

    document: float
    local: float
    publish: float
    receive: float
    remote: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Nats:
    """
    Processor seconds of NATS.

    Attributes:
        taken: For a message that it takes.
        given: For a message that it gives to one node.
        byte: For a byte of payload and headers, taken or given.

    """

    taken: float
    given: float
    byte: float = 0.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Memory:
    """
    Bytes.

    Attributes:
        connection: Of a node for an idle member of a room.
        room: Of a node for a room that it shares through NATS.
        subscription: Of NATS for one room at one node.

    """

    connection: float
    room: float
    subscription: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Workload:
    """
    What players do.

    Attributes:
        name: As it is called on the command line.
        title: In a few words.
        room: Members of a room; None for one room with everybody.
        rate: Documents a second of each member of a room, or of the one room altogether.
        size: Bytes of a document, its delimiter included.
        headers: Bytes of the headers of its message on NATS: keys.
        kind: Which costs apply: ``core`` or ``latest``.

    """

    name: str
    title: str
    room: int | None
    rate: float
    size: int = 128
    headers: int = 0
    kind: str = "core"


WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload(
            name="chat", title="rooms of 20, a message per player in 30 s", room=20, rate=1 / 30
        ),
        Workload(
            name="movement",
            title="rooms of 30, 2 positions a second per player, `latest`",
            room=30,
            rate=2.0,
            headers=36,
            kind="latest",
        ),
        Workload(
            name="lobby", title="one room with everybody, a document in 10 s", room=None, rate=0.1
        ),
    )
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Limits:
    """
    What one machine is asked to bear.

    Attributes:
        load: Share of a core that is planned to be busy, of nodes and of NATS alike.
        connections: Of one node.
        cores: Of one server of NATS.

    """

    load: float = 0.5
    connections: int = 10_000
    cores: int = 8


@dataclasses.dataclass(frozen=True, kw_only=True)
class Demand:
    """
    What happens in a second, in the whole fleet.

    Attributes:
        documents: That come from players.
        local: Deliveries at the node of the sender.
        remote: Deliveries at other nodes.
        published: Messages that NATS takes.
        received: Messages that NATS gives to nodes.
        bytes_in: Bytes that NATS takes.
        bytes_out: Bytes that NATS gives.
        subscriptions: Rooms at nodes, summed over nodes: not a rate.

    """

    documents: float
    local: float
    remote: float
    published: float
    received: float
    bytes_in: float
    bytes_out: float
    subscriptions: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fleet:
    """
    A fleet that bears a workload.

    Attributes:
        nodes: Processes, with a core each.
        busy: Share of its core that each uses.
        bound: What asks for so many nodes: ``processor`` or ``connections``.
        demand: What happens in a second.
        nats_busy: Cores that NATS uses when it has much to do at once.
        nats_paced: Cores that it would use if it woke up for every message.
        servers: Servers of NATS in the cluster, for the former.
        memory: Bytes of one node's connections and rooms.
        nats_memory: Bytes of NATS for subscriptions, in each server of the cluster.

    """

    nodes: int
    busy: float
    bound: str
    demand: Demand
    nats_busy: float
    nats_paced: float
    servers: int
    memory: float
    nats_memory: float


def others(room: int, nodes: int) -> float:
    """Return on how many nodes other than the sender's a room has members, on average."""
    if nodes == 1:
        return 0.0
    return (nodes - 1) * (1 - (1 - 1 / nodes) ** (room - 1))


def demand(workload: Workload, players: int, nodes: int, spread: int | None = None) -> Demand:
    """
    Return what happens in a second.

    Args:
        workload: What players do.
        players: How many there are.
        nodes: How many nodes.
        spread: On how many nodes the members of one room are; by default on any.

    """
    room = players if workload.room is None else workload.room
    rooms = players / room
    documents = workload.rate if workload.room is None else players * workload.rate
    places = nodes if spread is None or workload.room is None else min(spread, nodes)
    away = others(room, places)
    deliveries = documents * (room - 1)
    length = workload.size + workload.headers
    return Demand(
        documents=documents,
        local=deliveries / places,
        remote=deliveries * (1 - 1 / places),
        published=documents,
        received=documents * away,
        bytes_in=documents * length,
        bytes_out=documents * away * length,
        # The sender is one more of those who are somewhere.
        subscriptions=rooms * places * (1 - (1 - 1 / places) ** room),
    )


def node_seconds(wanted: Demand, costs: Costs) -> float:
    """Return the processor seconds of all nodes together, for what happens in a second."""
    return (
        wanted.documents * costs.document
        + wanted.published * costs.publish
        + wanted.received * costs.receive
        + wanted.local * costs.local
        + wanted.remote * costs.remote
    )


def nats_cores(wanted: Demand, nats: Nats, servers: int = 1) -> float:
    """Return the cores of NATS, with what a cluster's servers pass to each other."""
    mean = wanted.received / wanted.published
    hops = wanted.published * routes(mean, servers)
    length = wanted.bytes_in / wanted.published
    traffic = wanted.bytes_in + wanted.bytes_out + 2 * hops * length
    return (
        (wanted.published + hops) * nats.taken
        + (wanted.received + hops) * nats.given
        + traffic * nats.byte
    )


def routes(mean: float, servers: int) -> float:
    """Return to how many other servers of a cluster a message goes that so many nodes want."""
    if servers == 1:
        return 0.0
    return (servers - 1) * (1 - math.pow(1 - 1 / servers, mean))


def fleet(
    workload: Workload,
    players: int,
    cost: Costs,
    nats: Mapping[str, Nats],
    *,
    memory: Memory,
    limits: Limits | None = None,
    spread: int | None = None,
) -> Fleet:
    """
    Return the smallest fleet that bears a workload.

    Args:
        workload: What players do.
        players: How many there are.
        cost: Of nodes, for the workload's kind.
        nats: Of NATS: ``busy`` and ``paced``.
        memory: What things hold.
        limits: What one machine is asked to bear.
        spread: On how many nodes the members of one room are; by default on any.

    """
    limits = limits or Limits()

    def load(nodes: int) -> float:
        return node_seconds(demand(workload, players, nodes, spread), cost) / nodes

    # More nodes always mean less for each: the parts that grow with nodes grow more slowly.
    least = math.ceil(players / limits.connections)
    low, high = 0, 1
    while load(high) > limits.load:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        if load(middle) > limits.load:
            low = middle
        else:
            high = middle
    nodes = max(least, high)
    wanted = demand(workload, players, nodes, spread)
    servers = 1
    # Each further server adds cores, and what it is told by the others.
    while nats_cores(wanted, nats["busy"], servers) > limits.load * limits.cores * servers:
        servers += 1
    rooms = wanted.subscriptions / nodes
    return Fleet(
        nodes=nodes,
        busy=load(nodes),
        bound="processor" if high >= least else "connections",
        demand=wanted,
        nats_busy=nats_cores(wanted, nats["busy"], servers),
        nats_paced=nats_cores(wanted, nats["paced"], servers),
        servers=servers,
        memory=players / nodes * memory.connection + rooms * memory.room,
        nats_memory=wanted.subscriptions * memory.subscription,
    )


def simulate(workload: Workload, players: int, nodes: int, seed: int = 0) -> tuple[Demand, float]:
    """
    Place every player by chance and count, where `demand` takes averages.

    Returns:
        What happens in a second if every player sends as often as the workload says, and how
        many times the average the busiest node has to deliver.

    """
    chance = random.Random(seed)
    room = players if workload.room is None else workload.room
    rooms = players // room
    rate = workload.rate / players if workload.room is None else workload.rate
    local = received = subscriptions = 0
    load = [0] * nodes
    for _ in range(rooms):
        members = [0] * nodes
        for _ in range(room):
            members[chance.randrange(nodes)] += 1
        places = sum(map(bool, members))
        subscriptions += places
        received += room * (places - 1)
        local += sum(count * (count - 1) for count in members)
        for node, count in enumerate(members):
            load[node] += count * (room - 1)
    documents = rooms * room * rate
    length = workload.size + workload.headers
    counted = Demand(
        documents=documents,
        local=local * rate,
        remote=rooms * room * (room - 1) * rate - local * rate,
        published=documents,
        received=received * rate,
        bytes_in=documents * length,
        bytes_out=received * rate * length,
        subscriptions=subscriptions,
    )
    return counted, max(load) * nodes / sum(load)
