"""
A client for server.py: enters the first room, greets, takes a step, and watches.

Run it with ``python client.py [port [name]]``.
"""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

from lxml.builder import E

import xmlsocket

if TYPE_CHECKING:
    from lxml import etree


def system(action: str, room: int, *children: etree._Element) -> etree._Element:
    """Build a document for the server."""
    return E.msg(E.body(*children, action=action, r=str(room)), t="sys")


async def ask(
    connection: xmlsocket.Connection[bytes], question: etree._Element, answer: str
) -> etree._Element:
    """Send a document and return the body of the answer, which comes next."""
    await connection.send(question)
    body = xmlsocket.parse(await connection.recv()).find("body")
    if body is None or body.get("action") != answer:
        sys.exit(f"refused: {'nothing' if body is None else body.get('action')!r}")
    return body


class Watcher:
    """Shows what happens in a room."""

    def __init__(self, users: etree._Element | None) -> None:
        self.names: dict[str, str] = {}
        for user in () if users is None else users:
            self.enter(user)

    def enter(self, user: etree._Element) -> None:
        """Remember the name of a user."""
        self.names[user.get("i", "")] = user.findtext("n") or ""

    def document(self, frame: bytes) -> None:
        """Show what a document of the server tells."""
        body = xmlsocket.parse(frame).find("body")
        user = None if body is None else body.find("*")  # always the first of the children
        if body is None or user is None:
            return
        match body.get("action"):
            case "uER":
                self.enter(user)
                print(f"{user.findtext('n')!r} enters")
            case "userGone":
                print(f"{self.names.pop(user.get('id', ''), '?')!r} leaves")
            case "pubMsg":
                print(f"{self.names.get(user.get('id', ''))!r} says {body.findtext('txt')!r}")

    def string(self, frame: bytes) -> None:
        """Show what a string of the game tells."""
        match frame.decode().split("%"):
            case ["", "xt", "move", _, user, x, y, ""]:
                print(f"{self.names.get(user)!r} goes to {int(x)}, {int(y)}")


async def main(port: int, name: str) -> None:
    """Play until the server closes, or Ctrl-C."""
    async with xmlsocket.connect("127.0.0.1", port, parse=bytes) as connection:
        await ask(connection, system("verChk", 0, E.ver(v="158")), "apiOK")
        login = E.login(E.nick(name), E.pword(), z="harbour")
        await ask(connection, system("login", 0, login), "logOK")
        rooms = await ask(connection, system("getRmList", -1), "rmList")
        for room in rooms.iterfind("rmList/rm"):
            print(f"room {room.get('id')}: {room.findtext('n')!r}, {room.get('ucnt')} in it")

        joined = await ask(connection, system("joinRoom", -1, E.room(id="1")), "joinOK")
        watcher = Watcher(joined.find("uLs"))
        print(f"in room 1 with {sorted(watcher.names.values())}")
        await connection.send(system("pubMsg", 1, E.txt("Hello!")))
        await connection.send("%xt%game%move%1%3%4%")

        kinds = {b"<": watcher.document, b"%": watcher.string}
        async for frame in connection:
            if kind := kinds.get(frame[:1]):
                kind(frame)


arguments = dict(enumerate(sys.argv))
asyncio.run(main(int(arguments.get(1, "9339")), arguments.get(2, "Kim")))
