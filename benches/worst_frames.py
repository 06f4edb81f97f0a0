"""
What the worst documents cost beside an ordinary room list of the same size.

``python -m benches.worst_frames [BYTES]`` builds frames that are as dear to parse
as their bytes can be, and prints for each the time and the memory of parsing it
(`xmlsocket.parse`, the tree alive) as a multiple of a room list's. Times are the
median of ratios of two parses next to each other, so that a busy machine slows
down both; memory is the growth of a forked child at its peak (Linux only).
"""

from __future__ import annotations

import itertools
import os
import re
import statistics
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from xmlsocket import DocumentError, parse

if TYPE_CHECKING:
    from collections.abc import Callable

ROOM = (
    "<rm id='{0}' priv='0' temp='0' game='0' ucnt='{0}' lmb='1' maxu='50'>"
    "<n><![CDATA[Room {0}]]></n></rm>"
)

REPEATED = {
    "tiny elements": "<a/>",
    "tiny elements and text": "x<a/>",
    "an attribute each": '<a b=""/>',
    "two attributes each": '<a b="" c=""/>',
    "attribute with text and entity": '<a b="x&lt;"/>',
    "comments": "<!---->",
    "comments and text": "x<!---->",
    "instructions": "<?a?>",
    "instructions and text": "x<?a?>",
    "CDATA": "<![CDATA[]]>",
    "CDATA and elements": "<![CDATA[x]]><a/>",
    "entities": "&lt;",
    "entities and elements": "x&lt;<a/>",
    "character references": "&#9;",
    "namespace each": '<a xmlns="u"/>',
    "prefix and namespace each": '<b:a xmlns:b="u"/>',
    "prefixed attribute and namespace each": '<a xmlns:b="u" b:c=""/>',
    "relative namespace each": '<a xmlns="%"/>',
    "xml:space": '<a xml:space="x"/>',
    "xml:lang": '<a xml:lang="?"/>',
    "unbound prefix each": "<p:a/>",
    "unbound prefixes twice": '<p:a q:b=""/>',
    "empty local name": "<a:/>",
    "equal xml:id": '<a xml:id="a"/>',
    "wrong xml:id": '<a xml:id="1"/>',
    "deep": "<a>" * 250 + "</a>" * 250,
    "deep namespaces": "".join(f'<a xmlns:p{n}="u">' for n in range(250)) + "</a>" * 250,
    "lines": "\r\n",
}

NUMBERED = {
    "distinct names": "<a{0:x}/>",
    "distinct attributes": '<a b{0:x}=""/>',
    "distinct namespaces": '<a xmlns="u{0:x}"/>',
    "distinct xml:id": '<a xml:id="a{0:x}"/>',
    "distinct text": "<a>{0:x}</a>",
}

# What stands in the one tag of a document.
ATTRIBUTES = {
    "namespaces of one element": ' xmlns:a{0:x}="u"',
    "unbound attributes": ' p{0:x}:a=""',
    "attributes of one element": ' a{0:x}=""',
    "namespaces and their attributes": ' xmlns:a{0:x}="{0:x}" a{0:x}:b=""',
}


def fill(size: int, pieces: Callable[[int], str], start: str, end: str) -> bytes:
    """Return a document of about ``size`` bytes made of numbered pieces."""
    parts = [start]
    left = size - len(start) - len(end)
    for number in itertools.count():
        piece = pieces(number)
        left -= len(piece)
        if left < 0:
            return "".join([*parts, end]).encode()
        parts.append(piece)
    raise AssertionError


def room_list(size: int) -> bytes:
    """Return a list of rooms as SmartFoxServer 1 sends it."""
    return fill(
        size,
        ROOM.format,
        "<msg t='sys'><body action='rmList' r='0'><rmList>",
        "</rmList></body></msg>",
    )


def worst_frames(size: int) -> dict[str, bytes]:
    """Return the frames by what they are made of."""
    frames = {}
    for name, piece in REPEATED.items():
        frames[name] = fill(size, lambda _, piece=piece: piece, "<r>", "</r>")  # type: ignore[misc]
    for name, piece in NUMBERED.items():
        frames[name] = fill(size, piece.format, "<r>", "</r>")
    for name, piece in ATTRIBUTES.items():
        frames[name] = fill(size, piece.format, "<r", "/>")
    frames["a long text"] = fill(size, lambda _: "x" * 100, "<r>", "</r>")
    frames["entities in an attribute"] = fill(size, lambda _: "&lt;", '<r a="', '"/>')
    # What asks libxml2 whether an element has too many attributes, with many elements.
    window = "=" * 6000
    frames["tiny elements beside a long text"] = fill(
        size, lambda _: "<a/>", f"<r>{window}", "</r>"
    )
    crowd = "<a " + " ".join(f'a{n}=""' for n in range(1000)) + "/>"
    frames["1,000 attributes each"] = fill(size, lambda _: crowd, "<r>", "</r>")
    # What has to be walked through to see that nowhere are too many namespaces.
    four = "<a" + "".join(f' xmlns:p{n}="u"' for n in range(4)) + "/>"
    frames["four namespaces each"] = fill(size, lambda _: four, "<r>", "</r>")
    prefixes = "<r" + "".join(f' xmlns:p{n:x}="u{n:x}"' for n in range(min(2000, size // 60)))
    frames["many prefixes in scope"] = fill(
        size, lambda _: '<p0:a p1:b=""/>', prefixes + ">", "</r>"
    )
    return frames


def attempt(frame: bytes) -> object:
    """Parse a frame and return its tree, or None if it is refused."""
    try:
        return parse(frame)
    except DocumentError:
        return None


def seconds(frame: bytes) -> float:
    """Return the processor time of parsing a frame and letting go of its tree."""
    start = time.process_time()
    attempt(frame)
    return time.process_time() - start


def growth(frame: bytes) -> int:
    """Return the bytes by which a forked process grows at its peak."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        before = resident("VmRSS")
        tree = attempt(frame)
        os.write(write, str(resident("VmHWM") - before).encode())
        del tree
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        size = int(pipe.read())
    os.waitpid(child, 0)
    return size


def resident(key: str) -> int:
    """Return a figure of this process's memory in bytes."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    found = re.search(key + r":\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) * 1024


def memory_ratios(size: int) -> dict[str, float]:
    """Return the memory of each frame as a multiple of a room list's, byte for byte."""
    rooms = room_list(size)
    base = growth(rooms) / len(rooms)
    return {name: growth(frame) / len(frame) / base for name, frame in worst_frames(size).items()}


def time_ratio(frame: bytes, rooms: bytes, rounds: int = 7) -> float:
    """Return the time of a frame as a multiple of a room list's, byte for byte."""
    ratios = [seconds(frame) / seconds(rooms) for _ in range(rounds)]
    return statistics.median(ratios) * len(rooms) / len(frame)


def main() -> None:
    """Print the table."""
    size = int(sys.argv[1]) if len(sys.argv) > 1 else 2**20
    memory = memory_ratios(size)  # first, while the heap is untouched
    rooms = room_list(size)
    print(f"{'frame of ' + format(size, ',') + ' bytes':38} {'time':>6} {'memory':>7}")
    rows = []
    for name, frame in worst_frames(size).items():
        refused = "" if attempt(frame) is not None else "  refused"
        rows.append((time_ratio(frame, rooms), memory[name], name, refused))
    for duration, space, name, refused in sorted(rows, reverse=True):
        print(f"{name:38} {duration:6.2f} {space:7.2f}{refused}")
    print(f"{'most':38} {max(row[0] for row in rows):6.2f} {max(row[1] for row in rows):7.2f}")


if __name__ == "__main__":
    main()
