"""Sockets that are connected: to an address, or to the first of a host that answers."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

__all__ = ["dial", "dial_address"]


async def dial_address(family: int, kind: int, address: Any) -> socket.socket:
    """
    Connect to an address.

    Args:
        family: Of addresses.
        kind: Of socket.
        address: One of that family.

    Returns:
        A socket that does not block.

    Raises:
        OSError: If that fails, or there is no descriptor for it.

    """
    sock = socket.socket(family, kind)
    sock.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(sock, address)
    except BaseException:
        sock.close()
        raise
    return sock


async def dial(host: str, port: int) -> socket.socket:
    """
    Connect to the first address of a host that answers.

    Args:
        host: Name or address.
        port: Its port.

    Returns:
        A socket that does not block.

    Raises:
        OSError: What the last address answered, or that there is none.

    """
    failure: OSError | None = None
    for family, kind, _, _, address in await asyncio.get_running_loop().getaddrinfo(
        host, port, type=socket.SOCK_STREAM
    ):
        try:
            return await dial_address(family, kind, address)
        except OSError as exc:
            failure = exc
    raise failure or OSError(f"no address of {host}")
