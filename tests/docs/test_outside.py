"""Files outside of docs/ stand in pages of the site."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

from .pages import DOCS, pages

if TYPE_CHECKING:
    from pathlib import Path


def extension() -> Any:
    """Load the extension as Sphinx does, by its file."""
    spec = importlib.util.spec_from_file_location("outside", DOCS / "_ext" / "outside.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_show_puts_a_program_in_place_of_its_line(tmp_path: Path) -> None:
    """The line stands alone; what is written within a line is text."""
    (tmp_path / "a.py").write_text("print(1)\n")
    text = "[a](a.py)\n\n<!-- show a.py -->\n\nand <!-- show a.py -->\n"
    outside = extension()
    files = outside.shown(text, tmp_path)

    assert {"<!-- show a.py -->": tmp_path / "a.py"} == files
    shown = outside.show(text, files)
    assert "[a](a.py)\n\n```python\nprint(1)\n```\n\nand <!-- show a.py -->\n" == shown


def test_pages_show_files_that_they_link_to() -> None:
    """Readers of the repository have a link where those of the site have the program."""
    outside = extension()
    texts = {page: page.read_text("utf-8") for page in pages()}
    shown = {page: outside.shown(text, page.parent) for page, text in texts.items()}

    assert any(shown.values())
    for page, files in shown.items():
        for line, file in files.items():
            target = line.split()[2]
            assert file.is_file()
            assert f"]({target})\n\n{line}\n" in texts[page]


def test_all_adapters_are_shown() -> None:
    """No adapter is left out of the page about them."""
    page = DOCS / "how-to" / "adapters.md"
    shown = extension().shown(page.read_text("utf-8"), page.parent).values()
    folder = DOCS.parent / "examples" / "adapters"

    assert sorted(folder.glob("*.py")) == sorted(file.resolve() for file in shown)
