"""Fixtures and options of the whole suite."""

from __future__ import annotations

import importlib
import logging
import os
from typing import TYPE_CHECKING, cast

import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from .support.codecs import CodecModule
    from .support.nats import NatsServer
    from .support.planes import Plane


pytest_plugins = ["pytester", "xmlsocket.testing.pytest"]

# In development mode asyncio warns of every callback that took 0.1 s. A busy
# machine makes it talk, and tests that look at the log would fail for that.
logging.getLogger("asyncio").setLevel(logging.ERROR)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the command line choose the event loop: ``--loop uvloop``."""
    parser.addoption(
        "--loop",
        choices=["asyncio", "uvloop"],
        default="asyncio",
        help="event loop on which the asyncio tests run",
    )


@pytest.fixture
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    """Run ``async def`` tests on the loop chosen with ``--loop``."""
    return "asyncio", {"use_uvloop": request.config.getoption("--loop") == "uvloop"}


@pytest.fixture(scope="session", params=["rust", "pure"])
def codec(request: pytest.FixtureRequest) -> CodecModule:
    """Run a test on both codecs; the extension may be absent only where that is the point."""
    name = "xmlsocket._rust" if request.param == "rust" else "xmlsocket.pure"
    try:
        return cast("CodecModule", importlib.import_module(name))
    except ModuleNotFoundError as error:
        if error.name != "xmlsocket._rust" or os.environ.get("XMLSOCKET_PURE") != "1":
            raise
        pytest.skip("the extension is not built")


@pytest.fixture(scope="session")
def nats_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    """Run one server of NATS, with JetStream, that tests share and leave alone."""
    from .support.nats import NatsServer  # noqa: PLC0415 - most tests need no NATS

    with NatsServer(tmp_path_factory.mktemp("nats")) as server:
        yield server


@pytest.fixture(params=["memory", "memory with history", "nats", "nats with history"])
async def plane(request: pytest.FixtureRequest) -> AsyncIterator[Plane]:
    """Run a test of rooms on each backplane, live and with a history."""
    from .support.planes import open_plane  # noqa: PLC0415 - as above

    on_nats = request.param.startswith("nats")
    server = request.getfixturevalue("nats_server") if on_nats else None
    async with open_plane(request.param, server) as opened:
        yield opened
