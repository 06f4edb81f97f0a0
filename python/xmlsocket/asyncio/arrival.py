"""Waiting for what a transport tells, without a turn of the loop in between."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, cast

if TYPE_CHECKING:
    import contextvars
    from collections.abc import Callable, Generator

__all__ = ["Arrival"]


class _Cancelled:
    """What a task that was cancelled sees instead of an arrival."""

    def result(self) -> None:
        raise asyncio.CancelledError


_CANCELLED: Final = _Cancelled()


class Arrival:
    """
    A future that one task at a time awaits, again and again.

    An `asyncio.Future` lets the task that awaits it go on in the next turn of the
    loop. `tell` lets it go on at once, inside of the transport's callback: a
    document and its answer take one turn of the loop, not two. Median of a
    round trip against a bare protocol: 1.19 instead of 1.40 with `batches`. To the
    task it is a future like any other (see ``asyncio.isfuture``).

    A task that runs the loop itself (as nest_asyncio makes possible) has to let a
    turn pass first: the loop cannot enter the transport's callback a second time.

    Args:
        loop: The event loop.

    """

    __slots__ = ("_asyncio_future_blocking", "_callback", "_context", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._asyncio_future_blocking = False
        self._callback: Callable[[Any], object] | None = None
        self._context: contextvars.Context | None = None

    @property
    def awaited(self) -> bool:
        """Whether a task waits."""
        return self._callback is not None

    def tell(self) -> None:
        """Let the task that waits, if any, go on: at once where no other task is running."""
        callback = self._callback
        if callback is None:
            return
        if asyncio.current_task(self._loop) is not None:
            self.tell_soon()
            return
        self._callback = None
        cast("contextvars.Context", self._context).run(callback, self)

    def tell_soon(self) -> None:
        """Let the task that waits, if any, go on in the next turn of the loop."""
        callback = self._callback
        if callback is not None:
            self._callback = None
            self._loop.call_soon(callback, self, context=self._context)

    # What a task asks of a future

    def __await__(self) -> Generator[Any, None, None]:
        self._asyncio_future_blocking = True
        # What a generator that yields once would do, in half of its memory.
        return cast("Generator[Any, None, None]", iter((self,)))

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """Return the loop to which it belongs."""
        return self._loop

    def add_done_callback(
        self, callback: Callable[[Any], object], *, context: contextvars.Context
    ) -> None:
        """Take what lets the task go on."""
        self._callback = callback
        self._context = context

    def cancel(self, msg: object = None) -> bool:  # noqa: ARG002 - tasks keep it themselves
        """Let the task go on with ``CancelledError``; tell whether it was waiting."""
        callback = self._callback
        if callback is None:
            return False
        self._callback = None
        # Nothing of it stays here: before that task sees it, another one may wait.
        self._loop.call_soon(callback, _CANCELLED, context=self._context)
        return True

    def result(self) -> None:
        """Let the task go on."""
