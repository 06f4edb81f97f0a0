"""Which proxies are trusted, PROXY headers of both versions, and X-Forwarded-For."""

from __future__ import annotations

import ipaddress
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xmlsocket.proxies import (
    MalformedHeader,
    ProxyHeader,
    TrustedProxies,
    make_proxy_header,
    read_proxy_header,
)

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def version_2(command: int, family: int, body: bytes, length: int | None = None) -> bytes:
    """Return a header of version 2."""
    length = len(body) if length is None else length
    return SIGNATURE + struct.pack("!BBH", command, family, length) + body


V1_TCP4 = b"PROXY TCP4 192.0.2.1 198.51.100.1 65535 0\r\n"
V1_TCP6 = b"PROXY TCP6 2001:DB8::1 ::1 4711 843\r\n"
V2_TCP4 = version_2(
    0x21, 0x11, bytes([192, 0, 2, 1, 198, 51, 100, 1]) + struct.pack("!HH", 65535, 0)
)
V2_TCP6 = version_2(
    0x21,
    0x21,
    ipaddress.ip_address("2001:db8::1").packed
    + ipaddress.ip_address("::1").packed
    + struct.pack("!HH", 4711, 843),
)
FROM_TCP4 = (("192.0.2.1", 65535), ("198.51.100.1", 0))
FROM_TCP6 = (("2001:db8::1", 4711), ("::1", 843))

HEADERS = [
    (V1_TCP4, FROM_TCP4),
    (V1_TCP6, FROM_TCP6),
    (b"PROXY TCP6 ::ffff:192.0.2.1 ::ffff:198.51.100.1 65535 0\r\n", FROM_TCP4),
    (b"PROXY UNKNOWN\r\n", (None, None)),
    (b"PROXY UNKNOWN ffff:ffff anything \xff 1 2\r\n", (None, None)),
    (V2_TCP4, FROM_TCP4),
    (V2_TCP6, FROM_TCP6),
    (version_2(0x21, 0x11, V2_TCP4[16:] + b"\x04\0\x01x"), FROM_TCP4),
    (version_2(0x20, 0x00, b""), (None, None)),
    (version_2(0x20, 0x11, V2_TCP4[16:]), (None, None)),
    (version_2(0x20, 0xFF, b"rubbish"), (None, None)),
    (version_2(0x21, 0x00, b"ignored"), (None, None)),
    (version_2(0x21, 0x12, V2_TCP4[16:]), (None, None)),
    (version_2(0x21, 0x31, bytes(216)), (None, None)),
    (version_2(0x20, 0x00, bytes(2048 - 16)), (None, None)),
]


# PROXY headers


@pytest.mark.parametrize(("header", "addresses"), HEADERS)
def test_read_proxy_header_in_single_bytes_is_known_at_its_last_byte(
    header: bytes, addresses: tuple[tuple[str, int] | None, tuple[str, int] | None]
) -> None:
    """Both versions give their addresses, whatever follows; every shorter cut is undecided."""
    for cut in range(len(header)):
        assert read_proxy_header(header[:cut]) is None
    told = ProxyHeader(len(header), *addresses, local=header.startswith(SIGNATURE + b"\x20"))
    assert told == read_proxy_header(header)
    assert told == read_proxy_header(header + header)


@pytest.mark.parametrize(
    "data", [b"<a/>", b"PROXY\t", b"PROXY-", b"proxy ", b"\r\nQ", b"\0", b"\r\n\r\n\0\r\nQUIT\r"]
)
def test_read_proxy_header_other_bytes_are_none(data: bytes) -> None:
    """A stream that does not start with a signature has no header."""
    assert ProxyHeader(0) == read_proxy_header(data)


@pytest.mark.parametrize(
    "line",
    [
        b"PROXY \r\n",
        b"PROXY TCP4\r\n",
        b"PROXY TCP4 192.0.2.1 198.51.100.1 1\r\n",
        b"PROXY TCP4 192.0.2.1 198.51.100.1 1 2 3\r\n",
        b"PROXY  TCP4 192.0.2.1 198.51.100.1 1 2\r\n",
        b"PROXY TCP4 192.0.2.1 198.51.100.1 1 2 \r\n",
        b"PROXY TCP4 2001:db8::1 ::1 1 2\r\n",
        b"PROXY TCP6 192.0.2.1 198.51.100.1 1 2\r\n",
        b"PROXY TCP4 192.0.2.01 198.51.100.1 1 2\r\n",
        b"PROXY TCP4 192.0.2.1 198.51.100.1 65536 2\r\n",
        b"PROXY TCP4 192.0.2.1 198.51.100.1 01 2\r\n",
        b"PROXY TCP4 192.0.2.1 198.51.100.1 -1 2\r\n",
        b"PROXY TCP4 192.0.2.1 198.51.100.1 \xb2 2\r\n",
        b"PROXY TCP4 192.0.2.1 198.51.100.1 1\n2\r\n",
        b"PROXY UDP4 192.0.2.1 198.51.100.1 1 2\r\n",
        b"PROXY unknown\r\n",
    ],
)
def test_read_proxy_header_version_1_malformed_is_an_error(line: bytes) -> None:
    """Any line that does not match section 2.1 to the byte must abort the connection."""
    with pytest.raises(MalformedHeader, match="version 1 is malformed"):
        read_proxy_header(line)


def test_read_proxy_header_version_1_ends_within_107_bytes() -> None:
    """The longest line has 107 bytes with its CRLF; one more is an error, at that byte."""
    longest = b"PROXY UNKNOWN " + b"f" * (107 - 16) + b"\r\n"

    assert len(longest) == 107
    assert ProxyHeader(107) == read_proxy_header(longest)
    assert read_proxy_header(longest[:106]) is None
    with pytest.raises(MalformedHeader, match="line exceeds 107 bytes"):
        read_proxy_header(b"PROXY UNKNOWN " + b"f" * (108 - 16) + b"\r\n")
    with pytest.raises(MalformedHeader, match="line exceeds 107 bytes"):
        read_proxy_header(b"PROXY UNKNOWN " + b"f" * 93)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (version_2(0x11, 0x11, bytes(12)), "version and command 0x11 are unknown"),
        (version_2(0x22, 0x11, bytes(12)), "version and command 0x22 are unknown"),
        (version_2(0x21, 0x41, bytes(12)), "family and protocol 0x41 are unknown"),
        (version_2(0x21, 0x13, bytes(12)), "family and protocol 0x13 are unknown"),
        (version_2(0x21, 0x11, bytes(11)), "11 bytes are too few for the addresses"),
        (version_2(0x21, 0x21, bytes(35)), "35 bytes are too few for the addresses"),
        (version_2(0x20, 0x00, b"", 2048 - 15), "header of 2049 bytes exceeds 2048"),
        (version_2(0x21, 0x11, b"", 65535), "header of 65551 bytes exceeds 2048"),
    ],
)
def test_read_proxy_header_version_2_malformed_is_an_error(header: bytes, message: str) -> None:
    """Unassigned values must drop the connection (section 2.2); so does what exceeds our bound."""
    with pytest.raises(MalformedHeader, match=message):
        read_proxy_header(header)


def test_read_proxy_header_version_2_knows_every_family_that_the_specification_has() -> None:
    """Four families by three protocols are legal; all other values must be rejected."""
    legal = {family << 4 | protocol for family in range(4) for protocol in range(3)}
    named = {0x11, 0x21}
    known = set()
    for family in range(256):
        try:
            header = read_proxy_header(version_2(0x21, family, bytes(216)))
        except MalformedHeader:
            continue
        assert header is not None
        assert (header.source is not None) is (family in named)
        known.add(family)

    assert legal == known


@given(
    st.sampled_from(
        [b"PROXY ", b"PROXY TCP4 ", b"PROXY TCP6 ", SIGNATURE, SIGNATURE + b"\x21", b""]
    ),
    st.binary(max_size=60),
)
def test_read_proxy_header_any_bytes_give_a_header_or_its_error(start: bytes, rest: bytes) -> None:
    """Hostile headers raise `MalformedHeader` and nothing else; what is read is in the data."""
    try:
        header = read_proxy_header(start + rest)
    except MalformedHeader:
        return
    assert header is None or header.size <= len(start + rest)


# Trust


@pytest.mark.parametrize(
    ("peer", "trusted"),
    [
        (("10.1.2.3", 4711), True),
        (("11.1.2.3", 4711), False),
        (("192.0.2.7", 4711), True),
        (("192.0.2.8", 4711), False),
        (("::ffff:10.1.2.3", 4711, 0, 0), True),
        (("::ffff:11.1.2.3", 4711, 0, 0), False),
        (("fd00::1", 4711, 0, 0), True),
        (("fe80::1%eth0", 4711, 0, 2), False),
        ("", False),
        ("/run/socket", False),
        (None, False),
    ],
)
def test_trusted_proxies_contains_addresses_of_its_networks(peer: object, trusted: bool) -> None:
    """Addresses and networks of both families, IPv4 in IPv6 included; no Unix socket by default."""
    assert trusted is (peer in TrustedProxies(["10.0.0.0/8", "192.0.2.7", "fd00::/8"]))


@pytest.mark.parametrize(
    ("peer", "trusted"),
    [("", True), (b"\0abstract", True), (None, False), (("10.0.0.1", 1), False)],
)
def test_trusted_proxies_unix_means_unix_sockets(peer: object, trusted: bool) -> None:
    """``unix:`` trusts whoever connects to a Unix socket, whose address is text or bytes."""
    assert trusted is (peer in TrustedProxies(["unix:"]))


def test_trusted_proxies_is_false_when_empty() -> None:
    """Nobody is trusted unless named."""
    assert not TrustedProxies()
    assert TrustedProxies(["unix:"])
    assert TrustedProxies(["::1"])


@pytest.mark.parametrize("proxy", ["example.com", "10.0.0.1/8", "10.0.0.0/33", "", "*"])
def test_trusted_proxies_what_is_no_network_is_refused(proxy: str) -> None:
    """A typing error must not trust nobody, or everybody, in silence."""
    with pytest.raises(ValueError, match=r"does not appear to be|has host bits set"):
        TrustedProxies([proxy])


def test_trusted_proxies_of_a_bare_string_is_refused() -> None:
    """A string is iterable: its letters are no proxies."""
    with pytest.raises(TypeError, match="trusted_proxies must be a list, not '::1'"):
        TrustedProxies("::1")


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize(
    "source", ["/run/game.sock", "", b"\0abstract", None, ("no address", 1), ("192.0.2.1",)]
)
def test_make_proxy_header_of_no_ip_address_says_unknown(source: object, version: int) -> None:
    """Clients on Unix sockets, and those that have left, have no address: the header says so."""
    header = make_proxy_header(version, source, ("192.0.2.2", 9339))

    assert ProxyHeader(len(header)) == read_proxy_header(header)
    assert read_proxy_header(header[:-1]) is None


# X-Forwarded-For

PEER = ("10.0.0.1", 4711)


@pytest.mark.parametrize(
    ("forwarded", "client"),
    [
        ([], PEER),
        ([""], PEER),
        (["192.0.2.1"], ("192.0.2.1", 0)),
        (["192.0.2.1:99"], ("192.0.2.1", 99)),
        (["2001:DB8::1"], ("2001:db8::1", 0)),
        (["[2001:db8::1]"], ("2001:db8::1", 0)),
        (["[2001:db8::1]:99"], ("2001:db8::1", 99)),
        (["::ffff:192.0.2.1"], ("192.0.2.1", 0)),
        (["6.6.6.6, 192.0.2.1"], ("192.0.2.1", 0)),
        (["6.6.6.6,\t192.0.2.1 ,10.0.0.2"], ("192.0.2.1", 0)),
        (["6.6.6.6", "192.0.2.1", "10.0.0.2"], ("192.0.2.1", 0)),
        (["10.0.0.3, 10.0.0.2"], ("10.0.0.3", 0)),
        (["unknown"], PEER),
        (["192.0.2.1, unknown, 10.0.0.2"], ("10.0.0.2", 0)),
        (["192.0.2.1,"], PEER),
        (["192.0.2.1:65536"], PEER),
        (["_hidden, 10.0.0.2:5"], ("10.0.0.2", 5)),
        (["'; drop table, 10.0.0.2"], ("10.0.0.2", 0)),
    ],
)
def test_client_is_the_last_address_that_is_not_trusted(
    forwarded: list[str], client: tuple[str, int]
) -> None:
    """What the client wrote itself stands before what trusted proxies appended, and is ignored."""
    assert client == TrustedProxies(["10.0.0.0/8"]).client(PEER, forwarded)


@pytest.mark.parametrize("peer", [("192.0.2.9", 1), "", None])
def test_client_of_an_untrusted_peer_is_that_peer(peer: object) -> None:
    """Anyone can send X-Forwarded-For, so only a trusted proxy's counts."""
    assert peer == TrustedProxies(["10.0.0.0/8"]).client(peer, ["6.6.6.6"])


@given(st.lists(st.text(max_size=20)))
def test_client_any_text_gives_an_address(forwarded: list[str]) -> None:
    """Whatever the header holds, the result is the peer or a valid address with a valid port."""
    host, port = TrustedProxies(["10.0.0.0/8"]).client(PEER, forwarded)

    ipaddress.ip_address(host)
    assert 0 <= port <= 65535
