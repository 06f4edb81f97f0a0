"""``xmlsocket doctor``: why players cannot reach a server."""

from __future__ import annotations

import json
import shutil
import textwrap
from pathlib import Path  # noqa: TC003 - typer reads the annotations at run time
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.text import Text

from ..doctor import Case, Finding, Status, diagnose
from ..exceptions import safe_text
from ..policy import MASTER_PORT
from .errors import CommandError
from .gateway import ruffle_page
from .options import client_context, place

__all__ = ["doctor"]

EXAMPLES = """Examples:

\b
  xmlsocket doctor game.example.com:9339
  xmlsocket doctor game.example.com:9339 --swf https://play.example.com/game.swf
  xmlsocket doctor game.example.com:9339 --send '<ping/>'
  xmlsocket doctor game.example.com:9340 --tls --path /chat --origin https://play.example.com
  xmlsocket doctor game.example.com:9339 --json
"""

_STYLES: Final = {
    Status.OK: "green",
    Status.WARNING: "yellow",
    Status.FAILED: "bold red",
    Status.SKIPPED: "dim",
}
_STATUS: Final = 13
_WIDEST: Final = 100
_SEEN: Final = 600


class _Screen:
    """Where the findings go, one after the other."""

    def __init__(self) -> None:
        self._console = Console(highlight=False, emoji=False, markup=False)
        self._width = min(shutil.get_terminal_size().columns, _WIDEST)

    def show(self, finding: Finding) -> None:
        """Show one, as soon as it is known."""
        style = _STYLES[finding.status]
        mark = Text(f"{finding.status:{_STATUS}}", style)
        for number, line in enumerate(
            self._lines(f"{finding.name}: {safe_text(finding.seen, _SEEN)}")
        ):
            start = Text(" " * _STATUS) if number else mark
            self._console.print(Text.assemble(start, line), soft_wrap=True)
        if finding.fix is not None and finding.status is not Status.OK:
            for line in self._lines(f"-> {finding.fix}"):
                self._console.print(Text.assemble(" " * _STATUS, (line, "bold")), soft_wrap=True)

    def _lines(self, text: str) -> list[str]:
        return textwrap.wrap(
            text,
            max(self._width - _STATUS, 20),
            subsequent_indent="  ",
            break_long_words=False,
            break_on_hyphens=False,
        )


def doctor(
    server: Annotated[
        str, typer.Argument(metavar="SERVER", help="HOST:PORT of the server, as movies name it.")
    ],
    *,
    swf: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="Where the movie is loaded from; does the policy let it connect?"
        ),
    ] = None,
    origin: Annotated[
        str | None,
        typer.Option(
            metavar="ORIGIN",
            help="Origin of the page in which Ruffle plays it. [default: that of --swf]",
        ),
    ] = None,
    send: Annotated[
        str | None, typer.Option(metavar="DOCUMENT", help="A document that the server answers.")
    ] = None,
    path: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            help="Path of its WebSocket; to have none is a failure then. [default: /]",
        ),
    ] = None,
    policy_port: Annotated[
        int,
        typer.Option(
            metavar="PORT",
            min=1,
            max=65535,
            help="Where the policy of port 843 is to be had, if it is not redirected yet.",
        ),
    ] = MASTER_PORT,
    tls: Annotated[
        bool, typer.Option("--tls", help="Use TLS, verified with the system's certificates.")
    ] = False,
    tls_ca: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Use TLS, verified with this PEM file instead."),
    ] = None,
    timeout: Annotated[
        float, typer.Option(metavar="SECONDS", min=0.01, help="How long each step may take.")
    ] = 5.0,
    only: Annotated[
        list[str] | None,
        typer.Option(
            metavar="STEP",
            help="Look only at this: tls, policy, answer or websocket; may be given several times.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """
    Find out why players cannot reach a server.

    Looked at are: the name and its addresses, the port, TLS and the certificate,
    the policy files on port 843 and on the port itself as Flash asks for them, how
    the server ends what it says, and its WebSocket for Ruffle, with the socketProxy
    for the page. Each line says what was seen, and below it, what to do.

    The server is connected to some twenty times, and not harmed. Exit status 1:
    something failed.
    """
    host, port = place(server, "SERVER")
    try:
        case = Case(
            host,
            port,
            context=client_context(tls, tls_ca),
            path=path,
            policy_port=policy_port,
            swf=swf,
            origin=origin,
            send=None if send is None else send.encode(),
            timeout=timeout,
        )
        tell = None if as_json else _Screen().show
        diagnosis = diagnose(case, only=only or (), tell=tell)
    except ValueError as exc:
        raise CommandError(str(exc)) from None
    if as_json:
        typer.echo(json.dumps(diagnosis.as_json(), indent=2))
    else:
        if diagnosis.socket_proxy:
            typer.echo(f"\nFor Ruffle:\n\n{ruffle_page(list(diagnosis.socket_proxy))}")
        typer.echo(f"\n{diagnosis.summary()}")
    raise typer.Exit(0 if diagnosis.passed else 1)
