"""``xmlsocket gateway``: WebSocket to servers that speak TCP only."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path  # noqa: TC003 - typer reads the annotations at run time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..endpoint import format_address
from ..gateway import Gateway
from .errors import CommandError
from .gateway_config import read_config, read_target
from .options import (
    LimitOption,
    OriginOption,
    TlsCertOption,
    TlsKeyOption,
    TrustedProxyOption,
    VerboseOption,
    bad_limit,
    parse_limits,
    require_websocket,
    server_context,
    trusted_proxies,
    websocket_options,
)
from .serve import announce, count, listening, log, run_until_stopped

if TYPE_CHECKING:
    from ..gateway import Target

__all__ = ["gateway", "ruffle_page"]

EXAMPLES = """Examples:

\b
  xmlsocket gateway --target /game=127.0.0.1:9339 --port 8080
  xmlsocket gateway --target /game=10.0.0.7:9339 --origin https://play.example.com --port 8080
  xmlsocket gateway --config gateway.toml
  xmlsocket gateway --config gateway.toml --public-url wss://play.example.com --ruffle-config

\b
gateway.toml, where only the targets are needed:

\b
  host = "0.0.0.0"
  port = 8080
  public_url = "wss://play.example.com"
  origins = ["https://play.example.com"]
  trusted_proxies = ["127.0.0.1"]
  connections_per_address = 50
  connect_timeout = 10
  [[target]]
  path = "/game"
  address = "10.0.0.7:9339"
  movie_address = "game.example.com:9339"   # what the movie connects to
  tls = true                                # or tls_ca = "ca.pem"
  proxy_header = 2                          # or 1
"""

_URL = re.compile(r"wss?://[^/\s?#]+(?:/[^\s?#]*)?", re.ASCII)

# Of what parse_limits() returns, these are for both sides; the rest is the server's.
_BOTH_SIDES = ("max_size", "read_limit", "write_limit", "limits")

_SNIPPET = """\
<script>
  window.RufflePlayer = window.RufflePlayer || {};
  window.RufflePlayer.config = window.RufflePlayer.config || {};
  window.RufflePlayer.config.socketProxy = [
    ...(window.RufflePlayer.config.socketProxy || []),
    ...%s
  ];
</script>
<script src="ruffle/ruffle.js"></script>"""


def ruffle_page(entries: list[dict[str, str | int]]) -> str:
    """Return the configuration as JSON, and as HTML that adds it to what a page has."""
    text = json.dumps({"socketProxy": entries}, indent=2)
    # In a script "</" could end it; "<" within strings may be written so.
    inner = json.dumps(entries, indent=2).replace("<", "\\u003c").replace("\n", "\n    ")
    return f"{text}\n\n{_SNIPPET % inner}"


def _public_url(given: str | None, host: str, port: int, *, secure: bool) -> str:
    if given is not None:
        if not _URL.fullmatch(given):
            raise typer.BadParameter(
                f"{given!r} is not of the form ws://HOST[:PORT] or wss://HOST[:PORT]",
                param_hint="'--public-url'",
            )
        return given
    if host in {"0.0.0.0", "::", ""} or not port:  # noqa: S104 - not listening
        raise typer.BadParameter(
            "--ruffle-config has to know where browsers reach the gateway",
            param_hint="'--public-url'",
        )
    return f"{'wss' if secure else 'ws'}://{format_address((host, port))}"


def _targets(given: list[str], configured: dict[str, Target]) -> dict[str, Target]:
    targets = dict(configured)
    for text in given:
        try:
            path, target = read_target(text)
        except ValueError as exc:
            raise typer.BadParameter(str(exc), param_hint="'--target'") from None
        if path in targets:
            raise typer.BadParameter(f"path {path!r} has a target already", param_hint="'--target'")
        targets[path] = target
    if not targets:
        raise typer.BadParameter(
            "missing: PATH=HOST:PORT, or a --config that names targets", param_hint="'--target'"
        )
    return targets


async def _serve(made: Gateway, host: str, port: int, options: dict[str, Any]) -> None:
    try:
        starting = made.serve(host, port, **options)
    except ValueError as exc:
        raise bad_limit(str(exc)) from None
    server = await listening(starting, host, port)

    def ready() -> None:
        announce(server)
        for path, target in made.targets.items():
            typer.echo(f"  {path} -> {target}")

    await run_until_stopped(server, ready)
    stats = made.stats()
    typer.echo(
        f"relayed {count(stats.relayed, 'connection')}, {stats.unreachable:,} without a target"
        f" in reach, {stats.too_many:,} too many"
    )


def gateway(
    *,
    target: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATH=HOST:PORT",
            help="Server that a path leads to; may be given several times.",
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="TOML file; options of the command line win over it."),
    ] = None,
    host: Annotated[
        str | None,
        typer.Option(metavar="HOST", help="Name or address to listen on. [default: 127.0.0.1]"),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            metavar="PORT", min=0, max=65535, help="Port to listen on. [default: a free one]"
        ),
    ] = None,
    origin: OriginOption = None,
    trusted_proxy: TrustedProxyOption = None,
    connections_per_address: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, help="Connections that one address may have open. [default: 50]"
        ),
    ] = None,
    connect_timeout: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="For reaching a target. [default: 10]"),
    ] = None,
    limit: LimitOption = None,
    tls_cert: TlsCertOption = None,
    tls_key: TlsKeyOption = None,
    public_url: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="Where browsers reach the gateway, such as wss://play.example.com."
        ),
    ] = None,
    ruffle_config: Annotated[
        bool,
        typer.Option(
            "--ruffle-config",
            help="Print Ruffle's socketProxy as JSON and as HTML for the page; serve nothing.",
        ),
    ] = False,
    verbose: VerboseOption = False,
) -> None:
    """
    Let pages in browsers reach XMLSocket servers, by WebSocket.

    Every path leads to one server, and nothing in a request can choose another.
    Documents are passed on whole and are never parsed. Close code 1014: the
    server could not be reached or was lost; 1013: too many connections.
    """
    targets, options = read_config(config) if config else ({}, {})
    targets = _targets(target or [], targets)
    given = {
        "host": host,
        "port": port,
        "origins": origin,
        "trusted_proxies": trusted_proxy,
        "connections_per_address": connections_per_address,
        "connect_timeout": connect_timeout,
        "public_url": public_url,
    }
    options |= {name: value for name, value in given.items() if value is not None}
    where = options.pop("host", "127.0.0.1"), options.pop("port", 0)
    url = options.pop("public_url", None)
    serving = parse_limits(limit or ())
    serving["ssl"] = server_context(tls_cert, tls_key)
    serving["trusted_proxies"] = trusted_proxies(options.pop("trusted_proxies", ()))
    websocket_options(options.get("origins"))
    options |= {name: serving.pop(name) for name in _BOTH_SIDES if name in serving}
    try:
        made = Gateway(targets, **options)
    except ValueError as exc:
        raise CommandError(str(exc)) from None
    if ruffle_config:
        url = _public_url(url, *where, secure=serving["ssl"] is not None)
        typer.echo(ruffle_page(made.socket_proxy(url)))
        return
    require_websocket()
    log(verbose=verbose)
    asyncio.run(_serve(made, *where, serving))
