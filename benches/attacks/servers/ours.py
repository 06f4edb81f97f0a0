"""This package, asyncio: ``async for`` and ``send``. What is not asked for is the default."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from benches.peers.common import announce, run

import xmlsocket

from .common import BEAT, COUNT, JOIN, PAUSE, PING, PROBE, Totals, options

if TYPE_CHECKING:
    from .common import Options

    Connection = xmlsocket.Connection[bytes]


class Application:
    """Answers, counts, and sends to all who joined."""

    def __init__(self, pause: float) -> None:
        self._pause = pause
        self._members: set[Connection] = set()

    async def serve(self, connection: Connection) -> None:
        """Serve one connection."""
        totals = Totals()
        try:
            async for frame in connection:
                if not frame.startswith(PROBE):
                    totals.add(len(frame))
                    if self._pause:
                        await asyncio.sleep(self._pause)
                elif frame.startswith(PING):
                    await connection.send(frame)
                elif frame == COUNT:
                    await connection.send(totals.answer())
                elif frame == JOIN:
                    self._members.add(connection)
                    await connection.send(frame)
                else:
                    xmlsocket.broadcast(self._members, frame)
        finally:
            self._members.discard(connection)


async def main(args: Options) -> None:
    """Serve."""
    more: dict[str, Any] = {}
    if args.max_size is not None:
        more["max_size"] = args.max_size
        if args.max_size > 2**27:  # one such frame is more than all may have together
            more["limits"] = xmlsocket.Limits(memory=None)
    if args.open_timeout is not None:
        more["open_timeout"] = args.open_timeout
    if args.beat:
        BEAT.start(asyncio.get_running_loop().call_later)
    application = Application(PAUSE if args.mode == "slow" else 0)
    async with xmlsocket.serve(
        application.serve, "127.0.0.1", 0, parse=bytes, ssl=args.context(), **more
    ) as server:
        announce(server.sockets[0].getsockname())
        await server.serve_forever()


if __name__ == "__main__":
    run(main(options(__doc__)), "asyncio")
