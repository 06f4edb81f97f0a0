"""A chat client: says hello and shows what the others say."""

import asyncio

import xmlsocket


async def main() -> None:
    """Talk until the server closes."""
    async with xmlsocket.connect("127.0.0.1", 9339) as connection:
        await connection.send('<MESSAGE USER="Kim" TEXT="Hello!"/>')
        async for message in connection:
            print(f"{message.get('USER')!r} says {message.get('TEXT')!r}")


asyncio.run(main())
