"""The room that the demo's clients, its pages and its movie share."""

from __future__ import annotations

import asyncio
import collections
import time
from typing import TYPE_CHECKING

from ... import broadcast
from ..serve import Chat
from .pages import PAGE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ... import Connection, Server, ServerStats

__all__ = ["Room"]

PERIOD = 1.0
"""Seconds between two documents of figures."""

SAMPLES = 60
"""Documents of figures that a page is told when it comes: one minute."""

PAST = 100
"""Messages that a page is told when it comes."""

MESSAGE_MAX = 4096
"""Bytes of a message that is kept for those who come later."""

_FIGURES, _MESSAGE = b"<stats ", b"<MESSAGE "


class Room(Chat):
    """
    A chat whose pages are told the past, and every second the server's figures.

    Until `open` what pages and movies say waits, in their connections: the five
    clients are compared with a script, which has no place for others.
    """

    def __init__(self) -> None:
        super().__init__()
        self.server: Server[bytes]
        self._open = asyncio.Event()
        self._pages: set[Connection[bytes]] = set()
        self._past: collections.deque[bytes] = collections.deque(maxlen=PAST)
        self._samples: collections.deque[bytes] = collections.deque(maxlen=SAMPLES)
        self._started = time.time()

    def open(self) -> None:
        """Let everyone speak."""
        self._open.set()

    async def __call__(self, connection: Connection[bytes]) -> None:
        """Serve one client."""
        try:
            if connection.path == PAGE:
                self._pages.add(connection)
                await connection.send_many([*self._past, *self._samples])
            else:
                self.room.join(connection)
            if connection.path:
                await self._open.wait()
            await super().__call__(connection)
        finally:
            self._pages.discard(connection)

    def join(self, connection: Connection[bytes]) -> None:
        """Leave it as it is: clients and movies are in the room already, pages never are."""

    def relay(self, sender: Connection[bytes], frames: Iterable[bytes]) -> None:
        """Send ``frames`` to everyone but their sender, and remember the messages."""
        frames = tuple(frames)
        super().relay(sender, frames)
        pages = self._pages - {sender}
        for frame in frames:
            if frame.startswith(_FIGURES):
                continue  # pages believe them, so they get the server's own only
            broadcast(pages, frame)
            if frame.startswith(_MESSAGE) and len(frame) <= MESSAGE_MAX:
                self._past.append(frame)

    async def report(self) -> None:
        """Tell the pages what the server has counted, now and every second, until cancelled."""
        while True:
            figures = self._figures(self.server.stats())
            self._samples.append(figures)
            broadcast(self._pages, figures)
            await asyncio.sleep(PERIOD)

    def _figures(self, stats: ServerStats) -> bytes:
        """Return a document with figures; `started` tells one server from the next."""
        return (
            f'<stats started="{self._started:.3f}" at="{time.time() - self._started:.3f}"'
            f' connections="{stats.connections}" accepted="{stats.accepted}"'
            f' documents-in="{stats.frames_in}" documents-out="{stats.frames_out}"'
            f' bytes-in="{stats.bytes_in}" bytes-out="{stats.bytes_out}"/>'
        ).encode()
