"""The page "XMLSocket (object)": what it says is tested, and its example runs."""

from __future__ import annotations

import ast
import pathlib
import re
from typing import NamedTuple

import pytest

from tests.support.scripted import expect, scripted, send

PAGE = pathlib.Path(__file__).parent.parent / "docs" / "topics" / "xmlsocket-object.md"

# [test](../../tests/flash/test_xmlsocket.py "test_close_when_unconnected_is_silent")
LINK = re.compile(r'\[test\]\((?P<path>[^\s)]+)\s+"(?P<name>\w+)"\)')
ITEM = re.compile(r"^- .*(?:\n  .*)*", re.MULTILINE)
EXAMPLE = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
ANCHOR = re.compile(r"\]\(#([\w-]+)\)")


class Link(NamedTuple):
    """A test that the page names."""

    path: str
    name: str


def functions_in(path: pathlib.Path) -> set[str]:
    """Return the names of the test functions of a file."""
    functions = ast.FunctionDef | ast.AsyncFunctionDef
    return {
        node.name for node in ast.parse(path.read_text("utf-8")).body if isinstance(node, functions)
    }


def missing(links: list[Link]) -> list[Link]:
    """Return the links that lead to no test."""
    existing: dict[str, set[str]] = {}
    for path in {link.path for link in links}:
        file = PAGE.parent / path
        existing[path] = functions_in(file) if file.is_file() else set()
    return [link for link in links if link.name not in existing[link.path]]


def test_page_links_lead_to_tests() -> None:
    """Every test that the page names is there."""
    links = [Link(*match.groups()) for match in LINK.finditer(PAGE.read_text("utf-8"))]

    assert len(links) > 50
    assert [] == missing(links)


@pytest.mark.parametrize(
    "link",
    [
        Link("../../tests/flash/test_xmlsocket.py", "test_that_is_not_there"),
        Link("../../tests/flash/no_such_file.py", "test_close_when_unconnected_is_silent"),
    ],
)
def test_page_link_to_a_test_that_is_not_there_is_found(link: Link) -> None:
    """The check itself can fail: a renamed test or file does not go unnoticed."""
    assert [link] == missing([link])


def test_page_behaviours_each_name_a_test() -> None:
    """No line of a list, which says what the object does, stands without a test."""
    items = ITEM.findall(PAGE.read_text("utf-8"))

    assert len(items) > 50
    assert [] == [item for item in items if not LINK.search(item)]


def test_page_names_every_test_of_the_object() -> None:
    """What the object's own tests hold it to stands on the page; nothing is tested in silence."""
    folder = PAGE.parent.parent.parent / "tests" / "flash"
    named = {match["name"] for match in LINK.finditer(PAGE.read_text("utf-8"))}
    stated = {
        name for name in functions_in(folder / "test_xmlsocket.py") if name.startswith("test_")
    }

    assert set() == stated - named


def test_page_anchors_lead_to_headings() -> None:
    """Links within the page lead somewhere."""
    text = PAGE.read_text("utf-8")
    headings = {re.sub(r"[^\w -]", "", h).lower().replace(" ", "-") for h in HEADING.findall(text)}

    assert set() == set(ANCHOR.findall(text)) - headings


def test_page_example_runs(capsys: pytest.CaptureFixture[str]) -> None:
    """The example connects, sends and shows what it gets, as the page says."""
    (example,) = EXAMPLE.findall(PAGE.read_text("utf-8"))
    assert example.count("1024") == 1
    script = [expect(b'<login name="Ada"/>\0'), send(b'<joined name="Ada"/>\0')]
    with scripted(script) as server:
        exec(compile(example.replace("1024", str(server.port)), PAGE.name, "exec"), {})

    assert capsys.readouterr().out == "joined Ada\n"
