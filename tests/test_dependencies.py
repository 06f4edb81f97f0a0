"""Versions that are excluded for their faults: pyproject.toml is what the documents say."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.skipif(
    not (ROOT / "pyproject.toml").exists(), reason="without the source tree"
)


def test_lxml_excluded_releases_are_those_that_the_documents_name() -> None:
    """Below 6.1.3 and in the pre-releases of 7.0.0 external entities are opened by default."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    (lxml,) = (line for line in project["dependencies"] if line.startswith("lxml"))

    assert {">=6.1.3", "!=7.0.0a1", "!=7.0.0a2", "!=7.0.0a3", "!=7.0.0b1"} == set(
        lxml.removeprefix("lxml").split(",")
    )
    for document in ("SECURITY.md", "docs/topics/security.md"):
        lines = (ROOT / document).read_text("utf-8").splitlines()
        assert any(
            "lxml" in line and "6.1.3" in line and "pre-releases of 7.0.0" in line for line in lines
        )


def test_lock_every_crate_of_a_registry_has_a_checksum() -> None:
    """Cargo cannot be given another crate than the one that was locked."""
    lock = tomllib.loads((ROOT / "Cargo.lock").read_text("utf-8"))
    fetched = [package for package in lock["package"] if "source" in package]

    assert fetched
    assert [] == [package["name"] for package in fetched if "checksum" not in package]
