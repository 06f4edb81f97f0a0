"""The server in question, and who wants to reach it."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ..endpoint import check_port, format_address
from ..policy import MASTER_PORT
from ..testing.conformance import Endpoint

if TYPE_CHECKING:
    import ssl
    from urllib.parse import SplitResult

__all__ = ["Case"]


@dataclasses.dataclass(frozen=True, slots=True)
class Case:
    """
    A server, and who wants to reach it.

    Attributes:
        host: Its name or address.
        port: Its port.
        context: TLS context to connect with; None for plain TCP.
        path: Path of its WebSocket; None to try ``/`` without insisting.
        policy_port: Where its master policy is served.
        swf: URL of the movie; None if it is not known.
        origin: Origin of the page in which Ruffle plays it; None for that of ``swf``.
        send: A document that the server answers; None if it has none.
        timeout: Seconds that each step may take.
        quiet: Seconds after which a server that says nothing is taken to wait.

    Raises:
        ValueError: If a port, a URL or the document is none.

    """

    host: str
    port: int
    _: dataclasses.KW_ONLY
    context: ssl.SSLContext | None = None
    path: str | None = None
    policy_port: int = MASTER_PORT
    swf: str | None = None
    origin: str | None = None
    send: bytes | None = None
    timeout: float = 5.0
    quiet: float = 0.5

    def __post_init__(self) -> None:
        for port in (self.port, self.policy_port):
            check_port(port)
        for url in (self.swf, self.origin):
            if url is not None:
                parts = urlsplit(url)
                if parts.scheme not in {"http", "https"} or not parts.hostname:
                    raise ValueError(f"{url!r} is not of the form http://… or https://…")
        if self.path is not None and not self.path.startswith("/"):
            raise ValueError(f"path {self.path!r} must start with '/'")
        if self.send is not None and b"\0" in self.send:
            raise ValueError("the document to send holds a zero byte")

    @property
    def target(self) -> str:
        """The server as ``HOST:PORT``."""
        return format_address((self.host, self.port))

    @property
    def stream(self) -> Endpoint:
        """The server by TCP or TLS."""
        carrier = "tcp" if self.context is None else "tls"
        return Endpoint(carrier, self.host, self.port, context=self.context)

    @property
    def websocket(self) -> Endpoint:
        """The server by WebSocket."""
        return Endpoint(
            "ws" if self.context is None else "wss",
            self.host,
            self.port,
            self.path or "/",
            self.context,
            self.page,
        )

    @property
    def domain(self) -> str | None:
        """Where the movie comes from."""
        return None if self.swf is None else urlsplit(self.swf).hostname

    @property
    def secure(self) -> bool:
        """Whether the movie comes by HTTPS."""
        return self.swf is not None and urlsplit(self.swf).scheme == "https"

    @property
    def page(self) -> str | None:
        """Origin of the page; None if it is not known."""
        url = self.origin or self.swf
        if url is None:
            return None
        parts: SplitResult = urlsplit(url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
