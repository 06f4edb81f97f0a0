"""Waiting for documents: the task goes on at once, and is a task like any other."""

from __future__ import annotations

import asyncio
import contextvars

import pytest

from xmlsocket.asyncio.arrival import Arrival

NAME: contextvars.ContextVar[str] = contextvars.ContextVar("NAME", default="nobody")


async def started(arrival: Arrival, seen: list[object]) -> asyncio.Task[None]:
    """Return a task that waits, and notes who it is when it goes on."""

    async def wait() -> None:
        NAME.set("waiting")
        await arrival
        seen.append((asyncio.current_task(), NAME.get()))

    task = asyncio.get_running_loop().create_task(wait())
    while not arrival.awaited:
        await asyncio.sleep(0)
    return task


async def called_back(function: object) -> None:
    """Call a function where no task is running, as transports are called."""
    done = asyncio.Event()

    def call() -> None:
        function()  # type: ignore[operator]
        done.set()

    asyncio.get_running_loop().call_soon(call)
    await done.wait()


async def test_tell_in_a_callback_lets_the_task_go_on_before_it_returns() -> None:
    """The task runs inside of the callback, as itself and in its own context."""
    arrival = Arrival(asyncio.get_running_loop())
    seen: list[object] = []
    task = await started(arrival, seen)
    at_return: list[object] = []

    def callback() -> None:
        arrival.tell()
        at_return.extend(seen)

    await called_back(callback)

    assert [(task, "waiting")] == at_return
    assert "nobody" == NAME.get()
    await task
    assert not arrival.awaited


async def test_tell_inside_of_a_task_waits_for_the_next_turn() -> None:
    """Two tasks are never inside of each other."""
    arrival = Arrival(asyncio.get_running_loop())
    seen: list[object] = []
    task = await started(arrival, seen)

    arrival.tell()

    assert [] == seen
    await task
    assert [(task, "waiting")] == seen


async def test_tell_without_a_task_is_not_kept() -> None:
    """What nobody waits for is not remembered: who waits looks at the queue first."""
    arrival = Arrival(asyncio.get_running_loop())
    await called_back(arrival.tell)
    seen: list[object] = []
    task = await started(arrival, seen)

    assert [] == seen
    await called_back(arrival.tell)
    await task


async def test_arrival_is_awaited_again_and_again() -> None:
    """One object serves a connection for all its life."""
    arrival = Arrival(asyncio.get_running_loop())
    seen: list[object] = []
    for _ in range(3):
        task = await started(arrival, seen)
        await called_back(arrival.tell)
        await task

    assert 3 == len(seen)


async def test_cancel_ends_the_wait_only() -> None:
    """A task that is cancelled while it waits sees that, and the next wait does not."""
    arrival = Arrival(asyncio.get_running_loop())
    seen: list[object] = []
    task = await started(arrival, seen)
    task.cancel("enough")
    with pytest.raises(asyncio.CancelledError):
        await task

    assert not arrival.awaited
    task = await started(arrival, seen)
    await called_back(arrival.tell)
    await task
    assert 1 == len(seen)


async def test_cancel_after_tell_still_cancels() -> None:
    """Whoever is told and cancelled in one turn is cancelled: the document stays queued."""
    arrival = Arrival(asyncio.get_running_loop())
    seen: list[object] = []
    task = await started(arrival, seen)

    arrival.tell_soon()
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert [] == seen
    assert not arrival.cancel()


async def test_arrival_time_limit_ends_the_wait() -> None:
    """``asyncio.timeout`` and ``wait_for`` work on it."""
    arrival = Arrival(asyncio.get_running_loop())

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await arrival
    assert asyncio.isfuture(arrival)
    assert not arrival.awaited


async def test_cancelled_task_stays_cancelled_though_another_waits_in_the_same_turn() -> None:
    """The next to wait takes nothing from the one before it, nor does that take its arrival."""
    arrival = Arrival(asyncio.get_running_loop())
    seen: list[object] = []
    first = await started(arrival, seen)

    assert first.cancel()
    loop = asyncio.get_running_loop()
    loop.call_soon(loop.call_soon, arrival.tell_soon)
    await arrival

    await asyncio.wait([first])
    assert first.cancelled()
    assert [] == seen
