"""How a connection with blocking calls ends while any thread may be using it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, TypeVar

from ..connection import BaseConnection, Settings
from ..exceptions import CloseReason
from .stream import LINGER_SIZE, ON_ITS_WAY

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from .server import Server
    from .stream import Stream

__all__ = ["ClosableConnection"]

T = TypeVar("T")


class ClosableConnection(BaseConnection[T]):
    """
    A connection with a socket that can be closed, and not yet used.

    A thread is *inside* while it uses the stream. Whoever ends the connection
    wakes the threads that are inside, and the last one to leave closes the
    socket: closed earlier, its number could already stand for another file.
    """

    __slots__ = (
        "_closing",
        "_discarded",
        "_disposed",
        "_eof",
        "_gone",
        "_guard",
        "_input_over",
        "_inside",
        "_local_address",
        "_output_over",
        "_reader",
        "_receiving",
        "_remote_address",
        "_retired",
        "_server",
        "_stream",
    )

    def __init__(
        self, settings: Settings[T], stream: Stream, server: Server[T] | None = None
    ) -> None:
        super().__init__(settings)
        self._stream = stream
        stream.send_timeout = settings.limits.send_timeout
        self._server = server
        self._local_address, self._remote_address = stream.addresses()
        # Held for a few lines and never while waiting; reentrant, because a
        # signal handler may close what its own thread is using.
        self._guard = threading.RLock()
        self._inside: list[int] = []
        self._receiving = threading.Lock()
        self._reader = 0  # the thread that is inside to read
        self._eof = False
        self._discarded = False
        self._input_over = False
        self._output_over = False
        self._closing = False
        self._retired = False
        self._disposed = False
        self._gone = threading.Event()
        self._log("= connection %d open, peer %s", self.id, self.remote_address)

    # What it is

    @property
    def local_address(self) -> Any:
        """This side's address: ``(host, port)``, more for IPv6, a path for Unix sockets."""
        return self._local_address

    @property
    def remote_address(self) -> Any:
        """The peer's address: ``(host, port)``, more for IPv6, a path for Unix sockets."""
        return self._remote_address

    # Ending

    def close(self) -> None:
        """
        Close the connection.

        Documents that have arrived and were not received are dropped. A thread
        that waits in ``recv`` or ``send`` is woken at once and gets
        `ConnectionClosed`; a ``send`` that need not wait for the peer goes
        whole. A peer that has sent what nobody read is given a second to read
        our last words. After ``close_timeout`` seconds the connection is
        aborted. Closing twice does no harm.
        """
        self._close(CloseReason.LOCAL)

    def abort(self) -> None:
        """Close at once; what has arrived and was not received is dropped."""
        self._discard(CloseReason.LOCAL)
        self._cut(CloseReason.LOCAL)

    def wait_closed(self) -> None:
        """
        Wait until the connection is closed, whoever closes it.

        Another thread has to receive or to close: nobody else would notice that
        the peer has ended its stream.
        """
        self._gone.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _close(self, reason: CloseReason) -> None:
        """Drop what has arrived, send our last words, then close."""
        unread = self._queued_in() > 0 or self._decoder.buffered > 0
        self._discard(reason)
        self._finish(reason, unread=unread)

    def _discard(self, reason: CloseReason) -> None:
        """Let nothing of what has arrived be received any more."""
        self._end(reason)
        self._discarded = True
        # Whoever receives now looks at the flag before it leaves.
        if not self._receiving.locked():
            self._drop_queue()

    def _end(self, reason: CloseReason, cause: BaseException | None = None) -> None:
        with self._guard:
            super()._end(reason, cause)

    def _finish(self, reason: CloseReason, *, unread: bool) -> None:
        """
        End both directions: no more input, no more sends, last words, close.

        Args:
            reason: Why.
            unread: Whether the peer is known to have sent what nobody will read.

        """
        me = threading.get_ident()
        with self._guard:
            self._end(reason)
            first = not self._closing
            self._closing = self._input_over = self._output_over = True
            another_reads = self._reader not in {0, me}
            if first:
                self._inside.append(me)
        timeout = self._settings.close_timeout
        if first:
            try:
                if self._stream.settle(timeout):
                    self._stream.end_output()
                    # Where another thread waits to read, nothing is unread.
                    if not (self._eof or another_reads):
                        # A server that closes has stopped to read, not the peer to send.
                        deaf = self.close_reason is CloseReason.SERVER_CLOSE
                        size = ON_ITS_WAY if deaf else LINGER_SIZE
                        self._stream.linger(unread=unread or deaf, size=size)
            finally:
                self._retire()
                self._leave()
        if me not in self._inside and not self._gone.wait(timeout):
            self._cut(reason)

    def _cut(self, reason: CloseReason, cause: BaseException | None = None) -> None:
        """Close at once, but let the application have what has arrived."""
        with self._guard:
            self._end(reason, cause)
            self._closing = self._input_over = self._output_over = True
            self._inside.append(threading.get_ident())
        if reason is CloseReason.SLOW_PEER:
            self._stream.drop_unsent()
        self._retire()
        self._leave()

    def _retire(self) -> None:
        """Wake every thread that is inside."""
        with self._guard:
            self._retired = True
            if not self._disposed:
                self._stream.shutdown()

    def _leave(self) -> None:
        """Note that this thread is no longer inside; the last one closes the socket."""
        with self._guard:
            self._inside.remove(threading.get_ident())
            if self._inside or self._disposed or not self._retired:
                return
            self._disposed = True
            self._stream.close()
        if self._server is not None:
            self._server._lost(self)  # noqa: SLF001 - parts of one transport
        self._log("= connection %d closed, %s", self.id, self.close_reason)
        self._gone.set()
