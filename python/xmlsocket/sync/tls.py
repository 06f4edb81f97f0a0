"""The socket below a connection, with TLS between them."""

from __future__ import annotations

import contextlib
import errno
import ssl
import threading
from typing import TYPE_CHECKING, cast

from .stream import Stream, remaining

if TYPE_CHECKING:
    import socket

__all__ = ["TLSStream"]

# One call into OpenSSL; also what TLS holds in memory of a document that is sent.
_CHUNK = 2**16


class TLSStream(Stream):
    """
    A connected socket with TLS above it.

    OpenSSL works on memory, and our lock is held only while it works: reading
    and writing at once through one ``ssl.SSLSocket`` deadlocks in CPython
    3.13.6, whose own lock is held across the system call.
    """

    __slots__ = ("_end", "_incoming", "_lock", "_outgoing", "_tls", "_unsent")

    half_closes = False

    def __init__(
        self,
        sock: socket.socket,
        context: ssl.SSLContext,
        *,
        server_side: bool = False,
        server_hostname: str | None = None,
        wake: socket.socket | None = None,
    ) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(
            self._incoming,
            self._outgoing,
            server_side=server_side,
            server_hostname=server_hostname,
        )
        # Reentrant for handlers of signals, which may close a stream that the thread
        # they have interrupted is in the midst of: between two calls of OpenSSL.
        self._lock = threading.RLock()
        # What has been taken from OpenSSL and not by the system; whoever holds
        # `sending` goes on with it.
        self._unsent = memoryview(b"")
        self._end: ssl.SSLError | bool = False
        super().__init__(sock, wake=wake)

    def handshake(self, deadline: float | None) -> None:
        """
        Agree with the peer; nothing else may use the stream before.

        Raises:
            TimeoutError: If it is not done at ``deadline``.
            OSError: If it fails, or the reader is told to stop.

        """
        done = False
        while not done:
            try:
                self._tls.do_handshake()
                done = True
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLError:
                self.relieve()  # tell the peer what it did wrong
                raise
            self._flush(deadline)
            if not done:
                self._feed_in_time(deadline)

    def _feed_in_time(self, deadline: float | None) -> None:
        while True:
            try:
                self._feed()
            except BlockingIOError:
                for key, _ in self._readable.select(remaining(deadline)):
                    if key.fileobj is self._wake:
                        raise ConnectionAbortedError(
                            errno.ECONNABORTED, "closed during the TLS handshake"
                        ) from None
            else:
                return

    def _feed(self) -> None:
        """Hand OpenSSL what has arrived."""
        data = self._sock.recv(_CHUNK)
        with self._lock:
            if data:
                self._incoming.write(data)
            else:
                self._incoming.write_eof()

    def receive_into(self, view: memoryview) -> int:
        """Read what is there, at most as much as ``view`` holds; see `Stream.receive_into`."""
        while True:
            size = self._decrypt(view)
            # What the peer asks TLS itself, such as new keys, is answered.
            self.relieve()
            if size:
                return size
            if self._end:
                if self._end is True:
                    return 0
                raise self._end
            self._feed()

    def _decrypt(self, view: memoryview) -> int:
        """Fill ``view`` with as many records as there are; note the end of the stream."""
        size = 0
        with self._lock:
            try:
                while size < len(view) and not self._end:
                    # With a buffer it returns a count, whatever typeshed says.
                    count = cast("int", self._tls.read(len(view) - size, view[size:]))
                    self._end = not count
                    size += count
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLEOFError:
                # Flash and many others close the socket without a word. The
                # frames tell whether something is missing.
                self._end = True
            except ssl.SSLError as exc:
                self._end = exc
        return size

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        for start in range(0, len(view), _CHUNK):
            with self._lock:
                # Wants to read only when the peer renegotiates, which TLS 1.3
                # abolished and OpenSSL 3 refuses: then the connection breaks.
                self._tls.write(view[start : start + _CHUNK])
            self._flush(None)

    def relieve(self) -> None:
        """Write what OpenSSL wants to say of its own accord, unless another thread does now."""
        if (self._outgoing.pending or self._unsent) and self.sending.acquire(blocking=False):
            try:
                # Without waiting: the peer may be waiting for us to read. And
                # without an error: reading may still go on, and the next write
                # meets the same one.
                with contextlib.suppress(OSError):
                    self._flush(None, wait=False)
            finally:
                self.sending.release()

    def _flush(self, deadline: float | None, *, wait: bool = True) -> None:
        """Write what OpenSSL has made."""
        while True:
            if not self._unsent:
                with self._lock:
                    self._unsent = memoryview(self._outgoing.read())
                if not self._unsent:
                    return
            try:
                self._unsent = self._unsent[self._sock.send(self._unsent) :]
            except BlockingIOError:
                if not wait:
                    return
                self._wait_writable(deadline)

    def end_output(self) -> None:
        """Tell the peer that nothing more will come, in the words of TLS and of TCP."""
        with contextlib.suppress(OSError), self._lock:
            self._tls.unwrap()
        self.relieve()
        super().end_output()
