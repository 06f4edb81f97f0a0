"""What a check is: a function that talks to a server and says what it saw."""

from __future__ import annotations

import dataclasses
import fnmatch
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .session import Session

__all__ = ["ALL", "STREAMS", "Check", "Failed", "Skipped", "Warned", "check", "chosen"]

ALL: Final = ("tcp", "tls", "unix", "ws", "wss")
STREAMS: Final = ("tcp", "tls", "unix")


class Failed(Exception):
    """The server breaks the rule; the text says what was seen."""


class Warned(Exception):
    """The server does what it should not, or may do it unseen; the text says what."""


class Skipped(Exception):
    """The check cannot be made here; the text says why."""


@dataclasses.dataclass(frozen=True, slots=True)
class Check:
    """
    One check.

    Attributes:
        name: ``GROUP.NAME``.
        rule: What servers do, as a sentence.
        source: Where the rule comes from.
        carriers: On which carriers it makes sense.
        dialogue: Whether it needs a server that answers documents.
        function: Makes it: returns what was seen, or raises `Failed`, `Warned`
            or `Skipped`.

    """

    name: str
    rule: str
    source: str
    carriers: Sequence[str]
    dialogue: bool
    function: Callable[[Session], str]


_CHECKS: list[Check] = []

# What others stand on comes first.
_GROUPS: Final = (
    "framing", "empty", "content", "end", "limits", "silence", "policy", "tls", "websocket",
)  # fmt: skip


def check(
    name: str,
    rule: str,
    source: str,
    *,
    carriers: Sequence[str] = ALL,
    dialogue: bool = True,
) -> Callable[[Callable[[Session], str]], Callable[[Session], str]]:
    """Make a check of a function; see `Check` for the arguments."""

    def register(function: Callable[[Session], str]) -> Callable[[Session], str]:
        _CHECKS.append(Check(name, rule, source, carriers, dialogue, function))
        return function

    return register


def chosen(patterns: Sequence[str]) -> list[Check]:
    """Return the checks whose names match one of the patterns; all without a pattern."""
    found = [
        item
        for item in _CHECKS
        if not patterns or any(fnmatch.fnmatchcase(item.name, pattern) for pattern in patterns)
    ]
    return sorted(found, key=lambda item: _GROUPS.index(item.name.partition(".")[0]))
