"""What the tests let workers do; ``python -m tests.workers.app START WORKERS [OPTION=VALUE …]``."""

from __future__ import annotations

# ruff: noqa: T201 - a program that tells on standard output what happens
import asyncio
import contextlib
import functools
import json
import math
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xmlsocket
from xmlsocket.workers import supervisor
from xmlsocket.workers.backoff import Backoff

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator, Sequence

    from xmlsocket import Connection, Server, WorkersStats


async def echo(connection: Connection[bytes]) -> None:
    """Greet, then send every document back; say who one is, or end the process, if asked to."""
    await connection.send(b"<hello/>")
    async for document in connection:
        if document == b"<pid/>":
            await connection.send(str(os.getpid()))
        elif document == b"<loop/>":
            await connection.send(type(asyncio.get_running_loop()).__module__)
        elif document == b"<exit/>":
            os._exit(7)
        else:
            await connection.send(document)


def start(sockets: Sequence[socket.socket]) -> xmlsocket.Serve[bytes]:
    """Echo."""
    return xmlsocket.serve(echo, sock=sockets, parse=bytes)


def broken(sockets: Sequence[socket.socket]) -> xmlsocket.Serve[bytes]:
    """Fail in the worker."""
    raise ValueError("no server today")


@contextlib.asynccontextmanager
async def stubborn(sockets: Sequence[socket.socket]) -> AsyncIterator[Server[bytes]]:
    """Serve clients for which documents wait, and who do not read."""

    async def flood(connection: Connection[bytes]) -> None:
        while True:
            await connection.send(b"x" * 2**16)

    async with xmlsocket.serve(flood, sock=sockets, parse=bytes) as server:
        yield server


def fickle(sockets: Sequence[socket.socket]) -> xmlsocket.Serve[bytes]:
    """Echo; fail in workers that start after the file was made."""
    if Path(os.environ["FICKLE"]).exists():
        raise ValueError("no server any more")
    return start(sockets)


def patient(sockets: Sequence[socket.socket]) -> xmlsocket.Serve[bytes]:
    """Echo; workers that start while the file is there wait until it is gone."""
    while Path(os.environ["HELD"]).exists():
        time.sleep(0.01)
    return start(sockets)


class _Once:
    """Echo in one worker: it cannot be sent to a second one."""

    sent = False

    def __reduce__(self) -> str:
        if self.sent:
            raise ValueError("no second worker")
        self.sent = True
        return "once"

    def __call__(self, sockets: Sequence[socket.socket]) -> xmlsocket.Serve[bytes]:
        return start(sockets)


once = _Once()


def _ready(sockets: Sequence[socket.socket]) -> None:
    print("ready", *(sock.getsockname()[1] for sock in sockets), flush=True)


def _observe(stats: WorkersStats) -> None:
    workers = [[worker.process, worker.state] for worker in stats.workers]
    seen = {
        "connections": stats.total.connections,
        "frames_in": stats.total.frames_in,
        "queued_out": stats.total.queued_out,
        "restarts": stats.restarts,
        "slowest": [peer.address for peer in stats.slowest],
        "workers": workers,
    }
    print("stats", json.dumps(seen), flush=True)


def main(name: str, workers: str, *options: str) -> None:
    """Run workers until a signal ends them."""
    given: dict[str, Any] = {"port": 0, "host": "127.0.0.1"}
    given |= {key: json.loads(value) for key, _, value in (o.partition("=") for o in options)}
    if "backoff" in given:
        patient = functools.partial(Backoff, first=given.pop("backoff"), healthy=math.inf)
        supervisor.Backoff = patient  # type: ignore[assignment,attr-defined]
    if "terminal" in given:
        # The first that the leader of a session opens becomes the session's.
        os.open(given.pop("terminal"), os.O_RDWR)
    if given.pop("observed", False):
        given |= {"observe": _observe, "interval": 0.1}
    stats = xmlsocket.serve_workers(globals()[name], workers=int(workers), ready=_ready, **given)
    print("end", stats.total.accepted, stats.total.frames_in, stats.restarts, stats.cut)


if __name__ == "__main__":
    main(*sys.argv[1:])
