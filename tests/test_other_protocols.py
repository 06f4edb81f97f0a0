"""Protocols of others with this framing: the codec talks to their own programs."""

from __future__ import annotations

import contextlib
import json
import logging
import socket
import threading
from typing import TYPE_CHECKING, Any

import pygelf
import pytest
import varlink

import xmlsocket.sync
from xmlsocket import Decoder, encode
from xmlsocket.testing import BackgroundServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PATIENCE = 30.0
INTERFACE = """# A test
interface org.example.echo
method Echo(text: string) -> (text: string)
error Tired (times: int)
"""


# Varlink


@contextlib.contextmanager
def varlink_service(folder: Path) -> Iterator[Path]:
    """Run a service of the varlink package."""
    (folder / "org.example.echo.varlink").write_text(INTERFACE, "utf-8")
    service = varlink.Service("xmlsocket", "tests", "1", interface_dir=str(folder))

    @service.interface("org.example.echo")
    class Echo:
        """The interface."""

        def Echo(self, text: str) -> dict[str, str]:  # noqa: N802 - methods are written so
            if not text:
                raise varlink.VarlinkError(
                    {"error": "org.example.echo.Tired", "parameters": {"times": 1}}
                )
            return {"text": text}

    class Handler(varlink.RequestHandler):  # type: ignore[misc]  # the package has no types
        service: Any

    Handler.service = service
    path = folder / "echo.sock"
    with varlink.ThreadingServer(f"unix:{path}", Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield path
        server.shutdown()
        thread.join()


def calls(*texts: str) -> list[bytes]:
    """Return calls of the service."""
    return [
        json.dumps({"method": "org.example.echo.Echo", "parameters": {"text": text}}).encode()
        for text in texts
    ]


TEXTS = ["one", "żółć 😀", "a\0b", "x" * 10_000]


def test_codec_calls_a_varlink_service(tmp_path: Path) -> None:
    """Calls sent in one go are answered in their order, errors among them."""
    with varlink_service(tmp_path) as path, socket.socket(socket.AF_UNIX) as peer:
        peer.settimeout(PATIENCE)
        peer.connect(str(path))
        decoder = Decoder()
        replies: list[Any] = []
        for call in calls(*TEXTS, ""):
            peer.sendall(encode(call))
        while len(replies) < len(TEXTS) + 1:
            replies += map(json.loads, decoder.feed(peer.recv(2**16)))

    assert TEXTS == [reply["parameters"]["text"] for reply in replies[:-1]]
    assert "org.example.echo.Tired" == replies[-1]["error"]


def test_connection_calls_a_varlink_service(tmp_path: Path) -> None:
    """A connection that parses JSON is a client."""
    with (
        varlink_service(tmp_path) as path,
        xmlsocket.sync.unix_connect(path, parse=json.loads) as client,
    ):
        client.send('{"method": "org.varlink.service.GetInfo"}')
        info: Any = client.recv(timeout=PATIENCE)
        client.send_many(calls(*TEXTS))
        echoes: list[Any] = [client.recv(timeout=PATIENCE) for _ in TEXTS]

    assert ("xmlsocket", "tests") == (info["parameters"]["vendor"], info["parameters"]["product"])
    assert TEXTS == [echo["parameters"]["text"] for echo in echoes]


def test_varlink_client_calls_our_server(tmp_path: Path) -> None:
    """A client of the varlink package asks for the interface, then calls it."""
    path = tmp_path / "echo.sock"
    interfaces = ["org.varlink.service", "org.example.echo"]
    answers = {
        "org.varlink.service.GetInfo": {"interfaces": interfaces},
        "org.varlink.service.GetInterfaceDescription": {"description": INTERFACE},
    }

    async def serve(connection: xmlsocket.Connection[Any]) -> None:
        async for message in connection:
            parameters = answers.get(message["method"], message.get("parameters"))
            await connection.send(json.dumps({"parameters": parameters}))

    with (
        BackgroundServer(lambda: xmlsocket.unix_serve(serve, path, parse=json.loads)),
        varlink.Client.new_with_address(f"unix:{path}") as client,
        client.open("org.example.echo") as connection,
    ):
        assert TEXTS == [connection.Echo(text)["text"] for text in TEXTS]


# GELF


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    """Make a logger that no other test has."""
    logger = logging.getLogger("tests.gelf")
    yield logger
    for handler in [*logger.handlers]:
        logger.removeHandler(handler)
        handler.close()


def test_gelf_messages_arrive_whole(logger: logging.Logger) -> None:
    """What pygelf sends over TCP are frames: short ones, ones in many scripts, long ones."""
    decoder = Decoder()
    received: list[Any] = []

    def speak() -> None:
        for text in TEXTS:
            logger.warning(text, extra={"number": 7})

    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        logger.addHandler(pygelf.GelfTcpHandler("127.0.0.1", port, include_extra_fields=True))
        sender = threading.Thread(target=speak)
        sender.start()
        peer, _ = listener.accept()
        with peer:
            peer.settimeout(PATIENCE)
            while len(received) < len(TEXTS):
                received += map(json.loads, decoder.feed(peer.recv(2**16)))
        sender.join()
    decoder.feed_eof()

    assert TEXTS == [message["short_message"] for message in received]
    assert {7} == {message["_number"] for message in received}
