"""Flash movies in Ruffle, in Chromium, talk to the WebSocket carrier and nothing else of ours."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from xmlsocket.upgrade import WebSocketOptions

from ..support.websocket_echo import echo_server
from . import browser, ruffle
from .swf import add, doubled, get, socket_movie

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from ..support.websocket_echo import EchoServer

HELLO = '<a b="ü€😀"/>'
LONG = doubled("long", "é" * 100, 10)
MOVIES = {
    f"/{version}.swf": socket_movie(
        version,
        ruffle.HOST,
        ruffle.PORT,
        [HELLO, add("<long>", get("long"), "</long>"), "<many/>", "<bye/>"],
        setup=LONG,
    )
    for version in (6, 7, 8)
} | {"/end.swf": socket_movie(8, ruffle.HOST, ruffle.PORT, ["<end/>"])}


@pytest.fixture(scope="session")
def devtools() -> Iterator[str]:
    """Run one browser for all tests, or skip them and say what is missing."""
    program = browser.find()
    if program is None or ruffle.find() is None:
        pytest.skip(
            "NOT TESTED: Flash movies in a browser. Install chromium-headless-shell (or "
            f"chromium), and in this folder: npm install --no-save {ruffle.PACKAGE}"
        )
    with browser.running(program) as address:
        yield address


def reply(frame: bytes) -> list[bytes] | None:
    """Echo; answer ``<many/>`` with many documents, and close on ``<end/>``."""
    if frame == b"<end/>":
        return None
    return [b"<n/>"] * 100 if frame == b"<many/>" else [frame]


@contextlib.asynccontextmanager
async def playing(devtools: str, movie: str) -> AsyncIterator[tuple[browser.Page, EchoServer]]:
    """Serve a page with a movie, and play it."""
    folder = ruffle.find()
    assert folder is not None
    options = WebSocketOptions(path="/socket", pages=ruffle.pages(folder, MOVIES))
    with echo_server(options, reply=reply) as server:
        async with browser.connect(devtools) as connection:
            page = await connection.open(f"http://127.0.0.1:{server.port}/")
            where = f'"{ruffle.HOST}", {ruffle.PORT}, "ws://127.0.0.1:{server.port}/socket"'
            await page.evaluate(f'play("{movie}", {where})')
            yield page, server
            await page.close()


@pytest.mark.parametrize("version", [6, 7, 8])
async def test_movie_sends_receives_and_closes(devtools: str, version: int) -> None:
    """An ActionScript 2 movie sends text, 200 KB and more, gets it back, and closes in order."""
    async with playing(devtools, f"/{version}.swf") as (page, server):
        await page.until('traces.includes("xml bye")')
        traces = await page.evaluate("traces")

    long = "<long>" + "é" * 102400 + "</long>"
    assert [HELLO.encode(), long.encode(), b"<many/>", b"<bye/>"] == server.frames
    assert [
        "called true",
        "connect true",
        f"data {HELLO}",
        "xml a",
        f"data {len(long)}",
        "xml long",
        *["data <n/>", "xml n"] * 100,
        "data <bye/>",
        "closed",
        "xml bye",
    ] == traces
    assert [None] == [carrier.error for carrier in server.ended if carrier.status == 101]


async def test_movie_is_told_when_the_server_closes(devtools: str) -> None:
    """A close from the server's side reaches the movie's onClose, once."""
    async with playing(devtools, "/end.swf") as (page, server):
        await page.until('traces.includes("close")')

        assert await page.evaluate("traces") == ["called true", "connect true", "close"]
    assert [None] == [carrier.error for carrier in server.ended if carrier.status == 101]
