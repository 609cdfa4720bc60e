"""The Redis adapter under its port's contract suite, on a real server."""

from collections.abc import AsyncIterator, Iterator

import pytest
from msgspec.structs import replace

from alpha_panda.adapters.redis.control import _CLEAR_LATCH, RedisControlStore
from alpha_panda.testing.servers.redis import RedisServer
from contracts.control_contract import ControlStoreContract
from contracts.harness import Stores
from contracts.redis_stores import redis_stores
from contracts.samples import SCOPE, latch


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


class TestRedis(ControlStoreContract):
    @pytest.fixture
    async def stores(self, server: RedisServer) -> AsyncIterator[Stores]:
        async with redis_stores(server) as stores:
            yield stores


async def test_what_is_set_anew_between_the_look_and_the_clearing_stands(server: RedisServer) -> None:
    """The look is a command of its own; the script compares again."""
    async with redis_stores(server) as stores:
        control = stores.control
        assert isinstance(control, RedisControlStore)
        await control.set_latch(latch("a"))
        key = control._keys.control_latches(SCOPE)
        looked_at = await control._database.command("HGET", key, "a")
        await control.clear_latch(SCOPE, "a")
        later = replace(latch("a"), set_at=2)
        await control.set_latch(later)
        assert await control._database.run(_CLEAR_LATCH, [key], ["a", looked_at]) == 0
        (reading,) = await control.read([SCOPE])
        assert reading.latches == (later,)
