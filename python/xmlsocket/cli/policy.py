"""``xmlsocket policy``: socket policy files made, checked, asked for and served."""

from __future__ import annotations

import asyncio
from pathlib import Path  # noqa: TC003 - typer reads the annotations at run time
from typing import Annotated, Any

import typer

from ..asyncio.policy_server import PolicyServer
from ..exceptions import PolicyError
from ..flash.sandbox import Sandbox
from ..policy import MASTER_PORT, Policy, Verdict
from .errors import CommandError
from .options import place, read_policy_file
from .serve import announce, count, listening, log, on_signals

__all__ = ["policy"]

EXAMPLES = """Examples:

\b
  xmlsocket policy --domain play.example.com --ports 9339,5000-5100 --print
  xmlsocket policy --domain play.example.com --ports 9339 --host 0.0.0.0
  xmlsocket policy --file policy.xml --host 0.0.0.0 --port 8430 --public-port 843
  xmlsocket policy --check policy.xml --allows play.example.com:9339
  xmlsocket policy --ask game.example.com:9339 --domain play.example.com
"""

_PLAYER = 9
_PATIENCE = 20.0


def _build(
    domains: list[str], ports: str | None, *, secure: bool, site_control: str | None
) -> Policy:
    if ports is None:
        raise typer.BadParameter(
            "missing: '*' or ports and ranges such as 9339,5000-5100", param_hint="'--ports'"
        )
    try:
        return Policy(domains, ports.split(","), secure=secure, site_control=site_control)
    except PolicyError as exc:
        raise CommandError(str(exc)) from None


def _tell(verdict: Verdict) -> int:
    typer.echo(str(verdict))
    return 0 if verdict else 1


def _ask(server: str, domains: list[str], *, secure: bool) -> int:
    host, port = place(server, "--ask")
    if len(domains) != 1:
        raise typer.BadParameter(
            "--ask wants the one domain that the movie comes from", param_hint="'--domain'"
        )
    sandbox = Sandbox(domain=domains[0], player=_PLAYER, secure=secure)
    return _tell(asyncio.run(sandbox.ask(host, port, timeout=_PATIENCE)))


async def _serve(policy: Policy, host: str, port: int, **options: Any) -> None:
    try:
        server = PolicyServer(policy, host, port, **options)
    except PolicyError as exc:
        raise CommandError(str(exc)) from None
    await listening(server, host, port)
    on_signals(server.close)
    announce(server)
    await server.wait_closed()
    stats = server.stats()
    typer.echo(
        f"stopped after {count(stats.accepted, 'connection')}, {stats.answered:,} answered,"
        f" {stats.refused:,} refused, {stats.silent:,} silent"
    )


def policy(
    *,
    domain: Annotated[
        list[str] | None,
        typer.Option(
            metavar="DOMAIN",
            help="Where movies come from: a host name, an IPv4 address, '*.suffix' or '*';"
            " may be given several times.",
        ),
    ] = None,
    ports: Annotated[
        str | None,
        typer.Option(
            metavar="PORTS",
            help="Ports they may connect to: numbers and ranges such as 9339,5000-5100, or '*'.",
        ),
    ] = None,
    secure: Annotated[
        bool, typer.Option("--secure", help="Only movies loaded over HTTPS; with --ask, one such.")
    ] = False,
    site_control: Annotated[
        str | None,
        typer.Option(metavar="VALUE", help="all, master-only or none; for port 843 only."),
    ] = None,
    file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Take this policy file instead.")
    ] = None,
    show: Annotated[
        bool, typer.Option("--print", help="Print the policy file; serve nothing.")
    ] = False,
    check: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Check a policy file; serve nothing."),
    ] = None,
    allows: Annotated[
        str | None,
        typer.Option(
            metavar="DOMAIN:PORT",
            help="Tell if the policy lets a movie from DOMAIN connect to PORT; serve nothing.",
        ),
    ] = None,
    ask: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            help="Ask a server as Flash does, port 843 first, and tell if a movie from --domain"
            " may connect to HOST:PORT.",
        ),
    ] = None,
    host: Annotated[
        str, typer.Option(metavar="HOST", help="Name or address to listen on.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(metavar="PORT", min=0, max=65535, help="Port to listen on.")
    ] = MASTER_PORT,
    public_port: Annotated[
        int | None,
        typer.Option(
            metavar="PORT",
            min=1,
            max=65535,
            help="Port that players connect to, where it is redirected to --port.",
        ),
    ] = None,
    on_accept: Annotated[
        bool,
        typer.Option("--on-accept", help="Send the policy at once, without waiting for a request."),
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Log every request on standard error.")
    ] = False,
) -> None:
    """
    Make a socket policy file and serve it, on port 843 unless told otherwise.

    Flash lets a movie open a socket only if a policy file of the server allows
    it. Port 843 is asked first; systems reserve it, so serving there takes
    privileges or a redirection with --public-port 843. With --print, --check,
    --allows or --ask nothing is served. Exit status 1: not allowed, or no valid
    policy.
    """
    domains = domain or []
    if ask is not None:
        raise typer.Exit(_ask(ask, domains, secure=secure))
    source = check or file
    if source is not None:
        if domains or ports or secure or site_control:
            raise typer.BadParameter(
                "a policy file says all; leave out --domain, --ports, --secure, --site-control",
                param_hint="'--check'" if check else "'--file'",
            )
        made = read_policy_file(source)
    else:
        if not domains:
            raise typer.BadParameter(
                "missing: where movies come from, '*' for anywhere", param_hint="'--domain'"
            )
        made = _build(domains, ports, secure=secure, site_control=site_control)
    if show:
        typer.echo(bytes(made))
    elif check is not None and allows is None:
        typer.echo(f"{check}: valid")
        for grant in made.grants:
            typer.echo(f"  {grant}")
    if allows is not None:
        name, number = place(allows, "--allows")
        raise typer.Exit(_tell(made.allows(name, number, serving_port=public_port)))
    if show or check is not None:
        return
    log(verbose=verbose)
    asyncio.run(_serve(made, host, port, on_accept=on_accept, public_port=public_port))
