"""What the conformance kit says of servers that no program is known to be like."""

from __future__ import annotations

import re
import socket
import ssl
import struct
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

import xmlsocket
from tests.support.tls import contexts
from tests.testing.broken_servers import (
    LIMIT,
    PATIENCE,
    POLICY,
    REQUEST,
    Broken,
    Over,
    _accept,
    _message,
    _messages,
    chunks,
    frames,
    netty,
    openfl_js,
    serving,
    sound,
)
from tests.testing.test_conformance import QUICK
from xmlsocket import WebSocketOptions
from xmlsocket.testing import BackgroundServer
from xmlsocket.testing.conformance import Endpoint, Options, Outcome, Result, run

if TYPE_CHECKING:
    from collections.abc import Callable

    Handler = Callable[[socket.socket], None]

SENT: dict[str, Any] = {"send": b"<a/>", "expect": re.compile(b"<a/>")}
LONG: dict[str, Any] = SENT | {"send": b"<a/>".ljust(2**25)}  # more than systems keep on the way
GRANTS_OTHERS = POLICY.replace(b'"*"/>', b'"1024-1025"/>')
GRANTS_NOBODY = b"<cross-domain-policy></cross-domain-policy>"


_over = threading.Event()


def stay(sock: socket.socket) -> None:
    """Neither read nor close, until the checks are over."""
    _over.wait(PATIENCE)


def made(handler: Handler, check: str, *, place: str = "{}", **options: Any) -> Result:
    """Make one check against a server."""
    options = {"timeout": 2.0, **QUICK, **options}
    context = options.pop("context", None)
    _over.clear()
    with serving(Broken(handler)) as port:
        endpoint = Endpoint.parse(place.format(f"127.0.0.1:{port}"), context=context)
        try:
            (result,) = run(endpoint, Options(**options), only=[check]).results
        finally:
            _over.set()
    return result


# Servers of documents


def stays_after_fin(sock: socket.socket) -> None:
    """Answer, and keep the connection when the client has ended it."""
    sound(sock)
    stay(sock)


def stops_at_the_limit(sock: socket.socket) -> None:
    """Take no more, and say nothing."""
    rest = b""
    for data in chunks(sock):
        *whole, rest = (rest + data).split(b"\0")
        if len(rest) > LIMIT:
            stay(sock)
            return
        for frame in whole:
            sock.sendall(frame + b"\0")


def has_no_limit(sock: socket.socket) -> None:
    """Answer whatever comes."""
    for frame in frames(sock, limit=None):
        sock.sendall(frame + b"\0")


def breaks_off(sock: socket.socket) -> None:
    """Reset whoever sends something else than the kit's documents, or many of them."""
    for number, frame in enumerate(frames(sock)):
        if number > 100 or not frame.startswith(b"<conformance"):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            raise Over
        sock.sendall(frame + b"\0")


def writes_lines(sock: socket.socket) -> None:
    """Put the end of a line between documents."""
    for frame in frames(sock):
        sock.sendall(b"\n" + frame + b"\0")


def plain_and_tls(sock: socket.socket) -> None:
    """Answer with and without TLS."""
    if sock.recv(1, socket.MSG_PEEK) == b"\x16":
        sock = contexts()[0].wrap_socket(sock, server_side=True)
    with sock:
        sound(sock)


@pytest.mark.parametrize(
    ("handler", "check", "options", "outcome", "seen"),
    [
        (stays_after_fin, "end.half-close", {}, Outcome.WARNING, "still open 2 s after FIN"),
        (stops_at_the_limit, "limits.endless", {}, Outcome.WARNING, "but not closed; another"),
        (has_no_limit, "limits.oversize", SENT, Outcome.FAILED, "were answered: there is no limit"),
        (netty, "limits.oversize", SENT, Outcome.PASSED, "dropped, and the next document answered"),
        (sound, "silence.others", LONG, Outcome.FAILED, "another connection was (reset|closed)"),
        # The system may have taken all of it before the server breaks off.
        (breaks_off, "silence.unread", {}, Outcome.PASSED, "^(reset|closed|took it all) after"),
        (breaks_off, "content.strange", {"pace": 0.1}, Outcome.PASSED, "connections were ended"),
        (sound, "framing.utf-8", SENT, Outcome.SKIPPED, "no character of more than one byte"),
        (openfl_js, "framing.early", SENT, Outcome.FAILED, "'?<a/>.* came before the zero byte"),
        (writes_lines, "framing.whole", SENT, Outcome.FAILED, "begins with the end of a line"),
        (
            stay,
            "framing.whole",
            LONG | {"timeout": 0.5},
            Outcome.FAILED,
            "nothing was taken within 0.5 s",
        ),
        (
            plain_and_tls,
            "tls.plain",
            {"context": contexts()[1]},
            Outcome.FAILED,
            "a document in the clear was answered on a port for TLS",
        ),
    ],
)
def test_run_says_what_a_server_of_documents_did(
    handler: Handler, check: str, options: dict[str, Any], outcome: Outcome, seen: str
) -> None:
    """The outcome fits, and the text tells it from the others that have the same."""
    result = made(handler, check, **options)

    assert outcome is result.outcome, result
    assert re.search(seen, result.seen), result


def test_run_tells_of_an_old_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    """What OpenSSL no longer speaks by default fails, should it be agreed on."""
    monkeypatch.setattr(ssl.SSLSocket, "version", lambda _: "TLSv1.1")

    result = made(plain_and_tls, "tls.version", context=contexts()[1])

    assert (Outcome.FAILED, "TLSv1.1 was agreed on") == (result.outcome, result.seen)


# Servers of policies


def policy_server(reply: bytes, *, reads: int = 100, after: Handler | None = None) -> Handler:
    """Return a handler that answers requests that come in so many reads at most."""

    def handler(sock: socket.socket) -> None:
        data = b""
        for number, chunk in enumerate(chunks(sock), 1):
            data += chunk
            if number > reads:
                raise Over
            if data == REQUEST:
                sock.sendall(reply)
                if after is not None:
                    after(sock)
                return

    return handler


@pytest.mark.parametrize(
    ("handler", "check", "options", "outcome", "seen"),
    [
        (
            policy_server(POLICY, after=stay),
            "policy.answer",
            {"timeout": 1.0},
            Outcome.PASSED,
            "87 bytes that grant",
        ),
        (
            policy_server(POLICY + b"\0", after=stay),
            "policy.order",
            {"timeout": 1.0},
            Outcome.SKIPPED,
            "stays open",
        ),
        (
            policy_server(POLICY + b"\0", reads=2),
            "policy.segments",
            {},
            Outcome.FAILED,
            "^byte by byte: ",
        ),
        (
            policy_server(GRANTS_NOBODY + b"\0"),
            "policy.grants",
            {"policy_only": True},
            Outcome.FAILED,
            "nothing",
        ),
        (
            policy_server(GRANTS_OTHERS + b"\0"),
            "policy.grants",
            {},
            Outcome.FAILED,
            "no domain is granted",
        ),
    ],
    ids=["no zero byte", "open", "segments", "nobody", "other ports"],
)
def test_run_says_what_a_server_of_policies_did(
    handler: Handler, check: str, options: dict[str, Any], outcome: Outcome, seen: str
) -> None:
    """So it is for policies, whether one is known to be there or has to be found out."""
    result = made(handler, check, **options)

    assert outcome is result.outcome, result
    assert re.search(seen, result.seen), result


# Servers of WebSockets


def websocket_server(
    *headers: bytes, pongs: int = 1, code: bytes = b"\x03\xe8", pinged: bool = False
) -> Handler:
    """Return a handler that sends documents back, does not mind fragments, and closes."""

    def handler(sock: socket.socket) -> None:
        _accept(sock, *headers)
        rest, waiting = b"", b""
        for first, payload in _messages(sock):
            if first == 0x88:
                sock.sendall(_message(code, 0x88))
                raise Over
            if first == 0x89:
                sock.sendall(_message(payload, 0x8A) * pongs)
            elif first == 0x8A:
                answer = _message(waiting)
                sock.sendall(answer[:3])
                time.sleep(0.05)  # a message that comes in two segments
                sock.sendall(answer[3:])
            else:
                *whole, rest = (rest + payload).split(b"\0")
                waiting = b"".join(frame + b"\0" for frame in whole)
                if whole:
                    sock.sendall(_message(b"?", 0x89) if pinged else _message(waiting))

    return handler


@pytest.mark.parametrize(
    ("handler", "check", "outcome", "seen"),
    [
        (websocket_server(pinged=True), "framing.whole", Outcome.PASSED, "answered"),
        (
            websocket_server(b"Sec-WebSocket-Extensions: permessage-deflate\r\n"),
            "websocket.opening",
            Outcome.FAILED,
            "extension 'permessage-deflate' was chosen, and none was offered",
        ),
        (websocket_server(pongs=2), "websocket.fragments", Outcome.FAILED, "got 2 pongs"),
        (
            websocket_server(code=b"\x03\xe9"),
            "websocket.close",
            Outcome.FAILED,
            "closed with WebSocket code 1001, not with 1000",
        ),
    ],
    ids=["ping", "extension", "pongs", "code"],
)
def test_run_says_what_a_server_of_websockets_did(
    handler: Handler, check: str, outcome: Outcome, seen: str
) -> None:
    """A server may ping before it answers; what it may not is named."""
    result = made(handler, check, place="ws://{}/")

    assert outcome is result.outcome, result
    assert seen in result.seen, result


def opens_with(answer: bytes) -> Handler:
    """Return a handler that answers a request so, and then does nothing."""

    def handler(sock: socket.socket) -> None:
        sock.recv(4096)
        sock.sendall(answer)
        if answer:
            stay(sock)

    return handler


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (b"", "closed instead of opening a WebSocket"),
        (b"HTTP/1.1 101 ", "no WebSocket was opened in time"),
        (b"HTTP/1.1 404 Not Found\r\n\r\n", "no WebSocket but 'HTTP/1.1 404 Not Found'"),
        (b"HTTP/1.1 101 OK\r\nSec-WebSocket-Accept: x\r\n\r\n", "the wrong Sec-WebSocket-Accept"),
    ],
    ids=["end", "half", "404", "accept"],
)
def test_run_where_no_websocket_is_opened_raises(answer: bytes, text: str) -> None:
    """Before any check it is an error that says what came."""
    with pytest.raises(ConnectionError, match=re.escape(text)):
        made(opens_with(answer), "framing.whole", place="ws://{}/", timeout=0.5)


def test_run_where_a_later_websocket_is_refused_fails_the_check() -> None:
    """During the checks it is what the check has seen."""
    left = [websocket_server()]

    def handler(sock: socket.socket) -> None:
        (left.pop() if left else opens_with(b"HTTP/1.1 503 Busy\r\n\r\n"))(sock)

    result = made(handler, "framing.whole", place="ws://{}/")

    assert Outcome.FAILED is result.outcome
    assert "no connection: no WebSocket but 'HTTP/1.1 503 Busy'" == result.seen


def test_run_names_the_origin_that_it_was_given() -> None:
    """A server for the pages of one site is tried as its page."""
    options = WebSocketOptions(origins=["https://play.example"])

    async def echo(connection: xmlsocket.Connection[bytes]) -> None:
        async for frame in connection:
            await connection.send(frame)

    with BackgroundServer(
        lambda: xmlsocket.serve(echo, "127.0.0.1", 0, parse=bytes, websocket=options)
    ) as server:
        place = f"ws://127.0.0.1:{server.address[1]}/"
        endpoint = Endpoint.parse(place, origin="https://play.example")
        (result,) = run(endpoint, Options(timeout=20.0), only=["framing.whole"]).results
        assert Outcome.PASSED is result.outcome
        stranger = Endpoint.parse(place, origin="https://other.example")
        with pytest.raises(ConnectionError, match=r"no WebSocket but 'HTTP/1\.1 403"):
            run(stranger, Options(timeout=20.0), only=["framing.whole"])


# The server in a thread


def test_background_server_that_cannot_start_raises_and_leaves_no_thread() -> None:
    """What starting raises is raised where it was asked for."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1:{port}"):
            with BackgroundServer(lambda: xmlsocket.serve(print, "127.0.0.1", port)):  # type: ignore[arg-type]
                pass

    assert [] == [each for each in threading.enumerate() if each.name == "BackgroundServer"]
