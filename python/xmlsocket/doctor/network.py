"""Whether the server can be reached at all: names, addresses, ports."""

from __future__ import annotations

import errno
import socket
import time
from typing import TYPE_CHECKING, Any, Final

from ..endpoint import format_address
from ..reasons import reason
from .finding import Finding, Status

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .case import Case

__all__ = ["look"]

_PRIVILEGED: Final = 1024
_UNREACHABLE: Final = frozenset({errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EADDRNOTAVAIL})
_REFUSED: Final = (
    "the machine answers, and nothing listens there: start the server, let it listen on this"
    " address (0.0.0.0 or ::, not 127.0.0.1) and port, or open the firewall"
)
_TIMED_OUT: Final = (
    "packets are dropped: open the port in the firewall or in the security group, and forward it in"
    " the router"
)
_NO_ROUTE: Final = (
    "no way leads there from here: check the address, IPv6 of this machine, and routes"
)


def look(case: Case) -> Iterator[Finding]:
    """
    Resolve the name, and try every address.

    Returns:
        Findings ``name``, ``address`` for each address, and ``port``; after a
        failure of ``name`` nothing more.

    """
    try:
        infos = socket.getaddrinfo(case.host, case.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as exc:
        yield Finding(
            Status.FAILED,
            "name",
            f"{case.host} does not resolve: {reason(exc)}",
            "check the spelling, and the records A and AAAA of the name",
        )
        return
    infos = list(dict.fromkeys(infos))
    addresses = ", ".join(str(info[4][0]) for info in infos)
    yield Finding(Status.OK, "name", f"{case.host} is {addresses}")

    results = [_try(info, case.timeout) for info in infos]
    reached = any(finding.status is Status.OK for finding in results)
    for finding in results:
        if finding.status is Status.FAILED and reached:
            # Players try one after the other, or only the first.
            fix = f"{finding.fix}; or take the address out of DNS"
            yield Finding(Status.WARNING, finding.name, finding.seen, fix)
        else:
            yield finding
    yield _port(case.port)


def _try(info: Any, timeout: float) -> Finding:
    """Connect to one address."""
    family, kind, proto, _, address = info
    where = format_address(address)
    started = time.perf_counter()
    try:
        with socket.socket(family, kind, proto) as sock:
            sock.settimeout(timeout)
            sock.connect(address)
    except TimeoutError:
        seen = f"{where}: no answer within {timeout:g} s"
        return Finding(Status.FAILED, "address", seen, _TIMED_OUT)
    except OSError as exc:
        fix = _NO_ROUTE if exc.errno in _UNREACHABLE else _REFUSED
        return Finding(Status.FAILED, "address", f"{where}: {reason(exc)}", fix)
    passed = 1000 * (time.perf_counter() - started)
    return Finding(Status.OK, "address", f"{where}: connected in {passed:.1f} ms")


def _port(port: int) -> Finding:
    if port >= _PRIVILEGED:
        return Finding(Status.OK, "port", f"{port}: a policy on this port itself may grant it")
    return Finding(
        Status.WARNING,
        "port",
        f"{port} is below {_PRIVILEGED}: for Flash only a policy from port 843, or another port"
        f" below {_PRIVILEGED}, may grant it; players 5 and 6 never connect",
        f"take a port from {_PRIVILEGED} on",
    )
