"""Socket policy files: building, parsing, checking, asking, and Flash's lookup."""

from __future__ import annotations

import contextlib
import pickle
import socket
import threading
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from xmlsocket.exceptions import PolicyError, XMLSocketError
from xmlsocket.policy import MASTER_PORT, REQUEST, Grant, Policy, match_request

from .support.policy_client import fetch_policy, look_up

if TYPE_CHECKING:
    from collections.abc import Iterator

SPACED = b"<policy-file-request />\0"


def policy_file(*elements: str) -> bytes:
    """Return a policy file with these elements, each on a line of its own from line 2 on."""
    return "\n".join(["<cross-domain-policy>", *elements, "</cross-domain-policy>"]).encode()


GRANT = '<allow-access-from domain="*" to-ports="*"/>'


# The request


@pytest.mark.parametrize("request_", [REQUEST, SPACED])
def test_match_request_either_form_in_single_bytes_matches_at_the_zero_byte(
    request_: bytes,
) -> None:
    """Every cut of both forms is undecided until the zero byte, and true from then on."""
    for cut in range(len(request_)):
        assert match_request(request_[:cut]) is None
    assert match_request(request_) is True
    assert match_request(request_ + b"<login/>\0") is True


def test_request_has_23_bytes() -> None:
    """What players send is 22 characters and a zero byte."""
    assert len(REQUEST) == 23


@pytest.mark.parametrize(
    "data",
    [
        b"<policy-file-request/>\n",
        b"<policy-file-request>\0",
        b"<Policy-File-Request/>\0",
        b" <policy-file-request/>\0",
        b"\0<policy-file-request/>\0",
        b"<policy-file-request  />\0",
        b"<cross-domain-request/>\0",
        b"<login/>\0",
        b"<p ",
        b"\xff",
    ],
)
def test_match_request_other_bytes_do_not_match(data: bytes) -> None:
    """Nothing but the two forms is a policy request; what differs in one byte is a frame."""
    assert match_request(data) is False


@given(st.binary(max_size=30))
def test_match_request_any_bytes_agree_with_every_longer_stream(data: bytes) -> None:
    """Once decided the answer stays, however much more comes."""
    answer = match_request(data)

    if answer is not None:
        assert answer is match_request(data + b"\0more")


# Building


def test_policy_of_domains_and_ports_writes_one_grant_a_domain() -> None:
    """The file names every domain with all ports, and parses back to the same grants."""
    policy = Policy(["*.Example.com", "10.0.0.1"], [5000, "6000-7000", "80"])

    assert bytes(policy) == (
        b'<?xml version="1.0"?>\n'
        b"<cross-domain-policy>\n"
        b'<allow-access-from domain="*.example.com" to-ports="5000,6000-7000,80"/>\n'
        b'<allow-access-from domain="10.0.0.1" to-ports="5000,6000-7000,80"/>\n'
        b"</cross-domain-policy>"
    )
    assert policy.grants == Policy.parse(bytes(policy)).grants


def test_policy_reply_is_the_file_and_one_zero_byte() -> None:
    """A reply ends with exactly one zero byte (Learning ActionScript 2.0, page 706)."""
    policy = Policy(["*"], ["*"])

    assert bytes(policy) + b"\0" == policy.reply
    assert policy.reply.count(b"\0") == 1


def test_policy_secure_and_site_control_are_written() -> None:
    """Both are attributes of the file; neither is written when it is Flash's default."""
    policy = Policy(["a.example"], ["*"], secure=True, site_control="master-only")

    assert b'<site-control permitted-cross-domain-policies="master-only"/>' in policy.reply
    assert b'domain="a.example" to-ports="*" secure="true"/>' in policy.reply
    assert b"secure" not in Policy(["a.example"], ["*"]).reply
    assert b"site-control" not in Policy(["a.example"], ["*"]).reply


def test_policy_without_grants_denies_everything() -> None:
    """A policy may grant nothing, for instance only to say that no other counts."""
    policy = Policy(site_control="none")

    assert policy.grants == ()
    assert not policy.allows("example.com", 5000)


@pytest.mark.parametrize(
    "domain",
    [
        "*",
        "*.com",
        "example.com",
        "a-b.c_d.example",
        "xn--bcher-kva.example",
        "localhost",
        "1.2.3.4",
        "4chan.org",
    ],
)
def test_policy_domain_that_flash_knows_is_accepted(domain: str) -> None:
    """Any, a suffix, a name and an IPv4 address (Learning ActionScript 2.0, page 703)."""
    assert domain == Policy([domain], ["*"]).grants[0].domain


@pytest.mark.parametrize(
    "domain",
    [
        "",
        ".",
        ".example.com",
        "example.com.",
        "*example.com",
        "www.*.com",
        "*.*",
        "**",
        "http://example.com",
        "example.com:80",
        "example.com/path",
        "bücher.example",
        "a b",
        'a"b',
        "-a.example",
        "a-.example",
        "[::1]",
        "x" * 64 + ".example",
        "a." * 128 + "example",
    ],
)
def test_policy_domain_that_flash_does_not_know_is_refused(domain: str) -> None:
    """Flash would ignore the grant without a word, so it is an error."""
    with pytest.raises(PolicyError, match="is neither"):
        Policy([domain], ["*"])


@pytest.mark.parametrize(
    ("domain", "message"),
    [
        ("*.0.0.1", "an IPv4 address takes no wildcard"),
        ("1.2.3", "is no IPv4 address"),
        ("1.2.3.256", "is no IPv4 address"),
        ("01.2.3.4", "is no IPv4 address"),
        ("80", "is no IPv4 address"),
    ],
)
def test_policy_address_that_is_none_is_refused(domain: str, message: str) -> None:
    """Wildcards are not allowed in IP addresses (Learning ActionScript 2.0, page 703)."""
    with pytest.raises(PolicyError, match=message):
        Policy([domain], ["*"])


@pytest.mark.parametrize(
    "port",
    [
        "",
        "a",
        "-1",
        "1-",
        "-",
        "1-2-3",
        " 80",
        "80 ",
        "80,81",
        "+80",
        "0080",
        "1_000",
        "٨٠",
        "100000",
        True,
    ],
)
def test_policy_port_that_is_none_is_refused(port: str) -> None:
    """Ports are decimal numbers and rising ranges of them; nothing else is guessed at."""
    with pytest.raises(PolicyError, match="is no port, no range"):
        Policy(["*"], [port])


@pytest.mark.parametrize("port", [0, 65536, "0-80", "80-70", "1-65536", "99999"])
def test_policy_port_out_of_range_is_refused(port: int | str) -> None:
    """Ports lie between 1 and 65535, and a range rises."""
    with pytest.raises(PolicyError, match="does not rise within 1 to 65535"):
        Policy(["*"], [port])


def test_policy_negative_port_is_refused() -> None:
    """A negative number is no port."""
    with pytest.raises(PolicyError, match="'-1' is no port"):
        Policy(["*"], [-1])


def test_policy_wildcard_among_ports_is_refused() -> None:
    """``*`` stands alone in to-ports (ActionScript 3.0 Developer's Guide)."""
    with pytest.raises(PolicyError, match=r"'\*' is no port, no range, and not '\*' alone"):
        Policy(["*"], [80, "*"])


def test_policy_domains_without_ports_is_refused() -> None:
    """A socket policy must say to-ports; the default of other policies does not exist."""
    with pytest.raises(PolicyError, match="must name to-ports"):
        Policy(["*"])


def test_policy_ports_without_domains_is_refused() -> None:
    """Ports that nobody is granted are a mistake, not a policy."""
    with pytest.raises(PolicyError, match="would grant nothing"):
        Policy([], [80])


def test_policy_of_a_bare_string_is_refused() -> None:
    """A string is iterable, and its letters are domains: that must not pass."""
    with pytest.raises(TypeError, match="domains must be a list"):
        Policy("localhost", ["*"])
    with pytest.raises(TypeError, match="ports must be a list"):
        Policy(["*"], "80")


@pytest.mark.parametrize(
    ("value", "protocol"), [("by-content-type", "HTTP"), ("by-ftp-filename", "FTP")]
)
def test_policy_site_control_of_another_protocol_is_refused(value: str, protocol: str) -> None:
    """Two values exist for HTTP and FTP only (Cross Domain Policy File Specification 2.0)."""
    with pytest.raises(PolicyError, match=f"'{value}' is for {protocol} only"):
        Policy(site_control=value)


def test_policy_unknown_site_control_is_refused() -> None:
    """A value that no specification has is an error, shown escaped and cut."""
    with pytest.raises(PolicyError, match=r"site-control 'all\\nx' is unknown"):
        Policy(site_control="all\nx")


# Parsing


_WILD = {
    "houdini": "<cross-domain-policy><allow-access-from domain='*' to-ports='*' />"
    "</cross-domain-policy>",
    "adobe": '<?xml version="1.0"?>\n'
    '<!DOCTYPE cross-domain-policy SYSTEM "/xml/dtds/cross-domain-policy.dtd">\n'
    "<!-- Policy file for xmlsocket://socks.example.com -->\n"
    "<cross-domain-policy><allow-access-from domain='*' to-ports='*'/></cross-domain-policy>",
    "macromedia": "\ufeff<?xml version='1.0' encoding='UTF-8'?><!-- a > b --><!DOCTYPE\n"
    ' cross-domain-policy SYSTEM "http://example.com/cross-domain-policy.dtd" ><!-- -->\n'
    '<cross-domain-policy>\n <allow-access-from domain="*" to-ports="*" secure="false"/>\n'
    "</cross-domain-policy>\n",
    "public-id": '<!DOCTYPE cross-domain-policy PUBLIC "-//A>//" \'x">\'>'
    "<cross-domain-policy><allow-access-from domain='*' to-ports='*'/></cross-domain-policy>",
    "schema": "<cross-domain-policy xmlns:xsi='http://www.w3.org/2001/XMLSchema-instance'"
    " xsi:noNamespaceSchemaLocation='http://www.adobe.com/xml/schemas/PolicyFileSocket.xsd'>"
    "\r\n<allow-access-from domain='*' to-ports='*'/></cross-domain-policy>",
    "zero-byte": "<cross-domain-policy><allow-access-from domain='*' to-ports='*'/>"
    "</cross-domain-policy>\0",
}


@pytest.mark.parametrize("document", [text.encode() for text in _WILD.values()], ids=_WILD)
def test_parse_policy_of_the_wild_is_read(document: bytes) -> None:
    """Files as servers send them, with DOCTYPE, schema, BOM, comments and zero byte, are read."""
    policy = Policy.parse(document)

    assert (Grant("*", None),) == policy.grants
    assert document.rstrip(b"\0") == bytes(policy)


def test_parse_policy_keeps_its_order_and_its_differences() -> None:
    """Each grant has its own ports and its own secure; site-control may stand anywhere."""
    policy = Policy.parse(
        policy_file(
            '<allow-access-from domain="a.example" to-ports="1-2,3"/>',
            '<allow-access-from domain="*.B.example" to-ports="*" secure="true"/>',
            '<site-control permitted-cross-domain-policies="all"/>',
        )
    )

    assert (
        Grant("a.example", ((1, 2), (3, 3))),
        Grant("*.b.example", None, secure=True),
    ) == policy.grants
    assert policy.site_control == "all"


def test_parse_policy_grants_by_certificate_are_passed_over_and_kept_in_the_reply() -> None:
    """``allow-access-from-identity`` is legal, says nothing of domains and is served as it was."""
    document = policy_file(
        "<allow-access-from-identity><signatory><certificate "
        'fingerprint="01:23" fingerprint-algorithm="sha-1"/></signatory>'
        "</allow-access-from-identity>"
    )

    policy = Policy.parse(document)

    assert policy.grants == ()
    assert document + b"\0" == policy.reply


@pytest.mark.parametrize(
    ("elements", "message"),
    [
        (
            ['<allow-access-from domain="*"/>'],
            "without to-ports, which a socket policy must have, line 2",
        ),
        (['<allow-access-from domain="*" to-ports=""/>'], "without to-ports"),
        (['<allow-access-from to-ports="*"/>'], "without domain, line 2"),
        (
            ['<allow-access-from domain="*" to-port="*"/>'],
            "attribute 'to-port' of 'allow-access-from' is unknown",
        ),
        (['<allow-access-from domain="*" to-ports="80, 81"/>'], "' 81' is no port"),
        (['<allow-access-from domain="*" to-ports="80,"/>'], "'' is no port"),
        (['<allow-access-from domain="*" to-ports="*" secure="yes"/>'], "secure='yes' is neither"),
        (['<allow-access-from domain="*.*" to-ports="*"/>'], "is neither"),
        (
            [GRANT, "<allow-http-request-headers-from domain='*' headers='*'/>"],
            "is for HTTP only, not for sockets, line 3",
        ),
        (["<site-control permitted-cross-domain-policies='by-content-type'/>"], "is for HTTP only"),
        (["<site-control/>"], "site-control '' is unknown"),
        (["<site-control permitted-cross-domain-policies='all' x='1'/>"], "attribute 'x'"),
        (
            ["<site-control permitted-cross-domain-policies='all'/>"] * 2,
            "more than one site-control",
        ),
        (["<allow-all/>"], "element 'allow-all' is unknown, line 2"),
    ],
)
def test_parse_policy_with_what_flash_ignores_is_refused(elements: list[str], message: str) -> None:
    """What Flash ignores or forbids is named, with its line."""
    with pytest.raises(PolicyError, match=message):
        Policy.parse(policy_file(*elements))


@pytest.mark.parametrize(
    "document",
    [
        b"<policy/>",
        b'<cross-domain-policy xmlns="http://example.com/"/>',
        b'<p:cross-domain-policy xmlns:p="http://example.com/"/>',
    ],
)
def test_parse_policy_other_root_is_refused(document: bytes) -> None:
    """Flash Player does not parse files with a namespace (comment in Adobe's own schema)."""
    with pytest.raises(PolicyError, match="not 'cross-domain-policy' without a namespace, line 1"):
        Policy.parse(document)


def test_parse_policy_root_attribute_is_refused() -> None:
    """The root element has no attributes (Cross Domain Policy File Specification 2.0)."""
    with pytest.raises(PolicyError, match="attribute 'version'"):
        Policy.parse(b'<cross-domain-policy version="1"/>')


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"\0",
        b"<cross-domain-policy>",
        b"not xml",
        b"<!DOCTYPE cross-domain-policy",
        b'<!DOCTYPE cross-domain-policy SYSTEM "unterminated><cross-domain-policy/>',
        b"<!DOCTYPE a SYSTEM 'b'><!DOCTYPE a SYSTEM 'b'><cross-domain-policy/>",
        b"<?xml",
        b"<!--",
        b"<cross-domain-policy/>\0<cross-domain-policy/>",
        b"\xff",
    ],
)
def test_parse_policy_malformed_is_refused(document: bytes) -> None:
    """What is no XML document is a PolicyError, whose cause is the parser's error."""
    with pytest.raises(PolicyError) as caught:
        Policy.parse(document)
    assert isinstance(caught.value.__cause__, XMLSocketError)


@pytest.mark.parametrize(
    "subset",
    [
        b"[]",
        b'[<!ENTITY d "*">]',
        b'[<!ENTITY d SYSTEM "file:///etc/passwd">]',
        b'[<!ENTITY % p SYSTEM "file:///etc/passwd"> %p;]',
        b'[<!ATTLIST allow-access-from domain CDATA "*">]',
    ],
)
def test_parse_policy_internal_subset_is_refused(subset: bytes) -> None:
    """A DOCTYPE that could define entities or attributes is not skipped but refused."""
    with pytest.raises(PolicyError, match="DOCTYPE"):
        Policy.parse(
            b"<!DOCTYPE cross-domain-policy " + subset + b"><cross-domain-policy>"
            b'<allow-access-from domain="&d;" to-ports="*"/></cross-domain-policy>'
        )


def test_parse_policy_skipped_doctype_keeps_positions() -> None:
    """Lines count from the start of the file, the skipped DOCTYPE included."""
    with pytest.raises(PolicyError, match="line 4") as caught:
        Policy.parse(
            b"<?xml version='1.0'?>\n<!DOCTYPE cross-domain-policy\n SYSTEM 'x'>"
            b"<cross-domain-policy>\n<allow-access-from/></cross-domain-policy>"
        )
    assert caught.value.line == 4


def test_parse_policy_entity_of_a_skipped_doctype_is_undefined() -> None:
    """Nothing that the external DTD may define exists, for it is never read."""
    with pytest.raises(PolicyError):
        Policy.parse(
            b"<!DOCTYPE cross-domain-policy SYSTEM 'x'><cross-domain-policy>"
            b"<allow-access-from domain='&any;' to-ports='*'/></cross-domain-policy>"
        )


_SOUP = st.lists(
    st.sampled_from(
        [
            "<?xml version='1.0'?>",
            "<!DOCTYPE cross-domain-policy SYSTEM 'x'>",
            "<!DOCTYPE a [",
            "]>",
            "<!--",
            "-->",
            "<cross-domain-policy>",
            "</cross-domain-policy>",
            "<allow-access-from ",
            "domain='*'",
            "domain='*.é'",
            " to-ports='1-2'",
            " to-ports='*,x'",
            " secure='true'",
            "/>",
            "<site-control permitted-cross-domain-policies='none'/>",
            "\n",
            "\0",
            "&x;",
            "\x1b[2J",
        ]
    ),
    max_size=12,
).map("".join)


@given(st.one_of(st.binary(max_size=60), _SOUP.map(str.encode)))
@example(b"<!DOCTYPE " + b'"' * 1000)
def test_parse_policy_any_bytes_give_a_policy_or_a_printable_policy_error(document: bytes) -> None:
    """Nothing but PolicyError comes out, and its text is fit for a log line."""
    policy = error = None
    try:
        policy = Policy.parse(document)
    except PolicyError as exc:
        error = str(exc)

    if policy is not None:
        assert policy.grants == Policy.parse(policy.reply).grants
    else:
        assert error
        assert error.isprintable()
        assert len(error) < 400


# Asking


@pytest.mark.parametrize(
    ("pattern", "domain", "expected"),
    [
        ("*", "anything.example", True),
        ("*", "1.2.3.4", True),
        ("*.example.com", "www.example.com", True),
        ("*.example.com", "a.b.example.com", True),
        ("*.example.com", "example.com", True),
        ("*.example.com", "badexample.com", False),
        ("*.example.com", "example.com.evil.test", False),
        ("example.com", "example.com", True),
        ("example.com", "EXAMPLE.com", True),
        ("example.com", "www.example.com", False),
        ("1.2.3.4", "1.2.3.4", True),
        ("1.2.3.4", "1.2.3.40", False),
    ],
)
def test_allows_domain_follows_the_rules_of_wildcards(
    pattern: str, domain: str, expected: bool
) -> None:
    """A suffix takes in the bare suffix; names and addresses match exactly (page 703)."""
    assert expected is bool(Policy([pattern], ["*"]).allows(domain, 5000))


@pytest.mark.parametrize(
    ("port", "expected"),
    [(79, False), (80, True), (81, False), (5000, True), (5100, True), (5101, False)],
)
def test_allows_port_takes_numbers_and_both_ends_of_ranges(port: int, expected: bool) -> None:
    """Ranges include both ends."""
    assert expected is bool(Policy(["*"], [80, "5000-5100"]).allows("a", port))


def test_allows_secure_grant_wants_a_movie_of_https() -> None:
    """``secure="true"`` restricts the grant to movies loaded over HTTPS; the default does not."""
    secure = Policy(["*"], ["*"], secure=True)

    assert secure.allows("a", 5000, secure=True)
    assert not secure.allows("a", 5000)
    assert Policy(["*"], ["*"]).allows("a", 5000)


def test_allows_site_control_none_denies_in_spite_of_grants() -> None:
    """``none`` permits no policy file at all, this one included."""
    policy = Policy(["*"], ["*"], site_control="none")

    assert str(policy.allows("a", 5000)).startswith("denied: site-control permits no policy file")


@pytest.mark.parametrize(
    ("serving_port", "expected"),
    [(None, True), (843, True), (1023, True), (1024, False), (5000, False)],
)
def test_allows_low_port_depends_on_the_serving_port(
    serving_port: int | None, expected: bool
) -> None:
    """A policy from port 1024 or above cannot grant ports below 1024, ``*`` or not."""
    verdict = Policy(["*"], ["*"]).allows("a", 80, serving_port=serving_port)

    assert expected is verdict.allowed


def test_allows_port_1024_is_not_a_low_one() -> None:
    """The rule is for ports below 1024; 1024 itself may be granted from anywhere."""
    assert Policy(["*"], ["*"]).allows("a", 1024, serving_port=1024)


def test_policy_domain_of_255_characters_is_the_longest() -> None:
    """A name in DNS has at most 255 bytes (RFC 1035, section 2.3.4)."""
    name = "a." * 127 + "a"

    assert name == Policy([name], ["*"]).grants[0].domain
    with pytest.raises(PolicyError):
        Policy([name + "b"], ["*"])


def test_allows_later_grant_counts_when_earlier_ones_do_not_match() -> None:
    """Grants add up: one that matches is enough, wherever it stands."""
    policy = Policy.parse(
        policy_file(
            '<allow-access-from domain="a.example" to-ports="1"/>',
            '<allow-access-from domain="*" to-ports="2" secure="true"/>',
            '<allow-access-from domain="*" to-ports="2"/>',
        )
    )

    assert str(policy.allows("a.example", 2)) == (
        'allowed: <allow-access-from domain="*" to-ports="2"/>'
    )


@pytest.mark.parametrize(
    ("domain", "port", "serving_port", "message"),
    [
        ("b.example", 5000, None, "denied: no allow-access-from covers the domain 'b.example'"),
        (
            "a.example",
            6000,
            None,
            'denied: port 6000 is not among the ports of <allow-access-from domain="a.example"',
        ),
        (
            "c.example",
            6000,
            None,
            "denied: the movie was not loaded over HTTPS, which <allow-access-from",
        ),
        (
            "a.example",
            80,
            5000,
            "denied: port 80 is below 1024 and the policy comes from port 5000",
        ),
        (
            "a.example",
            80,
            843,
            'allowed: <allow-access-from domain="a.example" to-ports="80,5000"/>',
        ),
    ],
)
def test_allows_explains_itself(
    domain: str, port: int, serving_port: int | None, message: str
) -> None:
    """The verdict names the grant that decided, or what was missing."""
    policy = Policy.parse(
        policy_file(
            '<allow-access-from domain="a.example" to-ports="80,5000"/>',
            '<allow-access-from domain="c.example" to-ports="*" secure="true"/>',
        )
    )

    assert str(policy.allows(domain, port, serving_port=serving_port)).startswith(message)


def test_allows_reason_stays_short_and_printable() -> None:
    """A policy of megabytes and a hostile domain do not reach the log whole."""
    ports = ",".join(map(str, range(1, 20000)))
    policy = Policy.parse(policy_file(f'<allow-access-from domain="*" to-ports="{ports}"/>'))

    assert len(str(policy.allows("a", 1))) < 200
    assert len(str(policy.allows("\x1b" * 1000, 65535))) < 200
    assert str(Policy(["x"], [1]).allows("\x1b[2J\n" * 1000, 1)).isprintable()


# Where it may be served


@pytest.mark.parametrize("ports", [[80], ["1000-2000"], [5000, 1023]])
def test_check_port_low_port_granted_from_a_high_one_is_refused(ports: list[int | str]) -> None:
    """Only a port below 1024 can grant such ports (ActionScript 3.0 Developer's Guide)."""
    policy = Policy(["*"], ports)

    policy.check_port(MASTER_PORT)
    policy.check_port(1023)
    with pytest.raises(PolicyError, match="port 1024 cannot grant ports below 1024"):
        policy.check_port(1024)


def test_check_port_wildcard_and_high_ports_may_be_served_anywhere() -> None:
    """``*`` is whatever the serving port may grant."""
    Policy(["*"], ["*"]).check_port(5000)
    Policy(["*"], ["1024-65535"]).check_port(5000)


def test_check_port_site_control_away_from_843_is_refused() -> None:
    """Only the master policy's site-control counts; elsewhere it is a mistake."""
    policy = Policy(["*"], ["*"], site_control="all")

    policy.check_port(843)
    with pytest.raises(PolicyError, match="only in the policy of port 843, not of port 5000"):
        policy.check_port(5000)


# Errors


def test_policy_error_is_a_value_error_and_survives_pickling() -> None:
    """It is both ours and the ValueError that callers of a constructor expect."""
    error = PolicyError("what", 3)
    copy = pickle.loads(pickle.dumps(error))

    assert isinstance(error, ValueError)
    assert isinstance(error, XMLSocketError)
    assert (copy.reason, copy.line, str(copy)) == ("what", 3, "what, line 3")


def test_policy_repr_shows_what_it_grants() -> None:
    """The representation tells one policy from another."""
    assert (
        repr(Policy(["*"], ["*"]))
        == "<Policy grants=(Grant(domain='*', ports=None, secure=False),) site_control=None>"
    )


# Flash's lookup, with real sockets. Port 843 needs privileges, so it is found elsewhere.


@contextlib.contextmanager
def serving(policy: Policy | bytes | None, piece: int = 1) -> Iterator[int]:
    """Answer policy requests from a thread; None takes the request and stays silent."""
    reply = policy.reply if isinstance(policy, Policy) else policy
    stop = threading.Event()

    def run() -> None:
        while True:
            sock, _ = listener.accept()
            with sock:
                if stop.is_set():
                    return
                data = b""
                while match_request(data) is None and (more := sock.recv(piece)):
                    data += more
                if match_request(data):
                    if reply is None:
                        sock.recv(1)  # until the client gives up
                    else:
                        sock.sendall(reply)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=run)
        thread.start()
        port = listener.getsockname()[1]
        try:
            yield port
        finally:
            stop.set()
            socket.create_connection(("127.0.0.1", port)).close()
            thread.join()


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port of this machine where nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


def test_lookup_master_that_grants_is_the_only_one_asked(closed_port: int) -> None:
    """Port 843 is asked first, and if it grants, nothing else is."""
    with serving(Policy(["*.example"], [closed_port])) as master:
        lookup = look_up("127.0.0.1", closed_port, domain="a.example", master_port=master)

    assert lookup.verdict
    assert [master] == lookup.asked


def test_lookup_without_a_master_asks_the_port_itself(closed_port: int) -> None:
    """Without an answer on 843 the destination port is asked."""
    with serving(Policy(["a.example"], ["*"])) as port:
        lookup = look_up("127.0.0.1", port, domain="a.example", master_port=closed_port)

    assert lookup.verdict
    assert [closed_port, port] == lookup.asked


def test_lookup_silent_master_is_given_up() -> None:
    """A master that takes the request and says nothing costs its timeout and no more."""
    with serving(None) as master, serving(Policy(["*"], ["*"])) as port:
        lookup = look_up("127.0.0.1", port, domain="a", master_port=master, timeout=0.2)

    assert lookup.verdict
    assert [master, port] == lookup.asked


def test_lookup_master_that_does_not_grant_leaves_it_to_the_others() -> None:
    """Unless site-control says otherwise, any port of the host may serve a policy."""
    with (
        serving(Policy(["other.example"], ["*"])) as master,
        serving(Policy(["a.example"], ["1-65535"])) as loaded,
        serving(b"not xml\0") as port,
    ):
        lookup = look_up("127.0.0.1", port, domain="a.example", load=[loaded], master_port=master)

    assert lookup.verdict
    assert [master, loaded] == lookup.asked


@pytest.mark.parametrize("site_control", ["master-only", "none"])
def test_lookup_master_with_site_control_ends_the_search(
    closed_port: int, site_control: str
) -> None:
    """When the master permits no other policy file, no other is asked for."""
    with serving(Policy(["other.example"], ["*"], site_control=site_control)) as master:
        lookup = look_up("127.0.0.1", closed_port, domain="a.example", master_port=master)

    assert not lookup.verdict
    assert [master] == lookup.asked


def test_lookup_nobody_answers_denies(closed_port: int) -> None:
    """Without a policy Flash connects nowhere, not even to the movie's own host."""
    lookup = look_up("127.0.0.1", closed_port, domain="127.0.0.1", master_port=closed_port)

    assert str(lookup.verdict) == "denied: no policy file was found"


def test_lookup_malformed_policy_is_no_policy(closed_port: int) -> None:
    """A file that Flash cannot use denies, and the reason says what is wrong with it."""
    with serving(policy_file('<allow-access-from domain="*"/>') + b"\0") as port:
        lookup = look_up("127.0.0.1", port, domain="a", master_port=closed_port)

    assert "without to-ports" in lookup.verdict.reason


def test_fetch_policy_reply_without_a_zero_byte_ends_with_the_stream() -> None:
    """Some servers close instead of sending a zero byte; the file counts all the same."""
    document = bytes(Policy(["*"], ["*"]))
    with serving(document) as port:
        assert document == fetch_policy("127.0.0.1", port, timeout=5)
