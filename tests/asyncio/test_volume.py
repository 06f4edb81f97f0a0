"""Many documents, large documents, slow drips: everything arrives, in order, at linear cost."""

from __future__ import annotations

import asyncio
import itertools
import random
from typing import TYPE_CHECKING, Any

import pytest

import xmlsocket
from tests.asyncio.support import gather_bounded, port_of, raw
from tests.support.tls import contexts

if TYPE_CHECKING:
    import ssl

COUNT = 100_000


async def echo(connection: xmlsocket.Connection[bytes]) -> None:
    """Answer every document with itself."""
    async for frame in connection:
        await connection.send(frame)


def documents(seed: int) -> list[bytes]:
    """Return `COUNT` numbered documents of varied length."""
    chance = random.Random(seed)
    filler = "é" * 200
    return [
        f'<m n="{number}">{filler[: chance.choice((0, 3, 20, 200))]}</m>'.encode()
        for number in range(COUNT)
    ]


@pytest.mark.timeout(180)
@pytest.mark.parametrize("tls", [False, True], ids=["tcp", "tls"])
async def test_volume_documents_return_complete_and_in_order(tls: bool) -> None:
    """100,000 documents go through a server and come back, in order, none lost."""
    server_context: ssl.SSLContext | None
    client_context: ssl.SSLContext | None
    server_context, client_context = contexts() if tls else (None, None)
    sent = documents(1)
    async with xmlsocket.serve(echo, "127.0.0.1", 0, parse=bytes, ssl=server_context) as server:
        async with xmlsocket.connect(
            "127.0.0.1", port_of(server), parse=bytes, ssl=client_context
        ) as client:
            chance = random.Random(2)

            async def send() -> None:
                rest = iter(sent)
                while burst := list(itertools.islice(rest, chance.randint(1, 300))):
                    if chance.random() < 0.5:
                        await client.send_many(burst)
                    else:
                        for document in burst:
                            await client.send(document)

            async def receive() -> list[bytes]:
                received: list[bytes] = []
                async for batch in client.batches():
                    received += batch
                    if len(received) >= COUNT:
                        break
                return received

            _, received = await gather_bounded(send(), receive())

    assert sent == received


@pytest.mark.timeout(180)
async def test_volume_random_segments_make_the_same_documents() -> None:
    """100,000 documents cut at random places are parsed one by one, in order."""
    sent = documents(3)
    stream = b"\0".join(sent) + b"\0"
    async with raw() as (connection, _, writer):
        chance = random.Random(4)

        async def send() -> None:
            position = 0
            while position < len(stream):
                size = chance.choice((1, 7, 1460, 9_000, 70_000))
                writer.write(stream[position : position + size])
                position += size
                await writer.drain()

        async def receive() -> list[bytes]:
            return [await connection.recv() for _ in range(COUNT)]

        _, received = await gather_bounded(send(), receive())

    assert sent == received


async def test_volume_one_byte_at_a_time_is_linear() -> None:
    """A peer that sends byte by byte is served, and no byte is searched twice."""
    document = b"<m>" + b"x" * 20_000 + b"</m>"
    async with raw() as (connection, _, writer):
        sock: Any = writer.get_extra_info("socket")
        assert sock is not None
        for byte in document + b"\0":
            writer.write(bytes([byte]))
            if byte == ord("m"):
                await asyncio.sleep(0)
        assert document == await connection.recv()

        assert len(document) + 1 == connection._decoder.bytes_scanned


async def test_volume_large_frames_in_short_writes_are_linear() -> None:
    """1 MiB frames in 1460-byte writes arrive whole, and no byte is searched twice."""
    document = b"x" * 2**20
    async with raw() as (connection, _, writer):

        async def send() -> None:
            stream = (document + b"\0") * 3
            for position in range(0, len(stream), 1460):
                writer.write(stream[position : position + 1460])
                await writer.drain()

        async def receive() -> None:
            for _ in range(3):
                assert document == await connection.recv()

        await gather_bounded(send(), receive())

        assert 3 * (2**20 + 1) == connection._decoder.bytes_scanned
