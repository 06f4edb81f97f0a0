"""Supervisors with workers as real processes, and clients that count what goes wrong."""

from __future__ import annotations

import collections
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = [
    "PATIENCE",
    "Callers",
    "Supervised",
    "ask",
    "call",
    "connect",
    "dial",
    "hear",
    "is_gone",
    "pid_of",
    "supervised",
    "until",
]

PATIENCE = 40.0
"""Seconds after which something counts as hanging."""


def connect(port: int) -> socket.socket:
    """Connect, and leave open whether a worker knows of it."""
    return socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)


def hear(peer: socket.socket) -> bytes:
    """Return the next document; empty if the connection ends instead."""
    data = b""
    while not data.endswith(b"\0"):
        chunk = peer.recv(65536)
        if not chunk:
            return b""
        data += chunk
    return data[:-1]


def dial(port: int) -> socket.socket:
    """Connect, and wait until a worker serves the connection."""
    peer = connect(port)
    assert hear(peer) == b"<hello/>"
    return peer


def ask(peer: socket.socket, document: bytes = b"<pid/>") -> bytes:
    """Send a document and return the answer; empty if the connection ends instead."""
    peer.sendall(document + b"\0")
    return hear(peer)


def pid_of(port: int) -> int:
    """Return the process that serves a new connection."""
    with dial(port) as peer:
        return int(ask(peer))


def is_gone(pid: int) -> bool:
    """Say whether a process has ended, waited for by its parent or not."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:  # noqa: PTH123
            return file.read().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def until(condition: Callable[[], Any]) -> Any:
    """Wait for what processes do, and return what the condition found."""
    deadline = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < deadline, "did not happen"
        time.sleep(0.02)
    return found


class Supervised:
    """A running supervisor."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.errors: list[str] = []
        self._reader = threading.Thread(target=self._read_errors)
        self._reader.start()
        assert process.stdout is not None
        lines = iter(process.stdout.readline, "")
        self.first_line = next((line for line in lines if line.startswith("ready")), "")

    @property
    def port(self) -> int:
        """The port, which all sockets share."""
        (port,) = set(self.first_line.split()[1:])
        return int(port)

    def pids(self, count: int) -> set[int]:
        """Return the workers' processes: connects until that many have answered."""
        found: set[int] = set()

        def enough() -> bool:
            found.add(pid_of(self.port))
            return len(found) >= count

        until(enough)
        return found

    def observed(self, condition: Callable[[Any], Any]) -> Any:
        """Return the first figures told that fulfil a condition."""
        assert self.process.stdout is not None
        while True:
            line = self.process.stdout.readline()
            assert line, "the supervisor ended"
            word, _, rest = line.partition(" ")
            if word == "stats" and condition(found := json.loads(rest)):
                return found

    def end(self, number: signal.Signals | None = signal.SIGTERM) -> tuple[int, str]:
        """Send a signal and return the status and the last line."""
        if number is not None:
            self.process.send_signal(number)
        assert self.process.stdout is not None
        lines = self.process.stdout.read().splitlines()
        status = self.process.wait(PATIENCE)
        self.join()
        return status, lines[-1] if lines else ""

    def abort(self) -> None:
        """Cut all connections and end, in a way in which coverage is still noted, if that goes."""
        for _ in range(2):
            self.process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(1)

    def join(self) -> None:
        """Wait until all that was written on standard error has been read."""
        self._reader.join()

    def _read_errors(self) -> None:
        assert self.process.stderr is not None
        self.errors.extend(line.rstrip("\n") for line in self.process.stderr)


@contextlib.contextmanager
def supervised(name: str, workers: int, *options: str) -> Iterator[Supervised]:
    """Run a supervisor in a session of its own, and end all its processes at the end."""
    command = ["-W", "error", "-m", "tests.workers.app", name, str(workers), *options]
    with subprocess.Popen(
        [sys.executable, *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        server = Supervised(process)
        try:
            yield server
        finally:
            server.abort()
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            server.join()


class Callers:
    """
    Connects again and again while workers come and go, and counts how that ends.

    Attributes:
        counts: ``refused`` connects; connections ``reset`` or ended before a worker
            greeted them; ``lost`` ones, whose worker then ended before it answered;
            ``answered`` ones.

    """

    def __init__(self, port: int, threads: int = 4) -> None:
        self.counts: collections.Counter[str] = collections.Counter()
        self._port = port
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._call) for _ in range(threads)]

    def _call(self) -> None:
        while not self._over.is_set():
            outcome = call(self._port)
            with self._lock:
                self.counts[outcome] += 1

    def more(self, count: int) -> None:
        """Wait until that many more connections were answered."""
        goal = self.counts["answered"] + count
        until(lambda: self.counts["answered"] >= goal)

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()


def call(port: int) -> str:
    """Connect, ask, and return how it went, in a word of `Callers.counts`."""
    try:
        peer = connect(port)
    except ConnectionError:
        return "refused"
    with peer:
        try:
            if hear(peer) != b"<hello/>":
                return "reset"
        except ConnectionError:
            return "reset"
        with contextlib.suppress(ConnectionError):
            if ask(peer, b"<a/>") == b"<a/>":
                return "answered"
    return "lost"
