"""``xmlsocket doctor``: what it prints, and its status."""

from __future__ import annotations

import json
import ssl
from typing import TYPE_CHECKING

import pytest
import trustme

from tests.cli.support import run, serving
from tests.doctor.test_doctor import echoing, free_port
from tests.testing import broken_servers
from tests.testing.broken_servers import BROKEN
from xmlsocket.cli import app

if TYPE_CHECKING:
    from pathlib import Path


def test_doctor_sound_server_ends_with_what_to_paste() -> None:
    """Every line is ok or says why it was not checked; Ruffle's configuration follows."""
    swf = "http://play.example.com/game.swf"
    with serving("--policy", "play.example.com:*", "--websocket", "--origin", "*") as server:
        place = f"127.0.0.1:{server.port}"
        done = run("doctor", place, "--swf", swf, "--send", "<a/>", COLUMNS="80")
    assert (0, b"") == (done.returncode, done.stderr)
    text = done.stdout.decode()
    findings, _, rest = text.partition("\n\nFor Ruffle:\n\n")
    assert {"ok", "not checked", ""} == {line[:13].strip() for line in findings.splitlines()}
    assert "ok           answer: 1 document, ended by zero bytes, first '<a/>'" in findings
    assert max(map(len, findings.splitlines())) <= 80
    entry = json.loads(rest.partition("\n\n")[0])["socketProxy"]
    assert [f"ws://{place}/"] == [proxy["proxyUrl"] for proxy in entry]
    assert rest.splitlines()[-1].startswith(f"{place}: ")
    assert " 0 failed, 0 with warnings, " in rest.splitlines()[-1]


def test_doctor_failure_shows_the_fix_and_fails(capfd: pytest.CaptureFixture[str]) -> None:
    """What to do stands below what was seen."""
    with broken_servers.serving(BROKEN["vmix"]) as port:
        arguments = ["--send", "<a/>", "--only", "answer"]
        assert 1 == app.run(["doctor", f"127.0.0.1:{port}", *arguments])
    lines = capfd.readouterr().out.splitlines()
    (at,) = [number for number, line in enumerate(lines) if line.startswith("failed ")]
    assert "answer: CR LF ends it, no zero byte" in lines[at]
    assert lines[at + 1].startswith(" " * 13 + "-> end each document with one zero byte")


def test_doctor_json_is_for_programs(capfd: pytest.CaptureFixture[str]) -> None:
    """``--json`` prints one object with all findings, and the status is the same."""
    assert 1 == app.run(["doctor", f"127.0.0.1:{free_port()}", "--json"])
    report = json.loads(capfd.readouterr().out)
    assert (False, []) == (report["passed"], report["socketProxy"])
    assert ("name", "ok") == (report["findings"][0]["name"], report["findings"][0]["status"])
    assert {"failed", "ok", "not checked"} == {item["status"] for item in report["findings"]}


def test_doctor_tls_ca_names_whom_to_trust(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The certificate verifies with the authority of the file, and fails without it."""
    authority = trustme.CA()
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with echoing(ssl=context) as port:
        where = ["doctor", f"127.0.0.1:{port}", "--only", "tls"]
        assert 0 == app.run([*where, "--tls-ca", str(path)])
        assert "certificate: verified, valid for " in capfd.readouterr().out
        assert 1 == app.run([*where, "--tls"])
        assert "certificate not accepted" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["nowhere"], 2, "'SERVER': 'nowhere' is not of the form HOST:PORT"),
        (["x:1", "--swf", "game.swf"], 1, "'game.swf' is not of the form http"),
        (["x:1", "--path", "game"], 1, "path 'game' must start with '/'"),
        (
            ["x:1", "--only", "sleep"],
            1,
            "no step 'sleep', valid are tls, policy, answer, websocket",
        ),
        (["x:1", "--tls-ca", "nowhere.pem"], 1, "cannot use certificate nowhere.pem: no such file"),
    ],
)
def test_doctor_bad_command_line_is_one_line(
    arguments: list[str], status: int, message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """What makes no sense is told in one line."""
    assert status == app.run(["doctor", *arguments])
    (line,) = capfd.readouterr().err.splitlines()
    assert message in line
