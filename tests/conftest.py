"""Fixtures and options of the whole suite."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the command line choose the event loop: ``--loop uvloop``."""
    parser.addoption(
        "--loop",
        choices=["asyncio", "uvloop"],
        default="asyncio",
        help="event loop on which the asyncio tests run",
    )


@pytest.fixture
def anyio_backend(request: pytest.FixtureRequest) -> Iterator[tuple[str, dict[str, bool]]]:
    """Run ``async def`` tests on the loop chosen with ``--loop``."""
    yield "asyncio", {"use_uvloop": request.config.getoption("--loop") == "uvloop"}
