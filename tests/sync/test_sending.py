"""Connections with blocking calls: sending, from one thread and from many."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from lxml import etree

from tests.support.tls import contexts
from tests.sync.support import (
    PATIENCE,
    Handler,
    Interrupted,
    interrupt,
    pair,
    port_of,
    raw,
    read_all,
    read_exactly,
    reset,
    signalled,
    start,
    until,
)
from xmlsocket import (
    CloseReason,
    ConnectionClosed,
    ConnectionClosedError,
    ConnectionClosedOK,
    DelimiterInPayload,
    Limits,
    sync,
)

# More than the buffers of the two sockets of a loopback connection hold.
LARGE = 2**25


def test_send_element_text_and_bytes() -> None:
    """Elements go as UTF-8 without declaration, text as UTF-8, bytes as they are."""
    with raw() as (connection, peer):
        element = etree.fromstring("<a>č</a>")
        element.tail = "tail"
        connection.send(element)
        connection.send("<b>č</b>")
        connection.send(b"%xt%")

        expected = "<a>č</a>\0<b>č</b>\0%xt%\0".encode()
        assert expected == read_exactly(peer, len(expected))


def test_send_does_not_wait_for_company() -> None:
    """Small documents leave at once: Nagle's algorithm is off."""
    with raw() as (connection, _):
        option = connection._stream._sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert 0 != option


def test_send_payload_with_delimiter_sends_nothing() -> None:
    """A zero byte in the payload is refused with its index; the peer sees nothing of it."""
    with raw() as (connection, peer):
        with pytest.raises(DelimiterInPayload) as caught:
            connection.send(b"a\0b")
        assert 1 == caught.value.index
        connection.send(b"c")

        assert b"c\0" == read_exactly(peer, 2)


def test_send_many_is_all_or_nothing() -> None:
    """One bad payload, or an iterable that raises, keeps back all."""

    def broken() -> Any:
        yield b"a"
        raise LookupError

    with raw() as (connection, peer):
        with pytest.raises(DelimiterInPayload) as caught:
            connection.send_many([b"a", "b\0"])
        assert (1, 1) == (caught.value.item, caught.value.index)
        with pytest.raises(LookupError):
            connection.send_many(broken())
        connection.send_many([])
        connection.send_many(payload for payload in (b"c", b"d"))

        assert b"c\0d\0" == read_exactly(peer, 4)
        assert 2 == connection.stats.frames_out


def test_send_after_close_raises_connection_closed() -> None:
    """Sending on a closed connection raises the reason it was closed for."""
    with raw() as (connection, _):
        connection.close()

        with pytest.raises(ConnectionClosed, match="closed by this side"):
            connection.send(b"x")
        with pytest.raises(ConnectionClosed, match="closed by this side"):
            connection.send_many([b"x"])


def test_send_from_many_threads_goes_whole() -> None:
    """What several threads send at once is never mixed, however large it is."""
    with pair() as (client, connection):

        def send(letter: bytes) -> None:
            for number in range(40):
                connection.send(letter * (1 + number * 5_000))
                connection.send_many([letter, letter * 1000])

        senders = [start(send, bytes([letter])) for letter in b"abcdef"]
        received = [client.recv() for _ in range(6 * 120)]
        for sender in senders:
            sender.result(PATIENCE)

        assert all(len(set(frame)) == 1 for frame in received)
        for letter in b"abcdef":
            sizes = [len(frame) for frame in received if frame[0] == letter]
            expected = [size for number in range(40) for size in (1 + number * 5_000, 1, 1000)]
            assert expected == sizes


def test_send_waits_while_the_peer_does_not_read() -> None:
    """A document larger than the system's buffers arrives whole when the peer reads late."""
    with raw() as (connection, peer):
        sending = start(connection.send, b"x" * LARGE)
        until(lambda: connection._stream._stuck)
        assert LARGE < connection.stats.queued_out

        assert b"x" * LARGE + b"\0" == read_exactly(peer, LARGE + 1)
        sending.result(PATIENCE)
        assert 0 == connection.stats.queued_out


def test_send_while_another_thread_receives() -> None:
    """Both directions run at once: each side sends more than the buffers hold."""
    with pair(max_size=None) as (client, connection):
        sending = [start(side.send, b"x" * LARGE) for side in (client, connection)]
        receiving = [start(side.recv, PATIENCE) for side in (client, connection)]

        assert [LARGE, LARGE] == [len(future.result(PATIENCE)) for future in receiving]
        for future in sending:
            future.result(PATIENCE)


def test_send_to_a_peer_that_is_gone_raises_and_input_is_still_delivered() -> None:
    """What a peer said before it broke off can be received after a send() has failed."""
    with raw() as (connection, peer):
        peer.sendall(b"you are banned\0")
        peer.close()
        with pytest.raises(ConnectionClosedError) as caught:
            while True:
                connection.send(b"hello?")
        assert CloseReason.RESET is caught.value.reason
        assert isinstance(caught.value.__cause__, OSError)
        with pytest.raises(ConnectionClosedError, match="connection lost"):
            connection.send(b"hello?")

        assert b"you are banned" == connection.recv()
        with pytest.raises(ConnectionClosedError):
            connection.recv()


def test_send_waiting_when_the_peer_goes_raises() -> None:
    """A send() that waits ends with the connection, and so do those behind it."""
    with raw() as (connection, peer):
        first = start(connection.send, b"x" * LARGE)
        until(lambda: connection._stream._stuck)
        second = start(connection.send, b"y")
        until(lambda: len(connection._inside) == 2)
        reset(peer)

        for sending in (first, second):
            with pytest.raises(ConnectionClosedError, match="connection lost"):
                sending.result(PATIENCE)


def test_send_failed_has_its_reason_before_others_can_ask_for_it() -> None:
    """A thread that finds the output over also finds why."""
    seen: list[tuple[bool, bool]] = []

    class Watched(sync.Connection[bytes]):
        def _end(self, *args: Any) -> None:
            super()._end(*args)
            seen.append((self._input_over, self._output_over))

    handler = Handler()
    with sync.serve(handler, "127.0.0.1", 0, parse=bytes) as server:
        options: dict[str, Any] = {"parse": bytes, "create_connection": Watched}
        with sync.connect("127.0.0.1", port_of(server), **options) as client:
            client._stream._sock.shutdown(socket.SHUT_WR)
            with pytest.raises(ConnectionClosedError, match="reset"):
                client.send(b"x")
        handler.leave()
    assert (False, False) == seen[0]


def test_send_interrupted_half_way_ends_the_connection() -> None:
    """Half a frame is never followed by another: the connection ends with it."""
    with raw() as (connection, peer):
        with signalled(lambda: connection._stream._stuck, interrupt):
            with pytest.raises(Interrupted):
                connection.send(b"x" * LARGE)

        with pytest.raises(ConnectionClosedOK, match="local"):
            connection.send(b"next")
        data = read_all(peer)
        assert {ord("x")} == set(data)
        assert len(data) < LARGE


def test_send_signal_handler_sends_on_another_connection() -> None:
    """A signal during a send() that waits does not disturb it."""
    with pair(max_size=None) as (client, connection):
        receiving: list[Any] = []
        with signalled(
            lambda: connection._stream._stuck,
            lambda: receiving.append(start(client.recv)),
        ):
            connection.send(b"x" * LARGE)

        assert LARGE == len(receiving[0].result(PATIENCE))


def test_close_from_another_thread_wakes_a_send_that_waits() -> None:
    """A send() to a peer that does not read ends when another thread closes."""
    with raw(close_timeout=None) as (connection, _):
        sending = start(connection.send, b"x" * LARGE)
        until(lambda: connection._stream._stuck)
        connection.close()

        with pytest.raises(ConnectionClosedOK, match="local"):
            sending.result(PATIENCE)
        assert connection._disposed


def test_close_by_a_signal_handler_ends_the_send_that_it_interrupts() -> None:
    """A signal handler may close the connection that its own thread is sending on."""
    with raw(close_timeout=None) as (connection, _):
        with signalled(lambda: connection._stream._stuck, connection.close):
            with pytest.raises(ConnectionClosedOK, match="local"):
                connection.send(b"x" * LARGE)
        assert connection._disposed


def test_close_lets_a_send_finish_that_need_not_wait() -> None:
    """Documents that are sent while another thread closes arrive whole or not at all."""
    with pair() as (client, connection):

        def send() -> int:
            # No more than the system takes without making anyone wait.
            for sent in range(300):
                try:
                    connection.send(b"<m>" + b"x" * 50 + b"</m>")
                except ConnectionClosedOK:
                    return sent
            return 300

        senders = [start(send) for _ in range(3)]
        received = [client.recv() for _ in range(10)]
        closing = start(connection.close)
        received += client

        assert sum(sender.result(PATIENCE) for sender in senders) == len(received)
        assert {57} == {len(frame) for frame in received}
        closing.result(PATIENCE)
        assert CloseReason.EOF is client.close_reason


def test_close_waits_for_a_send_that_need_not_wait() -> None:
    """What a thread is in the middle of writing goes whole, then comes the end of the stream."""

    class Slow:
        """A socket that takes ten bytes at a time, the second ten after the close began."""

        def __init__(self, sock: socket.socket) -> None:
            self.sock = sock
            self.calls = 0

        def send(self, data: bytes) -> int:
            self.calls += 1
            if self.calls == 2:
                until(lambda: connection._closing)
            return self.sock.send(data[:10])

        def __getattr__(self, name: str) -> Any:
            return getattr(self.sock, name)

    with raw() as (connection, peer):
        slow: Any = Slow(connection._stream._sock)
        connection._stream._sock = slow
        sending = start(connection.send, b"x" * 999)
        until(lambda: slow.calls == 2)
        connection.close()

        sending.result(PATIENCE)
        assert b"x" * 999 + b"\0" == read_all(peer)


def test_close_gives_up_on_a_writer_after_close_timeout() -> None:
    """A thread that stays in the middle of writing does not keep close() for ever."""
    with raw(close_timeout=0.02) as (connection, _):
        with connection._stream.sending:
            connection.close()

        assert connection._disposed


def test_write_does_not_begin_to_wait_once_the_connection_is_being_closed() -> None:
    """A writer that finds the socket full after the close began gives up by itself."""
    with raw() as (connection, _):
        stream = connection._stream
        stream.closing = True
        with stream.sending, pytest.raises(ConnectionAbortedError):
            stream.write(b"x" * LARGE)


def test_send_timeout_cuts_a_peer_that_takes_nothing() -> None:
    """A peer that takes nothing of what waits for it is cut off; what it sent is delivered."""
    with raw(limits=Limits(send_timeout=0.1)) as (connection, peer):
        peer.sendall(b"a\0b\0")
        assert b"a" == connection.recv()
        with pytest.raises(ConnectionClosedError, match="send_timeout") as caught:
            connection.send(b"x" * LARGE)

        assert CloseReason.SLOW_PEER is caught.value.reason is connection.close_reason
        assert b"b" == connection.recv()
        with pytest.raises(ConnectionClosedError):
            connection.recv()
        with pytest.raises(ConnectionClosedError):
            connection.send(b"y")
        connection.wait_closed()


def test_send_timeout_resets_the_peer_that_it_cuts() -> None:
    """A peer that reads in the end learns that it was cut off; it sees no end in order."""
    with raw(limits=Limits(send_timeout=0.1)) as (connection, peer):
        with pytest.raises(ConnectionClosedError):
            connection.send(b"x" * LARGE)
        connection.wait_closed()

        with pytest.raises(ConnectionResetError):
            while peer.recv(2**20):
                pass


def test_send_timeout_cuts_over_tls() -> None:
    """With TLS a peer that takes nothing is cut off too."""
    with raw(tls=contexts(), limits=Limits(send_timeout=0.1)) as (connection, _):
        with pytest.raises(ConnectionClosedError) as caught:
            connection.send(b"x" * LARGE)

        assert CloseReason.SLOW_PEER is caught.value.reason
        connection.wait_closed()


def test_send_timeout_none_waits_until_the_peer_reads() -> None:
    """``send_timeout=None`` lifts the limit."""
    with raw(limits=Limits(send_timeout=None)) as (connection, peer):
        sending = start(connection.send, b"x" * LARGE)
        until(lambda: connection._stream._stuck)

        assert LARGE + 1 == len(read_exactly(peer, LARGE + 1))
        sending.result(PATIENCE)
