"""A chat server: what one client sends, all others get."""

import asyncio

import xmlsocket


async def main() -> None:
    """Listen until Ctrl-C."""

    async def chat(connection: xmlsocket.Connection[bytes]) -> None:
        async for document in connection:
            xmlsocket.broadcast(server.connections - {connection}, document)

    async with xmlsocket.serve(chat, "127.0.0.1", 9339, parse=bytes) as server:
        await server.serve_forever()


asyncio.run(main())
