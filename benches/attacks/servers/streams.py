"""
asyncio streams: ``readuntil`` and ``write``; ``drain`` but for the broadcast.

With ``drain`` there, one reader that stops would stop them all: the next frame
goes to nobody until the stopped one reads.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from benches.peers.common import announce, run

from .common import BEAT, COUNT, JOIN, PAUSE, PING, PROBE, Totals, options

if TYPE_CHECKING:
    from asyncio import StreamReader, StreamWriter

    from .common import Options


class Application:
    """Answers, counts, and sends to all who joined."""

    def __init__(self, pause: float) -> None:
        self._pause = pause
        self._members: set[StreamWriter] = set()

    async def serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        """Serve one connection until it ends or sends a frame beyond the limit."""
        try:
            await self._answer(reader, writer)
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
            pass
        finally:
            self._members.discard(writer)
            writer.close()

    async def _answer(self, reader: StreamReader, writer: StreamWriter) -> None:
        totals = Totals()
        while True:
            frame = (await reader.readuntil(b"\0"))[:-1]
            if not frame.startswith(PROBE):
                totals.add(len(frame))
                if self._pause:
                    await asyncio.sleep(self._pause)
            elif frame.startswith(PING):
                writer.write(frame + b"\0")
                await writer.drain()
            elif frame == COUNT:
                writer.write(totals.answer() + b"\0")
                await writer.drain()
            elif frame == JOIN:
                self._members.add(writer)
                writer.write(frame + b"\0")
                await writer.drain()
            else:
                data = frame + b"\0"
                for member in self._members:
                    member.write(data)


async def main(args: Options) -> None:
    """Serve."""
    more: dict[str, Any] = {}
    if args.max_size is not None:
        more["limit"] = args.max_size
    if args.open_timeout is not None:
        more["ssl_handshake_timeout"] = args.open_timeout
    if args.beat:
        BEAT.start(asyncio.get_running_loop().call_later)
    application = Application(PAUSE if args.mode == "slow" else 0)
    server = await asyncio.start_server(
        application.serve, "127.0.0.1", 0, ssl=args.context(), backlog=1024, **more
    )
    announce(server.sockets[0].getsockname())
    await server.serve_forever()


if __name__ == "__main__":
    run(main(options(__doc__)), "asyncio")
