"""The page "Behaviour: Flash and this package": no row without a test, no guess unmarked."""

from __future__ import annotations

import pathlib
import re

import pytest

from tests.test_docs_object import LINK, Link, missing
from xmlsocket.flash import Status

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "topics" / "flash-behaviour.md"

ROW = re.compile(r"^\| (?!behaviour |status |---)(.*?) \| (.*?) \| (.*) \|$", re.MULTILINE)

BEHAVIOURS = (
    "frame end",
    "empty frame",
    "unterminated tail at the end",
    "residue on reconnect",
    "zero byte in what is sent",
    "largest frame",
    "host left out",
    "port out of range",
    "ports below 1024, other domains",
    "result of connecting",
    "time to connect",
    "connecting while connected",
    "sending when unconnected",
    "closing when unconnected",
    "event for one's own `close`",
    "`close` in a handler",
    "what was sent just before `close`",
    "order of events",
    "decoding",
    "declared encoding",
    "byte order mark",
    "raw or parsed",
    "malformed XML",
    "several roots, bare text, unknown entities",
    "DTD and entities",
    "writing XML",
    *(str(int(status)) for status in Status),
    "policy request on the same port",
    "policy on port 843",
    "WebSocket peers",
)


def rows() -> dict[str, tuple[str, str]]:
    """Return what Flash does and what this package does, by the behaviour."""
    return {row[0]: (row[1], row[2]) for row in ROW.findall(PAGE.read_text("utf-8"))}


def test_table_has_every_behaviour_once() -> None:
    """All that is known to differ between implementations stands there, all statuses included."""
    names = [row[0] for row in ROW.findall(PAGE.read_text("utf-8"))]

    assert list(BEHAVIOURS) == names


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
def test_table_row_names_tests_that_are_there(behaviour: str) -> None:
    """What a row says this package does is shown by at least one test, which exists."""
    _, ours = rows()[behaviour]
    links = [Link(*match.groups()) for match in LINK.finditer(ours)]

    assert links
    assert [] == missing(links)
    # Every link is well-formed: none hides behind a typing error.
    assert ours.count("[test]") == len(links)


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
def test_table_row_of_what_is_not_known_marks_our_choice(behaviour: str) -> None:
    """Where Flash's behaviour is not known, the row says that ours is a choice."""
    flash, ours = rows()[behaviour]

    assert "not known" not in flash.lower() or "**Ours:**" in ours or "**ours:**" in ours


@pytest.mark.parametrize(
    "behaviour", [name for name in BEHAVIOURS if not name.lstrip("-").isdigit()]
)
def test_table_row_of_what_is_known_names_its_source(behaviour: str) -> None:
    """A fact about Flash has its source in brackets; without one it is not known, or nothing."""
    flash, _ = rows()[behaviour]

    assert re.search(r"\(.+\)|[Nn]ot known|No limit is documented|None in Flash", flash)
