"""Limits on what a peer may cost: stalled output, the rate of frames, a server's memory."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
import types
from typing import TYPE_CHECKING, Any, cast

import pytest

import xmlsocket
import xmlsocket.asyncio.connection
from tests.asyncio.support import Handler, pair, port_of, raw, until, warnings_of
from tests.support.tls import contexts
from xmlsocket import CloseReason, ConnectionClosedError, Limits
from xmlsocket.flow import CONNECTION_CHARGE, FRAME_OVERHEAD, TLS_CHARGE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from xmlsocket import Connection, Server

CHUNK = b"x" * 2**18


def transport_of(writer: asyncio.StreamWriter) -> asyncio.Transport:
    """Return the transport of a stream, which reads too."""
    return cast("asyncio.Transport", writer.transport)


async def fill(connection: Connection[Any]) -> None:
    """Queue for a peer that does not read until its transport takes no more."""
    while not connection._writing_paused:
        xmlsocket.broadcast([connection], CHUNK)
        await asyncio.sleep(0)


# What waits for the peer


async def test_send_timeout_cuts_a_peer_that_takes_nothing() -> None:
    """A peer that takes nothing of what waits for it is cut off, and send() says why."""
    async with raw(limits=Limits(send_timeout=0.1)) as (connection, _, writer):
        transport_of(writer).pause_reading()
        with pytest.raises(ConnectionClosedError, match="send_timeout") as caught:
            while True:
                await connection.send(CHUNK)

        assert CloseReason.SLOW_PEER is caught.value.reason is connection.close_reason


async def test_send_timeout_resets_the_peer_that_it_cuts() -> None:
    """A peer that reads in the end learns that it was cut off; it sees no end in order."""
    async with raw(limits=Limits(send_timeout=0.1)) as (connection, reader, writer):
        transport_of(writer).pause_reading()
        with contextlib.suppress(ConnectionClosedError):
            while True:
                await connection.send(CHUNK)
        await connection.wait_closed()
        transport_of(writer).resume_reading()

        with pytest.raises(ConnectionResetError):
            while await reader.read(2**20):
                pass


async def test_send_timeout_cuts_over_tls() -> None:
    """With TLS a peer that takes nothing is cut off too."""
    server_context, client_context = contexts()
    handler = Handler()
    options: dict[str, Any] = {"parse": bytes, "limits": Limits(send_timeout=0.1)}
    async with xmlsocket.serve(handler, "127.0.0.1", 0, ssl=server_context, **options) as server:
        _, writer = await asyncio.open_connection(
            "127.0.0.1", port_of(server), ssl=client_context, server_hostname="localhost"
        )
        connection = await handler.connection()
        transport_of(writer).pause_reading()
        with pytest.raises(ConnectionClosedError) as caught:
            while True:
                await connection.send(CHUNK)

        assert CloseReason.SLOW_PEER is caught.value.reason
        handler.leave()
        writer.transport.abort()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def test_send_timeout_counts_from_the_last_byte_taken() -> None:
    """The time is over at the limit, not before, and every byte taken starts it anew."""
    limits = Limits(send_timeout=30, write_cap=None)
    async with raw(limits=limits) as (connection, reader, _):
        # More than the system's buffers take, and all of it is in the transport.
        xmlsocket.broadcast([connection], b"x" * 2**25)
        await until(lambda: connection._writing_paused)
        assert not connection._stuck(1000)
        full = connection._in_transport
        assert not connection._stuck(1029)

        await reader.readexactly(2**23)
        await until(lambda: connection._transport.get_write_buffer_size() < full)
        assert connection._writing_paused
        assert not connection._stuck(1031)
        await reader.readexactly(2**25 - 2**23 + 1)
        await until(lambda: not connection._writing_paused)

        assert not connection._stuck(5000)
        assert connection.close_reason is None


@pytest.mark.parametrize(("seconds", "stuck"), [(29, False), (30, True), (31, True)])
async def test_send_timeout_is_over_at_the_limit(seconds: int, stuck: bool) -> None:
    """A peer that takes nothing is stuck when the time is over, and not before."""
    async with raw(limits=Limits(send_timeout=30)) as (connection, _, writer):
        transport_of(writer).pause_reading()
        await fill(connection)
        sizes: list[int] = []

        def settled() -> bool:
            """Tell whether the system takes no more either."""
            sizes.append(connection._transport.get_write_buffer_size())
            return len(sizes) > 20 and len(set(sizes[-20:])) == 1

        await until(settled)
        assert not connection._stuck(1000)

        assert stuck is connection._stuck(1000 + seconds)


async def test_send_timeout_full_again_counts_anew() -> None:
    """A transport that was emptied and is full again has its whole time."""
    async with raw(limits=Limits(send_timeout=30)) as (connection, reader, writer):
        read = 0
        for now in (1000, 1029, 1058):
            transport_of(writer).pause_reading()
            await fill(connection)
            assert not connection._stuck(now)
            assert not connection._stuck(now + 29)
            transport_of(writer).resume_reading()
            sent = connection.stats.bytes_out
            await reader.readexactly(sent - read)
            read = sent
            await until(lambda: not connection._writing_paused)


async def test_send_timeout_does_not_count_while_nothing_waits() -> None:
    """A peer that is sent nothing is never stuck."""
    async with raw(limits=Limits(send_timeout=0.02)) as (connection, reader, _):
        assert not connection._stuck(1000)
        assert not connection._stuck(2000)
        await connection.send(b"a")

        assert b"a\0" == await reader.readexactly(2)
        assert connection.close_reason is None


async def test_send_timeout_none_waits_for_ever() -> None:
    """``send_timeout=None`` lifts the limit."""
    async with raw(limits=Limits(send_timeout=None)) as (connection, _, writer):
        transport_of(writer).pause_reading()
        await fill(connection)

        assert not connection._stuck(1000)
        assert not connection._stuck(10**9)


# Frames a second


async def test_frame_rate_pauses_reading_and_loses_nothing() -> None:
    """Above the rate reading pauses; every frame arrives all the same, in order."""
    async with raw(limits=Limits(frame_rate=100)) as (connection, _, writer):
        frames = [b"%d" % number for number in range(130)]
        writer.write(b"\0".join(frames[:101]) + b"\0")
        await until(lambda: connection._reading_paused)
        assert 101 == connection.stats.frames_in
        writer.write(b"\0".join(frames[101:]) + b"\0")

        assert frames == [await connection.recv() for _ in frames]
        assert connection.close_reason is None


def stop_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no time pass for connections that read."""
    now = time.monotonic()
    clock = types.SimpleNamespace(monotonic=lambda: now)
    monkeypatch.setattr(xmlsocket.asyncio.connection, "time", clock)


@pytest.mark.parametrize(("count", "pauses"), [(999, False), (1000, False), (1001, True)])
async def test_frame_rate_burst_at_the_limit_passes(
    count: int, pauses: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many frames as a second allows pass at once; with one more reading pauses."""
    async with raw(limits=Limits(frame_rate=1000)) as (connection, _, _writer):
        stop_clock(monkeypatch)
        view = connection.get_buffer(-1)
        view[: 2 * count] = b"a\0" * count
        connection.buffer_updated(2 * count)

        assert pauses is connection._reading_paused


async def test_frame_rate_byte_by_byte_pauses_at_the_same_frame(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """How the frames are cut does not change which of them is one too many."""
    async with raw(limits=Limits(frame_rate=5)) as (connection, _, _writer):
        stop_clock(monkeypatch)
        view = connection.get_buffer(-1)
        paused = []
        for byte in b"ab\0" * 6:
            view[:1] = bytes([byte])
            connection.buffer_updated(1)
            paused.append(connection._reading_paused)

        assert [False] * 17 + [True] == paused


async def test_frame_rate_application_that_takes_does_not_resume_reading() -> None:
    """Reading goes on when the rate allows it, not when the application has taken all."""
    async with raw(limits=Limits(frame_rate=10)) as (connection, _, writer):
        writer.write(b"x\0" * 1000)
        await until(lambda: connection._reading_paused)
        taken = 0
        async for frames in connection.batches():
            taken += len(frames)
            break
        assert connection._reading_paused
        while connection._ready or connection._arrived:
            taken += len(await connection.recv())

        assert connection._reading_paused
        assert taken == connection.stats.frames_in


async def test_frame_rate_none_never_pauses() -> None:
    """By default there is no rate."""
    async with raw() as (connection, _, writer):
        assert connection._pace is None
        writer.write(b"x\0" * 5000)
        await until(lambda: connection.stats.frames_in == 5000)

        assert not connection._reading_paused


# A server's memory


@contextlib.asynccontextmanager
async def crowd(
    count: int, **options: Any
) -> AsyncIterator[tuple[Server[Any], list[Connection[Any]], list[socket.socket]]]:
    """Open a server with connections whose peers are plain sockets."""
    handler = Handler()
    async with xmlsocket.serve(handler, "127.0.0.1", 0, parse=bytes, **options) as server:
        loop = asyncio.get_running_loop()
        peers, connections = [], []
        try:
            for _ in range(count):
                peer = socket.socket()
                peers.append(peer)
                peer.setblocking(False)
                await loop.sock_connect(peer, ("127.0.0.1", port_of(server)))
                connections.append(await handler.connection())
            yield server, connections, peers
        finally:
            handler.leave()
            for peer in peers:
                peer.close()


async def give(connection: Connection[Any], peer: socket.socket, data: bytes) -> None:
    """Let a peer send, and wait until it is read."""
    before = connection.stats.bytes_in
    await asyncio.get_running_loop().sock_sendall(peer, data)
    await until(lambda: connection.stats.bytes_in == before + len(data))


async def test_memory_stats_sum_all_that_is_held() -> None:
    """Unfinished frames, queues in both directions and the connections themselves are summed."""
    async with crowd(3) as (server, (partial, queued, writing), peers):
        assert 3 * CONNECTION_CHARGE == server.stats().memory
        await give(partial, peers[0], b"x" * 1000)
        await give(queued, peers[1], b"abc\0de\0")
        await fill(writing)
        xmlsocket.broadcast([writing], b"1234")

        expected = 1000 + 5 + 2 * FRAME_OVERHEAD + writing._waiting_out() + 3 * CONNECTION_CHARGE
        assert expected == server.stats().memory

        await queued.recv()
        await queued.recv()
        assert expected - 5 - 2 * FRAME_OVERHEAD == server.stats().memory


async def test_memory_stats_charge_tls() -> None:
    """A connection with TLS is charged what its layer of TLS allocates."""
    server_context, client_context = contexts()
    handler = Handler()
    options: dict[str, Any] = {"parse": bytes, "ssl": server_context}
    async with xmlsocket.serve(handler, "127.0.0.1", 0, **options) as server:
        async with xmlsocket.connect(
            "127.0.0.1", port_of(server), ssl=client_context, server_hostname="localhost"
        ):
            await handler.connection()
            assert TLS_CHARGE == server.stats().memory
            handler.leave()


@pytest.mark.parametrize("spare", [1, 0, -1])
async def test_memory_budget_is_exact(spare: int) -> None:
    """At the budget nothing happens; one byte above, the heaviest is paused, then cut."""
    held = 10_000 + 100
    limit = 2 * CONNECTION_CHARGE + held + spare
    async with crowd(2, limits=Limits(memory=limit)) as (server, (heavy, light), peers):
        budget = server._memory
        budget.close()  # the test looks
        await give(heavy, peers[0], b"x" * 10_000)
        await give(light, peers[1], b"x" * 100)

        budget._look(0)
        assert (spare < 0, False) == (heavy._reading_paused, light._reading_paused)
        budget._look(0)

        expected = (CloseReason.MEMORY, None) if spare < 0 else (None, None)
        assert expected == (heavy.close_reason, light.close_reason)
        budget.close()


async def test_memory_pause_that_helps_cuts_nobody() -> None:
    """When the application takes what waits before the next look, reading goes on."""
    limit = CONNECTION_CHARGE + 1000
    async with crowd(1, limits=Limits(memory=limit)) as (server, (connection,), (peer,)):
        budget = server._memory
        budget.close()
        await give(connection, peer, b"x" * 1000 + b"\0")
        budget._look(0)
        assert connection._reading_paused
        assert 1000 == len(await connection.recv())
        assert connection._reading_paused

        budget._look(0)

        assert not connection._reading_paused
        assert connection.close_reason is None
        await give(connection, peer, b"y\0")
        budget.close()


async def test_memory_cut_drops_what_waits_and_raises_the_reason() -> None:
    """A connection cut off for its memory gives it back at once, whatever its handler does."""
    limit = CONNECTION_CHARGE + 1000
    async with crowd(1, limits=Limits(memory=limit)) as (server, (connection,), (peer,)):
        budget = server._memory
        budget.close()
        await give(connection, peer, (b"x" * 500 + b"\0") * 2 + b"unfinished")
        budget._look(0)
        budget._look(0)

        assert 0 == connection._held()
        with pytest.raises(ConnectionClosedError, match=r"Limits\.memory") as caught:
            await connection.recv()
        assert CloseReason.MEMORY is caught.value.reason
        await until(lambda: not server.connections)
        assert 0 == server.stats().memory
        assert {CloseReason.MEMORY: 1} == server.stats().closed
        budget.close()


async def test_memory_connections_alone_above_the_budget_cut_the_youngest() -> None:
    """Where connections that hold nothing are too many, those that came last go."""
    limit = 3 * CONNECTION_CHARGE
    async with crowd(5, limits=Limits(memory=limit)) as (server, connections, _):
        budget = server._memory
        budget.close()
        budget._look(0)
        budget._look(0)
        budget._look(0)

        reasons = [connection.close_reason for connection in connections]
        assert [None] * 3 + [CloseReason.MEMORY] * 2 == reasons
        assert not any(connection._reading_paused for connection in connections[:3])
        budget.close()


async def test_memory_flood_of_unfinished_frames_is_bounded(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Many unfinished frames end with the heaviest cut off, by the clock alone, and one line."""
    limit = 2**20
    options: dict[str, Any] = {"limits": Limits(memory=limit)}
    async with crowd(20, **options) as (server, connections, peers):
        loop = asyncio.get_running_loop()
        sending = [
            asyncio.create_task(loop.sock_sendall(peer, b"x" * size))
            for size, peer in enumerate(peers[:-1], 200_000)
        ]
        await until(lambda: server.stats().closed.get(CloseReason.MEMORY, 0) >= 14)
        await until(lambda: server.stats().memory <= limit)
        await give(connections[-1], peers[-1], b"<a/>\0")

        assert b"<a/>" == await connections[-1].recv()
        assert server.connections
        for task in sending:
            task.cancel()
        await asyncio.gather(*sending, return_exceptions=True)
    assert ["cut off: it holds" in record.getMessage() for record in warnings_of(caplog)] == [True]


async def test_memory_unfinished_frames_bring_a_look_before_the_clock() -> None:
    """What comes without the end of a frame is looked at when it has used up what was left."""
    limit = CONNECTION_CHARGE + 8000
    async with crowd(1, limits=Limits(memory=limit)) as (server, (connection,), (peer,)):
        connection._share.unwatch(server._memory)  # no clock
        await give(connection, peer, b"x" * 7000)  # more than an eighth
        await give(connection, peer, b"x" * 1000)
        assert not connection._reading_paused
        await give(connection, peer, b"x")

        assert connection._reading_paused
        assert connection.close_reason is None


async def test_memory_full_is_looked_at_every_32nd_of_the_budget() -> None:
    """Where little or nothing is left, a look does not come with every read."""
    limit = CONNECTION_CHARGE + 8000
    async with crowd(1, limits=Limits(memory=limit)) as (server, (connection,), (peer,)):
        connection._share.unwatch(server._memory)  # no clock
        await give(connection, peer, b"x" * 8000)
        await give(connection, peer, b"x" * (limit // 32))
        assert not connection._reading_paused
        await give(connection, peer, b"x")

        assert connection._reading_paused


async def test_memory_none_looks_at_nothing() -> None:
    """``memory=None`` lifts the limit; the sum is told all the same."""
    async with crowd(1, limits=Limits(memory=None)) as (server, (connection,), (peer,)):
        assert server._memory not in {
            watched for clock in connection._share._clocks.values() for watched in clock._watched
        }
        await give(connection, peer, b"x" * 1000)

        assert CONNECTION_CHARGE + 1000 == server.stats().memory


async def test_memory_looks_are_hurried_above_a_half_and_over_with_the_server() -> None:
    """Above half of the budget the looks come quicker; afterwards as before; then none."""
    limit = 2 * (CONNECTION_CHARGE + 1000)
    async with crowd(1, limits=Limits(memory=limit)) as (server, (connection,), (peer,)):
        budget = server._memory
        clocks = connection._share._clocks

        def periods() -> list[float]:
            return [period for period, clock in clocks.items() if budget in clock._watched]

        assert [1.0] == periods()
        await give(connection, peer, b"x" * 1000)
        budget._look(0)
        assert [1.0] == periods()
        await give(connection, peer, b"x")
        budget._look(0)
        assert [0.05] == periods()
        await give(connection, peer, b"\0")
        await connection.recv()
        budget._look(0)
        assert [1.0] == periods()
    assert [] == periods()


async def test_memory_of_a_peer_that_has_ended_is_not_paused_and_can_be_taken() -> None:
    """Where nothing is read any more there is nothing to pause, and taking helps all the same."""
    limit = CONNECTION_CHARGE + 1000
    async with crowd(1, limits=Limits(memory=limit)) as (server, (connection,), (peer,)):
        budget = server._memory
        budget.close()
        await give(connection, peer, b"x" * 1000 + b"\0")
        peer.shutdown(socket.SHUT_WR)
        await until(lambda: connection.close_reason is CloseReason.EOF)

        budget._look(0)
        assert not connection._reading_paused
        assert b"x" * 1000 == await connection.recv()
        budget._look(0)
        budget._look(0)

        assert CloseReason.EOF is connection.close_reason
        await connection.send(b"<thanks/>")
        assert b"<thanks/>\0" == await asyncio.get_running_loop().sock_recv(peer, 100)
        budget.close()


async def test_memory_does_not_count_for_clients() -> None:
    """The budget is the server's: a client's connection is not looked at."""
    async with pair(limits=Limits(memory=1)) as (client, connection):
        await connection.send(b"x" * 1000)

        assert b"x" * 1000 == await client.recv()
