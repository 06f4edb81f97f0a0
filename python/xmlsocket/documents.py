"""
Documents: frames parsed by lxml, and elements made into frames.

The parser is built for what strangers send: no DTD, no entities but the five of
XML, no network, no recovery. What lxml would not refuse, or only slowly, is
refused before it: `xmlsocket.codec.check_document` sees to valid UTF-8 and to
the absence of a DOCTYPE in a few nanoseconds.
"""

from __future__ import annotations

import codecs
import ctypes
import re
import threading
from typing import TYPE_CHECKING

from lxml import etree

from .codec import check_document
from .encoding import decode, decode_flash
from .exceptions import DocumentError, safe_text

if TYPE_CHECKING:
    from typing import Final, Literal

__all__ = ["parse", "serialize"]

ROTATE_AFTER: Final = 8 * 2**20
"""Bytes that one thread parses before its parser is replaced."""

MAX_ATTRIBUTES: Final = 1000
"""
Attributes that one element may have.

lxml looks up the value of every attribute from the first one on, so that
``dict(element.attrib)`` takes the square of their number: 4 ms for 1,000, and
17 seconds for the 50,000 of a document of 450 KB.
"""

MAX_NAMESPACES: Final = 1000
"""
Namespaces that may be declared at one place of a document, on its element and around it.

lxml gives an element that is written or copied by itself all of them, and looks
for each among those it has given: ``serialize(root[0])`` takes the square of
their number, 11 seconds for the 60,000 of a document of 1 MB.
"""

# libxml2 lets elements stand 256 deep, so a place has more than 1,000 only if one
# of the tags around it declares four.
_DECLARES_FOUR = re.compile(rb"xmlns(?:[^<]*?xmlns){3}")

# An attribute takes five bytes at least, `␠a=""`, and no tag holds a "<": without
# so many bytes in a row that are none, no element has that many attributes.
_CROWD = 5 * MAX_ATTRIBUTES

_BOM = b"\xef\xbb\xbf"
_DECLARATION = re.compile(rb"\s*+<\?xml(?=[ \t\r\n?]).*?\?>", re.DOTALL)

# What may stand before a DOCTYPE; each alternative ends at the first match of its
# end. Then a DOCTYPE up to its end or to what cannot be skipped (the last group).
_MISC = re.compile(rb"[ \t\r\n]+|<\?.*?\?>|<!--.*?-->", re.DOTALL)
_DOCTYPE = re.compile(rb"<!DOCTYPE(?:[^\[>\"']++|\"[^\"]*+\"|'[^']*+')*+(.)", re.DOTALL)
_NOT_NEWLINE = re.compile(rb"[^\n]")

# lxml before 7 keeps one dictionary of names per thread, in the thread's own
# dictionary, under this key; lxml 7 keeps one per parser.
_NAMES_PER_THREAD = etree.LXML_VERSION < (7,)
_NAMES_KEY = "_ParserDictionaryContext"

_thread_state_dict = ctypes.pythonapi.PyThreadState_GetDict
# Not py_object: the function lends its reference, ctypes would take it over.
_thread_state_dict.restype = ctypes.c_void_p
_thread_state_dict.argtypes = []


def _forget_names() -> bool:
    """
    Drop this thread's dictionary of names, which lxml before 7 never empties.

    Every distinct element, attribute, prefix and namespace name of every
    document stays there for the life of the thread: 200 MB of documents with
    new names cost 191 MB for ever, and at libxml2's cap (reached after 218 MB of
    names of 40 KB, or 349 MB of names of 1 KB, with libxml2 2.14.6) the thread
    refuses every document with a name that it does not know yet. Dropping the
    dictionary and the parser together frees it. Live trees keep a reference of
    their own to the names they use.

    Returns:
        Whether the dictionary was there. False means that lxml has changed and
        names pile up again; a test fails on it.

    """
    state = ctypes.cast(_thread_state_dict(), ctypes.py_object).value
    return state.pop(_NAMES_KEY, None) is not None


class _State:
    """The parser of one thread, None while it is in use, and what it has parsed."""

    __slots__ = ("parsed", "parser")

    def __init__(self) -> None:
        self.parser: etree.XMLParser | None = _new_parser()
        self.parsed = 0


class _Local(threading.local):
    """Each thread's own; one object, for every look into it costs ten times a look at that."""

    def __init__(self) -> None:
        self.state = _State()


def _new_parser() -> etree.XMLParser:
    return etree.XMLParser(
        # Whatever the declaration claims: frames are UTF-8, and an encoding such
        # as UTF-7 would hide a DOCTYPE from check_document.
        encoding="utf-8",
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        attribute_defaults=False,
        huge_tree=False,
        recover=False,
        # Never collect_ids=False: lxml implements it with a flag that makes
        # libxml2 load the external DTD despite load_dtd=False.
    )


_local = _Local()


def _rotate(state: _State) -> etree.XMLParser:
    """Replace this thread's parser, and with it all names that it has collected."""
    if _NAMES_PER_THREAD:
        _forget_names()
    parser = state.parser = _new_parser()
    state.parsed = 0
    return parser


def parse(
    frame: bytes, *, encoding: str = "utf-8", errors: Literal["strict", "flash"] = "strict"
) -> etree._Element:
    """
    Parse one frame into an lxml element.

    With options usable as ``parse`` of a connection through
    ``functools.partial(xmlsocket.parse, errors="flash")``.

    Args:
        frame: A complete document, delimiter excluded. One leading byte order
            mark is passed over.
        encoding: How an old server writes its text, such as ``"latin-1"``,
            ``"windows-1252"`` or ``"shift_jis"``. The frame is then decoded with
            Python's codec, its declaration dropped, and checked as UTF-8. The
            declaration of the document itself is never believed: the protocol's
            text is UTF-8.
        errors: ``"flash"`` accepts bytes that are not valid in the encoding and
            reads them as Flash Player does: see `xmlsocket.flash.decode_flash`.
            What does not become a well-formed document is refused all the same;
            for that there is `xmlsocket.flash.parse`.

    Returns:
        The root element. Its tree has no DTD and no unresolved entities.

    Raises:
        DocumentError: If the frame is not a well-formed document, has a
            DOCTYPE, or is not valid in its encoding; with line and column. If an
            element has more than 1,000 attributes, or if more than 1,000 namespaces
            are declared at one place; without them.
            With ``errors="flash"`` also, without them, if an encoded surrogate
            stands alone: Flash accepts it, but no document can hold it.
        LookupError: If Python does not know ``encoding``.
        ValueError: If ``errors`` is neither.

    Source: ActionScript dictionary, XMLSocket.onXML, for one document a frame;
    the restrictions are ours.

    """
    if encoding != "utf-8" or errors != "strict":
        frame = _recode(frame, encoding, errors)
    check_document(frame)
    state = _local.state
    # Between feed() and close() a signal's handler may raise, or parse a document
    # of its own, and so may what the garbage collector finalizes. A parser that
    # holds a part of one document is nobody else's, and the names that it uses
    # must not be dropped: libxml2 aborts the process.
    own = state.parser
    if own is None:
        parser = _new_parser()
    else:
        if state.parsed >= ROTATE_AFTER:
            own = _rotate(state)
        state.parser = None
        parser = own
    state.parsed += len(frame)
    try:
        # Quicker than fromstring() for small documents (2.0 against 2.4 µs for
        # 70 bytes), and after an error the parser is as good as new (tested).
        parser.feed(frame)
        root = parser.close()
    except etree.XMLSyntaxError as exc:
        error = _document_error(exc, frame, parser)
    except BaseException:
        if own is not None:
            own = None
            state.parser = _new_parser()
        raise
    else:
        if len(frame) < _CROWD or not (reason := _excess(frame, root)):
            return root
        error = DocumentError(reason, frame)
    finally:
        if own is not None:
            state.parser = own
    # Outside of the except block: lxml's exception holds the whole error log.
    raise error from None


def parse_with_doctype(document: bytes) -> etree._Element:
    """
    Parse a document whose DOCTYPE, if it has one, is skipped unread.

    For socket policies, which name an external DTD in the wild; nothing is ever
    fetched. Not for what peers send: use `parse`. An internal subset could
    define entities, so a DOCTYPE with one is refused.

    Raises:
        DocumentError: As `parse` does, with positions in the whole document.

    """
    at = len(_BOM) if document.startswith(_BOM) else 0
    while misc := _MISC.match(document, at):
        at = misc.end()
    doctype = _DOCTYPE.match(document, at)
    if doctype is not None and doctype[1] == b">":
        # Blanks keep the lines, and so the positions in errors.
        blank = _NOT_NEWLINE.sub(b" ", doctype[0])
        document = b"".join((document[:at], blank, document[doctype.end() :]))
    return parse(document)


def _excess(frame: bytes, root: etree._Element) -> str:
    """Tell what a document has too much of; empty if of nothing."""
    if _crowded(frame, root):
        return f"element with more than {MAX_ATTRIBUTES} attributes"
    if _entangled(frame, root):
        return f"more than {MAX_NAMESPACES} namespaces at one place"
    return ""


def _crowded(frame: bytes, root: etree._Element) -> bool:
    """Tell whether an element has more than `MAX_ATTRIBUTES`."""
    # Every so many bytes a "<" has to stand. Searched from the far end of each
    # window, a room list of a megabyte takes 0.05 ms; asking libxml2 takes 5.
    at = 0
    while at + _CROWD <= len(frame):
        last = frame.rfind(b"<", at, at + _CROWD)
        if last < 0:
            return bool(root.xpath(f"boolean(descendant-or-self::*/@*[{MAX_ATTRIBUTES + 1}])"))
        at = last + 1
    return False


def _entangled(frame: bytes, root: etree._Element) -> bool:
    """Tell whether more than `MAX_NAMESPACES` are declared at one place."""
    if frame.count(b"xmlns") <= MAX_NAMESPACES or not _DECLARES_FOUR.search(frame):
        return False
    declared = 0
    for event, _ in etree.iterwalk(root, events=("start-ns", "end-ns")):
        declared += 1 if event == "start-ns" else -1
        if declared > MAX_NAMESPACES:
            return True
    return False


def _document_error(
    exc: etree.XMLSyntaxError, frame: bytes, parser: etree.XMLParser
) -> DocumentError:
    line, column = exc.position
    reason = exc.msg or "not well-formed"
    if not line and len(parser.feed_error_log):
        # What feed() let pass, an undefined entity, close() reports as "no
        # element found" on line 0; the log knows better.
        entry = parser.feed_error_log[0]
        reason, line, column = entry.message, entry.line, entry.column
    # Some messages end with a line feed of libxml2's own.
    reason = reason.removesuffix(f", line {line}, column {column}").rstrip()
    return DocumentError(safe_text(reason), frame, line, column)


def _recode(frame: bytes, encoding: str, errors: Literal["strict", "flash"]) -> bytes:
    """Return ``frame`` as UTF-8, without its declaration if it was in another encoding."""
    utf_8 = codecs.lookup(encoding).name == "utf-8"
    if utf_8 and errors == "strict":
        return frame
    # Of UTF-8 the mark stays: the parser passes over one, and not over a second.
    text = decode_flash(frame) if utf_8 and errors == "flash" else decode(frame, encoding, errors)
    try:
        recoded = text.encode()
    except UnicodeEncodeError as exc:  # from Flash's decoder, or from utf-7 and its like
        raise DocumentError(f"invalid {safe_text(encoding)}: {exc.reason}", frame) from None
    if not utf_8:
        # At the start only: further on it is text, in a CDATA section perhaps.
        declaration = _DECLARATION.match(recoded)
        if declaration is not None:
            return recoded[declaration.end() :]
    return recoded


def serialize(document: etree._Element | str | bytes) -> bytes:
    """
    Return a document as the bytes of one frame, delimiter excluded.

    Args:
        document: An lxml element, written as UTF-8 without a declaration and
            without its tail; text, written as UTF-8; or bytes, taken as they are.

    Raises:
        UnicodeEncodeError: If the text holds a lone surrogate.
        TypeError: If the document is of another type.

    Source: ActionScript dictionary, XMLSocket.send: the text of the object,
    UTF-8, to which the transport adds the zero byte.

    """
    if isinstance(document, bytes):
        return document
    if isinstance(document, str):
        return document.encode()
    if not isinstance(document, etree._Element):  # noqa: SLF001 - lxml's public class has this name
        raise TypeError(f"document must be an element, str or bytes, not {type(document).__name__}")
    return etree.tostring(document, encoding="utf-8", xml_declaration=False, with_tail=False)
