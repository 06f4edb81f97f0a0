"""
What carries the documents of a room from one process to the others.

`MemoryBackplane` joins rooms of one process; `xmlsocket.backplane.nats`, which
needs the extra ``nats``, those of several.
"""

from __future__ import annotations

from .history import History
from .memory import MemoryBackplane
from .protocol import Backplane

__all__ = ["Backplane", "History", "MemoryBackplane"]
