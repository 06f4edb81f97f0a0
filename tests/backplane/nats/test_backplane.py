"""`NatsBackplane` between processes: delivery, history, start."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, Any

import nats
import pytest
import trustme

from tests.asyncio.support import pair, until
from tests.support.nats import NatsServer, free_ports
from tests.support.planes import prefix, settle
from tests.support.tls import contexts
from xmlsocket import History, Room
from xmlsocket.backplane.nats import BackplaneError, NatsBackplane
from xmlsocket.backplane.nats.link import _explained

from .support import Listener

if TYPE_CHECKING:
    from pathlib import Path

NUMBERS = [b"%d" % number for number in range(200)]

with_and_without = pytest.mark.parametrize("history", [None, History(documents=10)])


@with_and_without
async def test_rooms_of_a_process_hear_each_other_and_afar_once(
    nats_server: NatsServer, history: History | None
) -> None:
    """Two rooms of one name in one process and one elsewhere: each document reaches each once."""
    options: dict[str, Any] = {"prefix": prefix(), "history": history}
    async with (
        NatsBackplane(nats_server.url, **options) as here,
        NatsBackplane(nats_server.url, **options) as there,
    ):
        one, two, far = Listener().join(here), Listener().join(here), Listener().join(there)
        await settle(here, there)
        one.say(here, *NUMBERS)
        await settle(here, there)

        own = [] if history is None else NUMBERS
        assert (own, NUMBERS, NUMBERS) == (one.documents, two.documents, far.documents)
        assert here.stats().published == there.stats().received == len(NUMBERS)


async def test_names_of_rooms_do_not_meet(nats_server: NatsServer) -> None:
    """A name that looks like a wildcard, a path or another name's encoding is only a name."""
    names = ["a", "a.b", "*", ">", "a=2Eb", "A", "é" * 100, "a b", "\r\nPING\r\n"]
    name = prefix()
    async with (
        NatsBackplane(nats_server.url, prefix=name) as here,
        NatsBackplane(nats_server.url, prefix=name) as there,
    ):
        listeners = {name: Listener().join(there, name) for name in names}
        await settle(there)
        for name in names:
            Listener().say(here, name.encode(), name=name)
        await settle(here, there)

        assert {name: [name.encode()] for name in names} == {
            name: listener.documents for name, listener in listeners.items()
        }


@pytest.mark.parametrize("keep", [0, 1, 20])
async def test_late_joiner_gets_the_last_documents_then_the_live_ones(
    nats_server: NatsServer, keep: int
) -> None:
    """While others speak without pause, who joins hears the end of it and all that follows."""
    options: dict[str, Any] = {"prefix": prefix(), "history": History(documents=keep)}
    async with (
        NatsBackplane(nats_server.url, **options) as here,
        NatsBackplane(nats_server.url, **options) as there,
    ):
        speaker = Listener().join(here)
        speaker.say(here, *NUMBERS)
        await settle(here)
        talk = itertools.count(len(NUMBERS))
        late = Listener()
        for turn in range(100):
            speaker.say(here, b"%d" % next(talk), b"%d" % next(talk))
            await asyncio.sleep(0)
            if turn == 50:
                late.join(there)
        await settle(there)
        speaker.say(here, b"end")
        await late.heard(b"end")

        numbers = [int(document) for document in late.documents[:-1]]
        assert list(range(numbers[0], 400)) == numbers if numbers else keep == 0
        assert [b"%d" % number for number in range(400)] == speaker.documents[:-1]
        assert keep <= len(numbers)


async def test_first_joiner_gets_the_end_of_a_long_past_only(nats_server: NatsServer) -> None:
    """However much the stream keeps, members are told as much as was agreed."""
    name = prefix()
    options: dict[str, Any] = {"prefix": name, "history": History(documents=3)}
    async with NatsBackplane(nats_server.url, **options) as here:
        client = await nats.connect(nats_server.url)
        for number in range(1, 2000):
            headers = {"Nats-Msg-Id": f"x.{number}.{number - 1}"}
            # The last one is acknowledged: the stream has them all.
            publish = client.publish if number < 1999 else client.jetstream().publish
            await publish(f"{name}.log.a", b"%d\0" % number, headers=headers)
        await client.close()
        late = Listener().join(here)
        await settle(here)
        late.say(here, b"end")

        assert [b"1997", b"1998", b"1999", b"end"] == await late.heard(b"end")


async def test_members_that_come_later_get_what_the_room_was_told(
    nats_server: NatsServer,
) -> None:
    """In a process that follows a room already, a new member gets the history from there."""
    options: dict[str, Any] = {"prefix": prefix(), "history": History(documents=3)}
    async with NatsBackplane(nats_server.url, **options) as here:
        room = Room("a", backplane=here)
        async with pair() as (a, at_a), pair() as (b, at_b):
            room.join(at_a)
            for number in range(5):
                room.broadcast(b"%d" % number)
            await settle(here)
            room.join(at_b)
            room.broadcast(b"5", exclude=[at_b])
            room.broadcast(b"6")

            assert [b"%d" % number for number in range(7)] == [await a.recv() for _ in range(7)]
            assert [b"2", b"3", b"4", b"6"] == [await b.recv() for _ in range(4)]


async def test_first_words_of_a_room_are_not_taken_for_its_past(
    nats_server: NatsServer,
) -> None:
    """What is said right after joining is news, however little history there is."""
    options: dict[str, Any] = {"prefix": prefix(), "history": History(documents=1)}
    async with NatsBackplane(nats_server.url, **options) as here:
        Listener().say(here, b"old", b"older")
        await here.flush()
        listener = Listener().join(here)
        listener.say(here, *NUMBERS)

        assert [b"older", *NUMBERS] == await listener.heard(NUMBERS[-1])


async def test_history_of_a_time_ends_with_it(nats_server: NatsServer) -> None:
    """With seconds, new members get what is no older."""
    name = prefix()
    long: dict[str, Any] = {"prefix": name, "history": History(documents=None, seconds=600)}
    async with NatsBackplane(nats_server.url, **long) as here:
        Listener().say(here, *NUMBERS)
        await here.flush()
        for seconds, expected in ((600, NUMBERS), (0, [])):
            history = History(documents=None, seconds=seconds)
            async with NatsBackplane(nats_server.url, prefix=name, history=history) as there:
                late = Listener().join(there)
                await settle(there)

                assert expected == late.documents


async def test_room_that_was_left_is_read_anew(nats_server: NatsServer) -> None:
    """After its last member has left, a room costs nothing; the next one gets its history."""
    options: dict[str, Any] = {"prefix": prefix(), "history": History(documents=2)}
    async with NatsBackplane(nats_server.url, **options) as here:
        listener = Listener().join(here)
        listener.say(here, b"1", b"2", b"3")
        await settle(here)
        here.unsubscribe("a", listener)
        assert 0 == here.stats().rooms
        again = Listener().join(here)
        await settle(here)

        assert [b"2", b"3"] == again.documents
        assert 0 == here.stats().missed


async def test_room_that_was_left_has_no_subscription(nats_server: NatsServer) -> None:
    """NATS sends nothing to a process for a room without members there."""
    async with NatsBackplane(nats_server.url, prefix=prefix()) as here:
        listener = Listener().join(here)
        await settle(here)
        client = (await here._link.session()).client
        assert 1 == len(client._subs)
        here.unsubscribe("a", listener)
        async with asyncio.timeout(20):
            await until(lambda: not client._subs)


@with_and_without
async def test_foreign_messages_are_counted_and_passed_over(
    nats_server: NatsServer, history: History | None
) -> None:
    """Whoever may publish on the subjects of rooms cannot break them."""
    name = prefix()
    async with NatsBackplane(nats_server.url, prefix=name, history=history) as here:
        listener = Listener().join(here)
        await settle(here)
        stranger = await nats.connect(nats_server.url)
        subject = f"{name}.{'live' if history is None else 'log'}.a"
        for payload, headers in ((b"no frame", None), (b"x\0", {"Xmlsocket-Keys": "=a,=b"})):
            await stranger.publish(subject, payload, headers=headers)
        await stranger.flush()
        await stranger.close()
        await settle(here)
        Listener().say(here, b"on we go")

        assert [b"on we go"] == await listener.heard(b"on we go")
        assert 2 == here.stats().malformed


@with_and_without
async def test_document_above_max_payload_is_dropped_and_counted(
    tmp_path: Path, history: History | None, caplog: pytest.LogCaptureFixture
) -> None:
    """NATS has a limit of its own: what exceeds it does not get in the way of the rest."""
    with NatsServer(tmp_path, config="max_payload: 4096") as server:
        async with (
            NatsBackplane(server.url, history=history) as here,
            NatsBackplane(server.url, history=history) as there,
        ):
            speaker, listener = Listener().join(here), Listener().join(there)
            await settle(here, there)
            many = [b"%d" % number + b"x" * 1000 for number in range(50)]
            speaker.say(here, b"x" * 4096, *many)

            assert many == await listener.heard(many[-1])
            await here.flush()
            assert (50, 1) == (here.stats().published, here.stats().dropped)
            assert "exceed its max_payload=4096: set Limits.max_size below" in caplog.text


# Start


async def refusal(*servers: str, **options: Any) -> str:
    """Return the error with which a backplane does not start."""
    with pytest.raises(BackplaneError) as caught:
        async with NatsBackplane(servers, connect_timeout=10, **options):
            pass
    return str(caught.value)


async def test_start_without_nats_says_where_and_what_to_do() -> None:
    """NATS away at the start is an error at once, of each server."""
    one, two = free_ports(2)

    assert (
        f"cannot use NATS at 127.0.0.1:{one}: connection refused: is nats-server running there?"
        == await refusal(f"nats://user:secret@127.0.0.1:{one}")
    )
    both = await refusal(f"nats://127.0.0.1:{one}", f"127.0.0.1:{two}")
    assert 2 == both.count("is nats-server running there?")
    assert f"127.0.0.1:{two}" in both


async def test_start_of_history_without_jetstream_says_what_is_missing(tmp_path: Path) -> None:
    """A server without JetStream is good enough for live rooms only."""
    with NatsServer(tmp_path, jetstream=False) as server:
        async with NatsBackplane(server.url):
            pass
        error = await refusal(server.url, history=History())

    assert f"NATS at 127.0.0.1:{server.port} has no JetStream ready" in error
    assert "start nats-server with -js" in error


async def test_start_on_a_stream_of_someone_else_is_refused(nats_server: NatsServer) -> None:
    """The stream of that name takes other subjects: nothing would ever arrive."""
    name = prefix()
    client = await nats.connect(nats_server.url)
    await client.jetstream().add_stream(name=name, subjects=[f"{name}.orders"])
    await client.close()

    assert f"stream {name} does not take ['{name}.log.>']: choose another prefix" == await refusal(
        nats_server.url, prefix=name, history=History()
    )


async def test_stream_that_cannot_be_made_is_named(nats_server: NatsServer) -> None:
    """One server cannot hold three replicas."""
    error = await refusal(nats_server.url, prefix=prefix(), history=History(), replicas=3)

    assert "cannot make stream" in error
    assert "replicas" in error


async def test_credentials_and_tls_are_passed_through(tmp_path: Path) -> None:
    """User, password and TLS context go to nats-py; without them the server says no."""
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    config = (
        f'tls {{ cert_file: "{tmp_path}/cert.pem", key_file: "{tmp_path}/key.pem" }}\n'
        "authorization { user: ada, password: secret }"
    )
    _, context = contexts()
    trusting = context.__class__(context.protocol)
    authority.configure_trust(trusting)
    with NatsServer(tmp_path / "server", config=config) as server:
        good: dict[str, Any] = {"tls": trusting, "user": "ada", "password": "secret"}
        async with (
            NatsBackplane(server.url, **good) as here,
            NatsBackplane(server.url, history=History(), **good) as there,
        ):
            await settle(here, there)
            assert here.stats().connected
        wrong = await refusal(server.url, **good | {"password": "wrong"})
        assert "check user and password, token or user_credentials" in wrong
        assert "wrong" not in wrong
        assert "certificate verify failed" in await refusal(server.url, **good | {"tls": context})


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"servers": []}, "servers must name at least one"),
        ({"prefix": "a.*"}, "prefix must be"),
        ({"max_waiting": -1}, "max_waiting must be 0 or more, not -1"),
        ({"retain": 0}, "retain must be 1 or more, not 0"),
        ({"retain": 9, "history": History(documents=10)}, "retain must be 10 or more, not 9"),
        ({"replicas": 0}, "replicas must be 1 or more, not 0"),
        ({"heartbeat": 0}, "heartbeat must be positive, not 0"),
        ({"no_echo": False}, "the backplane sets no_echo itself"),
    ],
)
async def test_options_out_of_range_are_refused(options: dict[str, Any], error: str) -> None:
    """A backplane that could not work is an error before anything is connected."""
    with pytest.raises((ValueError, TypeError), match=error):
        NatsBackplane(**options)


@pytest.mark.parametrize(
    ("server", "error", "expected"),
    [
        ("nats://ada:x@h:1", OSError(111, "Connection refused"), "h:1: connection refused"),
        ("h:1", TimeoutError(), "h:1: no answer in time"),
        ("h:1", nats.errors.Error("nats: Maximum Connections"), "h:1: maximum connections"),
    ],
)
def test_explained_error_is_one_line(server: str, error: Exception, expected: str) -> None:
    """What nats-py raises becomes a place and a reason."""
    assert str(_explained(server, error)).startswith(f"cannot use NATS at {expected}")
