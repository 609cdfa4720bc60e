"""The Redis stores under the contract suites' harness: a real server, reached through a proxy that can misbehave."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from alpha_panda.adapters.ids import RandomIds
from alpha_panda.adapters.redis.checkpoints import RedisCheckpointStore
from alpha_panda.adapters.redis.control import RedisControlStore
from alpha_panda.adapters.redis.database import RedisDatabase
from alpha_panda.adapters.redis.decisions import RedisDecisionStore
from alpha_panda.adapters.redis.instruments import RedisInstrumentStore
from alpha_panda.adapters.redis.journal import RedisOrderJournal
from alpha_panda.adapters.redis.leases import RedisLease
from alpha_panda.adapters.redis.pace import RedisOrderPace
from alpha_panda.adapters.redis.pool import RedisPool
from alpha_panda.adapters.redis.prices import RedisPriceCache
from alpha_panda.adapters.redis.statuses import RedisStatusStore
from alpha_panda.contracts.keys import KeyMap
from alpha_panda.contracts.units import nanoseconds
from alpha_panda.testing.servers.proxy import FaultyProxy
from alpha_panda.testing.servers.redis import RedisServer
from alpha_panda.testing.servers.redis_aof import EMPTY
from contracts.harness import ACCOUNT, Lose, Stores

TIMEOUT: Final = 10.0
"""Seconds that no call of these tests needs."""

PREFIX: Final = "contract."


class ShiftedTime:
    """What the tests add to the store's clock."""

    def __init__(self) -> None:
        self.offset = 0

    def __call__(self) -> int:
        return self.offset


class RedisHarness:
    """`StoreHarness` over a real Redis. A restart is one: killed, its files replaced, started on the same port."""

    def __init__(
        self, server: RedisServer, proxy: FaultyProxy, database: RedisDatabase, time: ShiftedTime
    ) -> None:
        self.server = server
        self.proxy = proxy
        self.database = database
        self._time = time
        self._image = EMPTY

    async def now(self) -> int:
        return await self.database.time()

    async def advance(self, seconds: float) -> None:
        self._time.offset += nanoseconds(seconds)

    async def mark(self) -> None:
        self._image = self.server.image()

    async def restart(self, lose: Lose) -> None:
        images = {Lose.TAIL: self._image, Lose.EVERYTHING: EMPTY, Lose.NOTHING: None}
        self.cut()
        self.server.restart(images[lose])

    def refuse_next(self) -> None:
        """Cut what is connected, and refuse the connection that the next operation needs."""
        self.cut()
        self.proxy.refuse()

    def lose_next_reply(self) -> None:
        self.proxy.reset_reply(request=is_operation, reply=is_answer)

    def cut(self) -> None:
        """End all idle connections from this side, so that the pool knows it at once."""
        for connection in self.database.pool._idle:
            assert connection._writer is not None
            connection._writer.transport.abort()


def is_operation(request: bytes) -> bool:
    """Whether a request is a store's own, not the connection's greeting nor the loading of a script."""
    return not any(word in request[:40] for word in (b"HELLO", b"AUTH", b"CLIENT", b"SCRIPT"))


def is_answer(reply: bytes) -> bool:
    """Whether a reply tells that the request was carried out."""
    return not reply.startswith(b"-NOSCRIPT")


@asynccontextmanager
async def redis_stores(server: RedisServer, *, clear: bool = True, **login: str) -> AsyncIterator[Stores]:
    """Give all ports over the server, emptied before; `login`: `username`, `password`, if not the default user's."""
    if not server.running:
        server.start()
    if clear:
        server.clear()
    time = ShiftedTime()
    async with FaultyProxy("127.0.0.1", server.port) as proxy:
        url = f"redis://127.0.0.1:{proxy.port}"
        pool = RedisPool(url, timeout=TIMEOUT, max_connections=32, client_name="contract", **login)
        database = RedisDatabase(pool, RandomIds(), KeyMap(PREFIX), timeout=TIMEOUT, time_offset=time)
        try:
            yield Stores(
                journal=RedisOrderJournal(database, ACCOUNT),
                decisions=RedisDecisionStore(database, ACCOUNT),
                checkpoints=RedisCheckpointStore(database),
                control=RedisControlStore(database),
                prices=RedisPriceCache(database),
                lease=RedisLease(database),
                statuses=RedisStatusStore(database),
                pace=RedisOrderPace(database),
                instruments=RedisInstrumentStore(database),
                harness=RedisHarness(server, proxy, database, time),
            )
        finally:
            await database.close()
