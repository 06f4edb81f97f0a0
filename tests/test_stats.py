"""What waits in queues and what rooms drop, in the figures of connections and servers."""

from __future__ import annotations

import socket

import xmlsocket
from tests.asyncio.support import until
from xmlsocket import Connection, Limits, Room

FRAME = b"x" * 2**16


async def test_stats_tell_what_waits_and_what_a_room_dropped() -> None:
    """A peer that does not read is charged for what waits; when it is gone nothing waits."""
    room = Room("a", slow_peer="drop_oldest", max_waiting=len(FRAME))
    members: list[Connection[bytes]] = []

    async def join(connection: Connection[bytes]) -> None:
        room.join(connection)
        members.append(connection)
        await connection.wait_closed()

    async with xmlsocket.serve(
        join, "127.0.0.1", 0, parse=bytes, write_limit=2**14, limits=Limits(write_cap=None)
    ) as server:
        with peer(server) as slow:
            await until(lambda: members)
            (member,) = members

            def behind() -> bool:
                room.broadcast(FRAME)
                return room.stats().dropped >= 5

            await until(behind)
            waits = server.stats()
            assert member.stats.queued_out == waits.queued_out > len(FRAME)
            slow.sendall(b"<a/>\0" * 3)
            await until(lambda: server.stats().queued_in == 3 * (4 + 128))
        await until(lambda: not server.connections)

        stats = server.stats()
        dropped = room.stats().dropped
        assert (0, 0) == (stats.queued_in, stats.queued_out)
        assert dropped == stats.dropped == member.stats.dropped


def peer(server: xmlsocket.Server[bytes]) -> socket.socket:
    """Connect to a server, and read nothing."""
    host, port = server.sockets[0].getsockname()
    return socket.create_connection((host, port), timeout=20)
