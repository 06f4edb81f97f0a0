"""What type checkers make of the public API; checked by mypy, never run."""

from __future__ import annotations

import functools
from typing import assert_type

from lxml import etree

import xmlsocket
from xmlsocket import Connection, flash, sync


async def connect() -> None:
    """``parse`` decides what a connection yields."""
    async with xmlsocket.connect("host", 1) as documents:
        assert_type(await documents.recv(), etree._Element)
    async with xmlsocket.connect("host", 1, parse=bytes, ssl=True) as frames:
        assert_type(await frames.recv(), bytes)
    texts = await xmlsocket.connect("host", 1, parse=bytes.decode, server_hostname="other")
    assert_type(texts, Connection[str])
    async for latin in xmlsocket.connect(
        "host", 1, parse=functools.partial(xmlsocket.parse, encoding="latin-1")
    ):
        async for document in latin:
            assert_type(document, etree._Element)
    async with xmlsocket.connect_websocket("ws://host/") as by_websocket:
        assert_type(by_websocket, Connection[etree._Element])
    frames = await xmlsocket.connect_websocket("wss://host/", origin="https://host", parse=bytes)
    assert_type(frames, Connection[bytes])
    tolerant = await xmlsocket.connect("host", 1, parse=flash.parse)
    assert_type(await tolerant.recv(), flash.Document)


async def serve() -> None:
    """A handler takes the connections that ``parse`` makes."""

    async def documents(connection: Connection[etree._Element]) -> None:
        async for document in connection:
            await connection.send(document)

    async def frames(connection: Connection[bytes]) -> None:
        async for batch in connection.batches():
            await connection.send_many(batch)

    async with xmlsocket.serve(documents, port=1) as server:
        assert_type(server, xmlsocket.Server[etree._Element])
    server_of_frames = await xmlsocket.serve(frames, "host", 1, parse=bytes)
    assert_type(server_of_frames, xmlsocket.Server[bytes])
    one_port = await xmlsocket.serve(
        documents,
        port=1,
        policy=xmlsocket.Policy(["*"], ["*"]),
        websocket=xmlsocket.WebSocketOptions(path="/chat", pages={"/": xmlsocket.Page(b"")}),
        trusted_proxies=["10.0.0.0/8"],
    )
    assert_type(one_port, xmlsocket.Server[etree._Element])
    xmlsocket.broadcast(server_of_frames.connections, b"<a/>")


def blocking() -> None:
    """The sync tree has the same types."""
    with sync.connect("host", 1) as documents:
        assert_type(documents.recv(timeout=1), etree._Element)
    with sync.connect("host", 1, parse=bytes) as frames:
        assert_type(frames.recv(), bytes)
        for batch in frames.batches():
            assert_type(batch, list[bytes])
