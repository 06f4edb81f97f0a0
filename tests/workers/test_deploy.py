"""What ``examples/deploy`` shows is right: read by the programs it is for, and run by them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import ssl
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import trustme

import xmlsocket
from tests.support.scripted import closed_port

from .support import PATIENCE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from xmlsocket import Connection, Server

DEPLOY = Path(__file__).resolve().parents[2] / "examples" / "deploy"

NEEDED = {
    "haproxy": "apt-get install haproxy",
    "nginx": "apt-get install nginx-light libnginx-mod-stream",
    "systemd-analyze": "apt-get install systemd",
}

CLIENT = "127.0.0.5"
"""Where clients come from; the proxies come from 127.0.0.1."""


def tool(name: str) -> str:
    """Return the path of a program, or skip the test."""
    path = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
    if path is None:
        pytest.skip(f"{name} is not installed: {NEEDED[name]}")
    return path


def nginx_with_streams() -> str:
    """Return the path of nginx, or skip the test if nginx cannot pass TCP on."""
    path = tool("nginx")
    if not any(Path("/etc/nginx/modules-enabled").glob("*stream*")):
        pytest.skip(f"nginx has no stream module: {NEEDED['nginx']}")
    return path


def adapted(name: str, changes: Mapping[str, str], folder: Path) -> Path:
    """Copy a file with what differs on this machine changed; each text stands there."""
    text = (DEPLOY / name).read_text(encoding="utf-8")
    for old, new in changes.items():
        assert old in text, f"{name} has no {old!r}"
        text = text.replace(old, new)
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def checked(*command: str | Path) -> bytes:
    """Run a program that finds no fault with its input, and return what it says."""
    result = subprocess.run(command, capture_output=True, timeout=PATIENCE, check=False)
    assert 0 == result.returncode, result.stderr
    return result.stdout + result.stderr


class Certificate:
    """A certificate for localhost, in the files that servers read."""

    def __init__(self, folder: Path) -> None:
        authority = trustme.CA()
        own = authority.issue_cert("localhost")
        self.chain = folder / "own.pem"
        self.key = folder / "own.key"
        own.private_key_and_cert_chain_pem.write_to_path(self.chain)
        own.private_key_pem.write_to_path(self.key)
        self.client = ssl.create_default_context()
        authority.configure_trust(self.client)


@contextlib.asynccontextmanager
async def serving(**options: Any) -> AsyncIterator[Server[bytes]]:
    """Tell every client where it comes from, as far as the server can see, then echo."""

    async def tell(connection: Connection[bytes]) -> None:
        host, port = connection.remote_address
        await connection.send(f"{host} {port}")
        async for frames in connection.batches():
            await connection.send_many(frames)

    async with xmlsocket.serve(
        tell, "127.0.0.1", 0, parse=bytes, trusted_proxies=["127.0.0.1"], **options
    ) as server:
        yield server


@contextlib.asynccontextmanager
async def running(*command: str | Path) -> AsyncIterator[None]:
    """Run a proxy, and end it by its own signal."""
    process = await asyncio.create_subprocess_exec(*map(str, command))
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):  # it failed by itself
            process.terminate()
        async with asyncio.timeout(PATIENCE):
            await process.wait()


async def reach(port: int) -> None:
    """Wait until a proxy listens."""
    async with asyncio.timeout(PATIENCE):
        while True:
            with contextlib.suppress(ConnectionRefusedError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                await writer.wait_closed()
                return
            await asyncio.sleep(0.02)


async def told(port: int, **options: Any) -> bool:
    """Connect through a proxy; say whether the server knows the client, and see it echo."""
    async with xmlsocket.connect(
        "127.0.0.1", port, parse=bytes, local_addr=(CLIENT, 0), **options
    ) as client:
        known: bool = await client.recv() == f"{CLIENT} {client.local_address[1]}".encode()
        await client.send(b"<a/>")
        assert b"<a/>" == await client.recv()
        return known


def test_systemd_units_are_valid(tmp_path: Path) -> None:
    """The units have no error that systemd's own checker finds."""
    analyze = tool("systemd-analyze")
    command = {"/opt/xmlsocket/bin/xmlsocket serve --workers 4": "/bin/true"}
    service = adapted("xmlsocket.service", command, tmp_path)
    unit = adapted("xmlsocket.socket", {}, tmp_path)

    assert b"" == checked(analyze, "verify", service, unit)


async def test_haproxy_tells_who_the_client_is(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Over TCP and TLS the server sees the client's address; health checks reach no handler."""
    caplog.set_level(logging.DEBUG, "xmlsocket")
    haproxy = tool("haproxy")
    certificate = Certificate(tmp_path)
    plain, secure = closed_port(), closed_port()
    async with serving() as server:
        host, port = server.sockets[0].getsockname()
        changes = {
            "bind :9339": f"bind 127.0.0.1:{plain}",
            "bind :9340": f"bind 127.0.0.1:{secure}",
            "/etc/haproxy/xmlsocket.pem": str(certificate.chain),
            "10.0.0.11:9339": f"{host}:{port}",
            "    server two 10.0.0.12:9339\n": "",
            "maxconn 20000": "maxconn 100",  # asks for no more descriptors than there are
            "inter 2s": "inter 50ms",
        }
        config = adapted("haproxy.cfg", changes, tmp_path)
        check = await asyncio.to_thread(checked, haproxy, "-c", "-f", config)
        assert b"WARNING" not in check
        async with running(haproxy, "-q", "-db", "-f", config):
            await reach(plain)

            assert await told(plain)
            assert await told(secure, ssl=certificate.client, server_hostname="localhost")
            accepted = server.stats().accepted
            goal = caplog.text.count("= health check") + 3
            async with asyncio.timeout(PATIENCE):
                while caplog.text.count("= health check") < goal:
                    await asyncio.sleep(0.02)
            assert accepted == server.stats().accepted
    assert [] == [record for record in caplog.records if record.levelno > logging.INFO]


async def test_nginx_tells_who_the_client_is(tmp_path: Path) -> None:
    """Over TCP, TLS and WebSocket the server sees the client's address."""
    nginx = nginx_with_streams()
    certificate = Certificate(tmp_path)
    plain, secure, web = closed_port(), closed_port(), closed_port()
    origin = "https://play.example.com"
    options = xmlsocket.WebSocketOptions(origins=[origin])
    async with serving(websocket=options) as server:
        port = server.sockets[0].getsockname()[1]
        temporary = "".join(
            f" {name}_temp_path {tmp_path}/{name};"
            for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        changes = {
            "listen 9340;": f"listen 127.0.0.1:{plain};",
            "listen 9341 ssl;": f"listen 127.0.0.1:{secure} ssl;",
            "listen 8443 ssl;": f"listen 127.0.0.1:{web} ssl;",
            "/etc/nginx/xmlsocket.pem": str(certificate.chain),
            "/etc/nginx/xmlsocket.key": str(certificate.key),
            "127.0.0.1:9339": f"127.0.0.1:{port}",
            "worker_connections 20000": "worker_connections 100",
            "access_log off;": f"access_log off;{temporary}",
        }
        config = adapted("nginx.conf", changes, tmp_path)
        extra = f"daemon off; pid {tmp_path}/pid; error_log {tmp_path}/error.log warn;"
        async with running(nginx, "-c", config, "-g", extra):
            await reach(plain)

            assert await told(plain)
            tls = {"ssl": certificate.client, "server_hostname": "localhost"}
            assert await told(secure, **tls)
            async with xmlsocket.connect_websocket(
                f"wss://localhost:{web}/socket",
                parse=bytes,
                origin=origin,
                local_addr=(CLIENT, 0),
                ssl=certificate.client,
            ) as client:
                assert CLIENT.encode() == (await client.recv()).split()[0]
        assert "" == (tmp_path / "error.log").read_text(encoding="utf-8")
