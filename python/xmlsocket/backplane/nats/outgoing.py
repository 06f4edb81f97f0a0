"""The documents of rooms on their way to NATS."""

from __future__ import annotations

import asyncio
import collections
import json
import logging
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import nats.errors

from .feeds import DELAYS
from .link import EXPECTED
from .stream import StreamFeed
from .wire import ID, MessageId, pack, weight

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from ..protocol import Deliver
    from .counters import Counters
    from .feeds import Feed
    from .link import Link, Session

__all__ = ["Outgoing"]

logger: Final = logging.getLogger("xmlsocket.backplane")

# Charged for a document that waits, beyond its length.
_OVERHEAD: Final = 256

# What may wait for a NATS that is there.
_TRANSIT: Final = 2**22

# Bytes of documents that travel as one message, unless one alone is longer. With
# history a room has one message on its way: more than this only adds to a delay.
_BATCH: Final = 2**17

# Bytes that NATS and we put into a message's headers, beyond keys.
_HEADERS: Final = 512

# Seconds after which a message that was not acknowledged is sent again.
_ACK: Final = 2.0


class _Waiting(NamedTuple):
    frame: bytes
    key: str | None
    sender: Deliver
    exclude: Collection[Any]

    @property
    def charge(self) -> int:
        return len(self.frame) + len(self.key or "") + _OVERHEAD


class _Refused(Exception):
    """NATS will not take this message, however often it is sent."""


class Outgoing:
    """
    Sends what rooms say, in the order in which each room said it.

    What a room says in one turn of the loop travels as one message. With history
    a room has one message on its way and sends the next when that is
    acknowledged; one without acknowledgement is sent again under its name, by
    which the stream and its readers know it. So order holds, and nothing is lost
    or doubled, whatever happens to the connection.

    Args:
        link: The connection.
        counters: What to count in.
        subject_of: Gives the subject of a room.
        feed_of: Gives the feed of a room that has members here.
        origin: Name of this backplane in messages; None without history.
        max_waiting: Bytes that may wait while NATS is away.

    """

    def __init__(
        self,
        link: Link,
        counters: Counters,
        subject_of: Callable[[str], str],
        feed_of: Callable[[str], Feed | None],
        *,
        origin: str | None,
        max_waiting: int,
    ) -> None:
        self._link = link
        self._counters = counters
        self._subject_of = subject_of
        self._feed_of = feed_of
        self._origin = origin
        self._max_waiting = max_waiting
        self._rooms: dict[str, collections.deque[_Waiting]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._number = 0
        self._full = False
        self._closed = False
        self.waiting: int = 0

    def put(
        self,
        name: str,
        frame: bytes,
        key: str | None,
        sender: Deliver,
        exclude: Collection[Any],
    ) -> None:
        """Send a document soon, or drop it if too much waits."""
        document = _Waiting(frame, key, sender, exclude)
        limit = max(self._max_waiting, _TRANSIT) if self._link.up else self._max_waiting
        if self.waiting + document.charge > limit:
            self._counters.dropped += 1
            if not self._full:
                self._full = True
                logger.warning("! dropping documents for NATS: max_waiting=%d exceeded", limit)
            return
        self._full = False
        self.waiting += document.charge
        queue = self._rooms.get(name)
        if queue is None:
            queue = self._rooms[name] = collections.deque()
            task = asyncio.create_task(self._send_all(name, queue))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        queue.append(document)

    async def drain(self) -> None:
        """Wait until nothing waits."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def close(self) -> None:
        """Drop what waits."""
        # A flag as well: nats-py swallows cancellation in some places.
        self._closed = True
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _send_all(self, name: str, queue: collections.deque[_Waiting]) -> None:
        batch: list[_Waiting] = []
        try:
            while queue and not self._closed:
                if (feed := self._feed_of(name)) is not None:
                    # So that what is said after joining comes after the history.
                    await feed.ready.wait()
                session = await self._link.session()
                batch = self._batch(queue, session.client.max_payload)
                try:
                    await self._deliver(name, batch)
                except _Refused as exc:
                    self._counters.dropped += len(batch)
                    logger.warning("! NATS refuses documents of a room: %s", exc)
                else:
                    self._counters.published += len(batch)
                self._discharge(batch)
                batch = []
        finally:
            del self._rooms[name]
            self._counters.dropped += len(batch) + len(queue)
            self._discharge(batch)
            self._discharge(queue)

    def _discharge(self, documents: Collection[_Waiting]) -> None:
        self.waiting -= sum(document.charge for document in documents)

    @staticmethod
    def _batch(queue: collections.deque[_Waiting], max_payload: int) -> list[_Waiting]:
        limit = min(_BATCH, max_payload - _HEADERS)
        batch = [queue.popleft()]
        size = weight(batch[0].frame, batch[0].key)
        while queue:
            size += weight(queue[0].frame, queue[0].key)
            if size > limit:
                break
            batch.append(queue.popleft())
        return batch

    async def _deliver(self, name: str, batch: list[_Waiting]) -> None:
        payload, headers = pack((document.frame, document.key) for document in batch)
        if self._origin is not None:
            self._number += 1
            feed = self._feed_of(name)
            own = [(document.sender, document.exclude) for document in batch]
            previous = feed.claim(self._number, own) if isinstance(feed, StreamFeed) else 0
            headers[ID] = str(MessageId(self._origin, self._number, previous))
        subject = self._subject_of(name)
        delay, longest = DELAYS
        while not self._closed:  # pragma: no branch - cancelled, unless nats-py swallowed that
            session = await self._link.session()
            size = len(payload) + sum(len(k) + len(v) + 4 for k, v in headers.items())
            if size > session.client.max_payload - _HEADERS // 2:
                raise _Refused(
                    f"{size} bytes exceed its max_payload={session.client.max_payload}:"
                    " set Limits.max_size below"
                )
            try:
                if self._origin is None:
                    await session.client.publish(subject, payload, headers=headers or None)
                else:
                    await self._store(session, subject, payload, headers)
            except _Refused:
                raise
            except EXPECTED as exc:
                logger.debug("! NATS: %s", exc)
            except Exception:
                logger.exception("! nats-py failed; sending again")
            else:
                return
            await asyncio.sleep(delay)
            delay = min(2 * delay, longest)
        raise asyncio.CancelledError  # pragma: no cover - nats-py swallowed another

    @staticmethod
    async def _store(
        session: Session, subject: str, payload: bytes, headers: dict[str, str]
    ) -> None:
        """Send a message to the stream and wait until that has it."""
        async with session.use() as client:
            answer = await client.request(subject, payload, timeout=_ACK, headers=headers)
        try:
            error = json.loads(answer.data).get("error")
        except (ValueError, AttributeError):
            raise nats.errors.Error from None  # not an answer of a stream
        if error is not None:
            # 5xx is for a while: no leader, no room, too busy.
            if 400 <= int(error.get("code", 500)) < 500:  # noqa: PLR2004 - as in HTTP
                raise _Refused(error.get("description", "no reason"))
            raise nats.errors.Error(str(error))
