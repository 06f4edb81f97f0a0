"""
The directive ``commandline``: the options of the command, from the program itself.

`typer` makes the commands with click or a copy of it, so this asks for nothing
but the help that the program prints.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer
from docutils import nodes  # type: ignore[import-untyped]
from sphinx.util.docutils import SphinxDirective

from xmlsocket.cli.app import app as program

if TYPE_CHECKING:
    from sphinx.application import Sphinx

_COLUMNS = 80


def helps() -> dict[str, str]:
    """Return the help of each command, by name, in the order in which it lists them."""
    group: Any = typer.main.get_command(program)
    pages = {}
    for name, command in group.commands.items():
        with command.make_context(
            f"xmlsocket {name}",
            [],
            resilient_parsing=True,
            terminal_width=_COLUMNS,
            max_content_width=_COLUMNS,
        ) as context:
            pages[name] = command.get_help(context)
    return pages


class Commandline(SphinxDirective):
    """Show the help of all commands, a section each."""

    def run(self) -> list[nodes.Node]:
        """Return the sections."""
        sections: list[nodes.Node] = []
        for name, text in helps().items():
            section = nodes.section(ids=[f"xmlsocket-{name}"], names=[f"xmlsocket {name}"])
            section += nodes.title("", "", nodes.literal("", f"xmlsocket {name}"))
            section += nodes.literal_block(text, text, language="text")
            sections.append(section)
        return sections


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.add_directive("commandline", Commandline)
    return {"parallel_read_safe": True}
