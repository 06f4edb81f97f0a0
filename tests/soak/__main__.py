"""Run the soak from the command line."""

from __future__ import annotations

import argparse
import asyncio
import sys

from .census import growth
from .rounds import Soak


async def main(minutes: int, seed: int) -> int:
    """Run rounds of a minute, show each, and judge the last by the middle one."""
    soak = Soak(seed)
    taken = []
    async with soak.running():
        for minute in range(minutes):
            taken.append(await soak.round(seconds=60))
            print(f"minute {minute + 1} of {minutes}: {taken[-1]}", flush=True)  # noqa: T201
    print("clients:", ", ".join(f"{count:,} {kind}" for kind, count in soak.visits.items()))  # noqa: T201
    grown = growth(taken)
    print("\n".join(grown) or f"no growth from minute {minutes // 2 + 1} on")  # noqa: T201
    return bool(grown)


parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
parser.add_argument("--minutes", type=int, default=10, help="rounds of a minute; at least 3")
parser.add_argument("--seed", type=int, default=1)
arguments = parser.parse_args()
sys.exit(asyncio.run(main(max(3, arguments.minutes), arguments.seed)))
