"""A socket to the first address of a host that answers."""

from __future__ import annotations

import asyncio
import socket

__all__ = ["dial"]


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
    loop = asyncio.get_running_loop()
    failure: OSError | None = None
    for family, kind, proto, _, address in await loop.getaddrinfo(
        host, port, type=socket.SOCK_STREAM
    ):
        sock = socket.socket(family, kind, proto)
        sock.setblocking(False)
        try:
            await loop.sock_connect(sock, address)
        except OSError as exc:
            failure = exc
            sock.close()
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise failure or OSError(f"no address of {host}")
