"""
A server whose clients send XML, %-separated strings and JSON, as many games did.

The first byte tells which it is, so frames are received as bytes, and parsed by
what is registered for that byte. Try it: python examples/mixed_traffic.py, then
xmlsocket connect 127.0.0.1 9339, and type one line of each kind.
"""

import asyncio
import json
from collections.abc import Callable

import xmlsocket


def on_xml(frame: bytes) -> str:
    """Answer a document with an element."""
    children = len(xmlsocket.parse(frame))
    return f'<ok children="{children}"/>'


def on_string(frame: bytes) -> str:
    """Answer ``%xt%extension%command%…%`` with a string of the same form."""
    _, kind, extension, *_ = frame.decode().split("%")
    return f"%{kind}%{extension}%ok%"


def on_json(frame: bytes) -> str:
    """Answer an object with an object."""
    return json.dumps({"ok": sorted(json.loads(frame))})


HANDLERS: dict[bytes, Callable[[bytes], str]] = {b"<": on_xml, b"%": on_string, b"{": on_json}


def refuse(frame: bytes) -> str:
    """Answer what is none of the three."""
    raise ValueError(f"nothing known begins with {frame[:1]!r}")


async def serve_one(connection: xmlsocket.Connection[bytes]) -> None:
    """Answer every frame; one that makes no sense gets an error, and the next is read."""
    async for frame in connection:
        handler = HANDLERS.get(frame[:1], refuse)
        try:
            reply = handler(frame)
        except ValueError as exc:  # DocumentError, UnicodeDecodeError, JSONDecodeError
            reply = f"%error%{exc}%"
        await connection.send(reply)


async def main() -> None:
    """Listen until Ctrl-C."""
    async with xmlsocket.serve(serve_one, "127.0.0.1", 9339, parse=bytes) as server:
        await server.serve_forever()


asyncio.run(main())
