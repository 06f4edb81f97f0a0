"""A TCP proxy that does to a stream what networks do, by a seed."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import socket
import threading
from typing import TYPE_CHECKING

from ..asyncio.dialing import dial_address
from .accepting import accept
from .direction import Direction
from .faults import Faults
from .relay import relay
from .stats import DirectionStats, ProxyStats
from .stream import SocketStream

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from types import TracebackType
    from typing import Any, Self

__all__ = ["ChaosProxy"]


class ChaosProxy:
    """
    A TCP proxy with faults, for tests.

    It runs in a thread and a loop of its own, so that programs with blocking
    calls, with asyncio or in other processes can be tested through it::

        with ChaosProxy("127.0.0.1", port, seed=7, faults=Faults(slice=(1, 7))) as proxy:
            with xmlsocket.sync.connect(*proxy.address) as connection: ...

    `to_server` and `to_client` can be set at any time, also while connections
    are open, and hold for all of them from then on.

    What a seed determines, for the connection of the same number (counted from
    0 in the order of acceptance), the same direction, the same bytes and faults
    that do not change: which bytes are corrupted and into what; the places at
    which ``slice`` cuts and those up to which ``merge`` holds back; the draws of
    ``jitter``, one for each read. Faults at a place happen at exactly that byte.
    What it does not: time. Reads of the proxy, and ``merge_wait`` when it runs
    out, add cuts of their own; which read gets which jitter, and how
    directions and connections interleave, depends on the machine.

    Args:
        host: Where the server is.
        port: Its port.
        seed: What all random choices depend on.
        faults: The faults of both directions.
        to_server: The faults towards the server instead.
        to_client: The faults towards clients instead.

    Attributes:
        address: Where clients connect to: ``("127.0.0.1", port)``; of a free
            port, known when the proxy has started.

    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        seed: int = 0,
        faults: Faults = Faults(),  # noqa: B008 - frozen
        to_server: Faults | None = None,
        to_client: Faults | None = None,
    ) -> None:
        self.address: tuple[str, int] = ("127.0.0.1", 0)
        self._where = host, port
        self._seed = seed
        self._to_server = to_server or faults
        self._to_client = to_client or faults
        self._thread: threading.Thread | None = None
        self._task: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop
        self._directions: set[Direction] = set()
        self._connections = 0
        self._open = 0
        self._unreachable = 0
        self._counted = DirectionStats(), DirectionStats()

    @property
    def to_server(self) -> Faults:
        """The faults of what clients send."""
        return self._to_server

    @to_server.setter
    def to_server(self, faults: Faults) -> None:
        self._to_server = faults
        self._tell(self._change)

    @property
    def to_client(self) -> Faults:
        """The faults of what the server sends."""
        return self._to_client

    @to_client.setter
    def to_client(self, faults: Faults) -> None:
        self._to_client = faults
        self._tell(self._change)

    @property
    def stats(self) -> ProxyStats:
        """What was counted so far, as a snapshot."""
        to_server, to_client = map(dataclasses.replace, self._counted)
        return ProxyStats(self._connections, self._open, self._unreachable, to_server, to_client)

    def __enter__(self) -> Self:
        """Start; raises `OSError` when the server's name cannot be resolved."""
        host, port = self._where
        family, kind, _, _, target = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.create_server(("127.0.0.1", 0))
        self.address = listener.getsockname()
        started = threading.Event()

        async def serve(client: socket.socket, _: Any) -> None:
            await self._serve(client, functools.partial(dial_address, family, kind, target))

        async def main() -> None:
            self._loop = asyncio.get_running_loop()
            self._task = asyncio.current_task()
            started.set()
            await accept([listener], serve)

        def run() -> None:
            with contextlib.suppress(asyncio.CancelledError):
                asyncio.run(main())

        self._thread = threading.Thread(target=run, name="ChaosProxy", daemon=True)
        self._thread.start()
        started.wait()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Reset what is still open, and stop."""
        assert self._thread is not None
        assert self._task is not None
        self._tell(self._task.cancel)
        self._thread.join()

    async def __aenter__(self) -> Self:
        """Start as ``with`` does."""
        return await asyncio.to_thread(self.__enter__)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop as ``with`` does, without holding up the loop."""
        await asyncio.to_thread(self.__exit__, kind, error, traceback)

    def _tell(self, action: Callable[[], object]) -> None:
        """Have the proxy's thread do something, if it runs."""
        if self._thread is not None and self._thread.is_alive():
            with contextlib.suppress(RuntimeError):  # it has just stopped
                self._loop.call_soon_threadsafe(action)

    def _change(self) -> None:
        for direction in self._directions:
            direction.changed()

    async def _serve(
        self, client: socket.socket, connect: Callable[[], Coroutine[Any, Any, socket.socket]]
    ) -> None:
        """Connect to the server and carry bytes until both directions have ended."""
        seed = f"{self._seed} {self._connections}"
        self._connections += 1
        self._open += 1
        near = SocketStream(client)
        try:
            far = SocketStream(await connect())
        except BaseException as exc:
            near.close(reset=True)
            self._open -= 1
            if not isinstance(exc, OSError):
                raise
            self._unreachable += 1
            return
        up, down = self._counted
        directions = (
            Direction(near, far, f"{seed} up", lambda: self._to_server, up),
            Direction(far, near, f"{seed} down", lambda: self._to_client, down),
        )
        self._directions.update(directions)
        try:
            await relay((near, far), directions)
        finally:
            self._directions.difference_update(directions)
            self._open -= 1
