"""Versions that are excluded for their faults: pyproject.toml is what the documents say."""

from __future__ import annotations

import re
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


def test_pyo3_floor_is_the_one_that_the_documents_name() -> None:
    """Below 0.29 it has RUSTSEC-2026-0176 and RUSTSEC-2026-0177; what is locked has not."""
    workspace = tomllib.loads((ROOT / "Cargo.toml").read_text("utf-8"))["workspace"]
    assert ">=0.29" == workspace["dependencies"]["pyo3"]["version"].partition(",")[0]

    lock = tomllib.loads((ROOT / "Cargo.lock").read_text("utf-8"))
    (locked,) = (crate["version"] for crate in lock["package"] if crate["name"] == "pyo3")
    assert (0, 29) <= tuple(map(int, locked.split(".")[:2]))
    for document in ("SECURITY.md", "docs/topics/security.md"):
        text = (ROOT / document).read_text("utf-8")
        assert re.search(
            r"PyO3 \|? ?≥ 0\.29\b[^.]*\bRUSTSEC-2026-0176\b[^.]*\bRUSTSEC-2026-0177\b", text
        )


@pytest.mark.parametrize("folder", [".", "rust/fuzz", "rust/header", "rust/nostd"])
def test_lock_every_crate_of_a_registry_has_a_checksum(folder: str) -> None:
    """Cargo cannot be given another crate than the one that was locked."""
    path = ROOT / folder / "Cargo.lock"
    if not path.exists():
        pytest.skip("without the source of the crates")
    lock = tomllib.loads(path.read_text("utf-8"))
    fetched = [package for package in lock["package"] if "source" in package]

    assert fetched
    assert [] == [package["name"] for package in fetched if "checksum" not in package]
