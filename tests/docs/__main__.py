"""
Runs pages without pytest, in an environment that has the package alone.

Run as ``python -m tests.docs tutorial/first-server.md``, with paths below docs/.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from .pages import DOCS, run


def main(names: list[str]) -> None:
    """Run each page in a folder of its own; the first block that fails raises."""
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            count = run((DOCS / name).read_text("utf-8"), Path(folder))
        print(f"{name}: {count} blocks")  # noqa: T201 - this is what it is for


if __name__ == "__main__":
    main(sys.argv[1:])
