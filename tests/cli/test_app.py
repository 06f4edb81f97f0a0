"""The application: help, version, and how failures are reported."""

from __future__ import annotations

import io
import subprocess
import sys
from importlib import metadata

import pytest
import typer

import xmlsocket
from tests.cli.support import run
from xmlsocket.__main__ import main
from xmlsocket.cli import app, errors

NAMES = ["serve", "connect", "policy", "gateway", "doctor", "record", "replay", "demo"]
COMMANDS = typer.main.get_command(app.app).commands  # type: ignore[attr-defined]


def test_run_without_a_command_prints_the_help_and_fails(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """``xmlsocket`` alone shows what there is; the status is that of a wrong command line."""
    assert 2 == app.run([])

    without = capsys.readouterr()
    assert 0 == app.run(["--help"])
    assert capsys.readouterr() == without
    assert "" == without.err


@pytest.mark.parametrize("name", NAMES)
def test_help_names_every_command(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The help of the application lists every command and shows it in an example."""
    assert set(COMMANDS) == set(NAMES)
    app.run(["--help"])

    text = capsys.readouterr().out
    assert f"\n  {name} " in text
    assert f"    xmlsocket {name}" in text


@pytest.mark.parametrize("name", NAMES)
def test_help_of_a_command_explains_every_option_and_shows_examples(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """No option is left out or left unexplained, and there are lines to copy."""
    assert 0 == app.run([name, "--help"])

    text = capsys.readouterr().out
    for parameter in COMMANDS[name].params:
        for option in parameter.opts:
            assert (option if option.startswith("-") else option.upper()) in text
        assert getattr(parameter, "help", None), parameter.name
    assert f"Examples:\n\n    xmlsocket {name}" in text or f"| xmlsocket {name} " in text


@pytest.mark.parametrize("name", NAMES)
def test_short_help_option_works_for_every_command(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """``-h`` is ``--help``."""
    assert 0 == app.run([name, "-h"])
    assert capsys.readouterr().out.startswith(f"Usage: xmlsocket {name} ")


def test_version_tells_the_version_and_the_codec() -> None:
    """``--version`` prints one line: name, version, and which codec is in use."""
    result = run("--version")

    version = metadata.version("xmlsocket")
    assert f"xmlsocket {version} ({xmlsocket.IMPLEMENTATION} codec)\n" == result.stdout.decode()
    assert (0, b"") == (result.returncode, result.stderr)


def test_main_writes_to_what_stands_for_the_standard_streams(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A debugger's stream, or none at all, has no errors to configure and is used as it is."""
    out = io.StringIO()
    monkeypatch.setattr(sys, "argv", ["xmlsocket", "--version"])
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", None)

    with pytest.raises(SystemExit) as caught:
        main()

    assert (0, True) == (caught.value.code, out.getvalue().startswith("xmlsocket "))


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["nonsense"], "no such command 'nonsense'"),
        (["serve", "--nonsense"], "no such option: --nonsense"),
        (["connect", "127.0.0.1"], "invalid value for 'PORT': missing"),
    ],
)
def test_run_wrong_command_line_prints_one_line_and_fails_with_2(
    arguments: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A command line that makes no sense costs one line, not a page of usage."""
    assert 2 == app.run(arguments)
    assert ("", f"xmlsocket: {line}\n") == capsys.readouterr()


def test_run_command_error_prints_one_line_and_fails_with_1(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a command cannot do is told in one line on standard error."""

    def fail(*_: object, **__: object) -> None:
        raise errors.CommandError("it rains")

    monkeypatch.setattr(app, "app", fail)

    assert 1 == app.run([])
    assert ("", "xmlsocket: it rains\n") == capsys.readouterr()


def test_run_bug_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception nobody expected keeps its traceback."""

    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(app, "app", fail)

    with pytest.raises(ZeroDivisionError):
        app.run([])


def test_run_aborted_fails_without_a_word(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The end of the input where an answer was awaited needs no explanation."""

    def abort(*_: object, **__: object) -> None:
        raise typer.Abort

    monkeypatch.setattr(app, "app", abort)

    assert 1 == app.run([])
    assert ("", "") == capsys.readouterr()


def _main_without(module: str) -> subprocess.CompletedProcess[str]:
    program = (
        f"import sys; sys.modules[{module!r}] = None; import xmlsocket.__main__ as m; m.main()"
    )
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=40, check=False
    )


@pytest.mark.parametrize("module", ["typer", "rich"])
def test_main_missing_extra_says_in_one_line_what_to_install(module: str) -> None:
    """Without the extra the command says which one to install; the library needs none."""
    result = _main_without(module)

    line = (
        f"xmlsocket: the command line needs {module}, which is not installed:"
        " pip install 'xmlsocket[cli]'\n"
    )
    assert (1, "", line) == (result.returncode, result.stdout, result.stderr)


def test_main_missing_other_module_is_not_taken_for_the_extra() -> None:
    """A broken installation is reported as what it is."""
    result = _main_without("xmlsocket.cli.feed")

    assert 1 == result.returncode
    assert "ModuleNotFoundError: import of xmlsocket.cli.feed halted" in result.stderr
