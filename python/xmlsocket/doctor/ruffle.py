"""What Ruffle needs: a WebSocket, and a page that may open it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from ..endpoint import format_address
from ..gateway import Gateway, Target
from ..reasons import reason
from ..testing.conformance import Options, Outcome, run
from .finding import Finding, Status

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..testing.conformance import Result
    from .case import Case

__all__ = ["look", "socket_proxy"]

_FIXES: Final = {
    "websocket.opening": "choose no subprotocol and no extension that was not offered: browsers"
    " fail the connection",
    "websocket.binary": "send binary messages",
}


def look(case: Case) -> Iterator[Finding]:
    """
    Open a WebSocket on the port, and look at it as Ruffle in a browser would.

    Returns:
        Findings ``websocket`` and ``page``; of the first one not that is ok if the
        port has none.

    """
    # Any answer will do: it is its messages that count.
    asked = {} if case.send is None else {"send": case.send, "expect": re.compile(b"")}
    options = Options(timeout=case.timeout, quiet=case.quiet, **asked)  # type: ignore[arg-type]
    only = ["websocket.opening"] + ["websocket.binary"] * (case.send is not None)
    try:
        results = run(case.websocket, options, only=only).results
    except OSError as exc:
        yield _none(case, exc)
    else:
        for result in results:
            yield _finding(case, result)
    yield _page(case)


def socket_proxy(case: Case) -> list[dict[str, str | int]]:
    """
    Return Ruffle's ``socketProxy`` for the WebSocket of the server.

    Args:
        case: The server.

    """
    scheme = case.websocket.carrier
    url = f"{scheme}://{format_address((case.host, case.port))}"
    path = case.path or "/"
    return Gateway({path: Target(case.host, case.port)}).socket_proxy(url)


def _finding(case: Case, result: Result) -> Finding:
    where = str(case.websocket)
    if result.outcome is Outcome.PASSED:
        asked = "" if case.page else "; asked without an Origin, --origin or --swf name one"
        return Finding(Status.OK, "websocket", f"{where}: {result.seen}{asked}")
    return Finding(Status.FAILED, "websocket", f"{where}: {result.seen}", _FIXES[result.name])


def _none(case: Case, error: OSError) -> Finding:
    # Errors of ours have no number, and say it all.
    why = str(error) if error.errno is None else reason(error)
    status = Status.WARNING if case.path is None else Status.FAILED
    if "403" in why:
        fix = (
            f"let pages from {case.page} in, such as with serve --origin {case.page}"
            if case.page
            else "--origin names the page's origin; the server has to let it in"
        )
    elif "404" in why:
        fix = "--path names the path of the WebSocket"
    else:
        fix = (
            "let the server take WebSockets (serve --websocket), or put a gateway before it:"
            f" xmlsocket gateway --target /game={case.target} --port 8080, with --ruffle-config for"
            " the page"
        )
    return Finding(status, "websocket", f"{case.websocket}: {why}; Ruffle cannot connect", fix)


def _page(case: Case) -> Finding:
    page = case.page
    if page is None:
        return Finding(
            Status.SKIPPED, "page", "whether it may open this: --origin or --swf name where it is"
        )
    if page.startswith("https:") and case.context is None:
        return Finding(
            Status.WARNING,
            "page",
            f"{page} comes by HTTPS: browsers block ws:// from there as mixed content",
            "put TLS before the WebSocket, and name it as wss:// in socketProxy",
        )
    return Finding(Status.OK, "page", f"{page} may open {case.websocket.carrier}://")
