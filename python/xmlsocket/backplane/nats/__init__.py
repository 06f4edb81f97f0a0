"""
The backplane on NATS, for rooms of several processes and machines.

Needs the extra ``nats`` and a server of NATS, with JetStream if there is to be a
history.
"""

from __future__ import annotations

from .backplane import NatsBackplane
from .counters import NatsStats
from .errors import BackplaneError

__all__ = ["BackplaneError", "NatsBackplane", "NatsStats"]
