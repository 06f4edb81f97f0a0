"""XMLSocket in Twisted: a decoder in each `Protocol`. Sends every document back."""

import sys

from twisted.internet import interfaces, protocol, reactor
from twisted.protocols.policies import TimeoutMixin
from zope.interface import implementer

from xmlsocket import Decoder, FramingError, encode_many


@implementer(interfaces.IHalfCloseableProtocol)
class Echo(protocol.Protocol, TimeoutMixin):
    def connectionMade(self) -> None:
        self.decoder = Decoder(max_size=2**20, skip_empty=True)
        self.transport.setTcpNoDelay(True)
        self.transport.registerProducer(self.transport, streaming=True)  # reads what is taken
        self.readConnectionLost = self.transport.stopConsuming  # at the end: answer, then close
        self.timeoutConnection = self.transport.abortConnection  # answered or not
        self.setTimeout(60.0)  # seconds until something is received

    def dataReceived(self, data: bytes) -> None:
        self.resetTimeout()
        self.transport.write(encode_many(self.decoder.feed(data)))
        if self.decoder.error is not None:
            self.transport.stopConsuming()

    def connectionLost(self, _reason: object) -> None:
        self.setTimeout(None)
        try:
            self.decoder.feed_eof()  # raises decoder.error, or that the stream ended inside a frame
        except FramingError as exc:
            print(f"{type(exc).__name__}: {exc}")


port = int(sys.argv[1]) if len(sys.argv) > 1 else 9339
factory = protocol.Factory.forProtocol(Echo)
listening = reactor.listenTCP(port, factory, interface="127.0.0.1")
print(f"listening on port {listening.getHost().port}")
reactor.run()
