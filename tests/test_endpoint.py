"""Listening sockets and addresses."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from xmlsocket.endpoint import bind, format_address, unlink_unix


def info(host: str, port: int) -> Any:
    """Return what getaddrinfo says of one address."""
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]


def test_bind_address_this_machine_lacks_is_passed_over_after_another() -> None:
    """A name with an address of a family that the machine lacks still listens on the others."""
    listeners = bind([info("127.0.0.1", 0), info("2001:db8::1", 0)], backlog=1, reuse_port=False)

    assert 1 == len(listeners)
    listeners[0].close()


def test_bind_address_this_machine_lacks_alone_raises() -> None:
    """Without another address the error names it."""
    with pytest.raises(OSError, match=r"cannot listen on \[2001:db8::1\]:0"):
        bind([info("2001:db8::1", 0)], backlog=1, reuse_port=False)


def test_bind_failure_closes_what_was_opened() -> None:
    """When a later address cannot be had the earlier ones are let go."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match="cannot listen on"):
            bind([info("127.0.0.2", port), info("127.0.0.1", port)], backlog=1, reuse_port=False)

        again = bind([info("127.0.0.2", port)], backlog=1, reuse_port=False)
    again[0].close()


@pytest.mark.parametrize(
    ("address", "text"),
    [
        (("127.0.0.1", 80), "127.0.0.1:80"),
        (("::1", 80, 0, 0), "[::1]:80"),
        ("/run/chat.sock", "/run/chat.sock"),
        ("", "unix socket"),
    ],
)
def test_format_address_of_every_family(address: Any, text: str) -> None:
    """Addresses are shown as one types them."""
    assert text == format_address(address)


def test_unlink_unix_leaves_other_families_and_nameless_sockets_alone() -> None:
    """Only a path is removed."""
    with socket.socket() as tcp, socket.socket(socket.AF_UNIX) as nameless:
        unlink_unix(tcp)
        unlink_unix(nameless)
