"""The Redis adapter under its port's contract suite, on a real server."""

from collections.abc import AsyncIterator, Iterator

import pytest
from msgspec.structs import replace
from structlog.testing import capture_logs

from alpha_panda.adapters.redis.control import _CLEAR_LATCH, RedisControlStore
from alpha_panda.contracts.stored import TeardownRequest
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


async def test_a_request_that_cannot_be_read_keeps_no_other_from_being_heeded(server: RedisServer) -> None:
    """A newer operator's, say: with it unread, nobody would cancel what a halt forbids."""
    async with redis_stores(server) as stores:
        control = stores.control
        assert isinstance(control, RedisControlStore)
        request = TeardownRequest(scope="strategy/s", uid="u", policy="Flatten", requested_at=1)
        await control.request_teardown(request)
        await control.request_clears(SCOPE, ["a"], 1)
        for key in (control._keys.control_teardowns(), control._keys.control_clears(SCOPE)):
            await control._database.command("HSET", key, "x", b'{"scope":7}', writes=True)
        with capture_logs() as logs:
            for _ in range(2):
                assert await control.teardowns() == (request,)
                assert [item.latch_id for item in await control.clear_requests([SCOPE])] == ["a"]
        assert [entry["event"] for entry in logs] == ["control_request_unreadable"]
