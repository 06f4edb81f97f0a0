"""Listening sockets and addresses."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import sys
from typing import TYPE_CHECKING, Any

import pytest

import xmlsocket
from xmlsocket import sync
from xmlsocket.endpoint import (
    Reserve,
    bind,
    format_address,
    keep_alive,
    parse_address,
    unlink_unix,
)

if TYPE_CHECKING:
    from pathlib import Path


async def echo(connection: xmlsocket.Connection[bytes]) -> None:
    """Send every document back."""
    async for document in connection:
        await connection.send(document)


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


@pytest.mark.parametrize("address", [("127.0.0.1", 1), ("::1", 9339), ("play.example.com", 65535)])
def test_parse_address_reads_what_format_address_writes(address: tuple[str, int]) -> None:
    """IPv6 addresses have brackets there and none here."""
    assert address == parse_address(format_address(address))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("host", "'host' is not of the form HOST:PORT"),
        ("::1:9339", "is not of the form HOST:PORT"),
        ("a b:1", "is not of the form HOST:PORT"),
        ("host:\u0661", "is not of the form HOST:PORT"),
        ("host:0", "port 0 is not within 1 to 65535"),
        ("host:65536", "port 65536 is not within 1 to 65535"),
    ],
)
def test_parse_address_of_another_form_is_refused(text: str, message: str) -> None:
    """Digits are those of ASCII, and hosts hold neither colons nor spaces."""
    with pytest.raises(ValueError, match=message):
        parse_address(text)


def test_parse_address_port_0_where_a_free_one_is_meant() -> None:
    """Listeners take it, clients do not."""
    assert ("host", 0) == parse_address("host:0", free=True)
    with pytest.raises(ValueError, match="within 0 to"):
        parse_address("host:70000", free=True)


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="needs Unix sockets")
async def test_unix_server_that_closes_leaves_the_path_of_its_successor(tmp_path: Path) -> None:
    """A new server takes the path over while the old one finishes."""
    path = str(tmp_path / "s")
    old = await xmlsocket.unix_serve(echo, path, parse=bytes)
    async with xmlsocket.unix_serve(echo, path, parse=bytes):
        old.close()
        await old.wait_closed()

        async with xmlsocket.unix_connect(path, parse=bytes) as client:
            await client.send("<a/>")
            assert b"<a/>" == await client.recv()
    assert not os.path.exists(path)  # noqa: ASYNC240, PTH110


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="needs Unix sockets")
@pytest.mark.parametrize("tree", ["asyncio", "sync"])
async def test_unix_server_closes_though_its_path_cannot_be_removed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tree: str
) -> None:
    """Privileges may have been dropped since it was made; root is refused nothing."""

    def refuse(_path: str) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    path = str(tmp_path / "s")
    if tree == "asyncio":
        server = await xmlsocket.unix_serve(echo, path, parse=bytes)
        monkeypatch.setattr(os, "unlink", refuse)
        server.close()
        await asyncio.wait_for(server.wait_closed(), 30)
    else:
        other = sync.unix_serve(lambda _: None, path, parse=bytes)
        monkeypatch.setattr(os, "unlink", refuse)
        await asyncio.wait_for(asyncio.to_thread(other.close), 30)
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_unix_connection(path)


@pytest.mark.skipif(sys.platform != "linux", reason="names without a path are Linux's")
async def test_unix_server_has_a_name_without_a_path() -> None:
    """It begins with a zero byte, and there is nothing to remove."""
    name = f"\0xmlsocket-{os.getpid()}"
    async with (
        xmlsocket.unix_serve(echo, name, parse=bytes),
        xmlsocket.unix_connect(name, parse=bytes) as client,
    ):
        await client.send("<a/>")
        assert b"<a/>" == await client.recv()


def test_unlink_unix_leaves_other_families_and_nameless_sockets_alone() -> None:
    """Only a path is removed."""
    with socket.socket() as tcp, socket.socket(socket.AF_UNIX) as nameless:
        unlink_unix(tcp)
        unlink_unix(nameless)


# Keeping connections alive


def option(sock: socket.socket, name: str) -> int:
    """Return an option of TCP."""
    return sock.getsockopt(socket.IPPROTO_TCP, getattr(socket, name))


needs_linux = pytest.mark.skipif(
    not hasattr(socket, "TCP_USER_TIMEOUT"), reason="the platform lacks TCP_USER_TIMEOUT"
)


@needs_linux
@pytest.mark.parametrize(
    ("send_timeout", "milliseconds"), [(30.0, 35_000), (0.5, 5_500), (None, 0), (1e9, 2**31 - 1)]
)
def test_keep_alive_tcp_socket_gets_probes_and_a_limit(
    send_timeout: float | None, milliseconds: int
) -> None:
    """Silent peers are probed; data unacknowledged for longer than send_timeout ends it."""
    with socket.socket() as sock:
        keep_alive(sock, send_timeout)

        assert 1 == sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert 60 == option(sock, "TCP_KEEPIDLE")
        assert 15 == option(sock, "TCP_KEEPINTVL")
        assert 4 == option(sock, "TCP_KEEPCNT")
        assert milliseconds == option(sock, "TCP_USER_TIMEOUT")


def test_keep_alive_unix_socket_is_left_alone() -> None:
    """The peer of a Unix socket cannot vanish without the system noticing."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        keep_alive(ours, 30.0)

        assert 0 == ours.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


@needs_linux
async def test_serve_and_connect_on_a_loop_keep_both_ends_alive() -> None:
    """What a server accepts and what a client connects is kept alive."""

    async def handler(connection: xmlsocket.Connection[bytes]) -> None:
        server_end = connection._transport.get_extra_info("socket")
        await connection.send(str(option(server_end, "TCP_USER_TIMEOUT")))

    async with (
        xmlsocket.serve(handler, "127.0.0.1", 0, parse=bytes) as server,
        xmlsocket.connect(*server.sockets[0].getsockname(), parse=bytes) as client,
    ):
        assert b"35000" == await client.recv()
        client_end = client._transport.get_extra_info("socket")
        assert 35_000 == option(client_end, "TCP_USER_TIMEOUT")


def test_keep_alive_platform_without_an_option_sets_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Probes are on wherever there are probes, though their times may be the system's."""
    monkeypatch.delattr(socket, "TCP_KEEPIDLE", raising=False)

    with socket.socket() as sock:
        keep_alive(sock, None)

        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        if hasattr(socket, "TCP_KEEPINTVL"):
            assert 15 == option(sock, "TCP_KEEPINTVL")


@needs_linux
def test_serve_and_connect_with_threads_keep_both_ends_alive() -> None:
    """With threads it is the same."""

    def handler(connection: sync.Connection[bytes]) -> None:
        connection.send(str(option(connection._stream._sock, "TCP_USER_TIMEOUT")))

    with (
        sync.serve(handler, "127.0.0.1", 0, parse=bytes) as server,
        sync.connect(*server.sockets[0].getsockname(), parse=bytes) as client,
    ):
        assert b"35000" == client.recv()
        assert 35_000 == option(client._stream._sock, "TCP_USER_TIMEOUT")


# Out of descriptors

EMFILE = OSError(errno.EMFILE, "Too many open files")


def test_turn_away_accept_that_fails_again_leaves_the_listener_alone() -> None:
    """When not even the kept descriptor lets one accept, trying at once would spin."""
    reserve = Reserve()
    with socket.socket() as deaf:  # accepting from a socket that does not listen fails
        assert not reserve.turn_away(deaf, EMFILE)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        with socket.create_connection(listener.getsockname(), timeout=10) as peer:
            assert reserve.turn_away(listener, EMFILE)
            assert b"" == peer.recv(1)
    reserve.close()


def test_turn_away_without_a_kept_descriptor_does_nothing_until_one_is_restored() -> None:
    """A process that had none to keep can turn nobody away, and may end all the same."""
    resource = pytest.importorskip("resource", reason="RLIMIT_NOFILE is a matter of Unix")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        with socket.create_connection(listener.getsockname(), timeout=10) as peer:
            resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
            try:
                reserve = Reserve()
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            assert not reserve.turn_away(listener, EMFILE)
            reserve.close()

            reserve.restore()
            assert reserve.turn_away(listener, EMFILE)
            assert b"" == peer.recv(1)
    reserve.close()
