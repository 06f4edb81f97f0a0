"""Where the server under test is, and what carries the stream to it."""

from __future__ import annotations

import dataclasses
import socket
import ssl
from typing import Final
from urllib.parse import urlsplit

from ...endpoint import parse_address
from .wire import WebSocketWire, Wire

__all__ = ["Endpoint"]

_SCHEMES: Final = {"ws": 80, "wss": 443}


@dataclasses.dataclass(frozen=True, slots=True)
class Endpoint:
    """
    A server under test.

    Attributes:
        carrier: ``"tcp"``, ``"tls"``, ``"unix"``, ``"ws"`` or ``"wss"``.
        host: Its name or address; empty for ``unix``.
        port: Its port; 0 for ``unix``.
        path: That of the Unix socket, or what is asked for over WebSocket.
        context: TLS context of ``tls`` and ``wss``.
        origin: Origin to name over WebSocket; None for none.

    """

    carrier: str
    host: str = ""
    port: int = 0
    path: str = ""
    context: ssl.SSLContext | None = None
    origin: str | None = None

    @classmethod
    def parse(
        cls, text: str, *, context: ssl.SSLContext | None = None, origin: str | None = None
    ) -> Endpoint:
        """
        Read ``HOST:PORT``, ``unix:PATH``, ``ws://…`` or ``wss://…``.

        Args:
            text: One of these; IPv6 addresses in brackets.
            context: TLS context; with ``HOST:PORT`` it asks for TLS, with
                ``wss://`` None stands for one that verifies as usual.
            origin: As the attribute.

        Raises:
            ValueError: If it is of another form.

        """
        if text.startswith("unix:"):
            return cls("unix", path=text.removeprefix("unix:"))
        if "://" in text:
            return cls._parse_url(text, context, origin)
        try:
            host, port = parse_address(text)
        except ValueError:
            known = "HOST:PORT, unix:PATH, ws://… and wss://…"
            raise ValueError(f"{text!r} is none of {known}") from None
        return cls("tcp" if context is None else "tls", host, port, context=context)

    @classmethod
    def _parse_url(cls, text: str, context: ssl.SSLContext | None, origin: str | None) -> Endpoint:
        url = urlsplit(text)
        if url.scheme not in _SCHEMES or not url.hostname:
            raise ValueError(f"{text!r} is no address of a WebSocket")
        if url.scheme == "wss":
            context = context or ssl.create_default_context()
        elif context is not None:
            raise ValueError(f"{text!r} takes no TLS, wss:// does")
        port = url.port or _SCHEMES[url.scheme]
        path = (url.path or "/") + (f"?{url.query}" if url.query else "")
        return cls(url.scheme, url.hostname, port, path, context, origin)

    def __str__(self) -> str:
        if self.carrier == "unix":
            return f"unix:{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        if self.carrier in _SCHEMES:
            return f"{self.carrier}://{host}:{self.port}{self.path}"
        return f"{host}:{self.port}"

    def dial(self, timeout: float) -> Wire:
        """
        Connect, with TLS and the opening of a WebSocket where they belong.

        Args:
            timeout: Seconds for each step, and for each later wait.

        Returns:
            The connection, open for documents.

        Raises:
            OSError: If that fails; refused WebSockets are `ConnectionError`.

        """
        sock = self._connect(timeout)
        try:
            if self.context is not None:
                sock = self.context.wrap_socket(sock, server_hostname=self.host)
            if self.carrier not in _SCHEMES:
                return Wire(sock, timeout)
            host = f"[{self.host}]" if ":" in self.host else self.host
            return WebSocketWire(
                sock, timeout, host=f"{host}:{self.port}", path=self.path, origin=self.origin
            )
        except BaseException:
            sock.close()
            raise

    def dial_below(self, timeout: float) -> Wire:
        """
        Connect without TLS and without opening a WebSocket.

        Args:
            timeout: As for `dial`.

        Returns:
            The connection, on which nothing has been said.

        Raises:
            OSError: If that fails.

        """
        return Wire(self._connect(timeout), timeout)

    def _connect(self, timeout: float) -> socket.socket:
        if self.carrier == "unix":
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                sock.settimeout(timeout)
                sock.connect(self.path)
            except BaseException:
                sock.close()
                raise
            return sock
        sock = socket.create_connection((self.host, self.port), timeout)
        # Segments are what checks are about.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock
