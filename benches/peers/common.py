"""What the peers written in Python share: command line, event loop, the rules of the workloads."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

__all__ = ["Arguments", "Pairs", "announce", "arguments", "run", "totals"]

T = TypeVar("T")


@dataclasses.dataclass(frozen=True, slots=True)
class Arguments:
    """
    The command line that all peers have.

    Attributes:
        mode: What to do with frames; see ``benches/README.md``.
        host: Address to listen on.
        port: Port to listen on; 0 takes a free one.
        max_size: Bytes of the largest frame that will come.
        loop: Event loop, for peers that run on one.

    """

    mode: str
    host: str
    port: int
    max_size: int
    loop: str


def arguments(description: str | None, modes: tuple[str, ...]) -> Arguments:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--mode", choices=modes, default=modes[0])
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--max-size", type=int, default=2**20)
    parser.add_argument("--loop", choices=["asyncio", "uvloop"], default="asyncio")
    return Arguments(**vars(parser.parse_args()))


def run(main: Coroutine[object, object, None], loop: str) -> None:
    """Run ``main`` on the event loop of that name until the process is ended."""
    factory: Callable[[], asyncio.AbstractEventLoop] | None = None
    if loop == "uvloop":
        import uvloop  # noqa: PLC0415 - only one of the two is needed

        factory = uvloop.new_event_loop
    # An interrupt is the way to end a server in a terminal.
    with contextlib.suppress(KeyboardInterrupt), asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main)


def announce(address: tuple[str, int]) -> None:
    """Say that the server accepts connections, and where."""
    host, port = address[:2]
    print(f"listening on {host}:{port}", flush=True)


def totals(frames: int, size: int) -> bytes:
    """Return the answer of ``ingest``: ``size`` is the sum of the frames without delimiters."""
    return b'<totals frames="%d" bytes="%d"/>' % (frames, size)


class Pairs(Generic[T]):
    """Pair connections in the order of arrival, for ``relay``."""

    def __init__(self) -> None:
        self._waiting: tuple[T, asyncio.Future[T]] | None = None

    def join(self, member: T) -> asyncio.Future[T]:
        """Return a future of the partner, done as soon as there is one."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        if self._waiting is None:
            self._waiting = member, future
        else:
            partner, other = self._waiting
            self._waiting = None
            other.set_result(member)
            future.set_result(partner)
        return future
