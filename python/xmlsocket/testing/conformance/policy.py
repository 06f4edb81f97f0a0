"""Checks of the socket policy file that a port serves."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

from ...exceptions import PolicyError
from ...policy import MASTER_PORT, REQUEST, Policy
from .checks import Failed, Skipped, Warned, check
from .session import Session, shown
from .sources import (
    DEVELOPERS_GUIDE,
    FLASH_8,
    FLASH_8_CLOSE,
    LIMITS,
    RFC_1122,
    RFC_9293_CLOSE,
    RFC_9293_SEGMENTS,
)
from .wire import Ended, Silent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .wire import Wire

_PLAIN = ("tcp", "unix")
_CROWD = 5
_SPACED = b"<policy-file-request />\0"


def _reply(
    session: Session, wire: Wire, pieces: Sequence[bytes], pace: float | None = None
) -> bytes:
    """Ask in pieces and return the policy file, whatever ends it."""
    # Who answers on accepting may have closed before the request is out.
    with contextlib.suppress(Ended):
        session.send_pieces(wire, pieces, pace)
    try:
        reply = wire.frame()
    except Silent:
        reply = bytes(wire.buffer)
        if not reply:
            raise Failed(f"no answer within {session.options.timeout:g} s") from None
    except Ended as exc:
        reply = bytes(wire.buffer)
        if not reply:
            raise Failed(f"{exc} without an answer") from None
    if b"<cross-domain-policy" not in reply:
        raise Failed(f"no policy file but {shown(reply)}")
    return reply


def _parsed(session: Session) -> Policy:
    with session.open() as wire:
        reply = _reply(session, wire, [REQUEST])
    try:
        return Policy.parse(reply)
    except PolicyError as exc:
        raise Failed(f"Flash would not take it: {exc}") from None


@check(
    "policy.answer",
    "a policy request is answered with a valid policy file",
    FLASH_8,
    carriers=_PLAIN,
    dialogue=False,
)
def answer(session: Session) -> str:
    """Ask in one segment and read the file."""
    session.needs_policy()
    policy = _parsed(session)
    grants = "; ".join(map(str, policy.grants)) or "nothing"
    return f"{len(policy.reply) - 1} bytes that grant: {grants}"


@check(
    "policy.zero-byte",
    "the answer ends with one zero byte, and nothing follows",
    FLASH_8,
    carriers=_PLAIN,
    dialogue=False,
)
def zero_byte(session: Session) -> str:
    """Read on behind the zero byte."""
    session.needs_policy()
    with session.open() as wire:
        reply = _reply(session, wire, [REQUEST])
        rest = wire.listen(session.options.quiet)
    if rest.startswith(reply):
        raise Failed(f"no zero byte ends the file, it stops with {shown(reply[-30:])}")
    if rest:
        raise Failed(f"{shown(rest)} follows the zero byte")
    return "nothing follows the zero byte"


@check(
    "policy.closed",
    "the server closes when it has answered",
    FLASH_8_CLOSE,
    carriers=_PLAIN,
    dialogue=False,
)
def closed(session: Session) -> str:
    """Wait for the end, which players bring about themselves where servers do not."""
    session.needs_policy()
    with session.open() as wire:
        _reply(session, wire, [REQUEST])
        if wire.until_end() is None:
            raise Warned(f"still open {session.options.timeout:g} s after the answer")
        return f"{wire.ended}"


@check(
    "policy.order",
    "the answer ends with FIN, not with a reset that may destroy it",
    RFC_1122,
    carriers=_PLAIN,
    dialogue=False,
)
def order(session: Session) -> str:
    """Look at how the connection ends."""
    session.needs_policy()
    with session.open() as wire:
        _reply(session, wire, [REQUEST])
        ended = wire.until_end()
    if ended == "reset":
        raise Failed("reset after the answer: the server closed with the request unread")
    if ended is None:
        raise Skipped("the connection stays open")
    return ended


@check(
    "policy.segments",
    "the request may come in any segments",
    RFC_9293_SEGMENTS,
    carriers=_PLAIN,
    dialogue=False,
)
def segments(session: Session) -> str:
    """Cut it near its ends and in the middle, and into bytes."""
    session.needs_policy()
    for at in (1, len(REQUEST) // 2, len(REQUEST) - 1):
        with session.open() as wire:
            try:
                _reply(session, wire, [REQUEST[:at], REQUEST[at:]])
            except Failed as exc:
                raise Failed(f"cut after {at} bytes: {exc}") from None
    with session.open() as wire:
        try:
            pace = min(0.005, session.options.pace)
            _reply(session, wire, [bytes([byte]) for byte in REQUEST], pace)
        except Failed as exc:
            raise Failed(f"byte by byte: {exc}") from None
    return f"answered in two segments, cut at three places, and in {len(REQUEST)}"


@check(
    "policy.space",
    "the request with a space before the slash is answered too",
    FLASH_8,
    carriers=_PLAIN,
    dialogue=False,
)
def space(session: Session) -> str:
    """Ask as the manual of Flash 8 writes it, which no known player does."""
    session.needs_policy()
    with session.open() as wire:
        try:
            _reply(session, wire, [_SPACED])
        except Failed as exc:
            raise Warned(f"{exc}; no player is known to ask so") from None
    return "answered"


@check(
    "policy.half-close",
    "a request followed by FIN is answered",
    RFC_9293_CLOSE,
    carriers=_PLAIN,
    dialogue=False,
)
def half_close(session: Session) -> str:
    """Ask as a shell would, with ``printf … | nc -N``."""
    session.needs_policy()
    with session.open() as wire:
        with contextlib.suppress(Ended, OSError):
            wire.send(REQUEST)
            wire.finish()
        _reply(session, wire, [])
    return "answered"


@check(
    "policy.unasked",
    "on a port for documents nobody gets the policy unasked",
    FLASH_8,
    carriers=_PLAIN,
)
def unasked(session: Session) -> str:
    """Say nothing."""
    session.needs_policy()
    with session.open() as wire:
        came = wire.listen(session.options.quiet)
    if b"<cross-domain-policy" in came:
        raise Failed("the policy came unasked, before any document of the application")
    return f"no policy within {session.options.quiet:g} s"


@check(
    "policy.others",
    f"{_CROWD} connections that ask for nothing keep nobody waiting",
    LIMITS,
    carriers=_PLAIN,
    dialogue=False,
)
def others(session: Session) -> str:
    """Ask beside silent connections, one of them in the midst of its request."""
    session.needs_policy()
    with contextlib.ExitStack() as stack:
        for _ in range(_CROWD):
            wire = stack.enter_context(session.open())
        with contextlib.suppress(Ended):
            wire.send(REQUEST[:10])
        started = time.perf_counter()
        with session.open() as another:
            _reply(session, another, [REQUEST])
        return f"answered in {1000 * (time.perf_counter() - started):.1f} ms"


@check(
    "policy.place",
    "the file may be served where it is served",
    DEVELOPERS_GUIDE,
    carriers=("tcp",),
    dialogue=False,
)
def place(session: Session) -> str:
    """Look for grants and a site-control that only count elsewhere."""
    session.needs_policy()
    try:
        _parsed(session).check_port(session.endpoint.port)
    except PolicyError as exc:
        raise Failed(str(exc)) from None
    master = "the master" if session.endpoint.port == MASTER_PORT else "not the master"
    return f"port {session.endpoint.port}, {master}"


@check(
    "policy.grants",
    "the file grants what it is there for",
    DEVELOPERS_GUIDE,
    carriers=("tcp",),
    dialogue=False,
)
def grants(session: Session) -> str:
    """Ask it as a player does: the pairs of the options, or at least anybody for this port."""
    session.needs_policy()
    policy = _parsed(session)
    port = session.endpoint.port
    if session.options.grants:
        for domain, wanted in session.options.grants:
            verdict = policy.allows(domain, wanted, secure=True, serving_port=port)
            if not verdict:
                raise Failed(f"{domain} to port {wanted}: {verdict}")
        return "; ".join(f"{domain} to port {wanted}" for domain, wanted in session.options.grants)
    if session.options.policy_only:
        if not policy.grants:
            raise Failed("the file grants nothing to anybody")
        return f"{len(policy.grants)} grants; --grants says which to look for"
    for grant in policy.grants:
        domain = grant.domain.removeprefix("*.")
        domain = "any.example.com" if domain == "*" else domain
        if policy.allows(domain, port, secure=True, serving_port=port):
            return f"this port, to movies from {grant.domain}"
    raise Failed(f"no domain is granted port {port}, on which the file is served")
