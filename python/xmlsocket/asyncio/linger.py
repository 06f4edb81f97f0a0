"""Last words: how a connection ends whose peer has sent what nobody will read."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["LINGER_SIZE", "ON_ITS_WAY", "Linger", "answer"]

LINGER_SIZE: Final = 2**16
ON_ITS_WAY: Final = 2**24  # more than what both systems hold of one connection
LINGER_TIME: Final = 1.0

# What is read into it nobody looks at, so all connections of all threads share it.
_WASTE: Final = memoryview(bytearray(2**14))


class Linger(asyncio.BufferedProtocol):
    """
    Takes the place of a protocol that has written its last.

    Closing a socket with unread input makes the system answer with a reset,
    which destroys our last words on their way. So FIN goes first; then input is
    thrown away until the peer closes too, or ``size`` or one second of it are over.

    Args:
        transport: What to end. Writing is at an end; reading may be paused. It
            must be able to send FIN: with TLS, close it instead.
        lost: Called with ``connection_lost``'s argument.
        size: Bytes that the peer may still send.

    """

    __slots__ = ("_left", "_lost", "_timer", "_transport")

    def __init__(
        self,
        transport: asyncio.Transport,
        lost: Callable[[Exception | None], None],
        size: int = LINGER_SIZE,
    ) -> None:
        self._transport = transport
        self._lost = lost
        self._left = size
        self._timer = asyncio.get_running_loop().call_later(LINGER_TIME, self._close)
        # A peer that has reset the connection is found out by reading.
        with contextlib.suppress(OSError):
            transport.write_eof()
        transport.set_protocol(self)
        transport.resume_reading()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002
        """Lend memory that nobody reads."""
        return _WASTE

    def buffer_updated(self, nbytes: int) -> None:
        """Throw away what came."""
        self._left -= nbytes
        if self._left <= 0:
            self._close()

    def eof_received(self) -> bool:
        """Let the transport close: the peer has our words."""
        return False

    def _close(self) -> None:
        if self._transport.get_write_buffer_size():
            # A peer that does not read would keep a closing transport for ever.
            self._transport.abort()
        else:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever waits for the end."""
        self._timer.cancel()
        self._lost(exc)


def answer(
    transport: asyncio.Transport, data: bytes, lost: Callable[[Exception | None], None]
) -> None:
    """
    Write last words on a connection that carries nothing else, and end it.

    Args:
        transport: Whose protocol gives way to a `Linger`, or, with TLS, stays.
        data: The words: a policy file, an HTTP response.
        lost: Called when the connection is gone; with TLS the protocol's own
            ``connection_lost`` is, as always.

    """
    transport.write(data)
    if transport.can_write_eof():
        Linger(transport, lost)
    else:
        transport.close()
