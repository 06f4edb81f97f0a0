"""The benchmark suite: its definitions, its arithmetic, its plots and its servers."""

from __future__ import annotations

import re
import socket
import sys
from typing import TYPE_CHECKING

import pytest
from benches.contenders import CONTENDERS
from benches.suite.definitions import (
    Definition,
    Mark,
    Peer,
    Row,
    contender_label,
    load_definitions,
    load_peers,
)
from benches.suite.processes import GeneratorError, Server, ServerPool
from benches.suite.results import Outcome, Sample, Spread, judge, ratios, read_record
from benches.suite.table import marks_table, outcome_tables, short, table

if TYPE_CHECKING:
    from pathlib import Path

# ruff: noqa: SIM300 - the expected value comes first

PEERS = load_peers()
DEFINITIONS = load_definitions()


def definition(*marks: Mark) -> Definition:
    """Return a definition of two rows and two contenders."""
    return Definition(
        name="echo",
        order=1,
        title="Echo",
        about="Frames go out and come back.",
        kind="load",
        metrics=("frames_per_second",),
        contenders=("ours-batches", "go"),
        reference="ours-batches",
        rows=(Row("32 B", {"size": 32}, quick=True), Row("1 KiB", {"size": 1024})),
        rounds=3,
        marks=marks,
    )


def outcome(*marks: Mark, ours: list[float], theirs: list[float]) -> Outcome:
    """Return what came of the first row, one figure a round."""
    found = Outcome(definition(*marks))
    for name, values in (("ours-batches", ours), ("go", theirs)):
        found.samples["32 B", name] = [Sample({"frames_per_second": value}) for value in values]
    return found


# Definitions


@pytest.mark.parametrize("item", DEFINITIONS, ids=lambda item: item.name)
def test_definitions_name_contenders_that_exist(item: Definition) -> None:
    """Every contender is a server in peers.toml, or one of the codec's contenders."""
    known = {*CONTENDERS, "rust"} if item.kind == "read-size" else set(PEERS)

    assert set() == set(item.contenders) - known


@pytest.mark.parametrize("item", DEFINITIONS, ids=lambda item: item.name)
def test_definitions_name_contenders_that_can_do_it(item: Definition) -> None:
    """A definition asks no server for a mode that it does not have."""
    if item.kind != "read-size":
        assert [] == [name for name in item.contenders if item.mode not in PEERS[name].modes]


@pytest.mark.parametrize("item", DEFINITIONS, ids=lambda item: item.name)
def test_definitions_bring_every_rival_that_can_do_it(item: Definition) -> None:
    """No rival is left out of a benchmark in which it could take part."""
    rivals = {
        peer.name.partition("+")[0]
        for peer in PEERS.values()
        if peer.kind != "ours" and item.mode in peer.modes
    }

    assert set() == rivals - {name.partition("+")[0] for name in item.contenders}


def test_load_definitions_unknown_name_tells_what_there_is() -> None:
    """A wrong name is answered with the right ones."""
    with pytest.raises(ValueError, match=r"\['ecko'\].*'echo'"):
        load_definitions(["ecko"])


def test_definition_mark_of_unknown_contender_is_refused() -> None:
    """A mark that would never be judged is an error, not a pass."""
    with pytest.raises(ValueError, match="unknown contender 'netty'"):
        definition(Mark("ours-batches", "netty", at_least=2))


def test_definition_mark_of_unknown_row_is_refused() -> None:
    """A mark for a row that was renamed is an error, not a pass."""
    with pytest.raises(ValueError, match="unknown row"):
        definition(Mark("ours-batches", "go", rows=("2 B",), at_least=2))


def test_selected_quick_keeps_quick_rows_and_their_marks() -> None:
    """Quick runs have one round, and no mark for rows that they leave out."""
    marks = (
        Mark("ours-batches", "go", at_least=2),
        Mark("ours-batches", "go", rows=("1 KiB",), at_least=3),
    )

    quick = definition(*marks).selected(quick=True)

    assert ["32 B"] == [row.name for row in quick.rows]
    assert [2] == [mark.at_least for mark in quick.marks]
    assert 1 == quick.rounds


def test_among_without_the_reference_takes_the_first() -> None:
    """With --contenders, ratios are to one that takes part."""
    chosen = definition(Mark("ours-batches", "go", at_least=2)).among({"go"})

    assert ("go", ("go",), ()) == (chosen.reference, chosen.contenders, chosen.marks)


def test_peer_missing_names_what_is_not_there() -> None:
    """What keeps a server from running is said by name."""
    peer = Peer("x", "X", "rival", ("x",), {"echo": "echo"}, "", needs=("tool:no-such-program",))

    assert "no program no-such-program" == peer.missing()


def test_peers_tell_their_settings() -> None:
    """Every server's entry says in a sentence how it is set up."""
    assert [] == [peer.name for peer in PEERS.values() if len(peer.settings.split()) < 5]


def test_contender_label_of_a_codec_is_its_name() -> None:
    """Contenders in process have no entry among the servers."""
    assert "pure" == contender_label("pure", PEERS)


# Arithmetic


def test_ratios_are_of_pairs_of_one_round() -> None:
    """A round in which the machine was slow for both does not move the ratio."""
    found = outcome(ours=[100, 10, 100], theirs=[50, 5, 50])

    assert [2, 2, 2] == ratios(found, "32 B", "ours-batches", "go", "frames_per_second")


def test_judge_takes_the_median_of_the_pairs() -> None:
    """One lucky round is not enough."""
    mark = Mark("ours-batches", "go", rows=("32 B",), at_least=2)

    (judgment,) = judge(outcome(mark, ours=[90, 90, 400], theirs=[50, 50, 50]))

    assert Spread(1.8, 1.8, 8) == judgment.value
    assert "short" == judgment.verdict


@pytest.mark.parametrize(
    ("mark", "verdict"),
    [
        (Mark("ours-batches", "go", rows=("32 B",), at_least=2), "pass"),
        (Mark("ours-batches", "go", rows=("32 B",), at_most=1.9), "short"),
        (Mark("ours-batches", "go", rows=("32 B",), compare="difference", at_most=50), "pass"),
        (Mark("ours-batches", "go", rows=("32 B",), compare="difference", at_most=49), "short"),
        (Mark("ours-batches", rows=("32 B",), compare="value", at_least=100), "pass"),
        (Mark("ours-batches", rows=("32 B",), compare="value", at_least=101), "short"),
    ],
    ids=str,
)
def test_judge_compares_as_the_mark_says(mark: Mark, verdict: str) -> None:
    """A mark is for a ratio, a difference or a value, from below or from above, itself included."""
    (judgment,) = judge(outcome(mark, ours=[100], theirs=[50]))

    assert verdict == judgment.verdict


def test_judge_without_a_rival_is_missing_and_says_why() -> None:
    """A rival that is not installed makes no pass."""
    found = outcome(Mark("ours-batches", "go", rows=("32 B",), at_least=2), ours=[100], theirs=[])
    found.absent["go"] = "no program go"

    (judgment,) = judge(found)

    assert ("missing", "no program go") == (judgment.verdict, judgment.note)


def test_bound_tells_a_busy_generator_from_a_busy_machine() -> None:
    """A core without idle time is the generator's limit only if the generator used it."""
    found = outcome(ours=[1], theirs=[1])
    figures = {"frames_per_second": 1.0}
    found.samples["32 B", "go"] = [Sample(figures, generator_bound=True, generator_cpu=0.95)]
    found.samples["1 KiB", "go"] = [Sample(figures, generator_bound=True, generator_cpu=0.2)]

    assert "" == found.bound("32 B", "ours-batches")
    assert "bound by generator" == found.bound("32 B", "go")
    assert "core not quiet" == found.bound("1 KiB", "go")


# Text


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (19_400_000, "/s", "19.4 M/s"),
        (999, "/s", "999 /s"),
        (2560, "B", "2.5 KiB"),
        (12.345, "µs", "12.3 µs"),
        (1234.5, "µs", "1234 µs"),
        (2.04, "", "2.04"),
    ],
)
def test_short_keeps_three_digits(value: float, unit: str, text: str) -> None:
    """Figures are as exact as the measurement."""
    assert text == short(value, unit)


def test_table_lines_up() -> None:
    """Tables read in a terminal as they do on a page."""
    lines = table(["name", "n"], [["a", "1"], ["bbbbb", "22"]]).splitlines()

    assert 1 == len({len(line) for line in lines})


def test_outcome_tables_show_failures_and_who_is_absent() -> None:
    """A run that failed and a server that did not take part are both on the page."""
    found = outcome(ours=[100], theirs=[])
    found.failures["32 B", "go"] = "wrong reply on connection 0"
    found.absent["netty"] = "no program java"

    text = outcome_tables(found, PEERS)

    assert re.search(r"Go .* failed .* wrong reply on connection 0", text)
    assert "not measured: Netty" in text


def test_marks_table_shows_a_loss_as_plainly_as_a_win() -> None:
    """Each mark has a verdict."""
    won = Mark("ours-batches", "go", rows=("32 B",), at_least=2)
    lost = Mark("ours-batches", "go", rows=("32 B",), at_least=3)

    text = marks_table([outcome(won, lost, ours=[100], theirs=[50])], PEERS)

    assert re.search(r"≥ 2. \|\s+pass", text)
    assert re.search(r"≥ 3. \|\s+SHORT", text)


# Records and plots


def test_read_record_gives_back_what_was_written(tmp_path: Path) -> None:
    """The plots can be drawn from the record alone."""
    pytest.importorskip("matplotlib")
    from benches.servers import _write_record  # noqa: PLC0415 - needs matplotlib

    (memory,) = load_definitions(["memory"])
    memory = memory.selected(quick=False)
    (row,) = memory.rows
    found = Outcome(memory, absent={"go": "no program go"})
    points = ((100.0, 2e7), (10_000.0, 4e7))
    found.samples[row.name, "ours-batches"] = [Sample({"bytes_per_connection": 2020.0}, points)]
    found.failures[row.name, "twisted"] = "does not start"

    _write_record(tmp_path, [found], PEERS, "pinned")

    (again,) = read_record(tmp_path)
    assert found.samples == {key: value for key, value in again.samples.items() if value}
    assert (found.failures, found.absent) == (again.failures, again.absent)
    assert {"README.md", "memory.svg", "results.json"} == {path.name for path in tmp_path.iterdir()}


def luminance(colour: str) -> float:
    """Relative luminance as WCAG defines it."""
    parts = (int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5))
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("page", ["#ffffff", "#0d1117"], ids=["light", "dark"])
def test_plots_colours_stand_out_on_light_and_dark_pages(page: str) -> None:
    """Every colour of the plots has a contrast of at least 3 to 1 with both pages."""
    pytest.importorskip("matplotlib")
    from benches.suite.plots import COLOURS, INK, SERIES  # noqa: PLC0415 - needs matplotlib

    background = luminance(page)
    for colour in {INK, *COLOURS.values(), *SERIES}:
        light, dark = sorted((luminance(colour), background), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 3, colour


# Servers


def receive(stream: socket.socket, size: int) -> bytes:
    """Return the next ``size`` bytes, fewer only at the end of input."""
    answer = b""
    while len(answer) < size and (data := stream.recv(65536)):
        answer += data
    return answer


def connect(server: Server) -> socket.socket:
    """Open a connection to a server."""
    host, _, port = server.target.rpartition(":")
    return socket.create_connection((host, int(port)), timeout=20)


def test_server_pool_starts_a_server_once_and_again_after_a_failure() -> None:
    """A server stays up between definitions, but not after a run against it failed."""
    with ServerPool() as pool:
        first, new = pool.get(PEERS["asyncio-bare"], "echo", 2**20)
        again, newer = pool.get(PEERS["asyncio-bare"], "echo", 2**20)
        assert (first, True, False) == (again, new, newer)

        pool.drop(first)
        with pytest.raises(ConnectionRefusedError):
            connect(first)
        _, newest = pool.get(PEERS["asyncio-bare"], "echo", 2**20)
        assert newest


def test_server_that_does_not_start_says_why() -> None:
    """What a server wrote to standard error is part of the report."""
    command = (sys.executable, "-c", "raise SystemExit('no such library')")
    peer = Peer("x", "X", "rival", command, {"echo": "echo"}, "")

    with pytest.raises(GeneratorError, match=r"x does not start: .*no such library"):
        Server(peer, "echo", 2**20).__enter__()


AVAILABLE = [
    pytest.param(
        peer,
        mode,
        id=f"{peer.name} {mode}",
        marks=[pytest.mark.skipif(peer.missing() is not None, reason=str(peer.missing()))],
    )
    for peer in PEERS.values()
    for mode in peer.modes
]


@pytest.mark.slow
@pytest.mark.parametrize(("peer", "mode"), AVAILABLE)
def test_peer_does_what_its_mode_says(peer: Peer, mode: str) -> None:
    """Every server that is installed keeps the rules of the workloads."""
    frames = b"<a/>\0<bb/>\0"
    with Server(peer, mode, 2**20) as server, connect(server) as one:
        if mode in {"echo", "documents"}:
            one.sendall(frames)
            assert frames == receive(one, len(frames))
        elif mode == "ingest":
            one.sendall(frames)
            one.shutdown(socket.SHUT_WR)
            expected = b'<totals frames="2" bytes="9"/>\0'
            assert expected == receive(one, len(expected) + 1)
        elif mode == "relay":
            with connect(server) as two:
                two.sendall(frames)
                assert frames == receive(one, len(frames))
        else:
            with connect(server) as two:
                two.sendall(frames)
                assert frames == receive(one, len(frames))
                assert frames == receive(two, len(frames))
