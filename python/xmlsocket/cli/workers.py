"""``serve --workers``: the command's server in several processes."""

from __future__ import annotations

import contextlib
import functools
from typing import TYPE_CHECKING, Any

import typer

from ..endpoint import format_address
from ..workers import WorkerFailed, serve_workers
from .errors import CommandError, reason
from .options import server_context

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator, Callable, Sequence
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from .. import Server
    from ..stats import WorkersStats
    from .live import LiveStats
    from .serve import Where

__all__ = ["run_workers"]

TlsFiles = tuple["Path | None", "Path | None"]


@contextlib.asynccontextmanager
async def _start(
    sockets: Sequence[socket.socket],
    *,
    running: Callable[..., AbstractAsyncContextManager[Server[bytes]]],
    tls: TlsFiles,
    options: dict[str, Any],
) -> AsyncIterator[Server[bytes]]:
    """Serve in a worker, which reads the certificate by itself: no TLS context can be sent."""
    try:
        async with running(sock=sockets, ssl=server_context(*tls), **options) as server:
            yield server
    except CommandError as exc:
        typer.echo(f"xmlsocket: {exc}", err=True)
        raise SystemExit(1) from None


def run_workers(
    running: Callable[..., AbstractAsyncContextManager[Server[bytes]]],
    where: Where,
    tls: TlsFiles,
    options: dict[str, Any],
    *,
    workers: int,
    uvloop: bool,
    grace: float,
    live: LiveStats | None,
) -> WorkersStats:
    """
    Serve with several processes until a signal says to stop.

    Raises:
        CommandError: If it cannot listen there, or no worker could start.

    """

    def ready(sockets: Sequence[socket.socket]) -> None:
        for address in dict.fromkeys(format_address(sock.getsockname()) for sock in sockets):
            typer.echo(f"listening on {address}")

    try:
        with contextlib.nullcontext() if live is None else live:
            return serve_workers(
                functools.partial(_start, running=running, tls=tls, options=options),
                where.host,
                where.port,
                sockets=where.sockets,
                workers=workers,
                timeout=grace,
                uvloop=uvloop,
                ready=ready,
                observe=None if live is None else live.show,
                interval=1.0 if live is None else live.interval,
            )
    except WorkerFailed as exc:
        raise CommandError(str(exc)) from None
    except NotImplementedError:
        raise CommandError("--workers needs a POSIX system") from None
    except (OSError, UnicodeError) as exc:
        address = format_address((where.host, where.port))
        raise CommandError(f"cannot listen on {address}: {reason(exc)}") from None
