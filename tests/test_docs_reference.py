"""The reference: every public name is in it, with a docstring that says enough."""

from __future__ import annotations

import ast
import asyncio
import enum
import inspect
import re
import textwrap
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import pytest

import xmlsocket
import xmlsocket.asyncio
import xmlsocket.backplane.nats
import xmlsocket.codec
import xmlsocket.doctor
import xmlsocket.flash
import xmlsocket.pure
import xmlsocket.sync
import xmlsocket.testing
import xmlsocket.testing.conformance
import xmlsocket.testing.pytest
import xmlsocket.testing.recording
import xmlsocket.workers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .support.codecs import CodecModule

REFERENCE = Path(__file__).parent.parent / "docs" / "reference"
MODULES = (
    xmlsocket,
    xmlsocket.asyncio,
    xmlsocket.sync,
    xmlsocket.codec,
    xmlsocket.doctor,
    xmlsocket.flash,
    xmlsocket.testing,
    xmlsocket.testing.conformance,
    xmlsocket.testing.pytest,
    xmlsocket.testing.recording,
    xmlsocket.workers,
    xmlsocket.backplane,
    xmlsocket.backplane.nats,
)


class Name(NamedTuple):
    """A public name."""

    module: ModuleType
    name: str

    @property
    def value(self) -> Any:
        """What it stands for."""
        return getattr(self.module, self.name)

    def __str__(self) -> str:
        return f"{self.module.__name__}.{self.name}"


NAMES = [
    Name(module, name)
    for module in MODULES
    for name in module.__all__
    if not inspect.ismodule(getattr(module, name))
]


# Names whose rules are not ours but those of a protocol.
SOURCED = """
    xmlsocket: Connection Decoder DelimiterInPayload Gateway IncompleteFrame Policy PolicyServer
    xmlsocket: WebSocketError WebSocketOptions XMLSocket check_document connect connect_websocket
    xmlsocket: encode encode_many parse serialize serve
    xmlsocket.sync: Connection connect serve
    xmlsocket.flash: Document Node Sandbox Status decode_flash parse serialize
    xmlsocket.workers: from_systemd notify_systemd
"""


def documented() -> dict[str, set[str]]:
    """Return the names that reference pages have directives for, by module."""
    found: dict[str, set[str]] = {}
    for page in REFERENCE.glob("*.rst"):
        module = "xmlsocket"
        for directive, argument in re.findall(
            r"^\.\. ((?:py:|auto)\w+):: (\S+)", page.read_text("utf-8"), re.MULTILINE
        ):
            if directive == "py:currentmodule":
                module = argument
            else:
                found.setdefault(module, set()).add(argument)
    return found


def described(value: Any) -> str:
    """Return the whole docstring."""
    return inspect.getdoc(value) or ""


def members(value: type) -> list[tuple[str, Any]]:
    """Return the public methods and properties that a class of the package defines itself."""
    return [
        (name, member.fget if isinstance(member, property) else member)
        for base in value.__mro__
        if base.__module__.startswith("xmlsocket")
        for name, member in vars(base).items()
        if not name.startswith("_") and (callable(member) or isinstance(member, property))
    ]


def module_of(module: str) -> ModuleType:
    """Return a module of the package by its dotted name."""
    found: Any = xmlsocket
    for part in module.split(".")[1:]:
        found = getattr(found, part)
    assert isinstance(found, ModuleType)
    return found


@pytest.mark.parametrize("name", NAMES, ids=str)
def test_public_name_is_in_the_reference(name: Name) -> None:
    """A page of the reference has it, under one of the modules that export it."""
    pages = documented()
    places = {
        module for module in pages if getattr(module_of(module), name.name, None) is name.value
    }

    assert any(name.name in pages[module] for module in places), f"{name} is on no page"


@pytest.mark.parametrize("name", [n for n in NAMES if callable(n.value)], ids=str)
def test_public_name_has_a_docstring(name: Name) -> None:
    """Functions and classes say what they are, in a sentence."""
    summary = described(name.value).partition("\n")[0]

    assert summary.endswith((".", "::")), f"{name}: {summary!r}"


@pytest.mark.parametrize("name", [n for n in NAMES if inspect.isclass(n.value)], ids=str)
def test_public_class_has_docstrings_on_its_members(name: Name) -> None:
    """So does each of their methods and properties."""
    silent = [member for member, value in members(name.value) if not inspect.getdoc(value)]

    assert [] == silent


def silent_arguments(function: Any) -> list[str]:
    """Return the arguments of a function that its docstring does not describe."""
    section = described(function).partition("Args:")[2]
    arguments = [name for name in inspect.signature(function).parameters if name != "self"]
    return [
        name
        for name in arguments
        if not re.search(rf"^    \*{{0,2}}{name}:", section, re.MULTILINE)
    ]


@pytest.mark.parametrize(
    "name",
    [n for n in NAMES if inspect.isfunction(n.value) or inspect.isbuiltin(n.value)],
    ids=str,
)
def test_public_function_describes_its_arguments(name: Name) -> None:
    """Each argument of a function stands under ``Args``."""
    assert [] == silent_arguments(name.value)


@pytest.mark.parametrize("name", [n for n in NAMES if inspect.isclass(n.value)], ids=str)
def test_public_class_describes_the_arguments_of_its_methods(name: Name) -> None:
    """So does each of a method, unless the interface that it implements tells."""
    told = set(vars(asyncio.BufferedProtocol)) | set(vars(asyncio.BaseProtocol))
    if name.value is not xmlsocket.Backplane:
        told |= set(vars(xmlsocket.Backplane))
    silent = {
        f"{method}({argument})"
        for method, value in members(name.value)
        if inspect.isroutine(value) and method not in told
        for argument in silent_arguments(value)
    }

    assert set() == silent


@pytest.mark.parametrize("name", [n for n in NAMES if inspect.isclass(n.value)], ids=str)
def test_public_class_describes_what_it_is_made_of(name: Name) -> None:
    """Arguments of a constructor and fields of a record stand in the class's docstring."""
    # Made by functions, by fixtures, by looking up a value, or by nobody.
    if name.name in {"Connect", "Connection", "Serve", "Server"} or issubclass(
        name.value, enum.Enum | Protocol
    ):
        return
    if name.name.endswith("Factory"):
        return
    if issubclass(name.value, Exception) and "__init__" not in vars(name.value):
        return  # its base tells
    text = described(name.value)
    value = getattr(xmlsocket.pure, name.name, name.value)
    arguments = set(inspect.signature(value).parameters) - {"args", "kwargs"}

    assert set() == {a for a in arguments if not re.search(rf"^    {a}:", text, re.MULTILINE)}


def test_extension_tells_what_its_twin_tells(codec: CodecModule) -> None:
    """``help()`` says the same of both, of every method and property, too."""
    for name in xmlsocket.codec.__all__:
        if name in {"DELIMITER", "IMPLEMENTATION"}:
            continue
        ours, twin = getattr(codec, name), getattr(xmlsocket.pure, name)
        assert inspect.getdoc(twin)
        assert inspect.getdoc(twin) == inspect.getdoc(ours)
        if inspect.isclass(twin):
            for member in (member for member in vars(twin) if not member.startswith("_")):
                expected = inspect.getdoc(getattr(twin, member))
                assert expected == inspect.getdoc(getattr(ours, member)), f"{name}.{member}"


def protocol_names() -> list[str]:
    """Return the names in `SOURCED`, with their modules."""
    lines = (line.strip().split(": ") for line in SOURCED.strip().splitlines())
    return [f"{module}.{name}" for module, names in lines for name in names.split()]


@pytest.mark.parametrize("dotted", protocol_names())
def test_name_bound_to_a_protocol_tells_where_its_rule_comes_from(dotted: str) -> None:
    """A document, and the place in it."""
    module, _, name = dotted.rpartition(".")
    text = described(getattr(module_of(module), name))

    assert re.search(r"^Source: \S", text, re.MULTILINE)


def functions() -> dict[str, Any]:
    """Return the public functions and methods that are written in Python, by name."""
    found: dict[str, Any] = {}
    for name in NAMES:
        if inspect.isfunction(name.value):
            found[str(name)] = name.value
        elif inspect.isclass(name.value):
            found |= {
                f"{name}.{member}": value
                for member, value in members(name.value)
                if inspect.isfunction(value)
                and not isinstance(inspect.getattr_static(name.value, member), property)
                and not hasattr(asyncio.BufferedProtocol, member)
            }
    return found


FUNCTIONS = functions()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_public_function_tells_what_it_returns(name: str) -> None:
    """In a section of its own, or in the sentence that says what it does."""
    result = inspect.signature(FUNCTIONS[name]).return_annotation
    text = described(FUNCTIONS[name])

    assert (
        result in {inspect.Signature.empty, None, "None"}
        or "Returns:" in text
        or "Yields:" in text
        or text.startswith(("Return ", "Tell ", "Iterate "))
    )


# Functions that make an error, and what they make.
MAKERS = {"self._closed": "ConnectionClosed", "_document_error": "DocumentError"}


def raised(node: ast.AST) -> Iterator[str]:
    """Yield the names of the errors that a function makes itself, not in a function within."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(child, ast.Raise) and isinstance(child.exc, ast.Call):
            maker = ast.unparse(child.exc.func)
            yield MAKERS.get(maker, maker)
        yield from raised(child)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_public_function_tells_what_it_raises(name: str) -> None:
    """Each error that stands in its body stands in its docstring, too."""
    source = textwrap.dedent(inspect.getsource(FUNCTIONS[name]))
    text = described(FUNCTIONS[name])

    assert [] == [error for error in raised(ast.parse(source).body[0]) if error not in text]
