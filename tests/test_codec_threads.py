"""A decoder used from two places at once gives results or ConcurrencyError, nothing else."""

from __future__ import annotations

import dataclasses
import gc
import operator
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from xmlsocket import pure
from xmlsocket.exceptions import ConcurrencyError, IncompleteFrame, InvalidState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    from .support.codecs import CodecModule

THREADS = 8
CALLS = 2000


@pytest.fixture
def eager_switches() -> Iterator[None]:
    """Let the interpreter change threads as often as it can."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@dataclasses.dataclass
class Tally:
    """What became of the calls of all threads: frames by the number of the call."""

    good: dict[int, list[bytes]] = dataclasses.field(default_factory=dict)
    errors: list[BaseException] = dataclasses.field(default_factory=list)


def hammer(*calls: Callable[[int], list[bytes]]) -> Tally:
    """Call from eight threads at once, which take turns with the calls given."""
    start = threading.Barrier(THREADS)
    tallies: list[Tally] = []

    def run(thread: int) -> None:
        tally = Tally()
        call = calls[thread % len(calls)]
        start.wait()
        for number in range(thread * CALLS, (thread + 1) * CALLS):
            try:
                tally.good[number] = call(number)
            except ConcurrencyError:
                pass
            except BaseException as error:  # noqa: BLE001  # whatever it is, the test shows it
                tally.errors.append(error)
        tallies.append(tally)

    threads = [threading.Thread(target=run, args=[thread]) for thread in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert THREADS == len(tallies)
    together = Tally()
    for tally in tallies:
        together.good |= tally.good
        together.errors += tally.errors
    return together


def name(number: int) -> bytes:
    """Return the bytes by which a call is known in the stream."""
    return b"%06d" % number


def chain(good: dict[int, list[bytes]]) -> tuple[list[int], bytes]:
    """
    Return the calls in the order in which they got in, and what they left behind.

    Each call fed its name, a delimiter, and its name again: so its one frame tells
    which call was before it.
    """
    followed_by: dict[bytes, int] = {}
    for number, frames in good.items():
        (frame,) = frames
        before, own = frame[:-6], frame[-6:]
        assert name(number) == own
        assert before not in followed_by, "two calls got the same tail"
        followed_by[before] = number
    order: list[int] = []
    tail = b""
    while tail in followed_by:
        order.append(followed_by.pop(tail))
        tail = name(order[-1])
    assert {} == followed_by
    return order, tail


@pytest.mark.usefixtures("eager_switches")
def test_feed_from_many_threads_gives_results_or_concurrency_error(codec: CodecModule) -> None:
    """The calls that get in do so one after the other: none is lost, torn or counted twice."""
    decoder = codec.Decoder()

    tally = hammer(lambda number: decoder.feed(name(number) + b"\0" + name(number)))

    assert [] == tally.errors
    order, tail = chain(tally.good)
    assert len(tally.good) == len(order) > 0
    for thread in range(THREADS):
        own = [number for number in order if number // CALLS == thread]
        assert sorted(own) == own, "the calls of one thread come in their order"
    good = len(order)
    assert (good, 13 * good, 12 * good - 6, 6) == (
        decoder.frames_in,
        decoder.bytes_in,
        decoder.payload_in,
        decoder.buffered,
    )
    with pytest.raises(IncompleteFrame) as caught:
        decoder.feed_eof()
    assert (13 * good - 6, tail) == (caught.value.offset, caught.value.partial)


@pytest.mark.usefixtures("eager_switches")
def test_counters_read_while_others_feed_never_go_back(codec: CodecModule) -> None:
    """Looking at a decoder is refused to nobody, and what it tells only grows."""
    decoder = codec.Decoder()
    seen: dict[int, tuple[int, int]] = {}

    def feed(number: int) -> list[bytes]:
        return decoder.feed(name(number) + b"\0" + name(number))

    def look(number: int) -> list[bytes]:
        counters = decoder.frames_in, decoder.bytes_in
        assert all(map(operator.le, seen.get(number // CALLS, (0, 0)), counters))
        seen[number // CALLS] = counters
        assert decoder.error is None
        assert repr(decoder).startswith("<Decoder max_size=1048576 buffered=")
        return []

    tally = hammer(feed, look)

    assert [] == tally.errors
    looks = {number for number in tally.good if number // CALLS % 2}
    assert CALLS * THREADS // 2 == len(looks)
    fed = {number: frames for number, frames in tally.good.items() if number not in looks}
    assert decoder.frames_in == len(chain(fed)[0])


@pytest.mark.usefixtures("eager_switches")
def test_feed_is_not_refused_because_others_look(codec: CodecModule) -> None:
    """Who reads counters is not inside: only two calls that change the stream collide."""
    decoder = codec.Decoder()
    over = threading.Event()

    def look() -> None:
        while not over.is_set():
            assert repr(decoder)

    threads = [threading.Thread(target=look) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(10 * CALLS):
            assert [b"a"] == decoder.feed(b"a\0")
    finally:
        over.set()
        for thread in threads:
            thread.join()


@pytest.mark.parametrize("end", ["feed_eof", "discard"])
@pytest.mark.usefixtures("eager_switches")
def test_end_while_others_feed_lets_nobody_in_after_it(codec: CodecModule, end: str) -> None:
    """All calls before the end have their frames, all after it are refused."""
    decoder = codec.Decoder()
    ended: list[IncompleteFrame | None] = []

    def feed_or_end(number: int) -> list[bytes]:
        # The first thread ends the stream, in the middle of its calls.
        if number == CALLS // 2:
            ended.append(end_of_stream())
            raise InvalidState("it was this call")
        return decoder.feed(name(number) + b"\0" + name(number))

    def end_of_stream() -> IncompleteFrame | None:
        while True:
            try:
                getattr(decoder, end)()
            except IncompleteFrame as error:
                return error
            except ConcurrencyError:
                continue
            return None

    tally = hammer(feed_or_end)

    assert {InvalidState} == set(map(type, tally.errors))
    order, tail = chain(tally.good)
    (error,) = ended
    if end == "feed_eof":
        assert error is not None
        assert (13 * len(order) - 6, tail) == (error.offset, error.partial)
    assert len(order) == decoder.frames_in
    with pytest.raises(InvalidState):
        decoder.feed(b"")


@pytest.mark.usefixtures("eager_switches")
def test_buffer_updated_from_many_threads_gives_results_or_concurrency_error(
    codec: CodecModule,
) -> None:
    """The same holds for the read buffer, as long as nobody writes to it meanwhile."""
    decoder = codec.Decoder(read_buffer=codec.ReadBuffer(4))
    decoder.get_buffer()[:] = b"ab\0c"

    tally = hammer(lambda _: decoder.buffer_updated(4))

    assert [] == tally.errors
    good = len(tally.good)
    # The first frame has no "c" of an earlier call before it.
    assert sorted([[b"ab"], *([[b"cab"]] * (good - 1))]) == sorted(tally.good.values())
    assert 4 * good == decoder.bytes_in


@pytest.mark.usefixtures("eager_switches")
def test_get_buffer_from_many_threads_makes_one_buffer(codec: CodecModule) -> None:
    """The private read buffer is made once, whoever asks first."""
    for _ in range(20):
        decoder = codec.Decoder()
        views: list[memoryview] = []
        start = threading.Barrier(THREADS)

        def run(
            decoder: pure.Decoder = decoder,
            views: list[memoryview] = views,
            start: threading.Barrier = start,
        ) -> None:
            start.wait()
            views.append(decoder.get_buffer())

        threads = [threading.Thread(target=run) for _ in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert THREADS == len(views)
        assert {id(decoder.get_buffer())} == set(map(id, views))


@pytest.mark.parametrize(
    "call",
    [
        lambda decoder: decoder.feed(b"b\0"),
        lambda decoder: decoder.buffer_updated(1),
        lambda decoder: decoder.feed_eof(),
        lambda decoder: decoder.discard(),
    ],
    ids=["feed", "buffer_updated", "feed_eof", "discard"],
)
def test_pure_decoder_second_thread_inside_gets_concurrency_error(
    call: Callable[[pure.Decoder], object],
) -> None:
    """While one thread is inside every other call is refused, and the first goes on unharmed."""
    decoder = pure.Decoder()
    decoder.get_buffer()
    inside, leave = threading.Event(), threading.Event()
    received: list[bytes] = []

    def stay(frame: FrameType, event: str, argument: object) -> None:
        if event == "call" and frame.f_code.co_name == "_split":
            inside.set()
            leave.wait()

    def first() -> None:
        sys.setprofile(stay)
        try:
            received.extend(decoder.feed(b"a\0"))
        finally:
            sys.setprofile(None)

    thread = threading.Thread(target=first)
    thread.start()
    inside.wait()
    try:
        with pytest.raises(ConcurrencyError, match=r"^two threads are inside one decoder$"):
            call(decoder)
    finally:
        leave.set()
        thread.join()

    assert [b"a"] == received
    assert [b"c"] == decoder.feed(b"c\0")


class Reentrant:
    """Garbage that feeds a decoder when it is collected."""

    def __init__(self, feed: Callable[[], object]) -> None:
        self._feed = feed
        self._cycle = self

    def __del__(self) -> None:
        self._feed()


def test_feed_reentered_by_the_garbage_collector_loses_nothing(codec: CodecModule) -> None:
    """Code that a collection runs inside a call may call the decoder: it is told, not stuck."""
    decoder = codec.Decoder()
    frames: list[bytes] = []
    refused: list[ConcurrencyError] = []

    def feed() -> None:
        try:
            frames.extend(decoder.feed(b"b\0"))
        except ConcurrencyError as error:
            refused.append(error)

    thresholds = gc.get_threshold()
    gc.set_threshold(1)
    try:
        for _ in range(300):
            Reentrant(feed)
            frames.extend(decoder.feed(b"a\0" * 20))
    finally:
        gc.set_threshold(*thresholds)
        gc.collect()

    assert 6000 == frames.count(b"a")
    assert 300 == frames.count(b"b") + len(refused)
    assert len(frames) == decoder.frames_in
