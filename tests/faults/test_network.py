"""A peer whose cable is pulled: a network namespace whose link goes down."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

import xmlsocket
from xmlsocket import Limits

from ..asyncio.support import Handler, port_of

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE = 40
SPACE, NEAR, FAR = (f"xs{os.getpid()}{end}" for end in ("", "a", "b"))
# Of the block for documentation: nobody else uses it.
HERE, THERE = "198.51.100.1", "198.51.100.2"

CLIENT = """
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2]))) as sock:
    sock.sendall(b"<here/>\\0")
    while sock.recv(4096):
        pass
"""


def ip(*arguments: str) -> None:
    """Configure the network."""
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


@pytest.fixture
def namespace() -> Iterator[str]:
    """Give a network namespace that a pair of links joins to this one."""
    if sys.platform != "linux" or not shutil.which("ip") or os.geteuid() != 0:
        pytest.skip("network namespaces need Linux, ip(8) and root")
    try:
        ip("netns", "add", SPACE)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no network namespace may be made here: {error.stderr.decode().strip()}")
    try:
        ip("link", "add", NEAR, "type", "veth", "peer", "name", FAR, "netns", SPACE)
        ip("addr", "add", f"{HERE}/30", "dev", NEAR)
        ip("link", "set", NEAR, "up")
        ip("-n", SPACE, "addr", "add", f"{THERE}/30", "dev", FAR)
        ip("-n", SPACE, "link", "set", FAR, "up")
        yield SPACE
    finally:
        with contextlib.suppress(subprocess.CalledProcessError):
            ip("link", "del", NEAR)
        ip("netns", "del", SPACE)


@pytest.mark.slow
@pytest.mark.parametrize("talking", [True, False], ids=["sent to", "silent"])
async def test_peer_behind_a_link_that_went_down_is_lost(
    namespace: str, monkeypatch: pytest.MonkeyPatch, *, talking: bool
) -> None:
    """
    Nobody tells that it has gone, and the system gives it up all the same.

    What is sent is not acknowledged within ``send_timeout`` and 5 s; where
    nothing is sent, keepalive finds out.
    """
    if not talking:  # two minutes by default
        short = {"TCP_KEEPIDLE": 1, "TCP_KEEPINTVL": 1, "TCP_KEEPCNT": 2}
        monkeypatch.setattr("xmlsocket.endpoint._KEEP_ALIVE", tuple(short.items()))
    handler = Handler()
    limits = Limits(send_timeout=1)
    async with asyncio.timeout(PATIENCE):
        async with xmlsocket.serve(handler, HERE, 0, parse=bytes, limits=limits) as server:
            command = ["ip", "netns", "exec", namespace, sys.executable, "-c", CLIENT]
            command += [HERE, str(port_of(server))]
            with subprocess.Popen(command) as client:  # noqa: ASYNC220 - takes a moment
                try:
                    connection = await handler.connection()
                    assert b"<here/>" == await connection.recv()
                    ip("-n", namespace, "link", "set", FAR, "down")
                    if talking:
                        await connection.send("<lost/>")
                    with pytest.raises(xmlsocket.ConnectionClosedError) as caught:
                        await connection.recv()
                finally:
                    client.kill()
            handler.leave()

    assert xmlsocket.CloseReason.RESET is caught.value.reason
    assert isinstance(caught.value.__cause__, OSError)
