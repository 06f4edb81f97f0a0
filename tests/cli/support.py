"""Runs the command as its users do: as a process, over real sockets."""

from __future__ import annotations

import contextlib
import io
import os
import re
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["COMMAND", "PATIENCE", "STEERING", "Serving", "Stdout", "environment", "run", "serving"]

# Not -X dev: its notes about slow callbacks would stand among the lines compared.
COMMAND = [sys.executable, "-W", "error", "-m", "xmlsocket"]

STEERING = re.compile(r"\x1b\[[?0-9;]*[A-Za-z]|\x1b[=>]")
"""What prompt_toolkit and rich write to steer the terminal and to colour."""

PATIENCE = 40.0
"""Seconds after which a process counts as hanging."""


def environment(**changes: str) -> dict[str, str]:
    """Return this process's environment without what changes how a terminal is treated."""
    unwanted = {"NO_COLOR", "FORCE_COLOR", "CLICOLOR_FORCE", "COLUMNS", "LINES", "TTY_COMPATIBLE"}
    kept = {name: value for name, value in os.environ.items() if name not in unwanted}
    return kept | {"PYTHONIOENCODING": "utf-8", "LC_ALL": "C.UTF-8"} | changes


def run(
    *arguments: str | Path | int, given: bytes = b"", **changes: str
) -> subprocess.CompletedProcess[bytes]:
    """Run the command to its end, ``given`` on its input, ``changes`` made to the environment."""
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        input=given,
        capture_output=True,
        timeout=PATIENCE,
        env=environment(**changes),
        check=False,
    )


class Serving:
    """A running ``xmlsocket serve``."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        assert process.stdout is not None
        self.first_line = process.stdout.readline().decode().rstrip("\n")
        _, _, port = self.first_line.rpartition(":")
        self.port = int(port)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, list[str], bytes]:
        """Send a signal and return the status, the last lines, and what went to stderr."""
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, out.decode().splitlines(), err


@contextlib.contextmanager
def serving(
    *arguments: str | Path | int, command: str = "serve", prelude: str | None = None
) -> Iterator[Serving]:
    """Run a server, after the statements of ``prelude``, and end it, whatever happens."""
    program = COMMAND
    if prelude is not None:
        code = f"{prelude}; from xmlsocket.__main__ import main; main()"
        program = [sys.executable, "-W", "error", "-c", code]
    process = subprocess.Popen(
        [*program, command, *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    )
    with process:
        try:
            yield Serving(process)
        finally:
            process.kill()


class Stdout(io.TextIOWrapper):
    """Standard output that is a terminal or is not, and what was written to it."""

    def __init__(self, *, tty: bool) -> None:
        self.written = io.BytesIO()
        super().__init__(self.written, "utf-8", newline="", write_through=True)
        self._tty = tty

    def isatty(self) -> bool:
        """Claim to be a terminal, or not to be one."""
        return self._tty

    @property
    def text(self) -> str:
        """All that was written, as text."""
        return self.written.getvalue().decode()
