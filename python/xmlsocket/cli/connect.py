"""``xmlsocket connect``: a client for people and for pipes."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path  # noqa: TC003 - typer reads the annotations at run time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .. import Connection, ConnectionClosed, ConnectionClosedError, DelimiterInPayload
from .. import connect as open_connection
from ..asyncio import connect_websocket
from ..endpoint import format_address
from ..exceptions import WebSocketError
from . import feed
from .errors import CommandError, reason
from .options import LimitOption, bad_limit, client_context, parse_limits, require_websocket
from .terminal import Output

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from io import FileIO

__all__ = ["connect"]

EXAMPLES = """Examples:

\b
  xmlsocket connect 127.0.0.1 9339              type documents, read what comes
  echo '<hello/>' | xmlsocket connect 127.0.0.1 9339 --replies 1
  xmlsocket connect 127.0.0.1 9339 --file documents.xml --wait 5 > replies.xml
  xmlsocket connect chat.example 9339 --tls
  xmlsocket connect wss://play.example/chat
"""

_INPUT_END = 0.5
"""Seconds for the input to end when the peer has ended the connection."""


class _Exchange:
    """Sends the input and shows the replies, both at once: neither may wait for the other."""

    def __init__(self, connection: Connection[bytes], output: Output, replies: int | None) -> None:
        self._connection = connection
        self._output = output
        self._replies = replies
        self._count = 0

    async def run(self, batches: AsyncIterator[list[bytes]], wait: float) -> None:
        """
        Send everything, then wait for the replies.

        Args:
            batches: What to send.
            wait: Seconds to wait after the last document was sent.

        Raises:
            CommandError: If not everything was sent, if fewer replies came than
                wanted, or if the connection ended out of order.

        """
        sender = asyncio.create_task(self._send(batches))
        receiver = asyncio.create_task(self._receive())
        try:
            await asyncio.wait({sender, receiver}, return_when=asyncio.FIRST_COMPLETED)
            await self._finish_sending(sender, receiver)
            await self._finish_receiving(receiver, wait)
        finally:
            sender.cancel()
            receiver.cancel()
            await asyncio.gather(sender, receiver, return_exceptions=True)

    async def _finish_sending(
        self, sender: asyncio.Task[None], receiver: asyncio.Task[None]
    ) -> None:
        try:
            if receiver.done() and receiver.exception() is not None:
                # The last document may be sent, and the end of the input on its way.
                await asyncio.wait({sender}, timeout=_INPUT_END)
                if not sender.done():  # pragma: no branch - which is first is the network's
                    receiver.result()
            await sender
        except ConnectionClosed as exc:
            raise CommandError(f"connection ended before everything was sent: {exc}") from None

    async def _finish_receiving(self, receiver: asyncio.Task[None], wait: float) -> None:
        try:
            async with asyncio.timeout(wait):
                await receiver
        except TimeoutError:
            if self._replies is not None:
                raise CommandError(f"{self._progress()} within {wait:g} seconds") from None
        except ConnectionClosed as exc:
            if self._replies is not None:
                text = f"{self._progress()} before the connection ended: {exc}"
                raise CommandError(text) from None
            if isinstance(exc, ConnectionClosedError):
                raise CommandError(f"connection ended: {exc}") from None

    def _progress(self) -> str:
        return f"{self._count} of {self._replies} replies came"

    async def _send(self, batches: AsyncIterator[list[bytes]]) -> None:
        sent = 0
        try:
            async for batch in batches:
                await self._connection.send_many(batch)
                sent += len(batch)
        except DelimiterInPayload as exc:
            text = f"input document {sent + (exc.item or 0) + 1} holds a zero byte, see --null"
            raise CommandError(text) from None
        except OSError as exc:
            raise _unreadable(exc) from None

    async def _receive(self) -> None:
        if self._count == self._replies:
            return
        async for frames in self._connection.batches():
            wanted = frames if self._replies is None else frames[: self._replies - self._count]
            self._output.documents(wanted)
            self._count += len(wanted)
            if self._count == self._replies:
                return
        assert self._connection.close_reason is not None
        raise ConnectionClosed.of(self._connection.close_reason)


def _open_input(path: Path | None) -> FileIO:
    """Open the input without a buffer, so that a pipe gives what it has."""
    if path is None:
        if sys.stdin is None:
            raise CommandError("standard input is closed")
        return open(sys.stdin.fileno(), "rb", buffering=0, closefd=False)
    try:
        return path.open("rb", buffering=0)
    except OSError as exc:
        raise CommandError(f"cannot read {path}: {reason(exc)}") from None


def _unreadable(error: OSError) -> CommandError:
    return CommandError(f"cannot read the input: {reason(error)}")


async def _piped(
    connection: Connection[bytes],
    *,
    path: Path | None,
    null: bool,
    replies: int | None,
    wait: float,
) -> None:
    file = _open_input(path)
    try:
        zero_bytes = null or feed.holds_zero_byte(file)
    except OSError as exc:
        raise _unreadable(exc) from None
    batches = feed.documents(file, zero_bytes=zero_bytes)
    exchange = _Exchange(connection, Output(b"\0" if null else b"\n"), replies)
    await exchange.run(batches, wait)


def _is_uri(host: str) -> bool:
    return host.startswith(("ws://", "wss://"))


def _check_server(host: str, port: int | None, origin: str | None) -> None:
    if _is_uri(host):
        require_websocket()
        if port is not None:
            raise typer.BadParameter("the URL has it already", param_hint="'PORT'")
    elif port is None:
        raise typer.BadParameter("missing", param_hint="'PORT'")
    elif origin is not None:
        raise typer.BadParameter("goes with ws:// and wss:// only", param_hint="'--origin'")


async def _open(
    host: str, port: int | None, origin: str | None, options: dict[str, Any]
) -> Connection[bytes]:
    options |= {"parse": bytes, "skip_empty": False}
    where = host if port is None else format_address((host, port))
    try:
        if _is_uri(host):
            connecting = connect_websocket(host, origin=origin, **options)
        else:
            connecting = open_connection(host, port, **options)
    except ValueError as exc:
        if _is_uri(host):
            raise CommandError(str(exc)) from None
        raise bad_limit(str(exc)) from None
    try:
        return await connecting
    except WebSocketError as exc:
        raise CommandError(f"cannot connect to {where}: {exc}") from None
    except (OSError, UnicodeError) as exc:  # UnicodeError: no name of a host looks like that
        if isinstance(exc, TimeoutError) and exc.errno is None:
            raise CommandError(str(exc)) from None
        raise CommandError(f"cannot connect to {where}: {reason(exc)}") from None


def connect(
    host: Annotated[
        str,
        typer.Argument(
            metavar="HOST|URL", help="Name or address of the server, or ws://… or wss://…."
        ),
    ],
    port: Annotated[
        int | None,
        typer.Argument(metavar="PORT", min=1, max=65535, help="Its port, unless a URL has it."),
    ] = None,
    *,
    file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Send the documents of a file, not of standard input."),
    ] = None,
    null: Annotated[
        bool,
        typer.Option(
            "--null",
            "-0",
            help="Documents end with a zero byte, not with the line, in input and output alike.",
        ),
    ] = False,
    replies: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=0, help="Wait for N documents, and fail unless that many come."
        ),
    ] = None,
    wait: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            min=0,
            help="How long to wait for replies after the last document was sent."
            " [default: 10 with --replies, otherwise 1]",
        ),
    ] = None,
    limit: LimitOption = None,
    tls: Annotated[
        bool, typer.Option("--tls", help="Use TLS, verified with the system's certificates.")
    ] = False,
    tls_ca: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Use TLS, verified with this PEM file instead."),
    ] = None,
    origin: Annotated[
        str | None,
        typer.Option(metavar="ORIGIN", help="Origin to name to a WebSocket server that wants one."),
    ] = None,
) -> None:
    """
    Send documents to a server and show what it sends.

    In a terminal: type a document and Enter; Ctrl-D ends. What arrives is
    indented and coloured, and what a terminal could obey is escaped.

    With a pipe or --file: one document a line, blank lines left out, or, in a
    file that has zero bytes or with --null, documents that each end with one.
    Replies go to standard output as they came, one after the other. Exit status
    0: all was sent and, with --replies, as many documents came.
    """
    _check_server(host, port, origin)
    options = parse_limits(limit or ())
    options["ssl"] = client_context(tls, tls_ca)
    if wait is None:
        wait = 1.0 if replies is None else 10.0

    streams = (sys.stdin, sys.stdout)  # None where one is closed

    async def run() -> None:
        connection = await _open(host, port, origin, options)
        try:
            if file is None and all(stream and stream.isatty() for stream in streams):
                # Loads prompt_toolkit, which takes as long as all the rest.
                from .interactive import converse  # noqa: PLC0415

                await converse(connection)
            else:
                await _piped(connection, path=file, null=null, replies=replies, wait=wait)
        finally:
            await connection.close()

    asyncio.run(run())
