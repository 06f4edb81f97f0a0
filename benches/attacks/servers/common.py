"""What the servers under attack share: their command line, and what they answer."""

from __future__ import annotations

import argparse
import dataclasses
import resource
import ssl
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["BEAT", "COUNT", "JOIN", "PAUSE", "PING", "PROBE", "Options", "Totals", "options"]

PING = b"<ping"
"""How a frame starts that is sent back."""

JOIN = b"<join/>"
"""Makes the sender one of those to whom every frame of ``TO_ALL`` goes; sent back."""

COUNT = b"<count/>"
"""Asks how many frames and bytes of payload the connection has brought: see `Totals`."""

PROBE = b"<"
"""How all of these start, and frames for all who joined. Anything else is payload."""

PAUSE = 0.01
"""Seconds that the handler of mode ``slow`` takes for a frame of payload."""


class Beat:
    """
    A timer that is due every millisecond, to see how long the loop keeps it waiting.

    Waiting is counted as processor time: what other programs take of the core is no
    fault of the server.
    """

    PERIOD = 0.001

    def __init__(self) -> None:
        self.longest = 0.0

    def start(self, call_later: Callable[[float, Callable[[], None]], object]) -> None:
        """Begin on a loop."""
        self._call_later = call_later
        self._last = time.thread_time()
        call_later(self.PERIOD, self._beat)

    def _beat(self) -> None:
        now = time.thread_time()
        self.longest = max(self.longest, now - self._last)
        self._last = now
        self._call_later(self.PERIOD, self._beat)


BEAT = Beat()
"""That of this process; it beats with ``--beat 1``."""


@dataclasses.dataclass(slots=True)
class Totals:
    """The payload that one connection has brought."""

    frames: int = 0
    size: int = 0

    def add(self, size: int) -> None:
        """Count a frame."""
        self.frames += 1
        self.size += size

    def answer(self) -> bytes:
        """Return the answer to `COUNT`; ``stall`` is in microseconds."""
        return b'<totals frames="%d" bytes="%d" stall="%d"/>' % (
            self.frames,
            self.size,
            BEAT.longest * 1e6,
        )


@dataclasses.dataclass(frozen=True, slots=True)
class Options:
    """
    The command line of all servers under attack.

    Attributes:
        mode: ``serve``, or ``slow`` with a handler that takes 10 ms for a frame.
        max_size: Bytes of the largest frame; ``None`` for the server's default.
        certificate: PEM file with key and certificate, for TLS.
        open_timeout: Seconds for the TLS handshake; ``None`` for the server's default.
        beat: Whether to watch the loop: see `Beat`.

    """

    mode: str
    max_size: int | None
    certificate: str | None
    open_timeout: float | None
    beat: bool

    def context(self) -> ssl.SSLContext | None:
        """Return the TLS context, if there is to be TLS."""
        if self.certificate is None:
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate)
        return context


def options(description: str | None) -> Options:
    """Read the command line, and take no more descriptors than it allows."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--mode", choices=["serve", "slow"], default="serve")
    parser.add_argument("--max-size", type=int, default=0, help="0 for the default")
    parser.add_argument("--files", type=int, default=0, help="descriptors; 0 for all")
    parser.add_argument("--certificate")
    parser.add_argument("--open-timeout", type=float)
    parser.add_argument("--beat", type=int, default=0, help="1 to watch the loop")
    args = parser.parse_args()
    if args.files:
        resource.setrlimit(resource.RLIMIT_NOFILE, (args.files, args.files))
    size = args.max_size or None
    return Options(args.mode, size, args.certificate, args.open_timeout, bool(args.beat))
