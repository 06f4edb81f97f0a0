r"""
A server that plays a script on each connection, with sockets and threads only.

It knows nothing of the package, so it can be wrong in every way a peer can be::

    with scripted([expect(b"<hi/>\0"), send(b"<a", b"/>\0"), reset()]) as server:
        ...  # connect to 127.0.0.1, server.port
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterable, Iterator

__all__ = [
    "Scripted",
    "attempt",
    "closed_port",
    "do",
    "expect",
    "expect_end",
    "half_close",
    "reset",
    "scripted",
    "send",
    "silent_port",
    "wait_for",
]

Step: TypeAlias = "Callable[[socket.socket], object]"

PATIENCE = 40.0
"""Seconds after which a step fails that waits for the other side."""


def expect(data: bytes) -> Step:
    """Read exactly ``data``."""

    def step(peer: socket.socket) -> None:
        at = 0
        while at < len(data):
            chunk = peer.recv(min(len(data) - at, 2**16))
            due = data[at : at + len(chunk)]
            assert chunk, f"stream ended at {at}, expected {data[at : at + 80]!r}"
            assert due == chunk, f"received {chunk[:80]!r} at {at}, expected {due[:80]!r}"
            at += len(chunk)

    return step


def expect_end() -> Step:
    """Read the end of the other side's stream, with nothing before it."""

    def step(peer: socket.socket) -> None:
        data = peer.recv(2**16)
        assert data == b"", f"received {data[:80]!r}, expected the end of the stream"

    return step


def send(*segments: bytes) -> Step:
    """Send each segment with a write of its own."""

    def step(peer: socket.socket) -> None:
        for segment in segments:
            peer.sendall(segment)

    return step


def attempt(step: Step) -> Step:
    """Take ``step`` where the other side may have closed already, so that it may fail."""

    def attempted(peer: socket.socket) -> None:
        with contextlib.suppress(OSError):
            step(peer)

    return attempted


def half_close() -> Step:
    """End this side's stream and go on reading."""
    return lambda peer: peer.shutdown(socket.SHUT_WR)


def reset() -> Step:
    """Close with a reset instead of an end of the stream."""

    def step(peer: socket.socket) -> None:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.close()

    return step


def wait_for(event: threading.Event) -> Step:
    """Go on when the test sets ``event``."""

    def step(_: socket.socket) -> None:
        assert event.wait(PATIENCE), "the test never set the event"

    return step


def do(action: Callable[[], object]) -> Step:
    """Call ``action``, such as the ``set`` of an event."""
    return lambda _: action()


class Scripted:
    """The server; a script's last step is followed by closing the connection."""

    def __init__(
        self, scripts: Iterable[Iterable[Step]], *, ssl: ssl.SSLContext | None = None
    ) -> None:
        self._scripts = [list(script) for script in scripts]
        self._ssl = ssl
        self._errors: list[BaseException] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(PATIENCE)
        # What was sent is soon more than the system holds for this side.
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**16)
        self.port: int = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    def start(self) -> None:
        """Start to accept connections, one for each script."""
        self._threads[0].start()

    def finish(self) -> None:
        """Wait until all scripts are played; raise the first error among them."""
        for thread in self._threads:  # grows while the first one accepts
            thread.join()
        if self._errors:
            raise self._errors[0]

    def _accept(self) -> None:
        with self._listener:
            for script in self._scripts:
                try:
                    peer, _ = self._listener.accept()
                except OSError as exc:
                    self._errors.append(exc)
                    return
                thread = threading.Thread(target=self._play, args=(peer, script), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _play(self, peer: socket.socket, script: list[Step]) -> None:
        peer.settimeout(PATIENCE)
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            if self._ssl is not None:
                peer = self._ssl.wrap_socket(peer, server_side=True)
            with peer:
                for step in script:
                    step(peer)
        except BaseException as exc:  # noqa: BLE001 - raised again by finish()
            peer.close()
            self._errors.append(exc)


@contextlib.contextmanager
def scripted(*scripts: Iterable[Step], ssl: ssl.SSLContext | None = None) -> Iterator[Scripted]:
    """Play the scripts on the connections that come, in order; all must be played to the end."""
    server = Scripted(scripts, ssl=ssl)
    server.start()
    yield server
    server.finish()


def closed_port() -> int:
    """Return a port of 127.0.0.1 on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


@contextlib.contextmanager
def silent_port() -> Iterator[int]:
    """Give a port of 127.0.0.1 that answers no attempt to connect, as behind a firewall."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, contextlib.ExitStack() as stack:
        # Linux answers no SYN while the queue is full.
        for _ in range(4):
            sock = stack.enter_context(socket.socket())
            sock.setblocking(False)
            sock.connect_ex(full.getsockname())
        yield full.getsockname()[1]
