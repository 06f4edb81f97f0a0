"""The C library, built once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from .tools import CAPI, Library, need, run

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Library:
    """Build and install the C library as its users do."""
    need("cargo", "cc", "c++", "pkg-config", "valgrind")
    prefix: Path = tmp_path_factory.mktemp("prefix")
    run("bash", CAPI / "install.sh", prefix)
    return Library(prefix, tmp_path_factory.mktemp("programs"))
