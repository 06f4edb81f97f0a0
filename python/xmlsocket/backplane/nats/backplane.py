"""`NatsBackplane`: rooms of several processes and machines."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from typing import TYPE_CHECKING, Any, Final

from nats.js import api

from .counters import Counters, NatsStats
from .feeds import Feed, LiveFeed
from .link import EXPECTED, Link, Session
from .outgoing import Outgoing
from .stream import StreamFeed, open_stream
from .wire import check_prefix, token

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from types import TracebackType
    from typing import Self

    from ..history import History
    from ..protocol import Deliver

__all__ = ["NatsBackplane"]

# What the backplane does itself.
_RESERVED: Final = frozenset(
    {
        "allow_reconnect",
        "closed_cb",
        "disconnected_cb",
        "error_cb",
        "max_reconnect_attempts",
        "no_echo",
        "reconnect_time_wait",
        "reconnected_cb",
        "servers",
    }
)

# Seconds that closing gives to what still has to be sent.
_CLOSE_TIMEOUT: Final = 5.0


class NatsBackplane:
    """
    Joins rooms of several processes, and machines, through NATS.

    All rooms of a process share one connection::

        async with NatsBackplane("nats://127.0.0.1:4222") as backplane:
            plaza = Room("plaza", backplane=backplane)

    It belongs to the event loop in which it was entered, and rooms may use it
    while it is entered only.

    Without history, documents reach other processes at most once: what is on its
    way when a connection breaks is lost. What rooms say while NATS is known to be
    away is kept and sent later.

    With history, every document goes through a stream of JetStream. All members
    get a room's documents from there, those of the sender's process too, in one
    order for all, each once; a document that NATS did not acknowledge is sent
    again. So nothing is lost but what exceeds ``max_waiting`` or what the stream
    gives up before a process that was cut off comes back for it. While NATS is
    away, such a room stands still.

    Args:
        servers: Address of a server, or several of one cluster:
            ``nats://host:port``, or ``tls://``, or ``ws://``.
        history: What new members are sent first; by default nothing. Rooms that
            are to meet need the same choice of with or without.
        prefix: What the subjects of rooms begin with: ``PREFIX.live.NAME`` and,
            with history, ``PREFIX.log.NAME``. NATS knows the stream under this
            name too, with ``_`` for each dot.
        max_waiting: Bytes, with 256 for each document, that may wait while NATS
            is away; what goes beyond is dropped and counted. With 0 nothing is
            kept.
        retain: Messages of one room that a stream made by this backplane keeps;
            one message has the documents of one turn of the event loop. They are
            for processes that were cut off, and for new members, so no fewer than
            ``History.documents``.
        retain_seconds: For how long it keeps them.
        replicas: On how many servers of a cluster it keeps them. With 3 nothing
            is lost with one server. A stream that exists already stays as it is.
        heartbeat: Seconds between signs of life; a server that leaves one
            unanswered for as long is given up. With history each room with members
            has a heartbeat too: when a server of a cluster dies, rooms that were
            read from it stand still for one and a half of them.
        connect_timeout: Seconds that an attempt to connect may take.
        options: Of ``nats.aio.client.Client.connect``: ``tls`` (an
            `ssl.SSLContext`), ``tls_hostname``, ``user``, ``password``, ``token``,
            ``user_credentials``, ``nkeys_seed``, ``name`` and so on.

    Raises:
        ValueError: If an argument is out of range.
        TypeError: For options of nats-py that the backplane sets itself.

    """

    def __init__(
        self,
        servers: str | Sequence[str] = "nats://127.0.0.1:4222",
        *,
        history: History | None = None,
        prefix: str = "xmlsocket",
        max_waiting: int = 2**24,
        retain: int = 10_000,
        retain_seconds: float = 3600.0,
        replicas: int = 1,
        heartbeat: float = 5.0,
        connect_timeout: float = 5.0,
        **options: Any,
    ) -> None:
        servers = [servers] if isinstance(servers, str) else list(servers)
        if not servers:
            raise ValueError("servers must name at least one")
        check_prefix(prefix)
        for name, value, least in (
            ("max_waiting", max_waiting, 0),
            ("retain", retain, max(1, (history and history.documents) or 0)),
            ("replicas", replicas, 1),
        ):
            if value < least:
                raise ValueError(f"{name} must be {least} or more, not {value}")
        for name, seconds in (
            ("retain_seconds", retain_seconds),
            ("heartbeat", heartbeat),
            ("connect_timeout", connect_timeout),
        ):
            if not seconds > 0:
                raise ValueError(f"{name} must be positive, not {seconds}")
        if reserved := _RESERVED & options.keys():
            raise TypeError(f"the backplane sets {', '.join(sorted(reserved))} itself")
        self._history = history
        self._heartbeat = heartbeat
        self._prefix = prefix
        self._stream = api.StreamConfig(
            name=prefix.replace(".", "_"),
            subjects=[f"{prefix}.log.>"],
            max_msgs_per_subject=retain,
            max_age=max(retain_seconds, (history and history.seconds) or 0),
            num_replicas=replicas,
            storage=api.StorageType.FILE,
        )
        self._origin = secrets.token_hex(8)
        self._feeds: dict[str, Feed] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._counters = Counters()
        options = {"name": "xmlsocket", "no_echo": history is None} | options
        self._link = Link(
            servers,
            self._prepare,
            self._slow,
            heartbeat=heartbeat,
            connect_timeout=connect_timeout,
            options=options,
        )
        self._outgoing = Outgoing(
            self._link,
            self._counters,
            self._subject_of,
            self._feeds.get,
            origin=None if history is None else self._origin,
            max_waiting=max_waiting,
        )

    async def __aenter__(self) -> Self:
        """
        Connect.

        Raises:
            BackplaneError: If no server lets us in, or history is wanted and none
                has JetStream.

        """
        await self._link.open()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Send what waits, for some seconds at most, and disconnect."""
        try:
            # What cannot be sent in time is counted as dropped.
            with contextlib.suppress(*EXPECTED):
                if self._link.up:
                    await asyncio.wait_for(self.flush(), _CLOSE_TIMEOUT)
        finally:
            await self._outgoing.close()
            for name in tuple(self._feeds):
                self._close(name)
            await asyncio.gather(*self._closing, return_exceptions=True)
            await self._link.close()

    async def flush(self) -> None:
        """
        Wait until NATS has what was published and knows the rooms that have members here.

        While NATS is away this waits for it.
        """
        for feed in tuple(self._feeds.values()):
            await feed.ready.wait()
        await self._outgoing.drain()
        while True:
            session = await self._link.session()
            try:
                await session.flush()
            except EXPECTED as exc:
                session.end(exc)  # unless it has: another will come
            else:
                return

    def stats(self) -> NatsStats:
        """Return what was counted so far."""
        counted = self._counters
        return NatsStats(
            connected=self._link.up,
            losses=self._link.losses,
            rooms=len(self._feeds),
            waiting=self._outgoing.waiting,
            published=counted.published,
            received=counted.received,
            dropped=counted.dropped,
            missed=counted.missed,
            malformed=counted.malformed,
        )

    # What rooms ask of a backplane

    @property
    def ordered(self) -> bool:
        """Whether there is a history."""
        return self._history is not None

    def subscribe(self, name: str, deliver: Deliver, /) -> None:
        """Deliver what is published to a room from now on."""
        feed = self._feeds.get(name)
        if feed is None:
            feed = self._feeds[name] = self._feed(name)
        feed.subscribers[deliver] = None

    def unsubscribe(self, name: str, deliver: Deliver, /) -> None:
        """Deliver no more."""
        feed = self._feeds.get(name)
        if feed is not None:  # it is when the backplane was left before the room was
            feed.subscribers.pop(deliver, None)
            if not feed.subscribers:
                self._close(name)

    def publish(
        self,
        name: str,
        frame: bytes,
        key: str | None,
        sender: Deliver,
        exclude: Collection[Any],
        /,
    ) -> None:
        """Hand a frame to all who have subscribed to the room, here and elsewhere."""
        if self._history is None and name in self._feeds:
            # NATS does not send back to the connection that published.
            for deliver in tuple(self._feeds[name].subscribers):
                if deliver != sender:
                    deliver(frame, key, ())
        self._outgoing.put(name, frame, key, sender, exclude)

    def replay(self, name: str, /) -> Iterable[tuple[bytes, str | None]]:
        """Return what one more member of the room is sent first."""
        feed = self._feeds.get(name)
        return () if feed is None else feed.replay()

    # The rooms on NATS

    def _subject_of(self, name: str) -> str:
        kind = "live" if self._history is None else "log"
        return f"{self._prefix}.{kind}.{token(name)}"

    def _feed(self, name: str) -> Feed:
        subject = self._subject_of(name)
        if self._history is None:
            return LiveFeed(subject, self._link, self._counters)
        assert self._stream.name is not None
        return StreamFeed(
            subject,
            self._link,
            self._counters,
            history=self._history,
            stream=self._stream.name,
            origin=self._origin,
            heartbeat=self._heartbeat,
        )

    def _close(self, name: str) -> None:
        task = self._feeds.pop(name).close()
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def _slow(self) -> None:
        if self._history is None:  # else it is read again
            self._counters.missed += 1

    async def _prepare(self, session: Session) -> None:
        if self._history is not None:
            await open_stream(session, self._stream)
