"""What the tests of this folder run: cargo, compilers, valgrind, servers."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import shutil
import signal
import subprocess
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "CAPI",
    "CODEC",
    "PATIENCE",
    "ROOT",
    "TARGET",
    "Library",
    "do_without",
    "need",
    "run",
    "serving",
]

ROOT = Path(__file__).resolve().parent.parent.parent
CODEC = ROOT / "rust" / "codec"
CAPI = ROOT / "rust" / "capi"
# Not the target folder of the other targets of make: cargo would wait for them.
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target" / "vendor"))

# Seconds that a compiler may take on a busy machine.
PATIENCE = 500.0

WARNINGS = ("-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-pedantic", "-Werror")
VALGRIND = ("valgrind", "-q", "--error-exitcode=99", "--leak-check=full", "--show-leak-kinds=all")


def need(*tools: str) -> None:
    """Skip the test, or fail it, if a program is missing; skip it without the crates' source."""
    if not (ROOT / "rust").is_dir():
        pytest.skip("the source of the crates is not here")
    missing = " and ".join(tool for tool in tools if shutil.which(tool) is None)
    if missing:
        do_without(missing)


def do_without(missing: str) -> NoReturn:
    """Skip the test, or fail it, because something is missing."""
    if os.environ.get("XMLSOCKET_VENDOR") == "required":
        pytest.fail(f"XMLSOCKET_VENDOR=required, but {missing} not found")
    pytest.skip(f"{missing} not found")


def run(*command: str | Path, status: int = 0, **options: Any) -> str:
    """
    Run a command and compare how it ends.

    Args:
        command: The program and its arguments.
        status: With which it is to end.
        options: Those of `subprocess.run`; ``env`` is added to the environment.

    Returns:
        What it prints; if it is to fail, what it says on standard error.

    """
    environ = os.environ | {"CARGO_TARGET_DIR": str(TARGET)} | options.pop("env", {})
    words = [*map(str, command)]
    settings = {"cwd": ROOT, "timeout": PATIENCE, **options}
    done: subprocess.CompletedProcess[str] = subprocess.run(
        words, **settings, env=environ, check=False, text=True, capture_output=True
    )
    assert status == done.returncode, f"{' '.join(words)}\n{done.stdout}\n{done.stderr}"
    return done.stderr if status else done.stdout


@dataclasses.dataclass(frozen=True)
class Library:
    """
    The C library, installed.

    Attributes:
        prefix: Below which it is.
        work: A folder for programs.

    """

    prefix: Path
    work: Path

    def flags(self, *, static: bool = False) -> list[str]:
        """Return what pkg-config tells a compiler."""
        options = ["--cflags", "--libs", *(["--static"] if static else [])]
        environ = {"PKG_CONFIG_PATH": str(self.prefix / "lib" / "pkgconfig")}
        flags = run("pkg-config", *options, "xmlsocket", env=environ).split()
        if static:
            archive = str(self.prefix / "lib" / "libxmlsocket.a")
            return [archive if flag == "-lxmlsocket" else flag for flag in flags]
        return [*flags, f"-Wl,-rpath,{self.prefix / 'lib'}"]

    def compile(self, source: Path, name: str, *options: str, static: bool = False) -> Path:
        """Compile a program, warnings being errors."""
        compiler = ["cc", "-std=c11"] if source.suffix == ".c" else ["c++", "-std=c++17"]
        program = self.work / name
        flags = self.flags(static=static)
        run(*compiler, *WARNINGS, "-g", *options, source, *flags, "-o", program)
        return program


@contextlib.contextmanager
def serving(*command: str | Path, status: int | None) -> Iterator[tuple[str, int]]:
    """
    Run a server that tells its address on standard error, and stop it.

    Args:
        command: The server and its arguments.
        status: With which it ends when it is asked to; ``None`` for a signal.

    Yields:
        Its address.

    """
    process = subprocess.Popen([*map(str, command)], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    said: list[str] = []
    try:
        line = process.stderr.readline()
        found = re.fullmatch(r"listening on ([\d.]+):(\d+)\n", line)
        assert found is not None, line + process.stderr.read()
        # What it says of its clients must not fill the pipe.
        reader = threading.Thread(target=lambda: said.extend(process.stderr or ()))
        reader.start()
        yield found[1], int(found[2])
    finally:
        process.send_signal(signal.SIGTERM)
        code = process.wait(PATIENCE)
    reader.join()
    process.stderr.close()
    assert (-signal.SIGTERM if status is None else status) == code, "".join(said)
