"""Every block of code in the documentation runs, or says why it does not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from .commands import PageError, check_command
from .pages import DOCS, Block, blocks, pages, run

if TYPE_CHECKING:
    from pathlib import Path


def with_code() -> list[str]:
    """Return the names of the pages that have code."""
    return [
        page.relative_to(DOCS).as_posix() for page in pages() if blocks(page.read_text("utf-8"))
    ]


@pytest.mark.parametrize("name", with_code())
def test_page_code_runs(name: str, tmp_path: Path) -> None:
    """What a page shows works, in the order in which it is shown."""
    run((DOCS / name).read_text("utf-8"), tmp_path)


def test_blocks_are_found_with_their_marks() -> None:
    """A mark belongs to the block below it, and to no later one."""
    text = "<!-- test: run -->\n```console\n$ a\n```\nand\n\n```python\nb\n```\n"

    assert [
        Block(2, "console", "$ a\n", "run", ""),
        Block(7, "python", "b\n", "", ""),
    ] == blocks(text)


@pytest.mark.parametrize(
    ("page", "message"),
    [
        ("```python\nassert 1 == 2, 'wrong'\n```\n", "wrong"),
        ("```python\nawait asyncio.sleep(0)\n```\n", "asyncio"),
        ("```ruby\nputs 1\n```\n", "nobody runs"),
        ("```\nxmlsocket serve\n```\n", "without a language"),
        ("<!-- test: skip -->\n```c\nint i;\n```\n", "says why"),
        ("```console\n$ xmlsocket serve --no-such-option\n```\n", "no-such-option"),
        ("```console\n$ xmlsocket sing\n```\n", "no command 'sing'"),
        ("```console\n$ pip install 'xmlsocket[nothing]'\n```\n", "no extra"),
        ("```console\n$ make nonsense\n```\n", "no target"),
        ("```console\n$ python missing.py\n```\n", "neither shown"),
        ("```console\n$ frobnicate\n```\n", "do not know"),
        ("<!-- test: run -->\n```console\n$ echo one\ntwo\n```\n", "but it was"),
        ("```json\n{\n```\n", "Expecting"),
        ("```python\nprint(1)\n```\n<!-- test: output -->\n```text\n2\n```\n", "but it was"),
    ],
)
def test_page_with_a_fault_fails(page: str, message: str, tmp_path: Path) -> None:
    """The runner itself finds faults: none of these pages passes."""
    with pytest.raises((AssertionError, NameError, ValueError), match=message):
        run(page, tmp_path)


def test_page_without_a_fault_passes(tmp_path: Path) -> None:
    """Names last from block to block, also where blocks await."""
    page = (
        "```python\nimport asyncio\nn = 1\n```\n"
        "```python\nawait asyncio.sleep(0)\nn += 1\nprint(n)\n```\n"
        "<!-- test: output -->\n```text\n2\n```\n"
        "<!-- test: file a.py -->\n```python\nprint('a', 9339)\n```\n"
        "<!-- test: run -->\n```console\n$ python a.py\na …\n```\n"
    )

    assert 5 == run(page, tmp_path)


def test_command_of_the_program_is_read_by_the_program() -> None:
    """Options are checked by the parser that the command uses."""
    check_command("echo '<a/>' | xmlsocket connect 127.0.0.1 9339 --replies 1", set())
    with pytest.raises(PageError, match="replies"):
        check_command("xmlsocket connect 127.0.0.1 9339 --replies", set())
