"""One port for everyone: policy requests, HTTP, proxies, silence; and what each leaves behind."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
import tempfile
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import xmlsocket
from tests.asyncio.support import port_of, read_all, until, warnings_of
from tests.support.policy_client import fetch_policy, look_up
from tests.support.tls import contexts
from xmlsocket import CloseReason, Page, Policy, PolicyError, WebSocketOptions

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

POLICY = Policy(["*.example.com"], ["*"])
LONG = 3600.0
UPGRADE = (
    b"GET /chat HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
)
PROXY_V1 = b"PROXY TCP4 192.0.2.7 192.0.2.1 4711 9339\r\n"
PROXY_V2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11" + struct.pack(
    "!H4s4sHH", 12, bytes([192, 0, 2, 7]), bytes([192, 0, 2, 1]), 4711, 9339
)


async def tell(connection: xmlsocket.Connection[bytes]) -> None:
    """Say who is connected, then answer every frame with itself."""
    host, *_ = connection.remote_address or ("unix",)
    async for frame in connection:
        await connection.send(f"{host}|{connection.path}|".encode() + frame)


@contextlib.asynccontextmanager
async def one_port(**options: Any) -> AsyncIterator[xmlsocket.Server[bytes]]:
    """Serve everyone; nothing may be left behind, neither tasks nor timers."""
    options = {"policy": POLICY, "websocket": True, **options}
    handler = options.pop("handler", tell)
    async with xmlsocket.serve(handler, "127.0.0.1", 0, parse=bytes, **options) as server:
        yield server
    assert server._openings is not None
    assert set() == server._openings._undecided
    assert {} == server._tasks


@contextlib.asynccontextmanager
async def stream(
    server: xmlsocket.Server[Any], **options: Any
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Connect as someone who knows only bytes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port_of(server), **options)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def ask(server: xmlsocket.Server[Any], data: bytes, **options: Any) -> bytes:
    """Send bytes and return all that comes until the server closes."""
    async with stream(server, **options) as (reader, writer):
        writer.write(data)
        return await read_all(reader)


async def answer(reader: asyncio.StreamReader) -> bytes:
    """Read one frame."""
    async with asyncio.timeout(10):
        return await reader.readuntil(b"\0")


# Policy


@pytest.mark.parametrize("request_", [b"<policy-file-request/>\0", b"<policy-file-request />\0"])
async def test_policy_request_in_single_bytes_is_answered(request_: bytes) -> None:
    """However it is cut, the request gets the policy and a zero byte, and the port closes."""
    async with one_port(sniff_timeout=LONG) as server, stream(server) as (reader, writer):
        for byte in request_:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0)

        assert POLICY.reply == await read_all(reader)
        stats = server.stats()
        assert (1, 0, {}) == (stats.policy_requests, stats.accepted, stats.refused)


async def test_policy_reply_survives_input_behind_the_request() -> None:
    """What a client sends after the request does not turn the reply into a reset."""
    async with one_port() as server:
        assert POLICY.reply == await ask(server, b"<policy-file-request/>\0" + b"x" * 30000)


async def test_policy_request_later_on_is_a_document() -> None:
    """Only the first thing a client sends is taken for a request."""
    async with one_port() as server, stream(server) as (reader, writer):
        writer.write(b"<a/>\0<policy-file-request/>\0")

        assert b"127.0.0.1||<a/>\0" == await answer(reader)
        assert b"127.0.0.1||<policy-file-request/>\0" == await answer(reader)


async def test_policy_request_without_a_policy_is_a_document() -> None:
    """A port that has no policy hands the request to the application."""
    async with one_port(policy=None) as server, stream(server) as (reader, writer):
        writer.write(b"<policy-file-request/>\0")

        assert b"127.0.0.1||<policy-file-request/>\0" == await answer(reader)


async def test_lookup_of_flash_asks_the_master_and_then_the_port_itself() -> None:
    """Without an answer from port 843 the port's own policy lets a movie of its domain in."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        nobody = closed.getsockname()[1]
    async with one_port() as server:
        port = port_of(server)
        for domain, allowed in (("play.example.com", True), ("example.org", False)):
            lookup = await asyncio.to_thread(
                look_up, "127.0.0.1", port, domain=domain, master_port=nobody
            )
            assert allowed == bool(lookup.verdict)
            assert [nobody, port] == lookup.asked
        assert 2 == server.stats().policy_requests
        assert bytes(POLICY) == await asyncio.to_thread(fetch_policy, "127.0.0.1", port, timeout=10)


async def test_serve_policy_for_low_ports_is_refused_and_leaves_no_socket() -> None:
    """A port from 1024 on cannot grant lower ones, and that is said before anyone connects."""
    with pytest.raises(PolicyError, match="cannot grant ports below 1024"):
        await xmlsocket.serve(tell, "127.0.0.1", 0, parse=bytes, policy=Policy(["*"], [80]))


# Silence and leaving


@pytest.mark.parametrize("start", [b"", b"<", b"<policy-file-request/>"])
async def test_silence_and_half_a_policy_request_become_frames(start: bytes) -> None:
    """After the limit the handler starts, and what came is the start of a document."""
    async with one_port(sniff_timeout=0.01) as server, stream(server) as (reader, writer):
        writer.write(start)
        await until(lambda: server.stats().connections)
        writer.write(b"x\0")

        assert b"127.0.0.1||" + start + b"x\0" == await answer(reader)


@pytest.mark.parametrize("start", [b"G", b"GET", b"PROXY TCP4 ", b"\r\n\r\n\0"])
async def test_half_a_first_line_and_silence_is_closed_without_a_line(
    start: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """What can be of no use is closed at the limit, counted, and no event for the log."""
    async with one_port(sniff_timeout=0.3, trusted_proxies=["127.0.0.1"]) as server:
        with contextlib.suppress(ConnectionError):
            assert b"" == await ask(server, start)
        await until(lambda: not server._tasks)
        assert ({"timeout": 1}, 0) == (server.stats().refused, server.stats().accepted)
    assert [] == warnings_of(caplog)


async def test_half_an_http_request_is_closed_when_open_timeout_is_over() -> None:
    """A request that trickles in has ``open_timeout`` from the connection's start."""
    async with one_port(open_timeout=0.05) as server:
        with contextlib.suppress(ConnectionError):
            assert b"" == await ask(server, UPGRADE)
        await until(lambda: not server._tasks)
        assert {"timeout": 1} == server.stats().refused


async def test_sniff_timeout_is_not_extended_by_bytes() -> None:
    """A client that sends the request byte by byte, for ever, is decided all the same."""
    async with one_port(sniff_timeout=0.05) as server, stream(server) as (_, writer):
        for byte in b"<policy-file-request/":
            if server.stats().connections:
                break
            writer.write(bytes([byte]))
            await asyncio.sleep(0.01)
        await until(lambda: server.stats().connections)


@pytest.mark.parametrize("data", [b"", b"GE", UPGRADE, b"<a/>\0", b"<policy-file"])
@pytest.mark.parametrize("linger", [b"\0" * 8, b"\1\0\0\0\0\0\0\0"])
async def test_connect_and_leave_is_silent(
    data: bytes, linger: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever leaves, in order or with a reset, at any point of the opening, leaves no trace."""
    async with one_port(sniff_timeout=LONG) as server:
        with socket.create_connection(("127.0.0.1", port_of(server))) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            probe.sendall(data)
            await until(lambda: server._tasks)
        await until(lambda: not (server._tasks or server.connections))
    assert [] == warnings_of(caplog)


def descriptors() -> int:
    """Return how many descriptors this process has open."""
    return len(list(Path("/dev/fd").iterdir()))


async def test_openings_leave_no_descriptor() -> None:
    """Whatever becomes of it, a connection gives its descriptor back."""
    before = 0
    async with one_port(sniff_timeout=0.01, open_timeout=0.05) as server:
        for _ in range(2):
            for data in (b"", b"GET", b"<policy-file-request/>\0", b"GET / HTTP/1.1\r\n", UPGRADE):
                with socket.create_connection(("127.0.0.1", port_of(server))) as probe:
                    probe.sendall(data)
                    await until(lambda: server._tasks)
            await until(lambda: not (server._tasks or server.connections))
            # The first round opens what the loop keeps for itself.
            before = before or descriptors()
        assert descriptors() <= before


async def test_end_of_input_in_the_opening_still_gets_an_answer() -> None:
    """``printf … | nc -N`` is answered, also when a read brings document and end together."""
    async with one_port(sniff_timeout=LONG) as server:
        async with stream(server) as (reader, writer):
            writer.write(b"<a/>\0")
            writer.write_eof()
            assert b"127.0.0.1||<a/>\0" == await read_all(reader)
        async with stream(server) as (reader, writer):
            writer.write(b"<pol")
            writer.write_eof()
            assert b"" == await read_all(reader)
        await until(lambda: not server.connections)
        assert 1 == server.stats().closed[CloseReason.INCOMPLETE_FRAME]


@pytest.mark.parametrize("data", [b"", b"GET", UPGRADE])
async def test_server_close_cuts_openings_that_are_pending(data: bytes) -> None:
    """Closing does not wait for those who have not said what they want."""
    async with one_port(sniff_timeout=LONG, open_timeout=None) as server:
        async with stream(server) as (reader, writer):
            writer.write(data)
            await until(lambda: server._tasks)
            await asyncio.sleep(0.01)

            server.close(timeout=None)

            assert [] == await server.wait_closed()
            with contextlib.suppress(ConnectionError):
                assert b"" == await read_all(reader)


async def test_server_close_at_once_cancels_openings() -> None:
    """``close(timeout=0)`` ends openings and pages that nobody takes."""
    page = {"/": Page(bytes(2**24))}
    async with one_port(websocket=WebSocketOptions(pages=page), sniff_timeout=LONG) as server:
        async with stream(server) as (_, writer), stream(server):
            writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            await until(lambda: len(server._tasks) == 2)
            server.close(timeout=0)
            await server.wait_closed()


# HTTP


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /chat HTTP/1.1\r\nHost: localhost\r\n\r\n", 426),
        (b"GET /other HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
        (UPGRADE.replace(b"/chat", b"/other") + b"\r\n", 404),
        (b"GET /chat HTTP/1.1\r\n\r\n", 400),
        (b"GET nonsense\r\n\r\n", 400),
        (UPGRADE.replace(b"Sec-WebSocket-Key: dGhl", b"X: ") + b"\r\n", 400),
        (UPGRADE + b"Origin: https://evil.example\r\n\r\n", 403),
        (UPGRADE + b"Origin: null\r\n\r\n", 403),
        (b"GET /" + b"x" * 20000, 431),
    ],
)
async def test_http_that_is_no_upgrade_of_ours_is_refused_and_counted(
    request_: bytes, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Each refusal has its status, is written whole, and the application sees nothing."""
    async with one_port(websocket=WebSocketOptions(path="/chat")) as server:
        head, _, body = (await ask(server, request_)).partition(b"\r\n\r\n")

        assert head.startswith(f"HTTP/1.1 {status} ".encode())
        assert f"Content-Length: {len(body)}".encode() in head
        stats = server.stats()
        assert ({f"http_{status}": 1}, 0, 0) == (stats.refused, stats.accepted, stats.websockets)
    assert [] == warnings_of(caplog)


async def test_http_get_of_a_page_is_answered_whole() -> None:
    """Megabytes arrive at a reader who takes his time, and are no refusal."""
    page = Page(bytes(range(256)) * 2**15, "application/wasm")
    async with one_port(websocket=WebSocketOptions(pages={"/big": page})) as server:
        async with stream(server, limit=2**12) as (reader, writer):
            writer.write(b"GET /big?v=1 HTTP/1.1\r\nHost: localhost\r\n\r\n")
            head = await reader.readuntil(b"\r\n\r\n")
            await asyncio.sleep(0.05)
            body = await read_all(reader)

        assert b"Content-Type: application/wasm" in head
        assert page.body == body
        assert {} == server.stats().refused


async def test_http_page_is_copied_for_nobody() -> None:
    """Those who want a long page and do not read it cost a piece of it each."""
    page = Page(bytes(2**23))
    request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    async with one_port(
        websocket=WebSocketOptions(pages={"/": page}), close_timeout=None
    ) as server:
        tracemalloc.start()
        try:
            before, _ = tracemalloc.get_traced_memory()
            tracemalloc.reset_peak()
            async with contextlib.AsyncExitStack() as stack:
                for _ in range(8):
                    reader, writer = await stack.enter_async_context(stream(server))
                    writer.write(request)
                    assert b"HTTP" == await reader.readexactly(4)
                _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

    assert peak - before < 2**23


async def test_http_page_that_nobody_takes_is_cut_off() -> None:
    """A peer that does not read holds a page for ``close_timeout`` at most."""
    page = {"/": Page(bytes(2**24))}
    options = WebSocketOptions(pages=page)
    async with one_port(websocket=options, close_timeout=0.05) as server:
        with socket.create_connection(("127.0.0.1", port_of(server))) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            await until(lambda: server._tasks)
            await until(lambda: not server._tasks)


# Proxies


@pytest.mark.parametrize("header", [PROXY_V1, PROXY_V2])
async def test_proxy_header_of_a_trusted_proxy_tells_the_address(header: bytes) -> None:
    """Both versions name the client, whatever carries the documents."""
    async with one_port(trusted_proxies=["127.0.0.0/8"]) as server:
        async with stream(server) as (reader, writer):
            for byte in header:
                writer.write(bytes([byte]))
                await asyncio.sleep(0)
            writer.write(b"<a/>\0")
            assert b"192.0.2.7||<a/>\0" == await answer(reader)
        assert POLICY.reply == await ask(server, header + b"<policy-file-request/>\0")


@pytest.mark.parametrize("header", [PROXY_V1.strip(), b"\r\n\r\n"])
async def test_proxy_header_of_anyone_else_is_data(header: bytes) -> None:
    """From an address that is not trusted it is the start of a document."""
    async with (
        one_port(trusted_proxies=["192.0.2.9"]) as server,
        stream(server) as (reader, writer),
    ):
        writer.write(header + b"\0")

        assert b"127.0.0.1||" + header + b"\0" == await answer(reader)


async def test_proxy_header_that_is_malformed_is_refused(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A trusted proxy that talks nonsense is closed and counted."""
    async with one_port(trusted_proxies=["127.0.0.1"]) as server:
        with contextlib.suppress(ConnectionError):
            assert b"" == await ask(server, b"PROXY TCP9 nonsense\r\n")
        await until(lambda: not server._tasks)
        assert {"proxy_header": 1} == server.stats().refused
    assert [] == warnings_of(caplog)


@pytest.mark.parametrize("trusted", [True, False])
async def test_forwarded_for_counts_from_trusted_proxies_only(trusted: bool) -> None:
    """A proxy in front of WebSockets names the player; anyone else names only himself."""
    proxies = ["127.0.0.1"] if trusted else ["192.0.2.9"]
    async with one_port(trusted_proxies=proxies) as server, stream(server) as (reader, writer):
        writer.write(UPGRADE + b"X-Forwarded-For: 203.0.113.5\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"\x82\x85\0\0\0\0<a/>\0")

        host = b"203.0.113.5" if trusted else b"127.0.0.1"
        assert (await answer(reader)).endswith(host + b"|/chat|<a/>\0")


async def test_trusted_proxies_alone_looks_for_nothing_else() -> None:
    """Without policy and WebSocket only the header of a proxy is taken off."""
    async with one_port(policy=None, websocket=False, trusted_proxies=["127.0.0.1"]) as server:
        async with stream(server) as (reader, writer):
            writer.write(PROXY_V1 + b"GET / HTTP/1.1\0")
            assert b"192.0.2.7||GET / HTTP/1.1\0" == await answer(reader)
    async with one_port(policy=None, websocket=False, trusted_proxies=["192.0.2.9"]) as server:
        async with stream(server):
            # Nothing to wait for: the handler starts although nothing came.
            await until(lambda: server.stats().connections)


# Listeners


async def test_tls_listener_serves_everyone() -> None:
    """TLS stays a setting of the listener: policy, HTTP and documents inside it."""
    server_context, client_context = contexts()
    async with one_port(ssl=server_context) as server:
        tls = {"ssl": client_context, "server_hostname": "localhost"}
        assert POLICY.reply == await ask(server, b"<policy-file-request/>\0", **tls)
        reply = await ask(server, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", **tls)
        assert reply.startswith(b"HTTP/1.1 426 ")
        async with stream(server, **tls) as (reader, writer):
            writer.write(b"<a/>\0")
            assert b"127.0.0.1||<a/>\0" == await answer(reader)
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await ask(server, b"", ssl=ssl.create_default_context(), server_hostname="localhost")


async def test_unix_listener_serves_everyone() -> None:
    """A Unix socket does too, and its proxies are named ``unix:``."""
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "socket")
        options: dict[str, Any] = {"policy": POLICY, "trusted_proxies": ["unix:"], "parse": bytes}
        async with xmlsocket.unix_serve(tell, path, **options):
            for data, expected in (
                (b"<policy-file-request/>\0", POLICY.reply),
                (PROXY_V2 + b"<a/>\0", b"192.0.2.7||<a/>\0"),
            ):
                reader, writer = await asyncio.open_unix_connection(path)
                writer.write(data)
                writer.write_eof()
                assert expected == await read_all(reader)
                writer.close()
                await writer.wait_closed()


# Options


async def test_serve_without_the_options_looks_at_nothing() -> None:
    """A port for frames only starts its handler at once and hands on every byte."""
    async with xmlsocket.serve(tell, "127.0.0.1", 0, parse=bytes) as server:
        assert server._openings is None
        async with stream(server) as (reader, writer):
            await until(lambda: server.stats().connections)
            writer.write(b"GET / HTTP/1.1\0<policy-file-request/>\0")
            assert b"127.0.0.1||GET / HTTP/1.1\0" == await answer(reader)
            assert b"127.0.0.1||<policy-file-request/>\0" == await answer(reader)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sniff_timeout": 0}, "sniff_timeout must be positive, not 0"),
        ({"trusted_proxies": ["somewhere"]}, "somewhere"),
    ],
)
def test_serve_bad_option_of_one_port_raises_value_error(
    options: dict[str, Any], message: str
) -> None:
    """An option that makes no sense is named at once."""
    with pytest.raises(ValueError, match=message):
        xmlsocket.serve(tell, port=0, **options)


async def test_http_request_after_a_silence_is_closed_and_frames_are_not() -> None:
    """A browser's spare connection is closed when it asks at last; a late frame is served."""
    async with one_port(sniff_timeout=0.02) as server:
        async with stream(server) as (reader, writer), stream(server) as (late, frames):
            await until(lambda: len(server.connections) == 2)
            writer.write(UPGRADE + b"\r\n")
            with contextlib.suppress(ConnectionResetError):
                assert b"" == await read_all(reader)
            frames.write(b"GET\0<a/>\0")
            assert b"127.0.0.1||GET\0" == await answer(late)
            assert b"127.0.0.1||<a/>\0" == await answer(late)
        assert {"timeout": 1} == server.stats().refused
        await until(lambda: not server.connections)
        assert {CloseReason.WEBSOCKET_ERROR: 1, CloseReason.EOF: 1} == server.stats().closed


async def test_silent_connection_can_be_spoken_to_before_it_speaks() -> None:
    """Until its first byte a silent connection is sent to, and waited for, like any other."""
    frame = b"x" * 100_000

    async def greet(connection: xmlsocket.Connection[bytes]) -> None:
        await connection.send_many([frame] * 200)

    async with one_port(sniff_timeout=0.02, handler=greet) as server:
        async with stream(server) as (reader, _):
            reader._transport.pause_reading()  # type: ignore[attr-defined]
            await until(lambda: any(each._writing_paused for each in server.connections))
            reader._transport.resume_reading()  # type: ignore[attr-defined]
            assert (frame + b"\0") * 200 == await read_all(reader)
        await until(lambda: not server.connections)
        assert {CloseReason.LOCAL: 1} == server.stats().closed


async def test_silent_connection_that_ends_without_a_word_ends_in_order() -> None:
    """The handler of a silent client hears of its end as of any other's."""
    async with one_port(sniff_timeout=0.02) as server, stream(server) as (reader, writer):
        await until(lambda: server.connections)
        writer.write_eof()
        assert b"" == await read_all(reader)
        await until(lambda: not server.connections)
        assert {CloseReason.EOF: 1} == server.stats().closed
