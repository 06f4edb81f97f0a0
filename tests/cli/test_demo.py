"""``xmlsocket demo``: the performance, and the check that must be able to fail."""

from __future__ import annotations

import ast
import asyncio
import select
import signal
import socket
import sys
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import xmlsocket
from tests.cli.support import STEERING, Stdout, run, serving
from tests.support.scripted import closed_port, half_close, scripted, send
from xmlsocket.cli import app
from xmlsocket.cli.demo import clients, command, raw, script, stage
from xmlsocket.cli.demo.room import Room
from xmlsocket.cli.demo.screen import Screen
from xmlsocket.cli.demo.verdict import Tally, judge
from xmlsocket.cli.serve import Chat, open_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from xmlsocket import Connection

SMALL = script.write(script.traffic(), chorus=10)


class Seen:
    """Remembers what it watched."""

    def __init__(self) -> None:
        self.documents: list[bytes] = []
        self.relayed = 0

    def watch(self, document: bytes) -> None:
        """Remember a document."""
        self.documents.append(document)

    def progress(self, relayed: int) -> None:
        """Remember the last figure, which must not fall."""
        assert relayed >= self.relayed
        self.relayed = relayed


def perform(chat: Chat, audience: Seen | None = None) -> stage.Outcome:
    """Play the small script through ``chat`` and return what came of it."""

    async def play() -> stage.Outcome:
        async with await open_server(chat, "127.0.0.1", 0) as server:
            return await stage.perform(server, chat, SMALL, audience or Seen())

    return asyncio.run(play())


def errors_of(outcome: stage.Outcome) -> dict[str, tuple[int, int, int, int]]:
    """Return missing, repeated, disordered and foreign documents of those who have any."""
    return {
        tally.name: (tally.missing, tally.repeated, tally.disordered, tally.foreign)
        for tally in outcome.tallies
        if tally.errors
    }


def test_perform_healthy_chat_has_no_errors() -> None:
    """Five clients of five kinds hear all that the others say, and the audience sees it."""
    seen = Seen()
    outcome = perform(Chat(), seen)

    assert [] == outcome.failures
    assert 0 == outcome.errors
    assert {"ada", "ben", "flash", "rita", "juke"} == {tally.name for tally in outcome.tallies}
    for tally in outcome.tallies:
        assert tally.heard == tally.expected == SMALL.documents - tally.says
    assert SMALL.documents == outcome.relayed == seen.relayed
    assert SMALL.documents == len(seen.documents) == len(set(seen.documents))
    assert outcome.seconds is not None


VICTIM = b'<m from="juke" n="4" x="28" y="12"/>'


class Broken(Chat):
    """A chat that does one thing wrong with one document."""

    def __init__(self, harm: Callable[[list[bytes]], list[bytes]]) -> None:
        super().__init__()
        self._harm = harm
        self._kept: list[bytes] = []

    def relay(self, sender: Connection[bytes], frames: Iterable[bytes]) -> None:
        """Collect all documents of the chorus of one client, then relay them harmed."""
        frames = list(frames)
        if any(b'from="juke"' in frame for frame in frames):
            self._kept += [frame for frame in frames if b'from="juke"' in frame]
            frames = [frame for frame in frames if b'from="juke"' not in frame]
            if len(self._kept) == SMALL.chorus:
                harmed = self._harm(self._kept)
                self.relayed += SMALL.chorus - len(harmed)
                frames += harmed
        super().relay(sender, frames)


def _swap(frames: list[bytes]) -> list[bytes]:
    return [*frames[:4], frames[5], frames[4], *frames[6:]]


@pytest.mark.parametrize(
    ("harm", "errors"),
    [
        (lambda frames: [frame for frame in frames if frame != VICTIM], (1, 0, 0, 0)),
        (lambda frames: [*frames, VICTIM], (0, 1, 0, 0)),
        (_swap, (0, 0, 1, 0)),
        (lambda frames: [frame.replace(b'x="28"', b'x="29"') for frame in frames], (1, 0, 0, 1)),
        (lambda frames: [*frames[:4], frames[4] + frames[5], *frames[6:]], (2, 0, 0, 1)),
        (lambda frames: [*frames[:4], frames[4][:9], frames[4][9:], *frames[5:]], (1, 0, 0, 2)),
    ],
    ids=["lost", "doubled", "swapped", "altered", "joined", "split"],
)
def test_perform_broken_chat_is_found_out_by_every_listener(
    harm: Callable[[list[bytes]], list[bytes]], errors: tuple[int, int, int, int]
) -> None:
    """One document that is lost, doubled, swapped, altered, joined or split is noticed."""
    outcome = perform(Broken(harm))

    assert dict.fromkeys(["ada", "ben", "flash", "rita"], errors) == errors_of(outcome)
    assert [] == outcome.failures
    assert 4 * sum(errors) == outcome.errors


def test_perform_lost_cue_is_broken_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """When everyone waits for words that got lost, the demo ends and says how far it came."""

    class Deaf(Chat):
        def relay(self, sender: Connection[bytes], frames: Iterable[bytes]) -> None:
            # Not before: starting a process may take longer.
            monkeypatch.setattr(stage, "PATIENCE", 0.3)
            super().relay(sender, (frame for frame in frames if b'USER="rita"' not in frame))

    outcome = perform(Deaf())

    assert [f"broken off with 3 of {SMALL.documents} documents relayed"] == outcome.failures
    assert outcome.seconds is None
    assert 3 == outcome.relayed
    assert {"ada", "ben", "flash", "rita", "juke"} == set(errors_of(outcome))


@pytest.mark.parametrize("name", ["raw_client", "sync_client", "dictionary_client"])
def test_perform_client_that_fails_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that cannot take part breaks the performance off; its error is reported."""
    monkeypatch.setattr(stage, name, _refuse)
    outcome = perform(Chat())

    who = {"raw_client": "rita", "sync_client": "ben", "dictionary_client": "flash"}[name]
    assert f"{who}: OSError: out of \\x1b sockets" == outcome.failures[0]
    assert outcome.failures[1].startswith("broken off with ")
    assert 2 == len(outcome.failures)
    assert outcome.errors > 2


def _refuse(*_: object) -> None:
    raise OSError("out of \x1b sockets")


def test_perform_client_that_fails_at_the_end_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that heard everything and then fails is an error too."""

    def fail_late(*arguments: Any) -> None:
        raw.raw_client(*arguments)
        raise OSError("too late")

    monkeypatch.setattr(stage, "raw_client", fail_late)
    outcome = perform(Chat())

    assert ["rita: OSError: too late"] == outcome.failures
    assert 1 == outcome.errors


def test_perform_dictionary_client_has_to_display_every_message(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What went through onXML is counted apart from what went through onData."""

    def display_less(*arguments: Any) -> int:
        return clients.dictionary_client(*arguments) - 1

    monkeypatch.setattr(stage, "dictionary_client", display_less)

    written = sum(
        document.startswith(b"<MESSAGE ")
        for part in SMALL.parts
        if part.name != "flash"
        for document in part.says
    )
    assert [f"flash: displayed {written - 1} of {written} messages"] == perform(Chat()).failures


def test_judge_own_document_is_foreign() -> None:
    """Whoever hears himself hears something that nobody else said."""
    heard = {
        part.name: [
            document for other in SMALL.parts if other is not part for document in other.says
        ]
        for part in SMALL.parts
    }
    assert not any(tally.errors for tally in judge(SMALL, heard))

    heard["ben"].append(SMALL.parts[1].says[0])
    (tally,) = (tally for tally in judge(SMALL, heard) if tally.errors)
    size = sum(len(document) + 1 for document in heard["ben"])
    assert Tally("ben", 11, SMALL.documents - 11, len(heard["ben"]), size, foreign=1) == tally


def test_raw_client_imports_nothing_of_the_package() -> None:
    """Its evidence is worth something because it shares no code with what it tests."""
    tree = ast.parse(Path(raw.__file__).read_text(encoding="utf-8"))
    imported = {
        name
        for node in tree.body  # what stands under TYPE_CHECKING is not run
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (
            [node.module]
            if isinstance(node, ast.ImportFrom)
            else [alias.name for alias in node.names]
        )
    }

    assert {"__future__", "socket", "typing"} == imported


def test_raw_client_stream_that_ends_inside_a_document_raises() -> None:
    """A server that loses the end of a document is caught by the client without a decoder."""
    actor = script.Actor(script.Part("x", "x", ()))
    with scripted([send(b"<a/>\0<hal"), half_close()]) as server:
        with pytest.raises(EOFError, match="after 4 bytes of it"):
            raw.raw_client("127.0.0.1", server.port, actor)

    assert [b"<a/>"] == actor.heard


def test_dictionary_client_without_a_server_raises() -> None:
    """``onConnect(False)`` is an error of the demo, not an empty success."""
    actor = script.Actor(script.Part("x", "x", ()))

    with pytest.raises(ConnectionError, match=r"^onConnect\(False\)$"):
        clients.dictionary_client("127.0.0.1", closed_port(), actor)


def test_demo_shows_the_conversation_and_exits_0() -> None:
    """The command shows what is said, the figures and the verdict, plainly where no terminal is."""
    result = run("demo")
    out = result.stdout.decode()

    assert (0, b"") == (result.returncode, result.stderr)
    assert out.startswith("listening on 127.0.0.1:")
    assert out.endswith(
        "\n  ok: every client got what it should: every document of the others,"
        " byte for byte, in order, none twice\n"
    )
    assert "\n  errors      0\n" in out
    assert "\x1b" not in out
    for part in SMALL.parts:
        assert f"\n  {part.name:5}  {part.kind}\n" in out
    for name, document in script.traffic():
        assert f"  ({name}, {len(document):,} bytes)\n" in out


def test_demo_terminal_without_the_characters_gets_escapes() -> None:
    """Where the encoding of the output lacks characters, they are escaped; nothing fails."""
    result = run("demo", PYTHONIOENCODING="ascii")

    assert (0, b"") == (result.returncode, result.stderr)
    assert b"\\u4f60\\u597d!" in result.stdout


def test_demo_broken_chat_exits_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A check that cannot fail is no check: one lost document of thousands fails it."""

    class Forgetful(Room):
        def relay(self, sender: Connection[bytes], frames: Iterable[bytes]) -> None:
            kept = [frame for frame in frames if frame != VICTIM]
            self.relayed += len(list(frames)) - len(kept)
            super().relay(sender, kept)

    monkeypatch.setattr(command, "Room", Forgetful)

    assert 1 == app.run(["demo"])
    out = capsys.readouterr().out
    assert "\n  errors      4\n" in out
    assert out.endswith("\n  failed: not every client got what it should\n")


def test_demo_port_in_use_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """The demo fails as the server does."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert 1 == app.run(["demo", "--port", str(port)])

    line = f"xmlsocket: cannot listen on 127.0.0.1:{port}: address already in use\n"
    assert ("", line) == capsys.readouterr()


def test_demo_stay_leaves_the_server_up_until_a_signal() -> None:
    """After the verdict anyone may join the chat; a signal ends it with status 0."""
    with serving("--stay", command="demo") as server:
        stays = f"the server stays up until Ctrl-C: xmlsocket connect 127.0.0.1 {server.port}\n"
        assert server.process.stdout is not None
        for line in server.process.stdout:
            if line.decode() == stays:
                break
        page = f"chat page: http://127.0.0.1:{server.port}/\n"
        assert page == server.process.stdout.readline().decode()
        address = ("127.0.0.1", server.port)
        with (
            socket.create_connection(address, timeout=20) as one,
            socket.create_connection(address, timeout=20) as two,
        ):
            # Whoever speaks first is in the room before the other.
            one.sendall(b"<one/>\0")
            two.sendall(b"<two/>\0")
            (first, *_), _, _ = select.select([one, two], [], [], 20)
            assert (b"<two/>\0" if first is one else b"<one/>\0") == first.recv(100)
            status, lines, err = server.stop(signal.SIGINT)

    assert (0, b"") == (status, err)
    assert "closing 2 connections" == lines[0]
    assert lines[1].startswith("stopped after 7 connections, 5,041 documents in and ")


def test_screen_at_a_terminal_has_colours_and_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where someone watches, names are coloured and the many documents move a bar."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.delenv("NO_COLOR", raising=False)
    stdout = Stdout(tty=True)
    monkeypatch.setattr(sys, "stdout", stdout)

    screen = Screen(SMALL)
    with screen:
        for document in SMALL.parts[0].says:
            screen.watch(document)
        for relayed in range(SMALL.documents + 1):
            screen.progress(relayed)
    perfect = [Tally(part.name, 11, SMALL.documents - 11) for part in SMALL.parts]
    screen.summary(stage.Outcome(perfect, [], SMALL.documents, 0.5))

    assert "\x1b[36m  ada  \x1b[0m" in stdout.text
    shown = STEERING.sub("", stdout.text)
    assert f"{SMALL.documents}/{SMALL.documents}" in shown
    assert "400 documents a second delivered: 50 at once, each to 4, in 0.50 s" in shown
    for line in shown.splitlines():
        assert len(line) <= 110


def test_screen_failures_are_listed_and_no_rate_is_made_up(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What broke off has no speed; what went wrong stands above the verdict."""
    missed = [Tally(part.name, 11, 40, missing=40) for part in SMALL.parts]
    Screen(SMALL).summary(stage.Outcome(missed, ["rita: OSError: rain"], 3, None))

    out = capsys.readouterr().out
    assert "rate" not in out
    assert "\n  errors      201\n  rita: OSError: rain\n\n  failed: " in out


def test_traffic_covers_what_real_servers_carry() -> None:
    """At least 20 documents, all different, of all the kinds that the demo promises."""
    documents = dict(script.traffic())
    everything = b"".join(documents.values()).decode()

    assert len(documents) >= 20
    assert len(documents) == len(set(documents.values()))
    assert "\0" not in everything
    for name in ("room-list", "user-variables", "public-message", "news-feed", "drawing"):
        assert name in documents
    for mark in ("<![CDATA[", "xmlns:", "<rss ", "<svg ", "\n%xt%", "{"):
        assert mark in "\n".join(document.decode() for document in documents.values())
    assert b"" in documents.values()
    assert max(map(len, documents.values())) >= 200 * 1024
    scripts = {unicodedata.name(char, "").split()[0] for char in everything if char.isalpha()}
    assert {"LATIN", "CYRILLIC", "GREEK", "ARABIC", "HEBREW", "DEVANAGARI", "THAI"} <= scripts
    assert {"CJK", "HIRAGANA", "HANGUL", "TAMIL"} <= scripts
    assert any(ord(char) > 0xFFFF for char in everything)


@pytest.mark.parametrize("name", [name for name, _ in script.traffic()])
def test_traffic_that_looks_like_xml_is_xml(name: str) -> None:
    """Every document that begins like one can be parsed, those that do not cannot."""
    document = dict(script.traffic())[name]

    if document.startswith(b"<"):
        xmlsocket.parse(document)
    else:
        with pytest.raises(xmlsocket.DocumentError):
            xmlsocket.parse(document)
