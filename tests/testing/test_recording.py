"""The recording proxy between real sockets, and the lines that it writes."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import json
import socket
import ssl
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.scripted import expect, reset, scripted, send
from tests.support.tls import contexts
from xmlsocket.testing.conformance import Endpoint
from xmlsocket.testing.recording import (
    Event,
    Record,
    Recorder,
    RecordingError,
    RecordingProxy,
    read,
    replay,
)

from .recorded import (
    PATIENCE,
    Full,
    brief,
    closed,
    echoing,
    exchange,
    recording,
    records_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


async def test_proxy_records_both_sides_in_order() -> None:
    """Frames, the unfinished tail, both ends and who ended first are written, and all passes."""
    out = io.StringIO()
    async with (
        echoing() as server,
        recording(Endpoint("tcp", "127.0.0.1", server), Recorder(out)) as (port, _),
    ):
        assert b"<a/>\0\xff\0\0" == await exchange(port, b"<a/>\0\xff\0\0tail")
        records = await closed(out)

    assert [
        ("client", "open", None),
        ("client", "frame", b"<a/>"),
        ("client", "frame", b"\xff"),
        ("client", "frame", b""),
        ("client", "unfinished", b"tail"),
        ("client", "end", "closed"),
        ("server", "frame", b"<a/>"),
        ("server", "frame", b"\xff"),
        ("server", "frame", b""),
        ("server", "end", "closed"),
        ("client", "close", "closed"),
    ] == brief(records)
    assert sorted(record.seconds for record in records) == [r.seconds for r in records]
    assert {1} == {record.connection for record in records}
    assert records[0].peer is not None
    assert records[0].peer.startswith("127.0.0.1:")


async def test_proxy_passes_bytes_before_their_frame_is_complete() -> None:
    """Nothing is held back for a zero byte."""
    out = io.StringIO()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE)
        target = Endpoint("tcp", *listener.getsockname())
        async with recording(target, Recorder(out)) as (port, _):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            server, _ = await asyncio.to_thread(listener.accept)
            with server:
                server.settimeout(PATIENCE)
                writer.write(b"<hal")
                assert b"<hal" == await asyncio.to_thread(server.recv, 100)
                assert '"frame"' not in out.getvalue()
            writer.close()
            await closed(out)


async def test_proxy_frame_over_max_size_passes_whole_and_is_recorded_cut() -> None:
    """Its beginning and its true length are written, also of one that nothing ends."""
    out = io.StringIO()
    recorder = Recorder(out, max_size=4)
    async with (
        echoing() as server,
        recording(Endpoint("tcp", "127.0.0.1", server), recorder) as (port, _),
    ):
        assert b"0123456789\0<b/>\0" == await exchange(port, b"0123456789\0<b/>\0987654")
        records = await closed(out)
    kept = [(str(r.event), r.data, r.size) for r in records if r.data and r.side == "client"]
    assert [("oversize", b"0123", 10), ("frame", b"<b/>", 4), ("unfinished", b"9876", 6)] == kept
    assert 4 == recorder.frames


async def test_proxy_slow_reader_makes_the_sender_wait() -> None:
    """A side that does not read stops the other: what the proxy holds has a bound."""
    size = 64 * 2**20
    out = io.StringIO()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE)
        async with recording(Endpoint("tcp", *listener.getsockname()), Recorder(out)) as (port, _):
            with socket.create_connection(("127.0.0.1", port)) as client:
                server, _ = await asyncio.to_thread(listener.accept)
                with server:
                    client.settimeout(0.5)
                    sent = await asyncio.to_thread(_push, client, size)
                    assert 0 < sent < size
                    client.settimeout(PATIENCE)
                    server.settimeout(PATIENCE)
                    client.shutdown(socket.SHUT_WR)
                    assert sent == await asyncio.to_thread(_drain, server)
            await closed(out)


def _push(sock: socket.socket, size: int) -> int:
    """Send until nothing more is taken; return how much was."""
    sent = 0
    with contextlib.suppress(TimeoutError):
        while sent < size:
            sent += sock.send(bytes(2**16).replace(b"\0", b"x"))
    return sent


def _drain(sock: socket.socket) -> int:
    """Read to the end; return how much that was."""
    size = 0
    while data := sock.recv(2**20):
        size += len(data)
    return size


@pytest.mark.parametrize("who", ["client", "server"])
async def test_proxy_reset_is_passed_on_and_recorded(who: str) -> None:
    """A reset reaches the other side, and the recording says whose it was."""
    out = io.StringIO()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE)
        async with recording(Endpoint("tcp", *listener.getsockname()), Recorder(out)) as (port, _):
            client = socket.create_connection(("127.0.0.1", port))
            server, _ = await asyncio.to_thread(listener.accept)
            first, second = (client, server) if who == "client" else (server, client)
            with client, server:
                first.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                first.close()
                second.settimeout(PATIENCE)
                with pytest.raises(ConnectionResetError):
                    await asyncio.to_thread(second.recv, 1)
                records = await closed(out)
    assert (who, "close", "reset") == brief(records)[-1]


async def test_proxy_unreachable_server_is_recorded() -> None:
    """The client is reset, and the recording says why."""
    out = io.StringIO()
    with socket.create_server(("127.0.0.1", 0)) as free:
        target = Endpoint("tcp", *free.getsockname())
    async with recording(target, Recorder(out)) as (port, _):
        with pytest.raises(ConnectionResetError):
            await exchange(port, b"<a/>\0")
        records = await closed(out)
    assert ("server", "close") == (records[-1].side, str(records[-1].event))
    assert records[-1].how is not None
    assert "refused" in records[-1].how


async def test_proxy_stopped_says_so_and_resets_who_is_connected() -> None:
    """The end of the proxy is written for every open connection."""
    out = io.StringIO()
    async with (
        echoing() as server,
        recording(Endpoint("tcp", "127.0.0.1", server), Recorder(out)) as (port, serving),
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"<a/>\0")
        assert b"<a/>\0" == await reader.readexactly(5)
        serving.cancel()
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()
    assert ("proxy", "close", "stopped") == brief(records_of(out))[-1]


async def test_proxy_full_disk_ends_it_with_one_error() -> None:
    """A recording with gaps would be a lie: the proxy stops and says why."""
    async with (
        echoing() as server,
        recording(Endpoint("tcp", "127.0.0.1", server), Recorder(Full())) as (port, serving),
    ):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        async with asyncio.timeout(PATIENCE):
            with pytest.raises(RecordingError, match="no space left"):
                await serving
        writer.close()


async def test_proxy_tls_on_both_sides_keeps_answers_after_the_end() -> None:
    """TLS is ended at the proxy; a client that has ended its side still gets its answers."""
    server_context, client_context = contexts()
    out = io.StringIO()
    data = b"".join(b"<n%d/>\0" % number for number in range(3_000))
    async with (
        echoing(ssl=server_context) as server,
        recording(
            Endpoint("tls", "127.0.0.1", server, context=client_context),
            Recorder(out),
            context=server_context,
        ) as (port, _),
    ):
        assert data == await exchange(port, data, ssl=client_context)
        await closed(out)
    frames = [r.data for r in records_of(out) if r.event is Event.FRAME and r.side == "server"]
    assert data == b"".join(frame + b"\0" for frame in frames if frame is not None)


async def test_proxy_plain_client_half_closes_towards_tls() -> None:
    """The end of a plain client reaches a server with TLS, and the answers come back."""
    server_context, client_context = contexts()
    out = io.StringIO()
    async with (
        echoing(ssl=server_context) as server,
        recording(Endpoint("tls", "localhost", server, context=client_context), Recorder(out)) as (
            port,
            _,
        ),
    ):
        await exchange(port, b"<a/>\0")
        records = await closed(out)
    assert ("client", "end", "closed") in brief(records)
    assert ("client", "close", "closed") == brief(records)[-1]


async def test_proxy_tls_server_sees_an_end_in_order_and_may_still_answer() -> None:
    """The end goes on as TLS says it, not as a cut; what comes after it reaches the client."""
    server_context, client_context = contexts()

    def serve(listener: socket.socket) -> bytes:
        sock, _ = listener.accept()
        sock.settimeout(PATIENCE)
        with server_context.wrap_socket(
            sock, server_side=True, suppress_ragged_eofs=False
        ) as server:
            came = server.recv(100) + server.recv(100)
            server.sendall(b"<late/>\0")
            return came

    out = io.StringIO()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE)
        target = Endpoint("tls", "127.0.0.1", listener.getsockname()[1], context=client_context)
        async with recording(target, Recorder(out)) as (port, _):
            serving = asyncio.create_task(asyncio.to_thread(serve, listener))
            assert b"<late/>\0" == await exchange(port, b"<a/>\0")
            assert b"<a/>\0" == await serving
            await closed(out)


async def test_proxy_untrusted_server_is_not_talked_to() -> None:
    """A certificate that does not verify is an unreachable server."""
    server_context, _ = contexts()
    out = io.StringIO()
    async with (
        echoing(ssl=server_context) as server,
        recording(
            Endpoint("tls", "127.0.0.1", server, context=ssl.create_default_context()),
            Recorder(out),
        ) as (port, _),
    ):
        with contextlib.suppress(ConnectionError):
            await exchange(port, b"<a/>\0")
        records = await closed(out)
    assert records[-1].how is not None
    assert "certificate not accepted" in records[-1].how


def test_proxy_websocket_target_is_refused() -> None:
    """A relay of bytes has no use for the address of a WebSocket."""
    with pytest.raises(ValueError, match="name it as HOST:PORT"):
        RecordingProxy(Endpoint.parse("ws://127.0.0.1:1/"), Recorder(io.StringIO()))


@given(st.lists(st.binary(max_size=30), max_size=8))
@settings(max_examples=100, deadline=None)
def test_recorder_any_bytes_come_back_however_they_are_cut(pieces: list[bytes]) -> None:
    """What is read from a recording, each frame with its zero byte, is what was sent."""
    out = io.StringIO()
    tape = Recorder(out).open("peer")
    for piece in pieces:
        tape.client.took(piece)
    tape.client.ended(reset=False)
    tape.close("client", "closed")

    sent = b""
    for record in records_of(out):
        if record.data is not None:
            sent += record.data + (b"\0" if record.event is Event.FRAME else b"")
    assert b"".join(pieces) == sent


def test_record_line_is_safe_to_show_and_text_can_be_searched() -> None:
    """Text stays text, also in other scripts; what a terminal would obey is escaped."""
    out = io.StringIO()
    tape = Recorder(out, clock=iter([0.0, 1.0, 1.0, 1.5]).__next__, now=lambda: 1e9).open("peer")
    text = "ä東\x1b[2J\x9b\x7f\u202e\U000e0001"
    tape.client.took(text.encode() + b"\0")
    line = out.getvalue().splitlines()[1]

    assert line.isprintable()
    assert "ä東" in line
    fields = json.loads(line)
    assert text == fields["text"]
    assert ("2001-09-09T01:46:41.500000Z", 0.5) == (fields["time"], fields["seconds"])
    assert text.encode() == Record.parse(line).data


def test_recorder_negative_max_size_is_refused() -> None:
    """A limit below nothing is a mistake."""
    with pytest.raises(ValueError, match="max_size must be None or not negative, not -1"):
        Recorder(io.StringIO(), max_size=-1)


GOOD = (
    '{"time": "2026-11-23T10:00:00Z", "seconds": 0, "connection": 1, "side": "client",'
    ' "event": "frame", "size": 1, "text": "x"}'
)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("nonsense", "line 2: no JSON"),
        ("[1]", "line 2: no JSON object"),
        (GOOD.replace('"seconds": 0, ', ""), "line 2: seconds is missing"),
        (GOOD.replace('"frame"', '"song"'), "line 2: 'song' is not a valid Event"),
        (GOOD.replace('"client"', '"nobody"'), "line 2: 'nobody' is no side"),
        (GOOD.replace('"text": "x"', '"base64": "*"'), "line 2: base64:"),
        (GOOD.replace('"text": "x"', '"text": 5'), "line 2: "),
        (GOOD.replace("0, ", "[], ", 1), "line 2: "),
    ],
    ids=["json", "array", "missing", "event", "side", "base64", "text", "seconds"],
)
def test_read_line_that_is_no_record_is_named(line: str, message: str, tmp_path: Path) -> None:
    """An error has the number of the line and what is wrong with it."""
    path = tmp_path / "r.jsonl"
    path.write_text(f"{GOOD}\n{line}\n")
    with pytest.raises(RecordingError) as caught:
        list(read(path))
    assert str(caught.value).startswith(message)


def test_read_bytes_that_are_no_text_are_named(tmp_path: Path) -> None:
    """Another file is told from a recording."""
    path = tmp_path / "r.jsonl"
    path.write_bytes(b"\xff\n")
    with pytest.raises(RecordingError, match="line 1: no UTF-8"):
        list(read(path))


def session(*sent: bytes, answers: Iterable[bytes]) -> list[Record]:
    """Return a recording in which answers came behind all that was sent."""
    out = io.StringIO()
    tape = Recorder(out).open("peer")
    tape.client.took(b"".join(frame + b"\0" for frame in sent))
    tape.server.took(b"".join(frame + b"\0" for frame in answers))
    tape.client.ended(reset=False)
    tape.close("client", "closed")
    return records_of(out)


@pytest.mark.parametrize("fast", [False, True])
async def test_replay_sends_the_same_bytes_and_finds_differences(fast: bool) -> None:
    """The server gets what it got; the first answer that differs is told."""
    sent = [b"<a/>", b"\xff\xfe", b""]
    async with echoing() as port:
        target = Endpoint("tcp", "127.0.0.1", port)
        (same,) = await replay(session(*sent, answers=sent), target, fast=fast, wait=PATIENCE)
        (other,) = await replay(
            session(*sent, answers=[b"<a/>", b"other", b""]), target, fast=fast, wait=PATIENCE
        )
    assert (3, sent, None, None) == (same.sent, same.came, same.difference, same.failure)
    assert 1 == other.difference


async def test_replay_fewer_answers_differ_at_the_first_that_is_missing() -> None:
    """An answer that does not come is a difference, after ``wait`` seconds."""
    async with echoing() as port:
        target = Endpoint("tcp", "127.0.0.1", port)
        (outcome,) = await replay(session(b"x", answers=[b"x", b"y"]), target, wait=0.05)
    assert 1 == outcome.difference


async def test_replay_server_that_resets_counts_with_what_it_said_before() -> None:
    """The end of the server is no failure: the answers until then are compared."""
    with scripted([expect(b"x\0"), send(b"x\0"), reset()]) as server:
        target = Endpoint("tcp", "127.0.0.1", server.port)
        (outcome,) = await replay(session(b"x", answers=[b"x", b"y"]), target, wait=PATIENCE)
    assert (1, None) == (outcome.difference, outcome.failure)


def test_recorder_nothing_is_written_of_a_connection_that_is_closed() -> None:
    """The close is the last line of a connection, whoever notices the end of a side later."""
    out = io.StringIO()
    tape = Recorder(out).open("peer")
    tape.close("proxy", "stopped")
    tape.client.ended(reset=True)
    assert [("client", "open", None), ("proxy", "close", "stopped")] == brief(records_of(out))


async def test_replay_cut_frame_is_refused() -> None:
    """What was not recorded whole cannot be sent again."""
    out = io.StringIO()
    tape = Recorder(out, max_size=1).open("peer")
    tape.client.took(b"long\0")
    with pytest.raises(ValueError, match="connection 1 was recorded cut, see --max-size"):
        await replay(records_of(out), Endpoint("tcp", "127.0.0.1", 1))
    with pytest.raises(ValueError, match="no connection"):
        await replay([], Endpoint("tcp", "127.0.0.1", 1))


async def test_replay_unreachable_server_is_a_failure() -> None:
    """Each connection says why it could not be sent."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        target = Endpoint("tcp", *free.getsockname())
    (outcome,) = await replay(session(b"x", answers=[]), target)
    assert outcome.failure is not None
    assert "refused" in outcome.failure


def test_record_base64_is_for_what_is_no_text() -> None:
    """Bytes that are no UTF-8 have a key of their own."""
    out = io.StringIO()
    Recorder(out).open("peer").server.took(b"\xff\0")
    fields = json.loads(out.getvalue().splitlines()[1])
    assert base64.b64encode(b"\xff").decode() == fields["base64"]
    assert "text" not in fields
