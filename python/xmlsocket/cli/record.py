"""``xmlsocket record``: a proxy that writes down what passes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
from pathlib import Path  # noqa: TC003 - typer reads the annotations at run time
from typing import TYPE_CHECKING, Annotated

import typer

from ..endpoint import bind, bind_unix, format_address
from ..testing.recording import Recorder, RecordingError, RecordingProxy
from .errors import CommandError, reason
from .options import TlsCertOption, TlsKeyOption, place, server_context, stream_endpoint
from .serve import count, on_signals

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TextIO

__all__ = ["record"]

EXAMPLES = """Examples:

\b
  xmlsocket record 127.0.0.1:9340 game.example.com:9339 session.jsonl
  xmlsocket record 127.0.0.1:9340 tls://game.example.com:9339 session.jsonl
  xmlsocket record 127.0.0.1:9340 127.0.0.1:9339 | grep '"side": "client"'
  xmlsocket replay session.jsonl                 show it
  xmlsocket replay session.jsonl 127.0.0.1:9339  send it again

\b
One line for each event, here one of a client:

\b
  {"time": "2026-11-23T10:00:00.123456Z", "seconds": 0.004211, "connection": 1,
   "side": "client", "event": "frame", "size": 8, "text": "<login/>"}
"""

_BACKLOG = 100


async def _listen(text: str) -> list[socket.socket]:
    """Listen where the command line says."""
    try:
        if text.startswith("unix:"):
            return [bind_unix(text.removeprefix("unix:"), backlog=_BACKLOG)]
        host, port = place(text, "LISTEN", free=True)
        infos = await asyncio.get_running_loop().getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        return bind(infos, backlog=_BACKLOG, reuse_port=False)
    except (OSError, UnicodeError) as exc:  # UnicodeError: no name of a host looks like that
        raise CommandError(f"cannot listen on {text}: {reason(exc)}") from None


@contextlib.contextmanager
def _output(path: Path | None) -> Iterator[TextIO]:
    """Open the file: it holds what people sent, so nobody else may read it."""
    if _is_standard(path):
        if sys.stdout is None:
            raise CommandError("standard output is closed")
        descriptor = os.dup(sys.stdout.fileno())
    else:
        assert path is not None
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            raise CommandError(f"{path} exists; a recording replaces no file") from None
        except OSError as exc:
            raise CommandError(f"cannot write {path}: {reason(exc)}") from None
    out = os.fdopen(descriptor, "w", encoding="utf-8", newline="\n")
    try:
        yield out
    finally:
        with contextlib.suppress(OSError):  # each line was flushed, or its failure told
            out.close()


def _is_standard(path: Path | None) -> bool:
    return path is None or str(path) == "-"


def _say(text: str, *, aside: bool) -> None:
    """Tell people something; on standard error where the recording goes to standard output."""
    typer.echo(text, err=aside)


async def _record(listen: str, proxy: RecordingProxy, recorder: Recorder, *, aside: bool) -> None:
    listeners = await _listen(listen)
    serving = asyncio.create_task(proxy.serve(listeners))

    try:
        on_signals(serving.cancel)
        for listener in listeners:
            _say(f"listening on {format_address(listener.getsockname())}", aside=aside)
        await asyncio.wait([serving])
        if not serving.cancelled():  # by a signal
            serving.result()
    except RecordingError as exc:
        raise CommandError(str(exc)) from None
    finally:
        serving.cancel()
    what = f"{count(recorder.connections, 'connection')}, {count(recorder.frames, 'frame')}"
    _say(f"recorded {what}", aside=aside)


def record(
    listen: Annotated[
        str,
        typer.Argument(
            metavar="LISTEN",
            help="Where clients connect: HOST:PORT, port 0 for a free one, or unix:PATH.",
        ),
    ],
    target: Annotated[
        str,
        typer.Argument(
            metavar="TARGET", help="The server: HOST:PORT, tls://HOST:PORT or unix:PATH."
        ),
    ],
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="FILE",
            help="A new file, for its owner alone; '-' or nothing for standard output.",
        ),
    ] = None,
    *,
    max_size: Annotated[
        int,
        typer.Option(
            metavar="BYTES",
            min=0,
            help="Bytes that are written down of one frame; all of it passes.",
        ),
    ] = 2**20,
    tls_ca: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="PEM file to verify a tls:// server with, not the system's."
        ),
    ] = None,
    tls_cert: TlsCertOption = None,
    tls_key: TlsKeyOption = None,
) -> None:
    """
    Stand between clients and a server, and write down what passes.

    One JSON object a line: "time" in UTC, "seconds" since the connection was
    accepted, its number as "connection", "side" (client, server, or proxy) and
    "event": open, frame, oversize (longer than --max-size, cut), unfinished (no
    zero byte ended it), end (of what this side sends), close. What was sent is in
    "text", or in "base64" where it is no UTF-8, without its zero byte; "size" is
    its length in bytes.

    Bytes pass as they come, unchanged, and one side waits for the other. A
    WebSocket or a policy request is only bytes here.
    """
    aside = _is_standard(file)
    endpoint = stream_endpoint(target, "TARGET", tls_ca)
    context = server_context(tls_cert, tls_key)
    if not listen.startswith("unix:"):
        place(listen, "LISTEN", free=True)
    with _output(file) as out:
        recorder = Recorder(out, max_size=max_size)
        proxy = RecordingProxy(endpoint, recorder, context=context)
        asyncio.run(_record(listen, proxy, recorder, aside=aside))
