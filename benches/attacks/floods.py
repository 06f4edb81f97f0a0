"""Attacks of one connection: what it sends has no end, or no content, or comes too fast."""

from __future__ import annotations

import contextlib
import dataclasses
import re
import select
import time
from typing import TYPE_CHECKING

from .model import Failed, Found
from .probe import Probe
from .victims import Victim
from .wires import Client

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

    from .model import Scale
    from .victims import Contender

__all__ = ["endless", "lifted", "slow", "tiny", "zeros"]

BLOCK = 2**18
"""Bytes that an attacker writes at once."""

COUNT = b"<count/>"


@dataclasses.dataclass(slots=True)
class Poured:
    """
    What became of a flood.

    Attributes:
        sent: Bytes that the system took for the server.
        closed: Seconds until the server closed the connection; ``None`` if it did not.

    """

    sent: int = 0
    closed: float | None = None


def pour(sock: socket.socket, block: bytes, size: int, patience: float) -> Poured:
    """
    Send ``block`` over and over until so many bytes are sent, or it is closed, or time is up.

    What the server sends is thrown away.
    """
    found = Poured()
    start = time.perf_counter()
    view = memoryview(block)
    sock.setblocking(False)
    try:
        while found.sent < size and time.perf_counter() < start + patience:
            ready, writable, _ = select.select([sock], [sock], [], 0.1)
            if ready and not sock.recv(2**16):
                raise ConnectionResetError
            if writable:
                at = found.sent % len(block)
                with contextlib.suppress(BlockingIOError):
                    found.sent += sock.send(view[at : at + size - found.sent])
    except ConnectionError:
        found.closed = time.perf_counter() - start
    sock.settimeout(patience)
    return found


@contextlib.contextmanager
def attacked(
    contender: Contender, *, mode: str = "serve", max_size: int = 0, **options: object
) -> Iterator[tuple[Victim, Client, Probe]]:
    """Start a server, and who attacks it and who watches; costs count from here on."""
    with (
        Victim(contender, mode=mode, max_size=max_size, **options) as victim,
        Client(victim.address, victim.wire) as client,
        Probe(victim) as probe,
    ):
        victim.start()
        yield victim, client, probe


def figures(victim: Victim, probe: Probe) -> dict[str, float]:
    """Return the costs, and how long the client that watches waited."""
    seen = probe.told()
    return victim.cost() | {"answer": seen["longest"], "usual": seen["usual"]}


def endless(contender: Contender, scale: Scale) -> Found:
    """Send a frame that never ends; the limit is the server's default."""
    with attacked(contender) as (victim, client, probe):
        client.sock.sendall(client.wire.start(scale.endless))
        poured = pour(client.sock, b"a" * BLOCK, scale.endless, scale.patience)
        found = Found(figures(victim, probe))
        if poured.closed is not None:
            found.figures["closed"] = poured.closed
        else:
            found.note = f"never closed, {poured.sent / 1e6:.0f} MB sent"
        return found


def lifted(contender: Contender, scale: Scale) -> Found:
    """Send a frame of half the size, and one of the size; that is the limit, too."""
    costs = []
    for size in (scale.lifted // 2, scale.lifted):
        with attacked(contender, max_size=scale.lifted + 2**10) as (victim, client, probe):
            client.sock.sendall(client.wire.start(size))
            poured = pour(client.sock, b"a" * BLOCK, size, scale.patience)
            found = Found(figures(victim, probe))
            if poured.sent < size:
                return late(found, poured, size, scale)
            client.sock.sendall(client.wire.end)
            expect(client, frames=1, size=size)
            found = Found(victim.cost() | {"answer": found.figures["answer"]})
            costs.append(found.figures["cpu"])
    if costs[0]:
        found.figures["growth"] = costs[1] / costs[0]
    return found


def late(found: Found, poured: Poured, size: int, scale: Scale) -> Found:
    """Return how far it came in the time that there was."""
    end = "closed" if poured.closed is not None else f"not done in {scale.patience:.0f} s"
    found.note = f"{end}: {poured.sent / 1e6:.0f} of {size / 1e6:.0f} MB"
    return found


def expect(client: Client, frames: int, size: int, *, skipped: bool = False) -> float:
    """
    See that the server has counted what was sent.

    Returns:
        Seconds of processor time that its loop kept a timer waiting at most, if it watches.

    Raises:
        Failed: If it has not.
        OSError: If it does not answer in time, or has closed the connection.

    """
    answer = client.ask(COUNT)
    *totals, stall = (int(number) for number in re.findall(rb"\d+", answer))
    counted = tuple(totals)
    if counted != (frames, size) and not (skipped and counted == (0, 0)):
        raise Failed(f"{frames} frames, {size} bytes were sent; the server says {counted}")
    return stall / 1e6


def _flood(contender: Contender, payload: bytes, size: int, scale: Scale) -> Found:
    with attacked(contender, beat=1) as (victim, client, probe):
        time.sleep(scale.quiet)
        quiet = probe.told()["longest"]
        victim.start()
        frame = client.frame(payload)
        count = size // len(frame)
        block = frame * (BLOCK // len(frame))
        poured = pour(client.sock, block, count * len(frame), scale.patience)
        if poured.sent < count * len(frame):
            return late(Found(figures(victim, probe)), poured, size, scale)
        try:
            stall = expect(client, count, count * len(payload), skipped=not payload)
        except TimeoutError:
            found = Found(figures(victim, probe))
            found.note = f"no answer {scale.patience:.0f} s after the last of it"
            return found
        found = Found(figures(victim, probe) | {"stall": stall, "quiet": quiet})
        found.figures["frame_ns"] = found.figures["cpu"] / count * 1e9
        return found


def zeros(contender: Contender, scale: Scale) -> Found:
    """Send nothing but the ends of frames."""
    return _flood(contender, b"", scale.zeros, scale)


def tiny(contender: Contender, scale: Scale) -> Found:
    """Send the smallest frames that there are to a handler that counts them."""
    return _flood(contender, b"a", scale.tiny, scale)


def slow(contender: Contender, scale: Scale) -> Found:
    """Send all that goes to a handler that takes 10 ms for a frame."""
    with attacked(contender, mode="slow") as (victim, client, probe):
        frame = client.frame(b"a" * 1000)
        block = frame * (BLOCK // len(frame))
        poured = pour(client.sock, block, scale.slow, scale.slow_seconds)
        found = Found(figures(victim, probe))
        found.figures["sent"] = poured.sent
        return found
