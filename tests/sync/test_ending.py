"""Connections with blocking calls: how they end, and who is woken."""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING, Any

import pytest

import xmlsocket
from tests.sync.support import (
    PATIENCE,
    Handler,
    dial,
    pair,
    port_of,
    raw,
    read_all,
    reset,
    signalled,
    start,
    until,
)
from xmlsocket import (
    CloseReason,
    ConnectionClosedError,
    ConnectionClosedOK,
    FrameTooBig,
    IncompleteFrame,
    sync,
)
from xmlsocket.sync.stream import Stream

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give peers that do not close longer than any test may take."""
    monkeypatch.setattr("xmlsocket.sync.stream._LINGER_TIME", 600)


def test_recv_peer_closes_raises_ok_after_the_documents() -> None:
    """The end of the stream between two frames is in order; documents come first."""
    with raw() as (connection, peer):
        peer.sendall(b"<a/>\0")
        peer.shutdown(socket.SHUT_WR)

        assert b"<a/>" == connection.recv()
        for _ in range(2):
            with pytest.raises(ConnectionClosedOK) as caught:
                connection.recv()
            assert CloseReason.EOF is caught.value.reason
        assert [] == list(connection)


def test_end_of_input_leaves_output_open() -> None:
    """A peer that shuts down its sending side still gets its answers."""

    def answer(connection: sync.Connection[bytes]) -> None:
        for frame in connection:
            connection.send(frame)
        connection.send(b"bye")

    with sync.serve(answer, "127.0.0.1", 0, parse=bytes) as server:
        with dial(port_of(server)) as peer:
            peer.sendall(b"<a/>\0<b/>\0")
            peer.shutdown(socket.SHUT_WR)

            assert b"<a/>\0<b/>\0bye\0" == read_all(peer)


def test_recv_frame_too_big_delivers_frames_before_then_raises() -> None:
    """Frames before an oversized one are delivered; then the limit is named as the cause."""
    with raw(max_size=4) as (connection, peer):
        peer.sendall(b"<a/>\0<toolong/>\0<b/>\0")

        assert b"<a/>" == connection.recv()
        peer.shutdown(socket.SHUT_WR)
        with pytest.raises(ConnectionClosedError) as caught:
            connection.recv()
        assert CloseReason.FRAME_TOO_BIG is caught.value.reason
        assert isinstance(caught.value.__cause__, FrameTooBig)
        assert (5, 4) == (caught.value.__cause__.offset, caught.value.__cause__.limit)
        assert b"" == read_all(peer)
        with pytest.raises(ConnectionClosedError, match="frame_too_big"):
            connection.send(b"late")


def test_frame_too_big_reply_before_it_reaches_the_peer() -> None:
    """A reply sent before the limit was hit arrives, although the peer goes on sending."""
    with raw(max_size=2**17) as (connection, peer):
        peer.sendall(b"ask\0")
        assert b"ask" == connection.recv()
        connection.send(b"answer")
        sending = start(peer.sendall, b"x" * (2**17 + 2**15))
        receiving = start(connection.recv)

        assert b"answer\0" == read_all(peer)
        sending.result(PATIENCE)
        peer.close()
        with pytest.raises(ConnectionClosedError, match="frame_too_big"):
            receiving.result(PATIENCE)


@pytest.mark.usefixtures("patient")
def test_frame_too_big_peer_may_go_on_sending_until_it_has_read_the_reply() -> None:
    """After the last words this side listens on, so that no reset overtakes them."""
    with raw(max_size=4) as (connection, peer):
        peer.sendall(b"toolong")
        receiving = start(connection.recv)

        assert b"" == read_all(peer)
        peer.sendall(b"more")
        assert not receiving.done()
        peer.close()
        with pytest.raises(ConnectionClosedError, match="frame_too_big"):
            receiving.result(PATIENCE)


def test_frame_too_big_other_connections_go_on() -> None:
    """One peer's oversized frame is nothing to the others."""
    handler = Handler()
    with sync.serve(handler, "127.0.0.1", 0, parse=bytes, max_size=4) as server:
        with dial(port_of(server)) as bad, dial(port_of(server)) as good:
            connections = [handler.connection(), handler.connection()]
            bad.sendall(b"toolong\0")
            bad.shutdown(socket.SHUT_WR)
            good.sendall(b"fine\0")
            outcome = []
            for connection in connections:
                try:
                    outcome.append(connection.recv())
                except ConnectionClosedError as exc:
                    outcome.append(exc.reason)
            assert {b"fine", CloseReason.FRAME_TOO_BIG} == set(outcome)
            handler.leave()


def test_recv_incomplete_frame_raises_with_partial() -> None:
    """The tail of a stream is never delivered; the error carries it for diagnosis."""
    with raw() as (connection, peer):
        peer.sendall(b"<a/>\0<unfin")
        peer.shutdown(socket.SHUT_WR)

        assert b"<a/>" == connection.recv()
        with pytest.raises(ConnectionClosedError, match="incomplete_frame") as caught:
            connection.recv()
        assert isinstance(caught.value.__cause__, IncompleteFrame)
        assert b"<unfin" == caught.value.__cause__.partial
        assert b"" == read_all(peer)


def test_recv_reset_raises_with_os_error() -> None:
    """A reset by the peer is an error whose cause is the system's."""
    with raw() as (connection, peer):
        peer.sendall(b"<a/>\0")
        assert b"<a/>" == connection.recv()
        reset(peer)

        with pytest.raises(ConnectionClosedError) as caught:
            connection.recv()
        assert CloseReason.RESET is caught.value.reason
        assert isinstance(caught.value.__cause__, OSError)


def test_close_drops_queue_and_recv_raises_local() -> None:
    """After a local close nothing more is delivered."""
    with raw() as (connection, peer):
        peer.sendall(b"a\0b\0")
        peer.shutdown(socket.SHUT_WR)
        assert b"a" == connection.recv()
        connection.close()

        assert 0 == connection.stats.queued_in
        with pytest.raises(ConnectionClosedOK) as caught:
            connection.recv()
        assert CloseReason.LOCAL is caught.value.reason
        assert [] == list(connection.batches())
        connection.close()


def test_close_from_another_thread_wakes_recv() -> None:
    """A recv() that waits ends when another thread closes, and the socket is closed."""
    with raw() as (connection, peer):
        receiving = start(connection.recv)
        until(lambda: connection._reader)
        connection.close()

        with pytest.raises(ConnectionClosedOK, match="local"):
            receiving.result(PATIENCE)
        connection.wait_closed()
        assert -1 == connection._stream._sock.fileno()
        assert b"" == read_all(peer)


@pytest.mark.usefixtures("patient")
def test_close_wakes_a_recv_inside_a_document_at_once() -> None:
    """Where another thread waits for the rest of a document, nobody waits for the peer."""
    with raw() as (connection, peer):
        peer.sendall(b"<a")
        receiving = start(connection.recv)
        until(lambda: connection.stats.buffered_in)
        connection.close()

        with pytest.raises(ConnectionClosedOK, match="local"):
            receiving.result(PATIENCE)


def test_close_closes_the_socket_when_nobody_uses_it_any_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The socket's number is given back by the last thread that leaves."""
    users: list[list[int]] = []
    close = Stream.close

    def watched(stream: Stream) -> None:
        users.append(list(connection._inside))
        close(stream)

    monkeypatch.setattr(Stream, "close", watched)
    with raw() as (connection, _):
        receiving = start(connection.recv)
        until(lambda: connection._reader)
        connection.close()
        with pytest.raises(ConnectionClosedOK):
            receiving.result(PATIENCE)

    assert [[]] == users


@pytest.mark.parametrize(
    "receive",
    [sync.Connection.recv, lambda connection: next(connection.batches())],
    ids=["recv", "batches"],
)
def test_close_drops_what_a_recv_in_another_thread_has_read(
    receive: Callable[[sync.Connection[Any]], object],
) -> None:
    """Frames that a thread read before another one closed are not delivered after it."""
    with raw() as (connection, peer):
        peer.sendall(b"a\0b\0")
        peer.shutdown(socket.SHUT_WR)
        assert b"a" == connection.recv()
        with connection._receiving:  # as if a thread were between two lines of recv()
            connection.close()
        assert connection.stats.queued_in

        with pytest.raises((ConnectionClosedOK, StopIteration)):
            receive(connection)
        assert 0 == connection.stats.queued_in


def test_close_by_a_signal_handler_ends_the_recv_that_it_interrupts() -> None:
    """A signal handler may close the connection that its own thread is waiting on."""
    with raw() as (connection, _):
        with signalled(lambda: connection._reader, connection.close):
            with pytest.raises(ConnectionClosedOK, match="local"):
                connection.recv()
        connection.wait_closed()


def test_close_with_unread_input_keeps_the_last_words() -> None:
    """What was sent before close() arrives although the peer had sent more than was read."""
    with raw(read_limit=1024) as (connection, peer):
        peer.sendall(b"x\0" * 30_000)
        assert b"x" == connection.recv()
        connection.send(b"no more")
        closing = start(connection.close)

        assert b"no more\0" == read_all(peer)
        peer.close()
        closing.result(PATIENCE)


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("unread", [b"a\0b\0", b"a\0b"], ids=["document", "part of one"])
def test_close_with_unread_input_waits_for_the_peer_to_close(unread: bytes) -> None:
    """A peer that was in the middle of talking may go on until it has read our last words."""
    with raw() as (connection, peer):
        peer.sendall(unread)
        assert b"a" == connection.recv()
        closing = start(connection.close)

        assert b"" == read_all(peer)
        peer.sendall(b"more")
        assert not closing.done()
        peer.close()
        closing.result(PATIENCE)


def test_close_with_input_never_read_keeps_the_last_words() -> None:
    """Input that this side never looked at does not turn the close into a reset."""
    with raw() as (connection, peer):
        peer.sendall(b"x\0" * 10_000)
        connection.send(b"go away")
        closing = start(connection.close)

        assert b"go away\0" == read_all(peer)
        peer.close()
        closing.result(PATIENCE)


def test_close_does_not_wait_for_a_silent_peer() -> None:
    """Where nothing is unread, close() closes although the peer keeps its side open."""
    with raw() as (connection, peer):
        connection.close()

        assert connection._disposed
        assert b"" == read_all(peer)


@pytest.mark.usefixtures("patient")
def test_close_gives_a_peer_that_floods_a_bounded_hearing() -> None:
    """A peer that sends without end is not listened to beyond 64 KiB."""
    with raw() as (connection, peer):
        peer.sendall(b"x\0" * 10_000)

        def flood() -> None:
            with contextlib.suppress(OSError):
                while True:
                    peer.sendall(b"x" * 2**16)

        flooding = start(flood)
        start(connection.close).result(PATIENCE)
        flooding.result(PATIENCE)


def test_close_gives_a_peer_that_hangs_a_bounded_hearing() -> None:
    """A peer that sent what nobody read and then hangs is waited for, but not for ever."""
    with raw() as (connection, peer):
        peer.sendall(b"x\0" * 10)
        assert b"x" == connection.recv()
        connection.close()

        assert connection._disposed


def test_close_in_two_threads_returns_in_both_when_it_is_closed() -> None:
    """The second close() waits for the first one."""
    with raw() as (connection, peer):
        peer.sendall(b"x\0" * 10)
        assert b"x" == connection.recv()
        closing = start(connection.close)
        until(lambda: connection._closing)
        connection.close()

        assert connection._disposed
        closing.result(PATIENCE)


def test_close_second_thread_aborts_after_close_timeout() -> None:
    """``close_timeout`` also bounds the wait for another thread's close()."""
    with raw(close_timeout=0.02) as (connection, peer):
        peer.sendall(b"x\0" * 10)
        assert b"x" == connection.recv()
        closing = start(connection.close)
        until(lambda: connection._closing)
        connection.close()

        closing.result(PATIENCE)
        assert connection._disposed


def test_abort_ends_a_close_that_lingers() -> None:
    """abort() does not wait for a close() that gives the peer time, and ends it."""
    with raw() as (connection, peer):
        peer.sendall(b"x\0" * 10)
        assert b"x" == connection.recv()
        closing = start(connection.close)
        until(lambda: connection._closing)
        connection.abort()

        closing.result(PATIENCE)
        connection.wait_closed()
        assert connection._disposed


def test_abort_closes_at_once_and_twice() -> None:
    """abort() drops everything and may be repeated."""
    with raw() as (connection, peer):
        peer.sendall(b"a\0b\0")
        assert b"a" == connection.recv()
        connection.abort()
        connection.abort()
        connection.wait_closed()

        for call in (connection.recv, lambda: connection.send(b"late")):
            with pytest.raises(ConnectionClosedOK):
                call()


def test_close_in_the_loop_that_receives() -> None:
    """Closing while iterating ends the iteration."""
    with raw() as (connection, peer):
        peer.sendall(b"a\0b\0")
        peer.shutdown(socket.SHUT_WR)
        received = []
        for frame in connection:
            received.append(frame)
            connection.close()

        assert [b"a"] == received


def test_with_closes_at_the_end() -> None:
    """As a context manager a connection is closed however the block is left."""
    with pair() as (client, connection):
        with pytest.raises(LookupError), client:
            raise LookupError

        assert CloseReason.LOCAL is client.close_reason
        assert [] == list(connection)


def test_wait_closed_returns_when_another_thread_meets_the_end() -> None:
    """wait_closed() waits for whoever notices the end."""
    with raw() as (connection, peer):
        receiving = start(connection.recv)
        waiting = start(connection.wait_closed)
        peer.sendall(b"<unfin")
        peer.shutdown(socket.SHUT_WR)

        waiting.result(PATIENCE)
        with pytest.raises(ConnectionClosedError):
            receiving.result(PATIENCE)


def test_first_reason_stands() -> None:
    """A connection that the peer has ended does not become one that this side ended."""
    with raw() as (connection, peer):
        peer.shutdown(socket.SHUT_WR)
        with pytest.raises(ConnectionClosedOK):
            connection.recv()
        connection.close()

        assert CloseReason.EOF is connection.close_reason
        with pytest.raises(xmlsocket.ConnectionClosed, match="eof"):
            connection.send(b"x")
