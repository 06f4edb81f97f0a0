"""
Limits one below, at and one above, whole and byte by byte.

Here are those that bound what a connection holds and takes. The times stand in
``tests/test_connection.py`` and ``test_limits.py``, with the rate and the memory
of a server; who is let in stands in ``tests/test_admission.py``.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

import xmlsocket
from tests.asyncio.support import raw, until
from tests.sync.support import raw as raw_sync
from xmlsocket import CloseReason, ConnectionClosedError, Limits
from xmlsocket.flow import FRAME_OVERHEAD

if TYPE_CHECKING:
    from collections.abc import Callable

    from xmlsocket import Connection

LIMIT = 1000

EDGES = [(-1, False), (0, False), (1, True)]
"""What is added to the limit, and whether that is too much."""


def whole(data: bytes) -> list[bytes]:
    """Deliver at once."""
    return [data]


def delimiter_apart(data: bytes) -> list[bytes]:
    """Deliver the last byte, the delimiter, by itself."""
    return [data[:-1], data[-1:]]


def byte_by_byte(data: bytes) -> list[bytes]:
    """Deliver each byte by itself."""
    return [bytes([byte]) for byte in data]


deliveries = pytest.mark.parametrize("cut", [whole, delimiter_apart, byte_by_byte])
edges = pytest.mark.parametrize(("more", "beyond"), EDGES)


def receive(connection: Connection[Any], pieces: list[bytes]) -> None:
    """Have each piece arrive in a read of its own."""
    for piece in pieces:
        connection.get_buffer(-1)[: len(piece)] = piece
        connection.buffer_updated(len(piece))


@edges
@deliveries
async def test_max_size_at_its_edges(
    cut: Callable[[bytes], list[bytes]], more: int, beyond: bool
) -> None:
    """A frame as long as ``max_size`` is received, and one byte more ends the connection."""
    frame = b"x" * (LIMIT + more)
    async with raw(max_size=LIMIT) as (connection, _, writer):
        for piece in cut(frame + b"\0"):
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        if beyond:
            with pytest.raises(ConnectionClosedError, match="max_size"):
                await connection.recv()
            assert CloseReason.FRAME_TOO_BIG is connection.close_reason
        else:
            assert frame == await connection.recv()


@edges
@deliveries
def test_max_size_at_its_edges_with_threads(
    cut: Callable[[bytes], list[bytes]], more: int, beyond: bool
) -> None:
    """The same with blocking calls."""
    frame = b"x" * (LIMIT + more)
    with raw_sync(max_size=LIMIT) as (connection, peer):
        for piece in cut(frame + b"\0"):
            peer.sendall(piece)
        if beyond:
            with pytest.raises(ConnectionClosedError, match="max_size"):
                connection.recv(timeout=20)
            assert CloseReason.FRAME_TOO_BIG is connection.close_reason
        else:
            assert frame == connection.recv(timeout=20)


@edges
@deliveries
async def test_read_limit_at_its_edges(
    cut: Callable[[bytes], list[bytes]], more: int, beyond: bool
) -> None:
    """Reading goes on with as much as ``read_limit`` waiting, and pauses with one byte more."""
    async with raw(read_limit=LIMIT) as (connection, _, _writer):
        receive(connection, cut(b"x" * (LIMIT - FRAME_OVERHEAD + more) + b"\0"))

        assert LIMIT + more == connection.stats.queued_in
        assert beyond is connection._reading_paused


@edges
async def test_write_limit_at_its_edges(more: int, beyond: bool) -> None:
    """send() returns with as much as ``write_limit`` waiting, and waits with one byte more."""
    limit = 2**20
    async with raw(write_limit=limit, limits=Limits(write_cap=None)) as (connection, _, writer):
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        waiting = connection._waiting_out
        # Until the system takes no more: from then on nothing goes by itself.
        sizes: list[int] = []
        while len(sizes) < 20 or len(set(sizes[-20:])) > 1:
            if not connection._writing_paused:
                sizes.clear()
                xmlsocket.broadcast([connection], b"x" * 2**16)
            sizes.append(connection._transport.get_write_buffer_size())
            await asyncio.sleep(0.001)
        await connection.send(b"")
        rest = limit - waiting()
        empty = FRAME_OVERHEAD + 1
        assert rest > empty

        task = asyncio.ensure_future(connection.send(b"x" * (rest - empty + more)))
        for _ in range(5):
            await asyncio.sleep(0)

        assert limit + more == waiting()
        assert beyond is not task.done()
        connection.abort()
        await asyncio.gather(task, return_exceptions=True)


@edges
@deliveries
async def test_quantum_at_its_edges(
    cut: Callable[[bytes], list[bytes]], more: int, beyond: bool
) -> None:
    """Frames up to ``quantum`` are taken in one turn of the loop; the next waits for another."""
    quantum = 10
    async with raw(limits=Limits(quantum=quantum)) as (connection, _, _writer):
        receive(connection, cut(b"x\0" * (quantum + more)))
        turns = 0

        async def other() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        task = asyncio.create_task(other())
        for _ in range(quantum + more):
            await connection.recv()
        taken_within = turns
        task.cancel()
        await until(task.done)

        assert beyond is (taken_within > 0)
