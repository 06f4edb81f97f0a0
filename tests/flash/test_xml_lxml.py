"""`Document.fragment` and `Document.root`: what lxml is shown, and that nothing gets lost."""

from __future__ import annotations

import copy

import pytest
from lxml import etree

from xmlsocket import documents, flash
from xmlsocket.exceptions import DocumentError
from xmlsocket.flash import Document, Node


def shown(frame: bytes | str) -> str:
    """Return the fragment as XML."""
    return etree.tostring(flash.parse(frame).fragment, encoding="unicode")


def test_fragment_holds_the_nodes_of_the_top_level() -> None:
    """All elements and texts are children of one element called fragment."""
    assert shown("a<b/>c<d e='f'>g</d>h") == '<fragment>a<b/>c<d e="f">g</d>h</fragment>'


def test_fragment_of_empty_document_is_empty() -> None:
    """No nodes, no children, no root."""
    document = flash.parse("")

    assert len(document.fragment) == 0
    assert document.root is None


def test_fragment_is_made_once() -> None:
    """A second use gives the same element, which is what programs may change."""
    document = flash.parse("<a/>")

    assert document.fragment is document.fragment
    assert document.root is document.fragment[0]


def test_root_is_the_first_element() -> None:
    """Text before it does not count; text behind it is its tail."""
    root = flash.parse("a<b><c/></b>d<e/>").root

    assert root is not None
    assert root.tag == "b"
    assert root.tail == "d"
    assert root.find("c") is not None


def test_root_of_bare_text_is_none() -> None:
    """A frame such as ``%xt%…%`` has text and no root."""
    assert flash.parse("%xt%a%").root is None


def test_root_of_broken_document_is_what_was_built() -> None:
    """An error does not hide the elements before it."""
    root = flash.parse("<a><b>c</a>").root

    assert root is not None
    assert root.findtext("b") == "c"


def test_fragment_merges_adjacent_texts() -> None:
    """There is one text in lxml where Flash has two nodes."""
    assert shown("<a>b<!-- c -->d</a>") == "<fragment><a>bd</a></fragment>"


def test_fragment_keeps_white_space_characters() -> None:
    """CR, LF and tab arrive in texts and values, where a parser would change them."""
    root = flash.parse("<a b='\r\n\t'>\r\n\t</a>").root

    assert root is not None
    assert root.get("b") == "\r\n\t"
    assert root.text == "\r\n\t"


@pytest.mark.parametrize(
    ("name", "tag"),
    [
        ("é", "é"),
        ("a-b.c_1", "a-b.c_1"),
        ("xmlnsa", "xmlnsa"),
        ("a:b", "a_x003A_b"),
        ("a/", "a_x002F_"),
        ("1x", "_x0031_x"),
        ("-", "_x002D_"),
        ("a<b", "a_x003C_b"),
        ("\x01\ud800", "_x0001__xD800_"),
        ("\U000f0000", "_xF0000_"),
        ("xmlns", "_x0078_mlns"),
        ("xmlns:a", "xmlns_x003A_a"),
        ("_x003A_", "_x005F_x003A_"),
        ("_x003A:", "_x005F_x003A_x003A_"),
        ("_x3A_", "_x3A_"),
    ],
)
def test_fragment_escapes_names_and_serialize_undoes_it(name: str, tag: str) -> None:
    """Names that XML does not have are written with the numbers of their characters."""
    document = Document([Node(name, {name: "b"})])
    root = document.root

    assert root is not None
    assert tag == root.tag
    assert {tag: "b"} == dict(root.attrib)
    assert flash.serialize(document) == flash.serialize(root)


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("a_x0041_\x7f\x85\U0001ffff", "a_x0041_\x7f\x85\U0001ffff"),
        ("\x00\x08\x0b\x0c\x1f", "_x0000__x0008__x000B__x000C__x001F_"),
        ("\ud800\udfff\ufffe\uffff", "_xD800__xDFFF__xFFFE__xFFFF_"),
        ("_x0001_", "_x005F_x0001_"),
        ("_x0001\x01", "_x005F_x0001_x0001_"),
        ("_x005F_", "_x005F_x005F_"),
        ("_x005F_x0001_", "_x005F_x005F_x005F_x0001_"),
    ],
)
def test_fragment_escapes_texts_and_serialize_undoes_it(text: str, escaped: str) -> None:
    """Characters that XML does not have, and what looks like an escape of one."""
    document = Document([Node("a", {"b": text}, [text])])
    root = document.root

    assert root is not None
    assert escaped == root.text
    assert escaped == root.get("b")
    assert flash.serialize(document) == flash.serialize(root)


def test_fragment_escapes_texts_across_nodes() -> None:
    """Two texts that only together look like an escape are not mistaken for one."""
    document = flash.parse("<a>_x00<!-- -->01_</a>")
    root = document.root

    assert root is not None
    assert root.text == "_x005F_x0001_"
    assert flash.serialize(document) == flash.serialize(root)


def test_serialize_undoes_escapes_in_copies_and_not_elsewhere() -> None:
    """What has moved to another tree is an element like any other."""
    root = flash.parse("<a:b/>").root
    assert root is not None
    duplicate = copy.deepcopy(root)
    other = etree.Element("c")
    other.append(root)

    assert flash.serialize(duplicate) == b"<a:b />"
    assert flash.serialize(other) == b"<c><a_x003A_b /></c>"
    assert flash.serialize(root) == b"<a_x003A_b />"


def test_fragment_of_deepest_document_is_accepted() -> None:
    """What `parse` takes, lxml takes: 255 levels inside the fragment, names of 1000 characters."""
    document = flash.parse("<a>" * 255)
    named = flash.parse(f"<{':' * 1000} {':' * 1000}=''/>")

    assert document.root is not None
    assert sum(1 for _ in document.fragment.iter("a")) == 255
    assert named.root is not None
    assert named.root.tag == "_x003A_" * 1000


def test_fragment_of_too_long_text_raises_document_error() -> None:
    """Of text in one piece lxml takes 10 MB; the nodes have it all the same."""
    document = flash.parse("a" * 10_000_001)

    assert document.status == 0
    with pytest.raises(DocumentError):
        _ = document.fragment


def test_parse_shows_lxml_no_names() -> None:
    """Names reach lxml only with `fragment`, and then under the rotation of `xmlsocket.parse`."""
    before = documents._local.state.parsed
    document = flash.parse("<a><b c='d'/></a>")
    parsed = documents._local.state.parsed
    _ = document.fragment

    assert before == parsed
    assert documents._local.state.parsed in {
        before + len('<fragment><a><b c="d" /></a></fragment>'),
        len('<fragment><a><b c="d" /></a></fragment>'),
    }
