"""Checks of how streams end, of limits, and of peers that are silent or do not read."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from .checks import STREAMS, Failed, Warned, check
from .session import Session, shown
from .sources import DICTIONARY, FRAMING, LIMITS, RFC_9293_CLOSE, RUFFLE
from .wire import Ended, Silent

if TYPE_CHECKING:
    from .wire import Wire

_SEVERAL = 20
_CROWD = 10
_UNREAD = 2**22
_STALL = 0.3
_PIECE = 2**16


@check(
    "end.half-close",
    "documents sent before FIN are answered after it",
    RFC_9293_CLOSE,
    carriers=("tcp", "unix"),
)
def half_close(session: Session) -> str:
    """Send, end the sending, and go on receiving."""
    with session.open() as wire:
        wire.send(b"".join(session.question(number) + b"\0" for number in range(_SEVERAL)))
        wire.finish()
        for number in range(_SEVERAL):
            session.answer(wire, session.question(number))
        ended = wire.until_end()
    if ended is None:
        raise Warned(f"all {_SEVERAL} answered, still open {session.options.timeout:g} s after FIN")
    return f"all {_SEVERAL} answered, then {ended}"


@check(
    "end.unfinished",
    "what has no zero byte when the stream ends is no document",
    FRAMING,
    carriers=("tcp", "unix"),
)
def unfinished(session: Session) -> str:
    """End the sending inside of a document."""
    question = session.question(1)
    with session.open() as wire:
        wire.send(question + b"\0" + question)
        wire.finish()
        session.answer(wire, question)
        came = wire.listen(session.options.quiet)
    expect = session.options.expect
    if question in came if expect is None else expect.search(came):
        raise Failed(f"half a document was answered with {shown(came)}")
    return "the whole document was answered, the unfinished one was not"


@check("end.leftover", "nothing of a connection shows up on the next", RUFFLE)
def leftover(session: Session) -> str:
    """Leave inside of a document, in order and not, and come again."""
    for leave in ("close", "reset"):
        with session.open() as wire:
            wire.send(b"<left over='")
            getattr(wire, leave)()
        with session.open() as wire:
            session.ask(wire)
    return "the next connections were answered as if nothing had been"


@check("end.reset", "a reset inside of a document costs others nothing", LIMITS, carriers=STREAMS)
def reset(session: Session) -> str:
    """Reset a connection while answers are on their way."""
    with session.open() as wire:
        data = b"".join(session.question(number) + b"\0" for number in range(_SEVERAL))
        wire.send(data + b"<half")
        wire.reset()
    return session.others_served()


@check("end.leave", "who leaves without reading its answers costs others nothing", LIMITS)
def leave(session: Session) -> str:
    """Close at once, several times."""
    for _ in range(_CROWD):
        with session.open() as wire:
            wire.send(session.question(1) + b"\0")
    return session.others_served()


@check(
    "limits.oversize", "a document above the limit is not answered, and others are served", LIMITS
)
def oversize(session: Session) -> str:
    """Send one that is too large, with its end."""
    size = session.options.oversize
    _, text = _too_much(session, session.padded(size) + b"\0", f"{size:,} bytes")
    return text


@check("limits.endless", "a document that does not end is cut off, and others are served", LIMITS)
def endless(session: Session) -> str:
    """Send without an end."""
    size = session.options.endless
    ended, text = _too_much(session, session.padded(size), f"{size:,} bytes without an end")
    if not ended:
        raise Warned(f"{text}; whether the server kept them cannot be told from outside")
    return text


def _too_much(session: Session, data: bytes, what: str) -> tuple[bool, str]:
    """Send too much; return whether the server ended the connection, and what was seen."""
    sent = 0
    with session.open() as wire:
        try:
            for at in range(0, len(data), _PIECE):
                wire.send(data[at : at + _PIECE])
                sent = min(len(data), at + _PIECE)
            wire.send((b"" if data.endswith(b"\0") else b"\0") + session.question(7) + b"\0")
            _check_dropped(session, wire, what)
        except Ended as exc:
            return True, f"{exc} after about {sent:,} bytes; {session.others_served()}"
        except Silent:
            served = session.others_served()
            raise Warned(f"silent after {sent:,} bytes, but not closed; {served}") from None
    text = f"{what} dropped, and the next document answered; {session.others_served()}"
    return False, text


def _check_dropped(session: Session, wire: Wire, what: str) -> None:
    """Take the answer to what came after too much, and see that it is the first."""
    expect = session.options.expect
    frame = wire.frame()
    if expect is None:
        if frame != session.question(7):
            raise Failed(f"{what} were answered with {len(frame):,}: there is no limit below that")
        return
    answers = [frame]
    with contextlib.suppress(Silent):
        while True:
            answers.append(wire.frame(session.options.quiet))
    if sum(expect.search(answer) is not None for answer in answers) > 1:
        raise Failed(f"{what} were answered: there is no limit below that")


@check("silence.later", "a connection may be silent before it says something", DICTIONARY)
def later(session: Session) -> str:
    """Wait, then ask."""
    with session.open() as wire:
        came = wire.listen(session.options.quiet)
        if wire.ended is not None:
            raise Failed(
                f"{wire.ended} within {session.options.quiet:g} s of silence, after {shown(came)}"
            )
        seconds = session.ask(wire)
    return f"answered in {1000 * seconds:.1f} ms after {session.options.quiet:g} s"


@check("silence.others", f"{_CROWD} silent connections keep nobody waiting", LIMITS)
def others(session: Session) -> str:
    """Ask beside connections that say nothing and that stop inside of a document."""
    with contextlib.ExitStack() as stack:
        for number in range(_CROWD):
            wire = stack.enter_context(session.open())
            if number % 2:
                wire.send(b"<half")
        return session.others_served()


@check("silence.unread", "who does not read keeps nobody else waiting", LIMITS)
def unread(session: Session) -> str:
    """Send without reading until the server stops taking, ends it, or has had 4 MiB."""
    question = session.padded(1000)
    piece = (question + b"\0") * 64
    with session.open() as wire:
        wire.timeout = _STALL
        sent = 0
        try:
            while sent < _UNREAD:
                wire.send(piece, read=False)
                sent += len(piece)
            how = "took it all"
        except Silent:
            how = "stopped reading"
        except Ended as exc:
            how = str(exc)
        served = session.others_served()
    return f"{how} after {sent:,} bytes unanswered; {served}"
