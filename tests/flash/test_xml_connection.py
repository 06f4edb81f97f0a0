"""`flash.parse` and `flash.serialize` at both ends of a real connection."""

from __future__ import annotations

import functools

import pytest

import xmlsocket
from xmlsocket import flash
from xmlsocket.flash import Document, Node, Status


async def test_connection_with_flash_parse_yields_documents() -> None:
    """Every frame is a document, broken ones and other protocols' included."""

    async def echo(connection: xmlsocket.Connection[Document]) -> None:
        async for document in connection:
            await connection.send(flash.serialize(document))

    async with xmlsocket.serve(echo, "127.0.0.1", 0, parse=flash.parse) as server:
        host, port = server.sockets[0].getsockname()[:2]
        async with xmlsocket.connect(host, port, parse=bytes) as client:
            await client.send_many([b"<a b='1'/>", b"%xt%s%j#js%", b"<a><b></a>", b"<caf\xe9/>"])
            answers = [await client.recv() for _ in range(4)]

    assert [b'<a b="1" />', b"%xt%s%j#js%", b"<a><b /></a>", b"<caf\xc3\xa9 />"] == answers


async def test_connection_with_partial_takes_options() -> None:
    """Options are bound with functools.partial, and types follow."""
    parse = functools.partial(flash.parse, ignore_white=True, encoding="latin-1")

    async def greet(connection: xmlsocket.Connection[bytes]) -> None:
        await connection.send(b"<a> <b>\xe9</b> </a>")

    async with xmlsocket.serve(greet, "127.0.0.1", 0, parse=bytes) as server:
        host, port = server.sockets[0].getsockname()[:2]
        async with xmlsocket.connect(host, port, parse=parse) as client:
            document = await client.recv()

    (root,) = document.nodes
    assert document.status is Status.OK
    assert isinstance(root, Node)
    assert [Node] == [type(child) for child in root.children]
    assert flash.serialize(document) == "<a><b>é</b></a>".encode()


async def test_connection_with_strict_parse_raises_document_error() -> None:
    """``errors="strict"`` is an error of one document, and the connection goes on."""
    parse = functools.partial(flash.parse, errors="strict")

    async def greet(connection: xmlsocket.Connection[bytes]) -> None:
        await connection.send_many([b"\xff", b"<a/>"])

    async with xmlsocket.serve(greet, "127.0.0.1", 0, parse=bytes) as server:
        host, port = server.sockets[0].getsockname()[:2]
        async with xmlsocket.connect(host, port, parse=parse) as client:
            with pytest.raises(xmlsocket.DocumentError, match="invalid utf-8"):
                await client.recv()
            document = await client.recv()

    assert flash.serialize(document) == b"<a />"
