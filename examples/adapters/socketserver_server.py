"""XMLSocket with socketserver: a thread for each connection. Sends every document back."""

import socketserver
import sys

from xmlsocket import Decoder, FramingError, encode_many


class Echo(socketserver.StreamRequestHandler):
    """One connection."""

    timeout = 60.0  # seconds that recv(), or sendall() as a whole, may take
    disable_nagle_algorithm = True

    def handle(self) -> None:
        """Serve it until its end, or an error."""
        decoder = Decoder(max_size=2**20, skip_empty=True)
        try:
            while decoder.error is None and (data := self.connection.recv(2**16)):
                frames = decoder.feed(data)
                # sendall() waits for a peer that does not read; nothing is read meanwhile.
                self.connection.sendall(encode_many(frames))
            decoder.feed_eof()  # raises decoder.error, or that the stream ended inside a frame
        except (FramingError, OSError) as exc:
            print(f"{type(exc).__name__}: {exc}")


class Server(socketserver.ThreadingTCPServer):
    """Listens until Ctrl-C."""

    allow_reuse_address = daemon_threads = True
    request_queue_size = 128  # with the default of 5, who connects in a crowd waits for seconds


with Server(("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 9339), Echo) as server:
    print(f"listening on port {server.server_address[1]}")
    server.serve_forever()
