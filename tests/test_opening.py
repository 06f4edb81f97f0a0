"""What a connection carries, decided from its first bytes, however they are cut."""

from __future__ import annotations

import itertools
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xmlsocket.exceptions import InvalidState
from xmlsocket.opening import Carrier, Opened, Opening
from xmlsocket.policy import REQUEST, match_request
from xmlsocket.proxies import TrustedProxies

PROXY = ("10.0.0.1", 1)
STRANGER = ("192.0.2.9", 2)
SOURCE, DESTINATION = ("203.0.113.7", 4711), ("10.0.0.9", 9339)
V1 = b"PROXY TCP4 203.0.113.7 10.0.0.9 4711 9339\r\n"
V2 = (
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c"
    + bytes([203, 0, 113, 7, 10, 0, 0, 9])
    + struct.pack("!HH", 4711, 9339)
)
LOCAL = V2[:12] + b"\x20\0\0\0"
GET = b"GET / HTTP/1.1\r\n"
SPACED = b"<policy-file-request />\0"


def new(
    peer: object = PROXY, *, policy: bool = True, websocket: bool = True, proxies: bool = True
) -> Opening:
    """Return an opening that looks for everything, unless told otherwise."""
    return Opening(
        peer,
        match_policy=match_request if policy else None,
        websocket=websocket,
        trusted=TrustedProxies(["10.0.0.0/8"]) if proxies else None,
    )


def frames(data: bytes) -> Opened:
    """Return the decision for frames of a client without a proxy."""
    return Opened(Carrier.FRAMES, data)


CASES = [
    (REQUEST, Carrier.POLICY_REQUEST, len(REQUEST)),
    (SPACED, Carrier.POLICY_REQUEST, len(SPACED)),
    (GET, Carrier.WEBSOCKET, 4),
    (b"<login/>\0", Carrier.FRAMES, 2),
    (b"<policy-file-request/>\n\0", Carrier.FRAMES, len(REQUEST)),
    (b"<policy-file-requests/>\0", Carrier.FRAMES, len(b"<policy-file-requests")),
    (b"GOT ", Carrier.FRAMES, 2),
    (b"GET\t", Carrier.FRAMES, 4),
    (b"GET/", Carrier.FRAMES, 4),
    (b"POST / HTTP/1.1\r\n", Carrier.FRAMES, 1),
    (b"\0", Carrier.FRAMES, 1),
    (b"\x16\x03\x01", Carrier.FRAMES, 1),
    (b"%xt%s%", Carrier.FRAMES, 1),
]


def decide(opening: Opening, pieces: list[bytes]) -> tuple[Opened, int]:
    """Feed the pieces until the decision falls; return it and how many bytes that took."""
    fed = 0
    for piece in pieces:
        fed += len(piece)
        if opened := opening.feed(piece):
            return opened, fed
    raise AssertionError("no decision")


@pytest.mark.parametrize(("stream", "carrier", "needed"), CASES)
@pytest.mark.parametrize("header", [b"", V1, V2], ids=["direct", "v1", "v2"])
def test_feed_single_bytes_decides_at_the_first_byte_that_fits_nothing_else(
    stream: bytes, carrier: Carrier, needed: int, header: bytes
) -> None:
    """The decision falls as early as it can, the same behind a PROXY header of either version."""
    opened, fed = decide(new(), [bytes([byte]) for byte in header + stream])

    # "P" may become a PROXY header where there was none yet.
    expected = needed if header or not stream.startswith(b"P") else 2
    assert (carrier, len(header) + expected) == (opened.carrier, fed)
    assert (SOURCE if header else None) == opened.source
    assert (DESTINATION if header else None) == opened.destination


@pytest.mark.parametrize(("stream", "carrier", "needed"), CASES)
@pytest.mark.parametrize("header", [b"", V1, V2], ids=["direct", "v1", "v2"])
def test_feed_stream_cut_in_two_anywhere_loses_no_byte(
    stream: bytes, carrier: Carrier, needed: int, header: bytes
) -> None:
    """Whatever the cut, the carrier is the same and gets every byte behind the PROXY header."""
    whole = header + stream
    for cut in range(len(whole) + 1):
        opened, fed = decide(new(), [whole[:cut], whole[cut:]])
        data = b"" if carrier is Carrier.POLICY_REQUEST else whole[len(header) : fed]
        assert (carrier, data) == (opened.carrier, opened.data)


@given(st.binary(max_size=40), st.data())
def test_feed_any_cut_of_any_stream_gives_the_same_decision(
    stream: bytes, data: st.DataObject
) -> None:
    """Random streams, with and without a header in front, do not depend on how they are cut."""
    stream = data.draw(st.sampled_from([b"", V1, V2, V1[:20], REQUEST[:10], b"GE"])) + stream
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)))))
    pieces = [stream[a:b] for a, b in itertools.pairwise([0, *cuts, len(stream)])]

    def carriers(pieces: list[bytes]) -> tuple[object, ...]:
        opening = new()
        for piece in pieces:
            if opened := opening.feed(piece):
                break
        else:
            opened = opening.on_silence()
        return opened.carrier, opened.source, opened.reason

    assert carriers([stream]) == carriers(pieces)


# What is looked for


def test_feed_nothing_to_look_for_decides_at_once() -> None:
    """A port without options takes everything for frames, before the first byte."""
    opening = new(policy=False, websocket=False, proxies=False)

    assert frames(b"") == opening.feed(b"")


@pytest.mark.parametrize("data", [REQUEST, b"G", V1])
def test_feed_without_options_takes_everything_for_frames(data: bytes) -> None:
    """Nothing is looked for unless it is asked for, whoever connects."""
    assert frames(data) == Opening(PROXY).feed(data)


def test_feed_policy_request_without_a_policy_is_a_frame() -> None:
    """Only a server that has a policy takes the request from its application."""
    assert frames(REQUEST) == new(policy=False).feed(REQUEST)


def test_feed_get_without_websocket_is_a_frame() -> None:
    """A port that does not speak WebSocket does not look for it."""
    assert frames(b"G") == new(websocket=False).feed(b"G")


@pytest.mark.parametrize("header", [V1, V2])
def test_feed_proxy_header_of_a_stranger_is_data(header: bytes) -> None:
    """A header from an address that is not trusted reaches the decoder, byte for byte."""
    assert frames(header + b"<a/>\0") == new(STRANGER).feed(header + b"<a/>\0")
    assert frames(header) == new(proxies=False).feed(header)


def test_feed_proxy_is_trusted_but_sends_no_header() -> None:
    """A trusted proxy may speak HTTP instead, and tell the address in X-Forwarded-For."""
    assert Opened(Carrier.WEBSOCKET, GET) == new().feed(GET)


def test_feed_second_proxy_header_is_data() -> None:
    """Only one header is read: the second one could be the client's own."""
    assert Opened(Carrier.FRAMES, V1, SOURCE, DESTINATION) == new().feed(V1 + V1)


@pytest.mark.parametrize("header", [LOCAL, b"PROXY UNKNOWN\r\n"], ids=["LOCAL", "UNKNOWN"])
def test_feed_header_without_a_client_keeps_the_address(header: bytes) -> None:
    """LOCAL and UNKNOWN name no client, so the address of the connection stands."""
    assert frames(b"<a") == new().feed(header + b"<a")


@pytest.mark.parametrize("everything", [True, False])
def test_feed_health_check_of_a_proxy_is_a_probe_until_data_comes(everything: bool) -> None:
    """LOCAL alone decides nothing; the first byte behind it does, and so does a silence."""
    opening, silent = (new(policy=everything, websocket=everything) for _ in range(2))
    for byte in LOCAL[:-1]:
        assert opening.feed(bytes([byte])) is None
        assert not opening.is_probe
    assert opening.feed(LOCAL[-1:]) is None
    assert opening.is_probe

    assert frames(b"x") == opening.feed(b"x")
    assert not opening.is_probe
    assert silent.feed(LOCAL) is None
    assert frames(b"") == silent.on_silence()


@pytest.mark.parametrize("data", [b"", V1, V2, b"PROXY UNKNOWN\r\n", LOCAL + b"<"])
def test_is_probe_of_anything_else_is_false(data: bytes) -> None:
    """Who says nothing may be a client, and so is whom a proxy relays."""
    opening = new()
    opening.feed(data)

    assert not opening.is_probe


def test_is_probe_of_a_stranger_is_false() -> None:
    """A header from an address that is not trusted is data."""
    opening = new(STRANGER)

    assert frames(LOCAL) == opening.feed(LOCAL)
    assert not opening.is_probe


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (b"PROXY TCP4 nonsense\r\n", "malformed PROXY header: line of version 1 is malformed"),
        (V2[:12] + b"\x31\x11\0\0", "malformed PROXY header: version and command 0x31 are unknown"),
        (b"PROXY " + b"x" * 101, "malformed PROXY header: line exceeds 107 bytes"),
    ],
)
def test_feed_malformed_proxy_header_is_refused(header: bytes, reason: str) -> None:
    """Guessing at a trusted proxy's broken header could only give a wrong address."""
    opened = new().feed(header)

    assert Opened(Carrier.REFUSED, reason=reason) == opened


def test_feed_after_the_decision_is_an_error() -> None:
    """The carrier gets what comes later; an opening that is fed on is a mistake of the caller."""
    opening = new()
    opening.feed(b"<a/>\0")

    with pytest.raises(InvalidState):
        opening.feed(b"")
    with pytest.raises(InvalidState):
        opening.on_silence()


def test_feed_takes_any_buffer() -> None:
    """What a transport reads into may be lent as a view."""
    assert frames(b"<a") == new().feed(memoryview(b"<a"))
    assert frames(b"<a") == new().feed(bytearray(b"<a"))


def test_feed_holds_no_more_than_a_header_and_one_read() -> None:
    """A header that never ends is refused at its announced length, before it has come."""
    opening = new()

    opened = opening.feed(V2[:14] + b"\xff\xff")

    assert opened is not None
    assert opened.carrier is Carrier.REFUSED


# Silence


@pytest.mark.parametrize("start", [b"", b"<", b"<policy-file-requ", REQUEST[:-1], SPACED[:-1]])
@pytest.mark.parametrize("header", [b"", V1, V2], ids=["direct", "v1", "v2"])
def test_on_silence_nothing_or_half_a_policy_request_is_frames(start: bytes, header: bytes) -> None:
    """Clients that wait for the server to speak, and slow documents, are served as frames."""
    opening = new()
    assert opening.feed(header + start) is None

    opened = opening.on_silence()

    assert (Carrier.FRAMES, start) == (opened.carrier, opened.data)
    assert (SOURCE if header else None) == opened.source


@pytest.mark.parametrize("start", [b"G", b"GE", b"GET"])
@pytest.mark.parametrize("header", [b"", V1])
def test_on_silence_half_a_get_is_refused(start: bytes, header: bytes) -> None:
    """The beginning of an HTTP request is closed, with a reason for the log."""
    opening = new()
    assert opening.feed(header + start) is None

    opened = opening.on_silence()

    assert (opened.carrier, opened.data) == (Carrier.REFUSED, b"")
    assert opened.reason == "HTTP request not completed in time"


@pytest.mark.parametrize("start", [b"P", V1[:-1], b"\r", V2[:12], V2[:-1]])
def test_on_silence_half_a_proxy_header_is_refused(start: bytes) -> None:
    """Incomplete headers of a trusted proxy are of no use to anyone."""
    opening = new()
    assert opening.feed(start) is None

    opened = opening.on_silence()

    assert Opened(Carrier.REFUSED, reason="PROXY header not completed in time") == opened


def test_on_silence_of_a_port_that_looks_for_one_thing_only() -> None:
    """The beginning of something that is not looked for never waits."""
    opening = new(websocket=False)
    assert opening.feed(b"") is None
    assert frames(b"") == opening.on_silence()
