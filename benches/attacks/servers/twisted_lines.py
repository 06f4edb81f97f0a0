"""
Twisted's ``LineOnlyReceiver`` with the zero byte as its delimiter.

What a slow handler has not taken yet waits in a ``DeferredQueue``.
"""

from __future__ import annotations

from typing import Any, ClassVar

from benches.peers.common import announce
from twisted.internet import reactor, task
from twisted.internet.defer import DeferredQueue, inlineCallbacks
from twisted.internet.protocol import Factory
from twisted.protocols.basic import LineOnlyReceiver

from .common import BEAT, COUNT, JOIN, PAUSE, PING, PROBE, Options, Totals, options

# ruff: noqa: N802 - the names are Twisted's


class Lines(LineOnlyReceiver):  # type: ignore[misc]  # mypy skips Twisted
    """Answers, counts, and sends to all who joined."""

    delimiter = b"\0"
    members: ClassVar[set[Lines]] = set()
    pause: ClassVar[float] = 0
    transport: Any

    def connectionMade(self) -> None:
        """Start the handler."""
        self.transport.setTcpNoDelay(True)
        self._totals = Totals()
        self._queue: Any = DeferredQueue()
        if self.pause:
            self._work()

    def connectionLost(self, reason: Any = None) -> None:  # noqa: ARG002 - Twisted's signature
        """Leave."""
        self.members.discard(self)

    def lineReceived(self, line: bytes) -> None:
        """Answer a frame."""
        if not line.startswith(PROBE):
            if self.pause:
                self._queue.put(line)
            else:
                self._totals.add(len(line))
        elif line.startswith(PING):
            self.sendLine(line)
        elif line == COUNT:
            self.sendLine(self._totals.answer())
        elif line == JOIN:
            self.members.add(self)
            self.sendLine(line)
        else:
            for member in tuple(self.members):
                member.sendLine(line)

    @inlineCallbacks  # type: ignore[untyped-decorator]  # mypy skips Twisted
    def _work(self) -> Any:
        while self.connected:
            self._totals.add(len((yield self._queue.get())))
            yield task.deferLater(reactor, self.pause, int)


def main(args: Options) -> None:
    """Serve."""
    Lines.pause = PAUSE if args.mode == "slow" else 0
    if args.max_size is not None:
        Lines.MAX_LENGTH = args.max_size
    loop: Any = reactor  # the module is replaced by the reactor it chooses
    port = loop.listenTCP(0, Factory.forProtocol(Lines), backlog=1024, interface="127.0.0.1")
    address = port.getHost()
    if args.beat:
        BEAT.start(loop.callLater)
    loop.callWhenRunning(announce, (address.host, address.port))
    loop.run()


if __name__ == "__main__":
    main(options(__doc__))
