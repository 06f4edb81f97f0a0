"""The command ``xmlsocket demo``."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from ..serve import Chat, announce, open_server, run_until_stopped
from .screen import Screen
from .script import traffic, write
from .stage import perform

__all__ = ["demo"]

EXAMPLES = """Examples:

\b
  xmlsocket demo                          talk, count, check, exit
  xmlsocket demo --stay --port 9339       leave the server up for clients of your own
"""


async def _demo(port: int, *, stay: bool) -> int:
    chat = Chat()
    chat.server = server = await open_server(chat, "127.0.0.1", port)
    async with server:
        announce(server)
        script = write(traffic())
        screen = Screen(script)
        with screen:
            outcome = await perform(server, chat, script, screen)
        screen.summary(outcome)
        if outcome.errors:
            return 1
        if stay:
            host, number = server.sockets[0].getsockname()
            stays = f"\nthe server stays up until Ctrl-C: xmlsocket connect {host} {number}"
            await run_until_stopped(server, lambda: typer.echo(stays))
    return 0


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
    """
    raise typer.Exit(asyncio.run(_demo(port, stay=stay)))
