"""A client that knows nothing of the package: sockets, and zero bytes by hand."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .script import Actor

__all__ = ["raw_client"]

PATIENCE = 60.0
"""Seconds of silence after which the client gives up."""


def raw_client(host: str, port: int, actor: Actor) -> None:
    """Play a part until the server ends the connection."""
    with socket.create_connection((host, port), timeout=PATIENCE) as sock:
        unfinished = b""
        while data := sock.recv(65536):
            *documents, unfinished = (unfinished + data).split(b"\0")
            for document in documents:
                for answer in actor.hear(document):
                    sock.sendall(answer + b"\0")
        if unfinished:
            raise EOFError(f"stream ended inside a document, after {len(unfinished)} bytes of it")
