"""The clients of the demo that use the package, each in its own way."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ... import connect, parse
from ...flash import Node, XMLSocket
from ...sync import connect as sync_connect
from .script import Actor

if TYPE_CHECKING:
    import asyncio

    from ...flash import Document
    from .script import Part

__all__ = ["asyncio_client", "dictionary_client", "sync_client"]


async def asyncio_client(
    host: str, port: int, actor: Actor, start: asyncio.Event | None = None
) -> None:
    """Play a part on the event loop; begin when ``start`` is set."""
    async with connect(host, port, parse=bytes, skip_empty=False) as connection:
        if start is not None:
            await start.wait()
            await connection.send_many(actor.begin())
        async for document in connection:
            answers = actor.hear(document)
            if answers:
                await connection.send_many(answers)


def sync_client(host: str, port: int, part: Part) -> list[bytes]:
    """Play a part with blocking calls and return what was heard; made to run in another process."""
    actor = Actor(part)
    with sync_connect(host, port, parse=bytes, skip_empty=False) as connection:
        for document in connection:
            for answer in actor.hear(document):
                connection.send(answer)
    return actor.heard


class _ChatClient(XMLSocket):
    """
    The chat client of the ActionScript dictionary's entry on ``XMLSocket.onXML``.

    A message is an element ``MESSAGE`` with the attributes ``USER`` and ``TEXT``.
    """

    def __init__(self, actor: Actor) -> None:
        super().__init__()
        self.connected = False
        self.displayed: list[tuple[str | None, str | None]] = []
        self._actor = actor

    def onConnect(self, success: bool) -> None:  # noqa: N802 - ActionScript's name
        self.connected = success

    def onData(self, src: str) -> None:  # noqa: N802 - ActionScript's name
        for answer in self._actor.hear(src.encode()):
            self.send(parse(answer))
        super().onData(src)

    def onXML(self, doc: Document) -> None:  # noqa: N802 - ActionScript's name
        # Not all that is said here is XML; a document is made of it all the same.
        first = doc.nodes[0] if doc.nodes else None
        if isinstance(first, Node) and first.name == "MESSAGE":
            self.displayed.append((first.attributes.get("USER"), first.attributes.get("TEXT")))


def dictionary_client(host: str, port: int, actor: Actor) -> int:
    """
    Play a part with the XMLSocket object; blocks until the server closes.

    Returns:
        How many chat messages it displayed.

    Raises:
        ConnectionError: If the object could not connect.

    """
    with _ChatClient(actor) as client:
        client.connect(host, port)
        client.wait()
        if not client.connected:
            raise ConnectionError("onConnect(False)")
        return len(client.displayed)
