"""
Errors of the package and the reasons for which a connection ends.

.. code-block:: text

    XMLSocketError
    ├─ ConnectionClosed .reason
    │  ├─ ConnectionClosedOK
    │  └─ ConnectionClosedError
    ├─ FramingError .offset
    │  ├─ FrameTooBig .limit
    │  └─ IncompleteFrame .partial
    ├─ LocalError
    │  ├─ DelimiterInPayload .index .item (also ValueError)
    │  ├─ InvalidState
    │  └─ ConcurrencyError
    ├─ DocumentError .frame .line .column (also ValueError)
    ├─ PolicyError .line (also ValueError)
    └─ WebSocketError .code

The codec's own errors are defined beside the pure codec, which has to work as
a single file; this module is the place to import all of them from.
"""

from __future__ import annotations

import enum

from .pure import (
    ConcurrencyError,
    DelimiterInPayload,
    DocumentError,
    FrameTooBig,
    FramingError,
    IncompleteFrame,
    InvalidState,
    LocalError,
    XMLSocketError,
)

__all__ = [
    "CloseReason",
    "ConcurrencyError",
    "ConnectionClosed",
    "ConnectionClosedError",
    "ConnectionClosedOK",
    "DelimiterInPayload",
    "DocumentError",
    "FrameTooBig",
    "FramingError",
    "IncompleteFrame",
    "InvalidState",
    "LocalError",
    "PolicyError",
    "WebSocketError",
    "XMLSocketError",
    "safe_text",
]

# Tracebacks and logs name the public home of a class, not the file that the
# codec's errors happen to share with the pure decoder.
for _error in (
    ConcurrencyError,
    DelimiterInPayload,
    DocumentError,
    FrameTooBig,
    FramingError,
    IncompleteFrame,
    InvalidState,
    LocalError,
    XMLSocketError,
):
    _error.__module__ = __name__
del _error


class CloseReason(enum.StrEnum):
    """Why a connection ended. The same words stand in errors, logs and statistics."""

    LOCAL = "local"
    """This side called ``close()`` or ``abort()``, or its handler returned."""
    EOF = "eof"
    """The peer ended its stream between two frames."""
    SERVER_CLOSE = "server_close"
    """The server this connection belongs to is closing."""
    RESET = "reset"
    """The network or the peer broke the connection; the cause is the ``OSError``."""
    INCOMPLETE_FRAME = "incomplete_frame"
    """The stream ended inside a frame; the cause is `IncompleteFrame`."""
    FRAME_TOO_BIG = "frame_too_big"
    """A frame exceeded ``max_size``; the cause is `FrameTooBig`."""
    MESSAGE_TIMEOUT = "message_timeout"
    """A frame took longer than ``Limits.message_timeout`` from its first byte."""
    IDLE = "idle"
    """Nothing but empty frames came for ``idle_timeout`` seconds."""
    SLOW_PEER = "slow_peer"
    """The peer did not read: more than ``Limits.write_cap`` waited, or for ``send_timeout``."""
    MEMORY = "memory"
    """The server passed ``Limits.memory``, and this connection held most of it."""
    HANDLER_ERROR = "handler_error"
    """The server's handler raised an exception for this connection."""
    DOCUMENT_ERROR = "document_error"
    """The server's handler let a `DocumentError` pass."""
    WEBSOCKET_ERROR = "websocket_error"
    """A WebSocket peer broke its rules or vanished; the cause is the `WebSocketError`."""
    TARGET_FAILED = "target_failed"
    """The gateway could not reach the target of this connection, or lost it."""
    TOO_MANY = "too_many"
    """The gateway already relays as many connections as one address may have."""


_NORMAL = frozenset({CloseReason.LOCAL, CloseReason.EOF, CloseReason.SERVER_CLOSE})

_EXPLANATIONS = {
    CloseReason.LOCAL: "closed by this side",
    CloseReason.EOF: "closed by the peer",
    CloseReason.SERVER_CLOSE: "server is closing",
    CloseReason.RESET: "connection lost",
    CloseReason.INCOMPLETE_FRAME: "stream ended inside a frame",
    CloseReason.FRAME_TOO_BIG: "frame exceeds max_size",
    CloseReason.MESSAGE_TIMEOUT: "frame not complete within Limits.message_timeout",
    CloseReason.IDLE: "nothing received within idle_timeout",
    CloseReason.SLOW_PEER: "peer does not read: Limits.write_cap or Limits.send_timeout exceeded",
    CloseReason.MEMORY: "server exceeds Limits.memory and this connection held most of it",
    CloseReason.HANDLER_ERROR: "handler raised an exception",
    CloseReason.DOCUMENT_ERROR: "handler did not accept a document",
    CloseReason.WEBSOCKET_ERROR: "WebSocket failed",
    CloseReason.TARGET_FAILED: "target of the gateway cannot be reached or was lost",
    CloseReason.TOO_MANY: "too many connections from one address",
}


class ConnectionClosed(XMLSocketError):
    """
    The connection has ended.

    Attributes:
        reason: Why, as a `CloseReason`. ``__cause__`` holds the error behind it
            where there is one, such as `FrameTooBig`.

    """

    def __init__(self, reason: CloseReason) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"{_EXPLANATIONS[self.reason]} ({self.reason})"

    @classmethod
    def of(cls, reason: CloseReason) -> ConnectionClosed:
        """Return the right kind of exception for ``reason``."""
        kind = ConnectionClosedOK if reason in _NORMAL else ConnectionClosedError
        return kind(reason)


class ConnectionClosedOK(ConnectionClosed):
    """The connection ended in order: closed on this side, or by the peer between frames."""


class ConnectionClosedError(ConnectionClosed):
    """The connection ended out of order: broken, cut for a limit, or inside a frame."""


class PolicyError(XMLSocketError, ValueError):
    """
    A socket policy says what Flash Player would ignore or forbid, or is malformed.

    Attributes:
        reason: What is wrong. Text from the file is escaped and cut.
        line: Line of the file, counted from 1; ``None`` when there is no file.

    """

    def __init__(self, reason: str, line: int | None = None) -> None:
        super().__init__(reason, line)
        self.reason = reason
        self.line = line

    def __str__(self) -> str:
        return self.reason if self.line is None else f"{self.reason}, line {self.line}"


class WebSocketError(XMLSocketError):
    """
    The peer broke the rules of WebSocket, left without a word, or refused to speak it.

    Attributes:
        reason: What happened. Text that came from the peer is escaped and cut.
        code: The WebSocket close code (four digits) that was sent, received or,
            as 1006, stands for none; or the HTTP status (three digits) of an
            opening that was refused.

    Source: RFC 6455, section 7.4, for the codes of closing.

    """

    def __init__(self, reason: str, code: int) -> None:
        super().__init__(reason, code)
        self.reason = reason
        self.code = code

    def __str__(self) -> str:
        return f"{self.reason} ({self.code})"


def safe_text(text: str, limit: int = 200) -> str:
    """
    Make text that a peer wrote fit for a log line, an exception or a terminal.

    Control characters, line and paragraph separators, bidirectional controls
    and lone surrogates are written as escapes; what exceeds ``limit``
    characters is cut and its length told.

    Args:
        text: Any text.
        limit: Characters to return, escapes included, before the note of the cut.

    """
    shown = text[:limit]
    kept = len(shown)
    if not shown.isprintable():
        escaped: list[str] = []
        room = limit
        for char in shown:
            # An escape has up to ten characters: 200 of them would make a page.
            written = char if char.isprintable() else _escape(char)
            if len(written) > room:
                break
            room -= len(written)
            escaped.append(written)
        kept = len(escaped)
        shown = "".join(escaped)
    cut = len(text) - kept
    return f"{shown}… ({cut} more characters)" if cut else shown


def _escape(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")
