"""
The codec against what people write by hand, over sizes of frames and reads.

The test run collects these with timing disabled, so that they cannot rot. With
timing, ``python -m pytest benches/test_decode.py --benchmark-enable`` gives the
statistics of pytest-benchmark; ratios, for which all contenders have to run side
by side, come from ``python -m benches.compare``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from .contenders import CONTENDERS, FRAME_SIZES, READ_SIZES, Case, Contender, play

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture

VOLUME = 2**17
"""Bytes of one case, unless one frame is longer."""


@pytest.mark.parametrize("name", CONTENDERS)
@pytest.mark.parametrize("frame", FRAME_SIZES)
@pytest.mark.parametrize("read", READ_SIZES)
def test_decode_case_gives_every_frame(
    benchmark: BenchmarkFixture, name: str, frame: int, read: int
) -> None:
    """Each contender returns every frame of a case unchanged, and is timed on doing so."""
    contender = CONTENDERS[name]
    case = Case.of(frame, read, VOLUME)
    benchmark.group = f"{frame} B frames in {read} B reads"
    case.check(contender)
    reads = case.reads()

    assert case.count == benchmark(lambda: play(contender.make(), reads))


class Losing:
    """A contender that is quick because it drops the frame that spans two reads."""

    def feed(self, data: bytes) -> list[bytes]:
        """Return some of the frames."""
        return data.split(b"\0")[1:-1]


def test_check_planted_contender_that_loses_frames_is_caught() -> None:
    """A benchmark of a splitter that drops or joins frames fails."""
    planted = Contender("losing", lambda: Losing().feed)

    with pytest.raises(AssertionError, match="losing"):
        Case.of(32, 1460, VOLUME).check(planted)
