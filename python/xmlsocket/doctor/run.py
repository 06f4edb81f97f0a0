"""Looks at everything, in an order in which each step stands on those before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from . import network, policies, ruffle, talk, tls
from .finding import Diagnosis, Finding, Status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from .case import Case

__all__ = ["STEPS", "diagnose"]

STEPS: Final = ("tls", "policy", "answer", "websocket")
"""What can be looked at where a server is reached."""


def diagnose(
    case: Case, *, only: Sequence[str] = (), tell: Callable[[Finding], None] | None = None
) -> Diagnosis:
    """
    Look at a server from outside, as players would.

    It is connected to some twenty times and is asked for its policy and once or
    twice for an answer; nothing is flooded or broken. Blocks: call it outside of
    event loops.

    Args:
        case: The server, and who wants to reach it.
        only: What to look at, of ``"tls"``, ``"policy"``, ``"answer"`` and
            ``"websocket"``; without any, all.
        tell: Called with each finding at once.

    Returns:
        All that was found.

    Raises:
        ValueError: If there is no such step.

    """
    for step in only:
        if step not in STEPS:
            raise ValueError(f"no step {step!r}, valid are {', '.join(STEPS)}")
    findings: list[Finding] = []
    for finding in _all(case, only or STEPS):
        findings.append(finding)
        if tell is not None:
            tell(finding)
    served = [f for f in findings if f.name == "websocket"]
    reached = bool(served) and all(f.status is Status.OK for f in served)
    return Diagnosis(case.target, findings, ruffle.socket_proxy(case) if reached else ())


def _all(case: Case, steps: Sequence[str]) -> Iterator[Finding]:
    reached = False
    for finding in network.look(case):
        reached = reached or (finding.name, finding.status) == ("address", Status.OK)
        yield finding
    trusted = True
    for step in steps:
        if not reached:
            if step != "tls" or case.context is not None:
                yield Finding(Status.SKIPPED, step, "the server is out of reach")
        elif step in _ABOVE_TLS and not trusted:
            yield Finding(Status.SKIPPED, step, "players would not get past TLS")
        else:
            for finding in _LOOKS[step](case):
                trusted = trusted and (step != "tls" or finding.status is not Status.FAILED)
                yield finding


_ABOVE_TLS: Final = frozenset({"answer", "websocket"})
_LOOKS: Final = dict(zip(STEPS, (tls.look, policies.look, talk.look, ruffle.look), strict=True))
