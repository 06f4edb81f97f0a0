"""Fixtures of the tests of what carries Flash programs over."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from .support import PATIENCE, Program, background_threads

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


@pytest.fixture(autouse=True)
def _no_thread_left() -> Iterator[None]:
    """See that the background thread ends, as it does with its last connection."""
    yield
    for thread in background_threads():
        thread.join(PATIENCE)
    assert [] == background_threads()


@pytest.fixture(params=["loop", "thread"])
async def program(request: pytest.FixtureRequest, anyio_backend: Any) -> AsyncIterator[Program]:
    """Run the test with the object on its loop and in the background; see that no task is left."""
    yield Program(request.param)
    assert [] == [t for t in asyncio.all_tasks() if t.get_name().startswith("XMLSocket ")]
