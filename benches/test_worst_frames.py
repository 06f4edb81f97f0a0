"""The worst frames, by what can be counted: the benchmark itself measures their time."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from xmlsocket import DocumentError, documents, parse

from .worst_frames import memory_ratios, room_list, worst_frames

MEASURE = f"""
import json
from {memory_ratios.__module__} import memory_ratios
print(json.dumps(memory_ratios(2**20)))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_worst_frames_take_no_more_than_three_times_the_memory_of_a_room_list() -> None:
    """Whatever a frame of a megabyte is made of, its tree and its errors stay that small."""
    result = subprocess.run(
        [sys.executable, "-c", MEASURE], capture_output=True, text=True, check=True
    )
    ratios = json.loads(result.stdout)

    assert ratios.keys() == worst_frames(100).keys()
    dear = {name: ratio for name, ratio in ratios.items() if ratio > 3}
    assert not dear


def test_worst_frames_have_the_size_asked_for_and_few_errors_are_kept_of_them() -> None:
    """A hundred thousand faults in one frame leave a hundred entries in lxml's log at most."""
    size = 2**16
    refused = 0
    for frame in worst_frames(size).values():
        assert size * 0.8 < len(frame) <= size
        try:
            parse(frame)
        except DocumentError:
            refused += 1
            parser = documents._local.state.parser  # noqa: SLF001 - its own
            assert parser is not None
            assert len(parser.feed_error_log) <= 100
    assert refused > 5
    assert "rmList" in parse(room_list(size))[0].attrib.values()
