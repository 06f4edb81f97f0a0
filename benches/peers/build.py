"""
Build the load generator and the rivals that are no Python programs.

Each from its language's registry, into ``target/``. A language that is not
installed is named loudly and left out; a build that fails ends with status 1.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PEERS = Path("benches", "peers")
TARGET = Path("target", "peers")


@dataclasses.dataclass(frozen=True, slots=True)
class Build:
    """How one program is built, in the project's folder."""

    name: str
    tools: tuple[str, ...]
    command: tuple[str | Path, ...]
    folder: Path = Path()


BUILDS = (
    Build(
        "load generator",
        ("cargo",),
        ("cargo", "build", "--release", "--locked", "--package", "xmlsocket-bench"),
    ),
    Build(
        "tokio-util",
        ("cargo",),
        (
            *("cargo", "build", "--release", "--locked"),
            *("--manifest-path", PEERS / "tokio" / "Cargo.toml"),
            *("--target-dir", TARGET / "tokio"),
        ),
    ),
    Build(
        "Go",
        ("go",),
        ("go", "build", "-buildvcs=false", "-o", ROOT / TARGET / "go-frames", "."),
        PEERS / "go",
    ),
    Build(
        "Netty",
        ("java", "mvn"),
        (
            *("mvn", "--batch-mode", "--quiet", "--file", PEERS / "netty" / "pom.xml"),
            *("package", f"-DbuildDirectory={ROOT / TARGET / 'netty'}"),
        ),
    ),
)

MODULES = ("twisted", "uvloop", "matplotlib")


def main() -> int:
    """Build all and return the exit status."""
    missing, failed = [], []
    for build in BUILDS:
        absent = [tool for tool in build.tools if shutil.which(tool) is None]
        if absent:
            missing.append(f"{build.name}: no program {', '.join(absent)}")
            continue
        print(f"building {build.name}", flush=True)
        done = subprocess.run(build.command, cwd=ROOT / build.folder, check=False)
        if done.returncode != 0:
            failed.append(f"{build.name}: {os.fspath(build.command[0])} failed, see above")
    missing += [
        f"{name}: not installed, `pip install --group bench` brings it"
        for name in MODULES
        if importlib.util.find_spec(name) is None
    ]
    for words in missing:
        print(f"*** NOT BUILT: {words} ***", file=sys.stderr)
    for words in failed:
        print(f"*** FAILED: {words} ***", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
