"""``xmlsocket connect`` at a terminal, a real one: a pseudo-terminal."""

from __future__ import annotations

import contextlib
import os
import re
import select
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from tests.cli.support import COMMAND, PATIENCE, STEERING, environment
from tests.support.scripted import expect, expect_end, half_close, scripted, send

if sys.platform == "win32":
    pytest.skip("there are no pseudo-terminals", allow_module_level=True)

import pty

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Terminal:
    """Someone who types and reads."""

    def __init__(self, process: subprocess.Popen[bytes], master: int) -> None:
        self.process = process
        self._master = master
        self.output = ""

    def type(self, keys: str) -> None:
        """Press keys."""
        os.write(self._master, keys.encode())

    def _prompts(self) -> bool:
        """Tell whether the prompt is drawn: while output is written keys would get lost."""
        on, off = (self.output.rfind(f"\x1b[?2004{switch}") for switch in "hl")
        return on > off and self.output.endswith("\x1b[?25h")

    def read_until(self, text: str) -> None:
        """Wait until ``text`` stands on the screen, colours aside, and the prompt below it."""
        deadline = time.monotonic() + PATIENCE
        while text not in STEERING.sub("", self.output) or not self._prompts():
            left = deadline - time.monotonic()
            assert left > 0, f"{text!r} never came, only {self.output!r}"
            if select.select([self._master], [], [], left)[0]:
                try:
                    self.output += os.read(self._master, 65536).decode()
                except OSError:  # EIO: the other side has closed
                    pytest.fail(f"{text!r} never came, only {self.output!r}")

    def finish(self) -> tuple[int, str]:
        """Wait for the end and return the status and all that was shown."""
        with contextlib.suppress(OSError):  # EIO: the other side has closed
            while data := os.read(self._master, 65536):
                self.output += data.decode()
        status = self.process.wait(PATIENCE)
        return status, STEERING.sub("", self.output).replace("\r", "")


@contextlib.contextmanager
def terminal(port: int, home: Path) -> Iterator[Terminal]:
    """Run ``xmlsocket connect`` at a terminal of its own."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, "connect", "127.0.0.1", str(port)],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
        # The terminal of the test does not answer when asked where its cursor is.
        env=environment(TERM="xterm-256color", XDG_STATE_HOME=str(home), PROMPT_TOOLKIT_NO_CPR="1"),
    )
    os.close(slave)
    try:
        with process:
            try:
                yield Terminal(process, master)
            finally:
                process.kill()
    finally:
        os.close(master)


def test_interactive_line_is_a_document_and_replies_are_indented(tmp_path: Path) -> None:
    """A typed line is sent; what comes is indented, coloured, and marked at its beginning."""
    script = [expect(b"<hello to='you'/>\0"), send(b"<a><b>hi</b></a>\0%xt%1%\0"), expect_end()]
    with scripted(script) as server, terminal(server.port, tmp_path) as screen:
        screen.read_until(
            f"connected to 127.0.0.1:{server.port}; a line is a document, Ctrl-D ends"
        )
        screen.type("<hello to='you'/>\r")
        screen.read_until("< %xt%1%")
        screen.type("\x04")
        status, shown = screen.finish()

    assert 0 == status
    assert "< <a>\n    <b>hi</b>\n  </a>\n" in shown
    assert shown.endswith("closed\n")
    assert re.search(r"\x1b\[[0-9;]+m<a\x1b", screen.output), "the element has a colour"


def test_interactive_hostile_documents_cannot_steer_the_terminal(tmp_path: Path) -> None:
    """Escape sequences, carriage returns and text that runs backwards are shown as escapes."""
    hostile = [
        b"\x1b]0;owned\x07",
        b"\x1b[2J",
        "<a>\x9b5n</a>".encode(),
        b"over\rwritten",
        b"\x9b\xff",
    ]
    script = [send(*(frame + b"\0" for frame in hostile), b"<end/>\0"), expect_end()]
    with scripted(script) as server, terminal(server.port, tmp_path) as screen:
        screen.read_until("< <end/>")
        screen.type("\x04")
        status, shown = screen.finish()

    assert 0 == status
    for line in (
        "\\x1b]0;owned\\x07",
        "\\x1b[2J",
        "<a>\\x9b5n</a>",
        "over\\rwritten",
        "\\x9b\\xff",
    ):
        assert f"< {line}\n" in shown
    for harm in ("\x1b]", "\x1b[2J", "\x9b", "\x07", "over\r"):
        assert harm not in screen.output


def test_interactive_history_is_kept_for_the_next_time(tmp_path: Path) -> None:
    """Arrow-up brings back what was typed, also in a later session; nobody else can read it."""
    for keys in ("<first/>\r", "\x1b[A\r"):
        script = [expect(b"<first/>\0"), send(b"<ok/>\0"), expect_end()]
        with scripted(script) as server, terminal(server.port, tmp_path) as screen:
            screen.read_until("Ctrl-D ends")
            screen.type(keys)
            screen.read_until("< <ok/>")
            screen.type("\x04")
            assert 0 == screen.finish()[0]

    assert 0o600 == (tmp_path / "xmlsocket" / "history").stat().st_mode & 0o777


def test_interactive_home_that_cannot_be_written_to_is_no_obstacle(tmp_path: Path) -> None:
    """Without a place for the history there is one for the session only."""
    home = tmp_path / "file"
    home.touch()
    script = [expect(b"<a/>\0"), send(b"<ok/>\0"), expect_end()]
    with scripted(script) as server, terminal(server.port, home) as screen:
        screen.read_until("Ctrl-D ends")
        screen.type("\r  \r<a/>\r")
        screen.read_until("< <ok/>")
        screen.type("\x03")
        assert 0 == screen.finish()[0]


def test_interactive_zero_byte_is_refused_and_the_talk_goes_on(tmp_path: Path) -> None:
    """Ctrl-Space types a zero byte, which no document may hold."""
    with (
        scripted([expect(b"<b/>\0"), send(b"<ok/>\0"), expect_end()]) as server,
        terminal(server.port, tmp_path) as screen,
    ):
        screen.read_until("Ctrl-D ends")
        screen.type("<a/>\x11\x00\r")  # Ctrl-Q takes the next key as it is
        screen.read_until("not sent: ")
        screen.type("<b/>\r")
        screen.read_until("< <ok/>")
        screen.type("\x04")
        assert 0 == screen.finish()[0]


@pytest.mark.parametrize(
    ("last", "status", "words"),
    [
        (b"<bye/>\0", 0, "closed by the peer\n"),
        (
            b"<bye/>\0<half",
            1,
            "xmlsocket: connection ended: stream ended inside a frame (incomplete_frame)\n",
        ),
    ],
)
def test_interactive_end_by_the_peer_ends_the_prompt(
    last: bytes, status: int, words: str, tmp_path: Path
) -> None:
    """Nobody has to press a key when the peer has gone; what came before is shown."""
    with (
        scripted([send(last), half_close(), expect_end()]) as server,
        terminal(server.port, tmp_path) as screen,
    ):
        ended, shown = screen.finish()
        # Here, where a command that never came to connect still shows why.
        assert "< <bye/>\n" in shown
        assert (status, True) == (ended, shown.endswith(words))
