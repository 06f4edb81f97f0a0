"""
Test the packages in a folder the way a stranger would use them.

Run as ``python tests/packaging.py dist``. Installs the wheel into an empty
environment and runs the tests there, with the source tree out of sight; then
builds a wheel from the sdist and compares the two.
"""

from __future__ import annotations

import pathlib
import shutil
import subprocess
import sys
import tempfile
import venv
import zipfile

ROOT = pathlib.Path(__file__).resolve().parent.parent

# What the tests read besides the package: nothing under python/ or rust/.
NEEDED = ("tests", "benches", "examples", "docs", "pyproject.toml", "README.md")


def run(*command: str | pathlib.Path, cwd: pathlib.Path | None = None) -> None:
    """Run a command, show it, and end this program when it fails."""
    print("+", *command, flush=True)  # noqa: T201
    status = subprocess.run(command, cwd=cwd, check=False).returncode
    if status:
        sys.exit(status)


def only(folder: pathlib.Path, pattern: str) -> pathlib.Path:
    """Return the one file that matches."""
    (found,) = folder.glob(pattern)
    return found


def contents(wheel: pathlib.Path) -> dict[str, int]:
    """
    Return the names in a wheel with their checksums.

    Without those of the compiled library, of RECORD, which has its checksum, and
    of WHEEL, which has the platform: pip claims no manylinux for what it builds.
    """
    with zipfile.ZipFile(wheel) as archive:
        return {
            info.filename: 0 if info.filename.endswith((".so", "/RECORD", "/WHEEL")) else info.CRC
            for info in archive.infolist()
            if "/sboms/" not in info.filename
        }


def main() -> None:
    """Do it."""
    dist = pathlib.Path(sys.argv[1]).resolve()
    wheel, sdist = only(dist, "*.whl"), only(dist, "*.tar.gz")
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        venv.create(folder / "env", with_pip=True)
        python = folder / "env/bin/python"
        run(python, "-m", "pip", "install", "--quiet", "--upgrade", "pip>=25.1")
        run(python, "-m", "pip", "install", "--quiet", f"{wheel}[cli,websocket]")
        group = f"{ROOT / 'pyproject.toml'}:test"
        run(python, "-m", "pip", "install", "--quiet", "--group", group)
        away = folder / "away"
        away.mkdir()
        for item in NEEDED:
            source = ROOT / item
            if source.is_dir():
                shutil.copytree(source, away / item, ignore=shutil.ignore_patterns("__pycache__"))
            elif source.exists():
                shutil.copy(source, away)
        run(python, "-m", "pytest", "-q", "-m", "not slow", cwd=away)

        run(python, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", folder / "again", sdist)
        first, second = contents(wheel), contents(only(folder / "again", "*.whl"))
        if first != second:
            odd = sorted(set(first.items()) ^ set(second.items()))
            sys.exit(f"the wheel from the sdist differs: {odd}")
        print(f"the wheel from the sdist has the same {len(first)} files")  # noqa: T201


if __name__ == "__main__":
    main()
