"""What the servers of both transports share below a connection: listening sockets and addresses."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["ACCEPT_BACKOFF", "bind", "bind_unix", "format_address", "unlink_unix"]

# What getaddrinfo returns, once for each address.
AddrInfo: TypeAlias = "tuple[int, int, int, str, tuple[Any, ...]]"

ACCEPT_BACKOFF = 1.0
"""Seconds to leave a listener alone that cannot accept: trying again at once would spin."""


def bind(infos: Sequence[AddrInfo], *, backlog: int, reuse_port: bool) -> list[socket.socket]:
    """
    Listen on every address of ``infos``.

    Args:
        infos: What ``getaddrinfo`` returned. Port 0 picks a free port, the same
            for all addresses.
        backlog: Connections that the system keeps waiting to be accepted.
        reuse_port: Let other processes listen on the same port.

    Raises:
        OSError: With the address in its text when it cannot be bound; the
            sockets opened before it are closed.

    """
    listeners: list[socket.socket] = []
    with contextlib.ExitStack() as undo:
        port = 0
        for family, kind, proto, _, address in dict.fromkeys(infos):
            listener = undo.enter_context(socket.socket(family, kind, proto))
            if os.name == "posix":
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if reuse_port:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if family == socket.AF_INET6:
                # The IPv4 address has a listener of its own.
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            host, wanted, *rest = address
            try:
                listener.bind((host, wanted or port, *rest))
            except OSError as exc:
                if exc.errno == errno.EADDRNOTAVAIL and listeners:
                    listener.close()  # a machine without IPv6 still names ::
                    continue
                shown = format_address((host, wanted or port))
                raise OSError(exc.errno, f"cannot listen on {shown}: {exc.strerror}") from None
            port = listener.getsockname()[1]
            listener.listen(backlog)
            listener.setblocking(False)
            listeners.append(listener)
        undo.pop_all()
    return listeners


def bind_unix(path: str | os.PathLike[str], *, backlog: int) -> socket.socket:
    """
    Listen on a Unix socket, replacing what an earlier server left at ``path``.

    Raises:
        OSError: If the path cannot be bound, for instance because it is a file.

    """
    path = os.fspath(path)
    with contextlib.suppress(FileNotFoundError):
        if stat.S_ISSOCK(os.stat(path).st_mode):  # noqa: PTH116 - abstract names are no paths
            os.unlink(path)  # noqa: PTH108
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(path)
        listener.listen(backlog)
    except OSError as exc:
        listener.close()
        raise OSError(exc.errno, f"cannot listen on {path}: {exc.strerror}") from None
    listener.setblocking(False)
    return listener


def unlink_unix(listener: socket.socket) -> None:
    """Remove the path of a Unix listener that is about to close."""
    if listener.family == getattr(socket, "AF_UNIX", None):
        path = listener.getsockname()
        if path and isinstance(path, str):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)  # noqa: PTH108


def format_address(address: Any) -> str:
    """Return a socket address as ``HOST:PORT``, IPv6 hosts in brackets, Unix paths as they are."""
    if isinstance(address, tuple) and len(address) >= 2:  # noqa: PLR2004 - host and port
        host, port = address[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return str(address) or "unix socket"
