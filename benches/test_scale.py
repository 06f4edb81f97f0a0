"""The arithmetic of `benches.scale`, its record and the page that shows it."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest
from benches.scale import report
from benches.scale.check import NODES, ROOM, counted, place
from benches.scale.clients import document
from benches.scale.measure import FANS, nats_costs
from benches.scale.model import (
    WORKLOADS,
    Costs,
    Fleet,
    Limits,
    Memory,
    Nats,
    Workload,
    demand,
    fleet,
    nats_cores,
    node_seconds,
    others,
    routes,
    simulate,
)
from benches.scale.rig import Plan, RoomPlan, run
from benches.suite.definitions import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from benches.scale.rig import Backplane

# ruff: noqa: SIM300 - the expected value comes first

COSTS = Costs(document=1e-4, local=1e-5, publish=2e-4, receive=3e-4, remote=2e-5)
NATS = {"busy": Nats(taken=1e-6, given=2e-6, byte=1e-9), "paced": Nats(taken=5e-5, given=1e-5)}
MEMORY = Memory(connection=6000, room=8000, subscription=700)
CHAT = Workload(name="chat", title="", room=20, rate=0.1)


def sized(workload: Workload, players: int, **options: Any) -> Fleet:
    """Return a fleet by the costs of this file."""
    return fleet(workload, players, COSTS, NATS, memory=MEMORY, **options)


# Where documents go


def test_demand_one_node_leaves_nothing_to_nats() -> None:
    """All members of one node hear a document there."""
    wanted = demand(CHAT, 2000, 1)

    assert 200 == pytest.approx(wanted.documents)
    assert 3800 == pytest.approx(wanted.local)
    assert (0, 0, 0) == (wanted.remote, wanted.received, wanted.bytes_out)
    assert 100 == wanted.subscriptions


def test_demand_room_of_two_on_two_nodes_meets_half_the_time() -> None:
    """The other one is at the sender's node with a chance of one in two."""
    wanted = demand(Workload(name="pair", title="", room=2, rate=1.0), 1000, 2)

    assert 0.5 == others(2, 2)
    assert (500, 500, 500) == (wanted.local, wanted.remote, wanted.received)
    assert 750 == wanted.subscriptions  # half of 500 rooms are at one node, half at two


def test_demand_many_nodes_spread_every_member() -> None:
    """With far more nodes than members each is at a node of its own."""
    assert 19 == pytest.approx(others(20, 10**7), rel=1e-4)


def test_demand_deliveries_do_not_depend_on_nodes() -> None:
    """However many nodes there are, every other member hears a document once."""
    for nodes in (1, 3, 1000):
        wanted = demand(CHAT, 2000, nodes)
        assert 3800 == pytest.approx(wanted.local + wanted.remote)


def test_demand_spread_of_one_keeps_rooms_together() -> None:
    """A room that is at one node needs no other."""
    wanted = demand(CHAT, 2000, 50, spread=1)

    assert (0, 0) == (wanted.received, wanted.remote)
    assert 100 == wanted.subscriptions


def test_demand_lobby_reaches_every_node_once() -> None:
    """One room with everybody has one message for each other node, whatever the spread."""
    lobby = Workload(name="lobby", title="", room=None, rate=2.0)

    assert 2 * 99 == pytest.approx(demand(lobby, 10**6, 100, spread=1).received)


@pytest.mark.parametrize("nodes", [2, 7, 40])
def test_simulate_players_by_chance_agree_with_averages(nodes: int) -> None:
    """Players placed one by one ask for what the formulas say."""
    workload = WORKLOADS["movement"]
    counts, busiest = simulate(workload, 6000, nodes, seed=1)
    wanted = demand(workload, 6000, nodes)

    for name in ("documents", "local", "remote", "received", "bytes_out", "subscriptions"):
        assert getattr(wanted, name) == pytest.approx(getattr(counts, name), rel=0.05), name
    assert 1 <= busiest < 2


def test_counted_plan_of_nodes_sums_to_the_whole() -> None:
    """What is asked of each node is together what is asked of all, close to the formula."""
    plan = Plan(rooms=place(), rate=400.0)
    whole = counted(plan, 0)
    nodes = [counted(plan, 0, node) for node in range(NODES)]

    for name in ("documents", "local", "remote", "received", "subscriptions"):
        total = sum(getattr(node, name) for node in nodes)
        assert getattr(whole, name) == pytest.approx(total)
    assert 400 * (ROOM - 1) == pytest.approx(whole.local + whole.remote)
    workload = Workload(name="check", title="", room=ROOM, rate=400 / (ROOM * 40))
    assert demand(workload, ROOM * 40, NODES).received == pytest.approx(whole.received, rel=0.05)


def test_counted_room_without_members_elsewhere_is_not_received() -> None:
    """A node without members of a room gets nothing from NATS."""
    wanted = counted(Plan(rooms=(RoomPlan(0, (3, 0, 2)),), rate=10.0, size=100), 28)

    assert (10, 30, 20, 10) == (wanted.documents, wanted.local, wanted.remote, wanted.received)
    assert (1280, 1280) == (wanted.bytes_in, wanted.bytes_out)


# What it costs


def test_node_seconds_adds_every_part() -> None:
    """Each thing that happens costs what it costs."""
    wanted = counted(Plan(rooms=(RoomPlan(0, (3, 0, 2)),), rate=10.0), 0)

    expected = 10 * 1e-4 + 30 * 1e-5 + 10 * 2e-4 + 10 * 3e-4 + 20 * 2e-5
    assert expected == pytest.approx(node_seconds(wanted, COSTS))


def test_nats_cores_one_server_counts_messages_and_bytes() -> None:
    """A message costs when it comes, for each node, and by its bytes."""
    wanted = counted(Plan(rooms=(RoomPlan(0, (0, 1, 1)),), rate=10.0, size=100), 0)

    expected = 10 * 1e-6 + 20 * 2e-6 + (1000 + 2000) * 1e-9
    assert expected == pytest.approx(nats_cores(wanted, NATS["busy"]))


def test_routes_cluster_passes_a_message_once_to_a_server() -> None:
    """Between servers a message goes once to each that has nodes which want it."""
    assert 0 == routes(19.0, 1)
    assert 0.5 == pytest.approx(routes(1.0, 2))
    assert 2 == pytest.approx(routes(1000.0, 3))


def test_fleet_idle_players_are_bound_by_connections() -> None:
    """Players who say nothing need nodes for their connections only."""
    quiet = Workload(name="quiet", title="", room=20, rate=1e-6)
    made = sized(quiet, 100_001)

    assert (11, "connections", 1) == (made.nodes, made.bound, made.servers)


def test_fleet_processor_is_the_smallest_that_bears_the_load() -> None:
    """One node less would be busier than planned."""
    made = sized(WORKLOADS["movement"], 10_000)
    fewer = demand(WORKLOADS["movement"], 10_000, made.nodes - 1)

    assert "processor" == made.bound
    assert made.busy <= 0.5 < node_seconds(fewer, COSTS) / (made.nodes - 1)


def test_fleet_servers_of_nats_bear_what_they_pass_on() -> None:
    """A cluster has the fewest servers whose cores suffice."""
    made = sized(WORKLOADS["movement"], 10**6, limits=Limits(cores=4))

    assert made.servers > 1
    assert made.nats_busy <= 2 * made.servers
    assert nats_cores(made.demand, NATS["busy"], made.servers - 1) > 2 * (made.servers - 1)


def test_fleet_memory_counts_connections_and_rooms() -> None:
    """A node holds its connections and the rooms that have members there."""
    made = sized(CHAT, 10_000)
    rooms = made.demand.subscriptions / made.nodes

    assert 10_000 / made.nodes * 6000 + rooms * 8000 == pytest.approx(made.memory)
    assert made.demand.subscriptions * 700 == pytest.approx(made.nats_memory)


def test_nats_costs_linear_figures_are_found_again() -> None:
    """What was made of three costs gives these costs."""
    small = [5e-6 + 128e-9 + readers * (2e-6 + 128e-9) for readers in FANS]
    large = 5e-6 + 4096e-9 + 4 * (2e-6 + 4096e-9)
    found = nats_costs(small, large)

    assert pytest.approx((5e-6, 2e-6, 1e-9)) == (found.taken, found.given, found.byte)


def test_document_any_number_has_the_size_asked_for() -> None:
    """The delimiter counts."""
    assert [128, 128] == [len(document(number, 128)) for number in (0, 12345)]


# Processes


@pytest.mark.skipif(sys.platform != "linux", reason="reads clocks of other processes")
@pytest.mark.parametrize("backplane", ["memory", "core", "history"])
def test_run_every_document_reaches_every_listener(backplane: Backplane) -> None:
    """A run counts what was sent and delivered, and what NATS and each node took for it."""
    listeners = (2,) if backplane == "memory" else (2, 1)
    plan = Plan(rooms=(RoomPlan(0, listeners),) * 3, backplane=backplane, rate=60.0, seconds=0.5)
    sample = run(plan)

    assert (30, 30 * sum(listeners)) == (sample.sent, sample.delivered)
    assert len(listeners) == len(sample.nodes)
    assert all(used > 0 for used in sample.nodes)
    if backplane == "history":
        assert sample.counters["in_msgs"] <= 30  # without what was asked before
    if backplane == "core":
        assert 0 < sample.counters["in_msgs"] <= 30
        assert sample.counters["in_msgs"] == sample.counters["out_msgs"]
        assert 30 * 128 == sample.counters["in_bytes"]


@pytest.mark.skipif(sys.platform != "linux", reason="reads clocks of other processes")
def test_run_without_a_rate_keeps_documents_on_their_way() -> None:
    """As many documents as go are sent, and all arrive."""
    sample = run(Plan(rooms=(RoomPlan(0, (2,)),) * 2, seconds=0.3))

    assert 0 < sample.sent
    assert 2 * sample.sent == sample.delivered


# The record and its page


@pytest.fixture(scope="module")
def results() -> Mapping[str, Any]:
    """Return what was recorded."""
    path = ROOT / "benches" / "record" / "scale" / "results.json"
    found: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def test_record_page_is_made_of_its_results(results: Mapping[str, Any]) -> None:
    """The record's page and results.json are of the same run and the same model."""
    path = ROOT / "benches" / "record" / "scale" / "README.md"

    assert report.page(results) == path.read_text(encoding="utf-8")


def test_topic_page_shows_the_tables_of_the_record(results: Mapping[str, Any]) -> None:
    """The tables of docs/topics/scale.md are the record's, and the model's for its costs."""
    page = (ROOT / "docs" / "topics" / "scale.md").read_text(encoding="utf-8")

    assert report.fill(page, results) == page


def test_fill_page_without_a_table_raises(results: Mapping[str, Any]) -> None:
    """A page that lacks a table is not passed over."""
    with pytest.raises(ValueError, match="no table costs"):
        report.fill("# Scale\n", results)
