"""What carries Flash programs over: the XMLSocket object of ActionScript and its XML."""

from __future__ import annotations

from ..encoding import decode_flash
from .nodes import MAX_DEPTH, MAX_NAME, Node, Status
from .sandbox import Sandbox
from .xml import Document, parse, serialize
from .xmlsocket import XMLSocket

__all__ = [
    "MAX_DEPTH",
    "MAX_NAME",
    "Document",
    "Node",
    "Sandbox",
    "Status",
    "XMLSocket",
    "decode_flash",
    "parse",
    "serialize",
]
