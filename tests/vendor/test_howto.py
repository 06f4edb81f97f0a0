"""The page about vendoring: its files and commands do what it shows."""

from __future__ import annotations

import os
import re
import runpy
import shutil
import socket
import subprocess
import sys
import tarfile
import threading
from typing import TYPE_CHECKING

import pytest

from tests.docs.pages import DOCS, blocks

from .tools import PATIENCE, ROOT, TARGET, need, run

if TYPE_CHECKING:
    from pathlib import Path

PAGE = (DOCS / "how-to" / "vendor.md").read_text("utf-8")
HERE = "tests/vendor/test_howto.py "

# Not the folder of the other tests: cargo would take what it built from the repository
# for what it would build from the sdist.
SDIST_TARGET = TARGET / "sdist"


def unpack_sdist(to: Path) -> None:
    """Make an sdist and unpack it."""
    work = to.parent / "sdist"
    run(sys.executable, "-m", "maturin", "sdist", "--out", work)
    (sdist,) = work.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(work, filter="data")
    (work / sdist.name.removesuffix(".tar.gz")).rename(to)
    SDIST_TARGET.mkdir(parents=True, exist_ok=True)
    (to / "target").symlink_to(SDIST_TARGET)


class Shell:
    """One shell for the whole page, as a reader has one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.script = "set -e\n"

    def run(self, command: str) -> str:
        """Run a command after those that only set variables, and return what it prints."""
        if command.startswith("export "):
            self.script += command + "\n"
            return ""
        done = subprocess.run(
            ["bash", "-c", self.script + command],
            cwd=self.folder,
            env=os.environ | {"CARGO_TARGET_DIR": str(SDIST_TARGET), "LC_ALL": "C"},
            check=False,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        assert 0 == done.returncode, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout


def commands(text: str) -> list[tuple[str, str]]:
    """Return the commands of a console with what it shows that they print."""
    pieces = re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]
    return [(command, shown) for command, _, shown in (piece.partition("\n") for piece in pieces)]


def test_page_every_block_is_run_here() -> None:
    """No block of the page is left to nobody."""
    found = blocks(PAGE)

    assert {"skip"} == {block.what for block in found}
    for block in found:
        told = block.rest.removeprefix(HERE)
        assert (
            told == "runs it" if block.language == "console" else told.startswith("writes it to ")
        )
    assert {"console", "python", "toml", "rust", "c", "cpp"} == {block.language for block in found}


def test_page_python_serves_with_the_copied_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The server of the page answers over a socket, and tells why a stream ended."""
    need()
    (block,) = [block for block in blocks(PAGE) if block.language == "python"]
    shutil.copy(ROOT / "python" / "xmlsocket" / "pure.py", tmp_path / "framing.py")
    (tmp_path / "echo.py").write_text(block.text, "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "framing", raising=False)
    echo = runpy.run_path(str(tmp_path / "echo.py"))["echo"]
    here, there = socket.socketpair()
    with here, there:
        server = threading.Thread(target=echo, args=(there,))
        server.start()
        here.sendall(b"<a/>\0\0<b/>\0<torn")
        here.shutdown(socket.SHUT_WR)
        server.join()
        there.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: here.recv(2**16), b""))
    sys.modules.pop("framing")

    assert b"<a/>\0<b/>\0" == answer
    assert "offset 11, 5 bytes without a delimiter" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.timeout(PATIENCE)
def test_page_commands_print_what_it_shows(tmp_path: Path) -> None:
    """From an unpacked sdist to programs in Rust, C and C++, in the order of the page."""
    need("cargo", "cc", "c++", "pkg-config")
    unpack_sdist(tmp_path / "xmlsocket")
    (tmp_path / "yours").mkdir()
    shell = Shell(tmp_path)
    ran = 0
    for block in blocks(PAGE):
        if block.language != "console":
            target = tmp_path / block.rest.removeprefix(HERE + "writes it to ")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(block.text, "utf-8")
            continue
        for command, shown in commands(block.text):
            ran += 1
            assert shown == shell.run(command), command

    assert ran > 10
