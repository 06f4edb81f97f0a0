"""What arrives over TLS right before the end of the stream is delivered, on every loop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
from typing import TYPE_CHECKING, Any

import pytest

import xmlsocket
from tests.support.tls import contexts
from xmlsocket import CloseReason, Policy
from xmlsocket.websocket import ClientWebSocket

from .support import port_of, until

if TYPE_CHECKING:
    from collections.abc import Callable

DOCUMENT = b"x" * 1023
LONG = 60.0


class Peer(threading.Thread):
    """Says hello, and everything else at once with the end of its stream, while the loop stands."""

    def __init__(
        self, port: int, count: int, *, websocket: bool, goodbye: bool, last: bytes = b""
    ) -> None:
        super().__init__()
        self._port = port
        self._count = count
        self._websocket = websocket
        self._goodbye = goodbye
        self._last = last
        self.go = threading.Event()
        self.gone = threading.Event()
        self.over = threading.Event()

    def run(self) -> None:
        """Talk."""
        sock = socket.create_connection(("127.0.0.1", self._port), LONG)
        tls = contexts()[1].wrap_socket(sock, server_hostname="localhost")
        with tls:
            wrap = self._open(tls) if self._websocket else bytes
            tls.sendall(wrap(b"<hello/>\0"))
            self.go.wait(LONG)
            tls.sendall(b"".join(wrap(DOCUMENT + b"\0") for _ in range(self._count)) + self._last)
            if self._goodbye:
                tls.settimeout(0)
                with pytest.raises(ssl.SSLWantReadError):  # the peer's goodbye is not there yet
                    tls.unwrap()
            socket.socket.shutdown(tls, socket.SHUT_WR)
            self.gone.set()
            self.over.wait(LONG)

    def _open(self, tls: ssl.SSLSocket) -> Callable[[bytes], bytes]:
        carrier = ClientWebSocket(f"wss://localhost:{self._port}/")
        tls.sendall(b"".join(carrier.data_to_send()))
        while not carrier.has_opened:
            carrier.receive_data(tls.recv(4096))
        return carrier.wrap


async def told(
    peer: Callable[[int], Peer], **options: Any
) -> tuple[list[bytes], CloseReason | None]:
    """Return the documents that a handler gets from a peer after the first, and their end."""
    seen: list[bytes] = []
    ended: asyncio.Future[CloseReason | None] = asyncio.get_running_loop().create_future()

    async def handler(connection: xmlsocket.Connection[bytes]) -> None:
        await connection.recv()
        talker.go.set()
        talker.gone.wait(LONG)  # the loop stands
        try:
            async for document in connection:
                seen.append(document)
                if len(seen) % 50 == 0:
                    await asyncio.sleep(0.001)
        except xmlsocket.ConnectionClosedError:
            pass  # a WebSocket without a close frame
        ended.set_result(connection.close_reason)

    async with xmlsocket.serve(
        handler, "127.0.0.1", 0, parse=bytes, ssl=contexts()[0], **options
    ) as server:
        talker = peer(port_of(server))
        talker.start()
        try:
            return seen, await asyncio.wait_for(ended, LONG)
        finally:
            talker.over.set()
            await asyncio.to_thread(talker.join)


@pytest.mark.parametrize("goodbye", [True, False], ids=["close_notify", "FIN"])
@pytest.mark.parametrize("websocket", [False, True], ids=["tcp", "websocket"])
@pytest.mark.parametrize("count", [100, 250, 800])
@pytest.mark.parametrize("read_limit", [4096, 2**20])
async def test_documents_before_the_end_of_a_tls_stream_are_delivered(
    read_limit: int, count: int, websocket: bool, goodbye: bool
) -> None:
    """The loop may find them all and the end at once, and be told to wait in between."""

    def peer(port: int) -> Peer:
        return Peer(port, count, websocket=websocket, goodbye=goodbye)

    seen, reason = await told(peer, websocket=websocket, read_limit=read_limit)

    assert [DOCUMENT] * count == seen
    assert (CloseReason.WEBSOCKET_ERROR if websocket else CloseReason.EOF) is reason


@pytest.mark.parametrize("document", [b"<bye/>", DOCUMENT * 1000], ids=["short", "long"])
@pytest.mark.parametrize("one_port", [False, True], ids=["tcp", "one port"])
async def test_server_that_says_goodbye_in_the_turn_of_the_handshake_is_heard(
    one_port: bool, document: bytes
) -> None:
    """The loop may still have the handshake's last words to send then."""

    async def greet(connection: xmlsocket.Connection[bytes]) -> None:
        await connection.send(document)

    options: dict[str, Any] = {"policy": Policy(["*"], ["*"]), "sniff_timeout": 0.1}
    async with (
        xmlsocket.serve(
            greet, "127.0.0.1", 0, ssl=contexts()[0], **(options if one_port else {})
        ) as server,
        xmlsocket.connect(
            "localhost", port_of(server), ssl=contexts()[1], parse=bytes
        ) as connection,
    ):
        assert [document] == [got async for got in connection]


@pytest.mark.parametrize("document", [b"<bye/>", DOCUMENT * 1000], ids=["short", "long"])
async def test_client_that_says_goodbye_in_the_turn_of_the_handshake_is_heard(
    document: bytes,
) -> None:
    """Connecting, saying something and closing need no wait in between."""
    heard: asyncio.Future[list[bytes]] = asyncio.get_running_loop().create_future()

    async def listen(connection: xmlsocket.Connection[bytes]) -> None:
        heard.set_result([got async for got in connection])

    async with xmlsocket.serve(
        listen, "127.0.0.1", 0, ssl=contexts()[0], parse=bytes, write_limit=None
    ) as server:
        connection = await xmlsocket.connect("localhost", port_of(server), ssl=contexts()[1])
        await connection.send(document)
        await connection.close()

        assert [document] == await asyncio.wait_for(heard, 20)


@pytest.mark.parametrize("goodbye", [True, False], ids=["close_notify", "FIN"])
async def test_peer_that_leaves_in_the_turn_of_the_handshake_is_heard_on_one_port(
    goodbye: bool,
) -> None:
    """Its part of the handshake may come together with all that it has to say."""
    loop = asyncio.get_running_loop()
    seen: list[list[bytes]] = []
    stands, gone = threading.Event(), threading.Event()

    async def listen(connection: xmlsocket.Connection[bytes]) -> None:
        seen.append([got async for got in connection])

    def stand() -> None:
        stands.set()
        gone.wait(LONG)

    def talk(port: int) -> None:
        coming, going = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = contexts()[1].wrap_bio(coming, going, server_hostname="localhost")
        with socket.create_connection(("127.0.0.1", port), LONG) as sock:
            while True:
                try:
                    tls.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    sock.sendall(going.read())
                    coming.write(sock.recv(2**16))
            loop.call_soon_threadsafe(stand)
            stands.wait(LONG)
            tls.write((DOCUMENT + b"\0") * 200)
            if goodbye:
                with contextlib.suppress(ssl.SSLWantReadError):
                    tls.unwrap()
            sock.sendall(going.read())
            sock.shutdown(socket.SHUT_WR)
            gone.set()
            with contextlib.suppress(ConnectionResetError):
                while sock.recv(2**16):
                    pass

    async with xmlsocket.serve(
        listen, "127.0.0.1", 0, ssl=contexts()[0], parse=bytes, websocket=True
    ) as server:
        await asyncio.wait_for(asyncio.to_thread(talk, port_of(server)), LONG)
        await until(lambda: not server._tasks)

    assert [[DOCUMENT] * 200] == seen


async def test_bytes_after_the_end_of_a_websocket_are_no_documents() -> None:
    """What a peer sends after its close frame belongs to nobody."""
    close_frame = b"\x88\x82" + bytes(4) + b"\x03\xe8"

    def peer(port: int) -> Peer:
        return Peer(
            port, 3, websocket=True, goodbye=False, last=close_frame + b"<junk/>\0" * 10_000
        )

    assert ([DOCUMENT] * 3, CloseReason.EOF) == await told(peer, websocket=True)
