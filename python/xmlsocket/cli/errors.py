"""Failures that a command reports in one line."""

from __future__ import annotations

from ..reasons import reason

__all__ = ["CommandError", "reason"]


class CommandError(Exception):
    """A command failed for a reason that one line explains; the exit status is 1."""
