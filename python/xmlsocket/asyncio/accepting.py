"""
Listening sockets on an event loop.

Read by hand rather than with the event loop's ``create_server``, which can
neither count handshakes nor stay quiet when descriptors run out.
"""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any, Final

from ..endpoint import ACCEPT_BACKOFF, Reserve, bind, format_address, unlink_unix

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TypeAlias

    from ..connection import Logger, RepeatedLog

    Take: TypeAlias = Callable[[socket.socket, Any], None]

__all__ = ["Listeners", "listen"]

# Connections taken from one listener before the others of the loop get their turn.
_ACCEPT_BURST: Final = 100


async def listen(
    host: str | Sequence[str] | None, port: int | None, *, backlog: int, reuse_port: bool
) -> list[socket.socket]:
    """
    Listen on a port of one address, of several, or, with ``None``, of all.

    Raises:
        OSError: If an address is unknown or cannot be listened on.

    """
    hosts = [host] if host is None or isinstance(host, str) else host
    loop = asyncio.get_running_loop()
    infos: list[Any] = []
    for name in hosts:
        infos += await loop.getaddrinfo(
            name or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    return bind(infos, backlog=backlog, reuse_port=reuse_port)


class Listeners:
    """
    The listening sockets of a server.

    Args:
        sockets: Bound and listening; closed by `close`.
        take: Called with every connection that was accepted, and its peer's
            address: of one that was reset meanwhile nothing else can tell it.
        logger: Where to tell that they listen.
        repeated: Where to tell that they cannot accept.

    Attributes:
        sockets: As given; closed ones after `close`.

    """

    def __init__(
        self,
        sockets: Sequence[socket.socket],
        take: Take,
        *,
        logger: Logger,
        repeated: RepeatedLog,
    ) -> None:
        self.sockets: tuple[socket.socket, ...] = tuple(sockets)
        self._take = take
        self._repeated = repeated
        self._loop = asyncio.get_running_loop()
        self._closed = False
        self._reserve = Reserve()
        self._tasks: list[asyncio.Task[None]] = []
        for listener in self.sockets:
            self._listen(listener)
            logger.info("= listening on %s", format_address(listener.getsockname()))

    def _listen(self, listener: socket.socket) -> None:
        if not self._closed:
            self._reserve.restore()
            try:
                self._loop.add_reader(listener, self._accept, listener)
            except NotImplementedError:  # the loop that Windows has if not asked for another
                self._tasks.append(self._loop.create_task(self._accept_in_turn(listener)))

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(_ACCEPT_BURST):
            try:
                sock, address = listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as exc:
                # No more descriptors, most of the time. Trying again at once would spin.
                self._repeated.warning("! cannot accept connections: %s", exc.strerror)
                if self._reserve.turn_away(listener, exc):
                    return  # one a turn: those who are served go first
                self._loop.remove_reader(listener)
                self._loop.call_later(ACCEPT_BACKOFF, self._listen, listener)
                return
            sock.setblocking(False)
            self._take(sock, address)

    async def _accept_in_turn(self, listener: socket.socket) -> None:
        """Accept where no loop tells when there is somebody, until this is cancelled."""
        while True:
            try:
                sock, address = await self._loop.sock_accept(listener)
            except OSError as exc:
                self._repeated.warning("! cannot accept connections: %s", exc.strerror)
                await asyncio.sleep(ACCEPT_BACKOFF)
            else:
                sock.setblocking(False)
                self._take(sock, address)

    def close(self) -> None:
        """Stop accepting and close the sockets."""
        self._closed = True
        self._reserve.close()
        for task in self._tasks:
            task.cancel()
        for listener in self.sockets:
            if not self._tasks:
                self._loop.remove_reader(listener)
            unlink_unix(listener)
            listener.close()
