"""
Runs the code of a page of the documentation, in the order in which it stands.

Blocks of Python share one namespace and may await; files that a page shows are
written, and commands are at least read by what would run them. What cannot run
says so in the page. docs/README.md has the rules, this module keeps them.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import dataclasses
import importlib.util
import inspect
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lxml import etree

from tests.support.scripted import closed_port

from .commands import ROOT, PageError, check_command

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["DOCS", "Block", "blocks", "pages", "run"]

DOCS = ROOT / "docs"
PATIENCE = 20.0

# Languages in which there is nothing to run.
PASSIVE = {"text", "html", "{toctree}", "{image}", "{note}"}
READERS: dict[str, Callable[[str], object]] = {
    "json": json.loads,
    "toml": tomllib.loads,
    "xml": lambda text: etree.fromstring(text.encode()),
}
# Ports that pages write; here others stand for them, which are free.
PORTS = ("9339", "9340", "8080", "8430")

_FENCE = re.compile(r"(?P<indent> *)(?P<ticks>`{3,})(?P<language>\S*)\s*")
_MARK = re.compile(r"<!-- test: (?P<what>[a-z]+)\s*(?P<rest>.*?)\s*-->", re.DOTALL)
_PROMPT = "$ "


@dataclasses.dataclass(frozen=True)
class Block:
    """
    A block of code, or a hidden one.

    Attributes:
        line: Where it starts, counted from 1.
        language: What stands behind the fence.
        text: Its lines.
        what: What its mark says, such as ``run``; empty without a mark.
        rest: What the mark says further, such as a reason.

    """

    line: int
    language: str
    text: str
    what: str
    rest: str


def pages() -> list[Path]:
    """Return all pages in Markdown that are written by hand."""
    built = DOCS / "_build"
    return sorted(page for page in DOCS.rglob("*.md") if not page.is_relative_to(built))


def blocks(text: str) -> list[Block]:
    """Return the blocks of a page and its hidden ones, in order."""
    found: list[Block] = []
    lines = text.splitlines(keepends=True)
    mark = ("", "")
    at = 0
    while at < len(lines):
        line = lines[at]
        if line.startswith("<!-- test:"):
            start = at
            while "-->" not in lines[at]:
                at += 1
            match = _MARK.fullmatch("".join(lines[start : at + 1]).strip())
            if match is None:
                raise PageError(f"line {start + 1}: no mark that is known")
            if match["what"] == "hidden":
                found.append(Block(start + 1, "python", match["rest"], "hidden", ""))
            else:
                mark = (match["what"], match["rest"])
        elif fence := _FENCE.fullmatch(line.rstrip("\n")):
            start = at
            body = []
            while (at := at + 1) < len(lines) and lines[at].strip() != fence["ticks"]:
                body.append(lines[at].removeprefix(fence["indent"]))
            found.append(Block(start + 1, fence["language"], "".join(body), *mark))
            mark = ("", "")
        elif line.strip():
            mark = ("", "")
        at += 1
    return found


class _Loop:
    """An event loop in a thread, made when a page awaits."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def run(self, coroutine: Any) -> None:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=self._loop.run_forever)
            self._thread.start()
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(PATIENCE)

    async def _stop(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def close(self) -> None:
        if self._loop is None or self._thread is None:
            return
        self.run(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class _Run:
    """One page on its way."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ports = {name: str(closed_port()) for name in PORTS}
        self.namespace: dict[str, Any] = {"__name__": "__page__"}
        self.files: set[str] = set()
        self.output = ""
        self.loop = _Loop()
        self.processes: list[subprocess.Popen[bytes]] = []

    def here(self, text: str) -> str:
        """Return a text with the ports of this run."""
        return re.sub(rf"\b({'|'.join(PORTS)})\b", lambda m: self.ports[m[0]], text)

    def block(self, block: Block) -> None:
        """Do what a block and its mark ask for."""
        text = self.here(block.text)
        if not _runs(block):
            return
        if block.what == "file":
            if block.language == "python":
                ast.parse(text)
            (self.folder / block.rest).write_text(text, encoding="utf-8")
            self.files.add(block.rest)
        elif block.what == "output":
            _compare(text, self.output)
        elif block.language == "python":
            self.python(text, block.line)
        elif block.language == "console":
            self.console(text, block)
        elif block.language in READERS:
            READERS[block.language](text)
        elif block.language not in PASSIVE:
            raise PageError(f"nobody runs {block.language or 'a block without a language'!r}")

    def python(self, text: str, line: int) -> None:
        """Run Python, on the loop if it awaits."""
        code = compile(
            "\n" * line + text,
            "page",
            "exec",
            flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT,
            dont_inherit=True,
        )
        printed = _Printed()
        self.namespace["print"] = printed
        if code.co_flags & inspect.CO_COROUTINE:
            self.loop.run(eval(code, self.namespace))
        else:
            exec(code, self.namespace)
        self.output = "".join(printed.lines)

    def console(self, text: str, block: Block) -> None:
        """Read commands, and run them where the page asks for it."""
        for command, expected in _commands(text):
            check_command(command, self.files)
            if block.what == "run":
                done = self.start(command, stdout=subprocess.PIPE).communicate(timeout=PATIENCE)
                _compare(expected, done[0].decode())
            elif block.what == "background":
                self.start(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                _wait_for_port(int(self.here(block.rest)))

    def start(self, command: str, **options: Any) -> subprocess.Popen[bytes]:
        """Start a command in the page's folder, with this Python's programs first."""
        programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        process = subprocess.Popen(
            ["bash", "-c", command],
            cwd=self.folder,
            env=os.environ | {"PATH": programs, "PYTHONUNBUFFERED": "1"},
            start_new_session=True,
            **options,
        )
        self.processes.append(process)
        return process

    def close(self) -> None:
        """Stop what the page has started."""
        for process in self.processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            process.communicate(timeout=PATIENCE)
        self.loop.close()


def _runs(block: Block) -> bool:
    """Tell whether a block is to be run, or its mark says that it is not."""
    if block.what == "skip" and not block.rest:
        raise PageError("a block that is not run says why")
    if block.what == "needs":
        ast.parse(block.text)
        return importlib.util.find_spec(block.rest) is not None
    return block.what != "skip"


class _Printed:
    """Stands for `print`, because blocks on the loop run in another thread."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(self, *values: object) -> None:
        self.lines.append(" ".join(map(str, values)) + "\n")


def _commands(text: str) -> Iterator[tuple[str, str]]:
    """Yield each command of a console with the output that follows it."""
    pieces = re.split(r"^\$ ", text.replace("\\\n", " "), flags=re.MULTILINE)
    if pieces[0].strip():
        raise PageError(f"a console starts with a command, not with {pieces[0][:20]!r}")
    for piece in pieces[1:]:
        command, _, output = piece.partition("\n")
        yield command.split("    #")[0].strip(), output


def _compare(expected: str, actual: str) -> None:
    """Compare outputs; … in the page stands for anything."""
    pattern = ".*".join(re.escape(part) for part in expected.strip().split("…"))
    if expected.strip() and not re.fullmatch(pattern, actual.strip(), re.DOTALL):
        raise PageError(f"the page shows\n{expected}\nbut it was\n{actual}")


def _wait_for_port(port: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=PATIENCE).close()
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise PageError(f"nobody listens on port {port}") from None
            time.sleep(0.02)
        else:
            return


def run(text: str, folder: Path) -> int:
    """
    Run a page.

    Args:
        text: The page.
        folder: An empty folder for the files that it shows.

    Returns:
        How many blocks there were.

    Raises:
        PageError: If a block says what is not so; other errors are those of the block.

    """
    page = _Run(folder)
    found = blocks(text)
    try:
        with contextlib.chdir(folder):
            for block in found:
                try:
                    page.block(block)
                except Exception as exc:
                    exc.add_note(f"in the block at line {block.line}")
                    raise
    finally:
        page.close()
    return len(found)
