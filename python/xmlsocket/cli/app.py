"""The application that the commands make up, and how it reports what goes wrong."""

from __future__ import annotations

from importlib import metadata
from typing import TYPE_CHECKING, Annotated

import typer

from .. import IMPLEMENTATION
from . import connect, doctor, gateway, policy, record, replay, serve
from .demo import command as demo
from .errors import CommandError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["app", "run"]

# Plain help (rich_markup_mode=None): the examples keep their lines, and what is
# read in a pipe is what is read in a terminal.
app: typer.Typer = typer.Typer(
    name="xmlsocket",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command(epilog=serve.EXAMPLES)(serve.serve)
app.command(epilog=connect.EXAMPLES)(connect.connect)
app.command(epilog=policy.EXAMPLES)(policy.policy)
app.command(epilog=gateway.EXAMPLES)(gateway.gateway)
app.command(epilog=doctor.EXAMPLES)(doctor.doctor)
app.command(epilog=record.EXAMPLES)(record.record)
app.command(epilog=replay.EXAMPLES)(replay.replay)
app.command(epilog=demo.EXAMPLES)(demo.demo)

_EXAMPLES = """Examples:

\b
  xmlsocket demo                                  see it work
  xmlsocket serve --mode chat --port 9339         start a chat server
  xmlsocket connect 127.0.0.1 9339                talk to it
  xmlsocket policy --domain play.example.com --ports 9339 --print
  xmlsocket gateway --target /game=127.0.0.1:9339
  xmlsocket doctor game.example.com:9339          find out why players cannot connect
  xmlsocket record 127.0.0.1:9340 127.0.0.1:9339 session.jsonl
  xmlsocket replay session.jsonl
"""


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"xmlsocket {metadata.version('xmlsocket')} ({IMPLEMENTATION} codec)")
        raise typer.Exit


@app.callback(invoke_without_command=True, epilog=_EXAMPLES)
def xmlsocket(
    context: typer.Context,
    *,
    version: Annotated[  # noqa: ARG001 - its callback does the work
        bool,
        typer.Option(
            "--version",
            callback=_show_version,
            is_eager=True,
            help="Show the version and the codec in use, and exit.",
        ),
    ] = False,
) -> None:
    """Talk XMLSocket: XML documents over TCP, each ended by one zero byte."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(2)


def run(arguments: Sequence[str]) -> int:
    """
    Run a command.

    Args:
        arguments: The command line without the program's name.

    Returns:
        The exit status: 0 for success; 1 for a failure, told in one line on
        standard error; 2 for a command line that makes no sense, told likewise.

    """
    try:
        status = app(args=list(arguments), prog_name="xmlsocket", standalone_mode=False)
    except CommandError as exc:
        return _fail(str(exc), 1)
    except typer.Abort:
        return 1
    except Exception as exc:
        # typer's usage errors; their class is click's own in some releases of
        # typer and its copy of it in others.
        explain = getattr(exc, "format_message", None)
        if explain is None:
            raise
        return _fail(_one_line(explain()), 2)
    return status if isinstance(status, int) else 0


def _one_line(message: str) -> str:
    line = " ".join(message.split()).removesuffix(".")
    return line[:1].lower() + line[1:]


def _fail(message: str, status: int) -> int:
    typer.echo(f"xmlsocket: {message}", err=True)
    return status
