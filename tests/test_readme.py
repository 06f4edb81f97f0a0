"""README's code is the examples' code, and the rest of it runs."""

from __future__ import annotations

import ast
import inspect
import pathlib
import re

import xmlsocket

ROOT = pathlib.Path(__file__).resolve().parent.parent


def blocks() -> list[str]:
    """Return the Python blocks of README.md."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


def code_of(source: str) -> str:
    """Return a module's code without its docstring."""
    tree = ast.parse(source)
    if ast.get_docstring(tree) is not None:
        del tree.body[0]
    return ast.unparse(tree)


def test_readme_server_and_client_are_the_examples() -> None:
    """The server and the client of README are the files that test_examples.py runs."""
    server, client, _ = blocks()

    for block, name in ((server, "chat_server.py"), (client, "chat_client.py")):
        example = (ROOT / "examples" / name).read_text(encoding="utf-8")
        assert code_of(example) == code_of(block)


def test_readme_codec_block_runs() -> None:
    """The third block states what the codec does, as assertions."""
    exec(compile(blocks()[2], "README.md", "exec"), {})


def test_readme_limits_are_the_defaults() -> None:
    """The table of limits names the defaults of the signature and of Limits."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `([\w.]+)`[^|]*\| ([^|]+?) \|", text, re.MULTILINE))
    units = {"MiB": 2**20, "KiB": 2**10}

    def value(cell: str) -> float | None:
        if cell == "none":
            return None
        number, _, unit = cell.partition(" ")
        return float(number.replace(",", "")) * units.get(unit, 1)

    parameters = inspect.signature(xmlsocket.serve).parameters
    limits = xmlsocket.Limits()
    for name, cell in rows.items():
        if name.startswith("Limits."):
            assert value(cell) == getattr(limits, name.removeprefix("Limits.")), name
        else:
            assert value(cell) == parameters[name].default, name
    assert {f"Limits.{name}" for name in limits.__slots__} < set(rows)
