"""Sends the client's side of a recording again, and compares what comes back."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import itertools
from typing import TYPE_CHECKING

from ...codec import Decoder
from ...reasons import reason
from .proxy import open_stream
from .record import Event, Record

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ..conformance import Endpoint
    from ..stream import SocketStream

__all__ = ["Outcome", "replay"]

_SENT = frozenset({Event.FRAME, Event.UNFINISHED, Event.END})


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """
    What became of one connection that was sent again.

    Attributes:
        connection: Its number in the recording.
        sent: Frames that were sent.
        wanted: Frames that the server sent when it was recorded.
        came: Frames that it sent now.
        failure: Why it could not be sent whole; None if it was.

    """

    connection: int
    sent: int
    wanted: Sequence[bytes]
    came: Sequence[bytes]
    failure: str | None = None

    @property
    def difference(self) -> int | None:
        """Which frame of the server is the first that differs, from 0; None if none does."""
        pairs = itertools.zip_longest(self.wanted, self.came)
        return next((at for at, (old, new) in enumerate(pairs) if old != new), None)


async def replay(
    records: Iterable[Record], target: Endpoint, *, fast: bool = False, wait: float = 1.0
) -> list[Outcome]:
    """
    Send what clients sent to a server.

    Args:
        records: A recording. All its connections are opened at the times, counted
            from the first of them, at which they were.
        target: The server; TCP, TLS or Unix.
        fast: Do not wait for the times: send as soon as as many frames have come
            as had come when it was recorded, each after at most ``wait`` seconds.
        wait: Seconds that answers may take after the last frame was sent.

    Returns:
        One for each connection, in their order.

    Raises:
        ValueError: If a frame was not recorded whole, or there is no connection.

    """
    connections: dict[int, list[Record]] = {}
    for record in records:
        cut = record.data is not None and record.size != len(record.data)
        if record.side == "client" and cut:
            raise ValueError(
                f"a frame of connection {record.connection} was recorded cut, see --max-size"
            )
        connections.setdefault(record.connection, []).append(record)
    if not connections:
        raise ValueError("no connection to send again")
    first = min(lines[0].time for lines in connections.values())
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(
                _Connection(
                    lines, fast=fast, wait=wait, late=(lines[0].time - first).total_seconds()
                ).run(target)
            )
            for lines in connections.values()
        ]
    return [task.result() for task in tasks]


class _Connection:
    """One connection that is sent again."""

    def __init__(self, records: Sequence[Record], *, fast: bool, wait: float, late: float) -> None:
        self._records = records
        self._fast = fast
        self._wait = wait
        self._late = 0.0 if fast else late
        self._wanted = [
            record.data or b""
            for record in records
            if record.side == "server" and record.event is Event.FRAME
        ]
        self._came: list[bytes] = []
        self._decoder = Decoder(max_size=None)
        self._news = asyncio.Condition()
        self._over = False
        self._sent = 0

    async def run(self, target: Endpoint) -> Outcome:
        """Send, and read beside it."""
        failure = None
        try:
            await asyncio.sleep(self._late)
            stream = await open_stream(target)
            reading = asyncio.create_task(self._read(stream))
            try:
                await self._send(stream)
                await self._until(len(self._wanted))
            finally:
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)
                stream.close()
        except (OSError, UnicodeError) as exc:
            failure = reason(exc)
        number = self._records[0].connection
        return Outcome(number, self._sent, self._wanted, self._came, failure)

    async def _send(self, stream: SocketStream) -> None:
        started = asyncio.get_running_loop().time()
        before = 0
        for record in self._records:
            if record.side == "server":
                before += record.event is Event.FRAME
            elif record.side == "client" and record.event in _SENT:
                if self._fast:
                    await self._until(before)
                else:
                    now = asyncio.get_running_loop().time()
                    await asyncio.sleep(started + record.seconds - now)
                await self._do(record, stream)

    async def _do(self, record: Record, stream: SocketStream) -> None:
        if record.event is Event.END:
            # What answered the last frame may still be on its way.
            await self._until(len(self._wanted))
            await stream.finish()
        else:
            assert record.data is not None
            whole = record.event is Event.FRAME
            await stream.write(record.data + b"\0" if whole else record.data)
            self._sent += whole

    async def _until(self, count: int) -> None:
        """Wait until so many frames have come, or none will, but not for long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._wait), self._news:
                await self._news.wait_for(lambda: self._over or len(self._came) >= count)

    async def _read(self, stream: SocketStream) -> None:
        try:
            while data := await stream.read():
                await self._tell(self._decoder.feed(data))
        except OSError:
            pass  # what came until then counts
        finally:
            self._over = True
            await self._tell([])

    async def _tell(self, frames: Sequence[bytes]) -> None:
        async with self._news:
            self._came += frames
            self._news.notify_all()
