"""
Attacks on the parser, each in a fresh process: ``python -m benches.attacks.parsing WHAT WHO SIZE``.

What a process has parsed before would show in its memory.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from benches.suite.definitions import ROOT
from benches.worst_frames import resident
from lxml import etree

from xmlsocket import DocumentError, documents, parse

from .model import Failed, Found

if TYPE_CHECKING:
    from collections.abc import Callable

    from .model import Scale
    from .victims import Contender

__all__ = ["document", "names", "refusal"]

DOCUMENT = b"<msg t='sys'><body action='roundTrip' r='1'><![CDATA[]]></body></msg>"
DOCTYPE = b'<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>'
OTHER = b"%xt%s%js#jp%-1%"

CALLS = 200
"""Calls that are timed together: they take far longer than reading the clock."""


def run(what: str, contender: Contender, size: int) -> Found:
    """Measure in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "benches.attacks.parsing", what, contender.name, str(size)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise Failed(done.stderr[-300:])
    return Found(json.loads(done.stdout))


def names(contender: Contender, scale: Scale) -> Found:
    """Parse documents with a new name of 40 KB each, and see how the process grows."""
    return run("names", contender, scale.names)


def refusal(contender: Contender, scale: Scale) -> Found:
    """Parse what is to be refused; the exception alone is timed next to it."""
    return run("refusal", contender, scale.rounds)


def document(contender: Contender, scale: Scale) -> Found:
    """Parse a small document, in turn with lxml's ``fromstring`` and the same parser."""
    return run("document", contender, scale.rounds)


def timed(call: Callable[[], object]) -> float:
    """Return the processor time of one call in seconds."""
    start = time.process_time_ns()
    for _ in range(CALLS):
        call()
    return (time.process_time_ns() - start) / CALLS / 1e9


def parsers() -> dict[str, Callable[[bytes], object]]:
    """Return what turns a frame into a tree, by contender."""
    parser = documents._new_parser()  # noqa: SLF001 - the same settings, whatever they are
    return {"ours": parse, "lxml": lambda frame: etree.fromstring(frame, parser)}


def measure_names(who: str, size: int) -> dict[str, float]:
    """See how much the process grows at its peak, and that it still parses afterwards."""
    parsed = parsers()[who]
    before = resident("VmRSS")
    start = time.process_time()
    for number in range(size // 40_000):
        parsed(b"<%s%08d/>" % (b"n" * 39_992, number))
    parsed(b"<later/>")
    return {"memory": resident("VmHWM") - before, "cpu": time.process_time() - start}


def measure_refusal(who: str, rounds: int) -> dict[str, float]:
    """Time refusals, and raising the same exception by hand."""
    parsed = parsers()[who]

    def raise_it(_: bytes) -> None:
        if who == "ours":
            raise DocumentError("no XML document: it must start with '<'", OTHER, 1, 1)
        raise etree.XMLSyntaxError("Start tag expected, '<' not found", 4, 1, 1)

    def refuse(call: Callable[[bytes], object], frame: bytes) -> None:
        try:  # noqa: SIM105 - suppress() takes as long as what is timed
            call(frame)
        except (DocumentError, etree.XMLSyntaxError):
            pass

    samples = [
        (
            timed(lambda: refuse(parsed, DOCTYPE)),
            timed(lambda: refuse(parsed, OTHER)),
            timed(lambda: refuse(raise_it, OTHER)),
        )
        for _ in range(rounds)
    ]
    # The lowest: what disturbs the machine only adds, and more than what is looked for.
    doctype, other, alone = (min(column) for column in zip(*samples, strict=True))
    return {"doctype": doctype, "other": other, "check": other - alone}


def measure_document(who: str, rounds: int) -> dict[str, float]:
    """Time a document, and the same by lxml alone right after it."""
    found = parsers()
    pairs = [
        (timed(lambda: found[who](DOCUMENT)), timed(lambda: found["lxml"](DOCUMENT)))
        for _ in range(rounds)
    ]
    return {
        "document": statistics.median(own for own, _ in pairs),
        "ratio": statistics.median(own / other for own, other in pairs),
    }


if __name__ == "__main__":
    measures = {"names": measure_names, "refusal": measure_refusal, "document": measure_document}
    print(json.dumps(measures[sys.argv[1]](sys.argv[2], int(sys.argv[3]))))
