"""The configuration file of ``xmlsocket gateway``."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any, Final

from ..gateway import Target
from .errors import CommandError, reason
from .options import client_context

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["read_config", "read_target"]

_STRINGS: Final = "a list of strings"
_KEYS: Final = {
    "host": "a string",
    "port": "an integer",
    "origins": _STRINGS,
    "trusted_proxies": _STRINGS,
    "connections_per_address": "an integer",
    "connect_timeout": "a number",
    "public_url": "a string",
}
_TARGET_KEYS: Final = {
    "path": "a string",
    "address": "a string",
    "tls": "true or false",
    "tls_ca": "a string",
    "proxy_header": "an integer",
    "movie_address": "a string",
}
_NEEDED: Final = ("path", "address")


def _is(value: object, kind: str) -> bool:
    if kind == _STRINGS:
        return isinstance(value, list) and all(isinstance(item, str) for item in value)
    if isinstance(value, bool):
        return kind == "true or false"
    if kind == "a number":
        return isinstance(value, int | float)
    return (kind, type(value)) in {("a string", str), ("an integer", int)}


def _check(table: Mapping[str, Any], keys: Mapping[str, str]) -> None:
    for key, value in table.items():
        if key not in keys:
            raise ValueError(f"no key {key!r}, valid are {', '.join(keys)}")
        if not _is(value, keys[key]):
            raise ValueError(f"{key} must be {keys[key]}")


def read_config(path: Path) -> tuple[dict[str, Target], dict[str, Any]]:
    """
    Read a configuration file.

    Args:
        path: TOML: the options of the command by their names, and a table
            ``[[target]]`` for each target.

    Returns:
        The targets by path, and the other keys as they are.

    Raises:
        CommandError: If the file cannot be read or says what makes no sense.

    """
    try:
        config = tomllib.loads(path.read_text(encoding="utf-8"))
        tables = config.pop("target", [])
        if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
            raise ValueError("target must be a list of tables: [[target]]")  # noqa: TRY301
        _check(config, _KEYS)
        return _read_targets(tables), config
    except OSError as exc:
        raise CommandError(f"cannot read {path}: {reason(exc)}") from None
    except ValueError as exc:  # that of tomllib, too
        raise CommandError(f"{path}: {str(exc)[:1].lower()}{str(exc)[1:]}") from None


def _read_targets(tables: list[dict[str, Any]]) -> dict[str, Target]:
    targets: dict[str, Target] = {}
    for number, table in enumerate(tables, start=1):
        try:
            path, target = _read_target(table, targets)
        except ValueError as exc:
            raise ValueError(f"target {number}: {exc}") from None
        targets[path] = target
    return targets


def _read_target(table: Mapping[str, Any], others: Mapping[str, Target]) -> tuple[str, Target]:
    _check(table, _TARGET_KEYS)
    for key in _NEEDED:
        if key not in table:
            raise ValueError(f"{key} is missing")
    if table["path"] in others:
        raise ValueError(f"path {table['path']!r} has a target already")
    address = Target.parse(table["address"])
    movie = Target.parse(table["movie_address"]) if "movie_address" in table else None
    return table["path"], Target(
        address.host,
        address.port,
        ssl=client_context(table.get("tls", False), table.get("tls_ca")),
        proxy_header=table.get("proxy_header"),
        movie_address=None if movie is None else (movie.host, movie.port),
    )


def read_target(text: str) -> tuple[str, Target]:
    """
    Read a target of the command line.

    Args:
        text: ``PATH=HOST:PORT``.

    Raises:
        ValueError: If it is of another form.

    """
    path, equals, address = text.partition("=")
    if not equals:
        raise ValueError(f"{text!r} is not of the form PATH=HOST:PORT")
    return path, Target.parse(address)
