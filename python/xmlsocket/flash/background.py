"""The thread in which plain scripts, which run no event loop, have their events delivered."""

# ruff: noqa: SLF001 - class methods look at their one instance

from __future__ import annotations

import asyncio
import atexit
import contextlib
import threading
from typing import TYPE_CHECKING, ClassVar, Final

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["CLOSE_TIMEOUT", "Background", "post"]

CLOSE_TIMEOUT: Final = 10.0
"""Seconds that sending the last words may take: of one connection, and of all at exit."""


def post(loop: asyncio.AbstractEventLoop, callback: Callable[[], object]) -> None:
    """Call ``callback`` in ``loop``, from any thread; a closed loop has nothing left to do."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(callback)


class Background:
    """
    A thread with an event loop, shared by all objects that need one.

    One thread, because in Flash all handlers of a program run in turn: objects
    that share data need no locks. It lives as long as it has users.
    """

    _lock: ClassVar = threading.Lock()
    _current: ClassVar[Background | None] = None

    def __init__(self) -> None:
        self.loop: asyncio.AbstractEventLoop = asyncio.new_event_loop()
        self._users = 0
        # A daemon: a script that ends takes its connections with it, as a movie
        # does. What it has sent is seen to by _end().
        self._thread = threading.Thread(target=self._run, name="xmlsocket", daemon=True)

    @classmethod
    def enter(cls) -> Background:
        """Return the background with one more user; start the thread for the first."""
        with cls._lock:
            background = cls._current
            # The thread of a process does not live on in its fork.
            if background is None or not background._thread.is_alive():
                background = cls._current = cls()
                background._thread.start()
                atexit.register(background._end)
            background._users += 1
            return background

    def leave(self) -> None:
        """End the thread with its last user. Called in its loop."""
        with self._lock:
            self._users -= 1
            if self._users:
                return
            type(self)._current = None
        atexit.unregister(self._end)
        self.loop.stop()

    @classmethod
    def of(cls, loop: asyncio.AbstractEventLoop) -> Background | None:
        """Return the background with one more user if ``loop`` is its loop."""
        with cls._lock:
            background = cls._current
            if background is None or background.loop is not loop:
                return None
            background._users += 1
            return background

    def _run(self) -> None:
        try:
            self.loop.run_forever()
        finally:
            # Not asyncio.Runner: it would wait for a name that is still being
            # looked up, and start a thread for that, which a program that is
            # ending may not do (Python 3.12).
            self.loop.close()

    def _end(self) -> None:
        """Send what has been sent, then let the program end."""
        post(self.loop, self._cancel)
        self._thread.join(CLOSE_TIMEOUT)

    def _cancel(self) -> None:
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
