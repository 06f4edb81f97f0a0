"""
What a connection carries, decided from its first bytes.

One port can serve Flash movies that first ask for the policy file, browsers
that speak WebSocket, proxies that put a header in front, and everyone who
simply sends XML frames. The decision falls at the first byte that fits no
signature, and looks at no more than a PROXY header of 2048 bytes and five
bytes behind it, or a policy request. Nothing here reads a socket or a clock.
"""

from __future__ import annotations

import dataclasses
import enum
from typing import TYPE_CHECKING, Any, Final

from .exceptions import InvalidState
from .proxies import MalformedHeader, ProxyHeader, TrustedProxies, read_proxy_header

if TYPE_CHECKING:
    from collections.abc import Callable

    from .proxies import Address

__all__ = ["Carrier", "Opened", "Opening"]

_GET: Final = b"GET "


class Carrier(enum.Enum):
    """What a connection carries."""

    FRAMES = "frames"
    """XML frames; hand all bytes to a decoder."""
    POLICY_REQUEST = "policy_request"
    """A request for the socket policy: answer it and close."""
    WEBSOCKET = "websocket"
    """An HTTP request, to become a WebSocket or not; hand all bytes to its carrier."""
    REFUSED = "refused"
    """Nothing to be served: close."""


@dataclasses.dataclass(frozen=True, slots=True)
class Opened:
    """
    The decision about a connection.

    Attributes:
        carrier: What it carries.
        data: The bytes that came so far and belong to the carrier; without a
            PROXY header, and empty after a policy request.
        source: Address of the client as a trusted proxy told it, or None: the
            address of the connection stands.
        destination: Address that the client connected to, likewise.
        reason: Why it was refused, for the log; empty otherwise.

    """

    carrier: Carrier
    data: bytes = b""
    source: Address | None = None
    destination: Address | None = None
    reason: str = ""


class Opening:
    """
    Decides what one connection carries.

    The transport hands over what it reads until there is a decision, and calls
    `on_silence` when there was none within its time limit, which further bytes
    should not extend, or when the stream ends.

    Args:
        peer: Address of the connection, as ``getpeername`` names it. A PROXY
            header from an address that is not trusted is data.
        match_policy: Tells whether bytes start with a policy request: True,
            False, or None while it is open. None when there is no policy to
            answer with, so that the application gets the request as a frame.
        websocket: Whether to look for HTTP requests.
        trusted: Proxies that may, but need not, put a PROXY header in front.

    """

    __slots__ = ("_data", "_decided", "_header", "_match_policy", "_websocket")

    def __init__(
        self,
        peer: Any,
        *,
        match_policy: Callable[[bytes], bool | None] | None = None,
        websocket: bool = False,
        trusted: TrustedProxies | None = None,
    ) -> None:
        self._match_policy = match_policy
        self._websocket = websocket
        # None: still to be looked for.
        self._header = None if trusted is not None and peer in trusted else ProxyHeader(0)
        self._data = b""
        self._decided = False

    def feed(self, data: bytes | bytearray | memoryview, /) -> Opened | None:
        """
        Take what was read and decide if it suffices.

        The decision does not depend on how the stream is cut.

        Args:
            data: Bytes just read, of any length including zero.

        Returns:
            The decision, once; None while the bytes could still become one
            thing or another.

        Raises:
            InvalidState: If the decision has fallen.

        """
        if self._decided:
            raise InvalidState("it is decided what this connection carries")
        self._data += data
        if self._header is None:
            try:
                self._header = read_proxy_header(self._data)
            except MalformedHeader as exc:
                return self._decide(Carrier.REFUSED, f"malformed PROXY header: {exc}")
            if self._header is None:
                return None
            self._data = self._data[self._header.size :]
        policy = False if self._match_policy is None else self._match_policy(self._data)
        if policy:
            return self._decide(Carrier.POLICY_REQUEST)
        if self._websocket and self._data.startswith(_GET):
            return self._decide(Carrier.WEBSOCKET)
        beginning = policy is None or (self._websocket and _GET.startswith(self._data))
        return None if beginning or self.is_probe else self._decide(Carrier.FRAMES)

    @property
    def is_probe(self) -> bool:
        """
        Whether nothing has come but a proxy's header that names no client.

        A proxy that sends ``LOCAL`` speaks for itself, most often to see if the
        server lives. If the stream ends here there was nobody, and nothing to serve.
        """
        return self._header is not None and self._header.local and not self._data

    def on_silence(self) -> Opened:
        """
        Decide without waiting for more.

        Nothing, or the beginning of a policy request, is taken for XML frames:
        many clients wait for the server to speak first. The beginning of ``GET``
        or of a PROXY header is of no use to anyone.

        Returns:
            The decision.

        Raises:
            InvalidState: If the decision has fallen.

        """
        if self._decided:
            raise InvalidState("it is decided what this connection carries")
        if self._data and self._header is None:
            return self._decide(Carrier.REFUSED, "PROXY header not completed in time")
        if self._data and self._websocket and _GET.startswith(self._data):
            return self._decide(Carrier.REFUSED, "HTTP request not completed in time")
        return self._decide(Carrier.FRAMES)

    def _decide(self, carrier: Carrier, reason: str = "") -> Opened:
        self._decided = True
        data = self._data if carrier in {Carrier.FRAMES, Carrier.WEBSOCKET} else b""
        header = self._header or ProxyHeader(0)
        return Opened(carrier, data, header.source, header.destination, reason)
