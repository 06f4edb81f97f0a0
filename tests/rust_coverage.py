"""
Which lines of the codec crate its Rust tests leave out: ``make coverage-rust``.

Every program of tests is run and read by itself, and the lines are added up: one
that is compiled with the crate's unit tests and one that is not have different
functions of the same name, of which llvm-cov would drop one. Examples in the
documentation do not count, for they are no tests; neither does code of tests.
"""

from __future__ import annotations

import collections
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).parent.parent
SOURCES = ROOT / "rust" / "codec" / "src"
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "coverage"

CARGO = (
    *("cargo", "test", "--quiet", "--locked", "--package", "xmlsocket-codec"),
    *("--features", "tokio", "--lib", "--tests", "--no-run", "--message-format=json"),
)

# Compiled from nothing in most cases: without what only debuggers and the next
# time need, that takes a fifth less.
BUILD = {"CARGO_INCREMENTAL": "0", "CARGO_PROFILE_DEV_DEBUG": "0"}

# What ends the code of a source and starts its tests.
TESTS = "#[cfg(test)]"

# How often a line was run, by source and number.
Lines = dict[str, dict[int, int]]


def output(*command: str | pathlib.Path, **variables: str) -> str:
    """Run a command and return what it prints; end this program when it fails."""
    environ = os.environ | variables
    done = subprocess.run(command, cwd=ROOT, env=environ, check=False, stdout=subprocess.PIPE)
    text = done.stdout.decode()
    if done.returncode:
        sys.exit(f"{text}\n{' '.join(map(str, command))} ended with {done.returncode}")
    return text


def rustc() -> dict[str, str]:
    """Return what the compiler tells of itself."""
    return dict(line.split(": ") for line in output("rustc", "-vV").splitlines()[1:])


def find(tool: str) -> str:
    """Return the program of that name that fits rustc's LLVM."""
    about = rustc()
    sysroot = output("rustc", "--print", "sysroot").strip()
    own = pathlib.Path(sysroot, "lib", "rustlib", about["host"], "bin", tool)
    if own.exists():
        return str(own)
    major = about["LLVM version"].partition(".")[0]
    if system := shutil.which(f"{tool}-{major}"):
        return system
    sys.exit(f"{tool} of LLVM {major} is missing: tests/llvm-tools.sh installs it")


def programs() -> list[str]:
    """Compile the tests so that they count, and return the programs."""
    flags = f"{os.environ.get('RUSTFLAGS', '')} -C instrument-coverage".strip()
    # With a target named build scripts and macros do not count, which would leave
    # their profiles where they run.
    target = ("--target", rustc()["host"], "--target-dir", TARGET)
    lines = output(*CARGO, *target, RUSTFLAGS=flags, **BUILD).splitlines()
    found = [json.loads(line).get("executable") for line in lines]
    return [program for program in found if program]


def measure(program: str, folder: pathlib.Path) -> str:
    """Run a program of tests and return what it covered, in the format of lcov."""
    profile = folder / "profile"
    output(program, LLVM_PROFILE_FILE=f"{profile}.raw")
    output(find("llvm-profdata"), "merge", "--sparse", f"{profile}.raw", "--output", profile)
    export = ("export", "--format=lcov", "--instr-profile", profile, program)
    return output(find("llvm-cov"), *export, "--sources", SOURCES)


def add(lines: Lines, report: str, tests: dict[str, int]) -> None:
    """
    Add what lcov reports of the code above the tests.

    Args:
        lines: To which it is added.
        report: In the format of lcov.
        tests: The number of the line at which the tests of a source start.

    """
    source = ""
    for line in report.splitlines():
        if line.startswith("SF:"):
            source = pathlib.Path(line[3:]).name
        elif found := re.fullmatch(r"DA:(\d+),(\d+)", line):
            number, count = int(found[1]), int(found[2])
            if number < tests[source]:
                lines[source][number] = lines[source].get(number, 0) + count


def start_of_tests(source: str) -> int:
    """Return the number of the line at which the tests of a source start."""
    return source.partition(TESTS)[0].count("\n") + 1


def missed(lines: Lines) -> list[str]:
    """Return the places of the lines that no test ran."""
    places = ((source, number) for source in sorted(lines) for number in sorted(lines[source]))
    return [f"{source}:{number}" for source, number in places if not lines[source][number]]


def main() -> None:
    """Do it."""
    tools = find("llvm-profdata"), find("llvm-cov")
    if sys.argv[1:] == ["--find"]:
        print(*tools)  # noqa: T201
        return
    texts = {path.name: path.read_text("utf-8") for path in SOURCES.glob("*.rs")}
    tests = {name: start_of_tests(text) for name, text in texts.items()}
    lines: Lines = collections.defaultdict(dict)
    for program in programs():
        with tempfile.TemporaryDirectory() as folder:
            add(lines, measure(program, pathlib.Path(folder)), tests)

    for source in sorted(lines):
        print(f"{source:12} {len(lines[source]):4} lines")  # noqa: T201
    # Else a report that names no source would be as good as one that names all.
    if unknown := sorted(name for name in texts if name not in lines and "fn " in texts[name]):
        sys.exit(f"no line of {', '.join(unknown)} was counted")
    if places := missed(lines):
        sys.exit("no test runs " + ", ".join(places))
    print("every line is run by a test")  # noqa: T201


if __name__ == "__main__":
    main()
