"""Clients that are killed and stopped, and a server that is asked to go while all are talking."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading

import pytest

import xmlsocket
from xmlsocket import CloseReason, ConnectionClosedError, Limits, sync

from ..asyncio.support import Handler, port_of, until
from ..cli.support import serving
from .peer import PATIENCE, peer

CLIENTS = 100


# Clients that vanish


@pytest.mark.parametrize(
    ("sent", "answer", "reason"),
    [
        (b"<a/>\0", b"", CloseReason.EOF),
        (b"<a/>\0<half", b"", CloseReason.INCOMPLETE_FRAME),
        # The system resets what was not read.
        (b"<a/>\0", b"<b/>", CloseReason.RESET),
    ],
    ids=["between frames", "inside a frame", "with an answer unread"],
)
async def test_killed_client_is_noticed_at_once(
    sent: bytes, answer: bytes, reason: CloseReason
) -> None:
    """``kill -9``: what it had sent arrives, then the loss; the server goes on."""
    handler = Handler()
    async with asyncio.timeout(PATIENCE):
        async with xmlsocket.serve(handler, "127.0.0.1", 0, parse=bytes) as server:
            with peer(port_of(server), sent) as client:
                connection = await handler.connection()
                if answer:
                    await connection.send(answer)
                assert b"<a/>" == await connection.recv()
                client.kill()
                await connection.wait_closed() if reason is CloseReason.RESET else None
                with pytest.raises(xmlsocket.ConnectionClosed) as caught:
                    await connection.recv()

                assert reason is caught.value.reason
            with peer(port_of(server)):
                assert b"<here/>" == await (await handler.connection()).recv()
            handler.leave()


def test_killed_client_is_noticed_by_a_thread_at_once() -> None:
    """The thread that waits for it gets what came, then the loss."""
    seen: list[object] = []
    done = threading.Event()
    first = threading.Event()

    def handler(connection: sync.Connection[bytes]) -> None:
        try:
            while True:
                seen.append(connection.recv())
                first.set()
        except xmlsocket.ConnectionClosed as error:
            seen.append(error.reason)
            done.set()

    with sync.serve(handler, "127.0.0.1", 0, parse=bytes) as server:
        with peer(server.sockets[0].getsockname()[1], b"<a/>\0<half") as client:
            assert first.wait(PATIENCE)
            client.kill()
            assert done.wait(PATIENCE)

    assert [b"<a/>", CloseReason.INCOMPLETE_FRAME] == seen


# Clients that stop


async def test_stopped_reader_is_cut_and_the_others_get_everything() -> None:
    """``kill -STOP`` of one of three: broadcast() waits for nobody and cuts it, with a reason."""
    document = b"<d>" + b"x" * 2**16 + b"</d>"
    handler = Handler()
    async with asyncio.timeout(PATIENCE):
        async with xmlsocket.serve(
            handler, "127.0.0.1", 0, parse=bytes, limits=Limits(write_cap=2**20)
        ) as server:
            with peer(port_of(server)) as client:
                stopped = await handler.connection()
                client.stop()
                clients = [
                    await xmlsocket.connect("127.0.0.1", port_of(server), parse=bytes)
                    for _ in range(2)
                ]
                count = 0
                while stopped.close_reason is None:
                    xmlsocket.broadcast(server.connections, document)
                    count += 1
                    for other in clients:
                        assert document == await other.recv()
                await stopped.wait_closed()

                assert CloseReason.SLOW_PEER is stopped.close_reason
                assert 2 == len(server.connections)
                # When it goes on it finds out, after a part of it all.
                size, _ = client.read()
                assert size < count * (len(document) + 1)
                for other in clients:
                    await other.close()
                handler.leave()


async def test_stopped_reader_is_cut_for_its_sender_and_others_are_served() -> None:
    """A handler whose send() waits for a stopped process gets ``slow_peer``, the others answers."""
    caught: asyncio.Future[ConnectionClosedError] = asyncio.get_running_loop().create_future()

    async def handler(connection: xmlsocket.Connection[bytes]) -> None:
        if await connection.recv() == b"<flood/>":
            try:
                while True:
                    await connection.send(b"x" * 2**16)
            except ConnectionClosedError as error:
                caught.set_result(error)
                raise
        async for frame in connection:
            await connection.send(frame)

    limits = Limits(send_timeout=0.5)
    async with asyncio.timeout(PATIENCE):
        async with xmlsocket.serve(handler, "127.0.0.1", 0, parse=bytes, limits=limits) as server:
            async with xmlsocket.connect("127.0.0.1", port_of(server), parse=bytes) as other:
                await other.send("<here/>")
                with peer(port_of(server), b"<flood/>\0") as client:
                    client.stop()
                    while not caught.done():
                        await other.send("<echo/>")
                        assert b"<echo/>" == await other.recv()

                    assert CloseReason.SLOW_PEER is caught.result().reason
                    client.read()  # it comes to an end


# The server is asked to go


class Talker:
    """A client that sends numbered documents without end, and checks what comes back."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.received = 0
        self.rest = b""

    def document(self, number: int) -> bytes:
        return b'<d from="%d" n="%d">%s</d>\0' % (self.number, number, b"." * (number % 50))

    async def talk(self, port: int) -> None:
        """Talk until the server ends the stream."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        sending = asyncio.create_task(self.send(writer))
        try:
            while data := await reader.read(2**16):
                *frames, self.rest = (self.rest + data).split(b"\0")
                for frame in frames:
                    assert self.document(self.received) == frame + b"\0"
                    self.received += 1
        finally:
            sending.cancel()
            await asyncio.wait([sending])
            writer.close()
            with contextlib.suppress(OSError):  # more was sent than the server read
                await writer.wait_closed()

    async def send(self, writer: asyncio.StreamWriter) -> None:
        number = 0
        while True:
            writer.write(self.document(number))
            number += 1
            if number % 10 == 0:
                await writer.drain()
                await asyncio.sleep(0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_signal_while_100_clients_send_gives_each_whole_documents_then_eof(
    number: signal.Signals,
) -> None:
    """Every document that was taken is answered whole; nobody is cut, and the status is 0."""
    talkers = [Talker(number) for number in range(CLIENTS)]
    async with asyncio.timeout(PATIENCE):
        with serving() as server:
            async with asyncio.TaskGroup() as group:
                for talker in talkers:
                    group.create_task(talker.talk(server.port))
                await until(lambda: all(talker.received >= 3 for talker in talkers))
                stopping = asyncio.to_thread(server.stop, number)
                status, lines, err = await group.create_task(stopping)

    assert (0, b"") == (status, err)
    answers = sum(talker.received for talker in talkers)
    assert [
        f"closing {CLIENTS} connections",
        f"stopped after {CLIENTS} connections, {answers:,} documents in and {answers:,} out",
    ] == lines
    assert {b""} == {talker.rest for talker in talkers}


async def test_closing_server_with_threads_gives_each_whole_documents_then_eof() -> None:
    """The same with threads, for fewer clients."""

    def echo(connection: sync.Connection[bytes]) -> None:
        for frame in connection:
            connection.send(frame)

    def stop() -> list[sync.Connection[bytes]]:
        server.close(PATIENCE)
        return server.wait_closed()

    talkers = [Talker(number) for number in range(20)]
    async with asyncio.timeout(PATIENCE):
        with sync.serve(echo, "127.0.0.1", 0, parse=bytes) as server:
            port = server.sockets[0].getsockname()[1]
            async with asyncio.TaskGroup() as group:
                for talker in talkers:
                    group.create_task(talker.talk(port))
                await until(lambda: all(talker.received >= 3 for talker in talkers))
                cut = await asyncio.to_thread(stop)

    assert [] == cut
    assert server.stats().frames_out == sum(talker.received for talker in talkers)
    assert {b""} == {talker.rest for talker in talkers}


async def test_signal_with_a_stopped_client_reports_whom_it_cut() -> None:
    """After the time of grace the one that does not read is cut, and it alone is named."""
    flood = (b"x" * (2**20 - 1) + b"\0") * 16  # more than the systems' buffers take
    patience = "from xmlsocket.cli import serve; serve.GRACE = 1"
    async with asyncio.timeout(PATIENCE):
        options = ("--mode", "chat", "--limit", "write_cap=none")
        with serving(*options, prelude=patience) as server, peer(server.port) as client:
            client.stop()
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            other, other_writer = await asyncio.open_connection(
                "127.0.0.1", server.port, limit=2**24
            )
            other_writer.write(b"<there/>\0")
            await reader.readuntil(b"<there/>\0")
            writer.write(flood)
            await other.readexactly(len(flood))
            stopping = asyncio.create_task(asyncio.to_thread(server.stop))
            assert b"" == await other.read()
            other_writer.close()
            assert b"" == (await reader.read()).replace(b"<here/>\0", b"")
            writer.close()
            status, lines, err = await stopping

    assert (0, b"") == (status, err)
    assert "closing 3 connections" == lines[0]
    assert [True, False] == [line.endswith(": it did not read in time") for line in lines[1:]]
