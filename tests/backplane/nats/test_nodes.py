"""Clients of several nodes: one that moves to another, and those of a worker that is killed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import xmlsocket
from tests.asyncio.support import port_of, until
from tests.cli.support import serving
from tests.support.planes import prefix, settle
from xmlsocket import Connection, History, Room
from xmlsocket.backplane.nats import NatsBackplane

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.support.nats import NatsServer
    from xmlsocket import Server

PATIENCE = 40.0
CLIENTS = 16


class Node:
    """A server with one room, whose clients are in it from the start."""

    def __init__(self, backplane: NatsBackplane) -> None:
        self.room = Room("plaza", backplane=backplane)

    async def __call__(self, connection: Connection[bytes]) -> None:
        self.room.join(connection)
        async for document in connection:
            self.room.broadcast(document, exclude=(connection,))


async def numbers(connection: Connection[bytes], last: int) -> list[int]:
    """Return the numbers that arrive, up to the last one."""
    found: list[int] = []
    while not found or found[-1] != last:
        found.append(int(await connection.recv()))
    return found


async def test_client_that_moves_to_another_node_misses_nothing(nats_server: NatsServer) -> None:
    """With history the new node tells what was said meanwhile, and goes on with what is said."""
    history, name = History(documents=50), prefix()

    def plane() -> NatsBackplane:
        return NatsBackplane(nats_server.url, history=history, prefix=name)

    def node(backplane: NatsBackplane) -> xmlsocket.asyncio.Serve[bytes]:
        return xmlsocket.serve(Node(backplane), "127.0.0.1", 0, parse=bytes)

    def client(server: Server[bytes]) -> xmlsocket.asyncio.Connect[bytes]:
        return xmlsocket.connect("127.0.0.1", port_of(server), parse=bytes)

    async with (
        asyncio.timeout(PATIENCE),
        plane() as here,
        plane() as there,
        node(here) as first,
        node(there) as second,
        client(second) as speaker,
    ):
        async with client(first) as mover:
            await until(lambda: first.connections and second.connections)
            await settle(here, there)
            await speaker.send_many([b"%d" % number for number in range(100)])
            heard = await numbers(mover, 99)
        assert list(range(100)) == heard

        await speaker.send_many([b"%d" % number for number in range(100, 130)])
        await settle(here, there)
        async with client(second) as mover:
            told = await numbers(mover, 129)
            await speaker.send_many([b"%d" % number for number in range(130, 200)])
            live = await numbers(mover, 199)

    # The last 50, of which the client knows 20; nothing between them and what follows.
    assert list(range(80, 130)) == told
    assert list(range(130, 200)) == live


async def call(clients: Iterable[Connection[bytes]]) -> None:
    """Have all call until each has heard all others."""
    clients = list(clients)
    names = {client: b"<call from='%d'/>" % client.id for client in clients}

    async def listen(client: Connection[bytes]) -> None:
        missing = set(names.values()) - {names[client]}
        while missing:
            missing.discard(await client.recv())

    listening = asyncio.gather(*map(listen, clients))
    while not listening.done():
        for client in clients:
            await client.send(names[client])
        await asyncio.wait([listening], timeout=0.05)
    await listening


def workers_of(supervisor: int) -> set[int]:
    """Return the processes of the workers, which are those that serve."""
    children = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text("ascii").split()
    return {
        int(child)
        for child in children
        if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()
    }


async def test_worker_that_is_killed_takes_only_its_own_clients(nats_server: NatsServer) -> None:
    """Its clients see a close; the others hear each other on, and those who come back."""
    options = ("--mode", "chat", "--workers", "2", "--backplane", nats_server.url)
    with serving(*options) as server:
        async with asyncio.timeout(PATIENCE), contextlib.AsyncExitStack() as stack:

            async def open_one() -> Connection[bytes]:
                connection = xmlsocket.connect("127.0.0.1", server.port, parse=bytes)
                return await stack.enter_async_context(connection)

            clients = [await open_one() for _ in range(CLIENTS)]
            await call(clients)
            before = workers_of(server.process.pid)
            assert 2 == len(before)
            os.kill(min(before), signal.SIGKILL)

            # The kernel has closed the connections of a process before its parent
            # hears of its end. It gave each worker some of them.
            await until(lambda: workers_of(server.process.pid) - before)
            lost = [client for client in clients if client.close_reason is not None]
            left = [client for client in clients if client not in lost]
            assert lost
            assert left
            back = [await open_one() for _ in lost]
            await call(left + back)
        status, _, _ = server.stop(signal.SIGTERM)
    assert 0 == status
