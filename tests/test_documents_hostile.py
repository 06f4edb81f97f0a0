"""Documents made to harm: what each becomes, that nothing is expanded, and what names cost."""

from __future__ import annotations

import encodings.aliases
import gzip
import random
import subprocess
import sys
from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from lxml import etree

from xmlsocket import DocumentError, documents, parse, serialize
from xmlsocket.documents import MAX_NAMESPACES

if TYPE_CHECKING:
    from pathlib import Path

REFUSED: Final = "DOCTYPE is not allowed"

LAUGHS = b"".join(
    b'<!ENTITY l%d "%s">' % (level, b"&l%d;" % (level - 1) * 10) for level in range(1, 10)
)
MANY = b" ".join(b'a%d=""' % number for number in range(1000))


def internal(subset: bytes, body: bytes = b"&x;") -> bytes:
    """Return a document with an internal subset."""
    return b"<!DOCTYPE a [" + subset + b"]><a>" + body + b"</a>"


HOSTILE = {
    # Entities and DTDs: refused before libxml2 sees them, whatever they would do
    "billion laughs": (internal(b'<!ENTITY l0 "ha">' + LAUGHS, b"&l9;"), REFUSED),
    "laughs in an attribute": (
        internal(b'<!ENTITY l0 "ha">' + LAUGHS).replace(b"<a>", b'<a b="&l9;">'),
        REFUSED,
    ),
    "quadratic": (internal(b'<!ENTITY x "' + b"x" * 50_000 + b'">', b"&x;" * 20_000), REFUSED),
    "under the limit": (internal(b'<!ENTITY x "' + b"x" * 900 + b'">', b"&x;" * 1000), REFUSED),
    "entity loop": (internal(b'<!ENTITY x "&y;"><!ENTITY y "&x;">'), REFUSED),
    "external entity": (internal(b'<!ENTITY x SYSTEM "file:///etc/passwd">'), REFUSED),
    "parameter entity": (internal(b'<!ENTITY % x SYSTEM "file:///etc/passwd"> %x;'), REFUSED),
    "external DTD": (b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>', REFUSED),
    "public DTD": (b'<!DOCTYPE a PUBLIC "-//x" "http://127.0.0.1/x"><a/>', REFUSED),
    "default attribute": (internal(b'<!ATTLIST a b CDATA "c">', b""), REFUSED),
    "notation": (internal(b'<!NOTATION n SYSTEM "x">', b""), REFUSED),
    "undefined entity": (b"<a>&x;</a>", "Entity 'x' not defined"),
    "undefined entity in an attribute": (b'<a b="&x;"/>', "Entity 'x' not defined"),
    # What names other files and is not followed
    "catalog": (b'<?oasis-xml-catalog catalog="file:///etc/passwd"?><a/>', None),
    "stylesheet": (b'<?xml-stylesheet href="file:///etc/passwd"?><a/>', None),
    "XInclude": (
        b'<a xmlns:x="http://www.w3.org/2001/XInclude"><x:include href="/etc/passwd"/></a>',
        None,
    ),
    "schema location": (
        b'<a xmlns:x="http://www.w3.org/2001/XMLSchema-instance" x:schemaLocation="u /etc/x"/>',
        None,
    ),
    # Depth and number
    "depth 256": (b"<a>" * 256 + b"</a>" * 256, None),
    "depth 257": (b"<a>" * 257 + b"</a>" * 257, "Excessive depth"),
    "depth 10,000": (b"<a>" * 10_000 + b"</a>" * 10_000, "Excessive depth"),
    "depth a million": (b"<a>" * 10**6, "Excessive depth"),
    "1,000 attributes": (b"<a " + MANY + b"/>", None),
    "1,001 attributes": (b"<a " + MANY + b' b=""/>', "element with more than 1000 attributes"),
    "100,000 attributes": (
        b"<a " + b" ".join(b'a%d=""' % number for number in range(100_000)) + b"/>",
        "element with more than 1000 attributes",
    ),
    "duplicate attributes": (b"<a " + b'b="" ' * 200_000 + b"/>", "Attribute b redefined"),
    "10,000 namespaces": (
        b"<a " + b" ".join(b'xmlns:a%d="u"' % number for number in range(10_000)) + b"/>",
        "more than 1000 namespaces at one place",
    ),
    "100,000 unbound prefixes": (b"<a>" + b"<b:c/>" * 100_000 + b"</a>", "Namespace prefix b"),
    "a megabyte of elements": (b"<a>" + b"<a/>" * 2**18 + b"</a>", None),
    "a megabyte of elements and text": (b"<a>" + b"x<a/>" * 200_000 + b"</a>", None),
    # Sizes, where the caller has lifted max_size
    "name of 50,000": (b"<" + b"n" * 50_000 + b"/>", None),
    "name of 60,000": (b"<" + b"n" * 60_000 + b"/>", "Name too long"),
    "text of 9.9 MB": (b"<a>" + b"x" * 9_900_000 + b"</a>", None),
    "text of 10.1 MB": (b"<a>" + b"x" * 10_100_000 + b"</a>", "Resource limit exceeded"),
    "attribute of 11 MB": (b'<a b="' + b"x" * 11_000_000 + b'"/>', "Resource limit exceeded"),
    "comment of 11 MB": (b"<a><!--" + b"x" * 11_000_000 + b"--></a>", "Comment too big"),
    "CDATA of 11 MB": (b"<a><![CDATA[" + b"x" * 11_000_000 + b"]]></a>", "CData section too big"),
    "PI of 11 MB": (b"<a><?p " + b"x" * 11_000_000 + b"?></a>", "PI p too big"),
    # Encodings: text is UTF-8, the declaration is not believed
    "UTF-16 declared": (b'<?xml version="1.0" encoding="UTF-16"?><a/>', None),
    "UTF-32 declared": (b'<?xml version="1.0" encoding="UTF-32"?><a/>', None),
    "unknown encoding": (b'<?xml version="1.0" encoding="no-such"?><a/>', None),
    "Latin-1": (b'<?xml version="1.0" encoding="ISO-8859-1"?><a>\xe9</a>', "invalid UTF-8"),
    "UTF-7 hiding a DOCTYPE": (
        b'<?xml version="1.0" encoding="UTF-7"?>+ADw-!DOCTYPE a+AD4-<a/>',
        "no XML document",
    ),
    "JAVA hiding a DOCTYPE": (
        b'<?xml version="1.0" encoding="JAVA"?>\\u003c!DOCTYPE a><a/>',
        "no XML document",
    ),
    "EBCDIC": ("<?xml version='1.0' encoding='IBM037'?><a/>".encode("cp037"), "no XML document"),
    "BOM and a lie": (b'\xef\xbb\xbf<?xml version="1.0" encoding="UTF-16"?><a/>', None),
    "half of a UTF-16 document": (b"<", "no element"),
    "overlong": (b"<a>\xc0\xaf</a>", "invalid UTF-8"),
    "encoded surrogate": (b"<a>\xed\xa0\x80</a>", "invalid UTF-8"),
    "gzip": (gzip.compress(b"<a/>", mtime=0), "no XML document"),
    # Characters
    "control character": (b"<a>\x01</a>", "PCDATA invalid Char value 1"),
    "reference to a control character": (b"<a>&#1;</a>", "invalid xmlChar value 1"),
    "reference to zero": (b"<a>&#0;</a>", "invalid xmlChar value 0"),
    "U+FFFE": (b"<a>\xef\xbf\xbe</a>", "invalid Char value 65534|Char 0xFFFE out of"),
    "zero byte": (b"<a>\0</a>", "Char 0x0 out of allowed range"),
    "DEL and U+0085": (b"<a>\x7f\xc2\x85</a>", None),
    "XML 1.1": (b'<?xml version="1.1"?><a/>', None),
    # What is no document
    "space before the declaration": (b' <?xml version="1.0"?><a/>', "XML declaration allowed only"),
    "two roots": (b"<a/><b/>", "Extra content"),
    "text after the root": (b"<a/>x", "Extra content"),
    "comment after the root": (b"<a/><!-- -->\n", None),
    "empty": (b"", "document is empty"),
    "blank": (b" \n", "document is empty"),
    "string of an extension": (b"%xt%s%js#jp%-1%", "no XML document"),
}


def accepts(frame: bytes) -> bool:
    """Parse a frame, and see that nothing of a DTD came in."""
    try:
        root = parse(frame)
    except DocumentError:
        return False
    info = root.getroottree().docinfo
    assert (None, None, "") == (info.internalDTD, info.externalDTD, info.doctype)
    assert not any(isinstance(node, etree._Entity) for node in root.iter())
    return True


@pytest.mark.parametrize("name", HOSTILE)
def test_parse_hostile_document_is_refused_for_its_reason_or_harmless(name: str) -> None:
    """Each known attack is refused with its reason, or is a plain tree; the parser stays sound."""
    frame, reason = HOSTILE[name]

    if reason is None:
        assert accepts(frame)
    else:
        with pytest.raises(DocumentError, match=reason) as caught:
            parse(frame)
        assert len(str(caught.value)) < 300
        assert "\\n" not in str(caught.value)
        assert str(caught.value).isprintable()
    assert "good" == parse(b"<good/>").tag


@pytest.mark.parametrize("name", ["catalog", "stylesheet", "XInclude", "schema location"])
def test_parse_document_that_names_files_keeps_their_names_and_nothing_more(name: str) -> None:
    """What stands in such a document is what stands in the tree."""
    frame, _ = HOSTILE[name]

    assert frame == etree.tostring(parse(frame).getroottree())


def test_parse_fifo_named_by_a_doctype_does_not_block(tmp_path: Path) -> None:
    """A DTD that would never end is not opened: sixty bytes once stopped a process for ever."""
    import os  # noqa: PLC0415 - here only, and not on Windows

    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)

    for parser in (parse, documents.parse_with_doctype):
        frame = f'<!DOCTYPE a SYSTEM "file://{fifo}"><a/>'.encode()
        if parser is parse:
            with pytest.raises(DocumentError, match=REFUSED):
                parser(frame)
        else:
            assert "a" == parser(frame).tag


# Encoding tricks

CODECS = sorted(set(encodings.aliases.aliases.values()) | {"unicode_escape", "raw_unicode_escape"})
DECLARED = ["UTF-7", "JAVA", "UTF-16", "UTF-16BE", "UTF-32", "UCS-4", "IBM037", "HZ", "ISO-2022-JP"]
EXPANDS = '<!DOCTYPE a [<!ENTITY x "EXPANDED">]><a>&x;</a>'


def encode_as(text: str, codec: str) -> bytes | None:
    """Return text in one of Python's encodings, if it is one of text and can hold it."""
    try:
        return text.encode(codec)
    except (LookupError, UnicodeError):
        return None


@pytest.mark.parametrize("codec", CODECS)
def test_parse_doctype_in_any_encoding_never_gets_through(codec: str) -> None:
    """Whatever a DOCTYPE is written in and declared as, it is refused or no DOCTYPE to libxml2."""
    for declared in [codec, *DECLARED]:
        declaration = f'<?xml version="1.0" encoding="{declared}"?>'
        for text in (declaration + EXPANDS, EXPANDS):
            whole = encode_as(text, codec)
            hidden = encode_as(EXPANDS, codec)
            for frame in (whole, hidden and declaration.encode() + hidden):
                if frame is not None:
                    assert not accepts(frame)


TRICKS = st.lists(
    st.sampled_from(
        [
            *[b"<!DOCTYPE a>", b'<!DOCTYPE a [<!ENTITY x "EXPANDED">]>', b"<!doctype a>", b"<!"],
            *[b"+ADw-!DOCTYPE a+AD4-", b"\\u003c!DOCTYPE a>", b"&#60;!DOCTYPE a>", b"\x4c\x5a"],
            *[b'<?xml version="1.0" encoding="%s"?>' % name.encode() for name in DECLARED],
            *[b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"\xff\xfe\0\0", b"\x1b$B", b"~{"],
            *[b"<!--", b"-->", b"<?p", b"?>", b"<![CDATA[", b"]]>", b" ", b"\n", b"\x0c"],
            *[b"<a>", b"</a>", b"<a/>", b"&x;", b"x", b"'", b'"', b">", b"[", b"]"],
        ]
    ),
    max_size=8,
).map(b"".join)


@settings(max_examples=300, deadline=None)
@given(TRICKS)
@example(b"<!-- --><!DOCTYPE a [<!ENTITY x 'EXPANDED'>]><a>&x;</a>")
def test_parse_any_tokens_give_a_tree_without_a_dtd_or_a_document_error(frame: bytes) -> None:
    """Nothing but DocumentError comes out, and no tree has a DTD or an entity."""
    accepts(frame)


def test_parse_refuses_of_well_formed_documents_what_is_meant_to_be() -> None:
    """
    Where `parse` is stricter than XML: on purpose, and nowhere else.

    A document type; an encoding other than UTF-8; very many attributes. All
    else that lxml accepts is accepted, which a property of the codec's tests
    looks for counter-examples to.
    """
    for frame in (
        b"<!DOCTYPE a><a/>",
        b'<?xml version="1.0" encoding="ISO-8859-1"?><a>\xe9</a>',
        "<?xml version='1.0' encoding='UTF-16'?><a/>".encode("utf-16"),
        b"<a " + MANY + b' b=""/>',
    ):
        assert "a" == etree.fromstring(frame).tag
        with pytest.raises(DocumentError):
            parse(frame)


@pytest.mark.parametrize(
    "frame",
    [
        b"<p:a/>",
        b"<a:/>",
        b'<a xmlns="%"/>',
        b'<a xmlns:b=""/>',
        b'<a xml:id="1"/>',
        b'<r><a xml:id="a"/><a xml:id="a"/></r>',
    ],
    ids=bytes.decode,
)
def test_parse_refuses_wrong_names_and_ids_as_lxml_does(frame: bytes) -> None:
    """What is well-formed but breaks the rules of namespaces or of xml:id, lxml refuses too."""
    with pytest.raises(etree.XMLSyntaxError):
        etree.fromstring(frame)
    with pytest.raises(DocumentError):
        parse(frame)


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_parse_seeded_soup_of_tokens_never_lets_a_dtd_through() -> None:
    """A hundred thousand documents of tokens, some mutated, give trees without a DTD or errors."""
    noise = random.Random(20)
    tokens = [b"<!DOCTYPE a>", b"<!--", b"-->", b"<?p ?>", b"<a>", b"</a>", b"<a/>", b"&x;", b" "]
    tokens += [b'<?xml version="1.0" encoding="UTF-7"?>', b"+ADw-!DOCTYPE a+AD4-", b"\xef\xbb\xbf"]
    accepted = 0
    for _ in range(100_000):
        frame = bytearray(b"".join(noise.choices(tokens, k=noise.randint(1, 6))))
        if noise.random() < 0.3:
            frame[noise.randrange(len(frame))] ^= 1 << noise.randrange(8)
        accepted += accepts(bytes(frame))
    assert accepted > 1000


# Attributes


@pytest.mark.parametrize("place", ["first", "last", "inner"])
def test_parse_element_with_too_many_attributes_is_found_anywhere(place: str) -> None:
    """One crowded element is enough, whatever stands around it."""
    crowded = b"<a " + MANY + b' b=""/>'
    others = b"<b c='d'>text &lt;</b>" * 1000
    frame = {
        "first": b"<r>" + crowded + others + b"</r>",
        "last": b"<r>" + others + crowded + b"</r>",
        "inner": b"<r>" + others + crowded + others + b"</r>",
    }[place]

    with pytest.raises(DocumentError, match="element with more than 1000 attributes"):
        parse(frame)
    assert accepts(frame.replace(b' b=""', b""))


@given(st.lists(st.sampled_from([1, 4, 999, 1000, 1001, 1002]), max_size=4), st.booleans())
@settings(max_examples=60, deadline=None)
def test_parse_counts_attributes_and_not_bytes(counts: list[int], tight: bool) -> None:
    """The shortest names there are, and long values, change nothing; text is not counted."""
    value = b"" if tight else b"=" * 20
    elements = [
        b"<e" + b"".join(b' %s="%s"' % (_name(number), value) for number in range(count)) + b"/>"
        for count in counts
    ]
    frame = b"<r>" + b"".join(elements) + b' a="" ' * 2000 + b"</r>"

    assert accepts(frame) == (max(counts, default=0) <= 1000)


def _name(number: int) -> bytes:
    """Return the shortest names first, in letters of one byte."""
    letters = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_"
    name = b""
    number += 1
    while number:
        number, rest = divmod(number - 1, len(letters))
        name = letters[rest : rest + 1] + name
    return name


# Names

GROWTH = """
import re, sys
from xmlsocket import documents, parse
documents.ROTATE_AFTER = int(sys.argv[1])
def status(key):
    with open("/proc/self/status") as file:
        return int(re.search(key + r":\\s+(\\d+)", file.read())[1]) * 1024
before = status("VmRSS")
for number in range(int(sys.argv[2])):
    parse(b"<%s%08d/>" % (b"n" * 39_992, number))
print(status("VmHWM") - before, parse(b"<later/>").tag)
"""


def growth_by_names(rotate_after: int, count: int) -> int:
    """Return by how many bytes a fresh process grows at most that parses names of 40 KB."""
    result = subprocess.run(
        [sys.executable, "-c", GROWTH, str(rotate_after), str(count)],
        capture_output=True,
        text=True,
        check=True,
    )
    growth, later = result.stdout.split()
    assert "later" == later
    return int(growth)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_rotation_200_mb_of_distinct_names_in_a_fresh_process_grow_it_by_less_than_24_mb() -> None:
    """
    The peak stays small, and later documents parse.

    Without the rotation the same documents cost as much as they weigh, where
    lxml keeps names per thread: so the measurement sees what it has to see.
    """
    assert growth_by_names(documents.ROTATE_AFTER, 5000) < 24 * 2**20
    if documents._NAMES_PER_THREAD:
        assert growth_by_names(2**60, 5000) > 150 * 2**20


def declarations(count: int, first: int = 0) -> bytes:
    """Return so many namespaces, each with a prefix of its own."""
    return b"".join(b' xmlns:p%d="u"' % n for n in range(first, first + count))


def nested(count: int, each: int) -> bytes:
    """Return elements within elements, with so many namespaces in all and on each."""
    tags = [b"<a" + declarations(min(each, count - n), n) + b">" for n in range(0, count, each)]
    return b"".join(tags) + b"<b/>" + b"</a>" * len(tags)


@pytest.mark.parametrize("each", [4, 5, 250, 999, 1000, 2000])
@pytest.mark.parametrize("around", [b"%b", b"<r><s/>%b<s/></r>"])
def test_parse_too_many_namespaces_at_one_place_are_found_however_spread(
    each: int, around: bytes
) -> None:
    """A thousand are accepted, one more is not: writing the innermost takes their square."""
    good = around % nested(MAX_NAMESPACES, each)
    assert b"b" in serialize(next(parse(good).iter("b")))

    with pytest.raises(DocumentError, match="more than 1000 namespaces at one place"):
        parse(around % nested(MAX_NAMESPACES + 1, each))


@pytest.mark.parametrize("each", [1, 3, 4, 900])
def test_parse_many_namespaces_beside_each_other_are_accepted(each: int) -> None:
    """What counts is how many there are at one place, not in the document."""
    element = b"<a" + declarations(each) + b"/>"
    count = 5 * MAX_NAMESPACES // each

    assert count == len(parse(b"<r>" + element * count + b"</r>"))


def test_parse_namespaces_within_text_are_none() -> None:
    """Only the parser knows what is a declaration."""
    text = b"xmlns:a='u' " * 2 * MAX_NAMESPACES

    assert text.decode() == parse(b"<a>" + text + b"</a>").text
