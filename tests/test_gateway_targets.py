"""Targets that fail a gateway between connecting and the first document."""

from __future__ import annotations

import asyncio
import contextlib
import socket

import pytest
from websockets.asyncio.client import connect as open_websocket

from tests.support.tls import contexts
from tests.test_gateway import closed, port_of
from xmlsocket.gateway import Gateway, Target


async def relay_to(target: Target, connect_timeout: float = 20) -> tuple[int, int]:
    """Connect through a gateway; return the close code and how many targets were unreachable."""
    gateway = Gateway({"/game": target}, connect_timeout=connect_timeout)
    async with gateway.serve("127.0.0.1", 0) as front:
        async with open_websocket(f"ws://127.0.0.1:{port_of(front)}/game") as client:
            code = await closed(client)
    return code, gateway.stats().unreachable


async def test_gateway_target_without_tls_behind_the_proxy_header_closes_with_1014() -> None:
    """A target that answers the handshake with something else is let go at once."""
    heard = bytearray()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.extend(await reader.readuntil(b"\r\n"))
        writer.write(b"<no-tls/>\0")
        with contextlib.suppress(OSError):
            await reader.read()
        ended.set()
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    ended = asyncio.Event()
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        assert (1014, 1) == await relay_to(Target("localhost", port, contexts()[1], 1))
        async with asyncio.timeout(10):
            await ended.wait()
    assert heard.startswith(b"PROXY TCP4 127.0.0.1 127.0.0.1 ")


async def test_gateway_target_whose_queue_is_full_closes_with_1014_after_the_timeout() -> None:
    """An attempt to connect that nobody answers is given up, and its socket is closed."""
    with contextlib.ExitStack() as stack:
        busy = stack.enter_context(socket.socket())
        busy.bind(("127.0.0.1", 0))
        busy.listen(0)
        address = busy.getsockname()
        for _ in range(3):  # Linux takes one more than it was told; what comes then it drops
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(address)
        probe = stack.enter_context(socket.socket())
        probe.settimeout(0.2)
        try:
            probe.connect(address)
        except TimeoutError:
            pass
        else:
            pytest.skip("this system lets more wait than the queue holds")

        target = Target("127.0.0.1", address[1], proxy_header=2)
        assert (1014, 1) == await relay_to(target, connect_timeout=0.1)
