"""A worker as its supervisor sees it: a process and a pipe."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import signal
from typing import TYPE_CHECKING, Any, Final

from ..stats import WorkerStats
from .child import ABORT, DRAIN, REPORT, run
from .report import Report

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.context import SpawnContext, SpawnProcess

    from .child import Start
    from .sockets import Share

__all__ = ["Task", "Worker"]

_MARGIN: Final = 5.0
"""Seconds beyond the time that connections get after which a worker counts as hanging."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What workers do: see `serve_workers`."""

    start: Start
    timeout: float
    uvloop: bool


class Worker:
    """
    One process, from its start to its end.

    Args:
        context: Makes the process.
        number: Of its place; a replacement has the same.
        share: The sockets it accepts on. They are inherited, not sent: the process
            has them before anything of it can fail.
        task: What it does.

    Attributes:
        ready: It has said that it serves.
        draining: It is to end, or has said that it does.
        failed: It ended with a status other than 0.
        last: What it told last.

    """

    def __init__(self, context: SpawnContext, number: int, share: Share, task: Task) -> None:
        self.number = number
        self.ready = False
        self.draining: bool = False
        self.failed: bool = False
        self.last: Report | None = None
        self._asked = False
        self._timer: asyncio.TimerHandle | None = None
        self._timeout = task.timeout
        self.pipe: Connection[Any, Any]
        self.pipe, other = context.Pipe()
        self.process: SpawnProcess = context.Process(
            target=run,
            args=(task.start, share, other, task.timeout, task.uvloop),
            name=f"xmlsocket-worker-{number}",
        )
        # Ctrl-C reaches the new process too, and the beginning of Python is no
        # place to be interrupted at. It inherits the block, and ignores the signal
        # before it lifts it.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self.process.start()
        except BaseException:
            self.pipe.close()
            raise
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
            other.close()
        self.pid: int = self.process.pid or 0

    def stats(self) -> WorkerStats:
        """Return its figures as it last told them."""
        return WorkerStats(
            number=self.number,
            process=self.pid,
            state="draining" if self.draining else "ready" if self.ready else "starting",
            answers=not self._asked,
            stats=None if self.last is None else self.last.stats,
        )

    def drain(self) -> None:
        """Have it stop accepting and end, within its time."""
        if self.ready:
            self._tell(DRAIN)
        else:
            self.process.terminate()  # it may be long before it listens to words
        self.expect_end()

    def abort(self) -> None:
        """Have it cut its connections and end; it was told to `drain` before."""
        self._tell(ABORT)
        self._kill_in(_MARGIN)

    def expect_end(self) -> None:
        """Kill it should it hang."""
        if not self.draining:
            self.draining = True
            self._kill_in(self._timeout + _MARGIN)

    def _kill_in(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(seconds, self.process.kill)

    def ask(self) -> None:
        """Ask for its figures, unless an answer is due: to one that hangs the pipe fills up."""
        if self.ready and not self._asked:
            self._asked = True
            self._tell(REPORT)

    def answered(self, report: object) -> None:
        """Keep the figures that came."""
        assert isinstance(report, Report)
        self._asked = False
        self.last = report

    def _tell(self, word: str) -> None:
        with contextlib.suppress(OSError):  # it has died, which is about to be noticed
            self.pipe.send(word)

    def reap(self) -> str:
        """Wait for its end, let go of everything, and tell how it ended."""
        if self._timer is not None:
            self._timer.cancel()
        self.pipe.close()
        self.process.join()
        code = self.process.exitcode or 0
        self.process.close()
        self.failed = code != 0
        if code >= 0:
            return f"exit status {code}"
        try:
            return f"killed by {signal.Signals(-code).name}"
        except ValueError:  # a real-time signal
            return f"killed by signal {-code}"
