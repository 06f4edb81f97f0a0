"""Many connections at once: all are served, and one that is silent costs little."""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import xmlsocket
from tests.asyncio.support import port_of, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

resource = pytest.importorskip("resource", reason="limits of descriptors are a matter of Unix")

ROOT = Path(__file__).parent.parent.parent

IDLE = 10_000
ACTIVE = 1_000
FRAMES = 100

# Objects and bytes that one connection holds which waits for its next document: its
# own, its task's and its handler's. Counted on CPython 3.11 (19 objects, 2644 bytes),
# with some room for other versions; with uvloop (26, 4009) also the transport. The pure
# codec's decoder and outbox are made of more.
MOST = {"asyncio": (23, 3072), "uvloop": (30, 4608)}
PURE = (8, 1536)


async def echo(connection: xmlsocket.Connection[bytes]) -> None:
    """Answer every document with itself."""
    async for frames in connection.batches():
        await connection.send_many(frames)


@pytest.fixture
def descriptors() -> Iterator[int]:
    """Raise the limit of descriptors as far as it goes, for one test."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_crowd_ten_thousand_idle_and_a_thousand_active_are_served(descriptors: int) -> None:
    """
    10,000 connections that are silent and 1,000 that talk are served by one process.

    No answer is lost or wrong, nobody is cut off, and afterwards nothing is left.
    """
    if descriptors < IDLE + ACTIVE + 100:
        pytest.skip(f"needs {IDLE + ACTIVE + 100} descriptors, {descriptors} are allowed")
    asyncio.get_running_loop().set_debug(False)  # it notes who made what, in objects
    limits = xmlsocket.Limits(connections=None)
    async with xmlsocket.serve(echo, "127.0.0.1", 0, parse=bytes, limits=limits) as server:
        crowd = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.support.crowd", str(port_of(server))),
            *map(str, (IDLE, ACTIVE, FRAMES)),
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
        )
        output, _ = await crowd.communicate()
        assert 0 == crowd.returncode
        expected = {"connections": IDLE + ACTIVE, "active": ACTIVE * FRAMES, "idle": IDLE}
        assert expected == json.loads(output)
        await until(lambda: not server.connections)
        stats = server.stats()
        assert IDLE + ACTIVE == stats.accepted
        assert {xmlsocket.CloseReason.EOF: IDLE + ACTIVE} == stats.closed
        assert 2 * IDLE + ACTIVE * (FRAMES + 1) == stats.frames_in == stats.frames_out


async def connections(port: int, count: int) -> AsyncIterator[asyncio.StreamWriter]:
    """Open connections that have echoed one document each."""
    for _ in range(count):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"<a/>\0")
        assert b"<a/>\0" == await reader.readexactly(5)
        yield writer


async def test_idle_connection_holds_few_objects_and_no_read_buffer() -> None:
    """What a silent connection holds is counted, so that it cannot grow unseen."""
    count = 50
    loop = asyncio.get_running_loop()
    loop.set_debug(False)  # it notes who made what, in objects
    most_objects, most_bytes = MOST["uvloop" if "uvloop" in type(loop).__module__ else "asyncio"]
    if xmlsocket.IMPLEMENTATION == "pure":
        most_objects, most_bytes = most_objects + PURE[0], most_bytes + PURE[1]
    async with xmlsocket.serve(echo, "127.0.0.1", 0, parse=bytes) as server:
        port = port_of(server)
        clients = [writer async for writer in connections(port, count)]
        gc.collect()
        # Only what the server's side allocates: the client's streams are made of
        # modules that the filters leave out.
        tracemalloc.start()
        try:
            before = tracemalloc.take_snapshot()
            clients += [writer async for writer in connections(port, count)]
            gc.collect()
            after = tracemalloc.take_snapshot()
        finally:
            tracemalloc.stop()
        package = str(Path(xmlsocket.__file__).parent / "*")
        filters = [tracemalloc.Filter(True, package)]
        grown = after.filter_traces(filters).compare_to(before.filter_traces(filters), "filename")
        objects = sum(each.count_diff for each in grown) / count
        size = sum(each.size_diff for each in grown) / count

        assert 0 < objects <= most_objects
        assert 0 < size <= most_bytes
        for writer in clients:
            writer.close()
        await until(lambda: not server.connections)
