"""The Flash movie in the package is the one of the source beside it."""

from __future__ import annotations

import shutil
import subprocess
import zlib
from importlib import resources
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

FOLDER = resources.files("xmlsocket.cli.demo") / "web"


def unpacked(swf: bytes) -> bytes:
    """Return what a compressed movie holds."""
    assert swf.startswith(b"CWS")
    return zlib.decompress(swf[8:])


def test_movie_holds_the_source_beside_it() -> None:
    """The compiler packs the source in; a movie that was not made anew lacks the change."""
    movie = unpacked((FOLDER / "chat.swf").read_bytes())

    assert (FOLDER / "Chat.hx").read_bytes() in movie


@pytest.mark.skipif(shutil.which("haxe") is None, reason="haxe is not installed")
def test_movie_source_compiles_to_a_movie_of_the_same_parts(tmp_path: Path) -> None:
    """Where there is a compiler, the source still makes a movie, of the same frame and rate."""
    for name in ("Chat.hx", "chat.hxml"):
        (tmp_path / name).write_bytes((FOLDER / name).read_bytes())
    subprocess.run(["haxe", "chat.hxml"], cwd=tmp_path, check=True, timeout=50)

    made = (tmp_path / "chat.swf").read_bytes()
    kept = (FOLDER / "chat.swf").read_bytes()
    assert made[:4] == kept[:4]
    assert unpacked(made)[:13] == unpacked(kept)[:13]
    assert (FOLDER / "Chat.hx").read_bytes() in unpacked(made)
