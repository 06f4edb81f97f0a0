"""``xmlsocket connect`` with pipes and files."""

from __future__ import annotations

import contextlib
import os
import subprocess
from io import FileIO
from pathlib import Path

import pytest

from tests.cli.support import COMMAND, PATIENCE, environment, run, serving
from tests.support.scripted import (
    Step,
    attempt,
    closed_port,
    expect,
    expect_end,
    half_close,
    reset,
    scripted,
    send,
)
from xmlsocket.cli import app


def test_connect_sends_lines_and_prints_replies() -> None:
    """One document a line, blank lines left out; replies come one a line."""
    lines = b"<a/>\n\n<b>x</b>\r\n%xt%1%\n"
    script = [expect(b"<a/>\0<b>x</b>\0%xt%1%\0"), send(b"<1/>\0<2", b"/>\0"), expect_end()]
    with scripted(script) as server:
        result = run("connect", "127.0.0.1", server.port, "--replies", 2, given=lines)

    assert (0, b"<1/>\n<2/>\n", b"") == (result.returncode, result.stdout, result.stderr)


def test_connect_null_separates_input_and_output_by_zero_bytes() -> None:
    """With ``--null`` documents may have lines, may be empty, and the output is like the input."""
    documents = b"<a>\n</a>\0\0<b/>"
    script = [expect(b"<a>\n</a>\0\0<b/>\0"), send(b"<c>\n</c>\0\0"), expect_end()]
    with scripted(script) as server:
        result = run("connect", "127.0.0.1", server.port, "-0", "--replies", 2, given=documents)

    assert (0, b"<c>\n</c>\0\0", b"") == (result.returncode, result.stdout, result.stderr)


def test_connect_file_with_zero_bytes_needs_no_option(tmp_path: Path) -> None:
    """A file is looked through first: one zero byte in it and lines mean nothing."""
    path = tmp_path / "documents"
    path.write_bytes(b"<a>\n</a>\0<b/>\0")
    with scripted([expect(b"<a>\n</a>\0<b/>\0"), send(b"<ok/>\0"), expect_end()]) as server:
        result = run("connect", "127.0.0.1", server.port, "--file", path, "--replies", 1)

    assert (0, b"<ok/>\n", b"") == (result.returncode, result.stdout, result.stderr)


def test_connect_large_input_against_an_echo_does_not_get_stuck(tmp_path: Path) -> None:
    """Sending and receiving go on at once, or both sides would wait for each other."""
    path = tmp_path / "documents"
    path.write_bytes(b"".join(b"%08d" % n * 128 + b"\n" for n in range(8000)))
    with serving() as server:
        result = run("connect", "127.0.0.1", server.port, "--file", path, "--replies", 8000)

    assert (0, b"") == (result.returncode, result.stderr)
    assert path.read_bytes() == result.stdout


def test_connect_zero_byte_in_a_line_sends_nothing_of_it() -> None:
    """A pipe cannot be looked through: the line is named, and so is the option."""
    with scripted([expect_end()]) as server:
        result = run("connect", "127.0.0.1", server.port, given=b"<a/>\n<b/>\0\n<c/>\n")

    line = b"xmlsocket: input document 2 holds a zero byte, see --null\n"
    assert (1, b"", line) == (result.returncode, result.stdout, result.stderr)


def test_connect_prints_replies_while_the_input_is_open() -> None:
    """Another program can hold a conversation: nothing waits for the end of the input."""
    with serving() as server:
        command = [*COMMAND, "connect", "127.0.0.1", str(server.port), "--replies", "2"]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment()
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            for document in (b"<a/>\n", b"<b/>\n"):
                process.stdin.write(document)
                process.stdin.flush()
                assert document == process.stdout.readline()
            process.stdin.close()
            assert 0 == process.wait(PATIENCE)


def test_connect_ends_with_the_peer_though_the_input_is_open() -> None:
    """A pipe that never ends does not keep the command alive."""
    reader, writer = os.pipe()
    try:
        with scripted([send(b"<bye/>\0")]) as server:
            result = subprocess.run(
                [*COMMAND, "connect", "127.0.0.1", str(server.port)],
                stdin=reader,
                capture_output=True,
                timeout=PATIENCE,
                env=environment(),
                check=False,
            )
    finally:
        os.close(reader)
        os.close(writer)

    line = b"xmlsocket: connection ended before everything was sent: closed by the peer (eof)\n"
    assert (1, b"<bye/>\n", line) == (result.returncode, result.stdout, result.stderr)


@pytest.mark.parametrize(
    ("script", "options", "out", "line"),
    [
        ([send(b"<b/>\0"), half_close(), expect_end()], [], "<b/>\n", ""),
        ([send(b"<b/>\0"), expect_end()], ["--wait", "0.2"], "<b/>\n", ""),
        ([send(b"<b/>\0<c/>\0"), expect_end()], ["--replies", "1"], "<b/>\n", ""),
        ([expect_end()], ["--replies", "0"], "", ""),
        ([expect_end()], ["--wait", "0"], "", ""),
        (
            [send(b"<b/>\0"), expect_end()],
            ["--replies", "2", "--wait", "0.2"],
            "<b/>\n",
            "1 of 2 replies came within 0.2 seconds",
        ),
        (
            [send(b"<b/>\0"), half_close(), expect_end()],
            ["--replies", "2"],
            "<b/>\n",
            "1 of 2 replies came before the connection ended: closed by the peer (eof)",
        ),
        (
            [send(b"<b/>\0<half"), half_close()],
            [],
            "<b/>\n",
            "connection ended: stream ended inside a frame (incomplete_frame)",
        ),
        (
            [send(b"<b/>\0" + b"x" * 100), expect_end()],
            ["--limit", "max_size=50"],
            "<b/>\n",
            "connection ended: frame exceeds max_size (frame_too_big)",
        ),
        ([reset()], [], "", "connection ended: connection lost (reset)"),
    ],
)
def test_connect_status_tells_whether_all_went_well(  # noqa: PLR0917 - a table's columns
    script: list[Step],
    options: list[str],
    out: str,
    line: str,
    tmp_path: Path,
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    """Replies that came are printed in any case; what is missing is said and fails."""
    path = tmp_path / "input"
    path.write_bytes(b"<a/>\n")
    with scripted([expect(b"<a/>\0"), *script]) as server:
        arguments = ["connect", "127.0.0.1", str(server.port), "--file", str(path), *options]
        assert bool(line) == app.run(arguments)

    expected = f"xmlsocket: {line}\n" if line else ""
    assert (out.encode(), expected.encode()) == capfdbinary.readouterr()


def test_connect_refused_is_one_line() -> None:
    """Nobody listens: the address and the system's words, and nothing else."""
    port = closed_port()
    result = run("connect", "127.0.0.1", port)

    line = f"xmlsocket: cannot connect to 127.0.0.1:{port}: connection refused\n"
    assert (1, b"", line) == (result.returncode, result.stdout, result.stderr.decode())


@pytest.mark.parametrize(
    ("host", "options", "status", "lines"),
    [
        ("a..b", [], 1, ["cannot connect to a..b:{port}: unknown host"]),
        ("localhost", [], 1, ["cannot connect to localhost:{port}: connection refused"]),
        (
            "::1",
            [],
            1,
            # The second one where there is no IPv6.
            [
                "cannot connect to [::1]:{port}: connection refused",
                "cannot connect to [::1]:{port}: cannot assign requested address",
            ],
        ),
        (
            "no.such.invalid",
            [],
            1,
            # The second one where there is no network.
            [
                "cannot connect to no.such.invalid:{port}: unknown host",
                "cannot connect to no.such.invalid:{port}: temporary failure in name resolution",
            ],
        ),
        (
            "127.0.0.1",
            ["--limit", "open_timeout=0"],
            2,
            ["invalid value for '--limit': open_timeout must be positive or None, not 0.0"],
        ),
        (
            "127.0.0.1",
            ["--tls-ca", "/no.pem"],
            1,
            ["cannot use certificate /no.pem: no such file or directory"],
        ),
    ],
)
def test_connect_that_cannot_connect_is_one_line(
    host: str,
    options: list[str],
    status: int,
    lines: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Whatever is in the way is told in one line."""
    port = closed_port()
    assert status == app.run(["connect", host, str(port), *options])

    out, err = capsys.readouterr()
    assert "" == out
    assert err in {f"xmlsocket: {line.format(port=port)}\n" for line in lines}


def test_connect_missing_file_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """The file is named."""
    with scripted([expect_end()]) as server:
        arguments = ["connect", "127.0.0.1", str(server.port), "--file", "/nowhere/documents"]
        assert 1 == app.run(arguments)

    line = "xmlsocket: cannot read /nowhere/documents: no such file or directory\n"
    assert ("", line) == capsys.readouterr()


def test_connect_folder_as_file_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What can be opened but is no file fails as well."""
    with scripted([expect_end()]) as server:
        arguments = ["connect", "127.0.0.1", str(server.port), "--file", str(tmp_path)]
        assert 1 == app.run(arguments)

    assert ("", f"xmlsocket: cannot read {tmp_path}: is a directory\n") == capsys.readouterr()


@pytest.mark.parametrize("kind", ["file", "pipe"])
def test_connect_input_that_cannot_be_read_is_one_line(kind: str) -> None:
    """A standard input that was opened for writing only is told apart from an empty one."""
    reader, writer = os.pipe()
    with (
        FileIO(reader),
        FileIO(writer, "wb") as pipe,
        Path(os.devnull).open("wb") as file,
        scripted([expect_end()]) as server,
    ):
        result = subprocess.run(
            [*COMMAND, "connect", "127.0.0.1", str(server.port)],
            stdin=file if kind == "file" else pipe,
            capture_output=True,
            timeout=PATIENCE,
            env=environment(),
            check=False,
        )

    line = b"xmlsocket: cannot read the input: bad file descriptor\n"
    assert (1, b"", line) == (result.returncode, result.stdout, result.stderr)


def test_connect_without_standard_input_is_one_line() -> None:
    """A closed descriptor 0, as some supervisors leave it, is no crash."""
    with scripted([expect_end()]) as server:
        command = [*COMMAND, "connect", "127.0.0.1", str(server.port)]
        result = subprocess.run(
            ["/bin/sh", "-c", '"$@" <&-', "sh", *command],
            capture_output=True,
            timeout=PATIENCE,
            env=environment(),
            check=False,
        )

    line = b"xmlsocket: standard input is closed\n"
    assert (1, b"", line) == (result.returncode, result.stdout, result.stderr)


def test_connect_reader_of_the_output_that_leaves_is_no_crash() -> None:
    """``xmlsocket connect … | head -1`` ends without a traceback."""
    with serving() as server:
        command = [*COMMAND, "connect", "127.0.0.1", str(server.port), "--replies", "3"]
        with subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(),
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            assert process.stderr is not None
            process.stdin.write(b"<a/>\n")
            process.stdin.flush()
            assert b"<a/>\n" == process.stdout.readline()
            process.stdout.close()
            process.stdin.write(b"<b/>\n<c/>\n")
            process.stdin.flush()
            assert 1 == process.wait(PATIENCE)
            assert b"" == process.stderr.read()
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()


def test_connect_tls_to_a_server_without_it_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """A handshake with someone who speaks something else fails in one line."""
    with scripted([send(b"<hello/>\0"), attempt(lambda peer: peer.recv(2**16))]) as server:
        assert 1 == app.run(["connect", "127.0.0.1", str(server.port), "--tls"])

    out, err = capsys.readouterr()
    words = f"xmlsocket: cannot connect to 127.0.0.1:{server.port}: TLS failed: "
    assert "" == out
    assert err.startswith(words)
    assert 1 == err.count("\n")


def test_connect_silent_server_is_given_up(capsys: pytest.CaptureFixture[str]) -> None:
    """A handshake that leads nowhere ends after ``open_timeout``, which is named."""
    with scripted([attempt(lambda peer: peer.recv(2**16)), attempt(expect_end())]) as server:
        options = ["--tls", "--limit", "open_timeout=0.3"]
        assert 1 == app.run(["connect", "127.0.0.1", str(server.port), *options])

    where = f"127.0.0.1:{server.port}"
    line = f"xmlsocket: cannot connect to {where} within open_timeout=0.3 seconds\n"
    assert ("", line) == capsys.readouterr()
