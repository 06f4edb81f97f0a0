"""`serve_workers`: real processes that are killed, stopped and replaced while clients connect."""

from __future__ import annotations

import functools
import os
import signal
import socket
import sys

import pytest

import xmlsocket

from .support import (
    PATIENCE,
    Callers,
    ask,
    connect,
    dial,
    hear,
    is_gone,
    pid_of,
    supervised,
    until,
)

pytestmark = pytest.mark.skipif(os.name != "posix", reason="workers need a POSIX system")


def test_workers_share_one_port_and_end_in_order_with_status_0() -> None:
    """Each worker serves some of the connections; Ctrl-C, which all get, ends them in order."""
    with supervised("start", 2) as server:
        pids = server.pids(2)
        with dial(server.port) as peer:
            assert int(ask(peer)) in pids

            os.killpg(server.process.pid, signal.SIGINT)
            status, last = server.end(None)

            assert b"" == hear(peer)
        word, accepted, documents, restarts, cut = last.split()
        assert (0, "end", "0", "0") == (status, word, restarts, cut)
        assert accepted == documents
        assert int(accepted) >= 3
        assert [] == server.errors
        assert all(is_gone(pid) for pid in pids)


def test_connections_that_wait_survive_the_death_of_a_worker() -> None:
    """What queues on the sockets of a dead worker is neither refused nor reset, but served."""
    with supervised("start", 2) as server:
        victim, _ = server.pids(2)
        os.kill(victim, signal.SIGSTOP)
        # About half of them are on the sockets of the worker that accepts no more.
        peers = [connect(server.port) for _ in range(40)]
        os.kill(victim, signal.SIGKILL)
        peers += [connect(server.port) for _ in range(40)]

        assert [b"<hello/>"] * 80 == [hear(peer) for peer in peers]

        served = {int(ask(peer)) for peer in peers}
        assert victim not in served
        assert 2 == len(served)
        for peer in peers:
            peer.close()
        assert 0 == server.end()[0]
        (report,) = server.errors
        assert f"(process {victim}) ended: killed by SIGKILL; another one starts in" in report


@pytest.mark.slow
def test_no_connect_fails_while_workers_are_killed() -> None:
    """Under load, SIGKILL costs a worker's own clients, and nobody else's connect is refused."""
    with supervised("start", 2) as server, Callers(server.port) as callers:
        for _ in range(2):
            callers.more(50)
            victim = pid_of(server.port)
            os.kill(victim, signal.SIGKILL)
            until(functools.partial(is_gone, victim))
        callers.more(50)
        server.pids(2)

    assert 0 == callers.counts["refused"]
    # Those whom a killed worker had accepted and not answered: at most one a caller.
    assert callers.counts["reset"] + callers.counts["lost"] <= 8


def test_no_connect_fails_while_workers_are_told_to_stop() -> None:
    """SIGTERM to a worker replaces it; the connects of others are neither refused nor reset."""
    with supervised("start", 2) as server:
        with Callers(server.port) as callers:
            for _ in range(2):
                callers.more(50)
                victim = pid_of(server.port)
                os.kill(victim, signal.SIGTERM)
                until(functools.partial(is_gone, victim))
            callers.more(50)
            assert len(server.pids(2)) >= 2
        assert 0 == server.end()[0]

    assert {"refused": 0, "reset": 0} == {
        name: callers.counts[name] for name in ("refused", "reset")
    }
    assert ["stops; another one starts"] * 2 == [line.partition(") ")[2] for line in server.errors]


@pytest.mark.slow
def test_no_connect_fails_during_a_rolling_restart() -> None:
    """SIGHUP replaces every worker; nobody sees a refused or reset connect."""
    with supervised("start", 2) as server:
        with Callers(server.port) as callers:
            before = server.pids(2)
            server.process.send_signal(signal.SIGHUP)
            until(lambda: all(is_gone(pid) for pid in before))
            callers.more(50)
            after = server.pids(2)
        status, last = server.end()

    assert not before & after
    assert (0, "0") == (status, last.split()[3])
    assert [] == server.errors
    assert {"refused": 0, "reset": 0} == {
        name: callers.counts[name] for name in ("refused", "reset")
    }


def test_worker_that_exits_is_reported_with_its_status_and_replaced() -> None:
    """One line tells which worker ended and how; a new one takes its place."""
    with supervised("start", 1) as server:
        (pid,) = server.pids(1)
        with dial(server.port) as peer:
            assert b"" == ask(peer, b"<exit/>")

        assert pid != pid_of(server.port)

        assert 0 == server.end()[0]
        expected = f"! worker 1 (process {pid}) ended: exit status 7; another one starts in 0.1 s"
        assert [expected] == server.errors


def test_worker_that_fails_at_the_start_ends_all() -> None:
    """A server that cannot work is not started again and again."""
    with supervised("broken", 2) as server:
        status, _ = server.end(None)

        assert 1 == status
        assert "" == server.first_line
        assert "ValueError: no server today" in server.errors
        assert "xmlsocket.workers.supervisor.WorkerFailed: worker" in server.errors[-1]
        assert "failed to start: exit status 1" in server.errors[-1]


def test_replacement_serves_while_the_stopped_worker_finishes() -> None:
    """New clients do not wait for the last ones of a worker that was told to stop."""
    options = ("timeout=3600", "observed=true")
    with supervised("stubborn", 1, *options) as server, connect(server.port) as slow:
        assert b"x" == slow.recv(1)
        ((old, _),) = server.observed(lambda seen: seen["connections"] == 1)["workers"]
        os.kill(old, signal.SIGTERM)
        seen = server.observed(lambda seen: len(seen["workers"]) == 2)
        with connect(server.port) as peer:
            assert b"x" == peer.recv(1)

        assert {"draining", "starting", "ready"} >= {state for _, state in seen["workers"]}
        assert not is_gone(old)
        slow.close()
        until(lambda: is_gone(old))


def test_second_signal_cuts_who_does_not_read() -> None:
    """Clients get time to take what waits for them; asked again, the workers take it back."""
    with (
        supervised("stubborn", 1, "timeout=3600", "observed=true") as server,
        connect(server.port) as peer,
    ):
        assert b"x" == peer.recv(1)
        server.process.send_signal(signal.SIGTERM)
        server.observed(lambda seen: [state for _, state in seen["workers"]] == ["draining"])

        status, last = server.end()

        assert (0, "1") == (status, last.split()[-1])


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_workers_end_when_their_supervisor_is_killed() -> None:
    """Nobody could stop or replace them, and the next supervisor wants the port."""
    with supervised("start", 2) as server:
        pids = server.pids(2)
        server.process.kill()
        server.process.wait(PATIENCE)

        until(lambda: all(is_gone(pid) for pid in pids))
        server.end(None)


def test_figures_of_all_workers_are_summed() -> None:
    """The observer sees what all workers count, which processes they are, and who is slow."""
    with supervised("start", 2, "observed=true") as server:
        pids = server.pids(2)
        peers = [dial(server.port) for _ in range(6)]
        seen = server.observed(lambda seen: seen["connections"] == 6)

        assert {(pid, "ready") for pid in pids} == {tuple(worker) for worker in seen["workers"]}
        assert seen["frames_in"] >= 2
        # Both, for the kernel may have given all six to one of them.
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        server.observed(lambda seen: seen["restarts"] == 2 and seen["connections"] == 0)
        for peer in peers:
            peer.close()
        assert 0 == server.end()[0]


@pytest.mark.slow
def test_slow_peers_are_named() -> None:
    """A peer for whom much waits is told with its address."""
    with supervised("stubborn", 1, "observed=true") as server, connect(server.port) as peer:
        host, port = peer.getsockname()

        seen = server.observed(lambda seen: seen["queued_out"])

        assert [f"{host}:{port}"] == seen["slowest"]


@pytest.mark.slow
def test_workers_run_on_uvloop_if_asked_to() -> None:
    """The option reaches the workers."""
    pytest.importorskip("uvloop")
    with supervised("start", 1, "uvloop=true") as server, dial(server.port) as peer:
        assert b"uvloop" == ask(peer, b"<loop/>")
        assert 0 == server.end()[0]


@pytest.mark.slow
def test_workers_listen_on_all_addresses() -> None:
    """Every worker accepts on every address."""
    with supervised("start", 2, 'host=["127.0.0.1", "::1"]') as server:
        assert 4 == len(server.first_line.split()) - 1
        found: set[bytes] = set()
        while len(found) < 2:
            with socket.create_connection(("::1", server.port), timeout=PATIENCE) as peer:
                assert b"<hello/>" == hear(peer)
                found.add(ask(peer))
        assert 0 == server.end()[0]


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"port": 0, "workers": 0}, "workers must be at least 1, not 0"),
        ({}, "takes either a port or sockets"),
        ({"port": 0, "sockets": []}, "takes either a port or sockets"),
    ],
)
def test_serve_workers_refuses_options_without_sense(options: dict[str, int], error: str) -> None:
    """Before anything is started."""
    with pytest.raises(ValueError, match=error):
        xmlsocket.serve_workers(print, **options)  # type: ignore[arg-type]
