"""A WebSocket server on blocking sockets and threads, made of the carrier and the codec alone."""

from __future__ import annotations

import contextlib
import dataclasses
import socket
import threading
from typing import TYPE_CHECKING

from xmlsocket.codec import Decoder, encode_many
from xmlsocket.exceptions import CloseReason
from xmlsocket.websocket import ServerWebSocket

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from xmlsocket.upgrade import WebSocketOptions

__all__ = ["EchoServer", "echo_server"]


def _echo(frame: bytes) -> list[bytes] | None:
    return [frame]


@dataclasses.dataclass
class EchoServer:
    """
    What a running server has seen.

    Attributes:
        port: Where it listens, on 127.0.0.1.
        frames: Frames received over all connections.
        ended: The carrier of every connection that has ended.

    """

    port: int
    frames: list[bytes] = dataclasses.field(default_factory=list)
    ended: list[ServerWebSocket] = dataclasses.field(default_factory=list)

    def serve(
        self,
        sock: socket.socket,
        carrier: ServerWebSocket,
        reply: Callable[[bytes], list[bytes] | None],
        max_size: int | None,
    ) -> None:
        """Serve one connection to its end."""
        decoder = Decoder(max_size=max_size, skip_empty=True)
        with sock:
            while not carrier.finished:
                data = sock.recv(2**16)
                if not data:
                    carrier.receive_eof()
                frames: list[bytes] = []
                for payload in carrier.receive_data(data):
                    frames += decoder.feed(payload)
                    if decoder.error is not None:
                        carrier.close(CloseReason.FRAME_TOO_BIG)
                        break
                self.frames += frames
                replies = [reply(frame) for frame in frames]
                for answer in replies:
                    if answer is None:
                        carrier.close()
                    elif carrier.is_open:
                        sock.sendall(b"".join(carrier.data_to_send()))
                        sock.sendall(carrier.wrap(encode_many(answer)))
                with contextlib.suppress(OSError):  # the peer may have left
                    sock.sendall(b"".join(carrier.data_to_send()))
        self.ended.append(carrier)


@contextlib.contextmanager
def echo_server(
    options: WebSocketOptions | None = None,
    *,
    reply: Callable[[bytes], list[bytes] | None] = _echo,
    max_size: int | None = 2**20,
) -> Iterator[EchoServer]:
    """
    Serve WebSockets on a free port of 127.0.0.1, a thread for each.

    Args:
        options: Rules of the opening.
        reply: Returns the frames to answer a frame with, or None to close.
        max_size: Limit of a frame.

    """
    threads: list[threading.Thread] = []
    stop = threading.Event()

    def accept() -> None:
        while True:
            sock, peer = listener.accept()
            if stop.is_set():
                sock.close()
                return
            sock.settimeout(30)
            carrier = ServerWebSocket(options, max_size=max_size, peer=peer)
            thread = threading.Thread(target=server.serve, args=(sock, carrier, reply, max_size))
            threads.append(thread)
            thread.start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = EchoServer(listener.getsockname()[1])
        acceptor = threading.Thread(target=accept)
        acceptor.start()
        try:
            yield server
        finally:
            stop.set()
            socket.create_connection(("127.0.0.1", server.port)).close()
            for thread in [acceptor, *threads]:
                thread.join()
