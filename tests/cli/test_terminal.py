"""What peers send, made fit to be seen."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from tests.cli.support import Stdout
from xmlsocket.cli import terminal
from xmlsocket.cli.demo.script import traffic

if TYPE_CHECKING:
    from rich.text import Text

HOSTILE = [
    b"\x1b]0;renamed\x07",  # the window's title
    b"\x1b[2J\x1b[H",  # clear the screen
    b"\x9b31m",  # CSI as one byte, no valid UTF-8
    "<a>\x9b31m</a>".encode(),  # CSI as one character, allowed in XML
    b"<a>\r\n\x08\x08hidden</a>",
    b"over\rwritten",
    b"<a>&#13;overwritten</a>",
    "<a>\u202egnp.exe\u202c</a>".encode(),  # right-to-left override
    "<a b='\u2066\u200b'/>".encode(),
    "<a>\u2028\u2029\x85</a>".encode(),  # lines for splitlines(), and for some terminals
    b"\x00\x01\x02\x7f",
    b"\xff\xfe\xed\xa0\x80",
    b"a\x0bb\x0cc\x1c\x1d\x1e",
]


def _is_safe(text: Text) -> bool:
    return all(char.isprintable() or char == "\n" for char in text.plain)


@pytest.mark.parametrize("frame", HOSTILE)
def test_readable_hostile_bytes_are_escaped(frame: bytes) -> None:
    """Nothing that a terminal could obey, and nothing that reorders or hides text, is left."""
    assert _is_safe(terminal.readable(frame))


@pytest.mark.parametrize("frame", HOSTILE)
@pytest.mark.parametrize("width", [1, 5, 80])
def test_excerpt_hostile_bytes_are_escaped_in_one_line(frame: bytes, width: int) -> None:
    """The excerpt is as safe, has no line end at all, and is no wider than it may be."""
    text = terminal.excerpt(frame, width)

    assert text.plain.isprintable()
    assert text.cell_len <= width


@pytest.mark.parametrize(
    ("frame", "shown"),
    [
        (b"\x1b[31mred", "\\x1b[31mred"),
        ("<a>\x9b\u202e</a>".encode(), "<a>\\x9b\\u202e</a>"),
        (b"caf\xe9", "caf\\xe9"),
        (b"one\rtwo\nthree", "one\\rtwo\nthree"),
        (b"<a>&#13;</a>", "<a>&#13;</a>"),
        (b"a\tb", "a   b"),
    ],
)
def test_readable_escapes_show_what_was_sent(frame: bytes, shown: str) -> None:
    """An escape is readable: it names the character or byte that it stands for."""
    assert shown == terminal.readable(frame).plain


@pytest.mark.parametrize("name", [name for name, _ in traffic()])
def test_readable_real_documents_are_safe(name: str) -> None:
    """Documents of every kind, non-XML ones included, can be shown."""
    assert _is_safe(terminal.readable(dict(traffic())[name]))


def test_readable_puts_children_on_lines_of_their_own() -> None:
    """A document is indented by two spaces a level."""
    frame = b"<a><b x='1'><c/><d>text</d></b><!-- note --></a>"

    expected = '<a>\n  <b x="1">\n    <c/>\n    <d>text</d>\n  </b>\n  <!-- note -->\n</a>'
    assert expected == terminal.readable(frame).plain


def test_readable_indents_anew_what_was_indented() -> None:
    """White space between elements is replaced, not added to."""
    assert "<a>\n  <b/>\n</a>" == terminal.readable(b"<a>\n\n\t<b/>   </a>").plain


def test_readable_leaves_mixed_content_alone() -> None:
    """Where text stands between elements, a line break would change it."""
    frame = b"<p><q>one <b>two</b> three</q></p>"

    assert "<p>\n  <q>one <b>two</b> three</q>\n</p>" == terminal.readable(frame).plain


def test_readable_colours_xml_only() -> None:
    """A document has colours, a string has none."""
    assert terminal.readable(b"<a/>").spans
    assert not terminal.readable(b"%xt%1%").spans


def test_readable_long_document_is_cut_and_says_so() -> None:
    """A flood of lines leaves the terminal usable."""
    frame = b"<a>" + b"<b/>" * 1000 + b"</a>"

    lines = terminal.readable(frame).plain.split("\n")
    assert terminal.MAX_LINES + 1 == len(lines)
    assert f"… ({1002 - terminal.MAX_LINES} more lines)" == lines[-1]


def test_readable_long_line_is_cut_and_says_so() -> None:
    """A line without end is cut too."""
    shown = terminal.readable(b"x" * 5000).plain

    assert "x" * terminal.MAX_LINE + f"… ({5000 - terminal.MAX_LINE} more characters)" == shown


def test_excerpt_counts_columns_not_characters() -> None:
    """Wide characters take two columns; what does not fit is marked."""
    frame = "<a>日本語日本語</a>".encode()

    assert "<a>日…" == terminal.excerpt(frame, 6).plain
    assert frame.decode() == terminal.excerpt(frame, 40).plain


def test_excerpt_takes_white_space_together() -> None:
    """Indentation and line ends of a document cost one column each."""
    assert "<a> <b/> </a>" == terminal.excerpt(b"<a>\n    <b/>\r\n</a>\n", 40).plain


@pytest.mark.parametrize("separator", [b"\n", b"\0"])
def test_output_to_a_pipe_is_what_came(monkeypatch: pytest.MonkeyPatch, separator: bytes) -> None:
    """A program that reads the output gets the bytes themselves, and a separator."""
    stdout = Stdout(tty=False)
    monkeypatch.setattr(sys, "stdout", stdout)

    output = terminal.Output(separator)
    output.documents(HOSTILE)
    assert b"".join(frame + separator for frame in HOSTILE) == stdout.written.getvalue()


def test_output_to_a_pipe_keeps_notes_apart(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the command says itself does not get between the documents."""
    stdout = Stdout(tty=False)
    monkeypatch.setattr(sys, "stdout", stdout)

    terminal.Output().note("closed")
    assert b"" == stdout.written.getvalue()
    assert "closed\n" == capsys.readouterr().err


def test_output_to_a_terminal_is_escaped_indented_and_marked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """People see where a document begins; the only escape sequences are colours of ours."""
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("NO_COLOR", "1")
    stdout = Stdout(tty=True)
    monkeypatch.setattr(sys, "stdout", stdout)

    output = terminal.Output()
    output.documents(["<a><b>\x9b31m</b></a>".encode(), b""])
    output.note("closed")
    assert "< <a>\n    <b>\\x9b31m</b>\n  </a>\n< \nclosed\n" == stdout.text
