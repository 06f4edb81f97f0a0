"""``xmlsocket serve`` with workers, with sockets that it is handed, and with its figures shown."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import socket
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.cli.support import COMMAND, PATIENCE, Serving, environment, run, serving
from xmlsocket import serve
from xmlsocket.cli import app
from xmlsocket.cli import workers as command
from xmlsocket.workers import WorkerFailed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(os.name != "posix", reason="workers need a POSIX system")

BOTH = pytest.mark.parametrize(
    "arguments",
    [
        pytest.param([], id="one process"),
        pytest.param(["--workers", "2"], id="workers", marks=pytest.mark.slow),
    ],
)


def dial(port: int) -> socket.socket:
    """Connect."""
    return socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)


def echo(peer: socket.socket) -> bytes:
    """Send a document and return what comes back."""
    peer.sendall(b"<a/>\0")
    return peer.recv(100)


@contextlib.contextmanager
def activated(listener: socket.socket, *arguments: str, **changes: str) -> Iterator[Serving]:
    """Run a server as systemd does: with a socket as descriptor 3, and told so."""
    script = 'LISTEN_PID=$$ LISTEN_FDS=1 exec "$@" 3<&"$FD"'
    number = listener.fileno()
    process = subprocess.Popen(
        ["bash", "-c", script, "bash", *COMMAND, "serve", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(FD=str(number), **changes),
        pass_fds=[number],
    )
    with process:
        try:
            yield Serving(process)
        finally:
            process.kill()


def test_serve_workers_echoes_and_stops_with_status_0() -> None:
    """The command with --workers is used like the one without."""
    with serving("--workers", "2") as server, dial(server.port) as peer:
        assert f"listening on 127.0.0.1:{server.port}" == server.first_line
        assert b"<a/>\0" == echo(peer)

        expected = ["stopped after 1 connection, 1 document in and 1 out"]
        assert (0, expected, b"") == server.stop()
        assert b"" == peer.recv(1)


def test_serve_workers_cut_who_does_not_read_and_say_how_many() -> None:
    """Their time is that of a single process; a policy for any port suits the one found."""
    with (
        serving(
            "--workers",
            "1",
            "--policy",
            "*:*",
            prelude="from xmlsocket.cli import serve;serve.GRACE=0",
        ) as server,
        socket.socket() as peer,
    ):
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        peer.settimeout(0.5)
        peer.connect(("127.0.0.1", server.port))
        document = b"x" * 65535 + b"\0"
        with pytest.raises(TimeoutError):
            # Until nothing moves any more: the server waits for this peer to read.
            while True:
                peer.sendall(document)

        status, lines, err = server.stop()

    assert (0, b"") == (status, err)
    assert "cut off 1 connection: they did not read in time" == lines[0]
    assert lines[1].startswith("stopped after 1 connection, ")


@pytest.mark.slow
def test_serve_workers_read_the_certificate_themselves(tmp_path: Path) -> None:
    """TLS works in workers, to which no TLS context can be sent."""
    trustme = pytest.importorskip("trustme")
    authority = trustme.CA()
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(
        tmp_path / "own.pem"
    )
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    with serving("--workers", "1", "--tls-cert", tmp_path / "own.pem") as server:
        result = run(
            "connect", "localhost", server.port, "--tls-ca", tmp_path / "ca.pem", given=b"<a/>\n"
        )

        assert (0, b"<a/>\n", b"") == (result.returncode, result.stdout, result.stderr)


def test_serve_chat_refuses_workers_that_share_no_room() -> None:
    """Clients would not hear each other; that is said, and what to do."""
    result = run("serve", "--mode", "chat", "--workers", "2")

    assert (1, b"") == (result.returncode, result.stdout)
    assert result.stderr.startswith(b"xmlsocket: --mode chat with --workers: ")


@pytest.mark.slow
def test_serve_chat_with_one_worker_is_one_room() -> None:
    """A supervisor is of use to a single process too."""
    with (
        serving("--mode", "chat", "--workers", "1") as server,
        dial(server.port) as ada,
        dial(server.port) as ben,
    ):
        ben.sendall(b"<joined/>\0")
        assert b"<joined/>\0" == ada.recv(100)
        ada.sendall(b"<a/>\0")
        assert b"<a/>\0" == ben.recv(100)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--workers", "2", "--host", "nowhere.invalid"], "cannot listen on nowhere.invalid:0"),
        (["--fd", "0"], "descriptor 0 is no listening TCP socket"),
        (["--fd", "999"], "descriptor 999 is no listening TCP socket"),
        (["--workers", "2", "--port", "9339", "--policy", "*:80"], "port"),
    ],
)
def test_serve_tells_in_one_line_why_it_cannot(arguments: list[str], error: str) -> None:
    """The supervisor finds what it can before it starts workers."""
    result = run("serve", *arguments)

    assert (1, b"") == (result.returncode, result.stdout)
    (line,) = result.stderr.decode().splitlines()
    assert line.startswith("xmlsocket: ")
    assert error in line


@BOTH
def test_serve_restarts_on_a_socket_of_systemd_without_a_refused_connect(
    arguments: list[str],
) -> None:
    """Whoever connects between the end of one server and the start of the next is served."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with activated(listener, *arguments) as server, dial(port) as peer:
            assert f"listening on 127.0.0.1:{port}" == server.first_line
            assert b"<a/>\0" == echo(peer)
            assert 0 == server.stop()[0]
        peers = [dial(port) for _ in range(20)]
        with activated(listener, *arguments) as server:
            assert [b"<a/>\0"] * 20 == [echo(peer) for peer in peers]
            assert 0 == server.stop()[0]
        for peer in peers:
            peer.close()


@BOTH
def test_serve_tells_systemd_when_it_is_ready(arguments: list[str], tmp_path: Path) -> None:
    """Units that start after this one find it serving (``Type=notify``)."""
    path = str(tmp_path / "notify")
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager,
    ):
        manager.bind(path)
        manager.settimeout(PATIENCE)
        with activated(listener, *arguments, NOTIFY_SOCKET=path) as server:
            assert b"READY=1" == manager.recv(100)
            assert 0 == server.stop()[0]


def test_serve_refuses_a_port_beside_a_socket() -> None:
    """The two would contradict each other."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        process = subprocess.run(
            [*COMMAND, "serve", "--port", "9339", "--fd", str(listener.fileno())],
            capture_output=True,
            timeout=PATIENCE,
            pass_fds=[listener.fileno()],
            env=environment(),
            check=False,
        )

    assert 2 == process.returncode
    assert b"'--port'" in process.stderr


@pytest.mark.slow
def test_serve_uvloop_echoes() -> None:
    """One process runs on uvloop as well."""
    pytest.importorskip("uvloop")
    with serving("--uvloop") as server, dial(server.port) as peer:
        assert b"<a/>\0" == echo(peer)
        assert 0 == server.stop()[0]


@BOTH
def test_serve_stats_prints_lines_where_there_is_no_terminal(arguments: list[str]) -> None:
    """Every line tells connections, rates, what waits, and how connections closed."""
    often = "from xmlsocket.cli import live; live.LINE_EVERY = 0.1"
    with serving("--stats", *arguments, prelude=often) as server:
        with dial(server.port) as peer:
            assert b"<a/>\0" == echo(peer)
            assert server.process.stdout is not None
            lines = iter(server.process.stdout.readline, b"")
            line = next(line for line in lines if b"connections 1 |" in line)
            assert b"documents/s in " in line
            assert b"waiting in 0 bytes out 0 bytes | dropped 0 | closed 0" in line
        line = next(line for line in lines if b"connections 0 |" in line)
        assert line.endswith(b"closed eof 1\n")
        status, out, err = server.stop(signal.SIGINT)
        assert (0, b"") == (status, err)
        assert "stopped after 1 connection, 1 document in and 1 out" == out[-1]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (WorkerFailed("no worker could be started"), "no worker could be started"),
        (NotImplementedError(), "--workers needs a POSIX system"),
    ],
)
def test_serve_workers_that_cannot_work_say_so_in_one_line(
    error: Exception,
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Where it cannot be provoked here, too."""

    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(command, "serve_workers", fail)

    assert 1 == app.run(["serve", "--workers", "2"])
    assert f"xmlsocket: {words}\n" == capfd.readouterr().err


async def test_worker_that_cannot_read_the_certificate_says_so_in_one_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The supervisor could, a moment ago."""
    starting = command._start([], running=serve, tls=(tmp_path / "gone.pem", None), options={})
    with pytest.raises(SystemExit):
        await starting.__aenter__()

    assert f"xmlsocket: cannot use certificate {tmp_path / 'gone.pem'}" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("package", "arguments", "words"),
    [
        ("uvloop", ["--uvloop"], "--uvloop needs uvloop, which is not installed"),
        (
            "nats",
            ["--mode", "chat", "--backplane", "nats://127.0.0.1:1"],
            "--backplane needs nats-py, which is not installed",
        ),
    ],
)
def test_serve_names_the_package_that_an_option_needs(
    package: str,
    arguments: list[str],
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """It is not installed with the command line."""
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == package else found(name)
    )

    assert 1 == app.run(["serve", *arguments])
    assert words in capfd.readouterr().err
