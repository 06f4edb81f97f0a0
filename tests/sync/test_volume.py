"""Many documents, large documents, slow drips: everything arrives, in order, at linear cost."""

from __future__ import annotations

import itertools
import random
from typing import TYPE_CHECKING

import pytest

from tests.support.tls import contexts
from tests.sync.support import PATIENCE, echo, port_of, raw, start
from xmlsocket import sync

if TYPE_CHECKING:
    import ssl

    from lxml import etree

COUNT = 100_000


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
def test_volume_documents_return_complete_and_in_order(tls: bool) -> None:
    """100,000 documents go through a server and come back, in order, none lost."""
    server_context: ssl.SSLContext | None
    client_context: ssl.SSLContext | None
    server_context, client_context = contexts() if tls else (None, None)
    sent = documents(1)
    with sync.serve(echo, "127.0.0.1", 0, parse=bytes, ssl=server_context) as server:
        with sync.connect("127.0.0.1", port_of(server), parse=bytes, ssl=client_context) as client:
            chance = random.Random(2)

            def send() -> None:
                rest = iter(sent)
                while burst := list(itertools.islice(rest, chance.randint(1, 300))):
                    if chance.random() < 0.8:
                        client.send_many(burst)
                    else:
                        for document in burst:
                            client.send(document)

            sending = start(send)
            received: list[bytes] = []
            for batch in client.batches():
                received += batch
                if len(received) >= COUNT:
                    break
            sending.result(PATIENCE)

    assert sent == received


@pytest.mark.timeout(180)
@pytest.mark.parametrize("tls", [False, True], ids=["tcp", "tls"])
def test_volume_random_segments_make_the_same_documents(tls: bool) -> None:
    """100,000 documents cut at random places are received one by one, in order."""
    sent = documents(3)
    stream = b"\0".join(sent) + b"\0"
    with raw(tls=contexts() if tls else None) as (connection, peer):
        chance = random.Random(4)

        def send() -> None:
            position = 0
            while position < len(stream):
                size = chance.choice((1, 7, 1460, 9_000, 70_000))
                peer.sendall(stream[position : position + size])
                position += size

        sending = start(send)
        received = [connection.recv() for _ in range(COUNT)]
        sending.result(PATIENCE)

    assert sent == received


def test_volume_documents_are_parsed_in_order() -> None:
    """A server that parses what it gets answers each document with its number."""
    count = 10_000

    def number(connection: sync.Connection[etree._Element]) -> None:
        for document in connection:
            connection.send(document.get("n", ""))

    with sync.serve(number, "127.0.0.1", 0) as server:
        with sync.connect("127.0.0.1", port_of(server), parse=int) as client:
            sending = start(client.send_many, [f'<m n="{n}"/>' for n in range(count)])

            assert list(range(count)) == [client.recv() for _ in range(count)]
            sending.result(PATIENCE)


def test_volume_one_byte_at_a_time_is_linear() -> None:
    """A peer that sends byte by byte is served, and no byte is searched twice."""
    document = b"<m>" + b"x" * 10_000 + b"</m>"
    with raw() as (connection, peer):

        def send() -> None:
            for byte in document + b"\0":
                peer.sendall(bytes([byte]))

        sending = start(send)
        assert document == connection.recv()
        sending.result(PATIENCE)

        assert len(document) + 1 == connection._decoder.bytes_scanned


def test_volume_large_frames_in_short_writes_are_linear() -> None:
    """1 MiB frames in 1460-byte writes arrive whole, and no byte is searched twice."""
    document = b"x" * 2**20
    with raw() as (connection, peer):

        def send() -> None:
            stream = (document + b"\0") * 3
            for position in range(0, len(stream), 1460):
                peer.sendall(stream[position : position + 1460])

        sending = start(send)
        for _ in range(3):
            assert document == connection.recv()
        sending.result(PATIENCE)

        assert 3 * (2**20 + 1) == connection._decoder.bytes_scanned
