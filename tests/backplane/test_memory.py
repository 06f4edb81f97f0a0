"""The backplane within one process."""

from __future__ import annotations

from xmlsocket.backplane import MemoryBackplane


class Subscriber:
    """Notes what is delivered to it."""

    def __init__(self) -> None:
        self.frames: list[tuple[bytes, str | None]] = []

    def __call__(self, frame: bytes, key: str | None) -> None:
        self.frames.append((frame, key))


def test_publish_reaches_the_other_subscribers_of_the_room_only() -> None:
    """No echo to the sender, nothing to other rooms, and the order is kept."""
    backplane = MemoryBackplane()
    sender, other, elsewhere = Subscriber(), Subscriber(), Subscriber()
    backplane.subscribe("a", sender)
    backplane.subscribe("a", other)
    backplane.subscribe("b", elsewhere)
    backplane.publish("a", b"1\0", None, sender)
    backplane.publish("a", b"2\0", "key", sender)

    assert [(b"1\0", None), (b"2\0", "key")] == other.frames
    assert [] == sender.frames == elsewhere.frames


def test_unsubscribe_ends_delivery_and_forgets_the_room() -> None:
    """A room that nobody is in costs nothing."""
    backplane = MemoryBackplane()
    sender, other = Subscriber(), Subscriber()
    backplane.subscribe("a", other)
    backplane.unsubscribe("a", other)
    backplane.publish("a", b"1\0", None, sender)

    assert [] == other.frames
    assert {} == backplane._rooms
