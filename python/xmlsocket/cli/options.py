"""Options that the commands share: limits, TLS, policies, WebSocket."""

from __future__ import annotations

import dataclasses
import re
import ssl
import typing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from ..endpoint import parse_address
from ..exceptions import PolicyError
from ..limits import Limits
from ..policy import Policy
from ..proxies import TrustedProxies
from ..testing.conformance import Endpoint
from ..upgrade import WebSocketOptions
from .errors import CommandError, reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

__all__ = [
    "LIMIT_HELP",
    "LimitOption",
    "OriginOption",
    "TlsCertOption",
    "TlsKeyOption",
    "TrustedProxyOption",
    "VerboseOption",
    "bad_limit",
    "client_context",
    "parse_limits",
    "place",
    "read_policy",
    "read_policy_file",
    "require_websocket",
    "server_context",
    "stream_endpoint",
    "trusted_proxies",
    "websocket_options",
]

_ORIGIN_HELP = (
    "Let pages of this origin open WebSockets, such as https://play.example.com, or '*' for"
    " any; may be given several times. [default: pages from this host and port]"
)
_TRUSTED_HELP = (
    "Address or network of a proxy whose PROXY header and X-Forwarded-For are believed; may be"
    " given several times."
)

_GRANT = re.compile(r"([^:/\\]+):([0-9*,-]+)", re.ASCII)


def _marks(text: str) -> int | tuple[int, int]:
    high, comma, low = text.partition(",")
    return (int(high), int(low)) if comma else int(high)


# The keywords of connect() and serve() that are limits; all others are in Limits.
_KEYWORDS: dict[str, Callable[[str], Any]] = {
    "max_size": int,
    "read_limit": _marks,
    "write_limit": _marks,
    "open_timeout": float,
    "close_timeout": float,
    "idle_timeout": float,
}


def _fields() -> dict[str, Callable[[str], Any]]:
    """Return the fields of `Limits` and what makes a value of each: int or float."""
    hints = typing.get_type_hints(Limits)
    names = [field.name for field in dataclasses.fields(Limits)]
    return {name: float if float in typing.get_args(hints[name]) else int for name in names}


_FIELDS = _fields()

_NAMES = ", ".join([*_KEYWORDS, *_FIELDS])

LIMIT_HELP = (
    "Set a limit, in bytes, seconds or frames; 'none' lifts it. May be given several times."
    f" Names: {_NAMES}."
)

# Options of several commands.
LimitOption: TypeAlias = Annotated[
    list[str] | None, typer.Option(metavar="NAME=VALUE", help=LIMIT_HELP)
]
OriginOption: TypeAlias = Annotated[
    list[str] | None, typer.Option(metavar="ORIGIN", help=_ORIGIN_HELP)
]
TrustedProxyOption: TypeAlias = Annotated[
    list[str] | None, typer.Option(metavar="ADDRESS", help=_TRUSTED_HELP)
]
TlsCertOption: TypeAlias = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="PEM file with the certificate chain; turns TLS on."),
]
TlsKeyOption: TypeAlias = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="PEM file with the key, unless --tls-cert holds it."),
]
VerboseOption: TypeAlias = Annotated[
    bool, typer.Option("--verbose", "-v", help="Log on standard error how connections end.")
]


def parse_limits(given: Iterable[str]) -> dict[str, Any]:
    """
    Turn ``name=value`` into keyword arguments of ``connect`` and ``serve``.

    Args:
        given: As typed: a keyword of the signatures or a field of `Limits`, and
            an integer of bytes, seconds, or ``none``. The water marks take
            ``high`` or ``high,low``. Of a name given twice the last value counts.

    Raises:
        typer.BadParameter: For a name that does not exist or a value that is
            none.

    """
    options: dict[str, Any] = {}
    fields: dict[str, Any] = {}
    for item in given:
        name, equals, text = (part.strip() for part in item.partition("="))
        if not equals:
            raise bad_limit(f"{item!r} is not of the form name=value")
        kind = _KEYWORDS.get(name) or _FIELDS.get(name)
        if kind is None:
            raise bad_limit(f"no limit {name!r}, valid are {_NAMES}")
        try:
            value = None if text.lower() == "none" else kind(text)
        except ValueError:
            raise bad_limit(f"{name} takes a number or 'none', not {text!r}") from None
        (options if name in _KEYWORDS else fields)[name] = value
    try:
        return options | {"limits": Limits(**fields)}
    except ValueError as exc:
        raise bad_limit(str(exc)) from None


def bad_limit(text: str) -> typer.BadParameter:
    """Return the error for limits that make no sense."""
    return typer.BadParameter(text, param_hint="'--limit'")


def place(text: str, option: str, *, free: bool = False) -> tuple[str, int]:
    """
    Read ``HOST:PORT``, IPv6 addresses in brackets.

    Args:
        text: As typed.
        option: What it was typed for.
        free: Whether port 0 is meant for a free one.

    Raises:
        typer.BadParameter: If it is of another form.

    """
    try:
        return parse_address(text, free=free)
    except ValueError as exc:
        raise typer.BadParameter(str(exc), param_hint=f"'{option}'") from None


def stream_endpoint(text: str, option: str, authority: Path | None = None) -> Endpoint:
    """
    Read the address of a server that is reached without WebSocket.

    Args:
        text: ``HOST:PORT``, ``tls://HOST:PORT`` or ``unix:PATH``.
        option: What it was typed for.
        authority: PEM file with the certificate to trust; goes with ``tls://``.

    Raises:
        CommandError: If the file cannot be read.
        typer.BadParameter: If it is of another form.

    """
    if text.startswith("unix:"):
        return Endpoint("unix", path=text.removeprefix("unix:"))
    plain = text.removeprefix("tls://")
    try:
        host, port = place(plain, option)
    except typer.BadParameter:
        raise typer.BadParameter(
            f"{text!r} is none of HOST:PORT, tls://HOST:PORT and unix:PATH",
            param_hint=f"'{option}'",
        ) from None
    tls = plain != text
    if authority is not None and not tls:
        raise typer.BadParameter("goes with tls://HOST:PORT", param_hint="'--tls-ca'")
    return Endpoint("tls" if tls else "tcp", host, port, context=client_context(tls, authority))


def server_context(certificate: Path | None, key: Path | None) -> ssl.SSLContext | None:
    """
    Make the TLS context of a server.

    Args:
        certificate: PEM file with the certificate and those that lead to it.
        key: PEM file with its private key, unless it is in the same file.

    Returns:
        The context, or ``None`` without a certificate: plain TCP.

    Raises:
        CommandError: If a file cannot be read or the two do not belong together.
        typer.BadParameter: For a key without a certificate.

    """
    if certificate is None:
        if key is not None:
            raise typer.BadParameter("needs --tls-cert", param_hint="'--tls-key'")
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(certificate, key)
    except OSError as exc:
        raise CommandError(f"cannot use certificate {certificate}: {reason(exc)}") from None
    return context


def client_context(tls: bool, authority: Path | None) -> ssl.SSLContext | None:
    """
    Make the TLS context of a client.

    Args:
        tls: Whether TLS is wanted, verified against the system's certificates.
        authority: PEM file with the certificate to trust instead; implies ``tls``.

    Raises:
        CommandError: If the file cannot be read.

    """
    if not tls and authority is None:
        return None
    try:
        return ssl.create_default_context(cafile=authority)
    except OSError as exc:
        raise CommandError(f"cannot use certificate {authority}: {reason(exc)}") from None


def read_policy(text: str) -> Policy:
    """
    Make a socket policy of what was typed.

    Args:
        text: ``DOMAIN:PORTS``, such as ``*.example.com:80,5000-5100``, or else
            the name of a policy file.

    Raises:
        CommandError: If the file cannot be read, or is no policy.

    """
    grant = _GRANT.fullmatch(text)
    if grant is None:
        return read_policy_file(Path(text))
    try:
        return Policy([grant[1]], grant[2].split(","))
    except PolicyError as exc:
        raise CommandError(f"policy {text}: {exc}") from None


def read_policy_file(path: Path) -> Policy:
    """
    Read a socket policy file.

    Raises:
        CommandError: If it cannot be read, or is no policy; with the line.

    """
    try:
        return Policy.parse(path.read_bytes())
    except OSError as exc:
        raise CommandError(f"cannot read policy {path}: {reason(exc)}") from None
    except PolicyError as exc:
        raise CommandError(f"policy {path}: {exc}") from None


def require_websocket() -> None:
    """
    See to it that WebSockets can be served.

    Raises:
        CommandError: If the extra is not installed.

    """
    try:
        from .. import websocket  # noqa: F401, PLC0415 - it takes the extra
    except ModuleNotFoundError as exc:
        raise CommandError(str(exc)) from None


def websocket_options(origins: Sequence[str] | None) -> WebSocketOptions:
    """
    Return how WebSockets are served.

    Raises:
        CommandError: If the extra is not installed.
        typer.BadParameter: If an origin is none.

    """
    require_websocket()
    try:
        return WebSocketOptions(origins=origins or None)
    except ValueError as exc:
        raise typer.BadParameter(str(exc), param_hint="'--origin'") from None


def trusted_proxies(given: Iterable[str]) -> list[str]:
    """
    Return the proxies that are trusted.

    Raises:
        typer.BadParameter: If one is neither an address nor a network.

    """
    proxies = list(given)
    try:
        TrustedProxies(proxies)
    except ValueError as exc:
        raise typer.BadParameter(str(exc), param_hint="'--trusted-proxy'") from None
    return proxies
