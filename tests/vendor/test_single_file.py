"""``pure.py`` is enough by itself."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import xmlsocket.pure
from tests.support import vectors

HERE = Path(__file__).parent


def test_pure_copied_alone_passes_the_vectors(tmp_path: Path) -> None:
    """The file in an empty folder does what the vectors say, on the standard library alone."""
    expected = [
        len(vectors.read("decode.txt", vectors.DecodeVector)),
        len(vectors.read("encode.txt", vectors.EncodeVector)),
        len(vectors.read("check_document.txt", vectors.DocumentVector)),
    ]
    copy = shutil.copy(xmlsocket.pure.__file__, tmp_path / "codec.py")
    # -I: no folder but the standard library's is searched; -S: nor site-packages.
    options = ("-I", "-S", "-W", "error")
    command = [sys.executable, *options, str(HERE / "alone.py"), str(copy), str(vectors.__file__)]
    done = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True)

    assert "" == done.stderr
    assert expected == [int(number) for number in done.stdout.split()]
    assert min(expected) > 5


def test_pure_licence_goes_with_the_copy() -> None:
    """The file says under which licence it may be copied."""
    first = Path(xmlsocket.pure.__file__).read_text("utf-8").splitlines()[0]

    assert "# SPDX-License-Identifier: MIT" == first
