"""What an HTTP request gets: an upgrade, a page or a refusal."""

from __future__ import annotations

import http.client
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.datastructures import Headers
from websockets.http11 import Request

from xmlsocket.upgrade import HEAD_MAX, Answer, Head, Page, WebSocketOptions

HOST = "game.example:9339"


def request(
    path: str = "/", host: str = HOST, *, upgrade: bool = True, origin: str | None = None
) -> Request:
    """Return a request as a browser makes it; plain unless it is an upgrade."""
    headers = Headers({"Host": host})
    if upgrade:
        headers["Connection"] = "keep-alive, Upgrade"
        headers["Upgrade"] = "websocket"
    if origin is not None:
        headers["Origin"] = origin
    return Request(path, headers)


def status(options: WebSocketOptions, request: Request) -> int:
    """Return the status of the answer; 101 stands for going on with the upgrade."""
    answer = options.answer(request)
    return 101 if answer is None else answer.status


# Origins


@pytest.mark.parametrize(
    ("host", "origin", "expected"),
    [
        (HOST, None, 101),
        (HOST, "http://game.example:9339", 101),
        (HOST, "HTTP://GAME.example:9339", 101),
        ("GAME.Example:9339", "http://game.example:9339", 101),
        (HOST, "https://game.example:9339", 101),
        ("game.example", "http://game.example", 101),
        ("game.example", "https://game.example", 101),
        ("game.example:443", "https://game.example", 101),
        ("game.example:80", "http://game.example", 101),
        ("game.example", "https://game.example:443", 101),
        ("[2001:db8::1]:9339", "http://[2001:db8::1]:9339", 101),
        ("localhost:9339", "http://localhost:9339", 101),
        (HOST, "http://game.example", 403),
        (HOST, "http://game.example:9340", 403),
        ("game.example", "https://game.example:80", 403),
        ("game.example:80", "https://game.example", 403),
        (HOST, "http://game.example.evil.test:9339", 403),
        (HOST, "http://evil.test/?http://game.example:9339", 403),
        (HOST, "http://evil.test@game.example:9339", 403),
        (HOST, "http://game.example:9339/", 403),
        (HOST, "game.example:9339", 403),
        (HOST, "null", 403),
        (HOST, "", 403),
        (HOST, " ", 403),
        (HOST, "http://", 403),
        (HOST, "file://game.example:9339", 403),
        (HOST, "ws://game.example:9339", 403),
        ("", "http://game.example", 403),
        (":80", "http://:80", 403),
        ("a b", "http://a b", 403),
        ("127.0.0.1:9339", "http://localhost:9339", 403),
    ],
)
def test_answer_origin_without_a_list_must_equal_the_host_with_its_port(
    host: str, origin: str | None, expected: int
) -> None:
    """A page may connect to where it came from; who sends no Origin is no browser."""
    assert expected == status(WebSocketOptions(), request(host=host, origin=origin))


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        (None, 101),
        ("https://play.example", 101),
        ("https://PLAY.example:443", 101),
        ("http://play.example:8080", 101),
        ("capacitor://localhost", 101),
        ("http://play.example", 403),
        ("https://play.example:8080", 403),
        ("https://play.example.evil.test", 403),
        ("https://evil.test", 403),
        (f"http://{HOST}", 403),
        ("null", 403),
        ("*", 403),
    ],
)
def test_answer_origin_with_a_list_must_be_in_it(origin: str | None, expected: int) -> None:
    """With a list nothing else counts, not even the host itself; default ports are the same."""
    options = WebSocketOptions(
        origins=["https://Play.example", "http://play.example:8080", "capacitor://localhost"]
    )

    assert expected == status(options, request(origin=origin))


@pytest.mark.parametrize(
    ("origin", "expected"), [("http://a.test", 101), ("app://x", 101), ("null", 403), ("x", 403)]
)
def test_answer_any_origin_excludes_null(origin: str, expected: int) -> None:
    """``*`` must be written out, and even then ``null`` is nobody's origin."""
    assert expected == status(WebSocketOptions(origins=["*"]), request(origin=origin))


def test_answer_empty_list_of_origins_accepts_no_page() -> None:
    """A list without entries is a list: only clients that are no browsers may connect."""
    options = WebSocketOptions(origins=[])

    assert status(options, request()) == 101
    assert status(options, request(origin=f"http://{HOST}")) == 403


@pytest.mark.parametrize(
    "origin",
    [
        "",
        "null",
        "example.com",
        "https://a.example/",
        "https://a:b",
        "https://*.example.com/x",
        "://a",
    ],
)
def test_options_origin_of_no_valid_form_is_refused(origin: str) -> None:
    """An origin that can never match is a mistake; it does not pass in silence."""
    with pytest.raises(ValueError, match="is not of the form 'scheme://host"):
        WebSocketOptions(origins=[origin])


def test_options_origins_of_a_bare_string_are_refused() -> None:
    """A string is iterable: its letters are no origins."""
    with pytest.raises(TypeError, match="origins must be a list"):
        WebSocketOptions(origins="https://a.example")


def test_answer_several_origins_or_hosts_are_refused() -> None:
    """More than one Origin (RFC 6454, section 7.3) or Host (RFC 9112, section 3.2) is an attack."""
    two_origins = request(origin=f"http://{HOST}")
    two_origins.headers["Origin"] = "http://evil.test"
    two_hosts = request()
    two_hosts.headers["Host"] = "evil.test"

    assert status(WebSocketOptions(), two_origins) == 400
    assert status(WebSocketOptions(), two_hosts) == 400
    assert status(WebSocketOptions(), Request("/", Headers())) == 400


HEADER_VALUES = st.text(
    st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=30
)


@given(HEADER_VALUES, HEADER_VALUES)
def test_answer_any_origin_and_host_are_decided(origin: str, host: str) -> None:
    """Whatever the headers hold, there is an answer, and without a match it is 403."""
    assert status(WebSocketOptions(), request(host=host, origin=origin)) in {101, 403}
    assert status(WebSocketOptions(origins=[]), request(host=host, origin=origin)) == 403


# Paths and pages

PAGE = Page(b"<!doctype html>")
OPTIONS = WebSocketOptions(
    path="/chat", pages={"/": PAGE, "/x.wasm": Page(b"\0asm", "application/wasm")}
)


@pytest.mark.parametrize(
    ("path", "upgrade", "expected"),
    [
        ("/chat", True, 101),
        ("/chat?room=1", True, 101),
        ("/", True, 404),
        ("/chat/", True, 404),
        ("/CHAT", True, 404),
        ("/%63hat", True, 404),
        ("/", False, 200),
        ("/?utm=1", False, 200),
        ("/x.wasm", False, 200),
        ("/chat", False, 426),
        ("/favicon.ico", False, 404),
        ("/../etc/passwd", False, 404),
        ("http://game.example/", False, 404),
        ("*", False, 404),
        ("", False, 404),
    ],
)
def test_answer_path_decides_between_upgrade_page_and_refusal(
    path: str, upgrade: bool, expected: int
) -> None:
    """Upgrades are accepted at their path, pages served at theirs, all else is 404 or 426."""
    assert expected == status(OPTIONS, request(path, upgrade=upgrade))


def test_answer_several_paths_upgrade_at_each_of_them() -> None:
    """A gateway has a path for each of its targets, and none for anything else."""
    options = WebSocketOptions(path=["/a", "/b"])

    assert [101, 101, 404] == [status(options, request(path)) for path in ("/a", "/b?x", "/c")]
    assert status(WebSocketOptions(path=[]), request("/")) == 404


def test_answer_without_a_path_every_path_upgrades() -> None:
    """By default an upgrade is accepted anywhere, and a page only where there is one."""
    options = WebSocketOptions(pages={"/": PAGE})

    assert status(options, request("/any/where")) == 101
    assert status(options, request("/", upgrade=False)) == 200
    assert status(options, request("/favicon.ico", upgrade=False)) == 426


@pytest.mark.parametrize("value", ["websocket", "WebSocket", "h2c, websocket", "websocket\t"])
def test_answer_upgrade_is_recognised_in_any_spelling(value: str) -> None:
    """The token is case-insensitive and may be one of a list (RFC 9110, section 7.8)."""
    upgrade = request("/", upgrade=False)
    upgrade.headers["Upgrade"] = value

    assert status(WebSocketOptions(), upgrade) == 101


@pytest.mark.parametrize("path", ["", "chat", "http://a/", "/a?b"])
def test_options_path_of_no_valid_form_is_refused(path: str) -> None:
    """A path starts with a slash and has no query, or it could never match."""
    for arguments in ({"pages": {path: PAGE}}, {"path": path}, {"path": ["/", path]}):
        with pytest.raises(ValueError, match="must start with '/'"):
            WebSocketOptions(**arguments)


class _Socket(io.BytesIO):
    """What `http.client` needs of a socket."""

    def makefile(self, mode: str) -> io.BytesIO:
        return self


def parsed(answer: Answer) -> http.client.HTTPResponse:
    """Return an answer as a client reads it."""
    response = http.client.HTTPResponse(_Socket(answer.head + answer.body))  # type: ignore[arg-type]
    response.begin()
    return response


def test_answer_page_is_a_complete_http_response() -> None:
    """A page has its type and length, is not guessed at, and ends the connection."""
    answer = OPTIONS.answer(request("/x.wasm", upgrade=False))
    assert answer is not None

    response = parsed(answer)

    assert (200, "OK", b"\0asm") == (response.status, response.reason, response.read())
    assert response.headers["Content-Type"] == "application/wasm"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Connection"] == "close"


def test_answer_426_names_the_protocol_to_upgrade_to() -> None:
    """A 426 must have an Upgrade header (RFC 9110, section 15.5.22)."""
    response = parsed(Answer.refusal(426, "why"))

    assert (426, "Upgrade Required", b"why\n") == (
        response.status,
        response.reason,
        response.read(),
    )
    assert response.headers["Upgrade"] == "websocket"
    assert response.headers["Connection"] == "close, Upgrade"


# The head


def test_head_cut_anywhere_is_the_same() -> None:
    """The header ends with its empty line wherever the stream is cut, and nothing is lost."""
    message, rest = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"rest"
    stream = message + rest
    for cut in range(len(message)):
        head = Head()
        assert head.feed(stream[:cut]) is None
        assert head.feed(stream[cut:]) == (message, rest)
    head = Head()
    assert [None] * (len(message) - 1) == [head.feed(bytes([byte])) for byte in message[:-1]]
    assert head.feed(stream[len(message) - 1 :]) == (message, rest)


def test_head_of_exactly_the_limit_is_taken_and_one_byte_more_is_too_big() -> None:
    """The limit includes the empty line, whether the bytes come whole or one by one."""
    message = b"x" * (HEAD_MAX - 4) + b"\r\n\r\n"

    for piece in (1, 7, HEAD_MAX):
        head = Head()
        feeds = [head.feed(message[at : at + piece]) for at in range(0, HEAD_MAX, piece)]
        assert feeds[-1] == (message, b"")
        assert not head.too_big

        head = Head()
        for at in range(0, HEAD_MAX + 1, piece):
            assert head.feed((b"x" + message)[at : at + piece]) is None
        assert head.too_big
