"""
A bare ``asyncio.Protocol`` that never looks for frames: the limit of what asyncio can do.

It passes bytes on as they come, with flow control; ``ingest`` counts zero bytes.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from .common import Arguments, Pairs, announce, arguments, run, totals

if TYPE_CHECKING:
    from collections.abc import Callable


class Echo(asyncio.Protocol):
    """Send back all bytes."""

    transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Send it back."""
        self.transport.write(data)

    def pause_writing(self) -> None:
        """Stop reading while the peer does not read."""
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        """Go on."""
        self.transport.resume_reading()


class Ingest(Echo):
    """Count frames and bytes."""

    def __init__(self) -> None:
        self.frames = 0
        self.bytes = 0

    def data_received(self, data: bytes) -> None:
        """Count."""
        self.frames += data.count(0)
        self.bytes += len(data)

    def eof_received(self) -> bool:
        """Answer; what is returned closes the transport."""
        self.transport.write(totals(self.frames, self.bytes - self.frames) + b"\0")
        return False


class Broadcast(Echo):
    """Send all bytes to all: a loop of ``transport.write`` of shared bytes."""

    everybody: set[asyncio.Transport]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Join."""
        super().connection_made(transport)
        self.everybody.add(self.transport)

    def data_received(self, data: bytes) -> None:
        """Send it to all."""
        for transport in self.everybody:
            transport.write(data)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Leave."""
        self.everybody.discard(self.transport)


class Relay(Echo):
    """Pass bytes on to the partner."""

    pairs: Pairs[Relay]
    partner: Relay | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Look for a partner."""
        super().connection_made(transport)
        # Not pause_reading() until then: uvloop starts to read after this call.
        self._early: list[bytes] = []
        self.pairs.join(self).add_done_callback(self._paired)

    def _paired(self, future: asyncio.Future[Relay]) -> None:
        self.partner = future.result()
        self.partner.transport.writelines(self._early)

    def data_received(self, data: bytes) -> None:
        """Pass it on."""
        if self.partner is None:
            self._early.append(data)
        else:
            self.partner.transport.write(data)

    def pause_writing(self) -> None:
        """Stop reading from the partner while this peer does not read."""
        assert self.partner is not None
        self.partner.transport.pause_reading()

    def resume_writing(self) -> None:
        """Go on."""
        assert self.partner is not None
        self.partner.transport.resume_reading()


async def main(args: Arguments) -> None:
    """Serve."""
    Broadcast.everybody = set()
    Relay.pairs = Pairs()
    factories: dict[str, Callable[[], asyncio.Protocol]] = {
        "echo": Echo,
        "ingest": Ingest,
        "broadcast": Broadcast,
        "relay": Relay,
    }
    loop = asyncio.get_running_loop()
    server = await loop.create_server(factories[args.mode], args.host, args.port, backlog=1024)
    announce(server.sockets[0].getsockname())
    await server.serve_forever()


if __name__ == "__main__":
    args = arguments(__doc__, ("echo", "ingest", "broadcast", "relay"))
    run(main(args), args.loop)
