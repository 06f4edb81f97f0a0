"""Documents from a file or a pipe, for an event loop that must not wait for them."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING, TypeAlias

from .. import Decoder, IncompleteFrame

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from io import FileIO

__all__ = ["documents", "holds_zero_byte"]

_READ = 2**16
# Pieces of `_READ` bytes that may wait for the network before reading pauses.
_AHEAD = 4

_Item: TypeAlias = "list[bytes] | OSError | None"


def holds_zero_byte(file: FileIO) -> bool:
    """Look through a file that can be rewound, and rewind it; a pipe is left alone."""
    if not file.seekable():
        return False
    start = file.tell()
    try:
        return any(b"\0" in data for data in iter(lambda: file.read(_READ), b""))
    finally:
        file.seek(start)


def _lines(file: FileIO) -> Iterator[list[bytes]]:
    """Yield the lines that each read completes, without their ends and without blank ones."""
    unfinished: list[bytes] = []
    while data := file.read(_READ):
        head, newline, tail = data.rpartition(b"\n")
        if newline:
            yield _documents(b"".join([*unfinished, head]))
            unfinished = [tail]
        else:
            unfinished.append(data)
    yield _documents(b"".join(unfinished))


def _documents(lines: bytes) -> list[bytes]:
    return [line.removesuffix(b"\r") for line in lines.split(b"\n") if line.strip()]


def _frames(file: FileIO) -> Iterator[list[bytes]]:
    """Yield the documents that each read completes; the last one needs no zero byte."""
    decoder = Decoder(max_size=None)
    while data := file.read(_READ):
        yield decoder.feed(data)
    try:
        decoder.feed_eof()
    except IncompleteFrame as exc:
        yield [exc.partial]


async def documents(file: FileIO, *, zero_bytes: bool) -> AsyncIterator[list[bytes]]:
    """
    Yield the documents of a file as they come.

    Args:
        file: Unbuffered, which lets a terminal or a pipe give what it has. It
            is closed by the thread that reads it, when it has come to an end.
        zero_bytes: Each document ends with a zero byte; otherwise each line is
            one, and blank lines are none.

    Raises:
        OSError: If the file cannot be read.

    """
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[_Item] = asyncio.Queue()
    slots = threading.Semaphore(_AHEAD)
    left = False

    def put(item: _Item) -> None:
        # RuntimeError: the loop has closed, so nobody waits for the item.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(queue.put_nowait, item)

    def read() -> None:
        with file:
            try:
                for batch in _frames(file) if zero_bytes else _lines(file):
                    slots.acquire()
                    if left:
                        return
                    put(batch)
                put(None)
            except OSError as exc:
                put(exc)

    # A thread of our own that dies with the process: those of run_in_executor()
    # are waited for at exit, and this one may wait for a pipe that never ends.
    threading.Thread(target=read, name="xmlsocket input", daemon=True).start()
    try:
        while (item := await queue.get()) is not None:
            if isinstance(item, OSError):
                raise item
            slots.release()
            if item:
                yield item
    finally:
        left = True
        slots.release()
