"""
``asyncio.Protocol`` with the buffer that people write first, and nothing bounded.

What a slow handler has not taken yet waits in a queue.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, ClassVar, cast

from benches.peers.common import announce, run

from .common import BEAT, COUNT, JOIN, PAUSE, PING, PROBE, Totals, options

if TYPE_CHECKING:
    from .common import Options


class Textbook(asyncio.Protocol):
    """Answers, counts, and sends to all who joined."""

    members: ClassVar[set[Textbook]] = set()
    pause: ClassVar[float] = 0
    transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the handler."""
        self.transport = cast("asyncio.Transport", transport)
        self._buffer = b""
        self._totals = Totals()
        self._queue: asyncio.Queue[bytes] = asyncio.Queue()
        self._task = asyncio.ensure_future(self._work()) if self.pause else None

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Leave."""
        self.members.discard(self)
        if self._task is not None:
            self._task.cancel()

    def data_received(self, data: bytes) -> None:
        """Cut off one frame after the other."""
        self._buffer += data
        while (end := self._buffer.find(b"\0")) >= 0:
            frame: bytes = self._buffer[:end]
            self._buffer = self._buffer[end + 1 :]
            self._received(frame)

    def _received(self, frame: bytes) -> None:
        if not frame.startswith(PROBE):
            if self.pause:
                self._queue.put_nowait(frame)
            else:
                self._totals.add(len(frame))
        elif frame.startswith(PING):
            self.transport.write(frame + b"\0")
        elif frame == COUNT:
            self.transport.write(self._totals.answer() + b"\0")
        elif frame == JOIN:
            self.members.add(self)
            self.transport.write(frame + b"\0")
        else:
            data = frame + b"\0"
            for member in self.members:
                member.transport.write(data)

    async def _work(self) -> None:
        while True:
            self._totals.add(len(await self._queue.get()))
            await asyncio.sleep(self.pause)


async def main(args: Options) -> None:
    """Serve."""
    Textbook.pause = PAUSE if args.mode == "slow" else 0
    loop = asyncio.get_running_loop()
    if args.beat:
        BEAT.start(loop.call_later)
    server = await loop.create_server(
        Textbook,
        "127.0.0.1",
        0,
        ssl=args.context(),
        ssl_handshake_timeout=args.open_timeout,
        backlog=1024,
    )
    announce(server.sockets[0].getsockname())
    await server.serve_forever()


if __name__ == "__main__":
    run(main(options(__doc__)), "asyncio")
