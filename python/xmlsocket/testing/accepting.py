"""How the proxies accept connections."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from ..asyncio.accepting import Listeners
from ..connection import RepeatedLog
from .stream import SocketStream

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Coroutine, Sequence
    from typing import Any

__all__ = ["accept"]

_LOGGER = logging.getLogger("xmlsocket.testing")


async def accept(
    listeners: Sequence[socket.socket],
    serve: Callable[[socket.socket, Any], Coroutine[Any, Any, None]],
) -> None:
    """
    Serve each connection in a task of its own, until this is cancelled.

    Args:
        listeners: Listen; closed in the end.
        serve: Gets the socket, which it closes, and the peer's address. What it
            raises ends all.

    """
    loop = asyncio.get_running_loop()
    failed: asyncio.Future[None] = loop.create_future()
    tasks: set[asyncio.Task[None]] = set()
    # A task that is cancelled before its first step could not close its socket.
    untouched: set[socket.socket] = set()

    async def one(sock: socket.socket, address: Any) -> None:
        untouched.discard(sock)
        await serve(sock, address)

    def ended(task: asyncio.Task[None]) -> None:
        tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) and not failed.done():
            failed.set_exception(error)

    def take(sock: socket.socket, address: Any) -> None:
        untouched.add(sock)
        task = loop.create_task(one(sock, address))
        tasks.add(task)
        task.add_done_callback(ended)

    for listener in listeners:
        listener.setblocking(False)
    accepting = Listeners(listeners, take, logger=_LOGGER, repeated=RepeatedLog(_LOGGER))
    try:
        await failed
    finally:
        accepting.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for sock in untouched:
            SocketStream(sock).close(reset=True)
