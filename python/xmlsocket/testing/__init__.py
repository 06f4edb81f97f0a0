"""
Tools for testing programs that speak this protocol.

`ChaosProxy` stands between a client and a server and does to their bytes what
networks do, by a seed. `BackgroundServer` runs a server in a thread. Importing
this package needs no pytest.

`xmlsocket.testing.pytest` is a plugin for pytest with fixtures of these.

`xmlsocket.testing.conformance` tries servers of any make on the rules of the
protocol, also as a program.
"""

from __future__ import annotations

from .background import BackgroundServer
from .chaos import ChaosProxy
from .faults import Faults
from .stats import DirectionStats, ProxyStats

__all__ = ["BackgroundServer", "ChaosProxy", "DirectionStats", "Faults", "ProxyStats"]
