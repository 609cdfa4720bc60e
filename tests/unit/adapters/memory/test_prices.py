"""The memory adapter under its port's contract suite."""

import asyncio

import pytest

from alpha_panda.adapters.memory.database import MemoryDatabase
from alpha_panda.adapters.memory.prices import MemoryPriceCache
from contracts.harness import Stores
from contracts.memory_stores import CountedIds, ManualClock, memory_stores
from contracts.prices_contract import PriceCacheContract, price_range


class TestMemory(PriceCacheContract):
    @pytest.fixture(params=[False, True], ids=["at once", "yielding"])
    def stores(self, request: pytest.FixtureRequest) -> Stores:
        return memory_stores(yields=request.param)


async def test_oldest_ranges_of_a_token_are_dropped_beyond_the_bound() -> None:
    database = MemoryDatabase(ManualClock(), CountedIds())
    prices = MemoryPriceCache(database, kept_ranges=3)
    await prices.publish_ranges("demo", [price_range(first) for first in range(1, 6)])
    await prices.publish_ranges("demo", [price_range(9, token=2)])
    found = await prices.ranges("demo", {738561: 0, 2: 0}, 0)
    assert [item.first_seq for item in found] == [3, 4, 5, 9]


async def test_waiting_reader_leaves_nothing_behind() -> None:
    clock = ManualClock()
    database = MemoryDatabase(clock, CountedIds())
    prices = MemoryPriceCache(database)
    waiting = asyncio.ensure_future(prices.ranges("demo", {1: 0}, 5.0))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await asyncio.sleep(0)
    assert not database._waiters["demo:ranges"]
    assert asyncio.all_tasks() == {asyncio.current_task()}
