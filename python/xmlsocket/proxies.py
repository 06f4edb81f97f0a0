"""
Proxies in front of a server: which are trusted, and what they say of the client.

A proxy hides the client's address behind its own and passes it on, in a PROXY
header in front of the stream or in ``X-Forwarded-For`` of an HTTP request.
Anyone can write both, so they count only when a trusted proxy sends them.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import re
import struct
from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "Address",
    "MalformedHeader",
    "ProxyHeader",
    "TrustedProxies",
    "make_proxy_header",
    "read_proxy_header",
]

Address: TypeAlias = tuple[str, int]
"""Host and port; the port is 0 where a proxy did not tell it."""

_IP: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

_UNIX: Final = "unix:"

# PROXY protocol 2.1: the longest line of version 1, CRLF included.
_V1: Final = b"PROXY "
_V1_MAX: Final = 107
_V1_FAMILIES: Final[dict[str, type[_IP]]] = {
    "TCP4": ipaddress.IPv4Address,
    "TCP6": ipaddress.IPv6Address,
}
_V2: Final = b"\r\n\r\n\0\r\nQUIT\n"
_V2_FIXED: Final = struct.Struct("!12sBBH")
# The protocol allows 64 KiB. Addresses take 216 bytes at most; what else load
# balancers add (TLS names, identifiers) fits the segment that the protocol
# wants the header to fit in, and four times over in this.
_V2_MAX: Final = 2048
_V2_LOCAL: Final = 0x20
_V2_PROXY: Final = 0x21
_V2_ADDRESSES: Final = {0x11: struct.Struct("!4s4sHH"), 0x21: struct.Struct("!16s16sHH")}
# Unspecified, UDP and Unix sockets: legal, without an address that means anything here.
_V2_NAMELESS: Final = frozenset({0x00, 0x01, 0x02, 0x10, 0x12, 0x20, 0x22, 0x30, 0x31, 0x32})

_DECIMAL = re.compile(r"0|[1-9][0-9]{0,4}", re.ASCII)
# How some proxies write an entry of X-Forwarded-For: 192.0.2.1:4711, [2001:db8::1]:4711.
_WITH_PORT = re.compile(
    r"\[(?P<ip6>[^\]]*)\](?::(?P<port6>[0-9]{1,5}))?|(?P<ip4>[0-9.]*):(?P<port4>[0-9]{1,5})",
    re.ASCII,
)


class MalformedHeader(ValueError):
    """A trusted proxy sent a PROXY header that the specification forbids; for `opening` only."""


@dataclasses.dataclass(frozen=True, slots=True)
class ProxyHeader:
    """
    What a PROXY header says.

    Attributes:
        size: Bytes of the header; 0 when the stream does not start with one.
        source: Address of the client; None when the proxy speaks for itself or
            does not know, so that the address of the connection stands.
        destination: Address that the client connected to, or None likewise.
        local: Whether the connection is the proxy's own, most often to see if the
            server lives (``LOCAL`` of version 2).

    """

    size: int
    source: Address | None = None
    destination: Address | None = None
    local: bool = False


def read_proxy_header(data: bytes) -> ProxyHeader | None:
    """
    Look for a PROXY header at the start of a stream.

    Args:
        data: The first bytes of the stream, however many have come.

    Returns:
        The header, of size 0 when there is none; None while that is open.

    Raises:
        MalformedHeader: When the stream starts as a header and does not go on
            as one, or the header exceeds 2048 bytes.

    Source: The PROXY protocol, versions 1 and 2, HAProxy Technologies, sections
    2.1 and 2.2. Extensions (TLV) are skipped.

    """
    if data.startswith(_V1):
        return _read_v1(data)
    if data.startswith(_V2):
        return _read_v2(data)
    return None if _V1.startswith(data) or _V2.startswith(data) else ProxyHeader(0)


def _read_v1(data: bytes) -> ProxyHeader | None:
    end = data.find(b"\r\n", 0, _V1_MAX)
    if end < 0:
        if len(data) >= _V1_MAX:
            raise MalformedHeader(f"line exceeds {_V1_MAX} bytes")
        return None
    size = end + 2
    family, *rest = data[len(_V1) : end].decode("latin-1").split(" ")
    if family == "UNKNOWN":
        return ProxyHeader(size)
    try:
        source, destination, source_port, destination_port = rest
        kind = _V1_FAMILIES[family]
        return ProxyHeader(
            size,
            (_canonical(kind(source)), _port(source_port)),
            (_canonical(kind(destination)), _port(destination_port)),
        )
    except (ValueError, KeyError):
        raise MalformedHeader("line of version 1 is malformed") from None


def _port(text: str) -> int:
    if not _DECIMAL.fullmatch(text) or int(text) > 0xFFFF:  # noqa: PLR2004 - 16 bits
        raise ValueError(text)
    return int(text)


def _read_v2(data: bytes) -> ProxyHeader | None:
    if len(data) < _V2_FIXED.size:
        return None
    _, command, family, length = _V2_FIXED.unpack_from(data)
    size = _V2_FIXED.size + length
    if command not in {_V2_LOCAL, _V2_PROXY}:
        raise MalformedHeader(f"version and command {command:#04x} are unknown")
    if size > _V2_MAX:
        raise MalformedHeader(f"header of {size} bytes exceeds {_V2_MAX}")
    if command == _V2_PROXY and family not in _V2_NAMELESS | _V2_ADDRESSES.keys():
        raise MalformedHeader(f"address family and protocol {family:#04x} are unknown")
    if len(data) < size:
        return None
    layout = _V2_ADDRESSES.get(family)
    # "The connection endpoints are the sender and the receiver": health checks.
    if command == _V2_LOCAL or layout is None:
        return ProxyHeader(size, local=command == _V2_LOCAL)
    if length < layout.size:
        raise MalformedHeader(f"{length} bytes are too few for the addresses")
    source, destination, source_port, destination_port = layout.unpack_from(data, _V2_FIXED.size)
    return ProxyHeader(
        size,
        (_canonical(ipaddress.ip_address(source)), source_port),
        (_canonical(ipaddress.ip_address(destination)), destination_port),
    )


def make_proxy_header(version: int, source: Any, destination: Any) -> bytes:
    """
    Return the PROXY header that tells a server whom a connection is for.

    Args:
        version: 1 for the line of text, 2 for the binary header.
        source: Address of the client, as ``getpeername`` names it.
        destination: Address that the client connected to, likewise. If either
            is no IP address, as with Unix sockets, the header says "unknown".

    Source: The PROXY protocol, versions 1 and 2, sections 2.1 and 2.2.

    """
    try:
        ips = [
            ipaddress.ip_address(address[0].partition("%")[0]) for address in (source, destination)
        ]
        ports = source[1], destination[1]
    except (ValueError, LookupError, AttributeError, TypeError):  # None: it has left already
        return b"PROXY UNKNOWN\r\n" if version == 1 else _V2_FIXED.pack(_V2, _V2_PROXY, 0, 0)
    if ips[0].version != ips[1].version:  # both have to be of one family
        ips = [ip if ip.version == 6 else ipaddress.ip_address(f"::ffff:{ip}") for ip in ips]  # noqa: PLR2004
    family = f"TCP{ips[0].version}"
    if version == 1:
        return f"PROXY {family} {ips[0]} {ips[1]} {ports[0]} {ports[1]}\r\n".encode()
    code = 0x11 if ips[0].version == 4 else 0x21  # noqa: PLR2004
    body = _V2_ADDRESSES[code].pack(ips[0].packed, ips[1].packed, *ports)
    return _V2_FIXED.pack(_V2, _V2_PROXY, code, len(body)) + body


def _canonical(ip: _IP) -> str:
    mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    return str(mapped or ip)


class TrustedProxies:
    """
    The proxies whose word on the client's address counts.

    Args:
        proxies: Addresses and networks, such as ``"10.0.0.5"``, ``"10.0.0.0/8"``
            or ``"fd00::/8"``, and ``"unix:"`` for whoever connects to a Unix
            socket. List a proxy only if it sets what it passes on itself: one
            that hands through the client's own PROXY header or
            ``X-Forwarded-For`` lets clients choose their address.

    Raises:
        ValueError: Naming what is neither address nor network.

    """

    __slots__ = ("_networks", "_unix")

    def __init__(self, proxies: Iterable[str] = ()) -> None:
        if isinstance(proxies, str):
            raise TypeError(f"trusted_proxies must be a list, not {proxies!r}")
        proxies = set(proxies)
        self._unix = _UNIX in proxies
        self._networks = tuple(map(ipaddress.ip_network, proxies - {_UNIX}))

    def __bool__(self) -> bool:
        return self._unix or bool(self._networks)

    def __contains__(self, address: object) -> bool:
        """Tell whether a socket's peer, as ``getpeername`` names it, is trusted."""
        if isinstance(address, tuple):
            return self._trusts(ipaddress.ip_address(address[0]))
        return self._unix and isinstance(address, str | bytes)

    def _trusts(self, ip: _IP) -> bool:
        ip = (ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None) or ip
        return any(ip in network for network in self._networks)

    def client(self, peer: Any, forwarded: Iterable[str]) -> Any:
        """
        Find the client's address behind HTTP proxies.

        Each proxy appends the address that it was connected from, so the list is
        believed from its end for as long as those who wrote it are trusted.

        Args:
            peer: The address of the connection, after any PROXY header.
            forwarded: The values of ``X-Forwarded-For``, in order.

        Returns:
            The last address in the list that is no trusted proxy, or the first
            of the list if all are; ``peer`` if that is not trusted or there is
            no list. What is no address ends the list.

        """
        if peer not in self:
            return peer
        for entry in reversed(",".join(forwarded).split(",")):
            try:
                ip, port = _forwarded(entry.strip(" \t"))
            except ValueError:
                break
            peer = (_canonical(ip), port)
            if not self._trusts(ip):
                break
        return peer


def _forwarded(entry: str) -> tuple[_IP, int]:
    """Read an entry of X-Forwarded-For, with or without a port."""
    if match := _WITH_PORT.fullmatch(entry):
        return (
            ipaddress.ip_address(match["ip6"] or match["ip4"]),
            _port(match["port6"] or match["port4"] or "0"),
        )
    return ipaddress.ip_address(entry), 0
