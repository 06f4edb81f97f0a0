"""The XMLSocket object on loops and threads: where handlers run, one at a time, and how it ends."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any, cast

import pytest

from tests.support.scripted import (
    closed_port,
    expect,
    expect_end,
    half_close,
    scripted,
    send,
    wait_for,
)
from xmlsocket import InvalidState, Limits, XMLSocket
from xmlsocket.flash.background import Background

from .support import PATIENCE, Program, Recorded, background_threads

if TYPE_CHECKING:
    from collections.abc import Callable

    from xmlsocket.flash.link import Link

HOST = "127.0.0.1"

PAYLOAD = "x" * 20_000_000
"""More than the system's buffers of a connection hold."""

UNCAPPED = Limits(write_cap=None)


class Located(Recorded):
    """Records, with each event, the thread and the loop it was told in."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.places: set[tuple[threading.Thread, asyncio.AbstractEventLoop]] = set()

    def _note(self) -> None:
        self.places.add((threading.current_thread(), asyncio.get_running_loop()))

    def onConnect(self, success: bool) -> None:  # noqa: N802
        """Record where and what."""
        self._note()
        super().onConnect(success)

    def onData(self, src: str) -> None:  # noqa: N802
        """Record where and what."""
        self._note()
        super().onData(src)

    def onClose(self) -> None:  # noqa: N802
        """Record where."""
        self._note()
        super().onClose()


# Where handlers run


async def test_handlers_run_in_the_loop_that_runs_where_connect_is_called() -> None:
    """In a program with an event loop all handlers run in it."""
    with scripted([send(b"a\0")]) as server:
        socket = Located()
        socket.connect(HOST, server.port)
        await socket.events.reached(3)

    assert {(threading.current_thread(), asyncio.get_running_loop())} == socket.places


def test_handlers_of_a_plain_script_run_in_one_background_thread() -> None:
    """Without a loop all handlers of all objects run in one thread, which is a daemon."""
    script = [send(b"a\0"), expect_end()]
    with scripted(script, script) as server:
        sockets = [Located(), Located()]
        for socket in sockets:
            assert socket.connect(HOST, server.port)
        (thread,) = background_threads()
        for socket in sockets:
            assert socket.events._reached(2)
            socket.close()
            assert socket.wait(PATIENCE)

    assert {thread} == {place[0] for socket in sockets for place in socket.places}
    assert thread.daemon


def test_background_thread_ends_with_the_last_connection() -> None:
    """A script leaves no thread behind, and the next connection gets a new one."""
    threads = set()
    for _ in range(2):
        socket = Located()
        assert socket.connect(HOST, closed_port())
        assert socket.wait(PATIENCE)
        ((thread, loop),) = socket.places
        thread.join(PATIENCE)

        assert not thread.is_alive()
        assert loop.is_closed()
        threads.add(thread)

    assert len(threads) == 2
    assert [] == background_threads()


def test_object_used_in_a_handler_of_the_background_keeps_its_thread() -> None:
    """A connection that a handler opens lives on when the one that called the handler ends."""
    first_ended = threading.Event()
    with scripted([half_close()], [wait_for(first_ended), send(b"a\0")]) as server:
        second = Located()

        class First(Located):
            def onClose(self) -> None:  # noqa: N802
                super().onClose()
                second.connect(HOST, server.port)

        first = First()
        assert first.connect(HOST, server.port)
        assert first.wait(PATIENCE)
        first_ended.set()
        assert second.wait(PATIENCE)

    assert [("onConnect", True), ("onData", "a"), ("onClose",)] == second.events
    assert first.places == second.places


async def test_object_stays_with_its_loop_until_it_is_closed(program: Program) -> None:
    """Whoever calls connect() again, handlers go on running where they ran; after close() not."""
    with scripted([expect_end()], [expect_end()], [send(b"a\0")]) as server:
        socket = Located()
        await program.call(socket.connect, HOST, server.port)
        await socket.events.reached(1)
        other = Program("thread" if program.place == "loop" else "loop")
        await other.call(socket.connect, HOST, server.port)
        await socket.events.reached(2)
        assert len(socket.places) == 1

        await program.call(socket.close)
        await other.call(socket.connect, HOST, server.port)
        await program.ended(socket)

    assert len(socket.places) == 2


async def test_connected_object_is_kept_alive_by_its_connection(program: Program) -> None:
    """A connection goes on when the program has no reference to the object any more."""
    forgotten = threading.Event()
    with scripted([wait_for(forgotten), send(b"a\0")]) as server:
        socket = Recorded()
        events = socket.events
        await program.call(socket.connect, HOST, server.port)
        await events.reached(1)
        del socket
        gc.collect()
        forgotten.set()
        await events.reached(3)

    assert [("onConnect", True), ("onData", "a"), ("onClose",)] == events


@pytest.mark.skipif(sys.version_info < (3, 12), reason="Python 3.12 brought eager tasks")
async def test_connect_on_a_loop_with_eager_tasks_calls_no_handler_before_it_returns() -> None:
    """A task that starts at once changes nothing: connect() itself does nothing of the work."""
    loop = asyncio.get_running_loop()
    loop.set_task_factory(cast("Any", asyncio).eager_task_factory)
    try:
        with scripted([send(b"a\0")]) as server:
            socket = Recorded()
            socket.connect(HOST, server.port)
            assert socket._link is not None
            assert socket._link._task is None
            await socket.events.reached(3)
    finally:
        loop.set_task_factory(None)

    assert [("onConnect", True), ("onData", "a"), ("onClose",)] == socket.events


# One at a time


def test_handler_that_blocks_is_not_entered_again() -> None:
    """While a handler blocks, nothing else of the object is called."""
    entered, leave = threading.Event(), threading.Event()

    class Blocking(Recorded):
        def onData(self, src: str) -> None:  # noqa: N802
            self.events.record("enter", src)
            entered.set()
            assert leave.wait(PATIENCE)
            self.events.record("leave", src)

    with scripted([send(b"1\0"), send(b"2\0"), half_close(), expect_end()]) as server:
        socket = Blocking()
        assert socket.connect(HOST, server.port)
        assert entered.wait(PATIENCE)
        leave.set()
        assert socket.wait(PATIENCE)

    assert [
        ("onConnect", True),
        ("enter", "1"),
        ("leave", "1"),
        ("enter", "2"),
        ("leave", "2"),
        ("onClose",),
    ] == socket.events


def turn_loop(until: Callable[[], bool]) -> None:
    """Run the running loop from inside one of its callbacks, as nest_asyncio does."""
    loop = cast("Any", asyncio.get_running_loop())
    task = asyncio.current_task()
    assert task is not None
    tasks = cast("Any", asyncio.tasks)
    tasks._leave_task(loop, task)
    # A turn more than enough for all that could be called to be called.
    turns = 0
    while turns < 50:
        turns += until()
        for _ in range(len(loop._ready)):
            handle = loop._ready.popleft()
            if not handle.cancelled():
                handle._run()
        loop._process_events(loop._selector.select(0 if loop._ready else 0.01))
    tasks._enter_task(loop, task)
    # The turn from which this was called counts on the callbacks it saw.
    for _ in range(1000):
        loop.call_soon(int)


class Nesting(Recorded):
    """An object whose onData, the first time, runs the loop until a condition holds."""

    def onData(self, src: str) -> None:  # noqa: N802
        """Record entry and exit."""
        self.events.record("enter", src)
        if src == "1":
            self.nest()
        self.events.record("leave", src)

    def nest(self) -> None:
        """Run the loop until a second message has arrived."""
        turn_loop(lambda: self.arrived() == 2)

    def arrived(self) -> int:
        """Return how many messages have arrived on the connection."""
        connection = getattr(self._link, "_connection", None)
        return 0 if connection is None else connection.stats.frames_in


@pytest.fixture
async def nestable(program: Program) -> Program:
    """Return the program if its loop can be run from inside a callback."""
    if program.place == "loop" and not isinstance(
        asyncio.get_running_loop(), asyncio.SelectorEventLoop
    ):
        pytest.skip("this loop cannot be nested")
    return program


async def test_handler_that_runs_the_loop_is_not_entered_again(nestable: Program) -> None:
    """A message that arrives while a handler runs a nested loop waits for the handler's return."""

    class Asking(Nesting):
        def nest(self) -> None:
            self.send("next")
            super().nest()

    with scripted([send(b"1\0"), expect(b"next\0"), send(b"2\0"), expect_end()]) as server:
        socket = Asking()
        await nestable.call(socket.connect, HOST, server.port)
        await socket.events.reached(5)
        await nestable.call(socket.close)
        await nestable.ended(socket)

    assert [
        ("onConnect", True),
        ("enter", "1"),
        ("leave", "1"),
        ("enter", "2"),
        ("leave", "2"),
    ] == socket.events


async def test_handler_that_connects_and_runs_the_loop_is_not_entered_again(
    nestable: Program,
) -> None:
    """Not even the events of a connection that the handler has opened itself come inside it."""

    class Moving(Nesting):
        def nest(self) -> None:
            self.connect(HOST, server.port)
            turn_loop(lambda: self._link is not None and self._link.turn.locked())

    with scripted([send(b"1\0old\0"), expect_end()], [send(b"2\0")]) as server:
        socket = Moving()
        await nestable.call(socket.connect, HOST, server.port)
        await nestable.ended(socket)

    assert [
        ("onConnect", True),
        ("enter", "1"),
        ("leave", "1"),
        ("onConnect", True),
        ("enter", "2"),
        ("leave", "2"),
        ("onClose",),
    ] == socket.events


async def test_handler_that_closes_and_runs_the_loop_hears_nothing_more(nestable: Program) -> None:
    """close() is carried out inside the handler's nested loop, and what was sent still goes."""

    class Leaving(Nesting):
        def nest(self) -> None:
            self.send("bye")
            self.close()
            turn_loop(lambda: True)

    with scripted([send(b"1\x002\0"), expect(b"bye\0"), expect_end()]) as server:
        socket = Leaving()
        await nestable.call(socket.connect, HOST, server.port)
        await nestable.ended(socket)

    assert [("onConnect", True), ("enter", "1"), ("leave", "1")] == socket.events


def test_close_from_another_thread_lets_no_further_handler_begin() -> None:
    """Once close() has returned, at most the handler that was running still runs."""
    entered, leave = threading.Event(), threading.Event()

    class Blocking(Recorded):
        def onData(self, src: str) -> None:  # noqa: N802
            super().onData(src)
            entered.set()
            assert leave.wait(PATIENCE)

    with scripted([send(b"1\x002\0"), half_close()]) as server:
        socket = Blocking()
        assert socket.connect(HOST, server.port)
        assert entered.wait(PATIENCE)
        socket.close()
        leave.set()
        assert socket.wait(PATIENCE)

    assert [("onConnect", True), ("onData", "1")] == socket.events


async def test_connect_while_a_closed_handler_runs_stays_in_its_thread() -> None:
    """A handler that is still running when the object is closed keeps it in its thread."""
    entered, leave = threading.Event(), threading.Event()

    class Blocking(Located):
        def onData(self, src: str) -> None:  # noqa: N802
            entered.set()
            assert leave.wait(PATIENCE)
            super().onData(src)

    with scripted([send(b"1\0")], [send(b"2\0")]) as server:
        socket = Blocking()
        await asyncio.to_thread(socket.connect, HOST, server.port)
        await asyncio.to_thread(entered.wait, PATIENCE)
        socket.close()
        socket.connect(HOST, server.port)
        leave.set()
        await socket.events.reached(5)

    assert [
        ("onConnect", True),
        ("onData", "1"),
        ("onConnect", True),
        ("onData", "2"),
        ("onClose",),
    ] == socket.events
    ((thread, _),) = socket.places
    assert threading.current_thread() is not thread


# wait and the context manager


async def test_wait_returns_false_when_its_time_has_passed(program: Program) -> None:
    """Waiting for a connection that goes on can be bounded, in seconds."""
    with scripted([expect_end()]) as server:
        socket = Recorded()
        await program.call(socket.connect, HOST, server.port)

        assert await asyncio.to_thread(socket.wait, 0.01) is False
        await program.call(socket.close)
        assert await asyncio.to_thread(socket.wait, PATIENCE) is True


async def test_wait_where_a_loop_runs_raises() -> None:
    """A loop that is blocked by wait() could not deliver what it waits for."""
    with pytest.raises(InvalidState, match="event loop"):
        XMLSocket().wait()


def test_wait_in_a_handler_raises() -> None:
    """In the background thread wait() is refused, too: it would wait for itself."""
    errors: list[InvalidState] = []

    class Waiting(Recorded):
        def onConnect(self, success: bool) -> None:  # noqa: N802
            with pytest.raises(InvalidState) as raised:
                self.wait()
            errors.append(raised.value)

    socket = Waiting()
    assert socket.connect(HOST, closed_port())
    assert socket.wait(PATIENCE)

    assert len(errors) == 1


def test_context_manager_closes_and_waits_until_what_was_sent_is_delivered() -> None:
    """At the end of the block the connection is closed and its last words are written."""
    with scripted([expect(PAYLOAD.encode() + b"\0"), expect_end()]) as server:
        with Recorded(limits=UNCAPPED) as socket:
            assert socket.connect(HOST, server.port)
            assert socket.events._reached(1)
            socket.send(PAYLOAD)
        assert socket.wait(0)

    assert [("onConnect", True)] == socket.events


async def test_context_manager_in_a_loop_closes_without_waiting() -> None:
    """Where a loop runs the block's end closes; the loop does the rest when it turns."""
    with scripted([expect(b"hello\0"), expect_end()]) as server:
        with Recorded() as socket:
            socket.connect(HOST, server.port)
            await socket.events.reached(1)
            socket.send("hello")
        await Program("loop").ended(socket)

    assert [("onConnect", True)] == socket.events


# The end of a loop, a thread, a program


def test_loop_that_ends_sends_what_was_sent_and_calls_no_handler() -> None:
    """The end of the program's loop is no event, and no reason to lose a message."""
    socket = Recorded(limits=UNCAPPED)

    async def main(port: int) -> None:
        socket.connect(HOST, port)
        await socket.events.reached(1)
        socket.send(PAYLOAD)

    with scripted([expect(PAYLOAD.encode() + b"\0"), expect_end()]) as server:
        asyncio.run(main(server.port))

    assert [("onConnect", True)] == socket.events
    assert socket.wait(0)


def test_loop_that_ends_while_closing_sends_what_was_sent() -> None:
    """A program may end right after a handler's close(), while the last words are on their way."""
    links: list[Link] = []
    ending = threading.Event()

    class Leaving(Recorded):
        def onData(self, src: str) -> None:  # noqa: N802
            links.extend(self._links)
            self.send(PAYLOAD)
            self.close()

    async def main(port: int) -> None:
        socket.connect(HOST, port)
        while not (links and links[0]._closing):
            await asyncio.sleep(0)
        for _ in range(10):  # whatever close() has left to the loop is done
            await asyncio.sleep(0)
        ending.set()

    script = [send(b"1\x002\0"), wait_for(ending), expect(PAYLOAD.encode() + b"\0"), expect_end()]
    with scripted(script) as server:
        socket = Leaving(limits=UNCAPPED)
        asyncio.run(main(server.port))

    assert socket.wait(0)


def test_loop_that_ends_while_connecting_gives_up() -> None:
    """An attempt ends with the loop, without an event."""
    socket = Recorded()

    async def main() -> None:
        socket.connect(HOST, closed_port())

    asyncio.run(main())

    assert socket.wait(0)
    assert [] == socket.events


def test_loop_closed_under_the_object_leaves_it_unconnected() -> None:
    """With its loop closed nothing can come any more; the object may be used again."""
    socket = Located()
    loop = asyncio.new_event_loop()

    def connect_and_stop() -> None:
        assert socket.connect(HOST, closed_port())
        loop.stop()

    loop.call_soon(connect_and_stop)
    loop.run_forever()
    loop.close()

    socket.send("to nobody")
    assert socket.wait(0)
    with scripted([send(b"a\0")]) as server:
        assert socket.connect(HOST, server.port)
        assert socket.wait(PATIENCE)
    assert [("onConnect", True), ("onData", "a"), ("onClose",)] == socket.events


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
def test_systemexit_in_a_handler_ends_the_programs_own_loop(
    error: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    """``sys.exit()`` in a handler ends a program with a loop, as in any other callback."""

    class Exiting(Recorded):
        def onData(self, src: str) -> None:  # noqa: N802
            super().onData(src)
            self.send("bye")
            raise error

    socket = Exiting()

    async def main(port: int) -> None:
        socket.connect(HOST, port)
        await asyncio.Event().wait()

    with scripted([send(b"1\x002\0"), expect(b"bye\0"), expect_end()]) as server:
        with pytest.raises(error):
            asyncio.run(main(server.port))

    assert [("onConnect", True), ("onData", "1")] == socket.events
    assert socket.wait(0)
    gc.collect()  # asyncio reports a task whose error nobody asked for when it is collected
    assert [] == [r.getMessage() for r in caplog.records if r.levelno >= logging.ERROR]


def test_systemexit_in_a_handler_does_not_end_the_background_thread(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """In the background thread ``sys.exit()`` could end nothing but others' connections."""

    class Exiting(Recorded):
        def onData(self, src: str) -> None:  # noqa: N802
            super().onData(src)
            sys.exit(1)

    with scripted([send(b"1\x002\0")]) as server:
        socket = Exiting()
        assert socket.connect(HOST, server.port)
        assert socket.wait(PATIENCE)

    assert [("onConnect", True), ("onData", "1"), ("onData", "2"), ("onClose",)] == socket.events
    assert ["! onData raised an exception"] * 2 == [
        r.getMessage() for r in caplog.records if r.levelno == logging.ERROR
    ]


class BrokenLogger(logging.LoggerAdapter[logging.Logger]):
    """Something of the program's that fails where the object does not expect it."""

    def log(self, *args: Any, **kwargs: Any) -> None:
        """Fail."""
        raise RuntimeError("disk full")


async def test_error_outside_of_handlers_is_reported_to_the_loop_and_ends_the_connection() -> None:
    """What ought not to happen is reported at once, and nobody waits for it in vain."""
    loop = asyncio.get_running_loop()
    reported: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: reported.append(context))
    try:
        socket = Recorded(logger=BrokenLogger(logging.getLogger("xmlsocket.flash")))
        socket.connect(HOST, closed_port())
        await Program("loop").ended(socket)
    finally:
        loop.set_exception_handler(None)

    (context,) = reported
    assert str(context["exception"]) == "disk full"
    assert [] == socket.events


def test_background_end_sends_what_was_sent_and_calls_no_handler() -> None:
    """What runs at the end of a plain script closes all connections, their last words sent."""
    with scripted([expect(PAYLOAD.encode() + b"\0"), expect_end()]) as server:
        socket = Recorded(limits=UNCAPPED)
        assert socket.connect(HOST, server.port)
        assert socket.events._reached(1)
        socket.send(PAYLOAD)
        background = Background._current
        assert background is not None
        background._end()

        assert not background._thread.is_alive()
    assert [("onConnect", True)] == socket.events
    assert socket.wait(0)


def run_script(script: str, *arguments: str) -> tuple[int, str, str]:
    """Run a plain script with warnings as errors; return its status, output and errors."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script, *arguments],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def test_script_that_ends_sends_what_was_sent() -> None:
    """A plain script may end right after send(): the message goes, and nothing is complained of."""
    script = """
import sys, threading
from xmlsocket import Limits, XMLSocket

connected = threading.Event()
socket = XMLSocket(limits=Limits(write_cap=None))
socket.onConnect = lambda success: connected.set()
socket.onClose = lambda: print("onClose")
socket.connect("localhost", int(sys.argv[1]))
connected.wait()
socket.send("x" * 20_000_000)
"""
    with scripted([expect(PAYLOAD.encode() + b"\0"), expect_end()]) as server:
        assert (0, "", "") == run_script(script, str(server.port))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks are of POSIX")
def test_script_that_forks_gets_a_thread_of_its_own_in_the_fork() -> None:
    """The background thread does not live on in a fork, so a new one is started there."""
    script = """
import os, sys, warnings
from xmlsocket import XMLSocket

warnings.simplefilter("ignore", DeprecationWarning)  # of fork() with threads
port = int(sys.argv[1])
with XMLSocket() as parents:
    parents.connect("127.0.0.1", port)
    child = os.fork()
    if child == 0:
        told = []
        socket = XMLSocket()
        socket.onConnect = told.append
        socket.connect("127.0.0.1", port)
        os._exit(0 if socket.wait(10) and told == [True] else 1)
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    with scripted([], []) as server:
        assert (0, "", "") == run_script(script, str(server.port))
