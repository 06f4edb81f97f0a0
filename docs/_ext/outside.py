"""
Links from a page to files outside of docs/, which work in the repository, work on the site too.

Markdown files that the site shows under another name are linked there; other files, such
as tests, are copied into the site by MyST, which needs no help.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx

DOCS = Path(__file__).resolve().parent.parent
ROOT = DOCS.parent

# A file of the repository, and the page that shows it.
PAGES = {
    "README.md": "index.md",
    "SECURITY.md": "project/security-policy.md",
    "CHANGELOG.md": "project/changelog.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "docs/README.md": "project/documentation.md",
    "tests/vectors/README.md": "project/vectors.md",
    "benches/README.md": "project/benches.md",
    "benches/record/servers/README.md": "project/record-servers.md",
    "benches/record/codec/README.md": "project/record-codec.md",
    "benches/record/attacks/README.md": "project/record-attacks.md",
    "benches/record/scale/README.md": "project/record-scale.md",
    "benches/record/workers.md": "project/record-workers.md",
    "benches/record/soak.md": "project/record-soak.md",
    "benches/record/mutants.md": "project/record-mutants.md",
}
_SHOWN = {page: file for file, page in PAGES.items() if page != "index.md"}
# ](target) or ](target "title"), of links and pictures.
_TARGET = re.compile(r"\]\(([^)\s#]+)(#[^)\s]*)?(\s+\"[^\"]*\")?\)")
_SHOW = re.compile(r"^<!-- show (\S+) -->$", re.MULTILINE)
_LANGUAGES = {".py": "python"}


def rewrite(text: str, page: Path, written_in: Path) -> str:
    """
    Point the links of a page at what they mean on the site.

    Args:
        text: The page in Markdown.
        page: The page, as a path below docs/.
        written_in: The folder from which its relative links are meant.

    """

    def replace(match: re.Match[str]) -> str:
        target, anchor, title = match.group(1), match.group(2) or "", match.group(3) or ""
        if "://" in target or target.startswith("mailto:"):
            return match.group(0)
        file = Path(os.path.normpath(written_in / target))
        shown = PAGES.get(file.relative_to(ROOT).as_posix())
        if shown is not None:
            file = DOCS / shown
        elif not file.suffix and not file.is_relative_to(DOCS):
            # A folder, which has no page; its name says where to look.
            return f"]({_relative(DOCS / 'project' / 'files.md', page)})"
        return f"]({_relative(file, page)}{anchor}{title})"

    return _TARGET.sub(replace, text)


def shown(text: str, written_in: Path) -> dict[str, Path]:
    """Return the files that a page shows, by the lines that say so."""
    return {match[0]: written_in / match[1] for match in _SHOW.finditer(text)}


def show(text: str, files: dict[str, Path]) -> str:
    """Put files into a page, each as a block of code in place of the line that asks for it."""

    def block(match: re.Match[str]) -> str:
        file = files[match[0]]
        return f"```{_LANGUAGES[file.suffix]}\n{file.read_text('utf-8')}```"

    return _SHOW.sub(block, text)


def _relative(file: Path, page: Path) -> str:
    return Path(os.path.relpath(file, page.parent)).as_posix()


def _read(app: Sphinx, docname: str, content: list[str]) -> None:
    page = Path(app.env.doc2path(docname))
    if page.suffix != ".md":
        return
    name = page.relative_to(DOCS).as_posix()
    if name in _SHOWN:
        file = ROOT / _SHOWN[name]
        app.env.note_dependency(str(file))
        content[0] = rewrite(file.read_text("utf-8"), page, file.parent)
    else:
        files = shown(content[0], page.parent)
        for file in files.values():
            app.env.note_dependency(str(file))
        content[0] = show(rewrite(content[0], page, page.parent), files)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("source-read", _read)
    return {"parallel_read_safe": True}
