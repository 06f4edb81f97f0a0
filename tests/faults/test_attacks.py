"""
The attacks of ``benches/attacks``, small ones, on this package's server alone.

What has to hold on any machine: bounds of memory, who is cut off, that everybody else is
served, how much is logged. How long it takes is for ``make attacks``.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from typing import TYPE_CHECKING, Any, Final

import pytest

if sys.platform != "linux":  # pragma: no cover - the memory of a process is read from /proc
    pytest.skip("reads /proc of the server", allow_module_level=True)

from benches.attacks import crowds, floods, parsing
from benches.attacks.catalogue import ATTACKS, attack
from benches.attacks.model import FULL, METRICS, QUICK, Failed, Found, most
from benches.attacks.probe import Probe
from benches.attacks.report import Outcome, attack_table, marks_table, page, section
from benches.attacks.victims import CONTENDERS, LXML, OURS, Victim
from benches.attacks.wires import WIRES, Client

if TYPE_CHECKING:
    from collections.abc import Iterator

MIB: Final = 2**20

SMALL: Final = dataclasses.replace(
    QUICK,
    name="small",
    patience=30,
    endless=16_000_000,
    lifted=2**24,
    zeros=2_000_000,
    tiny=400_000,
    slow=100_000_000,
    slow_seconds=0.5,
    broadcast=20_000_000,
    readers=8,
    starve_seconds=0.5,
    stalls=20,
    handshake=0.5,
    partials=400,
    idle=100,
    names=40_000_000,
    rounds=3,
    quiet=0,
)
"""Each takes a second or two at most; what would grow without a limit still shows."""


def test_attack_frame_without_end_is_cut_off_at_the_limit() -> None:
    """Sixteen megabytes without a zero byte: the server closes, and holds about one of them."""
    found = floods.endless(OURS, SMALL)

    assert "closed" in found.figures, found.note
    assert found.figures["memory"] < 8 * MIB


def test_attack_frame_within_a_lifted_limit_arrives_whole() -> None:
    """The server counts every byte of one frame of 16 MiB, and holds it no more than thrice."""
    found = floods.lifted(OURS, SMALL)

    assert "" == found.note
    assert found.figures["memory"] < 3 * SMALL.lifted + 16 * MIB


def test_attack_zero_bytes_cost_no_memory_and_no_service() -> None:
    """Two megabytes of nothing but zero bytes are skipped; the next question is answered."""
    found = floods.zeros(OURS, SMALL)

    assert "" == found.note
    assert found.figures["memory"] < 6 * MIB


def test_attack_tiny_frames_are_all_counted_in_little_memory() -> None:
    """Two hundred thousand frames of one byte arrive, each of them, with little that waits."""
    found = floods.tiny(OURS, SMALL)

    assert "" == found.note
    assert found.figures["memory"] < 16 * MIB


def test_attack_on_a_slow_handler_is_stopped_by_tcp() -> None:
    """A hundred megabytes for a handler that takes 10 ms for 1 KB: the sender has to wait."""
    found = floods.slow(OURS, SMALL)

    # What was taken in waits in the system's buffers, of which each side has some megabytes.
    assert found.figures["sent"] < 40_000_000
    assert found.figures["memory"] < 8 * MIB


def test_attack_stopped_reader_of_a_broadcast_is_cut_and_the_others_get_all() -> None:
    """Twenty megabytes to each of eight: seven have every byte, the stopped one is cut off."""
    found = crowds.broadcast(OURS, SMALL)

    assert 0 == found.figures["unserved"]
    assert found.figures["cut"]
    # Nearly all of it would wait for the stopped one; the limit is 4 MiB.
    assert found.figures["memory"] < 12 * MIB


def test_attack_without_descriptors_serves_the_old_and_then_the_new_and_logs_little() -> None:
    """500 connections to 64 descriptors: a line of log, no lost client, service afterwards."""
    found = crowds.starve(OURS, SMALL)

    assert found.figures["log"] < 2048
    assert found.figures["turned_away"] >= 400
    assert "recovered" in found.figures


def test_attack_stalled_handshakes_are_all_closed() -> None:
    """Nobody who connects to a TLS server and says nothing is still there after its time."""
    found = crowds.stalls(OURS, SMALL)

    assert "" == found.note
    assert "overtime" in found.figures


def test_attack_partial_frames_of_many_stay_near_the_budget() -> None:
    """
    400 connections with 900 KB of a frame each, 343 MiB: some are cut off, the rest fits.

    The peak is not held against the budget exactly: what is cut off is free a few turns of
    the loop later. Without the budget nobody is cut off.
    """
    found = crowds.partials(OURS, SMALL)

    assert found.figures["turned_away"] >= 50
    assert found.figures["memory"] < 420 * MIB
    assert "recovered" in found.figures


def test_attack_idle_connections_hold_little() -> None:
    """A silent connection holds a few kilobytes, and part of a frame not much more than itself."""
    found = crowds.idle(OURS, SMALL)

    assert found.figures["idle"] < 32_768
    assert found.figures["partial"] < 2 * 60_000


def test_attack_distinct_names_do_not_stay() -> None:
    """Forty megabytes of names are forgotten as they go."""
    assert parsing.names(OURS, SMALL).figures["memory"] < 32 * MIB


@pytest.mark.parametrize("name", ["refusal", "document"])
@pytest.mark.parametrize("contender", [OURS, LXML], ids=lambda contender: contender.name)
def test_attack_on_the_parser_gives_its_figures(name: str, contender: Any) -> None:
    """What times the parser names each figure of its table, for this package and for lxml."""
    item = attack(name)

    assert set(item.metrics) == set(item.run(contender, SMALL).figures)


# The instruments


@pytest.fixture(scope="module")
def victim() -> Iterator[Victim]:
    """Run a server for the tests of what measures it."""
    with Victim(OURS) as running:
        yield running


def test_victim_cost_counts_from_start(victim: Victim) -> None:
    """Memory that was needed before `start` is no cost; what comes after it is."""
    with Client(victim.address, victim.wire) as client:
        client.sock.sendall(b"a" * 1_000_000)
        client.sock.sendall(b"\0")
        floods.expect(client, 1, 1_000_000)
        victim.start()
        client.ask(b"<ping/>")
        assert victim.cost()["memory"] < 900_000


def test_expect_another_count_fails(victim: Victim) -> None:
    """A server that has lost a frame has failed, whatever its figures."""
    with Client(victim.address, victim.wire) as client:
        client.sock.sendall(b"a\0a\0")
        with pytest.raises(Failed, match=r"3 frames, 3 bytes were sent; the server says \(2, 2\)"):
            floods.expect(client, 3, 3)


def test_probe_tells_how_often_it_was_answered_and_when_it_is_cut_off() -> None:
    """The client that watches has answers while there is a server, and says when there is none."""
    with Victim(OURS) as mortal, Probe(mortal) as probe:
        while not (seen := probe.told())["answers"]:
            pass
        assert 0 < seen["usual"] <= seen["longest"] < SMALL.patience
        assert not seen["lost"]

        mortal.__exit__()
        while not probe.told()["lost"]:
            pass


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536])
def test_wire_websocket_frames_have_the_length_that_the_server_would_write(size: int) -> None:
    """A server's frame is found whole, not before its last byte, and its length is foretold."""
    wire = WIRES["websocket"]
    header = wire.start(size)
    frame = bytes([header[0], header[1] & 0x7F]) + header[2:-4] + b"x" * size
    data = bytearray(frame[:-1])

    assert len(frame) == wire.received(size)
    assert wire.split(data) is None
    data += frame[-1:] + b"rest"
    assert b"x" * size == wire.split(data)
    assert b"rest" == data


def test_is_cut_tells_an_early_end_from_a_whole_one() -> None:
    """A connection that ended with all its bytes was not cut off, one that ended before was."""
    import socket  # noqa: PLC0415 - this test alone looks at sockets

    for size, expected in ((3, False), (4, True)):
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                theirs.sendall(b"abc")
            assert expected is crowds.is_cut(ours, size)


# The tables


def outcome(figures: dict[str, float]) -> Outcome:
    """Return what came of an attack: we have figures, one rival has others, one failed."""
    item = dataclasses.replace(
        attack("endless"), contenders=("ours", "streams", "textbook"), metrics=("closed", "memory")
    )
    found = Outcome(item, SMALL)
    found.found["ours"] = Found(figures)
    found.found["streams"] = Found({"memory": 2 * MIB}, "never closed")
    found.failures["textbook"] = "failed: lost a frame"
    return found


@pytest.mark.parametrize(
    ("figures", "verdicts"),
    [
        ({"closed": 0.1, "memory": 4 * MIB}, ["pass", "pass"]),
        ({"closed": 0.101, "memory": 4 * MIB + 1}, ["SHORT", "SHORT"]),
        ({"memory": 0.0}, ["MISSING", "pass"]),
    ],
)
def test_marks_are_judged_by_the_figures(figures: dict[str, float], verdicts: list[str]) -> None:
    """The mark itself passes, beyond it is short, and without a figure nothing passes."""
    assert verdicts == outcome(figures).verdicts()


def test_tables_show_what_failed_and_what_there_is_no_figure_of() -> None:
    """Each server has its line: figures, a dash, or why there are none; the marks name rivals."""
    found = outcome({"closed": 0.0123, "memory": MIB})
    lines = attack_table(found).splitlines()

    assert ["xmlsocket", "12.3 ms", "1 MiB", ""] == _cells(lines[2])
    assert ["asyncio streams", "–", "2 MiB", "never closed"] == _cells(lines[3])  # noqa: RUF001
    assert ["asyncio.Protocol", "", "", "failed: lost a frame"] == _cells(lines[4])
    assert "asyncio streams 2 MiB" == _cells(marks_table([found]).splitlines()[3])[-1]


def test_page_of_a_record_has_marks_tables_settings_and_machine() -> None:
    """A record says what was run, on what, how servers were set up, and what came of it."""
    text = page([outcome({"memory": MIB})], {"Python": "3"}, {"endless": "python -m x"}, "Pinned.")

    for part in ("`python -m x`. Pinned.", "## Marks", "16 MB without", OURS.settings, "Python: 3"):
        assert part in text


def test_page_says_when_attacks_were_small_and_why_a_mark_is_short() -> None:
    """A smaller run does not pass for the whole one, and no shortfall stands unexplained."""
    short = Outcome(attack("partials"), SMALL, {"ours": Found({"memory": 400.0 * MIB})})
    enough = Outcome(attack("partials"), FULL, {"ours": Found({"memory": 200.0 * MIB})})

    assert "Not the full size" in page([short], {}, {"partials": "x"}, "y")
    assert "Why it is short" in page([short], {}, {"partials": "x"}, "y")
    assert "Not the full size" not in page([enough], {}, {"partials": "x"}, "y")
    assert "Why it is short" not in page([enough], {}, {"partials": "x"}, "y")


def test_page_of_a_record_that_was_made_in_parts_names_all_commands() -> None:
    """Attacks that are recorded stay as they are when others are made again."""
    first = Outcome(attack("partials"), FULL, {"ours": Found({"memory": 400.0 * MIB}, "busy")})
    first.failures["streams"] = "failed: lost a frame"
    again = Outcome.from_json(attack("partials"), FULL, json.loads(json.dumps(first.as_json())))

    assert section(first) == section(again)
    assert "`x`, and `x --only y`." in page([again], {}, {"partials": "x", "y": "x --only y"}, "z")


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_attacks_name_known_contenders_figures_and_marks() -> None:
    """Each attack is on this package first, and each mark is about a figure of its table."""
    for item in ATTACKS:
        assert "ours" == item.contenders[0]
        assert set(item.contenders) <= {*CONTENDERS, LXML.name}
        assert {metric for mark in item.marks for metric in mark.metrics} <= set(item.metrics)
        assert item.title(SMALL)
    with pytest.raises(ValueError, match="unknown metric 'typo'"):
        dataclasses.replace(attack("idle"), marks=(most("typo", 1),))
    with pytest.raises(ValueError, match="unknown attack 'typo'"):
        attack("typo")
    assert set(METRICS) == {metric for item in ATTACKS for metric in item.metrics}
