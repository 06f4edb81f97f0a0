"""Documents from a file or a pipe."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from io import FileIO
from typing import TYPE_CHECKING

import pytest

from xmlsocket.cli import feed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


async def _all(file: FileIO, *, zero_bytes: bool) -> list[bytes]:
    batches = [batch async for batch in feed.documents(file, zero_bytes=zero_bytes)]
    assert all(batches), "a batch is never empty"
    return [document for batch in batches for document in batch]


@contextlib.contextmanager
def _file(path: Path, data: bytes) -> Iterator[FileIO]:
    path.write_bytes(data)
    with path.open("rb", buffering=0) as file:
        yield file


@pytest.mark.parametrize(
    ("data", "documents"),
    [
        (b"", []),
        (b"<a/>", [b"<a/>"]),
        (b"<a/>\n", [b"<a/>"]),
        (b"<a/>\r\n<b/>\r\n", [b"<a/>", b"<b/>"]),
        (b"\n  \n<a/>\n\t\r\n\n<b/>\n", [b"<a/>", b"<b/>"]),
        (b"  <a/> \n", [b"  <a/> "]),
        (b"<a>\r</a>\r\r\n", [b"<a>\r</a>\r"]),
        (b"<a>" + b"x" * 200_000 + b"</a>\n<b/>", [b"<a>" + b"x" * 200_000 + b"</a>", b"<b/>"]),
    ],
)
async def test_documents_by_line(tmp_path: Path, data: bytes, documents: list[bytes]) -> None:
    """A line is a document without its end; blank lines are none; nothing else is touched."""
    with _file(tmp_path / "input", data) as file:
        assert documents == await _all(file, zero_bytes=False)


@pytest.mark.parametrize(
    ("data", "documents"),
    [
        (b"", []),
        (b"<a/>\0", [b"<a/>"]),
        (b"<a/>\0<b>\n</b>\n\0", [b"<a/>", b"<b>\n</b>\n"]),
        (b"<a/>\0<b/>", [b"<a/>", b"<b/>"]),
        (b"\0\0<a/>\0", [b"", b"", b"<a/>"]),
        (b"x" * 3_000_000 + b"\0y", [b"x" * 3_000_000, b"y"]),
    ],
)
async def test_documents_by_zero_byte(tmp_path: Path, data: bytes, documents: list[bytes]) -> None:
    """A zero byte ends a document, an empty one too; the last one needs none; no size limit."""
    with _file(tmp_path / "input", data) as file:
        assert documents == await _all(file, zero_bytes=True)


async def test_documents_come_while_the_pipe_is_open() -> None:
    """A document is there as soon as its line is complete, whatever the writer does next."""
    reader, writer = os.pipe()
    with FileIO(reader) as file, FileIO(writer, "wb") as end:
        batches = feed.documents(file, zero_bytes=False)
        end.write(b"<a/>\n<b")

        async with asyncio.timeout(20):
            assert [b"<a/>"] == await anext(batches)
            end.write(b"/>\n")
            assert [b"<b/>"] == await anext(batches)
            end.close()
            assert [] == [batch async for batch in batches]


class _Endless(FileIO):
    """Lines without end, and a count of the reads."""

    def __init__(self) -> None:
        super().__init__(os.devnull, "rb")
        self.reads = 0
        self.taken = 0
        self.ahead = 0

    def read(self, size: int | None = -1, /) -> bytes:
        """Return one line and note how far reading has run ahead of taking."""
        self.reads += 1
        self.ahead = max(self.ahead, self.reads - self.taken)
        return b"<a/>\n" if self.reads < 1000 else b""


async def test_documents_are_read_only_a_little_ahead() -> None:
    """Reading waits for those who take the documents, or a file would end up in memory."""
    with _Endless() as file:
        async for batch in feed.documents(file, zero_bytes=False):
            assert [b"<a/>"] == batch
            file.taken += 1

        assert 999 == file.taken
        # The pieces that may wait, the one being taken and the one being read.
        assert file.ahead <= 6


async def test_documents_left_early_lets_the_file_go() -> None:
    """Who stops taking documents leaves no thread behind that waits for him."""
    with _Endless() as file:
        batches = feed.documents(file, zero_bytes=False)
        await anext(batches)
        await batches.aclose()  # type: ignore[attr-defined]
        for thread in threading.enumerate():
            if thread.name == "xmlsocket input":
                thread.join(20)

        assert file.closed


async def test_documents_unreadable_file_raises_where_it_is_read(tmp_path: Path) -> None:
    """An error of the file comes out of the iteration, not out of a thread."""
    path = tmp_path / "input"
    path.touch()
    with path.open("wb", buffering=0) as file:
        with pytest.raises(OSError, match="not open for reading"):
            await _all(file, zero_bytes=False)


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"", False),
        (b"<a/>\n", False),
        (b"<a/>\0", True),
        (b"x" * 200_000 + b"\0", True),
    ],
)
def test_holds_zero_byte_looks_through_a_file_and_rewinds_it(
    tmp_path: Path, data: bytes, found: bool
) -> None:
    """Afterwards the file is where it was, also when it was not at its beginning."""
    with _file(tmp_path / "input", b"head" + data) as file:
        file.seek(4)

        assert found is feed.holds_zero_byte(file)
        assert 4 == file.tell()


def test_holds_zero_byte_leaves_a_pipe_alone() -> None:
    """What was read from a pipe could not be put back."""
    reader, writer = os.pipe()
    with FileIO(reader) as file, FileIO(writer, "wb") as end:
        end.write(b"a\0")

        assert not feed.holds_zero_byte(file)
        assert b"a\0" == file.read(2)
