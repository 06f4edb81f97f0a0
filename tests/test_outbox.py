"""The queue of what waits to be written: both twins, and what stands for a sent document."""

from __future__ import annotations

import asyncio
import collections.abc
import os
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xmlsocket.codec import IMPLEMENTATION
from xmlsocket.outbox import Outbox, PureOutbox

OVERHEAD = 10
PLENTY = 2**40

TWINS = [PureOutbox] if IMPLEMENTATION == "pure" else [Outbox, PureOutbox]
twins = pytest.mark.parametrize("make", TWINS)
needs_rust = pytest.mark.skipif(IMPLEMENTATION == "pure", reason="the pure outbox takes nothing")


def account(outbox: Any) -> tuple[int, int, int]:
    """Return charge, frames and bytes."""
    return outbox.charge, outbox.frames, outbox.bytes


def test_outbox_goes_with_the_codec() -> None:
    """Where the pure codec is chosen the queue is the pure one, too: nothing of Rust is loaded."""
    tell = """
import sys
from xmlsocket import outbox
print(outbox.Outbox is outbox.PureOutbox, "xmlsocket._rust" in sys.modules)
"""
    result = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", tell],
        env=os.environ | {"XMLSOCKET_PURE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert ("True False\n", "") == (result.stdout, result.stderr)


@twins
def test_push_several_blocks_are_taken_in_order_and_charged(make: Any) -> None:
    """What was pushed comes out in order; each block is charged the overhead once."""
    outbox = make(OVERHEAD)

    assert 4 + OVERHEAD == outbox.push(b"ab\0\0", 2)
    assert 6 + 2 * OVERHEAD == outbox.push(b"c\0")
    assert (6 + 2 * OVERHEAD, 3, 6) == account(outbox)
    assert b"ab\0\0c\0" == outbox.take(100)
    assert (0, 3, 6) == account(outbox)
    assert b"" == outbox.take(100)


@twins
def test_take_limit_ends_after_the_block_that_reaches_it(make: Any) -> None:
    """A write holds whole blocks, as many as reach the limit, and none beyond."""
    outbox = make(OVERHEAD)
    for data in (b"dd\0", b"aa\0", b"bb\0", b"cc\0"):
        outbox.push(data)

    assert b"dd\0" == outbox.take(3)
    assert b"aa\0bb\0" == outbox.take(4)
    assert 3 + OVERHEAD == outbox.charge
    assert b"cc\0" == outbox.take(1)


@twins
def test_take_single_block_is_the_object_that_was_pushed(make: Any) -> None:
    """A frame that many connections share is not copied for each of them."""
    outbox = make(OVERHEAD)
    frame = b"x" * 1000 + b"\0"
    outbox.push(frame)

    assert frame is outbox.take(10)


@twins
def test_clear_drops_what_waits_and_keeps_the_counts(make: Any) -> None:
    """Dropped frames stay counted as accepted, and nothing more is taken."""
    outbox = make(OVERHEAD)
    outbox.push(b"ab\0")
    outbox.room = PLENTY
    outbox.clear()

    assert (0, 1, 3) == account(outbox)
    assert outbox.room is None
    assert b"" == outbox.take(100)


@twins
def test_put_without_room_takes_nothing(make: Any) -> None:
    """Unless it was given room an outbox leaves every document to the long way."""
    outbox = make(OVERHEAD)

    assert outbox.put(b"ab") is None
    assert (0, 0, 0) == account(outbox)


def waiting() -> Outbox:
    """Return an outbox with all the room there is and a block that waits."""
    outbox = Outbox(OVERHEAD)
    outbox.room = PLENTY
    outbox.push(b"<first/>\0")
    return outbox


@needs_rust
def test_put_first_of_a_turn_is_left_to_the_long_way() -> None:
    """While nothing waits nobody will come and write, so nothing is taken."""
    outbox = waiting()
    outbox.take(1)

    assert outbox.put(b"ab") is None
    assert 0 == outbox.charge


@needs_rust
def test_put_within_room_takes_up_to_the_last_byte() -> None:
    """A document is taken if its charge, overhead and delimiter included, fits exactly."""
    outbox = waiting()
    outbox.room = outbox.charge + 2 * (3 + OVERHEAD)

    assert outbox.put(b"ab") is not None
    assert outbox.put(b"abc") is None
    assert outbox.put("cd") is not None
    assert outbox.put(b"") is None
    assert b"<first/>\0ab\0cd\0" == outbox.take(100)


@needs_rust
@pytest.mark.parametrize(
    "document",
    [b"a\0b", "a\0b", b"\0", "\ud800", bytearray(b"a"), memoryview(b"a"), None, 1, object()],
)
def test_put_what_needs_the_long_way_is_left_to_it(document: object) -> None:
    """Delimiters, lone surrogates and all other types are not taken, and raise nothing."""
    outbox = waiting()
    before = account(outbox)

    assert outbox.put(document) is None
    assert before == account(outbox)


@needs_rust
def test_put_subclasses_are_left_to_the_long_way() -> None:
    """A subclass may be anything, so it is not read behind its back."""

    class Text(str):
        __slots__ = ()

    class Data(bytes):
        __slots__ = ()

    outbox = waiting()

    assert outbox.put(Text("a")) is None
    assert outbox.put(Data(b"a")) is None


@needs_rust
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("put"), st.binary(max_size=40).map(lambda b: b.replace(b"\0", b"."))),
            st.tuples(st.just("put"), st.just(b"x" * 40_000)),
            st.tuples(st.just("push"), st.binary(max_size=40)),
            st.tuples(st.just("take"), st.integers(1, 100_000)),
        ),
        max_size=40,
    )
)
def test_outbox_any_order_of_calls_keeps_order_and_account(calls: list[tuple[str, Any]]) -> None:
    """Whatever is put, pushed and taken comes out once, in order, and is charged while it waits."""
    outbox = waiting()
    came: list[bytes] = [b"<first/>\0"]
    taken = b""
    for call, value in calls:
        if call == "put":
            empty = outbox.charge == 0
            assert (outbox.put(value) is None) == empty
            if not empty:
                came.append(value + b"\0")
        elif call == "push":
            outbox.push(value)
            came.append(value)
        else:
            taken += outbox.take(value)
    rest_size = sum(map(len, came)) - len(taken)

    assert len(came) == outbox.frames
    assert sum(map(len, came)) == outbox.bytes
    # Each document that waits is charged one overhead; how many wait is known
    # only to the byte.
    rest = (outbox.charge - rest_size) // OVERHEAD
    assert rest_size == outbox.charge - rest * OVERHEAD
    assert b"".join(came[len(came) - rest :]) == b"".join(came)[len(taken) :]
    while data := outbox.take(1):
        taken += data
    assert b"".join(came) == taken or b"" in came
    assert 0 <= outbox.charge


@needs_rust
async def test_put_result_can_be_awaited_in_every_way() -> None:
    """What stands for a sent document is a coroutine: tasks and time limits take it."""
    outbox = waiting()

    def put() -> Any:
        sent = outbox.put(b"a")
        assert sent is not None
        return sent

    assert isinstance(put(), collections.abc.Coroutine)
    assert await put() is None
    assert await asyncio.create_task(put()) is None
    assert await asyncio.wait_for(put(), 1) is None
    assert [None, None] == list(await asyncio.gather(put(), put()))
    put().close()
    with pytest.raises(StopIteration):
        put().send(None)
    with pytest.raises(KeyError):
        put().throw(KeyError("x"))
    assert 10 == outbox.frames
