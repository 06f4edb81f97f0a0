"""The one connection to NATS, made again whenever it is lost."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import urllib.parse
from typing import TYPE_CHECKING, Any, Final

try:
    import nats.errors
    from nats.aio.client import Client
except ModuleNotFoundError as _error:  # pragma: no cover - a matter of what is installed
    if _error.name != "nats":
        raise
    raise ModuleNotFoundError(
        "the NATS backplane needs nats-py: pip install 'xmlsocket[nats]'", name="nats"
    ) from None

from .errors import BackplaneError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

__all__ = ["EXPECTED", "Link", "Session"]

logger: Final = logging.getLogger("xmlsocket.backplane")

EXPECTED: Final = (nats.errors.Error, OSError, TimeoutError)
"""What nats-py raises if NATS or the way to it is at fault. At the end of a connection it
raises other things, too: nothing that it raises may end a room."""

# Seconds between attempts to come back: the first one, then up to the last.
_DELAYS: Final = (0.05, 2.0)

_HINTS: Final = {
    "authorization violation": "check user and password, token or user_credentials",
    "connection refused": "is nats-server running there?",
}


class Session:
    """
    One connection, from its beginning to its end.

    Args:
        slow: Called for each message that nats-py drops because too many wait.

    Attributes:
        client: What nats-py calls the connection.
        ended: Set when it is no good any more.
        error: What went wrong with it last.

    """

    def __init__(self, slow: Callable[[], None]) -> None:
        self.client: Client = Client()
        self._slow = slow
        self.ended: asyncio.Event = asyncio.Event()
        self.error: Exception | None = None
        self.created = ""  # when the stream was made that it uses
        self._denied = False
        self._uses: set[asyncio.Timeout] = set()

    async def failed(self, error: Exception) -> None:
        """Note what nats-py reports."""
        if isinstance(error, nats.errors.SlowConsumerError):
            self._slow()
        if not isinstance(error, EXPECTED):
            # Not NATS: what delivers to members has failed.
            logger.error("! delivery from NATS failed", exc_info=error)
            return
        self.error = error
        if "permissions violation" in str(error).lower() and not self._denied:
            self._denied = True
            logger.warning("! NATS does not permit this: %s", error)
        else:
            logger.debug("! NATS: %s", error)

    async def closed(self) -> None:
        """Note that nats-py has given up."""
        self.end(None)

    def end(self, error: Exception | None) -> None:
        """Take the connection for no good any more: whoever waits for an answer need not."""
        if self.ended.is_set():
            return
        self.error = error or self.error
        self.ended.set()
        now = asyncio.get_running_loop().time()
        for use in self._uses:
            use.reschedule(now)

    @contextlib.asynccontextmanager
    async def use(self) -> AsyncIterator[Client]:
        """
        Ask something of the connection; nats-py alone waits on when that is gone.

        Raises:
            TimeoutError: If the session ends before the answer comes.

        """
        async with asyncio.timeout(None) as use:
            if self.ended.is_set():
                raise TimeoutError
            self._uses.add(use)
            try:
                yield self.client
            finally:
                self._uses.discard(use)

    async def flush(self) -> None:
        """
        Wait until the server has all that was written.

        Raises:
            nats.errors.Error: If the connection is closed or the server does not answer.
            TimeoutError: If the session ends meanwhile.

        """
        async with self.use() as client:
            # Not to be cancelled: nats-py stops reading at the answer to a ping
            # for which nobody waits any more.
            ping = asyncio.ensure_future(client.flush())
            ping.add_done_callback(lambda done: done.cancelled() or done.exception())
            await asyncio.shield(ping)

    async def watch(self, heartbeat: float) -> None:
        """End the session when the server does not answer, or nobody listens to its answers."""
        # Private. nats-py does not tell of every end: not if reading fails on what
        # it did not expect, nor if it cannot write its last to a broken connection.
        reader = getattr(self.client, "_reading_task", None)
        if reader is not None:  # pragma: no branch - may be called otherwise
            reader.add_done_callback(lambda _: self.end(self.client.last_error))
        while True:
            await asyncio.sleep(heartbeat)
            try:
                async with asyncio.timeout(heartbeat):
                    await self.flush()
            except Exception as exc:  # noqa: BLE001 - whatever it is, there was no answer
                self.end(exc)
                return

    async def close(self) -> None:
        """Give the connection back, also one whose peer does not read any more."""
        if self.ended.is_set():
            # nats-py would wait for what it has written to be read.
            writer = getattr(getattr(self.client, "_transport", None), "_io_writer", None)
            if writer is not None:  # pragma: no branch - private, may be called otherwise
                writer.transport.abort()
        with contextlib.suppress(Exception):
            async with asyncio.timeout(_DELAYS[1]):
                await self.client.close()


class Link:
    """
    Keeps one connection to one of several servers of NATS.

    nats-py can reconnect by itself; it is not asked to. Whoever follows this link
    sees each connection as a `Session` of its own, so that nothing of an earlier
    one is taken for a part of the next.

    Args:
        servers: Addresses of the servers, one of which is used.
        prepare: Called with each new connection before anyone gets it.
        slow: As for `Session`.
        heartbeat: Seconds between signs of life.
        connect_timeout: Seconds that one attempt may take.
        options: For nats-py.

    """

    def __init__(
        self,
        servers: Sequence[str],
        prepare: Callable[[Session], Awaitable[None]],
        slow: Callable[[], None],
        *,
        heartbeat: float,
        connect_timeout: float,
        options: dict[str, Any],
    ) -> None:
        self._servers = list(servers)
        self._prepare = prepare
        self._slow = slow
        self._heartbeat = heartbeat
        self._timeout = connect_timeout
        self._options = options
        self._session: Session | None = None
        self._up = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._closed = False
        self.losses: int = 0

    @property
    def up(self) -> bool:
        """Whether there is a connection, as far as is known."""
        return self._up.is_set()

    async def session(self) -> Session:
        """Return the connection; wait for it while there is none."""
        while self._session is None or self._session.ended.is_set():
            # Set again by _keep(); a session that ended just now is still the current one.
            self._up.clear()
            await self._up.wait()
        return self._session

    async def open(self) -> None:
        """
        Connect for the first time.

        Raises:
            BackplaneError: If no server lets us in.

        """
        self._session = await self._connect_any()
        self._up.set()
        self._task = asyncio.create_task(self._keep(self._session))

    async def close(self) -> None:
        """Disconnect, and stay away."""
        # A flag as well: nats-py swallows cancellation in some places.
        self._closed = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    async def _keep(self, session: Session) -> None:
        while not self._closed:  # pragma: no branch - cancelled, unless nats-py swallowed that
            watch = asyncio.create_task(session.watch(self._heartbeat))
            try:
                await session.ended.wait()
            finally:
                watch.cancel()
                await asyncio.gather(watch, return_exceptions=True)
            self._up.clear()
            self.losses += 1
            logger.warning(
                "! lost NATS (%s); rooms of this process go on, those with history wait",
                session.error or "closed by the server",
            )
            await session.close()
            session = self._session = await self._come_back()
            self._up.set()
            logger.info("= NATS is back")

    async def _come_back(self) -> Session:
        delay, longest = _DELAYS
        while not self._closed:  # pragma: no branch - as in _keep()
            # Not all processes at once.
            await asyncio.sleep(delay * random.uniform(0.5, 1.0))  # noqa: S311 - no secret
            try:
                return await self._connect_any()
            except BackplaneError as exc:
                logger.debug("! %s", exc)
            except Exception:
                logger.exception("! nats-py failed; connecting again")
            delay = min(2 * delay, longest)
        raise asyncio.CancelledError  # pragma: no cover - nats-py swallowed another

    async def _connect_any(self) -> Session:
        failures = []
        for _ in self._servers:
            server = self._servers[0]
            self._servers.append(self._servers.pop(0))
            try:
                return await self._connect(server)
            except BackplaneError as exc:
                failures.append(exc)
        if len(failures) == 1:
            raise failures[0]
        raise BackplaneError("; ".join(map(str, failures))) from failures[-1]

    async def _connect(self, server: str) -> Session:
        session = Session(self._slow)
        try:
            async with asyncio.timeout(self._timeout):
                await session.client.connect(
                    servers=[server],
                    allow_reconnect=False,
                    max_reconnect_attempts=1,
                    reconnect_time_wait=0,
                    connect_timeout=max(1, round(self._timeout)),
                    error_cb=session.failed,
                    closed_cb=session.closed,
                    **self._options,
                )
                await self._prepare(session)
        except BackplaneError:
            await session.close()
            raise
        except EXPECTED as exc:
            # nats-py says of itself that there are no servers, and why to failed().
            error = session.error if isinstance(exc, nats.errors.NoServersError) else exc
            await session.close()
            raise _explained(server, error or exc) from exc
        except BaseException:
            await session.close()
            raise
        return session


def _explained(server: str, error: Exception) -> BackplaneError:
    """Return the error that says where, what, and what to do."""
    # Without user and password.
    where = urllib.parse.urlsplit(server if "://" in server else f"nats://{server}").netloc
    where = where.rpartition("@")[2]
    if isinstance(error, TimeoutError):
        what = "no answer in time"
    elif isinstance(error, ConnectionRefusedError):
        what = "connection refused"  # not asyncio's "connect call failed"
    else:
        what = str((isinstance(error, OSError) and error.strerror) or error)
        what = what.removeprefix("nats: ").strip("'").lower()
    hint = f": {_HINTS[what]}" if what in _HINTS else ""
    return BackplaneError(f"cannot use NATS at {where}: {what}{hint}")
