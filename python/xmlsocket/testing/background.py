"""A server in a thread, for tests that block and for tests on a loop alike."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ..asyncio import PolicyServer, Server

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import TracebackType
    from typing import Self

__all__ = ["BackgroundServer"]

S = TypeVar("S", bound=Server[Any] | PolicyServer)


class BackgroundServer(Generic[S]):
    """
    Runs a server on an event loop of its own, in a thread.

    So a test may block while the server goes on, or have a loop of its own::

        with BackgroundServer(lambda: serve(handler, "127.0.0.1", 0)) as server:
            with xmlsocket.sync.connect(*server.address) as connection: ...

    Its handlers run in that thread. At the end it stops accepting and closes as
    `Server.close` does.

    Args:
        start: Called in the thread; returns what makes the server when awaited,
            such as `xmlsocket.serve` with a handler does.
        grace: Seconds that handlers have to end by themselves at the end, before
            who is still connected is cut off; by default none.

    Attributes:
        server: The server, once it has started. Belongs to the thread: read
            ``stats()``, and leave the rest alone.
        address: Where it listens: host and port of its first socket; or the path
            of a Unix socket.

    """

    def __init__(self, start: Callable[[], Awaitable[S]], *, grace: float = 0) -> None:
        self.server: S
        self.address: Any = None
        self._start = start
        self._grace = grace
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="BackgroundServer", daemon=True
        )

    def __enter__(self) -> Self:
        """Start; raises what starting the server raises."""
        self._thread.start()
        try:
            self.server = self._wait_for(self._started())
        except BaseException:
            self._stop()
            raise
        address = self.server.sockets[0].getsockname()
        self.address = address[:2] if isinstance(address, tuple) else address
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the server and end its thread."""
        try:
            self._wait_for(self._closed())
        finally:
            self._stop()

    async def _started(self) -> S:
        return await self._start()

    async def _closed(self) -> None:
        if isinstance(self.server, Server):
            self.server.close(self._grace)
        else:
            self.server.close()
        await self.server.wait_closed()

    def _wait_for(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def _stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()
