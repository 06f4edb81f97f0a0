"""Arithmetic of flow control: the pace of a count."""

from __future__ import annotations

import pytest

from xmlsocket.flow import Pace


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
