"""Flash movies in Ruffle, in Chromium, talk to servers of ours."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from xmlsocket import CloseReason

from . import ruffle
from .movies import HELLO, LONG

if TYPE_CHECKING:
    from .browser import Page
    from .servers import Way

pytestmark = pytest.mark.slow

SENT = [HELLO, LONG, "<many/>", "<bye/>"]
CONVERSATION = [
    "connect true",
    f"data {HELLO}",
    "xml a",
    f"data {len(LONG)}",
    "xml long",
    *["data <n/>", "xml n"] * 100,
    "data <bye/>",
]


async def play(page: Page, movie: str, url: str, port: int = ruffle.PORT) -> None:
    """Play a movie whose connections to the movies' host and ``port`` go to ``url``."""
    variables = {"host": ruffle.HOST, "port": ruffle.PORT}
    arguments = [movie, ruffle.HOST, port, url, variables]
    await page.evaluate(f"play(...{json.dumps(arguments)})")


@pytest.mark.parametrize("version", [6, 7, 8])
async def test_movie_of_actionscript_2_talks_and_closes(
    theatre: Page, way: Way, version: int
) -> None:
    """It sends text, 200 KB and more, gets it back, and many documents at once, and closes."""
    await play(theatre, f"/{version}.swf", way.url)
    await theatre.until('traces.includes("xml bye")')

    expected = ["called true", *CONVERSATION, "closed", "xml bye"]
    assert expected == await theatre.evaluate("traces")
    assert [text.encode() for text in SENT] == way.echo.frames
    assert [CloseReason.EOF] == await way.echo.ended()


async def test_movie_of_actionscript_3_talks_and_closes(theatre: Page, way: Way) -> None:
    """The movie of the demo, compiled from our source, does the same at its page's command."""
    await play(theatre, "/chat.swf", way.url)
    await theatre.until('traces.includes("connect true")')
    for text in SENT:
        await theatre.evaluate(f'movie.callExternalInterface("send", {json.dumps(text)})')
    await theatre.until('traces.includes("closed")')

    assert [*CONVERSATION, "xml bye", "closed"] == await theatre.evaluate("traces")
    assert [text.encode() for text in SENT] == way.echo.frames
    assert [CloseReason.EOF] == await way.echo.ended()


async def test_movie_many_documents_arrive_in_order(theatre: Page, way: Way) -> None:
    """A thousand documents sent in one frame of the movie all arrive, and come back."""
    await play(theatre, "/chat.swf", way.url)
    await theatre.until('traces.includes("connect true")')
    await theatre.evaluate(
        'for (let n = 0; n < 1000; n++) movie.callExternalInterface("send", `<d n="${n}"/>`)'
    )
    await theatre.until("traces.length === 2001")

    documents = [f'<d n="{n}"/>' for n in range(1000)]
    assert documents == [frame.decode() for frame in way.echo.frames]
    traces = await theatre.evaluate("traces")
    assert [f"data {document}" for document in documents] == traces[1::2]


async def test_movie_of_actionscript_2_is_told_when_the_server_closes(
    theatre: Page, way: Way
) -> None:
    """A close from the server's side reaches the movie's onClose, once."""
    await play(theatre, "/end.swf", way.url)
    await theatre.until('traces.includes("close")')

    assert ["called true", "connect true", "close"] == await theatre.evaluate("traces")
    assert [CloseReason.LOCAL] == await way.echo.ended()


async def test_movie_of_actionscript_3_is_told_when_the_server_closes(
    theatre: Page, way: Way
) -> None:
    """A close from the server's side is an event of the socket, once."""
    await play(theatre, "/chat.swf", way.url)
    await theatre.until('traces.includes("connect true")')
    await theatre.evaluate('movie.callExternalInterface("send", "<end/>")')
    await theatre.until('traces.includes("close")')

    assert ["connect true", "close"] == await theatre.evaluate("traces")
    assert [CloseReason.LOCAL] == await way.echo.ended()


async def test_movie_that_closes_at_once_loses_nothing_it_sent(theatre: Page, way: Way) -> None:
    """What a movie sends just before it closes arrives; the server then sees the end."""
    await play(theatre, "/chat.swf", way.url)
    await theatre.until('traces.includes("connect true")')
    await theatre.evaluate(
        f'movie.callExternalInterface("send", {json.dumps(LONG)}),'
        ' movie.callExternalInterface("close")'
    )
    await theatre.until('traces.includes("closed")')

    assert [CloseReason.EOF] == await way.echo.ended()
    assert [LONG.encode()] == way.echo.frames


async def test_movie_to_a_port_that_the_page_does_not_map_fails(theatre: Page, direct: Way) -> None:
    """Only what the page's socketProxy names can be reached; nothing comes to the server."""
    await play(theatre, "/chat.swf", direct.url, port=ruffle.PORT + 1)
    await theatre.until("traces.length")

    assert ["connect false"] == await theatre.evaluate("traces")
    assert [] == direct.echo.connections
