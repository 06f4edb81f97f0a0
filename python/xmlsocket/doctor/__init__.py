"""
What keeps players from a server: looked for from outside, step by step.

::

    from xmlsocket.doctor import Case, diagnose

    diagnosis = diagnose(Case("game.example.com", 9339, swf="https://play.example.com/game.swf"))
    for finding in diagnosis.findings:
        print(finding.status, finding.name, finding.seen, finding.fix)
"""

from __future__ import annotations

from .case import Case
from .finding import Diagnosis, Finding, Status
from .run import diagnose

__all__ = ["Case", "Diagnosis", "Finding", "Status", "diagnose"]
