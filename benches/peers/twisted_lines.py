"""
Twisted's ``LineOnlyReceiver`` with the zero byte as its delimiter, on the reactor it chooses.

``MAX_LENGTH`` is the largest frame, TCP_NODELAY is on. Twisted gathers what is written in
one turn of its reactor into one system call by itself.
"""

from __future__ import annotations

from typing import Any, ClassVar

from lxml import etree
from twisted.internet import interfaces, reactor
from twisted.internet.protocol import Factory
from twisted.protocols.basic import LineOnlyReceiver
from zope.interface import implementer

from .common import Arguments, announce, arguments, totals

# ruff: noqa: N802 - the names are Twisted's


@implementer(interfaces.IHalfCloseableProtocol)
class Echo(LineOnlyReceiver):  # type: ignore[misc]  # mypy skips Twisted
    """Send back every frame."""

    delimiter = b"\0"
    transport: Any

    def connectionMade(self) -> None:
        """Let small replies leave at once."""
        self.transport.setTcpNoDelay(True)

    def lineReceived(self, line: bytes) -> None:
        """Send it back."""
        self.sendLine(line)

    def readConnectionLost(self) -> None:
        """End output after input."""
        self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        """Do nothing: only this side ends output."""


class Documents(Echo):
    """Parse every document and send it back as lxml writes it."""

    parser = etree.XMLParser(
        encoding="utf-8", resolve_entities=False, no_network=True, huge_tree=False
    )

    def lineReceived(self, line: bytes) -> None:
        """Parse it and send it back."""
        document = etree.fromstring(line, self.parser)
        self.sendLine(etree.tostring(document, encoding="utf-8"))


class Ingest(Echo):
    """Count frames and bytes."""

    def __init__(self) -> None:
        self.frames = 0
        self.bytes = 0

    def lineReceived(self, line: bytes) -> None:
        """Count it."""
        self.frames += 1
        self.bytes += len(line)

    def readConnectionLost(self) -> None:
        """Answer."""
        self.sendLine(totals(self.frames, self.bytes))
        self.transport.loseConnection()


class Broadcast(Echo):
    """Send every frame to all."""

    everybody: ClassVar[set[Broadcast]] = set()

    def connectionMade(self) -> None:
        """Join."""
        super().connectionMade()
        self.everybody.add(self)

    def lineReceived(self, line: bytes) -> None:
        """Send it to all."""
        for peer in self.everybody:
            peer.sendLine(line)

    def connectionLost(self, reason: Any = None) -> None:  # noqa: ARG002 - Twisted's signature
        """Leave."""
        self.everybody.discard(self)


class Relay(Echo):
    """Pass frames on to the partner."""

    waiting: ClassVar[list[Relay]] = []
    partner: Relay

    def connectionMade(self) -> None:
        """Wait for a partner before reading."""
        super().connectionMade()
        if self.waiting:
            self.partner = self.waiting.pop()
            self.partner.partner = self
            self.partner.transport.resumeProducing()
        else:
            self.transport.pauseProducing()
            self.waiting.append(self)

    def lineReceived(self, line: bytes) -> None:
        """Pass it on."""
        self.partner.sendLine(line)


MODES = {
    "echo": Echo,
    "documents": Documents,
    "ingest": Ingest,
    "broadcast": Broadcast,
    "relay": Relay,
}


def main(args: Arguments) -> None:
    """Serve."""
    Echo.MAX_LENGTH = args.max_size
    loop: Any = reactor  # the module is replaced by the reactor it chooses
    port = loop.listenTCP(
        args.port, Factory.forProtocol(MODES[args.mode]), backlog=1024, interface=args.host
    )
    address = port.getHost()
    loop.callWhenRunning(announce, (address.host, address.port))
    loop.run()


if __name__ == "__main__":
    main(arguments(__doc__, tuple(MODES)))
