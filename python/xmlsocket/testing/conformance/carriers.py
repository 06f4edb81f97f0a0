"""Checks of what carries the stream: TLS and WebSocket."""

from __future__ import annotations

import contextlib
import ssl

from .checks import Failed, Warned, check
from .session import Session, shown
from .sources import LIMITS, ONE_PORT, RFC_6455, RFC_8996, RUFFLE_WEB
from .wire import BINARY, CLOSE, CONTINUATION, PING, TEXT, Ended, Silent, WebSocketWire

_WEBSOCKETS = ("ws", "wss")
_TLS = ("tls", "wss")
_CROWD = 10
_NORMAL = 1000
_PROTOCOL_ERROR = 1002


@check(
    "tls.version",
    "TLS 1.2 or later is spoken",
    RFC_8996,
    carriers=_TLS,
)
def version(session: Session) -> str:
    """Look at what was agreed on; the certificate was verified unless --insecure was given."""
    with session.open() as wire:
        sock = wire.tls
        agreed = sock.version() or "nothing"
        verified = sock.context.verify_mode is ssl.CERT_REQUIRED
    if agreed not in {"TLSv1.2", "TLSv1.3"}:
        raise Failed(f"{agreed} was agreed on")
    return f"{agreed}, certificate {'verified' if verified else 'not verified'}"


@check("tls.plain", "who does not speak TLS costs others nothing", LIMITS, carriers=_TLS)
def plain(session: Session) -> str:
    """Send a document in the clear."""
    with session.open_below() as wire:
        with contextlib.suppress(Ended, Silent):
            wire.send(session.question(1) + b"\0")
        came = wire.listen(session.options.quiet)
        if session.question(1) in came:
            raise Failed("a document in the clear was answered on a port for TLS")
        how = wire.ended or "left open"
    return f"{how}; {session.others_served()}"


@check(
    "tls.silent",
    f"{_CROWD} handshakes that are not begun keep nobody waiting",
    LIMITS,
    carriers=_TLS,
)
def silent(session: Session) -> str:
    """Connect and say nothing, not even a hello."""
    with contextlib.ExitStack() as stack:
        for _ in range(_CROWD):
            stack.enter_context(session.open_below())
        return session.others_served()


@check(
    "websocket.opening",
    "a WebSocket is opened without a subprotocol",
    RUFFLE_WEB,
    carriers=_WEBSOCKETS,
)
def opening(session: Session) -> str:
    """Look at the headers of the answer."""
    with session.open_websocket() as wire:
        chosen = wire.headers.get("sec-websocket-protocol")
        extensions = wire.headers.get("sec-websocket-extensions")
    if chosen is not None:
        raise Failed(f"subprotocol {chosen[:40]!r} was chosen, and none was offered")
    if extensions is not None:
        raise Failed(f"extension {extensions[:40]!r} was chosen, and none was offered")
    return "no subprotocol, no extension"


@check("websocket.binary", "answers come in binary messages", RUFFLE_WEB, carriers=_WEBSOCKETS)
def binary(session: Session) -> str:
    """Look at the kinds of the messages, for Ruffle drops those of text."""
    with session.open_websocket() as wire:
        session.ask(wire)
        kinds = set(wire.opcodes) - {CONTINUATION}
    if kinds != {BINARY}:
        raise Failed("text messages came, which Ruffle drops")
    return "binary"


@check(
    "websocket.text",
    "text messages are taken as well",
    ONE_PORT,
    carriers=_WEBSOCKETS,
)
def text(session: Session) -> str:
    """Ask in a text message, as pages do that were written for text."""
    question = session.question(1)
    with session.open_websocket() as wire:
        try:
            wire.send_raw(wire.message(question + b"\0", TEXT))
            session.answer(wire, question)
        except (Ended, Failed) as exc:
            raise Warned(f"not answered: {exc}; Ruffle sends none") from None
    return "answered"


@check(
    "websocket.fragments",
    "messages may come in fragments, with a ping between them",
    RFC_6455,
    carriers=_WEBSOCKETS,
)
def fragments(session: Session) -> str:
    """Cut a message in three."""
    question = session.question(1)
    with session.open_websocket() as wire:
        wire.send_raw(wire.message(question[:5], final=False))
        wire.send_raw(wire.message(b"between", PING))
        wire.send_raw(wire.message(question[5:], CONTINUATION, final=False))
        wire.send_raw(wire.message(b"\0", CONTINUATION))
        session.answer(wire, question)
        wire.listen(0 if wire.pongs else session.options.timeout)
        pongs = wire.pongs
    if pongs != [b"between"]:
        raise Failed(f"the ping between fragments got {len(pongs)} pongs")
    return "answered, and the ping too"


@check("websocket.ping", "a ping is answered with its payload", RFC_6455, carriers=_WEBSOCKETS)
def ping(session: Session) -> str:
    """Ask twice, a ping between: what is behind the pong came after it."""
    with session.open_websocket() as wire:
        wire.send_raw(wire.message(b"conformance", PING))
        session.ask(wire)
        pongs = wire.pongs
    if pongs != [b"conformance"]:
        raise Failed(f"{pongs or 'no pong'} in answer to a ping")
    return "a pong before the next answer"


@check(
    "websocket.close",
    "the closing handshake is answered with the same code",
    RFC_6455,
    carriers=_WEBSOCKETS,
)
def close(session: Session) -> str:
    """Close with 1000."""
    with session.open_websocket() as wire:
        session.ask(wire)
        wire.send_raw(wire.message(_NORMAL.to_bytes(2, "big"), CLOSE))
        wire.until_end()
        return _closed(wire, _NORMAL)


@check(
    "websocket.unmasked",
    "a frame that is not masked fails the connection",
    RFC_6455,
    carriers=_WEBSOCKETS,
)
def unmasked(session: Session) -> str:
    """Break the rule for clients."""
    question = session.question(1)
    with session.open_websocket() as wire:
        with contextlib.suppress(Ended):
            wire.send_raw(wire.message(question + b"\0", masked=False))
            came = wire.listen(session.options.quiet)
            if wire.ended is None:
                raise Failed(f"it was taken, with {shown(came)} for an answer")
        return f"{_closed(wire, _PROTOCOL_ERROR)}; {session.others_served()}"


def _closed(wire: WebSocketWire, code: int) -> str:
    if wire.close_code not in {code, None}:
        raise Failed(f"{wire.ended}, not with {code}")
    if wire.close_code is None:
        raise Warned(f"{wire.ended or 'still open'}, without a closing handshake")
    return wire.ended or ""
