"""Servers and load generator as processes: starting, pinning, watching, ending."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import resource
import select
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from .definitions import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from .definitions import Peer

__all__ = [
    "CORES",
    "GENERATOR",
    "GeneratorError",
    "Server",
    "ServerPool",
    "holding",
    "load",
    "on_server_core",
    "resident",
]

GENERATOR = ROOT / "target" / "release" / "xs-load"

START_TIMEOUT = 30.0
"""Seconds for a server to say that it listens; a JVM on a busy machine takes its time."""


class GeneratorError(Exception):
    """A run of the load generator failed: a reply was wrong or missing, or the server died."""


def _cores() -> tuple[int, int] | None:
    """Return one core for the server and one for the generator, if there are two to choose from."""
    if not hasattr(os, "sched_setaffinity"):
        return None
    allowed = sorted(os.sched_getaffinity(0))
    return (allowed[0], allowed[1]) if len(allowed) > 1 else None


CORES = _cores()
"""The cores of server and generator; ``None`` when processes cannot be pinned."""


def _prepare(core: int | None) -> None:
    """Set up a child process before its program starts: its core, as many files as allowed."""
    if core is not None:
        os.sched_setaffinity(0, {core})
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def on_server_core() -> Callable[[], None]:
    """Return what a child process calls to run where servers run."""
    return functools.partial(_prepare, CORES[0] if CORES else None)


class Server:
    """
    A running server of one peer in one mode.

    A context manager: the process ends with the block, whatever happens in it.
    """

    def __init__(self, peer: Peer, mode: str, max_size: int) -> None:
        self.peer = peer
        command = [*peer.command, "--mode", peer.modes[mode], "--max-size", str(max_size)]
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed by __exit__
        self._process = subprocess.Popen(
            command,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            preexec_fn=on_server_core(),  # noqa: PLW1509 - this program has one thread
        )

    def __enter__(self) -> Self:
        try:
            self.target = self._address()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._errors.close()

    def _address(self) -> str:
        """Wait for the line that says where it listens."""
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], START_TIMEOUT)
        line = self._process.stdout.readline().decode().strip() if ready else ""
        if not line.startswith("listening on "):
            raise GeneratorError(f"{self.peer.name} does not start: {line} {self.errors()}")
        return line.removeprefix("listening on ")

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    def errors(self) -> str:
        """Return the end of what it wrote to standard error."""
        self._errors.seek(0)
        return self._errors.read().decode(errors="replace")[-600:].strip()


class ServerPool:
    """
    Servers that stay up from one definition to the next.

    A context manager: all end with the block. A just-in-time compiler keeps what
    it has learned, and the others cost nothing while they wait.
    """

    def __init__(self) -> None:
        self._servers: dict[tuple[str, str, int], Server] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        while self._servers:
            self._servers.popitem()[1].__exit__()

    def get(self, peer: Peer, mode: str, max_size: int) -> tuple[Server, bool]:
        """
        Return the server, and whether it was started for this call.

        Raises:
            GeneratorError: If it does not start.

        """
        key = peer.name, mode, max_size
        if key in self._servers:
            return self._servers[key], False
        self._servers[key] = Server(peer, mode, max_size).__enter__()
        return self._servers[key], True

    def drop(self, server: Server) -> None:
        """End a server: a run against it failed, and the next must not suffer from that."""
        for key, other in tuple(self._servers.items()):
            if other is server:
                del self._servers[key]
                server.__exit__()


def _generator(workload: str, target: str, options: Sequence[str]) -> subprocess.Popen[str]:
    prepare = functools.partial(_prepare, CORES[1] if CORES else None)
    return subprocess.Popen(
        [GENERATOR, workload, "--target", target, *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=prepare,  # noqa: PLW1509 - this program has one thread
    )


def load(workload: str, server: Server, options: Sequence[str], timeout: float) -> dict[str, Any]:
    """
    Run the load generator once.

    Args:
        workload: Its word for what to do.
        server: The server under load.
        options: Further arguments.
        timeout: Seconds after which the run has failed.

    Returns:
        The figures that it prints.

    Raises:
        GeneratorError: If the run is worth nothing.

    """
    options = ["--server-pid", str(server.pid), *options]
    with _generator(workload, server.target, options) as process:
        try:
            out, errors = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired as exc:
            process.kill()
            raise GeneratorError(f"no end after {timeout:g} s") from exc
    if process.returncode != 0:
        raise GeneratorError(errors.strip())
    figures: dict[str, Any] = json.loads(out)
    return figures


@contextlib.contextmanager
def holding(target: str, options: Sequence[str]) -> Iterator[Iterator[int]]:
    """
    Open connections in steps and hold them.

    Yields:
        The number of open connections after each step; asking for the next
        number starts the next step.

    Raises:
        GeneratorError: If connections cannot be opened.

    """
    with _generator("idle", target, options) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            yield _steps(process)
        finally:
            process.kill()


def _steps(process: subprocess.Popen[str]) -> Iterator[int]:
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    while line := process.stdout.readline():
        yield json.loads(line)["open"]
        with contextlib.suppress(BrokenPipeError):  # it has ended after its last step
            process.stdin.write("\n")
            process.stdin.flush()
    if process.wait() != 0:
        raise GeneratorError(process.stderr.read().strip())


def resident(pid: int) -> int:
    """
    Return the resident memory of a process in bytes, once it has come to rest.

    A server is still busy with a step when the generator is done with it; what
    it holds then is not what an idle connection costs.

    Raises:
        GeneratorError: On systems without ``/proc``.

    """
    path = Path(f"/proc/{pid}/status")
    deadline = time.monotonic() + 5
    before = -1
    while time.monotonic() < deadline:
        try:
            text = path.read_text(encoding="utf-8")
        except OSError as exc:
            raise GeneratorError(f"memory of process {pid}: {exc}") from exc
        now = 1024 * int(text.partition("VmRSS:")[2].split()[0])
        if now == before:
            break
        before = now
        time.sleep(0.2)
    return before
