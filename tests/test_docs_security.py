"""The page of security: each threat names a limit that exists and a test that is there."""

from __future__ import annotations

import dataclasses
import inspect
import pathlib
import re
import tomllib

import xmlsocket
from tests.test_docs_object import LINK, Link, missing

ROOT = pathlib.Path(__file__).parent.parent
TEXT = (ROOT / "docs" / "topics" / "security.md").read_text("utf-8")


def rows() -> list[list[str]]:
    """Return the cells of the table of threats, a row each."""
    table = TEXT.partition("## Threats")[2].partition("\n## ")[0]
    lines = re.findall(r"^\| (.*) \|$", table, re.MULTILINE)
    return [line.split(" | ") for line in lines[2:]]


def test_page_threats_each_name_tests_that_are_there() -> None:
    """No threat stands without a test, and none names one that is gone."""
    assert len(rows()) > 20
    for row in rows():
        assert 4 == len(row), row
        links = [Link(*match.groups()) for match in LINK.finditer(row[3])]
        assert links, row[0]
        assert [] == missing(links), row[0]


def test_page_limits_exist_and_all_are_named() -> None:
    """The table knows every field of Limits and names no other."""
    named = set(re.findall(r"`Limits\.(\w+)", TEXT))
    bounds = " ".join(row[1] for row in rows())
    fields = {field.name for field in dataclasses.fields(xmlsocket.Limits)}

    assert fields == named
    assert fields == set(re.findall(r"`Limits\.(\w+)", bounds))
    parameters = inspect.signature(xmlsocket.serve).parameters
    keywords = re.findall(r"`(\w+(?:_limit|_timeout|_size))`", bounds)
    assert set(keywords) <= set(parameters)


def test_page_defaults_are_those_of_the_code() -> None:
    """Where the table tells a default, it is the one that holds."""
    limits = xmlsocket.Limits()
    bounds = " ".join(row[1] for row in rows())

    assert f"`Limits.message_timeout`: {limits.message_timeout:.0f} s" in bounds
    assert f"`Limits.handshakes`: {limits.handshakes}" in bounds
    assert f"`Limits.memory`: {(limits.memory or 0) // 2**20} MiB" in bounds
    assert f"`Limits.write_cap`: {(limits.write_cap or 0) // 2**20} MiB" in bounds
    policy = inspect.signature(xmlsocket.PolicyServer).parameters
    timeout, most = policy["request_timeout"].default, policy["max_connections"].default
    assert f"`PolicyServer`: {timeout:.0f} s, {most} connections" in bounds


def test_page_versions_are_those_required() -> None:
    """What the page excludes, the package excludes."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    (lxml,) = project["project"]["dependencies"]
    cargo = tomllib.loads((ROOT / "Cargo.toml").read_text("utf-8"))
    pyo3 = cargo["workspace"]["dependencies"]["pyo3"]
    version = pyo3 if isinstance(pyo3, str) else pyo3["version"]

    assert lxml.startswith("lxml>=6.1.3,")
    assert {"7.0.0a1", "7.0.0a2", "7.0.0a3", "7.0.0b1"} == set(re.findall(r"!=([\w.]+)", lxml))
    assert "| lxml | ≥ 6.1.3, and none of the pre-releases of 7.0.0 |" in TEXT
    assert version.startswith(">=0.29,")
    assert "| PyO3 | ≥ 0.29 |" in TEXT
