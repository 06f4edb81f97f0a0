"""The example of a debugger debugs real PHP, through Xdebug."""

from __future__ import annotations

import contextlib
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support.dbgp import Debugger, debugger

from .tools import do_without, need, run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow

WAIT = 60.0
# Without the files of the system, which may load Xdebug, or have it switched off.
PHP = ("php", "-n", "-d", "zend_extension=xdebug")

SCRIPT = """<?php
function greet($name) {
    $größe = strlen($name);
    $text = "Grüße, " . $name . " 😀";
    return $text;
}
$who = ["first" => "Żaneta", "ключ" => 1.5];
echo greet($who["first"]), "\\n";
"""


@contextlib.contextmanager
def debugged(script: Path, *arguments: str) -> Iterator[tuple[Debugger, subprocess.Popen[bytes]]]:
    """Run a script and the example, which has heard of it."""
    need("php")
    if "Xdebug" not in run(*PHP, "-m").split():
        do_without("PHP's extension Xdebug")
    settings = {"mode": "debug", "start_with_request": "yes", "client_host": "127.0.0.1"}
    with debugger(*arguments) as example:
        settings["client_port"] = str(example.port)
        options = [f"-dxdebug.{name}={value}" for name, value in settings.items()]
        command = [*PHP, *options, str(script)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as php:
            try:
                assert f"PHP runs 'file://{script}'" == example.line()
                yield example, php
            finally:
                php.kill()


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """Write a script whose names and texts are not all in English."""
    path = tmp_path / "greet.php"
    path.write_text(SCRIPT, "utf-8")
    return path


def test_script_runs_step_by_step_to_its_end(script: Path) -> None:
    """Each step tells the next line; at the end PHP goes on and prints what it prints."""
    with debugged(script) as (example, php):
        for line in (7, 8, 3, 4, 5, 8):
            assert [f"break 'file://{script}:{line}'"] == example.ask("step_into")
        assert ["stopping"] == example.ask("run")

        assert "" == example.end()
        assert "Grüße, Żaneta 😀\n".encode() == php.communicate(timeout=WAIT)[0]


def test_stack_and_variables_are_told_at_a_breakpoint(script: Path) -> None:
    """Names come in the encoding of the script, whatever the document declares; so do texts."""
    with debugged(script) as (example, _):
        assert ["ok"] == example.ask(f"breakpoint_set -t line -f file://{script} -n 5")
        assert [f"break 'file://{script}:5'"] == example.ask("run")

        stack = [f"#0 'greet' at 'file://{script}:5'", f"#1 '{{main}}' at 'file://{script}:8'"]
        assert stack == example.ask("stack_get", 2)
        variables = [
            "'$größe': int '7'",
            "'$name': string 'Żaneta'",
            "'$text': string 'Grüße, Żaneta 😀'",
        ]
        assert variables == example.ask("context_get -d 0", 3)
        outer = [
            "'$who': array ''",
            """'$who["first"]': string 'Żaneta'""",
            """'$who["ключ"]': float '1.5'""",
        ]
        assert outer == example.ask("context_get -d 1", 3)


def test_code_is_evaluated_within_the_script(script: Path) -> None:
    """What is asked has other bytes than ASCII, too; a mistake in it ends nothing."""
    with debugged(script) as (example, php):
        example.ask("step_into")
        assert ["'result': int '42'"] == example.ask("eval 6 * 7")
        assert ["'result': string 'ü2'"] == example.ask('eval "ü" . strlen("ü")')
        assert ["error 206: 'error evaluating code'", "break"] == example.ask("eval 6 *", 2)
        error = ["error 300: 'can not get property'", "break"]
        assert error == example.ask("property_get -n $none", 2)
        assert ["stopped"] == example.ask("stop")

        assert "" == example.end()
        assert b"" == php.communicate(timeout=WAIT)[0]


def test_script_in_another_encoding(tmp_path: Path) -> None:
    """The second argument says how the script is written."""
    script = tmp_path / "greet.php"
    # Not ö, which Xdebug 3.2 leaves out of names when it stands alone.
    script.write_text("<?php\n$straße = 'Grüße';\necho 1;\n", "latin-1")
    with debugged(script, "latin-1") as (example, _):
        for _ in range(2):
            example.ask("step_into")
        assert ["'$straße': string 'Grüße'"] == example.ask("context_get")


def test_script_goes_on_when_the_input_ends(script: Path) -> None:
    """Nobody types any more: the connection is closed, and the script is on its own."""
    with debugged(script) as (example, php):
        example.ask("step_into")
        example.leave()
        assert "" == example.end()
        assert "Grüße, Żaneta 😀\n".encode() == php.communicate(timeout=WAIT)[0]


def test_large_variable_is_one_packet(script: Path, tmp_path: Path) -> None:
    """A text of a megabyte comes in many reads, and whole."""
    script = tmp_path / "large.php"
    script.write_text("<?php\n$text = str_repeat('é', 500000);\necho 1;\n", "utf-8")
    with debugged(script) as (example, _):
        assert ["ok"] == example.ask("feature_set -n max_data -v -1")
        for _ in range(2):
            example.ask("step_into")
        assert [f"'$text': string '{'é' * 500_000}'"] == example.ask("context_get")
