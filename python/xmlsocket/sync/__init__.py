"""Clients and servers with blocking calls: the names of `xmlsocket.asyncio`, without ``async``."""

from __future__ import annotations

from .client import connect, reconnect, unix_connect
from .connection import Connection
from .server import Server
from .serving import serve, unix_serve

__all__ = [
    "Connection",
    "Server",
    "connect",
    "reconnect",
    "serve",
    "unix_connect",
    "unix_serve",
]
