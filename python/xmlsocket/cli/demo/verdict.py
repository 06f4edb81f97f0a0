"""Did everyone hear what he should have heard?"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .script import Script

__all__ = ["Tally", "judge"]


@dataclasses.dataclass(slots=True)
class Tally:
    """
    What one client heard, compared with what the others said.

    Attributes:
        name: The client.
        says: Documents of its part.
        expected: Documents that it had to hear: all of all others.
        heard: Documents that it heard.
        size: Bytes that it heard, delimiters included.
        missing: Documents that never came.
        repeated: Documents that came again.
        disordered: Documents that came after a later one of the same sender.
        foreign: Documents that nobody else sent: altered, cut, joined, or its own.

    """

    name: str
    says: int
    expected: int
    heard: int = 0
    size: int = 0
    missing: int = 0
    repeated: int = 0
    disordered: int = 0
    foreign: int = 0

    @property
    def errors(self) -> int:
        """Everything that is wrong."""
        return self.missing + self.repeated + self.disordered + self.foreign


def judge(script: Script, heard: Mapping[str, Sequence[bytes]]) -> list[Tally]:
    """
    Compare what everyone heard with the script.

    Every client has to hear every document of all others, byte for byte, the
    documents of one sender in their order, and none twice.

    Args:
        script: What everyone said.
        heard: What everyone heard, by name.

    """
    places = {
        document: (part.name, number)
        for part in script.parts
        for number, document in enumerate(part.says)
    }
    assert len(places) == script.documents, "a document occurs twice in the script"
    tallies = []
    for part in script.parts:
        says = len(part.says)
        tally = Tally(part.name, says, script.documents - says)
        seen: set[bytes] = set()
        latest: dict[str, int] = {}
        for document in heard[part.name]:
            tally.heard += 1
            tally.size += len(document) + 1
            sender, number = places.get(document, (part.name, 0))
            if sender == part.name:
                tally.foreign += 1
            elif document in seen:
                tally.repeated += 1
            else:
                seen.add(document)
                tally.disordered += number < latest.get(sender, -1)
                latest[sender] = max(number, latest.get(sender, -1))
        tally.missing = tally.expected - len(seen)
        tallies.append(tally)
    return tallies
