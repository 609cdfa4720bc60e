"""The Redis adapter under its port's contract suite, on a real server."""

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import cast

import pytest

from alpha_panda.adapters.redis.journal import ADOPTED_AT_ONCE
from alpha_panda.contracts.enums import EntryState
from alpha_panda.contracts.topics import TopicMap
from alpha_panda.errors import FencedError
from alpha_panda.order_tracker import announcer as announcer_module
from alpha_panda.order_tracker.announcer import Announcer
from alpha_panda.ports import Outgoing, Producer
from alpha_panda.testing.servers.redis import RedisServer
from contracts.desk import Desk
from contracts.harness import ACCOUNT, Stores
from contracts.journal_contract import OrderJournalContract
from contracts.redis_stores import redis_stores
from contracts.samples import entry, signal

MANY = 20_000
LONG_US = 50_000
"""Microseconds that no script may take; measured: 4,000 at most."""


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture
async def stores(server: RedisServer) -> AsyncIterator[Stores]:
    async with redis_stores(server) as stores:
        yield stores


class TestRedis(OrderJournalContract):
    pass


async def test_much_is_adopted_and_listed_in_several_steps(stores: Stores) -> None:
    desk = await Desk.opened(stores)
    learnt = [entry(signal(f"s{number}", token=number)) for number in range(1000 + ADOPTED_AT_ONCE + 1)]
    await stores.journal.adopt(desk.lease, await stores.journal.run_id(), learnt)
    ids = [item.signal_id for item in learnt]
    assert await desk.open_ids() == ids
    assert [item.signal_id for item in await stores.journal.in_doubt()] == ids


async def test_no_script_holds_the_store_for_long_however_much_there_is(
    server: RedisServer, stores: Stores
) -> None:
    """Everybody else waits while a script runs. 20,000 orders, a quarter of them in doubt, as after a great loss."""
    desk = await Desk.opened(stores)
    learnt = [
        entry(signal(f"s{number}", token=number), EntryState.FILLED if number % 4 else EntryState.UNKNOWN)
        for number in range(MANY)
    ]
    with server.client() as client:
        client.config_set("slowlog-log-slower-than", LONG_US)
        client.slowlog_reset()
        try:
            await stores.journal.adopt(desk.lease, await stores.journal.run_id(), learnt)
            assert len(await stores.journal.in_doubt()) == MANY // 4
            noting = Noting()
            producer = cast("Producer", noting)
            announcer = Announcer(ACCOUNT, TopicMap(ACCOUNT), stores.journal)
            turns = MANY // (announcer_module.PAGE * announcer_module.PAGES)
            for _ in range(2 * turns + 2):  # one round of turns to see what is there, another to tell it
                await announcer.repeat(producer)
            assert len(noting.sent) == MANY - MANY // 4
            assert len(await stores.journal.unacknowledged()) == MANY // 4
            found = await stores.journal.find_tags(*(item.tag for item in learnt))
            assert len(found) == MANY
            assert client.slowlog_get() == []
        finally:
            client.config_set("slowlog-log-slower-than", 10_000)


class Noting:
    """A producer whose records are acknowledged at once."""

    def __init__(self) -> None:
        self.sent: list[Outgoing] = []

    async def send(self, records: Sequence[Outgoing]) -> None:
        self.sent += records


async def test_adopting_nothing_is_fenced_too(stores: Stores) -> None:
    desk = await Desk.opened(stores)
    with pytest.raises(FencedError):
        await stores.journal.adopt(desk.lease + 1, await stores.journal.run_id(), [])
    with pytest.raises(FencedError):
        await stores.journal.adopt(desk.lease, "another run", [])


async def test_nanoseconds_pass_through_lua_unharmed(stores: Stores) -> None:
    """They are greater than 2**53, the last whole number that a Lua number tells from its neighbour."""
    desk = await Desk.opened(stores)
    odd = 2**53 * 200 + 1
    await stores.journal.adopt(
        desk.lease,
        await stores.journal.run_id(),
        [entry(signal(expires_at=odd), send_by=odd, created_at=odd)],
    )
    found = await desk.stored()
    assert (found.send_by, found.created_at, found.signal.expires_at) == (odd, odd, odd)
    within = 5_000_000_123
    await desk.decide(signal("s2", token=2))
    begun = (await desk.begin(signal("s2", token=2), send_within=within)).entry
    assert begun.send_by - begun.created_at == within
