"""
A login server in the manner of Houdini: version, random key, and a hash for a password.

Questions are documents, ``<msg t="sys">…``; the outcome is a string, ``%xt%l%-1%…%``
or ``%xt%e%-1%error%``. Each question may be asked once and in this order: verChk,
rndK, login. Run it with ``python server.py [port]``, then client.py.

The hash is HMAC-SHA-256 with a new key for each connection, so that an answer that
was overheard is of no use later. What the server stores is then as good as the
password. If your clients can speak TLS (``ssl=``), let them send the password
itself instead, and store a slow hash of it, such as `hashlib.scrypt`.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lxml.builder import E

import xmlsocket

if TYPE_CHECKING:
    from lxml import etree

VERSION = "153"
WRONG_PASSWORD = 101

PLAYERS = {  # name: number and SHA-256 of the password
    "Kim": (1, hashlib.sha256(b"correct horse").digest()),
    "Ben": (2, hashlib.sha256("100% zażółć".encode()).digest()),
}


@dataclass
class Session:
    """How far a client has come."""

    connection: xmlsocket.Connection[bytes]
    steps: int = 0
    key: str = ""
    player: int | None = None


def system(action: str, room: int, *children: etree._Element) -> etree._Element:
    """Build a document of the server."""
    return E.msg(E.body(*children, action=action, r=str(room)), t="sys")


def xt(*fields: object) -> str:
    """Build a %-string. It knows no escape, so a field must not hold a %."""
    texts = [str(field) for field in fields]
    if any("%" in text for text in texts):
        raise ValueError("a field of a %-string holds a %")
    return "%".join(("", "xt", *texts, ""))


async def on_version(session: Session, body: etree._Element) -> None:
    """Let the right clients in, and send the others away."""
    version = body.find("ver")
    if version is None or version.get("v") != VERSION:
        await session.connection.send(system("apiKO", 0))
        await session.connection.close()
        return
    await session.connection.send(system("apiOK", 0))


async def on_random_key(session: Session, body: etree._Element) -> None:  # noqa: ARG001 - as all are called
    """Give the client a key to hash its password with."""
    session.key = secrets.token_hex(16)
    await session.connection.send(system("rndK", -1, E.k(session.key)))


async def on_login(session: Session, body: etree._Element) -> None:
    """Compare hashes; who fails is sent away, and cannot tell a wrong name by it."""
    name, answer = body.findtext("login/nick") or "", body.findtext("login/pword") or ""
    number, secret = PLAYERS.get(name, (None, secrets.token_bytes(32)))
    expected = hmac.digest(secret, session.key.encode(), "sha256").hex()
    # As bytes: compare_digest refuses text that is not ASCII.
    if not hmac.compare_digest(expected.encode(), answer.encode()) or number is None:
        await session.connection.send(xt("e", -1, WRONG_PASSWORD))
        await session.connection.close()
        return
    session.player = number
    # What the client would show to the server of the game.
    await session.connection.send(xt("l", -1, number, secrets.token_hex(16)))


STEPS = [("verChk", on_version), ("rndK", on_random_key), ("login", on_login)]


async def on_document(session: Session, frame: bytes) -> None:
    """Do what ``<msg t="sys"><body action="…">`` asks for, if it is due."""
    body = xmlsocket.parse(frame).find("body")
    action, handler = STEPS[session.steps] if session.steps < len(STEPS) else ("", None)
    if body is None or handler is None or body.get("action") != action:
        raise ValueError("a document that is not due")
    session.steps += 1  # before the handler: frames that came with this one get no other try
    await handler(session, body)


async def serve_one(connection: xmlsocket.Connection[bytes]) -> None:
    """Serve a client; what makes no sense is passed over, and the next is read."""
    session = Session(connection)
    async for frame in connection:
        try:
            await on_document(session, frame)
        except ValueError as exc:  # DocumentError is one
            print(f"connection {connection.id}: passed over: {exc}")


async def main() -> None:
    """Listen until Ctrl-C."""
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 9339
    async with xmlsocket.serve(serve_one, "127.0.0.1", port, parse=bytes, max_size=4096) as server:
        print(f"listening on port {server.sockets[0].getsockname()[1]}")
        await server.serve_forever()


asyncio.run(main())
