"""The example of a debugger, before an engine that a test plays: what Xdebug never says."""

from __future__ import annotations

import socket

import pytest

from tests.support.dbgp import debugger
from tests.support.scripted import PATIENCE
from xmlsocket import Decoder

SPACE = b'xmlns="urn:debugger_protocol_v1"'
INIT = b'<?xml version="1.0" encoding="iso-8859-1"?>\n<init %s language="PHP" fileuri="a.php"/>'


def packet(document: bytes) -> bytes:
    """Return a packet of an engine."""
    document = document.replace(b"%s", SPACE)
    return b"%d\0%s\0" % (len(document), document)


def connect(port: int) -> socket.socket:
    """Connect as an engine."""
    return socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)


def test_packets_in_single_bytes_are_understood() -> None:
    """Lengths and documents come cut as they like; what is no response is passed over."""
    with debugger() as example, connect(example.port) as engine:
        for byte in packet(INIT):
            engine.send(bytes([byte]))
        assert "PHP runs 'a.php'" == example.line()
        engine.sendall(
            packet(b'<notify %s name="error"/>')
            + packet(b'<response %s transaction_id="1" status="break"/>')
        )
        assert ["break"] == example.ask("  run  ")

        decoder = Decoder()
        assert [b"run -i 1"] == decoder.feed(engine.recv(100))


FAULTS = {
    "length": (b"7\0<a/>\0", "ProtocolError: a document of 4 bytes after length b'7'"),
    "no length": (b"<a/>\0" * 2, "ProtocolError: a document of 4 bytes after length b'<a/>'"),
    "doctype": (b"16\0<!DOCTYPE a><a/>\0", "DocumentError: DOCTYPE is not allowed, line 1, "),
    "torn": (
        b"4\0<a",
        "IncompleteFrame: stream ended inside the frame starting at stream offset 2",
    ),
    "end": (b"4\0", "EOFError: the engine has closed the connection"),
    "transaction": (
        packet(INIT) + packet(b'<response %s transaction_id="8"/>'),
        "ProtocolError: a response to command 8, not 1",
    ),
}


@pytest.mark.parametrize(("data", "complaint"), FAULTS.values(), ids=FAULTS)
def test_engine_that_breaks_the_rules_is_told(data: bytes, complaint: str) -> None:
    """What is wrong is said in a line, with status 1."""
    with debugger() as example, connect(example.port) as engine:
        engine.sendall(data)
        engine.shutdown(socket.SHUT_WR)
        if data.startswith(packet(INIT)):
            example.line()
            example.ask("run", 0)

        assert example.end().startswith(complaint)


def test_frame_that_does_not_end_is_not_kept() -> None:
    """16 MiB of a document are the most that is held."""
    with debugger() as example, connect(example.port) as engine:
        engine.sendall(b"99999999\0" + b"x" * (2**24 + 1))

        expected = "FrameTooBig: frame starting at stream offset 9 exceeds max_size=16777216 bytes"
        assert expected == example.end()
