"""How many connections a server lets in, in all and from one address, on both transports."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
import threading
from typing import TYPE_CHECKING, Any, cast

import pytest

import xmlsocket
from tests.asyncio import support as on_loop
from tests.support.tls import Shaken, contexts
from tests.sync import support as with_threads
from xmlsocket import Limits, sync
from xmlsocket.admission import Sites
from xmlsocket.proxies import make_proxy_header

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from xmlsocket import ServerStats

PATIENCE = 20.0

ASKED = b"<a/>\0"


async def echo(connection: xmlsocket.Connection[bytes]) -> None:
    """Answer every document with itself."""
    async for frame in connection:
        await connection.send(frame)


class Clients:
    """Plain sockets from which documents are sent, closed at the end."""

    def __init__(self, stack: contextlib.ExitStack, port: int) -> None:
        self._stack = stack
        self.port = port

    def connect(self, host: str = "127.0.0.1", source: str | None = None) -> socket.socket:
        """Connect without a word."""
        bound = None if source is None else (source, 0)
        sock = socket.create_connection((host, self.port), PATIENCE, bound)
        return self._stack.enter_context(sock)

    def served(self, sock: socket.socket, *, first: bytes = b"") -> bool:
        """Say whether a document is answered; if not, the end must have come."""
        try:
            sock.sendall(first + ASKED)
            answer = b""
            while len(answer) < len(ASKED) and (data := sock.recv(100)):
                answer += data
        except (ConnectionResetError, BrokenPipeError):
            return False
        assert answer in {b"", ASKED}
        return answer == ASKED

    def open(self, **where: Any) -> bool:
        """Connect and say whether a document is answered."""
        return self.served(self.connect(**where))


@pytest.fixture
def clients() -> Iterator[Callable[[int], Clients]]:
    """Return what makes clients of a port."""
    with contextlib.ExitStack() as stack:
        yield lambda port: Clients(stack, port)


class Served:
    """A server of either transport, on a loop of its own thread or with threads."""

    def __init__(self, port: int, stats: Callable[[], ServerStats]) -> None:
        self.port = port
        self.stats = stats

    def until_open(self, count: int) -> None:
        """Wait until as many connections are open."""
        with_threads.until(lambda: self.stats().connections == count)


@pytest.fixture(params=["asyncio", "sync"])
def serve(request: pytest.FixtureRequest, clients: object) -> Iterator[Callable[..., Served]]:
    """Return what starts a server that echoes; the clients leave before it does."""
    del clients
    with contextlib.ExitStack() as stack:

        def start_threads(**options: Any) -> Served:
            server = stack.enter_context(
                sync.serve(with_threads.echo, "127.0.0.1", 0, parse=bytes, **options)
            )
            return Served(with_threads.port_of(server), server.stats)

        def start_loop(**options: Any) -> Served:
            return stack.enter_context(_looping(options))

        yield start_threads if request.param == "sync" else start_loop


@contextlib.contextmanager
def _looping(options: dict[str, Any]) -> Iterator[Served]:
    """Run an asyncio server in a thread, so that tests can block."""
    ready = threading.Event()
    found: list[Any] = []

    async def main() -> None:
        async with xmlsocket.serve(echo, "127.0.0.1", 0, parse=bytes, **options) as server:
            end = asyncio.Event()
            found.extend((server, asyncio.get_running_loop(), end))
            ready.set()
            await end.wait()
            server.close(0)

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    assert ready.wait(PATIENCE)
    server, loop, end = found

    async def stats() -> ServerStats:
        return cast("ServerStats", server.stats())

    try:
        yield Served(
            on_loop.port_of(server),
            lambda: asyncio.run_coroutine_threadsafe(stats(), loop).result(PATIENCE),
        )
    finally:
        loop.call_soon_threadsafe(end.set)
        thread.join(PATIENCE)


def test_connections_at_the_limit_are_served_and_one_more_is_closed(
    serve: Callable[..., Served],
    clients: Callable[[int], Clients],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The last that fits is served; the next is closed, counted and logged; a place is reused."""
    served = serve(limits=Limits(connections=3))
    peers = clients(served.port)
    sockets = [peers.connect() for _ in range(3)]

    assert [True] * 3 == list(map(peers.served, sockets))
    assert not peers.open()
    assert not peers.open()
    assert {"connections": 2} == served.stats().refused
    assert [True] * 3 == list(map(peers.served, sockets))
    assert 3 == served.stats().accepted
    assert ["! turned away a connection: 3 are open (Limits.connections)"] == [
        record.getMessage() for record in on_loop.warnings_of(caplog)
    ]

    sockets.pop().close()
    served.until_open(2)
    # The handler of the one that left may need a moment to end.
    with_threads.until(peers.open)


def test_connections_leave_a_fifth_of_the_descriptors(
    serve: Callable[..., Served], clients: Callable[[int], Clients]
) -> None:
    """A process with few descriptors has a lower limit, so that it can still open files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # Lower than any descriptor that is in use is legal: those stay.
    resource.setrlimit(resource.RLIMIT_NOFILE, (100, hard))
    try:
        served = serve()
        unlimited = serve(limits=Limits(connections=None))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    peers = clients(served.port)

    assert [True] * 80 == [peers.open() for _ in range(80)]
    assert not peers.open()
    assert {"connections": 1} == served.stats().refused
    peers = clients(unlimited.port)
    assert [True] * 81 == [peers.open() for _ in range(81)]


def test_connections_where_descriptors_have_no_limit_count_alone(
    serve: Callable[..., Served],
    clients: Callable[[int], Clients],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Linux always has a limit, macOS need not: then ``Limits.connections`` stands as it is."""
    endless = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    monkeypatch.setattr(resource, "getrlimit", lambda _: endless)
    served = serve(limits=Limits(connections=3))
    monkeypatch.undo()
    peers = clients(served.port)

    assert [True] * 3 == [peers.open() for _ in range(3)]
    assert not peers.open()


def test_connections_of_one_address_beyond_the_limit_are_closed(
    serve: Callable[..., Served],
    clients: Callable[[int], Clients],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Each address has a number of its own, and what it closed counts no more."""
    served = serve(limits=Limits(connections_per_address=2))
    peers = clients(served.port)
    first = peers.connect()

    assert peers.served(first)
    assert peers.open()
    assert not peers.open()
    assert [True, True, False] == [peers.open(source="127.0.0.2") for _ in range(3)]
    assert {"connections_per_address": 2} == served.stats().refused
    (record,) = on_loop.warnings_of(caplog)
    assert (
        "! turned away a connection: its address has 2 open (Limits.connections_per_address)"
        == record.getMessage()
    )

    first.close()
    served.until_open(3)
    with_threads.until(peers.open)
    assert not peers.open()


def test_handshakes_beyond_the_limit_break_off_the_oldest(
    serve: Callable[..., Served], clients: Callable[[int], Clients]
) -> None:
    """Stalled handshakes, however many, keep nobody out, and only they are broken off."""
    server_tls, client_tls = contexts()
    # On a busy machine the usual time might break them off first.
    served = serve(ssl=server_tls, open_timeout=120, limits=Limits(handshakes=2))
    peers = clients(served.port)
    done = client_tls.wrap_socket(peers.connect(), server_hostname="localhost")

    with done:
        assert peers.served(done)
        stalled = [peers.connect() for _ in range(2)]
        assert peers.served(done)
        assert {} == served.stats().refused
        stalled.append(peers.connect())
        assert b"" == stalled[0].recv(1)
        assert {"handshakes": 1} == served.stats().refused

        late = client_tls.wrap_socket(peers.connect(), server_hostname="localhost")
        with late:
            assert peers.served(late)
            assert b"" == stalled[1].recv(1)
            assert peers.served(done)
        stalled[2].setblocking(False)
        with pytest.raises(BlockingIOError):
            stalled[2].recv(1)
        assert {"handshakes": 2} == served.stats().refused


async def test_connections_of_proxies_count_for_their_clients() -> None:
    """Behind a trusted proxy the client's address counts, and the proxy's own never does."""
    limits = Limits(connections_per_address=1)
    local = ("127.0.0.1", 1)

    async def open_for(client: str | None) -> bool:
        header = b"" if client is None else make_proxy_header(1, (client, 4000), local)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writers.append(writer)
        writer.write(header + ASKED)
        return await reader.read(100) == ASKED

    writers: list[Any] = []
    async with xmlsocket.serve(
        echo, "127.0.0.1", 0, parse=bytes, limits=limits, trusted_proxies=["127.0.0.1"]
    ) as server:
        port = on_loop.port_of(server)
        try:
            assert await open_for("192.0.2.1")
            assert not await open_for("192.0.2.1")
            assert await open_for("192.0.2.2")
            assert await open_for("2001:db8::1")
            assert not await open_for("2001:db8::2")
            assert await open_for("2001:db8:0:1::1")
            assert await open_for(None)
            assert await open_for(None)
            assert {"connections_per_address": 2} == server.stats().refused
        finally:
            for writer in writers:
                writer.close()
                await writer.wait_closed()
        # Nothing may pile up.
        await on_loop.until(lambda: not server._admission._sites.total())
        assert 2 == server.stats().closed[xmlsocket.CloseReason.TOO_MANY]


@pytest.mark.parametrize(
    ("address", "site"),
    [
        (("192.0.2.1", 5), "192.0.2.1"),
        (("2001:db8:1:2:3:4:5:6", 5, 0, 0), "2001:db8:1:2::/64"),
        (("fe80::1%eth0", 5, 0, 2), "fe80::/64"),
        (("::ffff:192.0.2.1", 5, 0, 0), "192.0.2.1"),
        ("", ""),
        ("/run/game.sock", ""),
        (None, ""),
    ],
)
def test_sites_of_an_address(address: object, site: str) -> None:
    """IPv4 counts whole, also mapped into IPv6; IPv6 by its network; Unix sockets not at all."""
    assert site == Sites.of(address)


def test_sites_without_an_address_are_never_too_many() -> None:
    """Peers on a Unix socket are this machine's own."""
    sites = Sites(1)

    assert [True, True] == [sites.enter(""), sites.enter("")]
    assert 2 == sites.total()


async def test_handshakes_that_are_done_are_forgotten() -> None:
    """A connection that is open holds no place among the handshakes."""
    server_tls, client_tls = contexts()
    async with (
        xmlsocket.serve(echo, "127.0.0.1", 0, parse=bytes, ssl=server_tls) as server,
        xmlsocket.connect(
            "127.0.0.1", on_loop.port_of(server), ssl=client_tls, server_hostname="localhost"
        ) as client,
    ):
        await client.send(ASKED[:-1])
        await client.recv()

        assert {} == server._handshakes


async def test_handshake_that_is_done_when_the_next_begins_is_not_broken_off() -> None:
    """A handshake holds its place to its end only, though its task has not gone on yet."""
    limits = Limits(handshakes=1)
    async with xmlsocket.serve(
        echo, "127.0.0.1", 0, parse=bytes, ssl=contexts()[0], limits=limits
    ) as server:
        address = server.sockets[0].getsockname()
        with socket.create_connection(address) as sock:
            client = Shaken(sock)
            await client.shake()
            client.tls.write(ASKED)
            # In the same turn the next is accepted, before the last words are read.
            with socket.create_connection(address):
                client.send()

                assert ASKED == await client.read()
            assert {} == server.stats().refused
