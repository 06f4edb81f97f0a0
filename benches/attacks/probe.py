"""
A client that asks a server under attack again and again, and notes the longest wait.

A process of its own, ``python -m benches.attacks.probe PORT WIRE SECONDS``: the attacker's
work must not delay it. A line on standard input makes it print what it has seen since the
last one, as JSON; the end of input ends it.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, Self

if __name__ == "__main__":  # as quick to start as may be
    from benches.attacks.wires import WIRES, Client
else:
    from benches.suite.definitions import ROOT

if TYPE_CHECKING:
    from benches.attacks.victims import Victim

__all__ = ["Probe"]

PATIENCE = 60


class Probe:
    """
    The process, seen from the attacker.

    A context manager that ends it.

    Args:
        victim: The server to ask.
        interval: Seconds from an answer to the next question.

    """

    def __init__(self, victim: Victim, interval: float = 0.005) -> None:
        words = [str(victim.address[1]), victim.contender.wire, str(interval)]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benches.attacks.probe", *words],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        try:
            self.told()  # it has had its first answer
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def told(self) -> dict[str, Any]:
        """
        Return what it has seen since the last call.

        Returns:
            ``answers``; ``longest`` in seconds, the question that waits now included;
            ``usual``, which 99 of 100 waits do not exceed; and ``lost``: whether the
            server has closed the connection.

        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        ready, _, _ = select.select([self._process.stdout], [], [], PATIENCE)
        line = self._process.stdout.readline() if ready else ""
        if not line:
            raise RuntimeError("the probing client does not answer")
        seen: dict[str, Any] = json.loads(line)
        return seen


def main(port: int, wire: str, interval: float) -> None:
    """Ask until the end of input."""
    with contextlib.suppress(PermissionError, AttributeError):
        os.nice(-10)  # its answers are looked at, so it goes first
    with Client(("127.0.0.1", port), WIRES[wire]) as client:
        client.ask(b"<ping/>")
        Watch(client).run(interval)


class Watch:
    """What the client has seen since it was last asked about it."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._asked: float | None = None
        self._answers = 0
        self._waits: list[float] = []
        self._lost = False

    def ask(self) -> None:
        """Ask, unless there is nobody."""
        if not self._lost:
            self._asked = time.perf_counter()
            with contextlib.suppress(OSError):
                self._client.sock.sendall(self._client.frame(b"<ping/>"))

    def look(self) -> None:
        """Look whether the answer has come."""
        try:
            answered = not self._client.waiting()
        except OSError:
            self._lost = True
            self._asked = None
        else:
            if answered:
                self._answers += 1
                self._note()
                self._asked = None

    def _note(self) -> None:
        if self._asked is not None:
            self._waits.append(time.perf_counter() - self._asked)

    def tell(self) -> None:
        """Print it; a question that has no answer yet counts as far as it has come."""
        self._note()
        waits = sorted(self._waits) or [0.0]
        seen = {
            "answers": self._answers,
            "longest": waits[-1],
            "usual": waits[-(-len(waits) * 99 // 100) - 1],
            "lost": self._lost,
        }
        print(json.dumps(seen), flush=True)
        self._answers, self._waits = 0, []

    def run(self, interval: float) -> None:
        """Ask until the end of input."""
        due = 0.0
        while True:
            # By the clock, not when nothing else is to do: whoever wants to be told
            # all the time would keep it from asking.
            left = due - time.perf_counter()
            idle = self._asked is None and not self._lost
            if idle and left <= 0:
                self.ask()
                continue
            waits = self._asked is not None
            sources = [self._client.sock, sys.stdin] if waits else [sys.stdin]
            ready, _, _ = select.select(sources, [], [], left if idle else None)
            if self._client.sock in ready:
                self.look()
                due = time.perf_counter() + interval
            if sys.stdin in ready:
                if not sys.stdin.readline():
                    return
                self.tell()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], float(sys.argv[3]))
