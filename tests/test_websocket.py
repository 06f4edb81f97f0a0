"""The WebSocket carrier against the real ``websockets`` package, in memory and over sockets."""

from __future__ import annotations

import contextlib
import importlib
import importlib.abc
import itertools
import logging
import socket
import sys
import threading
import tracemalloc
from typing import TYPE_CHECKING

import pytest
import websockets.sync.client
import websockets.sync.server
from hypothesis import given
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.typing import Origin
from websockets.uri import parse_uri

from xmlsocket.exceptions import CloseReason, InvalidState, WebSocketError
from xmlsocket.proxies import TrustedProxies
from xmlsocket.upgrade import HEAD_MAX, Page, WebSocketOptions
from xmlsocket.websocket import (
    FRAGMENT_MIN,
    ClientWebSocket,
    ServerWebSocket,
    WebSocket,
    binary_message,
)

from .support.websocket_echo import echo_server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from websockets.http11 import Request

GOOD = (
    b"GET /chat HTTP/1.1\r\nHost: a:1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def client_of(carrier: ServerWebSocket) -> ClientProtocol:
    """Return a client of the ``websockets`` package that is connected to ``carrier``."""
    client = ClientProtocol(parse_uri("ws://a:1/"), max_size=None)
    client.send_request(client.connect())
    exchange(client, carrier)
    assert client.state is State.OPEN
    return client


def exchange(peer: ClientProtocol | ServerProtocol, carrier: WebSocket) -> list[bytes]:
    """Carry bytes between the two until both are silent; return the payload for the decoder."""
    payload: list[bytes] = []
    while True:
        to_carrier = b"".join(peer.data_to_send())
        payload += carrier.receive_data(to_carrier)
        to_peer = b"".join(carrier.data_to_send())
        if to_peer:
            peer.receive_data(to_peer)
        elif not to_carrier:
            return payload


def opened(
    options: WebSocketOptions | None = None, *, max_size: int | None = 2**20
) -> ServerWebSocket:
    """Return a server's end that is open, its answer read."""
    carrier = ServerWebSocket(options, max_size=max_size)
    assert carrier.receive_data(GOOD) == []
    carrier.data_to_send()
    assert carrier.is_open
    return carrier


def test_carrier_tells_how_much_it_holds_of_a_frame_that_is_not_complete() -> None:
    """The bytes lie in the ``websockets`` package, in a place that it does not promise."""
    carrier = opened()
    wire = Frame(Opcode.BINARY, b"x" * 1000).serialize(mask=True)

    assert 0 == carrier.buffered
    assert [] == carrier.receive_data(wire[:-1])
    assert 999 == carrier.buffered
    assert [b"x" * 1000] == carrier.receive_data(wire[-1:])
    assert 0 == carrier.buffered


def masked(opcode: Opcode, data: bytes = b"", *, fin: bool = True) -> bytes:
    """Return a frame as a client sends it."""
    return Frame(opcode, data, fin).serialize(mask=True)


def close_code(data: list[bytes]) -> int:
    """Return the code of the close frame that ends what a server sent."""
    frame = data[-1]
    assert frame[0] == 0x88
    return int.from_bytes(frame[2:4], "big")


# Opening


def test_receive_data_request_in_single_bytes_opens_at_the_last() -> None:
    """The opening may be cut anywhere, and what follows it in the same read is payload."""
    carrier = ServerWebSocket()

    for byte in GOOD[:-1]:
        assert carrier.receive_data(bytes([byte])) == []
        assert carrier.status is None
    assert carrier.receive_data(GOOD[-1:] + masked(Opcode.BINARY, b"<a/>\0")) == [b"<a/>\0"]

    assert carrier.is_open
    assert (101, "/chat") == (carrier.status, carrier.path)
    assert b"".join(carrier.data_to_send()).startswith(b"HTTP/1.1 101 Switching Protocols\r\n")


def test_open_answers_with_the_key_of_the_specification() -> None:
    """The sample key of RFC 6455, section 1.3, gives its sample answer, and no extension."""
    carrier = ServerWebSocket()
    carrier.receive_data(
        GOOD.replace(b"\r\n\r\n", b"\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n")
    )

    (answer,) = carrier.data_to_send()

    assert b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in answer
    assert b"Extensions" not in answer


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ((b"HTTP/1.1", b"HTTP/2.0"), 400),
        ((b"HTTP/1.1", b"HTTP/1.0"), 505),
        ((b"Host: a:1\r\n", b""), 400),
        ((b"Host: a:1", b"Host: a:1\r\nHost: b"), 400),
        ((b"Host: a:1", b"Host a:1"), 400),
        ((b"Host: a:1", b"Host: a:1\r\nContent-Length: 5"), 400),
        ((b"Host: a:1", b"Host: a:1\r\nTransfer-Encoding: chunked"), 400),
        ((b"GET /chat ", b"GET "), 400),
        ((b"GET /chat ", b"GET /\xff "), 400),
        ((b"GET /chat ", b"GET /" + b"x" * 9000 + b" "), 400),
        ((b"Host: a:1", b"Host: a:1\r\nX: " + b"x" * 9000), 400),
        ((b"Host: a:1", b"Host: a:1" + b"\r\nX: x" * 200), 400),
        ((b"Connection: Upgrade\r\n", b""), 426),
        ((b"Upgrade: websocket\r\n", b""), 426),
        ((b"dGhlIHNhbXBsZSBub25jZQ==", b"short"), 400),
        ((b"Sec-WebSocket-Key", b"X-Key"), 400),
        ((b"Version: 13", b"Version: 8"), 400),
        ((b"Host: a:1", b"Host: a:1\r\nOrigin: http://evil.test"), 403),
        ((b"/chat", b"/other"), 404),
    ],
)
def test_receive_data_request_that_is_no_good_upgrade_is_refused(
    change: tuple[bytes, bytes], expected: int
) -> None:
    """Every refusal has its status, a text for people, and ends the connection."""
    carrier = ServerWebSocket(WebSocketOptions(path="/chat"))

    assert carrier.receive_data(GOOD.replace(*change) + masked(Opcode.TEXT, b"<a/>\0")) == []

    answer = b"".join(carrier.data_to_send())
    assert answer.startswith(f"HTTP/1.1 {expected} ".encode())
    assert b"\r\nConnection: close" in answer
    assert (expected, True, False) == (carrier.status, carrier.finished, carrier.is_open)
    assert carrier.receive_data(b"more") == []
    assert carrier.data_to_send() == []


def test_receive_data_other_version_is_told_which_one_is_spoken() -> None:
    """A refused version comes with the one to use (RFC 6455, section 4.4)."""
    carrier = ServerWebSocket()

    carrier.receive_data(GOOD.replace(b"Version: 13", b"Version: 8"))

    assert b"\r\nSec-WebSocket-Version: 13\r\n" in b"".join(carrier.data_to_send())


def test_receive_data_plain_get_of_a_page_is_answered() -> None:
    """A page that the server was given is served; the connection is no WebSocket."""
    carrier = ServerWebSocket(WebSocketOptions(pages={"/": Page(b"hello")}))

    carrier.receive_data(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")

    assert b"".join(carrier.data_to_send()).endswith(b"\r\n\r\nhello")
    assert (200, True, None) == (carrier.status, carrier.finished, carrier.error)


@pytest.mark.parametrize("piece", [1000, HEAD_MAX, 10 * HEAD_MAX])
def test_receive_data_endless_header_is_refused_at_the_limit(piece: int) -> None:
    """A header without end is refused after 16 KiB, however it arrives."""
    carrier = ServerWebSocket()
    fed = 0

    while not carrier.finished:
        carrier.receive_data(b"x" * piece)
        fed += piece

    assert fed < HEAD_MAX + piece
    assert carrier.status == 431
    assert b"HTTP header exceeds 16384 bytes" in b"".join(carrier.data_to_send())


@pytest.mark.parametrize(
    ("peer", "client"),
    [(("10.0.0.1", 5), ("203.0.113.7", 0)), (("192.0.2.9", 5), ("192.0.2.9", 5))],
)
def test_peer_is_told_by_trusted_proxies_only(
    peer: tuple[str, int], client: tuple[str, int]
) -> None:
    """X-Forwarded-For counts from a trusted proxy; from anyone else it is just a header."""
    carrier = ServerWebSocket(peer=peer, trusted=TrustedProxies(["10.0.0.0/8"]))

    carrier.receive_data(
        GOOD.replace(
            b"Host", b"X-Forwarded-For: 6.6.6.6, 203.0.113.7\r\nx-forwarded-for: 10.9.9.9\r\nHost"
        )
    )

    assert client == carrier.peer


def test_receive_eof_before_the_opening_is_an_error_without_an_answer() -> None:
    """Whoever leaves before the request is complete gets nothing and opens nothing."""
    carrier = ServerWebSocket()
    carrier.receive_data(GOOD[:20])

    carrier.receive_eof()

    assert (None, True) == (carrier.status, carrier.finished)
    assert str(carrier.error) == "stream ended before the WebSocket was open (1006)"
    assert carrier.data_to_send() == []
    assert carrier.receive_data(GOOD) == []


# Payload


def test_receive_data_text_and_binary_messages_are_one_stream() -> None:
    """Both kinds are taken, and the boundaries of messages and fragments mean nothing."""
    carrier = opened()
    client = client_of(carrier := ServerWebSocket())
    client.send_text(b"<a")
    client.send_binary(b"/>\0<b/>\0<c", fin=False)
    client.send_ping(b"in between")
    client.send_continuation(b"", fin=False)
    client.send_continuation(b"/>\0", fin=True)

    assert [b"<a", b"/>\0<b/>\0<c", b"/>\0"] == exchange(client, carrier)
    assert carrier.is_open


@given(
    st.lists(st.tuples(st.booleans(), st.lists(st.text(max_size=5), min_size=1, max_size=4))),
    st.data(),
)
def test_receive_data_any_messages_in_any_cut_give_the_stream(
    messages: list[tuple[bool, list[str]]], data: st.DataObject
) -> None:
    """Text and binary, whole and in fragments, with pings in between: the stream comes out."""
    carrier = opened()
    wire = b""
    stream = b""
    for text, fragments in messages:
        for number, fragment in enumerate(fragments):
            kind = Opcode.CONT if number else Opcode.TEXT if text else Opcode.BINARY
            wire += masked(kind, fragment.encode(), fin=number == len(fragments) - 1)
            wire += masked(Opcode.PING, b"?") if data.draw(st.booleans()) else b""
            stream += fragment.encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=5)))

    payload = [
        piece
        for a, b in itertools.pairwise([0, *cuts, len(wire)])
        for piece in carrier.receive_data(wire[a:b])
    ]

    assert stream == b"".join(payload)
    assert b"" not in payload
    assert carrier.is_open


def test_receive_data_text_cut_inside_a_character_is_taken() -> None:
    """Fragments may split a character; only the whole message must be UTF-8 (RFC 6455, 5.6)."""
    carrier = opened()
    euro = "€".encode()

    payload = carrier.receive_data(
        masked(Opcode.TEXT, euro[:1], fin=False)
        + masked(Opcode.CONT, euro[1:2], fin=False)
        + masked(Opcode.CONT, euro[2:])
    )

    assert euro == b"".join(payload)
    assert carrier.is_open


@pytest.mark.parametrize(
    "wire",
    [
        masked(Opcode.TEXT, b"\xff"),
        masked(Opcode.TEXT, b"\xe2\x82"),
        masked(Opcode.TEXT, b"\xe2\x82", fin=False) + masked(Opcode.CONT, b"<a/>"),
        masked(Opcode.TEXT, b"\xed\xa0\x80"),
    ],
    ids=["invalid", "incomplete", "split", "surrogate"],
)
def test_receive_data_text_that_is_no_utf8_fails_with_1007(wire: bytes) -> None:
    """What came before in the same read is delivered, then the connection fails (section 8.1)."""
    carrier = opened()

    payload = carrier.receive_data(
        masked(Opcode.BINARY, b"<a/>\0\xff") + wire + masked(Opcode.TEXT, b"<b/>")
    )

    assert payload[0] == b"<a/>\0\xff"
    assert b"<b/>" not in payload
    assert close_code(carrier.data_to_send()) == 1007
    assert isinstance(carrier.error, WebSocketError)
    assert carrier.error.code == 1007
    assert carrier.finished


def test_wrap_makes_binary_messages_that_the_client_reads() -> None:
    """One call makes one binary message; the same bytes serve every client of a broadcast."""
    client = client_of(carrier := ServerWebSocket())
    for payload in (b"<a/>\0", b"x" * 200, b"y" * 70000):
        client.receive_data(carrier.wrap(payload))
        (frame,) = client.events_received()[-1:]
        assert isinstance(frame, Frame)
        assert (Opcode.BINARY, payload, True) == (frame.opcode, frame.data, frame.fin)
        assert carrier.wrap(payload) == binary_message(payload)


def test_wrap_before_opening_and_after_closing_is_an_error() -> None:
    """Nothing can be sent on a WebSocket that is not open yet, or not any more."""
    with pytest.raises(InvalidState, match="WebSocket is not open"):
        ServerWebSocket().wrap(b"")
    carrier = opened()
    carrier.close()
    with pytest.raises(InvalidState, match="WebSocket is not open"):
        carrier.wrap(b"")


# Limits


@pytest.mark.parametrize("opcode", [Opcode.TEXT, Opcode.BINARY])
def test_receive_data_fragment_holds_a_frame_of_max_size_and_its_delimiter(opcode: Opcode) -> None:
    """A fragment of ``max_size + 1`` bytes passes, one byte more fails with 1009."""
    frame = b"x" * 100_000 + b"\0"
    carrier = opened(max_size=100_000)

    assert carrier.receive_data(masked(opcode, frame)) == [frame]
    assert carrier.receive_data(masked(opcode, b"x" + frame)) == []

    assert close_code(carrier.data_to_send()) == 1009
    assert str(carrier.error) == "fragment of 100002 bytes exceeds 100001 (1009)"


def test_receive_data_small_max_size_takes_many_frames_in_one_fragment() -> None:
    """What the sender has put together does not fail for its sum, up to 64 KiB."""
    carrier = opened(max_size=3)

    assert [b"<a/>\0" * 13107] == carrier.receive_data(masked(Opcode.BINARY, b"<a/>\0" * 13107))
    assert [] == carrier.receive_data(masked(Opcode.BINARY, b"x" * (FRAGMENT_MIN + 1)))

    assert close_code(carrier.data_to_send()) == 1009


def test_receive_data_oversized_fragment_fails_at_its_header() -> None:
    """An announced fragment of exabytes is refused before a byte of it has come."""
    carrier = opened()

    carrier.receive_data(b"\x82\xff" + (2**62).to_bytes(8, "big"))

    assert close_code(carrier.data_to_send()) == 1009
    assert carrier.finished


def test_receive_data_frames_before_an_oversized_one_are_delivered() -> None:
    """What came in the same read before the oversized fragment is not lost."""
    carrier = opened(max_size=200)

    payload = carrier.receive_data(
        masked(Opcode.BINARY, b"<a/>\0") + masked(Opcode.BINARY, b"x" * (FRAGMENT_MIN + 1))
    )

    assert payload == [b"<a/>\0"]
    assert carrier.error is not None


def test_receive_data_control_frames_pass_any_max_size() -> None:
    """A ping of 125 bytes is legal although frames may only be empty here (section 5.5)."""
    carrier = opened(max_size=0)

    carrier.receive_data(masked(Opcode.PING, b"p" * 125))

    assert [b"\x8a\x7d" + b"p" * 125] == carrier.data_to_send()
    assert carrier.is_open


def test_receive_data_message_without_end_holds_no_more_than_a_fragment() -> None:
    """64 MiB of one message pass through in fragments, in less memory than a mebibyte."""
    carrier = opened()
    start = masked(Opcode.BINARY, b"x" * 2**16, fin=False)
    more = masked(Opcode.CONT, b"x" * 2**16, fin=False)
    carrier.receive_data(start)
    received = 0
    tracemalloc.start()
    try:
        for _ in range(1024):
            received += sum(map(len, carrier.receive_data(more)))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert 1024 * 2**16 == received
    assert peak < 2**20
    assert carrier.is_open


def test_receive_data_without_max_size_takes_fragments_of_any_size() -> None:
    """``None`` lifts the limit."""
    carrier = opened(max_size=None)

    assert [2**21] == [
        len(piece) for piece in carrier.receive_data(masked(Opcode.BINARY, bytes(2**21)))
    ]


def test_data_to_send_answers_only_the_latest_of_many_pings() -> None:
    """A flood of pings that nobody takes the answers of costs one answer (section 5.5.3)."""
    carrier = opened()

    for number in range(1000):
        carrier.receive_data(masked(Opcode.PING, b"%d" % number))
    carrier.receive_data(masked(Opcode.PING, b"a") + masked(Opcode.PING, b"b"))

    assert [b"\x8a\x01b"] == carrier.data_to_send()
    assert carrier.data_to_send() == []


def test_data_to_send_keeps_the_answer_to_the_opening_before_a_pong() -> None:
    """A ping right behind the request is answered after the opening, not before it."""
    carrier = ServerWebSocket()

    carrier.receive_data(GOOD + masked(Opcode.PING, b"1") + masked(Opcode.PING, b"2"))

    first, second = carrier.data_to_send()
    assert first.startswith(b"HTTP/1.1 101")
    assert second == b"\x8a\x012"


# Violations


@pytest.mark.parametrize(
    ("wire", "code"),
    [
        (b"\x82\x01x", 1002),
        (b"\xc2\x81\0\0\0\0x", 1002),
        (b"\x83\x80\0\0\0\0", 1002),
        (b"\x8b\x80\0\0\0\0", 1002),
        (b"\x09\x80\0\0\0\0", 1002),
        (b"\x89\xfe\0\x7e\0\0\0\0" + bytes(126), 1002),
        (masked(Opcode.CONT, b"x"), 1002),
        (masked(Opcode.BINARY, b"x", fin=False) + masked(Opcode.TEXT, b"x"), 1002),
        (masked(Opcode.BINARY, b"x", fin=False) + masked(Opcode.CLOSE), 1002),
        (masked(Opcode.CLOSE, b"\x03"), 1002),
        (masked(Opcode.CLOSE, b"\x03\xed"), 1002),
        (masked(Opcode.CLOSE, b"\x03\xe8\xff"), 1007),
    ],
    ids=[
        "unmasked",
        "reserved-bit",
        "reserved-data-opcode",
        "reserved-control-opcode",
        "fragmented-ping",
        "long-ping",
        "continuation-of-nothing",
        "message-in-message",
        "close-in-message",
        "close-of-one-byte",
        "close-code-1005",
        "close-reason-no-utf8",
    ],
)
def test_receive_data_violation_fails_with_its_code(wire: bytes, code: int) -> None:
    """What RFC 6455 forbids fails the connection with the code of section 7.4.1, and ends it."""
    carrier = opened()

    carrier.receive_data(wire)

    assert code == close_code(carrier.data_to_send())
    assert carrier.error is not None
    assert code == carrier.error.code
    assert carrier.finished
    assert not carrier.is_open
    assert carrier.receive_data(masked(Opcode.BINARY, b"<a/>\0")) == []


@given(st.binary(max_size=80), st.booleans(), st.lists(st.integers(0, 80), max_size=3))
def test_receive_data_any_bytes_never_raise(data: bytes, is_open: bool, cuts: list[int]) -> None:
    """Hostile bytes before and after the opening leave the carrier open or finish it."""
    carrier = opened(max_size=20) if is_open else ServerWebSocket()
    for a, b in itertools.pairwise([0, *sorted(cuts), len(data)]):
        carrier.receive_data(data[a:b])
    carrier.receive_eof()
    carrier.receive_eof()
    carrier.close()

    assert carrier.finished
    assert not carrier.is_open
    if carrier.error is not None:
        assert str(carrier.error).isprintable()


@given(
    st.lists(st.tuples(st.sampled_from(Opcode), st.binary(max_size=9), st.booleans()), max_size=6)
)
def test_receive_data_any_frames_never_raise(frames: list[tuple[Opcode, bytes, bool]]) -> None:
    """Well-formed frames in any order either pass or fail the connection with a close frame."""
    carrier = opened()
    for opcode, data, fin in frames:
        with contextlib.suppress(websockets.exceptions.ProtocolError):  # the peer's own check
            carrier.receive_data(masked(opcode, data, fin=fin))

    sent = carrier.data_to_send()
    assert carrier.finished is any(frame[0] == 0x88 for frame in sent)
    assert carrier.finished is not carrier.is_open


# Closing


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        (CloseReason.LOCAL, 1000),
        (CloseReason.SERVER_CLOSE, 1001),
        (CloseReason.DOCUMENT_ERROR, 1007),
        (CloseReason.IDLE, 1008),
        (CloseReason.MESSAGE_TIMEOUT, 1008),
        (CloseReason.SLOW_PEER, 1008),
        (CloseReason.FRAME_TOO_BIG, 1009),
        (CloseReason.HANDLER_ERROR, 1011),
        (CloseReason.RESET, 1011),
    ],
)
def test_close_tells_the_peer_why(reason: CloseReason, code: int) -> None:
    """Each reason has its close code; the peer answers, and the WebSocket is finished."""
    client = client_of(carrier := ServerWebSocket())

    carrier.close(reason)
    assert not carrier.finished
    exchange(client, carrier)

    assert client.close_rcvd is not None
    assert code == client.close_rcvd.code
    assert carrier.finished
    assert carrier.error is None


def test_close_drops_what_still_arrives_and_answers_pings() -> None:
    """Between close and answer, payload is dropped, and what the peer does wrong is ignored."""
    carrier = opened()
    carrier.close()
    carrier.data_to_send()

    assert carrier.receive_data(masked(Opcode.BINARY, b"<a/>\0") + masked(Opcode.PING)) == []
    assert carrier.data_to_send() == [b"\x8a\0"]
    assert not carrier.finished
    carrier.receive_data(b"\xff\xff")
    assert carrier.finished
    assert carrier.error is None


def test_close_twice_or_before_the_opening_does_no_harm() -> None:
    """There is one close frame, and none where nothing is open."""
    carrier = opened()
    carrier.close()
    carrier.close()
    assert len(carrier.data_to_send()) == 1

    carrier = ServerWebSocket()
    carrier.close()
    assert carrier.data_to_send() == []


def test_close_whose_answer_never_comes_ends_with_the_stream() -> None:
    """A peer that closes the connection instead of answering is no error after our close."""
    carrier = opened()
    carrier.close()

    carrier.receive_eof()

    assert carrier.finished
    assert carrier.error is None


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (None, None),
        (1000, None),
        (1001, None),
        (3000, None),
        (4999, None),
        (1003, 1003),
        (1011, 1011),
    ],
)
def test_receive_data_close_of_the_peer_is_answered(code: int | None, expected: int | None) -> None:
    """A closing handshake ends the stream in order, unless its code says that something failed."""
    client = client_of(carrier := ServerWebSocket())
    client.send_binary(b"<a/>\0")
    client.send_close(code)

    assert exchange(client, carrier) == [b"<a/>\0"]

    assert carrier.finished
    assert not carrier.is_open
    assert expected == (carrier.error and carrier.error.code)
    client.receive_eof()
    assert client.close_code == (code or 1005)


def test_receive_data_close_reason_of_the_peer_is_escaped() -> None:
    """What the peer writes into its close frame cannot forge a log line."""
    client = client_of(carrier := ServerWebSocket())
    client.send_close(1011, "gone\n= forged\u202e")

    exchange(client, carrier)

    assert str(carrier.error) == r"closed by the peer: gone\n= forged\u202e (1011)"


@pytest.mark.parametrize(
    "part",
    [b"", b"\x82", masked(Opcode.BINARY, b"<a/>\0")[:-1]],
    ids=["nothing", "half a header", "half a message"],
)
def test_receive_eof_without_a_closing_handshake_is_an_error(part: bytes) -> None:
    """A stream that just ends may have lost its last message: 1006 (section 7.1.5)."""
    carrier = opened()
    carrier.receive_data(part)

    carrier.receive_eof()

    assert str(carrier.error) == "stream ended without a closing handshake (1006)"
    assert carrier.finished
    assert carrier.data_to_send() == []


# The client's end


def server_of(carrier: ClientWebSocket) -> tuple[ServerProtocol, Request]:
    """Return a server of the ``websockets`` package that has accepted ``carrier``."""
    server = ServerProtocol(max_size=None)
    server.receive_data(b"".join(carrier.data_to_send()))
    (request,) = server.events_received()
    server.send_response(server.accept(request))  # type: ignore[arg-type]
    exchange(server, carrier)
    return server, request  # type: ignore[return-value]


def test_client_opens_and_both_sides_exchange_frames() -> None:
    """The client's end opens with a websockets server, sends masked binary and reads both kinds."""
    carrier = ClientWebSocket("ws://Example.com:81/a?b", origin="http://x", headers={"X-Y": "z"})
    assert ("example.com", 81, False) == (carrier.host, carrier.port, carrier.secure)

    server, request = server_of(carrier)

    assert carrier.is_open
    assert request.path == "/a?b"
    assert ("http://x", "z") == (request.headers["Origin"], request.headers["X-Y"])
    assert "Sec-WebSocket-Extensions" not in request.headers
    server.receive_data(carrier.wrap(b"<a/>\0"))
    (frame,) = server.events_received()
    assert isinstance(frame, Frame)
    assert (Opcode.BINARY, b"<a/>\0") == (frame.opcode, frame.data)
    server.send_text(b"<b/>")
    server.send_binary(b"\0")
    assert exchange(server, carrier) == [b"<b/>", b"\0"]


def test_client_and_server_of_ours_open_exchange_and_close() -> None:
    """Our two ends understand each other; the client closes, the server's end finishes in order."""
    client, server = ClientWebSocket("ws://a:1"), ServerWebSocket()

    def carry() -> tuple[list[bytes], list[bytes]]:
        to_server = server.receive_data(b"".join(client.data_to_send()))
        return to_server, client.receive_data(b"".join(server.data_to_send()))

    carry()
    assert client.is_open
    assert server.is_open
    assert server.receive_data(client.wrap(b"<a/>\0")) == [b"<a/>\0"]
    assert client.receive_data(server.wrap(b"<b/>\0")) == [b"<b/>\0"]
    client.close()
    carry()
    assert (True, None) == (server.finished, server.error)
    assert (True, None) == (client.finished, client.error)


def test_client_takes_frames_that_follow_the_answer_in_the_same_read() -> None:
    """A server may send its first frame right behind the answer to the opening."""
    carrier = ClientWebSocket("ws://a:1")
    server = ServerProtocol()
    server.receive_data(b"".join(carrier.data_to_send()))
    (request,) = server.events_received()
    server.send_response(server.accept(request))  # type: ignore[arg-type]
    server.send_binary(b"<hello/>\0")

    assert carrier.receive_data(b"".join(server.data_to_send())) == [b"<hello/>\0"]


def test_client_refused_by_the_server_has_the_status() -> None:
    """A refusal ends the opening at once, without waiting for a body that may never end."""
    carrier = ClientWebSocket("ws://a:1")

    carrier.receive_data(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 1000000\r\n\r\nno")

    assert (403, True) == (carrier.status, carrier.finished)
    assert str(carrier.error) == "server refused the WebSocket (403)"


def test_client_with_a_wrong_answer_fails() -> None:
    """A 101 without the right key is no WebSocket (RFC 6455, section 4.1)."""
    carrier = ClientWebSocket("ws://a:1")

    carrier.receive_data(
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Accept: wrong\r\n\r\n\x82\x01x"
    )

    assert carrier.finished
    assert not carrier.is_open
    assert "server's answer is wrong: invalid Sec-WebSocket-Accept" in str(carrier.error)


@pytest.mark.parametrize(
    "answer", [b"<policy/>\0\r\n\r\n", b"HTTP/1.1 999 x\r\n\r\n", b"SSH-2.0\r\n\r\n"]
)
def test_client_of_something_else_fails(answer: bytes) -> None:
    """A server that does not speak HTTP is recognised as such."""
    carrier = ClientWebSocket("ws://a:1")

    carrier.receive_data(answer)

    assert str(carrier.error) == "server's answer is not HTTP (1006)"


def test_client_endless_answer_fails_at_the_limit() -> None:
    """A server's header is bounded like a client's."""
    carrier = ClientWebSocket("ws://a:1")

    carrier.receive_data(b"H" * HEAD_MAX)

    assert str(carrier.error) == "HTTP header exceeds 16384 bytes (1006)"


def test_client_receives_a_masked_frame_and_fails() -> None:
    """A server must not mask (section 5.1)."""
    carrier = ClientWebSocket("ws://a:1")
    server_of(carrier)

    carrier.receive_data(masked(Opcode.BINARY, b"x"))

    assert carrier.error is not None
    assert carrier.error.code == 1002


@pytest.mark.parametrize(
    "uri", ["http://a", "ws://", "ws://a#b", "a:1", "", "ws://a:99999", "ws://[::1"]
)
def test_client_of_no_uri_is_refused(uri: str) -> None:
    """What is no WebSocket URI is a ValueError, before anything is connected."""
    with pytest.raises(ValueError, match=r"uri|URI|port|Port|IPv6"):
        ClientWebSocket(uri)


@pytest.mark.parametrize(
    ("uri", "where"),
    [
        ("ws://a", ("a", 80, False)),
        ("wss://a/", ("a", 443, True)),
        ("ws://[::1]:5", ("::1", 5, False)),
    ],
)
def test_client_knows_where_to_connect(uri: str, where: tuple[str, int, bool]) -> None:
    """Host, port and TLS come from the URI, ports by default 80 and 443."""
    carrier = ClientWebSocket(uri)

    assert where == (carrier.host, carrier.port, carrier.secure)


# The package behind it


class Hidden(importlib.abc.MetaPathFinder):
    """Makes one module look as if it were not installed."""

    def __init__(self, name: str) -> None:
        self.name = name

    def find_spec(self, fullname: str, path: object, target: object = None) -> None:
        """Refuse the module and leave the others to the next finder."""
        if fullname == self.name:
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("websockets", "WebSocket needs the extra 'websocket': pip install 'xmlsocket[websocket]'"),
        ("websockets.uri", "No module named 'websockets.uri'"),
    ],
)
def test_import_without_the_extra_names_it(
    monkeypatch: pytest.MonkeyPatch, missing: str, message: str
) -> None:
    """A missing package is named in one line; a broken one is not mistaken for a missing one."""
    for name in [*sys.modules]:
        if name.partition(".")[0] == "websockets" or name == "xmlsocket.websocket":
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Hidden(missing), *sys.meta_path])

    with pytest.raises(ModuleNotFoundError) as caught:
        importlib.import_module("xmlsocket.websocket")

    assert message == str(caught.value)
    assert missing == caught.value.name


def test_websockets_package_logs_at_debug_only(caplog: pytest.LogCaptureFixture) -> None:
    """What the package tells of every connection is no news for the application's log."""
    with caplog.at_level(logging.INFO):
        carrier = opened()
        carrier.close()
        carrier.receive_eof()
    assert caplog.records == []

    with caplog.at_level(logging.DEBUG, "xmlsocket.websocket"):
        opened()
    assert {record.name for record in caplog.records} == {"xmlsocket.websocket"}
    assert "connection open" in caplog.messages


# Over real sockets


@contextlib.contextmanager
def connected(port: int) -> Iterator[websockets.sync.client.ClientConnection]:
    """Connect a client of the ``websockets`` package, which asks for compression."""
    with websockets.sync.client.connect(
        f"ws://127.0.0.1:{port}/", max_size=None, proxy=None
    ) as client:
        yield client


def test_socket_client_of_websockets_is_echoed_and_closed_in_order() -> None:
    """Text, binary and fragments come back as frames; pings are answered; close codes agree."""
    with echo_server() as server, connected(server.port) as client:
        client.send("<a/>\0<b")
        client.send([b"/>\0", "<ü/>".encode(), b"\0"])
        assert client.ping().wait(10)
        echoed = b""
        while echoed.count(b"\0") < 3:
            echoed += client.recv()  # type: ignore[operator]
        client.close()

    assert "<a/>\0<b/>\0<ü/>\0".encode() == echoed
    assert [b"<a/>", b"<b/>", "<ü/>".encode()] == server.frames
    assert client.close_code == 1000
    assert [None] == [carrier.error for carrier in server.ended]


def test_socket_server_closes_and_the_client_sees_1000() -> None:
    """A close from the server's side is a closing handshake for the client."""
    with echo_server(reply=lambda frame: None) as server, connected(server.port) as client:
        client.send(b"<bye/>\0")
        with pytest.raises(websockets.exceptions.ConnectionClosedOK):
            client.recv()


def test_socket_frame_that_exceeds_the_decoder_is_closed_with_1009() -> None:
    """A frame beyond ``max_size``, in however small messages, ends with 1009."""

    def send_all() -> None:
        for _ in range(10000):
            client.send(b"x" * 500)
        client.recv()

    with echo_server(max_size=1000) as server, connected(server.port) as client:
        with pytest.raises(websockets.exceptions.ConnectionClosedError) as caught:
            send_all()

    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == 1009
    assert server.frames == []


def test_socket_megabytes_in_both_directions_arrive_whole() -> None:
    """A frame of the largest size goes there and back, through many reads."""
    frame = b"x" * 2**20 + b"\0"
    with echo_server() as server, connected(server.port) as client:
        client.send(frame)
        assert frame == client.recv()


def test_socket_client_of_ours_talks_to_a_server_of_websockets() -> None:
    """Our client's end works against the package's own server, compression offered or not."""

    def handler(connection: websockets.sync.server.ServerConnection) -> None:
        connection.send("<hello/>\0")
        for message in connection:
            connection.send(message)

    def frames(count: int) -> bytes:
        received = b""
        while received.count(b"\0") < count:
            for payload in carrier.receive_data(sock.recv(2**16)):
                received += payload
            sock.sendall(b"".join(carrier.data_to_send()))
        return received

    with websockets.sync.server.serve(handler, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        carrier = ClientWebSocket(f"ws://127.0.0.1:{server.socket.getsockname()[1]}")
        with socket.create_connection((carrier.host, carrier.port), 30) as sock:
            sock.sendall(b"".join(carrier.data_to_send()))
            assert frames(1) == b"<hello/>\0"
            sock.sendall(carrier.wrap(b"<a/>\0<b/>\0"))
            assert frames(2) == b"<a/>\0<b/>\0"
            carrier.close()
            sock.sendall(b"".join(carrier.data_to_send()))
            while not carrier.finished:
                carrier.receive_data(sock.recv(2**16))
        server.shutdown()
        thread.join()
    assert carrier.error is None


def test_socket_refused_origin_reaches_the_client_as_403() -> None:
    """The answer of a refusal arrives before the connection closes."""
    with (
        echo_server() as server,
        pytest.raises(websockets.exceptions.InvalidStatus) as caught,
        websockets.sync.client.connect(
            f"ws://127.0.0.1:{server.port}/",
            origin=Origin("http://evil.test"),
            proxy=None,
        ),
    ):
        pass

    assert isinstance(caught.value.response, Response)
    assert caught.value.response.status_code == 403
