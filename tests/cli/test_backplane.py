"""``xmlsocket serve --backplane``: one chat of several processes."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from tests.cli.support import PATIENCE, serving
from tests.support.nats import free_ports
from xmlsocket.cli import app

if TYPE_CHECKING:
    from tests.support.nats import NatsServer


REFUSED = "connection refused: is nats-server running there?"


def _hear(peer: socket.socket, *, from_: socket.socket, text: bytes) -> bytes:
    """Say something until it is heard: servers of a chat find each other in the background."""
    peer.settimeout(0.2)
    for _ in range(int(PATIENCE / 0.2)):
        from_.sendall(text + b"\0")
        try:
            return peer.recv(len(text) + 1)
        except TimeoutError:
            pass
    raise AssertionError("nothing was heard")


def test_chats_of_two_servers_are_one(nats_server: NatsServer) -> None:
    """What is said to one server is heard at the other, and not by who said it."""
    arguments = ("--mode", "chat", "--backplane", nats_server.url)
    with serving(*arguments) as one, serving(*arguments) as two:
        with (
            socket.create_connection(("127.0.0.1", one.port)) as ada,
            socket.create_connection(("127.0.0.1", two.port)) as ben,
        ):
            assert b"<hello/>\0" == _hear(ben, from_=ada, text=b"<hello/>")
            assert b"<hi/>\0" == _hear(ada, from_=ben, text=b"<hi/>")
        for server in (one, two):
            status, lines, err = server.stop()
            assert (0, b"") == (status, err)
            assert lines[-1].startswith("stopped after ")


def test_chat_of_workers_is_one_with_a_backplane(nats_server: NatsServer) -> None:
    """Whichever worker a client has, it hears the others."""
    arguments = ("--mode", "chat", "--workers", 2, "--backplane", nats_server.url)
    with serving(*arguments) as server:
        peers = [
            socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) for _ in range(6)
        ]
        for peer in peers[1:]:
            assert b"<hello/>\0" == _hear(peer, from_=peers[0], text=b"<hello/>")
        for peer in peers:
            peer.close()


@pytest.mark.parametrize(
    ("arguments", "status", "line"),
    [
        (
            ["--backplane", "nats://127.0.0.1:{port}"],
            2,
            "invalid value for '--backplane': needs --mode chat",
        ),
        (
            ["--mode", "chat", "--backplane", "redis://127.0.0.1"],
            2,
            "invalid value for '--backplane': begins with nats:// or tls://",
        ),
        (
            ["--mode", "chat", "--backplane", "nats://ada:secret@127.0.0.1:{port}"],
            1,
            f"cannot use NATS at 127.0.0.1:{{port}}: {REFUSED}",
        ),
    ],
)
def test_backplane_that_cannot_be_used_is_one_line(
    arguments: list[str], status: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever is wrong with it is told in one line, without the password."""
    (port,) = free_ports(1)

    assert status == app.run(["serve", *(text.format(port=port) for text in arguments)])
    assert ("", f"xmlsocket: {line.format(port=port)}\n") == capsys.readouterr()
