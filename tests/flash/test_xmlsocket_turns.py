"""The object closed at every turn that a message takes from the socket to its handler."""

from __future__ import annotations

import asyncio
import threading

import pytest

from tests.support.scripted import expect, expect_end, scripted, send, wait_for

from .support import Program, Recorded

HOST = "127.0.0.1"

CONNECTED, RECEIVED = ("onConnect", True), ("onData", "a")


@pytest.mark.parametrize("turns", range(8))
async def test_close_however_far_a_message_has_come_lets_no_further_handler_begin(
    turns: int,
) -> None:
    """What the handler has not been told when close() returns it is never told; last words go."""
    ready = threading.Event()
    script = [wait_for(ready), send(b"a\0"), expect(b"bye\0"), expect_end()]
    with scripted(script) as server:
        socket = Recorded()
        assert socket.connect(HOST, server.port)
        await socket.events.reached(1)
        (link,) = socket._links
        ready.set()
        while not link._connection.stats.frames_in:
            await asyncio.sleep(0)
        for _ in range(turns):
            await asyncio.sleep(0)
        told = list(socket.events)
        socket.send("bye")
        socket.close()
        await Program("loop").ended(socket)

    assert told == socket.events
    assert told in ([CONNECTED], [CONNECTED, RECEIVED])
