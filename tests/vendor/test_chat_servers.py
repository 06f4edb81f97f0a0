"""The examples in Rust and in C are chat servers, for real clients."""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING

import pytest

import xmlsocket.sync
from xmlsocket.exceptions import ConnectionClosed

from .tools import CAPI, CODEC, PATIENCE, TARGET, VALGRIND, need, run, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from xmlsocket.sync import Connection

pytestmark = [pytest.mark.slow, pytest.mark.timeout(PATIENCE)]

# Bytes that a document may have in both servers.
LIMIT = 2**16
WAIT = 30.0

Address = tuple[str, int]


@pytest.fixture(scope="module", params=["rust", "c"])
def address(request: pytest.FixtureRequest) -> Iterator[Address]:
    """Run each server, the one in C under valgrind: what it leaks or misuses fails the test."""
    if request.param == "rust":
        need("cargo")
        options = ("--quiet", "--locked", "--example", "chat", "--features", "tokio")
        run("cargo", "build", *options, cwd=CODEC)
        command, status = [str(TARGET / "debug" / "examples" / "chat"), "127.0.0.1:0"], None
    else:
        library = request.getfixturevalue("library")
        program = library.compile(CAPI / "examples" / "chat.c", "chat")
        command, status = [*VALGRIND, str(program), "0"], 0
    with serving(*command, status=status) as found:
        yield found


@contextlib.contextmanager
def joined(address: Address, count: int) -> Iterator[list[Connection[bytes]]]:
    """Connect clients that all hear one another."""
    with contextlib.ExitStack() as stack:
        clients: list[Connection[bytes]] = []
        for number in range(count):
            client = stack.enter_context(xmlsocket.sync.connect(*address, parse=bytes))
            clients.append(client)
            # Whoever hears itself is in the room.
            client.send(b"<joined n='%d'/>" % number)
            for one in clients:
                assert b"<joined n='%d'/>" % number == one.recv(timeout=WAIT)
        yield clients


def test_document_reaches_all_clients_in_order(address: Address) -> None:
    """Whoever sends, all get it, and all in the same order from one sender."""
    with joined(address, 3) as clients:
        for sender in clients:
            sender.send_many([b"<n>%d</n>" % number for number in range(100)])
            for client in clients:
                for number in range(100):
                    assert b"<n>%d</n>" % number == client.recv(timeout=WAIT)


def test_many_documents_at_once_leave_nobody_behind(address: Address) -> None:
    """Whoever says very much in one go is not cut off for it, nor is who hears it."""
    documents = [b"<%d/>" % number for number in range(20_000)]
    with joined(address, 2) as clients:
        clients[0].send_many(documents)
        for client in clients:
            assert documents == [client.recv(timeout=WAIT) for _ in documents]


def test_document_in_single_bytes_arrives_whole(address: Address) -> None:
    """Nothing depends on how TCP cuts the stream; empty documents are left out."""
    with joined(address, 1) as (hearer,), socket.create_connection(address, WAIT) as raw:
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in b"<a>\xc3\xa9</a>\0\0\0<b/>\0":
            raw.send(bytes([byte]))

        assert b"<a>\xc3\xa9</a>" == hearer.recv(timeout=WAIT)
        assert b"<b/>" == hearer.recv(timeout=WAIT)


def test_document_of_the_limit_passes_and_a_longer_one_ends_its_sender(address: Address) -> None:
    """A peer beyond the limit is cut off, after what it said before; the others are not."""
    with joined(address, 2) as (hearer, sender):
        sender.send(b"x" * LIMIT)
        for one in (hearer, sender):
            assert b"x" * LIMIT == one.recv(timeout=WAIT)
        sender.send_many([b"<last/>", b"x" * (LIMIT + 1)])

        assert b"<last/>" == hearer.recv(timeout=WAIT)
        with pytest.raises(ConnectionClosed):
            for _ in range(2):
                sender.recv(timeout=WAIT)
        hearer.send(b"<still here/>")
        assert b"<still here/>" == hearer.recv(timeout=WAIT)


def test_stream_that_ends_inside_a_document_delivers_none_of_it(address: Address) -> None:
    """What a peer leaves unfinished reaches nobody."""
    with joined(address, 1) as (hearer,):
        with socket.create_connection(address, WAIT) as raw:
            raw.sendall(b"<whole/>\0<torn")
            raw.shutdown(socket.SHUT_WR)
            while raw.recv(2**16):
                pass
        assert b"<whole/>" == hearer.recv(timeout=WAIT)
        hearer.send(b"<next/>")
        assert b"<next/>" == hearer.recv(timeout=WAIT)


def test_half_closed_client_gets_what_it_said(address: Address) -> None:
    """The end of input is not the end of output: ``printf … | nc -N`` gets its answer."""
    with socket.create_connection(address, WAIT) as raw:
        raw.sendall(b"<a/>\0<b/>\0")
        raw.shutdown(socket.SHUT_WR)
        answer = b""
        while data := raw.recv(2**16):
            answer += data

    assert b"<a/>\0<b/>\0" == answer


def test_client_that_does_not_read_holds_up_nobody(address: Address) -> None:
    """Others are served while one takes nothing of megabytes that wait for it."""
    document = b"x" * LIMIT
    with joined(address, 1) as (hearer,), socket.create_connection(address, WAIT) as deaf:
        deaf.sendall(b"<deaf/>\0")
        assert b"<deaf/>" == hearer.recv(timeout=WAIT)
        for _ in range(400):
            hearer.send(document)
            assert document == hearer.recv(timeout=WAIT)
