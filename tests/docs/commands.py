"""Reads the commands of a page as what would run them."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import typer

from xmlsocket.cli.app import app

__all__ = ["ROOT", "PageError", "check_command"]

ROOT = Path(__file__).resolve().parent.parent.parent


class PageError(AssertionError):
    """A page says what is not so."""


def check_command(command: str, files: set[str]) -> None:
    """
    Read a command as what would run it.

    Args:
        command: One line of a shell; pipes and redirections are told apart.
        files: Names of the files that the page has shown so far.

    Raises:
        PageError: If it would be refused, or is none that this knows.

    """
    lexer = shlex.shlex(command, posix=True, punctuation_chars="|<>&")
    lexer.commenters = "#"
    lexer.whitespace_split = True
    parts: list[list[str]] = [[]]
    for word in lexer:
        if word in ("|", "&&", "&"):
            parts.append([])
        else:
            parts[-1].append(word)
    for words in filter(None, parts):
        redirections = [at for at, word in enumerate(words) if word in ("<", ">")]
        del words[min(redirections, default=len(words)) :]
        while words and re.fullmatch(r"[A-Z_]+=\S*", words[0]):
            del words[0]
        name = Path(words[0]).name if words else ""
        arguments = words[1:]
        if name == "xmlsocket":
            _check_xmlsocket(arguments)
        elif name in ("pip", "python", "python3"):
            _check_python(name, arguments, files)
        elif name == "make":
            _check_make(arguments)
        elif name not in ("echo", "printf", "cat", "cp", "cd", "openssl", "systemctl", "npm"):
            raise PageError(f"{command!r}: a command that the tests do not know")


def _check_xmlsocket(arguments: list[str]) -> None:
    if arguments in ([], ["--help"], ["--version"]):
        return
    group: Any = typer.main.get_command(app)
    command = group.commands.get(arguments[0])
    if command is None:
        raise PageError(f"there is no command {arguments[0]!r}")
    if "--help" not in arguments:
        # Options and their types; files need not be there.
        given = [word for word in arguments[1:] if not word.startswith("#")]
        parser = command.make_parser(command.context_class(command))
        try:
            parser.parse_args(args=given)
        except Exception as exc:
            raise PageError(f"xmlsocket {' '.join(arguments)}: {exc}") from exc


def _check_python(name: str, arguments: list[str], files: set[str]) -> None:
    if name == "pip" or arguments[:2] == ["-m", "pip"]:
        project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
        extras = set(project["optional-dependencies"])
        for named in re.findall(r"xmlsocket\[([\w,-]+)\]", " ".join(arguments)):
            if unknown := set(named.split(",")) - extras:
                raise PageError(f"there is no extra {unknown}")
    elif arguments and arguments[0].endswith(".py"):
        if arguments[0] not in files and not (ROOT / arguments[0]).is_file():
            raise PageError(f"{arguments[0]} is neither shown nor in the repository")
    elif arguments[:1] != ["-m"]:
        raise PageError(f"{name} {arguments}: a command that the tests do not know")


def _check_make(arguments: list[str]) -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    for word in arguments:
        if "=" not in word and word not in targets:
            raise PageError(f"make has no target {word!r}")
