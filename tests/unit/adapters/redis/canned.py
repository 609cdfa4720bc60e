"""A server that answers each request with bytes that a test has thought of, and remembers the requests."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import cycle

from alpha_panda.adapters.ids import RandomIds
from alpha_panda.adapters.redis.database import RedisDatabase
from alpha_panda.adapters.redis.pool import RedisPool

GREETING = b"*0\r\n"
TIMEOUT = 5.0


class Canned:
    """`replies` in turn, for ever; `greeting` to HELLO. None: no reply, and the connection is closed."""

    def __init__(self, *replies: bytes | None, greeting: bytes | None = GREETING) -> None:
        self.requests: list[bytes] = []
        self.serving: list[asyncio.Task[None]] = []
        self.port = 0
        self._replies = cycle(replies)
        self._greeting = greeting

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer until the client or a None among the replies ends it."""
        try:
            while data := await reader.read(1 << 16):
                greeted = b"HELLO" in data
                reply = self._greeting if greeted else next(self._replies)
                if not greeted:
                    self.requests.append(data)
                if reply is None:
                    break
                writer.write(reply)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.serving.append(asyncio.create_task(self.serve(reader, writer)))


@asynccontextmanager
async def answering(canned: Canned, *, max_connections: int = 4) -> AsyncIterator[RedisDatabase]:
    """Give a database whose server is `canned`."""
    server = await asyncio.start_server(canned.accept, "127.0.0.1", 0)
    canned.port = server.sockets[0].getsockname()[1]
    pool = RedisPool(f"redis://127.0.0.1:{canned.port}", timeout=TIMEOUT, max_connections=max_connections)
    database = RedisDatabase(pool, RandomIds(), timeout=TIMEOUT)
    try:
        yield database
    finally:
        await database.close()
        server.close()
        await asyncio.gather(*canned.serving)
        await server.wait_closed()
