"""Programs that use the XMLSocket object, on an event loop and without one."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar

from xmlsocket import XMLSocket
from xmlsocket.flash import serialize

if TYPE_CHECKING:
    from collections.abc import Callable

    from xmlsocket.flash import Document

__all__ = ["Events", "Parsing", "Place", "Program", "Recorded", "background_threads"]

R = TypeVar("R")

Place: TypeAlias = Literal["loop", "thread"]

PATIENCE = 40.0


class Events(list[tuple[Any, ...]]):
    """What handlers were told, in order."""

    def __init__(self) -> None:
        super().__init__()
        self._changed = threading.Condition()

    def record(self, *event: Any) -> None:
        """Add an event; called in handlers."""
        with self._changed:
            self.append(event)
            self._changed.notify_all()

    async def reached(self, count: int) -> None:
        """Wait until ``count`` events were recorded."""
        assert await asyncio.to_thread(self._reached, count), f"only {len(self)} events came"

    def _reached(self, count: int) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: len(self) >= count, PATIENCE)


class Parsing(XMLSocket):
    """An object whose handlers, overridden, record what they were told; messages are parsed."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.events = Events()

    def onConnect(self, success: bool) -> None:  # noqa: N802
        """Record the outcome."""
        self.events.record("onConnect", success)

    def onData(self, src: str) -> None:  # noqa: N802
        """Record the text and leave the rest to the default."""
        self.events.record("onData", src)
        super().onData(src)

    def onXML(self, doc: Document) -> None:  # noqa: N802
        """Record how parsing ended and what was read, as Flash writes it."""
        self.events.record("onXML", int(doc.status), serialize(doc).decode())

    def onClose(self) -> None:  # noqa: N802
        """Record the end."""
        self.events.record("onClose")


class Recorded(Parsing):
    """The same with messages left as text."""

    def onData(self, src: str) -> None:  # noqa: N802
        """Record the text."""
        self.events.record("onData", src)


class Program:
    """What a test does with objects: on its own loop, or in a thread that runs none."""

    def __init__(self, place: Place) -> None:
        self.place = place

    async def call(self, function: Callable[..., R], *args: Any) -> R:
        """Call ``function`` where the program runs."""
        if self.place == "loop":
            return function(*args)
        return await asyncio.to_thread(function, *args)

    async def ended(self, socket: XMLSocket) -> None:
        """Wait until the object's last connection has ended and no handler can be called."""
        assert await asyncio.to_thread(socket.wait, PATIENCE), "the connection never ended"


def background_threads() -> list[threading.Thread]:
    """Return the threads that run handlers of plain scripts."""
    return [thread for thread in threading.enumerate() if thread.name == "xmlsocket"]
