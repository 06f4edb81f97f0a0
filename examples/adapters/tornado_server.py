"""XMLSocket in Tornado: a decoder beside each `IOStream`. Sends every document back."""

import asyncio
import sys
from contextlib import closing, suppress

from tornado import iostream, netutil, tcpserver

from xmlsocket import Decoder, FramingError, encode_many


class Echo(tcpserver.TCPServer):
    """Sends documents back."""

    async def handle_stream(self, stream: iostream.IOStream, _address: tuple[str, int]) -> None:
        """Serve one connection until its end, or an error."""
        decoder = Decoder(max_size=2**20, skip_empty=True)
        stream.set_nodelay(True)
        try:
            with closing(stream), suppress(iostream.StreamClosedError):  # its end is told below
                while decoder.error is None:
                    watchdog = asyncio.get_running_loop().call_later(60.0, stream.close)
                    frames = decoder.feed(await stream.read_bytes(2**16, partial=True))
                    await stream.write(encode_many(frames))  # waits for who does not read
                    watchdog.cancel()
            watchdog.cancel()
            decoder.feed_eof()  # raises decoder.error, or that the stream ended inside a frame
        except FramingError as exc:
            print(f"{type(exc).__name__}: {exc}")


async def main(port: int) -> None:
    """Listen until Ctrl-C."""
    (listener,) = netutil.bind_sockets(port, "127.0.0.1")
    Echo().add_socket(listener)
    print(f"listening on port {listener.getsockname()[1]}")
    await asyncio.Event().wait()


asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 9339))
