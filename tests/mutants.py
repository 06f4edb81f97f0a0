"""
Mutation testing: which changes of a module do its own tests not notice?

    python -m tests.mutants MODULE [SAMPLE]

cosmic-ray makes the mutants. Each is tried in a fork of a server that has pytest
and its plugins loaded already, and imports the mutated module from memory: no file
is changed. SAMPLE mutants are drawn with a fixed seed; without it all are tried.

Prints a row of the record and the survivors, and fails if a mutant survives that
``tests/mutants.toml`` does not explain.
"""

from __future__ import annotations

import ast
import difflib
import importlib.abc
import importlib.util
import multiprocessing
import os
import random
import signal
import sys
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from rich.console import Console
from rich.progress import track

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "python/xmlsocket"
TESTS = {
    "flow": ["tests/test_flow.py"],
    "limits": ["tests/test_limits.py"],
    "outbox": ["tests/test_outbox.py"],
    # The first to fail ends a run: the quick ones come first.
    "pure": [
        "tests/test_codec_vectors.py",
        "tests/test_codec_pieces.py",
        "tests/test_codec.py",
        "tests/test_codec_linear.py",
        "tests/test_exceptions.py",
        "tests/test_codec_memory.py",
        "tests/test_codec_threads.py",
    ],
}
# Only the code in Python is mutated.
OPTIONS = ["-q", "-x", "--no-header", "--tb=no", "-p", "no:benchmark", "-o", "addopts="]
OPTIONS += ["--import-mode=importlib", "-p", "no:cacheprovider", "-k", "not rust"]
# The plugins are loaded before pytest could rewrite their assertions.
OPTIONS += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
FORKS = multiprocessing.get_context("forkserver")
AT_ONCE = 2
# Seconds of processor time a test may take, by which mutants in an endless loop are
# told; no test takes a fifth of it. The other is for those that wait, by the clock.
TURN, PATIENCE = 10.0, 300.0


class Change(NamedTuple):
    """What a mutant changes, as the lines before and after."""

    was: str
    now: str


class FromMemory(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports one module from text instead of its file."""

    def __init__(self, module: str, source: str) -> None:
        self._name = f"xmlsocket.{module}"
        self._file = str(PACKAGE / f"{module}.py")
        self._source = source

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find the one module."""
        del path, target
        if fullname != self._name:
            return None
        return importlib.util.spec_from_loader(fullname, self, origin=self._file)

    def exec_module(self, module: ModuleType) -> None:
        """Run the text."""
        exec(compile(self._source, self._file, "exec"), module.__dict__)


class Turns:
    """A plugin for pytest: the signal ends the process whose test takes too long."""

    def pytest_runtest_setup(self) -> None:
        """Start the time anew, before each test."""
        signal.setitimer(signal.ITIMER_PROF, TURN)


def run_tests(module: str, source: str) -> None:
    """Run the tests of a module, in a process of its own, on ``source`` in its place."""
    import pytest  # noqa: PLC0415 - in the forks only

    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    sys.meta_path.insert(0, FromMemory(module, source))
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_PROF, TURN)  # importing may not end either
    os._exit(int(pytest.main([*OPTIONS, *TESTS[module]], plugins=[Turns()])))


def survives(module: str, source: str) -> bool | None:
    """
    Tell whether all tests pass on ``source``; None if they did not come to an end.

    Whatever else pytest says, or whatever signal ends it, is the mutant's doing: the
    same command passes on the code as it is. An import that fails is no failed test.
    """
    process = FORKS.Process(target=run_tests, args=(module, source))
    process.start()
    process.join(PATIENCE)
    if process.is_alive():
        process.kill()
        process.join()
        return None
    return None if process.exitcode == -signal.SIGPROF else process.exitcode == 0


def meaning(source: str) -> str:
    """
    Return what runs of a module: its syntax tree without annotations.

    The modules import ``annotations`` from ``__future__``, so that nothing
    evaluates one. Mutants that mean the same as the module are no mutants.
    """
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.arg):
            node.annotation = None
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            node.returns = None
        elif isinstance(node, ast.AnnAssign):
            node.annotation = ast.Constant(None)
    return ast.dump(tree)


def mutants(source: str) -> Iterator[str]:
    """Yield every mutant that cosmic-ray makes of a module and that means something else."""
    from cosmic_ray import mutating, plugins  # noqa: PLC0415 - not in the forks

    seen = {meaning(source)}
    for name in sorted(plugins.operator_names()):
        kind = plugins.get_operator(name)
        if kind.arguments():
            continue
        occurrence = 0
        while mutant := mutating.mutate_code(source, kind(), occurrence):
            occurrence += 1
            try:
                means = meaning(mutant)
            except SyntaxError:  # of a bare "*" among parameters it makes a "+"
                continue
            if means not in seen:
                seen.add(means)
                yield mutant


def change(source: str, mutant: str) -> Change:
    """Return the lines in which a mutant differs, without their indentation."""
    lines = list(difflib.unified_diff(source.splitlines(), mutant.splitlines(), n=0))[3:]
    sides = (" ".join(x[1:].strip() for x in lines if x[0] == sign) for sign in "-+")
    return Change(*(side.strip() for side in sides))


def explained(module: str) -> dict[Change, str]:
    """Read why some mutants cannot be noticed."""
    with (ROOT / "tests/mutants.toml").open("rb") as file:
        entries = tomllib.load(file).get(module, [])
    return {Change(x["was"], now): x["why"] for x in entries for now in x["now"]}


def main(module: str, sample: int = 0) -> int:
    """Try the mutants of a module, print the record, and return the status to exit with."""
    os.chdir(ROOT)
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    FORKS.set_forkserver_preload(["pytest", "anyio.pytest_plugin", "hypothesis", "lxml.etree"])
    source = (PACKAGE / f"{module}.py").read_text("utf-8")

    if not survives(module, source):
        print(f"the tests of {module} fail on the code as it is", file=sys.stderr)
        return 2
    if survives(module, source + "\nraise RuntimeError\n") is not False:
        print(f"the tests of {module} do not import the mutant", file=sys.stderr)
        return 2

    every = list(mutants(source))
    tried = random.Random(1).sample(every, sample) if 0 < sample < len(every) else every
    with ThreadPoolExecutor(AT_ONCE) as pool:
        outcomes = pool.map(lambda mutant: survives(module, mutant), tried)
        shown = track(outcomes, module, len(tried), console=Console(stderr=True))
        found = list(shown)
    left = [change(source, mutant) for mutant, out in zip(tried, found, strict=True) if out]
    return report(module, len(every), len(tried), left, found.count(None))


def report(module: str, every: int, tried: int, left: list[Change], timeouts: int) -> int:
    """Print the row of the record and the survivors; return 1 if one is not explained."""
    why = explained(module)
    counted = tried - sum(one in why for one in left)
    killed = tried - len(left)
    print("| module | mutants | tried | killed | by timeout | survivors | killed of the unequal |")
    print(f"| {module} | {every} | {tried} | {killed} | {timeouts} | {len(left)} |", end=" ")
    print(f"{killed / max(1, counted):.1%} |\n")
    for one in left:
        print(f"- `{one.was}` → `{one.now}`: {why.get(one, 'NOT EXPLAINED')}")
    return int(any(one not in why for one in left))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 0))
