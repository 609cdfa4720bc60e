"""The durability check, asked of real servers."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from alpha_panda.adapters.ids import RandomIds
from alpha_panda.adapters.redis.connection import RedisAddress, make_database
from alpha_panda.adapters.redis.database import RedisDatabase
from alpha_panda.adapters.redis.durability import durability_problems
from alpha_panda.contracts.keys import KeyMap
from alpha_panda.errors import DependencyUnavailableError
from alpha_panda.testing.servers.redis import RedisServer


@asynccontextmanager
async def database(server: RedisServer, user: str = "") -> AsyncIterator[RedisDatabase]:
    address = RedisAddress(server.url, username=user, password=(lambda: "one") if user else None)
    found = make_database(address, RandomIds(), KeyMap())
    try:
        yield found
    finally:
        await found.close()


async def texts(server: RedisServer, user: str = "") -> list[str]:
    async with database(server, user) as found:
        return [str(problem) for problem in await durability_problems(found)]


async def test_the_tests_own_server_is_fit_for_a_journal(redis_server: RedisServer) -> None:
    assert await texts(redis_server) == []


async def test_what_loses_orders_is_found() -> None:
    config = {"maxmemory-policy": "allkeys-lru", "no-appendfsync-on-rewrite": "yes"}
    with RedisServer(appendfsync="everysec", config=config) as server:
        assert [text.split(":")[0] for text in await texts(server)] == [
            "appendfsync is everysec",
            "no-appendfsync-on-rewrite is yes",
            "maxmemory-policy is allkeys-lru",
        ]


async def test_a_cache_without_a_file_is_found() -> None:
    with RedisServer(config={"appendonly": "no"}) as server:
        (problem,) = await texts(server)
        assert problem.startswith("appendonly is no")


async def test_a_replica_is_found(redis_server: RedisServer) -> None:
    with RedisServer(config={"replicaof": f"127.0.0.1 {redis_server.port}"}) as server:
        (problem,) = await texts(server)
        assert "a replica of 127.0.0.1" in problem


async def test_a_user_who_may_not_ask_for_settings_is_told_what_was_not_looked_at(
    own_redis_server: RedisServer,
) -> None:
    own_redis_server.add_user("ann", "on >one ~* +@all -config")
    (problem,) = await texts(own_redis_server, "ann")
    assert problem.startswith("could not be checked: appendfsync, no-appendfsync-on-rewrite")
    with own_redis_server.client() as client:
        client.config_set("appendonly", "no")
    told, _ = await texts(own_redis_server, "ann")
    assert told.startswith("appendonly is no")


async def test_one_that_is_away_is_no_verdict(own_redis_server: RedisServer) -> None:
    own_redis_server.kill()
    async with database(own_redis_server) as found:
        with pytest.raises(DependencyUnavailableError):
            await durability_problems(found)


async def test_a_user_without_info_is_no_verdict(own_redis_server: RedisServer) -> None:
    own_redis_server.add_user("ann", "on >one ~* +@all -info")
    async with database(own_redis_server, "ann") as found:
        with pytest.raises(DependencyUnavailableError, match="INFO"):
            await durability_problems(found)
