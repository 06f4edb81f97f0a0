"""The parts of `xmlsocket.workers` that need no process: waits, sockets, sums."""

from __future__ import annotations

import dataclasses
import os
import socket
import sys
from typing import Any

import pytest

from xmlsocket.endpoint import bind
from xmlsocket.exceptions import CloseReason
from xmlsocket.stats import total
from xmlsocket.workers import (
    adopt,
    from_systemd,
    notify_systemd,
    serve_workers,
    serving,
    sockets,
)
from xmlsocket.workers.backoff import Backoff
from xmlsocket.workers.sockets import open_shares, share_out

PATIENCE = 30.0

posix = pytest.mark.skipif(os.name != "posix", reason="workers need a POSIX system")


class Clock:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_backoff_doubles_up_to_its_most() -> None:
    """Workers that die young are started again ever later."""
    backoff = Backoff(first=1, most=5, clock=Clock())

    assert [1, 2, 4, 5, 5] == [backoff.died() for _ in range(5)]


def test_backoff_starts_anew_after_a_healthy_life() -> None:
    """Who served for a while is replaced at once; the next early death is the first."""
    clock = Clock()
    backoff = Backoff(first=1, most=5, healthy=10, clock=clock)
    assert [1, 2] == [backoff.died(), backoff.died()]
    backoff.started()
    clock.now += 10

    assert 0 == backoff.died()

    backoff.started()
    clock.now += 9.9
    assert [1, 2] == [backoff.died(), backoff.died()]


@pytest.mark.skipif(sys.platform != "linux", reason="other kernels do not spread connections")
def test_open_shares_gives_each_worker_its_own_sockets_on_one_port() -> None:
    """Port 0 finds one free port for all."""
    shares = open_shares(["127.0.0.1", "::1"], 0, 3, backlog=5)
    try:
        sockets = [sock for share in shares for sock in share]
        assert [2, 2, 2] == [len(share) for share in shares]
        assert 6 == len(set(sockets))
        assert 1 == len({sock.getsockname()[1] for sock in sockets})
        assert all({"127.0.0.1", "::1"} == {s.getsockname()[0] for s in share} for share in shares)
    finally:
        for sock in sockets:
            sock.close()


@posix
def test_open_shares_closes_what_it_opened_when_it_fails() -> None:
    """An address that is taken leaves no socket behind."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1:{port}"):
            open_shares("127.0.0.1", port, 2, backlog=5)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere all workers share the first")
def test_open_shares_closes_all_when_those_of_another_worker_cannot_be_had(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Descriptors may run out on the way."""
    opened: list[socket.socket] = []

    def bind_once(*arguments: Any, **options: Any) -> list[socket.socket]:
        if opened:
            raise OSError("too many open files")
        opened.extend(bind(*arguments, **options))
        return opened.copy()

    monkeypatch.setattr(sockets, "bind", bind_once)
    with pytest.raises(OSError, match="too many open files"):
        open_shares("127.0.0.1", 0, 2, backlog=5)

    assert [-1] == [listener.fileno() for listener in opened]


@posix
def test_announce_tells_systemd_where_nobody_else_wants_to_know(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`serve_workers` has a callback for those who do."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind("")  # Linux finds an abstract name
        monkeypatch.setenv("NOTIFY_SOCKET", "@" + systemd.getsockname()[1:].decode())
        serving._announce(None, [])
        systemd.settimeout(PATIENCE)

        assert b"READY=1" == systemd.recv(100)


def _listeners(count: int) -> list[socket.socket]:
    return [socket.create_server(("127.0.0.1", 0), reuse_port=True) for _ in range(count)]


@posix
def test_share_out_lets_workers_share_where_sockets_are_few_and_wastes_none() -> None:
    """One socket serves three workers; of three sockets of one address two workers take all."""
    with _listeners(1)[0] as one:
        assert [[one]] * 3 == share_out([one], 3)
        port = one.getsockname()[1]
    first = socket.create_server(("127.0.0.1", port), reuse_port=True)
    more = [socket.create_server(("127.0.0.1", port), reuse_port=True) for _ in range(2)]
    assert [[first, more[1]], [more[0]]] == share_out([first, *more], 2)
    for sock in (first, *more):
        sock.close()


@posix
def test_adopt_takes_a_listening_tcp_socket_only() -> None:
    """What is no such socket stays open and untouched."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
        descriptor = os.dup(listener.fileno())
        os.set_inheritable(descriptor, True)
        with adopt(descriptor) as adopted:
            assert address == adopted.getsockname()
            assert not adopted.get_inheritable()
            assert 0 == adopted.gettimeout()
        with socket.create_connection(address) as client:
            for unfit in (client.fileno(), 2**20):
                with pytest.raises(ValueError, match=f"{unfit} is no listening TCP socket"):
                    adopt(unfit)
            assert address == client.getpeername()


@posix
def test_from_systemd_is_for_the_process_that_is_named_only() -> None:
    """Variables that a parent left behind mean nothing; one's own are used once."""
    other = {"LISTEN_PID": "1", "LISTEN_FDS": "1"}
    assert [] == from_systemd(other)
    assert {"LISTEN_PID": "1", "LISTEN_FDS": "1"} == other
    own = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "0", "LISTEN_FDNAMES": "", "A": "b"}
    assert [] == from_systemd(own)
    assert {"A": "b"} == own


@pytest.mark.skipif(sys.platform != "linux", reason="abstract sockets are Linux's")
def test_notify_systemd_reaches_abstract_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    """The zero byte that such names begin with is written as an at sign."""
    name = f"xmlsocket-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"\0{name}")
        manager.settimeout(20)
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")

        notify_systemd("READY=1")

        assert b"READY=1" == manager.recv(100)


def test_total_of_nothing_is_zero() -> None:
    """No server has counted anything."""
    stats = total([])

    assert (0, 0, {}, {}) == (stats.connections, stats.frames_in, stats.closed, stats.refused)


def test_total_adds_numbers_and_counts_by_reason() -> None:
    """What one server has not counted is taken from the others."""
    one = dataclasses.replace(
        total([]), frames_in=2, closed={CloseReason.EOF: 1, CloseReason.RESET: 2}
    )
    two = dataclasses.replace(total([]), frames_in=3, closed={CloseReason.EOF: 4})

    stats = total([one, two])

    assert (5, {CloseReason.EOF: 5, CloseReason.RESET: 2}) == (stats.frames_in, stats.closed)


def test_serve_workers_says_where_it_cannot_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows has no processes that inherit sockets in this way."""
    monkeypatch.setattr("xmlsocket.workers.serving.os.name", "nt")
    with pytest.raises(NotImplementedError, match="needs a POSIX system"):
        serve_workers(print, port=0)  # type: ignore[arg-type]


def test_serve_workers_says_that_uvloop_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before workers are started that could not run."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match="uvloop is not installed"):
        serve_workers(print, port=0, uvloop=True)  # type: ignore[arg-type]
