"""The examples run as they stand, and README shows them as they are."""

from __future__ import annotations

import ast
import contextlib
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.scripted import closed_port
from xmlsocket import Decoder
from xmlsocket.cli.demo.script import traffic

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "examples"
PATIENCE = 20.0


@contextlib.contextmanager
def running(
    name: str, port: int, folder: Path, metrics: int = 9340
) -> Iterator[subprocess.Popen[bytes]]:
    """Run an example with ``port`` for the port that it names, which may be taken here."""
    source = (EXAMPLES / name).read_text(encoding="utf-8")
    assert 1 == source.count('"127.0.0.1", 9339')
    source = source.replace("9340", str(metrics))
    copy = folder / name
    copy.write_text(source.replace('"127.0.0.1", 9339', f'"127.0.0.1", {port}'), encoding="utf-8")
    command = [sys.executable, "-u", "-W", "error", str(copy)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


def dial(port: int) -> socket.socket:
    """Connect as soon as someone listens: the examples say nothing when they do."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        except ConnectionRefusedError:
            assert time.monotonic() < deadline, "nobody listens"
            time.sleep(0.02)


def receive(peer: socket.socket, count: int) -> list[bytes]:
    """Read ``count`` documents."""
    decoder = Decoder()
    documents: list[bytes] = []
    while len(documents) < count:
        data = peer.recv(65536)
        assert data, f"stream ended after {documents}"
        documents += decoder.feed(data)
    return documents


def test_chat_server_and_clients_talk(tmp_path: Path) -> None:
    """What a client of the example says, the others get; what they say, it shows, escaped."""
    port = closed_port()
    with (
        running("chat_server.py", port, tmp_path),
        dial(port) as one,
        dial(port) as two,
    ):
        two.sendall(b"<ready/>\0")
        assert [b"<ready/>"] == receive(one, 1)

        with running("chat_client.py", port, tmp_path) as client:
            hello = b'<MESSAGE USER="Kim" TEXT="Hello!"/>'
            assert [hello] == receive(one, 1) == receive(two, 1)
            two.sendall('<MESSAGE USER="Ben\x9b" TEXT="你好"/>\0'.encode())
            assert client.stdout is not None
            assert "'Ben\\x9b' says '你好'\n" == client.stdout.readline().decode()


def test_chat_client_ends_when_the_server_closes(tmp_path: Path) -> None:
    """The client's loop ends in order, with status 0."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with running("chat_client.py", port, tmp_path) as client:
            peer, _ = listener.accept()
            with peer:
                peer.settimeout(PATIENCE)
                receive(peer, 1)
            assert 0 == client.wait(PATIENCE)


def test_mixed_traffic_answers_each_kind_in_its_own_way(tmp_path: Path) -> None:
    """XML, %-separated strings and JSON share a connection; nonsense gets an error, no more."""
    port = closed_port()
    asked_and_answered = [
        (b"<a><b/><c/></a>", b'<ok children="2"/>'),
        (b"%xt%harbour%move%1%2%", b"%xt%harbour%ok%"),
        (b'{"b": 1, "a": 2}', b'{"ok": ["a", "b"]}'),
        (b"hello", b"%error%nothing known begins with b'h'%"),
        (b"<a><b></a>", None),
        (b"%xt", None),
        (b"%\xff%x%", None),
        (b"{", None),
        (b"<still-there/>", b'<ok children="0"/>'),
    ]
    with running("mixed_traffic.py", port, tmp_path), dial(port) as peer:
        for asked, expected in asked_and_answered:
            peer.sendall(asked + b"\0")
            (answer,) = receive(peer, 1)
            if expected is None:
                assert answer.startswith(b"%error%")
            else:
                assert expected == answer


def test_prometheus_exporter_tells_what_the_server_counts(tmp_path: Path) -> None:
    """Gauges and counters, and by reason what is counted by reason, in Prometheus's words."""
    port, metrics = closed_port(), closed_port()
    with running("prometheus_exporter.py", port, tmp_path, metrics):
        with dial(port) as peer:
            peer.sendall(b"<a/>\0")
            assert [b"<a/>"] == receive(peer, 1)
            dial(metrics).close()
            wanted = [
                'xmlsocket_connections{reason=""} 1.0',
                'xmlsocket_frames_in_total{reason=""} 1.0',
                'xmlsocket_bytes_out_total{reason=""} 5.0',
                'xmlsocket_queued_out{reason=""} 0.0',
            ]
            lines = scrape(metrics)
            assert set(wanted) <= lines
        closed = 'xmlsocket_closed_total{reason="eof"} 1.0'
        deadline = time.monotonic() + PATIENCE
        while closed not in scrape(metrics):
            assert time.monotonic() < deadline, "the end was not counted"


def scrape(port: int) -> set[str]:
    """Ask as Prometheus does."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE) as answer:
        return set(answer.read().decode().splitlines())


@pytest.mark.parametrize("name", ["chat_server.py", "chat_client.py"])
def test_readme_shows_the_example(name: str) -> None:
    """A reader may copy from either."""
    source = (EXAMPLES / name).read_text(encoding="utf-8")
    _, code = source.split('"""\n\n', 1)

    assert f"```python\n{code}```" in (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["chat_server.py", "chat_client.py"])
def test_chat_example_is_ten_lines(name: str) -> None:
    """Blank lines and docstrings aside, the promise of README holds."""
    tree = ast.parse((EXAMPLES / name).read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.AsyncFunctionDef) and ast.get_docstring(node):
            del node.body[0]

    assert len([line for line in ast.unparse(tree).splitlines() if line.strip()]) <= 10


def test_every_example_is_run_by_a_test() -> None:
    """An example nobody runs stops working."""
    text = Path(__file__).read_text(encoding="utf-8")

    for path in {*EXAMPLES.glob("*.py")} - {EXAMPLES / "dbgp.py"}:  # by test_examples_dbgp.py
        assert f'running("{path.name}"' in text


def test_traffic_folder_is_the_one_that_the_demo_plays() -> None:
    """``examples/traffic`` and the package's data are the same documents."""
    folder = EXAMPLES / "traffic"
    if not folder.is_dir():
        pytest.skip("symbolic links were not checked out")
    documents = [path.read_bytes() for path in sorted(folder.glob("[0-9]*"))]

    assert [document for _, document in traffic()] == documents
    assert len(documents) >= 20
