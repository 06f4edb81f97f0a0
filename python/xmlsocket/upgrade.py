"""
What an HTTP request gets on a port for XML frames: an upgrade, a page or a refusal.

A browser lets any page of the Web open a WebSocket to any server, cookies and
all, and leaves it to the server to look where the page came from. These are
the rules for that, and for the few pages that the port may serve.
"""

from __future__ import annotations

import dataclasses
import http
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from websockets.datastructures import Headers
    from websockets.http11 import Request

__all__ = ["HEAD_MAX", "Answer", "Head", "Page", "WebSocketOptions", "path_of"]

HEAD_MAX: Final = 2**14
"""Bytes of an HTTP request or response up to the empty line that ends its header."""

ANY_ORIGIN: Final = "*"

_HOST = re.compile(
    r"(?P<host>[^\s/:@?#\[\]\\]+|\[[0-9a-f:.]+\])(?::(?P<port>[0-9]{1,5}))?", re.ASCII
)
_ORIGIN = re.compile(rf"(?P<scheme>[a-z][a-z0-9+.-]*)://{_HOST.pattern}", re.ASCII)
_END_OF_HEAD = b"\r\n\r\n"
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


class Head:
    """
    Collects the start of a stream up to the empty line that ends an HTTP header.

    Attributes:
        too_big: Whether that line has not come within `HEAD_MAX` bytes.

    """

    __slots__ = ("_data", "too_big")

    def __init__(self) -> None:
        self._data = bytearray()
        self.too_big: bool = False

    def feed(self, data: bytes) -> tuple[bytes, bytes] | None:
        """Return the header, empty line included, and what follows; None until it is there."""
        seen = max(0, len(self._data) - len(_END_OF_HEAD) + 1)
        self._data += data
        end = self._data.find(_END_OF_HEAD, seen, HEAD_MAX)
        if end < 0:
            self.too_big = len(self._data) >= HEAD_MAX
            return None
        end += len(_END_OF_HEAD)
        return bytes(self._data[:end]), bytes(self._data[end:])


@dataclasses.dataclass(frozen=True, slots=True)
class Page:
    """
    Something to be served to a plain ``GET``.

    Attributes:
        body: The bytes of it.
        content_type: Its media type, such as ``"application/wasm"``.

    """

    body: bytes
    content_type: str = "text/html; charset=utf-8"


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """
    An HTTP response that ends its connection.

    Attributes:
        status: HTTP status.
        body: What is sent.
        content_type: Its media type.

    """

    status: int
    body: bytes
    content_type: str = "text/plain; charset=utf-8"

    @classmethod
    def refusal(cls, status: int, why: str) -> Answer:
        """Return a refusal that tells a person why."""
        return cls(status, f"{why}\n".encode())

    @property
    def head(self) -> bytes:
        """What goes before the body."""
        lines = [
            f"HTTP/1.1 {self.status} {http.HTTPStatus(self.status).phrase}",
            f"Content-Type: {self.content_type}",
            f"Content-Length: {len(self.body)}",
            # Browsers must not guess that a text is a program.
            "X-Content-Type-Options: nosniff",
            "Connection: close",
        ]
        if self.status == http.HTTPStatus.UPGRADE_REQUIRED:
            lines[-1:] = ["Connection: close, Upgrade", "Upgrade: websocket"]
        return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class WebSocketOptions:
    """
    How a port treats HTTP requests.

    Attributes:
        origins: Which pages may connect, such as ``["https://play.example.com"]``.
            ``None``: those that come from this very host and port, as the
            request's ``Host`` names it; name the origins if a proxy changes
            ``Host``, or if an attacker could point a name of his own at this
            server's address. ``["*"]``: pages from anywhere. A request without
            an origin is no browser's and is accepted; the origin ``null`` (local
            files, sandboxes) never is, because anyone can have it.
        path: Where upgrades are accepted, such as ``"/chat"``, or several such
            paths; ``None`` anywhere.
        pages: What a plain ``GET`` of a path is answered with.

    Raises:
        ValueError: If an origin or a path is of no valid form.

    Source: RFC 6455, sections 4.2 and 10.2.

    """

    origins: Sequence[str] | None = None
    path: str | Collection[str] | None = None
    pages: Mapping[str, Page] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        if isinstance(self.origins, str):
            raise TypeError(f"origins must be a list, not {self.origins!r}")
        if self.origins is not None:
            for origin in self.origins:
                if origin != ANY_ORIGIN and _split_origin(origin.lower()) is None:
                    raise ValueError(f"origin {origin!r} is not of the form 'scheme://host[:port]'")
        for path in (*(self._paths or ()), *self.pages):
            if not path.startswith("/") or "?" in path:
                raise ValueError(f"path {path!r} must start with '/' and have no query")

    def answer(self, request: Request) -> Answer | None:
        """
        Tell how a request is to be answered.

        Args:
            request: Its path, and of its headers ``Host``, ``Origin`` and those
                that make it an upgrade.

        Returns:
            The page or refusal to send, or None for an upgrade to go on with.

        Source: RFC 6455, sections 4.2 and 10.2; RFC 9110, section 15.5.22;
        RFC 9112, section 3.2, for ``Host``.

        """
        hosts = request.headers.get_all("Host")
        if len(hosts) != 1:
            return Answer.refusal(400, "one Host header is needed")
        path = path_of(request)
        accepted = self._paths is None or path in self._paths
        if not _wants_upgrade(request.headers):
            return self._plain(path, accepted=accepted)
        if not accepted:
            return Answer.refusal(404, "no WebSocket here")
        origins = request.headers.get_all("Origin")
        if len(origins) > 1:
            return Answer.refusal(400, "more than one Origin header")
        if origins and not self._allows(origins[0].lower(), hosts[0].lower()):
            return Answer.refusal(403, "this Origin is not allowed here")
        return None

    @property
    def _paths(self) -> Collection[str] | None:
        return (self.path,) if isinstance(self.path, str) else self.path

    def _plain(self, path: str, *, accepted: bool) -> Answer:
        page = self.pages.get(path)
        if page is not None:
            return Answer(200, page.body, page.content_type)
        if accepted:
            return Answer.refusal(426, "this is a WebSocket server")
        return Answer.refusal(404, "no such page")

    def _allows(self, origin: str, host: str) -> bool:
        source = _split_origin(origin)
        if source is None:
            return False
        if self.origins is not None:
            return any(
                allowed == ANY_ORIGIN or _split_origin(allowed.lower()) == source
                for allowed in self.origins
            )
        # The server cannot know whether a proxy in front of it speaks TLS, so the
        # page's scheme tells which port a Host without one means.
        return source[0] in _DEFAULT_PORTS and source == _split_origin(f"{source[0]}://{host}")


def path_of(request: Request) -> str:
    """Return the path that a request names, as it is written, without its query."""
    return request.path.partition("?")[0]


def _split_origin(origin: str) -> tuple[str, str, int | None] | None:
    """Return scheme, host and port of an origin in lower case, or None if it is none."""
    match = _ORIGIN.fullmatch(origin)
    if match is None:
        return None
    scheme, host, port = match.group("scheme", "host", "port")
    return scheme, host, int(port) if port else _DEFAULT_PORTS.get(scheme)


def _wants_upgrade(headers: Headers) -> bool:
    tokens = ",".join(headers.get_all("Upgrade")).lower().split(",")
    return "websocket" in (token.strip(" \t") for token in tokens)
