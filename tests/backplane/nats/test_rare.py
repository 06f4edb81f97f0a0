"""`NatsBackplane`: what NATS seldom says, and calls that come too late or too early."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Any

import nats
import nats.errors
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from tests.asyncio.support import until
from tests.support.nats import NatsServer
from tests.support.planes import prefix, settle
from xmlsocket import History
from xmlsocket.backplane.nats import BackplaneError, NatsBackplane
from xmlsocket.backplane.nats import stream as stream_module
from xmlsocket.backplane.nats.counters import Counters
from xmlsocket.backplane.nats.link import Link, Session
from xmlsocket.backplane.nats.outgoing import Outgoing, _Refused
from xmlsocket.backplane.nats.stream import StreamFeed, _Consumer

from .support import Listener

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path


def make_link() -> Link:
    """Return a link that nobody has opened."""

    async def prepare(session: Session) -> None:
        """Nothing is wanted of a connection."""

    return Link(
        ["nats://127.0.0.1:1"], prepare, lambda: None, heartbeat=1, connect_timeout=1, options={}
    )


@contextlib.asynccontextmanager
async def feeding() -> AsyncIterator[tuple[StreamFeed, Counters]]:
    """Yield the feed of a room whose connection does not come."""
    counters = Counters()
    feed = StreamFeed(
        "a",
        make_link(),
        counters,
        history=History(documents=10),
        stream="s",
        origin="me",
        heartbeat=1,
    )
    try:
        yield feed, counters
    finally:
        await asyncio.gather(feed.close(), return_exceptions=True)


@pytest.fixture
async def client(nats_server: NatsServer) -> AsyncIterator[Client]:
    """Connect to NATS without this package."""
    client = await nats.connect(nats_server.url)
    yield client
    await client.close()


async def test_room_that_is_left_after_the_backplane_is_no_error(nats_server: NatsServer) -> None:
    """Connections end in any order."""
    listener = Listener()
    async with NatsBackplane(nats_server.url, prefix=prefix()) as plane:
        listener.join(plane)
        await settle(plane)
    plane.unsubscribe("a", listener)

    assert 0 == plane.stats().rooms


async def test_link_that_was_never_open_can_be_closed() -> None:
    """There is nothing to give back."""
    link = make_link()
    await link.close()

    assert not link.up


async def test_nats_that_stays_away_is_tried_again_and_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Each attempt that fails is told at DEBUG, and the last one is not the last."""
    caplog.set_level(logging.DEBUG, logger="xmlsocket.backplane")
    with NatsServer(tmp_path / "nats") as server:
        async with NatsBackplane(server.url, heartbeat=1.0) as plane:
            server.stop()
            await until(lambda: 2 <= caplog.text.count(f"127.0.0.1:{server.port}: "))
            assert not plane.stats().connected
            server.start()
            await plane.flush()

            assert (True, 1) == (plane.stats().connected, plane.stats().losses)


async def test_history_needs_an_account_with_jetstream(tmp_path: Path) -> None:
    """A server may have JetStream and not give it to everyone."""
    config = "accounts { A { users: [{user: a, password: a}] } }"
    with NatsServer(tmp_path / "nats", config=config) as server:
        url = server.url.replace("//", "//a:a@")
        with pytest.raises(BackplaneError, match="has no JetStream ready"):
            async with NatsBackplane(url, history=History(documents=10)):
                pass


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b'{"stream": "s", "seq": 1}', None),
        (b"hello", nats.errors.Error),
        (b"[]", nats.errors.Error),
        (b'{"error": {"code": 503, "description": "no leader"}}', nats.errors.Error),
        (b'{"error": {"description": "no code"}}', nats.errors.Error),
        (b'{"error": {"code": 400, "description": "too large"}}', _Refused),
        (b'{"error": {"code": 499}}', _Refused),
    ],
)
async def test_store_answer_decides_whether_it_is_sent_again(
    client: Client, answer: bytes, error: type[Exception] | None
) -> None:
    """What is no answer of a stream, or an error for a while, is tried again; 4xx is for good."""
    subject = prefix()

    async def respond(message: Msg) -> None:
        await message.respond(answer)

    await client.subscribe(subject, cb=respond)
    session = Session(lambda: None)
    session.client = client
    if error is None:
        await Outgoing._store(session, subject, b"<a/>\0", {})
    else:
        with pytest.raises(error) as caught:
            await Outgoing._store(session, subject, b"<a/>\0", {})
        assert error is caught.type


@pytest.mark.parametrize("status", ["409", "408"])
async def test_consumer_that_the_server_ends_is_made_anew(client: Client, status: str) -> None:
    """Any status but 100 says that no more will come."""
    consumer = _Consumer()
    async with feeding() as (feed, _):
        await feed._status(client, consumer, Msg(client, headers={"Status": status}))

    assert consumer.broken.is_set()


@pytest.mark.parametrize("stalled", [False, True])
async def test_consumer_that_waits_for_a_sign_of_life_gets_it(
    client: Client, stalled: bool
) -> None:
    """Asked for by the address of the answer, or in a heartbeat when that was lost."""
    consumer, address = _Consumer(), prefix()
    answers = await client.subscribe(address)
    message = Msg(client, reply="" if stalled else address, headers={"Status": "100"})
    if stalled:
        message.headers = {"Status": "100", "Nats-Consumer-Stalled": address}
    async with feeding() as (feed, _):
        await feed._status(client, consumer, message)

    assert b"" == (await answers.next_msg(timeout=30)).data
    assert not consumer.broken.is_set()


@pytest.mark.parametrize(("last", "broken"), [("3", False), ("4", True), ("2", True)])
async def test_heartbeat_tells_what_was_lost(client: Client, last: str, broken: bool) -> None:
    """It names the last message that was sent: one is missing, or its numbers began anew."""
    consumer = _Consumer()
    consumer.expected = 4
    headers = {"Status": "100", "Nats-Last-Consumer": last}
    async with feeding() as (feed, _):
        await feed._status(client, consumer, Msg(client, headers=headers))

    assert broken is consumer.broken.is_set()


async def test_senders_that_are_long_gone_are_forgotten(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the processes that ever spoke in a room only the latest are remembered."""
    monkeypatch.setattr(stream_module, "_ORIGINS", 3)
    async with feeding() as (feed, counters):
        for number in range(5):
            headers = {"Nats-Msg-Id": f"process{number}.1.0"}
            feed._take(Msg(client, data=b"<a/>\0", headers=headers), 0.0)

        assert ["process2", "process3", "process4"] == [*feed._seen]
        assert 5 == counters.received


async def test_attempt_to_connect_that_is_cancelled_gives_its_socket_back() -> None:
    """Who gives up on a server that does not answer leaves no connection there."""
    asked, ended = asyncio.Event(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Greeted, the client asks and waits. Cancelled while it connects it would
        # not know: wait_for() of Python 3.11, which nats-py calls, loses that then.
        writer.write(b'INFO {"server_id": "x", "max_payload": 1024, "headers": true}\r\n')
        await reader.readuntil(b"PING\r\n")
        asked.set()
        await reader.read()
        ended.set()
        writer.close()

    async with asyncio.timeout(20), await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        plane = NatsBackplane(f"nats://{host}:{port}", connect_timeout=60)
        opening = asyncio.create_task(plane.__aenter__())
        await asked.wait()
        opening.cancel()
        await asyncio.wait([opening])
        await ended.wait()

    assert opening.cancelled()
    assert not plane.stats().connected


def fail_once(monkeypatch: pytest.MonkeyPatch, method: str, error: Exception) -> Callable[[], bool]:
    """Let nats-py raise ``error`` in one call of a method; return whether it has."""
    errors = [error]
    genuine = getattr(Client, method)

    async def failing(*args: Any, **options: Any) -> Any:
        if errors:
            raise errors.pop()
        return await genuine(*args, **options)

    monkeypatch.setattr(Client, method, failing)
    return lambda: not errors


@pytest.mark.parametrize("method", ["request", "publish", "subscribe", "connect"])
async def test_surprise_from_nats_py_ends_no_room(
    method: str,
    nats_server: NatsServer,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What it raises beyond its own errors is told, and what was tried is tried again."""
    options: dict[str, Any] = {"prefix": prefix(), "history": History(documents=10)}
    if method == "publish":
        options["history"] = None
    async with (
        NatsBackplane(nats_server.url, **options) as here,
        NatsBackplane(nats_server.url, **options) as there,
    ):
        listener = Listener()
        if method != "subscribe":
            listener.join(there)
            await settle(here, there)
        failed = fail_once(monkeypatch, method, AttributeError("surprise"))
        if method == "subscribe":
            listener.join(there)
        if method == "connect":
            (await here._link.session()).end(None)
        Listener().say(here, b"1")
        await settle(here, there)

        assert [b"1"] == await listener.heard(b"1")
        assert failed()
    assert ["surprise"] == [str(record.exc_info[1]) for record in caplog.records if record.exc_info]


async def test_surprise_from_nats_py_ends_the_session(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a sign of life fails with, there was none."""
    failed = fail_once(monkeypatch, "flush", AssertionError("surprise"))
    session = Session(lambda: None)
    session.client = client
    await session.watch(1.0)

    assert failed()
    assert "surprise" == str(session.error)


async def test_session_that_ended_keeps_the_reason_it_ended_for(client: Client) -> None:
    """That a closed connection does not answer either is no news."""
    reason = OSError("reset")
    session = Session(lambda: None)
    session.client = client
    await session.failed(reason)
    await session.closed()
    await client.close()
    await session.watch(0.001)

    assert reason is session.error


async def test_consumer_that_broke_delivers_nothing_more(nats_server: NatsServer) -> None:
    """What was on its way behind a gap is read again, in order, and not taken from there."""
    options: dict[str, Any] = {"prefix": prefix(), "history": History(documents=10)}
    async with NatsBackplane(nats_server.url, **options) as plane:
        listener = Listener().join(plane)
        await settle(plane)
        listener.say(plane, b"1")
        await listener.heard(b"1")
        await settle(plane)
        feed = plane._feeds["a"]
        assert isinstance(feed, StreamFeed)
        client = (await plane._link.session()).client
        (found,) = await client.jsm().consumers_info(feed._stream)
        inbox = found.config.deliver_subject
        (own,) = (sub for sub in client._subs.values() if sub.subject == inbox)
        assert own._cb is not None
        # The second of the consumer's messages is the next: the ninth is behind a gap.
        for number, document in ((9, b"9\0"), (2, b"2\0")):
            address = f"$JS.ACK.s.c.1.{number}.{number}.0.0"
            headers = {"Nats-Msg-Id": f"x.{number}.0"}
            await own._cb(Msg(client, inbox or "", address, document, headers))
        listener.say(plane, b"3")

        assert [b"1", b"3"] == await listener.heard(b"3")
