"""``xmlsocket serve``: an echo server or a chat server."""

from __future__ import annotations

import asyncio
import enum
import logging
import signal
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, TypeVar

import typer

from .. import Connection, Server, broadcast
from .. import serve as start_server
from ..endpoint import format_address
from ..exceptions import PolicyError
from .errors import CommandError, reason
from .options import (
    LimitOption,
    OriginOption,
    TlsCertOption,
    TlsKeyOption,
    TrustedProxyOption,
    VerboseOption,
    bad_limit,
    parse_limits,
    read_policy,
    server_context,
    trusted_proxies,
    websocket_options,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from ..asyncio.policy_server import PolicyServer

    Handler: TypeAlias = Callable[[Connection[bytes]], Awaitable[None]]

__all__ = [
    "Chat",
    "announce",
    "count",
    "echo",
    "listening",
    "log",
    "on_signals",
    "open_server",
    "run_until_stopped",
    "serve",
]

S = TypeVar("S")

GRACE = 5.0
"""Seconds that connections get to take what is queued for them when the server stops."""

EXAMPLES = """Examples:

\b
  xmlsocket serve                                       echo, on a free port of loopback
  xmlsocket serve --mode chat --port 9339               what one sends, all others get
  xmlsocket serve --host 0.0.0.0 --port 9339 --tls-cert cert.pem --tls-key key.pem
  xmlsocket serve --port 9339 --policy '*:9339' --websocket
  xmlsocket serve --limit max_size=65536 --limit idle_timeout=300 --limit write_cap=none
"""


class Mode(enum.StrEnum):
    """What the server does with a document."""

    ECHO = "echo"
    CHAT = "chat"


async def echo(connection: Connection[bytes]) -> None:
    """Send every document back, unchanged."""
    async for frames in connection.batches():
        await connection.send_many(frames)


class Chat:
    """
    A handler that delivers every document, byte for byte, to all other clients.

    Nobody waits for a client that does not read: it is cut off when
    ``Limits.write_cap`` bytes wait for it.

    Attributes:
        server: The server whose connections take part; set when it is there.
        relayed: Documents delivered so far.

    """

    server: Server[bytes]

    def __init__(self) -> None:
        self.relayed = 0

    async def __call__(self, connection: Connection[bytes]) -> None:
        """Serve one client."""
        async for frames in connection.batches():
            self.relay(connection, frames)

    def listeners(self) -> frozenset[Connection[bytes]]:
        """Return the connections that get what is said."""
        return self.server.connections

    def relay(self, sender: Connection[bytes], frames: Iterable[bytes]) -> None:
        """Send ``frames`` to every listener but their sender."""
        others = self.listeners() - {sender}
        for frame in frames:
            broadcast(others, frame)
            self.relayed += 1


async def open_server(handler: Handler, host: str, port: int, **options: Any) -> Server[bytes]:
    """
    Start a server of raw documents, empty ones included, as Flash delivers them.

    Raises:
        CommandError: If it cannot listen there.
        typer.BadParameter: If a limit makes no sense.

    """
    try:
        starting = start_server(handler, host, port, parse=bytes, skip_empty=False, **options)
    except ValueError as exc:
        raise bad_limit(str(exc)) from None
    return await listening(starting, host, port)


async def listening(starting: Awaitable[S], host: str, port: int) -> S:
    """
    Start a server.

    Raises:
        CommandError: If it cannot listen there, or its policy is not for this port.

    """
    try:
        return await starting
    except PolicyError as exc:
        raise CommandError(str(exc)) from None
    except (OSError, UnicodeError) as exc:  # UnicodeError: no name of a host looks like that
        where = format_address((host, port))
        raise CommandError(f"cannot listen on {where}: {reason(exc)}") from None


def announce(server: Server[bytes] | PolicyServer) -> None:
    """Say where the server listens, one line for each address, at once."""
    for listener in server.sockets:
        typer.echo(f"listening on {format_address(listener.getsockname())}")


def on_signals(stop: Callable[[], None]) -> None:
    """Have ``stop`` called for SIGINT and SIGTERM, on the running loop, as often as they come."""
    loop = asyncio.get_running_loop()
    # Never removed: a signal during the last words must not end the process
    # with another status.
    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            loop.add_signal_handler(number, stop)
        except NotImplementedError:  # pragma: no cover - the event loops of Windows
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop))


async def run_until_stopped(server: Server[bytes], ready: Callable[[], None]) -> None:
    """
    Serve until SIGINT or SIGTERM, close in order, and say who had to be cut.

    A second signal cuts at once.

    Args:
        server: What to stop.
        ready: Called as soon as a signal is no longer the process's death.

    """

    def stop() -> None:
        waiting = len(server.connections)
        server.close(0 if stopping.is_set() else GRACE)
        if waiting and not stopping.is_set():
            typer.echo(f"closing {count(waiting, 'connection')}")
        stopping.set()

    stopping = asyncio.Event()
    on_signals(stop)
    ready()
    await stopping.wait()
    cut = await server.wait_closed()
    for connection in cut:
        address = format_address(connection.remote_address)
        typer.echo(f"cut off {address}: it did not read in time")
    stats = server.stats()
    typer.echo(
        f"stopped after {count(stats.accepted, 'connection')},"
        f" {count(stats.frames_in, 'document')} in and {stats.frames_out:,} out"
    )


def count(number: int, noun: str) -> str:
    """Return a number of things, in words."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def log(*, verbose: bool) -> None:
    """Let the log go to standard error, with what is for debugging if it is wanted."""
    if verbose:
        logging.basicConfig(format="%(asctime)s %(message)s")
        logging.getLogger("xmlsocket").setLevel(logging.DEBUG)


async def _serve(mode: Mode, host: str, port: int, options: dict[str, Any]) -> None:
    chat = Chat()
    server = await open_server(chat if mode is Mode.CHAT else echo, host, port, **options)
    chat.server = server
    await run_until_stopped(server, lambda: announce(server))


def serve(
    *,
    mode: Annotated[
        Mode,
        typer.Option(help="Send documents back (echo) or to all other clients (chat)."),
    ] = Mode.ECHO,
    host: Annotated[
        str, typer.Option(metavar="HOST", help="Name or address to listen on.")
    ] = "127.0.0.1",
    port: Annotated[
        int,
        typer.Option(
            metavar="PORT", min=0, max=65535, help="Port to listen on; 0 takes a free one."
        ),
    ] = 0,
    limit: LimitOption = None,
    tls_cert: TlsCertOption = None,
    tls_key: TlsKeyOption = None,
    policy: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|DOMAIN:PORTS",
            help="Answer Flash's policy requests on this port, with a file or with a grant"
            " such as '*:9339' or '*.example.com:5000-5100'.",
        ),
    ] = None,
    websocket: Annotated[
        bool, typer.Option("--websocket", help="Take WebSockets on this port as well.")
    ] = False,
    origin: OriginOption = None,
    trusted_proxy: TrustedProxyOption = None,
    verbose: VerboseOption = False,
) -> None:
    """
    Start a server and run it until Ctrl-C or SIGTERM.

    Prints "listening on HOST:PORT" once it is ready. Documents are passed on
    byte for byte, never parsed: text that is no XML goes through as well.

    One port serves them all: with --policy and --websocket it tells Flash's
    policy requests, WebSockets and XMLSocket clients apart by their first bytes.
    """
    options = parse_limits(limit or ())
    options["ssl"] = server_context(tls_cert, tls_key)
    options["trusted_proxies"] = trusted_proxies(trusted_proxy or ())
    if policy is not None:
        options["policy"] = read_policy(policy)
    if websocket or origin:
        options["websocket"] = websocket_options(origin)
    log(verbose=verbose)
    asyncio.run(_serve(mode, host, port, options))
