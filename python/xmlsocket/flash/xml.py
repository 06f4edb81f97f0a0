"""
Flash's tolerant XML, as the handler ``XMLSocket.onXML`` gets it.

`parse` takes what Flash programs really send: several roots, bare text, entities
that nobody declared, documents that break off. It never fails: what it could
read is in `Document.nodes`, how it ended in `Document.status`. `serialize`
writes what a Flash program puts on the wire.

The nodes are the truth. lxml elements, which refuse much of what Flash allows,
are made from them where they are asked for, with an escaping that can be undone:
see `Document.fragment`.
"""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, NamedTuple

from lxml import etree

from .. import documents
from ..encoding import decode
from ..exceptions import safe_text
from .nodes import Node, Status, scan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Literal

__all__ = ["Document", "parse", "serialize"]


class Document:
    """
    What Flash makes of one frame: the ``XML`` object of ActionScript.

    Attributes:
        status: How parsing ended; `Status.OK` is 0. With any other, the nodes
            are what stood before the error.
        xml_decl: The XML declarations, concatenated as they were written, or
            ``None``. They do not choose the encoding.
        doctype_decl: The last DOCTYPE as it was written, or ``None``. It is never
            looked into: nothing is expanded, loaded or checked.
        nodes: Elements as `Node` and texts as ``str``, in their order. Any number
            of them may stand side by side.

    Source: ActionScript 2.0 Language Reference, XML.

    """

    __slots__ = ("_fragment", "doctype_decl", "nodes", "status", "xml_decl")

    def __init__(
        self,
        nodes: Iterable[Node | str] = (),
        *,
        status: Status = Status.OK,
        xml_decl: str | None = None,
        doctype_decl: str | None = None,
    ) -> None:
        self.nodes: list[Node | str] = list(nodes)
        self.status: Status = status
        self.xml_decl: str | None = xml_decl
        self.doctype_decl: str | None = doctype_decl
        self._fragment: etree._Element | None = None

    def __repr__(self) -> str:
        return f"<Document status {self.status}, {len(self.nodes)} nodes>"

    @property
    def fragment(self) -> etree._Element:
        """
        The nodes in an lxml element called ``fragment``.

        Made at the first use, which is when lxml sees the document's names: by
        `xmlsocket.parse`, under whose protection against names that pile up this
        falls. Later changes to ``nodes`` do not show in it. Against the nodes:

        - Adjacent texts are one, as always in lxml.
        - A prefix is a part of the name, and ``xmlns`` an attribute like others,
          as in Flash; lxml's namespaces are not used.
        - What XML cannot name or hold is escaped like ``_x003A_``, the number of
          the character in four to six hexadecimal digits: a colon and all else
          that makes no plain name, and in texts and values control characters,
          lone surrogates, U+FFFE and U+FFFF. An underscore that would begin such
          a sequence is itself written ``_x005F_``. `serialize` undoes that for
          elements in the tree of a ``fragment`` or a copy of it, and for no
          others, whose names may be meant as they are.

        Raises:
            DocumentError: If lxml's parser finds the document too large: one
                text of more than 10 MB, escapes included. No document of a
                megabyte, the default of ``max_size``, gets there.

        """
        if self._fragment is None:
            top = Node("fragment", None, self.nodes)
            names = _LxmlNames().__getitem__
            text = _write([top], _Style(names, names, _lxml_text, _lxml_value))
            self._fragment = documents.parse(text.encode())
            self._fragment.getroottree().docinfo.URL = _ESCAPED
        return self._fragment

    @property
    def root(self) -> etree._Element | None:
        """
        The first element of `fragment`, for documents that are expected to have one.

        Its parent is ``fragment`` and its ``tail`` the text behind it.
        """
        fragment = self.fragment
        return fragment[0] if len(fragment) else None


def parse(
    frame: bytes | str,
    *,
    ignore_white: bool = False,
    encoding: str = "utf-8",
    errors: Literal["flash", "strict"] = "flash",
) -> Document:
    """
    Parse one frame as Flash does.

    Never raises because of what the frame holds, unless ``errors="strict"`` asks
    for it. The work is linear in the length of the frame, but done in Python:
    several times that of `xmlsocket.parse`, most of all for frames of nothing
    but tags. Elements nest up to `MAX_DEPTH` deep and names have up to `MAX_NAME`
    characters, beyond which the status is `Status.MEMORY`.

    Usable as ``parse`` of a connection; with options,
    ``functools.partial(flash.parse, ignore_white=True)``.

    Args:
        frame: A complete frame without its delimiter, or its text. One leading
            byte order mark is removed.
        ignore_white: Drop texts of nothing but space, tab, CR and LF, like
            ``XML.prototype.ignoreWhite`` in Flash. Mixed text is never trimmed.
        encoding: How an old server writes its text; see `decode`. Declarations
            inside the document are not believed.
        errors: ``"flash"`` decodes what is not valid as Flash does, so that
            everything can be decoded. ``"strict"`` refuses it.

    Returns:
        The document; its ``status`` says how parsing ended.

    Raises:
        DocumentError: Only with ``errors="strict"``, if the frame is not valid
            in its encoding.
        LookupError: If Python does not know ``encoding``.

    Source: ActionScript 2.0 Language Reference, XML; the grammar: `scan`.

    """
    text = (
        frame.removeprefix("\ufeff") if isinstance(frame, str) else decode(frame, encoding, errors)
    )
    found = scan(text, ignore_white=ignore_white)
    return Document(
        found.nodes,
        status=found.status,
        xml_decl=found.xml_decl,
        doctype_decl=found.doctype_decl,
    )


def serialize(document: Document | Node | etree._Element | str | bytes) -> bytes:
    """
    Return a document as a Flash program would send it, delimiter excluded.

    The declarations come first, wherever they stood. An empty element is written
    ``<a />``, values stand in double quotes, and the five characters of XML are
    escaped in texts and values, nothing else. Three things differ from Flash,
    whose own form `parse` would read back as something else: a backslash at the
    end of a value is ``&#92;``, a name that ends with a slash is followed by a
    space, and a byte order mark at the very start is ``&#65279;``.

    Args:
        document: A `Document`; one element, as a `Node` or of lxml, where
            comments and processing instructions are left out, prefixes and
            namespace declarations written, and the escapes of
            `Document.fragment` undone in its tree; text, written as it is; or
            bytes, taken as they are.

    Returns:
        UTF-8. A lone surrogate becomes U+FFFD, as in Flash.

    Raises:
        ValueError: If a `Node` or an attribute of one has no name, or one that
            would be read as other markup. `parse` makes no such names.
        TypeError: If the document is of another type.

    Source: Ruffle, avm1/xml_socket; Gnash, XML.as; swfdec, xml-escape; for
    surrogates avmplus, core/UnicodeUtils.cpp, ``Utf16ToUtf8``.

    """
    if isinstance(document, bytes):
        return document
    if isinstance(document, Document):
        declarations = (document.xml_decl or "") + (document.doctype_decl or "")
        text = declarations + _write(document.nodes, _FLASH)
        if text.startswith("\ufeff"):
            text = "&#65279;" + text[1:]
    elif isinstance(document, Node):
        text = _write([document], _FLASH)
    elif isinstance(document, str):
        text = document
    elif etree.iselement(document) and isinstance(document.tag, str):  # no comment or its like
        # By way of libxml2's writer, which knows all about namespaces. The
        # attributes that lxml hands out one by one cost quadratic time.
        xml = scan(documents.serialize(document).decode(), xml=True)
        escaped = document.getroottree().docinfo.URL == _ESCAPED
        text = _write(xml.nodes, _UNESCAPED if escaped else _FLASH)
    else:
        raise TypeError(
            "document must be a Document, a Node, an element, str or bytes, "
            f"not {type(document).__name__}"
        )
    return _LONE_SURROGATE.sub("\ufffd", text).encode()


_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


class _Style(NamedTuple):
    """How the parts of a document are written."""

    name: Callable[[str], str]
    attribute: Callable[[str], str]
    text: Callable[[str], str]
    value: Callable[[str], str]


def _write(nodes: Iterable[Node | str], style: _Style) -> str:
    pieces: list[str] = []
    # Adjacent texts are written as one: they will be read as one, and an escape
    # for lxml must not arise where they meet.
    texts: list[str] = []
    # Not recursive: a program may have built its nodes deeper than `parse` would.
    stack = [(iter(nodes), "")]
    while stack:
        siblings, end = stack[-1]
        for node in siblings:
            if isinstance(node, str):
                texts.append(node)
                continue
            name = style.name(node.name)
            # "<a/>" would be an empty "a", "</a/>" the end of one.
            space = " " if name.endswith("/") else ""
            pieces.append(style.text("".join(texts)))
            texts.clear()
            pieces.append(f"<{name}")
            pieces += [
                f' {style.attribute(key)}="{style.value(value)}"'
                for key, value in node.attributes.items()
            ]
            if node.children:
                pieces.append(">" if node.attributes else f"{space}>")
                stack.append((iter(node.children), f"</{name}{space}>"))
                break
            pieces.append(" />")
        else:
            pieces.append(style.text("".join(texts)))
            texts.clear()
            pieces.append(end)
            stack.pop()
    return "".join(pieces)


def _escaped(text: str) -> str:
    return (
        text.replace("&", "&amp;")
        .replace("<", "&lt;")
        .replace(">", "&gt;")
        .replace('"', "&quot;")
        .replace("'", "&apos;")
    )


# What the scanner reads as the name that it is.
_IS_NAME = re.compile(r"(?!/|!--|\?xml|!doctype|!\[cdata\[)[^> \t\r\n]++", re.IGNORECASE | re.ASCII)
_IS_ATTRIBUTE = re.compile(r"[^=> \t\r\n]++")


def _flash_name(name: str) -> str:
    return _checked(name, _IS_NAME)


def _flash_attribute(name: str) -> str:
    return _checked(name, _IS_ATTRIBUTE)


def _checked(name: str, pattern: re.Pattern[str]) -> str:
    if pattern.fullmatch(name) is None:
        raise ValueError(f"'{safe_text(name, 40)}' cannot be written as a name")
    return name


def _flash_value(value: str) -> str:
    value = _escaped(value)
    return value[:-1] + "&#92;" if value.endswith("\\") else value


_FLASH = _Style(_flash_name, _flash_attribute, _escaped, _flash_value)


# Marks the trees of `Document.fragment`. Names are only unescaped there: elsewhere
# "p_x003A_b" is somebody's name, which a program may have let pass because it is
# not "p:b". A document cannot give itself this address.
_ESCAPED = "xmlsocket:flash.fragment"

# The escaping for lxml. Names: NCName of XML 1.0, fifth edition, and not "xmlns",
# which would declare a namespace. An underscore is escaped before anything that
# looks like the beginning of an escape, closed or not: what follows may be
# escaped itself and close it.
_START = (
    "A-Z_a-z\xc0-\xd6\xd8-\xf6\xf8-\u02ff\u0370-\u037d\u037f-\u1fff\u200c\u200d\u2070-\u218f"
    "\u2c00-\u2fef\u3001-\ud7ff\uf900-\ufdcf\ufdf0-\ufffd\U00010000-\U000effff"
)
_UNNAMEABLE = re.compile(
    rf"^[^{_START}]|[^{_START}\-.0-9\xb7\u0300-\u036f\u203f\u2040]|_(?=x[0-9A-F]{{4}})|^xmlns\Z"
)
_NAME_ESCAPE = re.compile("_x([0-9A-F]{4,6})_")
# Texts: fewer codes, so that fewer of the texts that other programs put into
# lxml elements could be mistaken for an escape.
_CODES = "00[01][0-9A-F]|D[89A-F][0-9A-F]{2}|FFF[EF]|005F"
_UNWRITABLE = re.compile("[\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\ud800-\udfff\ufffe\uffff]")
_UNDERSCORE = re.compile(f"_(?=x(?:{_CODES}))")
_TEXT_ESCAPE = re.compile(f"_x({_CODES})_")


def _escape(match: re.Match[str]) -> str:
    first, rest = match[0][0], match[0][1:]
    return f"_x{ord(first):04X}_{rest}"


# A table, for a megabyte of control characters is not worth a call for each.
_UNWRITABLES = {
    number: f"_x{number:04X}_"
    for number in (*range(0x20), *range(0xD800, 0xE000), 0xFFFE, 0xFFFF)
    if _UNWRITABLE.match(chr(number))
}


class _LxmlNames(dict[str, str]):
    """The names of one document as lxml gets them; each is worked out once."""

    def __missing__(self, name: str) -> str:
        self[name] = escaped = _UNNAMEABLE.sub(_escape, name)
        return escaped


def _lxml_text(text: str) -> str:
    text = _UNDERSCORE.sub("_x005F_", text)
    if _UNWRITABLE.search(text) is not None:
        text = text.translate(_UNWRITABLES)
    return _escaped(text).replace("\r", "&#13;")


def _unescape(match: re.Match[str]) -> str:
    number = int(match[1], 16)
    return chr(number) if number <= sys.maxunicode else match[0]


def _lxml_value(value: str) -> str:
    return _lxml_text(value).replace("\n", "&#10;").replace("\t", "&#9;")


def _unescaped_name(name: str) -> str:
    return _unescaped(name, _IS_NAME)


def _unescaped_attribute(name: str) -> str:
    return _unescaped(name, _IS_ATTRIBUTE)


def _unescaped(name: str, pattern: re.Pattern[str]) -> str:
    unescaped = _NAME_ESCAPE.sub(_unescape, name)
    # A program may have put elements with names of its own into the tree: a
    # written-out ">" must not become markup.
    return unescaped if pattern.fullmatch(unescaped) is not None else name


def _unescaped_text(text: str) -> str:
    return _escaped(_TEXT_ESCAPE.sub(_unescape, text))


def _unescaped_value(value: str) -> str:
    return _flash_value(_TEXT_ESCAPE.sub(_unescape, value))


_UNESCAPED = _Style(_unescaped_name, _unescaped_attribute, _unescaped_text, _unescaped_value)
