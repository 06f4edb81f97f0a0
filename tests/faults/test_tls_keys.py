"""Peers that change keys during a connection, which Python's own library cannot do."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.support.tls import contexts
from tests.testing.recorded import echoing, recording
from xmlsocket.testing.conformance import Endpoint
from xmlsocket.testing.recording import Recorder

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import AsyncIterator

PATIENCE = 40


def openssl() -> str:
    """Return where OpenSSL's program is; without it the test is skipped, or fails if required."""
    found = shutil.which("openssl")
    if found is None:
        text = "openssl is missing: tests/faults/install.sh installs it where it can"
        if os.environ.get("XMLSOCKET_FAULTS") == "required":
            pytest.fail(text)
        pytest.skip(text)
    return found


@contextlib.asynccontextmanager
async def listening(who: str) -> AsyncIterator[int]:
    """Run an echo server, or a recording proxy that speaks TLS before it."""
    context, _ = contexts()
    if who == "server":
        async with echoing(ssl=context) as port:
            yield port
    else:
        async with (
            echoing() as server,
            recording(
                Endpoint("tcp", "127.0.0.1", server), Recorder(io.StringIO()), context=context
            ) as (port, _),
        ):
            yield port


@contextlib.asynccontextmanager
async def talking(who: str, version: str) -> AsyncIterator[Process]:
    """Connect OpenSSL's own client, and wait until both have their keys."""
    command = f"s_client -connect 127.0.0.1:%d -{version} -msg"
    async with asyncio.timeout(PATIENCE), listening(who) as port:
        process = await asyncio.create_subprocess_exec(
            # Into a pipe it would write only when much has come together.
            *("stdbuf", "-o0", openssl(), *(command % port).split()),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        assert process.stdin is not None
        try:
            await message(process, b"NewSessionTicket")
            yield process
        finally:
            process.stdin.close()
            await process.communicate()


async def message(process: Process, name: bytes) -> None:
    """Wait until the program tells of a message of TLS that it received."""
    assert process.stdout is not None
    while True:
        line = await process.stdout.readline()
        assert line, f"the connection ended before {name.decode()}"
        if line.startswith(b"<<<") and name in line:
            return


@pytest.mark.parametrize("who", ["server", "proxy"])
async def test_tls_peer_that_changes_keys_is_understood_and_answered(who: str) -> None:
    """Its documents arrive, and what is sent back is sent with the new keys it asked for."""
    async with talking(who, "tls1_3") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        await message(process, b"NewSessionTicket")
        process.stdin.write(b"K\n")  # its command for new keys, also of the other side
        while b"KEYUPDATE" not in await process.stdout.readline():
            pass
        process.stdin.write(b"<a/>\0\n")
        await message(process, b"KeyUpdate")
        assert (await process.stdout.readuntil(b"<a/>\0")).endswith(b"<a/>\0")


@pytest.mark.parametrize("who", ["server", "proxy"])
async def test_tls_peer_that_wants_to_begin_anew_is_told_no_at_once(who: str) -> None:
    """It waits for an answer, so that may not wait for something to be sent along with."""
    async with talking(who, "tls1_2") as process:
        assert process.stdin is not None
        process.stdin.write(b"R\n")  # its command to renegotiate
        await message(process, b"no_renegotiation")
