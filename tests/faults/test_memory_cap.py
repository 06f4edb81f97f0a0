"""A server that the system gives little memory keeps to its budget under partial frames."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys

import pytest

import xmlsocket

PATIENCE = 50
CLIENTS = 200
PARTIAL = b"<" + b"x" * 900_000

CHILD = """
import asyncio, os, resource, signal
import xmlsocket
from xmlsocket import Limits

async def echo(connection):
    async for frame in connection:
        await connection.send(frame)

async def main():
    limits = Limits(memory=16 * 2**20)
    async with xmlsocket.serve(echo, "127.0.0.1", 0, parse=bytes, limits=limits) as server:
        with open("/proc/self/statm") as file:
            size = int(file.read().split()[0]) * resource.getpagesize()
        cap = size + 64 * 2**20
        resource.setrlimit(resource.RLIMIT_AS, (cap, cap))
        print(server.sockets[0].getsockname()[1], flush=True)
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        await stop.wait()
        stats = server.stats()
        server.close(1)
    try:
        bytearray(cap)
    except MemoryError:  # the cap is in force
        print(stats.accepted, stats.closed[xmlsocket.CloseReason.MEMORY])

asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads its size from /proc")
async def test_capped_server_survives_partial_frames_of_many_times_its_memory() -> None:
    """180 MB of frames that never end come to a server with 64 MiB: it goes on serving."""
    with subprocess.Popen(  # noqa: ASYNC220 - takes a moment
        [sys.executable, "-W", "error", "-c", CHILD], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as child:
        try:
            assert child.stdout is not None
            port = int(child.stdout.readline())

            async def hold() -> asyncio.StreamWriter:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                with contextlib.suppress(OSError, TimeoutError):
                    writer.write(PARTIAL)
                    async with asyncio.timeout(1):  # a paused one takes no more
                        await writer.drain()
                return writer

            async with asyncio.timeout(PATIENCE):
                writers = await asyncio.gather(*(hold() for _ in range(CLIENTS)))
                async with xmlsocket.connect("127.0.0.1", port, parse=bytes) as client:
                    await client.send("<still-there/>")
                    assert b"<still-there/>" == await client.recv()
            for writer in writers:
                writer.transport.abort()
            child.terminate()
            out, err = await asyncio.to_thread(child.communicate, timeout=PATIENCE)
        finally:
            child.kill()

    assert 0 == child.returncode
    assert 1 == len(err.splitlines()), err  # that memory was short, told once
    accepted, cut = map(int, out.split())
    assert CLIENTS + 1 == accepted
    # How many depends on how fast they are: the others stand in the kernel, paused.
    assert cut > 0
