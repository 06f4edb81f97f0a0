"""What peers send, made fit to be seen: escaped, indented, coloured, cut."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from rich.console import Console
from rich.syntax import Syntax
from rich.text import Text

from ..documents import parse, serialize
from ..exceptions import DocumentError, safe_text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lxml import etree

__all__ = ["Output", "excerpt", "readable"]

MAX_LINES = 200
"""Lines of one document that are shown."""
MAX_LINE = 1000
"""Characters of one line that are shown."""

_XML = Syntax("", "xml", theme="ansi_dark", background_color="default")


def _indent(element: etree._Element, newline: str = "\n") -> None:
    """Put every child on a line of its own, except where text stands between them."""
    children = list(element)
    texts = [element.text, *(child.tail for child in children)]
    if not children or any(text and not text.isspace() for text in texts):
        return
    element.text = newline + "  "
    for child in children:
        _indent(child, newline + "  ")
        child.tail = newline + "  "
    children[-1].tail = newline


def readable(frame: bytes) -> Text:
    """
    Return what a peer sent as text that is safe on a terminal.

    A document is indented and coloured; what is no XML is shown as it is.
    Control characters, bidirectional controls and invalid UTF-8 are written as
    escapes, so that no peer can move the cursor, rename the window or hide what
    it wrote. Long lines and long documents are cut, and what was cut is told.

    Args:
        frame: The bytes of one frame.

    """
    try:
        root = parse(frame)
    except DocumentError:
        text = frame.decode("utf-8", "backslashreplace")
        colour = False
    else:
        _indent(root)
        text = serialize(root).decode()
        colour = True
    # Only "\n" ends a line: what else splitlines() knows are control characters
    # that have to be escaped.
    lines = text.split("\n")
    cut = len(lines) - MAX_LINES
    shown = "\n".join(safe_text(line.expandtabs(4), MAX_LINE) for line in lines[:MAX_LINES])
    result = _XML.highlight(shown) if colour else Text(shown)
    result.rstrip()
    if cut > 0:
        result.append(f"\n… ({cut} more lines)", "dim")
    return result


def excerpt(frame: bytes, width: int) -> Text:
    """Return the beginning of a frame as one safe line of at most ``width`` columns."""
    # More than fits, whatever the characters take and white space gives back.
    text = frame[: 16 * width].decode("utf-8", "backslashreplace")
    shown = safe_text(" ".join(text.split()), 16 * width)
    result = _XML.highlight(shown) if shown.startswith("<") else Text(shown)
    result.rstrip()
    result.truncate(width, overflow="ellipsis")
    return result


class Output:
    """
    Where the documents that arrive go.

    To a terminal they go escaped, indented and coloured; to a pipe or a file as
    the bytes that came, each followed by ``separator``.
    """

    def __init__(self, separator: bytes = b"\n") -> None:
        self._separator = separator
        self._console = Console(highlight=False, emoji=False, markup=False)

    def documents(self, frames: Iterable[bytes]) -> None:
        """Show documents."""
        if not self._console.is_terminal:
            for frame in frames:
                sys.stdout.buffer.write(frame)
                sys.stdout.buffer.write(self._separator)
            sys.stdout.buffer.flush()
            return
        with self._console:  # one write: a prompt is redrawn after each
            for frame in frames:
                for number, line in enumerate(readable(frame).split("\n")):
                    start = "  " if number else "< "
                    self._console.print(Text.assemble((start, "dim"), line), soft_wrap=True)

    def note(self, text: str) -> None:
        """Say something that no peer wrote, on standard error where output is for programs."""
        if self._console.is_terminal:
            self._console.print(Text(text, "dim"), soft_wrap=True)
        else:
            sys.stderr.write(f"{text}\n")
