"""
A plugin for pytest: servers, clients and the chaos proxy as fixtures.

Taken by a line in the topmost ``conftest.py``, or with ``-p`` on the command line::

    pytest_plugins = ["xmlsocket.testing.pytest"]

Needs the extra ``testing``. It is no entry point, by which pytest would load it by
itself: that would import this package at the start of every pytest in an
environment that has it, wanted or not, and before pytest-cov begins to measure.

All fixtures are factories. They need no plugin for asynchronous tests, and serve
such tests and blocking ones alike: what they start runs in threads of its own.
At the end of the test everything is closed, the latest first.
"""

from __future__ import annotations

import contextlib
import random
from typing import TYPE_CHECKING, Any, Final

try:
    import pytest
except ModuleNotFoundError as _error:
    if _error.name != "pytest":
        raise
    raise ModuleNotFoundError(
        "xmlsocket.testing.pytest needs pytest: pip install 'xmlsocket[testing]'", name="pytest"
    ) from None

from .. import asyncio, sync
from ..exceptions import ConnectionClosed, DocumentError
from .background import BackgroundServer
from .chaos import ChaosProxy

if TYPE_CHECKING:
    import os
    from collections.abc import Awaitable, Callable, Generator, Iterator
    from typing import TypeAlias

    Target: TypeAlias = (
        "BackgroundServer[Any] | ChaosProxy | tuple[str, int] | str | os.PathLike[str]"
    )
    Handler: TypeAlias = "Callable[[asyncio.Connection[Any]], Awaitable[None]]"

__all__ = [
    "AsyncClientFactory",
    "ClientFactory",
    "ProxyFactory",
    "ServerFactory",
    "WatchedServer",
    "chaos_proxy",
    "echo",
    "xmlsocket_async_client",
    "xmlsocket_client",
    "xmlsocket_server",
]

_SEED_OPTION: Final = "--xmlsocket-seed"


async def echo(connection: asyncio.Connection[Any]) -> None:
    """
    Send everything back: the handler of servers for which a test names none.

    Args:
        connection: The connection to serve.

    """
    async for batch in connection.batches():
        await connection.send_many(batch)


class WatchedServer(BackgroundServer[asyncio.Server[Any]]):
    """
    A `BackgroundServer` that keeps what its handlers raise. Made by `xmlsocket_server`.

    Args:
        handler: A coroutine function that serves one connection.
        grace: Seconds that handlers have to end by themselves at the end.
        options: Those of `xmlsocket.serve`.

    Attributes:
        errors: What handlers raised so far, the oldest first, without what a
            server takes for the peer's doing: `ConnectionClosed` and
            `DocumentError`. When a client sees its connection end, the error is
            here. A test that expects errors clears the list.

    """

    def __init__(self, handler: Handler, *, grace: float, options: dict[str, Any]) -> None:
        self.errors: list[Exception] = []

        async def watched(connection: asyncio.Connection[Any]) -> None:
            try:
                await handler(connection)
            except (ConnectionClosed, DocumentError):
                raise
            except Exception as error:
                self.errors.append(error)
                raise

        async def start() -> asyncio.Server[Any]:
            return await asyncio.serve(watched, "127.0.0.1", 0, **options)

        super().__init__(start, grace=grace)


class _Opened(contextlib.ExitStack):
    """What the fixtures of one test have opened."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.seed = seed
        self.seed_used = False
        self.servers: list[WatchedServer] = []

    def raise_errors(self) -> None:
        """Raise what handlers have raised since the last call."""
        errors: list[Exception] = []
        for server in self.servers:
            errors += server.errors
            server.errors.clear()
        if errors:
            raise ExceptionGroup("a handler of xmlsocket_server raised", errors)


class ServerFactory:
    """Starts servers. What the fixture `xmlsocket_server` gives."""

    def __init__(self, opened: _Opened) -> None:
        self._opened = opened

    def __call__(
        self, handler: Handler = echo, *, grace: float = 1.0, **options: Any
    ) -> WatchedServer:
        """
        Start a server on a free port of 127.0.0.1.

        Args:
            handler: A coroutine function that serves one connection; by default
                one that sends every frame back as it came.
            grace: Seconds that handlers have to end by themselves at the end of
                the test, before they are cancelled. They get the documents that
                have arrived, then `ConnectionClosedOK`.
            **options: Those of `xmlsocket.serve`, without ``host``, ``port`` and
                ``sock``.

        Returns:
            The server: its ``address`` is where it listens.

        Raises:
            ValueError: If an option makes no sense.

        """
        if handler is echo:
            options.setdefault("parse", bytes)
        server = WatchedServer(handler, grace=grace, options=options)
        self._opened.servers.append(server)
        return self._opened.enter_context(server)


class ClientFactory:
    """Connects blocking clients. What the fixture `xmlsocket_client` gives."""

    def __init__(self, opened: _Opened) -> None:
        self._opened = opened

    def __call__(self, target: Target, **options: Any) -> sync.Connection[Any]:
        """
        Connect to a server.

        Args:
            target: A server or a proxy of these fixtures, ``(host, port)``, or
                the path of a Unix socket.
            **options: Those of `xmlsocket.sync.connect`, such as ``parse``.

        Returns:
            The connection, which is closed at the end of the test.

        Raises:
            OSError: If there is no connection.
            ValueError: If an option makes no sense.

        """
        place = _place(target)
        if isinstance(place, tuple):
            connection: sync.Connection[Any] = sync.connect(*place, **options)
        else:
            connection = sync.unix_connect(place, **options)
        return self._opened.enter_context(connection)


class AsyncClientFactory:
    """Connects clients on a loop. What the fixture `xmlsocket_async_client` gives."""

    def __call__(self, target: Target, **options: Any) -> asyncio.Connect[Any]:
        """
        Connect to a server, on the event loop of the test.

        Args:
            target: A server or a proxy of these fixtures, ``(host, port)``, or
                the path of a Unix socket.
            **options: Those of `xmlsocket.connect`, such as ``parse``.

        Returns:
            What `xmlsocket.connect` returns. To be used in ``async with``, for
            nothing else closes it: at the end of the test its loop may be gone.

        Raises:
            OSError: When entered: if there is no connection.
            ValueError: If an option makes no sense.

        """
        place = _place(target)
        if isinstance(place, tuple):
            return asyncio.connect(*place, **options)
        return asyncio.unix_connect(place, **options)


class ProxyFactory:
    """Puts proxies before servers. What the fixture `chaos_proxy` gives."""

    def __init__(self, opened: _Opened) -> None:
        self._opened = opened

    def __call__(
        self,
        target: BackgroundServer[Any] | ChaosProxy | tuple[str, int],
        *,
        seed: int | None = None,
        **faults: Any,
    ) -> ChaosProxy:
        """
        Start a proxy before a server.

        Args:
            target: A server or a proxy of these fixtures, or ``(host, port)``.
            seed: What all random choices depend on; by default that of
                ``--xmlsocket-seed``, or one drawn at random for the whole run.
            **faults: ``faults``, ``to_server`` and ``to_client`` of `ChaosProxy`.

        Returns:
            The proxy: clients connect to its ``address``.

        Raises:
            OSError: If the server's name cannot be resolved.
            TypeError: If the server listens on a Unix socket.

        """
        place = _place(target)
        if not isinstance(place, tuple):
            raise TypeError(f"a chaos proxy stands before TCP ports only, not {place!r}")
        if seed is None:
            seed = self._opened.seed
            self._opened.seed_used = True
        return self._opened.enter_context(ChaosProxy(*place, seed=seed, **faults))


def _place(target: Target) -> tuple[str, int] | str | os.PathLike[str]:
    """Return where something listens."""
    if isinstance(target, BackgroundServer | ChaosProxy):
        address: tuple[str, int] | str = target.address
        return address
    return target


# Fixtures


_OPENED: Final = pytest.StashKey[_Opened]()
_SEED: Final = pytest.StashKey[int]()


@pytest.fixture
def _xmlsocket_opened(request: pytest.FixtureRequest) -> Iterator[_Opened]:
    """One for all fixtures of a test: the client is closed before its server, and so on."""
    config = request.config
    if _SEED not in config.stash:
        given = config.getoption("xmlsocket_seed", None)
        # 32 bits: short enough to be copied from a terminal.
        drawn = random.SystemRandom().getrandbits(32)
        config.stash[_SEED] = drawn if given is None else given
    with _Opened(config.stash[_SEED]) as opened:
        request.node.stash[_OPENED] = opened
        yield opened
    opened.raise_errors()


@pytest.fixture
def xmlsocket_server(_xmlsocket_opened: _Opened) -> ServerFactory:
    """
    Start servers, each in a thread and a loop of its own.

    What a handler raises fails the test; what the server's handlers do after the
    test is over, until they are closed, is an error in its teardown.
    """
    return ServerFactory(_xmlsocket_opened)


@pytest.fixture
def xmlsocket_client(_xmlsocket_opened: _Opened) -> ClientFactory:
    """Connect blocking clients, which are closed at the end of the test."""
    return ClientFactory(_xmlsocket_opened)


@pytest.fixture
def xmlsocket_async_client() -> AsyncClientFactory:
    """Connect clients on the event loop of the test, with ``async with``."""
    return AsyncClientFactory()


@pytest.fixture
def chaos_proxy(_xmlsocket_opened: _Opened) -> ProxyFactory:
    """Put proxies with faults before servers; a test that fails tells the seed."""
    return ProxyFactory(_xmlsocket_opened)


# Hooks


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the command line repeat the random choices of a run."""
    parser.getgroup("xmlsocket").addoption(
        _SEED_OPTION,
        type=int,
        metavar="N",
        help="seed of chaos_proxy; a test that fails with a proxy tells the one it had",
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    """Fail a test of which a handler has raised, even if nobody noticed."""
    result = yield
    if _OPENED in item.stash:
        item.stash[_OPENED].raise_errors()
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the seed to the report of a test that failed."""
    report = yield
    opened = item.stash.get(_OPENED, None)
    if report.failed and opened is not None and opened.seed_used:
        repeat = f"the chaos proxy repeats its choices with {_SEED_OPTION}={opened.seed}"
        report.sections.append(("xmlsocket", repeat))
    return report
