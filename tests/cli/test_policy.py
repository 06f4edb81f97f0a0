"""``xmlsocket policy`` as a process, and its command line in this one."""

from __future__ import annotations

import signal
import socket
from typing import TYPE_CHECKING

import pytest

from tests.cli.support import run, serving
from tests.support.policy_client import fetch_policy
from xmlsocket.cli import app
from xmlsocket.policy import Policy

if TYPE_CHECKING:
    from pathlib import Path

GRANT = ("--domain", "play.example.com", "--ports", "9339,5000-5100")
POLICY = Policy(["play.example.com"], [9339, "5000-5100"])


def test_policy_serves_until_it_is_stopped() -> None:
    """The policy is served to who asks for it, and the end says how many did."""
    with serving(*GRANT, "--port", 0, command="policy") as server:
        assert f"listening on 127.0.0.1:{server.port}" == server.first_line
        assert bytes(POLICY) == fetch_policy("127.0.0.1", server.port, timeout=20)

        status, lines, err = server.stop(signal.SIGINT)
    expected = ["stopped after 1 connection, 1 answered, 0 refused, 0 silent"]
    assert (0, expected, b"") == (status, lines, err)


def test_policy_ask_explains_what_flash_decides() -> None:
    """The lookup of Flash finds the policy of the port itself; status 1 is a denial."""
    with serving("--policy", "play.example.com:*") as server:
        place = f"127.0.0.1:{server.port}"
        granted = run("policy", "--ask", place, "--domain", "play.example.com")
        denied = run("policy", "--ask", place, "--domain", "evil.example.com")
    assert (0, b"") == (granted.returncode, granted.stderr)
    assert granted.stdout.startswith(b'allowed: <allow-access-from domain="play.example.com"')
    assert (1, b"") == (denied.returncode, denied.stderr)
    assert b"no allow-access-from covers the domain 'evil.example.com'" in denied.stdout


def test_policy_print_shows_the_file(capfd: pytest.CaptureFixture[str]) -> None:
    """``--print`` writes the file, without the zero byte of a reply."""
    assert 0 == app.run(["policy", *GRANT, "--print"])
    assert bytes(POLICY).decode() + "\n" == capfd.readouterr().out


def test_policy_check_tells_what_a_file_grants(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A valid file is said to be so, with its grants; an invalid one is named with its line."""
    path = tmp_path / "policy.xml"
    path.write_bytes(b'<!DOCTYPE x SYSTEM "http://none.invalid/x.dtd">' + bytes(POLICY)[21:])
    assert 0 == app.run(["policy", "--check", str(path)])
    assert [f"{path}: valid", f"  {POLICY.grants[0]}"] == capfd.readouterr().out.splitlines()

    path.write_text('<cross-domain-policy>\n<allow-access-from domain="*"/></cross-domain-policy>')
    assert 1 == app.run(["policy", "--check", str(path)])
    (line,) = capfd.readouterr().err.splitlines()
    assert f"xmlsocket: policy {path}: " == line[: len(f"xmlsocket: policy {path}: ")]
    assert "without to-ports" in line


@pytest.mark.parametrize(
    ("place", "status", "word"),
    [
        ("play.example.com:9339", 0, "allowed"),
        ("play.example.com:80", 1, "denied"),
        ("evil.example.com:9339", 1, "denied"),
    ],
)
def test_policy_allows_explains_a_policy(
    place: str, status: int, word: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """``--allows`` tells what a policy means for a movie, and its status is the answer."""
    assert status == app.run(["policy", *GRANT, "--allows", place])
    assert word == capfd.readouterr().out.partition(":")[0]


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ([], 2, "'--domain': missing: where movies come from, '*' for anywhere"),
        (["--domain", "*"], 2, "'--ports': missing: '*' or ports"),
        (["--domain", "*", "--ports", "x"], 1, "to-ports: 'x' is no port"),
        (["--domain", "a b", "--ports", "1"], 1, "domain 'a b' is neither"),
        (["--check", "a", "--domain", "*"], 2, "a policy file says all"),
        (["--file", "nowhere.xml"], 1, "cannot read policy nowhere.xml: no such file"),
        ([*GRANT, "--allows", "x"], 2, "'--allows': 'x' is not of the form HOST:PORT"),
        ([*GRANT, "--allows", "x:70000"], 2, "'--allows': port 70000 is not within 1 to 65535"),
        (["--ask", "x:9339"], 2, "--ask wants the one domain"),
        (["--domain", "*", "--ports", "80", "--port", "8430"], 1, "port 8430 cannot grant"),
        (["--domain", "*", "--ports", "80", "--port", "0"], 1, "cannot grant ports below 1024"),
    ],
)
def test_policy_bad_command_line_is_one_line(
    arguments: list[str], status: int, message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """What makes no sense is told in one line, which says what would."""
    assert status == app.run(["policy", *arguments])
    (line,) = capfd.readouterr().err.splitlines()
    assert message in line


def test_policy_port_in_use_is_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    """A port that is taken is named."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert 1 == app.run(["policy", *GRANT, "--port", str(port)])
    expected = f"xmlsocket: cannot listen on 127.0.0.1:{port}: address already in use\n"
    assert expected == capfd.readouterr().err
