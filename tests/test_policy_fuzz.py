"""Policy files of any kind: nothing but PolicyError comes out, and nothing is granted too much."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from xmlsocket.exceptions import PolicyError
from xmlsocket.policy import Policy

if TYPE_CHECKING:
    from collections.abc import Iterator

SETTINGS = settings(max_examples=120, deadline=None)

DOMAINS = ["*", "*.a.com", "a.com", "www.a.com", "A.COM", "10.0.0.1", "localhost"]
ODD_DOMAINS = ["", "*.", "**", "*a.com", "*.*", ".a.com", "a.com.", "http://a.com", "a.com:80"]
ODD_DOMAINS += ["a.com/", " a.com", "a.com b.com", "a_b", "-a", "é.com", "*.10.0.0.1", "&#42;"]
PORTS = ["*", "80", "1-1023", "5000-5002", "80,443", "5000-5002,9339", "65535"]
ODD_PORTS = [
    "",
    "0",
    "65536",
    "80-",
    "-80",
    "90-80",
    "*,80",
    "80 ",
    "8_0",
    "+80",
    "80;443",
    "&#52;2",
]
CALLERS = ["a.com", "www.a.com", "x.www.a.com", "xa.com", "b.com", "10.0.0.1", "localhost", ""]
KNOCKS = [1, 42, 80, 81, 443, 1023, 1024, 5000, 5001, 5003, 9339, 65535]

VALUES = {
    "domain": st.sampled_from(DOMAINS * 2 + ODD_DOMAINS),
    "to-ports": st.sampled_from(PORTS * 2 + ODD_PORTS),
    "secure": st.sampled_from(["true", "false", "TRUE", "1", ""]),
    "headers": st.just("*"),
    "permitted-cross-domain-policies": st.sampled_from(
        ["all", "none", "master-only", "by-ftp", ""]
    ),
}
# Mostly what belongs there, now and then what does not.
ATTRIBUTES = {
    "allow-access-from": ["domain", "to-ports", "domain", "to-ports", "secure", "headers"],
    "site-control": ["permitted-cross-domain-policies", "domain"],
    "allow-http-request-headers-from": ["domain", "headers"],
    "allow-access-from-identity": ["domain"],
    "Allow-Access-From": ["domain", "to-ports"],
    "x:allow-access-from": ["domain", "to-ports"],
}


@st.composite
def elements(draw: st.DrawFn) -> str:
    """Return an element of a policy file, often a grant, sometimes a strange one."""
    tag = draw(st.sampled_from(["allow-access-from"] * 8 + list(ATTRIBUTES)))
    names = ATTRIBUTES[tag]
    if tag == "allow-access-from" and draw(st.integers(0, 9)):
        names = ["domain", "to-ports", *draw(st.sampled_from([[], [], ["secure"]]))]
    else:
        names = draw(st.lists(st.sampled_from(names), max_size=3))
    quote = draw(st.sampled_from("'\""))
    text = " ".join(f"{name}={quote}{draw(VALUES[name])}{quote}" for name in names)
    element = f"<{tag} {text}/>"
    around = draw(
        st.sampled_from(["{}"] * 8 + ["<!--{}-->", "<![CDATA[{}]]>", "<g>{}</g>", "<?p {}?>"])
    )
    return str(around).format(element)


@st.composite
def policies(draw: st.DrawFn) -> bytes:
    """Return a file that may be a policy."""
    before = draw(
        st.sampled_from(
            [
                "",
                '<?xml version="1.0"?>',
                "\ufeff",
                "<!DOCTYPE cross-domain-policy SYSTEM 'http://x/x.dtd'>",
                "<!DOCTYPE cross-domain-policy [<!ENTITY a '*'>]>",
                "<!-- <cross-domain-policy> -->",
                "<allow-access-from domain='*' to-ports='*'/>",
            ]
        )
    )
    root = draw(st.sampled_from(["cross-domain-policy"] * 9 + ["Cross-Domain-Policy"]))
    namespace = draw(st.sampled_from(["", "", "", ' xmlns="u"', ' xmlns:x="u"']))
    inner = draw(st.lists(elements(), max_size=4))
    text = f"{before}<{root}{namespace}>{''.join(inner)}</{root}>"
    cut = draw(st.one_of(st.just(len(text)), st.integers(0, len(text))))
    return (text[:cut] + draw(st.sampled_from(["", "", "\0", "x"]))).encode()


def policy_file(element: str) -> bytes:
    """Return a policy file with this in it."""
    return f"<cross-domain-policy>{element}</cross-domain-policy>".encode()


def strict_grants(document: bytes) -> Iterator[tuple[str, str, bool]]:
    """
    Read the grants of a file with another parser, to the letter.

    Yields nothing where the file is not what it has to be.
    """
    text = document.removesuffix(b"\0").decode()
    text = re.sub(r"<!DOCTYPE [^\[>]*>", "", text, count=1)
    try:
        root = ET.fromstring(text.encode())
    except ET.ParseError:
        return
    if root.tag == "cross-domain-policy":
        for child in root:
            if child.tag == "allow-access-from" and child.get("secure", "false") in {
                "true",
                "false",
            }:
                yield (
                    child.get("domain", ""),
                    child.get("to-ports", ""),
                    child.get("secure") == "true",
                )


def strictly_allowed(document: bytes, caller: str, port: int, *, secure: bool) -> bool:
    """Tell whether a grant of the file says so, letter by letter."""
    for domain, to_ports, secured in strict_grants(document):
        name = domain.lower()
        meant = name in {"*", caller} or (
            name.startswith("*.") and (caller == name[2:] or caller.endswith(name[1:]))
        )
        ranges = [(item.split("-")[0], item.split("-")[-1]) for item in to_ports.split(",")]
        open_ = to_ports == "*" or any(
            first.isascii()
            and first.isdecimal()
            and last.isdecimal()
            and int(first) <= port <= int(last)
            for first, last in ranges
        )
        if meant and open_ and (secure or not secured):
            return True
    return False


def parsed(document: bytes) -> Policy | PolicyError:
    """Parse a file; nothing but `PolicyError` may come out."""
    try:
        return Policy.parse(document)
    except PolicyError as error:
        return error


def check(document: bytes) -> bool:
    """Check one file, and tell whether it is a policy."""
    policy = parsed(document)
    if isinstance(policy, PolicyError):
        return False
    for caller in CALLERS:
        for port in KNOCKS:
            for secure in (False, True):
                if policy.allows(caller, port, secure=secure):
                    assert strictly_allowed(document, caller, port, secure=secure)
    return True


@SETTINGS
@given(policies())
@example(policy_file("<allow-access-from domain='*.a.com' to-ports='*'/>"))
@example(policy_file("<!--<allow-access-from domain='*' to-ports='*'/>-->"))
def test_parse_policy_never_grants_what_a_strict_reading_does_not(document: bytes) -> None:
    """Whoever is let in is named by a grant of the file, as another parser reads it."""
    check(document)


@SETTINGS
@given(st.one_of(st.binary(max_size=200), policies().flatmap(
    lambda text: st.builds(
        lambda at, byte: text[:at] + bytes([byte]) + text[at + 1 :],
        st.integers(0, max(0, len(text) - 1)),
        st.integers(0, 255),
    )
)))  # fmt: skip
def test_parse_policy_any_bytes_raise_nothing_but_policy_error(document: bytes) -> None:
    """Random bytes, and policies with one wrong byte, are policies or printable PolicyErrors."""
    assert str(parsed(document)).isprintable()


def test_strict_reading_grants_what_it_should() -> None:
    """The comparison above is not empty: plain policies pass it, and grant."""
    document = policy_file("<allow-access-from domain='a.com' to-ports='80'/>")

    assert check(document)
    assert strictly_allowed(document, "a.com", 80, secure=False)
    assert not strictly_allowed(document, "a.com", 81, secure=False)
    assert not strictly_allowed(document, "b.com", 80, secure=False)


@pytest.mark.parametrize("fault", ["domain", "port", "secure"])
def test_planted_policy_that_grants_too_much_is_caught(
    monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    """A policy that takes no notice of part of a grant fails the comparison."""
    allows = Policy.allows

    def wrong(self: Policy, domain: str, port: int, *, secure: bool) -> bool:
        if fault == "domain":
            return bool(allows(self, "www." + domain, port, secure=secure))
        if fault == "port":
            return bool(allows(self, domain, port - 1, secure=secure))
        return bool(allows(self, domain, port, secure=True))

    monkeypatch.setattr(Policy, "allows", wrong)
    documents = [
        policy_file("<allow-access-from domain='www.a.com' to-ports='80'/>"),
        policy_file("<allow-access-from domain='*' to-ports='80' secure='true'/>"),
    ]

    with pytest.raises(AssertionError):
        for document in documents:
            check(document)
