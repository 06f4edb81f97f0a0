"""Connections with blocking calls: receiving, bad documents, time limits."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
from typing import Any

import pytest

import xmlsocket
from tests.sync.support import (
    PATIENCE,
    Interrupted,
    interrupt,
    pair,
    raw,
    read_all,
    signalled,
    start,
    until,
)
from xmlsocket import (
    CloseReason,
    ConcurrencyError,
    ConnectionClosedError,
    DocumentError,
    Limits,
)


def test_recv_default_parse_returns_element() -> None:
    """Without ``parse`` a document arrives as an lxml element."""
    with raw(parse=xmlsocket.parse) as (connection, peer):
        peer.sendall(b'<hello to="world"/>\0')

        document = connection.recv()

        assert ("hello", "world") == (document.tag, document.get("to"))


def test_recv_with_parse_bytes_decode_returns_text() -> None:
    """``parse=bytes.decode`` makes text."""
    with raw(parse=bytes.decode) as (connection, peer):
        peer.sendall("%xt%čaj%\0".encode())

        assert "%xt%čaj%" == connection.recv()


def test_recv_any_segmentation_returns_same_frames() -> None:
    """Bytes that arrive one by one make the frames that they make at once."""
    with raw() as (connection, peer):

        def send() -> None:
            for byte in b"<a/>\0<b/>\0":
                peer.sendall(bytes([byte]))

        sending = start(send)

        assert [b"<a/>", b"<b/>"] == [connection.recv(), connection.recv()]
        sending.result(PATIENCE)


def test_recv_in_two_threads_raises_concurrency_error() -> None:
    """Two threads cannot wait for the same document; the first one goes on waiting."""
    with raw() as (connection, peer):
        first = start(connection.recv)
        until(lambda: connection._reader)

        with pytest.raises(ConcurrencyError, match="two threads"):
            connection.recv()
        with pytest.raises(ConcurrencyError, match="two threads"):
            next(connection.batches())
        peer.sendall(b"<a/>\0")

        assert b"<a/>" == first.result(PATIENCE)


def test_recv_timeout_loses_nothing() -> None:
    """When the time is over, the part of a document that has come is kept."""
    with raw() as (connection, peer):
        for piece in (b"<a", b"tt", b"/>"):
            peer.sendall(piece)
            with pytest.raises(TimeoutError, match=r"no document within timeout=0\.01 seconds"):
                connection.recv(timeout=0.01)
        peer.sendall(b"\0<b/>\0")

        assert [b"<att/>", b"<b/>"] == [connection.recv(PATIENCE), connection.recv(0)]


def test_recv_timeout_zero_takes_only_what_has_arrived() -> None:
    """``timeout=0`` does not wait."""
    with raw() as (connection, peer):
        with pytest.raises(TimeoutError):
            connection.recv(timeout=0)
        peer.sendall(b"a\0b\0")
        received: list[bytes] = []
        while not received:
            with contextlib.suppress(TimeoutError):
                received.append(connection.recv(timeout=0))

        assert [b"a", b"b"] == [*received, connection.recv(timeout=PATIENCE)]


def test_recv_timeout_is_kept_against_a_peer_that_never_ends_its_frame() -> None:
    """A peer that keeps this side reading does not keep it beyond the timeout."""
    with raw(max_size=None) as (connection, peer):
        stop = threading.Event()

        def flood() -> None:
            with contextlib.suppress(OSError):
                while not stop.is_set():
                    peer.sendall(b"x" * 2**16)

        flooding = start(flood)
        with pytest.raises(TimeoutError):
            connection.recv(timeout=0.05)
        stop.set()
        connection.abort()
        flooding.result(PATIENCE)


def test_recv_timeout_is_for_all_documents_that_are_skipped() -> None:
    """Documents dropped by ``malformed="skip"`` do not start the time anew."""
    with raw(parse=xmlsocket.parse, malformed="skip") as (connection, peer):
        peer.sendall(b"<a\0<b\0")
        _read_until(connection, 6)

        with pytest.raises(TimeoutError):
            connection.recv(timeout=0.01)
        assert 2 == connection.stats.malformed_skipped


def _read_until(connection: xmlsocket.sync.Connection[object], size: int) -> None:
    """Read until ``size`` bytes have arrived, which hold no further document."""
    while connection.stats.bytes_in < size:
        with pytest.raises(TimeoutError):
            connection.recv(timeout=0)


def test_recv_interrupted_by_a_signal_loses_nothing() -> None:
    """A signal handler that raises ends a waiting recv(); the next one goes on."""
    with raw() as (connection, peer):
        peer.sendall(b"<a")
        with signalled(lambda: connection.stats.buffered_in == 2, interrupt):
            with pytest.raises(Interrupted):
                connection.recv()
        peer.sendall(b"/>\0")

        assert b"<a/>" == connection.recv()


def test_recv_signal_that_raises_nothing_does_not_disturb() -> None:
    """recv() goes on waiting after a signal."""
    with raw() as (connection, peer):
        with signalled(lambda: connection._reader, lambda: peer.sendall(b"<a/>\0")):
            assert b"<a/>" == connection.recv()


def test_recv_interrupted_while_taking_over_a_read_ends_the_connection() -> None:
    """What a read may have lost cannot be told, so nothing that follows passes for whole."""
    with raw() as (connection, peer):
        peer.sendall(b"a\0")
        receive = connection._stream.receive_into

        def receive_into(view: memoryview) -> int:
            receive(view)
            raise Interrupted

        wrapped: Any = _Wrapped(connection._stream, receive_into=receive_into)
        connection._stream = wrapped
        with pytest.raises(Interrupted):
            connection.recv()

        with pytest.raises(xmlsocket.ConnectionClosedOK, match="local"):
            connection.recv()


class _Wrapped:
    """An object with some attributes replaced."""

    def __init__(self, inner: object, **replaced: object) -> None:
        self.__dict__.update(replaced, _inner=inner)

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)


def test_iteration_left_and_begun_anew_goes_on_with_next_document() -> None:
    """Leaving the loop with ``break`` loses nothing."""
    with raw() as (connection, peer):
        peer.sendall(b"a\0b\0c\0")
        peer.shutdown(1)
        for frame in connection:
            assert b"a" == frame
            break

        assert [b"b", b"c"] == list(connection)


def test_iteration_out_of_order_end_raises() -> None:
    """A stream that ends inside a frame raises, after the frames before."""
    with raw() as (connection, peer):
        peer.sendall(b"<a/>\0<b")
        peer.shutdown(1)
        received = []

        with pytest.raises(ConnectionClosedError):
            for frame in connection:
                received.append(frame)  # noqa: PERF402 - the loop raises
        assert [b"<a/>"] == received


def test_batches_give_all_frames_that_arrived() -> None:
    """A batch is never empty, in order, and belongs to the caller."""
    frames = [b"%d" % number for number in range(50_000)]
    with raw() as (connection, peer):

        def send() -> None:
            peer.sendall(b"\0".join(frames) + b"\0\0")
            peer.shutdown(1)

        start(send)

        batches = list(connection.batches())

        assert all(batches)
        assert frames == sum(batches, [])  # noqa: RUF017 - few and short


def test_batches_give_more_than_one_read_if_more_has_arrived() -> None:
    """What has arrived is taken up to ``read_limit``, not one buffer at a time."""
    with raw() as (connection, peer):
        peer.sendall((b"x" * 99 + b"\0") * 1000)
        sock = connection._stream._sock
        sock.setblocking(True)
        until(lambda: len(sock.recv(100_000, socket.MSG_PEEK)) == 100_000)
        sock.setblocking(False)

        assert 1000 == len(next(connection.batches()))


def test_batches_and_recv_take_from_one_queue_in_order() -> None:
    """Frames come once, whichever way they are taken."""
    with raw() as (connection, peer):
        peer.sendall(b"a\0b\0c\0")
        peer.shutdown(1)
        assert b"a" == connection.recv()

        rest = [frame for batch in connection.batches() for frame in batch]

        assert [b"b", b"c"] == rest
        assert 0 == connection.stats.queued_in


def test_batches_out_of_order_end_raises() -> None:
    """As iterating over documents does."""
    with raw() as (connection, peer):
        peer.sendall(b"<b")
        peer.shutdown(1)
        with pytest.raises(ConnectionClosedError, match="incomplete_frame"):
            list(connection.batches())


def test_read_limit_bounds_what_is_read_at_a_time() -> None:
    """What is taken from the system ahead is at most ``read_limit`` and one read."""
    with raw(read_limit=10_000) as (connection, peer):
        sending = start(peer.sendall, b"x" * 99 + b"\0" * 1 + (b"y" * 99 + b"\0") * 20_000)
        total = 0
        for batch in connection.batches():
            total += len(batch)
            assert sum(map(len, batch)) <= 10_000 + 2**16
            if total == 20_001:
                break
        sending.result(PATIENCE)


def test_recv_empty_frames_are_skipped_and_counted() -> None:
    """An empty frame holds no document; by default it is counted and dropped."""
    with raw() as (connection, peer):
        peer.sendall(b"\0\0<a/>\0\0<b/>\0")

        assert [b"<a/>", b"<b/>"] == [connection.recv(), connection.recv()]
        assert 3 == connection.stats.empty_skipped


def test_recv_skip_empty_false_delivers_empty_frames() -> None:
    """Flash delivers empty messages; ``skip_empty=False`` does."""
    with raw(skip_empty=False) as (connection, peer):
        peer.sendall(b"\0a\0")

        assert [b"", b"a"] == [connection.recv(), connection.recv()]


# Bad documents


@pytest.mark.parametrize(
    ("frame", "line", "column"),
    [
        (b"<a>\n<b></a>", 2, 8),
        (b"<!DOCTYPE a><a/>", 1, 1),
        (b"<a>\xff</a>", 1, 4),
    ],
    ids=["malformed", "doctype", "invalid utf-8"],
)
def test_recv_bad_document_raises_and_connection_goes_on(
    frame: bytes, line: int, column: int
) -> None:
    """A bad document raises DocumentError with its place; the next one is delivered."""
    with raw(parse=xmlsocket.parse) as (connection, peer):
        peer.sendall(frame + b"\0<next/>\0")

        with pytest.raises(DocumentError) as caught:
            connection.recv()
        assert (frame, line, column) == (
            caught.value.frame,
            caught.value.line,
            caught.value.column,
        )
        assert "next" == connection.recv().tag


def test_recv_value_error_of_parse_becomes_document_error() -> None:
    """A ``ValueError`` of the user's parse function is a DocumentError with that cause."""
    with raw(parse=bytes.decode) as (connection, peer):
        peer.sendall(b"\xff\0ok\0")

        with pytest.raises(DocumentError, match="invalid start byte") as caught:
            connection.recv()
        assert isinstance(caught.value.__cause__, UnicodeDecodeError)
        assert "ok" == connection.recv()


def test_recv_malformed_skip_counts_and_logs_at_a_limited_rate(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """``malformed="skip"`` drops bad documents, counts each, and logs one line for many."""
    with raw(parse=xmlsocket.parse, malformed="skip") as (connection, peer):
        with caplog.at_level(logging.WARNING, "xmlsocket.server"):
            peer.sendall(b"<a\0%xt%\0<b></c>\0<good/>\0")

            assert "good" == connection.recv().tag
        assert 3 == connection.stats.malformed_skipped
        assert 1 == len(caplog.records)


# Time limits


def test_message_timeout_cuts_a_frame_that_does_not_end() -> None:
    """A frame has ``message_timeout`` from its first byte; further bytes do not extend it."""
    with raw(limits=Limits(message_timeout=0.1)) as (connection, peer):
        stop = threading.Event()

        def drip() -> None:
            with contextlib.suppress(OSError):
                while not stop.wait(0.01):
                    peer.sendall(b"x")

        dripping = start(drip)
        with pytest.raises(ConnectionClosedError) as caught:
            connection.recv()
        assert CloseReason.MESSAGE_TIMEOUT is caught.value.reason
        stop.set()
        dripping.result(PATIENCE)
        with contextlib.suppress(ConnectionResetError):
            assert b"" == read_all(peer)


def test_message_timeout_cuts_a_peer_that_falls_silent_in_a_frame() -> None:
    """A frame that stops arriving ends the wait without another byte."""
    with raw(limits=Limits(message_timeout=0.02)) as (connection, peer):
        peer.sendall(b"<a/>\0<b")

        assert b"<a/>" == connection.recv()
        with pytest.raises(ConnectionClosedError, match="message_timeout"):
            connection.recv()


@pytest.mark.parametrize("options", [{"limits": Limits(message_timeout=30)}, {"idle_timeout": 30}])
def test_time_limits_do_not_count_while_nobody_receives(options: dict[str, Any]) -> None:
    """Time in which this side does not read is not the peer's fault."""
    with raw(**options) as (connection, peer):
        peer.sendall(b"<a/>\0<b")
        assert b"<a/>" == connection.recv()
        with pytest.raises(TimeoutError):
            connection.recv(timeout=0)
        # As if that call had been 100 seconds ago.
        connection._left_at -= 100
        connection._frame_at -= 100
        connection._heard_at -= 100
        with pytest.raises(TimeoutError):
            connection.recv(timeout=0.001)
        peer.sendall(b"/>\0")

        assert b"<b/>" == connection.recv()


def test_message_timeout_counts_over_short_waits() -> None:
    """Many short waits make a long one; asking often does not excuse the peer."""
    with raw(limits=Limits(message_timeout=0.05)) as (connection, peer):
        peer.sendall(b"<b")
        with pytest.raises(ConnectionClosedError, match="message_timeout"):
            while True:
                with contextlib.suppress(TimeoutError):
                    connection.recv(timeout=0.001)


def test_idle_timeout_zero_bytes_are_no_sign_of_life() -> None:
    """Empty frames alone do not keep a connection from being idle."""
    with raw(idle_timeout=0.1, limits=Limits(message_timeout=None)) as (connection, peer):
        stop = threading.Event()

        def beat() -> None:
            with contextlib.suppress(OSError):
                while not stop.wait(0.01):
                    peer.sendall(b"\0")

        beating = start(beat)
        with pytest.raises(ConnectionClosedError) as caught:
            connection.recv()
        assert CloseReason.IDLE is caught.value.reason
        stop.set()
        beating.result(PATIENCE)


# What it tells


def test_stats_count_both_directions() -> None:
    """The counters are frames and bytes, delimiters included."""
    with raw() as (connection, peer):
        peer.sendall(b"\0<a/>\0<b")
        assert b"<a/>" == connection.recv()
        _read_until(connection, 8)
        connection.send_many([b"12", b"3"])

        stats = connection.stats

        assert (1, 8, 1, 2) == (
            stats.frames_in,
            stats.bytes_in,
            stats.empty_skipped,
            stats.buffered_in,
        )
        assert (2, 5, 0) == (stats.frames_out, stats.bytes_out, stats.queued_out)
        assert 0 <= stats.age


def test_addresses_are_those_of_the_socket() -> None:
    """Each end's remote address is the other's local one, also after the end."""
    with pair() as (client, connection):
        client.close()

        assert client.local_address == connection.remote_address
        assert client.remote_address == connection.local_address


def test_repr_names_id_and_state() -> None:
    """The representation tells which connection it is and how it ended."""
    with raw() as (connection, _):
        assert f"<Connection {connection.id} open>" == repr(connection)
        connection.close()
        assert f"<Connection {connection.id} local>" == repr(connection)


def test_attributes_of_the_user_are_kept() -> None:
    """A handler may hang its own state on the connection."""
    with raw() as (connection, _):
        connection.nickname = "waddle"  # type: ignore[attr-defined]

        assert "waddle" == connection.nickname  # type: ignore[attr-defined]
