"""The security restrictions of the XMLSocket object: what a player would have refused, and why."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.scripted import (
    closed_port,
    expect,
    expect_end,
    half_close,
    scripted,
    send,
    wait_for,
)
from xmlsocket.flash import Sandbox
from xmlsocket.flash import sandbox as module
from xmlsocket.policy import REQUEST, Policy

from .support import Program, Recorded

if TYPE_CHECKING:
    from tests.support.scripted import Step

HOST = "127.0.0.1"
MOVIE = "www.example.com"

GRANTS = Policy(["*.example.com"], ["1024-65535"]).reply
DENIES = Policy(["elsewhere.example"], ["*"]).reply

CONVERSATION = [expect(b"hello\0"), send(b"welcome\0")]


def answers(reply: bytes) -> list[Step]:
    """Return the script of a policy server: the request, the reply, the end."""
    return [expect(REQUEST), send(reply), half_close(), expect_end()]


@pytest.fixture
def master_port(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let the master policy be asked for on a port that needs no privilege."""
    return lambda port: monkeypatch.setattr(module, "MASTER_PORT", port)


async def converse(program: Program, port: int, **options: Any) -> Recorded:
    """Connect in the sandbox of a player 9, say hello, and return the object at the end."""
    socket = Recorded(sandbox=Sandbox(domain=MOVIE, player=9), **options)
    assert await program.call(socket.connect, HOST, port) is True
    await program.call(socket.send, "hello")
    await program.ended(socket)
    return socket


# Options


@pytest.mark.parametrize("player", [-1, 4, 7, 8])
def test_sandbox_of_a_player_whose_rules_are_not_known_here_raises(player: int) -> None:
    """Players 7 and 8 also asked web servers, which is not done: better no rule than half of it."""
    with pytest.raises(ValueError, match="player must be 5, 6, or 9 and later"):
        Sandbox(domain=MOVIE, player=player)


def test_sandbox_with_an_empty_domain_raises() -> None:
    """A movie without a domain is None, so that a variable left empty is not taken for one."""
    with pytest.raises(ValueError, match="domain"):
        Sandbox(domain="", player=5)


# Players 5 and 6: the dictionary's rules


@pytest.mark.parametrize(
    ("domain", "host"),
    [
        ("foobar.com", "foobar.com"),
        ("blah.foobar.com", "foobar.com"),
        ("thing.foobar.com", "blah.foobar.com"),
        ("wonderful.thing.foobar.com", "thing.foobar.com"),
        ("WWW.Example.com", "data.example.COM"),
        ("10.12.0.92", "10.12.0.92"),
        ("localhost", "localhost"),
    ],
)
def test_check_hosts_of_the_same_subdomain_are_allowed(domain: str, host: str) -> None:
    """
    Hosts are allowed that are equal after their first label was removed from either or both.

    Source: Using Flash MX, "About security protection", the table of compatible domains.
    """
    assert Sandbox(domain=domain, player=5).check(host, 1024)
    assert Sandbox(domain=host, player=6).check(domain, 65535)


@pytest.mark.parametrize(
    ("domain", "host"),
    [
        ("foobar.com", "blagga.com"),
        ("blah.foobar.com", "blagga.com"),
        ("blah.foobar.com", "blah.blagga.com"),
        ("wonderful.thing.foobar.com", "foobar.com"),
        ("foobar.com", "com"),
        ("10.12.0.92", "10.12.0.93"),
        ("1.12.0.92", "2.12.0.92"),
        ("localhost", "127.0.0.1"),
    ],
)
def test_check_other_hosts_are_refused(domain: str, host: str) -> None:
    """
    Names of two labels are not reduced, numbers never, and nothing is looked up.

    Source: Using Flash MX, "About security protection".
    """
    verdict = Sandbox(domain=domain, player=5).check(host, 1024)

    assert not verdict
    assert f"host '{host}' is not in the subdomain of the movie's domain '{domain}'" == (
        verdict.reason
    )


@pytest.mark.parametrize("port", [1, 80, 1023])
@pytest.mark.parametrize("player", [5, 6])
def test_check_ports_below_1024_are_refused(player: int, port: int) -> None:
    """Lower ports belong to the system's services, on the movie's own host, too."""
    verdict = Sandbox(domain=MOVIE, player=player).check(MOVIE, port)

    assert not verdict
    assert f"port {port} is below 1024" == verdict.reason


def test_check_movie_from_a_local_disk_reaches_every_host() -> None:
    """The rule for hosts does not apply to movies that came from no host; that for ports does."""
    sandbox = Sandbox(domain=None, player=5)

    assert sandbox.check("anywhere.example", 1024)
    assert not sandbox.check("anywhere.example", 1023)


async def test_connect_that_the_dictionary_forbids_returns_false(program: Program) -> None:
    """What players 5 and 6 forbid is refused at once: no event follows, and ``why`` explains it."""
    socket = Recorded(sandbox=Sandbox(domain=MOVIE, player=5))

    assert await program.call(socket.connect, MOVIE, 80) is False
    assert socket.why == "port 80 is below 1024"
    assert await program.call(socket.connect, "www.example.org", 1024) is False
    assert "not in the subdomain" in socket.why
    await program.ended(socket)
    assert [] == socket.events


async def test_connect_that_the_dictionary_allows_asks_for_no_policy(program: Program) -> None:
    """Players 5 and 6 know no policy files: the first connection is the movie's own."""
    with scripted(CONVERSATION) as server:
        socket = Recorded(sandbox=Sandbox(domain=HOST, player=6))
        assert await program.call(socket.connect, HOST, server.port) is True
        await program.call(socket.send, "hello")
        await program.ended(socket)

    assert [("onConnect", True), ("onData", "welcome"), ("onClose",)] == socket.events
    assert socket.why == ""


# Player 9 and later: a socket policy always


async def test_connect_with_a_master_policy_that_grants_asks_no_further(
    program: Program, master_port: Any
) -> None:
    """Port 843 is asked first; when it grants, the next connection is the movie's."""
    with scripted(answers(GRANTS)) as master, scripted(CONVERSATION) as server:
        master_port(master.port)
        socket = await converse(program, server.port)

    assert [("onConnect", True), ("onData", "welcome"), ("onClose",)] == socket.events


async def test_connect_without_a_master_policy_asks_the_port_itself(
    program: Program, master_port: Any
) -> None:
    """Where nobody listens on port 843, the port serves its policy, on a connection of its own."""
    master_port(closed_port())
    with scripted(answers(GRANTS), CONVERSATION) as server:
        socket = await converse(program, server.port)

    assert [("onConnect", True), ("onData", "welcome"), ("onClose",)] == socket.events


async def test_connect_with_a_silent_master_goes_on_after_its_time(
    program: Program, master_port: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A port 843 that does not answer holds the attempt up, but not for ever."""
    assert module.MASTER_TIMEOUT == 3.0
    monkeypatch.setattr(module, "MASTER_TIMEOUT", 0.05)
    asked: list[bytes] = []
    with (
        # The time may be over before the request is on its way.
        scripted([lambda peer: asked.append(peer.makefile("rb").read())]) as master,
        scripted(answers(GRANTS), CONVERSATION) as server,
    ):
        master_port(master.port)
        socket = await converse(program, server.port)

    assert asked in ([REQUEST], [b""])
    assert [("onConnect", True), ("onData", "welcome"), ("onClose",)] == socket.events


async def test_connect_with_a_master_policy_that_does_not_grant_asks_the_port_itself(
    program: Program, master_port: Any
) -> None:
    """A master policy without site-control leaves it to the ports to grant more."""
    with scripted(answers(DENIES)) as master, scripted(answers(GRANTS), CONVERSATION) as server:
        master_port(master.port)
        socket = await converse(program, server.port)

    assert [("onConnect", True), ("onData", "welcome"), ("onClose",)] == socket.events


@pytest.mark.parametrize("control", ["master-only", "none"])
async def test_connect_with_a_master_policy_that_forbids_others_asks_no_further(
    program: Program, master_port: Any, control: str
) -> None:
    """``site-control`` of the master policy may say that no other counts, or none at all."""
    domain = "elsewhere.example" if control == "master-only" else MOVIE
    policy = Policy([domain], ["*"], site_control=control)
    with scripted(answers(policy.reply)) as master:
        master_port(master.port)
        socket = await converse(program, closed_port())

    assert [("onConnect", False)] == socket.events
    assert ("no allow-access-from" if control == "master-only" else "site-control") in socket.why
    assert "served no policy" not in socket.why  # of the port itself, which nobody asked


async def test_connect_with_site_control_in_the_ports_own_policy_ignores_it(
    program: Program, master_port: Any
) -> None:
    """``site-control`` counts in the master policy only."""
    policy = Policy([MOVIE], ["*"], site_control="none")
    master_port(closed_port())
    with scripted(answers(policy.reply), CONVERSATION) as server:
        socket = await converse(program, server.port)

    assert [("onConnect", True), ("onData", "welcome"), ("onClose",)] == socket.events


async def test_connect_that_no_policy_grants_calls_onconnect_false(
    program: Program, master_port: Any
) -> None:
    """Without a grant nothing is sent to the server but requests, and ``why`` tells of each."""
    with scripted(answers(DENIES)) as master, scripted(answers(DENIES)) as server:
        master_port(master.port)
        socket = await converse(program, server.port)

    assert [("onConnect", False)] == socket.events
    assert f"policy of port {master.port}: no allow-access-from covers" in socket.why
    assert f"; policy of port {server.port}: no allow-access-from covers" in socket.why


async def test_connect_without_any_policy_calls_onconnect_false(
    program: Program, master_port: Any
) -> None:
    """A server that knows nothing of policies cannot be reached from player 9.0.124 on."""
    master, port = closed_port(), closed_port()
    master_port(master)
    socket = await converse(program, port)

    assert [("onConnect", False)] == socket.events
    assert f"port {master} served no policy: " in socket.why
    assert f"; port {port} served no policy: " in socket.why


async def test_connect_with_a_malformed_policy_calls_onconnect_false(
    program: Program, master_port: Any
) -> None:
    """What the player would ignore is no policy, and ``why`` names the fault."""
    master_port(closed_port())
    with scripted(
        answers(b"<cross-domain-policy><allow-access-from/></cross-domain-policy>\0")
    ) as server:
        socket = await converse(program, server.port)

    assert [("onConnect", False)] == socket.events
    assert f"policy of port {server.port}: allow-access-from without domain" in socket.why


async def test_connect_with_a_policy_ended_by_closing_takes_it(
    program: Program, master_port: Any
) -> None:
    """
    A policy without its zero byte counts when the server closes after it.

    Source: npm "policyfile", which many servers used, sends none.
    """
    master_port(closed_port())
    with scripted(answers(GRANTS.removesuffix(b"\0")), CONVERSATION) as server:
        socket = await converse(program, server.port)

    assert [("onConnect", True), ("onData", "welcome"), ("onClose",)] == socket.events


async def test_connect_with_a_policy_that_is_too_large_calls_onconnect_false(
    program: Program, master_port: Any
) -> None:
    """A policy file is bounded; one that does not end costs no memory."""
    master_port(closed_port())
    endless = [expect(REQUEST), send(b"<" + b"x" * module.MAX_POLICY)]
    with scripted(endless) as server:
        socket = await converse(program, server.port)

    assert [("onConnect", False)] == socket.events
    assert "frame exceeds max_size" in socket.why


async def test_connect_whose_policy_does_not_come_fails_after_the_timeout(
    program: Program, master_port: Any
) -> None:
    """``timeout`` bounds the whole attempt, policy files included."""
    master_port(closed_port())
    failed = threading.Event()
    with scripted([expect(REQUEST), wait_for(failed)]) as server:
        socket = Recorded(sandbox=Sandbox(domain=MOVIE, player=9))
        socket.timeout = 250
        await program.call(socket.connect, HOST, server.port)
        await program.ended(socket)
        failed.set()

    assert [("onConnect", False)] == socket.events
    assert socket.why.endswith(f"; port {server.port} served no policy in time")


async def test_ask_for_a_port_below_1024_needs_a_policy_from_below_1024(master_port: Any) -> None:
    """A policy from port 1024 on cannot open the system's ports, whatever it says."""
    everything = Policy(["*"], ["*"]).reply
    with scripted(answers(everything)) as master:
        master_port(master.port)
        verdict = await Sandbox(domain=MOVIE, player=10).ask(HOST, 1, timeout=10)

    assert not verdict
    assert f"port 1 is below 1024 and the policy comes from port {master.port}" in verdict.reason


async def test_ask_for_a_local_movie_needs_a_grant_to_every_domain(master_port: Any) -> None:
    """A movie from no domain is granted what everybody is; this is ours."""
    sandbox = Sandbox(domain=None, player=9)
    for domain, granted in (("*", True), ("*.example.com", False)):
        policy = Policy([domain], ["*"], site_control="master-only")
        with scripted(answers(policy.reply)) as master:
            master_port(master.port)
            verdict = await sandbox.ask(HOST, 5000, timeout=10)

        assert granted is verdict.allowed


@pytest.mark.parametrize(("secure", "granted"), [(True, True), (False, False)])
async def test_ask_with_a_policy_for_secure_movies_needs_https(
    master_port: Any, secure: bool, granted: bool
) -> None:
    """A grant may be for movies loaded over HTTPS only."""
    policy = Policy([MOVIE], ["*"], secure=True, site_control="master-only")
    with scripted(answers(policy.reply)) as master:
        master_port(master.port)
        sandbox = Sandbox(domain=MOVIE, player=9, secure=secure)
        verdict = await sandbox.ask(HOST, 5000, timeout=10)

    assert granted is verdict.allowed


async def test_ask_of_players_without_policies_is_their_check() -> None:
    """Players 5 and 6 ask nobody, so that there is nothing to wait for."""
    sandbox = Sandbox(domain=MOVIE, player=5)

    assert await sandbox.ask(MOVIE, 80, timeout=10) == sandbox.check(MOVIE, 80)
