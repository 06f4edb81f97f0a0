"""What administrators get to read, whatever peers send."""

from __future__ import annotations

import logging
import socket
import threading
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import xmlsocket
from xmlsocket import sync

from ..asyncio.support import port_of, until
from ..support.tls import contexts

if TYPE_CHECKING:
    from xmlsocket.connection import Malformed

SECRET = "PayloadMarker"
PATIENCE = 30

# What a log must not show as it is: C0 and C1, line separators, bidi controls.
NASTY = "\t\n\r\x1b\x7f\x85\u200b\u202e\u2028\u2029\u2066\ufeff\U000e0001"

# Errors of lxml quote names, prefixes, entities, namespaces, targets.
PLACES = [
    "<{}>",
    "<a {}=''/>",
    "<a></{}>",
    "<a>&{};</a>",
    "<a xmlns='{}'/>",
    "<{}:a/>",
    "<a {}:b='1'/>",
    "<a {0}='1' {0}='2'/>",
    "<?{}",
    "<?xml version='{}'?><a/>",
    "<?xml version='1.0' encoding='{}'?><a/>",
    "<a>\\{}<",
    "{}",
]

hostile = st.text(
    st.one_of(
        st.sampled_from(NASTY),
        st.sampled_from("ab:é<&%s{}"),
        st.characters(exclude_characters="\0"),
    ),
    max_size=60,
)


class Records(logging.Handler):
    """Keeps what is logged above DEBUG."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines += [record.getMessage()]
        if record.exc_info:
            self.lines += logging.Formatter().formatException(record.exc_info).split("\n")


def log_of(frame: bytes, malformed: Malformed) -> list[str]:
    """Send one document to a server, and return what it logs above DEBUG."""
    records = Records()
    # One for each call: not in the register that lives as long as the process.
    logger = logging.Logger("test", logging.DEBUG)  # noqa: LOG001
    logger.addHandler(records)
    done = threading.Event()

    def handler(connection: sync.Connection[Any]) -> None:
        try:
            for _ in connection:
                pass
        finally:
            done.set()

    with sync.serve(handler, "127.0.0.1", 0, malformed=malformed, logger=logger) as server:
        port: int = server.sockets[0].getsockname()[1]
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as peer:
            peer.sendall(frame + b"\0")
            peer.shutdown(socket.SHUT_WR)
            assert done.wait(PATIENCE)
    return records.lines


def check(lines: list[str]) -> None:
    """No line is long, forged, turned round or tells what was sent."""
    for line in lines:
        assert line.isprintable()
        assert len(line) <= 300
        assert SECRET not in line


@pytest.mark.parametrize("malformed", ["raise", "skip"])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(place=st.sampled_from(PLACES), text=hostile, repeat=st.sampled_from([1, 1, 2000]))
@example(place="<a xmlns='{}'/>", text="x\nFAKE: all is well", repeat=1)
@example(place="<a></{}>", text="a\u202e", repeat=1)
@example(place="<{}:a/>", text="n", repeat=49_000)
@example(place="<a></{}>", text="a\U000e0001", repeat=1000)
def test_log_of_hostile_documents_is_short_printable_and_without_payload(
    malformed: Malformed, place: str, text: str, repeat: int
) -> None:
    """Whatever lxml quotes is escaped and cut, and text and attributes are never told."""
    broken = place.format(text * repeat)
    document = f"<doc key='{SECRET}'>{SECRET}{broken}"

    lines = log_of(document.encode(errors="surrogatepass"), malformed)

    assert 3 == len(lines), lines  # listening, the document, closing
    check(lines)


def test_log_of_many_bad_documents_is_one_line() -> None:
    """What a peer repeats is told once, then counted."""
    lines = log_of(b"\0".join(b"<a><%d>" % number for number in range(500)), "skip")

    assert 3 == len(lines)
    assert "document skipped" in lines[1]


# Probes

HELLO = bytes.fromhex("16030100c8010000c40303") + bytes(range(1, 190))
"""The beginning of a TLS handshake."""

PROBES = [
    b"",
    b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n",
    b"GET / HTTP/1.0\r\n\r\n",
    b"OPTIONS sip:nm SIP/2.0\r\n\r\n",
    b"SSH-2.0-OpenSSH_9.2\r\n",
    HELLO,
    b"\x03\x00\x00\x13\x0e\xe0\x00\x00\x00\x00\x00\x01\x00\x08\x00\x03\x00\x00\x00",
    b"\xff" * 300,
    b"<policy-file-request/>\0",
]


@pytest.mark.parametrize("tls", [False, True], ids=["tcp", "tls"])
@pytest.mark.parametrize("reset", [False, True], ids=["fin", "reset"])
async def test_probes_are_silent(
    caplog: pytest.LogCaptureFixture, *, tls: bool, reset: bool
) -> None:
    """Health checks and scanners are nothing to tell an administrator of."""
    caplog.set_level(logging.DEBUG)

    async def handler(connection: xmlsocket.Connection[bytes]) -> None:
        async for _ in connection:
            pass

    context, ours = contexts() if tls else (None, None)
    async with xmlsocket.serve(handler, "127.0.0.1", 0, parse=bytes, ssl=context) as server:
        for probe in PROBES:
            with socket.create_connection(("127.0.0.1", port_of(server))) as peer:
                if reset:
                    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                peer.sendall(probe)
        async with xmlsocket.connect("127.0.0.1", port_of(server), ssl=ours):
            pass  # whoever came before has been let in
        await until(lambda: not (server._tasks or server.connections))

    assert ["= listening on ", "= server closin"] == told(caplog)


@pytest.mark.parametrize("tls", [False, True], ids=["tcp", "tls"])
@pytest.mark.parametrize("reset", [False, True], ids=["fin", "reset"])
def test_probes_of_a_server_with_threads_are_silent(
    caplog: pytest.LogCaptureFixture, *, tls: bool, reset: bool
) -> None:
    """The same with threads."""
    caplog.set_level(logging.DEBUG)

    def handler(connection: sync.Connection[bytes]) -> None:
        for _ in connection:
            pass

    context, ours = contexts() if tls else (None, None)
    with sync.serve(handler, "127.0.0.1", 0, parse=bytes, ssl=context) as server:
        for probe in PROBES:
            with socket.create_connection(server.sockets[0].getsockname()) as peer:
                if reset:
                    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                peer.sendall(probe)
        with sync.connect(*server.sockets[0].getsockname(), ssl=ours):
            pass  # whoever came before has been let in

    assert ["= listening on ", "= server closin"] == told(caplog)


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the beginnings of what was logged above DEBUG, by whomever."""
    return [record.getMessage()[:15] for record in caplog.records if record.levelno > logging.DEBUG]
