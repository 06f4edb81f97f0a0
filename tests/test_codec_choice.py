"""Which codec is chosen, and that the pure one is a file that works alone."""

from __future__ import annotations

import importlib.machinery
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

from xmlsocket import codec, pure

SOURCES = pathlib.Path(pure.__file__).parent

FAKE_EXTENSION = """
from xmlsocket.pure import Decoder, ReadBuffer, check_document, encode, encode_many
"""

TELL = """
import sys
from xmlsocket import codec
print(codec.IMPLEMENTATION, "xmlsocket._rust" in sys.modules, codec.encode("a"))
"""

VENDORED = r"""
import sys
import pure
decoder = pure.Decoder(max_size=4, read_buffer=pure.ReadBuffer(16))
assert decoder.feed(pure.encode_many(["<a/>", b"b"]) + b"toolong") == [b"<a/>", b"b"]
try:
    decoder.feed(b"")
except pure.FrameTooBig as error:
    print(error)
pure.check_document(b"<a/>")
foreign = [name for name in sys.modules if name.partition(".")[0] in ("xmlsocket", "lxml")]
assert not foreign, foreign
"""


def run(
    code: str, folder: pathlib.Path, choice: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run code in an interpreter that finds nothing but ``folder`` and the standard library."""
    environment = {name: value for name, value in os.environ.items() if name != "XMLSOCKET_PURE"}
    if choice is not None:
        environment["XMLSOCKET_PURE"] = choice
    start = f"import sys; sys.path.insert(0, {str(folder)!r})\n"
    return subprocess.run(
        [sys.executable, "-I", "-S", "-X", "dev", "-W", "error", "-c", start + code],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def set_choice(monkeypatch: pytest.MonkeyPatch, choice: str | None) -> None:
    """Set ``XMLSOCKET_PURE`` in this process, or take it away."""
    monkeypatch.delenv("XMLSOCKET_PURE", raising=False)
    if choice is not None:
        monkeypatch.setenv("XMLSOCKET_PURE", choice)


@pytest.fixture
def package(tmp_path: pathlib.Path) -> pathlib.Path:
    """Return the folder of a package that has the modules of the codec and no extension."""
    folder = tmp_path / "xmlsocket"
    folder.mkdir()
    (folder / "__init__.py").touch()
    for name in ("codec.py", "pure.py"):
        shutil.copy(SOURCES / name, folder)
    return folder


@pytest.mark.parametrize(
    ("choice", "told"),
    [
        (None, "rust True b'a\\x00'\n"),
        ("0", "rust True b'a\\x00'\n"),
        ("1", "pure False b'a\\x00'\n"),
    ],
)
def test_codec_with_extension_is_rust_unless_pure_is_chosen(
    package: pathlib.Path, choice: str | None, told: str
) -> None:
    """The extension is taken where it is, and not even loaded when the pure codec is chosen."""
    (package / "_rust.py").write_text(FAKE_EXTENSION)

    result = run(TELL, package.parent, choice)

    assert (told, "", 0) == (result.stdout, result.stderr, result.returncode)


@pytest.mark.parametrize("choice", [None, "1"])
def test_codec_without_extension_is_pure(package: pathlib.Path, choice: str | None) -> None:
    """Where no extension was built everything works, only slower."""
    result = run(TELL, package.parent, choice)

    assert ("pure False b'a\\x00'\n", "", 0) == (result.stdout, result.stderr, result.returncode)


def test_codec_without_extension_fails_when_it_is_demanded(package: pathlib.Path) -> None:
    """XMLSOCKET_PURE=0 turns a missing extension into an error."""
    result = run(TELL, package.parent, "0")

    assert 1 == result.returncode
    assert "ModuleNotFoundError: No module named 'xmlsocket._rust'" in result.stderr


@pytest.mark.parametrize("choice", ["", "2", "yes", "true", " 1"])
def test_codec_unknown_choice_is_an_error(package: pathlib.Path, choice: str) -> None:
    """A slip in the variable is told, not taken for the one or the other."""
    result = run(TELL, package.parent, choice)

    assert 1 == result.returncode
    last = result.stderr.splitlines()[-1]
    assert f"ValueError: XMLSOCKET_PURE must be 0, 1 or unset, not {choice!r}" == last


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("raise ImportError('built for another Python')", "ImportError: built for another"),
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("1 / 0", "ZeroDivisionError"),
    ],
)
def test_codec_broken_extension_raises(package: pathlib.Path, source: str, error: str) -> None:
    """An extension that is there and does not load is no reason to be slow in silence."""
    (package / "_rust.py").write_text(source)

    result = run(TELL, package.parent)

    assert 1 == result.returncode
    assert error in result.stderr


def test_codec_extension_that_is_no_library_raises(package: pathlib.Path) -> None:
    """A file cut short on its way is told as well."""
    suffix = importlib.machinery.EXTENSION_SUFFIXES[0]
    (package / f"_rust{suffix}").write_bytes(b"\x7fELF cut short")

    result = run(TELL, package.parent)

    assert 1 == result.returncode
    assert "ImportError" in result.stderr


def test_codec_in_this_process_is_the_one_that_was_chosen() -> None:
    """What the package exports comes from the codec it names."""
    expected = "pure" if os.environ.get("XMLSOCKET_PURE") == "1" else "rust"

    assert expected == codec.IMPLEMENTATION
    assert (codec.Decoder is pure.Decoder) == (expected == "pure")
    assert (codec.encode is pure.encode) == (expected == "pure")
    assert b"\0" == codec.DELIMITER == pure.DELIMITER


def test_pure_copied_alone_works(tmp_path: pathlib.Path) -> None:
    """To vendor the codec is to copy one file: it needs the standard library and nothing else."""
    shutil.copy(SOURCES / "pure.py", tmp_path)

    result = run(VENDORED, tmp_path)

    expected = "frame starting at stream offset 7 exceeds max_size=4 bytes\n"
    assert (expected, "", 0) == (result.stdout, result.stderr, result.returncode)


# The same rules once more in this process, whose coverage is measured: the
# interpreters above find no package but the copies.


@pytest.mark.parametrize("choice", [None, "0"])
def test_load_without_the_extension_takes_the_pure_twin_unless_rust_is_demanded(
    choice: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only an extension that is absent is replaced, and not where it was asked for."""
    monkeypatch.setitem(sys.modules, "xmlsocket._rust", None)  # as if it had not been built
    set_choice(monkeypatch, choice)

    if choice is None:
        assert (pure, "pure") == codec._load()
    else:
        with pytest.raises(ModuleNotFoundError, match=r"xmlsocket\._rust"):
            codec._load()


def test_load_told_to_be_pure_does_not_look_for_the_extension(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """XMLSOCKET_PURE=1 is the pure twin, whatever is installed."""
    set_choice(monkeypatch, "1")

    assert (pure, "pure") == codec._load()


def test_load_unknown_choice_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slip in the variable raises before anything is loaded."""
    set_choice(monkeypatch, "yes")

    with pytest.raises(ValueError, match="XMLSOCKET_PURE must be 0, 1 or unset, not 'yes'"):
        codec._load()
