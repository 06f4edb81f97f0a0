"""Options that the commands share."""

from __future__ import annotations

import dataclasses
import inspect
import ssl
from typing import TYPE_CHECKING

import pytest
import trustme
import typer

import xmlsocket
from xmlsocket import Limits
from xmlsocket.cli import options
from xmlsocket.cli.errors import CommandError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NAMES = (
    "max_size, read_limit, write_limit, open_timeout, close_timeout, idle_timeout, "
    + ", ".join(field.name for field in dataclasses.fields(Limits))
)


@pytest.mark.parametrize("function", [xmlsocket.connect, xmlsocket.serve])
def test_parse_limits_knows_exactly_the_limits_of_the_signature(
    function: Callable[..., object],
) -> None:
    """Every keyword that is a limit can be given, and no name that is no keyword."""
    keywords = inspect.signature(function).parameters
    limits = {name for name in keywords if name.endswith(("_size", "_limit", "_timeout"))}
    limits.discard("sniff_timeout")  # how long serve() looks; of no meaning to connect()

    given = options.parse_limits(f"{name}=1" for name in limits)
    assert limits | {"limits"} == set(given)


def test_parse_limits_takes_every_field_of_limits() -> None:
    """What is no keyword is a field of `Limits`, whatever fields there are."""
    fields = dataclasses.fields(Limits)

    given = options.parse_limits(f"{field.name}=7" for field in fields)["limits"]
    assert {field.name: 7 for field in fields} == dataclasses.asdict(given)


@pytest.mark.parametrize(
    ("item", "name", "value"),
    [
        ("max_size=65536", "max_size", 65536),
        (" max_size = 1_000 ", "max_size", 1000),
        ("max_size=none", "max_size", None),
        ("max_size=None", "max_size", None),
        ("read_limit=100", "read_limit", 100),
        ("write_limit=100,0", "write_limit", (100, 0)),
        ("write_limit=none", "write_limit", None),
        ("idle_timeout=2.5", "idle_timeout", 2.5),
    ],
)
def test_parse_limits_value_becomes_what_the_keyword_takes(
    item: str, name: str, value: object
) -> None:
    """Bytes are integers, seconds may have a fraction, marks may be two, none lifts."""
    assert {name: value, "limits": Limits()} == options.parse_limits([item])


def test_parse_limits_last_value_of_a_name_counts() -> None:
    """An option given twice is overridden, as on every command line."""
    given = options.parse_limits(["max_size=1", "quantum=5", "max_size=2", "quantum=none"])

    assert {"max_size": 2, "limits": Limits(quantum=None)} == given


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ("size=5", f"no limit 'size', valid are {NAMES}"),
        ("=5", f"no limit '', valid are {NAMES}"),
        ("max_size", "'max_size' is not of the form name=value"),
        ("max_size=many", "max_size takes a number or 'none', not 'many'"),
        ("max_size=1.5", "max_size takes a number or 'none', not '1.5'"),
        ("read_limit=4,", "read_limit takes a number or 'none', not '4,'"),
        ("idle_timeout=", "idle_timeout takes a number or 'none', not ''"),
        ("quantum=0", "Limits.quantum must be positive or None, not 0"),
        ("message_timeout=nan", "Limits.message_timeout must be positive or None, not nan"),
    ],
)
def test_parse_limits_nonsense_is_refused_with_what_would_be_right(item: str, message: str) -> None:
    """An unknown name lists the known ones; a wrong value says what the limit takes."""
    with pytest.raises(typer.BadParameter) as caught:
        options.parse_limits([item])

    assert message == str(caught.value)


def test_limit_help_lists_every_name() -> None:
    """The help needs no second list to look the names up in."""
    assert f"Names: {NAMES}." in options.LIMIT_HELP


def test_server_context_without_a_certificate_is_plain_tcp() -> None:
    """TLS is off unless a certificate is given."""
    assert options.server_context(None, None) is None


def test_server_context_key_in_its_own_file_or_with_the_certificate(tmp_path: Path) -> None:
    """A PEM file may hold the key as well."""
    issued = trustme.CA().issue_cert("localhost")
    both, certificate, key = (tmp_path / name for name in ("both.pem", "cert.pem", "key.pem"))
    issued.private_key_and_cert_chain_pem.write_to_path(both)
    issued.cert_chain_pems[0].write_to_path(certificate)
    issued.private_key_pem.write_to_path(key)

    assert isinstance(options.server_context(both, None), ssl.SSLContext)
    assert isinstance(options.server_context(certificate, key), ssl.SSLContext)


def test_server_context_key_without_a_certificate_is_refused(tmp_path: Path) -> None:
    """A key alone would leave the server without TLS, which nobody meant."""
    with pytest.raises(typer.BadParameter, match=r"^needs --tls-cert$"):
        options.server_context(None, tmp_path)


def test_contexts_unreadable_file_is_one_line(tmp_path: Path) -> None:
    """A file that is not there is named."""
    missing = tmp_path / "missing.pem"
    message = f"cannot use certificate {missing}: no such file or directory"

    with pytest.raises(CommandError) as caught:
        options.server_context(missing, None)
    assert message == str(caught.value)
    with pytest.raises(CommandError) as caught:
        options.client_context(False, missing)
    assert message == str(caught.value)


def test_contexts_file_without_a_certificate_is_one_line(tmp_path: Path) -> None:
    """What the TLS library says about a file is put behind the file's name."""
    empty = tmp_path / "empty.pem"
    empty.write_bytes(b"")

    words = f"^cannot use certificate {empty}: TLS failed: "
    with pytest.raises(CommandError, match=words):
        options.server_context(empty, None)
    with pytest.raises(CommandError, match=words):
        options.client_context(True, empty)


def test_client_context_verifies_names_and_certificates(tmp_path: Path) -> None:
    """There is no way to talk TLS to someone whose certificate was not checked."""
    authority = tmp_path / "authority.pem"
    trustme.CA().cert_pem.write_to_path(authority)

    assert options.client_context(False, None) is None
    for context in (options.client_context(True, None), options.client_context(False, authority)):
        assert context is not None
        assert context.check_hostname
        assert ssl.CERT_REQUIRED == context.verify_mode
