"""What a run of the checks has found, for people and for programs."""

from __future__ import annotations

import dataclasses
import enum
import textwrap
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Outcome", "Report", "Result"]

_WIDTH: Final = 100


class Outcome(enum.StrEnum):
    """
    How a check ended.

    ``WARNING`` is for what servers should do and no source demands, or for what
    cannot be told from outside; it does not fail a run.
    """

    PASSED = "passed"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"


_MARKS: Final = {
    Outcome.PASSED: "ok",
    Outcome.WARNING: "WARN",
    Outcome.FAILED: "FAIL",
    Outcome.SKIPPED: "skip",
}

_COUNTED: Final = {outcome: str(outcome) for outcome in Outcome} | {
    Outcome.WARNING: "with warnings"
}


@dataclasses.dataclass(frozen=True, slots=True)
class Result:
    """
    What became of one check.

    Attributes:
        name: That of the check, ``GROUP.NAME``.
        rule: What it tries, as a sentence about servers.
        source: Where the rule comes from.
        outcome: How it ended.
        seen: What was seen, or why it was left out.
        seconds: How long it took.

    """

    name: str
    rule: str
    source: str
    outcome: Outcome
    seen: str
    seconds: float

    def __str__(self) -> str:
        if self.outcome is Outcome.SKIPPED:
            return f"{_MARKS[self.outcome]:4}  {self.name}: {self.rule} ({self.seen})"
        indent = " " * 6
        lines = [f"{_MARKS[self.outcome]:4}  {self.name}: {self.rule}"]
        for word, text in (("seen", self.seen), ("rule", self.source)):
            lines += textwrap.wrap(
                f"{word}: {text}",
                _WIDTH,
                initial_indent=indent,
                subsequent_indent=indent + " " * 6,
                break_long_words=False,
                break_on_hyphens=False,
            )
        return "\n".join(lines)


@dataclasses.dataclass(frozen=True, slots=True)
class Report:
    """
    What became of all checks of a run.

    Attributes:
        target: The server, as it was named.
        results: One for each check, in the order in which they ran.

    """

    target: str
    results: Sequence[Result]

    @property
    def passed(self) -> bool:
        """Whether no check failed."""
        return not self.named(Outcome.FAILED)

    def named(self, outcome: Outcome) -> list[str]:
        """
        Return the names of the checks that ended so.

        Args:
            outcome: How.

        """
        return [result.name for result in self.results if result.outcome is outcome]

    def summary(self) -> str:
        """Return one line with the counts."""
        counts = {outcome: len(self.named(outcome)) for outcome in Outcome}
        shown = ", ".join(f"{count} {_COUNTED[outcome]}" for outcome, count in counts.items())
        return f"{self.target}: {len(self.results)} checks, {shown}"

    def as_json(self) -> dict[str, Any]:
        """Return it as what ``json.dumps`` takes."""
        return {
            "target": self.target,
            "passed": self.passed,
            "results": [dataclasses.asdict(result) for result in self.results],
        }
