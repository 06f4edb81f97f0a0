"""The client for people: a prompt with a history, above it what arrives."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from prompt_toolkit import PromptSession
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.patch_stdout import patch_stdout

from .. import ConnectionClosed, ConnectionClosedError
from ..endpoint import format_address
from .errors import CommandError
from .terminal import Output

if TYPE_CHECKING:
    from .. import Connection

__all__ = ["converse"]


def _history() -> History:
    """Keep what is typed in the user's state directory, readable by no one else."""
    if sys.platform == "win32":  # pragma: no cover - the other branch is taken here
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    else:
        base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    path = Path(base) / "xmlsocket" / "history"
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.touch(mode=0o600)
    except OSError:  # a home that cannot be written to is no reason not to talk
        return InMemoryHistory()
    return FileHistory(path)


async def converse(connection: Connection[bytes]) -> None:
    """
    Let someone at a terminal talk over ``connection``: a typed line is a document.

    Returns when Ctrl-D or Ctrl-C was pressed or the peer has closed in order.

    Raises:
        CommandError: If the connection ended out of order.

    """
    session: PromptSession[str] = PromptSession(history=_history())
    # raw: what is printed holds colours of ours, and nothing of a peer's that
    # is not escaped.
    with patch_stdout(raw=True):
        output = Output()
        where = format_address(connection.remote_address)
        output.note(f"connected to {where}; a line is a document, Ctrl-D ends")
        receiver = asyncio.create_task(_receive(connection, output))
        while (line := await _read(session, receiver)) is not None:
            if line.strip():
                await _send(connection, line, output)
        if receiver.done():
            try:
                receiver.result()
            except ConnectionClosedError as exc:
                raise CommandError(f"connection ended: {exc}") from None
            output.note("closed by the peer")
        else:
            receiver.cancel()
            await asyncio.wait([receiver])
            output.note("closed")


async def _receive(connection: Connection[bytes], output: Output) -> None:
    """Show documents until the connection ends; raise if that was not in order."""
    async for frames in connection.batches():
        output.documents(frames)


async def _read(session: PromptSession[str], receiver: asyncio.Task[None]) -> str | None:
    """Return a typed line; ``None`` when the user or the peer has had enough."""
    prompt = asyncio.create_task(_prompt(session))
    await asyncio.wait({prompt, receiver}, return_when=asyncio.FIRST_COMPLETED)
    if prompt.done():
        return prompt.result()
    prompt.cancel()
    await asyncio.wait([prompt])
    return None


async def _prompt(session: PromptSession[str]) -> str | None:
    try:
        return await session.prompt_async("> ")
    except (EOFError, KeyboardInterrupt):  # must not leave the task: it would stop the loop
        return None


async def _send(connection: Connection[bytes], line: str, output: Output) -> None:
    try:
        await connection.send(line)
    except (ValueError, ConnectionClosed) as exc:  # ValueError: a zero byte (Ctrl-@)
        output.note(f"not sent: {exc}")
