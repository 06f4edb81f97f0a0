"""The words for what the system and the TLS library report."""

from __future__ import annotations

import os
import re
import socket
import ssl

from .exceptions import safe_text

__all__ = ["reason"]

_ENDED = "connection ended during the handshake"


def reason(error: OSError | UnicodeError) -> str:
    """
    Say in a few words why the network or the TLS library refused.

    Args:
        error: What opening, listening or the handshake raised.

    Returns:
        Words without address, to be put after one. They are the same on every
        system for a name that does not resolve and for a certificate.

    """
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate not accepted: {safe_text(error.verify_message).removesuffix('.')}"
    if isinstance(error, ssl.SSLError):
        # Only errors that the library itself has made have a reason.
        text = getattr(error, "reason", None) or error.strerror or _ENDED
        return f"TLS failed: {safe_text(text.replace('_', ' ').lower())}"
    if isinstance(error, UnicodeError):
        return "unknown host"
    if isinstance(error, socket.gaierror):
        unknown = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}
        return "unknown host" if error.errno in unknown else str(error.strerror).lower()
    number = error.errno
    if number is None:
        # A host with several addresses: the event loop joins what each of them
        # answered, and the first answer says enough.
        found = re.search(r"\[Errno (\d+)\]", str(error))
        if found is None:
            return str(error) or _ENDED
        number = int(found[1])
    return os.strerror(number).lower()
