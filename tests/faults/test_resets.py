"""A reset at every byte of a dialogue: what came before it is delivered, and nothing is left."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import threading
from typing import TYPE_CHECKING

import pytest

import xmlsocket
from xmlsocket import CloseReason, ConnectionClosed, sync
from xmlsocket.testing import ChaosProxy, Faults

from ..support.tls import contexts

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

FRAMES = [b"<a/>", b"<bb/>", b"<ccc/>", "<é/>".encode()]
WIRE = b"".join(frame + b"\0" for frame in FRAMES)
PATIENCE = 40

# From within the handshake to beyond the dialogue.
TLS_CUTS = range(0, 3000, 83)


def before(cut: int) -> list[bytes]:
    """Return the frames that end before the cut."""
    return WIRE[:cut].split(b"\0")[:-1]


def descriptors() -> int:
    """Count this process's open descriptors."""
    return len(os.listdir("/dev/fd"))  # noqa: PTH208 - a path would hold one more


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what was logged above DEBUG, but for the server's own coming and going."""
    return [
        record.getMessage()
        for record in caplog.get_records("call")
        if record.levelno > logging.DEBUG
        and record.name.startswith("xmlsocket")
        and not record.getMessage().startswith(("= listening on ", "= server closing, "))
    ]


@pytest.fixture(autouse=True)
def leaves_nothing(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """See that no descriptor and no thread stays, and that nobody was told of an everyday loss."""
    caplog.set_level(logging.DEBUG, "xmlsocket")
    gc.collect()
    before_it = descriptors(), threading.active_count()
    yield
    gc.collect()
    assert before_it == (descriptors(), threading.active_count())
    assert [] == told(caplog)


class Ends:
    """What each side received, and how it ended."""

    def __init__(self) -> None:
        self.received: list[bytes] = []
        self.reason: CloseReason | None = None

    def check(self, least: list[bytes]) -> None:
        """Whole frames, in order, at least those; then a loss, or an end where the peer left."""
        assert FRAMES[: len(self.received)] == self.received
        assert least == self.received[: len(least)]
        assert self.reason in {CloseReason.RESET, CloseReason.INCOMPLETE_FRAME, CloseReason.EOF}


# On event loops


async def take(connection: xmlsocket.Connection[bytes], ends: Ends, *, answer: bool) -> None:
    """Receive to the end; nothing but `ConnectionClosed` may come out."""
    with contextlib.suppress(ConnectionClosed):
        while True:
            frame = await connection.recv()
            ends.received.append(frame)
            if answer:
                await connection.send(frame)
    await connection.wait_closed()
    ends.reason = connection.close_reason


async def say(connection: xmlsocket.Connection[bytes]) -> None:
    """Send the dialogue, as far as the connection lasts."""
    with contextlib.suppress(ConnectionClosed):
        for frame in FRAMES:
            await connection.send(frame)


@contextlib.asynccontextmanager
async def quiet_end() -> AsyncIterator[None]:
    """See that no task is left."""
    before_it = asyncio.all_tasks()
    yield
    assert before_it == asyncio.all_tasks()


async def meet(
    cuts: range, direction: str, *, talker: str, answer: bool, late: bool = False
) -> list[tuple[int, Ends]]:
    """Cut one connection at each place, and return how its listening side saw it."""
    seen = []
    ended: asyncio.Queue[Ends] = asyncio.Queue()

    async def serve_one(connection: xmlsocket.Connection[bytes]) -> None:
        ends = Ends()
        if talker == "server":
            await say(connection)
        elif late:
            await connection.wait_closed()
        await take(connection, ends, answer=answer and talker == "client")
        ended.put_nowait(ends)

    async with (
        asyncio.timeout(PATIENCE),
        quiet_end(),
        xmlsocket.serve(serve_one, "127.0.0.1", 0, parse=bytes) as server,
        ChaosProxy("127.0.0.1", server.sockets[0].getsockname()[1]) as proxy,
    ):
        for cut in cuts:
            setattr(proxy, direction, Faults(reset_at=cut))
            ends = Ends()
            try:
                client = await xmlsocket.connect(*proxy.address, parse=bytes)
            except OSError:
                continue  # cut while opening
            if talker == "client":
                await say(client)
            elif late:
                await client.wait_closed()
            await take(client, ends, answer=answer and talker == "server")
            await client.close()
            other = await ended.get()
            seen.append((cut, other if talker == "client" else ends))
        while server.connections:  # the last handler has ended just now
            await asyncio.sleep(0.001)
        assert server.stats().handler_errors == 0
    return seen


PLACES = [("to_server", "client"), ("to_client", "server")]


@pytest.mark.parametrize(("direction", "talker"), PLACES)
@pytest.mark.parametrize("late", [False, True], ids=["at once", "late"])
async def test_reset_at_every_byte_delivers_what_came_before(
    direction: str, talker: str, *, late: bool
) -> None:
    """The listener, server or client, receives exactly what had passed, also after the end."""
    cuts = range(1, len(WIRE) + 1)

    seen = await meet(cuts, direction, talker=talker, answer=False, late=late)

    assert list(cuts) == [cut for cut, _ in seen]
    for cut, ends in seen:
        ends.check(before(cut))
        assert before(cut) == ends.received
        assert CloseReason.RESET is ends.reason


@pytest.mark.parametrize(("direction", "talker"), PLACES)
@pytest.mark.parametrize("other", [False, True], ids=["its own way", "the answers"])
async def test_reset_at_every_byte_of_an_echo_tears_no_frame(
    direction: str, talker: str, *, other: bool
) -> None:
    """Both sides are talking when the cut comes: whole frames, in order, then the end."""
    cut_way = {"to_server": "to_client", "to_client": "to_server"}[direction]

    for _, ends in await meet(
        range(len(WIRE) + 1), cut_way if other else direction, talker=talker, answer=True
    ):
        ends.check([])


@pytest.mark.parametrize("direction", ["to_server", "to_client"])
async def test_reset_throughout_tls_ends_in_order(direction: str) -> None:
    """Cut in the handshake connect() raises OSError; later nobody sees more than a loss."""
    theirs, ours = contexts()
    opened = 0

    async def echo(connection: xmlsocket.Connection[bytes]) -> None:
        await take(connection, Ends(), answer=True)

    async with (
        asyncio.timeout(PATIENCE),
        quiet_end(),
        xmlsocket.serve(echo, "127.0.0.1", 0, parse=bytes, ssl=theirs) as server,
        ChaosProxy("127.0.0.1", server.sockets[0].getsockname()[1]) as proxy,
    ):
        for cut in TLS_CUTS:
            setattr(proxy, direction, Faults(reset_at=cut))
            received = []
            try:
                client = await xmlsocket.connect(*proxy.address, parse=bytes, ssl=ours)
            except OSError:
                continue
            opened += 1
            with contextlib.suppress(ConnectionClosed):
                for frame in FRAMES:
                    await client.send(frame)
                    received.append(await client.recv())
            await client.close()
            assert FRAMES[: len(received)] == received
        assert server.stats().handler_errors == 0
    assert 0 < opened < len(TLS_CUTS)


# With threads


def take_blocking(connection: sync.Connection[bytes], ends: Ends, *, answer: bool) -> None:
    """Receive to the end, with threads."""
    with contextlib.suppress(ConnectionClosed):
        while True:
            frame = connection.recv()
            ends.received.append(frame)
            if answer:
                connection.send(frame)
    ends.reason = connection.close_reason


def say_blocking(connection: sync.Connection[bytes]) -> None:
    """Send the dialogue, with threads."""
    with contextlib.suppress(ConnectionClosed):
        for frame in FRAMES:
            connection.send(frame)


def meet_blocking(
    cuts: range, direction: str, *, talker: str, answer: bool
) -> list[tuple[int, Ends]]:
    """Do what `meet` does, with threads."""
    seen = []
    served: list[Ends] = []

    def serve_one(connection: sync.Connection[bytes]) -> None:
        ends = Ends()
        if talker == "server":
            say_blocking(connection)
        take_blocking(connection, ends, answer=answer and talker == "client")
        served.append(ends)
        done.release()

    done = threading.Semaphore(0)
    with (
        sync.serve(serve_one, "127.0.0.1", 0, parse=bytes) as server,
        ChaosProxy("127.0.0.1", server.sockets[0].getsockname()[1]) as proxy,
    ):
        for cut in cuts:
            setattr(proxy, direction, Faults(reset_at=cut))
            ends = Ends()
            try:
                client = sync.connect(*proxy.address, parse=bytes)
            except OSError:
                continue  # cut while opening
            with client:
                if talker == "client":
                    say_blocking(client)
                take_blocking(client, ends, answer=answer and talker == "server")
            assert done.acquire(timeout=PATIENCE)
            seen.append((cut, served[-1] if talker == "client" else ends))
        assert server.stats().handler_errors == 0
    return seen


@pytest.mark.parametrize(("direction", "talker"), PLACES)
def test_reset_at_every_byte_with_threads_delivers_what_came_before(
    direction: str, talker: str
) -> None:
    """Blocking calls return every frame that had passed, then raise the loss."""
    cuts = range(1, len(WIRE) + 1)

    seen = meet_blocking(cuts, direction, talker=talker, answer=False)

    assert list(cuts) == [cut for cut, _ in seen]
    for cut, ends in seen:
        ends.check(before(cut))
        assert before(cut) == ends.received
        assert CloseReason.RESET is ends.reason


@pytest.mark.parametrize(("direction", "talker"), PLACES)
def test_reset_at_every_byte_of_an_echo_with_threads_tears_no_frame(
    direction: str, talker: str
) -> None:
    """A send that meets the reset raises ConnectionClosed, as recv() does."""
    for _, ends in meet_blocking(range(len(WIRE) + 1), direction, talker=talker, answer=True):
        ends.check([])


@pytest.mark.parametrize("direction", ["to_server", "to_client"])
def test_reset_throughout_tls_with_threads_ends_in_order(direction: str) -> None:
    """The errors of the ssl module stay inside, but for connect(), which names them."""
    theirs, ours = contexts()
    opened = 0

    def echo(connection: sync.Connection[bytes]) -> None:
        take_blocking(connection, Ends(), answer=True)

    with (
        sync.serve(echo, "127.0.0.1", 0, parse=bytes, ssl=theirs) as server,
        ChaosProxy("127.0.0.1", server.sockets[0].getsockname()[1]) as proxy,
    ):
        for cut in TLS_CUTS:
            setattr(proxy, direction, Faults(reset_at=cut))
            received = []
            try:
                client = sync.connect(*proxy.address, parse=bytes, ssl=ours)
            except OSError:
                continue
            opened += 1
            with client, contextlib.suppress(ConnectionClosed):
                for frame in FRAMES:
                    client.send(frame)
                    received.append(client.recv(PATIENCE))
            assert FRAMES[: len(received)] == received
        assert server.stats().handler_errors == 0
    assert 0 < opened < len(TLS_CUTS)
