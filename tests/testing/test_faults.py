"""Faults: what they accept, and what a seed makes of them."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xmlsocket.testing import Faults
from xmlsocket.testing.faults import Damage, Places


@pytest.mark.parametrize(
    "options",
    [
        {"slice": 0},
        {"slice": (3, 2)},
        {"slice": (0, 2)},
        {"merge": 0},
        {"delay": -0.1},
        {"jitter": float("inf")},
        {"merge_wait": float("nan")},
        {"slow_close": -1},
        {"bandwidth": 0},
        {"reset_at": -1},
        {"limit": -1},
        {"half_close_at": -1},
        {"corrupt": 1.1},
        {"corrupt": -0.1},
    ],
    ids=str,
)
def test_faults_value_out_of_range_is_refused_by_name(options: dict[str, Any]) -> None:
    """A fault that cannot happen raises ValueError, which names it and what it got."""
    name, value = next(iter(options.items()))

    with pytest.raises(ValueError, match=f"^{name} must be .*, not ") as caught:
        Faults(**options)
    assert str(caught.value).endswith(repr(value))


@pytest.mark.parametrize(
    "options",
    [{"slice": 1}, {"slice": (1, 1)}, {"reset_at": 0}, {"corrupt": 1}, {"bandwidth": 1}, {}],
    ids=str,
)
def test_faults_value_at_the_edge_is_accepted(options: dict[str, Any]) -> None:
    """The first value of each range is in it."""
    faults = Faults(**options)

    assert options == {name: getattr(faults, name) for name in options}


def cuts(places: Places, sizes: int | tuple[int, int], end: int) -> list[int]:
    """Return all places up to ``end``."""
    found = [places.after(0, sizes)]
    while found[-1] < end:
        found.append(places.after(found[-1], sizes))
    return found


def test_places_of_one_seed_are_the_same_and_of_another_are_not() -> None:
    """The seed decides."""
    assert cuts(Places("a"), (1, 9), 500) == cuts(Places("a"), (1, 9), 500)
    assert cuts(Places("a"), (1, 9), 500) != cuts(Places("b"), (1, 9), 500)


def test_places_do_not_depend_on_where_they_are_asked_for() -> None:
    """However the stream comes, it is cut at the same places."""
    places = Places("a")

    assert cuts(Places("a"), (2, 9), 500) == sorted(
        {places.after(place, (2, 9)) for place in range(500)}
    )


def test_places_of_a_fixed_size_are_its_multiples() -> None:
    """A number stands for pieces of that size."""
    assert [3, 6, 9, 12] == cuts(Places("a"), 3, 12)


def test_places_after_a_change_begin_where_it_was_made() -> None:
    """New sizes count from the place at which they came into force."""
    places = Places("a")

    assert 100 == places.after(7, 100) - 7
    assert 12 == places.after(9, 3)


@given(
    st.binary(max_size=300),
    st.sampled_from([0.0, 0.01, 0.2, 1.0, 5e-324]),
    st.lists(st.integers(0, 300), max_size=5),
)
def test_damage_is_the_same_however_the_stream_comes(
    data: bytes, rate: float, cut: list[int]
) -> None:
    """Which bytes are changed, and into what, depends on their places; each counted one differs."""
    whole, count = Damage("a").done_to(data, 0, rate)
    damage = Damage("a")
    places = [0, *sorted(min(place, len(data)) for place in cut), len(data)]
    parts = [
        damage.done_to(data[start:end], start, rate) for start, end in itertools.pairwise(places)
    ]

    assert whole == b"".join(part for part, _ in parts)
    assert count == sum(changed for _, changed in parts)
    assert count == sum(a != b for a, b in zip(data, whole, strict=True))
    if rate in (0, 1):
        assert count == rate * len(data)


def test_damage_happens_about_as_often_as_its_rate_says() -> None:
    """One byte of a hundred is a thousand of a hundred thousand, give or take 150."""
    data = random.Random(1).randbytes(100_000)

    _, count = Damage("a").done_to(data, 0, 0.01)

    assert 850 < count < 1150


def test_damage_that_is_switched_on_and_off_again_leaves_the_rest_alone() -> None:
    """The rate holds from the place on at which it was set."""
    damage = Damage("a")

    assert (b"aaaa", 0) == damage.done_to(b"aaaa", 0, 0)
    assert 4 == damage.done_to(b"aaaa", 4, 1)[1]
    assert (b"aaaa", 0) == damage.done_to(b"aaaa", 8, 0)
