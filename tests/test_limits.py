"""The limits that are on by default."""

from __future__ import annotations

import dataclasses

import pytest

from xmlsocket.limits import Limits


def test_limits_defaults_are_the_documented_ones() -> None:
    """Nobody's limits change unnoticed: seconds, bytes and counts are these."""
    expected = {
        "message_timeout": 30.0,
        "send_timeout": 30.0,
        "write_cap": 4_194_304,
        "quantum": 512,
        "frame_rate": None,
        "memory": 268_435_456,
        "connections": 10_000,
        "connections_per_address": None,
        "handshakes": 256,
    }

    assert expected == dataclasses.asdict(Limits())


@pytest.mark.parametrize("value", [0, -1, float("nan")])
def test_limits_not_positive_are_refused(value: float) -> None:
    """Zero would stop all work and NaN would never be reached; the error quotes the value."""
    with pytest.raises(ValueError, match=rf"Limits.quantum must be positive or None, not {value}"):
        Limits(quantum=value)  # type: ignore[arg-type]  # what is no number of frames


@pytest.mark.parametrize("value", [0.5, 1, None])
def test_limits_positive_or_none_are_taken(value: float | None) -> None:
    """Any positive number is a limit, and None is none."""
    assert value == Limits(frame_rate=value).frame_rate


def test_limits_cannot_be_changed_or_given_by_position() -> None:
    """Limits are shared by connections, so they are frozen; each is given by its name."""
    limits = Limits()

    with pytest.raises(dataclasses.FrozenInstanceError):
        limits.quantum = 1  # type: ignore[misc]  # what mypy refuses, too
    with pytest.raises(TypeError):
        Limits(1.0)  # type: ignore[call-arg]  # as above
    assert hash(Limits()) == hash(limits)
    assert not hasattr(limits, "__dict__")
