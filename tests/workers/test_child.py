"""What a worker says and hears, at times at which its supervisor seldom speaks."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import signal
from typing import TYPE_CHECKING, Any

import pytest

import xmlsocket
from xmlsocket.workers.child import ABORT, CLOSED, DRAIN, DRAINING, READY, REPORT, _Worker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence
    from multiprocessing.connection import Connection as Pipe
    from socket import socket

    from xmlsocket import Server

pytestmark = pytest.mark.skipif(os.name != "posix", reason="workers need a POSIX system")


@pytest.fixture
def pipes() -> Iterator[tuple[Pipe[Any, Any], Pipe[Any, Any]]]:
    """Yield the end of the supervisor and that of the worker."""
    ours, theirs = multiprocessing.Pipe()
    with ours, theirs:
        yield ours, theirs


def said(pipe: Pipe[Any, Any]) -> list[str]:
    """Return the words that have come."""
    words = []
    while pipe.poll(0):
        words.append(pipe.recv()[0])
    return words


async def echo(connection: xmlsocket.Connection[Any]) -> None:
    """Send back what comes."""
    async for document in connection:
        await connection.send(document)


@contextlib.asynccontextmanager
async def start(listeners: Sequence[socket]) -> AsyncIterator[Server[Any]]:
    """Serve on a port of our own."""
    del listeners
    async with xmlsocket.serve(echo, "127.0.0.1", 0) as server:
        yield server


def hear(worker: _Worker, pipe: Pipe[Any, Any], word: str) -> None:
    """Say a word to a worker."""
    pipe.send(word)
    worker._heard()


def test_worker_that_does_not_serve_yet_has_no_figures(
    pipes: tuple[Pipe[Any, Any], Pipe[Any, Any]],
) -> None:
    """It answers nothing; the supervisor asks again."""
    ours, theirs = pipes
    hear(_Worker(theirs, 1), ours, REPORT)

    assert [] == said(ours)


def test_worker_is_told_to_stop_more_than_once_and_says_so_once(
    pipes: tuple[Pipe[Any, Any], Pipe[Any, Any]],
) -> None:
    """By a word, by SIGTERM, by both; it may never wait for who reads what it says."""
    ours, theirs = pipes
    worker = _Worker(theirs, 1)
    hear(worker, ours, DRAIN)
    hear(worker, ours, DRAIN)
    worker._signalled()
    hear(worker, ours, ABORT)

    assert [DRAINING] == said(ours)


async def test_worker_that_was_told_to_stop_as_it_started_closes_at_once(
    pipes: tuple[Pipe[Any, Any], Pipe[Any, Any]],
) -> None:
    """It says that it serves, for the supervisor waits for that, and ends."""
    ours, theirs = pipes
    worker = _Worker(theirs, 1)
    hear(worker, ours, DRAIN)
    before = signal.getsignal(signal.SIGTERM)
    try:
        await worker.serve(start, [])
    finally:
        asyncio.get_running_loop().remove_signal_handler(signal.SIGTERM)
        signal.signal(signal.SIGTERM, before)

    assert [DRAINING, READY, CLOSED] == said(ours)
