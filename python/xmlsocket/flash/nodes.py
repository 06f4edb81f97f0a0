"""
The scanner of Flash's XML: text in, nodes and a status out, never an error.

Flash's grammar is not XML's: any number of roots, bare text, markup that is not
validated. What stands here follows recordings of Adobe's player where there are
any, and says so where it is a choice of ours:

- swfdec, ``test/trace/xml-errors`` and ``xml-parse``: statuses and kept trees;
- Gnash, ``testsuite/actionscript.all/XML.as``: what it expects of the player;
- Ruffle, ``avm1/asnative_xml_parser``: the tokens of the player's own scanner;
- swfdec, ``swfdec_xml.c``: its reading of the grammar, where no recording tells.
"""

from __future__ import annotations

import enum
import re
import sys
from typing import TYPE_CHECKING, NamedTuple

from ..exceptions import safe_text

if TYPE_CHECKING:
    from typing import Final

__all__ = ["MAX_DEPTH", "MAX_NAME", "Node", "Status", "scan"]

MAX_DEPTH: Final = 255
"""Elements that may be open at once.

lxml's parser goes 256 levels deep, and one of them is the element that holds a
document's nodes when they are handed to it.
"""

MAX_NAME: Final = 1000
"""Characters in the name of an element or attribute.

lxml's parser stops at 50,000 bytes, of which an escaped character takes up to
twelve, and keeps every name that it has seen for longer than the document.
"""


class Status(enum.IntEnum):
    """
    How parsing ended: ``XML.status`` of ActionScript.

    Source: ActionScript 2.0 Language Reference, XML.status.
    """

    OK = 0
    """No error."""
    CDATA = -2
    """A CDATA section was not terminated."""
    DECLARATION = -3
    """The XML declaration was not terminated."""
    DOCTYPE = -4
    """The DOCTYPE declaration was not terminated."""
    COMMENT = -5
    """A comment was not terminated."""
    ELEMENT = -6
    """An element was malformed."""
    MEMORY = -7
    """Out of memory. Here: deeper than `MAX_DEPTH`, or a name longer than `MAX_NAME`."""
    ATTRIBUTE = -8
    """An attribute value was not terminated."""
    START_TAG = -9
    """A start tag was not matched with an end tag."""
    END_TAG = -10
    """An end tag was encountered without a matching start tag."""


class Node:
    """
    An element as Flash sees it.

    Nodes are compared by identity, like the elements of lxml.

    Attributes:
        name: As written: not validated, with its prefix, which means nothing.
        attributes: Names as written and values decoded, in their order.
            ``xmlns`` is an attribute like any other.
        children: Elements and texts in their order. Two texts in succession
            stand for two text nodes: a comment or CDATA was between them.

    Source: ActionScript 2.0 Language Reference, XMLNode.

    """

    __slots__ = ("attributes", "children", "name")

    def __init__(
        self,
        name: str,
        attributes: dict[str, str] | None = None,
        children: list[Node | str] | None = None,
    ) -> None:
        self.name: str = name
        self.attributes: dict[str, str] = {} if attributes is None else attributes
        self.children: list[Node | str] = [] if children is None else children

    def __repr__(self) -> str:
        return (
            f"<Node '{safe_text(self.name, 40)}', {len(self.attributes)} attributes, "
            f"{len(self.children)} children>"
        )


# No pattern can go back: every repeat is possessive, so a match looks at a
# character a bounded number of times and what it does not match is found out at
# the first character that does not fit. A test holds them to it.
# Text up to the next "<", and of the markup there its first characters: group 2
# is what tells its kind, group 3 the name if it is a tag's.
_NEXT = re.compile(r"([^<]*+)(?:<([/!?]?+)([^> \t\r\n]*+)[ \t\r\n]*+)?")
# A quote after a backslash does not end a value; that is swfdec's reading, and
# no recording tells. Values are found by their end, as Flash does: "<", ">" and
# newlines may stand in them.
_ATTRIBUTE = re.compile(
    r"([^=> \t\r\n]++)[ \t\r\n]*+=[ \t\r\n]*+"
    r"(?:\"([^\"]*+(?:(?<=\\)\"[^\"]*+)*+)\"|'([^']*+(?:(?<=\\)'[^']*+)*+)')[ \t\r\n]*+"
)
_XML_ATTRIBUTE = re.compile(r"([^=> \t\r\n]++)=(?:\"([^\"]*+)\"|'([^']*+)')[ \t\r\n]*+")
_UNTERMINATED = re.compile(r"[^=> \t\r\n]++[ \t\r\n]*+=[ \t\r\n]*+[\"']")
_ANGLE = re.compile(r"[<>]")
# Numbers as the player reads them: digits, then whatever letters and digits
# follow are passed over ("&#76e9;" is "L"). Leading zeros do not count; a number
# cut off at 8 or 7 digits is too large for any character.
_REFERENCE = re.compile(
    r"&(?:(amp|lt|gt|quot|apos|nbsp)"
    r"|#0*+([0-9]{1,8}+)[0-9A-Za-z]*+"
    r"|#x0*+([0-9A-F]{1,7}+)[0-9A-Z]*+);",
    re.IGNORECASE | re.ASCII,
)
_ENTITIES = {"amp": "&", "lt": "<", "gt": ">", "quot": '"', "apos": "'", "nbsp": "\xa0"}
_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}


def _character(reference: re.Match[str]) -> str:
    entity, decimal, hexadecimal = reference.groups()
    if entity is not None:
        return _ENTITIES[entity.lower()]
    number = int(decimal) if decimal is not None else int(hexadecimal, 16)
    if number > sys.maxunicode:
        return reference[0]
    character = chr(number)
    # Surrogates stay as they are written, which is ours: two of them could be
    # one character in Flash and would be two here.
    return reference[0] if "\ud800" <= character <= "\udfff" else character


def _decoded(raw: str) -> str:
    """Replace references; an unknown one and a bare ``&`` stay as they are."""
    return _REFERENCE.sub(_character, raw) if "&" in raw else raw


def _folded(name: str) -> str:
    """Lower the letters A to Z, and no others: end tags match without regard to case."""
    return name.lower() if name.isascii() else name.translate(_LOWER)


class Scan(NamedTuple):
    """What `scan` found; declarations are ``None`` when there was none."""

    status: Status
    xml_decl: str | None
    doctype_decl: str | None
    nodes: list[Node | str]


class _Scanner:
    """
    One pass over the text: the position only grows.

    Methods that read markup return the position behind it. On an error they set
    the status and return the end of the text.
    """

    __slots__ = (
        "attribute",
        "children",
        "declarations",
        "doctype",
        "max_depth",
        "max_name",
        "nodes",
        "open",
        "status",
        "text",
        "xml",
    )

    def __init__(self, text: str, *, xml: bool) -> None:
        self.text = text
        self.xml = xml
        self.attribute = _XML_ATTRIBUTE if xml else _ATTRIBUTE
        self.max_depth = sys.maxsize if xml else MAX_DEPTH
        self.max_name = sys.maxsize if xml else MAX_NAME
        self.status = Status.OK
        # Pieces, for a declaration that is extended over and over would be
        # copied over and over.
        self.declarations: list[str] = []
        self.doctype: str | None = None
        self.nodes: list[Node | str] = []
        self.open: list[Node] = []
        # Those of the innermost open element.
        self.children = self.nodes

    def run(self, *, ignore_white: bool) -> None:
        text, position, length = self.text, 0, len(self.text)
        while position < length:
            found = _NEXT.match(text, position)
            assert found is not None
            raw, kind, name = found.groups()
            # White before references are decoded: "&#32;" is not (swfdec).
            if raw and not (ignore_white and not raw.strip(" \t\r\n")):
                self.children.append(_decoded(raw))
            if kind is None:
                break
            if kind == "/":
                position = self._end_tag(found)
            elif kind:
                position = self._special(found)
            else:
                position = self._start_tag(name, found)
        if self.status is Status.OK and self.open:
            self.status = Status.START_TAG

    def _fail(self, status: Status) -> int:
        self.status = status
        return len(self.text)

    def _special(self, found: re.Match[str]) -> int:
        """Read a declaration, DOCTYPE, comment or CDATA; what else looks so is a tag."""
        text, start = self.text, found.end(1)
        opening = text[start : start + 9].lower()
        if opening.startswith("<?" if self.xml else "<?xml"):
            return self._declaration(start)
        if opening == "<!doctype":
            return self._doctype(start)
        if opening.startswith("<!--"):
            end = text.find("-->", start + 4)
            return end + 3 if end >= 0 else self._fail(Status.COMMENT)
        if opening == "<![cdata[":
            end = text.find("]]>", start + 9)
            if end < 0:
                return self._fail(Status.CDATA)
            # An empty section makes no node, which is ours: an element with it
            # alone would be written as "<a></a>" and read back without.
            if end > start + 9:
                self.children.append(text[start + 9 : end])
            return end + 3
        # Flash knows no other instructions: they are read as elements, and fail
        # or are never closed (Ruffle, asnative_xml_parser).
        return self._start_tag(found[2] + found[3], found)

    def _declaration(self, start: int) -> int:
        end = self.text.find("?>", start + 2)
        if end < 0:
            return self._fail(Status.DECLARATION)
        self.declarations.append(self.text[start : end + 2])
        return end + 2

    def _doctype(self, start: int) -> int:
        depth = 0
        for angle in _ANGLE.finditer(self.text, start):
            depth += 1 if angle[0] == "<" else -1
            if not depth:
                self.doctype = self.text[start : angle.end()]
                return angle.end()
        return self._fail(Status.DOCTYPE)

    def _end_tag(self, found: re.Match[str]) -> int:
        text, name, position = self.text, found[3], found.end(3)
        end = text.find(">", position)
        if end == position:
            # Dropped as in a start tag: "</a/>" closes an "a".
            name = name.removesuffix("/")
        if end < 0 or not name:
            return self._fail(Status.ELEMENT)
        if not self.open:
            return self._fail(Status.END_TAG)
        if name != self.open[-1].name:
            folded = _folded(name)
            if folded != _folded(self.open[-1].name):
                known = any(folded == _folded(node.name) for node in self.open)
                return self._fail(Status.START_TAG if known else Status.END_TAG)
        self.open.pop()
        self.children = self.open[-1].children if self.open else self.nodes
        return end + 1

    def _start_tag(self, name: str, found: re.Match[str]) -> int:
        text, position = self.text, found.end()
        if position == len(text):
            return self._fail(Status.ELEMENT)
        # Only before ">" does the slash not belong to the name: "<a/ >" is an
        # element "a/" (swfdec, xml-errors).
        empty = text[position] == ">" and position == found.end(3) and name.endswith("/")
        node = Node(name[:-1] if empty else name)
        if not node.name:
            return self._fail(Status.ELEMENT)
        if text[position] != ">":
            position = self._attributes(node.attributes, position)
            if self.status is not Status.OK:
                return position
            empty = text[position] == "/"
        if len(node.name) > self.max_name or len(self.open) == self.max_depth:
            return self._fail(Status.MEMORY)
        self.children.append(node)
        if not empty:
            self.open.append(node)
            self.children = node.children
        return text.index(">", position) + 1

    def _attributes(self, attributes: dict[str, str], position: int) -> int:
        """Read attributes and return the position of the ``>`` or ``/>`` behind them."""
        text = self.text
        while position < len(text):
            if text[position] == ">" or text.startswith("/>", position):
                return position
            found = self.attribute.match(text, position)
            if found is None:
                broken = _UNTERMINATED.match(text, position)
                return self._fail(Status.ELEMENT if broken is None else Status.ATTRIBUTE)
            name, double, single = found.groups()
            if len(name) > self.max_name:
                return self._fail(Status.MEMORY)
            # The first of two wins (Ruffle, asnative_xml_parser).
            attributes.setdefault(name, _decoded(single if double is None else double))
            position = found.end()
        return self._fail(Status.ELEMENT)


def scan(text: str, *, ignore_white: bool = False, xml: bool = False) -> Scan:
    """
    Read ``text`` as Flash would, up to its first error.

    Never raises. The work is linear in the length of the text, whatever it
    holds, and nothing is recursive.

    Args:
        text: Any text.
        ignore_white: Drop texts of nothing but space, tab, CR and LF.
        xml: The text is well-formed XML as libxml2 writes it, from this program:
            there are no limits, processing instructions count as declarations,
            and a backslash means nothing.

    """
    scanner = _Scanner(text, xml=xml)
    scanner.run(ignore_white=ignore_white)
    xml_decl = "".join(scanner.declarations) if scanner.declarations else None
    return Scan(scanner.status, xml_decl, scanner.doctype, scanner.nodes)
