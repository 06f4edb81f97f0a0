"""
websockets, asyncio: ``recv`` and ``send``.

Compression and pings are off: the attackers know neither, and pings that nobody answers
would end what is to be measured.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from benches.peers.common import announce, run
from websockets.asyncio.server import ServerConnection, broadcast, serve
from websockets.exceptions import ConnectionClosed

from .common import BEAT, COUNT, JOIN, PAUSE, PING, PROBE, Totals, options

if TYPE_CHECKING:
    from .common import Options


class Application:
    """Answers, counts, and sends to all who joined."""

    def __init__(self, pause: float) -> None:
        self._pause = pause
        self._members: set[ServerConnection] = set()

    async def serve(self, connection: ServerConnection) -> None:
        """Serve one connection."""
        totals = Totals()
        try:
            while True:
                message = await connection.recv(decode=False)
                if not message.startswith(PROBE):
                    totals.add(len(message))
                    if self._pause:
                        await asyncio.sleep(self._pause)
                elif message.startswith(PING):
                    await connection.send(message, text=True)
                elif message == COUNT:
                    await connection.send(totals.answer(), text=True)
                elif message == JOIN:
                    self._members.add(connection)
                    await connection.send(message, text=True)
                else:
                    broadcast(self._members, message.decode())
        except ConnectionClosed:
            pass
        finally:
            self._members.discard(connection)


async def main(args: Options) -> None:
    """Serve."""
    more: dict[str, Any] = {}
    if args.max_size is not None:
        more["max_size"] = args.max_size
    if args.open_timeout is not None:
        more["ssl_handshake_timeout"] = args.open_timeout
    if args.beat:
        BEAT.start(asyncio.get_running_loop().call_later)
    application = Application(PAUSE if args.mode == "slow" else 0)
    async with serve(
        application.serve,
        "127.0.0.1",
        0,
        ssl=args.context(),
        compression=None,
        ping_interval=None,
        backlog=1024,
        **more,
    ) as server:
        announce(next(iter(server.sockets)).getsockname())
        await server.serve_forever()


if __name__ == "__main__":
    run(main(options(__doc__)), "asyncio")
