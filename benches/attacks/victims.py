"""The servers under attack, as processes: what they cost."""

from __future__ import annotations

import dataclasses
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from benches.suite.definitions import Peer
from benches.suite.processes import Server, resident

from .wires import WIRES

if TYPE_CHECKING:
    from .wires import Wire

__all__ = ["CONTENDERS", "LXML", "OURS", "Contender", "Victim"]


@dataclasses.dataclass(frozen=True, slots=True)
class Contender:
    """
    A server to attack.

    Attributes:
        name: What attacks call it; its program is ``servers/NAME.py``.
        label: What tables call it.
        settings: How it is set up.
        needs: What has to be installed.
        wire: What it speaks.

    """

    name: str
    label: str
    settings: str
    needs: tuple[str, ...] = ()
    wire: str = "xmlsocket"

    def peer(self) -> Peer:
        """Return it as the other benchmarks know servers."""
        command = (sys.executable, "-m", f"benches.attacks.servers.{self.name}")
        return Peer(
            name=self.name,
            label=self.label,
            kind="ours" if self is OURS else "rival",
            command=command,
            modes={"serve": "serve", "slow": "slow"},
            settings=self.settings,
            needs=tuple(f"module:{need}" for need in self.needs),
        )


OURS = Contender("ours", "xmlsocket", "`async for frame in connection`, default limits.")

CONTENDERS = {
    contender.name: contender
    for contender in (
        OURS,
        Contender(
            "streams",
            "asyncio streams",
            "`readuntil`, `write`, `drain`; the broadcast without `drain`, as one reader that "
            "stops would stop it for all.",
        ),
        Contender(
            "textbook",
            "asyncio.Protocol",
            "The buffer that people write first, nothing bounded; a queue before the slow handler.",
        ),
        Contender(
            "twisted_lines",
            "Twisted",
            "`LineOnlyReceiver`, a `DeferredQueue` before the slow handler.",
            needs=("twisted",),
        ),
        Contender(
            "websocket",
            "websockets",
            "`recv`, `send`, `broadcast`; attacked with WebSocket frames of the same payload. "
            "Without compression and pings.",
            needs=("websockets",),
            wire="websocket",
        ),
    )
}
"""By name, in the order of the tables."""

LXML = Contender("lxml", "lxml alone", "`fromstring()` and a parser with this package's settings.")
"""What some attacks compare with that need no server."""

_TICK = os.sysconf("SC_CLK_TCK")


class Victim(Server):
    """
    A running server of a contender.

    A context manager: the process ends with the block.

    Args:
        contender: Whose.
        mode: ``serve`` or ``slow``.
        max_size: Bytes of the largest frame; 0 for the server's default.
        **options: Further options of the server's program.

    """

    def __init__(
        self, contender: Contender, *, mode: str = "serve", max_size: int = 0, **options: object
    ) -> None:
        peer = contender.peer()
        for name, value in options.items():
            words = ("--" + name.replace("_", "-"), str(value))
            peer = dataclasses.replace(peer, command=peer.command + words)
        self.contender = contender
        super().__init__(peer, mode, max_size)
        self._base_memory = 0
        self._base_cpu = 0.0

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        host, _, port = self.target.rpartition(":")
        return host, int(port)

    @property
    def wire(self) -> Wire:
        """What it speaks."""
        return WIRES[self.contender.wire]

    def start(self) -> None:
        """Count from now: forget the peak so far, and the processor time."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5", encoding="ascii")
        self._base_memory = self._status("VmRSS")
        self._base_cpu = self._cpu()

    def cost(self) -> dict[str, float]:
        """Return what it took since `start`: ``memory`` at its peak, ``cpu``."""
        return {
            "memory": self._status("VmHWM") - self._base_memory,
            "cpu": self._cpu() - self._base_cpu,
        }

    def resident(self) -> int:
        """Return its memory once it has come to rest."""
        return resident(self.pid)

    def log_size(self) -> int:
        """Return how many bytes it has written to standard error."""
        return os.fstat(self._errors.fileno()).st_size

    def _status(self, key: str) -> int:
        text = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii")
        found = re.search(key + r":\s+(\d+) kB", text)
        if found is None:
            raise RuntimeError(f"{self.peer.name} has ended: {self.errors()}")
        return int(found[1]) * 1024

    def _cpu(self) -> float:
        """Return its processor time, in steps of some 10 ms, as the system counts it."""
        text = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii")
        fields = text.rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICK
