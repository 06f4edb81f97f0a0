"""``xmlsocket serve``: an echo server or a chat server."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import enum
import functools
import importlib.util
import logging
import signal
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, TypeVar

import typer

from .. import Connection, Room, Server
from .. import serve as start_server
from ..endpoint import format_address
from ..exceptions import PolicyError
from ..stats import WorkersStats
from ..workers import adopt, from_systemd, notify_systemd
from ..workers.report import slowest
from .backplane import BackplaneOption, check_backplane, open_backplane
from .errors import CommandError, reason
from .live import LiveStats
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
from .workers import run_workers

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
    from pathlib import Path

    from ..asyncio.policy_server import PolicyServer
    from ..backplane import Backplane
    from ..policy import Policy
    from ..stats import ServerStats

    Handler: TypeAlias = Callable[[Connection[bytes]], Awaitable[None]]

__all__ = [
    "Chat",
    "Where",
    "announce",
    "count",
    "echo",
    "listening",
    "log",
    "on_signals",
    "open_server",
    "run_until_stopped",
    "running",
    "serve",
    "summarize",
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
  xmlsocket serve --port 9339 --workers 4 --stats
  xmlsocket serve --mode chat --port 9339 --workers 4 --backplane nats://127.0.0.1:4222
  xmlsocket serve --limit max_size=65536 --limit idle_timeout=300 --limit write_cap=none
"""


_NO_ROOM = (
    "--mode chat with --workers: the clients of one worker would not hear those of another, because"
    " processes share nothing; join them with --backplane, or leave --workers out"
)


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

    Args:
        backplane: What joins it to the chats of other servers.

    Attributes:
        room: Those who hear what is said.
        relayed: Documents delivered so far that came in here.

    """

    def __init__(self, backplane: Backplane | None = None) -> None:
        self.room: Room = Room("chat", backplane=backplane)
        self.relayed: int = 0

    async def __call__(self, connection: Connection[bytes]) -> None:
        """Serve one client."""
        self.join(connection)
        async for frames in connection.batches():
            self.relay(connection, frames)

    def join(self, connection: Connection[bytes]) -> None:
        """Let a client hear what is said from now on."""
        self.room.join(connection)

    def relay(self, sender: Connection[bytes], frames: Iterable[bytes]) -> None:
        """Send ``frames`` to everyone but their sender."""
        for frame in frames:
            self.room.broadcast(frame, exclude=(sender,))
            self.relayed += 1


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """Where a server listens: an address, or sockets that it was started with."""

    host: str | None
    port: int | None
    sockets: Sequence[socket.socket] | None


async def open_server(
    handler: Handler, host: str | None, port: int | None, **options: Any
) -> Server[bytes]:
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


async def listening(starting: Awaitable[S], host: str | None, port: int | None) -> S:
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


def on_signals(stop: Callable[[], object]) -> None:
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
    summarize(server.stats())


def summarize(stats: ServerStats) -> None:
    """Say what a server did until it stopped."""
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


@contextlib.asynccontextmanager
async def running(
    mode: Mode,
    host: str | None = None,
    port: int | None = None,
    *,
    backplane: str | None = None,
    **options: Any,
) -> AsyncIterator[Server[bytes]]:
    """Run the command's server, in this process or in a worker."""
    async with open_backplane(backplane) as joined:
        handler: Handler = Chat(joined) if mode is Mode.CHAT else echo
        async with await open_server(handler, host, port, **options) as server:
            yield server


async def _serve(mode: Mode, where: Where, options: dict[str, Any], live: LiveStats | None) -> None:
    async with running(mode, where.host, where.port, sock=where.sockets, **options) as server:

        def ready() -> None:
            announce(server)
            notify_systemd("READY=1")

        if live is None:
            await run_until_stopped(server, ready)
            return
        watching = asyncio.create_task(_watch(server, live))
        try:
            with live:
                await run_until_stopped(server, ready)
        finally:
            watching.cancel()


async def _watch(server: Server[bytes], live: LiveStats) -> None:
    while True:
        await asyncio.sleep(live.interval)
        stats = WorkersStats(
            total=server.stats(),
            workers=(),
            restarts=0,
            cut=0,
            slowest=slowest(server.connections),
        )
        live.show(stats)


def _where(host: str, port: int, descriptors: Sequence[int]) -> Where:
    """Return where to listen; sockets of systemd are used without being asked for."""
    try:
        sockets = [*map(adopt, descriptors), *from_systemd()]
    except ValueError as exc:
        raise CommandError(str(exc)) from None
    if not sockets:
        return Where(host=host, port=port, sockets=None)
    if port:
        raise typer.BadParameter("the socket that was handed over has one", param_hint="'--port'")
    return Where(host=None, port=None, sockets=sockets)


def _loop(*, uvloop: bool) -> Callable[[], asyncio.AbstractEventLoop] | None:
    if not uvloop:
        return None
    if importlib.util.find_spec("uvloop") is None:
        raise CommandError("--uvloop needs uvloop, which is not installed: pip install uvloop")
    from uvloop import new_event_loop  # noqa: PLC0415 - only if it is asked for

    return new_event_loop


def _in_worker(
    mode: Mode, verbose: bool, **options: Any
) -> contextlib.AbstractAsyncContextManager[Server[bytes]]:
    log(verbose=verbose)
    return running(mode, **options)


def _check_ports(policy: Policy, where: Where) -> None:
    """Refuse here, once, what every worker would refuse."""
    ports = [where.port, *(sock.getsockname()[1] for sock in where.sockets or ())]
    try:
        for port in filter(None, ports):
            policy.check_port(port)
    except PolicyError as exc:
        raise CommandError(str(exc)) from None


def _supervise(
    mode: Mode,
    where: Where,
    tls: tuple[Path | None, Path | None],
    options: dict[str, Any],
    *,
    verbose: bool,
    **how: Any,
) -> None:
    """Serve with several processes, and say in the end what they did."""
    if "policy" in options:
        _check_ports(options["policy"], where)
    start = functools.partial(_in_worker, mode, verbose)
    stats = run_workers(start, where, tls, options, grace=GRACE, **how)
    if stats.cut:
        typer.echo(f"cut off {count(stats.cut, 'connection')}: they did not read in time")
    summarize(stats.total)


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
    workers: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="Serve with N processes on the one port; one that dies is replaced, SIGHUP"
            " replaces all.",
        ),
    ] = None,
    backplane: BackplaneOption = None,
    uvloop: Annotated[
        bool, typer.Option("--uvloop", help="Run on uvloop, which has to be installed.")
    ] = False,
    fd: Annotated[
        list[int] | None,
        typer.Option(
            metavar="N",
            min=0,
            help="Listen on the TCP socket that is open as descriptor N; may be given several"
            " times. Sockets of systemd (LISTEN_FDS) are found without it.",
        ),
    ] = None,
    stats: Annotated[
        bool,
        typer.Option(
            "--stats",
            help="Show connections, rates, queues, slow peers: a table that changes in a"
            " terminal, elsewhere a line every 10 seconds.",
        ),
    ] = False,
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
    tls = tls_cert, tls_key
    context = server_context(*tls)  # with workers, only to see that it can be made
    options["trusted_proxies"] = trusted_proxies(trusted_proxy or ())
    if policy is not None:
        options["policy"] = read_policy(policy)
    if websocket or origin:
        options["websocket"] = websocket_options(origin)
    if backplane is not None:
        options["backplane"] = check_backplane(backplane, chat=mode is Mode.CHAT)
    loop_factory = _loop(uvloop=uvloop)
    where = _where(host, port, fd or ())
    live = LiveStats() if stats else None
    log(verbose=verbose)
    if workers is not None:
        if mode is Mode.CHAT and workers > 1 and backplane is None:
            raise CommandError(_NO_ROOM)
        _supervise(
            mode,
            where,
            tls,
            options,
            verbose=verbose,
            workers=workers,
            uvloop=uvloop,
            live=live,
        )
        return
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(_serve(mode, where, options | {"ssl": context}, live))
