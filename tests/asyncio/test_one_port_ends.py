"""One port for everyone: health checks, and peers that go while it is decided what they want."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from typing import TYPE_CHECKING, Any

import pytest

import xmlsocket
from tests.asyncio.support import port_of, read_all, until, warnings_of
from tests.asyncio.test_one_port import PROXY_V2, one_port, stream
from tests.support.tls import Shaken, contexts
from xmlsocket import Page, WebSocketOptions
from xmlsocket.asyncio.reply import Reply

if TYPE_CHECKING:
    from collections.abc import Iterator

LONG = 3600.0
LOCAL = PROXY_V2[:12] + b"\x20\0\0\0"
FIN, RESET = b"\0" * 8, b"\1\0\0\0\0\0\0\0"

everything_or_proxies = pytest.mark.parametrize(
    "options",
    [{}, {"policy": None, "websocket": False}],
    ids=["everything", "proxies alone"],
)


@contextlib.contextmanager
def dialled(server: xmlsocket.Server[Any], linger: bytes = FIN) -> Iterator[socket.socket]:
    """Connect without letting the loop run; leave with FIN, or with a reset."""
    with socket.create_connection(("127.0.0.1", port_of(server)), timeout=10) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        yield sock


# Health checks of proxies


@everything_or_proxies
@pytest.mark.parametrize("linger", [FIN, RESET], ids=["FIN", "reset"])
@pytest.mark.parametrize("early", [True, False], ids=["before accepting", "later"])
async def test_proxy_health_check_reaches_no_handler(
    options: dict[str, Any], linger: bytes, early: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """LOCAL and then the end is a probe: no connection, no refusal, nothing above DEBUG."""
    caplog.set_level(logging.DEBUG, "xmlsocket")
    options = {"trusted_proxies": ["127.0.0.1"], "sniff_timeout": LONG, **options}
    async with one_port(**options) as server:
        with dialled(server, linger) as probe:
            probe.sendall(LOCAL)
            if not early:
                await until(lambda: server._tasks)
        await until(lambda: "= health check of the proxy 127.0.0.1:" in caplog.text)
        await until(lambda: not server._tasks)

        stats = server.stats()
        assert (0, 0, {}) == (stats.connections, stats.accepted, stats.refused)
    assert [] == [record for record in caplog.records if record.levelno > logging.INFO]


@everything_or_proxies
async def test_proxy_that_speaks_for_itself_is_served_as_itself(options: dict[str, Any]) -> None:
    """Behind LOCAL come documents like any others; their sender is the proxy."""
    options = {"trusted_proxies": ["127.0.0.1"], "sniff_timeout": LONG, **options}
    async with one_port(**options) as server, stream(server) as (reader, writer):
        for byte in LOCAL + b"<a/>\0":
            writer.write(bytes([byte]))
            await asyncio.sleep(0)
        writer.write_eof()

        assert b"127.0.0.1||<a/>\0" == await read_all(reader)


async def test_proxy_that_waits_behind_local_is_served_after_the_silence() -> None:
    """A proxy's own client that lets the server speak first gets what any silent client gets."""
    async with one_port(trusted_proxies=["127.0.0.1"], sniff_timeout=0.01) as server:
        async with stream(server) as (reader, writer):
            writer.write(LOCAL)
            await until(lambda: server.stats().connections)
            writer.write(b"<a/>\0")
            writer.write_eof()

            assert b"127.0.0.1||<a/>\0" == await read_all(reader)


@pytest.mark.parametrize("header", [LOCAL, PROXY_V2], ids=["LOCAL", "PROXY"])
async def test_documents_of_a_peer_that_was_reset_before_it_was_accepted_have_an_address(
    header: bytes,
) -> None:
    """The system forgets whom such a connection was to; accepting it told, and it counts."""
    received: list[Any] = []

    async def note(connection: xmlsocket.Connection[bytes]) -> None:
        received.append(connection.remote_address)
        with contextlib.suppress(xmlsocket.ConnectionClosed):
            while True:
                received.append(await connection.recv())

    async with xmlsocket.serve(
        note, "127.0.0.1", 0, parse=bytes, trusted_proxies=["127.0.0.1"]
    ) as server:
        with dialled(server, RESET) as sock:
            address = sock.getsockname()
            sock.sendall(header + b"<a/>\0")
        await until(lambda: server.stats().accepted and not server.connections)

    expected = address if header == LOCAL else ("192.0.2.7", 4711)
    assert [expected, b"<a/>"] == received


# TLS


async def test_tls_handshake_that_outlives_the_server_opens_nothing() -> None:
    """Whoever is still shaking hands when the server closes is let go after it."""
    async with one_port(ssl=contexts()[0], sniff_timeout=LONG) as server:
        with dialled(server) as sock:
            client = Shaken(sock)
            await client.shake()
            server.close(timeout=None)
            client.send()

            assert await client.ended()
            assert [] == await server.wait_closed()
        assert 0 == server.stats().accepted


async def test_tls_goodbye_with_a_refused_opening_is_the_same_refusal(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The end of the stream in the read that is refused neither counts twice nor is served."""
    async with one_port(ssl=contexts()[0], trusted_proxies=["127.0.0.1"]) as server:
        with dialled(server) as sock:
            client = Shaken(sock)
            await client.shake()
            client.tls.write(b"PROXY TCP9 nonsense\r\n")
            client.say_goodbye()
            client.send()

            assert await client.ended()
        await until(lambda: not server._tasks)
        assert ({"proxy_header": 1}, 0) == (server.stats().refused, server.stats().accepted)
    assert [] == warnings_of(caplog)


# Pages

GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


async def test_http_page_without_a_timeout_waits_for_its_reader(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With ``close_timeout=None`` a peer may take a page as slowly as it likes."""
    full = asyncio.Event()
    pause = Reply.pause_writing

    def note(reply: Reply) -> None:
        pause(reply)
        full.set()

    monkeypatch.setattr(Reply, "pause_writing", note)
    page = Page(bytes(2**24))
    options: dict[str, Any] = {"websocket": WebSocketOptions(pages={"/": page})}
    async with (
        one_port(close_timeout=None, **options) as server,
        stream(server) as (reader, writer),
    ):
        reader._transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(GET)
        await full.wait()
        reader._transport.resume_reading()  # type: ignore[attr-defined]

        assert (await read_all(reader)).endswith(b"\r\n\r\n" + page.body)


@pytest.mark.parametrize("size", [0, 2**20], ids=["short", "long"])
async def test_http_page_for_a_peer_that_has_reset_is_dropped(
    size: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Who asks and resets at once costs neither a line in the log nor further writes."""
    caplog.set_level(logging.WARNING, "asyncio")  # which tells of writes to a lost connection
    options: dict[str, Any] = {"websocket": WebSocketOptions(pages={"/": Page(bytes(size))})}
    async with one_port(**options) as server:
        with dialled(server, RESET) as sock:
            await until(lambda: server._tasks)
            sock.sendall(GET)
        await until(lambda: not server._tasks)
    assert [] == [record.getMessage() for record in caplog.records]
