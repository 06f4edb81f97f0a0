"""Arithmetic of flow control: the pace of a count."""

from __future__ import annotations

import dataclasses
import itertools
import ssl
import types
from typing import Any

import pytest

from xmlsocket import WebSocketError, flow
from xmlsocket.flow import Backoff, Pace, WaterMarks, reconnect_delays


def test_charges_are_those_of_the_documentation() -> None:
    """`docs/topics/limits.md` tells users what to reckon with."""
    assert 128 == flow.FRAME_OVERHEAD
    assert 4096 == flow.CONNECTION_CHARGE
    assert 307_200 == flow.TLS_CHARGE


@pytest.mark.parametrize(("count", "exceeded"), [(9, False), (10, False), (11, True)])
def test_pace_burst_is_what_one_second_allows(count: int, exceeded: bool) -> None:
    """A burst may be as large as what one second allows, and not larger."""
    assert exceeded is Pace(10, now=100).exceeded(count, now=100)


@pytest.mark.parametrize(("count", "exceeded"), [(1, False), (2, True)])
def test_pace_below_one_lets_one_through(count: int, exceeded: bool) -> None:
    """Of a rate below 1 a burst is one: otherwise nothing would ever pass."""
    assert exceeded is Pace(0.01, now=0).exceeded(count, now=0)


def test_pace_excess_wears_off_at_the_rate() -> None:
    """What came too much has to be waited for, exactly as long as the rate says."""
    pace = Pace(10, now=0)

    assert pace.exceeded(35, now=0)
    assert pace.exceeded(35, now=2.4)
    assert not pace.exceeded(35, now=2.5)
    assert pace.exceeded(36, now=2.5)


def test_pace_silence_saves_no_more_than_a_burst() -> None:
    """After a long silence a burst is what it always is."""
    pace = Pace(10, now=0)
    assert not pace.exceeded(10, now=0)

    assert not pace.exceeded(20, now=1000)
    assert pace.exceeded(21, now=1000)


def test_pace_asking_again_changes_nothing() -> None:
    """The answer is the same however often it is asked for, with or without new counts."""
    often, seldom = Pace(4, now=0), Pace(4, now=0)
    for count in (3, 3, 6, 6, 6):
        often.exceeded(count, now=0)
    often.exceeded(6, now=0.25)

    assert not often.exceeded(6, now=0.5)
    assert not seldom.exceeded(3, now=0)
    assert not seldom.exceeded(6, now=0.5)
    assert often.exceeded(7, now=0.5)
    assert seldom.exceeded(7, now=0.5)


@pytest.mark.parametrize(
    ("limit", "high", "low"),
    [(None, None, 0), (0, 0, 0), (103, 103, 25), ((8, 0), 8, 0), ((8, 8), 8, 8)],
)
def test_watermarks_low_mark_is_a_quarter_unless_given(
    limit: int | tuple[int, int] | None, high: int | None, low: int
) -> None:
    """One number is the high mark, with a quarter of it as the low one; None has no mark."""
    assert WaterMarks(high, low) == WaterMarks.of("read_limit", limit)


def test_watermarks_cannot_be_changed() -> None:
    """All connections of a server share them."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        WaterMarks.of("read_limit", 8).high = 9  # type: ignore[misc]


@pytest.mark.parametrize("limit", [-1, (8, 9), (8, -1)])
def test_watermarks_out_of_order_are_refused(limit: int | tuple[int, int]) -> None:
    """The low mark lies between zero and the high one; the error names the option."""
    with pytest.raises(ValueError, match="read_limit must satisfy 0 <= low <= high"):
        WaterMarks.of("read_limit", limit)


def test_reconnect_delays_grow_up_to_the_longest() -> None:
    """Each delay is drawn from the upper half of a range that grows up to the longest."""
    delays = itertools.islice(reconnect_delays(first=1.0, factor=2.0, longest=5.0), 6)

    for longest, delay in zip([1.0, 2.0, 4.0, 5.0, 5.0, 5.0], delays, strict=True):
        assert longest / 2 <= delay <= longest


@pytest.mark.parametrize(
    ("draw", "expected"),
    [
        (max, [0.5, 0.9, 1.62, 2.916, 5.249, 9.448, 17.01, 30.61, 55.10, 60.0, 60.0]),
        (min, [0.25, 0.45, 0.81, 1.458, 2.624, 4.724, 8.503, 15.31, 27.55, 30.0, 30.0]),
    ],
)
def test_reconnect_delays_default_ends_at_a_minute(
    draw: Any, expected: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """From half a second by 1.8 up to a minute, of which at least a half is waited."""
    monkeypatch.setattr(flow, "_jitter", types.SimpleNamespace(uniform=draw))

    assert expected == [
        pytest.approx(x, rel=1e-3) for x in itertools.islice(reconnect_delays(), 11)
    ]


@pytest.mark.parametrize(
    ("code", "again"),
    [(403, False), (499, False), (500, True), (501, True), (503, True), (1011, True)],
)
def test_backoff_refused_websocket_is_tried_again_if_the_server_is_at_fault(
    code: int, again: bool
) -> None:
    """Statuses of HTTP from 500 on, and close codes, say nothing about the next attempt."""
    error = WebSocketError("refused", code)
    if again:
        assert 0.25 <= Backoff().after_failure(error) <= 0.5
    else:
        with pytest.raises(WebSocketError):
            Backoff().after_failure(error)


@pytest.mark.parametrize(
    "error", [ValueError("no address"), ssl.SSLCertVerificationError("expired")]
)
def test_backoff_failure_that_stays_is_raised(error: Exception) -> None:
    """What another attempt cannot cure is the caller's."""
    with pytest.raises(type(error)) as caught:
        Backoff().after_failure(error)
    assert error is caught.value


@pytest.mark.parametrize(
    ("frames", "age", "good"), [(0, 9.9, False), (0, 10.0, True), (0, 11.0, True), (1, 0.0, True)]
)
def test_backoff_good_connection_starts_the_delays_anew(
    frames: int, age: float, good: bool
) -> None:
    """After a frame or ten seconds no delay is due and the next ones are short again."""
    backoff = Backoff()
    for _ in range(5):
        backoff.after_failure(ConnectionRefusedError())

    waited = backoff.after_end(frames_in=frames, age=age)
    assert good == (waited == 0.0)
    assert good == (backoff.after_failure(ConnectionRefusedError()) <= 0.5)


@pytest.mark.parametrize("limit", [1e6, (1000, 250.0), "1000"])
def test_water_marks_that_are_no_integers_are_refused(limit: Any) -> None:
    """At once, by the name of the option, not somewhere inside of a connection."""
    with pytest.raises(TypeError, match="write_limit must be a number of bytes"):
        WaterMarks.of("write_limit", limit)
