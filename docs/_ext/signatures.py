"""
Signatures and docstrings as a reader of the reference wants them.

- Overloads of `connect` and `serve` tell type checkers what ``parse`` returns. They
  leave out defaults and would fill a page each.
- Connections and servers are made by functions, so their constructors are no API.
- The extension's signatures have no types; its twin in Python has the same ones with
  types.
"""

from __future__ import annotations

import enum
import inspect
import operator
from typing import TYPE_CHECKING, Any

from sphinx.pycode import ModuleAnalyzer
from sphinx.util.inspect import stringify_signature

from xmlsocket import pure

if TYPE_CHECKING:
    from sphinx.application import Sphinx

_MADE = {"Connect", "Connection", "Serve", "Server"}
_TWIN = "xmlsocket.codec."
_COLON = "\N{PRESENTATION FORM FOR VERTICAL COLON} "


def _twin_of(name: str) -> Any:
    if not name.startswith(_TWIN):
        return None
    try:
        return operator.attrgetter(name.removeprefix(_TWIN))(pure)
    except AttributeError:
        return None


def _signature(
    app: Sphinx,
    what: str,
    name: str,
    obj: Any,
    options: Any,
    signature: str | None,
    returns: str | None,
) -> tuple[str | None, str | None]:
    if what == "class" and (obj.__name__ in _MADE or issubclass(obj, enum.Enum)):
        return "", None
    if signature and (twin := _twin_of(name)) is not None:
        return stringify_signature(inspect.signature(twin), unqualified_typehints=True), returns
    return signature, returns


def _protect(
    app: Sphinx,
    what: str,
    name: str,
    obj: Any,
    options: Any,
    lines: list[str],
) -> None:
    # Napoleon takes what stands before a colon for the type of an attribute.
    if what in ("attribute", "data", "property") and lines and len([*filter(None, lines)]) == 1:
        lines[0] = lines[0].replace(": ", _COLON)


def _restore(
    app: Sphinx,
    what: str,
    name: str,
    obj: Any,
    options: Any,
    lines: list[str],
) -> None:
    lines[:] = [line.replace(_COLON, ": ") for line in lines]


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    analyze = ModuleAnalyzer.analyze

    def without_overloads(self: ModuleAnalyzer) -> None:
        analyze(self)
        self.overloads.clear()

    ModuleAnalyzer.analyze = without_overloads  # type: ignore[method-assign]
    app.connect("autodoc-process-signature", _signature)
    app.connect("autodoc-process-docstring", _protect, priority=450)  # napoleon has 500
    app.connect("autodoc-process-docstring", _restore, priority=600)
    return {"parallel_read_safe": True}
