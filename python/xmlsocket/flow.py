"""Arithmetic of flow control that the transports share: water marks, charges, delays."""

from __future__ import annotations

import dataclasses
import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["FRAME_OVERHEAD", "WaterMarks", "reconnect_delays"]

FRAME_OVERHEAD = 128
"""Bytes charged for a queued frame beyond its length.

A ``bytes`` object and its place in a queue cost 41 to 60 bytes; tiny frames
would otherwise hold many times the memory they are charged for
(CVE-2026-48779 in another framing library is that mistake).
"""


@dataclasses.dataclass(frozen=True, slots=True)
class WaterMarks:
    """
    Where flow stops and where it starts again, in bytes.

    Attributes:
        high: Flow stops above this mark; ``None`` never stops it.
        low: Flow starts again at or below this mark.

    """

    high: int | None
    low: int

    @classmethod
    def of(cls, name: str, limit: int | tuple[int, int] | None) -> WaterMarks:
        """
        Build the marks from ``high``, ``(high, low)`` or ``None``.

        Args:
            name: Name of the option, for the error message.
            limit: The high mark, with a quarter of it as the low mark; or both.

        Raises:
            ValueError: Unless ``0 <= low <= high``.

        """
        if limit is None:
            return cls(None, 0)
        high, low = limit if isinstance(limit, tuple) else (limit, limit // 4)
        if not 0 <= low <= high:
            raise ValueError(f"{name} must satisfy 0 <= low <= high, not high={high}, low={low}")
        return cls(high, low)


def reconnect_delays(
    *, first: float = 0.5, factor: float = 1.8, longest: float = 60.0
) -> Iterator[float]:
    """
    Yield the seconds to wait before each further attempt to connect, for ever.

    Delays grow by ``factor`` up to ``longest``. Each is drawn from the upper
    half of its range, so that clients which lost the same server at the same
    moment do not come back at the same moment.
    """
    delay = first
    while True:
        yield delay * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, no secret
        delay = min(delay * factor, longest)
