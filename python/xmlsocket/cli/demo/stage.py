"""Brings the server and the five clients of the demo together."""

from __future__ import annotations

import asyncio
import concurrent.futures
import dataclasses
import multiprocessing
import time
from typing import TYPE_CHECKING, Any, Protocol

from ...exceptions import safe_text
from .clients import asyncio_client, dictionary_client, sync_client
from .raw import raw_client
from .script import Actor
from .verdict import Tally, judge

if TYPE_CHECKING:
    from collections.abc import Callable

    from ... import Connection, Server
    from ..serve import Chat
    from .script import Script

__all__ = ["Audience", "Outcome", "perform"]

PATIENCE = 30.0
"""Seconds without any progress after which the performance is broken off."""

# Bounds what the last poll adds to the seconds reported.
_POLL = 0.005


class Audience(Protocol):
    """Who watches the performance."""

    def watch(self, document: bytes) -> None:
        """See a document that the first client says or hears."""

    def progress(self, relayed: int) -> None:
        """See how many documents the server has relayed."""


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """
    How the performance went.

    Attributes:
        tallies: What everyone heard, compared with what he should have.
        failures: What else went wrong, in words.
        relayed: Documents that the server took in and passed on.
        seconds: From the signal until every client had read the last document
            and the end of its stream; ``None`` if it did not come to that.

    """

    tallies: list[Tally]
    failures: list[str]
    relayed: int
    seconds: float | None

    @property
    def errors(self) -> int:
        """All errors: those of the tallies and the failures."""
        return len(self.failures) + sum(tally.errors for tally in self.tallies)


async def perform(server: Server[bytes], chat: Chat, script: Script, audience: Audience) -> Outcome:
    """
    Let five clients play the script over real sockets, and judge what they heard.

    Closes the clients' connections, and the server too if the performance had
    to be broken off. Connections of browsers may listen.

    Args:
        server: Listens on loopback, with ``chat`` as its handler.
        chat: Relays what the clients say.
        script: Who says what.
        audience: Who watches.

    """
    # spawn: a process that shares nothing with this one, on every system.
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, context) as processes:
        return await _Performance(server, chat, script, audience).run(processes)


class _Performance:
    """One run of the script."""

    def __init__(
        self, server: Server[bytes], chat: Chat, script: Script, audience: Audience
    ) -> None:
        self._server = server
        self._chat = chat
        self._script = script
        self._audience = audience
        self._actors = {part.name: Actor(part) for part in script.parts}
        self._actors["ada"] = Actor(script.parts[0], self._watch)
        self._signal_at = 0.0
        self._failures: list[str] = []

    def _watch(self, document: bytes) -> None:
        if document == self._script.signal:
            self._signal_at = time.perf_counter()
        self._audience.watch(document)

    async def run(self, processes: concurrent.futures.Executor) -> Outcome:
        """Play from the first connection to the last end of a stream."""
        start = asyncio.Event()
        clients = self._start(processes, start)
        complete = False
        try:
            if await self._reach(len(clients), self._connected, clients, "clients connected"):
                start.set()
                documents = self._script.documents
                complete = await self._reach(documents, self._relayed, clients, "documents relayed")
        finally:
            await self._end(and_server=not complete)
            start.set()
            await asyncio.wait(clients.values())
        seconds = None
        if complete:
            seconds = time.perf_counter() - self._signal_at
            # When broken off, the errors that come now only follow from that.
            self._note_errors(clients)
        tallies = judge(self._script, self._heard(clients))
        return Outcome(tallies, self._failures, self._chat.relayed, seconds)

    def _start(
        self, processes: concurrent.futures.Executor, start: asyncio.Event
    ) -> dict[str, asyncio.Future[Any]]:
        """Start everyone; ``start`` lets the first one begin."""
        host, port, *_ = self._server.sockets[0].getsockname()
        actors = self._actors
        ben = next(part for part in self._script.parts if part.name == "ben")
        loop = asyncio.get_running_loop()
        return {
            "ada": asyncio.ensure_future(asyncio_client(host, port, actors["ada"], start)),
            "ben": loop.run_in_executor(processes, sync_client, host, port, ben),
            "flash": loop.run_in_executor(None, dictionary_client, host, port, actors["flash"]),
            "rita": loop.run_in_executor(None, raw_client, host, port, actors["rita"]),
            "juke": asyncio.ensure_future(asyncio_client(host, port, actors["juke"])),
        }

    def _ours(self) -> list[Connection[bytes]]:
        """Return the clients' connections: on TCP, where browsers cannot come from."""
        return [connection for connection in self._server.connections if not connection.path]

    def _connected(self) -> int:
        return len(self._ours())

    def _relayed(self) -> int:
        return self._chat.relayed

    async def _reach(
        self,
        goal: int,
        measure: Callable[[], int],
        clients: dict[str, asyncio.Future[Any]],
        what: str,
    ) -> bool:
        """Wait until ``measure`` reaches ``goal``; false if a client ends or all stand still."""
        reached = measure()
        moved_at = time.monotonic()
        while reached < goal:
            self._audience.progress(self._chat.relayed)
            ended, _ = await asyncio.wait(
                clients.values(), timeout=_POLL, return_when=asyncio.FIRST_COMPLETED
            )
            before, reached = reached, measure()
            now = time.monotonic()
            if reached != before:
                moved_at = now
            elif ended or now - moved_at > PATIENCE:
                self._note_errors(clients)
                self._failures.append(f"broken off with {reached:,} of {goal:,} {what}")
                return False
        self._audience.progress(self._chat.relayed)
        return True

    async def _end(self, *, and_server: bool) -> None:
        """End the clients' connections, after what is queued for them, and so the clients."""
        if and_server:
            # Before the connections: a client that comes late must not stay.
            self._server.close(1)
        await asyncio.gather(*(connection.close() for connection in self._ours()))

    def _note_errors(self, clients: dict[str, asyncio.Future[Any]]) -> None:
        """Note the errors of clients that have ended."""
        for name, client in clients.items():
            error = client.exception() if client.done() else None
            if error is not None:
                text = safe_text(f"{type(error).__name__}: {error}")
                self._failures.append(f"{name}: {text}")

    def _heard(self, clients: dict[str, asyncio.Future[Any]]) -> dict[str, list[bytes]]:
        """Collect what everyone heard; what went wrong in another process is lost."""
        heard = {name: actor.heard for name, actor in self._actors.items()}
        ben, flash = clients["ben"], clients["flash"]
        if ben.exception() is None:
            heard["ben"] = ben.result()
        if flash.exception() is None:
            written = sum(document.startswith(b"<MESSAGE ") for document in heard["flash"])
            if flash.result() != written:
                self._failures.append(f"flash: displayed {flash.result()} of {written} messages")
        return heard
