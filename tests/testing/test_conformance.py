"""The conformance kit: what passes, and what it finds in servers with the faults of others."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

import xmlsocket
from tests.support.scripted import closed_port
from tests.support.tls import contexts
from tests.testing.broken_servers import BROKEN, Broken, serving
from xmlsocket.policy import Policy
from xmlsocket.testing import BackgroundServer
from xmlsocket.testing.conformance import Endpoint, Options, Outcome, Report, checks, run
from xmlsocket.testing.conformance.__main__ import main

if TYPE_CHECKING:
    from pathlib import Path

# Our own servers are tried on each, with the checks that are about it.
CARRIERS = {"tcp": "policy", "tls": "tls", "unix": "end", "ws": "websocket", "wss": "websocket"}

# Small limits of the servers make small floods.
QUICK: dict[str, Any] = {"quiet": 0.15, "pace": 0.02, "oversize": 100_000, "endless": 300_000}


def tried(server: Broken, timeout: float, **slower: float) -> Report:
    """Run the kit against a broken server."""
    options = Options(timeout=timeout, **(QUICK | slower | server.options))
    with serving(server) as port:
        place = f"ws://127.0.0.1:{port}/" if server.scheme == "ws" else f"127.0.0.1:{port}"
        context = contexts()[1] if server.scheme == "tls" else None
        return run(Endpoint.parse(place, context=context), options, only=list(server.only))


@pytest.fixture(scope="module")
def first_try(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Report]:
    """Try them all at once: they spend their time in waiting."""
    contexts()  # made once, and not by several at once
    folder = tmp_path_factory.mktemp("servers")
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        trials = {name: pool.submit(tried, server, 1.5) for name, server in BROKEN.items()}
        trials |= {name: pool.submit(tried_own, name, folder) for name in CARRIERS}
        return {name: trial.result() for name, trial in trials.items()}


@pytest.mark.parametrize("name", BROKEN)
def test_run_finds_the_planted_faults_and_no_others(
    name: str, first_try: dict[str, Report]
) -> None:
    """Each imitated server fails the checks that its fault is about."""
    server = BROKEN[name]
    expected = sorted(server.fails), sorted(server.warns)
    report = first_try[name]
    for timeout, pace in ((4.0, 0.1), (10.0, 0.5)):
        # All at once on a busy machine, answers can be late, and segments can merge.
        if expected != found(report):
            report = tried(server, timeout, pace=pace)
    assert expected == found(report), "\n".join(map(str, report.results))


def found(report: Report) -> tuple[list[str], list[str]]:
    """Return the names of the checks that failed and warned."""
    return sorted(report.named(Outcome.FAILED)), sorted(report.named(Outcome.WARNING))


# What no server here does wrong: OpenSSL speaks nothing older than TLS 1.2 by default.
NOT_IMITATED = {"tls.version"}


def test_every_check_fails_or_warns_on_some_server() -> None:
    """There is no check that nothing could fail."""
    planted = {name for server in BROKEN.values() for name in (*server.fails, *server.warns)}

    assert NOT_IMITATED == {check.name for check in checks()} - planted


# Our own servers, on every carrier


async def echo(connection: xmlsocket.Connection[bytes]) -> None:
    """Send every frame back."""
    async for frames in connection.batches():
        await connection.send_many(frames)


OPTIONS: dict[str, Any] = {
    "parse": bytes,
    "skip_empty": False,
    "max_size": 2**16,
    "policy": Policy(["*"], ["*"]),
}


def own(carrier: str, path: Path) -> Any:
    """Start the package's server for a carrier."""
    if carrier == "unix":
        options = {name: value for name, value in OPTIONS.items() if name != "policy"}
        return xmlsocket.unix_serve(echo, path, **options)
    context = contexts()[0] if carrier in {"tls", "wss"} else None
    return xmlsocket.serve(echo, "127.0.0.1", 0, ssl=context, websocket=True, **OPTIONS)


def tried_own(carrier: str, folder: Path, **slower: float) -> Report:
    """Run the kit against the package's server on a carrier."""
    path = folder / "server.sock"
    with BackgroundServer(lambda: own(carrier, path)) as server:
        place = f"unix:{path}" if carrier == "unix" else f"127.0.0.1:{server.address[1]}"
        if carrier in {"ws", "wss"}:
            place = f"{carrier}://{place}/"
        context = contexts()[1] if carrier in {"tls", "wss"} else None
        options = Options(timeout=20.0, **(QUICK | slower))
        return run(Endpoint.parse(place, context=context), options)


@pytest.mark.parametrize("carrier", CARRIERS)
def test_run_passes_on_our_own_server(
    carrier: str, first_try: dict[str, Report], tmp_path: Path
) -> None:
    """No check fails or warns, on any carrier, and those about the carrier are made."""
    report = first_try[carrier]
    if found(report) != ([], []):  # all at once on a busy machine, an end can be late
        report = tried_own(carrier, tmp_path, quiet=1.0)

    assert ([], []) == found(report), "\n".join(map(str, report.results))
    skipped = report.named(Outcome.SKIPPED)
    assert not any(name.startswith(CARRIERS[carrier]) for name in skipped)
    assert f"{len(checks())} checks, " in report.summary()


@pytest.mark.parametrize("on_accept", [False, True])
def test_run_passes_on_our_own_policy_server(on_accept: bool) -> None:
    """So it is for the policy server, asked before it answers or not."""
    policy = Policy(["*.example.com"], [9339])
    options = Options(timeout=20.0, policy_only=True, grants=[("play.example.com", 9339)], **QUICK)
    with BackgroundServer(
        lambda: xmlsocket.PolicyServer(policy, "127.0.0.1", 0, on_accept=on_accept)
    ) as server:
        port = server.address[1]
        report = run(Endpoint.parse(f"127.0.0.1:{port}"), options, only=["policy.*"])

    assert ([], []) == found(report), "\n".join(map(str, report.results))
    assert ["policy.unasked"] == report.named(Outcome.SKIPPED)


def test_run_with_a_question_and_an_answer_of_its_own() -> None:
    """A server that echoes nothing is tried by what it is known to answer."""

    async def answers(connection: xmlsocket.Connection[bytes]) -> None:
        await connection.send("<welcome/>")
        async for frame in connection:
            if frame.strip() == b"<ping n='\xc3\xa9'/>":
                await connection.send_many([b"<news/>", b"<pong time='1'/>"])

    expect = re.compile(rb"<pong time='\d'/>")
    options = Options(timeout=20.0, send="<ping n='é'/>".encode(), expect=expect, **QUICK)
    with BackgroundServer(
        lambda: xmlsocket.serve(answers, "127.0.0.1", 0, parse=bytes, max_size=2**16)
    ) as server:
        endpoint = Endpoint.parse(f"127.0.0.1:{server.address[1]}")
        report = run(endpoint, options)
        if found(report) != ([], []):  # on a busy machine an end can come after the silence
            report = run(endpoint, dataclasses.replace(options, quiet=3.0))

    assert ([], []) == found(report), "\n".join(map(str, report.results))
    assert "framing.utf-8" not in report.named(Outcome.SKIPPED)
    assert "framing.characters" in report.named(Outcome.SKIPPED)


# The command


def small(*arguments: str) -> list[str]:
    """Return arguments for what takes no time."""
    return ["--quiet", "0.05", "--only", "framing.whole", *arguments]


def test_main_prints_what_was_tried_seen_and_where_the_rule_is_from(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The report can be read without knowing the kit; status 0 says that nothing failed."""
    with serving(BROKEN["strips"]) as port:
        place = f"127.0.0.1:{port}"
        assert 0 == main([place, *small("--only", "tls.*")])
        passed = capsys.readouterr().out
        assert 1 == main([place, *small("--only", "framing.newline")])
        failed = capsys.readouterr().out

    assert "ok    framing.whole: a document and its zero byte" in passed
    assert "      seen: answered\n      rule: Flash MX ActionScript dictionary" in passed
    assert "skip  tls.silent: " in passed
    assert passed.endswith(f"{place}: 4 checks, 1 passed, 0 with warnings, 0 failed, 3 skipped\n")
    assert "FAIL  framing.newline: ends of lines are characters like others" in failed
    assert "1 passed, 0 with warnings, 1 failed, 0 skipped" in failed


def test_main_json_is_the_same_report_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    """``--json`` prints one object."""
    with serving(BROKEN["sound"]) as port:
        assert 0 == main([f"127.0.0.1:{port}", *small("--json")])

    report = json.loads(capsys.readouterr().out)
    assert (True, f"127.0.0.1:{port}") == (report["passed"], report["target"])
    (result,) = report["results"]
    assert ("framing.whole", "passed", "answered") == (
        result["name"], result["outcome"], result["seen"],
    )  # fmt: skip
    assert {"rule", "source", "seconds"} < result.keys()


def test_main_passes_its_options_on(capsys: pytest.CaptureFixture[str]) -> None:
    """Question, answer, policy and grants come from the command line."""
    with serving(BROKEN["strips"]) as port:
        place = f"127.0.0.1:{port}"
        assert 0 == main([place, *small("--send", " <a/>", "--expect", "^<a/>$")])
        assert 0 == main([place, "--only", "policy.answer", "--no-policy"])
        assert 1 == main([place, "--only", "policy.answer", "--policy"])
    with serving(BROKEN["sound_policy"]) as port:
        only = ["--policy-only", "--only", "policy.grants", "--only", "framing.whole"]
        assert 0 == main([f"127.0.0.1:{port}", *only, "--grants", "a.example.com:9339"])
        assert 1 == main([f"127.0.0.1:{port}", *only, "--grants", "a.example.com:99"])

    assert "a.example.com to port 99: denied: port 99 is below 1024" in capsys.readouterr().out


def test_main_verifies_certificates_unless_told_not_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """``--tls`` trusts the system, ``--tls-ca`` a file, ``--insecure`` everyone."""
    authority = tmp_path / "ca.pem"
    authority.write_text(certificate())
    with BackgroundServer(lambda: own("tls", tmp_path)) as server:
        place = f"127.0.0.1:{server.address[1]}"
        assert 2 == main([place, "--tls"])
        assert "certificate verify failed" in capsys.readouterr().err
        only = ["--only", "tls.version"]
        assert 0 == main([place, *only, "--tls-ca", str(authority)])
        assert "certificate verified" in capsys.readouterr().out
        assert 0 == main([place, *only, "--insecure"])
        assert "certificate not verified" in capsys.readouterr().out


def certificate() -> str:
    """Return the certificate of the authority that tests trust."""
    import ssl  # noqa: PLC0415

    (der,) = contexts()[1].get_ca_certs(binary_form=True)
    return ssl.DER_cert_to_PEM_cert(der)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["nowhere"], "'nowhere' is none of HOST:PORT, unix:PATH, ws://… and wss://…"),
        (["host:99999"], "'host:99999' is none of"),
        (["http://host/"], "'http://host/' is no address of a WebSocket"),
        (["ws://host/", "--insecure"], "'ws://host/' takes no TLS, wss:// does"),
        (["[::1]:1", "--send", "<a/>"], "send and expect go together"),
        (["[::1]:1", "--send", "<a/>\0", "--expect", "a"], "holds a zero byte"),
        (["[::1]:1", "--send", "<a/>", "--expect", "("], "missing )"),
        (["[::1]:1", "--grants", "9339"], "--grants: '9339' is not of the form DOMAIN:PORT"),
        (["[::1]:1", "--only", "nothing.*"], "no check matches nothing.*"),
        (["unix:/does/not/exist"], "cannot try unix:/does/not/exist: "),
    ],
)
def test_main_nothing_to_try_is_told_in_one_line(
    arguments: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Status 2, and a line that says why."""
    assert 2 == main(arguments)

    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("conformance: ")
    assert text in line


def test_main_without_a_target_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    """Status 2 and the usage; ``--help`` has examples, ``--list`` every check."""
    for arguments, status in (([], 2), (["--help"], 0)):
        with pytest.raises(SystemExit) as exit_:
            main(arguments)
        assert status == exit_.value.code
    text = capsys.readouterr().out
    assert "\nexamples:\n  python -m xmlsocket.testing.conformance 127.0.0.1:9339" in text
    assert 0 == main(["--list"])
    lines = capsys.readouterr().out.splitlines()
    assert [f"{check.name}: {check.rule}" for check in checks()] == lines[::2]


def test_module_runs_as_a_program() -> None:
    """It needs no extra, and reports a server that is not there as a process."""
    command = [sys.executable, "-W", "error", "-m", "xmlsocket.testing.conformance"]
    place = f"127.0.0.1:{closed_port()}"
    done = subprocess.run([*command, place], capture_output=True, text=True, check=False)

    assert (2, "") == (done.returncode, done.stdout)
    assert done.stderr.startswith(f"conformance: cannot try {place}: ")


@pytest.mark.parametrize(
    ("text", "shown", "carrier"),
    [
        ("[::1]:843", "[::1]:843", "tcp"),
        ("unix:/run/a b.sock", "unix:/run/a b.sock", "unix"),
        ("ws://play.example.com/game?a=b", "ws://play.example.com:80/game?a=b", "ws"),
        ("wss://[::1]", "wss://[::1]:443/", "wss"),
    ],
)
def test_endpoint_parse_tells_the_carrier(text: str, shown: str, carrier: str) -> None:
    """What is named is what is tried."""
    endpoint = Endpoint.parse(text)

    assert (shown, carrier) == (str(endpoint), endpoint.carrier)
    assert (carrier == "wss") is (endpoint.context is not None)
