"""Attacks of many connections: that stay, that stop, that are more than there are descriptors."""

from __future__ import annotations

import contextlib
import functools
import resource
import selectors
import socket
import ssl
import tempfile
import time
from typing import TYPE_CHECKING, Any

from .model import Failed, Found
from .probe import Probe
from .victims import Victim
from .wires import Client

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .model import Scale
    from .victims import Contender
    from .wires import Wire

__all__ = ["broadcast", "idle", "partials", "stalls", "starve"]

PAYLOAD = b"<all>".ljust(65_000, b"x")
WINDOW = 16 * len(PAYLOAD)
PARTIAL = 900_000


def allow_files(count: int) -> None:
    """Allow this process so many descriptors and some more, as far as the system lets it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(count + 200, hard)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


# Broadcast


class Readers:
    """
    Clients to whom everything is sent: they count it, and none looks at it.

    Args:
        clients: Of whom the first sends what all get.

    """

    def __init__(self, clients: list[Client]) -> None:
        self.received = dict.fromkeys(clients, 0)
        self._sender = clients[0]
        self._lost: set[Client] = set()
        self._selector = selectors.DefaultSelector()
        self._waste = bytearray(2**22)
        for client in clients:
            client.sock.setblocking(False)
            self._selector.register(client.sock, selectors.EVENT_READ, client)

    def take(self, timeout: float) -> None:
        """Throw away what has come, without so much as a copy."""
        for key, _ in self._selector.select(timeout):
            client: Client = key.data
            count = 0
            with contextlib.suppress(ConnectionError):
                count = client.sock.recv_into(self._waste, 0, socket.MSG_TRUNC)
            if not count:
                self._selector.unregister(client.sock)
                self._lost.add(client)
            self.received[client] += count

    def run(self, count: int, size: int, patience: float) -> None:
        """Send ``count`` frames, which arrive as ``size`` bytes, and wait until all have all."""
        frame = memoryview(self._sender.frame(PAYLOAD))
        sent, at, wanted = 0, 0, count * size
        deadline = time.perf_counter() + patience
        while time.perf_counter() < deadline:
            here = [self.received[client] for client in self.received if client not in self._lost]
            least = min(here, default=wanted)
            if least >= wanted or self._sender in self._lost:
                break
            if sent < count and sent * size - least < WINDOW:
                with contextlib.suppress(BlockingIOError, ConnectionError):
                    at += self._sender.sock.send(frame[at:])
                if at == len(frame):
                    sent, at = sent + 1, 0
            self.take(0 if sent < count else 0.1)
        self._selector.close()


def broadcast(contender: Contender, scale: Scale) -> Found:
    """Send to many readers of whom one has stopped; the others keep in step with the sender."""
    allow_files(scale.readers)
    with contextlib.ExitStack() as stack:
        victim = stack.enter_context(Victim(contender, max_size=2**17))
        clients = [
            stack.enter_context(Client(victim.address, victim.wire)) for _ in range(scale.readers)
        ]
        for client in clients:
            client.ask(b"<join/>")
        stopped = clients.pop()
        probe = stack.enter_context(Probe(victim))
        count = scale.broadcast // len(PAYLOAD)
        size = victim.wire.received(len(PAYLOAD))
        victim.start()
        readers = Readers(clients)
        readers.run(count, size, 4 * scale.patience)
        found = Found(victim.cost() | {"answer": probe.told()["longest"]})
        unserved = sum(received != count * size for received in readers.received.values())
        return Found(
            found.figures | {"unserved": unserved, "cut": is_cut(stopped.sock, count * size)}
        )


def is_cut(sock: socket.socket, size: int) -> bool:
    """Read what waits, and tell whether it ends before so many bytes."""
    sock.settimeout(2)
    total = 0
    try:
        while total < size:
            count = sock.recv_into(bytearray(2**20))
            if not count:
                return True
            total += count
    except TimeoutError:
        return False
    except ConnectionError:
        return True
    return False


# Descriptors


def starve(contender: Contender, scale: Scale) -> Found:
    """Open 500 connections to a server that may have 64 descriptors, hold them, and leave."""
    allow_files(500)
    with (
        Victim(contender, files=64) as victim,
        # Asked twenty times a second only: the figure is what the refused ones cost.
        Probe(victim, interval=0.05) as probe,
    ):
        time.sleep(scale.quiet)
        quiet = probe.told()["longest"]
        victim.start()
        with contextlib.ExitStack() as stack:
            crowd = selectors.DefaultSelector()
            stack.callback(crowd.close)
            for _ in range(500):
                sock = stack.enter_context(socket.socket())
                sock.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    sock.connect(victim.address)
                crowd.register(sock, selectors.EVENT_READ)
            gone = ended(crowd, scale.starve_seconds)
            seen = probe.told()
            found = Found(
                {
                    **victim.cost(),
                    "log": victim.log_size(),
                    "answer": seen["longest"],
                    "quiet": quiet,
                    "turned_away": len(gone),
                }
            )
            if seen["lost"]:
                raise Failed("the client that was there before was cut off")
        recovered = served(victim, scale.patience)
        if recovered is None:
            found.note = f"no new client served within {scale.patience:.0f} s"
        else:
            found.figures["recovered"] = recovered
        return found


def served(victim: Victim, patience: float) -> float | None:
    """Return how many seconds it takes until a new client is served, if it is."""
    start = time.perf_counter()
    while time.perf_counter() < start + patience:
        with (
            contextlib.suppress(OSError),
            Client(victim.address, victim.wire, patience=1) as client,
        ):
            client.ask(b"<ping/>")
            return time.perf_counter() - start
    return None


def ended(
    crowd: selectors.BaseSelector, seconds: float, least: int | None = None
) -> dict[socket.socket, float]:
    """
    Wait for ends of connections.

    Args:
        crowd: The connections, which nobody sends anything.
        seconds: How long.
        least: How many are enough; all the time for ``None``.

    Returns:
        When each ended.

    """
    gone: dict[socket.socket, float] = {}
    deadline = time.perf_counter() + seconds
    while (left := deadline - time.perf_counter()) > 0 and (least is None or len(gone) < least):
        if not crowd.get_map():
            time.sleep(left)
            break
        for key, _ in crowd.select(left):
            sock = key.fileobj
            assert isinstance(sock, socket.socket)
            with contextlib.suppress(ConnectionError):
                if sock.recv(2**16):
                    continue
            crowd.unregister(sock)
            gone[sock] = time.perf_counter()
    return gone


# TLS


@functools.cache
def certificate() -> tuple[bytes, ssl.SSLContext]:
    """Return key and certificate of a server on loopback, and the context of a client."""
    import trustme  # noqa: PLC0415 - nothing else needs it

    authority = trustme.CA()
    issued = authority.issue_cert("localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(context)
    pems = [issued.private_key_pem, *issued.cert_chain_pems]
    return b"".join(pem.bytes() for pem in pems), context


HANDSHAKE = 10.0
"""Seconds that this package gives a handshake."""


def stalls(contender: Contender, scale: Scale) -> Found:
    """Connect to a TLS server and say nothing; meanwhile someone else is served."""
    allow_files(scale.stalls)
    limit = HANDSHAKE if scale.handshake is None else scale.handshake
    pem, context = certificate()
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(tempfile.NamedTemporaryFile(suffix=".pem"))
        file.write(pem)
        file.flush()
        options: dict[str, Any] = {"certificate": file.name}
        if scale.handshake is not None:
            options["open_timeout"] = scale.handshake
        victim = stack.enter_context(Victim(contender, **options))
        with Client(victim.address, victim.wire, context) as client:
            client.ask(b"<ping/>")
        victim.start()
        crowd = selectors.DefaultSelector()
        stack.callback(crowd.close)
        since = {}
        for _ in range(scale.stalls):
            sock = stack.enter_context(socket.create_connection(victim.address, scale.patience))
            since[sock] = time.perf_counter()
            crowd.register(sock, selectors.EVENT_READ)
        asked = time.perf_counter()
        with Client(victim.address, victim.wire, context) as client:
            client.ask(b"<ping/>")
        answer = time.perf_counter() - asked
        gone = ended(crowd, limit + 2, scale.stalls)
        times = [when - since[sock] - limit for sock, when in gone.items()]
        found = Found(victim.cost() | {"answer": answer})
        found.figures["left"] = scale.stalls - sum(late <= 0.5 for late in times)
        if len(times) == scale.stalls:
            found.figures["overtime"] = max(times)
        else:
            found.note = f"{scale.stalls - len(times)} there after {limit + 2:g} s"
        return found


# Connections that hold something


@contextlib.contextmanager
def crowd(victim: Victim, count: int) -> Iterator[Callable[[int], list[Client]]]:
    """Yield a function that opens clients, each of which has had an answer."""
    allow_files(count)
    clients: list[Client] = []
    with contextlib.ExitStack() as stack:

        def grow(count: int) -> list[Client]:
            while len(clients) < count:
                clients.append(stack.enter_context(Client(victim.address, victim.wire)))
                clients[-1].ask(b"<ping/>")
            return clients

        yield grow


def begin(wire: Wire, size: int, of: int) -> bytes:
    """Return the first ``size`` bytes of the payload of a frame, with what stands before."""
    return wire.start(of) + b"a" * size


def partials(contender: Contender, scale: Scale) -> Found:
    """Let many connections send 900 KB of a frame each, and no end."""
    max_size = 2**20 if contender.name in {"streams", "twisted_lines"} else 0
    with (
        Victim(contender, max_size=max_size) as victim,
        Probe(victim) as probe,
        crowd(victim, scale.partials) as grow,
    ):
        clients = grow(scale.partials)
        victim.start()
        sent, closed = press(clients, begin(victim.wire, PARTIAL, 1_000_000), scale.patience)
        found = Found(victim.cost() | {"answer": probe.told()["longest"], "sent": sent})
        found.figures["turned_away"] = closed
        with Client(victim.address, victim.wire) as late:
            asked = time.perf_counter()
            late.ask(b"<ping/>")
            found.figures["recovered"] = time.perf_counter() - asked
        return found


def press(clients: list[Client], data: bytes, patience: float) -> tuple[int, int]:
    """
    Send ``data`` on all connections at once, as far as they take it.

    Ends two seconds after the last byte was taken or the last connection closed: the
    server may let them wait before it decides.

    Returns:
        The bytes that were taken, and how many connections the server closed.

    """
    left: dict[socket.socket, memoryview] = {client.sock: memoryview(data) for client in clients}
    closed = 0
    deadline = time.perf_counter() + patience
    with selectors.DefaultSelector() as selector:
        for sock in left:
            sock.setblocking(False)
            selector.register(sock, selectors.EVENT_READ | selectors.EVENT_WRITE)
        while selector.get_map() and time.perf_counter() < deadline:
            events = selector.select(2)
            if not events:
                break
            for key, mask in events:
                client = key.fileobj
                assert isinstance(client, socket.socket)
                try:
                    if mask & selectors.EVENT_READ and not client.recv(2**16):
                        raise ConnectionResetError
                    if mask & selectors.EVENT_WRITE:
                        left[client] = left[client][client.send(left[client]) :]
                except BlockingIOError:
                    continue
                except ConnectionError:
                    selector.unregister(client)
                    closed += 1
                    continue
                if not left[client] and mask & selectors.EVENT_WRITE:
                    selector.modify(client, selectors.EVENT_READ)
    return sum(len(data) - len(rest) for rest in left.values()), closed


def idle(contender: Contender, scale: Scale) -> Found:
    """Hold connections that have said something and fell silent; then with part of a frame."""
    few = scale.idle // 10
    with (
        Victim(contender, max_size=2**17) as victim,
        crowd(victim, scale.idle) as grow,
    ):
        grow(few)
        before = victim.resident()
        clients = grow(scale.idle)
        silent = victim.resident()
        for client in clients:
            client.sock.sendall(begin(victim.wire, 60_000, 100_000))
        partial = victim.resident()
        return Found(
            {
                "idle": (silent - before) / (scale.idle - few),
                "partial": (partial - silent) / scale.idle,
            }
        )
