"""
A game server in the manner of SmartFoxServer 1: a lobby, rooms, chat and moves.

Documents, ``<msg t="sys">…``, carry what every game needs; strings,
``%xt%extension%command%room%…%``, what this game adds. Both share the stream, and
the first byte tells which is which. Run it with ``python server.py [port]``, then
client.py twice. Anybody may log in under a free name: the place to ask for more is
`on_login`.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lxml.builder import E

import xmlsocket

if TYPE_CHECKING:
    from lxml import etree

VERSION = "158"
MAX_NAME = 20


@dataclass(eq=False)
class Room:
    """A room and who is in it."""

    id: int
    name: str
    size: int
    players: set[Player] = field(default_factory=set)

    def tell(self, message: etree._Element | str, *, but: Player | None = None) -> None:
        """Send a message to all in the room, or to all but one."""
        xmlsocket.broadcast([p.connection for p in self.players if p is not but], message)


@dataclass(eq=False)
class Player:
    """One connection; ``name`` is empty before login, ``room`` is None in the lobby."""

    connection: xmlsocket.Connection[bytes]
    id: int = field(default_factory=itertools.count(1).__next__)
    checked: bool = False
    name: str = ""
    room: Room | None = None

    def leave(self) -> None:
        """Go back to the lobby."""
        if self.room is not None:
            self.room.players.remove(self)
            self.room.tell(system("userGone", self.room.id, E.user(id=str(self.id))))
            self.room = None

    def element(self) -> etree._Element:
        """Return what the others see."""
        return E.u(E.n(self.name), E.vars(), i=str(self.id), m="0", s="0")


ROOMS = {room.id: room for room in (Room(1, "Harbour", 50), Room(2, 'Table "Ace & King"', 2))}
NAMES: set[str] = set()


def system(action: str, room: int, *children: etree._Element) -> etree._Element:
    """Build a document of the server; lxml escapes whatever players have written."""
    return E.msg(E.body(*children, action=action, r=str(room)), t="sys")


def xt(*fields: object) -> str:
    """Build a %-string. It knows no escape, so a field must not hold a %."""
    texts = [str(field) for field in fields]
    if any("%" in text for text in texts):
        raise ValueError("a field of a %-string holds a %")
    return "%".join(("", "xt", *texts, ""))


async def on_version(player: Player, body: etree._Element) -> None:
    """Let the right clients in."""
    version = body.find("ver")
    player.checked = version is not None and version.get("v") == VERSION
    await player.connection.send(system("apiOK" if player.checked else "apiKO", 0))


async def on_login(player: Player, body: etree._Element) -> None:
    """Give the player a name that nobody else has."""
    name = (body.findtext("login/nick") or "").strip()
    if not player.checked or player.name:
        reply = E.login(e="not now")
    elif not name or len(name) > MAX_NAME or "%" in name:
        reply = E.login(e="no such name, please")
    elif name in NAMES:
        reply = E.login(e="this name is taken")
    else:
        player.name = name
        NAMES.add(name)
        reply = E.login(id=str(player.id), mod="0", n=name)
    await player.connection.send(system("logKO" if "e" in reply.attrib else "logOK", 0, reply))


async def on_room_list(player: Player, body: etree._Element) -> None:  # noqa: ARG001 - as all are called
    """List the rooms."""
    rooms = E.rmList()
    for room in ROOMS.values():
        numbers = {"id": room.id, "ucnt": len(room.players), "maxu": room.size, "maxs": 0}
        flags = {"priv": "0", "temp": "0", "game": "0"}
        rooms.append(E.rm(E.n(room.name), {k: str(v) for k, v in numbers.items()} | flags))
    await player.connection.send(system("rmList", 0, rooms))


async def on_join(player: Player, body: etree._Element) -> None:
    """Move the player to another room, and tell those in both."""
    wanted = body.find("room")
    room = None if wanted is None else ROOMS.get(int(wanted.get("id", "0")))
    if not player.name or room is None or len(room.players - {player}) >= room.size:
        await player.connection.send(system("joinKO", 0, E.error(msg="not there, not now")))
        return
    player.leave()
    player.room = room
    room.players.add(player)
    room.tell(system("uER", room.id, player.element()), but=player)
    users = E.uLs(*(other.element() for other in room.players), r=str(room.id))
    await player.connection.send(system("joinOK", room.id, E.pid(id="0"), E.vars(), users))


async def on_public_message(player: Player, body: etree._Element) -> None:
    """Tell everybody in the room, the player included."""
    if player.room is None:
        raise ValueError("nobody hears what is said in the lobby")
    text = E.txt(body.findtext("txt") or "")
    player.room.tell(system("pubMsg", player.room.id, E.user(id=str(player.id)), text))


async def on_move(player: Player, room: int, fields: list[str]) -> None:
    """Tell the others in the room where the player goes; only numbers are passed on."""
    x, y = map(int, fields)
    if player.room is None or player.room.id != room:
        raise ValueError("a move in a room where the player is not")
    player.room.tell(xt("move", room, player.id, x, y), but=player)


SYSTEM = {
    "verChk": on_version,
    "login": on_login,
    "getRmList": on_room_list,
    "joinRoom": on_join,
    "pubMsg": on_public_message,
}
EXTENSIONS = {("game", "move"): on_move}


async def on_document(player: Player, frame: bytes) -> None:
    """Do what ``<msg t="sys"><body action="…">`` asks for."""
    body = xmlsocket.parse(frame).find("body")
    handler = None if body is None else SYSTEM.get(body.get("action", ""))
    if body is None or handler is None:
        raise ValueError("a document that asks for nothing known")
    await handler(player, body)


async def on_string(player: Player, frame: bytes) -> None:
    """Do what ``%xt%extension%command%room%…%`` asks for."""
    _, _, extension, command, room, *fields, _ = frame.decode().split("%")
    handler = EXTENSIONS.get((extension, command))
    if handler is None:
        raise ValueError("a %-string that asks for nothing known")
    await handler(player, int(room), fields)


KINDS = {b"<": on_document, b"%": on_string}


async def serve_one(connection: xmlsocket.Connection[bytes]) -> None:
    """Serve a player; what makes no sense is passed over, and the next is read."""
    player = Player(connection)
    try:
        async for frame in connection:
            try:
                if handler := KINDS.get(frame[:1]):
                    await handler(player, frame)
            except ValueError as exc:  # DocumentError and UnicodeDecodeError are such
                print(f"player {player.id}: passed over: {exc}")
    finally:
        player.leave()
        NAMES.discard(player.name)


async def main() -> None:
    """Listen until Ctrl-C."""
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 9339
    async with xmlsocket.serve(
        serve_one, "127.0.0.1", port, parse=bytes, max_size=16_384
    ) as server:
        print(f"listening on port {server.sockets[0].getsockname()[1]}")
        await server.serve_forever()


asyncio.run(main())
