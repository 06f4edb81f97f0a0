"""The crate: what is in its package, where it builds, what its documentation shows."""

from __future__ import annotations

import re
import shutil
import subprocess
import tarfile
import tomllib
from typing import TYPE_CHECKING

import pytest

from .tools import CODEC, PATIENCE, ROOT, TARGET, VALGRIND, WARNINGS, need, run

if TYPE_CHECKING:
    from pathlib import Path

# What the sources have a comment of documentation and an example for.
ITEM = re.compile(r"^ *pub (?:const |unsafe )*(?:fn|struct|enum|trait|const) (\w+)")

PACKAGED = {
    *("CHANGELOG.md", "LICENSE", "README.md", "Cargo.toml"),
    *("examples/chat.rs", "tests/chunking.rs", "tests/tokio.rs", "tests/oracle/mod.rs"),
}
# Added by cargo.
GENERATED = {".cargo_vcs_info.json", "Cargo.lock", "Cargo.toml.orig"}

# Each length of a stream in turn: within the second frame, behind it, in the third;
# then a frame that is longer than 64 bytes.
NOSTD_MAIN = r"""
#include <stdint.h>
#include <stdio.h>

extern int64_t nostd_payload(const uint8_t *data, size_t len);

int main(void) {
    static const uint8_t stream[] = "<a/>\0<b/>\0<c";
    static uint8_t large[65];

    for (size_t i = 0; i < sizeof large; i++)
        large[i] = 'x';
    for (size_t len = 9; len <= 12; len++)
        printf("%d ", (int)nostd_payload(stream, len));
    printf("%d", (int)nostd_payload(large, sizeof large));
    return 0;
}
"""

compiles = [pytest.mark.slow, pytest.mark.timeout(PATIENCE)]


def items_without_example(source: str) -> list[str]:
    """Return the public items that no example stands above."""
    found = []
    comment: list[str] = []
    for line in source.partition("#[cfg(test)]\nmod tests")[0].splitlines():
        if line.lstrip().startswith("///"):
            comment.append(line)
        elif item := ITEM.match(line):
            if not any("```" in one for one in comment):
                found.append(item[1])
            comment = []
        # Attributes stand between the comment and what it is about.
        elif not re.match(r" *(#\[|\)\]|clippy::|reason = )", line):
            comment = []
    return found


def rust_version() -> str:
    """Return the oldest Rust that is promised."""
    workspace = tomllib.loads((ROOT / "Cargo.toml").read_text("utf-8"))["workspace"]
    return str(workspace["package"]["rust-version"])


def test_source_every_public_item_has_an_example() -> None:
    """Each function, type and constant shows how it is used, which doctests run."""
    need()
    sources = sorted((CODEC / "src").glob("*.rs"))

    assert {} == {
        path.name: missing
        for path in sources
        if (missing := items_without_example(path.read_text("utf-8")))
    }
    assert len(sources) > 6


def test_source_item_without_example_is_found() -> None:
    """The check itself can fail."""
    source = (
        "/// Text.\n/// ```\n/// ```\n#[inline]\npub fn a() {}\n\n/// Text.\npub const fn b() {}"
    )

    assert ["b"] == items_without_example(source)


def test_package_holds_what_is_needed_and_nothing_else() -> None:
    """Sources, tests that need nothing else, the example, and what readers look for."""
    need("cargo")
    listed = set(run("cargo", "package", "--list", "--allow-dirty", cwd=CODEC).split())
    sources = {f"src/{path.name}" for path in (CODEC / "src").iterdir()}

    assert PACKAGED | sources == listed - GENERATED


def test_readme_version_of_rust_is_the_promised_one() -> None:
    """The README of the crate promises what its manifest says."""
    need()
    readme = (CODEC / "README.md").read_text("utf-8")

    assert [rust_version()] == re.findall(
        r"Minimum supported Rust version: ([\d.]+)\.$", readme, re.MULTILINE
    )


class TestCompiled:
    """What takes a compiler."""

    pytestmark = compiles

    def test_package_builds_by_itself(self, tmp_path: Path) -> None:
        """What cargo would publish builds away from the workspace, and names no path."""
        need("cargo")
        run("cargo", "package", "--quiet", "--allow-dirty", "--no-verify", cwd=CODEC)
        version = tomllib.loads((ROOT / "Cargo.toml").read_text("utf-8"))["workspace"]["package"][
            "version"
        ]
        name = f"xmlsocket-codec-{version}"
        with tarfile.open(TARGET / "package" / f"{name}.crate") as archive:
            archive.extractall(tmp_path, filter="data")
        folder = tmp_path / name

        run("cargo", "build", "--quiet", "--locked", "--all-features", cwd=folder)
        manifest = tomllib.loads((folder / "Cargo.toml").read_text("utf-8"))
        assert rust_version() == manifest["package"]["rust-version"]
        assert "path" not in manifest["dependencies"]["memchr"]
        for file in ("LICENSE", "README.md"):
            assert (CODEC / file).read_text("utf-8") == (folder / file).read_text("utf-8")
        assert (ROOT / "LICENSE").read_text("utf-8") == (folder / "LICENSE").read_text("utf-8")

    def test_crate_builds_with_the_oldest_rust_promised(self) -> None:
        """The crate, with every feature and with none, and the C library build with it."""
        need("cargo")
        toolchain = f"{rust_version()}.0"
        probe = ["rustup", "run", toolchain, "rustc", "--version"]
        # Not required anywhere: where it cannot be downloaded there is nothing to do.
        if (
            not shutil.which("rustup")
            or subprocess.run(probe, check=False, capture_output=True).returncode
        ):
            pytest.skip(f"Rust {toolchain} is not installed: make vendor-tools")
        run("make", "msrv", env={"MSRV_TARGET": str(TARGET / "msrv")})

    def test_crate_without_std_runs_in_a_static_library(self, tmp_path: Path) -> None:
        """A library with its own panic handler and allocator links and decodes."""
        need("cargo", "cc", "valgrind")
        manifest = ROOT / "rust" / "nostd" / "Cargo.toml"
        run("cargo", "build", "--quiet", "--release", "--locked", "--manifest-path", manifest)
        archive = TARGET / "release" / "libxmlsocket_nostd.a"
        source = tmp_path / "main.c"
        source.write_text(NOSTD_MAIN, "utf-8")
        program = tmp_path / "main"
        run("cc", "-std=c11", *WARNINGS, source, archive, "-o", program)

        assert "-1 8 -1 -1 -2" == run(*VALGRIND, program)
        symbols = run("nm", "--demangle", "--quiet", archive)
        assert "nostd_payload" in symbols
        assert [] == re.findall(r"\bstd::\S*", symbols)
