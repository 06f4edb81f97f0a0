"""The page of limits names every limit, its default and nothing else."""

from __future__ import annotations

import dataclasses
import inspect
import pathlib
import re

import xmlsocket
from xmlsocket import CloseReason, Limits
from xmlsocket.flow import CONNECTION_CHARGE, FRAME_OVERHEAD, TLS_CHARGE

PAGE = pathlib.Path(__file__).parent.parent / "docs" / "topics" / "limits.md"
TEXT = PAGE.read_text("utf-8")

UNITS = {"MiB": 2**20, "KiB": 2**10}
KEYWORD = re.compile(r"max_\w+|\w+_limit|\w+_timeout")


def rows() -> list[list[str]]:
    """Return the cells of the table, a row each."""
    lines = re.findall(r"^\| (`.*) \|$", TEXT, re.MULTILINE)
    return [[cell.strip() for cell in line.split(" | ")] for line in lines]


def value_of(cell: str) -> float | None:
    """Return the default that a cell names."""
    if cell == "none":
        return None
    number, _, unit = cell.partition(" ")
    return float(number.replace(",", "")) * UNITS.get(unit, 1)


def test_table_defaults_are_those_of_the_signature_and_of_limits() -> None:
    """Every limit has a row with its default, in bytes, seconds or a count."""
    parameters = inspect.signature(xmlsocket.serve).parameters
    expected = {
        name: parameter.default for name, parameter in parameters.items() if KEYWORD.fullmatch(name)
    }
    for field in dataclasses.fields(Limits):
        expected[f"Limits.{field.name}"] = field.default

    assert expected == {row[0].strip("`"): value_of(row[1]) for row in rows()}


def test_table_units_fit_the_limit() -> None:
    """Times are given in seconds and nothing else is."""
    for name, default, *_ in rows():
        if default != "none":
            assert ("timeout" in name) is default.endswith(" s"), name


def test_table_rows_are_complete() -> None:
    """Each row says what is bounded, what it costs, what happens beyond and without it."""
    for row in rows():
        assert 6 == len(row), row
        assert all(row), row


def test_table_reasons_exist() -> None:
    """Each reason that the table names is one with which connections end."""
    named = {reason for row in rows() for reason in re.findall(r": `(\w+)`", row[4])}

    assert {"slow_peer", "memory", "frame_too_big"} < named <= set(CloseReason)


def test_page_figures_are_those_of_the_code() -> None:
    """The charges that the page tells are charged."""
    assert (128, 4 * 2**10, 300 * 2**10) == (FRAME_OVERHEAD, CONNECTION_CHARGE, TLS_CHARGE)
    memory = Limits().memory
    assert memory is not None
    assert f"room for {memory // TLS_CHARGE} connections with TLS" in TEXT


def test_page_options_are_accepted() -> None:
    """Every limit that the table says can be lifted is lifted by None."""
    names = [row[0].strip("`") for row in rows() if row[5] != "cannot be lifted"]
    fields = {name.removeprefix("Limits."): None for name in names if name.startswith("Limits.")}
    limits = Limits(**fields)

    assert set(fields) == set(dataclasses.asdict(limits))
    assert {None} == set(dataclasses.asdict(limits).values())
