"""What was looked at, what was seen, and what to do about it."""

from __future__ import annotations

import dataclasses
import enum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Diagnosis", "Finding", "Status"]


class Status(enum.StrEnum):
    """
    How something was found.

    ``WARNING`` is for what keeps only some players away, or may do so one day.
    """

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "not checked"


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """
    One result.

    Attributes:
        status: How it was found.
        name: What was looked at.
        seen: What was seen, or why it was not looked at.
        fix: What to do; None where nothing is to be done.

    """

    status: Status
    name: str
    seen: str
    fix: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Diagnosis:
    """
    All results.

    Attributes:
        target: The server, as it was named.
        findings: In the order in which they were made.
        socket_proxy: Entries of Ruffle's ``socketProxy`` that lead to the server's
            own WebSocket; empty if it has none.

    """

    target: str
    findings: Sequence[Finding]
    socket_proxy: Sequence[dict[str, str | int]] = ()

    @property
    def passed(self) -> bool:
        """Whether nothing failed."""
        return Status.FAILED not in {finding.status for finding in self.findings}

    def summary(self) -> str:
        """Return one line with the counts."""
        counts = {
            status: sum(finding.status is status for finding in self.findings) for status in Status
        }
        return (
            f"{self.target}: {counts[Status.OK]} ok, {counts[Status.FAILED]} failed,"
            f" {counts[Status.WARNING]} with warnings, {counts[Status.SKIPPED]} not checked"
        )

    def as_json(self) -> dict[str, Any]:
        """Return it as what ``json.dumps`` takes."""
        return {
            "target": self.target,
            "passed": self.passed,
            "findings": [dataclasses.asdict(finding) for finding in self.findings],
            "socketProxy": list(self.socket_proxy),
        }
