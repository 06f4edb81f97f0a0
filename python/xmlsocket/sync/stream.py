"""
The socket below a connection.

One thread may read, one may write and a third may shut the stream down, all at
once. Reading and writing never block inside the operating system: a call that
would is followed by waiting for the socket, and that is what shutting down ends.
"""

from __future__ import annotations

import contextlib
import errno
import selectors
import socket
import threading
import time
from typing import TYPE_CHECKING, Final

from ..endpoint import drop_unsent

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["LINGER_SIZE", "ON_ITS_WAY", "PeerStalled", "Stream", "new_selector", "remaining"]

# poll() where there is one: select() knows only the first 1024 descriptors, and
# epoll and kqueue would cost a descriptor for each connection.
new_selector: Callable[[], selectors.BaseSelector] = getattr(
    selectors, "PollSelector", selectors.SelectSelector
)

LINGER_SIZE: Final = 2**16
ON_ITS_WAY: Final = 2**24  # more than what both systems hold of one connection
_LINGER_TIME = 1.0


def remaining(deadline: float | None) -> float | None:
    """
    Return the seconds until ``deadline`` on the monotonic clock; ``None`` stands for never.

    Raises:
        TimeoutError: If there are none left.

    """
    if deadline is None:
        return None
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("time is over")
    return left


class PeerStalled(OSError):
    """The peer has taken nothing for ``Limits.send_timeout`` of what waits for it."""


class Stream:
    """
    A connected socket.

    Args:
        sock: The socket, which from now on belongs to the stream.
        wake: A socket that becomes readable when its reader shall stop waiting.

    Attributes:
        half_closes: Whether this side may send after the peer's stream has ended.
        sending: Held by the thread that writes.
        closing: Set by the thread that closes: a writer must not wait any more.
        send_timeout: Seconds that a writer waits for the peer to take anything;
            ``None`` for ever.

    """

    __slots__ = (
        "_readable",
        "_sock",
        "_stuck",
        "_wake",
        "_writer",
        "closing",
        "send_timeout",
        "sending",
    )

    half_closes = True

    def __init__(self, sock: socket.socket, *, wake: socket.socket | None = None) -> None:
        sock.setblocking(False)
        if sock.family in {socket.AF_INET, socket.AF_INET6}:
            # macOS refuses it on a connection that the peer has reset already.
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._sock = sock
        self._wake = wake
        self._readable = new_selector()
        self._readable.register(sock, selectors.EVENT_READ)
        if wake is not None:
            self._readable.register(wake, selectors.EVENT_READ)
        self.sending: threading.Lock = threading.Lock()
        self.closing: bool = False
        self.send_timeout: float | None = None
        self._stuck = False
        self._writer = 0

    # Reading

    def receive_into(self, view: memoryview) -> int:
        """
        Read what is there, at most as much as ``view`` holds.

        Returns:
            How many bytes were read; 0 at the end of the stream.

        Raises:
            BlockingIOError: If nothing is there yet.
            OSError: If the connection is broken.

        """
        return self._sock.recv_into(view)

    def wait_readable(self, timeout: float | None) -> None:
        """Wait until there may be something to read, the reader shall stop, or the time is over."""
        self._readable.select(timeout)

    # Writing

    def write(self, data: bytes) -> None:
        """
        Write all of ``data``. The caller holds ``sending``.

        Raises:
            PeerStalled: If the peer takes nothing for `send_timeout` seconds.
            OSError: If the connection is broken, or is being closed and the
                peer does not take more. Part of ``data`` may have been written.

        """
        self._writer = threading.get_ident()
        try:
            self._write(data)
        finally:
            self._writer = 0

    def _write(self, data: bytes) -> None:
        size = len(data)
        sent = 0
        while sent < size:
            try:
                sent += self._sock.send(memoryview(data)[sent:] if sent else data)
            except BlockingIOError:
                self._wait_writable(None)

    def relieve(self) -> None:
        """Write what could not be written while another thread did; without waiting."""

    def _wait_writable(self, deadline: float | None) -> None:
        # First tell that this thread is about to wait, then look whether it
        # may; settle() does the same in the opposite order.
        self._stuck = True
        try:
            if self.closing:
                raise ConnectionAbortedError(errno.ECONNABORTED, "closed while sending")
            if deadline is not None:
                self._wait(selectors.EVENT_WRITE, remaining(deadline))
            elif not self._wait(selectors.EVENT_WRITE, self.send_timeout):
                raise PeerStalled(errno.ETIMEDOUT, "peer takes nothing")
        finally:
            self._stuck = False

    def _wait(self, event: int, timeout: float | None) -> bool:
        with new_selector() as selector:
            selector.register(self._sock, event)
            return bool(selector.select(timeout))

    # Ending

    def settle(self, timeout: float | None) -> bool:
        """
        Let another thread finish what it is writing, unless the peer makes it wait.

        Args:
            timeout: Seconds until it is given up.

        Returns:
            Whether nobody is in the middle of writing now.

        """
        self.closing = True
        # A signal handler may close what its own thread is just writing to.
        if self._stuck or self._writer == threading.get_ident():
            return False
        if not self.sending.acquire(timeout=-1 if timeout is None else timeout):
            return False
        self.sending.release()
        return True

    def end_output(self) -> None:
        """Tell the peer that nothing more will come."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_WR)

    def linger(self, *, unread: bool, size: int = LINGER_SIZE) -> None:
        """
        Throw input away until the peer closes too: at most ``size``, and for one second.

        Closing a socket that holds input makes the system answer with a reset,
        which destroys our last words on their way.

        Args:
            unread: Whether the peer has sent what nobody has read. Otherwise
                there is no waiting, unless there proves to be something.
            size: Bytes.

        """
        deadline = time.monotonic() + _LINGER_TIME
        left = size
        with contextlib.suppress(OSError):
            while left > 0:
                try:
                    data = self._sock.recv(min(left, LINGER_SIZE))
                except BlockingIOError:
                    if not (unread and self._wait(selectors.EVENT_READ, remaining(deadline))):
                        return
                    continue
                if not data:
                    return
                left -= len(data)
                unread = True

    def drop_unsent(self) -> None:
        """Have closing drop what the peer did not take."""
        drop_unsent(self._sock)

    def shutdown(self) -> None:
        """End both directions and so wake every thread that waits for the socket."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the socket; no other thread may be using the stream."""
        self._readable.close()
        self._sock.close()

    def addresses(self) -> tuple[object, object]:
        """Return this side's address and the peer's; ``None`` for one that is lost already."""
        found: list[object] = []
        for ask in (self._sock.getsockname, self._sock.getpeername):
            try:
                found.append(ask())
            except OSError:
                found.append(None)
        return found[0], found[1]
