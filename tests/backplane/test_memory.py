"""The backplane within one process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from xmlsocket.backplane import History, MemoryBackplane
from xmlsocket.backplane.history import Replay

if TYPE_CHECKING:
    from collections.abc import Collection


class Subscriber:
    """Notes what is delivered to it."""

    def __init__(self) -> None:
        self.frames: list[tuple[bytes, str | None]] = []
        self.excluded: list[tuple[Any, ...]] = []

    def __call__(self, frame: bytes, key: str | None, exclude: Collection[Any]) -> None:
        self.frames.append((frame, key))
        self.excluded.append(tuple(exclude))


def test_publish_reaches_the_other_subscribers_of_the_room_only() -> None:
    """No echo to the sender, nothing to other rooms, and the order is kept."""
    backplane = MemoryBackplane()
    sender, other, elsewhere = Subscriber(), Subscriber(), Subscriber()
    backplane.subscribe("a", sender)
    backplane.subscribe("a", other)
    backplane.subscribe("b", elsewhere)
    backplane.publish("a", b"1\0", None, sender, ())
    backplane.publish("a", b"2\0", "key", sender, ())

    assert [(b"1\0", None), (b"2\0", "key")] == other.frames
    assert [] == sender.frames == elsewhere.frames


def test_unsubscribe_ends_delivery_and_forgets_the_room() -> None:
    """A room that nobody is in costs nothing."""
    backplane = MemoryBackplane()
    sender, other = Subscriber(), Subscriber()
    backplane.subscribe("a", other)
    backplane.unsubscribe("a", other)
    backplane.publish("a", b"1\0", None, sender, ())

    assert [] == other.frames
    assert {} == backplane._rooms


def test_history_delivers_to_the_sender_too_and_gives_back_whom_to_pass_over() -> None:
    """With a history one order holds for all: the sender's room gets its document from there."""
    backplane = MemoryBackplane(History(documents=1))
    sender, other = Subscriber(), Subscriber()
    backplane.subscribe("a", sender)
    backplane.subscribe("a", other)
    backplane.publish("a", b"1\0", None, sender, ("ada",))

    assert [(b"1\0", None)] == sender.frames == other.frames
    assert [("ada",)] == sender.excluded
    assert [()] == other.excluded


def test_replay_has_the_latest_documents_of_the_room() -> None:
    """As many as the history says, whether somebody was in the room or not."""
    backplane = MemoryBackplane(History(documents=2))
    for number in range(5):
        backplane.publish("a", b"%d\0" % number, None, Subscriber(), ())

    assert [(b"3\0", None), (b"4\0", None)] == list(backplane.replay("a"))
    assert [] == list(backplane.replay("b"))


def test_histories_of_all_rooms_share_a_bound() -> None:
    """Peers choose the names of rooms: the ones that were silent for longest are forgotten."""
    backplane = MemoryBackplane(History(documents=10), memory=10 * 1100)
    for number in range(1000):
        backplane.publish("first", b"x" * 50 + b"\0", None, Subscriber(), ())
        backplane.publish(str(number), b"x" * 50 + b"\0", None, Subscriber(), ())

    assert 6 == len(backplane._replays)
    assert 10 == len(list(backplane.replay("first")))
    assert [] == list(backplane.replay("0"))
    assert 1 == len(list(backplane.replay("999")))
    assert backplane._used == sum(1024 + replay.size for replay in backplane._replays.values())


def test_replay_drops_what_is_too_old() -> None:
    """With a time, documents leave the history as it passes."""
    replay = Replay(History(documents=None, seconds=10.0))
    replay.add(b"1\0", None, 100.0)
    replay.add(b"2\0", "key", 105.0)

    assert [(b"1\0", None), (b"2\0", "key")] == list(replay.at(110.0))
    assert [(b"2\0", "key")] == list(replay.at(110.5))
    assert 192 + 2 == replay.size
    assert [] == list(replay.at(200.0))
    assert 0 == replay.size


def test_replay_of_no_documents_is_empty() -> None:
    """A history of nothing is a choice: one order for all, and nothing for late members."""
    replay = Replay(History(documents=0))
    replay.add(b"1\0", None, 0.0)

    assert [] == list(replay.at(0.0))
    assert 0 == replay.size


def test_history_needs_a_limit() -> None:
    """Neither no limit nor a negative one is a history."""
    with pytest.raises(ValueError, match="a history needs a limit"):
        History(documents=None)
    with pytest.raises(ValueError, match=r"History\.documents must not be negative, not -1"):
        History(documents=-1)
    with pytest.raises(ValueError, match=r"History\.seconds must not be negative, not -0\.5"):
        History(seconds=-0.5)
