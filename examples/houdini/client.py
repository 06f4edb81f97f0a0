"""
A client for server.py: logs in with a hash of the password and the server's key.

Run it with ``python client.py [port [name]]``; it asks for the password, which is
"correct horse" for Kim.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
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
    """Send a document and return the body of the answer."""
    await connection.send(question)
    body = xmlsocket.parse(await connection.recv()).find("body")
    if body is None or body.get("action") != answer:
        sys.exit(f"refused: {'nothing' if body is None else body.get('action')!r}")
    return body


async def main(port: int, name: str, password: str) -> None:
    """Log in and show the outcome."""
    async with xmlsocket.connect("127.0.0.1", port, parse=bytes) as connection:
        await ask(connection, system("verChk", 0, E.ver(v="153")), "apiOK")
        key = (await ask(connection, system("rndK", -1), "rndK")).findtext("k") or ""

        secret = hashlib.sha256(password.encode()).digest()
        proof = hmac.digest(secret, key.encode(), "sha256").hex()
        login = E.login(E.nick(name), E.pword(proof), z="w1")
        await connection.send(system("login", 0, login))

        match (await connection.recv()).decode().split("%"):
            case ["", "xt", "l", "-1", number, _, ""]:
                print(f"logged in as player {int(number)}")
            case ["", "xt", "e", "-1", error, ""]:
                sys.exit(f"refused: error {int(error)}")
            case _:
                sys.exit("the server speaks another language")


arguments = dict(enumerate(sys.argv))
asyncio.run(main(int(arguments.get(1, "9339")), arguments.get(2, "Kim"), input("Password: ")))
