"""What the servers of both transports share below a connection: listening sockets and addresses."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import socket
import stat
import struct
from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Protocol

    class _HasOptions(Protocol):
        """A socket, or what an event loop shows of one."""

        @property
        def family(self) -> int: ...

        def setsockopt(self, level: int, option: int, value: int | bytes, /) -> None: ...


__all__ = [
    "ACCEPT_BACKOFF",
    "Reserve",
    "bind",
    "bind_unix",
    "check_port",
    "drop_unsent",
    "format_address",
    "keep_alive",
    "parse_address",
    "unlink_unix",
]

# What getaddrinfo returns, once for each address.
AddrInfo: TypeAlias = "tuple[int, int, int, str, tuple[Any, ...]]"

_ADDRESS: Final = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\s:/\[\]]+)):([0-9]{1,5})", re.ASCII)
_LAST_PORT: Final = 65535

ACCEPT_BACKOFF = 1.0
"""Seconds to leave a listener alone that cannot accept: trying again at once would spin."""

# Seconds of silence before a probe, seconds between probes, unanswered probes: a peer
# that has vanished is noticed after two minutes, though this side sends nothing.
_KEEP_ALIVE: Final = (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4))

# Beyond Limits.send_timeout, so that the connection's own clock, which knows the
# reason, is first with a peer that lives and does not read.
_USER_TIMEOUT_MARGIN: Final = 5.0

# On, for no seconds.
_LINGER_NOT: Final = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)

# What accept() fails with when the process, or the system, has no descriptor left.
_NO_DESCRIPTORS: Final = frozenset({errno.EMFILE, errno.ENFILE})


def keep_alive(sock: _HasOptions, send_timeout: float | None) -> None:
    """
    Have the system notice when the peer of ``sock`` has vanished without a word.

    Sets TCP keepalive to 60 s of silence and 4 probes 15 s apart, and
    ``TCP_USER_TIMEOUT``, the time that data sent may stay unacknowledged, to
    ``send_timeout`` and 5 s, where the platform has these options. Does nothing
    to Unix sockets, whose peers cannot vanish.

    Args:
        sock: Connected. One that the peer has reset already is left as it is.
        send_timeout: Seconds, as `Limits.send_timeout`; ``None`` leaves
            ``TCP_USER_TIMEOUT`` to the system.

    """
    if sock.family not in {socket.AF_INET, socket.AF_INET6}:
        return
    with contextlib.suppress(OSError):  # macOS refuses options once the peer has gone
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _KEEP_ALIVE:
            if hasattr(socket, name):
                sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
        if send_timeout is not None and hasattr(socket, "TCP_USER_TIMEOUT"):
            milliseconds = min(1000 * (send_timeout + _USER_TIMEOUT_MARGIN), 2**31 - 1)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(milliseconds))


def drop_unsent(sock: _HasOptions) -> None:
    """
    Have closing ``sock`` drop what the peer did not take, and tell it so by a reset.

    Otherwise the system would keep it, megabytes perhaps, for as long as it hopes
    that the peer reads; and a peer that did in the end would see an end in order.
    """
    with contextlib.suppress(OSError, ValueError):  # ValueError: uvloop's, closed already
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)


class Reserve:
    """
    A descriptor kept for the moment when there are no others.

    Without one, a process out of descriptors can neither accept a connection nor
    turn it away: the listener stays readable, and its loop spins or sleeps while
    clients hang.
    """

    def __init__(self) -> None:
        self._descriptor: int | None = None
        self.restore()

    def restore(self) -> None:
        """Take a descriptor again, if the kept one was lost and there is one."""
        if self._descriptor is None:
            with contextlib.suppress(OSError):
                self._descriptor = os.open(os.devnull, os.O_RDONLY)

    def turn_away(self, listener: socket.socket, error: OSError) -> bool:
        """
        Accept one connection and close it, in place of the descriptor kept.

        Args:
            listener: Has connections waiting, and does not block.
            error: What accepting failed with.

        Returns:
            Whether the next connection may be tried at once. False if the
            trouble is another one, or descriptors are so short that the kept one
            was lost: then the listener is to be left alone for `ACCEPT_BACKOFF`.

        """
        if error.errno not in _NO_DESCRIPTORS or self._descriptor is None:
            return False
        self.close()
        try:
            with contextlib.suppress(BlockingIOError, InterruptedError, ConnectionAbortedError):
                listener.accept()[0].close()
        except OSError:
            return False
        finally:
            self.restore()
        return self._descriptor is not None

    def close(self) -> None:
        """Give the descriptor back."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


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
            if os.name == "posix":  # pragma: no branch - on Windows it would share the port
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


class _UnixListener(socket.socket):
    """One that knows which file it made at its path."""

    file: tuple[int, int] | None = None


def _file_at(path: str | bytes) -> tuple[int, int]:
    status = os.stat(path)  # noqa: PTH116 - as below
    return status.st_dev, status.st_ino


def bind_unix(path: str | os.PathLike[str], *, backlog: int) -> socket.socket:
    """
    Listen on a Unix socket, replacing what an earlier server left at ``path``.

    Raises:
        OSError: If the path cannot be bound, for instance because it is a file.

    """
    path = os.fspath(path)
    abstract = path[:1] in {"\0", b"\0"}  # a name of Linux, and no path
    if not abstract:
        with contextlib.suppress(FileNotFoundError):
            if stat.S_ISSOCK(os.stat(path).st_mode):  # noqa: PTH116
                os.unlink(path)  # noqa: PTH108
    listener = _UnixListener(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(path)
        if not abstract:
            listener.file = _file_at(path)
        listener.listen(backlog)
    except OSError as exc:
        listener.close()
        raise OSError(exc.errno, f"cannot listen on {path}: {exc.strerror}") from None
    listener.setblocking(False)
    return listener


def unlink_unix(listener: socket.socket) -> None:
    """
    Remove the path of a Unix listener that is about to close.

    Not if a successor has taken it since; and if it may not be removed, since
    privileges were dropped perhaps, the next server does that.
    """
    if listener.family == getattr(socket, "AF_UNIX", None):
        path = listener.getsockname()
        if path and isinstance(path, str):
            with contextlib.suppress(OSError):
                if not isinstance(listener, _UnixListener) or listener.file == _file_at(path):
                    os.unlink(path)  # noqa: PTH108


def format_address(address: Any) -> str:
    """Return a socket address as ``HOST:PORT``, IPv6 hosts in brackets, Unix paths as they are."""
    if isinstance(address, tuple) and len(address) >= 2:  # noqa: PLR2004 - host and port
        host, port = address[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return str(address) or "unix socket"


def check_port(port: int, *, free: bool = False) -> int:
    """
    Return ``port``, if there is such a port.

    Args:
        port: The number.
        free: Whether port 0, any that is free, makes sense.

    Raises:
        ValueError: If there is none.

    """
    first = 0 if free else 1
    if not first <= port <= _LAST_PORT:
        raise ValueError(f"port {port} is not within {first} to {_LAST_PORT}")
    return port


def parse_address(text: str, *, free: bool = False) -> tuple[str, int]:
    """
    Return host and port of ``HOST:PORT``, IPv6 addresses in brackets.

    Args:
        text: As people write it.
        free: Whether port 0, any that is free, makes sense.

    Raises:
        ValueError: If it is of another form, or there is no such port.

    """
    match = _ADDRESS.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not of the form HOST:PORT")
    return match[1] or match[2], check_port(int(match[3]), free=free)
