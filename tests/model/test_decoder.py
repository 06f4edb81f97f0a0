"""The decoder against a trivial model, in any order of calls: Hypothesis looks for a difference."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

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

from tests.support.codecs import describe
from xmlsocket import pure
from xmlsocket.exceptions import FramingError, InvalidState

if TYPE_CHECKING:
    from tests.support.codecs import CodecModule

_BUFFER = 32

_DATA = st.one_of(
    st.lists(st.sampled_from([b"\0", b"\0\0\0", b"a", b"bc", b"<x/>"]), max_size=8).map(b"".join),
    st.builds(
        lambda byte, size: byte * size,
        st.sampled_from([b"\0", b"y"]),
        st.sampled_from([1, 9, 10, 11, 64, 1100]),
    ),
)


class Model:
    """What a decoder has to do, frame by frame, for the whole stream anew at every question."""

    def __init__(self, max_size: int | None, oversize: str, *, skip_empty: bool) -> None:
        self.stream = b""
        self.max_size = max_size
        self.raises = oversize == "raise"
        self.skip_empty = skip_empty

    def frames(self) -> list[bytes]:
        """Return all frames that the stream holds up to its error."""
        found = []
        for frame in self.stream.split(b"\0")[:-1]:
            if self.too_big(frame):
                if self.raises:
                    break
            elif frame or not self.skip_empty:
                found.append(frame)
        return found

    def too_big(self, frame: bytes) -> bool:
        """Tell whether the limit refuses a frame."""
        return self.max_size is not None and len(frame) > self.max_size

    def fatal(self) -> tuple[str, int, int] | None:
        """Return the error that the stream holds."""
        offset = 0
        for frame in self.stream.split(b"\0"):
            if self.raises and self.max_size is not None and len(frame) > self.max_size:
                return "FrameTooBig", offset, self.max_size
            offset += len(frame) + 1
        return None

    def unfinished(self) -> bytes:
        """Return what a decoder holds of the last frame."""
        tail = self.stream.rpartition(b"\0")[2]
        return b"" if self.too_big(tail) else tail

    def incomplete(self) -> tuple[object, ...] | None:
        """Return the error of a stream that ends here."""
        tail = self.stream.rpartition(b"\0")[2]
        if not tail:
            return None
        return "IncompleteFrame", len(self.stream) - len(tail), self.unfinished()


class DecoderMachine(RuleBasedStateMachine):
    """Feeds a decoder and its model in every way there is."""

    codec: CodecModule

    @initialize(
        max_size=st.sampled_from([0, 1, 4, 10, 64, 1099, None]),
        oversize=st.sampled_from(["raise", "skip"]),
        skip_empty=st.booleans(),
        shared=st.booleans(),
    )
    def make(self, max_size: int | None, oversize: str, *, skip_empty: bool, shared: bool) -> None:
        """Make a decoder, with a read buffer of its own or a small one."""
        options: dict[str, Any] = {
            "max_size": max_size,
            "oversize": oversize,
            "skip_empty": skip_empty,
            "read_buffer": self.codec.ReadBuffer(_BUFFER) if shared else None,
        }
        self.decoder = self.codec.Decoder(**options)
        self.model = Model(max_size, oversize, skip_empty=skip_empty)
        self.frames: list[bytes] = []
        self.ended = False
        self.view: memoryview | None = None

    def take(self, data: bytes, frames: list[bytes]) -> None:
        """Note what went in and what came out."""
        if self.model.fatal() is None:
            self.model.stream += data
        self.frames += frames
        assert all(type(frame) is bytes for frame in frames)

    def stopped(self) -> type[Exception] | None:
        """Return what further bytes raise."""
        if self.ended:
            return InvalidState
        return FramingError if self.model.fatal() else None

    @rule(data=_DATA, kind=st.sampled_from([bytes, bytearray, memoryview]))
    def feed(self, data: bytes, kind: type[Any]) -> None:
        """Feed any buffer."""
        error = self.stopped()
        if error is None:
            self.take(data, self.decoder.feed(kind(data)))
        else:
            with pytest.raises(error):
                self.decoder.feed(kind(data))

    @rule()
    def get_buffer(self) -> None:
        """Ask for the read buffer, which is always the same and never refused."""
        view = self.decoder.get_buffer(-1)
        assert self.view is None or self.view is view
        self.view = view

    @precondition(lambda self: self.view is not None)
    @rule(data=_DATA)
    def read_into(self, data: bytes) -> None:
        """Read into the buffer, as much as it holds."""
        assert self.view is not None
        data = data[: len(self.view)]
        self.view[: len(data)] = data
        error = self.stopped()
        if error is None:
            self.take(data, self.decoder.buffer_updated(len(data)))
        else:
            with pytest.raises(error):
                self.decoder.buffer_updated(len(data))

    @precondition(lambda self: self.view is not None and self.stopped() is None)
    @rule(excess=st.sampled_from([-1, 2**62]))
    def claim_what_cannot_be(self, excess: int) -> None:
        """A count that the buffer does not hold is refused, and nothing is consumed."""
        with pytest.raises((ValueError, OverflowError)):
            self.decoder.buffer_updated(excess)

    @precondition(lambda self: self.view is None and self.stopped() is None)
    @rule()
    def read_into_nothing(self) -> None:
        """Without a buffer asked for there is nothing to take, unless it was given."""
        try:
            frames = self.decoder.buffer_updated(0)
        except InvalidState:
            return
        assert [] == frames

    @rule()
    def feed_eof(self) -> None:
        """End the stream; the outcome is repeated however often."""
        expected = self.model.fatal() or self.model.incomplete()
        error = None
        try:
            self.decoder.feed_eof()
        except FramingError as exc:
            error = exc
        assert expected == describe(error)
        assert expected == describe(self.decoder.error)
        self.ended = True

    @invariant()
    def agrees(self) -> None:
        """Everything that the decoder tells is what the model says."""
        model, decoder = self.model, self.decoder
        frames = model.frames()
        complete = model.stream.split(b"\0")[:-1]
        assert frames == self.frames
        assert len(frames) == decoder.frames_in
        assert sum(map(len, frames)) == decoder.payload_in
        assert decoder.bytes_in <= decoder.bytes_scanned
        fatal = model.fatal()
        if fatal is not None:
            assert fatal == describe(decoder.error)
            assert 0 == decoder.buffered
            assert decoder.bytes_in == fatal[1] + fatal[2] + 1
            return
        if not self.ended:
            assert decoder.error is None
        assert len(model.stream) == decoder.bytes_in == decoder.bytes_scanned
        assert len(model.unfinished()) == decoder.buffered
        if model.skip_empty:
            assert complete.count(b"") == decoder.empty_skipped
        if not model.raises:
            skipped = sum(map(model.too_big, model.stream.split(b"\0")))
            assert skipped == decoder.oversize_skipped


def run(codec: CodecModule, **options: Any) -> None:
    """Let Hypothesis try orders of calls on one codec."""

    class Machine(DecoderMachine):
        pass

    Machine.codec = codec
    run_state_machine_as_test(Machine, settings=settings(deadline=None, **options))


def test_decoder_any_order_of_calls_does_what_the_model_does(codec: CodecModule) -> None:
    """Frames, errors and counters follow from the bytes, whatever is called in whatever order."""
    run(codec, max_examples=60, stateful_step_count=20)


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_decoder_long_runs_of_calls_do_what_the_model_does(codec: CodecModule) -> None:
    """The same for long, with more tries."""
    run(codec, max_examples=200, stateful_step_count=50)


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["late", "count", "skip"])
def test_decoder_machine_finds_planted_faults(monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    """A decoder that is wrong in one corner is found out."""
    split = pure.Decoder._split
    hold = pure.Decoder._hold

    def late(self: pure.Decoder, data: bytes) -> list[bytes]:
        self._limit += self._limit in {4, 10, 64}
        return split(self, data)

    def count(self: pure.Decoder, data: bytes) -> list[bytes]:
        frames = split(self, data)
        self._empty_skipped += data == b"\0\0\0"
        return frames

    def skip(self: pure.Decoder, part: bytes) -> None:
        hold(self, part[:1] if self._held else part)

    name = "_hold" if fault == "skip" else "_split"
    monkeypatch.setattr(pure.Decoder, name, {"late": late, "count": count, "skip": skip}[fault])

    with pytest.raises(AssertionError):
        run(
            cast("CodecModule", pure),
            max_examples=1000,
            # Whether it is found, not how short it can be told.
            phases=[Phase.generate],
            derandomize=True,
            report_multiple_bugs=False,
            database=None,
        )
