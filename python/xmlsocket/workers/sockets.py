"""The listening sockets that a supervisor keeps, opened here or handed over by systemd."""

from __future__ import annotations

import os
import socket
import sys
from typing import TYPE_CHECKING, Any

from ..endpoint import bind

if TYPE_CHECKING:
    from collections.abc import MutableMapping, Sequence

__all__ = ["Share", "adopt", "from_systemd", "notify_systemd", "open_shares", "share_out"]

Share = list[socket.socket]
"""The sockets on which one worker accepts."""

_FIRST_DESCRIPTOR = 3  # SD_LISTEN_FDS_START of sd_listen_fds(3)


def open_shares(
    host: str | Sequence[str] | None, port: int, workers: int, *, backlog: int
) -> list[Share]:
    """
    Listen on every address, once for each worker.

    On Linux each worker has sockets of its own (``SO_REUSEPORT``), among which the
    kernel spreads the connections. Other systems spread them badly or not at all:
    there all workers accept from the same ones.

    Args:
        host: Address or addresses; ``None`` for all.
        port: Port; 0 for a free one, the same for all.
        workers: How many.
        backlog: Connections that wait on each socket to be accepted.

    Raises:
        OSError: If an address cannot be listened on; nothing stays open.

    """
    hosts = [host] if host is None or isinstance(host, str) else host
    infos: list[Any] = []
    for name in hosts:
        infos += socket.getaddrinfo(
            name or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    own = sys.platform == "linux"
    listeners = bind(infos, backlog=backlog, reuse_port=own)
    try:
        # The port that the first ones found, where any would do.
        bound: list[Any] = [(s.family, s.type, s.proto, "", s.getsockname()) for s in listeners]
        for _ in range(1, workers if own else 1):
            listeners += bind(bound, backlog=backlog, reuse_port=own)
    except BaseException:
        for listener in listeners:
            listener.close()
        raise
    return share_out(listeners, workers)


def share_out(listeners: Sequence[socket.socket], workers: int) -> list[Share]:
    """
    Give every worker sockets to accept on, of each address at least one.

    Where an address has fewer sockets than there are workers, workers share one:
    whoever is first accepts.
    """
    addresses: dict[Any, Share] = {}
    for listener in listeners:
        addresses.setdefault(listener.getsockname(), []).append(listener)
    return [
        [
            listener
            for group in addresses.values()
            for listener in (group[index::workers] or [group[index % len(group)]])
        ]
        for index in range(workers)
    ]


def adopt(descriptor: int) -> socket.socket:
    """
    Take over a listening TCP socket that this process was started with.

    Args:
        descriptor: The number under which it is open, such as 3. It belongs to
            the socket from then on.

    Returns:
        The socket, which does not block and is not inherited by children.

    Raises:
        ValueError: If the descriptor is something else, or nothing.

    """
    error = ValueError(f"descriptor {descriptor} is no listening TCP socket")
    try:
        sock = socket.socket(fileno=descriptor)
    except OSError:
        raise error from None
    if (
        sock.family not in {socket.AF_INET, socket.AF_INET6}
        or sock.type != socket.SOCK_STREAM
        or not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    ):
        sock.detach()  # not ours to close
        raise error
    sock.set_inheritable(False)
    sock.setblocking(False)
    return sock


def from_systemd(environment: MutableMapping[str, str] = os.environ) -> list[socket.socket]:
    """
    Take over the sockets of systemd's socket activation.

    The variables that announce them are removed: they are not for processes that
    this one starts.

    Args:
        environment: Where ``LISTEN_PID`` and ``LISTEN_FDS`` are, as in
            ``sd_listen_fds(3)``.

    Returns:
        The sockets; none if this process was not started by way of a socket.

    Raises:
        ValueError: If one is no listening TCP socket.

    Source: systemd's manual, sd_listen_fds(3).

    """
    if environment.get("LISTEN_PID") != str(os.getpid()):
        return []
    count = int(environment.get("LISTEN_FDS", "0"))
    for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"):
        environment.pop(name, None)
    return [adopt(_FIRST_DESCRIPTOR + index) for index in range(count)]


def notify_systemd(state: str) -> None:
    """
    Tell systemd how this service is, if it wants to know (``Type=notify``).

    Args:
        state: Such as ``READY=1``, see ``sd_notify(3)``.

    Source: systemd's manual, sd_notify(3).

    """
    path = os.environ.get("NOTIFY_SOCKET")
    if path:
        if path.startswith("@"):
            path = "\0" + path[1:]
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.sendto(state.encode(), path)
