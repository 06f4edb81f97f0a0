"""The history of rooms: a stream of JetStream, and what is read from it."""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import time
from typing import TYPE_CHECKING, Any, Final

from nats.js import api
from nats.js.errors import APIError, NotFoundError

from ..history import Replay
from .errors import BackplaneError
from .feeds import Feed, leave, listen
from .wire import MessageId, unpack

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from typing import TypeAlias

    from nats.aio.client import Client
    from nats.aio.msg import Msg

    from ..history import History
    from ..protocol import Deliver
    from .counters import Counters
    from .link import Link, Session

    Own: TypeAlias = list[tuple[Deliver, Collection[Any]]]

__all__ = ["StreamFeed", "open_stream"]

logger: Final = logging.getLogger("xmlsocket.backplane")

# After so many heartbeats without any message the consumer is taken for gone: the
# server that had it may have died, which none of the others tells.
_SILENCE: Final = 1.5

# Seconds after which the server forgets a consumer to which nobody listens.
_FORGET: Final = 30.0

# Seconds; JetStream takes no less.
_HEARTBEAT_MIN: Final = 0.1

# Origins of which the last message is remembered, for each room.
_ORIGINS: Final = 1024

# Seconds that JetStream gets to answer; electing a leader takes a few.
TIMEOUT: Final = 5.0

# Where the fields of an answer address begin and end: "$JS.ACK.stream.consumer…",
# or with domain and account before the stream and a random token at the end.
_FIELDS: Final = {9: 4, 12: 6, 11: 6}


async def open_stream(session: Session, config: api.StreamConfig) -> None:
    """
    Find the stream, or make it; and note in the session which one it is.

    Raises:
        BackplaneError: If this NATS has no JetStream, or a stream of that name is
            for something else.

    """
    assert config.name is not None
    manager = session.client.jsm(timeout=TIMEOUT)
    try:
        try:
            info = await manager.stream_info(config.name)
        except NotFoundError:
            info = await manager.add_stream(config)
    except APIError as exc:
        where = session.client.connected_url
        place = where.netloc.rpartition("@")[2] if where else "?"
        if exc.code in (503, None):
            raise BackplaneError(
                f"NATS at {place} has no JetStream ready, which a history needs:"
                " start nats-server with -js, and most of a cluster"
            ) from exc
        raise BackplaneError(
            f"cannot make stream {config.name} at {place}: {exc.description}"
        ) from exc
    if not set(config.subjects or ()) <= set(info.config.subjects or ()):
        raise BackplaneError(
            f"stream {config.name} does not take {config.subjects}: choose another prefix"
        )
    session.created = str(info.created)


class _Consumer:
    """One consumer of the stream: JetStream numbers what it delivers to it."""

    def __init__(self) -> None:
        self.expected = 1
        self.broken = asyncio.Event()
        self.heard = 0.0


class StreamFeed(Feed):
    """
    Delivers what the stream has for one room, each document once and in order.

    It reads with consumers that need no acknowledgement and follows their
    numbers: after a gap, a silence or a new connection another consumer goes on
    after the last message that was read.

    Args:
        history: What new members get.
        stream: Name of the stream.
        origin: Name of this backplane in messages.
        heartbeat: Seconds after which the server is to say that there is nothing
            to say.

    """

    def __init__(
        self,
        subject: str,
        link: Link,
        counters: Counters,
        *,
        history: History,
        stream: str,
        origin: str,
        heartbeat: float,
    ) -> None:
        self._heartbeat = max(heartbeat, _HEARTBEAT_MIN)
        self._history = history
        self._stream = stream
        self._created = ""
        self._origin = origin
        self._last = 0
        self._read = 0
        # The messages that count as history: unknown until there is a consumer.
        self._due: int | None = None
        self._past: list[tuple[bytes, str | None, float, Deliver | None, Collection[Any]]] = []
        self._replay = Replay(history)
        self._live = False
        self._seen: dict[str, int] = {}
        self._own: dict[int, Own] = {}
        self._published = 0
        super().__init__(subject, link, counters)

    def claim(self, number: int, own: Own) -> int:
        """Note whose documents the message with this number has; return the one before."""
        self._own[number] = own
        previous, self._published = self._published, number
        return previous

    def replay(self) -> Iterable[tuple[bytes, str | None]]:
        """Return the history, as far as it was delivered."""
        return self._replay.at(time.time())

    async def _follow(self, session: Session) -> None:
        if self._created != session.created:
            # Another stream: its numbers have nothing to do with those of the old one.
            self._last = 0
            self._created = session.created
        consumer = _Consumer()
        client = session.client
        inbox = client.new_inbox()

        async def receive(message: Msg) -> None:
            consumer.heard = time.monotonic()
            if consumer.broken.is_set():
                return  # was on its way when the consumer broke
            if message.headers and "Status" in message.headers:
                await self._status(client, consumer, message)
            else:
                self._message(consumer, message)

        subscription = await listen(client, inbox, receive)
        try:
            async with session.use():
                manager = client.jsm(timeout=TIMEOUT)
                info = await manager.add_consumer(self._stream, self._config(inbox))
            if info.delivered is not None:  # pragma: no branch - every server tells it
                self._last = max(self._last, info.delivered.stream_seq)
            if self._due is None:
                self._due = info.num_pending or 0
            self._catch_up()
            await self._until_broken(session, consumer)
        finally:
            # The server drops a consumer to which nobody listens.
            await leave(session, subscription)

    def _config(self, inbox: str) -> api.ConsumerConfig:
        config = api.ConsumerConfig(
            deliver_subject=inbox,
            filter_subject=self._subject,
            ack_policy=api.AckPolicy.NONE,
            max_deliver=1,
            flow_control=True,
            idle_heartbeat=self._heartbeat,
            inactive_threshold=_FORGET,
            mem_storage=True,
            num_replicas=1,
        )
        if self._last:
            return config.evolve(
                deliver_policy=api.DeliverPolicy.BY_START_SEQUENCE, opt_start_seq=self._last + 1
            )
        if self._history.documents == 0 and not self._live:
            return config.evolve(deliver_policy=api.DeliverPolicy.NEW)
        if self._history.seconds is not None and not self._live:
            start = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=self._history.seconds)
            return config.evolve(
                deliver_policy=api.DeliverPolicy.BY_START_TIME, opt_start_time=start
            )
        return config.evolve(deliver_policy=api.DeliverPolicy.ALL)

    async def _until_broken(self, session: Session, consumer: _Consumer) -> None:
        reasons = [
            asyncio.ensure_future(session.ended.wait()),
            asyncio.ensure_future(consumer.broken.wait()),
        ]
        try:
            consumer.heard = time.monotonic()  # what answered was not the consumer
            silence = _SILENCE * self._heartbeat
            while (left := consumer.heard + silence - time.monotonic()) > 0 and not self._closed:
                done, _ = await asyncio.wait(
                    reasons, timeout=left, return_when=asyncio.FIRST_COMPLETED
                )
                if done:
                    break
        finally:
            for reason in reasons:
                reason.cancel()

    async def _status(self, client: Client, consumer: _Consumer, message: Msg) -> None:
        headers = message.headers or {}
        if headers["Status"] != "100":
            logger.debug("! NATS: consumer of %s: %s", self._subject, headers)
            consumer.broken.set()
            return
        # A request for a sign of life when much is on its way, or the news that
        # one is missing.
        answer = message.reply or headers.get("Nats-Consumer-Stalled")
        if answer:
            await client.publish(answer)
        last = headers.get("Nats-Last-Consumer")
        if last is not None and int(last) != consumer.expected - 1:
            consumer.broken.set()
        elif last is not None and self._due is not None:
            # Nothing is on its way: what was due may have expired.
            self._due = min(self._due, self._read)
            self._catch_up()

    def _message(self, consumer: _Consumer, message: Msg) -> None:
        fields = message.reply.split(".")
        first = _FIELDS[len(fields)] + 1
        sequence, number, nanoseconds = map(int, fields[first : first + 3])
        if number != consumer.expected:
            consumer.broken.set()
            return
        consumer.expected += 1
        self._last = sequence
        self._take(message, nanoseconds / 1e9)
        self._read += 1
        if not self._live:
            self._catch_up()

    def _take(self, message: Msg, sent: float) -> None:
        try:
            name = MessageId.of(message.headers)
            documents = unpack(message.data, message.headers)
        except ValueError:
            self._counters.malformed += 1
            return
        seen = self._seen.pop(name.origin, 0)
        self._seen[name.origin] = max(seen, name.number)
        own = self._own.pop(name.number, None) if name.origin == self._origin else None
        if name.number <= seen:
            return  # stored again, long after it was sent first
        if len(self._seen) > _ORIGINS:
            del self._seen[next(iter(self._seen))]
        if seen and name.previous > seen:
            self._counters.missed += 1
            logger.warning("! the stream gave up messages of %s unread", self._subject)
        self._counters.received += len(documents)
        nobody: tuple[None, tuple[()]] = (None, ())
        for index, (frame, key) in enumerate(documents):
            sender, exclude = nobody if own is None else own[index]
            if self._live:
                self._deliver(frame, key, sent, sender, exclude)
            else:
                self._past.append((frame, key, sent, sender, exclude))

    def _catch_up(self) -> None:
        """Deliver the history when all of it is here."""
        if self._live or self._due is None or self._read < self._due:
            keep = self._history.documents
            if keep is not None and not self._live and len(self._past) > 2 * keep + 1024:
                del self._past[: len(self._past) - keep]
            return
        self._live = True
        keep = self._history.documents
        past = self._past if keep is None else self._past[max(0, len(self._past) - keep) :]
        for frame, key, sent, sender, exclude in past:
            self._deliver(frame, key, sent, sender, exclude)
        self._past.clear()
        self.ready.set()

    def _deliver(
        self,
        frame: bytes,
        key: str | None,
        sent: float,
        sender: Deliver | None,
        exclude: Collection[Any],
    ) -> None:
        self._replay.add(frame, key, sent)
        for deliver in tuple(self.subscribers):
            deliver(frame, key, exclude if deliver == sender else ())
