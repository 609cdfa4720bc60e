"""A feed-cacher that is stuck on its partitions makes their tokens stale, however lively the others are."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, cast

import pytest

from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import EventType, Side
from alpha_panda.contracts.topics import tick_partition
from alpha_panda.ports import PriceCache
from alpha_panda.testing.pipeline import Pipeline, outcome_of
from integration.kit import RELIANCE, TCS, Document, feed, manifests

PARTITIONS = 4


class Stuck:
    """A price cache whose writes never return."""

    def __init__(self, prices: PriceCache) -> None:
        self._prices = prices
        self.asked = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._prices, name)

    async def write(self, *args: Any) -> frozenset[int]:
        self.asked += 1
        await asyncio.get_running_loop().create_future()
        raise AssertionError


def patient() -> list[Document]:
    """Manifests under which a quote may be old: only the heartbeat can make a price stale."""
    instruments = [
        {"symbol": RELIANCE, "token": 738561, "tickSize": "0.05", "referencePrice": "2500"},
        {"symbol": TCS, "token": 2953217, "tickSize": "0.05", "lotSize": 5, "referencePrice": "3900"},
    ]
    return manifests(
        feed=feed(
            instruments=[{**item, "staleAfterSeconds": 600} for item in instruments],
            partitions=PARTITIONS,
            staleAfterSeconds=5,
        )
    )


@asynccontextmanager
async def a_stuck_neighbour(pipeline: Pipeline) -> AsyncIterator[Stuck]:
    """Run one more cacher in the group, which takes the upper half of the partitions and never writes."""
    member = next(item for item in pipeline.run.members if item.name == "feed-cacher/demo")
    context = pipeline.run.context_of(member)
    prices = Stuck(context.ports.prices)
    ports = replace(context.ports, prices=cast("PriceCache", prices))
    service = member.definition.build(replace(context, ports=ports, instance="stuck"))
    task = asyncio.create_task(service.run())
    await pipeline.idle()
    try:
        yield prices
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def both_tick_for(pipeline: Pipeline, seconds: int) -> None:
    for _ in range(seconds):
        await pipeline.advance(1)
        await pipeline.ticks([(RELIANCE, 2500.0), (TCS, 3900.0)])


@pytest.mark.usefixtures("quiet")
async def test_a_stuck_partitions_tokens_go_stale_and_the_others_trade() -> None:
    assert tick_partition(738561, PARTITIONS) >= PARTITIONS // 2 > tick_partition(2953217, PARTITIONS)
    async with Pipeline(patient()) as pipeline:
        await pipeline.ticks([(RELIANCE, 2500.0), (TCS, 3900.0)], at=1)
        async with a_stuck_neighbour(pipeline) as prices:
            await both_tick_for(pipeline, 6)
            assert prices.asked
            stale = await pipeline.signal("alpha", RELIANCE, Side.BUY, "1")
            fresh = await pipeline.signal("alpha", TCS, Side.BUY, "5")
            assert outcome_of(pipeline.about(stale)) == (EventType.REJECTED_SIGNAL, Code.PRICE_STALE)
            assert "heartbeat" in cast("Any", pipeline.about(stale)[-1].data).message
            assert outcome_of(pipeline.about(fresh)) == (EventType.ORDER_FILLED, None)
            assert pipeline.broker().calls == {fresh: 1}
        await pipeline.idle()
        healed = await pipeline.signal("alpha", RELIANCE, Side.BUY, "1")
        assert outcome_of(pipeline.about(healed)) == (EventType.ORDER_FILLED, None)


@pytest.mark.usefixtures("quiet")
async def test_a_quiet_token_stays_fresh_while_any_row_proves_the_feed_alive() -> None:
    """An illiquid name in a partition of its own trades on its old quote: the replay's rows elsewhere are proof."""
    async with Pipeline(patient()) as pipeline:
        await pipeline.ticks([(RELIANCE, 2500.0), (TCS, 3900.0)], at=1)
        for _ in range(20):
            await pipeline.advance(1)
            await pipeline.tick(TCS, 3900.0)
        signal = await pipeline.signal("alpha", RELIANCE, Side.BUY, "1")
        assert outcome_of(pipeline.about(signal)) == (EventType.ORDER_FILLED, None)
