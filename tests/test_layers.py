"""A module imports only from layers below its own; modules of one sub-package know each other."""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from types import MappingProxyType

import pytest

import xmlsocket

PACKAGE = Path(xmlsocket.__file__).parent

# The layer of every module and sub-package. What is not here yet gets its line
# when it is made.
LAYERS = MappingProxyType(
    {
        "pure": 0,
        "exceptions": 1,
        "_rust": 1,
        "codec": 2,
        "encoding": 2,
        "flow": 2,
        "limits": 2,
        "reasons": 2,
        "stats": 2,
        "documents": 3,
        "outbox": 3,
        "proxies": 3,
        "upgrade": 3,
        "connection": 4,
        "endpoint": 4,
        "opening": 4,
        "policy": 4,
        "websocket": 4,
        "admission": 5,
        "asyncio": 6,
        "sync": 6,
        "backplane": 7,
        "flash": 8,
        "gateway": 8,
        "rooms": 8,
        "workers": 8,
        "testing": 9,
        "__init__": 9,  # re-exports what stands above
        "doctor": 10,
        "cli": 11,
        "__main__": 12,
    }
)

# Parsing and building XML is done here and nowhere else.
LXML = frozenset({"documents.py", "flash/xml.py"})

MODULES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))


def layer_of(name: str) -> int:
    """Return the layer of a module by its dotted name below the package."""
    part = name.partition(".")[0] or "__init__"
    assert part in LAYERS, f"{part} has no layer yet: add it to LAYERS"
    return LAYERS[part]


def dotted(path: str) -> str:
    """Return the name of a module below the package; empty for the package itself."""
    return path.removesuffix(".py").removesuffix("__init__").strip("/").replace("/", ".")


def own_imports(path: str, source: str) -> set[str]:
    """Return the names below the package that a module imports, those for type checkers too."""
    package = path.split("/")[:-1]
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) + 1 - node.level]
            assert len(package) + 1 >= node.level, f"{path} imports from outside of the package"
            if node.module is not None:
                found.add(".".join([*base, node.module]))
            else:
                # A name imported from a package is a module, or one of its own names.
                for alias in node.names:
                    name = [*base, alias.name]
                    is_module = f"{'/'.join(name)}.py" in MODULES or (
                        f"{'/'.join(name)}/__init__.py" in MODULES
                    )
                    found.add(".".join(name if is_module else base))
        elif isinstance(node, ast.ImportFrom):
            assert not (node.module or "").startswith("xmlsocket"), f"{path}: absolute import"
        elif isinstance(node, ast.Import):
            for alias in node.names:
                assert not alias.name.startswith("xmlsocket"), f"{path}: absolute import"
    return found


def violations(path: str, source: str) -> set[str]:
    """Return what a module imports although it must not."""
    name = dotted(path)
    home = name.partition(".")[0]
    return {
        imported
        for imported in own_imports(path, source)
        if imported.partition(".")[0] != home and layer_of(imported) >= layer_of(name)
    }


def outside_imports(source: str) -> set[str]:
    """Return the top-level packages that a module imports when it runs."""
    found: set[str] = set()
    nodes: list[ast.AST] = [ast.parse(source)]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            nodes += node.orelse
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add((node.module or "").partition(".")[0])
        elif isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        else:
            nodes += ast.iter_child_nodes(node)
    return found


@pytest.mark.parametrize("path", MODULES)
def test_imports_point_to_lower_layers_only(path: str) -> None:
    """No module imports from its own layer or a higher one, siblings excepted."""
    assert set() == violations(path, (PACKAGE / path).read_text())


@pytest.mark.parametrize(
    ("path", "source", "expected"),
    [
        ("codec.py", "from .connection import BaseConnection", {"connection"}),
        ("sync/client.py", "from ..asyncio.client import connect", {"asyncio.client"}),
        ("sync/client.py", "from .. import connect", {""}),
        ("sync/client.py", "from .. import asyncio, flow", {"asyncio"}),
        ("sync/client.py", "from .connection import Connection", set()),
        ("cli/app.py", "from .. import connect, flash", set()),
        ("policy.py", "if TYPE_CHECKING:\n from .websocket import WebSocket", {"websocket"}),
    ],
)
def test_violations_find_planted_imports(path: str, source: str, expected: set[str]) -> None:
    """The check above sees what it has to see."""
    assert expected == violations(path, source)


@pytest.mark.parametrize("path", MODULES)
def test_lxml_is_imported_where_documents_are_made_only(path: str) -> None:
    """All other modules leave XML to ``documents`` and ``flash.xml``."""
    imports_lxml = "lxml" in outside_imports((PACKAGE / path).read_text())
    assert not imports_lxml or path in LXML


def test_pure_stands_alone() -> None:
    """``pure.py`` can be copied into another program: it needs the standard library only."""
    source = (PACKAGE / "pure.py").read_text()
    assert set() == own_imports("pure.py", source)
    assert outside_imports(source) <= sys.stdlib_module_names
