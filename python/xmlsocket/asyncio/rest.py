"""What the loops leave in TLS: at the end of a stream, and after the handshake."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["send_rest", "take_rest"]


def send_rest(transport: asyncio.Transport) -> None:
    """
    Send the last words of a TLS handshake, which are uvloop's to send later.

    Until then they count as what waits to be written. With a high-water mark below
    them writing would be paused, and for good if reading is paused meanwhile: uvloop
    then does neither. Without TLS there is nothing to do.

    Args:
        transport: What has just been made.

    """
    if _tls_of(transport) is not None:
        transport.writelines(())


def take_rest(
    transport: asyncio.BaseTransport,
    protocol: asyncio.BufferedProtocol,
    wants_more: Callable[[], bool],
) -> None:
    """
    Hand a protocol what has arrived over TLS and nobody has read.

    When the stream ends asyncio reads once more, one buffer of it, and uvloop
    not at all; some hundred KiB that came before the end may be left. To be
    called at the end of the stream, and when the connection is lost: uvloop
    tells only that. Without TLS there is nothing to do.

    Args:
        transport: What ``protocol`` is told by.
        protocol: Its protocol, which may be paused: what is left is bounded by
            what the loop lets wait for a TLS connection, 512 KiB.
        wants_more: Asked before each read.

    """
    tls = _tls_of(transport)
    while tls is not None and wants_more():
        view = memoryview(protocol.get_buffer(-1))
        try:
            size = tls.read(len(view), view)
        except OSError:  # nothing more, or nothing that could be decrypted
            return
        if not size:
            return
        protocol.buffer_updated(size)


def _tls_of(transport: asyncio.BaseTransport) -> Any:
    if isinstance(transport, asyncio.BaseProtocol):
        return None  # a carrier, which looks after what is below it itself
    try:
        return transport.get_extra_info("ssl_object")
    except AttributeError:
        # asyncio closes the transport of an opening that is cancelled; one that
        # was closed already forgets its TLS by that, and does not expect to be asked.
        return None
