"""The examples in other frameworks run as they stand, within them, and behave alike."""

from __future__ import annotations

import contextlib
import dataclasses
import queue
import re
import select
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import xmlsocket.sync
from xmlsocket import Decoder, encode_many
from xmlsocket.testing.conformance import Endpoint, Options, Outcome, run

if TYPE_CHECKING:
    from collections.abc import Iterator

ADAPTERS = Path(__file__).resolve().parent.parent / "examples" / "adapters"
NAMES = ["socketserver", "tornado", "trio", "twisted"]
LINES = 40
LIMIT = 2**20
PATIENCE = 30.0
# A server that answers without regard to who reads would take far more than
# what the kernel's buffers hold, which is about ten megabytes.
FLOOD = encode_many([b"<n>%01000d</n>" % number for number in range(2**15)])
STALL = 0.2


@dataclasses.dataclass
class Server:
    """An example that runs, and what it says."""

    port: int
    said: queue.Queue[str]

    def dial(self) -> socket.socket:
        """Connect."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)

    def says(self) -> str:
        """Return the next line that it prints."""
        return self.said.get(timeout=PATIENCE)


@contextlib.contextmanager
def serving(program: Path) -> Iterator[Server]:
    """Run an example on a free port; what it complains of fails the test."""
    command = [sys.executable, "-u", "-X", "dev", "-W", "error", str(program), "0"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, encoding="utf-8") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        line = process.stdout.readline()
        found = re.fullmatch(r"listening on port (\d+)\n", line)
        try:
            assert found is not None, line + process.stderr.read()
            server = Server(int(found[1]), queue.Queue())
            complaints: list[str] = []
            readers = [
                threading.Thread(target=lambda: [*map(server.said.put, process.stdout or ())]),
                threading.Thread(target=lambda: complaints.extend(process.stderr or ())),
            ]
            for reader in readers:
                reader.start()
            yield server
            assert process.poll() is None
        finally:
            process.kill()
        for reader in readers:
            reader.join()
    # asyncio's debug mode also tells what took long, which it may on a busy machine.
    assert [] == [line for line in complaints if not line.startswith("Executing <")]


@pytest.fixture(scope="module", params=NAMES)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """Run each of the examples."""
    with serving(ADAPTERS / f"{request.param}_server.py") as found:
        yield found


@pytest.fixture(params=NAMES)
def impatient(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    """Run each of them with a fraction of a second for its minute."""
    source = (ADAPTERS / f"{request.param}_server.py").read_text("utf-8")
    assert 1 == source.count("60.0")
    program = tmp_path / "server.py"
    program.write_text(source.replace("60.0", "0.5"), "utf-8")
    with serving(program) as found:
        yield found


def receive(peer: socket.socket) -> list[bytes]:
    """Read documents until the server ends the stream."""
    decoder = Decoder()
    documents: list[bytes] = []
    while data := peer.recv(2**16):
        documents += decoder.feed(data)
    decoder.feed_eof()
    return documents


def exchange(peer: socket.socket, data: bytes) -> list[bytes]:
    """Send something, end the sending, and read to the end."""
    peer.sendall(data)
    peer.shutdown(socket.SHUT_WR)
    return receive(peer)


def flood(peer: socket.socket) -> int:
    """Send documents without reading until nothing is taken; return how many bytes were."""
    view, sent = memoryview(FLOOD), 0
    peer.setblocking(False)
    while sent < len(FLOOD) and select.select([], [peer], [], STALL)[1]:
        sent += peer.send(view[sent : sent + 2**16])
    peer.settimeout(PATIENCE)
    return sent


def test_adapters_are_all_tried() -> None:
    """No example is without these tests."""
    assert NAMES == sorted(path.name.removesuffix("_server.py") for path in ADAPTERS.iterdir())


@pytest.mark.parametrize("name", NAMES)
def test_adapter_is_short(name: str) -> None:
    """An adapter has 40 lines at most, the empty ones included."""
    assert len((ADAPTERS / f"{name}_server.py").read_text("utf-8").splitlines()) <= LINES


def test_documents_come_back_in_order(server: Server) -> None:
    """What our client sends in one go, or one at a time, it gets back as it was."""
    documents = [f"<n>{number} żółć</n>".encode() for number in range(2000)]
    with xmlsocket.sync.connect("127.0.0.1", server.port, parse=bytes) as client:
        client.send_many(documents)
        assert documents == [client.recv(timeout=PATIENCE) for _ in documents]
        for document in documents[:50]:
            client.send(document)
            assert document == client.recv(timeout=PATIENCE)


def test_documents_in_single_bytes_come_back_whole(server: Server) -> None:
    """Nothing depends on how TCP cuts the stream; empty documents are left out."""
    with server.dial() as peer:
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in b"<a>\xc3\xa9</a>\0\0\0<b/>\0":
            peer.send(bytes([byte]))

        assert [b"<a>\xc3\xa9</a>", b"<b/>"] == exchange(peer, b"")


def test_documents_before_the_end_of_the_stream_are_answered(server: Server) -> None:
    """The end of input is not the end of output, however much waits to be sent."""
    documents = [b"x" * 1000] * 3000

    def speak() -> None:
        peer.sendall(encode_many(documents))
        peer.shutdown(socket.SHUT_WR)

    with server.dial() as peer:
        speaker = threading.Thread(target=speak)
        speaker.start()
        assert documents == receive(peer)
        speaker.join()


def test_document_of_the_limit_passes_and_a_longer_one_ends_the_connection(
    server: Server,
) -> None:
    """What came before one that is too long is answered; the server says where that stood."""
    with server.dial() as peer:
        assert [b"x" * LIMIT] == exchange(peer, b"x" * LIMIT + b"\0")
    with server.dial() as peer:
        peer.sendall(b"<a/>\0" + b"x" * (LIMIT + 1))

        assert [b"<a/>"] == receive(peer)
    expected = f"FrameTooBig: frame starting at stream offset 5 exceeds max_size={LIMIT} bytes\n"
    assert expected == server.says()


def test_stream_that_ends_inside_a_document_is_told(server: Server) -> None:
    """Half a document comes not back; the server says so, and nothing of a stream in order."""
    with server.dial() as peer:
        assert [b"<whole/>"] == exchange(peer, b"<whole/>\0")
    with server.dial() as peer:
        assert [b"<a/>"] == exchange(peer, b"<a/>\0<torn")
    expected = (
        "IncompleteFrame: stream ended inside the frame starting at stream offset 5, "
        "5 bytes without a delimiter\n"
    )
    assert expected == server.says()


def test_unfinished_documents_of_two_clients_do_not_mix(server: Server) -> None:
    """Each connection has a decoder of its own."""
    with server.dial() as one, server.dial() as two:
        one.sendall(b"<one>")
        two.sendall(b"<two>")

        assert [b"<one></one>"] == exchange(one, b"</one>\0")
        assert [b"<two></two>"] == exchange(two, b"</two>\0")


def test_client_that_does_not_read_is_read_no_further(server: Server) -> None:
    """The server takes a few megabytes, serves the others, and loses nothing of what it took."""
    with server.dial() as deaf:
        sent = flood(deaf)
        assert sent < len(FLOOD)
        with server.dial() as other:
            assert [b"<a/>"] == exchange(other, b"<a/>\0")

        whole = FLOOD.rfind(b"\0", 0, sent) + 1
        answers = bytearray()
        while len(answers) < whole:
            answers += deaf.recv(2**16)
        assert FLOOD[:whole] == answers
        rest = FLOOD[sent : FLOOD.index(b"\0", sent) + 1]
        assert 1 == len(exchange(deaf, rest))


@pytest.mark.slow
def test_server_keeps_the_rules_of_the_protocol(server: Server) -> None:
    """The conformance kit finds nothing to complain of."""
    options = Options(quiet=0.1, pace=0.01, oversize=LIMIT + 2**16, endless=2 * LIMIT)
    report = run(Endpoint.parse(f"127.0.0.1:{server.port}"), options)

    assert ([], []) == (report.named(Outcome.FAILED), report.named(Outcome.WARNING)), str(report)
    assert len(report.named(Outcome.PASSED)) > len(report.named(Outcome.SKIPPED))


def test_client_that_does_not_read_or_is_silent_is_cut_off(impatient: Server) -> None:
    """No connection is kept for ever by a peer that has gone without a word."""
    with impatient.dial() as deaf, pytest.raises((ConnectionResetError, BrokenPipeError)):
        while True:
            deaf.sendall(b"<a/>\0" * 1000)
    with impatient.dial() as silent, contextlib.suppress(ConnectionResetError):
        assert b"" == silent.recv(1)
