"""The server for socket policy files, over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING, Any

import pytest

from tests.asyncio.support import read_all, until, warnings_of
from tests.support.policy_client import fetch_policy, look_up
from xmlsocket.asyncio.policy_server import PolicyServer
from xmlsocket.exceptions import PolicyError
from xmlsocket.policy import MASTER_PORT, REQUEST, Policy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

POLICY = Policy(["play.example.com"], ["9000-9999"])


def port_of(server: PolicyServer) -> int:
    """Return the port that a server listens on."""
    port: int = server.sockets[0].getsockname()[1]
    return port


@contextlib.asynccontextmanager
async def peer_of(
    server: PolicyServer,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Open a connection that knows only bytes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port_of(server))
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


@pytest.mark.parametrize("cut", [1, 7, 22, 23], ids="cut-{}".format)
async def test_policyserver_request_is_answered_however_it_is_cut(cut: int) -> None:
    """The policy and one zero byte come for a request in pieces of any size, then the end."""
    async with PolicyServer(POLICY, "127.0.0.1", 0) as server, peer_of(server) as (reader, writer):
        for start in range(0, len(REQUEST), cut):
            writer.write(REQUEST[start : start + cut])
            await writer.drain()
            await asyncio.sleep(0)
        assert POLICY.reply == await read_all(reader)
        assert (1, 1) == (server.stats().accepted, server.stats().answered)


async def test_policyserver_request_with_a_space_is_answered() -> None:
    """The form that a book on Flash 8 prints is a request, too."""
    async with PolicyServer(POLICY, "127.0.0.1", 0) as server, peer_of(server) as (reader, writer):
        writer.write(b"<policy-file-request />\0")
        assert POLICY.reply == await read_all(reader)


async def test_policyserver_input_behind_the_request_does_not_cost_the_reply() -> None:
    """Who sends more than a request still gets the whole policy: no reset overtakes it."""
    policy = Policy([f"host{number}.example.com" for number in range(500)], ["*"])
    async with PolicyServer(policy, "127.0.0.1", 0) as server, peer_of(server) as (reader, writer):
        writer.write(REQUEST + b"x" * 30_000)
        await writer.drain()
        writer.write(b"x" * 30_000)
        assert policy.reply == await read_all(reader)


async def test_policyserver_flood_behind_the_request_is_cut_off() -> None:
    """After the reply no more than 64 KiB are thrown away; then the connection is gone."""
    async with PolicyServer(POLICY, "127.0.0.1", 0) as server, peer_of(server) as (_, writer):
        writer.write(REQUEST)
        with contextlib.suppress(ConnectionError):
            while server.stats().accepted == 0 or server.stats().connections:
                writer.write(b"x" * 2**16)
                await writer.drain()
        await until(lambda: not server.stats().connections)
    assert 1 == server.stats().answered


@pytest.mark.parametrize("data", [b"<login/>\0", b"GET / HTTP/1.1\r\n\r\n", b"\0", b"x" * 10**6])
async def test_policyserver_anything_else_is_closed(
    data: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """What is no policy request gets no answer, is counted, and is no line in the log."""
    async with PolicyServer(POLICY, "127.0.0.1", 0) as server, peer_of(server) as (reader, writer):
        writer.write(data)
        with contextlib.suppress(ConnectionError):
            assert b"" == await read_all(reader)
        await until(lambda: not server.stats().connections)
    assert (1, 0) == (server.stats().refused, server.stats().answered)
    assert [] == warnings_of(caplog)


@pytest.mark.parametrize("data", [b"", REQUEST[:-1]], ids=["nothing", "all-but-the-zero-byte"])
async def test_policyserver_silence_is_closed_after_the_timeout(
    data: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """Who does not ask in time is closed, is counted, and is no line in the log."""
    async with (
        PolicyServer(POLICY, "127.0.0.1", 0, request_timeout=0.05) as server,
        peer_of(server) as (reader, writer),
    ):
        writer.write(data)
        assert b"" == await read_all(reader)
        await until(lambda: not server.stats().connections)
    assert (1, 0) == (server.stats().silent, server.stats().answered)
    assert [] == warnings_of(caplog)


async def test_policyserver_health_check_leaves_no_trace_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Connecting and leaving is normal."""
    async with PolicyServer(POLICY, "127.0.0.1", 0) as server:
        async with peer_of(server):
            pass
        await until(lambda: server.stats().silent)
    assert [] == warnings_of(caplog)


async def test_policyserver_on_accept_answers_without_a_request() -> None:
    """With ``on_accept`` the policy comes at once, and a request that crosses it does no harm."""
    async with PolicyServer(POLICY, "127.0.0.1", 0, on_accept=True) as server:
        async with peer_of(server) as (reader, _):
            assert POLICY.reply == await read_all(reader)
        async with peer_of(server) as (reader, writer):
            writer.write(REQUEST)
            assert POLICY.reply == await read_all(reader)
        assert 2 == server.stats().answered


async def test_policyserver_full_cuts_off_the_oldest() -> None:
    """Connections that only stay do not keep the policy from those who ask."""
    async with PolicyServer(POLICY, "127.0.0.1", 0, max_connections=2) as server:
        async with peer_of(server) as (oldest, _), peer_of(server) as (_, second):
            await until(lambda: server.stats().accepted == 2)
            async with peer_of(server) as (reader, writer):
                writer.write(REQUEST)
                assert POLICY.reply == await read_all(reader)
            with contextlib.suppress(ConnectionError):
                assert b"" == await read_all(oldest)
            assert (1, 0) == (server.stats().evicted, server.stats().silent)
            assert not second.is_closing()


async def test_policyserver_full_lets_an_answer_on_its_way_arrive() -> None:
    """Making room cuts off whoever has been answered and stays, but takes nothing back."""
    async with PolicyServer(POLICY, "127.0.0.1", 0, max_connections=1) as server:
        async with peer_of(server) as (first, first_writer):
            first_writer.write(REQUEST)
            assert POLICY.reply == await first.readexactly(len(POLICY.reply))
            async with peer_of(server) as (second, writer):
                await until(lambda: server.stats().accepted == 2)
                assert 1 == server.stats().connections
                writer.write(REQUEST)
                assert POLICY.reply == await read_all(second)
        assert (2, 0) == (server.stats().answered, server.stats().evicted)


async def test_policyserver_on_accept_full_answers_those_who_may_stay() -> None:
    """Of two that come at once where one may stay, the first is gone before it is answered."""
    async with PolicyServer(POLICY, "127.0.0.1", 0, on_accept=True, max_connections=1) as server:
        with contextlib.ExitStack() as stack:
            first, second = (  # before the loop accepts one of them
                stack.enter_context(socket.create_connection(("127.0.0.1", port_of(server))))
                for _ in range(2)
            )
            await until(lambda: server.stats().accepted == 2 and server.stats().answered)
            first.settimeout(10)
            second.settimeout(10)
            with contextlib.suppress(ConnectionError):
                assert b"" == first.recv(1)
            assert POLICY.reply == second.recv(1000)
        assert (1, 1) == (server.stats().answered, server.stats().evicted)


async def test_policyserver_socket_that_cannot_be_opened_is_let_go(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A connection that the system takes back, as macOS may, is no client and no event."""
    if type(asyncio.get_running_loop()).__module__.startswith("uvloop"):
        pytest.skip("uvloop sets no options here that could fail")
    async with PolicyServer(POLICY, "127.0.0.1", 0) as server:
        broken = socket.socket(proto=socket.IPPROTO_TCP)
        broken.setblocking(False)
        broken.close()  # options of a closed socket fail, as those of one that was taken back do
        server._accepted(broken, None)
        await until(lambda: not server._opening)

        assert 0 == server.stats().accepted
    assert [] == warnings_of(caplog)


async def test_policyserver_close_leaves_nothing_open() -> None:
    """Closing ends those who have not asked, and waits for nobody else."""
    server = await PolicyServer(POLICY, "127.0.0.1", 0)
    forever = asyncio.create_task(server.serve_forever())
    async with peer_of(server) as (reader, _):
        await until(lambda: server.stats().connections)
        server.close()
        server.close()
        await forever
        assert b"" == await read_all(reader)
    assert (0, -1) == (server.stats().connections, server.sockets[0].fileno())


async def test_policyserver_closed_between_accept_and_open_closes_the_connection() -> None:
    """A connection that has just been accepted when the server closes is closed, too."""
    server = await PolicyServer(POLICY, "127.0.0.1", 0)
    with socket.create_connection(("127.0.0.1", port_of(server))) as peer:
        assert server._listeners is not None
        server._listeners._accept(server.sockets[0])
        assert server._opening
        server.close()
        await server.wait_closed()
        peer.settimeout(10)
        assert b"" == peer.recv(1)


async def test_policyserver_cancelled_serve_forever_closes() -> None:
    """Cancelling serve_forever() closes the server."""
    server = await PolicyServer(POLICY, "127.0.0.1", 0)
    forever = asyncio.create_task(server.serve_forever())
    await asyncio.sleep(0)
    forever.cancel()
    with pytest.raises(asyncio.CancelledError):
        await forever
    assert -1 == server.sockets[0].fileno()


async def test_policyserver_never_started_closes_at_once() -> None:
    """A server that was made and not started has no sockets and can be closed."""
    server = PolicyServer(POLICY, port=9339)
    assert () == server.sockets
    server.close()
    await server.wait_closed()


# What may be served from where


def test_policyserver_low_port_granted_from_a_high_one_is_refused() -> None:
    """Ports below 1024 are granted from below 1024 only: Flash would ignore it without a word."""
    with pytest.raises(PolicyError, match="port 8430 cannot grant ports below 1024"):
        PolicyServer(Policy(["*"], [80]), port=8430)


def test_policyserver_site_control_is_for_the_master_port() -> None:
    """A ``site-control`` counts on port 843 only."""
    policy = Policy(["*"], ["*"], site_control="master-only")
    with pytest.raises(PolicyError, match="site-control counts only"):
        PolicyServer(policy, port=8430)
    PolicyServer(policy, port=MASTER_PORT)
    PolicyServer(policy, port=8430, public_port=MASTER_PORT)


async def test_policyserver_free_port_is_checked_when_it_is_known() -> None:
    """Port 0 and a given socket are checked once bound; a refusal leaves nothing open."""
    policy = Policy(["*"], [80])
    with pytest.raises(PolicyError, match="cannot grant ports below 1024"):
        await PolicyServer(policy, "127.0.0.1", 0)
    sock = socket.create_server(("127.0.0.1", 0))
    with pytest.raises(PolicyError, match="cannot grant ports below 1024"):
        await PolicyServer(policy, sock=sock)
    assert -1 == sock.fileno()


async def test_policyserver_given_socket_serves() -> None:
    """A listening socket can be handed over, and a public port with it."""
    sock = socket.create_server(("127.0.0.1", 0))
    policy = Policy(["*"], [80])
    async with (
        PolicyServer(policy, sock=sock, public_port=MASTER_PORT) as server,
        peer_of(server) as (reader, writer),
    ):
        writer.write(REQUEST)
        assert policy.reply == await read_all(reader)


@pytest.mark.parametrize("option", ["request_timeout", "max_connections"])
def test_policyserver_limit_that_makes_no_sense_is_refused(option: str) -> None:
    """Zero is no limit; ``None`` is how one is lifted."""
    wrong: dict[str, Any] = {option: 0}
    with pytest.raises(ValueError, match=f"{option} must be positive or None, not 0"):
        PolicyServer(POLICY, port=9339, **wrong)


# Flash's lookup


async def test_policyserver_as_master_lets_a_movie_connect() -> None:
    """A player's lookup finds the policy in the place of port 843 and asks no further."""
    async with PolicyServer(POLICY, "127.0.0.1", 0, public_port=MASTER_PORT) as server:
        lookup = await asyncio.to_thread(
            look_up,
            "127.0.0.1",
            9339,
            domain="play.example.com",
            master_port=port_of(server),
        )
        assert lookup.verdict
        assert [port_of(server)] == lookup.asked


async def test_policyserver_without_limits_answers() -> None:
    """``None`` lifts both limits."""
    async with PolicyServer(
        POLICY, "127.0.0.1", 0, request_timeout=None, max_connections=None
    ) as server:
        document = await asyncio.to_thread(fetch_policy, "127.0.0.1", port_of(server), timeout=10)
        assert bytes(POLICY) == document
