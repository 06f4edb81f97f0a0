"""What holds for all frames: agreement with lxml, stability, linear work, no exception."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from xmlsocket import documents, encoding, flash
from xmlsocket.flash import MAX_DEPTH, MAX_NAME, Node, Status, nodes, xml

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Self

    from lxml import etree

Tree = tuple[str, dict[str, str], list["Tree | str"]]


def merged(children: list[Node | str]) -> list[Tree | str]:
    """Turn nodes into tuples with adjacent texts joined, as lxml and the wire have them."""
    found: list[Tree | str] = []
    for child in children:
        if isinstance(child, Node):
            found.append((child.name, child.attributes, merged(child.children)))
        elif found and isinstance(found[-1], str):
            found[-1] += child
        elif child:
            found.append(child)
    return found


def of_lxml(element: etree._Element) -> Tree:
    """Turn an lxml element into a tuple of the same kind, comments left out."""
    children: list[Node | str] = [element.text or ""]
    for child in element:
        if isinstance(child.tag, str):
            children.append(node_of(child))
        children.append(child.tail or "")
    return str(element.tag), {str(k): str(v) for k, v in element.attrib.items()}, merged(children)


def node_of(element: etree._Element) -> Node:
    """Turn an lxml element into a node."""
    node = Node(str(element.tag), {str(k): str(v) for k, v in element.attrib.items()})
    node.children = [element.text or ""]
    for child in element:
        if isinstance(child.tag, str):
            node.children.append(node_of(child))
        node.children.append(child.tail or "")
    return node


# Well-formed documents, written in all the ways that XML and Flash share

# No CR, which XML turns into LF; it appears as a reference.
raw = st.characters(codec="utf-8", exclude_characters="\r<&>\ufffe\uffff").filter(
    lambda char: char in "\t\n" or char >= " "
)
names = st.from_regex(r"[A-Za-z_é][A-Za-z0-9_.é-]{0,4}", fullmatch=True)
spaces = st.sampled_from(["", " ", "\n", "\t \r\n"])
references = st.one_of(
    st.sampled_from(["&amp;", "&lt;", "&gt;", "&quot;", "&apos;", "&#13;", "&#9;", "&#10;"]),
    raw.map(lambda char: f"&#{ord(char)};"),
    raw.map(lambda char: f"&#x{ord(char):x};"),
)
# "]]>" is an error in XML's text, so there ">" is a reference.
texts = st.lists(st.one_of(raw, references)).map("".join)
cdata = (
    st.text(raw | st.sampled_from("<&>]"), max_size=8)
    .filter(lambda text: "]]>" not in text)
    .map(lambda text: f"<![CDATA[{text}]]>")
)
comments = st.text(raw, max_size=8).map(lambda text: f"<!--{text.replace('-', '')}-->")


@st.composite
def values(draw: st.DrawFn) -> str:
    """Draw a value in its quotes: no tab or newline raw, and no backslash before the quote."""
    quote = draw(st.sampled_from("\"'"))
    pieces = draw(st.lists(st.one_of(raw, st.just(">"), references)))
    value = "".join(piece for piece in pieces if piece not in {quote, "\t", "\n", "\\"})
    return f"{quote}{value}{quote}"


@st.composite
def elements(draw: st.DrawFn, content: st.SearchStrategy[str]) -> str:
    """Draw an element around ``content``."""
    name = draw(names)
    attributes = "".join(
        f" {draw(spaces)}{key}{draw(spaces)}={draw(spaces)}{draw(values())}"
        for key in draw(st.lists(names.filter(lambda key: key != "xmlns"), max_size=3, unique=True))
    )
    inner = draw(content)
    if not inner and draw(st.booleans()):
        return f"<{name}{attributes}{draw(spaces)}/>"
    return f"<{name}{attributes}{draw(spaces)}>{inner}</{name}{draw(spaces)}>"


contents = st.recursive(
    texts,
    lambda content: st.lists(st.one_of(texts, cdata, comments, elements(content)), max_size=4).map(
        "".join
    ),
    max_leaves=8,
)
well_formed = st.tuples(
    st.sampled_from(["", "<?xml version='1.0'?>", '<?xml version="1.0" encoding="utf-8" ?>\n']),
    elements(contents),
    st.one_of(comments, spaces),
).map("".join)

# Markup in disorder: what attackers and bad programs send

tokens = st.one_of(
    st.sampled_from("<>/!?='\" \n\\&;:_x-[]aAé\x00\x01\ufffe\ufeff\ud800\udc00"),
    st.sampled_from(["<a", "<b>", "</a>", "</b>", "</A>", "/>", "<a/", "<a/ >", "<a:b>"]),
    st.sampled_from(["<!--", "-->", "<![CDATA[", "]]>", "<?xml", "?>", "<!DOCTYPE"]),
    st.sampled_from([" b='", "' ", '="', "<a b='c'>", "xmlns='u'", "%xt%"]),
    st.sampled_from(["&lt;", "&#65;", "&#x", "&nbsp;", "&#92;", "_x0001_", "x005F"]),
)
soup = st.lists(tokens, max_size=30).map("".join)
frames = st.one_of(
    soup.map(lambda text: text.encode("utf-8", "surrogatepass")),
    well_formed.map(str.encode),
    st.binary(),
    st.lists(st.one_of(st.binary(max_size=3), soup.map(lambda t: t.encode("utf-16-le", "replace"))))
    .map(b"".join),
)  # fmt: skip


@given(well_formed)
@settings(deadline=None, max_examples=100)
def test_parse_well_formed_document_agrees_with_lxml(text: str) -> None:
    """Where XML and Flash have the same rules, the tree is that of `xmlsocket.parse`."""
    document = flash.parse(text)
    expected = of_lxml(documents.parse(text.encode()))
    found = [node for node in merged(document.nodes) if not isinstance(node, str)]

    assert document.status is Status.OK
    assert [expected] == found
    assert document.root is not None
    # Equal but for what XML holds and looks like an escape.
    assert re.sub("_(?=x005F)", "_x005F_", str(expected)) == str(of_lxml(document.root))


@given(frames, st.booleans())
@settings(deadline=None, max_examples=150)
@example(b"\xef\xbb\xbf" * 2, False)
@example(b"<a>_x00<!---->01_</a>", False)
def test_parse_any_bytes_never_raises(frame: bytes, ignore_white: bool) -> None:
    """Every frame gives a document within the limits, which lxml and `serialize` take."""
    document = flash.parse(frame, ignore_white=ignore_white)
    deepest = 0
    stack = [(1, document.nodes)]
    while stack:
        depth, children = stack.pop()
        for node in children:
            if isinstance(node, Node):
                deepest = max(deepest, depth)
                assert 0 < len(node.name) <= MAX_NAME
                stack.append((depth + 1, node.children))

    assert document.status in Status
    assert deepest <= MAX_DEPTH
    assert flash.serialize(Node("fragment", None, document.nodes)) == flash.serialize(
        document.fragment
    )


@given(frames)
@settings(deadline=None, max_examples=150)
@example(b"<a/ >x</a/ >")
@example(b"<a b='&#92;'/>")
@example(b"\xef\xbb\xbf\xef\xbb\xbf")
@example(b"<a><![CDATA[]]></a>")
@example(b"a<!---->&#<![CDATA[65;]]>")
def test_parse_of_serialize_is_stable(frame: bytes) -> None:
    """What was written reads back as the same document, and is written the same again."""
    document = flash.parse(frame)
    written = flash.serialize(document)
    again = flash.parse(written)

    assert again.status is Status.OK
    assert written == flash.serialize(again)
    assert replaced(str(merged(document.nodes))) == str(merged(again.nodes))
    assert replaced(document.xml_decl or "") == (again.xml_decl or "")
    assert replaced(document.doctype_decl or "") == (again.doctype_decl or "")


def replaced(text: str) -> str:
    """Replace lone surrogates as `serialize` does, raw and as ``repr`` has them."""
    text = re.sub("[\ud800-\udfff]", "\ufffd", text)
    return re.sub(r"(?<!\\)((?:\\\\)*)\\ud[89a-f][0-9a-f]{2}", "\\1\ufffd", text)


# Linear work


class Counted(str):
    """Text that counts the characters that are looked at or copied."""

    __slots__ = ("looked",)
    looked: int

    def __new__(cls, text: str) -> Self:
        """Start to count."""
        counted = super().__new__(cls, text)
        counted.looked = 0
        return counted

    def _charge(self, count: int) -> None:
        self.looked += max(0, count) + 1

    def find(self, sub: str, start: Any = 0, end: Any = None) -> int:
        """Charge up to what is found, or all there is."""
        found = super().find(sub, start)
        self._charge((found if found >= 0 else len(self)) - start)
        return found

    def index(self, sub: str, start: Any = 0, end: Any = None) -> int:
        """Charge as `find` does."""
        return self.find(sub, start)

    def startswith(self, prefix: Any, start: Any = 0, end: Any = None) -> bool:
        """Charge the prefix."""
        self._charge(len(prefix))
        return super().startswith(prefix, start)

    def removeprefix(self, prefix: str, /) -> str:
        """Keep counting: nothing in these tests has the prefix."""
        return self

    def __getitem__(self, key: Any) -> str:
        """Charge what is copied."""
        found = super().__getitem__(key)
        self._charge(len(found))
        return found


class CountedPattern:
    """A pattern that charges a text for what a match looked at; all of the rest if it failed."""

    def __init__(self, pattern: re.Pattern[str]) -> None:
        self._pattern = pattern

    def match(self, text: Counted, start: int) -> re.Match[str] | None:
        """Charge the match, and its groups once more, which are copied."""
        found = self._pattern.match(text, start)
        text._charge(2 * ((found.end() if found is not None else len(text)) - start))
        return found

    def finditer(self, text: Counted, start: int) -> Iterator[re.Match[str]]:
        """Charge from match to match, and to the end when there are no more."""
        for found in self._pattern.finditer(text, start):
            text._charge(found.end() - start)
            start = found.end()
            yield found
        text._charge(len(text) - start)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the scanner's patterns count. References are looked for in copies, charged before."""
    for name in ("_NEXT", "_ATTRIBUTE", "_UNTERMINATED", "_ANGLE"):
        monkeypatch.setattr(nodes, name, CountedPattern(getattr(nodes, name)))


def looked(text: str) -> int:
    """Return how many characters parsing ``text`` looks at."""
    frame = Counted(text)
    flash.parse(frame)
    return frame.looked


ADVERSARIAL = [
    pytest.param(*parts, id=f"{parts[0]}({parts[1]}){parts[2]}"[:40].replace("\x00", "0"))
    for parts in [
        ("", "a", ""),
        ("", "<", ""),
        ("", "&", ""),
        ("", "&#", ""),
        ("", "&#1", ""),
        ("&#", "1", ""),
        ("&#x", "0", ""),
        ("&#1", "a", ";"),
        ("", "<a/>", ""),
        ("", "<a>", ""),
        ("", "<a></a>", ""),
        ("", "<a></A>", ""),
        ("", "<a>" * 250 + "</a>" * 250, ""),
        ("", "x<a/>", ""),
        ("", "<?xml?>", ""),
        ("", "<?xml", ""),
        ("<?xml", "?", ""),
        ("", "<!DOCTYPE>", ""),
        ("<!DOCTYPE", "<", ""),
        ("<!DOCTYPE", "<>", ""),
        ("<!DOCTYPE", "<>", ">"),
        ("", "<!---->", ""),
        ("<!--", "-", ""),
        ("", "<!--", ""),
        ("", "<![CDATA[]]>", ""),
        ("<![CDATA[", "]", ""),
        ("", "<![CDATA[", ""),
        ("<", "a", ""),
        ("<", "a", ">"),
        ("</", "a", ">"),
        ("<a", " ", ""),
        ("<a></a", " ", ""),
        ("<a></a", " ", ">"),
        ("<a ", "b", "=''>"),
        ("<a ", "b='' ", ""),
        ("<a ", "b='' ", "/>"),
        ("<a ", "b=''", "c"),
        ("<a b='", "c", ""),
        ("<a b='", "\\'", ""),
        ("<a b='", "\\'", "'/>"),
        ("<a b='", "\\\\", ""),
        ("<a b", " ", "c"),
        ("<a b=", " ", "c"),
        ("<a b='", '"', "'>"),
        ("<a b='", "&", "'>"),
        ("", "<a b='\\'", ""),
        ("", "<a/ >", ""),
        ("", "</a/>", ""),
        ("", "\x00", ""),
        ("", "/", ""),
    ]
]


@pytest.mark.usefixtures("counted")
@pytest.mark.parametrize(("head", "unit", "tail"), ADVERSARIAL)
def test_parse_adversarial_frame_costs_linear_work(head: str, unit: str, tail: str) -> None:
    """Twice the length costs at most twice the work, and never more than 6 looks a character."""
    count = 50_000 // len(unit) + 1
    once = head + unit * count + tail
    twice = head + unit * (2 * count) + tail

    assert looked(twice) <= 2 * looked(once) + 100
    assert looked(twice) <= 6 * len(twice) + 100


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.usefixtures("counted")
@pytest.mark.parametrize(
    ("head", "unit", "tail"),
    [
        ("", "<a b='\\'&#1&' c=''>&#x0<!-- --></A></", ""),
        ("<a ", "b='&#11111111;' ", ""),
        ("", "<?xml ?><!DOCTYPE <>><![CDATA[]" + "]" * 99 + "]]>", "<!DOCTYPE<"),
        ("<a b='", "\\'", ""),
    ],
)
def test_parse_ten_megabytes_costs_linear_work(head: str, unit: str, tail: str) -> None:
    """10 MB of adversarial text costs no more for each character than 50 kB do."""
    text = head + unit * (10_000_000 // len(unit)) + tail

    assert looked(text) <= 6 * len(text)


@pytest.mark.usefixtures("counted")
def test_count_shows_quadratic_scanner(monkeypatch: pytest.MonkeyPatch) -> None:
    """The count is no formality: a scanner that looks from the start again exceeds it."""

    def from_the_start(scanner: Any, start: int) -> int:
        scanner.text.find("?>", 0)
        end: int = scanner.text.rfind("?>", 0, start + 7)
        scanner.text[: end + 2]
        return end + 2

    monkeypatch.setattr(nodes._Scanner, "_declaration", from_the_start)
    once, twice = "<?xml?>" * 1000, "<?xml?>" * 2000

    assert looked("a" * 1000) >= 1000
    assert looked(twice) > 3 * looked(once)


@pytest.mark.parametrize(
    "pattern",
    [
        nodes._NEXT,
        nodes._ATTRIBUTE,
        nodes._XML_ATTRIBUTE,
        nodes._UNTERMINATED,
        nodes._ANGLE,
        nodes._REFERENCE,
        encoding._SEQUENCES,
        encoding._PAIR,
        xml._IS_NAME,
        xml._IS_ATTRIBUTE,
    ],
)
def test_patterns_never_go_back(pattern: re.Pattern[str]) -> None:
    """
    Every repeat without a bound is possessive.

    So a match looks at what it takes and at one character more, which is what
    the counting above relies on.
    """
    without_classes = re.sub(r"\[\^?\]?(?:\\.|[^\]\\])*\]", "C", pattern.pattern)
    without_escapes = re.sub(r"\\.", "E", without_classes)
    repeats = re.findall(r"(?<!\()(?:[*+?]|\{\d*,\d*\})[+?]?", without_escapes)

    assert [] == [
        repeat
        for repeat in repeats
        if not repeat.startswith("?") and (len(repeat) == 1 or not repeat.endswith("+"))
    ]


def test_patterns_check_finds_a_pattern_that_goes_back() -> None:
    """The check above is no formality either."""
    with pytest.raises(AssertionError):
        test_patterns_never_go_back(re.compile(r"a([^b]*)c"))
    with pytest.raises(AssertionError):
        test_patterns_never_go_back(re.compile(r"a+"))
