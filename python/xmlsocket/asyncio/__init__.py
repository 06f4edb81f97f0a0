"""Clients and servers on an event loop (asyncio or uvloop)."""

from __future__ import annotations

from .client import Connect, connect, unix_connect
from .connection import Connection, broadcast
from .policy_server import PolicyServer
from .server import Server
from .serving import Serve, serve, unix_serve
from .websocket import connect_websocket

__all__ = [
    "Connect",
    "Connection",
    "PolicyServer",
    "Serve",
    "Server",
    "broadcast",
    "connect",
    "connect_websocket",
    "serve",
    "unix_connect",
    "unix_serve",
]
