"""Calls are cancelled at every step of the loop, in every order with what they wait for."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING

import pytest

from xmlsocket import Connection
from xmlsocket.asyncio.loop import LoopShare

from .fakes import FakeTransport, StillLoop
from .test_connection import settings_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator

    Receive = Callable[[Connection[bytes], list[bytes]], Coroutine[None, None, None]]
    Send = Callable[[Connection[bytes], int], Awaitable[None]]

STEPS = range(7)
"""More steps than the longest way from the socket to a caller and back has."""

FRAMES = [b"%d" % number for number in range(5)]


@pytest.fixture
def loop() -> Iterator[StillLoop]:
    """Give a loop that is turned by hand."""
    loop = StillLoop()
    yield loop
    loop.close()


def opened(
    loop: StillLoop, kind: type[Connection[bytes]] = Connection, *, write_limit: int = 0
) -> tuple[Connection[bytes], FakeTransport]:
    """Return a connection that gives three frames a turn, and its transport."""
    connection = kind(settings_of(read_limit=10**6, write_limit=write_limit), LoopShare(loop))
    transport = FakeTransport(loop)
    transport.set_protocol(connection)
    connection.connection_made(transport)
    return connection, transport


async def by_recv(connection: Connection[bytes], received: list[bytes]) -> None:
    """One at a time."""
    while True:
        received.append(await connection.recv())


async def by_iteration(connection: Connection[bytes], received: list[bytes]) -> None:
    """By ``async for``."""
    async for frame in connection:
        received.append(frame)  # noqa: PERF401 - all of it would come too late


async def by_batches(connection: Connection[bytes], received: list[bytes]) -> None:
    """All that has arrived at a time."""
    async for frames in connection.batches():
        received += frames


def receive_cancelled(
    loop: StillLoop,
    receive: Receive,
    kind: type[Connection[bytes]],
    *,
    cut: int,
    arrivals: tuple[int, int],
) -> list[bytes]:
    """Cancel a receiver at step ``cut``, while reads arrive at two steps; let another go on."""
    connection, transport = opened(loop, kind)
    received: list[bytes] = []
    pieces = [b"\0".join(FRAMES[:2]) + b"\0", b"\0".join(FRAMES[2:]) + b"\0"]
    first = loop.create_task(receive(connection, received))
    for step in range(max(cut, *arrivals) + 1):
        for at in arrivals:
            if at == step:
                transport.give(pieces.pop(0))
        if step == cut:
            first.cancel()
        loop.step()
    loop.turn()
    assert first.cancelled()
    second = loop.create_task(receive(connection, received))
    loop.turn()
    second.cancel()
    connection.abort()
    loop.turn()
    assert second.done()
    assert [] == loop.complaints
    return received


def all_ways(
    loop: StillLoop, receive: Receive, kind: type[Connection[bytes]] = Connection
) -> Iterator[list[bytes]]:
    """Return what is received for every step of the cut and both arrivals."""
    for cut, *arrivals in itertools.product(STEPS, repeat=3):
        if arrivals[0] <= arrivals[1]:
            at = arrivals[0], arrivals[1]
            yield receive_cancelled(loop, receive, kind, cut=cut, arrivals=at)


@pytest.mark.parametrize("receive", [by_recv, by_iteration, by_batches])
def test_receiving_cancelled_at_every_step_loses_no_frame(
    loop: StillLoop, receive: Receive
) -> None:
    """Whoever goes on receives what the one that was cancelled has not, in order."""
    for received in all_ways(loop, receive):
        assert FRAMES == received


class HoldsFrames(Connection[bytes]):
    """Lets a turn pass between taking a frame and giving it."""

    async def recv(self) -> bytes:
        """Hold the frame."""
        frame = await super().recv()
        await asyncio.sleep(0)
        return frame

    async def batches(self) -> AsyncIterator[list[bytes]]:
        """Hold the frames."""
        async for frames in super().batches():
            await asyncio.sleep(0)
            yield frames


@pytest.mark.parametrize("receive", [by_recv, by_batches])
def test_a_frame_held_for_a_turn_is_found_to_be_lost(loop: StillLoop, receive: Receive) -> None:
    """The search above finds the fault that it is for."""
    assert any(received != FRAMES for received in all_ways(loop, receive, HoldsFrames))


def many(connection: Connection[bytes], number: int) -> Awaitable[None]:
    """Send three documents with one call."""
    return connection.send_many([document(number, part) for part in range(3)])


def one(connection: Connection[bytes], number: int) -> Awaitable[None]:
    """Send one document."""
    return connection.send(document(number, 0))


def document(number: int, part: int) -> bytes:
    """Return a document that passes the marks."""
    return b"%d.%d" % (number, part) + b"-" * 600


def send_cancelled(
    loop: StillLoop,
    send: Send,
    kind: type[Connection[bytes]] = Connection,
    *,
    write_limit: int = 0,
) -> Iterator[tuple[list[int], list[bytes]]]:
    """Return which calls had begun, and the frames sent, for every step of cut and release."""
    for who, cut, freed in itertools.product(range(3), STEPS, STEPS):
        connection, transport = opened(loop, kind, write_limit=write_limit)
        transport.block(blocked=True)
        transport.write(b"x" * 2**17 + b"\0")  # what waits before
        begun: list[int] = []

        async def work(number: int, connection: Connection[bytes], begun: list[int]) -> None:
            begun.append(number)
            await send(connection, number)

        tasks = [loop.create_task(work(number, connection, begun)) for number in range(3)]
        for step in range(max(cut, freed) + 1):
            if step == cut:
                tasks[who].cancel()
            if step == freed:
                transport.block(blocked=False)
            loop.step()
        loop.turn()
        assert set(range(3)) - set(begun) <= {who}
        assert {None} == {task.exception() for task in tasks if not task.cancelled()} | {None}
        yield begun, bytes(transport.wire).split(b"\0")[1:-1]
        connection.abort()
        loop.turn()


@pytest.mark.parametrize(("send", "parts"), [(one, 1), (many, 3)])
@pytest.mark.parametrize("write_limit", [0, 1000])
def test_sending_cancelled_at_every_step_sends_whole_frames(
    loop: StillLoop, send: Send, parts: int, write_limit: int
) -> None:
    """A call that has begun sends all of its documents, once and in order, cancelled or not."""
    for begun, sent in send_cancelled(loop, send, write_limit=write_limit):
        assert [document(number, part) for number in begun for part in range(parts)] == sent


class TakesBack(Connection[bytes]):
    """Drops what waits when a call that waits is cancelled."""

    async def _drain(self) -> None:
        try:
            await super()._drain()
        except asyncio.CancelledError:
            self._outbox.clear()
            raise


def test_a_document_taken_back_is_found_to_be_lost(loop: StillLoop) -> None:
    """The search above finds the fault that it is for."""
    lost = [len(begun) > len(sent) for begun, sent in send_cancelled(loop, one, TakesBack)]

    assert True in lost
