"""What a feed-cacher counts and times, through the service."""

import pytest

from alpha_panda.contracts.events import Tick
from alpha_panda.runtime.metrics.catalogue import (
    TICK_TO_CACHE,
    TICKS_DROPPED,
    TICKS_PUBLISHED,
    TICKS_RECEIVED,
)
from unit.feed_cacher.test_service import A, B, Cache, batch, cache
from unit.runtime.metrics.scraped import Scraped

__all__ = ["cache"]
OWN = {"service": "feed-cacher", "feed": "demo"}


def read(cache: Cache) -> Scraped:
    return Scraped.of(cache.service.metrics)


async def test_ticks_in_quotes_out_and_the_way_of_each_batch(cache: Cache) -> None:
    async with cache.running():
        now = cache.clock.now()
        old = now - 2_000_000_000
        await cache.send(
            batch(Tick(A, 1.0, old, 1), Tick(A, 2.0, old, 2), Tick(B, 3.0, old, 1)),
            batch(Tick(A, 4.0, now, 3)),
        )
        found = read(cache)
    assert found.value(TICKS_RECEIVED, **OWN) == 4
    assert found.value(TICKS_PUBLISHED, **OWN) == 2  # the newest of each instrument
    assert found.count(TICK_TO_CACHE, feed="demo") == 2
    assert found.value(f"{TICK_TO_CACHE.name}_sum", feed="demo") == pytest.approx(2)


async def test_a_heartbeat_is_no_tick_on_its_way(cache: Cache) -> None:
    async with cache.running():
        await cache.send(batch(ts=cache.clock.now()))
        found = read(cache)
    assert found.count(TICK_TO_CACHE, feed="demo") == 0
    assert found.value(TICKS_RECEIVED, **OWN) == 0


async def test_ticks_of_a_feed_that_was_replaced_are_dropped_and_counted(cache: Cache) -> None:
    async with cache.running():
        now = cache.clock.now()
        await cache.send(batch(Tick(A, 1.0, now, 1), epoch=2))
        await cache.send(batch(Tick(A, 9.0, now, 7), Tick(B, 9.0, now, 7), epoch=1))
        found = read(cache)
    assert found.value(TICKS_DROPPED, reason="old_epoch", **OWN) == 2
    assert found.value(TICKS_PUBLISHED, **OWN) == 1
    assert found.count(TICK_TO_CACHE, feed="demo") == 1
