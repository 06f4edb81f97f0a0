"""Starts the workers, keeps them alive and stops them. Carries no traffic itself."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import dataclasses
import os
import signal
from typing import TYPE_CHECKING

from ..stats import ServerStats, WorkersStats, total
from .backoff import Backoff
from .child import CLOSED, DRAINING, READY
from .process import Worker
from .report import SLOWEST

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from multiprocessing.context import SpawnContext

    from ..connection import Logger
    from .process import Task
    from .sockets import Share

__all__ = ["Options", "Supervisor", "WorkerFailed"]


class WorkerFailed(RuntimeError):
    """No worker could be started. What was wrong the worker wrote on standard error."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How the supervisor tells what happens."""

    logger: Logger
    ready: Callable[[], None]
    observe: Callable[[WorkersStats], None] | None
    interval: float


class _Slot:
    """The place of one worker: its sockets, who serves them, and who is about to."""

    def __init__(self, number: int, share: Share) -> None:
        self.number = number
        self.share = share
        self.backoff = Backoff()
        self.current: Worker | None = None
        self.coming: Worker | None = None
        self.due: asyncio.TimerHandle | None = None


class Supervisor:
    """
    The workers of one server, by their places.

    The listening sockets stay open here whatever happens to a worker. A socket
    that nobody holds is closed by the kernel, which resets the connections that
    wait on it; on one that is held they wait for the worker's replacement.

    Args:
        context: Makes processes that start from nothing: no fork of this one,
            whose loop and threads a copy could not use.
        shares: For each worker its sockets.
        task: What workers do.
        options: The rest.

    """

    def __init__(
        self, context: SpawnContext, shares: Sequence[Share], task: Task, options: Options
    ) -> None:
        self._context = context
        self._task = task
        self._options = options
        self._logger = options.logger
        self._slots = [_Slot(number, share) for number, share in enumerate(shares, 1)]
        self._places: dict[Worker, _Slot] = {}
        self._past = total(())
        self._restarts = 0
        self._cut = 0
        self._rolling: collections.deque[_Slot] = collections.deque()
        self._served = False
        self._announced = False
        self._stopping = False
        self._failure: WorkerFailed | None = None

    async def run(self) -> WorkersStats:
        """
        Serve until a signal says to stop.

        Raises:
            WorkerFailed: If a worker ended before any of them was ready.

        """
        loop = self._loop = asyncio.get_running_loop()
        self._over = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        # In a terminal it says that the terminal is gone, not that a file was changed.
        loop.add_signal_handler(signal.SIGHUP, self._stop if _has_terminal() else self._roll)
        try:
            for slot in self._slots:
                slot.current = self._start(slot)
            await self._over.wait()
        finally:
            for worker in tuple(self._places):
                worker.process.kill()
                self._reap(worker)
        if self._failure is not None:
            raise self._failure
        return self.stats()

    def stats(self) -> WorkersStats:
        """Return the figures of all workers, as they last told them, and their sum."""
        alive = sorted(self._places, key=lambda worker: (worker.number, worker.pid))
        reports = [worker.last for worker in alive if worker.last is not None]
        peers = [peer for report in reports for peer in report.slowest]
        peers.sort(key=lambda peer: peer.stats.queued_out, reverse=True)
        return WorkersStats(
            total=total([self._past, *(report.stats for report in reports)]),
            workers=tuple(worker.stats() for worker in alive),
            restarts=self._restarts,
            cut=self._cut,
            slowest=tuple(peers[:SLOWEST]),
        )

    def _look(self, observe: Callable[[WorkersStats], None]) -> None:
        self._loop.call_later(self._options.interval, self._look, observe)
        observe(self.stats())
        for worker in self._places:
            worker.ask()

    # Starting

    def _start(self, slot: _Slot) -> Worker:
        slot.backoff.started()
        worker = Worker(self._context, slot.number, slot.share, self._task)
        self._places[worker] = slot
        self._loop.add_reader(worker.pipe.fileno(), self._heard, worker)
        self._loop.add_reader(worker.process.sentinel, self._died, worker)
        return worker

    def _start_later(self, slot: _Slot) -> float | None:
        """Have a slot served again that nobody serves, and tell in how many seconds."""
        if self._stopping or slot.current or slot.coming or slot.due:
            return None
        wait = slot.backoff.died()
        slot.due = self._loop.call_later(wait, self._restart, slot)
        return wait

    def _restart(self, slot: _Slot) -> None:
        slot.due = None
        try:
            slot.current = self._start(slot)
        except OSError as exc:
            # Of descriptors, processes or memory there may be more in a while.
            wait = self._start_later(slot)
            self._logger.warning(
                "! worker %d cannot be started: %s; tried again in %g s", slot.number, exc, wait
            )
        else:
            self._restarts += 1

    # What workers tell

    def _heard(self, worker: Worker) -> None:
        try:
            word, *rest = worker.pipe.recv()
        except (EOFError, OSError):  # pragma: no cover - mostly its end as a process is seen first
            self._loop.remove_reader(worker.pipe.fileno())
            return
        if word == READY:
            self._is_ready(worker)
        elif word == DRAINING:
            self._is_draining(worker)
        else:
            self._keep(worker, word, rest)

    def _keep(self, worker: Worker, word: str, rest: list[object]) -> None:
        worker.answered(rest[0])
        if word == CLOSED:
            (cut,) = rest[1:]
            assert isinstance(cut, int)
            self._cut += cut

    def _is_ready(self, worker: Worker) -> None:
        worker.ready = self._served = True
        if self._options.observe is not None:
            worker.ask()
        slot = self._places[worker]
        self._logger.info("= worker %d: process %d serves", worker.number, worker.pid)
        if slot.coming is worker:
            # Both accept from the same sockets until the old one has heard of it.
            if slot.current is not None:
                slot.current.drain()
            slot.current, slot.coming = worker, None
            self._roll_next()
        if not self._announced and all(
            other.current is not None and other.current.ready for other in self._slots
        ):
            self._announced = True
            self._options.ready()
            if self._options.observe is not None:
                self._loop.call_later(self._options.interval, self._look, self._options.observe)

    def _is_draining(self, worker: Worker) -> None:
        """See to it that the sockets are served of a worker that has stopped accepting."""
        worker.expect_end()
        slot = self._places[worker]
        if slot.current is worker:
            slot.current = None
            if self._start_later(slot) is not None:
                self._logger.warning(
                    "! worker %d (process %d) stops; another one starts", worker.number, worker.pid
                )

    def _died(self, worker: Worker) -> None:
        # Its last words, as far as they are more than a state that it no longer has.
        with contextlib.suppress(EOFError, OSError):
            while worker.pipe.poll():
                word, *rest = worker.pipe.recv()
                if word not in {READY, DRAINING}:
                    self._keep(worker, word, rest)
        slot = self._places[worker]
        end = self._reap(worker)
        if slot.coming is worker:
            slot.coming = None
            self._rolling.clear()
        if slot.current is worker:
            slot.current = None
        if not self._stopping:
            self._bury(worker, slot, end)
        if self._stopping and not self._places:
            self._over.set()

    def _bury(self, worker: Worker, slot: _Slot, end: str) -> None:
        """Report a death that nobody asked for, and see to the replacement."""
        if not self._served:
            self._failure = WorkerFailed(f"worker {worker.number} failed to start: {end}")
            self._stop()
            return
        wait = self._start_later(slot)
        then = "" if wait is None else f"; another one starts in {wait:g} s"
        if then or worker.failed:
            self._logger.warning(
                "! worker %d (process %d) ended: %s%s", worker.number, worker.pid, end, then
            )

    def _reap(self, worker: Worker) -> str:
        """Forget a process that has ended or is about to, and tell how it did."""
        del self._places[worker]
        self._loop.remove_reader(worker.process.sentinel)
        self._loop.remove_reader(worker.pipe.fileno())
        end = worker.reap()
        if worker.last is not None:
            over = worker.last.stats
            self._past = total([self._past, _without_gauges(over)])
        return end

    # Signals

    def _stop(self) -> None:
        """Let connections end; asked again, cut them."""
        again, self._stopping = self._stopping, True
        for slot in self._slots:
            if slot.due is not None:
                slot.due.cancel()
        for worker in self._places:
            if again:
                worker.abort()
            else:
                worker.drain()
        if not self._places:
            self._over.set()

    def _roll(self) -> None:
        """Replace the workers one after the other, each when its replacement is ready."""
        if self._announced and not self._rolling and not any(slot.coming for slot in self._slots):
            self._rolling.extend(self._slots)
            self._roll_next()

    def _roll_next(self) -> None:
        while self._rolling and not self._stopping:
            slot = self._rolling.popleft()
            if slot.current is not None:  # or else a new one is due anyway
                try:
                    slot.coming = self._start(slot)
                except OSError as exc:
                    self._rolling.clear()
                    self._logger.warning(
                        "! worker %d cannot be replaced: %s; those that serve go on",
                        slot.number,
                        exc,
                    )
                return


def _without_gauges(stats: ServerStats) -> ServerStats:
    """Return what counts on of a server that is no more."""
    return dataclasses.replace(stats, connections=0, memory=0, queued_in=0, queued_out=0)


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True
