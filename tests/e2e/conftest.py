"""
One browser, one event loop and one page for all tests here: starting them takes longest.

Where Chromium or Ruffle is missing, the tests that need them are skipped, and
the end of the report says so in capitals; ``XMLSOCKET_E2E=required`` makes that
an error, as in CI.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import xmlsocket
from xmlsocket import WebSocketOptions

from . import browser, ruffle
from .movies import MOVIES
from .servers import DIRECT, WAYS, Echo

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from xmlsocket import Connection

    from .servers import Way

SCREENSHOTS = Path(__file__).with_name("screenshots")

_missing = {
    name: how
    for name, how, found in (
        ("Chromium", "apt-get install chromium-headless-shell", browser.find()),
        ("Ruffle", "make ruffle", ruffle.find()),
    )
    if found is None
}
_untested: set[str] = set()


def need(name: str) -> None:
    """Skip the test where a program is missing, or fail it where that is not allowed."""
    if name not in _missing:
        return
    if os.environ.get("XMLSOCKET_E2E") == "required":
        pytest.fail(f"XMLSOCKET_E2E=required, but {name} is missing: {_missing[name]}")
    _untested.add(name)
    pytest.skip(f"{name} is missing: {_missing[name]}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say loudly what could not be tested."""
    for name in sorted(_untested):
        line = f"NOT TESTED, because {name} is missing: {_missing[name]}"
        terminalreporter.write_line(line, red=True, bold=True)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Keep one loop for the whole session, so that connections outlive a test."""
    return "asyncio"


@pytest.fixture(scope="session")
def devtools() -> Iterator[str]:
    """Run the browser; the address of its devtools."""
    need("Chromium")
    program = browser.find()
    assert program is not None
    with browser.running(program) as address:
        yield address


@pytest.fixture(scope="session")
async def chromium(devtools: str) -> AsyncIterator[browser.Browser]:
    """Connect to the browser."""
    async with browser.connect(devtools) as connection:
        yield connection


@pytest.fixture(scope="session")
async def stage(devtools: str) -> AsyncIterator[str]:
    """Serve the page that plays movies, with Ruffle and the movies; its origin."""
    need("Ruffle")
    folder = ruffle.find()
    assert folder is not None

    async def nothing(connection: Connection[bytes]) -> None:
        """Serve pages only."""

    options = WebSocketOptions(path=(), pages=ruffle.pages(folder, MOVIES))
    async with xmlsocket.serve(nothing, "127.0.0.1", 0, parse=bytes, websocket=options) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.fixture(scope="session")
async def theatre(chromium: browser.Browser, stage: str) -> AsyncIterator[browser.Page]:
    """Open that page once: Ruffle is compiled once."""
    page = await chromium.open(f"{stage}/")
    yield page
    await page.close()


@pytest.fixture(params=WAYS)
async def way(request: pytest.FixtureRequest, stage: str) -> AsyncIterator[Way]:
    """Serve an echo that pages of the stage can reach, once each way."""
    async with request.param(Echo(), stage) as way:
        yield way


@pytest.fixture
async def direct(stage: str) -> AsyncIterator[Way]:
    """Serve an echo on a port that takes WebSockets itself."""
    async with DIRECT(Echo(), stage) as way:
        yield way


@pytest.fixture
def keep() -> Callable[[str, bytes], None]:
    """Keep a picture as an artefact of the run."""

    def write(name: str, png: bytes) -> None:
        with contextlib.suppress(FileExistsError):
            SCREENSHOTS.mkdir()
        (SCREENSHOTS / f"{name}.png").write_bytes(png)

    return write
