"""A plain connection of two sockets through a `ChaosProxy`."""

from __future__ import annotations

import contextlib
import dataclasses
import socket
from typing import TYPE_CHECKING, Any

from xmlsocket.testing import ChaosProxy

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE = 30.0
"""Seconds after which a test gives up waiting."""


@dataclasses.dataclass(frozen=True)
class Tunnel:
    """Both ends of a connection, and what stands between them."""

    proxy: ChaosProxy
    client: socket.socket
    server: socket.socket


@contextlib.contextmanager
def tunnel(**options: Any) -> Iterator[Tunnel]:
    """Open a connection through a proxy with these options."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        ChaosProxy(*listener.getsockname(), **options) as proxy,
        socket.create_connection(proxy.address, timeout=PATIENCE) as client,
    ):
        listener.settimeout(PATIENCE)
        server, _ = listener.accept()
        with server:
            server.settimeout(PATIENCE)
            yield Tunnel(proxy, client, server)


def read_all(sock: socket.socket) -> tuple[bytes, bool]:
    """Read to the end of a stream, and tell whether that was a reset."""
    data = bytearray()
    try:
        while chunk := sock.recv(2**20):
            data += chunk
    except ConnectionResetError:
        return bytes(data), True
    return bytes(data), False


def read_exactly(sock: socket.socket, size: int) -> bytes:
    """Read ``size`` bytes."""
    data = bytearray()
    while len(data) < size:
        chunk = sock.recv(size - len(data))
        assert chunk, f"stream ended after {len(data)} of {size} bytes"
        data += chunk
    return bytes(data)
