"""What the clients of the demo say, and at which words of another they say it."""

from __future__ import annotations

import dataclasses
from importlib import resources
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "CHORUS",
    "Actor",
    "Part",
    "Script",
    "Turn",
    "chorus_line",
    "message",
    "traffic",
    "write",
]

CHORUS = 1000
"""Documents that each client sends at the end, all clients at once."""


@dataclasses.dataclass(frozen=True, slots=True)
class Turn:
    """
    Documents to say when ``cue`` is heard.

    Attributes:
        cue: The document to wait for; ``None`` for what opens the conversation.
        says: Documents to send then, in this order.

    """

    cue: bytes | None
    says: tuple[bytes, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Part:
    """
    All that one client says.

    Attributes:
        name: The client's name.
        kind: What sort of client it is.
        turns: What it says, in order.

    """

    name: str
    kind: str
    turns: tuple[Turn, ...]

    @property
    def says(self) -> list[bytes]:
        """Its documents in the order in which they are sent."""
        return [document for turn in self.turns for document in turn.says]


@dataclasses.dataclass(frozen=True, slots=True)
class Script:
    """
    All parts. No document occurs twice in them: what is heard tells who sent it.

    Attributes:
        parts: Who says what; the first one begins.
        signal: The document after which all speak at once.
        chorus: How many documents each client says then.
        names: What to call documents that have a name, by their bytes.

    """

    parts: tuple[Part, ...]
    signal: bytes
    chorus: int
    names: dict[bytes, str]

    @property
    def documents(self) -> int:
        """Documents in all parts."""
        return sum(len(part.says) for part in self.parts)


class Actor:
    """
    Plays one part, whatever the transport: tell it what was heard, send what it says.

    Attributes:
        heard: All documents heard so far, in order.

    """

    def __init__(self, part: Part, watch: Callable[[bytes], None] | None = None) -> None:
        self.heard: list[bytes] = []
        self._turns = list(part.turns)
        self._watch = watch

    def begin(self) -> tuple[bytes, ...]:
        """Return the documents to say before anything was heard."""
        return self._say(None)

    def hear(self, document: bytes) -> tuple[bytes, ...]:
        """Note a document and return those to say in answer."""
        self.heard.append(document)
        if self._watch is not None:
            self._watch(document)
        return self._say(document)

    def _say(self, cue: bytes | None) -> tuple[bytes, ...]:
        if not self._turns or self._turns[0].cue != cue:
            return ()
        says = self._turns.pop(0).says
        if self._watch is not None:
            for document in says:
                self._watch(document)
        return says


def message(user: str, text: str) -> bytes:
    """Return a message as the dictionary's chat client writes it."""
    return f'<MESSAGE USER="{user}" TEXT="{text}"/>'.encode()


def chorus_line(user: str, number: int) -> bytes:
    """Return one of the documents that everyone sends at the end."""
    return f'<m from="{user}" n="{number}" x="{number * 7 % 760}" y="{number * 3 % 480}"/>'.encode()


def traffic() -> list[tuple[str, bytes]]:
    """
    Return the documents of ``examples/traffic/``, name and bytes, in order.

    Each file ``01-name.xml`` is one frame without its zero byte, exactly as it
    goes over the wire.
    """
    folder = resources.files("xmlsocket.cli") / "traffic"
    files = [file for file in folder.iterdir() if file.name[:2].isdigit()]
    files.sort(key=lambda file: file.name)
    return [(file.name[3:].rpartition(".")[0], file.read_bytes()) for file in files]


def write(songs: list[tuple[str, bytes]], chorus: int = CHORUS) -> Script:
    """
    Write the script.

    Args:
        songs: What the player plays, names and documents.
        chorus: Documents that each client sends at the end.

    """
    kinds = {
        "ada": "asyncio client",
        "ben": "sync client, a process of its own",
        "flash": "XMLSocket object, the dictionary's chat client",
        "rita": "raw socket, without the package",
        "juke": "player of examples/traffic",
    }
    hello = message("ada", "Hello! Who is here?")
    ben = message("ben", "A sync client, in a process of its own.")
    flash = message("flash", "The XMLSocket object of ActionScript. 你好!")
    rita = message("rita", "A plain socket. I write my zero bytes myself.")
    please = message("ada", "Juke, play us what real servers carry, please.")
    thanks = message("ada", "Thank you! And now everyone at once.")
    last = message("juke", "That was it.")
    played = (message("juke", "With pleasure."), *(document for _, document in songs), last)
    chorus_of = {name: tuple(chorus_line(name, n) for n in range(chorus)) for name in kinds}
    turns = {
        "ada": [
            Turn(None, (hello,)),
            Turn(rita, (please,)),
            Turn(last, (thanks, *chorus_of["ada"])),
        ],
        "ben": [Turn(hello, (ben,))],
        "flash": [Turn(ben, (flash,))],
        "rita": [Turn(flash, (rita,))],
        "juke": [Turn(please, played)],
    }
    for name in kinds:
        if name != "ada":
            turns[name].append(Turn(thanks, chorus_of[name]))
    parts = tuple(Part(name, kind, tuple(turns[name])) for name, kind in kinds.items())
    names = {document: name for name, document in songs}
    return Script(parts, thanks, chorus, names)
