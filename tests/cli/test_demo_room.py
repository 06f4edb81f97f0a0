"""The demo's room and what it serves to browsers, without a browser."""

from __future__ import annotations

import contextlib
import importlib.util
import re
import socket
from typing import TYPE_CHECKING, Any

import xmlsocket
from tests.cli.support import serving
from xmlsocket.cli.demo import command, pages, script, stage
from xmlsocket.cli.demo.room import Room
from xmlsocket.cli.serve import open_server

from .test_demo import Seen

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import pytest

HELLO = b'<MESSAGE USER="a" TEXT="hello"/>'
SMALL = script.write(script.traffic(), chorus=10)


@contextlib.asynccontextmanager
async def open_room() -> AsyncIterator[tuple[Room, str, int]]:
    """Serve a room; yields it with the address of its page and its port."""
    room = Room()
    room.server = await open_server(room, "127.0.0.1", 0, **command._one_port())
    async with room.server:
        port = room.server.sockets[0].getsockname()[1]
        yield room, f"ws://127.0.0.1:{port}{pages.PAGE}", port
        room.open()


def join(address: str) -> Any:
    """Open the WebSocket of a page."""
    return xmlsocket.connect_websocket(address, parse=bytes, skip_empty=False)


async def test_room_what_pages_say_waits_until_it_is_open() -> None:
    """Words of a page reach nobody before `open`, then all of them, in their order."""
    async with open_room() as (room, address, port), join(address) as page:
        await page.send_many([HELLO, b"<second/>"])
        async with xmlsocket.connect("127.0.0.1", port, parse=bytes) as client:
            await client.send(b"<from-tcp/>")
            assert b"<from-tcp/>" == await page.recv()
            assert 1 == room.relayed
            room.open()
            assert [HELLO, b"<second/>"] == [await client.recv(), await client.recv()]


async def test_room_tells_a_page_the_past_then_figures() -> None:
    """A page gets the messages of before, nothing else of it, and what the server counted."""
    async with open_room() as (room, address, port):
        room.open()
        async with xmlsocket.connect("127.0.0.1", port, parse=bytes) as client:
            long = HELLO[:-3] + b"." * 5000 + b'"/>'
            await client.send_many([HELLO, b"<other/>", long, b'<stats at="0"/>'])
            async with join(address) as other:
                # Served after what came before it on this loop, or told live.
                assert HELLO == await other.recv()
            room._samples.append(room._figures(room.server.stats()))
            async with join(address) as page:
                assert HELLO == await page.recv()
                figures = xmlsocket.parse(await page.recv())

    assert "stats" == figures.tag
    assert "4" == figures.get("documents-in")
    assert str(sum(map(len, (HELLO, b"<other/>", long, b'<stats at="0"/>'))) + 4) == (
        figures.get("bytes-in")
    )


async def test_perform_with_a_page_that_speaks_has_no_errors() -> None:
    """A page that listens and speaks from the start does not disturb the five."""
    async with open_room() as (room, address, _), join(address) as page:
        await page.send(HELLO)
        outcome = await stage.perform(room.server, room, SMALL, Seen())
        heard = [await page.recv() for _ in range(SMALL.documents)]

    assert ([], 0) == (outcome.failures, outcome.errors)
    assert {document for part in SMALL.parts for document in part.says} == set(heard)


def test_options_serve_all_that_the_page_asks_for(tmp_path: Path) -> None:
    """Every file that the page names is served, with its type, and nothing is from elsewhere."""
    served = pages.options(tmp_path).pages

    assert served["/"].content_type.startswith("text/html")
    assert b'data-ruffle="absent"' in served["/"].body
    assert "application/x-shockwave-flash" == served["/chat.swf"].content_type
    for path, page in served.items():
        if path.endswith(".swf"):
            continue
        text = page.body.decode()
        assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text), path
        for name in re.findall(r'(?:href|src|from|url:)\s*=?\s*"(\.?/[\w.]+)"', text):
            assert name.removeprefix(".") in served, f"{path} asks for {name}"


def test_options_with_ruffle_say_so(tmp_path: Path) -> None:
    """Where Ruffle's files are, they are served, and the page knows; sources stay at home."""
    for name in ("ruffle.js", "core.wasm", "ruffle.js.map", "LICENSE_MIT"):
        (tmp_path / name).write_bytes(b"")
    served = pages.options(tmp_path).pages

    assert b'data-ruffle="installed"' in served["/"].body
    assert {"/ruffle/ruffle.js", "/ruffle/core.wasm"} == {
        path for path in served if path.startswith("/ruffle/")
    }
    assert "application/wasm" == served["/ruffle/core.wasm"].content_type


def test_demo_without_websockets_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without the package for WebSockets there is no page, and a line says what to install."""
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "websockets" else found(name)
    )

    class Listening:
        def __init__(self, sock: socket.socket) -> None:
            self.sockets = (sock,)

    with socket.create_server(("127.0.0.1", 0)) as sock:
        server: Any = Listening(sock)
        command._say_where(server)

    assert ["policy"] == list(command._one_port())
    assert "for a chat page in the browser: pip install 'xmlsocket[websocket]'\n" in (
        capsys.readouterr().out
    )


def test_demo_answers_the_policy_request_of_flash_player() -> None:
    """A real Flash Player may connect as well: from pages of this machine, to this port."""
    with serving("--stay", command="demo") as server:
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as sock:
            sock.sendall(b"<policy-file-request/>\0")
            answer = b"".join(iter(lambda: sock.recv(65536), b""))

    assert answer.endswith(b"\0")
    policy = xmlsocket.Policy.parse(answer[:-1])
    assert policy.allows("localhost", server.port)
    assert not policy.allows("example.com", server.port)
