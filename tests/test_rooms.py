"""Rooms: who gets what, in which order, and what becomes of peers that are slow."""

from __future__ import annotations

import asyncio
import contextlib
import pathlib
import re
from typing import TYPE_CHECKING, Any, Literal

import pytest

import xmlsocket
from tests.asyncio.support import pair, raw, reset, until
from xmlsocket import CloseReason, Connection, DelimiterInPayload, Limits, Room
from xmlsocket.asyncio.backlog import Backlog
from xmlsocket.rooms import _joined

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.planes import Plane

SLOW: dict[str, Any] = {"write_limit": 2**14, "limits": Limits(write_cap=None)}
PAGE = pathlib.Path(__file__).parent.parent / "docs" / "topics" / "rooms.md"


async def stall(connection: Connection[Any]) -> None:
    """Send until the peer, which does not read, is behind and stays so."""
    calm = 0
    while calm < 10:
        if connection._outbox.charge <= connection._room:
            xmlsocket.broadcast([connection], b"-" * 2**16)
            calm = 0
        calm += 1
        await asyncio.sleep(0.001)


@contextlib.asynccontextmanager
async def slow_member(
    room: Room, **options: Any
) -> AsyncIterator[tuple[Connection[Any], asyncio.StreamReader]]:
    """Open a connection whose peer is behind, and let it join."""
    async with raw(**SLOW | options) as (connection, reader, _):
        room.join(connection)
        await stall(connection)
        yield connection, reader


async def told(reader: asyncio.StreamReader, last: bytes) -> list[bytes]:
    """Read up to the document ``last`` and return what came, but for what stalled the peer."""
    frames: list[bytes] = []
    async with asyncio.timeout(20):
        while not frames or frames[-1] != last:
            frame = (await reader.readuntil(b"\0"))[:-1]
            if not frame.startswith(b"-"):
                frames.append(frame)
    return frames


@pytest.fixture(autouse=True, scope="module")
def nothing_is_left() -> Any:
    """No test leaves a connection in a room."""
    yield
    assert {} == _joined


# Members


async def test_broadcast_reaches_members_except_the_excluded(plane: Plane) -> None:
    """A document goes to all members but those that are excluded, and not to those who left."""
    room = plane.room("lobby")
    async with pair() as (a, at_a), pair() as (b, at_b), pair() as (c, at_c):
        for connection in (at_a, at_b, at_c):
            room.join(connection)
        assert {at_a, at_b, at_c} == room.members
        room.broadcast(b"1", exclude=[at_a])
        await plane.settle()
        room.leave(at_c)
        room.broadcast(b"2")

        assert b"2" == await a.recv()
        assert [b"1", b"2"] == [await b.recv(), await b.recv()]
        assert b"1" == await c.recv()
        at_c.abort()
        with pytest.raises(xmlsocket.ConnectionClosed):
            await c.recv()
        await plane.settle()
        assert 2 == room.stats().documents


async def test_join_and_leave_twice_do_no_harm(plane: Plane) -> None:
    """A member that joins again still gets one copy; who is no member can leave."""
    room = plane.room("lobby")
    async with pair() as (client, connection):
        room.leave(connection)
        room.join(connection)
        room.join(connection)
        room.broadcast(b"1")
        await plane.settle()
        room.leave(connection)
        room.leave(connection)
        room.broadcast(b"2")
        await connection.send(b"3")

        assert [b"1", b"3"] == [await client.recv(), await client.recv()]


@pytest.mark.parametrize("how", ["eof", "reset", "abort"])
async def test_connection_that_ends_leaves_all_its_rooms(plane: Plane, how: str) -> None:
    """However it ends, a connection is in no room any more, and cannot come back."""
    rooms = [plane.room("a"), plane.room("b")]
    async with raw() as (connection, _, writer):
        for room in rooms:
            room.join(connection)
        rooms[1].leave(connection)
        rooms[1].join(connection)
        if how == "eof":
            writer.close()
            await connection.close()
        elif how == "reset":
            reset(writer)
        else:
            connection.abort()
        await connection.wait_closed()
        await until(lambda: not any(room.members for room in rooms))
        rooms[0].join(connection)

        assert 0 == rooms[0].stats().members
        assert connection not in _joined


async def test_broadcast_passes_over_members_that_are_closing(plane: Plane) -> None:
    """Between its end and its leaving a member is sent nothing, under any policy."""
    policies: tuple[Literal["close", "latest"], ...] = ("close", "latest")
    for policy in policies:
        room = plane.room(policy, slow_peer=policy)
        async with pair() as (_, connection):
            room.join(connection)
            await plane.settle()
            connection.abort()
            room.broadcast(b"1")

            assert 0 == connection.stats.frames_out
            assert 0 == room.stats().cut


@pytest.mark.parametrize("name", ["", "x" * 256, "\xe9" * 128])
def test_name_out_of_range_is_refused(name: str) -> None:
    """Names come from peers: empty and long ones are refused; the limit counts bytes."""
    with pytest.raises(ValueError, match="must have 1 to 255 bytes"):
        Room(name)


def test_options_out_of_range_are_refused() -> None:
    """A misspelt policy or a negative bound is an error at once."""
    with pytest.raises(ValueError, match="slow_peer must be one of"):
        Room("a", slow_peer="drop_newest")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="max_waiting must not be negative, not -1"):
        Room("a", max_waiting=-1)
    with pytest.raises(ValueError, match="a key needs slow_peer='latest', not 'drop_oldest'"):
        Room("a", slow_peer="drop_oldest").broadcast(b"1", key="k")


async def test_delimiter_in_payload_sends_nothing(plane: Plane) -> None:
    """A document that would be two is refused before anyone is sent it."""
    room = plane.room("a")
    async with pair() as (_, connection):
        room.join(connection)
        with pytest.raises(DelimiterInPayload):
            room.broadcast("a\0b")
        assert 0 == connection.stats.frames_out


# Slow members


@pytest.mark.parametrize("policy", ["close", "drop_oldest", "latest"])
async def test_order_with_send_is_kept_for_members_that_keep_up(plane: Plane, policy: Any) -> None:
    """Documents of rooms and of `send` arrive in the order in which they were given."""
    room = plane.room("a", slow_peer=policy)
    async with pair() as (client, connection):
        room.join(connection)
        await connection.send(b"0")
        room.broadcast(b"1")
        await plane.settle()
        await connection.send(b"2")
        room.broadcast(b"3")

        assert [b"0", b"1", b"2", b"3"] == [await client.recv() for _ in range(4)]
        assert not isinstance(connection._outbox, Backlog)


async def test_close_cuts_the_slow_member_and_counts_it(plane: Plane) -> None:
    """Above the cap the member is cut off, as by `broadcast`."""
    room = plane.room("a")
    async with slow_member(room, limits=Limits(write_cap=2**18)) as (connection, _):
        while connection.close_reason is None:
            room.broadcast(b"x" * 2**14)
            await plane.settle()

        assert CloseReason.SLOW_PEER == connection.close_reason
        assert 1 == room.stats().cut


async def test_drop_oldest_keeps_the_newest_in_order(plane: Plane) -> None:
    """Of what waits the oldest goes; what `send` was given is never dropped."""
    room = plane.room("a", slow_peer="drop_oldest", max_waiting=3 * (352 + 4))
    async with slow_member(room) as (connection, reader):
        before = connection.stats.frames_out
        for number in range(5):
            room.broadcast(b"%03d" % number)
        await plane.settle()
        sending = asyncio.ensure_future(connection.send(b"sent"))
        await asyncio.sleep(0)
        for number in range(5, 7):
            room.broadcast(b"%03d" % number)
        room.broadcast(b"end")
        await plane.settle()

        assert 5 == room.stats().dropped
        assert before + 9 == connection.stats.frames_out
        assert [b"sent", b"005", b"006", b"end"] == await told(reader, b"end")
        await sending
        await until(lambda: not isinstance(connection._outbox, Backlog))
        assert before + 9 == connection.stats.frames_out
        assert 0 == connection.stats.queued_out


async def test_drop_oldest_lets_one_large_document_wait(plane: Plane) -> None:
    """A document larger than ``max_waiting`` still arrives."""
    room = plane.room("a", slow_peer="drop_oldest", max_waiting=0)
    async with slow_member(room) as (_, reader):
        room.broadcast(b"x" * 30_000)
        room.broadcast(b"y" * 30_000)
        await plane.settle()

        assert [b"y" * 30_000] == await told(reader, b"y" * 30_000)
        assert 1 == room.stats().dropped


async def test_drop_oldest_holds_bounded_memory(plane: Plane) -> None:
    """However much is said, no more than ``max_waiting`` is held for a slow member."""
    room = plane.room("a", slow_peer="drop_oldest", max_waiting=2**14)
    async with slow_member(room) as (connection, _):
        before = connection.stats.queued_out
        most = 0
        for number in range(1000):
            room.broadcast(b"x" * 100)
            if number % 20 == 0:
                await plane.settle()
            most = max(most, connection.stats.queued_out)

        assert before < most <= before + 2**14
        assert isinstance(connection._outbox, Backlog)
        assert len(connection._outbox._entries) <= 2**14 // 352
        connection.abort()
        await connection.wait_closed()
        assert 0 == connection.stats.queued_out
        assert not isinstance(connection._outbox, Backlog)


async def test_latest_replaces_by_key_and_never_drops_without(plane: Plane) -> None:
    """Of each key the last arrives, in its order; of the others every one does."""
    room = plane.room("a", slow_peer="latest")
    async with slow_member(room) as (_, reader):
        for number in range(50):
            room.broadcast(b"a%d" % number, key="a")
            room.broadcast(b"chat%d" % number)
            room.broadcast(b"b%d" % number, key="b")
        room.broadcast(b"end")
        await plane.settle()
        chat = [b"chat%d" % number for number in range(50)]

        assert [*chat[:49], b"a49", chat[49], b"b49", b"end"] == await told(reader, b"end")
        assert 2 * 49 == room.stats().replaced
        assert 0 == room.stats().dropped


async def test_latest_keys_of_two_rooms_do_not_meet(plane: Plane) -> None:
    """The same key in another room is another key."""
    rooms = [plane.room("a", slow_peer="latest"), plane.room("b", slow_peer="latest")]
    async with slow_member(rooms[0]) as (connection, reader):
        rooms[1].join(connection)
        for room in rooms:
            room.broadcast(room.name, key="k")
            await plane.settle()

        assert [b"a", b"b"] == await told(reader, b"b")


async def test_latest_cuts_the_member_for_what_may_not_be_dropped(plane: Plane) -> None:
    """Documents without a key are held up to the cap, then the member is cut off, once."""
    room = plane.room("a", slow_peer="latest")
    async with slow_member(room, limits=Limits(write_cap=2**18)) as (connection, _):
        for _ in range(100):
            room.broadcast(b"x" * 2**14)
        await plane.settle()

        assert CloseReason.SLOW_PEER == connection.close_reason
        assert 1 == room.stats().cut


async def test_slow_member_does_not_delay_the_others(plane: Plane) -> None:
    """Who reads gets everything, whatever is dropped for another."""
    room = plane.room("a", slow_peer="drop_oldest")
    async with slow_member(room), pair() as (client, connection):
        room.join(connection)
        for number in range(500):
            room.broadcast(b"%d" % number)
            if number % 50 == 0:
                await asyncio.sleep(0)

        assert [b"%d" % number for number in range(500)] == [
            await client.recv() for _ in range(500)
        ]


async def test_burst_in_one_turn_drops_nothing_that_the_peer_can_take(plane: Plane) -> None:
    """More than ``write_limit`` in one turn of the loop does not make a member slow by itself."""
    room = plane.room("a", slow_peer="drop_oldest", max_waiting=0)
    async with raw(write_limit=2**12) as (connection, reader, _):
        room.join(connection)
        burst = [b"%03d" % number + b"x" * 2**10 for number in range(20)]
        for document in burst:
            room.broadcast(document)

        assert burst == await told(reader, burst[-1])
        assert 0 == room.stats().dropped


async def test_slow_member_that_is_closed_still_gets_what_waits(plane: Plane) -> None:
    """Closing in order sends what waits for a slow member, as it does with everything queued."""
    room = plane.room("a", slow_peer="latest")
    async with slow_member(room) as (connection, reader):
        room.broadcast(b"old", key="k")
        room.broadcast(b"new", key="k")
        await plane.settle()
        assert connection._outbox.room is not None
        closing = asyncio.ensure_future(connection.close())
        await asyncio.sleep(0)
        room.broadcast(b"late", key="k")

        assert [b"new"] == await told(reader, b"new")
        assert b"" == await reader.read()
        await closing


async def test_slow_websocket_gets_the_newest(plane: Plane) -> None:
    """The policies hold for browsers too."""
    room = plane.room("a", slow_peer="drop_oldest", max_waiting=0)
    joined: asyncio.Future[Connection[bytes]] = asyncio.get_running_loop().create_future()

    async def handler(connection: Connection[bytes]) -> None:
        room.join(connection)
        joined.set_result(connection)
        await connection.wait_closed()

    async with xmlsocket.serve(
        handler, "127.0.0.1", 0, parse=bytes, websocket=True, **SLOW
    ) as server:
        port = server.sockets[0].getsockname()[1]
        async with xmlsocket.connect_websocket(f"ws://127.0.0.1:{port}/", parse=bytes) as client:
            connection = await joined
            await stall(connection)
            room.broadcast(b"old")
            room.broadcast(b"new")
            await plane.settle()
            frames = (frame async for frame in client if not frame.startswith(b"-"))

            assert b"new" == await anext(frames)
            assert 1 == room.stats().dropped
            await frames.aclose()
            connection.abort()


# Backplane


async def test_rooms_of_one_name_on_one_backplane_are_one_room(plane: Plane) -> None:
    """A document reaches the members of both, each once; other names get nothing."""
    here, there = plane.room("a"), plane.far_room("a")
    other = plane.room("b")
    async with pair() as (a, at_a), pair() as (b, at_b), pair() as (c, at_c):
        here.join(at_a)
        there.join(at_b)
        other.join(at_c)
        await plane.settle()
        here.broadcast(b"1", exclude=[at_a])
        await plane.settle()
        there.broadcast(b"2")
        other.broadcast(b"3")

        assert b"2" == await a.recv()
        assert [b"1", b"2"] == [await b.recv(), await b.recv()]
        assert b"3" == await c.recv()
        for room, connection in ((here, at_a), (there, at_b), (other, at_c)):
            room.leave(connection)
        assert 0 == plane.open_rooms()


async def test_keys_cross_the_backplane(plane: Plane) -> None:
    """A document of another server displaces the one of its key here."""
    here, there = plane.room("a", slow_peer="latest"), plane.far_room("a", slow_peer="latest")
    async with slow_member(here) as (_, reader):
        await plane.settle()
        there.broadcast(b"old", key="k")
        there.broadcast(b"new", key="k")
        await plane.settle()

        assert [b"new"] == await told(reader, b"new")
        assert 1 == here.stats().replaced


# The page


async def test_page_example_runs() -> None:
    """The example of the documentation is a chat with positions."""
    (example,) = re.findall(
        r"^```python\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
    names: dict[str, Any] = {}
    exec(compile(example, PAGE.name, "exec"), names)
    async with (
        xmlsocket.serve(names["handler"], "127.0.0.1", 0) as server,
        xmlsocket.connect(*server.sockets[0].getsockname(), parse=bytes) as ada,
    ):
        async with xmlsocket.connect(*server.sockets[0].getsockname(), parse=bytes) as bob:
            await until(lambda: 2 == names["plaza"].stats().members)
            await ada.send('<at id="ada" x="1"/>')
            await ada.send("<say>hello</say>")

            assert [b'<at id="ada" x="1"/>', b"<say>hello</say>"] == [
                await bob.recv(),
                await bob.recv(),
            ]
