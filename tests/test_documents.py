"""Documents: what is parsed, what is refused and how, what is written."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING, cast

import pytest
from lxml import etree

from xmlsocket import DelimiterInPayload, DocumentError, documents, parse, serialize
from xmlsocket.connection import to_frame

if TYPE_CHECKING:
    from collections.abc import Callable


def test_parse_returns_the_root_element() -> None:
    """A frame becomes an element; the text is UTF-8."""
    root = parse('<a b="č">ž<c/></a>'.encode())

    assert ("a", "č", "ž", ["c"]) == (root.tag, root.get("b"), root.text, [e.tag for e in root])


@pytest.mark.parametrize(
    "frame",
    [
        b"\xef\xbb\xbf<a/>",
        b'<?xml version="1.0"?><a/>',
        b'<?xml version="1.0" encoding="utf-8"?>\n<!-- c --><?pi x?> <a/>\n',
        b'<?xml version="1.0" encoding="utf-16"?><a/>',
        b"<a><![CDATA[<!DOCTYPE x>]]></a>",
        b"<!-- <!DOCTYPE a> --><a/>",
        b"\r\n\t <a/>",
    ],
)
def test_parse_accepts_what_stands_before_the_element(frame: bytes) -> None:
    """BOM, white space, declaration, comments and PIs may precede the root; encodings lie."""
    assert "a" == parse(frame).tag


@pytest.mark.parametrize(
    ("frame", "reason", "line", "column"),
    [
        (b"", "document is empty", 1, 1),
        (b"%xt%s%js#jp%-1%", "no XML document", 1, 1),
        (b"<!DOCTYPE a><a/>", "DOCTYPE is not allowed", 1, 1),
        (b'<!-- -->\n<!doctype a [<!ENTITY x "y">]><a>&x;</a>', "DOCTYPE is not allowed", 2, 1),
        (b"<a>\n\xc3\x28</a>", "invalid UTF-8", 2, 1),
        (b"<a>\n<b></a>", "Opening and ending tag mismatch", 2, 8),
        (b"<a/><b/>", "Extra content", 1, 5),
        (b"<a>&nbsp;</a>", "Entity 'nbsp' not defined", 1, 10),
        (b"<a", "Couldn't find end of Start Tag a", 1, 3),
    ],
)
def test_parse_refuses_with_line_and_column(
    frame: bytes, reason: str, line: int, column: int
) -> None:
    """What is no acceptable document raises DocumentError that says what and where."""
    with pytest.raises(DocumentError, match=reason) as caught:
        parse(frame)

    assert (frame, line, column) == (caught.value.frame, caught.value.line, caught.value.column)
    assert str(caught.value).endswith(f", line {line}, column {column}")
    assert str(caught.value).count("column") == 1
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_parse_error_text_of_the_peer_is_escaped_and_cut() -> None:
    """What libxml2 quotes from the document cannot forge a log line nor flood it."""
    name = "x" * 5000
    with pytest.raises(DocumentError) as caught:
        parse(f"<a xmlns='x&#10;FORGED \u202e'><{name}></a>".encode())

    assert "\n" not in str(caught.value)
    assert "\u202e" not in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    "bad", [b"<a", b"<a></b>", b"<a>&x;</a>", b"<a/>x", b"\xff", b"<a b=1/>", b"<a>]]></a>"]
)
def test_parse_after_an_error_the_parser_is_sound(bad: bytes) -> None:
    """The reused parser carries nothing from a bad document into the next one."""
    for _ in range(3):
        with pytest.raises(DocumentError):
            parse(bad)
        root = parse(b"<good><b>text</b></good>")
        assert b"<good><b>text</b></good>" == etree.tostring(root)


def test_parse_never_expands_entities() -> None:
    """No DTD, so no entities; the five of XML and character references work."""
    assert "&<>\"'ž" == parse(b"<a>&amp;&lt;&gt;&quot;&apos;&#382;</a>").text


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("latin-1", "žluť".replace("ž", "z").replace("ť", "é")),
        ("shift_jis", "日本語"),
        ("cp1252", "“é”"),
    ],
)
def test_parse_encoding_decodes_what_an_old_server_writes(encoding: str, text: str) -> None:
    """``encoding=`` names the server's code page; the declaration is dropped, not believed."""
    frame = f'<?xml version="1.0" encoding="utf-16"?><a>{text}</a>'.encode(encoding)

    assert text == parse(frame, encoding=encoding).text


def test_parse_encoding_invalid_bytes_raise_document_error() -> None:
    """Bytes that are not valid in the encoding are a bad document, with their place."""
    with pytest.raises(DocumentError, match="invalid shift_jis, line 2, column 4") as caught:
        parse(b"<a>\n<b>\xff</b></a>", encoding="shift_jis")
    assert b"<a>\n<b>\xff</b></a>" == caught.value.frame


def test_parse_encoding_cannot_smuggle_a_doctype() -> None:
    """UTF-7 hides a DOCTYPE from a byte search; it is decoded before it is checked."""
    hidden = b"+ADw-!DOCTYPE a+AD4-+ADw-a/+AD4-"

    with pytest.raises(DocumentError, match="DOCTYPE is not allowed"):
        parse(hidden, encoding="utf-7")


def test_parse_encoding_lone_surrogates_raise_document_error() -> None:
    """An encoding that can express a lone surrogate does not crash the parser."""
    with pytest.raises(DocumentError, match="invalid utf-7"):
        parse(b"<a>+2AA-</a>", encoding="utf-7")


def test_parse_encoding_alias_of_utf_8_and_unknown() -> None:
    """Aliases of UTF-8 change nothing; unknown names are Python's LookupError."""
    assert "č" == parse("<a>č</a>".encode(), encoding="UTF8").text
    with pytest.raises(LookupError):
        parse(b"<a/>", encoding="no-such")


def test_parse_encoding_drops_the_declaration_at_the_start_only() -> None:
    """What looks like a declaration further on is text, and stays."""
    frame = b'<?xml version="1.0"?><a><![CDATA[<?xml x?>]]></a>'

    assert "<?xml x?>" == parse(frame, encoding="latin-1").text
    assert "<?xml x?>" == parse(frame[21:], encoding="latin-1").text
    with pytest.raises(DocumentError):
        parse(b'<a><?xml version="1.0"?></a>', encoding="latin-1")


@pytest.mark.parametrize("filler", [b" ", b"<", b"<?xml "])
def test_parse_encoding_of_a_megabyte_looks_for_a_declaration_once(filler: bytes) -> None:
    """Blanks are not searched again from each of them: that took half an hour for a megabyte."""
    text = filler * (2**20 // len(filler))
    frame = b"<a><![CDATA[" + text + b"]]></a>"

    assert text.decode() == parse(frame, encoding="latin-1").text
    assert "a" == parse(b" " * 2**20 + b"<a/>", encoding="latin-1").tag


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"caf\xe9", "café"),
        (b"\xc3\xa9\xe9\xff", "ééÿ"),
        (b"\xc0\x80", "\xc0\x80"),
        (b"\xed\xa0\xbd\xed\xb8\x80", "\U0001f600"),
        ("čž".encode(), "čž"),
    ],
    ids=["latin-1", "mixed", "overlong", "surrogate-pair", "utf-8"],
)
def test_parse_errors_flash_reads_invalid_bytes_as_flash_does(data: bytes, text: str) -> None:
    """
    What is no UTF-8 becomes characters of the same number; surrogate pairs are joined.

    Source: avmplus, core/UnicodeUtils.cpp, Utf8ToUtf16 when not strict.
    """
    assert text == parse(b"<a>" + data + b"</a>", errors="flash").text


def test_parse_errors_strict_refuses_invalid_bytes_by_default() -> None:
    """Only who asks for Flash's reading gets it."""
    with pytest.raises(DocumentError):
        parse(b"<a>caf\xe9</a>")
    with pytest.raises(DocumentError):
        parse(b"<a>caf\xe9</a>", errors="strict")


def test_parse_errors_flash_lone_surrogate_raises_document_error() -> None:
    """Flash accepts an encoded surrogate that stands alone; no XML document can hold one."""
    frame = b"<a>\xed\xa0\xbd</a>"

    with pytest.raises(DocumentError, match="invalid utf-8: surrogates not allowed") as caught:
        parse(frame, errors="flash")
    assert frame == caught.value.frame


def test_parse_errors_flash_still_refuses_what_is_no_document() -> None:
    """It concerns the bytes alone: a DOCTYPE, a second root, a control character are refused."""
    for frame in (b"<!DOCTYPE a><a>\xe9</a>", b"<a/>\xe9<b/>", b"<a>\xe9\x01</a>", b"\xe9"):
        with pytest.raises(DocumentError):
            parse(frame, errors="flash")


def test_parse_errors_flash_of_a_code_page_reads_undecodable_bytes_too() -> None:
    """A byte that the code page does not have becomes the character of the same number."""
    frame = b'<?xml version="1.0" encoding="windows-1252"?><a>\x80\x81</a>'

    assert "€\x81" == parse(frame, encoding="windows-1252", errors="flash").text
    with pytest.raises(DocumentError, match="invalid windows-1252"):
        parse(frame, encoding="windows-1252")


@pytest.mark.parametrize("errors", ["strict", "flash"])
def test_parse_passes_over_one_byte_order_mark(errors: str) -> None:
    """One leading mark is no part of the document; a second one is text before the root."""
    mark = b"\xef\xbb\xbf"

    assert "a" == parse(mark + b"<a/>", errors=errors).tag  # type: ignore[arg-type]  # one of the two
    with pytest.raises(DocumentError):
        parse(mark + mark + b"<a/>", errors=errors)  # type: ignore[arg-type]  # one of the two


def test_parse_unknown_errors_raises_value_error() -> None:
    """Python's other error handlers are not offered."""
    with pytest.raises(ValueError, match="errors must be 'strict' or 'flash', not 'replace'"):
        parse(b"<a/>", errors="replace")  # type: ignore[arg-type]  # what the test is about


def test_parse_each_thread_has_its_own_parser() -> None:
    """Threads do not share a parser: a shared one would serialise them."""
    parsers = []

    def work() -> None:
        parse(b"<a/>")
        parsers.append(documents._local.state.parser)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert 2 == len({id(parser) for parser in parsers})


# The dictionary of names, which lxml before 7 never empties


def resident() -> int:
    """Return this process's resident memory in bytes."""
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123
        return int(file.read().split()[1]) * 4096


def test_rotation_forgets_names_where_lxml_keeps_them() -> None:
    """
    The private detail of lxml that the rotation relies on is still there.

    When this fails, lxml has changed where it keeps names: look there before
    anything else, or every distinct name of every peer stays in memory.
    """
    parse(b"<a/>")
    if documents._NAMES_PER_THREAD:
        assert documents._forget_names()
        assert not documents._forget_names()
        documents._rotate(documents._local.state)
    assert "b" == parse(b"<b/>").tag


def test_rotation_leaves_the_thread_alone_where_lxml_keeps_names_by_parser(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """From lxml 7 on a new parser is all it takes, and nothing private is touched."""
    kept = documents._NAMES_PER_THREAD
    parse(b"<a/>")
    before = documents._local.state.parser
    monkeypatch.setattr(documents, "_NAMES_PER_THREAD", False)

    documents._rotate(documents._local.state)

    assert documents._local.state.parser is not before
    assert "a" == parse(b"<a/>").tag
    assert kept == documents._forget_names()
    documents._rotate(documents._local.state)


def test_rotation_happens_by_parsed_bytes() -> None:
    """The parser is replaced after `ROTATE_AFTER` bytes, and trees outlive it."""
    documents._rotate(documents._local.state)
    first = documents._local.state.parser
    kept = parse(b"<kept name='value'>text</kept>")
    frame = b"<a>" + b"x" * 2**20 + b"</a>"
    for _ in range(9):
        parse(frame)

    assert first is not documents._local.state.parser
    assert b'<kept name="value">text</kept>' == serialize(kept)


def test_rotation_keeps_distinct_names_from_filling_memory() -> None:
    """40 MB of documents whose names are all different leave less than 24 MB behind."""
    name = b"n" * 39_990
    for number in range(50):
        parse(b"<%s%08d/>" % (name, number))
    before = resident()
    for number in range(50, 1050):
        parse(b"<%s%08d/>" % (name, number))

    assert resident() - before < 24 * 2**20


@pytest.mark.slow
def test_rotation_200_mb_of_distinct_names_leave_less_than_24_mb() -> None:
    """The attack at its full size: 5,000 documents of 40 KB names."""
    before = resident()
    name = b"m" * 39_990
    for number in range(5000):
        parse(b"<%s%08d/>" % (name, number))

    assert resident() - before < 24 * 2**20
    assert "later" == parse(b"<later/>").tag


# Writing


def test_serialize_element_is_utf_8_without_declaration_and_tail() -> None:
    """An element is written compactly; its tail belongs to its parent."""
    root = etree.fromstring("<r><a>č &amp;</a>tail</r>")

    assert "<a>č &amp;</a>".encode() == serialize(root[0])


def test_serialize_text_and_bytes() -> None:
    """Text becomes UTF-8; bytes are taken as they are."""
    assert "č".encode() == serialize("č")
    assert b"\xff" == serialize(b"\xff")


def test_serialize_other_types_are_refused() -> None:
    """What is no document raises TypeError with its type."""
    with pytest.raises(TypeError, match="document must be an element, str or bytes, not int"):
        serialize(5)  # type: ignore[arg-type]


def test_serialize_lone_surrogate_raises() -> None:
    """Text that has no UTF-8 form is refused."""
    with pytest.raises(UnicodeEncodeError):
        serialize("\ud800")


def test_to_frame_ends_in_one_delimiter() -> None:
    """On the wire every document ends in one zero byte and holds none."""
    assert [b"<a/>\0"] * 3 == [to_frame("<a/>"), to_frame(b"<a/>"), to_frame(etree.Element("a"))]
    with pytest.raises(DelimiterInPayload):
        to_frame("a\0b")


class Within:
    """Stands for a thread's parser, and does something when that has been fed."""

    def __init__(self, then: Callable[[], object]) -> None:
        parser = documents._local.state.parser
        assert parser is not None
        self._parser = parser
        self._then = then
        self.close = parser.close
        documents._local.state.parser = cast("etree.XMLParser", self)

    @property
    def feed_error_log(self) -> object:
        """What the parser has to say."""
        return self._parser.feed_error_log

    def feed(self, data: bytes) -> None:
        """Feed the parser, then do it."""
        self._parser.feed(data)
        then, self._then = self._then, int
        then()


def interrupt() -> None:
    """Raise what Ctrl-C raises."""
    raise KeyboardInterrupt


class Interrupted:
    """Stands for a parser while Ctrl-C is pressed."""

    def __init__(self, parser: etree.XMLParser) -> None:
        self._parser = parser

    def feed(self, data: bytes) -> None:
        """Feed the parser no further than that."""
        self._parser.feed(data[:1])
        interrupt()


@pytest.mark.parametrize("frame", [b"<a/>", b"<a>"])
def test_parse_that_was_interrupted_leaves_nothing_to_the_next_document(frame: bytes) -> None:
    """Half a document of one peer is not made whole by the frame of another."""
    Within(interrupt)
    with pytest.raises(KeyboardInterrupt):
        parse(frame)

    with pytest.raises(DocumentError):
        parse(b"<b/></a>")
    assert "b" == parse(b"<b/>").tag


@pytest.mark.parametrize("rotate", [False, True])
def test_parse_within_a_parse_gives_both_documents(
    monkeypatch: pytest.MonkeyPatch, rotate: bool
) -> None:
    """As in the handler of a signal, or in a finalizer."""
    inner: list[object] = []

    def within() -> None:
        if rotate:
            monkeypatch.setattr(documents, "ROTATE_AFTER", 0)
        inner.extend(parse(data).tag for data in (b"<b/>", b"<c/>"))

    Within(within)

    assert "a" == parse(b"<a/>").tag
    assert ["b", "c"] == inner
    assert "d" == parse(b"<d/>").tag


def test_parse_within_a_parse_that_fails_leaves_the_outer_one_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Refused or interrupted, the inner document has a parser of its own to spoil."""
    genuine = documents._new_parser
    made: list[object] = []

    def new_parser() -> etree.XMLParser:
        made.append(None)
        return cast("etree.XMLParser", Interrupted(genuine())) if len(made) > 1 else genuine()

    def within() -> None:
        with pytest.raises(DocumentError):
            parse(b"<b>")
        with pytest.raises(KeyboardInterrupt):
            parse(b"<c/>")

    Within(within)
    monkeypatch.setattr(documents, "_new_parser", new_parser)

    assert "a" == parse(b"<a/>").tag
    assert 2 == len(made)
    assert "d" == parse(b"<d/>").tag
    assert 2 == len(made)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs a timer that signals")
def test_parse_interrupted_by_a_real_signal_leaves_nothing_to_the_next_document() -> None:
    """It arrives while libxml2 works, and its handler runs right after."""
    frame = b"<a>" + b"<b/>" * 500_000

    def handle(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, handle)
    try:
        for _ in range(3):
            signal.setitimer(signal.ITIMER_REAL, 0.005)
            with pytest.raises(KeyboardInterrupt):
                parse(frame)
            with pytest.raises(DocumentError):
                parse(b"<b/></a>")
            assert "b" == parse(b"<b/>").tag
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
