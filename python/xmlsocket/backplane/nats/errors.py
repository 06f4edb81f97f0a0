"""The error of a backplane that cannot start."""

from __future__ import annotations

from ...exceptions import XMLSocketError

__all__ = ["BackplaneError"]


class BackplaneError(XMLSocketError, ConnectionError):
    """NATS cannot be reached, refuses this client, or lacks what the backplane needs."""
