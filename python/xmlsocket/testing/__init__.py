"""
Tools for testing programs that speak this protocol.

`ChaosProxy` stands between a client and a server and does to their bytes what
networks do, by a seed. Importing it needs the standard library only.
"""

from __future__ import annotations

from .chaos import ChaosProxy
from .faults import Faults
from .stats import DirectionStats, ProxyStats

__all__ = ["ChaosProxy", "DirectionStats", "Faults", "ProxyStats"]
