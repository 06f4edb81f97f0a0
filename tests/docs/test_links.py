"""Links between pages lead somewhere, in the repository as on the site."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from .commands import ROOT
from .pages import pages

if TYPE_CHECKING:
    from pathlib import Path

PAGES = [
    *pages(),
    *(ROOT / name for name in ("README.md", "SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *(ROOT / "benches").glob("*.md"),
]
_CODE = re.compile(r"^ *```.*?^ *```|`[^`\n]*`", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\((?P<target>[^)\s#]*)(?:#(?P<anchor>[^)\s]*))?(?:\s+\"[^\"]*\")?\)")
_HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub and MyST make them."""
    text = re.sub(r"^ *```.*?^ *```", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    return {re.sub(r"[^\w -]", "", h).lower().replace(" ", "-") for h in _HEADING.findall(text)}


def dead(page: Path) -> list[str]:
    """Return the links of a page that lead nowhere."""
    found = []
    for match in _LINK.finditer(_CODE.sub("", page.read_text("utf-8"))):
        target, anchor = match["target"], match["anchor"]
        if "://" in target or target.startswith("mailto:"):
            continue
        file = page.parent / target if target else page
        there = file.exists() and (not anchor or file.suffix != ".md" or anchor in anchors(file))
        if not there:
            found.append(match[0])
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_page_links_lead_to_files_and_headings(page: Path) -> None:
    """A reader of the repository finds what a page links to."""
    if not (ROOT / "rust").is_dir():
        pytest.skip("pages link to the whole repository, and this is a part of it")
    assert [] == dead(page)


def test_page_with_dead_links_is_found(tmp_path: Path) -> None:
    """The check itself can fail: on files, on headings of others and on its own."""
    (tmp_path / "other.md").write_text("# A heading, here\n")
    page = tmp_path / "page.md"
    page.write_text(
        "[1](other.md#a-heading-here) [2](other.md#none) [3](none.md) [4](#none)\n"
        '`[5](none.md)` [6](https://example.com/#x) [7](other.md "title")\n'
    )

    assert ["](other.md#none)", "](none.md)", "](#none)"] == dead(page)
