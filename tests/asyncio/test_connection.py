"""Connections on an event loop: receiving, sending, flow control, ends."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Any

import pytest
from lxml import etree

import xmlsocket
from tests.asyncio.support import Handler, pair, port_of, raw, read_all, reset, until, warnings_of
from xmlsocket import (
    CloseReason,
    ConcurrencyError,
    ConnectionClosed,
    ConnectionClosedError,
    ConnectionClosedOK,
    DelimiterInPayload,
    DocumentError,
    FrameTooBig,
    IncompleteFrame,
    Limits,
)

# Receiving


async def test_recv_default_parse_returns_element() -> None:
    """Without ``parse`` a document arrives as an lxml element."""
    async with raw(parse=xmlsocket.parse) as (connection, _, writer):
        writer.write(b'<hello to="world"/>\0')

        document = await connection.recv()

        assert ("hello", "world") == (document.tag, document.get("to"))


async def test_recv_with_parse_bytes_decode_returns_text() -> None:
    """``parse=bytes.decode`` makes text."""
    async with raw(parse=bytes.decode) as (connection, _, writer):
        writer.write("%xt%čaj%\0".encode())

        assert "%xt%čaj%" == await connection.recv()


async def test_recv_any_segmentation_returns_same_frames() -> None:
    """Bytes that arrive one by one make the frames that they make at once."""
    async with raw() as (connection, _, writer):
        for byte in b"<a/>\0<b/>\0":
            writer.write(bytes([byte]))
            await writer.drain()

        assert [b"<a/>", b"<b/>"] == [await connection.recv(), await connection.recv()]


async def test_recv_twice_at_once_raises_concurrency_error() -> None:
    """Two calls cannot wait for the same document; the first one goes on waiting."""
    async with raw() as (connection, _, writer):
        first = asyncio.create_task(connection.recv())
        await asyncio.sleep(0)

        with pytest.raises(ConcurrencyError, match="two calls"):
            await connection.recv()
        writer.write(b"<a/>\0")

        assert b"<a/>" == await first


async def test_recv_cancelled_loses_no_frame() -> None:
    """Cancelling recv() at any moment around the arrival of a frame loses nothing."""
    frames = [b"%d" % number for number in range(300)]
    async with pair() as (client, connection):
        received: list[bytes] = []
        for turns in range(len(frames)):
            await client.send(frames[turns])
            task = asyncio.create_task(connection.recv())
            for _ in range(turns % 6):
                await asyncio.sleep(0)
            task.cancel()
            try:
                received.append(await task)
            except asyncio.CancelledError:
                continue
        while len(received) < len(frames):
            received.append(await connection.recv())

        assert frames == received


async def test_iteration_left_and_begun_anew_goes_on_with_next_document() -> None:
    """Leaving the loop with ``break`` loses nothing."""
    async with raw() as (connection, _, writer):
        writer.write(b"a\0b\0c\0")
        writer.write_eof()
        async for frame in connection:
            assert b"a" == frame
            break

        assert [b"b", b"c"] == [frame async for frame in connection]


async def test_iteration_peer_closes_ends() -> None:
    """The end of the stream between two frames ends the loop without an error."""
    async with raw() as (connection, _, writer):
        writer.write(b"<a/>\0")
        writer.write_eof()

        assert [b"<a/>"] == [frame async for frame in connection]
        assert CloseReason.EOF is connection.close_reason


async def test_iteration_out_of_order_end_raises() -> None:
    """A stream that ends inside a frame raises, after the frames before."""
    async with raw() as (connection, _, writer):
        writer.write(b"<a/>\0<b")
        writer.write_eof()
        received = []

        with pytest.raises(ConnectionClosedError):
            async for frame in connection:
                received.append(frame)  # noqa: PERF401 - the loop raises
        assert [b"<a/>"] == received


async def test_batches_give_all_frames_that_arrived() -> None:
    """A batch is what has arrived, never empty, and belongs to the caller."""
    async with raw() as (connection, _, writer):
        writer.write(b"a\0b\0\0c\0")
        await until(lambda: connection.stats.frames_in == 3)
        writer.write_eof()

        assert [[b"a", b"b", b"c"]] == [batch async for batch in connection.batches()]


async def test_batches_and_recv_take_from_one_queue_in_order() -> None:
    """Frames come once, whichever way they are taken, also when more arrive between."""
    async with raw() as (connection, _, writer):
        writer.write(b"a\0b\0c\0")
        await until(lambda: connection.stats.frames_in == 3)
        assert b"a" == await connection.recv()
        writer.write(b"d\0")
        await until(lambda: connection.stats.frames_in == 4)

        batches = connection.batches()

        assert [b"b", b"c", b"d"] == await anext(batches)
        await batches.aclose()  # type: ignore[attr-defined]
        assert 0 == connection.stats.queued_in


async def test_recv_empty_frames_are_skipped_and_counted() -> None:
    """An empty frame holds no document; by default it is counted and dropped."""
    async with raw() as (connection, _, writer):
        writer.write(b"\0\0<a/>\0\0")

        assert b"<a/>" == await connection.recv()
        await until(lambda: connection.stats.empty_skipped == 3)


async def test_recv_skip_empty_false_delivers_empty_frames() -> None:
    """Flash delivers empty messages; ``skip_empty=False`` does."""
    async with raw(skip_empty=False) as (connection, _, writer):
        writer.write(b"\0a\0")

        assert [b"", b"a"] == [await connection.recv(), await connection.recv()]


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
async def test_recv_bad_document_raises_and_connection_goes_on(
    frame: bytes, line: int, column: int
) -> None:
    """A bad document raises DocumentError with its place; the next one is delivered."""
    async with raw(parse=xmlsocket.parse) as (connection, _, writer):
        writer.write(frame + b"\0<next/>\0")

        with pytest.raises(DocumentError) as caught:
            await connection.recv()
        assert (frame, line, column) == (
            caught.value.frame,
            caught.value.line,
            caught.value.column,
        )
        assert "next" == (await connection.recv()).tag


async def test_recv_value_error_of_parse_becomes_document_error() -> None:
    """A ``ValueError`` of the user's parse function is a DocumentError with that cause."""
    async with raw(parse=bytes.decode) as (connection, _, writer):
        writer.write(b"\xff\0ok\0")

        with pytest.raises(DocumentError, match="invalid start byte") as caught:
            await connection.recv()
        assert isinstance(caught.value.__cause__, UnicodeDecodeError)
        assert b"\xff" == caught.value.frame
        assert "ok" == await connection.recv()


async def test_recv_malformed_skip_counts_and_logs_at_a_limited_rate(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """``malformed="skip"`` drops bad documents, counts each, and logs one line for many."""
    async with raw(parse=xmlsocket.parse, malformed="skip") as (connection, _, writer):
        with caplog.at_level(logging.WARNING, "xmlsocket.server"):
            writer.write(b"<a\0%xt%\0<b></c>\0<good/>\0")

            assert "good" == (await connection.recv()).tag
        assert 3 == connection.stats.malformed_skipped
        assert 1 == len(warnings_of(caplog))


# Ends


async def test_recv_frame_too_big_delivers_frames_before_then_raises() -> None:
    """Frames before an oversized one are delivered; then the limit is named as the cause."""
    async with raw(max_size=4) as (connection, reader, writer):
        writer.write(b"<a/>\0<toolong/>\0<b/>\0")

        assert b"<a/>" == await connection.recv()
        with pytest.raises(ConnectionClosedError) as caught:
            await connection.recv()
        assert CloseReason.FRAME_TOO_BIG is caught.value.reason
        assert isinstance(caught.value.__cause__, FrameTooBig)
        assert (5, 4) == (caught.value.__cause__.offset, caught.value.__cause__.limit)
        assert b"" == await read_all(reader)


async def test_frame_too_big_reply_before_it_reaches_the_peer() -> None:
    """A reply sent before the limit was hit arrives, although the peer goes on sending."""
    async with raw(max_size=2**17) as (connection, reader, writer):
        writer.write(b"ask\0")
        assert b"ask" == await connection.recv()
        await connection.send(b"answer")
        writer.write(b"x" * (2**17 + 2**15))

        assert b"answer\0" == await read_all(reader)
        assert CloseReason.FRAME_TOO_BIG is connection.close_reason


async def test_recv_incomplete_frame_raises_with_partial() -> None:
    """The tail of a stream is never delivered; the error carries it for diagnosis."""
    async with raw() as (connection, reader, writer):
        writer.write(b"<a/>\0<unfin")
        writer.write_eof()

        assert b"<a/>" == await connection.recv()
        with pytest.raises(ConnectionClosedError, match="incomplete_frame") as caught:
            await connection.recv()
        assert isinstance(caught.value.__cause__, IncompleteFrame)
        assert b"<unfin" == caught.value.__cause__.partial
        assert b"" == await read_all(reader)


async def test_recv_reset_raises_with_os_error() -> None:
    """A reset by the peer is an error whose cause is the system's."""
    async with raw() as (connection, _, writer):
        writer.write(b"<a/>\0")
        assert b"<a/>" == await connection.recv()
        reset(writer)

        with pytest.raises(ConnectionClosedError) as caught:
            await connection.recv()
        assert CloseReason.RESET is caught.value.reason
        assert isinstance(caught.value.__cause__, OSError)


async def test_end_of_input_leaves_output_open() -> None:
    """A peer that shuts down its sending side still gets its answers."""

    async def echo(connection: xmlsocket.Connection[bytes]) -> None:
        async for frame in connection:
            await connection.send(frame)
        await connection.send(b"bye")

    async with xmlsocket.serve(echo, "127.0.0.1", 0, parse=bytes) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(server))
        writer.write(b"<a/>\0<b/>\0")
        writer.write_eof()

        assert b"<a/>\0<b/>\0bye\0" == await read_all(reader)
        writer.close()
        await writer.wait_closed()


async def test_close_drops_queue_and_recv_raises_local() -> None:
    """After a local close nothing more is delivered."""
    async with raw() as (connection, _, writer):
        writer.write(b"a\0b\0")
        await until(lambda: connection.stats.frames_in == 2)
        await connection.close()

        with pytest.raises(ConnectionClosedOK) as caught:
            await connection.recv()
        assert CloseReason.LOCAL is caught.value.reason
        await connection.close()


async def test_close_with_unread_input_keeps_the_last_words() -> None:
    """What was sent before close() arrives although the peer had sent more than was read."""
    async with raw(read_limit=1024) as (connection, reader, writer):
        writer.write(b"x\0" * 100_000)
        await until(lambda: connection.stats.queued_in > 1024)
        await connection.send(b"no more")
        await connection.close()

        assert b"no more\0" == await read_all(reader)


async def test_close_sends_what_is_queued() -> None:
    """close() flushes the queue first, also when the peer reads late."""
    async with raw(write_limit=None) as (connection, reader, _):
        frames = [b"%d" % number * 1000 for number in range(5_000)]
        for frame in frames:
            await connection.send(frame)
        closing = asyncio.create_task(connection.close())

        assert b"".join(frame + b"\0" for frame in frames) == await read_all(reader)
        await closing


async def test_close_peer_does_not_read_aborts_after_close_timeout() -> None:
    """A peer that does not read cannot keep close() waiting beyond ``close_timeout``."""
    async with raw(write_limit=None, close_timeout=0.05) as (connection, _, _writer):
        await connection.send(b"x" * 2**25)

        await connection.close()

        assert CloseReason.LOCAL is connection.close_reason


async def test_close_wakes_a_waiting_recv() -> None:
    """A recv() that waits ends when another task closes."""
    async with raw() as (connection, _, _writer):
        task = asyncio.create_task(connection.recv())
        await asyncio.sleep(0)
        await connection.close()

        with pytest.raises(ConnectionClosedOK):
            await task


async def test_abort_closes_at_once() -> None:
    """abort() drops everything; the connection is closed when wait_closed() returns."""
    async with raw() as (connection, _, _writer):
        connection.abort()
        await connection.wait_closed()
        await connection.wait_closed()

        with pytest.raises(ConnectionClosedOK):
            await connection.send(b"late")


# Sending


async def test_send_element_text_and_bytes() -> None:
    """Elements go as UTF-8 without declaration, text as UTF-8, bytes as they are."""
    async with raw() as (connection, reader, _):
        element = etree.fromstring("<a>č</a>")
        element.tail = "tail"
        await connection.send(element)
        await connection.send("<b>č</b>")
        await connection.send(b"%xt%")

        expected = "<a>č</a>\0<b>č</b>\0%xt%\0".encode()
        assert expected == await reader.readexactly(len(expected))


async def test_send_payload_with_delimiter_sends_nothing() -> None:
    """A zero byte in the payload is refused with its index; the peer sees nothing of it."""
    async with raw() as (connection, reader, _):
        with pytest.raises(DelimiterInPayload) as caught:
            await connection.send(b"a\0b")
        assert 1 == caught.value.index
        await connection.send(b"c")

        assert b"c\0" == await reader.readexactly(2)


async def test_send_many_is_all_or_nothing() -> None:
    """One bad payload, or an iterable that raises, keeps back all."""

    def broken() -> Any:
        yield b"a"
        raise LookupError

    async with raw() as (connection, reader, _):
        with pytest.raises(DelimiterInPayload) as caught:
            await connection.send_many([b"a", "b\0"])
        assert (1, 1) == (caught.value.item, caught.value.index)
        with pytest.raises(LookupError):
            await connection.send_many(broken())
        await connection.send_many([])
        await connection.send_many(payload for payload in (b"c", "d"))

        assert b"c\0d\0" == await reader.readexactly(4)
        assert 2 == connection.stats.frames_out


async def test_send_after_close_raises_connection_closed() -> None:
    """Sending on a closed connection raises the reason it was closed for."""
    async with raw() as (connection, _, _writer):
        await connection.close()

        for sending in (
            connection.send(b"x"),
            connection.send_many([b"x"]),
            connection.send_many([]),
        ):
            with pytest.raises(ConnectionClosed, match="closed by this side"):
                await sending


async def test_send_many_tiny_frames_in_one_turn_arrive() -> None:
    """A queue that is long in frames and short in bytes goes out whole."""
    async with raw(write_limit=None) as (connection, reader, _):
        for _ in range(5000):
            await connection.send(b"x")

        assert b"x\0" * 5000 == await reader.readexactly(10_000)


async def test_send_above_high_water_waits_until_the_peer_reads() -> None:
    """send() waits above the high-water mark and goes on below the low one."""
    async with raw(write_limit=(1000, 100)) as (connection, reader, _):
        sent = 0

        async def send() -> None:
            nonlocal sent
            for _ in range(400):
                await connection.send(b"x" * 99_999)
                sent += 1

        task = asyncio.create_task(send())
        await until(lambda: connection._writing_paused)
        stopped_at = sent
        for _ in range(20):
            await asyncio.sleep(0)
        assert stopped_at == sent
        assert connection.stats.queued_out <= 100_000 + 128

        assert 400 * 100_000 == len(await reader.readexactly(400 * 100_000))
        await task


async def test_send_cancelled_while_waiting_goes_whole() -> None:
    """A send() cancelled at the high-water mark has queued its frame, and it goes."""
    async with raw(write_limit=0) as (connection, reader, _):
        size = 2**23
        tasks = [asyncio.create_task(connection.send(bytes([letter]) * size)) for letter in b"abc"]
        await until(lambda: connection._writing_paused)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert any(task.cancelled() for task in tasks)

        data = await reader.readexactly(3 * (size + 1))

        assert b"".join(bytes([letter]) * size + b"\0" for letter in b"abc") == data


async def test_send_goes_on_at_the_low_mark_while_more_is_queued() -> None:
    """A waiting send() returns when the queue has fallen to the low mark, not when it is empty."""
    async with raw(write_limit=(2**22, 2**22)) as (connection, reader, _):
        left: list[int] = []

        async def send() -> None:
            await connection.send(b"x" * 2**18)
            left.append(connection._waiting_out())

        tasks = [asyncio.create_task(send()) for _ in range(80)]
        await until(lambda: connection._writing_paused)
        before = len(left)
        await reader.readexactly(80 * (2**18 + 1))
        await asyncio.gather(*tasks)

        assert 0 < max(left[before:]) <= 2**22


async def test_send_waiting_when_the_peer_goes_raises() -> None:
    """A send() that waits ends with the connection."""
    async with raw(write_limit=0) as (connection, _, writer):
        task = asyncio.create_task(connection.send(b"x" * 2**23))
        await until(lambda: connection._writing_paused)
        reset(writer)

        with pytest.raises(ConnectionClosedError, match="connection lost"):
            await task


async def test_send_makes_at_most_two_writes_a_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first frame of a turn goes at once, all others of the turn with one more write."""
    async with raw() as (connection, reader, _):
        writes: list[bytes] = []
        transport = connection._transport

        class Counting:
            def write(self, data: bytes) -> None:
                writes.append(data)
                transport.write(data)

            def __getattr__(self, name: str) -> Any:
                return getattr(transport, name)

        monkeypatch.setattr(connection, "_transport", Counting())
        for number in range(100):
            await connection.send(b"%02d" % number)
        await reader.readexactly(300)

        assert [3, 297] == [len(data) for data in writes]


async def test_pipelined_echo_makes_at_most_two_writes_a_read() -> None:
    """A handler that answers each of many frames of one read costs two writes, not one each."""
    writes: list[int] = []

    class Counting(xmlsocket.Connection[bytes]):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            inner = self._transport

            class Transport:
                def write(self, data: bytes) -> None:
                    writes.append(len(data))
                    inner.write(data)

                def __getattr__(self, name: str) -> Any:
                    return getattr(inner, name)

            self._transport = Transport()  # type: ignore[assignment]

    async def echo(connection: xmlsocket.Connection[bytes]) -> None:
        async for frame in connection:
            await connection.send(frame)

    options: dict[str, Any] = {"parse": bytes, "create_connection": Counting}
    async with xmlsocket.serve(echo, "127.0.0.1", 0, **options) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(server))
        writer.write(b"ab\0" * 400)
        await reader.readexactly(1200)
        (connection,) = server.connections
        reads = 1 if connection.stats.frames_in == 400 else 400
        writer.close()
        await writer.wait_closed()

    assert 1 == reads
    assert len(writes) <= 2 * 4  # a segment or two of loopback


# Flow control of reading


async def test_reading_pauses_above_read_limit_and_resumes() -> None:
    """Frames that nobody receives stop the reading; receiving them starts it again."""
    async with pair(server_options={"read_limit": (10_000, 1000)}) as (client, connection):
        total = 300_000

        async def send() -> None:
            for number in range(total // 100):
                await client.send_many([b"%d" % (number * 100 + item) for item in range(100)])

        sending = asyncio.create_task(send())
        await until(lambda: connection._reading_paused)
        assert connection.stats.queued_in <= 10_000 + 2**16 * 65

        for number in range(total):
            assert b"%d" % number == await connection.recv()
        await sending
        assert 0 == connection.stats.queued_in


async def test_reading_pauses_and_batches_resume_it() -> None:
    """Taking a batch empties the queue and so resumes reading."""
    async with raw(read_limit=0) as (connection, _, writer):
        writer.write(b"a\0" * 10)
        await until(lambda: connection._reading_paused)
        writer.write(b"b\0")
        writer.write_eof()

        assert 11 == sum([len(batch) async for batch in connection.batches()])


async def test_quantum_lets_other_tasks_run_while_frames_wait() -> None:
    """A connection with many frames waiting yields after ``Limits.quantum`` of them."""
    async with raw(limits=Limits(quantum=10)) as (connection, _, writer):
        writer.write(b"x\0" * 1000)
        await until(lambda: connection.stats.frames_in == 1000)
        turns = 0

        async def other() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        task = asyncio.create_task(other())
        for _ in range(1000):
            await connection.recv()
        task.cancel()

        assert 90 <= turns


async def test_quantum_closed_while_yielding_raises() -> None:
    """A connection closed while its reader yields delivers nothing more."""
    async with raw(limits=Limits(quantum=1)) as (connection, _, writer):
        writer.write(b"x\0" * 5)
        await until(lambda: connection.stats.frames_in == 5)
        await connection.recv()
        task = asyncio.create_task(connection.recv())
        await asyncio.sleep(0)
        connection.abort()

        with pytest.raises(ConnectionClosedOK):
            await task


# Time limits


async def test_message_timeout_cuts_a_frame_that_does_not_end() -> None:
    """A frame has ``message_timeout`` from its first byte; further bytes do not extend it."""
    async with raw(limits=Limits(message_timeout=0.1)) as (connection, reader, writer):

        async def drip() -> None:
            while not writer.is_closing():
                writer.write(b"x")
                await asyncio.sleep(0.01)

        task = asyncio.create_task(drip())
        with pytest.raises(ConnectionClosedError) as caught:
            await connection.recv()
        task.cancel()
        assert CloseReason.MESSAGE_TIMEOUT is caught.value.reason
        with contextlib.suppress(ConnectionResetError):
            assert b"" == await read_all(reader)


async def test_message_timeout_spares_whole_frames() -> None:
    """A connection that is silent between frames, or sends whole frames, is left alone."""
    async with raw(limits=Limits(message_timeout=0.02)) as (connection, _, writer):
        for _ in range(5):
            writer.write(b"<a/>\0")
            assert b"<a/>" == await connection.recv()
            await asyncio.sleep(0.02)
        assert connection.close_reason is None


async def test_no_time_limits_no_clock() -> None:
    """Without time limits nobody looks at the connection, and it works all the same."""
    limits = Limits(message_timeout=None, send_timeout=None, memory=None)
    async with raw(limits=limits) as (connection, _, writer):
        writer.write(b"<a/>\0")

        assert b"<a/>" == await connection.recv()
        assert {} == connection._share._clocks


async def test_idle_timeout_zero_bytes_are_no_sign_of_life() -> None:
    """Empty frames alone do not keep a connection from being idle."""
    async with raw(idle_timeout=0.1) as (connection, _, writer):

        async def beat() -> None:
            while not writer.is_closing():
                writer.write(b"\0")
                await asyncio.sleep(0.01)

        task = asyncio.create_task(beat())
        with pytest.raises(ConnectionClosedError) as caught:
            await connection.recv()
        task.cancel()
        assert CloseReason.IDLE is caught.value.reason


async def test_idle_timeout_does_not_count_while_reading_is_paused() -> None:
    """While this side does not read, silence is not the peer's fault."""
    async with raw(idle_timeout=0.05, read_limit=0) as (connection, _, writer):
        writer.write(b"a\0")
        await until(lambda: connection._reading_paused)
        await asyncio.sleep(0.15)

        assert connection.close_reason is None
        assert b"a" == await connection.recv()


# Broadcast


async def test_broadcast_reaches_all_in_order_with_send() -> None:
    """A broadcast keeps its place among the documents sent one by one."""
    async with pair() as (client, connection):
        await connection.send(b"1")
        xmlsocket.broadcast([connection], b"2")
        await connection.send(b"3")
        xmlsocket.broadcast([connection], etree.Element("four"))

        assert [b"1", b"2", b"3", b"<four/>"] == [await client.recv() for _ in range(4)]


async def test_broadcast_skips_closed_connections() -> None:
    """Closed connections are passed over silently."""
    async with raw() as (connection, _, _writer):
        await connection.close()

        xmlsocket.broadcast([connection], b"x", raise_exceptions=True)

        assert 0 == connection.stats.frames_out


async def test_broadcast_delimiter_in_payload_sends_nothing() -> None:
    """A payload with a zero byte is refused before anything is sent."""
    async with raw() as (connection, _, _writer):
        with pytest.raises(DelimiterInPayload):
            xmlsocket.broadcast([connection], "a\0")
        assert 0 == connection.stats.frames_out


async def test_broadcast_cuts_the_peer_that_does_not_read_and_spares_the_others() -> None:
    """Above ``write_cap`` the stopped peer is cut off; the other one gets everything."""
    handler = Handler()
    options: dict[str, Any] = {"parse": bytes, "limits": Limits(write_cap=2**20)}
    async with xmlsocket.serve(handler, "127.0.0.1", 0, **options) as server:
        _, stopped_writer = await asyncio.open_connection("127.0.0.1", port_of(server))
        stopped = await handler.connection()
        async with xmlsocket.connect("127.0.0.1", port_of(server), parse=bytes) as client:
            live = await handler.connection()
            document = b"x" * 99_999
            received = 0
            errors: list[Exception] = []
            for _ in range(200):
                try:
                    xmlsocket.broadcast([stopped, live], document, raise_exceptions=True)
                except* ConnectionClosedError as group:
                    errors += group.exceptions
                received += len(await client.recv())

            assert 200 * 99_999 == received
            assert [CloseReason.SLOW_PEER] == [error.reason for error in errors]  # type: ignore[attr-defined]
            assert CloseReason.SLOW_PEER is stopped.close_reason
            assert live.close_reason is None
            handler.leave()
        stopped_writer.close()


async def test_broadcast_write_cap_is_exact_to_one_frame() -> None:
    """What waits for a peer never exceeds the cap by more than the frame that hit it."""
    async with raw(limits=Limits(write_cap=2**18), write_limit=0) as (connection, _, _writer):
        while not connection._writing_paused:
            xmlsocket.broadcast([connection], b"x" * 2**17)
        assert connection._in_transport > 0
        while connection.close_reason is None:
            before = connection._waiting_out()
            xmlsocket.broadcast([connection], b"x" * 99)

        assert 2**18 - 228 < before <= 2**18


async def test_broadcast_without_cap_keeps_everything() -> None:
    """``write_cap=None`` lifts the limit."""
    async with raw(limits=Limits(write_cap=None)) as (connection, reader, _):
        for _ in range(100):
            xmlsocket.broadcast([connection], b"x" * 99_999)
        assert connection.close_reason is None

        assert 10_000_000 == len(await reader.readexactly(10_000_000))


# What it tells


async def test_stats_count_both_directions() -> None:
    """The counters are frames and bytes, delimiters included."""
    async with raw() as (connection, reader, writer):
        writer.write(b"<a/>\0\0<b")
        await connection.recv()
        await until(lambda: connection.stats.bytes_in == 8)
        await connection.send_many([b"12", b"3"])
        await reader.readexactly(5)

        stats = connection.stats

        assert (1, 8, 1, 2) == (
            stats.frames_in,
            stats.bytes_in,
            stats.empty_skipped,
            stats.buffered_in,
        )
        assert (2, 5) == (stats.frames_out, stats.bytes_out)
        assert 0 <= stats.age


async def test_addresses_are_those_of_the_socket() -> None:
    """Each end's remote address is the other's local one."""
    async with pair() as (client, connection):
        assert client.local_address == connection.remote_address
        assert client.remote_address == connection.local_address


async def test_repr_names_id_and_state() -> None:
    """The representation tells which connection it is and how it ended."""
    async with raw() as (connection, _, _writer):
        assert f"<Connection {connection.id} open>" == repr(connection)
        await connection.close()
        assert f"<Connection {connection.id} local>" == repr(connection)


async def test_attributes_of_the_user_are_kept() -> None:
    """A handler may hang its own state on the connection."""
    async with raw() as (connection, _, _writer):
        connection.nickname = "waddle"  # type: ignore[attr-defined]

        assert "waddle" == connection.nickname  # type: ignore[attr-defined]
