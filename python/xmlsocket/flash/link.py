"""One connection of an XMLSocket object: the task that opens and reads it and calls handlers."""

# ruff: noqa: SLF001 - the object and its links are two halves of one thing

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ..asyncio import Connection, broadcast, connect
from ..encoding import decode_flash
from ..exceptions import ConnectionClosed, safe_text
from ..flow import FRAME_OVERHEAD
from .background import CLOSE_TIMEOUT, Background

if TYPE_CHECKING:
    from .xmlsocket import XMLSocket

__all__ = ["Link"]


class Link:
    """One attempt to connect, and the connection that comes of it."""

    __slots__ = (
        "_background",
        "_charge",
        "_closing",
        "_connection",
        "_host",
        "_outbox",
        "_overflow",
        "_owner",
        "_port",
        "_task",
        "_timeout",
        "_waking",
        "loop",
        "turn",
    )

    def __init__(
        self,
        owner: XMLSocket,
        address: tuple[str, int],
        loop: asyncio.AbstractEventLoop,
        background: Background | None,
        turn: asyncio.Lock,
    ) -> None:
        self.loop: asyncio.AbstractEventLoop = loop
        # Held while a handler runs. A handler may run the loop (nest_asyncio and
        # its like do) and thereby the task of a link that it has just made.
        self.turn: asyncio.Lock = turn
        self._owner = owner
        self._host, self._port = address
        self._background = background
        self._timeout = owner._timeout / 1000
        self._task: asyncio.Task[None] | None = None
        self._connection: Connection[bytes]
        self._closing = False
        # What was sent and the loop has not seen yet.
        self._outbox: list[bytes] = []
        self._charge = 0
        self._overflow = False
        self._waking = True  # until there is a connection, nobody need be woken

    def put(self, payload: bytes) -> bool:
        """Keep a message for `drain`, and say whether that must be called."""
        self._charge += len(payload) + FRAME_OVERHEAD
        cap = self._owner._limits.write_cap
        if cap is not None and self._charge > cap:
            self._overflow = True
            self._outbox.clear()
        else:
            self._outbox.append(payload)
        wake = not self._waking
        self._waking = True
        return wake

    # In the loop

    def start(self) -> None:
        """Begin."""
        self._task = self.loop.create_task(self._run(), name=f"XMLSocket {self._host}:{self._port}")
        self._task.add_done_callback(self._done)

    def wind_up(self) -> None:
        """Stop what the task waits for, now that the program has turned away."""
        if self._task is not None and not self._closing:
            self._task.cancel()

    def drain(self) -> bool:
        """Hand the connection what was sent; if it was too much, cut it and return false."""
        with self._owner._state:
            outbox, self._outbox = self._outbox, []
            overflow, self._overflow = self._overflow, False
            self._charge = 0
            self._waking = False
        if overflow:
            self._log("! %s:%d is cut off: more than Limits.write_cap bytes wait for it")
            self._connection.abort()
            return False
        for payload in outbox:
            broadcast((self._connection,), payload)
        return True

    async def _run(self) -> None:
        try:
            self._connection = await self._open()
        except (OSError, ValueError) as exc:
            # ValueError: a host that is no name, such as one with a zero byte.
            reason = safe_text(str(exc))
            self._log("! cannot connect to %s:%d: %s", reason)
            await self._emit("onConnect", False, last=True, why=reason)
            return
        try:
            await self._converse()
        finally:
            await self._close()

    async def _open(self) -> Connection[bytes]:
        owner = self._owner
        deadline = self.loop.time() + self._timeout
        if owner._sandbox is not None:
            verdict = await owner._sandbox.ask(self._host, self._port, timeout=self._timeout)
            if not verdict:
                raise PermissionError(verdict.reason)
        return await connect(
            self._host,
            self._port,
            parse=bytes,
            ssl=owner._ssl,
            max_size=owner._max_size,
            open_timeout=max(deadline - self.loop.time(), 0.001),
            close_timeout=CLOSE_TIMEOUT,
            limits=owner._limits,
            skip_empty=False,
            logger=owner._logger,
        )

    async def _converse(self) -> None:
        if not self.drain():
            reason = "more than Limits.write_cap bytes were sent before"
            await self._emit("onConnect", False, last=True, why=reason)
            return
        going = await self._emit("onConnect", True)
        while going:
            try:
                frame = await self._connection.recv()
            except ConnectionClosed as exc:
                self._log("= connection to %s:%d ended: %s", exc)
                going = await self._emit("onClose", last=True)
            else:
                going = await self._emit("onData", decode_flash(frame).removeprefix("\ufeff"))

    async def _emit(self, handler: str, *args: object, last: bool = False, why: str = "") -> bool:
        """
        Call a handler, unless the program has turned away.

        Args:
            handler: Its name.
            *args: Its arguments.
            last: The object is unconnected from now on.
            why: The reason for that, if it was never connected.

        Returns:
            Whether there may be more events.

        """
        owner = self._owner
        # What comes in is told within the transport's callback, which a loop that
        # the handler runs could not call again: it would spin on it.
        await asyncio.sleep(0)
        async with self.turn:
            # Asked and noted at once, so that nothing comes once close() has returned.
            with owner._state:
                if owner._link is not self:
                    return False
                if last:
                    owner._link = None
                    owner.why = why
                owner._calling = self
            try:
                getattr(owner, handler)(*args)
            except BaseException as exc:
                if isinstance(exc, KeyboardInterrupt | SystemExit) and self._background is None:
                    raise
                owner._logger.exception("! %s raised an exception", handler)
            finally:
                owner._calling = None
        return not last

    async def _close(self) -> None:
        """Let go of the connection, its last words sent."""
        self._closing = True
        self.drain()
        try:
            await self._connection.close()
        except asyncio.CancelledError:
            # The loop ends now, of all times: what was sent is to go all the same.
            await self._connection.close()
            raise

    def _done(self, task: asyncio.Task[None]) -> None:
        owner = self._owner
        with owner._state:
            if owner._link is self:  # ended neither by the peer nor by the program
                owner._link = None
            owner._links.discard(self)
            owner._state.notify_all()
        if self._background is not None:
            self._background.leave()
        error = None if task.cancelled() else task.exception()
        # SystemExit and its like have left the loop already, which makes no
        # difference to the task: unasked for, it would report them once more.
        if isinstance(error, Exception):
            context = {"message": f"bug in {__name__}", "exception": error, "task": task}
            self.loop.call_exception_handler(context)

    def _log(self, message: str, *args: object) -> None:
        self._owner._logger.info(message, safe_text(self._host), self._port, *args)
