"""Three nodes, 300 clients, 20 rooms, 100,000 documents: what every client gets."""

from __future__ import annotations

import asyncio
import collections
import contextlib
from typing import TYPE_CHECKING, Any

import pytest

import xmlsocket
from tests.asyncio.support import port_of, until
from tests.support.nats import cluster
from tests.support.planes import settle
from xmlsocket import Connection, History, Limits, Room
from xmlsocket.backplane.nats import BackplaneError, NatsBackplane

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from tests.support.nats import NatsServer

NODES, CLIENTS, ROOMS, DOCUMENTS = 3, 300, 20, 100_000
BATCH = 10

# Of the clients: of this many in each room, the first ones speak.
MEMBERS = CLIENTS // ROOMS
SPEAKERS = 5


class Node:
    """A server whose clients name their room first and are in it from then on."""

    def __init__(self, backplane: NatsBackplane) -> None:
        self.backplane = backplane
        self.rooms = [Room(f"room {number}", backplane=backplane) for number in range(ROOMS)]

    async def __call__(self, connection: Connection[bytes]) -> None:
        room = self.rooms[int(await connection.recv())]
        room.join(connection)
        await connection.send(b"welcome")
        async for documents in connection.batches():
            for document in documents:
                room.broadcast(document, exclude=(connection,))

    def dropped(self) -> int:
        return self.backplane.stats().dropped + sum(room.stats().cut for room in self.rooms)


@contextlib.asynccontextmanager
async def backplanes(servers: Sequence[NatsServer]) -> AsyncIterator[list[NatsBackplane]]:
    """Connect one backplane to each server, with the others to turn to."""
    urls = [server.url for server in servers]
    async with contextlib.AsyncExitStack() as stack:
        opened: list[NatsBackplane] = []
        while len(opened) < NODES:
            turn = len(opened)
            plane = NatsBackplane(
                urls[turn:] + urls[:turn],
                history=History(documents=0),
                replicas=3,
                connect_timeout=10,
                heartbeat=3,
                retain=DOCUMENTS,
            )
            try:
                opened.append(await stack.enter_async_context(plane))
            except BackplaneError:  # there is no leader yet
                await asyncio.sleep(0.1)
        yield opened


class Client:
    """Speaks its share and counts what it hears: from each speaker, which document is next."""

    def __init__(self, number: int, connection: Connection[bytes]) -> None:
        self.number = number
        self.room, self.seat = divmod(number, MEMBERS)
        self.connection = connection
        self.heard: collections.Counter[int] = collections.Counter()
        self.wrong: list[bytes] = []

    @property
    def expected(self) -> dict[int, int]:
        share = DOCUMENTS // (ROOMS * SPEAKERS)
        first = self.room * MEMBERS
        speakers = range(first, first + SPEAKERS)
        return {speaker: share for speaker in speakers if speaker != self.number}

    async def enter(self) -> None:
        await self.connection.send(b"%d" % self.room)
        assert await self.connection.recv() == b"welcome"

    async def speak(self) -> None:
        if self.seat < SPEAKERS:
            share = DOCUMENTS // (ROOMS * SPEAKERS)
            for start in range(0, share, BATCH):
                await self.connection.send_many(
                    b"%d %d" % (self.number, index) for index in range(start, start + BATCH)
                )
                await asyncio.sleep(0)

    async def listen(self) -> None:
        total = sum(self.expected.values())
        async for documents in self.connection.batches():
            for document in documents:
                speaker, index = map(int, document.split())
                if index != self.heard[speaker]:
                    self.wrong.append(document)
                self.heard[speaker] += 1
            if self.heard.total() >= total:
                return


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_every_client_gets_every_document_once_in_order(tmp_path: Path) -> None:
    """Complete, in the order of each sender, none twice, while a node of NATS is killed."""
    options: dict[str, Any] = {"parse": bytes, "limits": Limits(write_cap=None)}
    with cluster(tmp_path) as servers:
        async with backplanes(servers) as planes, contextlib.AsyncExitStack() as stack:
            nodes = [Node(plane) for plane in planes]
            ports = [
                port_of(
                    await stack.enter_async_context(
                        xmlsocket.serve(node, "127.0.0.1", 0, **options)
                    )
                )
                for node in nodes
            ]
            clients = []
            for number in range(CLIENTS):
                opening = xmlsocket.connect("127.0.0.1", ports[number % NODES], parse=bytes)
                clients.append(Client(number, await stack.enter_async_context(opening)))
            for client in clients:
                await client.enter()
            await settle(*planes)

            async with asyncio.TaskGroup() as group:
                for client in clients:
                    group.create_task(client.listen())
                    group.create_task(client.speak())
                await until(lambda: sum(c.heard.total() for c in clients) > 4 * DOCUMENTS)
                url = (await planes[0]._link.session()).client.connected_url
                assert url is not None
                next(server for server in servers if server.port == url.port).kill()
            await settle(*planes)

            assert [client.expected for client in clients] == [client.heard for client in clients]
            assert not [client.wrong for client in clients if client.wrong]
            assert [0, 0, 0] == [node.dropped() for node in nodes]
            assert [0, 0, 0] == [plane.stats().missed for plane in planes]
            assert DOCUMENTS == sum(plane.stats().published for plane in planes)
            assert any(plane.stats().losses for plane in planes)
