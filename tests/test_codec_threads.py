"""A decoder used from two places at once gives results or ConcurrencyError, nothing else."""

from __future__ import annotations

import gc
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from xmlsocket import pure
from xmlsocket.exceptions import ConcurrencyError

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


def hammer(call: Callable[[], list[bytes]]) -> tuple[list[bytes], int, list[BaseException]]:
    """Call from eight threads at once: all frames, the count of good calls, all other errors."""
    start = threading.Barrier(THREADS)
    results: list[tuple[list[bytes], int]] = []
    errors: list[BaseException] = []

    def run() -> None:
        frames: list[bytes] = []
        good = 0
        start.wait()
        for _ in range(CALLS):
            try:
                frames += call()
                good += 1
            except ConcurrencyError:
                pass
            except BaseException as error:  # noqa: BLE001  # whatever it is, the test shows it
                errors.append(error)
        results.append((frames, good))

    threads = [threading.Thread(target=run) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert THREADS == len(results)
    frames = [frame for part, _ in results for frame in part]
    return frames, sum(good for _, good in results), errors


@pytest.mark.usefixtures("eager_switches")
def test_feed_from_many_threads_gives_results_or_concurrency_error(codec: CodecModule) -> None:
    """No call is lost, torn or counted twice, whichever threads get in."""
    decoder = codec.Decoder()

    frames, good, errors = hammer(lambda: decoder.feed(b"ab\0c"))

    assert [] == errors
    assert good > 0
    # The first frame has no "c" of an earlier call before it.
    assert sorted([b"ab", *([b"cab"] * (good - 1))]) == sorted(frames)
    assert (good, 4 * good, 3 * good - 1, 1) == (
        decoder.frames_in,
        decoder.bytes_in,
        decoder.payload_in,
        decoder.buffered,
    )


@pytest.mark.usefixtures("eager_switches")
def test_buffer_updated_from_many_threads_gives_results_or_concurrency_error(
    codec: CodecModule,
) -> None:
    """The same holds for the read buffer, as long as nobody writes to it meanwhile."""
    decoder = codec.Decoder(read_buffer=codec.ReadBuffer(4))
    decoder.get_buffer()[:] = b"ab\0c"

    frames, good, errors = hammer(lambda: decoder.buffer_updated(4))

    assert [] == errors
    assert sorted([b"ab", *([b"cab"] * (good - 1))]) == sorted(frames)
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
