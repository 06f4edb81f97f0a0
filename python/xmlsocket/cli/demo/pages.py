"""What the demo serves to browsers: the chat page, the movie, and Ruffle, which plays it."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from ...upgrade import Page, WebSocketOptions

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

__all__ = ["MOVIE", "PAGE", "RUFFLE", "options", "ruffle_files"]

PAGE, MOVIE = "/chat", "/flash"
"""Where the page and the movie open their WebSockets."""

RUFFLE = Path("node_modules", "@ruffle-rs", "ruffle")
"""Where npm installs Ruffle, in the folder that the command is run in."""

_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".swf": "application/x-shockwave-flash",
    ".wasm": "application/wasm",  # browsers compile nothing else while it arrives
}


def options(ruffle: Path = RUFFLE) -> WebSocketOptions:
    """
    Return what a server has to serve for the page.

    Args:
        ruffle: Folder of Ruffle's files. Where there are none, the page says so
            in the movie's place.

    """
    pages = _files(resources.files("xmlsocket.cli.demo") / "web")
    index = pages.pop("index.html")
    player = ruffle_files(ruffle)
    if player:
        index = Page(index.body.replace(b'data-ruffle="absent"', b'data-ruffle="installed"'))
    served = {f"/{name}": page for name, page in pages.items()}
    return WebSocketOptions(path=(PAGE, MOVIE), pages={"/": index, **served, **player})


def ruffle_files(folder: Path) -> dict[str, Page]:
    """Return Ruffle's files by the paths to serve them at; none if they are not there."""
    if not (folder / "ruffle.js").is_file():
        return {}
    return {f"/ruffle/{name}": page for name, page in _files(folder).items()}


def _files(folder: Traversable) -> dict[str, Page]:
    return {
        file.name: Page(file.read_bytes(), _TYPES[suffix])
        for file in folder.iterdir()
        if (suffix := Path(file.name).suffix) in _TYPES
    }
