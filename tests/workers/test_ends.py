"""How workers and their supervisor end when that is not the usual way."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import sys
from typing import TYPE_CHECKING

import pytest

from .support import ask, connect, dial, hear, is_gone, pid_of, supervised, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


def test_worker_killed_by_a_nameless_signal_is_reported_with_its_number() -> None:
    """Of the real-time signals only the first and the last have names."""
    number = signal.SIGRTMIN + 1
    with supervised("start", 1) as server:
        pid = pid_of(server.port)
        os.kill(pid, number)
        until(lambda: is_gone(pid))

        assert pid != pid_of(server.port)

        assert 0 == server.end()[0]
        (report,) = server.errors
        assert f"ended: killed by signal {int(number)}; another one" in report


def test_second_sigterm_to_a_worker_cuts_who_does_not_read() -> None:
    """A worker understands the signal as its supervisor does."""
    options = ("timeout=3600", "observed=true")
    with supervised("stubborn", 1, *options) as server, connect(server.port) as peer:
        assert b"x" == peer.recv(1)
        ((pid, _),) = server.observed(lambda seen: seen["connections"] == 1)["workers"]
        os.kill(pid, signal.SIGTERM)
        server.observed(lambda seen: [pid, "draining"] in seen["workers"])
        os.kill(pid, signal.SIGTERM)

        until(lambda: is_gone(pid))
        status, last = server.end()
        assert (0, "1") == (status, last.split()[-1])


@pytest.mark.parametrize("asked", [False, True])
def test_last_words_of_a_worker_are_counted_however_late_they_are_read(asked: bool) -> None:
    """A supervisor that was stopped finds them when it goes on, also behind figures it wanted."""
    with supervised("start", 1, f"observed={str(asked).lower()}") as server:
        with dial(server.port) as peer:
            pid = int(ask(peer))
            os.kill(pid, signal.SIGSTOP)
            for _ in range(2 * asked):
                server.observed(lambda _: True)  # and the worker is asked for more
            os.kill(server.process.pid, signal.SIGSTOP)
            os.kill(pid, signal.SIGCONT)
            os.kill(pid, signal.SIGTERM)
            assert b"" == hear(peer)
        until(lambda: is_gone(pid))
        server.process.send_signal(signal.SIGCONT)
        assert pid != pid_of(server.port)

        status, last = server.end()

        assert (0, ["end", "2", "2"]) == (status, last.split()[:3])
        assert not any("Error" in line for line in server.errors)


@pytest.mark.slow
def test_rolling_restart_ends_at_a_worker_that_does_not_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """New code that is broken costs nobody the workers that run."""
    broken = tmp_path / "broken"
    monkeypatch.setenv("FICKLE", str(broken))
    with supervised("fickle", 2) as server:
        before = server.pids(2)
        broken.touch()
        server.process.send_signal(signal.SIGHUP)
        until(lambda: any("exit status 1" in line for line in server.errors))

        assert before == server.pids(2)

        assert 0 == server.end()[0]
        assert 1 == sum("exit status 1" in line for line in server.errors)


@pytest.mark.slow
def test_worker_that_dies_while_its_replacement_starts_is_replaced_by_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rolling restart that is under way is neither begun anew nor given up."""
    held = tmp_path / "held"
    monkeypatch.setenv("HELD", str(held))
    with supervised("patient", 1, "observed=true") as server:
        before = pid_of(server.port)
        held.touch()
        server.process.send_signal(signal.SIGHUP)
        seen = server.observed(lambda seen: len(seen["workers"]) == 2)
        ((after, _),) = (each for each in seen["workers"] if each[0] != before)
        server.process.send_signal(signal.SIGHUP)
        server.observed(lambda _: True)
        os.kill(before, signal.SIGKILL)
        server.observed(lambda seen: seen["workers"] == [[after, "starting"]])
        held.unlink()

        assert after == pid_of(server.port)
        status, last = server.end()
        assert (0, "0") == (status, last.split()[3])
        assert not any("Error" in line for line in server.errors)


@pytest.mark.slow
def test_rolling_restart_leaves_a_worker_alone_that_is_due_anyway() -> None:
    """Its replacement will be a new one as it is."""
    with supervised("start", 2, "backoff=3600", "observed=true") as server:
        server.pids(2)
        with dial(server.port) as peer:
            assert b"" == ask(peer, b"<exit/>")
        ((other, _),) = server.observed(lambda seen: len(seen["workers"]) == 1)["workers"]
        server.process.send_signal(signal.SIGHUP)
        until(lambda: is_gone(other))

        ((new, _),) = server.observed(
            lambda seen: len(seen["workers"]) == 1 and seen["workers"][0][0] != other
        )["workers"]
        # Whom the kernel gives to the one that is due would wait for an hour.
        server.observed(lambda seen: seen["workers"] == [[new, "ready"]])
        assert 0 == server.end()[0]


@contextlib.contextmanager
def no_descriptors(pid: int) -> Iterator[None]:
    """Let a process open nothing more for a while."""
    soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, hard))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))


def test_worker_that_cannot_be_started_again_is_tried_until_it_can() -> None:
    """Its clients wait on a socket that the supervisor keeps open."""
    with supervised("start", 1) as server:
        pid = pid_of(server.port)
        with no_descriptors(server.process.pid):
            os.kill(pid, signal.SIGKILL)
            until(lambda: sum("cannot be started" in line for line in server.errors) >= 2)

        assert pid != pid_of(server.port)

        status, last = server.end()
        assert (0, "1") == (status, last.split()[3])
        assert any("Too many open files; tried again in 0.2 s" in line for line in server.errors)
        assert not any("Traceback" in line for line in server.errors)


def test_rolling_restart_that_cannot_start_a_worker_is_given_up_and_may_be_asked_for_again() -> (
    None
):
    """Those that serve go on meanwhile."""
    with supervised("start", 2) as server:
        before = server.pids(2)
        with no_descriptors(server.process.pid):
            server.process.send_signal(signal.SIGHUP)
            until(lambda: any("cannot be replaced" in line for line in server.errors))
        assert before == server.pids(2)

        server.process.send_signal(signal.SIGHUP)
        until(lambda: all(map(is_gone, before)))
        assert not before & server.pids(2)
        assert 0 == server.end()[0]
        assert not any("Traceback" in line for line in server.errors)


def test_workers_are_killed_when_another_one_cannot_be_started() -> None:
    """The supervisor ends with the error and leaves no process behind."""
    with supervised("once", 2) as server:
        # Standard output ends with the last process that has it.
        status, _ = server.end(None)

        assert 1 == status
        assert "" == server.first_line
        assert "ValueError: no second worker" in server.errors


@pytest.mark.slow
def test_stop_while_a_replacement_is_due_ends_at_once() -> None:
    """Nothing is started any more, and nothing is waited for."""
    with supervised("start", 1, "backoff=3600") as server:
        with dial(server.port) as peer:
            assert b"" == ask(peer, b"<exit/>")
        until(lambda: any("another one starts in 3600 s" in line for line in server.errors))

        status, last = server.end()

        assert (0, "0") == (status, last.split()[3])


@pytest.mark.slow
def test_stop_while_a_replacement_is_due_starts_none_beside_those_that_finish() -> None:
    """Its time comes while another worker still waits for clients."""
    options = ("timeout=3600", "backoff=2", "observed=true")
    with supervised("stubborn", 2, *options) as server, contextlib.ExitStack() as peers:
        for _ in range(16):  # so that both have some
            peers.enter_context(connect(server.port))
        seen = server.observed(lambda seen: seen["connections"] == 16)
        (first, _), (other, _) = seen["workers"]
        os.kill(first, signal.SIGKILL)
        until(lambda: any("another one starts in 2 s" in line for line in server.errors))
        server.process.send_signal(signal.SIGTERM)

        left = [server.observed(lambda _: True)["workers"] for _ in range(40)]  # 4 s

        assert [[other, "draining"]] == left[-1]
        peers.close()
        status, last = server.end(None)
        assert (0, "0") == (status, last.split()[3])


def test_sighup_of_a_terminal_that_goes_away_ends_the_server() -> None:
    """There it does not mean that workers are to be replaced."""
    master, terminal = os.openpty()
    try:
        with supervised("start", 1, f'terminal="{os.ttyname(terminal)}"') as server:
            pid = pid_of(server.port)

            assert 0 == server.end(signal.SIGHUP)[0]

            assert is_gone(pid)
    finally:
        os.close(master)
        os.close(terminal)
