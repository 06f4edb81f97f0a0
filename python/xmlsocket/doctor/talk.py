"""What the server says, unasked and asked, and whether it ends it as Flash wants it."""

from __future__ import annotations

import re
import struct
import time
from typing import TYPE_CHECKING, Final

from ..codec import Decoder
from ..documents import parse
from ..exceptions import DocumentError
from ..reasons import reason
from ..testing.conformance.session import shown
from ..testing.conformance.wire import Ended, Silent
from .finding import Finding, Status

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .case import Case

__all__ = ["judge", "look"]

# Seconds in which the rest of what a server says follows its beginning.
_REST: Final = 0.2
_LENGTHS: Final = (("2", "!H"), ("4", "!I"), ("4", "<I"))
_HTTP: Final = re.compile(rb"HTTP/\d")
# A record of an alert, or of a handshake: version 3, whatever TLS it is.
_TLS: Final = re.compile(rb"[\x15\x16]\x03[\x00-\x04]", re.DOTALL)
_DRAIN: Final = "end each document with one zero byte, as in write(document + b'\\0')"


def look(case: Case) -> Iterator[Finding]:
    """
    Listen, then send the document of the case.

    Returns:
        Findings ``greeting`` and ``answer``.

    """
    try:
        with case.stream.dial(case.timeout) as wire:
            wire.pull(time.monotonic() + case.quiet)
            greeting = wire.listen(_REST if wire.buffer else 0)
            wire.buffer.clear()
            yield _greeted(greeting, wire.ended)
            if case.send is None:
                why = "--send names a document that the server answers"
                yield Finding(Status.SKIPPED, "answer", why)
                return
            try:
                wire.send(case.send + b"\0")
                if wire.pull(time.monotonic() + case.timeout):
                    wire.listen(_REST)
            except (Ended, Silent):
                pass
            yield judge("answer", bytes(wire.buffer), wire.ended, case.timeout)
    except OSError as exc:
        yield Finding(Status.FAILED, "answer", f"no connection: {reason(exc)}")


def _greeted(data: bytes, ended: str | None) -> Finding:
    if not data:
        if ended is not None:
            return Finding(
                Status.FAILED,
                "greeting",
                f"{ended} at once, without a word",
                "see the server's log: it may admit only some addresses, or have too many"
                " connections",
            )
        return Finding(Status.OK, "greeting", "none: the server waits for the client")
    if b"<cross-domain-policy" in data:
        return Finding(
            Status.WARNING,
            "greeting",
            f"the policy comes unasked: {shown(data)}",
            "send it to who asks for it: a movie takes it for its first document",
        )
    return judge("greeting", data, ended, 0)


def judge(name: str, data: bytes, ended: str | None, timeout: float) -> Finding:
    """
    Say what is wrong with what a server sent.

    Args:
        name: Of the finding.
        data: All that came.
        ended: How the server ended the connection, if it did.
        timeout: Seconds that were waited.

    """
    if not data:
        seen = f"{ended} without an answer" if ended else f"nothing within {timeout:g} s"
        fix = "see the server's log: it may wait for more, or not know this document"
        return Finding(Status.FAILED, name, seen, fix)
    known = _other_protocol(data) or _length_first(data) or _line_end(data)
    if known is not None:
        return Finding(Status.FAILED, name, f"{known[0]}: {shown(data)}", known[1])
    if b"\0" not in data:
        return Finding(Status.FAILED, name, f"no zero byte ends it: {shown(data)}", _DRAIN)
    return _document(name, data)


def _other_protocol(data: bytes) -> tuple[str, str] | None:
    if _HTTP.match(data):
        return "HTTP", "this is a web server: name the port of the XMLSocket server"
    if _TLS.match(data):
        return "TLS", "the port speaks TLS: try again with --tls"
    return None


def _length_first(data: bytes) -> tuple[str, str] | None:
    for size, form in _LENGTHS:
        rest = data[int(size) :]
        if rest and struct.unpack(form, data[: int(size)])[0] in {
            len(rest),
            len(rest.rstrip(b"\0")),
        }:
            fix = f"leave the length out, and {_DRAIN}"
            return f"{size} bytes of length come first", fix
    return None


def _line_end(data: bytes) -> tuple[str, str] | None:
    if b"\0" not in data and data.endswith(b"\n"):
        word = "CR LF" if data.endswith(b"\r\n") else "a line feed"
        return f"{word} ends it, no zero byte", f"{_DRAIN} instead of the line end"
    if data.startswith((b"\n", b"\r")) or re.search(rb"\0[\r\n]", data):
        return "a line end follows the zero byte", (
            "leave it out: it becomes the beginning of the next document, or one of its own"
        )
    return None


def _document(name: str, data: bytes) -> Finding:
    """Judge the first document that is not empty, and what is behind the last zero byte."""
    decoder = Decoder(max_size=None)
    frames = decoder.feed(data)
    if decoder.buffered:
        rest = data[len(data) - decoder.buffered :]
        return Finding(
            Status.WARNING, name, f"no zero byte ends the last document: {shown(rest)}", _DRAIN
        )
    frame = next(filter(None, frames), b"")
    if frame.endswith(b"\n"):
        return Finding(
            Status.WARNING,
            name,
            f"a line end stands before the zero byte: {shown(frame)}",
            "leave it out: Flash makes a text node of it, unless ignoreWhite is set",
        )
    try:
        frame.decode()
        parse(frame)
    except UnicodeDecodeError:
        return Finding(
            Status.WARNING,
            name,
            f"no UTF-8: {shown(frame)}",
            "send UTF-8, as players from 6 on read",
        )
    except DocumentError as exc:
        return Finding(
            Status.WARNING,
            name,
            f"no XML document: {shown(frame)}: {exc.reason}",
            "right for movies that use onData; for onXML send documents with one root",
        )
    noun = "document" if len(frames) == 1 else "documents"
    seen = f"{len(frames)} {noun}, ended by zero bytes, first {shown(frame)}"
    return Finding(Status.OK, name, seen)
