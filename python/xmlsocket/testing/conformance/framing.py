"""Checks of the framing, of empty frames and of what is no document."""

from __future__ import annotations

import itertools

from .checks import Failed, Skipped, check
from .session import Session, shown
from .sources import DICTIONARY, GNASH, LIMITS, RUFFLE, UTF_8
from .wire import Ended

_SEVERAL = 50
_MANY = 2000
_LONG = 15_000
_SEGMENT = 1460
_EMPTY = 1000
_BYTE_PACE = 0.005
_MOMENT = 0.05

# One, two, three and four bytes of UTF-8; right to left; a combining mark.
_SCRIPTS = "Grüße, ελληνικά, 日本語, العربية, עברית, e\u0301, 😀"

# What peers send that is no well-formed document, or none at all.
_HOSTILE = (
    b"<a><b></a>",
    b"%xt%s%j#js%-1%1%",
    b"hello",
    b"\xff\xfe\xed\xa0\x80",
    b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>',
    b"<a>&nbsp;<",
)


def _ways(session: Session, *pieces: bytes, count: int = 1) -> str:
    """Send pieces that make ``count`` questions together, and take the answers."""
    with session.open() as wire:
        session.send_pieces(wire, pieces)
        for number in range(1, count + 1):
            session.answer(wire, session.question(number))
    return f"{count} of {count} answered" if count > 1 else "answered"


@check("framing.whole", "a document and its zero byte in one segment are answered", DICTIONARY)
def whole(session: Session) -> str:
    """Ask in the simplest way there is."""
    return _ways(session, session.question(1) + b"\0")


@check("framing.bytes", "a document that comes byte by byte is one document", RUFFLE)
def byte_by_byte(session: Session) -> str:
    """Send every byte as a segment."""
    question = session.question(1)
    with session.open() as wire:
        pieces = (bytes([byte]) for byte in question + b"\0")
        session.send_pieces(wire, pieces, min(_BYTE_PACE, session.options.pace))
        session.answer(wire, question)
    return f"answered after {len(question) + 1} segments"


@check("framing.zero-alone", "the zero byte may come in a segment of its own", RUFFLE)
def zero_alone(session: Session) -> str:
    """Send the document, then its end."""
    return _ways(session, session.question(1), b"\0")


@check("framing.several", "several documents in one segment are all answered, in order", RUFFLE)
def several(session: Session) -> str:
    """Send many at once."""
    data = b"".join(session.question(number) + b"\0" for number in range(1, _SEVERAL + 1))
    return _ways(session, data, count=_SEVERAL)


@check("framing.straddling", "a segment may end one document and begin the next", RUFFLE)
def straddling(session: Session) -> str:
    """Send one and a half, then the rest and a whole one."""
    first, second, third = (session.question(number) + b"\0" for number in (1, 2, 3))
    half = len(second) // 2
    return _ways(session, first + second[:half], second[half:] + third, count=3)


@check("framing.utf-8", "a character may be cut between its bytes", UTF_8)
def utf_8_cut(session: Session) -> str:
    """Cut every character of more than a byte."""
    question = session.question(1, _SCRIPTS)
    # Never before a lead byte: each piece ends inside of a character.
    cuts = [at for at, byte in enumerate(question) if byte & 0xC0 == 0x80]  # noqa: PLR2004
    if not cuts:
        raise Skipped("the document to send has no character of more than one byte")
    pieces = [question[a:b] for a, b in itertools.pairwise([0, *cuts, len(question)])]
    with session.open() as wire:
        session.send_pieces(wire, [*pieces, b"\0"], min(_BYTE_PACE, session.options.pace))
        session.answer(wire, question)
    return f"answered after {len(cuts)} cuts inside of characters"


@check("framing.early", "nothing is done before the zero byte", DICTIONARY)
def early(session: Session) -> str:
    """Hold the zero byte back."""
    question = session.question(1)
    with session.open() as wire:
        wire.send(question)
        came = wire.listen(session.options.quiet)
        if session.options.expect is None and came:
            raise Failed(f"{shown(came)} came before the zero byte was sent")
        if session.options.expect is not None and session.options.expect.search(came):
            raise Failed(f"the answer {shown(came)} came before the zero byte was sent")
        wire.send(b"\0")
        session.answer(wire, question)
    return f"silent for {session.options.quiet:g} s, then answered"


@check("framing.newline", "ends of lines are characters like others", DICTIONARY)
def newline(session: Session) -> str:
    """Send a document of several lines."""
    session.needs_echo()
    question = session.question(1, "\none\r\ntwo\r\n\r\nthree\n") + b"\n"
    with session.open() as wire:
        wire.send(question + b"\0")
        session.answer(wire, question)
    return "came back as it was sent"


@check(
    "framing.nothing-else", "a document is followed by one zero byte and nothing else", DICTIONARY
)
def nothing_else(session: Session) -> str:
    """Look at what follows answers."""
    session.needs_echo()
    with session.open() as wire:
        for number in (1, 2):
            session.ask(wire, number)
        rest = wire.listen(session.options.quiet)
    if rest:
        raise Failed(f"{shown(rest)} follows the answer")
    return f"nothing within {session.options.quiet:g} s after the zero byte"


@check("framing.characters", "characters come as they were sent, in UTF-8", UTF_8)
def characters(session: Session) -> str:
    """Send several scripts."""
    session.needs_echo()
    question = session.question(1, _SCRIPTS)
    with session.open() as wire:
        wire.send(question + b"\0")
        session.answer(wire, question)
    return f"{len(_SCRIPTS)} characters came back"


@check("framing.long", f"a document of {_LONG} characters passes", GNASH)
def long(session: Session) -> str:
    """Send a long document in segments of a usual size."""
    question = session.padded(_LONG)
    data = question + b"\0"
    pieces = [data[at : at + _SEGMENT] for at in range(0, len(data), _SEGMENT)]
    with session.open() as wire:
        session.send_pieces(wire, pieces, 0.0)
        session.answer(wire, question)
    return f"answered, in {len(pieces)} segments"


@check("framing.many", f"{_MANY} documents sent without waiting are all answered", DICTIONARY)
def many(session: Session) -> str:
    """Send as fast as the server takes it, and read at the same time."""
    data = b"".join(session.question(number) + b"\0" for number in range(_MANY))
    with session.open() as wire:
        for at in range(0, len(data), _SEGMENT):
            wire.send(data[at : at + _SEGMENT])
        for number in range(_MANY):
            try:
                session.answer(wire, session.question(number))
            except Failed as exc:
                raise Failed(f"after {number} answers: {exc}") from None
    return "all came, in order" if session.options.expect is None else "all came"


@check(
    "framing.apart",
    "connections do not mix: each has an unfinished document of its own",
    DICTIONARY,
)
def apart(session: Session) -> str:
    """Cut documents of two connections at the same time."""
    one, two = session.question(1), session.question(2)
    with session.open() as first, session.open() as second:
        half = len(one) // 2
        session.send_pieces(first, [one[:half], b""])
        session.send_pieces(second, [two[:half], b""])
        for wire, question in ((first, one), (second, two)):
            wire.send(question[half:] + b"\0")
            session.answer(wire, question)
    return "both answered"


@check("empty.one", "an empty frame ends nothing and delays nothing", RUFFLE)
def empty(session: Session) -> str:
    """Send a zero byte between two documents."""
    with session.open() as wire:
        session.ask(wire, 1)
        question = session.question(2)
        wire.send(b"\0" + question + b"\0")
        came = session.answer(wire, question)
    if session.options.expect is not None:
        return "the next document was answered"
    return "sent back, as Flash would" if came else "dropped; the next document was answered"


@check("empty.run", f"{_EMPTY} empty frames end nothing", RUFFLE)
def empty_run(session: Session) -> str:
    """Send many zero bytes."""
    with session.open() as wire:
        wire.send(bytes(_EMPTY))
        question = session.question(1)
        wire.send(question + b"\0")
        came = session.answer(wire, question)
    return f"{came} sent back; the next document was answered"


@check("content.strange", "what is no document costs others nothing", LIMITS)
def strange(session: Session) -> str:
    """Send what real peers send that is no XML, not well-formed, or no UTF-8."""
    ended = 0
    for data in _HOSTILE:
        with session.open() as wire:
            try:
                wire.send(data + b"\0")
                session.send_pieces(wire, [b"", session.question(1) + b"\0"])
                wire.listen(min(session.options.quiet, _MOMENT))
            except Ended:
                pass
            ended += wire.ended is not None
    return f"{ended} of {len(_HOSTILE)} connections were ended; {session.others_served()}"
