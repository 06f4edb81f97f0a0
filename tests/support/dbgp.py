"""Runs the example of a debugger, and types commands."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Debugger", "debugger"]

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "dbgp.py"
PATIENCE = 60.0


class Debugger:
    """
    The example, while it runs.

    Attributes:
        port: Where it listens.

    """

    def __init__(self, process: subprocess.Popen[str], stdin: IO[str], stdout: IO[str]) -> None:
        self._process = process
        self._stdin = stdin
        self._stdout = stdout
        line = stdout.readline()
        assert line.startswith("listening on port "), line
        self.port = int(line.split()[-1])

    def line(self) -> str:
        """Return the next line that it prints; empty at the end."""
        return self._stdout.readline().rstrip("\n")

    def ask(self, command: str, lines: int = 1) -> list[str]:
        """Type a command; return what it prints, which are so many lines."""
        print(command, file=self._stdin, flush=True)
        return [self.line() for _ in range(lines)]

    def leave(self) -> None:
        """End its input."""
        self._stdin.close()

    def end(self) -> str:
        """Wait until it ends; return what it complains of."""
        status = self._process.wait(PATIENCE)
        assert self._process.stderr is not None
        complaint = self._process.stderr.read()
        assert bool(complaint) == (status == 1)
        return complaint.strip()


@contextlib.contextmanager
def debugger(*arguments: str) -> Iterator[Debugger]:
    """Run it on a free port, with an encoding for its second argument perhaps."""
    command = [sys.executable, "-u", "-X", "utf8", "-W", "error", str(EXAMPLE), "0", *arguments]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, stdin=pipe, stdout=pipe, stderr=pipe, encoding="utf-8"
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield Debugger(process, process.stdin, process.stdout)
        finally:
            process.kill()
