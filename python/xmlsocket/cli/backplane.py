"""``--backplane``: what joins the chat of one server to that of others."""

from __future__ import annotations

import contextlib
import importlib.util
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from .errors import CommandError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ..backplane import Backplane

__all__ = ["BackplaneOption", "check_backplane", "open_backplane"]

BackplaneOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="nats://HOST:PORT",
        help="With --mode chat: join the clients of all servers that name the same NATS.",
    ),
]


def check_backplane(address: str, *, chat: bool) -> str:
    """
    Return the address of a backplane that can be used.

    Raises:
        CommandError: If what it needs is not installed.
        typer.BadParameter: If it is no address, or there is nothing to join.

    """
    if not address.startswith(("nats://", "tls://", "ws://", "wss://")):
        raise typer.BadParameter("begins with nats:// or tls://", param_hint="'--backplane'")
    if not chat:
        raise typer.BadParameter("needs --mode chat", param_hint="'--backplane'")
    if importlib.util.find_spec("nats") is None:
        raise CommandError(
            "--backplane needs nats-py, which is not installed: pip install 'xmlsocket[nats]'"
        )
    return address


@contextlib.asynccontextmanager
async def open_backplane(address: str | None) -> AsyncIterator[Backplane | None]:
    """
    Connect to NATS, if there is an address.

    Raises:
        CommandError: If NATS cannot be used.

    """
    if address is None:
        yield None
        return
    from ..backplane.nats import (  # noqa: PLC0415 - only if it is asked for
        BackplaneError,
        NatsBackplane,
    )

    backplane = NatsBackplane(address)
    try:
        await backplane.__aenter__()
    except BackplaneError as exc:
        raise CommandError(str(exc)) from None
    try:
        yield backplane
    finally:
        await backplane.__aexit__(None, None, None)
