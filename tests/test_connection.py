"""What both transports share: settings, the receive queue, life signs, counters, logging."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from xmlsocket import CloseReason, ConnectionClosedError, ConnectionClosedOK, Limits
from xmlsocket.connection import BaseConnection, Counters, RepeatedLog, Settings
from xmlsocket.flow import FRAME_OVERHEAD, WaterMarks


def settings(**options: Any) -> Settings[bytes]:
    """Return settings for raw frames."""
    defaults: dict[str, Any] = {
        "parse": bytes,
        "max_size": 2**20,
        "read_limit": 1000,
        "write_limit": 2**16,
        "open_timeout": 10,
        "close_timeout": 10,
        "idle_timeout": None,
        "limits": Limits(),
        "skip_empty": True,
        "malformed": "raise",
        "logger": None,
        "default_logger": "xmlsocket.test",
    }
    return Settings.of(**defaults | options)


def arrive(connection: BaseConnection[Any], data: bytes) -> bool:
    """Let bytes arrive and say whether reading should pause."""
    return connection._arrive(connection._decoder.feed(data))


def take(connection: BaseConnection[Any]) -> bytes:
    """Take the oldest frame, as both transports do."""
    if not connection._ready:
        connection._refill()
    return connection._ready.pop()


# Queue


def test_queue_charge_is_length_plus_overhead_of_every_frame() -> None:
    """Queued frames are charged exactly, also when they came in pieces."""
    connection = BaseConnection(settings())
    arrive(connection, b"ab\0cde\0fg")
    arrive(connection, b"h\0")

    charges = [connection.stats.queued_in]
    while connection._arrived or connection._ready:
        take(connection)
        charges.append(connection.stats.queued_in)

    assert [
        8 + 3 * FRAME_OVERHEAD,
        6 + 2 * FRAME_OVERHEAD,
        3 + FRAME_OVERHEAD,
        0,
    ] == charges


@pytest.mark.parametrize(("frames", "pauses"), [(6, False), (7, False), (8, True)])
def test_queue_pauses_above_the_high_mark_only(frames: int, pauses: bool) -> None:
    """Exactly the high mark does not pause; one more byte would."""
    connection = BaseConnection(settings(read_limit=7 * (1 + FRAME_OVERHEAD)))

    assert pauses is arrive(connection, b"x\0" * frames)


def test_queue_without_limit_never_pauses() -> None:
    """``read_limit=None`` lifts the limit."""
    connection = BaseConnection(settings(read_limit=None))

    assert not arrive(connection, b"x\0" * 10_000)


def test_take_all_after_take_keeps_the_order() -> None:
    """What was partly taken is continued in order."""
    connection = BaseConnection(settings())
    arrive(connection, b"a\0b\0c\0")
    assert b"a" == take(connection)
    arrive(connection, b"d\0")

    assert [b"b", b"c", b"d"] == connection._take_all()
    assert 0 == connection.stats.queued_in


def test_take_long_frames_stay_in_the_account_until_they_are_near() -> None:
    """What is moved ahead of being taken is bounded, so that reading does not resume too early."""
    connection = BaseConnection(settings(max_size=None))
    size = 100_000
    arrive(connection, (b"x" * size + b"\0") * 10)
    take(connection)

    assert 8 * (size + FRAME_OVERHEAD) == connection._charge
    assert 9 * (size + FRAME_OVERHEAD) == connection.stats.queued_in
    assert [size] * 9 == [len(frame) for frame in connection._take_all()]


# Life signs


def test_overdue_message_counts_from_the_first_byte() -> None:
    """A frame is late ``message_timeout`` after its first byte, whatever came since."""
    connection = BaseConnection(settings(limits=Limits(message_timeout=30)))
    connection._decoder.feed(b"whole\0")
    assert connection._overdue(100) is None
    connection._decoder.feed(b"<")
    assert connection._overdue(101) is None
    for now in range(102, 131):
        connection._decoder.feed(b"x")
        assert connection._overdue(now) is None

    assert CloseReason.MESSAGE_TIMEOUT is connection._overdue(131)


def test_overdue_new_frame_starts_the_clock_anew() -> None:
    """Each frame has the whole time, also when frames follow without a gap."""
    connection = BaseConnection(settings(limits=Limits(message_timeout=30)))
    for now in range(100, 1000, 20):
        connection._decoder.feed(b"x\0y")
        assert connection._overdue(now) is None


def test_overdue_idle_zero_bytes_do_not_count() -> None:
    """Empty frames are no sign of life, other bytes are."""
    connection = BaseConnection(settings(idle_timeout=60, limits=Limits(message_timeout=None)))
    connection._decoder.feed(b"x")
    assert connection._overdue(100) is None
    connection._decoder.feed(b"y")
    assert connection._overdue(159) is None
    connection._decoder.feed(b"\0")
    assert connection._overdue(218) is None
    connection._decoder.feed(b"\0\0\0\0")

    assert CloseReason.IDLE is connection._overdue(278)


def test_overdue_after_excuse_counts_anew() -> None:
    """Time in which this side did not read does not count."""
    connection = BaseConnection(settings(idle_timeout=60))
    assert connection._overdue(100) is None
    connection._excuse(1000)

    assert connection._overdue(1059) is None
    assert CloseReason.IDLE is connection._overdue(1060)


@pytest.mark.parametrize(
    ("given", "idle", "tick"),
    [
        ({}, None, None),
        ({"message_timeout": 30}, None, 1.0),
        ({"message_timeout": 4}, 60, 0.5),
        ({}, 0.01, 0.01),
        ({"send_timeout": 2, "message_timeout": 4}, 4, 0.25),
        ({"frame_rate": 1000}, None, 0.125),
        ({"frame_rate": 1000, "message_timeout": 0.4}, None, 0.05),
    ],
)
def test_tick_is_fine_enough_for_the_shortest_limit(
    given: dict[str, Any], idle: float | None, tick: float | None
) -> None:
    """Life signs are looked at every eighth of the shortest limit, a second at most."""
    limits = Limits(**{"message_timeout": None, "send_timeout": None} | given)

    assert tick == settings(limits=limits, idle_timeout=idle).tick


# Ends


def test_end_first_reason_stands() -> None:
    """Whatever ends a connection first is its reason, with its cause."""
    connection = BaseConnection(settings())
    cause = OSError("gone")
    connection._end(CloseReason.RESET, cause)
    connection._end(CloseReason.LOCAL)

    error = connection._closed()

    assert isinstance(error, ConnectionClosedError)
    assert (CloseReason.RESET, cause) == (error.reason, error.__cause__)


@pytest.mark.parametrize("reason", list(CloseReason))
def test_closed_is_ok_only_for_orderly_ends(reason: CloseReason) -> None:
    """Closed here, by the server's shutdown, or by the peer between frames is in order."""
    connection = BaseConnection(settings())
    connection._end(reason)

    orderly = reason in {CloseReason.LOCAL, CloseReason.EOF, CloseReason.SERVER_CLOSE}
    assert orderly is isinstance(connection._closed(), ConnectionClosedOK)
    assert f"({reason})" in str(connection._closed())


# Limits and water marks


@pytest.mark.parametrize("name", Limits.__slots__)
@pytest.mark.parametrize("value", [0, -1])
def test_limits_that_would_stop_all_work_are_refused(name: str, value: int) -> None:
    """A limit is positive or None."""
    options: dict[str, Any] = {name: value}
    with pytest.raises(ValueError, match=f"Limits.{name} must be positive or None, not {value}"):
        Limits(**options)
    options[name] = None
    assert getattr(Limits(**options), name) is None


def test_water_marks_low_is_a_quarter_of_high() -> None:
    """One number gives both marks; a pair gives each; None lifts the limit."""
    assert WaterMarks(100, 25) == WaterMarks.of("x", 100)
    assert WaterMarks(100, 0) == WaterMarks.of("x", (100, 0))
    assert WaterMarks(None, 0) == WaterMarks.of("x", None)
    assert WaterMarks(0, 0) == WaterMarks.of("x", 0)


# Counters


def test_counters_add_closed_and_open_connections() -> None:
    """A server's figures are the sums over all its connections."""
    counters = Counters()
    closed, open_ = BaseConnection(settings()), BaseConnection(settings())
    for connection in (closed, open_):
        connection._decoder.feed(b"ab\0")
        connection._sent(2, 10)
    closed._end(CloseReason.IDLE)
    counters.add_closed(closed)

    stats = counters.snapshot([open_])

    assert (1, 2, 6, 4, 20) == (
        stats.connections,
        stats.frames_in,
        stats.bytes_in,
        stats.frames_out,
        stats.bytes_out,
    )
    assert {CloseReason.IDLE: 1} == stats.closed


# Logging


def test_repeated_log_writes_one_line_an_interval_with_the_count(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Like events within the interval are counted, and the count is told with the next line."""
    now = 0.0
    log = RepeatedLog(logging.getLogger("xmlsocket.test"), interval=60, clock=lambda: now)
    log.warning("! %s", "first")
    for number in range(5):
        now += 10
        log.warning("! %s", number)
    log.warning("! other")
    now += 10
    log.warning("! %s", "last")

    assert ["! first", "! other", "! last (and 5 more like it)"] == caplog.messages
