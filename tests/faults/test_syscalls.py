"""While hostile documents are parsed no file is opened and no socket made: strace is witness."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from ..test_documents_hostile import HOSTILE

if TYPE_CHECKING:
    from pathlib import Path

PATIENCE = 120

CHILD = """
import json, os, sys
from lxml import etree
import xmlsocket

def careless(frame, parser=etree.XMLParser(load_dtd=True, resolve_entities=True)):
    etree.fromstring(frame, parser)

def mark(name):
    try:
        os.stat("/xmlsocket-mark-" + name)
    except FileNotFoundError:
        pass

parse = {"careless": careless, "xmlsocket": xmlsocket.parse}[sys.argv[1]]
flash = {"errors": "flash"} if parse is xmlsocket.parse else {}
with open(sys.argv[2]) as file:
    frames = [bytes.fromhex(frame) for frame in json.load(file)]
mark("begin")
for frame in frames:
    for options in ({}, flash):
        try:
            parse(frame, **options)
        except (ValueError, xmlsocket.XMLSocketError, etree.XMLSyntaxError):
            pass
mark("end")
"""


def strace() -> str:
    """Return where strace is; without it the test is skipped, or fails where it is required."""
    found = shutil.which("strace")
    if found is None or sys.platform != "linux":
        text = "strace is missing: tests/faults/install.sh installs it where it can"
        if os.environ.get("XMLSOCKET_FAULTS") == "required":
            pytest.fail(text)
        pytest.skip(text)
    return found


def calls_while_parsing(parser: str, frames: list[bytes], folder: Path) -> list[str]:
    """Return the calls with names of files and those of the network, one a line."""
    given, log = folder / "frames", folder / "log"
    given.write_text(json.dumps([frame.hex() for frame in frames]))
    result = subprocess.run(
        [strace(), "-f", "-qq", "-e", "trace=%file,%network", "-e", "signal=none", "-o", str(log),
         sys.executable, "-c", CHILD, parser, str(given)],
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )  # fmt: skip
    if b"ptrace" in result.stderr.lower():
        pytest.skip(f"strace may not trace here: {result.stderr.decode().strip()}")
    assert (0, b"") == (result.returncode, result.stderr)
    lines = log.read_text(errors="replace").splitlines()
    begin, end = (
        next(at for at, line in enumerate(lines) if f"/xmlsocket-mark-{name}" in line)
        for name in ("begin", "end")
    )
    return lines[begin + 1 : end]


def test_strace_sees_a_careless_parser_open_a_file(tmp_path: Path) -> None:
    """The witness is not blind: with lxml told to load DTDs, the file is opened."""
    frames = [HOSTILE["external DTD"][0]]

    calls = calls_while_parsing("careless", frames, tmp_path)

    assert any("/etc/passwd" in call and "openat" in call for call in calls)


@pytest.mark.timeout(2 * PATIENCE)
def test_parse_hostile_documents_touches_no_file_and_no_network(tmp_path: Path) -> None:
    """Not one such system call while the whole matrix is parsed, as UTF-8 and as Flash would."""
    frames = [b"<warm/>", *(frame for frame, _ in HOSTILE.values())]

    assert [] == calls_while_parsing("xmlsocket", frames, tmp_path)
