"""The Redis adapter under its port's contract suite, on a real server; and what is Redis' own."""

from collections.abc import AsyncIterator

import pytest

from alpha_panda.adapters.ids import RandomIds
from alpha_panda.adapters.redis.connection import RedisAddress, make_database
from alpha_panda.adapters.redis.instruments import RedisInstrumentStore
from alpha_panda.contracts.keys import KeyMap
from alpha_panda.errors import DependencyUnavailableError
from alpha_panda.testing.servers.redis import RedisServer
from contracts.harness import Stores
from contracts.instruments_contract import InstrumentStoreContract, listed
from contracts.redis_stores import redis_stores


@pytest.fixture
async def stores(redis_server: RedisServer) -> AsyncIterator[Stores]:
    async with redis_stores(redis_server) as stores:
        yield stores


class TestRedis(InstrumentStoreContract):
    pass


async def test_whoever_only_reads_needs_no_right_to_write(own_redis_server: RedisServer) -> None:
    own_redis_server.add_user("engine", "on >secret %R~nse:instruments +client|setname +hget")
    plain = RedisAddress(own_redis_server.url)
    limited = RedisAddress(own_redis_server.url, username="engine", password=lambda: "secret")
    writer, reader = (make_database(address, RandomIds(), KeyMap()) for address in (plain, limited))
    try:
        await RedisInstrumentStore(writer).put(listed())
        assert await RedisInstrumentStore(reader).read("nse") == listed()
        with pytest.raises(DependencyUnavailableError):
            await RedisInstrumentStore(reader).put(listed())
    finally:
        await writer.close()
        await reader.close()
