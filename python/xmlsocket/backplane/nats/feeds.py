"""The documents of one room, as they arrive from NATS."""

from __future__ import annotations

import abc
import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Final

import nats.errors

from .link import EXPECTED
from .wire import unpack

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from nats.aio.client import Client
    from nats.aio.msg import Msg
    from nats.aio.subscription import Subscription

    from ..protocol import Deliver
    from .counters import Counters
    from .link import Link, Session

__all__ = ["DELAYS", "Feed", "LiveFeed", "leave", "listen"]

logger: Final = logging.getLogger("xmlsocket.backplane")

# Messages and bytes that wait in nats-py for one room before it drops some: this
# loop is blocked for long if there are so many.
_PENDING_MESSAGES: Final = 2**16
_PENDING_BYTES: Final = 2**26

# Seconds to wait after a failure, the first time and at most.
DELAYS: Final = (0.05, 1.0)


async def listen(
    client: Client, subject: str, receive: Callable[[Msg], Awaitable[None]]
) -> Subscription:
    """Subscribe to a subject."""
    return await client.subscribe(
        subject,
        cb=receive,
        pending_msgs_limit=_PENDING_MESSAGES,
        pending_bytes_limit=_PENDING_BYTES,
    )


async def leave(session: Session, subscription: Subscription) -> None:
    """Unsubscribe, unless the connection is gone anyway."""
    if not session.ended.is_set():
        with contextlib.suppress(nats.errors.Error, OSError):
            await subscription.unsubscribe()


class Feed(abc.ABC):
    """
    What NATS has for the rooms of one name in this process.

    Attributes:
        subscribers: The rooms: an ordered set.
        ready: Set when what others publish from now on will arrive, and also
            when the feed is closed.

    """

    def __init__(self, subject: str, link: Link, counters: Counters) -> None:
        self.subscribers: dict[Deliver, None] = {}
        self.ready: asyncio.Event = asyncio.Event()
        self._subject = subject
        self._link = link
        self._counters = counters
        self._closed = False
        self._task = asyncio.create_task(self._run())

    def close(self) -> asyncio.Task[None]:
        """Deliver nothing any more; the task is done when NATS knows."""
        # A flag as well: nats-py swallows cancellation in some places.
        self._closed = True
        self.subscribers.clear()
        self.ready.set()
        self._task.cancel()
        return self._task

    def replay(self) -> Iterable[tuple[bytes, str | None]]:
        """Return what one more member is sent first."""
        return ()

    async def _run(self) -> None:
        delay, longest = DELAYS
        while not self._closed:  # pragma: no branch - cancelled, unless nats-py swallowed that
            session = await self._link.session()
            try:
                await self._follow(session)
            except EXPECTED as exc:
                logger.debug("! NATS: %s", exc)
            except Exception:
                logger.exception("! nats-py failed; reading again")
            else:
                delay = DELAYS[0]
                continue
            await asyncio.sleep(delay)
            delay = min(2 * delay, longest)

    @abc.abstractmethod
    async def _follow(self, session: Session) -> None:
        """Deliver until the session ends or there is another reason to begin anew."""


class LiveFeed(Feed):
    """Delivers what others publish while it listens: core NATS."""

    async def _follow(self, session: Session) -> None:
        subscription = await listen(session.client, self._subject, self._receive)
        self.ready.set()
        try:
            if not self._closed:  # pragma: no branch - as in _run()
                await session.ended.wait()
        finally:
            await leave(session, subscription)

    async def _receive(self, message: Msg) -> None:
        try:
            documents = unpack(message.data, message.headers)
        except ValueError:
            self._counters.malformed += 1
            return
        self._counters.received += len(documents)
        for frame, key in documents:
            for deliver in tuple(self.subscribers):
                deliver(frame, key, ())
