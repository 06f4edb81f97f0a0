"""A short soak, and proof that a long one would tell."""

from __future__ import annotations

import asyncio
import collections
import sys

import pytest

from .census import Census, growth
from .rounds import Soak


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_soak_rounds_reach_a_plateau() -> None:
    """After rounds of everything nothing stays: no object of ours, descriptor, task or thread."""
    soak = Soak(seed=1)
    async with asyncio.timeout(200), soak.running():
        # The first rounds fill caches: parsers, interned names, the loop's own.
        taken = [await soak.round(visits=1) for _ in range(5)]

    tells = growth(taken)
    if sys.gettrace() is not None:
        # coverage.py keeps what it has seen, and a tracer with methods for each thread.
        tells = [line for line in tells if not line.startswith(("traced: ", "builtins.method: "))]
    assert [] == tells
    assert {5 * 6} == set(soak.visits.values())


def census(objects: int = 100_000, connections: int = 2, tasks: int = 1) -> Census:
    """Return a census with these figures."""
    types = collections.Counter(
        {"builtins.dict": objects, "xmlsocket.asyncio.connection.Connection": connections}
    )
    return Census(types=types, traced=2**20, descriptors=9, tasks=tasks, threads=3)


@pytest.mark.parametrize(
    ("last", "tells"),
    [
        (census(), []),
        (census(objects=100_090), []),
        (census(objects=102_000), ["objects: 100,002 became 102,002"]),
        (
            census(connections=3),
            ["xmlsocket.asyncio.connection.Connection: 2 became 3"],
        ),
        (census(tasks=2), ["tasks: 1 became 2"]),
    ],
)
def test_growth_tells_what_exceeds_a_plateau(last: Census, tells: list[str]) -> None:
    """One percent of all is noise; one object of ours, one task or one descriptor is not."""
    assert tells == growth([census(objects=50_000), census(), last])
