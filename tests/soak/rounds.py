"""Rounds of clients against two servers, with a census after each."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import gc
import logging
import random
import tracemalloc
from typing import TYPE_CHECKING, Any

import xmlsocket
from xmlsocket import Limits, sync
from xmlsocket.testing import ChaosProxy

from .census import Census
from .clients import KINDS, misbehave

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

__all__ = ["Soak"]

OPTIONS: dict[str, Any] = {
    "malformed": "skip",
    "idle_timeout": 5.0,
    "close_timeout": 1.0,
    "limits": Limits(message_timeout=0.5, send_timeout=0.5),
}

CROWD = 6
"""Clients of each kind at a time."""


async def echo(connection: xmlsocket.Connection[Any]) -> None:
    """Answer every document with itself."""
    async for document in connection:
        await connection.send(document)


def echo_blocking(connection: sync.Connection[Any]) -> None:
    """Answer every document with itself."""
    for document in connection:
        connection.send(document)


class Soak:
    """
    Two servers and their proxies.

    Args:
        seed: Determines what clients send, though not when.

    Attributes:
        visits: How many clients of each kind have come.

    """

    def __init__(self, seed: int) -> None:
        self.visits: collections.Counter[str] = collections.Counter()
        self._chance = random.Random(seed)
        self._ports: list[int] = []
        self._proxies: list[ChaosProxy] = []
        self._spared = 0
        self._quiet: Callable[[], bool]

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the servers."""
        logger = logging.getLogger("tests.soak")
        logger.propagate = False
        logger.addHandler(logging.NullHandler())
        tracemalloc.start(1)
        async with contextlib.AsyncExitStack() as stack:
            threaded = stack.enter_context(
                sync.serve(echo_blocking, "127.0.0.1", 0, logger=logger, **OPTIONS)
            )
            server = await stack.enter_async_context(
                xmlsocket.serve(echo, "127.0.0.1", 0, logger=logger, **OPTIONS)
            )
            self._ports = [each.sockets[0].getsockname()[1] for each in (server, threaded)]
            for port in self._ports:
                proxy = await stack.enter_async_context(ChaosProxy("127.0.0.1", port))
                self._proxies.append(proxy)

            def quiet() -> bool:
                open_ones = len(server.connections) + len(threaded.connections)
                return not (open_ones or any(proxy.stats.open for proxy in self._proxies))

            self._quiet = quiet
            try:
                yield
            finally:
                tracemalloc.stop()

    async def round(self, visits: int | None = None, seconds: float | None = None) -> Census:
        """
        Let clients come until the round is over, see them off, and count.

        Args:
            visits: For each place in the crowd.
            seconds: How long.

        """
        end = None if seconds is None else asyncio.get_running_loop().time() + seconds
        async with asyncio.TaskGroup() as group:
            for kind in KINDS:
                for _ in range(CROWD):
                    group.create_task(self._come_and_go(kind, visits, end))
        while not self._quiet():
            await asyncio.sleep(0.01)
        # Threads and transports take a moment longer than the connections they were for.
        for _ in range(10):
            await asyncio.sleep(0.02)
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        census = Census.take(self._spared)
        self._spared += tracemalloc.get_traced_memory()[0] - before
        return census

    async def _come_and_go(self, kind: str, visits: int | None, end: float | None) -> None:
        loop = asyncio.get_running_loop()
        count = 0
        while (visits is None or count < visits) and (end is None or loop.time() < end):
            count += 1
            which = self._chance.randrange(2)
            port = self._ports[which]
            if kind == "victims":
                proxy = self._proxies[which]
                misbehave(proxy, self._chance)
                port = proxy.address[1]
            with contextlib.suppress(TimeoutError):
                await KINDS[kind](port, self._chance)
            self.visits[kind] += 1
