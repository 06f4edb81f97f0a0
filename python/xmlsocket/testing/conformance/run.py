"""Makes the checks that a server allows for."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

# Importing them registers their checks.
from . import carriers, ends, framing, policy  # noqa: F401
from .checks import Check, Failed, Skipped, Warned, chosen
from .report import Outcome, Report, Result
from .session import Options, Session
from .wire import Ended, Silent

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .endpoint import Endpoint

__all__ = ["checks", "run"]

# Nothing else can be tried where this fails.
_FIRST: Final = "framing.whole"

_OUTCOMES: Final = {
    Skipped: Outcome.SKIPPED,
    Warned: Outcome.WARNING,
    Failed: Outcome.FAILED,
}


def checks(only: Sequence[str] = ()) -> list[Check]:
    """
    Return the checks that there are, in the order in which they are made.

    Args:
        only: Patterns of names as ``fnmatch`` reads them, such as ``policy.*``;
            without any, all.

    """
    return chosen(only)


def run(
    endpoint: Endpoint,
    options: Options = Options(),  # noqa: B008 - frozen
    *,
    only: Sequence[str] = (),
    tell: Callable[[Result], None] | None = None,
) -> Report:
    """
    Make the checks, one after the other.

    Args:
        endpoint: The server.
        options: How it is tried.
        only: As for `checks`.
        tell: Called with each result at once.

    Returns:
        What was found, a result for each check that was chosen.

    Raises:
        OSError: If no connection can be made, before any check.

    """
    endpoint.dial(options.timeout).close()
    session = Session(endpoint, options)
    results: list[Result] = []
    for check in checks(only):
        reason = _left_out(check, session, results)
        result = _made(check, session) if reason is None else _skipped(check, reason)
        results.append(result)
        if tell is not None:
            tell(result)
    return Report(str(endpoint), results)


def _left_out(check: Check, session: Session, results: Sequence[Result]) -> str | None:
    """Return why a check makes no sense here, if it does not."""
    carrier = session.endpoint.carrier
    if carrier not in check.carriers:
        return f"says nothing about {carrier}"
    if check.dialogue and session.options.policy_only:
        return "a policy server has no documents to answer"
    if check.dialogue and Outcome.FAILED in {r.outcome for r in results if r.name == _FIRST}:
        return f"{_FIRST} failed: either the server, or what it is asked, see --send"
    return None


def _skipped(check: Check, reason: str) -> Result:
    return Result(check.name, check.rule, check.source, Outcome.SKIPPED, reason, 0.0)


def _made(check: Check, session: Session) -> Result:
    started = time.perf_counter()
    try:
        outcome, seen = Outcome.PASSED, check.function(session)
    except (Skipped, Warned, Failed) as exc:
        outcome, seen = _OUTCOMES[type(exc)], str(exc)
    except (Ended, Silent, OSError) as exc:
        outcome, seen = Outcome.FAILED, _unexpected(exc, session.options.timeout)
    seconds = time.perf_counter() - started
    return Result(check.name, check.rule, check.source, outcome, seen, seconds)


def _unexpected(error: Exception, timeout: float) -> str:
    if isinstance(error, Ended):
        return f"{error} by the server"
    if isinstance(error, Silent):
        return f"nothing was taken within {timeout:g} s"
    return f"no connection: {error}"
