"""The Redis adapter under its port's contract suite, on a real server; and what is Redis' own."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from alpha_panda.adapters.ids import RandomIds
from alpha_panda.adapters.redis.connection import RedisAddress, make_database
from alpha_panda.adapters.redis.statuses import RedisStatusStore
from alpha_panda.contracts.keys import KeyMap
from alpha_panda.errors import DependencyUnavailableError
from alpha_panda.testing.servers.redis import RedisServer
from contracts.harness import Stores
from contracts.redis_stores import PREFIX, redis_stores
from contracts.status_contract import TTL, StatusStoreContract, _status

INDEX = f"{PREFIX}status-index"


@pytest.fixture
async def stores(redis_server: RedisServer) -> AsyncIterator[Stores]:
    async with redis_stores(redis_server) as stores:
        yield stores


class TestRedis(StatusStoreContract):
    pass


def raw(server: RedisServer, *command: str) -> Any:
    with server.client(decode_responses=True) as client:
        return client.execute_command(*command)


async def test_a_status_goes_by_itself(stores: Stores, redis_server: RedisServer) -> None:
    await stores.statuses.put(_status(), TTL)
    assert 0 < raw(redis_server, "PTTL", f"{PREFIX}status:engine:paper:engine-0") <= TTL * 1000


async def test_the_index_forgets_what_has_expired(stores: Stores, redis_server: RedisServer) -> None:
    await stores.statuses.put(_status(instance="engine-0"), TTL)
    await stores.harness.advance(TTL)
    await stores.statuses.put(_status(instance="engine-1"), TTL)
    assert raw(redis_server, "ZRANGE", INDEX, "0", "-1") == [f"{PREFIX}status:engine:paper:engine-1"]


async def test_one_that_redis_has_dropped_already_is_left_out(
    stores: Stores, redis_server: RedisServer
) -> None:
    await stores.statuses.put(_status(instance="engine-0"), TTL)
    await stores.statuses.put(_status(instance="engine-1"), TTL)
    raw(redis_server, "DEL", f"{PREFIX}status:engine:paper:engine-0")
    assert [status.instance for status in await stores.statuses.all()] == ["engine-1"]


async def test_whoever_only_reads_needs_no_right_to_write(own_redis_server: RedisServer) -> None:
    rights = "+client|setname +evalsha_ro +script|load +zrangebyscore +mget +time"
    own_redis_server.add_user("operator", f"on >secret %R~status* {rights}")
    plain = RedisAddress(own_redis_server.url)
    limited = RedisAddress(own_redis_server.url, username="operator", password=lambda: "secret")
    writer, reader = (make_database(address, RandomIds(), KeyMap()) for address in (plain, limited))
    try:
        await RedisStatusStore(writer).put(_status(), TTL)
        assert await RedisStatusStore(reader).all() == [_status()]
        with pytest.raises(DependencyUnavailableError):
            await RedisStatusStore(reader).put(_status(), TTL)
    finally:
        await writer.close()
        await reader.close()


async def test_thousands_of_replicas_are_read_at_once(stores: Stores) -> None:
    for number in range(1_100):
        await stores.statuses.put(_status(instance=f"engine-{number:04}"), TTL)
    found = [status.instance for status in await stores.statuses.all()]
    assert found == [f"engine-{number:04}" for number in range(1_100)]
