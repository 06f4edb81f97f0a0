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
from typing import TYPE_CHECKING, cast

from lxml import etree

from .. import documents
from .encoding import decode
from .nodes import Node, Status, scan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any, Literal

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
        self.status = status
        self.xml_decl = xml_decl
        self.doctype_decl = doctype_decl
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
          a sequence is itself written ``_x005F_``. `serialize` undoes all that.

        Raises:
            DocumentError: If lxml's parser finds the document too large: one
                text of more than 10 MB, escapes included. No document of a
                megabyte, the default of ``max_size``, gets there.

        """
        if self._fragment is None:
            text = _write([Node("fragment", None, self.nodes)], _lxml_name, _lxml_text, _lxml_value)
            self._fragment = documents.parse(text.encode())
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
    for it. The work is linear in the length of the frame. Elements nest up to
    `MAX_DEPTH` deep and names have up to `MAX_NAME` characters, beyond which the
    status is `Status.MEMORY`.

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
    escaped in texts and values, nothing else. Where Flash's own form would be
    read back as something else, even by Flash, three things differ: a backslash
    at the end of a value is ``&#92;``, a name that ends with a slash is followed
    by a space, and a byte order mark at the very start is ``&#65279;``.

    Args:
        document: A `Document`; one element, as a `Node` or of lxml, where
            comments and processing instructions are left out, prefixes and
            namespace declarations written, and the escapes of
            `Document.fragment` undone; text, written as it is; or bytes, taken
            as they are.

    Returns:
        UTF-8. A lone surrogate becomes U+FFFD, as in Flash.

    Raises:
        TypeError: If the document is of another type.

    Source: Ruffle, avm1/xml_socket; Gnash, XML.as; swfdec, xml-escape; for
    surrogates avmplus, core/UnicodeUtils.cpp, ``Utf16ToUtf8``.

    """
    if isinstance(document, bytes):
        return document
    if isinstance(document, Document):
        declarations = (document.xml_decl or "") + (document.doctype_decl or "")
        text = declarations + _write(document.nodes, _flash_name, _escaped, _flash_value)
        if text.startswith("\ufeff"):
            text = "&#65279;" + text[1:]
    elif isinstance(document, Node):
        text = _write([document], _flash_name, _escaped, _flash_value)
    elif isinstance(document, str):
        text = document
    elif etree.iselement(document) and isinstance(document.tag, str):  # no comment or its like
        text = _write(_from_lxml(document), _flash_name, _escaped, _flash_value)
    else:
        raise TypeError(
            "document must be a Document, a Node, an element, str or bytes, "
            f"not {type(document).__name__}"
        )
    return _LONE_SURROGATE.sub("\ufffd", text).encode()


_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


def _write(
    nodes: Iterable[Node | str],
    named: Callable[[str], str],
    written: Callable[[str], str],
    valued: Callable[[str], str],
) -> str:
    """Write nodes; the functions say how names, texts and values are written."""
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
            name = named(node.name)
            # "<a/>" would be an empty "a", "</a/>" the end of one.
            space = " " if name.endswith("/") else ""
            pieces.append(written("".join(texts)))
            texts.clear()
            pieces.append(f"<{name}")
            pieces += [f' {named(key)}="{valued(value)}"' for key, value in node.attributes.items()]
            if node.children:
                pieces.append(">" if node.attributes else f"{space}>")
                stack.append((iter(node.children), f"</{name}{space}>"))
                break
            pieces.append(" />")
        else:
            pieces.append(written("".join(texts)))
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


def _flash_name(name: str) -> str:
    return name


def _flash_value(value: str) -> str:
    value = _escaped(value)
    return value[:-1] + "&#92;" if value.endswith("\\") else value


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
_UNWRITABLE = re.compile(
    f"[\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\ud800-\udfff\ufffe\uffff]|_(?=x(?:{_CODES}))"
)
_TEXT_ESCAPE = re.compile(f"_x({_CODES})_")


def _escape(match: re.Match[str]) -> str:
    first, rest = match[0][0], match[0][1:]
    return f"_x{ord(first):04X}_{rest}"


def _unescape(match: re.Match[str]) -> str:
    number = int(match[1], 16)
    return chr(number) if number <= sys.maxunicode else match[0]


def _lxml_name(name: str) -> str:
    return _UNNAMEABLE.sub(_escape, name)


def _lxml_text(text: str) -> str:
    return _escaped(_UNWRITABLE.sub(_escape, text)).replace("\r", "&#13;")


def _lxml_value(value: str) -> str:
    return _lxml_text(value).replace("\n", "&#10;").replace("\t", "&#9;")


def _from_lxml(element: etree._Element) -> list[Node | str]:
    """Turn one lxml element without its tail into nodes, escapes undone."""
    top = Node("")
    stack = [top]
    # iterwalk reports the declarations of each element, not those around the first.
    declarations = dict(element.nsmap)
    walk = etree.iterwalk(element, events=("start-ns", "start", "end", "comment", "pi"))
    for event, item in cast("Iterator[tuple[str, Any]]", walk):
        if event == "start-ns":
            prefix, uri = item
            declarations[prefix or None] = uri
            continue
        if event == "start":
            if item.tag is etree.Entity:
                _add_text(stack[-1], item.text)
                continue
            node = _element_node(item, declarations)
            declarations = {}
            stack[-1].children.append(node)
            stack.append(node)
            _add_text(node, item.text)
            continue
        if event == "end" and item.tag is not etree.Entity:
            stack.pop()
        if item is not element:
            _add_text(stack[-1], item.tail)
    return top.children


def _add_text(node: Node, text: str | None) -> None:
    if text:
        node.children.append(_TEXT_ESCAPE.sub(_unescape, text))


def _element_node(element: etree._Element, declarations: dict[str | None, str]) -> Node:
    node = Node(_flat(str(element.tag), element.prefix))
    for prefix, uri in declarations.items():
        node.attributes["xmlns" if prefix is None else f"xmlns:{prefix}"] = uri
    prefixes: dict[str, str] | None = None
    for key, value in element.attrib.items():
        prefix = None
        if key.startswith("{"):
            if prefixes is None:
                prefixes = {uri: name for name, uri in element.nsmap.items() if name}
                prefixes[_XML_NAMESPACE] = "xml"
            prefix = prefixes[key[1:].partition("}")[0]]
        node.attributes[_flat(key, prefix)] = _TEXT_ESCAPE.sub(_unescape, value)
    return node


_XML_NAMESPACE = "http://www.w3.org/XML/1998/namespace"


def _flat(tag: str, prefix: str | None) -> str:
    """Return lxml's name as a document has it, escapes undone."""
    name = _NAME_ESCAPE.sub(_unescape, tag.rpartition("}")[2])
    return name if prefix is None else f"{prefix}:{name}"
