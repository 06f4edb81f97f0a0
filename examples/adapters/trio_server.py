"""XMLSocket in Trio: a decoder beside each stream. Sends every document back."""

import sys

import trio

from xmlsocket import Decoder, FramingError, encode_many


async def echo(stream: trio.SocketStream) -> None:
    """Serve one connection until its end, or an error."""
    decoder = Decoder(max_size=2**20, skip_empty=True)
    try:
        while decoder.error is None:
            with trio.fail_after(60.0):  # seconds until something is said, and answered
                if not (data := await stream.receive_some()):
                    break
                frames = decoder.feed(data)
                # Waits for a peer that does not read; nothing is read from it meanwhile.
                await stream.send_all(encode_many(frames))
        decoder.feed_eof()  # raises decoder.error, or that the stream ended inside a frame
    except (FramingError, trio.BrokenResourceError, trio.TooSlowError) as exc:
        print(f"{type(exc).__name__}: {exc}")


async def main(port: int) -> None:
    """Listen until Ctrl-C."""
    listeners = await trio.open_tcp_listeners(port, host="127.0.0.1")
    print(f"listening on port {listeners[0].socket.getsockname()[1]}")
    await trio.serve_listeners(echo, listeners)


trio.run(main, int(sys.argv[1]) if len(sys.argv) > 1 else 9339)
