"""The XMLSocket object against a scripted server: what is called, when, and with what."""

from __future__ import annotations

import asyncio
import errno
import functools
import logging
import threading
from typing import TYPE_CHECKING, Any

import pytest
from lxml import etree

from tests.support.scripted import (
    attempt,
    closed_port,
    do,
    expect,
    expect_end,
    half_close,
    reset,
    scripted,
    send,
    wait_for,
)
from tests.support.tls import contexts
from xmlsocket import DelimiterInPayload, Limits, XMLSocket
from xmlsocket.flash import Document, Node, Status, parse, serialize

from .support import Events, Parsing, Program, Recorded

if TYPE_CHECKING:
    from collections.abc import Callable

HOST = "127.0.0.1"


# The object


def test_xmlsocket_with_a_positional_argument_raises() -> None:
    """The constructor takes no positional arguments: connecting is for connect()."""
    with pytest.raises(TypeError, match="positional"):
        XMLSocket(HOST, 1024)  # type: ignore[call-arg, arg-type]


def test_xmlsocket_with_a_negative_max_size_raises() -> None:
    """An option that makes no sense is refused where it is given."""
    with pytest.raises(ValueError, match="max_size"):
        XMLSocket(max_size=-1)


async def test_xmlsocket_before_connect_is_unconnected(program: Program) -> None:
    """A new object has no connection: there is nothing to wait for, and nothing happens."""
    socket = Recorded()

    await program.ended(socket)
    assert [] == socket.events


# connect


@pytest.mark.parametrize("port", [-1, 0, 65536, 1090929898])
async def test_connect_to_a_port_out_of_range_returns_false(program: Program, port: int) -> None:
    """A port outside 1 to 65535 is refused at once, and no event follows."""
    socket = Recorded()

    assert await program.call(socket.connect, HOST, port) is False
    assert f"port {port} is not within 1 to 65535" == socket.why
    await program.ended(socket)
    assert [] == socket.events


async def test_connect_to_an_empty_host_returns_false(program: Program) -> None:
    """An empty host is refused at once, and no event follows."""
    socket = Recorded()

    assert await program.call(socket.connect, "", 1024) is False
    assert socket.why == "host is empty"
    await program.ended(socket)
    assert [] == socket.events


async def test_connect_that_returns_false_keeps_the_connection(program: Program) -> None:
    """A refused call changes nothing: the connection that is there goes on."""
    refused = threading.Event()
    with scripted([wait_for(refused), send(b"still here\0")]) as server:
        socket = Recorded()
        await program.call(socket.connect, HOST, server.port)
        await socket.events.reached(1)
        assert await program.call(socket.connect, HOST, 0) is False
        refused.set()
        await program.ended(socket)

    assert [("onConnect", True), ("onData", "still here"), ("onClose",)] == socket.events


@pytest.mark.parametrize("port", ["1024", 1024.0, None])
def test_connect_with_a_port_that_is_no_integer_raises(port: Any) -> None:
    """A mistake of the program is an error of Python, not one of the network."""
    with pytest.raises(TypeError, match="integer"):
        XMLSocket().connect(HOST, port)


def test_connect_without_a_host_raises() -> None:
    """None is no host: there is no movie whose host it could stand for."""
    with pytest.raises(TypeError, match="host must be str, not NoneType"):
        XMLSocket().connect(None, 1024)  # type: ignore[arg-type]


async def test_connect_to_a_port_nobody_listens_on_calls_onconnect_false(program: Program) -> None:
    """A refusal, even on loopback, comes as an event after connect() has returned true."""
    socket = Recorded()

    assert await program.call(socket.connect, HOST, closed_port()) is True
    await program.ended(socket)
    assert [("onConnect", False)] == socket.events


@pytest.mark.parametrize("host", ["a" * 64 + ".example", "local\0host", "256.256.256.256"])
async def test_connect_to_what_is_no_host_calls_onconnect_false(
    program: Program, host: str
) -> None:
    """A host that cannot be looked up is an answer like any other."""
    socket = Recorded()

    assert await program.call(socket.connect, host, 1024) is True
    await program.ended(socket)
    assert [("onConnect", False)] == socket.events


async def test_connect_that_fails_tells_why(
    program: Program, caplog: pytest.LogCaptureFixture
) -> None:
    """All failures look alike in onConnect; ``why`` and the log tell them apart."""
    caplog.set_level(logging.INFO, "xmlsocket.flash")
    port = closed_port()
    socket = Recorded()
    await program.call(socket.connect, HOST, port)
    await program.ended(socket)

    (message,) = [r.getMessage() for r in caplog.records if r.name == "xmlsocket.flash"]
    assert message.startswith(f"! cannot connect to {HOST}:{port}: ")
    assert f"[Errno {errno.ECONNREFUSED}]" in message
    assert message.endswith(f": {socket.why}")


async def test_connect_calls_no_handler_before_it_returns(program: Program) -> None:
    """Nothing is ever delivered from inside connect(), however quick the answer."""
    inside = threading.local()
    entered = []

    def connect() -> None:
        inside.connect = True
        assert socket.connect(HOST, closed_port())
        inside.connect = False

    socket = XMLSocket()
    socket.onConnect = lambda success: entered.append(getattr(inside, "connect", False))
    await program.call(connect)
    await program.ended(socket)

    assert [False] == entered


async def test_connect_over_tls_verifies_and_talks(program: Program) -> None:
    """With a TLS context the same events come over an encrypted stream."""
    server_context, client_context = contexts()
    with scripted([expect(b"<hi/>\0"), send(b"<ho/>\0")], ssl=server_context) as server:
        socket = Recorded(ssl=client_context)
        await program.call(socket.connect, HOST, server.port)
        await program.call(socket.send, "<hi/>")
        await program.ended(socket)

    assert [("onConnect", True), ("onData", "<ho/>"), ("onClose",)] == socket.events


async def test_timeout_that_passes_calls_onconnect_false(program: Program) -> None:
    """An attempt that the server never answers ends after ``timeout`` milliseconds."""
    silent = threading.Event()
    with scripted([wait_for(silent)]) as server:
        # A TCP server that never answers the start of TLS.
        socket = Recorded(ssl=contexts()[1])
        socket.timeout = 0  # raised to 250
        await program.call(socket.connect, HOST, server.port)
        await program.ended(socket)
        silent.set()

    assert [("onConnect", False)] == socket.events


def test_timeout_default_is_20_seconds() -> None:
    """An attempt may take 20,000 milliseconds unless the program says otherwise."""
    assert 20_000 == XMLSocket().timeout


@pytest.mark.parametrize(
    ("milliseconds", "expected"), [(-1, 250), (249, 250), (250, 250), (5, 250)]
)
def test_timeout_below_250_becomes_250(milliseconds: int, expected: int) -> None:
    """250 milliseconds is the shortest timeout, as in ActionScript 3."""
    socket = XMLSocket()
    socket.timeout = milliseconds

    assert expected == socket.timeout


def test_timeout_that_is_no_integer_raises() -> None:
    """Seconds as a fraction, Python's habit, would be a mistake here."""
    with pytest.raises(TypeError, match="integer"):
        XMLSocket().timeout = 2.5  # type: ignore[assignment]


# Events


async def test_events_of_a_connection_come_in_order(program: Program) -> None:
    """First onConnect, then onData and onXML in turn for each message, last onClose."""
    with scripted([send(b"<a/>\0<b/>\0<", b"c/>", b"\0")]) as server:
        socket = Parsing()
        assert await program.call(socket.connect, HOST, server.port) is True
        await program.ended(socket)

    assert [
        ("onConnect", True),
        ("onData", "<a/>"),
        ("onXML", 0, "<a />"),
        ("onData", "<b/>"),
        ("onXML", 0, "<b />"),
        ("onData", "<c/>"),
        ("onXML", 0, "<c />"),
        ("onClose",),
    ] == socket.events


async def test_handlers_assigned_as_attributes_are_called(program: Program) -> None:
    """Handlers need no subclass: functions assigned to the object are called with its events."""
    events = Events()
    with scripted([send(b"<a/>\0")]) as server:
        socket = XMLSocket()
        socket.onConnect = lambda success: events.record("onConnect", success)
        socket.onXML = lambda doc: events.record("onXML", int(doc.status))
        socket.onClose = lambda: events.record("onClose")
        await program.call(socket.connect, HOST, server.port)
        await program.ended(socket)

    assert [("onConnect", True), ("onXML", 0), ("onClose",)] == events


async def test_handlers_assigned_after_connect_are_called(program: Program) -> None:
    """A handler may be assigned or replaced at any time; the next event finds the new one."""
    assigned = threading.Event()
    events = Events()
    with scripted([wait_for(assigned), send(b"late\0")]) as server:
        socket = XMLSocket()
        await program.call(socket.connect, HOST, server.port)
        socket.onData = lambda src: events.record("assigned", src)
        assigned.set()
        await program.ended(socket)

    assert [("assigned", "late")] == events


async def test_handlers_left_alone_do_nothing(
    program: Program, caplog: pytest.LogCaptureFixture
) -> None:
    """An object without any handler of the program's takes its events in silence."""
    with scripted([send(b"<a/>\0<not XML\0")]) as server:
        socket = XMLSocket()
        assert await program.call(socket.connect, HOST, server.port) is True
        await program.ended(socket)

    assert [] == [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]


async def test_handler_that_raises_is_logged_and_the_next_event_comes(
    program: Program, caplog: pytest.LogCaptureFixture
) -> None:
    """An exception in a handler ends neither the connection nor the order of events."""

    class Clumsy(Recorded):
        def onConnect(self, success: bool) -> None:  # noqa: N802
            super().onConnect(success)
            raise RuntimeError("in onConnect")

        def onData(self, src: str) -> None:  # noqa: N802
            super().onData(src)
            raise asyncio.CancelledError("in onData")

        def onClose(self) -> None:  # noqa: N802
            super().onClose()
            raise RuntimeError("in onClose")

    with scripted([send(b"one\0two\0")]) as server:
        socket = Clumsy()
        await program.call(socket.connect, HOST, server.port)
        await program.ended(socket)

    assert [("onConnect", True), ("onData", "one"), ("onData", "two"), ("onClose",)] == (
        socket.events
    )
    assert [
        "! onConnect raised an exception",
        "! onData raised an exception",
        "! onData raised an exception",
        "! onClose raised an exception",
    ] == [r.getMessage() for r in caplog.records if r.levelno == logging.ERROR]


# onData and onXML


async def test_ondata_by_default_parses_and_calls_onxml(program: Program) -> None:
    """Without an onData of its own a program gets each message as Flash's document."""
    documents: list[Document] = []
    with scripted([send(b"<login user='Ada'><room/></login>\0")]) as server:
        socket = XMLSocket()
        socket.onXML = documents.append
        await program.call(socket.connect, HOST, server.port)
        await program.ended(socket)

    (document,) = documents
    assert Status.OK == document.status
    (login,) = document.nodes
    assert isinstance(login, Node)
    assert ("login", {"user": "Ada"}) == (login.name, login.attributes)
    assert b'<login user="Ada"><room /></login>' == serialize(document)


@pytest.mark.parametrize("how", ["assigned", "overridden"])
async def test_ondata_of_the_program_suppresses_all_parsing(program: Program, how: str) -> None:
    """With an onData of its own a program gets raw text: no parsing, no onXML."""
    with scripted([send(b"<a/>\0<not XML\0")]) as server:
        socket = Recorded() if how == "overridden" else Parsing()
        if how == "assigned":
            socket.onData = functools.partial(socket.events.record, "onData")  # type: ignore[method-assign]
        await program.call(socket.connect, HOST, server.port)
        await program.ended(socket)

    assert [("onConnect", True), ("onData", "<a/>"), ("onData", "<not XML"), ("onClose",)] == (
        socket.events
    )


async def test_onxml_is_called_for_what_is_no_document_too(
    program: Program, caplog: pytest.LogCaptureFixture
) -> None:
    """
    An error does not suppress onXML: the status carries it, the nodes what stood before it.

    Source: ActionScript dictionary, XML.status; swfdec, test/trace/xml-errors;
    Ruffle, avm1/xml_socket, for bare text.
    """
    messages = b"<a><b>\0%xt%1%\0\0<a/><!-- \0<a x='1\0<a/></b>\0<\xed\xa0\x80/>\0<b/><c/>\0"
    with scripted([send(messages)]) as server:
        socket = Parsing()
        await program.call(socket.connect, HOST, server.port)
        await program.ended(socket)

    assert [
        (-9, "<a><b /></a>"),
        (0, "%xt%1%"),
        (0, ""),
        (-5, "<a />"),
        (-8, ""),
        (-10, "<a />"),
        (0, "<\ufffd />"),
        (0, "<b /><c />"),
    ] == [event[1:] for event in socket.events if event[0] == "onXML"]
    assert [] == [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]


async def test_onxml_without_white_space_by_an_ondata_of_the_program(program: Program) -> None:
    """What XML.prototype.ignoreWhite did for Flash's onXML, an onData of one line does."""

    class Tidy(Parsing):
        def onData(self, src: str) -> None:  # noqa: N802
            self.onXML(parse(src, ignore_white=True))

    with scripted([send(b"<a>\n <b> c </b>\n</a>\0")]) as server:
        socket = Tidy()
        await program.call(socket.connect, HOST, server.port)
        await program.ended(socket)

    assert [("onXML", 0, "<a><b> c </b></a>")] == socket.events[1:-1]


async def test_ondata_called_by_the_program_parses(program: Program) -> None:
    """A subclass may look at the text first and leave the rest to the default onData."""

    class Unwrapping(Parsing):
        def onData(self, src: str) -> None:  # noqa: N802
            super().onData(src.removeprefix("!SOS"))

    with scripted([send(b"!SOS<log/>\0")]) as server:
        socket = Unwrapping()
        await program.call(socket.connect, HOST, server.port)
        await program.ended(socket)

    assert [("onConnect", True), ("onData", "<log/>"), ("onXML", 0, "<log />"), ("onClose",)] == (
        socket.events
    )


async def test_ondata_receives_empty_messages(program: Program) -> None:
    """Each zero byte delivers a message, also when there is nothing before it."""
    with scripted([send(b"\0a\0\0\0\0")]) as server:
        socket = Recorded()
        await program.call(socket.connect, HOST, server.port)
        await program.ended(socket)

    assert ["", "a", "", "", ""] == [event[1] for event in socket.events[1:-1]]


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("Grüße, 世界, 😀".encode(), "Grüße, 世界, 😀"),
        (b"\xef\xbb\xbf<a/>", "<a/>"),
        (b"\xef\xbb\xbf\xef\xbb\xbf<a/>", "\ufeff<a/>"),
        (b"<a/>\xef\xbb\xbf", "<a/>\ufeff"),
        (b"Gr\xfc\xdfe", "Gr\xfc\xdfe"),
        (b"\xed\xa0\x80", "\ud800"),
    ],
    ids=["UTF-8", "BOM", "two BOMs", "BOM at the end", "Latin-1", "lone surrogate"],
)
async def test_ondata_receives_utf8_without_one_leading_bom(
    program: Program, message: bytes, expected: str
) -> None:
    """Text is UTF-8; one byte order mark in front is dropped; invalid bytes read as Flash does."""
    with scripted([send(message + b"\0")]) as server:
        socket = Recorded()
        await program.call(socket.connect, HOST, server.port)
        await program.ended(socket)

    assert [("onConnect", True), ("onData", expected), ("onClose",)] == socket.events


async def test_ondata_receives_a_message_whole_however_it_is_cut(program: Program) -> None:
    """Messages do not depend on how the network cuts the stream."""
    stream = "<é/>\0<b>日本</b>\0".encode()
    with scripted([send(*(stream[i : i + 1] for i in range(len(stream))))]) as server:
        socket = Recorded()
        await program.call(socket.connect, HOST, server.port)
        await program.ended(socket)

    assert [("onData", "<é/>"), ("onData", "<b>日本</b>")] == socket.events[1:-1]


async def test_ondata_of_many_messages_is_called_for_each_in_order(program: Program) -> None:
    """However many messages one read completes, each is delivered once and in order."""
    count = 5_000
    with scripted([send(b"".join(b"%d\0" % i for i in range(count)))]) as server:
        socket = Recorded()
        await program.call(socket.connect, HOST, server.port)
        await program.ended(socket)

    assert [("onData", str(i)) for i in range(count)] == socket.events[1:-1]


# The end


@pytest.mark.parametrize("end", [half_close, reset], ids=["end of stream", "reset"])
async def test_onclose_is_called_when_the_server_ends_the_connection(
    program: Program, end: Callable[[], Callable[..., object]]
) -> None:
    """However the server ends the connection, onClose is called, once."""
    with scripted([expect(b"ready\0"), end()]) as server:
        socket = Recorded()
        await program.call(socket.connect, HOST, server.port)
        await program.call(socket.send, "ready")
        await program.ended(socket)

    assert [("onConnect", True), ("onClose",)] == socket.events


async def test_onclose_is_not_called_by_close(program: Program) -> None:
    """A program that closes the connection itself is not told so."""
    with scripted([expect_end()]) as server:
        socket = Recorded()
        await program.call(socket.connect, HOST, server.port)
        await socket.events.reached(1)
        await program.call(socket.close)
        await program.ended(socket)

    assert [("onConnect", True)] == socket.events


async def test_onclose_is_called_after_a_message_over_max_size(program: Program) -> None:
    """A limit that ends the connection is told as its end; messages before are delivered."""
    with scripted([send(b"1234\0", b"12345\0", b"6\0")]) as server:
        socket = Recorded(max_size=4)
        await program.call(socket.connect, HOST, server.port)
        await program.ended(socket)

    assert [("onConnect", True), ("onData", "1234"), ("onClose",)] == socket.events


async def test_onclose_comes_after_what_was_sent_before_it(program: Program) -> None:
    """Messages that arrive together with the end of the stream are delivered first."""
    with scripted([send(b"last words\0"), half_close(), expect_end()]) as server:
        socket = Recorded()
        await program.call(socket.connect, HOST, server.port)
        await program.ended(socket)

    assert [("onConnect", True), ("onData", "last words"), ("onClose",)] == socket.events


@pytest.mark.parametrize("end", [half_close, reset], ids=["end of stream", "reset"])
async def test_unterminated_tail_is_never_delivered(
    program: Program, end: Callable[[], Callable[..., object]]
) -> None:
    """What stands after the last zero byte is no message."""
    told = threading.Event()
    with scripted([send(b"whole\0", b"<tail/>"), wait_for(told), end()]) as server:
        socket = Recorded()
        await program.call(socket.connect, HOST, server.port)
        await socket.events.reached(2)
        told.set()
        await program.ended(socket)

    assert [("onConnect", True), ("onData", "whole"), ("onClose",)] == socket.events


async def test_unterminated_tail_is_not_carried_into_the_next_connection(program: Program) -> None:
    """A new connection starts with nothing of the old one."""

    class Again(Recorded):
        def onClose(self) -> None:  # noqa: N802
            super().onClose()
            if self.events.count(("onClose",)) == 1:
                self.connect(HOST, server.port)

    with scripted([send(b"<old")], [send(b"/>\0")]) as server:
        socket = Again()
        await program.call(socket.connect, HOST, server.port)
        await program.ended(socket)

    assert [
        ("onConnect", True),
        ("onClose",),
        ("onConnect", True),
        ("onData", "/>"),
        ("onClose",),
    ] == (socket.events)


# close


async def test_close_when_unconnected_is_silent(program: Program) -> None:
    """Closing what is not open does nothing, as often as one likes."""
    socket = Recorded()
    await program.call(socket.close)
    await program.call(socket.close)

    await program.ended(socket)
    assert [] == socket.events


async def test_close_in_ondata_drops_the_rest_of_the_same_read(program: Program) -> None:
    """After close() in a handler nothing more comes, not even what had arrived with it."""

    class Closing(Recorded):
        def onData(self, src: str) -> None:  # noqa: N802
            super().onData(src)
            self.close()

    with scripted([send(b"first\0second\0third\0"), expect_end()]) as server:
        socket = Closing()
        await program.call(socket.connect, HOST, server.port)
        await program.ended(socket)

    assert [("onConnect", True), ("onData", "first")] == socket.events


async def test_close_in_ondata_drops_later_reads(program: Program) -> None:
    """After close() in a handler nothing more comes, whatever the server still sends."""
    closed = threading.Event()

    class Closing(Recorded):
        def onData(self, src: str) -> None:  # noqa: N802
            super().onData(src)
            self.close()
            closed.set()

    with scripted([send(b"first\0"), wait_for(closed), attempt(send(b"second\0"))]) as server:
        socket = Closing()
        await program.call(socket.connect, HOST, server.port)
        await program.ended(socket)

    assert [("onConnect", True), ("onData", "first")] == socket.events


async def test_close_in_onconnect_drops_everything(program: Program) -> None:
    """A program that closes as soon as it is connected hears nothing more."""

    class Closing(Recorded):
        def onConnect(self, success: bool) -> None:  # noqa: N802
            super().onConnect(success)
            self.close()

    with scripted([attempt(send(b"hello\0"))]) as server:
        socket = Closing()
        await program.call(socket.connect, HOST, server.port)
        await program.ended(socket)

    assert [("onConnect", True)] == socket.events


async def test_close_in_ondata_between_ondata_and_onxml_does_not_stop_its_own_onxml(
    program: Program,
) -> None:
    """The default onData calls onXML, so onXML belongs to the event that is being handled."""

    class Closing(Parsing):
        def onData(self, src: str) -> None:  # noqa: N802
            self.close()
            super().onData(src)

    with scripted([send(b"<a/>\0<b/>\0"), expect_end()]) as server:
        socket = Closing()
        await program.call(socket.connect, HOST, server.port)
        await program.ended(socket)

    assert [("onConnect", True), ("onData", "<a/>"), ("onXML", 0, "<a />")] == socket.events


async def test_close_right_after_connect_leaves_no_event(program: Program) -> None:
    """An attempt that is given up before it began is never told about."""

    class Undecided(Recorded):
        def onConnect(self, success: bool) -> None:  # noqa: N802
            super().onConnect(success)
            assert self.connect(HOST, closed_port())
            self.close()

    socket = Undecided()
    await program.call(socket.connect, HOST, closed_port())
    await program.ended(socket)

    assert [("onConnect", False)] == socket.events


async def test_close_while_connecting_gives_up_without_event(program: Program) -> None:
    """close() ends an attempt that is under way, and onConnect is not called for it."""
    accepted, closed = threading.Event(), threading.Event()
    with scripted([do(accepted.set), wait_for(closed)]) as server:
        socket = Recorded(ssl=contexts()[1])  # the server never answers the start of TLS
        await program.call(socket.connect, HOST, server.port)
        await asyncio.to_thread(accepted.wait)
        await program.call(socket.close)
        await program.ended(socket)
        closed.set()

    assert [] == socket.events


async def test_close_delivers_what_was_sent_before(program: Program) -> None:
    """What a program sent before close() reaches a server that reads, however much it is."""
    payload = b"x" * 20_000_000  # more than the system's buffers hold
    closed = threading.Event()

    def send_and_close() -> None:
        socket.send(payload)
        socket.send("bye")
        socket.close()

    with scripted([wait_for(closed), expect(payload + b"\0bye\0"), expect_end()]) as server:
        socket = Recorded(limits=Limits(write_cap=None))
        await program.call(socket.connect, HOST, server.port)
        await socket.events.reached(1)
        await program.call(send_and_close)
        closed.set()
        await program.ended(socket)


# connect, again


async def test_connect_while_connected_closes_the_old_connection_silently(
    program: Program,
) -> None:
    """The new connection takes the place of the old one, which ends without onClose."""
    with scripted(
        [expect(b"to the old\0"), expect_end(), attempt(send(b"from the old\0"))],
        [expect(b"to the new\0"), send(b"from the new\0")],
    ) as server:
        socket = Recorded()
        await program.call(socket.connect, HOST, server.port)
        await program.call(socket.send, "to the old")
        await socket.events.reached(1)
        assert await program.call(socket.connect, HOST, server.port) is True
        await program.call(socket.send, "to the new")
        await program.ended(socket)

    assert [("onConnect", True), ("onConnect", True), ("onData", "from the new"), ("onClose",)] == (
        socket.events
    )


async def test_connect_in_ondata_drops_the_rest_of_the_old_connection(program: Program) -> None:
    """Once a handler has connected again, nothing of the old connection is delivered."""

    class Moving(Recorded):
        def onData(self, src: str) -> None:  # noqa: N802
            super().onData(src)
            if src == "move":
                self.connect(HOST, server.port)

    with scripted([send(b"move\0old\0older\0"), expect_end()], [send(b"new\0")]) as server:
        socket = Moving()
        await program.call(socket.connect, HOST, server.port)
        await program.ended(socket)

    assert [
        ("onConnect", True),
        ("onData", "move"),
        ("onConnect", True),
        ("onData", "new"),
        ("onClose",),
    ] == socket.events


async def test_connect_while_connecting_gives_up_the_first_attempt(program: Program) -> None:
    """Of two attempts only the second is told about."""

    class Undecided(Recorded):
        def onConnect(self, success: bool) -> None:  # noqa: N802
            super().onConnect(success)
            if not success:  # in a handler, since nothing is answered while it runs
                self.connect(HOST, closed_port())
                self.connect(HOST, server.port)

    with scripted([send(b"a\0")]) as server:
        socket = Undecided()
        await program.call(socket.connect, HOST, closed_port())
        await program.ended(socket)

    assert [("onConnect", False), ("onConnect", True), ("onData", "a"), ("onClose",)] == (
        socket.events
    )


async def test_connect_in_onconnect_false_tries_again(program: Program) -> None:
    """A program may try again as soon as it hears of the failure; success leaves no reason."""

    class Stubborn(Recorded):
        def onConnect(self, success: bool) -> None:  # noqa: N802
            super().onConnect(success)
            if not success:
                self.connect(HOST, server.port)

    with scripted([send(b"a\0")]) as server:
        socket = Stubborn()
        await program.call(socket.connect, HOST, closed_port())
        await program.ended(socket)

    assert [("onConnect", False), ("onConnect", True), ("onData", "a"), ("onClose",)] == (
        socket.events
    )
    assert socket.why == ""


# send


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (etree.fromstring("<a>é<b></b></a>"), "<a>é<b/></a>".encode()),
        (parse("<?xml?><a>é<b></b></a>"), "<?xml?><a>é<b /></a>".encode()),
        (Node("p:a", {"b": "'"}), b'<p:a b="&apos;" />'),
        ("<né/>", "<né/>".encode()),
        ("no XML at all", b"no XML at all"),
        (b"\xff\xfe", b"\xff\xfe"),
        (bytearray(b"<a/>"), b"<a/>"),
        (memoryview(b"<a/>"), b"<a/>"),
        ("", b""),
        (9, b"9"),
        (True, b"true"),
        (False, b"false"),
        (None, b"null"),
        (0.5, b"0.5"),
        (ValueError("anything"), b"anything"),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_send_writes_the_text_of_its_argument_and_a_zero_byte(
    program: Program, value: Any, expected: bytes
) -> None:
    """Elements go serialised, text and bytes as they are, anything else as its text."""
    with scripted([expect(expected + b"\0"), expect_end()]) as server:
        socket = Recorded()
        await program.call(socket.connect, HOST, server.port)
        await program.call(socket.send, value)
        await socket.events.reached(1)
        await program.call(socket.close)
        await program.ended(socket)


async def test_send_leaves_out_the_tail_of_an_element(program: Program) -> None:
    """What is sent of an element is the element, not the text that follows it."""
    root = etree.fromstring("<a><b/>tail</a>")
    with scripted([expect(b"<b/>\0")]) as server:
        socket = Recorded()
        await program.call(socket.connect, HOST, server.port)
        await program.call(socket.send, root[0])
        await program.ended(socket)


async def test_send_with_a_zero_byte_raises_and_sends_nothing(program: Program) -> None:
    """A zero byte would make two messages of one, so it is refused; the connection goes on."""
    with scripted([expect(b"good\0"), expect_end()]) as server:
        socket = Recorded()
        await program.call(socket.connect, HOST, server.port)
        with pytest.raises(DelimiterInPayload, match="index 3"):
            await program.call(socket.send, "bad\0bad")
        with pytest.raises(UnicodeEncodeError):
            await program.call(socket.send, "\ud800")
        await program.call(socket.send, "good")
        await socket.events.reached(1)
        await program.call(socket.close)
        await program.ended(socket)


async def test_send_when_unconnected_is_silent(program: Program) -> None:
    """Before connect() and after close() a message goes nowhere, and nobody is told."""
    with scripted([expect_end()]) as server:
        socket = Recorded()
        await program.call(socket.send, "before")
        await program.call(socket.connect, HOST, server.port)
        await socket.events.reached(1)
        await program.call(socket.close)
        await program.call(socket.send, "after\0")
        await program.ended(socket)
        await program.call(socket.send, "long after")


async def test_send_in_onclose_is_silent(program: Program) -> None:
    """In onClose the object is unconnected already."""

    class Late(Recorded):
        def onClose(self) -> None:  # noqa: N802
            super().onClose()
            self.send("too late\0")  # a zero byte, about which only a connected object complains
            self.events.record("sent")

    with scripted([half_close(), expect_end()]) as server:
        socket = Late()
        await program.call(socket.connect, HOST, server.port)
        await program.ended(socket)

    assert [("onConnect", True), ("onClose",), ("sent",)] == socket.events


async def test_send_overtaken_by_close_is_silent(program: Program) -> None:
    """A close() that comes while the text is still being made wins, as one by another thread."""

    class Slow:
        def __str__(self) -> str:
            socket.close()
            return "too late"

    class Sending(Recorded):
        def onConnect(self, success: bool) -> None:  # noqa: N802
            self.send(Slow())
            super().onConnect(success)

    with scripted([expect_end()]) as server:
        socket = Sending()
        await program.call(socket.connect, HOST, server.port)
        await program.ended(socket)

    assert [("onConnect", True)] == socket.events


async def test_send_between_connect_and_onconnect_is_kept_and_delivered(program: Program) -> None:
    """What is sent too early is not lost, and goes before what onConnect sends."""

    class Eager(Recorded):
        def onConnect(self, success: bool) -> None:  # noqa: N802
            super().onConnect(success)
            if success:
                self.send("3")
            else:  # in a handler, since nothing is answered while it runs
                self.connect(HOST, server.port)
                self.send("1")
                self.send("2")

    with scripted([expect(b"1\x002\x003\0")]) as server:
        socket = Eager()
        await program.call(socket.connect, HOST, closed_port())
        await program.ended(socket)

    assert [("onConnect", False), ("onConnect", True), ("onClose",)] == socket.events


async def test_send_in_handlers_keeps_the_order(program: Program) -> None:
    """Answers go out in the order in which handlers send them."""

    class Echo(Recorded):
        def onData(self, src: str) -> None:  # noqa: N802
            self.send(src)
            self.send(src.upper())

    count = 2000
    messages = b"".join(b"m%d\0" % i for i in range(count))
    answers = b"".join(b"m%d\0M%d\0" % (i, i) for i in range(count))
    with scripted([send(messages), expect(answers)]) as server:
        socket = Echo()
        await program.call(socket.connect, HOST, server.port)
        await program.ended(socket)


async def test_send_from_many_threads_delivers_each_message_whole(program: Program) -> None:
    """Threads may send at once: no message is lost, torn or out of its thread's order."""
    threads, count = 4, 500
    received: list[bytes] = []

    def collect(peer: Any) -> None:
        data = b""
        while data.count(b"\0") < threads * count:
            data += peer.recv(2**16)
        received.extend(data.split(b"\0")[:-1])

    def send_all(thread: int) -> None:
        for i in range(count):
            socket.send(f"{thread} {i}")

    with scripted([collect]) as server:
        socket = Recorded()
        await program.call(socket.connect, HOST, server.port)
        await asyncio.gather(*(asyncio.to_thread(send_all, i) for i in range(threads)))
        await program.ended(socket)

    for thread in range(threads):
        own = [message for message in received if message.startswith(b"%d " % thread)]
        assert [b"%d %d" % (thread, i) for i in range(count)] == own


async def test_send_to_a_server_that_does_not_read_cuts_it_at_the_write_cap(
    program: Program,
) -> None:
    """send() never waits; when more than ``write_cap`` bytes wait the connection ends."""
    ended = threading.Event()

    class Flooding(Recorded):
        def onData(self, src: str) -> None:  # noqa: N802
            super().onData(src)
            self.send("x" * 60_000)
            self.send("x" * 60_000)

    with scripted([send(b"go\0" * 1000), wait_for(ended)]) as server:
        socket = Flooding(limits=Limits(write_cap=200_000))
        await program.call(socket.connect, HOST, server.port)
        await program.ended(socket)
        ended.set()

    assert ("onConnect", True) == socket.events[0]
    assert [("onClose",)] == [event for event in socket.events if event[0] == "onClose"]
    assert ("onClose",) == socket.events[-1]


async def test_send_over_the_write_cap_in_one_handler_cuts_the_connection(
    program: Program, caplog: pytest.LogCaptureFixture
) -> None:
    """What one handler may leave behind for the server is bounded by ``write_cap``."""
    caplog.set_level(logging.INFO, "xmlsocket.flash")

    class Flooding(Recorded):
        def onConnect(self, success: bool) -> None:  # noqa: N802
            super().onConnect(success)
            for _ in range(10):
                self.send(b"x" * 1000)

    with scripted([]) as server:
        socket = Flooding(limits=Limits(write_cap=5000))
        await program.call(socket.connect, HOST, server.port)
        await program.ended(socket)

    assert [("onConnect", True), ("onClose",)] == socket.events
    assert any("Limits.write_cap" in r.getMessage() for r in caplog.records)


async def test_send_over_the_write_cap_before_onconnect_fails_the_attempt(
    program: Program,
) -> None:
    """What is kept until the connection is there is bounded, too."""

    class Flooding(Recorded):
        def onConnect(self, success: bool) -> None:  # noqa: N802
            super().onConnect(success)
            if len(self.events) == 1:  # in a handler, since nothing is answered while it runs
                self.connect(HOST, server.port)
                for _ in range(10):
                    self.send(b"x" * 1000)

    with scripted([]) as server:
        socket = Flooding(limits=Limits(write_cap=5000))
        await program.call(socket.connect, HOST, closed_port())
        await program.ended(socket)

    assert [("onConnect", False), ("onConnect", False)] == socket.events
    assert "Limits.write_cap" in socket.why


async def test_send_without_a_write_cap_keeps_everything(program: Program) -> None:
    """``write_cap=None`` lifts the bound."""

    def connect_and_send() -> None:
        socket.connect(HOST, server.port)
        for _ in range(100):
            socket.send(b"x" * 100_000)

    with scripted([expect((b"x" * 100_000 + b"\0") * 100)]) as server:
        socket = Recorded(limits=Limits(write_cap=None))
        await program.call(connect_and_send)
        await program.ended(socket)

    assert [("onConnect", True), ("onClose",)] == socket.events
