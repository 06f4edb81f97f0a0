"""
Whom a server lets in: how many connections in all, and from one address.

Nothing here touches an event loop or a lock; the servers of both transports ask
it about every connection that they have accepted.
"""

from __future__ import annotations

import collections
import contextlib
import ipaddress
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

try:
    import resource
except ImportError:  # pragma: no cover - Windows has no such limit
    resource = None  # type: ignore[assignment]

if TYPE_CHECKING:
    import socket
    from collections.abc import Container, Hashable

    from .connection import Counters, Settings

__all__ = ["Admission", "Sites"]

K = TypeVar("K", bound="Hashable")

# Whoever has an IPv6 connection has 2**64 addresses to come from.
_IP6_SITE: Final = 64

# Of the descriptors that the process may open: the others are for its files, its
# databases, and the connections that it opens itself.
_SHARE: Final = 0.8


class Sites:
    """
    What is open from each address, up to a limit.

    Of IPv6 the first 64 bits count, because no one has less. Unix sockets have
    no address, so nothing is counted for them.

    Args:
        limit: How many one address may have open; ``None`` for any number.

    """

    def __init__(self, limit: int | None) -> None:
        self._limit = limit
        self._open: collections.Counter[str] = collections.Counter()

    @staticmethod
    def of(address: Any) -> str:
        """Return what connections from one place have in common; empty for Unix sockets."""
        if not isinstance(address, tuple):
            return ""
        host = address[0].partition("%")[0]
        if ":" not in host:
            return str(host)
        ip = ipaddress.IPv6Address(host)
        if ip.ipv4_mapped is not None:  # a listener for both
            return str(ip.ipv4_mapped)
        return str(ipaddress.IPv6Network((ip, _IP6_SITE), strict=False))

    def enter(self, site: str) -> bool:
        """Count one more at ``site`` and return true, unless it has as many as it may."""
        if site and self._limit is not None and self._open[site] >= self._limit:
            return False
        self._open[site] += 1
        return True

    def leave(self, site: str) -> None:
        """Count one less."""
        self._open[site] -= 1
        if not self._open[site]:
            del self._open[site]

    def total(self) -> int:
        """Return how many are open."""
        return self._open.total()


class Admission(Generic[K]):
    """
    Turns away the connections of one server that are too many.

    What is turned away is counted with the server's ``refused`` and logged at
    most once a minute: a flood is to be noticed, and not to fill the disk.

    Args:
        settings: The server's.
        counters: The server's.
        proxies: Whose connections are their clients', who are known later.

    """

    def __init__(
        self, settings: Settings[Any], counters: Counters, proxies: Container[Any] = ()
    ) -> None:
        limits = settings.limits
        self._repeated = settings.repeated
        self._counters = counters
        self._proxies = proxies
        self._most = limits.connections
        if self._most is not None and resource is not None:
            descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
            if descriptors != resource.RLIM_INFINITY:
                self._most = min(self._most, max(1, int(_SHARE * descriptors)))
        self._per_address = limits.connections_per_address
        self._sites = Sites(self._per_address)
        # Only of connections that are counted: without the limit nothing is kept.
        self._counted: dict[K, str] = {}

    def admit(self, sock: socket.socket, count: int) -> str | None:
        """
        Decide about a connection that has just been accepted; close it if it is too many.

        Args:
            sock: Its socket.
            count: How many others the server has, those included that are still
                being opened.

        Returns:
            What `enter` wants to know, or ``None`` if the connection was turned away.

        """
        if self._most is not None and count >= self._most:
            self._turn_away(
                "connections", "! turned away a connection: %d are open (Limits.connections)", count
            )
        elif self._per_address is None:
            return ""
        else:
            peer = None
            with contextlib.suppress(OSError):  # it may have left already
                peer = sock.getpeername()
            site = "" if peer in self._proxies else Sites.of(peer)
            if self._sites.enter(site):
                return site
            self._too_many()
        sock.close()
        return None

    def _too_many(self) -> None:
        self._turn_away(
            "connections_per_address",
            "! turned away a connection: its address has %d open (Limits.connections_per_address)",
            self._per_address,
        )

    def _turn_away(self, limit: str, message: str, value: object) -> None:
        self._counters.refused[limit] += 1
        self._repeated.warning(message, value)

    def enter(self, key: K, site: str) -> None:
        """Note that the connection that was admitted with ``site`` is called ``key``."""
        if self._per_address is not None:
            self._counted[key] = site

    def identify(self, key: K, address: Any) -> bool:
        """
        Learn the address of a client whose proxy has told it by now.

        Args:
            key: The connection.
            address: As the connection tells it: the client's, or the proxy's if it
                told none.

        Returns:
            Whether the connection may stay.

        """
        if self._counted.get(key) or self._per_address is None or address in self._proxies:
            return True
        site = Sites.of(address)
        if not self._sites.enter(site):
            self._too_many()
            return False
        self._sites.leave(self._counted[key])
        self._counted[key] = site
        return True

    def leave(self, key: K) -> None:
        """Note that a connection is gone."""
        site = self._counted.pop(key, None)
        if site is not None:
            self._sites.leave(site)

    def stalled(self, limit: int) -> None:
        """Count a TLS handshake that was broken off because ``limit`` later ones wait as well."""
        self._turn_away(
            "handshakes",
            "! broke off the oldest of more than %d TLS handshakes (Limits.handshakes)",
            limit,
        )
