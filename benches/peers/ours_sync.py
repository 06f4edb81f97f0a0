"""This package, sync: a thread per connection, ``for`` and ``send``. Default settings."""

from __future__ import annotations

import contextlib
import functools
import threading
from typing import TYPE_CHECKING, Any

import xmlsocket.sync

from .common import Arguments, announce, arguments, totals

if TYPE_CHECKING:
    from lxml import etree

    Connection = xmlsocket.sync.Connection[bytes]


def echo(connection: Connection) -> None:
    """Send back every frame."""
    for frame in connection:
        connection.send(frame)


def echo_batches(connection: Connection) -> None:
    """Send back all frames that have arrived at once."""
    for frames in connection.batches():
        connection.send_many(frames)


def documents(connection: xmlsocket.sync.Connection[etree._Element]) -> None:
    """Parse every document and send it back as lxml writes it."""
    for document in connection:
        connection.send(document)


def ingest(connection: Connection) -> None:
    """Count frames and bytes."""
    count = size = 0
    for frame in connection:
        count += 1
        size += len(frame)
    connection.send(totals(count, size))


class Relay:
    """Pass frames on to the partner."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: tuple[Connection, threading.Event] | None = None
        self._partners: dict[Connection, Connection] = {}

    def __call__(self, connection: Connection) -> None:
        """Wait for a partner, then serve."""
        partner = self._join(connection)
        for frame in connection:
            partner.send(frame)

    def _join(self, connection: Connection) -> Connection:
        paired = threading.Event()
        with self._lock:
            if self._waiting is None:
                self._waiting = connection, paired
            else:
                partner, other = self._waiting
                self._waiting = None
                self._partners[partner] = connection
                self._partners[connection] = partner
                paired.set()
                other.set()
        paired.wait()
        return self._partners.pop(connection)


def main(args: Arguments) -> None:
    """Serve."""
    handlers = {
        "echo": echo,
        "echo-batches": echo_batches,
        "documents": documents,
        "ingest": ingest,
        "relay": Relay(),
    }
    serve: Any = xmlsocket.sync.serve  # two overloads: documents or raw frames
    if args.mode != "documents":
        serve = functools.partial(serve, parse=bytes)
    with serve(
        handlers[args.mode], args.host, args.port, max_size=args.max_size, backlog=1024
    ) as server:
        announce(server.sockets[0].getsockname())
        # An interrupt is the way to end a server in a terminal.
        with contextlib.suppress(KeyboardInterrupt):
            server.serve_forever()


if __name__ == "__main__":
    main(arguments(__doc__, ("echo", "echo-batches", "documents", "ingest", "relay")))
