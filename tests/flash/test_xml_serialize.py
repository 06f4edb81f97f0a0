"""What `flash.serialize` writes, byte by byte; sources as in ``test_xml.py``."""

from __future__ import annotations

import pytest
from lxml import etree

from xmlsocket import documents, flash
from xmlsocket.flash import Document, Node


def rewritten(frame: bytes | str) -> str:
    """Parse a frame and write it again."""
    return flash.serialize(flash.parse(frame)).decode()


def test_serialize_empty_element_has_space_before_slash() -> None:
    """The wire bytes of ``<root><item></item></root>`` (Ruffle, avm1/xml_socket)."""
    expected = bytes.fromhex("3c726f6f743e3c6974656d202f3e3c2f726f6f743e")

    assert expected == flash.serialize(flash.parse("<root><item></item></root>"))


def test_serialize_declarations_come_first() -> None:
    """Declaration, then DOCTYPE, then the rest, wherever they stood (Gnash, XML.as)."""
    assert rewritten("<a></a><!doctype d><?xMl b?><a>c</a>") == (
        "<?xMl b?><!doctype d><a /><a>c</a>"
    )


def test_serialize_escapes_five_characters() -> None:
    """In texts and values alike; a no-break space stays (swfdec, xml-escape)."""
    assert rewritten("<a b='&amp;&lt;>\"&apos;'>&amp;&lt;>\"'&nbsp;</a>") == (
        '<a b="&amp;&lt;&gt;&quot;&apos;">&amp;&lt;&gt;&quot;&apos;\xa0</a>'
    )


def test_serialize_values_stand_in_double_quotes_in_their_order() -> None:
    """Attributes keep their order and their newlines."""
    assert rewritten("<a c='1' b = '\n'/>") == '<a c="1" b="\n" />'


def test_serialize_cdata_is_flattened_and_comments_are_gone() -> None:
    """What was CDATA is text like other text (swfdec, xml-cdata)."""
    assert rewritten("<a><!-- b --><![CDATA[<c>]]>d</a>") == "<a>&lt;c&gt;d</a>"


def test_serialize_element_with_empty_text_has_end_tag() -> None:
    """A child is a child, even without a character (swfdec.c)."""
    assert flash.serialize(Node("a", None, [""])) == b"<a></a>"


@pytest.mark.parametrize(
    ("node", "written"),
    [
        (Node("a", {"b": "c:\\"}), rb'<a b="c:&#92;" />'),
        (Node("a", {"b": "\\\\"}), rb'<a b="\&#92;" />'),
        (Node("a", {"b": '\\"'}), rb'<a b="\&quot;" />'),
        (Node("a/", None, ["b"]), b"<a/ >b</a/ >"),
        (Node("a/", {"b": ""}, ["c"]), b'<a/ b="">c</a/ >'),
        (Node("a/"), b"<a/ />"),
    ],
)
def test_serialize_what_flash_would_misread_is_written_otherwise(
    node: Node, written: bytes
) -> None:
    """A backslash before the quote and a slash before the bracket are kept apart; ours."""
    (again,) = flash.parse(written).nodes

    assert written == flash.serialize(node)
    assert isinstance(again, Node)
    assert (node.name, node.attributes, node.children) == (
        again.name,
        again.attributes,
        again.children,
    )


def test_serialize_byte_order_mark_at_start_is_a_reference() -> None:
    """Only the first character of a document could be taken for one; ours."""
    assert rewritten("\ufeff\ufeff\ufeffa") == "&#65279;\ufeffa"
    assert rewritten("<?xml?>\ufeff") == "<?xml?>\ufeff"


def test_serialize_lone_surrogate_becomes_replacement_character() -> None:
    """As Flash encodes its strings (avmplus, Utf16ToUtf8)."""
    assert flash.serialize(Node("a", {"b": "\ud800"}, ["\udfff"])) == (
        b'<a b="\xef\xbf\xbd">\xef\xbf\xbd</a>'
    )
    assert flash.serialize("\ud83d") == b"\xef\xbf\xbd"


def test_serialize_text_and_bytes_are_taken_as_they_are() -> None:
    """Flash sends any string unchanged (Ruffle, avm1/xml_socket)."""
    assert flash.serialize("%xt%é<&%") == "%xt%é<&%".encode()
    assert flash.serialize(b"\xff") == b"\xff"


@pytest.mark.parametrize("document", [7, None, etree.Comment("a"), etree.PI("a")])
def test_serialize_other_types_raises_type_error(document: object) -> None:
    """Numbers are not documents, nor is a comment alone."""
    with pytest.raises(TypeError, match="must be a Document, a Node, an element, str or bytes"):
        flash.serialize(document)  # type: ignore[arg-type]  # what the test is about


@pytest.mark.parametrize(
    "name",
    ["", "a b", "a>b", "a\n", "/", "/a", "!--", "!--a", "?xml", "?XML-a", "!DocType", "![CDATA[a"],
)
def test_serialize_name_that_is_other_markup_raises_value_error(name: str) -> None:
    """A program cannot be made to write markup by way of a name."""
    with pytest.raises(ValueError, match=r"cannot be written as a name$"):
        flash.serialize(Node(name))


@pytest.mark.parametrize("name", ["", "a b", "a>b", "a=b", "a\t"])
def test_serialize_attribute_that_is_other_markup_raises_value_error(name: str) -> None:
    """Nor by way of an attribute's name."""
    with pytest.raises(ValueError, match=r"cannot be written as a name$"):
        flash.serialize(Node("a", {name: ""}))


def test_serialize_deep_nodes_needs_no_stack() -> None:
    """A tree that a program built deeper than the recursion limit is written."""
    node = Node("a")
    for _ in range(10_000):
        node = Node("a", None, [node])

    assert flash.serialize(node) == b"<a>" * 10_000 + b"<a />" + b"</a>" * 10_000


def test_serialize_built_document_reads_back() -> None:
    """A document of one's own is written with its declarations."""
    document = Document([Node("a")], xml_decl="<?xml ?>", doctype_decl="<!DOCTYPE a>")

    assert flash.serialize(document) == b"<?xml ?><!DOCTYPE a><a />"


# Elements of lxml


def of_lxml(frame: bytes) -> str:
    """Parse a frame with lxml and write its root as Flash would."""
    return flash.serialize(documents.parse(frame)).decode()


def test_serialize_lxml_element_is_written_like_a_node() -> None:
    """Attributes, texts and tails in their places, CDATA and references resolved."""
    assert of_lxml(b"<a b='&lt;'>c<d/>e<f>g</f><![CDATA[<]]>&amp;</a>") == (
        '<a b="&lt;">c<d />e<f>g</f>&lt;&amp;</a>'
    )


def test_serialize_lxml_element_leaves_comments_and_instructions_out() -> None:
    """Their tails stay."""
    assert of_lxml(b"<a>b<!-- c -->d<?e f?>g<?h?>i</a>") == "<a>bdgi</a>"


def test_serialize_lxml_element_leaves_its_tail_out() -> None:
    """An element is written without what stands behind it."""
    root = documents.parse(b"<a><b>c</b>d</a>")

    assert flash.serialize(root[0]) == b"<b>c</b>"


def test_serialize_lxml_entity_stays_as_text() -> None:
    """An entity that nobody resolved is what Flash makes of one: text."""
    root = documents.parse(b"<a>b</a>")
    root.append(etree.Entity("c"))
    root[0].tail = "d"

    assert flash.serialize(root) == b"<a>b&amp;c;d</a>"


def test_serialize_lxml_element_keeps_prefixes_and_declarations() -> None:
    """Namespaces are written where they are declared, so that names stay as they were."""
    frame = (
        '<p:a xmlns:p="u" xmlns="v"><b p:c="1" xml:lang="en" d="2" />'
        '<q:e xmlns:q="w" q:f="3" /><g xmlns="" /></p:a>'
    )

    assert frame == of_lxml(frame.encode())


def test_serialize_lxml_element_brings_declarations_from_around_it() -> None:
    """A part of a document takes along the namespaces that it uses."""
    root = documents.parse(b"<a xmlns:p='u'><p:b/></a>")

    assert flash.serialize(root[0]) == b'<p:b xmlns:p="u" />'


@pytest.mark.parametrize(
    "frame",
    [
        '<a_x003A_b c_x003A_d="_x0001_">_x0001_</a_x003A_b>',
        "<a_x003E__x003C_b>c</a_x003E__x003C_b>",
        "<_x002F_a />",
    ],
)
def test_serialize_lxml_element_from_elsewhere_keeps_what_looks_like_an_escape(frame: str) -> None:
    """A name that a program let pass must not turn into another one behind its back."""
    assert frame == of_lxml(frame.encode())


@pytest.mark.parametrize(
    "name", ["a_x003E__x003C_b", "_x002F_a", "_x0021_--a", "_x003F_xml", "_x0020_", "_xFFFFFF_"]
)
def test_serialize_name_put_into_fragment_never_becomes_markup(name: str) -> None:
    """An escape that `fragment` would not have made stays, also in its tree."""
    root = flash.parse("<a:b/>").root
    assert root is not None
    etree.SubElement(root, name, {"c": "d"})

    assert flash.serialize(root) == f'<a:b><{name} c="d" /></a:b>'.encode()


@pytest.mark.parametrize("name", ["b_x003D_", "b_x003E_", "_x0020_", "_x000A_"])
def test_serialize_attribute_put_into_fragment_never_becomes_markup(name: str) -> None:
    """The same for attributes."""
    root = flash.parse("<a:b/>").root
    assert root is not None
    root.set(name, "c")

    assert flash.serialize(root) == f'<a:b {name}="c" />'.encode()


def test_serialize_lxml_element_has_no_limits() -> None:
    """What this program built may be deeper, and have longer names, than `parse` takes."""
    root = element = etree.Element("a")
    for _ in range(1000):
        element = etree.SubElement(element, "n" * 2000)
    element.set("b" * 2000, "c")

    assert flash.serialize(root).count(b"<" + b"n" * 2000) == 1000
    assert b"b" * 2000 + b'="c"' in flash.serialize(root)


@pytest.mark.parametrize("value", ["c:\\", '\\"', "'\\'", "\"'", "\r\n\t", "<>&"])
def test_serialize_lxml_value_reads_back(value: str) -> None:
    """Quotes, backslashes and line ends in values arrive."""
    root = flash.parse(flash.serialize(etree.Element("a", {"b": value}))).root

    assert root is not None
    assert value == root.get("b")


def test_serialize_lxml_many_attributes_are_written() -> None:
    """
    All attributes are read in one pass, not asked for one by one.

    lxml answers each of those with a search from the first one on.
    """
    names = " ".join(f"n{number}=''" for number in range(50_000))
    root = etree.fromstring(f"<a {names}/>".encode())

    assert flash.serialize(root).count(b'=""') == 50_000
