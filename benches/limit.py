"""Builds `splitlimit.c`, the limit for splitters that return Python objects."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["Unavailable", "load"]

NAME = "splitlimit"
SOURCE = Path(__file__).with_name(f"{NAME}.c")
TARGET = Path(__file__).parent.parent / "target" / "limit"


class Unavailable(Exception):
    """The extension cannot be built here; the text says why."""


def load() -> ModuleType:
    """
    Return the extension, built if it is not there or older than its source.

    Raises:
        Unavailable: Without a C compiler or without the headers of Python.

    """
    suffix: Any = sysconfig.get_config_var("EXT_SUFFIX")
    path = TARGET / f"{NAME}{suffix}"
    if not path.exists() or path.stat().st_mtime < SOURCE.stat().st_mtime:
        _build(path)
    spec = importlib.util.spec_from_file_location(NAME, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _build(path: Path) -> None:
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise Unavailable("no C compiler was found (cc, gcc, clang)")
    include = sysconfig.get_paths()["include"]
    if not Path(include, "Python.h").exists():
        raise Unavailable(f"Python's headers are missing: no Python.h in {include}")
    path.parent.mkdir(parents=True, exist_ok=True)
    flags = ["-O3", "-fPIC", "-shared"]
    if sysconfig.get_platform().startswith("macosx"):
        flags += ["-undefined", "dynamic_lookup"]
    command = [compiler, *flags, f"-I{include}", str(SOURCE), "-o", str(path)]
    built = subprocess.run(command, check=False, capture_output=True, text=True)
    if built.returncode:
        raise Unavailable(f"{SOURCE.name} does not compile: {built.stderr.strip()}")
