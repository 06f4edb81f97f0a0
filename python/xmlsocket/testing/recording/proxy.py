"""The proxy that records: accepts, connects on, relays."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING, Final

from ...asyncio.dialing import dial, dial_address
from ...endpoint import format_address
from ...reasons import reason
from ..accepting import accept
from ..direction import Direction
from ..faults import Faults
from ..relay import relay
from ..stats import DirectionStats
from ..stream import SocketStream, TLSStream
from .record import RecordingError

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Sequence
    from typing import Any

    from ..conformance import Endpoint
    from .recorder import Recorder, Tape

__all__ = ["RecordingProxy", "open_stream"]

_STREAMS: Final = ("tcp", "tls", "unix")
_OPEN_TIMEOUT: Final = 10.0
_NO_FAULTS: Final = Faults()


@contextlib.asynccontextmanager
async def _in_time() -> AsyncIterator[None]:
    """Bound what opens a connection, and have the error say so."""
    try:
        async with asyncio.timeout(_OPEN_TIMEOUT):
            yield
    except TimeoutError:
        raise TimeoutError(f"no answer within {_OPEN_TIMEOUT:g} seconds") from None


async def open_stream(target: Endpoint) -> SocketStream:
    """
    Connect to a server.

    Args:
        target: Where it is; TCP, TLS or Unix.

    Raises:
        OSError: If that fails, or takes longer than 10 seconds.

    """
    async with _in_time():
        if target.carrier == "unix":
            sock = await dial_address(socket.AF_UNIX, socket.SOCK_STREAM, target.path)
        else:
            sock = await dial(target.host, target.port)
        if target.context is None:
            return SocketStream(sock)
        return await _secure(sock, target.context, target.host)


async def _secure(
    sock: socket.socket, context: ssl.SSLContext, server_hostname: str | None = None
) -> TLSStream:
    try:
        stream = TLSStream(sock, context, server_hostname)
        await stream.handshake()
    except BaseException:
        sock.close()
        raise
    return stream


class RecordingProxy:
    """
    A proxy that records what passes.

    Bytes go on as they come: nothing is held until a frame is complete, nothing is
    changed, and what is no XML passes like the rest. A side that does not read
    makes the other wait: at most 1 MiB is on its way in each direction. Half-closes
    and resets are passed on.

    Args:
        target: The server behind it; TCP, TLS or Unix.
        recorder: Writes the recording.
        context: TLS context for clients; None for plain ones.

    Raises:
        ValueError: If the target is a WebSocket. Those are recorded as the TCP
            they are.

    """

    def __init__(
        self, target: Endpoint, recorder: Recorder, *, context: ssl.SSLContext | None = None
    ) -> None:
        if target.carrier not in _STREAMS:
            raise ValueError(f"cannot relay to {target}: name it as HOST:PORT")
        self._target = target
        self._recorder = recorder
        self._context = context

    async def serve(self, listeners: Sequence[socket.socket]) -> None:
        """
        Accept and relay until this is cancelled; then reset what is open.

        Args:
            listeners: Sockets that listen; closed in the end.

        Raises:
            RecordingError: If the recording cannot be written.

        """
        await accept(listeners, self._serve)

    async def _serve(self, sock: socket.socket, address: Any) -> None:
        try:
            tape = self._recorder.open(format_address(address))
        except RecordingError:
            sock.close()
            raise
        try:
            near, far = await self._open(sock, tape)
        except _NotOpened:
            return
        up = Direction(near, far, "", lambda: _NO_FAULTS, DirectionStats(), watch=tape.client)
        down = Direction(far, near, "", lambda: _NO_FAULTS, DirectionStats(), watch=tape.server)
        try:
            await relay((near, far), (up, down))
        except asyncio.CancelledError:
            tape.close("proxy", "stopped")
            raise
        # Who was found gone while it was written to has not ended what it sends.
        tape.close("server" if up.target_gone else "client", "reset")

    async def _open(self, sock: socket.socket, tape: Tape) -> tuple[SocketStream, SocketStream]:
        """Open both sides, or close what is open and take note of why."""
        side = "client"
        near = None
        try:
            if self._context is None:
                near = SocketStream(sock)
            else:
                async with _in_time():
                    near = await _secure(sock, self._context)
            side = "server"
            return near, await open_stream(self._target)
        # UnicodeError: no name of a host looks like that
        except (OSError, UnicodeError, asyncio.CancelledError) as exc:
            if near is not None:
                near.close(reset=True)
            sock.close()
            if isinstance(exc, asyncio.CancelledError):
                tape.close("proxy", "stopped")
                raise
            tape.close(side, f"not opened: {reason(exc)}")
            raise _NotOpened from None


class _NotOpened(Exception):
    """One side could not be opened, which has been recorded."""
