"""``xmlsocket record`` and ``xmlsocket replay`` as processes, and their command lines."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.cli.support import COMMAND, PATIENCE, environment, serving
from tests.testing.support import read_all
from xmlsocket.cli import app

if TYPE_CHECKING:
    from pathlib import Path


def test_record_writes_a_file_that_replay_shows_and_sends_again(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The file is its owner's alone; replaying gives the same answers, elsewhere others."""
    path = tmp_path / "session.jsonl"
    with serving() as server:
        target = f"127.0.0.1:{server.port}"
        with serving("127.0.0.1:0", target, path, command="record") as proxy:
            with socket.create_connection(("127.0.0.1", proxy.port), timeout=PATIENCE) as client:
                client.sendall(b"<a><b/></a>\0x\0")
                client.shutdown(socket.SHUT_WR)
                assert b"<a><b/></a>\0x\0" == read_all(client)[0]
            status, lines, err = proxy.stop(signal.SIGINT)
        assert (0, ["recorded 1 connection, 4 frames"], b"") == (status, lines, err)
        assert 0o600 == path.stat().st_mode & 0o777

        assert 0 == app.run(["replay", str(path), target, "--fast", "--wait", "20"])
        expected = "connection 1: 2 frames sent, 2 answers, the same as recorded\n"
        assert expected == capfd.readouterr().out

    assert 0 == app.run(["replay", str(path)])
    lines = capfd.readouterr().out.splitlines()
    assert "  1 > [open] 127.0.0.1:" in lines[0]
    assert ["  1 > <a>", "<b/>", "</a>"] == [lines[1][-9:], lines[2].strip(), lines[3].strip()]
    assert lines[-1].endswith("[close] closed")

    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        assert 1 == app.run(["replay", str(path), f"127.0.0.1:{port}", "--wait", "0.1"])
    assert (
        "connection 1: 2 frames sent, 0 of 2 answers, different from number 1:\n"
        "  recorded: <a><b/></a>\n"
        "  now:      nothing\n"
    ) == capfd.readouterr().out


@pytest.mark.parametrize("name", [[], ["-"]], ids=["none", "dash"])
def test_record_without_a_file_writes_to_standard_output(name: list[str]) -> None:
    """What is for people goes to standard error then; every line is there at once."""
    with serving() as server:
        process = subprocess.Popen(
            [*COMMAND, "record", "127.0.0.1:0", f"127.0.0.1:{server.port}", *name],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(),
        )
        with process:
            try:
                assert process.stderr is not None
                assert process.stdout is not None
                port = int(process.stderr.readline().decode().rpartition(":")[2])
                with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as client:
                    assert "open" == json.loads(process.stdout.readline())["event"]
                    client.sendall(b"<a/>\0")
                    fields = json.loads(process.stdout.readline())
                    assert ("client", "<a/>") == (fields["side"], fields["text"])
                process.send_signal(signal.SIGTERM)
                _, err = process.communicate(timeout=PATIENCE)
            finally:
                process.kill()
    assert 0 == process.returncode
    assert err.startswith(b"recorded 1 connection, ")


def test_record_on_a_full_disk_ends_with_one_line() -> None:
    """What cannot be written down does not pass."""
    with serving() as server, open("/dev/full", "wb") as full:  # noqa: PTH123
        process = subprocess.Popen(
            [*COMMAND, "record", "127.0.0.1:0", f"127.0.0.1:{server.port}"],
            stdout=full,
            stderr=subprocess.PIPE,
            env=environment(),
        )
        with process:
            try:
                assert process.stderr is not None
                port = int(process.stderr.readline().decode().rpartition(":")[2])
                with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as client:
                    assert b"" == read_all(client)[0]
                _, err = process.communicate(timeout=PATIENCE)
            finally:
                process.kill()
    assert 1 == process.returncode
    assert b"xmlsocket: cannot write the recording: no space left on device\n" == err


def test_record_without_standard_output_needs_a_file(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Programs that were started without one are told so."""
    monkeypatch.setattr("sys.stdout", None)
    assert 1 == app.run(["record", "127.0.0.1:0", "127.0.0.1:1"])
    assert "xmlsocket: standard output is closed\n" == capfd.readouterr().err


def test_record_unix_sockets_on_both_sides(tmp_path: Path) -> None:
    """Unix sockets are named as ``unix:PATH``, and the one of the proxy goes with it."""
    listening, path = tmp_path / "proxy.sock", tmp_path / "session.jsonl"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "server.sock"))
        server.listen()
        server.settimeout(PATIENCE)
        process = subprocess.Popen(
            [*COMMAND, "record", f"unix:{listening}", f"unix:{tmp_path}/server.sock", path],
            stdout=subprocess.PIPE,
            env=environment(),
        )
        with process:
            try:
                assert process.stdout is not None
                assert f"listening on {listening}\n" == process.stdout.readline().decode()
                with socket.socket(socket.AF_UNIX) as client:
                    client.connect(str(listening))
                    client.sendall(b"<a/>\0")
                    sock, _ = server.accept()
                    with sock:
                        sock.settimeout(PATIENCE)
                        assert b"<a/>\0" == sock.recv(100)
                process.send_signal(signal.SIGTERM)
                process.communicate(timeout=PATIENCE)
            finally:
                process.kill()
    assert not listening.exists()
    assert '"peer": "unix socket"' in path.read_text()


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["record", "nowhere", "127.0.0.1:1"], 2, "'LISTEN': 'nowhere' is not of the form HOST"),
        (["record", "127.0.0.1:0", "ws://x"], 2, "'TARGET': 'ws://x' is none of HOST:PORT, tls:"),
        (["record", "127.0.0.1:0", "x:1", "--tls-ca", "f"], 2, "goes with tls://HOST:PORT"),
        (["record", "127.0.0.1:0", "x:1", "/nowhere/f"], 1, "cannot write /nowhere/f: no such"),
        (["record", "unix:/nowhere/s", "x:1"], 1, "cannot listen on unix:/nowhere/s: no such"),
        (["record", "no.such.invalid:0", "x:1"], 1, "cannot listen on no.such.invalid:0: "),
        (["replay", "nowhere.jsonl"], 1, "cannot read nowhere.jsonl: no such file"),
        (["replay", "CONTRIBUTING.md"], 1, "CONTRIBUTING.md: line 1: no JSON"),
        (["replay", "/dev/null"], 1, "/dev/null: empty"),
    ],
)
def test_record_and_replay_bad_command_line_is_one_line(
    arguments: list[str], status: int, message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """What makes no sense is told in one line."""
    assert status == app.run(arguments)
    (line,) = capfd.readouterr().err.splitlines()
    assert message in line


def test_record_existing_file_is_left_alone(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """No recording is written over."""
    path = tmp_path / "session.jsonl"
    path.write_text("precious")
    assert 1 == app.run(["record", "127.0.0.1:0", "127.0.0.1:1", str(path)])
    assert f"xmlsocket: {path} exists; a recording replaces no file\n" == capfd.readouterr().err
    assert "precious" == path.read_text()


LINE = (
    '{"time": "2026-11-23T10:00:00Z", "seconds": 0, "connection": %d, "side": "client",'
    ' "event": "%s", "size": 9, "text": "x\\u001b[2J"}\n'
)


def test_replay_connection_and_cut_frames(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """``--connection`` chooses; what a terminal would obey is escaped; cut frames are not sent."""
    path = tmp_path / "session.jsonl"
    path.write_text(LINE % (1, "frame") + LINE % (2, "oversize"))
    assert 0 == app.run(["replay", str(path), "--connection", "2"])
    expected = "10:00:00.000000    0.000000    2 > [oversize] 9 bytes: x\\x1b[2J\n"
    assert expected == capfd.readouterr().out

    assert 1 == app.run(["replay", str(path), "--connection", "3"])
    assert f"xmlsocket: {path}: no such connection\n" == capfd.readouterr().err
    assert 1 == app.run(["replay", str(path), "127.0.0.1:1"])
    assert "was recorded cut" in capfd.readouterr().err


def test_replay_unreachable_server_fails(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The connection that could not be sent says why, and the status is 1."""
    path = tmp_path / "session.jsonl"
    path.write_text(LINE.replace("9", "5") % (1, "frame"))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    assert 1 == app.run(["replay", str(path), f"127.0.0.1:{port}"])
    assert "connection 1: 0 frames sent, then connection refused\n" == capfd.readouterr().out
