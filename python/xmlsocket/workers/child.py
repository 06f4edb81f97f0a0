"""A worker: one process that serves on sockets which its supervisor keeps."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from .report import report

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence
    from contextlib import AbstractAsyncContextManager
    from multiprocessing.connection import Connection as Pipe

    from ..asyncio import Server

    Start: TypeAlias = Callable[[Sequence[socket.socket]], AbstractAsyncContextManager[Server[Any]]]

__all__ = ["ABORT", "CLOSED", "DRAIN", "DRAINING", "READY", "REPORT", "run"]

# What the supervisor says.
DRAIN: Final = "drain"
ABORT: Final = "abort"
# What the supervisor asks, and what the answer begins with.
REPORT: Final = "report"
# What the worker says without being asked. It must never wait for a supervisor
# that does not read, stopped with its terminal perhaps: each is said once.
READY: Final = "ready"
DRAINING: Final = "draining"
CLOSED: Final = "closed"


def run(
    start: Start, listeners: list[socket.socket], pipe: Pipe, timeout: float, uvloop: bool
) -> None:
    """
    Serve until the supervisor, or SIGTERM, says to stop, or the supervisor is gone.

    Args:
        start: See `serve_workers`.
        listeners: This process's copies of the sockets.
        pipe: To and from the supervisor; its end means that the supervisor died.
        timeout: Seconds that connections get to end.
        uvloop: Whether to use uvloop.

    """
    # Ctrl-C in a terminal goes to all processes; the supervisor decides what it
    # means. It has been blocked until here, where it can be ignored.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    for listener in listeners:
        listener.set_inheritable(False)
    factory = None
    if uvloop:
        from uvloop import new_event_loop  # noqa: PLC0415 - only if it is asked for

        factory = new_event_loop
    with contextlib.ExitStack() as stack:
        for listener in listeners:
            stack.enter_context(listener)
        runner = stack.enter_context(asyncio.Runner(loop_factory=factory))
        runner.run(_Worker(pipe, timeout).serve(start, listeners))


class _Worker:
    def __init__(self, pipe: Pipe, timeout: float) -> None:
        self._pipe = pipe
        self._timeout = timeout
        self._server: Server[Any] | None = None
        self._stopping = False

    async def serve(self, start: Start, listeners: Sequence[socket.socket]) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._signalled)
        loop.add_reader(self._pipe.fileno(), self._heard)
        async with start(listeners) as server:
            self._server = server
            self._tell(READY)
            if self._stopping:
                server.close(self._timeout)
            cut = await server.wait_closed()
            self._tell(CLOSED, report(server), len(cut))
        loop.remove_reader(self._pipe.fileno())

    def _tell(self, word: str, *rest: object) -> None:
        with contextlib.suppress(OSError):  # the supervisor died; its end will be read
            self._pipe.send((word, *rest))

    def _heard(self) -> None:
        try:
            word = self._pipe.recv()
        except (EOFError, OSError):
            # Without a supervisor nobody would replace this process, nor stop it.
            asyncio.get_running_loop().remove_reader(self._pipe.fileno())
            self._drain()
            return
        if word == DRAIN:
            self._drain()
        elif word == ABORT:
            self._abort()
        elif self._server is not None:
            self._tell(REPORT, report(self._server))

    def _signalled(self) -> None:
        if self._stopping:
            self._abort()
        else:
            self._drain()

    def _drain(self) -> None:
        if not self._stopping:
            self._stopping = True
            self._tell(DRAINING)
            if self._server is not None:
                self._server.close(self._timeout)

    def _abort(self) -> None:
        self._stopping = True
        if self._server is not None:
            self._server.close(0)
