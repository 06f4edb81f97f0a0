"""The socket policy files, asked for as Flash Player asks."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from ..flash.sandbox import Sandbox
from ..policy import MASTER_PORT
from ..reasons import reason
from ..testing.conformance import Endpoint, Options, Outcome, run
from .finding import Finding, Status

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from ..testing.conformance import Result
    from .case import Case

__all__ = ["look"]

_PLAYER: Final = 9
_PRIVILEGED: Final = 1024
_NONE_HERE: Final = ("no answer within", "without an answer", "no policy file but", "no connection")

# What to do when a check of the conformance kit fails, by its name.
_FIXES: Final = {
    "policy.answer": "xmlsocket policy --check FILE names the line; --print makes a file that is"
    " right",
    "policy.zero-byte": "send the file and one zero byte, and nothing behind it",
    "policy.order": "read the request to its zero byte before closing: the reset may take the"
    " answer from the player",
    "policy.segments": "read until the zero byte: a request may come in pieces",
    "policy.place": "move the grants of ports below 1024, and site-control, to the policy of"
    " port 843",
}


def look(case: Case) -> Iterator[Finding]:
    """
    Ask port 843 and the port itself, and decide as Flash Player would.

    Returns:
        Findings for each port that serves a policy, and ``policy`` with the verdict.

    """
    served = yield from _port(case, case.policy_port)
    if case.context is None:
        if case.port != case.policy_port:
            served += yield from _port(case, case.port)
    else:
        why = "players ask in the clear, and this port speaks TLS"
        yield Finding(Status.SKIPPED, f"policy of port {case.port}", why)
    yield _verdict(case, served)


def _port(case: Case, port: int) -> Generator[Finding, None, int]:
    """Make the checks of the conformance kit on one port; return how many policies it has."""
    name = f"policy of port {port}"
    endpoint = Endpoint("tcp", case.host, port)
    options = Options(policy_only=True, timeout=case.timeout, quiet=case.quiet)
    others = [other for other in _FIXES if other != "policy.answer"]
    try:
        (first,) = run(endpoint, options, only=["policy.answer"]).results
        none = first.outcome is Outcome.FAILED and any(text in first.seen for text in _NONE_HERE)
        rest = [] if none else run(endpoint, options, only=others).results
    except OSError as exc:
        yield Finding(Status.SKIPPED, name, f"{reason(exc)}: Flash goes on without it")
        return 0
    if none:
        yield Finding(Status.SKIPPED, name, f"none: {first.seen}")
        return 0
    yield _finding(first, port)
    for result in rest:
        # What is right at one place only is for the port that is in question.
        placed = result.name != "policy.place" or (
            first.outcome is Outcome.PASSED and port == case.port
        )
        if result.outcome is Outcome.FAILED and placed:
            yield _finding(result, port)
    return 1


def _finding(result: Result, port: int) -> Finding:
    name = f"policy of port {port}"
    if result.outcome is Outcome.PASSED:
        return Finding(Status.OK, name, result.seen)
    return Finding(Status.FAILED, name, result.seen, _FIXES[result.name])


def _verdict(case: Case, served: int) -> Finding:
    ports = f"port {case.policy_port}"
    if case.context is None and case.port != case.policy_port:
        ports += f" and {case.port}"
    domain = case.domain
    if not served:
        return Finding(
            Status.WARNING if domain is None else Status.FAILED,
            "policy",
            f"none on {ports}: Flash Player opens no connection (Ruffle asks for none)",
            f"xmlsocket policy --domain {domain or 'DOMAIN'} --ports {case.port} --host 0.0.0.0",
        )
    if domain is None:
        return Finding(
            Status.SKIPPED, "policy", "whom it lets in: --swf says where the movie comes from"
        )
    sandbox = Sandbox(domain=domain, player=_PLAYER, secure=case.secure)
    verdict = asyncio.run(
        sandbox.ask(
            case.host, case.port, timeout=max(2 * case.timeout, 1), master_port=case.policy_port
        )
    )
    seen = f"a movie from {domain} is {verdict}"
    if verdict:
        return Finding(Status.OK, "policy", seen)
    place = case.port if case.port >= _PRIVILEGED else MASTER_PORT
    fix = (
        f'add <allow-access-from domain="{domain}" to-ports="{case.port}"/> to the policy of port'
        f" {place if case.context is None else MASTER_PORT}"
    )
    return Finding(Status.FAILED, "policy", seen, fix)
