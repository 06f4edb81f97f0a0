"""Clients of every kind. Each does what it does once, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING

import xmlsocket
from xmlsocket import ConnectionClosed
from xmlsocket.testing import Faults

from ..test_documents_hostile import HOSTILE

if TYPE_CHECKING:
    import random
    from collections.abc import Awaitable, Callable

    from xmlsocket.testing import ChaosProxy

__all__ = ["KINDS", "misbehave"]

BAD = [frame for frame, _ in HOSTILE.values() if len(frame) < 5000] + [b"", b"\xff", b"<a", b"x"]


def documents(chance: random.Random) -> list[bytes]:
    """Return some documents of very different sizes."""
    return [
        b'<m n="%d">%s</m>' % (number, b"." * int(1 + chance.expovariate(1 / 300)))
        for number in range(chance.randint(1, 20))
    ]


def faults_of(chance: random.Random) -> Faults:
    """Return what a proxy does next."""
    return chance.choice(
        [
            Faults(slice=(1, 7)),
            Faults(merge=(1, 3000), merge_wait=0.01),
            Faults(delay=0.01, jitter=0.02),
            Faults(reset_at=chance.randint(0, 3000)),
            Faults(limit=chance.randint(0, 3000)),
            Faults(half_close_at=chance.randint(0, 3000)),
            Faults(corrupt=0.01),
        ]
    )


async def talker(port: int, chance: random.Random) -> None:
    """Say something, hear it again, and leave in one of three ways."""
    async with xmlsocket.connect("127.0.0.1", port, parse=bytes) as connection:
        said = documents(chance)
        await connection.send_many(said)
        for document in said:
            answer = await connection.recv()
            if answer != document:
                raise AssertionError(f"sent {document[:80]!r}, received {answer[:80]!r}")
        match chance.randrange(3):
            case 0:
                connection.abort()
            case 1:
                await connection.send(b"unheard")


async def victim(port: int, chance: random.Random) -> None:
    """Talk through whatever the proxy does."""
    with contextlib.suppress(ConnectionClosed, OSError):
        async with xmlsocket.connect("127.0.0.1", port, parse=bytes) as connection:
            async with asyncio.timeout(chance.uniform(0, 0.5)):
                for document in documents(chance):
                    await connection.send(document)
                    await connection.recv()


async def raw(port: int, data: bytes, seconds: float, *, read: bool) -> None:
    """Send bytes, stay, read or not, and leave with unread input if there is any."""
    loop = asyncio.get_running_loop()
    with socket.socket() as sock:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(seconds):
                await loop.sock_connect(sock, ("127.0.0.1", port))
                await loop.sock_sendall(sock, data)
                while read and await loop.sock_recv(sock, 2**16):
                    pass
                await asyncio.sleep(seconds)


async def babbler(port: int, chance: random.Random) -> None:
    """Send what is no document, with names that nobody has used before."""
    names = [b"<n%d>" % chance.getrandbits(64) for _ in range(5)]
    bad = chance.choices(BAD, k=10) + names
    chance.shuffle(bad)
    await raw(port, b"\0".join(bad) + b"\0", 0.1, read=True)


async def deaf(port: int, chance: random.Random) -> None:
    """Have a lot sent and read nothing of it."""
    await raw(port, b"<m>%s</m>\0" % (b"." * 2**14) * 300, chance.uniform(0.1, 0.8), read=False)


async def dawdler(port: int, chance: random.Random) -> None:
    """Begin a frame and never end it."""
    await raw(port, b"<begun", chance.choice([0.01, 0.6]), read=True)


KINDS: dict[str, Callable[[int, random.Random], Awaitable[None]]] = {
    "talkers": talker,
    "babblers": babbler,
    "deaf": deaf,
    "dawdlers": dawdler,
    "victims": victim,
}


def misbehave(proxy: ChaosProxy, chance: random.Random) -> None:
    """Have a proxy do something else from now on."""
    proxy.to_server, proxy.to_client = faults_of(chance), faults_of(chance)
