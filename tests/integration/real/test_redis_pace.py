"""The Redis adapter under its port's contract suite, on a real server."""

from collections.abc import AsyncIterator, Iterator

import pytest

from alpha_panda.testing.servers.redis import RedisServer
from contracts.harness import Stores
from contracts.pace_contract import OrderPaceContract
from contracts.redis_stores import redis_stores


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


class TestRedis(OrderPaceContract):
    @pytest.fixture
    async def stores(self, server: RedisServer) -> AsyncIterator[Stores]:
        async with redis_stores(server) as stores:
            yield stores
