"""Listening sockets on an event loop: bursts, running out of descriptors, closing."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import socket
from typing import TYPE_CHECKING, Any

import xmlsocket
from tests.asyncio.support import port_of, until, warnings_of
from tests.asyncio.test_server import echo

if TYPE_CHECKING:
    import pytest


async def test_accept_out_of_descriptors_waits_and_recovers(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without even the kept descriptor the server logs one line, does not spin, and recovers."""
    monkeypatch.setattr("xmlsocket.asyncio.accepting.ACCEPT_BACKOFF", 0.05)
    async with xmlsocket.serve(echo, "127.0.0.1", 0, parse=bytes) as server:
        waiting = socket.socket()
        waiting.setblocking(False)
        server._listeners._reserve.close()
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        lowest_free = os.open("/dev/null", os.O_RDONLY)
        os.close(lowest_free)
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
        try:
            with contextlib.suppress(BlockingIOError):
                waiting.connect(("127.0.0.1", port_of(server)))
            await until(lambda: warnings_of(caplog))
            assert 0 == server.stats().accepted
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(waiting, b"<a/>\0")
        assert b"<a/>\0" == await loop.sock_recv(waiting, 100)
        waiting.close()
    lines = [record.getMessage() for record in warnings_of(caplog)]
    assert ["! cannot accept connections: Too many open files"] == lines


async def test_accept_more_than_a_burst_takes_the_rest_in_the_next_turns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A flood of connections is taken in bursts; none is forgotten."""
    monkeypatch.setattr("xmlsocket.asyncio.accepting._ACCEPT_BURST", 1)
    async with xmlsocket.serve(echo, "127.0.0.1", 0, parse=bytes) as server:
        clients = [
            await xmlsocket.connect("127.0.0.1", port_of(server), parse=bytes) for _ in range(5)
        ]
        await until(lambda: server.stats().connections == 5)
        for client in clients:
            await client.close()


async def test_accept_server_closed_while_it_backs_off_stays_closed() -> None:
    """A listener that was left alone for a while is not taken up again after close()."""
    server = await xmlsocket.serve(echo, "127.0.0.1", 0)
    (listener,) = server.sockets
    server.close()
    await server.wait_closed()

    server._listeners._listen(listener)

    assert -1 == listener.fileno()


class Proactor(asyncio.SelectorEventLoop):
    """Has what the default loop of Windows has: no way to tell when a socket can be read."""

    def add_reader(self, *_: Any) -> None:  # type: ignore[override]
        """Refuse."""
        raise NotImplementedError


def test_accept_on_a_loop_without_readers_serves_and_ends(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Connections are taken one after the other there; errors are told, and no task is left."""
    monkeypatch.setattr("xmlsocket.asyncio.accepting.ACCEPT_BACKOFF", 0.01)

    async def main() -> None:
        async with xmlsocket.serve(echo, "127.0.0.1", 0, parse=bytes) as server:
            for _ in range(3):
                async with xmlsocket.connect("127.0.0.1", port_of(server), parse=bytes) as client:
                    await client.send("<a/>")
                    assert await client.recv() == b"<a/>"
            soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            with socket.socket() as waiting:
                waiting.setblocking(False)
                lowest_free = os.open("/dev/null", os.O_RDONLY)
                os.close(lowest_free)
                resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
                try:
                    with contextlib.suppress(BlockingIOError):
                        waiting.connect(("127.0.0.1", port_of(server)))
                    await until(lambda: warnings_of(caplog))
                finally:
                    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
                loop = asyncio.get_running_loop()
                await loop.sock_sendall(waiting, b"<b/>\0")
                assert await loop.sock_recv(waiting, 100) == b"<b/>\0"
        assert {asyncio.current_task()} == asyncio.all_tasks()

    with asyncio.Runner(loop_factory=Proactor) as runner:
        runner.run(main())
    lines = {record.getMessage() for record in warnings_of(caplog)}
    assert {"! cannot accept connections: Too many open files"} == lines
