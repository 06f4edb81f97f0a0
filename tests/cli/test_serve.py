"""``xmlsocket serve`` as a process, over real sockets."""

from __future__ import annotations

import signal
import socket
from typing import TYPE_CHECKING

import pytest
import trustme

from tests.cli.support import run, serving
from xmlsocket.cli import app
from xmlsocket.cli.demo.script import traffic

if TYPE_CHECKING:
    from pathlib import Path

WIRE = b"".join(document + b"\0" for _, document in traffic())


def _dial(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=20)


def _read(peer: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        chunk = peer.recv(size - len(data))
        assert chunk, f"stream ended after {len(data)} of {size} bytes"
        data += chunk
    return bytes(data)


def _echo(peer: socket.socket, wire: bytes) -> None:
    peer.sendall(wire)
    assert wire == _read(peer, len(wire))


def test_serve_echo_gives_every_byte_back() -> None:
    """Echo is the default; documents of every kind, empty ones included, come back unchanged."""
    with serving() as server, _dial(server.port) as peer:
        assert f"listening on 127.0.0.1:{server.port}" == server.first_line
        _echo(peer, WIRE)


def test_serve_chat_gives_every_byte_to_all_others() -> None:
    """What one client sends, all others get, unchanged; the sender does not."""
    with (
        serving("--mode", "chat") as server,
        _dial(server.port) as ada,
        _dial(server.port) as ben,
        _dial(server.port) as eve,
    ):
        # Clients are let in as they come: when the last one is heard, all are there.
        eve.sendall(b"<joined/>\0")
        for peer in (ada, ben):
            assert b"<joined/>\0" == _read(peer, 10)

        ada.sendall(WIRE)
        assert WIRE == _read(ben, len(WIRE))
        assert WIRE == _read(eve, len(WIRE))
        ben.sendall(b"<end/>\0")
        assert b"<end/>\0" == _read(ada, 7)
        assert b"<end/>\0" == _read(eve, 7)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serve_signal_closes_in_order_with_status_0(number: signal.Signals) -> None:
    """Ctrl-C and SIGTERM are no failures: clients see the end, then a summary comes."""
    with serving() as server, _dial(server.port) as peer:
        _echo(peer, b"<a/>\0")

        expected = [
            "closing 1 connection",
            "stopped after 1 connection, 1 document in and 1 out",
        ]
        assert (0, expected, b"") == server.stop(number)
        assert b"" == peer.recv(1)


def test_serve_without_connections_stops_at_once() -> None:
    """There is nothing to wait for and nobody to mention."""
    with serving() as server:
        expected = ["stopped after 0 connections, 0 documents in and 0 out"]
        assert (0, expected, b"") == server.stop()


def test_serve_second_signal_cuts_who_does_not_read_and_says_so() -> None:
    """Clients get time to take what is queued for them; asked again, the server takes it back."""
    # Only a second signal can end it in time.
    patient = "from xmlsocket.cli import serve; serve.GRACE = 3600"
    with serving(prelude=patient) as server, socket.socket() as peer:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        peer.settimeout(0.5)
        peer.connect(("127.0.0.1", server.port))
        document = b"x" * 65535 + b"\0"
        with pytest.raises(TimeoutError):
            # Until nothing moves any more: the server waits for this peer to read.
            while True:
                peer.sendall(document)
        host, port = peer.getsockname()

        assert server.process.stdout is not None
        server.process.send_signal(signal.SIGTERM)
        assert b"closing 1 connection\n" == server.process.stdout.readline()
        status, lines, err = server.stop()
        assert (0, b"") == (status, err)
        assert f"cut off {host}:{port}: it did not read in time" == lines[0]
        assert lines[1].startswith("stopped after 1 connection, ")


def test_serve_limit_holds() -> None:
    """A document over the limit ends its connection; others go on."""
    with serving("--limit", "max_size=5") as server:
        with _dial(server.port) as other, _dial(server.port) as peer:
            _echo(peer, b"<a/>\0")
            peer.sendall(b"<toolong/>\0")

            assert b"" == peer.recv(1)
            _echo(other, b"<b/>\0")


def test_serve_limit_none_lifts_it() -> None:
    """A document of 2 MiB goes through once the limit is lifted."""
    with serving("--limit", "max_size=none", "--limit", "write_limit=none") as server:
        result = run("connect", "127.0.0.1", server.port, "--replies", 1, "--limit",
                     "max_size=none", given=b"x" * 2**21)  # fmt: skip

        assert (0, b"") == (result.returncode, result.stderr)
        assert b"x" * 2**21 + b"\n" == result.stdout


def test_serve_verbose_logs_how_connections_end() -> None:
    """``--verbose`` names every connection and the reason of its end, never what it sent."""
    with serving("--verbose") as server:
        with _dial(server.port) as peer:
            _echo(peer, b"<secret/>\0")
        with _dial(server.port) as peer:
            _echo(peer, b"<secret/>\0")
            peer.sendall(b"<half")
        assert server.process.stderr is not None
        log = b""
        while b"connection 2 closed" not in log:
            log += server.process.stderr.readline()
        _, _, rest = server.stop()

        text = (log + rest).decode()
        assert "= connection 1 closed, eof\n" in text
        assert "= connection 2 closed, incomplete_frame\n" in text
        assert "secret" not in text


def test_serve_port_in_use_is_one_line() -> None:
    """Who else listens there is not known, but where is."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = run("serve", "--port", port)

    line = f"xmlsocket: cannot listen on 127.0.0.1:{port}: address already in use\n"
    assert (1, b"", line) == (result.returncode, result.stdout, result.stderr.decode())


@pytest.mark.parametrize(
    ("arguments", "status", "line"),
    [
        (["--host", "a..b", "--port", "9339"], 1, "cannot listen on a..b:9339: unknown host"),
        (
            ["--host", "192.0.2.1", "--port", "9339"],
            1,
            "cannot listen on 192.0.2.1:9339: cannot assign requested address",
        ),
        (
            ["--limit", "max_size=-1"],
            2,
            f"invalid value for '--limit': max_size must be None or between 0 and {2**62}, not -1",
        ),
        (
            ["--limit", "quantum=-1"],
            2,
            "invalid value for '--limit': Limits.quantum must be positive or None, not -1",
        ),
        (["--tls-key", "key.pem"], 2, "invalid value for '--tls-key': needs --tls-cert"),
        (
            ["--tls-cert", "/nowhere.pem"],
            1,
            "cannot use certificate /nowhere.pem: no such file or directory",
        ),
    ],
)
def test_serve_that_cannot_start_is_one_line(
    arguments: list[str], status: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever keeps it from listening is told in one line, with nothing on standard output."""
    assert status == app.run(["serve", *arguments])
    assert ("", f"xmlsocket: {line}\n") == capsys.readouterr()


def test_serve_tls_is_verified_by_connect(tmp_path: Path) -> None:
    """With a certificate the server speaks TLS, and the client checks name and issuer."""
    authority, stranger = trustme.CA(), trustme.CA()
    server_pem, trusted, wrong = (tmp_path / name for name in ("server.pem", "ca.pem", "wrong.pem"))
    issued = authority.issue_cert("localhost")
    issued.private_key_and_cert_chain_pem.write_to_path(server_pem)
    authority.cert_pem.write_to_path(trusted)
    stranger.cert_pem.write_to_path(wrong)

    with serving("--host", "localhost", "--tls-cert", server_pem) as server:
        port = server.port
        good = run("connect", "localhost", port, "--tls-ca", trusted, "--replies", 1, given=b"<a/>")
        bad_issuer = run("connect", "localhost", port, "--tls-ca", wrong)
        bad_name = run("connect", "127.0.0.1", port, "--tls-ca", trusted)
        no_tls = run("connect", "localhost", port, "--replies", 1, given=b"<a/>")

    assert (0, b"<a/>\n", b"") == (good.returncode, good.stdout, good.stderr)
    for result, words in [
        (bad_issuer, f"cannot connect to localhost:{port}: certificate not accepted: "),
        (bad_name, f"cannot connect to 127.0.0.1:{port}: certificate not accepted: "),
        (no_tls, "connection ended"),
    ]:
        assert (1, b"") == (result.returncode, result.stdout)
        assert 1 == result.stderr.count(b"\n")
        assert words in result.stderr.decode()
    assert b"'127.0.0.1'" in bad_name.stderr
