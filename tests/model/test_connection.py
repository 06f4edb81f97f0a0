"""A connection in any order of events: Hypothesis looks for one that loses or tears a frame."""

from __future__ import annotations

import asyncio
import types
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

import xmlsocket.asyncio.loop
import xmlsocket.connection
from xmlsocket import (
    CloseReason,
    ConcurrencyError,
    Connection,
    ConnectionClosed,
    IncompleteFrame,
    Limits,
)
from xmlsocket.asyncio.loop import LoopShare
from xmlsocket.connection import Settings

from .fakes import FakeTransport, StillLoop

if TYPE_CHECKING:
    from collections.abc import Awaitable, Coroutine

_TIMEOUT = 8.0


def settings_of(*, read_limit: int, write_limit: int) -> Settings[bytes]:
    """Return settings with marks that a few frames pass."""
    return Settings.of(
        parse=bytes,
        max_size=3000,
        read_limit=(read_limit, read_limit // 2),
        write_limit=(write_limit, write_limit // 2),
        open_timeout=None,
        close_timeout=_TIMEOUT,
        idle_timeout=None,
        limits=Limits(message_timeout=_TIMEOUT, send_timeout=None, quantum=3),
        skip_empty=True,
        malformed="raise",
        logger=None,
        default_logger="xmlsocket.test",
    )


class Sending:
    """One call of ``send`` or ``send_many``, and the numbers of its frames."""

    def __init__(self, numbers: list[int], task: asyncio.Task[None]) -> None:
        self.numbers = numbers
        self.task = task
        self.cancelled = False


class ConnectionMachine(RuleBasedStateMachine):
    """Lets the application, the peer and the clock do what they like."""

    kind: type[Connection[bytes]] = Connection

    def __init__(self) -> None:
        super().__init__()
        self.loop = StillLoop()
        self.patch = pytest.MonkeyPatch()
        clock = types.SimpleNamespace(monotonic=self.loop.time)
        for module in (xmlsocket.asyncio.loop, xmlsocket.connection):
            self.patch.setattr(module, "time", clock)

    @initialize(
        read_limit=st.sampled_from([0, 300, 10**6]),
        write_limit=st.sampled_from([0, 400]),
        calls=st.sampled_from([8, 3, 0]),
    )
    def open(self, read_limit: int, write_limit: int, calls: int = 0) -> None:
        """Make the connection."""
        chosen = settings_of(read_limit=read_limit, write_limit=write_limit)
        self.connection = self.kind(chosen, LoopShare(self.loop))
        self.transport = FakeTransport(self.loop)
        self.transport.set_protocol(self.connection)
        self.connection.connection_made(self.transport)
        self.fed: list[bytes] = []  # whole frames that the peer has sent
        self.partial = b""  # and what it has sent of the next
        self.ended = False  # the peer's stream
        self.received: list[bytes] = []
        self.receiving: asyncio.Task[None] | None = None
        self.sendings: list[Sending] = []
        self.count = 0
        self.tasks: list[asyncio.Task[Any]] = []
        self.calls = calls  # that are made before it comes to an end
        self.reason: CloseReason | None = None
        self.dropped = False  # this side has closed: what has arrived may be dropped
        self.torn = False  # the network or abort(): what was sent may be lost
        self.reports: list[ConnectionClosed] = []

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Begin a task and let it come to where it waits."""
        task = self.loop.create_task(work)
        self.tasks.append(task)
        self.loop.turn()
        return task

    async def noting(self, awaitable: Awaitable[None]) -> None:
        """Keep what tells of the end."""
        try:
            await awaitable
        except ConnectionClosed as error:
            self.reports.append(error)
            raise

    # The peer

    def can_arrive(self) -> bool:
        """Tell whether bytes can reach the connection."""
        transport = self.transport
        alive = not (self.ended or transport.is_closing())
        return alive and transport.reading and transport.get_protocol() is self.connection

    @precondition(can_arrive)
    @rule(
        count=st.integers(1, 12),
        size=st.sampled_from([0, 50, 900]),
        empty=st.booleans(),
        tail=st.booleans(),
    )
    def arrive(self, count: int, size: int, *, empty: bool, tail: bool) -> None:
        """One read brings frames, and perhaps the beginning of another."""
        first = len(self.fed)
        frames = [b"%d" % number + b"." * size for number in range(first, first + count)]
        data = b"".join(frame + b"\0" + b"\0" * empty for frame in frames)
        if self.partial:
            frames[0] = self.partial + frames[0]
        self.fed += frames
        self.partial = b"tail" if tail else b""
        self.transport.give(data + self.partial)

    def end(self) -> None:
        """The peer's stream ends."""
        self.ended = True
        self.transport.give_end()

    def lose(self) -> None:
        """The connection breaks."""
        if not self.transport.gone:
            self.torn = True
            self.transport.lose(ConnectionResetError("planned"))

    @rule(blocked=st.booleans())
    def block(self, *, blocked: bool) -> None:
        """The peer stops reading, or goes on."""
        self.transport.block(blocked=blocked)

    # The application

    @rule()
    def receive(self) -> None:
        """Ask for the next frame; a second call that waits is refused."""

        async def work() -> None:
            self.received.append(await self.connection.recv())

        self.loop.turn()  # a call that something has just ended does not wait any more
        if self.receiving is None or self.receiving.done():
            self.receiving = self.start(self.noting(work()))
            return
        before = len(self.received)
        second = self.start(work())
        assert isinstance(second.exception(), ConcurrencyError)
        assert before == len(self.received)

    @rule()
    def take_batch(self) -> None:
        """Take all that has arrived, if something has."""
        if self.connection.stats.queued_in and (self.receiving is None or self.receiving.done()):

            async def work() -> None:
                async for batch in self.connection.batches():
                    assert batch
                    self.received += batch
                    break

            self.start(work())

    @rule(steps=st.integers(0, 3))
    def cancel_receive(self, steps: int = 0) -> None:
        """Stop waiting; also on the way from what came to who waits for it."""
        if self.receiving is not None:
            self.loop.step(steps)
            self.receiving.cancel()
            self.loop.turn()

    @rule(size=st.sampled_from([1, 100, 1000]), count=st.integers(0, 4), turn=st.booleans())
    def send(self, size: int, count: int, *, turn: bool) -> None:
        """Send one document, or several at once; also many in one turn of the loop."""
        numbers = list(range(self.count, self.count + (count or 1)))
        self.count += len(numbers)
        documents = [b"%d" % number + b"-" * size for number in numbers]

        async def work() -> None:
            if count:
                await self.connection.send_many(documents)
            else:
                await self.connection.send(documents[0])

        task = self.loop.create_task(self.noting(work()))
        self.tasks.append(task)
        self.sendings.append(Sending(numbers, task))
        if turn:
            self.loop.turn()

    @rule(data=st.data(), steps=st.integers(1, 4))
    def cancel_send(self, data: st.DataObject, steps: int) -> None:
        """Give up a send that has begun: its document goes all the same."""
        waiting = [sending for sending in self.sendings if not sending.task.done()]
        if waiting:
            self.loop.step(steps)
            sending = data.draw(st.sampled_from(waiting))
            self.give_up(sending)

    def give_up(self, sending: Sending) -> None:
        """Cancel a call."""
        sending.cancelled = not sending.task.done()
        sending.task.cancel()
        self.loop.turn()

    # What is too rare to wait for, and what must not come too often

    # One rule for the four, and not at once: most runs would be over before
    # anything has happened.
    @precondition(lambda self: len(self.tasks) >= self.calls)
    @rule(how=st.sampled_from(["end", "lose", "close", "abort"]))
    def stop(self, how: str) -> None:
        """The connection comes to an end."""
        if how != "end" or self.can_arrive():
            getattr(self, how)()

    @precondition(can_arrive)
    @rule(count=st.integers(1, 5), steps=st.integers(0, 4))
    def arrive_and_cancel(self, count: int, steps: int) -> None:
        """Frames are on their way to a call when it is cancelled."""
        self.loop.turn()
        if self.receiving is None or self.receiving.done():
            self.receive()
        if self.can_arrive():
            self.arrive(count, 50, empty=False, tail=False)
        self.cancel_receive(steps)

    @rule()
    def send_and_cancel(self) -> None:
        """A call waits for a peer that does not read when it is cancelled."""
        self.block(blocked=True)
        self.send(1000, 0, turn=True)
        self.send(1000, 0, turn=True)
        self.give_up(self.sendings[-1])

    def close(self) -> None:
        """Close, and wait for the end."""
        self.dropped = True
        self.start(self.connection.close())

    def abort(self) -> None:
        """Cut."""
        self.dropped = self.torn = True
        self.connection.abort()

    # The loop

    @rule()
    def turn(self) -> None:
        """The loop turns."""
        self.loop.turn()

    @rule(seconds=st.sampled_from([0.5, 1.5, _TIMEOUT + 2]))
    def wait(self, seconds: float) -> None:
        """Time passes."""
        before = self.connection.close_reason
        steps = int(seconds * 2)
        for _ in range(steps):
            self.loop.now += seconds / steps
            self.loop.turn()
        timed_out = self.connection.close_reason is CloseReason.MESSAGE_TIMEOUT
        if before is None and timed_out:
            assert self.partial
        if timed_out or (self.dropped and self.transport.gone):
            self.torn = True  # close_timeout cuts as message_timeout does

    # What always holds

    @invariant()
    def receives_in_order_and_loses_nothing(self) -> None:
        """What was received is the beginning of what was sent, whatever was cancelled."""
        assert self.received == self.fed[: len(self.received)]

    @invariant()
    def writes_whole_frames_in_order(self) -> None:
        """Every write ends with a delimiter, and no frame is written twice or out of order."""
        assert all(data.endswith(b"\0") for data in self.transport.writes)
        written = self.written()
        assert written == sorted(set(written))
        assert (
            bytes(self.transport.wire)
            == b"".join(self.transport.writes)[: len(self.transport.wire)]
        )

    def written(self) -> list[int]:
        """Return the numbers of the frames that were given to the transport."""
        frames = b"".join(self.transport.writes).split(b"\0")[:-1]
        return [int(frame.rstrip(b"-")) for frame in frames]

    @invariant()
    def has_one_reason(self) -> None:
        """The first reason stands, and every error tells the same."""
        reason = self.connection.close_reason
        assert self.reason in (None, reason)
        self.reason = reason
        assert {error.reason for error in self.reports} <= {reason}

    @invariant()
    def counts(self) -> None:
        """The counters say what has happened."""
        stats = self.connection.stats
        assert stats.frames_in == len(self.fed)
        assert stats.frames_in - len(self.received) >= 0
        assert len(self.written()) <= stats.frames_out <= self.count
        if not self.dropped and len(self.received) == len(self.fed):
            assert 0 == stats.queued_in

    @invariant()
    def loop_has_no_complaints(self) -> None:
        """No callback raised."""
        assert [] == self.loop.complaints

    # The end of every run

    def teardown(self) -> None:
        """End what has not ended, take what is left, and see that nothing is missing."""
        try:
            if hasattr(self, "connection"):
                self.finish()
        finally:
            for task in self.tasks:
                task.cancel()
                if task.done() and not task.cancelled():
                    task.exception()
            self.loop.turn()
            self.loop.close()
            self.patch.undo()

    def finish(self) -> None:
        """Let the peer read on and end its stream; then receive to the end and close."""
        self.cancel_receive()
        self.transport.block(blocked=False)
        self.loop.turn()
        for _ in range(len(self.fed) + 1):
            self.take_batch()  # until reading goes on
            if self.can_arrive():
                break
        if self.can_arrive():
            self.end()
        for _ in range(len(self.fed) + 1):
            self.receive()
        if not self.dropped:
            assert self.fed == self.received
        self.loop.turn()
        self.check_sendings()
        self.start(self.connection.close())
        self.loop.turn()
        self.loop.now += 2 * _TIMEOUT
        self.loop.turn()
        assert self.transport.gone
        assert self.connection.close_reason is not None
        self.start(self.connection.wait_closed())
        pending = [task for task in self.tasks if not task.done()]
        assert [] == pending
        self.check_cause()
        for check in (self.counts, self.has_one_reason, self.loop_has_no_complaints):
            check()

    def check_sendings(self) -> None:
        """What was sent without an error was written; what was refused at once was not."""
        written = set(self.written())
        for sending in self.sendings:
            assert sending.task.done()
            ok = sending.cancelled or sending.task.exception() is None
            if ok and not self.torn:
                assert written.issuperset(sending.numbers)
            assert len(written.intersection(sending.numbers)) in (0, len(sending.numbers))

    def check_cause(self) -> None:
        """A stream that ended inside a frame says so."""
        if self.reason is CloseReason.INCOMPLETE_FRAME:
            assert self.partial
            assert any(isinstance(error.__cause__, IncompleteFrame) for error in self.reports)


def run(connection: type[Connection[bytes]] = Connection, **options: Any) -> None:
    """Let Hypothesis try orders of events."""

    class Machine(ConnectionMachine):
        kind = connection

    run_state_machine_as_test(Machine, settings=settings(deadline=None, **options))


def test_connection_any_order_of_events_loses_nothing_and_tears_nothing() -> None:
    """Order, completeness, counters and one reason hold whatever happens when."""
    run(max_examples=40, stateful_step_count=20)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_connection_long_runs_of_events_lose_nothing_and_tear_nothing() -> None:
    """The same for long, with more tries."""
    run(max_examples=80, stateful_step_count=40)


class TearsLongFrames(Connection[bytes]):
    """Writes a long document in two halves."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Put a wrong write into the transport."""
        assert isinstance(transport, FakeTransport)
        write = transport.write

        def halves(data: Any) -> None:
            for part in (data[:500], data[500:]):
                write(part)

        transport.write = halves  # type: ignore[method-assign]
        super().connection_made(transport)


class ChangesItsMind(Connection[bytes]):
    """Gives another reason at the very end."""

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget why."""
        super().connection_lost(exc)
        self.close_reason = CloseReason.IDLE


class ForgetsWhenCancelled(Connection[bytes]):
    """Takes a frame, and loses it when it is cancelled on the way to the caller."""

    async def recv(self) -> bytes:
        """Hold the frame for a turn."""
        frame = await super().recv()
        await asyncio.sleep(0)
        return frame


class TakesBackWhenCancelled(Connection[bytes]):
    """Does not send what a call that was cancelled had queued."""

    async def _drain(self) -> None:
        """Clean up too much."""
        try:
            await super()._drain()
        except asyncio.CancelledError:
            self._outbox.clear()
            raise


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    "wrong",
    [
        TearsLongFrames,
        ChangesItsMind,
        ForgetsWhenCancelled,
        TakesBackWhenCancelled,
    ],
)
def test_connection_machine_finds_planted_faults(wrong: type[Connection[bytes]]) -> None:
    """A connection that is wrong in one respect is found out."""
    with pytest.raises(AssertionError):
        run(
            wrong,
            max_examples=200,
            stateful_step_count=20,
            # Whether it is found, not how short it can be told.
            phases=[Phase.generate],
            derandomize=True,
            report_multiple_bugs=False,
            database=None,
        )
