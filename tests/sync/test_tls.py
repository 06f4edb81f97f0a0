"""Connections with blocking calls over TLS: both directions at once, handshakes, ends."""

from __future__ import annotations

import contextlib
import logging
import socket
import ssl
import threading
import types
from typing import TYPE_CHECKING, Any

import pytest
import trustme

from tests.support.tls import contexts
from tests.sync.support import (
    PATIENCE,
    Handler,
    dial,
    echo,
    port_of,
    raw,
    read_all,
    read_exactly,
    reset,
    start,
    until,
)
from xmlsocket import (
    CloseReason,
    ConnectionClosedError,
    ConnectionClosedOK,
    IncompleteFrame,
    Limits,
    sync,
)
from xmlsocket.sync.tls import TLSStream

if TYPE_CHECKING:
    from collections.abc import Iterator

LARGE = 2**25


def versioned(version: ssl.TLSVersion) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return contexts of a server and a client that speak one version only."""
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(server)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(client)
    client.minimum_version = client.maximum_version = version
    return server, client


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tls_echo(version: ssl.TLSVersion) -> None:
    """With a context on both sides documents travel over TLS."""
    server_context, client_context = versioned(version)
    with sync.serve(echo, "127.0.0.1", 0, ssl=server_context, parse=bytes) as server:
        with sync.connect("127.0.0.1", port_of(server), ssl=client_context, parse=bytes) as client:
            for size in (1, 1000, 300_000):
                client.send(b"x" * size)
                assert size == len(client.recv())


def test_tls_recv_and_send_at_once_in_two_threads() -> None:
    """
    A thread receives while another sends, each more than the buffers hold.

    The server echoes in one thread: it stops reading until its answers are
    read, so the client's sender only goes on because its receiver does.
    """
    server_context, client_context = contexts()
    frames = [b"%d" % number + b"x" * 60_000 for number in range(400)]
    with sync.serve(echo, "127.0.0.1", 0, ssl=server_context, parse=bytes) as server:
        with sync.connect("127.0.0.1", port_of(server), ssl=client_context, parse=bytes) as client:

            def send() -> None:
                for frame in frames:
                    client.send(frame)

            sending = start(send)
            assert frames == [client.recv(PATIENCE) for _ in frames]
            sending.result(PATIENCE)


def test_tls_idle_recv_does_not_hold_up_send() -> None:
    """While one thread waits in recv(), another one can send at any time."""
    with raw(tls=contexts()) as (connection, peer):
        receiving = start(connection.recv)
        until(lambda: connection._reader)
        for number in range(100):
            connection.send(b"%02d" % number)
            assert b"%02d\0" % number == read_exactly(peer, 3)
        peer.sendall(b"x\0")

        assert b"x" == receiving.result(PATIENCE)


def test_tls_recv_timeout_loses_nothing() -> None:
    """When the time is over, the part of a document that has come is kept."""
    with raw(tls=contexts()) as (connection, peer):
        peer.sendall(b"<a")
        with pytest.raises(TimeoutError):
            connection.recv(timeout=0.01)
        peer.sendall(b"/>\0")

        assert b"<a/>" == connection.recv(PATIENCE)


def test_tls_peer_says_goodbye_ends_in_order() -> None:
    """A peer that ends TLS and closes ends the stream; this side closes too."""
    with raw(tls=contexts()) as (connection, peer):
        peer.sendall(b"<a/>\0")
        farewell = start(peer.unwrap)  # type: ignore[attr-defined]

        assert [b"<a/>"] == list(connection)
        assert CloseReason.EOF is connection.close_reason
        assert connection._disposed
        with pytest.raises(ConnectionClosedOK, match="eof"):
            connection.send(b"late")
        farewell.result(PATIENCE)  # it waits for this side's goodbye


def test_tls_peer_closes_without_goodbye_between_frames_ends_in_order() -> None:
    """Peers that close the socket without ending TLS are common; the frames are complete."""
    with raw(tls=contexts()) as (connection, peer):
        peer.sendall(b"<a/>\0")
        peer.shutdown(socket.SHUT_RDWR)

        assert [b"<a/>"] == list(connection)
        assert CloseReason.EOF is connection.close_reason


def test_tls_stream_cut_inside_a_frame_raises() -> None:
    """Without the rest of a frame an end without goodbye is an error."""
    with raw(tls=contexts()) as (connection, peer):
        peer.sendall(b"<a/>\0<b")
        peer.shutdown(socket.SHUT_RDWR)

        assert b"<a/>" == connection.recv()
        with pytest.raises(ConnectionClosedError) as caught:
            connection.recv()
        assert isinstance(caught.value.__cause__, IncompleteFrame)


def test_tls_forged_record_raises_after_the_frames_before() -> None:
    """What does not decrypt breaks the connection; what came before is delivered."""
    server_context, client_context = contexts()
    handler = Handler()
    with sync.serve(handler, "127.0.0.1", 0, ssl=server_context, parse=bytes) as server:
        with dial(port_of(server)) as sock:
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            tls = client_context.wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
            while True:
                try:
                    tls.do_handshake()
                except ssl.SSLWantReadError:
                    sock.sendall(outgoing.read())
                    incoming.write(sock.recv(2**16))
                else:
                    break
            tls.write(b"<a/>\0")
            sock.sendall(outgoing.read() + b"\x17\x03\x03\x00\x20" + b"forged" * 6)
            connection = handler.connection()

            assert b"<a/>" == connection.recv()
            with pytest.raises(ConnectionClosedError) as caught:
                connection.recv()
            assert CloseReason.RESET is caught.value.reason
            assert isinstance(caught.value.__cause__, ssl.SSLError)
            handler.leave()


def test_tls_reset_raises_with_os_error() -> None:
    """A reset by the peer is an error whose cause is the system's."""
    with raw(tls=contexts()) as (connection, peer):
        reset(peer)

        with pytest.raises(ConnectionClosedError) as caught:
            connection.recv()
        assert isinstance(caught.value.__cause__, ConnectionResetError)


def test_tls_send_to_a_peer_that_is_gone_raises() -> None:
    """A send() that fails ends the output."""
    with raw(tls=contexts()) as (connection, peer):
        reset(peer)
        with pytest.raises(ConnectionClosedError, match="reset"):
            while True:
                connection.send(b"x")


def test_tls_close_says_goodbye() -> None:
    """close() ends TLS in order, so that the peer knows that nothing is missing."""
    with raw(tls=contexts()) as (connection, peer):
        connection.send(b"bye")
        connection.close()

        peer.suppress_ragged_eofs = False  # type: ignore[attr-defined]
        assert b"bye\0" == read_all(peer)


def test_tls_close_wakes_recv_and_a_send_that_waits() -> None:
    """Closing wakes both the thread that waits to read and the one that waits to write."""
    with raw(tls=contexts()) as (connection, _):
        sending = start(connection.send, b"x" * LARGE)
        receiving = start(connection.recv)
        until(lambda: connection._stream._stuck and connection._reader)
        connection.close()

        for future in (sending, receiving):
            with pytest.raises(ConnectionClosedOK, match="local"):
                future.result(PATIENCE)
        assert connection._disposed


def test_tls_frame_too_big_keeps_the_last_words() -> None:
    """What was sent before the limit was hit arrives over TLS too."""
    with raw(tls=contexts(), max_size=4) as (connection, peer):
        connection.send(b"hello")
        peer.sendall(b"toolong\0" + b"x" * 20_000)
        receiving = start(connection.recv)

        assert b"hello\0" == read_all(peer)
        peer.close()
        with pytest.raises(ConnectionClosedError, match="frame_too_big"):
            receiving.result(PATIENCE)


# Handshakes


def test_tls_true_verifies_with_the_name_of_the_host(caplog: pytest.LogCaptureFixture) -> None:
    """A certificate that does not verify raises ssl's error; the server logs no error."""
    caplog.set_level(logging.DEBUG, "xmlsocket.server")
    server_context, _ = contexts()
    with sync.serve(echo, "127.0.0.1", 0, ssl=server_context) as server:
        with pytest.raises(ssl.SSLCertVerificationError):
            sync.connect("localhost", port_of(server), ssl=True)
        until(lambda: not server._threads)
    assert [] == [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert "unknown ca" in caplog.text  # the client told the server what is wrong


def test_tls_server_hostname_is_the_name_in_the_certificate() -> None:
    """A server can be reached by another name than that in its certificate."""
    server_context, client_context = contexts()
    with sync.serve(echo, "127.0.0.1", 0, ssl=server_context, parse=bytes) as server:
        port = port_of(server)
        with pytest.raises(ssl.SSLCertVerificationError):
            sync.connect("127.0.0.1", port, ssl=client_context, server_hostname="example.com")
        with sync.connect(
            "127.0.0.1", port, ssl=client_context, server_hostname="localhost", parse=bytes
        ) as client:
            client.send(b"x")
            assert b"x" == client.recv()


@pytest.mark.parametrize("words", [b"", b"<policy-file-request/>\0", b"\x16\x03\x01"])
def test_tls_handshake_that_fails_is_no_error_of_the_server(
    words: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """Who leaves, or does not speak TLS, is a debug line; nobody was connected."""
    server_context, _ = contexts()
    with caplog.at_level(logging.DEBUG, "xmlsocket.server"):
        with sync.serve(Handler(), "127.0.0.1", 0, ssl=server_context) as server:
            with dial(port_of(server)) as peer:
                peer.sendall(words)
                peer.shutdown(socket.SHUT_WR)
                with contextlib.suppress(ConnectionResetError):
                    read_all(peer)
            assert 0 == server.stats().accepted
    assert ["DEBUG"] == [
        record.levelname
        for record in caplog.records
        if record.getMessage().startswith("= no connection")
    ]


def test_tls_stalled_handshake_ends_after_open_timeout() -> None:
    """A client that never speaks TLS is let go, and keeps nobody else waiting."""
    server_context, client_context = contexts()
    with sync.serve(
        echo, "127.0.0.1", 0, ssl=server_context, open_timeout=1, parse=bytes
    ) as server:
        with dial(port_of(server)) as stalled:
            with sync.connect(
                "127.0.0.1", port_of(server), ssl=client_context, parse=bytes
            ) as client:
                client.send(b"x")
                assert b"x" == client.recv()
            with contextlib.suppress(ConnectionResetError):
                assert b"" == read_all(stalled)
        assert 1 == server.stats().accepted


def test_tls_handshake_with_a_peer_that_does_not_read_ends_after_open_timeout() -> None:
    """``open_timeout`` also bounds writing, of which the handshake does little."""
    _, client_context = contexts()
    near, far = socket.socketpair()
    with far:
        near.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                near.send(b"x" * 2**16)
        with pytest.raises(TimeoutError, match=r"the given socket within open_timeout=0\.05"):
            sync.connect(
                sock=near, ssl=client_context, server_hostname="localhost", open_timeout=0.05
            )


def test_close_ends_handshakes_at_once() -> None:
    """A server that closes does not wait for handshakes."""
    server_context, _ = contexts()
    options = {"ssl": server_context, "open_timeout": None}
    with sync.serve(echo, "127.0.0.1", 0, **options) as server:  # type: ignore[call-overload]
        with dial(port_of(server)) as stalled:
            until(lambda: server._threads)
            server.close(None)
            assert [] == server.wait_closed()
            assert b"" == read_all(stalled)


# What TLS says of its own accord


class Asking:
    """A client's stream, and a server that asks for a certificate after the handshake."""

    def __init__(self) -> None:
        server_context, client_context = versioned(ssl.TLSVersion.TLSv1_3)
        server_context.verify_mode = ssl.CERT_OPTIONAL
        server_context.post_handshake_auth = client_context.post_handshake_auth = True
        near, self.far = socket.socketpair()
        self.far.settimeout(PATIENCE)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = server_context.wrap_bio(self.incoming, self.outgoing, server_side=True)
        self.stream = TLSStream(near, client_context, server_hostname="127.0.0.1")
        shaking = start(self.stream.handshake, None)
        while True:
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                self.far.sendall(self.outgoing.read())
                self.incoming.write(self.far.recv(2**16))
            else:
                break
        self.far.sendall(self.outgoing.read())
        shaking.result(PATIENCE)

    def ask(self) -> None:
        """Ask for the client's certificate, then say something."""
        self.tls.verify_client_post_handshake()
        self.tls.write(b"hello\0")
        self.far.sendall(self.outgoing.read())

    def receive(self) -> bytes:
        """Receive in the client what the server said."""
        view = memoryview(bytearray(100))
        while True:
            try:
                return bytes(view[: self.stream.receive_into(view)])
            except BlockingIOError:
                self.stream.wait_readable(PATIENCE)

    def answer(self) -> bytes:
        """Take in the client's answer and return the word that follows it."""
        while True:
            try:
                return self.tls.read(100)
            except ssl.SSLWantReadError:
                self.incoming.write(self.far.recv(2**16))


@pytest.fixture
def asking() -> Iterator[Asking]:
    """Such a pair, connected."""
    pair = Asking()
    yield pair
    pair.stream.close()
    pair.far.close()


def test_tls_reader_answers_what_the_peer_asks(asking: Asking) -> None:
    """Reading writes what TLS itself has to answer."""
    asking.ask()

    assert b"hello\0" == asking.receive()
    asking.incoming.write(asking.far.recv(2**16))
    with pytest.raises(ssl.SSLWantReadError):
        asking.tls.read(100)
    with asking.stream.sending:
        asking.stream.write(b"word\0")
    assert b"word\0" == asking.answer()


def test_tls_answer_waits_for_the_thread_that_writes(asking: Asking) -> None:
    """While another thread writes, the reader leaves its answer to it."""
    asking.ask()
    with asking.stream.sending:
        assert b"hello\0" == asking.receive()
        assert asking.stream._outgoing.pending
        asking.stream.write(b"word\0")

    assert b"word\0" == asking.answer()


def test_tls_answer_does_not_make_the_reader_wait(asking: Asking) -> None:
    """Where the system takes nothing more, the answer goes before the next document."""
    junk = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            junk += asking.stream._sock.send(b"x" * 2**12)
    asking.ask()

    assert b"hello\0" == asking.receive()
    assert asking.stream._unsent
    read_exactly(asking.far, junk)
    with asking.stream.sending:
        asking.stream.write(b"word\0")
    assert b"word\0" == asking.answer()


def test_tls_answer_left_to_a_writer_that_was_done_is_written(
    asking: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer that comes between a writer's last look and its end is not forgotten."""
    settings: Any = types.SimpleNamespace(
        parse=bytes,
        max_size=None,
        skip_empty=True,
        logger=logging.getLogger("test"),
        close_timeout=1,
        limits=Limits(),
    )
    connection: sync.Connection[bytes] = sync.Connection(settings, asking.stream)
    write = TLSStream._write

    def late(stream: TLSStream, data: bytes) -> None:
        write(stream, data)
        asking.ask()
        assert b"hello\0" == asking.receive()
        assert stream._outgoing.pending

    monkeypatch.setattr(TLSStream, "_write", late)
    connection.send(b"word")

    assert not asking.stream._outgoing.pending
    assert b"word\0" == asking.answer()
    connection.close()


def test_tls_answer_that_cannot_be_written_does_not_lose_what_was_read(asking: Asking) -> None:
    """A broken output is the next writer's error, not the reader's."""
    asking.ask()
    asking.stream._sock.shutdown(socket.SHUT_WR)

    assert b"hello\0" == asking.receive()
    with asking.stream.sending, pytest.raises(BrokenPipeError):
        asking.stream.write(b"word\0")


def test_tls_many_threads_share_one_connection() -> None:
    """Several threads send over TLS while one receives; every document arrives whole."""
    server_context, client_context = contexts()
    barrier = threading.Barrier(4)
    with sync.serve(echo, "127.0.0.1", 0, ssl=server_context, parse=bytes) as server:
        with sync.connect("127.0.0.1", port_of(server), ssl=client_context, parse=bytes) as client:

            def send(letter: bytes) -> None:
                barrier.wait(PATIENCE)
                for number in range(100):
                    client.send(letter * (1 + number * 500))

            senders = [start(send, bytes([letter])) for letter in b"abcd"]
            received = [client.recv() for _ in range(400)]
            for sender in senders:
                sender.result(PATIENCE)

    for letter in b"abcd":
        sizes = [len(frame) for frame in received if frame == bytes([letter]) * len(frame)]
        assert [1 + number * 500 for number in range(100)] == sizes


def test_close_by_whoever_is_in_the_midst_of_tls_says_goodbye_all_the_same() -> None:
    """As a signal's handler that interrupts the thread which decrypts."""
    server_context, client_context = contexts()
    with (
        sync.serve(echo, "127.0.0.1", 0, ssl=server_context) as server,
        sync.connect(
            "127.0.0.1", port_of(server), ssl=client_context, server_hostname="localhost"
        ) as client,
    ):
        stream = client._stream
        assert isinstance(stream, TLSStream)

        def close() -> None:
            with stream._lock:
                client.close()

        start(close).result(PATIENCE)
        client.wait_closed()
