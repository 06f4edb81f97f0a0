"""The clients and servers of this package through the chaos proxy: nothing lost, ends told."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import pytest

import xmlsocket
from tests.asyncio.support import Handler as AsyncHandler
from tests.sync import support as sync_support
from tests.sync.support import Handler, port_of, start
from xmlsocket import (
    CloseReason,
    ConnectionClosed,
    ConnectionClosedError,
    DocumentError,
    IncompleteFrame,
    sync,
)
from xmlsocket.testing import ChaosProxy, Faults

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

COUNT = 100_000
DOCUMENTS = [b"<m n='%d'/>" % number for number in range(COUNT)]
TORN = Faults(merge=(1, 9000), slice=(1, 3000))


@contextlib.asynccontextmanager
async def far_pair(
    parse: Callable[[bytes], Any] = bytes, **options: Any
) -> AsyncIterator[tuple[xmlsocket.Connection[Any], xmlsocket.Connection[Any], ChaosProxy]]:
    """Open a connection through a proxy and give its client's and its server's end."""
    handler = AsyncHandler()
    async with xmlsocket.serve(handler, "127.0.0.1", 0, parse=parse) as server:
        port = server.sockets[0].getsockname()[1]
        async with ChaosProxy("127.0.0.1", port, **options) as proxy:
            client = await xmlsocket.connect(*proxy.address, parse=parse)
            connection = await handler.connection()
            try:
                yield client, connection, proxy
            finally:
                handler.leave()
                connection.abort()
                client.abort()
                await client.wait_closed()


@contextlib.contextmanager
def far_sync_pair(
    parse: Callable[[bytes], Any] = bytes, **options: Any
) -> Iterator[tuple[sync.Connection[Any], sync.Connection[Any], ChaosProxy]]:
    """Do the same with threads."""
    handler = Handler()
    with (
        sync.serve(handler, "127.0.0.1", 0, parse=parse) as server,
        ChaosProxy("127.0.0.1", port_of(server), **options) as proxy,
        sync.connect(*proxy.address, parse=parse) as client,
    ):
        connection = handler.connection()
        try:
            yield client, connection, proxy
        finally:
            handler.leave()
            connection.abort()
            client.abort()


async def test_asyncio_100_000_documents_torn_and_joined_arrive_in_order() -> None:
    """Wherever the stream is cut, both directions deliver every document once, in order."""

    async def send(connection: xmlsocket.Connection[Any]) -> None:
        for at in range(0, COUNT, 500):
            await connection.send_many(DOCUMENTS[at : at + 500])

    async def receive(connection: xmlsocket.Connection[Any]) -> list[bytes]:
        frames: list[bytes] = []
        async for batch in connection.batches():
            frames += batch
            if len(frames) >= COUNT:
                break
        return frames

    async with far_pair(seed=1, faults=TORN) as (client, connection, proxy):
        async with asyncio.timeout(50):
            up, down, *_ = await asyncio.gather(
                receive(connection), receive(client), send(client), send(connection)
            )
        stats = proxy.stats
    assert DOCUMENTS == up
    assert DOCUMENTS == down
    assert stats.to_server.pieces > 500


def test_sync_100_000_documents_torn_and_joined_arrive_in_order() -> None:
    """Wherever the stream is cut, every document is delivered once, in order."""
    with far_sync_pair(seed=2, faults=TORN) as (client, connection, proxy):

        def send() -> None:
            for at in range(0, COUNT, 500):
                client.send_many(DOCUMENTS[at : at + 500])

        sending = start(send)
        frames: list[bytes] = []
        for batch in connection.batches():
            frames += batch
            if len(frames) >= COUNT:
                break
        sending.result(sync_support.PATIENCE)
        assert DOCUMENTS == frames
        assert proxy.stats.to_server.pieces > 500


# Not at byte 0: the reset would race with connect(), which then may fail itself.
@pytest.mark.parametrize("place", [1, 4, 5, 8])
async def test_asyncio_reset_at_a_byte_delivers_whole_frames_then_tells_of_the_reset(
    place: int,
) -> None:
    """Frames that came whole are delivered, then the reason is reset, on both sides."""
    async with far_pair(to_server=Faults(reset_at=place)) as (client, connection, _):
        await client.send_many([b"<a/>", b"<b/>"])
        for side, expected in ((connection, [b"<a/>"] * (place >= 5)), (client, [])):
            frames = []
            with pytest.raises(ConnectionClosedError) as caught:
                async with asyncio.timeout(20):
                    while True:
                        frames.append(await side.recv())
            assert expected == frames
            assert CloseReason.RESET is caught.value.reason
            assert isinstance(caught.value.__cause__, OSError)


@pytest.mark.parametrize("place", [1, 4, 5, 8])
def test_sync_reset_at_a_byte_delivers_whole_frames_then_tells_of_the_reset(place: int) -> None:
    """Frames that came whole are delivered, then the reason is reset, on both sides."""
    with far_sync_pair(to_server=Faults(reset_at=place)) as (client, connection, _):
        with contextlib.suppress(ConnectionClosed):
            client.send_many([b"<a/>", b"<b/>"])
        for side, expected in ((connection, [b"<a/>"] * (place >= 5)), (client, [])):
            frames = []
            with pytest.raises(ConnectionClosedError) as caught:
                while True:
                    frames.append(side.recv(timeout=20))
            assert expected == frames
            assert CloseReason.RESET is caught.value.reason


async def test_asyncio_half_close_delivers_and_leaves_the_way_back_open() -> None:
    """The end of the client's stream ends input only: the answer still gets there."""
    async with far_pair(to_server=Faults(half_close_at=5)) as (client, connection, _):
        await client.send(b"<a/>")
        async with asyncio.timeout(20):
            assert b"<a/>" == await connection.recv()
            assert [] == [frame async for frame in connection]
            await connection.send(b"<answer/>")
            assert b"<answer/>" == await client.recv()
        assert CloseReason.EOF is connection.close_reason


def test_sync_half_close_delivers_and_leaves_the_way_back_open() -> None:
    """The end of the client's stream ends input only: the answer still gets there."""
    with far_sync_pair(to_server=Faults(half_close_at=5)) as (client, connection, _):
        client.send(b"<a/>")
        assert b"<a/>" == connection.recv(timeout=20)
        assert [] == list(connection)
        connection.send(b"<answer/>")
        assert b"<answer/>" == client.recv(timeout=20)
        assert CloseReason.EOF is connection.close_reason


async def test_asyncio_limit_inside_a_frame_is_an_incomplete_frame() -> None:
    """An orderly end that comes too early is told as what it is, with its place."""
    async with far_pair(to_server=Faults(limit=8)) as (client, connection, _):
        await client.send_many([b"<a/>", b"<b/>"])
        async with asyncio.timeout(20):
            assert b"<a/>" == await connection.recv()
            with pytest.raises(ConnectionClosedError) as caught:
                await connection.recv()
    assert CloseReason.INCOMPLETE_FRAME is caught.value.reason
    assert isinstance(caught.value.__cause__, IncompleteFrame)
    assert (5, b"<b/") == (caught.value.__cause__.offset, caught.value.__cause__.partial)


WHOLE = b"<m><n>text</n></m>"


def check_corrupted(roots: list[Any], errors: list[DocumentError]) -> None:
    """Check what became of 400 documents of which every hundredth byte was changed."""
    assert 200 < sum(root.tag == "m" for root in roots) < 400
    assert len(errors) > 20
    assert all(error.line is not None and error.frame != WHOLE for error in errors)
    assert all(str(error).isprintable() for error in errors)


async def test_asyncio_corrupt_documents_raise_errors_that_say_where() -> None:
    """A damaged document is told with its frame and place, and the next one is received."""
    roots: list[Any] = []
    errors: list[DocumentError] = []
    faults = Faults(corrupt=0.01)
    async with far_pair(parse=xmlsocket.parse, seed=4, to_server=faults) as (client, connection, _):
        await client.send_many([WHOLE] * 400)
        await client.close()
        with pytest.raises(ConnectionClosed):
            async with asyncio.timeout(20):
                while True:
                    try:
                        roots.append(await connection.recv())
                    except DocumentError as error:
                        errors.append(error)
    check_corrupted(roots, errors)


def test_sync_corrupt_documents_raise_errors_that_say_where() -> None:
    """A damaged document is told with its frame and place, and the next one is received."""
    roots: list[Any] = []
    errors: list[DocumentError] = []
    faults = Faults(corrupt=0.01)
    with far_sync_pair(parse=xmlsocket.parse, seed=4, to_server=faults) as (client, connection, _):
        client.send_many([WHOLE] * 400)
        client.close()
        with pytest.raises(ConnectionClosed):
            while True:
                try:
                    roots.append(connection.recv(timeout=20))
                except DocumentError as error:
                    errors.append(error)
    check_corrupted(roots, errors)


async def test_asyncio_black_hole_keeps_documents_until_it_is_lifted() -> None:
    """What was sent into it arrives when the cable is plugged in again, in order."""
    async with far_pair() as (client, connection, proxy):
        proxy.to_server = Faults(black_hole=True)
        await client.send(b"<a/>")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await connection.recv()
        await client.send(b"<b/>")
        proxy.to_server = Faults()
        async with asyncio.timeout(20):
            assert [b"<a/>", b"<b/>"] == [await connection.recv(), await connection.recv()]
