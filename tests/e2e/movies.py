"""The movies that the tests play, by the path they are served at."""

from __future__ import annotations

from importlib import resources

from . import ruffle
from .swf import add, doubled, get, socket_movie

__all__ = ["FILLER", "HELLO", "LONG", "MOVIES"]

HELLO = '<a b="ü€😀"/>'
FILLER = "é" * 100
LONG = f"<long>{FILLER * 2**10}</long>"
"""More than 200 KB in UTF-8."""

MOVIES = {
    f"/{version}.swf": socket_movie(
        version,
        ruffle.HOST,
        ruffle.PORT,
        [HELLO, add("<long>", get("filler"), "</long>"), "<many/>", "<bye/>"],
        setup=doubled("filler", FILLER, 10),
    )
    for version in (6, 7, 8)
} | {
    "/end.swf": socket_movie(8, ruffle.HOST, ruffle.PORT, ["<end/>"]),
    "/chat.swf": (resources.files("xmlsocket.cli.demo") / "web/chat.swf").read_bytes(),
}
