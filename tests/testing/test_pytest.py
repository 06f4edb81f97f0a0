"""The plugin for pytest: tests of its users pass and fail as they should and leave nothing open."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

import xmlsocket
from xmlsocket import sync
from xmlsocket.testing import Faults

if TYPE_CHECKING:
    from pathlib import Path

    from xmlsocket.testing.pytest import (
        AsyncClientFactory,
        ClientFactory,
        ProxyFactory,
        ServerFactory,
    )

PATIENCE = 30.0

TAKEN = 'pytest_plugins = ["xmlsocket.testing.pytest"]'

# What a user writes who has made nothing wrong.
GOOD = """
import threading

import pytest

import xmlsocket
from xmlsocket.testing import Faults

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return "asyncio"


def test_blocking(xmlsocket_server, xmlsocket_client):
    client = xmlsocket_client(xmlsocket_server())
    client.send("<a/>")
    assert client.recv(timeout=30).tag == "a"


async def test_on_a_loop(xmlsocket_server, xmlsocket_async_client):
    async with xmlsocket_async_client(xmlsocket_server(), parse=bytes) as client:
        await client.send("<a/>")
        assert await client.recv() == b"<a/>"


def test_torn(xmlsocket_server, xmlsocket_client, chaos_proxy):
    proxy = chaos_proxy(xmlsocket_server(), faults=Faults(slice=(1, 3)))
    client = xmlsocket_client(proxy, parse=bytes)
    client.send_many([b"<a/>", b"<b/>"])
    assert [client.recv(timeout=30), client.recv(timeout=30)] == [b"<a/>", b"<b/>"]


def test_all_left_open(xmlsocket_client, chaos_proxy, xmlsocket_server):
    async def silent(connection):
        await connection.recv()
        await connection.recv()

    server = xmlsocket_server(silent, max_size=99)
    for _ in range(3):
        xmlsocket_client(chaos_proxy(server)).send("<a/>")


def test_nothing_is_left():
    assert threading.enumerate() == [threading.main_thread()]
"""


@pytest.fixture(autouse=True)
def few_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the other plugins that are installed out of the users' runs: they take seconds."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")


def started(pytester: pytest.Pytester, source: str, *arguments: str) -> pytest.RunResult:
    """Run a user's test file within this process."""
    pytester.makeconftest(TAKEN)
    pytester.makepyfile(source)
    return pytester.runpytest_inprocess("-p", "no:cacheprovider", *arguments)


def test_plugin_in_development_mode_leaves_nothing_open(pytester: pytest.Pytester) -> None:
    """With all warnings as errors tests pass that close nothing themselves, blocking or not."""
    pytester.makeconftest(TAKEN)
    path = pytester.makepyfile(GOOD)
    result = pytester.run(
        *(sys.executable, "-X", "dev", "-W", "error", "-m", "pytest", "-W", "error"),
        *("-p", "no:cacheprovider", "-p", "anyio", str(path)),
        timeout=PATIENCE,
    )

    result.assert_outcomes(passed=5)
    assert "ResourceWarning" not in result.stderr.str() + result.stdout.str()


def test_plugin_is_loaded_by_those_who_name_it_only(pytester: pytest.Pytester) -> None:
    """A pytest that was not told of it does not import the package; ``-p`` tells it."""
    path = pytester.makepyfile(
        """
        import sys

        def test_package(pytestconfig):
            assert "xmlsocket" not in sys.modules

        def test_fixture(xmlsocket_server, request):
            assert request.config.getoption("--xmlsocket-seed") is None
        """
    )
    command = (sys.executable, "-m", "pytest", "-p", "no:cacheprovider", str(path))

    pytester.run(*command, timeout=PATIENCE).assert_outcomes(passed=1, errors=1)
    given = pytester.run(*command, "-p", "xmlsocket.testing.pytest", timeout=PATIENCE)
    given.assert_outcomes(passed=1, failed=1)


def test_plugin_without_pytest_says_what_to_install() -> None:
    """Where pytest is missing one line tells how to get it; the rest of the package works."""
    source = """
import sys
sys.modules["pytest"] = None
import xmlsocket.testing
try:
    import xmlsocket.testing.pytest
except ModuleNotFoundError as error:
    print(error, error.name, error.__cause__)
"""
    command = [sys.executable, "-c", source]
    told = subprocess.run(command, capture_output=True, text=True, check=True)

    expected = "xmlsocket.testing.pytest needs pytest: pip install 'xmlsocket[testing]' pytest None"
    assert expected == told.stdout.strip()


def test_plugin_with_a_broken_pytest_does_not_say_that_it_is_missing(tmp_path: Path) -> None:
    """What pytest itself cannot import is told as it is."""
    (tmp_path / "pytest.py").write_text("import iniconfig_of_theirs")
    command = [sys.executable, "-c", "import xmlsocket.testing.pytest"]
    places = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {"PYTHONPATH": places}
    told = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)

    assert "No module named 'iniconfig_of_theirs'" in told.stderr.splitlines()[-1]


# What handlers raise


def test_handler_error_during_the_test_fails_it(pytester: pytest.Pytester) -> None:
    """A test fails whose own assertions hold, with the traceback of the handler."""
    result = started(
        pytester,
        """
        import pytest, xmlsocket

        def test_user(xmlsocket_server, xmlsocket_client):
            async def handler(connection):
                raise ZeroDivisionError("of the handler")

            client = xmlsocket_client(xmlsocket_server(handler))
            with pytest.raises(xmlsocket.ConnectionClosed):
                client.recv(timeout=30)
        """,
    )

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["*a handler of xmlsocket_server raised*", "*ZeroDivisionError: of the handler*"]
    )
    assert "--xmlsocket-seed" not in result.stdout.str()


def test_handler_error_after_the_test_is_an_error_of_its_teardown(
    pytester: pytest.Pytester,
) -> None:
    """What was sent last is still handled, and what that raises is told."""
    result = started(
        pytester,
        """
        import threading

        def test_user(xmlsocket_server, xmlsocket_client):
            async def handler(connection):
                async for document in connection:
                    pass
                raise ZeroDivisionError("of the handler")

            xmlsocket_client(xmlsocket_server(handler)).send("<a/>")
        """,
    )

    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*ZeroDivisionError: of the handler*"])


def test_handler_error_that_the_test_took_does_not_fail_it(
    xmlsocket_server: ServerFactory, xmlsocket_client: ClientFactory
) -> None:
    """A test that expects what a handler raises looks at it and clears the list."""

    async def handler(connection: xmlsocket.Connection[Any]) -> None:
        raise ZeroDivisionError

    server = xmlsocket_server(handler)
    client = xmlsocket_client(server)
    with pytest.raises(xmlsocket.ConnectionClosed):
        client.recv(timeout=PATIENCE)

    (error,) = server.errors
    assert isinstance(error, ZeroDivisionError)
    server.errors.clear()


async def test_handler_ended_by_its_peer_is_no_error(
    xmlsocket_server: ServerFactory, xmlsocket_async_client: AsyncClientFactory
) -> None:
    """A connection that ends and a document that is none are the peer's doing, as for servers."""

    async def handler(connection: xmlsocket.Connection[Any]) -> None:
        while True:
            await connection.recv()

    server = xmlsocket_server(handler)
    async with asyncio.timeout(PATIENCE):
        async with xmlsocket_async_client(server) as client:
            await client.send("<a/>")
        async with xmlsocket_async_client(server) as client:
            await client.send("no document")
            with pytest.raises(xmlsocket.ConnectionClosed):
                await client.recv()

    assert [] == server.errors


def test_handler_that_never_ends_is_cancelled_after_its_grace(
    pytester: pytest.Pytester,
) -> None:
    """A test ends though a handler waits for ever, without an error; 0 cancels at once."""
    result = started(
        pytester,
        """
        import asyncio, pytest

        @pytest.mark.parametrize("grace", [0, 0.05])
        def test_user(xmlsocket_server, xmlsocket_client, grace):
            async def handler(connection):
                await asyncio.Event().wait()

            xmlsocket_client(xmlsocket_server(handler, grace=grace), close_timeout=0.05)
        """,
    )

    result.assert_outcomes(passed=2)


# The seed


TORN = """
from xmlsocket.testing import Faults

def test_user(xmlsocket_server, xmlsocket_client, chaos_proxy):
    proxy = chaos_proxy(xmlsocket_server(), to_server=Faults(corrupt=0.2))
    client = xmlsocket_client(proxy, parse=bytes)
    for _ in range(20):  # a zero byte may be damaged, too
        client.send(b"x" * 200)
    raise AssertionError(b"damaged: " + client.recv(timeout=30))

def test_sound(chaos_proxy, xmlsocket_server):
    chaos_proxy(xmlsocket_server())

def test_without_a_proxy():
    assert False

def test_with_a_seed_of_its_own(chaos_proxy, xmlsocket_server):
    chaos_proxy(xmlsocket_server(), seed=5)
    assert False
"""

SEED = re.compile(r"the chaos proxy repeats its choices with (--xmlsocket-seed=\d+)")
# Of the traceback: whether the summary at the end repeats it whole depends on where pytest runs.
DAMAGED = re.compile(r"^E +AssertionError: (.*)", re.MULTILINE)


def test_seed_is_told_when_a_test_with_a_proxy_fails_and_repeats_it(
    pytester: pytest.Pytester,
) -> None:
    """The option that a failing test shows makes the same bytes of the same bytes."""
    first = started(pytester, TORN, "-rP")  # which shows sections of what passed, too
    (option,) = SEED.findall(first.stdout.str())
    again = started(pytester, TORN, option)
    other = started(pytester, TORN, "--xmlsocket-seed=1")

    first.assert_outcomes(failed=3, passed=1)
    damaged = [DAMAGED.findall(run.stdout.str()) for run in (first, again, other)]
    assert damaged[0]
    assert damaged[0] == damaged[1]
    assert damaged[0] != damaged[2]
    assert ["--xmlsocket-seed=1"] == SEED.findall(other.stdout.str())


# Where clients go


async def _swap(connect: xmlsocket.Connect[bytes]) -> None:
    async with connect as client, asyncio.timeout(PATIENCE):
        await client.send("<b/>")
        assert await client.recv() == b"<b/>"


def test_client_takes_servers_proxies_addresses_and_paths(
    xmlsocket_server: ServerFactory,
    xmlsocket_client: ClientFactory,
    xmlsocket_async_client: AsyncClientFactory,
    chaos_proxy: ProxyFactory,
    tmp_path: Path,
) -> None:
    """Clients of both kinds connect to whatever says where it listens."""
    server = xmlsocket_server()
    proxy = chaos_proxy(chaos_proxy(server), faults=Faults(slice=1))

    def swap(connection: sync.Connection[bytes]) -> None:
        for frame in connection:
            connection.send(frame)

    path = tmp_path / "server.sock"
    with sync.unix_serve(swap, path, parse=bytes):
        for target in (server, proxy, server.address, path, str(path)):
            with xmlsocket_client(target, parse=bytes) as client:
                client.send("<a/>")
                assert b"<a/>" == client.recv(timeout=PATIENCE)
            asyncio.run(_swap(xmlsocket_async_client(target, parse=bytes)))
    with pytest.raises(TypeError, match=r"stands before TCP ports only, not '/"):
        chaos_proxy(str(path))  # type: ignore[arg-type]  # what the message is for
