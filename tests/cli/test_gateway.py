"""``xmlsocket gateway``, and WebSockets in ``serve`` and ``connect``, as processes."""

from __future__ import annotations

import json
import signal
import sys
from typing import TYPE_CHECKING

import pytest

import xmlsocket
from tests.cli.support import run, serving
from xmlsocket.cli import app

if TYPE_CHECKING:
    from pathlib import Path

CONFIG = """
host = "127.0.0.1"
port = 0
origins = ["https://play.example.com"]
trusted_proxies = ["192.0.2.1"]
connections_per_address = 3
connect_timeout = 2.5
public_url = "wss://play.example.com"
[[target]]
path = "/game"
address = "127.0.0.1:%d"
proxy_header = 2
movie_address = "game.example.com:9000"
"""


def test_gateway_relays_to_the_target_of_a_path() -> None:
    """A WebSocket client talks to a server that knows none, and the end counts it."""
    with (
        serving() as server,
        serving("--target", f"/game=127.0.0.1:{server.port}", command="gateway") as front,
    ):
        assert f"listening on 127.0.0.1:{front.port}" == front.first_line
        url = f"ws://127.0.0.1:{front.port}"
        done = run("connect", f"{url}/game", "--replies", 2, given=b"<a/>\nno <xml\n")
        assert (0, b"<a/>\nno <xml\n", b"") == (done.returncode, done.stdout, done.stderr)

        refused = run("connect", f"{url}/other", given=b"<a/>\n")
        expected = f"xmlsocket: cannot connect to {url}/other: server refused the WebSocket (404)\n"
        assert (1, expected.encode()) == (refused.returncode, refused.stderr)

        status, lines, err = front.stop(signal.SIGTERM)
    # The line for the target may have been read ahead, with the first one.
    assert [
        "stopped after 1 connection, 2 documents in and 2 out",
        "relayed 1 connection, 0 without a target in reach, 0 too many",
    ] == lines[-2:]
    assert (0, b"") == (status, err)


def test_gateway_config_file_says_all(tmp_path: Path) -> None:
    """Targets and options come from the file: the origin it names is let in, another is not."""
    path = tmp_path / "gateway.toml"
    with serving("--trusted-proxy", "127.0.0.1") as server:
        path.write_text(CONFIG % server.port)
        with serving("--config", path, command="gateway") as front:
            url = f"ws://127.0.0.1:{front.port}/game"
            options = ("--replies", 1, "--origin")
            done = run("connect", url, *options, "https://play.example.com", given=b"<a/>\n")
            assert (0, b"<a/>\n", b"") == (done.returncode, done.stdout, done.stderr)
            refused = run("connect", url, *options, "https://evil.example.com", given=b"<a/>\n")
            assert refused.stderr.endswith(b"server refused the WebSocket (403)\n")


def test_serve_websocket_and_policy_share_one_port() -> None:
    """With ``--policy`` and ``--websocket`` one port serves TCP, WebSocket and policies."""
    with serving("--policy", "*:9339", "--websocket", "--origin", "*") as server:
        for where in (["127.0.0.1", server.port], [f"ws://127.0.0.1:{server.port}/any"]):
            done = run("connect", *where, "--replies", 1, given=b"<a/>\n")
            assert (0, b"<a/>\n") == (done.returncode, done.stdout)
        done = run("policy", "--ask", f"127.0.0.1:{server.port}", "--domain", "a.example")
        assert done.stdout.startswith(b"denied: port 843 served no policy")


def test_gateway_ruffle_config_is_json_and_html(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The JSON names what the movie names and where Ruffle is to go; the HTML adds it to a page."""
    path = tmp_path / "gateway.toml"
    path.write_text(CONFIG % 9339)
    assert 0 == app.run(["gateway", "--config", str(path), "--ruffle-config"])
    text, _, html = capfd.readouterr().out.partition("\n\n")
    entry = {"host": "game.example.com", "port": 9000, "proxyUrl": "wss://play.example.com/game"}
    assert {"socketProxy": [entry]} == json.loads(text)
    assert html.startswith("<script>\n  window.RufflePlayer = window.RufflePlayer || {};")
    inner = html.partition("...[")[2].partition("]")[0]
    assert [entry] == json.loads(f"[{inner}]")


def test_gateway_ruffle_config_cannot_end_its_script(capfd: pytest.CaptureFixture[str]) -> None:
    """What an address holds cannot close the script of the snippet."""
    target = "/</script>=127.0.0.1:9339"
    assert 0 == app.run(["gateway", "--target", target, "--port", "8080", "--ruffle-config"])
    html = capfd.readouterr().out.partition("\n\n")[2]
    assert "/\\u003c/script>" in html
    assert 2 == html.count("</script>")


def test_gateway_command_line_wins_over_the_file(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Options given twice count as typed; targets add up."""
    path = tmp_path / "gateway.toml"
    path.write_text(CONFIG % 9339)
    more = ["--public-url", "ws://localhost:1", "--target", "/chat=[::1]:9340", "--ruffle-config"]
    assert 0 == app.run(["gateway", "--config", str(path), *more])
    entries = json.loads(capfd.readouterr().out.partition("\n\n")[0])["socketProxy"]
    assert ["ws://localhost:1/game", "ws://localhost:1/chat"] == [e["proxyUrl"] for e in entries]


TARGET = ["--target", "/game=127.0.0.1:9339"]


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ([], 2, "'--target': missing: PATH=HOST:PORT"),
        (["--target", "/game"], 2, "'/game' is not of the form PATH=HOST:PORT"),
        (["--target", "/game=x"], 2, "'x' is not of the form HOST:PORT"),
        (["--target", "game=x:1"], 1, "path 'game' must start with '/'"),
        ([*TARGET, *TARGET], 2, "path '/game' has a target already"),
        ([*TARGET, "--origin", "evil"], 2, "'--origin': origin 'evil' is not of the form"),
        ([*TARGET, "--trusted-proxy", "x"], 2, "'--trusted-proxy': 'x' does not appear to be"),
        ([*TARGET, "--connect-timeout", "0"], 1, "connect_timeout must be positive"),
        ([*TARGET, "--limit", "max_size=-1"], 2, "max_size must be None"),
        ([*TARGET, "--ruffle-config"], 2, "'--public-url': --ruffle-config has to know"),
        ([*TARGET, "--ruffle-config", "--public-url", "x"], 2, "'x' is not of the form ws://"),
        (["--config", "nowhere.toml"], 1, "cannot read nowhere.toml: no such file"),
    ],
)
def test_gateway_bad_command_line_is_one_line(
    arguments: list[str], status: int, message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """What makes no sense is told in one line, which says what would."""
    assert status == app.run(["gateway", *arguments])
    (line,) = capfd.readouterr().err.splitlines()
    assert message in line


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x", "expected '=' after a key"),
        ("hots = 'x'", "no key 'hots', valid are host, port"),
        ("port = '80'", "port must be an integer"),
        ("port = true", "port must be an integer"),
        ("connect_timeout = 'x'", "connect_timeout must be a number"),
        ("origins = 'x'", "origins must be a list of strings"),
        ("target = 1", "target must be a list of tables"),
        ("[[target]]\npath = '/a'", "target 1: address is missing"),
        ("[[target]]\npath = '/a'\naddress = 'x'", "target 1: 'x' is not of the form HOST:PORT"),
        ("[[target]]\npath = '/a'\naddress = 'x:1'\ntls = 1", "target 1: tls must be true or"),
        (
            "[[target]]\npath = '/a'\naddress = 'x:1'\n[[target]]\npath = '/a'\naddress = 'y:1'",
            "target 2: path '/a' has a target already",
        ),
        ("[[target]]\npath = '/a'\naddress = 'x:1'\nproxy_header = 3", "target 1: proxy_header"),
        ("[[target]]\npath = '/a'\naddress = 'x:1'\ntls_ca = 'no'", "cannot use certificate no"),
    ],
)
def test_gateway_bad_config_file_is_one_line(
    text: str, message: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A mistake in the file is named with the file and the target."""
    path = tmp_path / "gateway.toml"
    path.write_text(text)
    assert 1 == app.run(["gateway", "--config", str(path)])
    (line,) = capfd.readouterr().err.splitlines()
    assert message in line


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["connect", "127.0.0.1"], "'PORT': missing"),
        (["connect", "ws://127.0.0.1/", "9339"], "'PORT': the URL has it already"),
        (["connect", "127.0.0.1", "9339", "--origin", "http://x"], "goes with ws:// and wss://"),
        (["serve", "--policy", "x y:1"], "policy x y:1: domain 'x y' is neither"),
        (["serve", "--policy", "*:1-"], "to-ports: '1-' is no port"),
        (["serve", "--policy", "no-file.xml"], "cannot read policy no-file.xml"),
        (["serve", "--policy", "*:80"], "cannot grant ports below 1024"),
        (["connect", "ws://"], "isn't a valid URI"),
    ],
)
def test_websocket_options_that_make_no_sense_are_one_line(
    arguments: list[str], message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """So it is for the options of the other commands."""
    assert app.run(arguments) in {1, 2}
    (line,) = capfd.readouterr().err.splitlines()
    assert message in line


class NotInstalled:
    """Finds no package ``websockets``, as if it were not there."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        """Take the place of the finders that would find it."""
        del path, target
        if name == "websockets":
            raise ModuleNotFoundError(name=name)


@pytest.mark.parametrize(
    "arguments", [["gateway", *TARGET], ["serve", "--websocket"], ["connect", "ws://127.0.0.1:1/"]]
)
def test_websocket_without_its_extra_names_it(
    arguments: list[str], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A package that is not installed is told by the extra that brings it."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "websockets"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [NotInstalled(), *sys.meta_path])
    monkeypatch.delitem(sys.modules, "xmlsocket.websocket", raising=False)
    monkeypatch.delattr(xmlsocket, "websocket", raising=False)
    assert 1 == app.run(arguments)
    assert "pip install 'xmlsocket[websocket]'" in capfd.readouterr().err
