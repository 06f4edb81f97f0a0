"""`serve_workers`: from the options to processes that serve."""

from __future__ import annotations

import asyncio
import functools
import importlib.util
import logging
import os
from typing import TYPE_CHECKING, Any

from .process import Task
from .sockets import notify_systemd, open_shares, share_out
from .supervisor import Options, Supervisor

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence
    from contextlib import AbstractAsyncContextManager

    from ..asyncio import Server
    from ..connection import Logger
    from ..stats import WorkersStats

__all__ = ["serve_workers"]

_LOGGER = "xmlsocket.workers"


def serve_workers(
    start: Callable[[Sequence[socket.socket]], AbstractAsyncContextManager[Server[Any]]],
    host: str | Sequence[str] | None = None,
    port: int | None = None,
    *,
    workers: int | None = None,
    sockets: Sequence[socket.socket] | None = None,
    timeout: float = 10.0,
    uvloop: bool = False,
    backlog: int = 1024,
    logger: Logger | None = None,
    ready: Callable[[Sequence[socket.socket]], None] | None = None,
    observe: Callable[[WorkersStats], None] | None = None,
    interval: float = 1.0,
) -> WorkersStats:
    """
    Serve with several processes on one port, until SIGTERM or Ctrl-C.

    Each worker is a process of its own, started from nothing, that calls
    ``start``; this process only watches. ::

        def start(sockets):
            return xmlsocket.serve(handler, sock=sockets, parse=bytes)


        if __name__ == "__main__":
            xmlsocket.serve_workers(start, "0.0.0.0", 9339, workers=4)

    This process opens the listening sockets and keeps them. A connection that
    comes while a worker is dead waits for its replacement and is neither refused
    nor reset; connections of the dead worker are lost. A worker that dies is
    started again: at once if it had served for 10 s, otherwise after 0.1 s, twice
    as long each time, at most 10 s. A worker whose supervisor dies ends, too.

    SIGTERM or SIGINT stops all workers in order, as `Server.close` does, the same
    signal again at once. SIGTERM to one worker replaces it: the new one accepts
    while the old one finishes. SIGHUP replaces all of them, one after the other,
    each when its replacement is ready, so that changed code is read without a
    pause; a process in a terminal takes SIGHUP for the end of the terminal.

    Workers share nothing but the port. Rooms reach the clients of other workers
    through a `Backplane` that leaves the process.

    Call it from the main thread, where no event loop runs. POSIX systems only.

    Args:
        start: Called in each worker, within its event loop, with the sockets to
            accept on; `serve` takes them as ``sock``. Returns an asynchronous
            context manager that gives the server, such as `serve` does. It is
            imported by name in the worker: a function at the top of a module,
            or a ``functools.partial`` of one.
        host: Address or addresses to listen on; ``None`` for all.
        port: Port to listen on; 0 for a free one.
        workers: How many; ``None`` for one per processor.
        sockets: Listening TCP sockets to use instead of ``host`` and ``port``,
            such as those of `from_systemd`. They stay open.
        timeout: Seconds that connections get to end when a worker stops.
        uvloop: Run the workers on uvloop, which has to be installed.
        backlog: Connections that the system keeps waiting on each socket.
        logger: Where to log; ``logging.getLogger("xmlsocket.workers")`` if ``None``.
        ready: Called with the listening sockets when all workers serve.
        observe: Called every ``interval`` from then on with the figures of all
            workers, at most one interval old. Without it none are collected until
            the end.
        interval: Seconds.

    Returns:
        The sums over all workers. What a worker that was killed had counted since
        it last told is missing.

    Raises:
        OSError: If the address cannot be listened on.
        ValueError: If an option makes no sense.
        WorkerFailed: If a worker ended before any was ready.
        ModuleNotFoundError: If uvloop is asked for and not installed.
        NotImplementedError: Where there is no POSIX system.

    """
    if os.name != "posix":
        raise NotImplementedError("serve_workers() needs a POSIX system")
    from multiprocessing import get_context, resource_tracker  # noqa: PLC0415 - few need it

    if uvloop and importlib.util.find_spec("uvloop") is None:
        raise ModuleNotFoundError("uvloop is not installed: pip install uvloop", name="uvloop")
    if workers is None:
        workers = os.cpu_count() or 1
    if workers < 1:
        raise ValueError(f"workers must be at least 1, not {workers}")
    if sockets is not None and port is None:
        shares = share_out(sockets, workers)
    elif sockets is None and port is not None:
        shares = open_shares(host, port, workers, backlog=backlog)
    else:
        raise ValueError("serve_workers() takes either a port or sockets")
    listeners = list(dict.fromkeys(listener for share in shares for listener in share))

    options = Options(
        logger=logging.getLogger(_LOGGER) if logger is None else logger,
        ready=functools.partial(_announce, ready, listeners),
        observe=observe,
        interval=interval,
    )
    task = Task(start=start, timeout=timeout, uvloop=uvloop)
    # Beforehand: what starts it changes the signals that this thread blocks.
    resource_tracker.ensure_running()
    try:
        return asyncio.run(Supervisor(get_context("spawn"), shares, task, options).run())
    finally:
        if sockets is None:
            for listener in listeners:
                listener.close()


def _announce(
    ready: Callable[[Sequence[socket.socket]], None] | None, listeners: Sequence[socket.socket]
) -> None:
    if ready is not None:
        ready(listeners)
    notify_systemd("READY=1")
