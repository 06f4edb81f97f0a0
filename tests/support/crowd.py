"""
A crowd of clients in a process of its own.

``python -m tests.support.crowd PORT IDLE ACTIVE FRAMES``

Idle clients send one document each, then nothing until the active ones are done,
and then one more. Active clients all send at once and read what comes back. Every
answer is compared. Prints a line of JSON with what came back.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys

AT_ONCE = 200


async def exchange(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, frames: list[bytes]
) -> int:
    """Send frames in one go and return how many came back, all of them and in order."""
    sent = b"".join(frame + b"\0" for frame in frames)
    writer.write(sent)
    back = await reader.readexactly(len(sent))
    if back != sent:
        raise AssertionError("a wrong answer came back")
    return len(frames)


async def main(port: int, idle: int, active: int, frames: int) -> None:
    """Open all connections, let the active ones talk, let every idle one say one more word."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    gate = asyncio.Semaphore(AT_ONCE)

    async def arrive(number: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        async with gate:
            streams = await asyncio.open_connection("127.0.0.1", port)
            await exchange(*streams, [b'<here n="%d"/>' % number])
            return streams

    streams = await asyncio.gather(*(arrive(number) for number in range(idle + active)))
    talk = [b'<m n="%d">%s</m>' % (number, b"x" * 100) for number in range(frames)]
    busy = sum(await asyncio.gather(*(exchange(*each, talk) for each in streams[idle:])))
    still = 0
    for number, each in enumerate(streams[:idle]):
        still += await exchange(*each, [b'<still n="%d"/>' % number])
    for _, writer in streams:
        writer.close()
    json.dump({"connections": len(streams), "active": busy, "idle": still}, sys.stdout)


if __name__ == "__main__":
    asyncio.run(main(*map(int, sys.argv[1:])))
