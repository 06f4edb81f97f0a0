"""The doctor at servers that have each fault, and at sound ones."""

from __future__ import annotations

import contextlib
import datetime as dt
import functools
import socket
import ssl
import struct
from typing import TYPE_CHECKING, Any

import pytest
import trustme

import xmlsocket
from tests.support.scripted import silent_port
from tests.support.tls import contexts
from tests.testing.broken_servers import BROKEN, Broken, serving
from xmlsocket.doctor import Case, Diagnosis, Finding, Status, diagnose, talk, tls
from xmlsocket.doctor.talk import judge
from xmlsocket.testing import BackgroundServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

OK, WARNING, FAILED, SKIPPED = Status.OK, Status.WARNING, Status.FAILED, Status.SKIPPED
SWF = "https://play.example.com/game.swf"
PATIENCE = 10.0


async def echo(connection: xmlsocket.Connection[bytes]) -> None:
    """Send everything back."""
    async for frames in connection.batches():
        await connection.send_many(frames)


@contextlib.contextmanager
def echoing(**options: Any) -> Iterator[int]:
    """Run an echo server of this package and give its port."""
    with BackgroundServer(
        lambda: xmlsocket.serve(echo, "127.0.0.1", 0, parse=bytes, **options)
    ) as server:
        yield server.address[1]


@functools.cache
def free_port() -> int:
    """Return a port on which nobody listens: bound, and left."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def look(port: int, *only: str, **options: Any) -> Diagnosis:
    """Diagnose a server on loopback, without a master policy unless one is named."""
    options = {"policy_port": free_port(), "timeout": PATIENCE, "quiet": 0.05} | options
    return diagnose(Case("127.0.0.1", port, **options), only=only)


def of(diagnosis: Diagnosis, name: str) -> Finding:
    """Return the one finding of a name that is not ok, or its first."""
    found = [finding for finding in diagnosis.findings if finding.name == name]
    return next((f for f in found if f.status is not OK), found[0])


def test_diagnose_sound_server_finds_nothing() -> None:
    """A server with policy and WebSocket passes, and the way for Ruffle is told."""
    policy = xmlsocket.Policy(["play.example.com"], ["*"])
    told: list[Finding] = []
    with echoing(
        policy=policy, websocket=xmlsocket.WebSocketOptions(origins=["http://play.example.com"])
    ) as port:
        case = Case(
            "127.0.0.1",
            port,
            policy_port=free_port(),
            swf="http://play.example.com/game.swf",
            send=b"<ping/>",
            timeout=PATIENCE,
        )
        diagnosis = diagnose(case, tell=told.append)
    assert {OK} == {f.status for f in told if f.name != f"policy of port {free_port()}"}
    assert told == diagnosis.findings
    assert diagnosis.passed
    url = f"ws://127.0.0.1:{port}/"
    assert [{"host": "127.0.0.1", "port": port, "proxyUrl": url}] == diagnosis.socket_proxy
    names = ["name", "address", "port", "policy", "greeting", "answer", "websocket", "page"]
    assert names == [n for n in dict.fromkeys(f.name for f in told) if "of port" not in n]


# Reaching it


def test_diagnose_name_that_does_not_resolve_ends_there() -> None:
    """Nothing else can be looked at, and each of that says so."""
    diagnosis = diagnose(Case("no.such.invalid", 9339))
    assert FAILED is of(diagnosis, "name").status
    assert {SKIPPED} == {f.status for f in diagnosis.findings if f.name != "name"}
    assert not diagnosis.passed


def test_diagnose_refused_says_that_nothing_listens() -> None:
    """A closed port is told from a firewall."""
    finding = of(look(free_port()), "address")
    assert (FAILED, True) == (finding.status, "connection refused" in finding.seen)
    assert "nothing listens there" in (finding.fix or "")


def test_diagnose_dropped_packets_point_to_a_firewall() -> None:
    """Who gets no answer at all is told to look for what drops packets."""
    with silent_port() as port:
        finding = of(look(port, timeout=0.3), "address")
    assert (FAILED, True) == (finding.status, "no answer within 0.3 s" in finding.seen)
    assert "packets are dropped" in (finding.fix or "")


def test_diagnose_one_dead_address_of_two_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    """Players that try the dead one first wait, or give up: it should leave DNS."""
    real = socket.getaddrinfo

    def both(host: str, port: int, *args: Any, **options: Any) -> list[Any]:
        infos = real(host, port, *args, **options)
        dead = (*infos[0][:4], ("127.0.0.1", free_port()))
        return [*infos, dead] if options.get("type") and port != free_port() else infos

    with echoing() as port:
        monkeypatch.setattr(socket, "getaddrinfo", both)
        diagnosis = look(port, "tls")
    finding = of(diagnosis, "address")
    assert (WARNING, True) == (finding.status, "out of DNS" in (finding.fix or ""))


def test_port_below_1024_needs_a_policy_from_below() -> None:
    """Low ports take the master policy."""
    from xmlsocket.doctor.network import _port  # noqa: PLC0415

    assert (WARNING, OK) == (_port(1023).status, _port(1024).status)


# Policies


@pytest.mark.parametrize(
    ("name", "fixes"),
    [
        ("policyfile", ["zero byte, and nothing behind", "before closing"]),
        ("nginx_general_protocol", ["zero byte, and nothing behind", "may come in pieces"]),
        ("trailing_newline", ["zero byte, and nothing behind"]),
        ("tornadio", ["before closing"]),
        ("low_ports", ["to the policy of port 843"]),
        ("http_policy", ["policy --check FILE"]),
    ],
)
def test_diagnose_policy_faults_have_their_fixes(name: str, fixes: Sequence[str]) -> None:
    """Each fault of a policy server is found with what to do, and nothing else is."""
    options = {"timeout": 1.0} if name == "nginx_general_protocol" else {}
    with serving(BROKEN[name]) as port:
        diagnosis = look(port, "policy", **options)
    found = [f for f in diagnosis.findings if f.name == f"policy of port {port}" and f.fix]
    assert len(fixes) == len(found)
    for fix, finding in zip(fixes, found, strict=True):
        assert FAILED is finding.status
        assert fix in (finding.fix or "")


@pytest.mark.parametrize(
    ("swf", "status"), [(SWF, OK), ("https://evil.example.com/a.swf", FAILED), (None, SKIPPED)]
)
def test_diagnose_policy_decides_as_flash(swf: str | None, status: Status) -> None:
    """The verdict is for the movie's own domain and this port, and a denial shows the grant."""
    with echoing(policy=xmlsocket.Policy(["play.example.com"], ["*"])) as port:
        finding = of(look(port, "policy", swf=swf), "policy")
    assert status is finding.status
    if status is FAILED:
        assert f'domain="evil.example.com" to-ports="{port}"' in (finding.fix or "")


def test_diagnose_master_policy_is_asked_first() -> None:
    """What port 843 grants needs no policy on the port itself."""
    with (
        serving(BROKEN["sound_policy"]) as master,
        serving(BROKEN["sound"]) as port,
    ):
        diagnosis = look(port, "policy", swf=SWF, policy_port=master)
    assert OK is of(diagnosis, f"policy of port {master}").status
    assert SKIPPED is of(diagnosis, f"policy of port {port}").status
    assert OK is of(diagnosis, "policy").status


def test_diagnose_port_of_master_policies_is_asked_once() -> None:
    """Who asks about port 843 itself gets its findings once."""
    with serving(BROKEN["sound_policy"]) as port, serving(BROKEN["sound"]) as other:
        diagnosis = look(port, "policy", swf=SWF, policy_port=port)
        once = look(other, "policy", swf=SWF, policy_port=port)
    name = f"policy of port {port}"
    count = [f.name for f in diagnosis.findings].count(name)
    assert 0 < count == [f.name for f in once.findings].count(name)


@pytest.mark.parametrize(("swf", "status"), [(SWF, FAILED), (None, WARNING)])
def test_diagnose_no_policy_keeps_flash_away(swf: str | None, status: Status) -> None:
    """Without any policy Flash Player opens no connection; a command that serves one is shown."""
    with serving(BROKEN["sound"]) as port:
        finding = of(look(port, "policy", swf=swf), "policy")
    assert status is finding.status
    domain = "play.example.com" if swf else "DOMAIN"
    assert f"xmlsocket policy --domain {domain} --ports {port}" in (finding.fix or "")


# TLS


def certified(*names: str, authority: trustme.CA, **options: Any) -> ssl.SSLContext:
    """Return a server's context with a certificate of its own."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names, **options).configure_cert(context)
    return context


def after(days: float) -> dt.datetime:
    """Return a time."""
    return dt.datetime.now(dt.UTC) + dt.timedelta(days=days)


def test_diagnose_tls_sound_tells_version_days_and_names() -> None:
    """A verified certificate is told with its names and days; plain policies are not asked for."""
    server, client = contexts()
    with echoing(ssl=server) as port:
        diagnosis = look(port, "tls", "policy", "answer", context=client, send=b"<a/>")
    assert of(diagnosis, "tls").seen.startswith("TLSv1.")
    assert "more days" in of(diagnosis, "certificate").seen
    assert "localhost, 127.0.0.1" in of(diagnosis, "names").seen
    assert OK is of(diagnosis, "answer").status
    assert SKIPPED is of(diagnosis, f"policy of port {port}").status


@pytest.mark.parametrize(
    ("names", "options", "trusted", "told"),
    [
        (["127.0.0.1"], {"not_after": after(-1)}, True, (FAILED, "expired", "renew it")),
        (["127.0.0.1"], {"not_after": after(5)}, True, (WARNING, "5 more days", "renew it")),
        (["127.0.0.1"], {}, False, (FAILED, "unable to get local issuer", "fullchain.pem")),
        (["other.example"], {}, True, (FAILED, "ip address mismatch", "by a name that it has")),
    ],
    ids=["expired", "soon", "unknown", "name"],
)
def test_diagnose_certificate_faults_have_their_fixes(
    names: Sequence[str], options: dict[str, Any], trusted: bool, told: tuple[Status, str, str]
) -> None:
    """Why a certificate is refused is told, with what to do, and what it says if that is known."""
    status, seen, fix = told
    authority = trustme.CA()
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if trusted:
        authority.configure_trust(client)
    with echoing(ssl=certified(*names, authority=authority, **options)) as port:
        diagnosis = look(port, "tls", "answer", context=client)
    finding = of(diagnosis, "certificate")
    assert status is finding.status
    assert seen in finding.seen.lower()
    assert fix in (finding.fix or "")
    if "expired" not in seen:
        assert names[0] in of(diagnosis, "names").seen
    if status is FAILED:
        assert "past TLS" in of(diagnosis, "answer").seen


def test_diagnose_certificate_for_another_name_says_which_it_has() -> None:
    """A host name that is not among those of the certificate is told from an unknown authority."""
    authority = trustme.CA()
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(client)
    with echoing(ssl=certified("other.example", authority=authority)) as port:
        case = Case("localhost", port, context=client, timeout=PATIENCE)
        diagnosis = diagnose(case, only=["tls"])
    finding = of(diagnosis, "certificate")
    assert (FAILED, True) == (finding.status, "by a name that it has" in (finding.fix or ""))
    assert "other.example" in of(diagnosis, "names").seen


def test_diagnose_tls_where_none_is_spoken_says_so() -> None:
    """A handshake with a server that speaks none is told from a bad handshake."""
    _, client = contexts()
    with serving(BROKEN["sound"]) as port:
        finding = of(look(port, "tls", context=client), "tls")
    assert (FAILED, True) == (finding.status, "leave --tls out" in (finding.fix or ""))


def test_diagnose_tls_that_is_not_answered_says_so() -> None:
    """A port that waits for more is not one that speaks TLS."""
    _, client = contexts()
    with serving(Broken(waits)) as port:
        finding = of(look(port, "tls", context=client, timeout=0.2), "tls")
    assert (FAILED, "the handshake was not answered in time") == (finding.status, finding.seen)
    assert "leave --tls out" in (finding.fix or "")


def test_diagnose_certificate_that_is_shown_but_once_is_a_broken_handshake() -> None:
    """To see what an untrusted one says takes more connections."""
    server = certified("127.0.0.1", authority=trustme.CA())
    shown: list[str] = []

    def once(sock: socket.socket) -> None:
        if not shown:
            shown.append("certificate")
            with contextlib.suppress(OSError):
                server.wrap_socket(sock, server_side=True).close()

    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    with serving(Broken(once)) as port:
        findings = [*tls.look(Case("127.0.0.1", port, context=client, timeout=PATIENCE))]
    assert [("tls", FAILED)] == [(finding.name, finding.status) for finding in findings]


def test_diagnose_plain_where_tls_is_spoken_says_so() -> None:
    """And a document in the clear that gets an alert of TLS points to --tls."""
    server, _ = contexts()

    def handler(sock: socket.socket) -> None:
        sock.recv(100)
        sock.sendall(b"\x15\x03\x01\x00\x02\x02\x46")

    del server
    with serving(Broken(handler)) as port:
        finding = of(look(port, "answer", send=b"<a/>"), "answer")
    assert (FAILED, True) == (finding.status, "--tls" in (finding.fix or ""))


# What it says


@pytest.mark.parametrize(
    ("data", "status", "seen"),
    [
        (b"<a/>\0", OK, "1 document, ended by zero bytes"),
        (b"<a/>\0\0<b/>\0", OK, "3 documents"),
        (b"<a/>", FAILED, "no zero byte ends it"),
        (b"<a/>\n", FAILED, "a line feed ends it"),
        (b"<a/>\r\n", FAILED, "CR LF ends it"),
        (b"<a/>\0\r\n", FAILED, "a line end follows the zero byte"),
        (b"\n<a/>\0", FAILED, "a line end follows"),
        (b"<a/>\r\n\0", WARNING, "a line end stands before the zero byte"),
        (struct.pack("!H", 4) + b"<a/>", FAILED, "2 bytes of length come first"),
        (struct.pack("!I", 4) + b"<a/>", FAILED, "4 bytes of length come first"),
        (struct.pack("<I", 5) + b"<a/>\0", FAILED, "4 bytes of length come first"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", FAILED, "HTTP"),
        (b"\x15\x03\x03\x00\x02\x02\x0a", FAILED, "TLS"),
        (b"<a/>\0<b", WARNING, "no zero byte ends the last document"),
        (b"\xff\xfe\0", WARNING, "no UTF-8"),
        (b"%xt%login%\0", WARNING, "no XML document"),
        (b"", FAILED, "nothing within 3 s"),
    ],
    ids=lambda value: None if isinstance(value, bytes) else str(value).replace(" ", "-"),
)
def test_judge_tells_how_an_answer_ends(data: bytes, status: Status, seen: str) -> None:
    """Each way in which servers end what they say has a name, and a fix if it needs one."""
    finding = judge("answer", data, None, 3)
    assert status is finding.status
    assert seen in finding.seen
    assert (status is OK) is (finding.fix is None)


def waits(sock: socket.socket) -> None:
    """Say nothing until the other side ends."""
    while sock.recv(2**16):
        pass


def welcomes(sock: socket.socket) -> None:
    """Speak first, then wait."""
    sock.sendall(b"<welcome/>\0")
    waits(sock)


def closes(sock: socket.socket) -> None:
    """Leave at once."""


def hangs_up(sock: socket.socket) -> None:
    """Close when asked."""
    sock.recv(100)


@pytest.mark.parametrize(
    ("handler", "greeting", "answer", "seen"),
    [
        (BROKEN["sound"].handler, OK, OK, "1 document"),
        (closes, FAILED, FAILED, "without an answer"),
        (hangs_up, OK, FAILED, "without an answer"),
        (BROKEN["vmix"].handler, OK, FAILED, "CR LF ends it"),
        (BROKEN["adds_newline"].handler, OK, FAILED, "a line end follows"),
        (BROKEN["haxe_remoting"].handler, OK, WARNING, "no XML document"),
        (BROKEN["greets"].handler, WARNING, OK, "1 document"),
    ],
    ids=["sound", "closes", "hangs-up", "vmix", "newline", "haxe", "greets-with-policy"],
)
def test_diagnose_first_reply_of_servers(
    handler: Callable[[socket.socket], None], greeting: Status, answer: Status, seen: str
) -> None:
    """What comes unasked and what answers are judged apart."""
    with serving(Broken(handler)) as port:
        # Who speaks first may take its time, who waits is not to be waited for.
        quiet = 0.05 if greeting is OK else PATIENCE
        diagnosis = look(port, "answer", send=b"<ping/>", quiet=quiet)
    assert greeting is of(diagnosis, "greeting").status
    assert answer is of(diagnosis, "answer").status
    assert seen in of(diagnosis, "answer").seen


def test_diagnose_server_that_does_not_answer_is_waited_for_in_vain() -> None:
    """Only as long as ``timeout`` says."""
    with serving(Broken(waits)) as port:
        finding = of(look(port, "answer", send=b"<ping/>", timeout=0.1), "answer")
    assert (FAILED, True) == (finding.status, "nothing within 0.1 s" in finding.seen)


def test_diagnose_server_that_speaks_first_is_judged_by_that() -> None:
    """A greeting that is no policy has to end with a zero byte as answers do."""
    with serving(Broken(welcomes)) as port:
        finding = of(look(port, "answer", quiet=PATIENCE), "greeting")
    assert (OK, True) == (finding.status, "1 document" in finding.seen)


def test_diagnose_server_that_went_away_before_the_answer_is_a_failure() -> None:
    """The connection may be refused though an earlier one was not."""
    (finding,) = talk.look(Case("127.0.0.1", free_port(), timeout=PATIENCE))
    assert ("answer", FAILED) == (finding.name, finding.status)
    assert "no connection: connection refused" == finding.seen


def test_diagnose_without_a_document_asks_nothing() -> None:
    """Nothing is sent that might be misunderstood."""
    with serving(BROKEN["sound"]) as port:
        assert SKIPPED is of(look(port, "answer"), "answer").status


# Ruffle


@pytest.mark.parametrize(
    ("name", "seen"),
    [("gist_websocket", "text messages came"), ("message_is_document", "subprotocol 'binary'")],
)
def test_diagnose_websocket_faults_are_what_browsers_mind(name: str, seen: str) -> None:
    """Text messages and a subprotocol that nobody offered are found."""
    with serving(BROKEN[name]) as port:
        finding = of(look(port, "websocket", send=b"<a/>", timeout=2.0), "websocket")
    assert (FAILED, True) == (finding.status, seen in finding.seen)


def test_diagnose_refused_websocket_says_which_option() -> None:
    """A page that is not let in and a wrong path are told apart; --path makes it a failure."""
    options = xmlsocket.WebSocketOptions(origins=["https://play.example.com"], path="/game")
    with echoing(websocket=options) as port:
        origin = of(
            look(port, "websocket", path="/game", origin="https://evil.example.com"), "websocket"
        )
        nobody = of(look(port, "websocket", path="/game"), "websocket")
        path = of(look(port, "websocket", origin="https://play.example.com"), "websocket")
        good = look(port, "websocket", path="/game", origin="https://play.example.com")
    assert (FAILED, True) == (origin.status, "--origin https://evil.example.com" in str(origin.fix))
    assert (OK, True) == (nobody.status, "asked without an Origin" in nobody.seen)
    assert (WARNING, True) == (path.status, "--path names" in str(path.fix))
    assert OK is of(good, "websocket").status
    assert f"ws://127.0.0.1:{port}/game" == good.socket_proxy[0]["proxyUrl"]


def test_diagnose_no_websocket_points_to_the_gateway() -> None:
    """A server that cannot be changed gets a gateway; that is no failure unless --path insists."""
    with serving(BROKEN["sound"]) as port:
        diagnosis = look(port, "websocket", timeout=0.5)
    finding = of(diagnosis, "websocket")
    assert WARNING is finding.status
    assert f"xmlsocket gateway --target /game=127.0.0.1:{port}" in (finding.fix or "")
    assert () == diagnosis.socket_proxy


def test_diagnose_https_page_cannot_open_plain_websockets() -> None:
    """Mixed content is foreseen; over TLS it is none."""
    server, client = contexts()
    with serving(BROKEN["sound"]) as port:
        assert WARNING is of(look(port, "websocket", swf=SWF, timeout=0.1), "page").status
        assert (
            OK
            is of(
                look(port, "websocket", swf="http://play.example.com/a.swf", timeout=0.1), "page"
            ).status
        )
        assert SKIPPED is of(look(port, "websocket", timeout=0.1), "page").status
    with echoing(ssl=server) as port:
        assert (
            OK is of(look(port, "websocket", swf=SWF, context=client, timeout=1.0), "page").status
        )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"port": 0}, "port 0 is not within 1 to 65535"),
        ({"swf": "game.swf"}, "'game.swf' is not of the form http"),
        ({"origin": "play.example.com"}, "is not of the form http"),
        ({"path": "game"}, "must start with '/'"),
        ({"send": b"a\0"}, "holds a zero byte"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_case_that_makes_no_sense_is_refused(given: dict[str, Any], message: str) -> None:
    """Mistakes are told before anything is tried."""
    options = dict(given)
    with pytest.raises(ValueError, match=message):
        Case("127.0.0.1", options.pop("port", 9339), **options)
