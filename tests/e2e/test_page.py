"""The chat page of the demo, used as people use it, in windows of a real browser."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
from typing import TYPE_CHECKING, Any

import pytest

import xmlsocket
from tests.cli.support import serving
from xmlsocket.cli.demo import pages
from xmlsocket.cli.demo.room import Room
from xmlsocket.cli.serve import open_server

from . import ruffle
from .conftest import need

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from xmlsocket import Connection, Server

    from .browser import Browser, Page

pytestmark = pytest.mark.slow

ANYWHERE = '<MESSAGE USER="tcp" TEXT="&lt;b&gt;fat&lt;/b&gt; ü€😀"/>'

OPEN = 'document.getElementById("status").dataset.state === "open"'
SETTLED = 'document.getElementById("log").ariaBusy === "false"'
ENTRIES = '[...document.querySelectorAll("#log li")]'


def port_of(server: Server[bytes]) -> int:
    """Return the port that a server has got."""
    port: int = server.sockets[0].getsockname()[1]
    return port


@contextlib.asynccontextmanager
async def open_room(
    port: int = 0, player: Path | None = None
) -> AsyncIterator[tuple[Room, Server[bytes]]]:
    """Serve a room in which everyone may speak, with its page."""
    room = Room()
    options = pages.options(player or ruffle.ROOT / "nowhere")
    room.server = await open_server(room, "127.0.0.1", port, websocket=options)
    room.open()
    # Sooner than the limit of pytest, which would end the loop that all tests share.
    async with asyncio.timeout(40), room.server:
        reporting = asyncio.create_task(room.report())
        try:
            yield room, room.server
        finally:
            reporting.cancel()


@contextlib.asynccontextmanager
async def window(chromium: Browser, server: Server[bytes]) -> AsyncIterator[Page]:
    """Open the page in a window and wait until it is in the room."""
    page = await chromium.open(f"http://127.0.0.1:{port_of(server)}/")
    try:
        await page.until(f"{OPEN} && {SETTLED}")
        yield page
        # Nothing goes wrong unseen: the content security policy speaks up here too.
        assert [] == page.console
    finally:
        await page.close()


def joined(server: Server[bytes]) -> Any:
    """Connect a TCP client to the room."""
    return xmlsocket.connect("127.0.0.1", port_of(server), parse=bytes.decode)


async def announced(connection: Connection[str], server: Server[bytes], text: str) -> None:
    """Send, and wait until the server knows the connection: it looks at the first bytes."""
    await connection.send(text)
    while not any(not other.path for other in server.connections):
        await asyncio.sleep(0.01)


async def say(page: Page, text: str) -> None:
    """Say something as one does: type, and press Enter."""
    await page.evaluate('document.getElementById("text").focus()')
    await page.type(text)
    await page.press("Enter")


async def said(page: Page, text: str) -> None:
    """Wait until the page shows that someone says ``text``."""
    await page.until(f"{ENTRIES}.some(entry => entry.innerText.includes({json.dumps(text)}))")


async def test_page_two_windows_and_a_tcp_client_talk(
    chromium: Browser, keep: Callable[[str, bytes], None]
) -> None:
    """What one says all others read, letter by letter; markup in it stays text."""
    async with open_room() as (_, server), joined(server) as client:
        await announced(client, server, "<here/>")
        async with window(chromium, server) as one, window(chromium, server) as two:
            await one.evaluate('document.getElementById("user").value = "Øne & \\"co\\""')
            await say(one, "<i>hi</i> ü€😀 & \"so\" 'on'")
            await said(two, "<i>hi</i> ü€😀 & \"so\" 'on'")
            document = xmlsocket.parse((await client.recv()).encode())
            assert {"USER": 'Øne & "co"', "TEXT": "<i>hi</i> ü€😀 & \"so\" 'on'"} == dict(
                document.attrib
            )

            await client.send(ANYWHERE)
            for page in (one, two):
                await said(page, "<b>fat</b> ü€😀")
                assert not await page.evaluate('document.querySelector("#log i, #log b b")')

            await say(two, "yes")
            await said(one, "yes")
            assert "yes" == xmlsocket.parse((await client.recv()).encode()).get("TEXT")
            assert 1 == await two.evaluate('document.querySelectorAll("#log .mine").length')
            keep("two-windows", await two.screenshot())


async def test_page_shows_documents_that_are_no_messages(chromium: Browser) -> None:
    """200 KB are shown cut, with their length; what is no XML, or empty, is shown as it is."""
    large = f"<large>{'é' * 102400}</large>"
    async with open_room() as (_, server), window(chromium, server) as page:
        async with joined(server) as client:
            await client.send_many([large, "%xt%s%m#sp%-1%10%20%", "", "<MESSAGE oops"])
            await said(page, "%xt%s%m#sp%-1%10%20%")
            await said(page, "<MESSAGE oops")

        entries = await page.evaluate(f"{ENTRIES}.map(entry => entry.innerText)")
        assert f"{large[:300]} … (102,415 characters)" == entries[0]
        assert ["%xt%s%m#sp%-1%10%20%", "an empty document", "<MESSAGE oops"] == entries[1:]


async def test_page_decoder_does_not_depend_on_how_the_stream_is_cut(chromium: Browser) -> None:
    """Byte by byte, inside characters too, the page's codec finds the same documents."""
    documents = ['<a b="ü€😀"/>', "", "<c/>"]
    async with open_room() as (_, server), window(chromium, server) as page:
        script = f"""import("/frames.js").then(({{Decoder, encode}}) => {{
            const decoder = new Decoder();
            const bytes = {json.dumps(documents)}.flatMap(document => [...encode(document)]);
            return bytes.flatMap(byte => decoder.feed(Uint8Array.of(byte).buffer));
        }})"""

        assert documents == await page.evaluate(script)


async def test_page_flood_is_counted_rather_than_shown(chromium: Browser) -> None:
    """Thousands of documents at once leave a page that works, a few lines long."""
    async with open_room() as (_, server), window(chromium, server) as page:
        async with joined(server) as client:
            await client.send_many([f'<m n="{n}"/>' for n in range(20_000)])
            await said(page, '<m n="19999"/>')
            await said(page, "more documents, too quick to show")
            for batch in range(6):
                await client.send_many([f'<b n="{batch}.{n}"/>' for n in range(60)])
                await said(page, f'<b n="{batch}.59"/>')

        assert await page.evaluate(f"{ENTRIES}.length") <= 300
        await say(page, "still here")
        await said(page, "still here")


async def test_page_draws_what_the_server_counts(chromium: Browser) -> None:
    """Connections, documents and bytes are figures, lines, and words for those who listen."""
    async with open_room() as (_, server), joined(server) as client:
        await announced(client, server, "<here/>")
        async with window(chromium, server) as page:
            await page.until('document.querySelector("#connections b").textContent === "2"')
            await client.send_many(["<d/>"] * 500)
            # Two samples may share the 500.
            peak = r"/peak (\d+)/.exec(document.querySelector('#documents .now').innerText)[1]"
            await page.until(f"{peak} > 200")

            for name in ("connections", "documents", "bytes"):
                label = await page.evaluate(
                    f'document.querySelector("#{name} svg").getAttribute("aria-label")'
                )
                assert "last minute: now " in label
                assert await page.evaluate(
                    f'document.querySelector("#{name} svg .in").getTotalLength() > 0'
                )


async def test_page_believes_figures_of_the_server_only(chromium: Browser) -> None:
    """A document like the server's figures, sent by a client, does not reach the pages."""
    async with open_room() as (_, server), window(chromium, server) as page:
        async with joined(server) as client:
            false = '<stats started="1" at="1" connections="999" accepted="999"/>'
            await client.send_many([false, "<after/>"])
            await said(page, "<after/>")

        assert "999" not in await page.evaluate("document.body.innerText")


async def test_page_that_comes_later_is_told_the_past(chromium: Browser) -> None:
    """Messages said before are there, each once, and nothing else; so are the figures."""
    async with open_room() as (room, server):
        async with joined(server) as client:
            await client.send_many([ANYWHERE, "<no-message/>"])
            while room.relayed < 2:
                await asyncio.sleep(0.01)
        async with window(chromium, server) as page:
            await said(page, "<b>fat</b> ü€😀")
            assert 1 == await page.evaluate(f"{ENTRIES}.length")


async def test_page_comes_back_when_the_server_does(chromium: Browser) -> None:
    """A lost server is told, what was typed stays, and the page connects again by itself."""
    async with open_room() as (_, server):
        port = port_of(server)
        page = await chromium.open(f"http://127.0.0.1:{port}/")
        await page.until(OPEN)
    await page.until('document.getElementById("status").dataset.state === "closed"')
    assert await page.evaluate('document.getElementById("send").disabled')
    assert "no connection" in await page.evaluate('document.getElementById("status").innerText')
    await say(page, "kept")
    assert "kept" == await page.evaluate('document.getElementById("text").value')

    async with open_room(port):
        await page.until(OPEN)
        await page.press("Enter")
        await said(page, "kept")
        assert "" == await page.evaluate('document.getElementById("text").value')
        await page.close()


async def test_page_works_with_the_keyboard_alone(chromium: Browser) -> None:
    """Tab walks through everything in the order of the page; every field has a label."""
    async with open_room() as (_, server), window(chromium, server) as page:
        walked = []
        for _ in range(5):
            await page.press("Tab")
            walked.append(await page.evaluate("document.activeElement.id"))

        assert ["raw", "log", "user", "text", "send"] == walked
        assert await page.evaluate(
            '[...document.querySelectorAll("input")].every(input => input.labels.length === 1)'
        )


@pytest.mark.parametrize("width", [1280, 800, 390, 320])
async def test_page_fits_the_window(chromium: Browser, width: int) -> None:
    """No window is too narrow: nothing has to be scrolled sideways."""
    async with open_room() as (_, server), window(chromium, server) as page:
        await page.look(width=width, height=800)
        await say(page, "x" * 200)
        await page.until(f"{ENTRIES}.length")

        assert await page.evaluate("document.documentElement.scrollWidth") <= width


async def test_page_without_ruffle_says_what_to_install(chromium: Browser) -> None:
    """Where there is no player there is no empty box, but the command that brings it."""
    async with open_room() as (_, server), window(chromium, server) as page:
        text = await page.evaluate('document.querySelector(".flash").innerText')

        assert "npm install @ruffle-rs/ruffle" in text


async def test_page_movie_talks_in_the_same_room(chromium: Browser) -> None:
    """What is typed into the Flash movie, with mouse and keys, the page and a TCP client read."""
    need("Ruffle")
    async with open_room(player=ruffle.find()) as (_, server), joined(server) as client:
        await announced(client, server, "<here/>")
        page = await chromium.open(f"http://127.0.0.1:{port_of(server)}/")
        await said(page, "A Flash movie has joined.")
        assert "A Flash movie has joined." in await client.recv()
        box = await page.evaluate(
            'document.getElementById("movie").scrollIntoView(),'
            "(({x, y, width, height}) => [x, y, width, height])"
            '(document.getElementById("movie").getBoundingClientRect())'
        )
        await page.click(box[0] + box[2] * 0.3, box[1] + box[3] * 0.91)
        await page.type("hi from 1999")
        await page.press("Enter")
        await said(page, "hi from 1999")

        assert '<MESSAGE USER="Flash" TEXT="hi from 1999"/>' == await client.recv()
        await page.close()


async def test_demo_page_shows_the_conversation_of_the_five(
    chromium: Browser, keep: Callable[[str, bytes], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`xmlsocket demo --stay` serves it; wide and narrow, light and dark, kept as pictures."""
    monkeypatch.chdir(ruffle.ROOT)
    with serving("--stay", command="demo") as server:
        assert server.process.stdout is not None
        url = f"http://127.0.0.1:{server.port}/"
        lines = iter(server.process.stdout.readline, b"")
        assert any(line.decode() == f"chat page: {url}\n" for line in lines)
        page = await chromium.open(url)
        await said(page, "Hello! Who is here?")
        await said(page, "That was it.")
        await say(page, "Looks good.")
        if ruffle.find() is not None:
            await said(page, "A Flash movie has joined.")
        for width, height in ((1280, 1250), (390, 1500)):
            for dark in (False, True):
                await page.look(width=width, height=height, dark=dark)
                name = f"page-{width}-{'dark' if dark else 'light'}"
                keep(name, await page.screenshot())
        await page.close()
        status, _, err = server.stop(signal.SIGINT)

    assert (0, b"") == (status, err)
