"""Servers that run out of descriptors: in a process of their own, whose limit is really lowered."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

pytest.importorskip("resource", reason="RLIMIT_NOFILE is a matter of Unix")

_PATIENCE = 20.0
_SPARE = 8
_CLIENTS = 60

_COMMON = """
import asyncio, functools, json, os, resource, sys
import xmlsocket, xmlsocket.sync
from xmlsocket.asyncio.accepting import Listeners

attempts = 0

def count(owner):
    accept = owner._accept
    @functools.wraps(accept)
    def counted(self, listener):
        global attempts
        attempts += 1
        accept(self, listener)
    owner._accept = counted

def begin(server):
    free = os.open(os.devnull, os.O_RDONLY)
    os.close(free)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (free + int(sys.argv[1]), hard))
    print(server.sockets[0].getsockname()[1], flush=True)
"""

_ON_A_LOOP = """
async def echo(connection):
    async for frame in connection:
        await connection.send(frame)

async def main():
    count(Listeners)
    async with xmlsocket.serve(echo, "127.0.0.1", 0, parse=bytes) as server:
        begin(server)
        await asyncio.to_thread(sys.stdin.read)
        server.close(0)

"""

_SERVERS = {
    "asyncio": _ON_A_LOOP + "asyncio.run(main())",
    "uvloop": _ON_A_LOOP + "import uvloop; uvloop.run(main())",
    "threads": """
def echo(connection):
    for frame in connection:
        connection.send(frame)

count(xmlsocket.sync.Server)
with xmlsocket.sync.serve(echo, "127.0.0.1", 0, parse=bytes) as server:
    begin(server)
    sys.stdin.read()
    server.close(0)
""",
}

_END = "\nprint(json.dumps(attempts))\n"


@contextlib.contextmanager
def serving(kind: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Run a server that may open no more than a few descriptors; yield it and its port."""
    if kind == "uvloop":
        pytest.importorskip("uvloop")
    command = [sys.executable, "-c", _COMMON + _SERVERS[kind] + _END, str(_SPARE)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            assert process.stdout is not None
            yield process, int(process.stdout.readline())
        finally:
            process.kill()


def dial(port: int, undo: contextlib.ExitStack) -> socket.socket:
    """Return a client, closed at the end."""
    return undo.enter_context(socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE))


def is_served(client: socket.socket) -> bool:
    """Tell whether the server echoes; False when it has closed the connection."""
    try:
        client.sendall(b"<a/>\0")
        return client.recv(5) == b"<a/>\0"
    except ConnectionError:
        return False


@pytest.mark.parametrize("kind", _SERVERS)
def test_accept_out_of_descriptors_turns_away_and_recovers(kind: str) -> None:
    """Those for whom there is no descriptor are closed at once; the others notice nothing."""
    with serving(kind) as (process, port), contextlib.ExitStack() as undo:
        first = dial(port, undo)
        assert is_served(first)
        clients = [dial(port, undo) for _ in range(_CLIENTS)]

        served = [client for client in clients if is_served(client)]

        assert 0 < len(served) < _SPARE
        assert is_served(first)
        for client in served:
            client.close()
        deadline = time.monotonic() + _PATIENCE
        tried = 0
        while not is_served(dial(port, undo)):
            tried += 1
            assert time.monotonic() < deadline

        out, log = process.communicate(timeout=_PATIENCE)
        assert ["! cannot accept connections: Too many open files"] == log.splitlines()
        # One look at the listener for each connection, and a few that find nothing.
        assert json.loads(out) <= 2 * (_CLIENTS + tried + 2)
        assert 0 == process.returncode
