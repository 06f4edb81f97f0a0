"""What the report about the Rust tests counts."""

from __future__ import annotations

import collections

from .rust_coverage import Lines, add, missed, start_of_tests

FIRST = """\
SF:/project/src/a.rs
FN:1,a
FNDA:2,a
DA:1,2
DA:2,0
DA:3,0
DA:9,0
end_of_record
SF:/project/src/b.rs
DA:1,0
end_of_record
"""

SECOND = """\
SF:/project/src/a.rs
DA:1,0
DA:2,1
DA:3,0
end_of_record
"""


def test_missed_lines_that_no_program_ran_are_named() -> None:
    """A line counts as run if any program ran it; lines of tests are left out."""
    lines: Lines = collections.defaultdict(dict)
    for report in FIRST, SECOND:
        add(lines, report, {"a.rs": 9, "b.rs": 9})

    assert {"a.rs": {1: 2, 2: 1, 3: 0}, "b.rs": {1: 0}} == lines
    assert ["a.rs:3", "b.rs:1"] == missed(lines)


def test_start_of_tests_is_the_line_of_their_attribute() -> None:
    """Code ends where the attribute of the tests stands, or with the source."""
    assert 3 == start_of_tests("fn a() {}\n\n#[cfg(test)]\nmod tests {}\n")
    assert 2 == start_of_tests("fn a() {}\n")
