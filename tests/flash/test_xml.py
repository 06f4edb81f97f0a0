"""
What `flash.parse` makes of a frame: statuses, kept nodes, the tolerant grammar.

Sources, by the names used below. Recordings of Adobe's player: swfdec
``test/trace`` (xml-errors, xml-parse, xml-cdata), Ruffle ``tests/swfs``
(avm1/xml_socket, avm1/asnative_xml_parser, avm1/xml_ignore_white) and Ruffle
issue 24569. What its authors expect of the player: Gnash
``testsuite/actionscript.all/XML.as``. A reading without a recording: swfdec.c.
"""

from __future__ import annotations

import pytest

from xmlsocket import flash
from xmlsocket.flash import Document, Node, Status

Tree = tuple[str, dict[str, str], list["Tree | str"]]


def plain(nodes: list[Node | str]) -> list[Tree | str]:
    """Turn nodes, which compare by identity, into tuples, which compare by content."""
    return [
        node if isinstance(node, str) else (node.name, node.attributes, plain(node.children))
        for node in nodes
    ]


def nodes(frame: bytes | str, *, ignore_white: bool = False) -> list[Tree | str]:
    """Parse a frame that must have no error and return its nodes."""
    document = flash.parse(frame, ignore_white=ignore_white)
    assert document.status is Status.OK
    return plain(document.nodes)


# Statuses


@pytest.mark.parametrize(
    ("frame", "status", "kept"),
    [
        # swfdec, xml-errors, the same for players 5, 6 and 7
        pytest.param("<a><b/></a>", 0, "<a><b /></a>", id="ok"),
        pytest.param("<a/><?xml A", -3, "<a />", id="declaration-open"),
        pytest.param(
            "<a/><?xml A ?><b/><?xml B", -3, "<?xml A ?><a /><b />", id="second-declaration-open"
        ),
        pytest.param("<a/><!DOCTYPE A", -4, "<a />", id="doctype-open"),
        pytest.param(
            "<a/><!DOCTYPE A><b/><!DOCTYPE B",
            -4,
            "<!DOCTYPE A><a /><b />",
            id="second-doctype-open",
        ),
        pytest.param("<a>", -9, "<a />", id="start-tag-alone"),
        pytest.param("<a><b><c/></a>", -9, "<a><b><c /></b></a>", id="inner-not-closed"),
        pytest.param("<b><c/></a>", -10, "<b><c /></b>", id="end-tag-of-nothing-open"),
        pytest.param("<a><b></a><c/>", -9, "<a><b /></a>", id="stops-at-wrong-end-tag"),
        pytest.param("<a><b></c><d/></b></a>", -10, "<a><b /></a>", id="stops-at-unknown-end-tag"),
        pytest.param("</a>", -10, "", id="end-tag-alone"),
        pytest.param("<a></b></a><c/>", -10, "<a />", id="stops-inside"),
        pytest.param("<a/ ></a/>", -10, "<a/ />", id="slash-in-name"),
        pytest.param("<a>&</a>", 0, "<a>&amp;</a>", id="bare-ampersand-in-text"),
        pytest.param("<a A='&'/>", 0, '<a A="&amp;" />', id="bare-ampersand-in-value"),
        pytest.param("<a A/><b/>", -6, "", id="attribute-without-value"),
        pytest.param("<a A=x></a><b/>", -6, "", id="attribute-without-quotes"),
        pytest.param("<a A='x></a><b/>", -8, "", id="attribute-open"),
        pytest.param("<a/><!-- <b/>", -5, "<a />", id="comment-open"),
        # swfdec.c
        pytest.param("<a", -6, "", id="name-open"),
        pytest.param("<a/", -6, "", id="slash-open"),
        pytest.param("<a b='c'", -6, "", id="tag-open-behind-attribute"),
        pytest.param("<a></a", -6, "<a />", id="end-tag-open"),
        pytest.param("<a></a b", -6, "<a />", id="end-tag-open-behind-name"),
        pytest.param("<>", -6, "", id="no-name"),
        pytest.param("</>", -6, "", id="no-name-in-end-tag"),
        pytest.param("<a></ a>", -6, "<a />", id="space-before-name-of-end-tag"),
        pytest.param("< a/>", -6, "", id="space-before-name"),
        pytest.param('<a ="b"/>', -6, "", id="no-attribute-name"),
        pytest.param('<a b "c"/>', -6, "", id="no-equals-sign"),
        pytest.param("<a / >", -6, "", id="slash-away-from-bracket"),
        # swfdec, xml-cdata
        pytest.param("<a><![CDATA[b</a>", -2, "<a />", id="cdata-open"),
        # Gnash, XML.as
        pytest.param("<a b='", -8, "", id="value-open-at-end"),
        pytest.param("<a b      c='d'", -6, "", id="space-in-attribute-name"),
        pytest.param("<a>& ' \"<", -6, "<a>&amp; &apos; &quot;</a>", id="bracket-at-end"),
        pytest.param("<a/><b><!-- c<d>", -5, "<a /><b />", id="comment-open-inside"),
        # Ruffle, avm1/asnative_xml_parser
        pytest.param("<a><?b c?></a>", -6, "<a />", id="instruction"),
        pytest.param("<a b=></a>", -6, "", id="attribute-with-no-value-after-equals"),
        # Ruffle, issue 24569
        pytest.param("<a><b>c</a>", -9, "<a><b>c</b></a>", id="closed-too-early"),
        pytest.param("a</b>", -10, "a", id="text-and-end-tag"),
    ],
)
def test_parse_malformed_frame_has_status_and_keeps_what_stood_before(
    frame: str, status: int, kept: str
) -> None:
    """Parsing stops at the first error with Flash's status and keeps what was built."""
    document = flash.parse(frame)

    assert status == document.status
    assert kept.encode() == flash.serialize(document)


def test_parse_well_formed_frame_has_status_0() -> None:
    """0: no error (ActionScript 2.0 reference, XML.status)."""
    assert Status.OK is flash.parse("<a/>").status
    assert int(Status.OK) == 0


def test_parse_cdata_without_end_has_status_minus_2() -> None:
    """-2: a CDATA section was not terminated (XML.status; swfdec, xml-cdata)."""
    assert Status.CDATA is flash.parse("<a><![CDATA[ ]] ></a>").status
    assert int(Status.CDATA) == -2


def test_parse_declaration_without_end_has_status_minus_3() -> None:
    """-3: the XML declaration was not terminated (XML.status; swfdec, xml-errors)."""
    assert Status.DECLARATION is flash.parse("<?xml version='1.0'>").status
    assert int(Status.DECLARATION) == -3


def test_parse_doctype_without_end_has_status_minus_4() -> None:
    """-4: the DOCTYPE was not terminated (XML.status; swfdec, xml-errors)."""
    assert Status.DOCTYPE is flash.parse("<!DOCTYPE a [<!ENTITY b 'c'>]<a/>").status
    assert int(Status.DOCTYPE) == -4


def test_parse_comment_without_end_has_status_minus_5() -> None:
    """-5: a comment was not terminated (XML.status; swfdec, xml-errors)."""
    assert Status.COMMENT is flash.parse("<!-- ->").status
    assert int(Status.COMMENT) == -5


def test_parse_malformed_element_has_status_minus_6() -> None:
    """-6: an element was malformed (XML.status; swfdec, xml-errors)."""
    assert Status.ELEMENT is flash.parse("<a b=c/>").status
    assert int(Status.ELEMENT) == -6


def test_parse_too_deep_frame_has_status_minus_7() -> None:
    """-7, out of memory (XML.status), stands for our limit on depth: 255 levels pass."""
    deep = "<a>" * 255 + "</a>" * 255
    deeper = flash.parse("<b/>" + "<a>" * 255 + "<c/>")

    assert Status.OK is flash.parse(deep).status
    assert Status.MEMORY is deeper.status
    assert int(Status.MEMORY) == -7
    assert b"<b />" + b"<a>" * 254 + b"<a />" + b"</a>" * 254 == flash.serialize(deeper)
    assert Status.MEMORY is flash.parse("<a>" * 256).status


@pytest.mark.parametrize("markup", ["<{}/>", "<a {}='b'/>", "<{} b='c'>", "<!{}>"])
def test_parse_too_long_name_has_status_minus_7(markup: str) -> None:
    """-7 stands for our limit on names too: 1000 characters."""
    extra = 1 if "!" in markup else 0

    assert Status.MEMORY is flash.parse(markup.format("n" * (1001 - extra))).status
    assert Status.MEMORY is not flash.parse(markup.format("n" * (1000 - extra))).status


def test_parse_value_without_end_has_status_minus_8() -> None:
    """-8: an attribute value was not terminated (XML.status; swfdec, xml-errors)."""
    assert Status.ATTRIBUTE is flash.parse("<a b='c\"></a>").status
    assert int(Status.ATTRIBUTE) == -8


def test_parse_start_tag_without_end_tag_has_status_minus_9() -> None:
    """-9: a start tag has no end tag (XML.status; swfdec, xml-errors)."""
    assert Status.START_TAG is flash.parse("<a><b></a>").status
    assert int(Status.START_TAG) == -9


def test_parse_end_tag_without_start_tag_has_status_minus_10() -> None:
    """-10: an end tag has no start tag (XML.status; swfdec, xml-errors)."""
    assert Status.END_TAG is flash.parse("<a></b></a>").status
    assert int(Status.END_TAG) == -10


# Top level


def test_parse_empty_frame_has_no_nodes() -> None:
    """No text at all is a document without nodes (Ruffle, avm1/asnative_xml_parser)."""
    assert nodes("") == []


@pytest.mark.parametrize("frame", ["Hello!", "%xt%s%j#js%-1%1%", "{'cmd': 1}", "a > b"])
def test_parse_bare_text_is_one_text_node(frame: str) -> None:
    """Text without markup is a valid document (Ruffle, avm1/xml_socket)."""
    assert [frame] == nodes(frame)


def test_parse_several_roots_and_text_are_siblings() -> None:
    """Any number of elements and texts stand side by side (swfdec, xml-parse)."""
    assert ["a", ("b", {}, []), "c", ("d", {}, [])] == nodes("a<b/>c<d></d>")


def test_parse_blank_between_roots_is_kept() -> None:
    """White space at the top level makes text nodes too (swfdec, xml-parse)."""
    assert ["\n", ("a", {}, []), "\n\n"] == nodes("\n<a/>\n\n")


def test_parse_line_ends_are_kept_as_they_are() -> None:
    """CR and CR LF are not turned into LF, unlike in XML; ours, as nothing does so."""
    assert ["\r\n\r", ("a", {"b": "\r\n"}, [])] == nodes("\r\n\r<a b='\r\n'/>")


# Declarations


def test_parse_declaration_anywhere_is_kept_apart() -> None:
    """A declaration leaves the tree, splits the text around it, and is kept (swfdec, xml-parse)."""
    document = flash.parse("cruft <?xml version='1.0'?>\n<a/>")

    assert document.xml_decl == "<?xml version='1.0'?>"
    assert ["cruft ", "\n", ("a", {}, [])] == plain(document.nodes)


def test_parse_several_declarations_are_concatenated() -> None:
    """Declarations in any case add up as written; of DOCTYPEs the last stands (Gnash, XML.as)."""
    document = flash.parse("<a/><!doctype d><?xMl b?><!dOcType e><?XMl c?>")

    assert document.xml_decl == "<?xMl b?><?XMl c?>"
    assert document.doctype_decl == "<!dOcType e>"


def test_parse_instruction_that_begins_with_xml_counts_as_declaration() -> None:
    """Only the first letters are looked at, so a style sheet goes the same way (swfdec.c)."""
    assert flash.parse("<?xml-stylesheet href='a'?>").xml_decl == "<?xml-stylesheet href='a'?>"


def test_parse_without_declarations_has_none() -> None:
    """Undefined in ActionScript is None (Gnash, XML.as)."""
    document = flash.parse("<a/>")

    assert document.xml_decl is None
    assert document.doctype_decl is None


def test_parse_doctype_ends_at_balanced_brackets() -> None:
    """An internal subset is kept whole and not looked into (swfdec, xml-parse)."""
    document = flash.parse('<!DOCTYPE a [ <!ENTITY b "c"> ]>\n<a>&b;</a>')

    assert document.doctype_decl == '<!DOCTYPE a [ <!ENTITY b "c"> ]>'
    assert ["\n", ("a", {}, ["&b;"])] == plain(document.nodes)


def test_parse_doctype_at_end_is_complete() -> None:
    """A DOCTYPE may be the last thing in a frame; swfdec.c's -4 for it is taken for a slip."""
    assert flash.parse("<a/><!DOCTYPE a>").status is Status.OK


@pytest.mark.parametrize("frame", ["<?b?>", "<!ELEMENT/ >", "<!a>", "<?>"])
def test_parse_other_markup_of_that_kind_is_an_element(frame: str) -> None:
    """What is neither declaration, DOCTYPE, comment nor CDATA is read as a tag (swfdec.c)."""
    document = flash.parse(frame)

    assert document.status is Status.START_TAG
    assert [(frame[1:-1].rstrip(), {}, [])] == plain(document.nodes)


# Comments and CDATA


def test_parse_comment_is_dropped_and_splits_text() -> None:
    """Text before and after a comment stays two nodes (swfdec, xml-parse)."""
    assert [("a", {}, ["b ", "d"])] == nodes("<a>b <!-- c <x> -- -->d</a>")


def test_parse_comment_needs_dashes_of_its_own() -> None:
    """The dashes that open a comment do not close it; ours, as in XML."""
    assert flash.parse("<!-->").status is Status.COMMENT
    assert nodes("<!---->") == []


def test_parse_cdata_becomes_text() -> None:
    """CDATA is a text node of its own, taken as it is (swfdec, xml-cdata)."""
    assert [("a", {}, ["b", "<c>&amp;]]", "d"])] == nodes("<a>b<![CDATA[<c>&amp;]]]]>d</a>")


def test_parse_cdata_in_any_case_is_cdata() -> None:
    """The word is compared without regard to case, like DOCTYPE (swfdec.c)."""
    assert ["<a>"] == nodes("<![cdata[<a>]]>")


def test_parse_empty_cdata_makes_no_node() -> None:
    """An empty section leaves nothing; ours, so that what is written reads back the same."""
    assert [("a", {}, [])] == nodes("<a><![CDATA[]]></a>")


# References


@pytest.mark.parametrize(
    ("reference", "character"),
    [
        ("&amp;", "&"),
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", '"'),
        ("&apos;", "'"),
        ("&nbsp;", "\xa0"),
        ("&AMP;", "&"),
        ("&Nbsp;", "\xa0"),
    ],
)
def test_parse_named_reference_is_decoded_in_any_case(reference: str, character: str) -> None:
    """Six names are known, without regard to case, in texts and values (swfdec.c)."""
    assert [f"x{character}y"] == nodes(f"x{reference}y")
    assert [("a", {"b": character}, [])] == nodes(f"<a b='{reference}'/>")


@pytest.mark.parametrize(
    ("reference", "character"),
    [
        # Ruffle, avm1/asnative_xml_parser
        ("&#65;", "A"),
        ("&#x42;", "B"),
        # Gnash, XML.as
        ("&#229;", "å"),
        ("&#1025;", "Ё"),
        ("&#02312;", "ई"),
        ("&#0228;", "ä"),
        ("&#229e2;", "å"),
        ("&#76e9;", "L"),
        # ours: hexadecimal goes like decimal, and what UTF-16 takes two units for is one character
        ("&#X0042zz;", "B"),
        ("&#x1F600;", "\U0001f600"),
        ("&#1114111;", "\U0010ffff"),
        ("&#1;", "\x01"),
    ],
)
def test_parse_number_is_decoded(reference: str, character: str) -> None:
    """Numbers are decoded; letters and digits that do not belong to them are passed over."""
    assert [f"x{character}y"] == nodes(f"x{reference}y")
    assert [("a", {"b": character}, [])] == nodes(f"<a b='{reference}'/>")


@pytest.mark.parametrize(
    "reference",
    [
        "&",
        "&;",
        "& amp;",
        "&amp",
        "&copy;",
        "&ampamp;",
        # Gnash, XML.as
        "&#ee229;",
        "&#fee;",
        # ours
        "&#;",
        "&#x;",
        "&#0;",
        "&#x0;",
        "&#xD800;",
        "&#57343;",
        "&#1114112;",
        "&#10000065;",
        "&#x1000041;",
        "&#x110000;",
        "&#" + "9" * 5000 + ";",
        "&#x" + "0" * 5000 + "110000;",
        "&#6 5;",
        "&#6&5;",
    ],
)
def test_parse_unknown_reference_stays(reference: str) -> None:
    """What is no reference, or to no character, stays as it is written."""
    assert [reference] == nodes(reference)


def test_parse_references_are_decoded_once() -> None:
    """What a reference stands for is not looked at again."""
    assert ["&lt;&#65;"] == nodes("&amp;lt;&#38;#65;")


# Tags


def test_parse_values_may_hold_markup_and_newlines() -> None:
    """A value ends at its quote and nowhere else (swfdec, xml-parse)."""
    assert [("a", {"b": '<\n>"/>', "c": "'"}, [])] == nodes("<a b='<\n>\"/>' c=\"'\"/>")


def test_parse_space_around_equals_sign_is_allowed() -> None:
    """Space, tab, CR and LF may stand around the equals sign (swfdec.c)."""
    assert [("a", {"b": "c", "d": ""}, [])] == nodes("<a\tb \r= \n'c' d\n=''\t/>")


def test_parse_attributes_need_no_space_between_them() -> None:
    """The next attribute may follow the quote at once (Ruffle, issue 7008)."""
    assert [("a", {"b": "1", "c": "2"}, [])] == nodes("<a b='1'c=\"2\"/>")


def test_parse_duplicate_attribute_first_wins() -> None:
    """Of two values for a name the first stands (Ruffle, avm1/asnative_xml_parser)."""
    assert [("a", {"b": "1"}, [])] == nodes("<a b='1' b='2'/>")


def test_parse_quote_after_backslash_does_not_end_value() -> None:
    """A backslash keeps the value open and stays in it (swfdec.c)."""
    assert [("a", {"b": r"c\'d\'", "e": r"\"\"f"}, [])] == nodes(
        r"""<a b='c\'d\'' e="\"\"f"/>""",
    )
    assert flash.parse(r"<a b='c:\'/>").status is Status.ATTRIBUTE


def test_parse_attribute_names_are_not_decoded() -> None:
    """References in names stay; ours, for names are written as they are."""
    assert [("a&lt;", {"b&amp;": "c"}, [])] == nodes("<a&lt; b&amp;='c'/>")


@pytest.mark.parametrize("name", ["1x", "a:b", ":", "a<b", "-", "é\x01", 'a="b"', "a/b", "#"])
def test_parse_names_are_not_validated(name: str) -> None:
    """Whatever stands before space or bracket is a name; prefixes need no declaration."""
    assert [(name, {}, ["x"])] == nodes(f"<{name}>x</{name}>")


def test_parse_attribute_names_are_not_validated() -> None:
    """An attribute's name ends at space, equals sign or bracket."""
    assert [("a", {"1": "b", "x:y": "c", "/": "d", "'": "e"}, [])] == nodes(
        "<a 1='b' x:y='c' /='d' '='e'/>"
    )


def test_parse_namespace_declarations_are_attributes() -> None:
    """Nothing happens to a prefix or to ``xmlns`` (swfdec, xml-parse)."""
    assert [("a:b", {"xmlns:a": "u", "xmlns": "v"}, [])] == nodes("<a:b xmlns:a='u' xmlns='v'/>")


def test_parse_slash_belongs_to_name_unless_bracket_follows() -> None:
    """``<a/ >`` is an element "a/" (swfdec, xml-errors), closed by ``</a/ >``."""
    assert [("a/", {}, ["b"]), ("c", {}, []), ("d/", {}, [])] == nodes("<a/ >b</a/ ><c/><d//>")


def test_parse_end_tag_matches_in_any_case_of_ascii_letters() -> None:
    """End tags are compared without regard to case, of A to Z only (swfdec.c)."""
    assert [("aB", {}, [("é1", {}, [])])] == nodes("<aB><é1></é1></Ab>")
    assert [("éB", {}, [])] == nodes("<éB></éb>")
    assert flash.parse("<é></É>").status is Status.END_TAG


def test_parse_end_tag_may_hold_anything_behind_its_name() -> None:
    """What stands between the name and the bracket is passed over (swfdec.c)."""
    assert [("a", {}, []), ("b", {}, [])] == nodes("<a></a x='<'><b></b/>")


# White space


def test_parse_ignore_white_drops_blank_texts_and_trims_none() -> None:
    """Only whole text nodes are dropped, never a part of one (Ruffle, avm1/xml_ignore_white)."""
    assert [("a", {}, [("b", {}, [" c "]), ("d", {}, [])])] == nodes(
        "\r\n<a> <b> c </b>\t<d>\n</d></a>\n", ignore_white=True
    )


def test_parse_ignore_white_looks_before_decoding() -> None:
    """A reference to a space, a no-break space and CDATA are not white (swfdec.c)."""
    assert ["\x20", "\xa0", "\x20", "\xa0"] == nodes(
        "&#32;<!---->\xa0<!----><![CDATA[ ]]>&nbsp;", ignore_white=True
    )


# Documents


def test_document_repr_is_short() -> None:
    """A document shows its status and size, not its text."""
    assert repr(flash.parse("<a>")) == "<Document status -9, 1 nodes>"


def test_node_repr_is_short_and_escaped() -> None:
    """A node shows its name, escaped and cut, and how much it holds."""
    node = Node("\x1b[2J" + "n" * 99, {"a": "b"}, ["c", Node("d")])

    assert repr(node) == (
        "<Node '\\x1b[2J" + "n" * 33 + "… (66 more characters)', 1 attributes, 2 children>"
    )


def test_document_can_be_built() -> None:
    """A document is made from nodes, for sending."""
    document = Document([Node("a"), "b"])

    assert document.status is Status.OK
    assert ("a", {}, []) == plain(document.nodes)[0]
