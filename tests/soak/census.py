"""Counts what a process holds."""

from __future__ import annotations

import asyncio
import collections
import dataclasses
import gc
import os
import threading
import tracemalloc

__all__ = ["Census", "growth"]

TOLERANCE = 0.01
"""By what part the last census may exceed the middle one."""

NOISE = 2**16
"""Bytes by which the memory of an idle process differs from one look to the next."""


@dataclasses.dataclass(frozen=True)
class Census:
    """
    What the process held at one time.

    Attributes:
        types: How many objects of each type the garbage collector knows.
        traced: Bytes that Python has allocated.
        descriptors: Files, sockets and selectors that are open.
        tasks: Tasks of the running loop.
        threads: Threads that are alive.

    """

    types: collections.Counter[str]
    traced: int
    descriptors: int
    tasks: int
    threads: int

    @classmethod
    def take(cls, spared: int = 0) -> Census:
        """
        Count; the garbage has to be collected already.

        Args:
            spared: Bytes of earlier censuses, which are not to be counted.

        """
        traced = tracemalloc.get_traced_memory()[0] - spared
        return cls(
            types=collections.Counter(
                f"{kind.__module__}.{kind.__qualname__}" for kind in map(type, gc.get_objects())
            ),
            traced=traced,
            descriptors=len(os.listdir("/dev/fd")),  # noqa: PTH208 - a path would hold one more
            tasks=len(asyncio.all_tasks()),
            threads=threading.active_count(),
        )

    @property
    def objects(self) -> int:
        """All objects that the garbage collector knows."""
        return self.types.total()

    def __str__(self) -> str:
        return (
            f"{self.objects:,} objects, {self.traced / 2**20:.2f} MiB traced,"
            f" {self.descriptors} descriptors, {self.tasks} tasks, {self.threads} threads"
        )


def growth(taken: list[Census], tolerance: float = TOLERANCE) -> list[str]:
    """Tell in what the last census exceeds the middle one; nothing is a plateau."""
    middle, last = taken[len(taken) // 2], taken[-1]
    found = []
    for name, noise in (("objects", 0), ("traced", NOISE)):
        before, after = getattr(middle, name), getattr(last, name)
        if after - before > max(noise, tolerance * before):
            found.append(f"{name}: {before:,} became {after:,}")
    for name in ("descriptors", "tasks", "threads"):
        before, after = getattr(middle, name), getattr(last, name)
        if before != after:
            found.append(f"{name}: {before} became {after}")
    # A hundred of ours would be lost in one percent of all.
    more = last.types - middle.types
    found += [
        f"{name}: {middle.types[name]} became {last.types[name]}"
        for name, count in more.most_common()
        if name.startswith("xmlsocket") or count > max(100, tolerance * middle.types[name] * 10)
    ]
    return found
