"""What ``serve --stats`` shows, in a terminal and elsewhere."""

from __future__ import annotations

import dataclasses
import re
import sys
from typing import TYPE_CHECKING

from tests.cli.support import STEERING, Stdout
from xmlsocket.cli.live import LINE_EVERY, TABLE_EVERY, LiveStats
from xmlsocket.exceptions import CloseReason
from xmlsocket.stats import ConnectionStats, PeerStats, WorkersStats, WorkerStats, total

if TYPE_CHECKING:
    import pytest

IDLE = ConnectionStats(
    age=12.4,
    frames_in=0,
    frames_out=0,
    bytes_in=0,
    bytes_out=0,
    empty_skipped=0,
    malformed_skipped=0,
    dropped=0,
    buffered_in=0,
    queued_in=0,
    queued_out=65000,
)
NONE = WorkersStats(total=total([]), workers=(), restarts=0, cut=0, slowest=())
BUSY = WorkersStats(
    total=dataclasses.replace(
        total([]),
        connections=3,
        accepted=1234,
        frames_in=500,
        frames_out=1000,
        bytes_in=4000,
        bytes_out=2_000_000,
        queued_out=65000,
        dropped=7,
        malformed_skipped=8,
        empty_skipped=9,
        closed={CloseReason.RESET: 1, CloseReason.EOF: 20},
        refused={"http_404": 2},
    ),
    workers=(
        WorkerStats(number=1, process=77, state="ready", answers=True, stats=total([])),
        WorkerStats(number=2, process=78, state="starting", answers=False, stats=None),
    ),
    restarts=0,
    cut=0,
    slowest=(PeerStats(id=1, address="192.0.2.1:5\x1b[2J", stats=IDLE),),
)


class Clock:
    """A clock that goes two seconds each time it is looked at."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 2
        return self.now


def become_terminal(monkeypatch: pytest.MonkeyPatch) -> Stdout:
    """Let standard output be a terminal of 100 columns; no fixture, for pytest swaps it later."""
    stdout = Stdout(tty=True)
    for name in ("TTY_COMPATIBLE", "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "stdout", stdout)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("LINES", "30")
    return stdout


def test_show_in_a_terminal_draws_a_table_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each look replaces the table before; rates are those since the last look."""
    terminal = become_terminal(monkeypatch)
    with LiveStats(Clock()) as live:
        assert TABLE_EVERY == live.interval
        live.show(BUSY)
        live.show(BUSY)

    first, last = re.split(r"\x1b\[1A.*\x1b\[1A", terminal.text, maxsplit=1, flags=re.DOTALL)
    rows = [" ".join(row.split()) for row in STEERING.sub("", first).splitlines()]
    assert [
        "connections 3 open, 1,234 accepted",
        "in 250 documents/s, 2.0 kB/s, 0 bytes waiting",
        "out 500 documents/s, 1.0 MB/s, 65.0 kB waiting",
        "dropped 7 by rooms, 8 malformed, 9 empty",
        "closed eof 20, reset 1",
        "refused http_404 2",
        "worker 1 process 77, ready, 0 connections",
        "worker 2 process 78, starting, does not answer",
        "slow peer 192.0.2.1:5\\x1b[2J: 65.0 kB waiting, connected for 12 s",
    ] == rows[: len(rows) - rows.count("")]
    assert "0 documents/s, 0 bytes/s" in STEERING.sub("", last)


def test_show_in_a_terminal_is_silent_about_refusals_that_were_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Most servers refuse nobody, and have no slow peers."""
    terminal = become_terminal(monkeypatch)
    with LiveStats(Clock()) as live:
        live.show(NONE)

    rows = [row.split() for row in STEERING.sub("", terminal.text).splitlines()]
    assert {"connections", "in", "out", "dropped", "closed"} == {row[0] for row in rows if row}


def test_show_elsewhere_prints_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    """A line holds the sums; rates never go below zero when a worker's figures are lost."""
    with LiveStats(Clock()) as live:
        assert LINE_EVERY == live.interval
        live.show(BUSY)
        live.show(NONE)

    assert (
        "connections 3 | documents/s in 250 out 500 | bytes/s in 2.0 kB out 1.0 MB"
        " | waiting in 0 bytes out 65.0 kB | dropped 7 | closed eof 20, reset 1\n"
        "connections 0 | documents/s in 0 out 0 | bytes/s in 0 bytes out 0 bytes"
        " | waiting in 0 bytes out 0 bytes | dropped 0 | closed 0\n"
    ) == capsys.readouterr().out
