"""How the recording proxy takes and opens connections, and how that ends where it fails."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import io
import socket
from typing import TYPE_CHECKING

import pytest

from tests.support.scripted import silent_port
from tests.support.tls import contexts
from xmlsocket.testing.conformance import Endpoint
from xmlsocket.testing.recording import Recorder, RecordingProxy

from .recorded import PATIENCE, brief, closed, exchange, recording, records_of
from .support import read_all

if TYPE_CHECKING:
    from pathlib import Path


def unanswered() -> Endpoint:
    """Return a place where nobody will be asked."""
    return Endpoint("tcp", "127.0.0.1", 1)


async def test_proxy_unix_server_that_is_missing_is_recorded(tmp_path: Path) -> None:
    """As with a port on which nobody listens."""
    out = io.StringIO()
    target = Endpoint("unix", path=str(tmp_path / "none"))
    async with recording(target, Recorder(out)) as (port, _):
        with pytest.raises(ConnectionResetError):
            await exchange(port, b"<a/>\0")
        records = await closed(out)
    assert ("server", "close", "not opened: no such file or directory") == brief(records)[-1]


async def test_proxy_client_that_speaks_no_tls_is_recorded_and_reaches_no_server() -> None:
    """Its handshake fails; that was the client's part."""
    server_context, _ = contexts()
    out = io.StringIO()
    async with recording(unanswered(), Recorder(out), context=server_context) as (port, _):
        with contextlib.suppress(ConnectionError):
            await exchange(port, b"<a/>\0 and more than the header of a record")
        records = await closed(out)
    side, event, how = brief(records)[-1]
    assert ("client", "close") == (side, event)
    assert str(how).startswith("not opened: ")


async def test_proxy_handshake_that_is_not_answered_has_its_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Who says nothing is let go, and the record tells why."""
    monkeypatch.setattr("xmlsocket.testing.recording.proxy._OPEN_TIMEOUT", 0.05)
    server_context, _ = contexts()
    out = io.StringIO()
    async with recording(unanswered(), Recorder(out), context=server_context) as (port, _):
        assert b"" == await _silence(port)
        records = await closed(out)
    assert ("client", "close", "not opened: no answer within 0.05 seconds") == brief(records)[-1]


async def _silence(port: int) -> bytes:
    """Connect, send nothing, and return what comes before the end."""
    async with asyncio.timeout(PATIENCE):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            return await reader.read()
        except ConnectionResetError:
            return b""
        finally:
            writer.close()


async def test_proxy_stopped_while_it_connects_resets_the_client_and_says_so() -> None:
    """Also a connection that was not open yet ends in the recording."""
    out = io.StringIO()
    with silent_port() as silent:
        target = Endpoint("tcp", "127.0.0.1", silent)
        async with recording(target, Recorder(out)) as (port, serving):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            async with asyncio.timeout(PATIENCE):
                while '"open"' not in out.getvalue():
                    await asyncio.sleep(0.005)
            serving.cancel()
            with contextlib.suppress(ConnectionResetError):
                assert b"" == await reader.read()
            writer.close()
    assert [("client", "open", None), ("proxy", "close", "stopped")] == brief(records_of(out))


async def test_proxy_stopped_in_the_turn_in_which_it_accepts_leaves_no_socket_open() -> None:
    """A connection whose task never ran is reset, and was never there for the recording."""
    for turns in range(6):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            proxy = RecordingProxy(unanswered(), Recorder(io.StringIO()))
            serving = asyncio.create_task(proxy.serve([listener]))
            for _ in range(5):  # until it waits
                await asyncio.sleep(0)
            client = socket.create_connection(listener.getsockname(), timeout=PATIENCE)
            for _ in range(turns):
                await asyncio.sleep(0)
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)
        with client:
            assert (b"", True) == read_all(client)
    gc.collect()
