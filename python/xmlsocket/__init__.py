"""
The Flash XMLSocket protocol: XML documents over TCP, each ended by one zero byte.

The names here are those of the asyncio tree; `xmlsocket.sync` has the same ones
for threads, and `xmlsocket.codec` the framing alone.
"""

from __future__ import annotations

from . import sync
from .asyncio import (
    Connect,
    Connection,
    PolicyServer,
    Serve,
    Server,
    broadcast,
    connect,
    connect_websocket,
    serve,
    unix_connect,
    unix_serve,
)
from .backplane import Backplane, History, MemoryBackplane
from .codec import (
    DELIMITER,
    IMPLEMENTATION,
    Decoder,
    ReadBuffer,
    check_document,
    encode,
    encode_many,
)
from .documents import parse, serialize
from .exceptions import (
    CloseReason,
    ConcurrencyError,
    ConnectionClosed,
    ConnectionClosedError,
    ConnectionClosedOK,
    DelimiterInPayload,
    DocumentError,
    FrameTooBig,
    FramingError,
    IncompleteFrame,
    InvalidState,
    LocalError,
    PolicyError,
    WebSocketError,
    XMLSocketError,
)
from .flash import XMLSocket
from .gateway import Gateway, GatewayStats, Target
from .limits import Limits
from .policy import Policy
from .rooms import Room
from .stats import ConnectionStats, PolicyStats, RoomStats, ServerStats, WorkersStats
from .upgrade import Page, WebSocketOptions
from .workers import WorkerFailed, serve_workers

__all__ = [
    "DELIMITER",
    "IMPLEMENTATION",
    "Backplane",
    "CloseReason",
    "ConcurrencyError",
    "Connect",
    "Connection",
    "ConnectionClosed",
    "ConnectionClosedError",
    "ConnectionClosedOK",
    "ConnectionStats",
    "Decoder",
    "DelimiterInPayload",
    "DocumentError",
    "FrameTooBig",
    "FramingError",
    "Gateway",
    "GatewayStats",
    "History",
    "IncompleteFrame",
    "InvalidState",
    "Limits",
    "LocalError",
    "MemoryBackplane",
    "Page",
    "Policy",
    "PolicyError",
    "PolicyServer",
    "PolicyStats",
    "ReadBuffer",
    "Room",
    "RoomStats",
    "Serve",
    "Server",
    "ServerStats",
    "Target",
    "WebSocketError",
    "WebSocketOptions",
    "WorkerFailed",
    "WorkersStats",
    "XMLSocket",
    "XMLSocketError",
    "broadcast",
    "check_document",
    "connect",
    "connect_websocket",
    "encode",
    "encode_many",
    "parse",
    "serialize",
    "serve",
    "serve_workers",
    "sync",
    "unix_connect",
    "unix_serve",
]
