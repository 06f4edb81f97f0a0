"""
Test the packages in a folder the way a stranger would use them.

Run as ``python tests/packaging.py dist`` in an environment with the group
``packages``. Checks what the wheel claims to run on; installs it without a
network into an empty environment and runs the tutorial there, and then the tests,
with the source tree out of sight: those of the library on the codec in pure Python,
which they meet nowhere else, and those of the core on the extension, on every
Python >= 3.11 at hand. Then it builds a wheel from the sdist and compares the two.
"""

from __future__ import annotations

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import venv
import zipfile

ROOT = pathlib.Path(__file__).resolve().parent.parent

# What the tests read besides the package: nothing under python/ or rust/.
NEEDED = (
    *("tests", "benches", "examples", "docs", "pyproject.toml"),
    *("Cargo.toml", "Cargo.lock", "Makefile"),
    *("README.md", "SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md"),
)

EXTRAS = "cli,websocket,nats"

# What meets the extension, the versions of asyncio and the packaged files; the rest
# of the package is Python that one version tests for all.
CORE = (
    *("tests/test_codec.py", "tests/test_codec_threads.py", "tests/test_codec_vectors.py"),
    *("tests/test_documents.py", "tests/test_outbox.py", "tests/test_admission.py"),
    *("tests/asyncio/test_connection.py", "tests/asyncio/test_server.py"),
    *("tests/asyncio/test_arrival.py", "tests/asyncio/test_websocket_server.py"),
    *("tests/sync/test_server.py", "tests/sync/test_tls.py"),
    *("tests/flash/test_xmlsocket_threads.py", "tests/cli/test_serve.py"),
)

# They start programs and wait for them, whichever codec those have.
PROGRAMS = ("backplane", "cli", "doctor", "testing", "workers")

MANYLINUX = re.compile(r"manylinux_2_17_(x86_64|aarch64)\.whl$")


def run(*command: str | pathlib.Path, cwd: pathlib.Path | None = None, **variables: str) -> None:
    """Run a command, show it, and end this program when it fails."""
    print("+", *(f"{name}={value}" for name, value in variables.items()), *command, flush=True)  # noqa: T201
    environ = os.environ | variables
    status = subprocess.run(command, cwd=cwd, env=environ, check=False).returncode
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


def audit(wheel: pathlib.Path) -> None:
    """Check that the wheel runs where its name says: old C libraries, any Python from 3.11."""
    if sys.platform == "linux":
        if not MANYLINUX.search(wheel.name):
            sys.exit(f"{wheel.name} claims no manylinux_2_17")
        command = [sys.executable, "-m", "auditwheel", "show", str(wheel)]
        shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        claim = re.search(r'platform tag:\s+"(manylinux_\d+_\d+)_', shown)
        if claim is None or claim[1] != "manylinux_2_17":
            sys.exit(f"auditwheel does not find manylinux_2_17:\n{shown}")
    run(sys.executable, "-m", "abi3audit", "--strict", wheel)
    with zipfile.ZipFile(wheel) as archive:
        if not any("/sboms/" in name for name in archive.namelist()):
            sys.exit(f"{wheel.name} has no list of what it was made of")


def environment(folder: pathlib.Path, interpreter: str | pathlib.Path = sys.executable) -> str:
    """Make an empty environment and return its Python."""
    if interpreter == sys.executable:
        venv.create(folder, with_pip=True)
    else:
        run(interpreter, "-m", "venv", folder)
    python = folder / "bin/python"
    run(python, "-m", "pip", "install", "--quiet", "--upgrade", "pip>=25.1")
    return str(python)


def install(python: str, wheel: pathlib.Path, *, house: pathlib.Path) -> None:
    """Install the wheel from a folder alone, as on a machine without a network."""
    named = f"{wheel}[{EXTRAS}]"
    run(python, "-m", "pip", "wheel", "--quiet", "--wheel-dir", house, named)
    offline = ("--no-index", "--find-links", house)
    run(python, "-m", "pip", "install", "--quiet", *offline, named)


def install_tests(python: str) -> None:
    """Install what the tests need."""
    group = f"{ROOT / 'pyproject.toml'}:test"
    run(python, "-m", "pip", "install", "--quiet", "--group", group)


def others() -> dict[str, pathlib.Path]:
    """Return the other versions of Python at hand, on the path or installed by pyenv."""
    pyenv = pathlib.Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser()
    found: dict[str, pathlib.Path] = {}
    for minor in range(11, 20):
        if minor == sys.version_info.minor:
            continue
        name = f"python3.{minor}"
        candidates = [*sorted(pyenv.glob(f"versions/3.{minor}*/bin/{name}"), reverse=True)]
        path = shutil.which(name)
        if path is not None:
            candidates.append(pathlib.Path(path))
        for candidate in candidates:
            # pyenv puts a program in the way for versions that are not switched on.
            works = subprocess.run([candidate, "-c", ""], capture_output=True, check=False)
            if works.returncode == 0:
                found[name] = candidate
                break
    return found


_made = shutil.ignore_patterns("__pycache__", "_build")


def copy_tests(away: pathlib.Path) -> None:
    """Copy what the tests need, and not the package."""
    away.mkdir()
    for item in NEEDED:
        source = ROOT / item
        if source.is_dir():
            shutil.copytree(source, away / item, ignore=_made)
        elif source.exists():
            shutil.copy(source, away)


def main() -> None:
    """Do it."""
    dist = pathlib.Path(sys.argv[1]).resolve()
    wheel, sdist = only(dist, "*.whl"), only(dist, "*.tar.gz")
    audit(wheel)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        away = folder / "away"
        copy_tests(away)
        python = environment(folder / "env")
        install(python, wheel, house=folder / "house")
        run(python, "-m", "tests.docs", "tutorial/first-server.md", cwd=away)
        install_tests(python)
        tests = ("-m", "pytest", "-q", "-m", "not slow")
        library = [f"--ignore=tests/{folder}" for folder in PROGRAMS]
        run(python, *tests, *library, cwd=away, XMLSOCKET_PURE="1")
        # The demo's page is a file of the package.
        run(python, *tests, *CORE, "tests/cli/test_demo_room.py", cwd=away)
        for version, interpreter in others().items():
            python = environment(folder / version, interpreter)
            install(python, wheel, house=folder / f"house-{version}")
            install_tests(python)
            run(python, *tests, *CORE, cwd=away)

        run(python, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", folder / "again", sdist)
        first, second = contents(wheel), contents(only(folder / "again", "*.whl"))
        if first != second:
            odd = sorted(set(first.items()) ^ set(second.items()))
            sys.exit(f"the wheel from the sdist differs: {odd}")
        print(f"the wheel from the sdist has the same {len(first)} files")  # noqa: T201


if __name__ == "__main__":
    main()
