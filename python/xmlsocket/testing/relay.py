"""The relay of the proxies: both directions of one connection, to their end."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

from .direction import Closed, Reset

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .direction import Direction
    from .stream import SocketStream

__all__ = ["relay"]

# For how long a peer may still send after `Faults.limit`.
_LINGER_TIME: Final = 1.0


async def relay(streams: Iterable[SocketStream], directions: Iterable[Direction]) -> None:
    """
    Carry bytes until both directions have ended, and close.

    What one side does, the other sees: an end of its direction, or a reset. If
    this is cancelled, both are reset.

    Args:
        streams: Both sides.
        directions: What carries from one to the other.

    """
    streams = tuple(streams)
    in_order = False
    try:
        async with asyncio.TaskGroup() as group:
            for direction in directions:
                group.create_task(direction.read())
                group.create_task(direction.write())
        in_order = True
    except* Reset:
        pass
    except* Closed:
        await _close_in_order(streams)
        in_order = True
    finally:
        for stream in streams:
            stream.close(reset=not in_order)


async def _close_in_order(streams: Iterable[SocketStream]) -> None:
    """End both ways and read what still comes, lest the system answers with a reset."""

    async def drain(stream: SocketStream) -> None:
        with contextlib.suppress(OSError):
            await stream.finish()
            while await stream.read():
                pass

    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_LINGER_TIME):
            await asyncio.gather(*map(drain, streams))
